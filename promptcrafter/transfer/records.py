"""The records of an export: one typed object a line."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from flask import current_app

from promptcrafter import jsonio
from promptcrafter.http.blueprint import load
from promptcrafter.problems import Details, Invalid
from promptcrafter.transfer import schemas

BEGIN, END = "export", "end"
# In the order in which they leave: what is referred to before what refers
KINDS = ("prompt", "version", "experiment", "trace", "log")
OTHER_TYPE = {"type": [f"must be one of {', '.join(KINDS)}"]}
# Of the largest body that the API takes: one makes a log and another its notes, and a number may leave longer than it
# came, as `1E15` does
_LONGEST = 5
_SCHEMAS: dict[str, schemas.Line] = {
    BEGIN: schemas.HeaderLine(),
    "prompt": schemas.PromptLine(),
    "version": schemas.VersionLine(),
    "experiment": schemas.ExperimentLine(),
    "trace": schemas.TraceLine(),
    "log": schemas.LogLine(),
    END: schemas.EndLine(),
}
NAMES = {
    kind: {field.data_key or name: name for name, field in schema.fields.items()} for kind, schema in _SCHEMAS.items()
}
_REQUIRED = {
    kind: {name for name, field in schema.fields.items() if field.required} for kind, schema in _SCHEMAS.items()
}


class Record(NamedTuple):
    """A line as it was read: how to name its place, its type, its other fields and about how many bytes it had."""

    place: str
    kind: str
    fields: dict[str, Any]
    size: int


@dataclass(eq=False)
class Item:
    """A line that keeps all rules that can be told from itself, loaded to columns."""

    place: str
    kind: str
    values: dict[str, Any]
    size: int

    @property
    def id(self) -> str:
        """The id of what it is; a version's is that of its prompt."""
        id: str = self.values["prompt_id" if self.kind == "version" else "id"]
        return id

    @property
    def family(self) -> str:
        """What it is stored together with: versions with their prompts."""
        return "prompt" if self.kind == "version" else self.kind


def count_name(kind: str) -> str:
    """Return what the lines of a type are counted as."""
    return f"{kind}s"


def make(place: str, kind: str, fields: Mapping[str, Any]) -> Record:
    """Return the line that would be read, had these fields, except those that are None, been written as one.

    Raises Invalid where such a line could not be read.
    """
    known = {name: value for name, value in fields.items() if value is not None}
    try:
        # with escapes, which leave half a surrogate pair to be found where it stands
        line = read_object(json.dumps({"type": kind, **known}).encode(), place)
    except TypeError as error:
        raise fault(place, {"": ["must consist of text, numbers and the like"]}) from error
    size = len(write_line(kind, known).encode("utf-8", "surrogatepass"))
    refuse_long(size, place)
    return line._replace(size=size)


def load_fields(line: Record) -> dict[str, Any]:
    """Return a line's fields as columns. Raises Invalid naming line and fields."""
    names = NAMES[line.kind]
    known = frozenset(names[key] for key in line.fields.keys() & names.keys())
    try:
        loaded: dict[str, Any] = load(narrow(line.kind, known), line.fields)
    except Invalid as error:
        raise fault(line.place, error.details or {}) from error
    return loaded


def fault(place: str, details: Mapping[str, list[str]], code: str = "invalid_fields") -> Invalid:
    """Make the 400 about fields of a line, or about the line itself where the field is empty."""
    return Invalid(locate(place, details), code)


def locate(place: str, details: Mapping[str, list[str]]) -> Details:
    """Return details whose fields are named with their line: `line 17.score`."""
    return {f"{place}.{field}" if field else place: reasons for field, reasons in details.items()}


@lru_cache(maxsize=256)
def narrow(kind: str, names: frozenset[str]) -> schemas.Line:
    """Return a type's schema with these fields and those required: most lines have few of the many there are."""
    schema = _SCHEMAS[kind]
    return type(schema)(only=[name for name in schema.fields if name in names or name in _REQUIRED[kind]])


def write_line(kind: str, fields: Mapping[str, Any]) -> str:
    """Return the record as a line of the export, with its line break."""
    return jsonio.dumps({"type": kind, **fields}) + "\n"


def refuse_long(size: int, place: str) -> None:
    """Raise Invalid if a line of this many bytes is too long."""
    if size > longest():
        raise fault(place, {"": [f"must have at most {longest():,} bytes"]})


def longest() -> int:
    """Return the bytes that a line, with its end, may have."""
    limit: int = current_app.config["MAX_BODY_BYTES"]
    return _LONGEST * limit


def read_object(data: bytes, place: str) -> Record:
    """Parse one line. Raises Invalid unless it is a JSON object with a known `type`."""
    try:
        fields = jsonio.loads(data.rstrip(b"\r\n"))
    except jsonio.JsonError as error:
        # in a line the line is always the first
        told = str(error).removeprefix("Invalid JSON at line 1, ").removesuffix(".")
        raise fault(place, {"": [f"must be JSON ({told})"]}, error.code) from error
    if not isinstance(fields, dict):
        raise fault(place, {"": ["must be an object"]})
    kind = fields.pop("type", None)
    if kind not in (*KINDS, BEGIN, END):
        raise fault(place, OTHER_TYPE)
    return Record(place, kind, fields, len(data))
