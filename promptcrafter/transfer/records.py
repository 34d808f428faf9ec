"""Records: the typed objects of an export, one a line.

A `Record` has its fields as they were read. A `LoadedRecord` has passed the schema of its type and has column values.
`export_format` describes the file around the records.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from flask import current_app

from promptcrafter import jsonio
from promptcrafter.http.schemas import load
from promptcrafter.problems import Details, Invalid
from promptcrafter.transfer import form_1, schemas

HEADER, END = "export", "end"  # the types of the first and the last line
# In the order of the export: a record refers only to records before it
CONFIG = "scoreConfig"
KINDS = (*form_1.KINDS, CONFIG, "score", "span")
FORM = 2  # of the file: of which `schemas` has the lines. It is the `version` in the header
FORMS = (form_1.VERSION, FORM)
UNKNOWN_TYPE_DETAILS = {"type": [f"must be one of {', '.join(KINDS)}"]}
# A line may be as long as this many of the largest bodies that the API accepts: one body creates a log, another sets
# its notes, and a number may be exported longer than it was sent (`1E15`)
_MAX_LINE_BODIES = 5
_SCHEMAS: dict[str, schemas.Line] = {
    HEADER: schemas.HeaderLine(),
    "prompt": schemas.PromptLine(),
    "version": schemas.VersionLine(),
    "experiment": schemas.ExperimentLine(),
    "trace": schemas.TraceLine(),
    "log": schemas.LogLine(),
    CONFIG: schemas.ScoreConfigLine(),
    "score": schemas.ScoreLine(),
    "span": schemas.SpanRecordLine(),
    END: schemas.EndLine(),
}
# By type: the name of the schema's field, which is that of the column, by its name in JSON
_FIELD_NAMES = {
    kind: {field.data_key or name: name for name, field in schema.fields.items()} for kind, schema in _SCHEMAS.items()
}
_REQUIRED = {
    kind: {name for name, field in schema.fields.items() if field.required} for kind, schema in _SCHEMAS.items()
}


_IDS = {"version": "prompt_id", "span": "trace_id", CONFIG: "name"}  # the columns that identify records without an id


class Record(NamedTuple):
    """A record as it was read, not yet validated.

    `location` names it in error messages, such as `line 17`; `fields` has all fields but the type; `size` is in bytes.
    `form` is that of the file. In the first one, as in files of other tools, a log's score is the only one that it has.
    """

    location: str
    kind: str
    fields: dict[str, Any]
    size: int
    form: int = form_1.VERSION


@dataclass(eq=False)
class LoadedRecord:
    """A record that is valid by itself, with column values. Whether it fits the workspace is checked by `importer`."""

    location: str
    kind: str
    values: dict[str, Any]
    size: int
    form: int = form_1.VERSION

    @property
    def id(self) -> str:
        """The id of the resource; for what has none, that of what it belongs to, or the name of a configuration."""
        id: str = self.values[_IDS.get(self.kind, "id")]
        return id

    @property
    def group(self) -> str:
        """The kind of records that it is stored with: versions are stored with their prompts."""
        return "prompt" if self.kind == "version" else self.kind


def plural(kind: str) -> str:
    """Return the name under which the records of a type are counted, such as `logs`."""
    return f"{kind}s"


def make_record(location: str, kind: str, fields: Mapping[str, Any]) -> Record:
    """Return a record of these fields, leaving out those that are None.

    The record is the same as if it had been written to an export and read from there. Raises Invalid if it cannot be.
    """
    present = {name: value for name, value in fields.items() if value is not None}
    try:
        # ASCII only, so that an unpaired surrogate passes the encoding and is reported with its field
        record = parse_line(json.dumps({"type": kind, **present}).encode(), location)
    except TypeError as error:
        raise invalid_record(location, {"": ["must consist of text, numbers and the like"]}) from error
    size = len(format_line(kind, present).encode("utf-8", "surrogatepass"))
    refuse_long_line(size, location)
    return record._replace(size=size)


def load_values(record: Record) -> dict[str, Any]:
    """Return the column values of a record. Raises Invalid with details named by location and field."""
    names = _FIELD_NAMES[record.kind]
    present = frozenset(names[key] for key in record.fields.keys() & names.keys())
    try:
        values: dict[str, Any] = load(_get_schema(record.kind, present), record.fields)
    except Invalid as error:
        raise invalid_record(record.location, error.details or {}) from error
    return values


def parse_line(data: bytes, location: str) -> Record:
    """Parse a line of an export. Raises Invalid unless it is a JSON object with a known `type`."""
    try:
        fields = jsonio.loads(data.rstrip(b"\r\n"))
    except jsonio.JsonError as error:
        # the line number of the JSON error is always 1: `location` has the number in the file
        reason = str(error).removeprefix("Invalid JSON at line 1, ").removesuffix(".")
        raise invalid_record(location, {"": [f"must be JSON ({reason})"]}, error.code) from error
    if not isinstance(fields, dict):
        raise invalid_record(location, {"": ["must be an object"]})
    kind = fields.pop("type", None)
    if kind not in (*KINDS, HEADER, END):
        raise invalid_record(location, UNKNOWN_TYPE_DETAILS)
    return Record(location, kind, fields, len(data))


def format_row(kind: str, row: Any, form: int = FORM) -> str:
    """Return a model instance as a line of an export of this form, without the attributes that are None."""
    present = frozenset(name for name in _FIELD_NAMES[kind].values() if getattr(row, name) is not None)
    fields = _get_schema(kind, present).dump(row)
    return format_line(kind, form_1.reduce(kind, fields, row) if form == form_1.VERSION else fields)


def format_line(kind: str, fields: Mapping[str, Any]) -> str:
    """Return a type and fields as a line of an export, with the line break."""
    return jsonio.dumps({"type": kind, **fields}) + "\n"


def get_max_line_bytes() -> int:
    """Return how many bytes a line may have, its line break included."""
    limit: int = current_app.config["MAX_BODY_BYTES"]
    return _MAX_LINE_BODIES * limit


def refuse_long_line(size: int, location: str) -> None:
    """Raise Invalid if a line of this many bytes is too long."""
    limit = get_max_line_bytes()
    if size > limit:
        raise invalid_record(location, {"": [f"must have at most {limit:,} bytes"]})


def invalid_record(location: str, details: Mapping[str, list[str]], code: str = "invalid_fields") -> Invalid:
    """Return the 400 for fields of a record; the field `""` means the record as a whole."""
    return Invalid(add_location(location, details), code)


def add_location(location: str, details: Mapping[str, list[str]]) -> Details:
    """Return the details with the location before the name of each field: `line 17.score`."""
    return {f"{location}.{field}" if field else location: reasons for field, reasons in details.items()}


@lru_cache(maxsize=256)
def _get_schema(kind: str, present: frozenset[str]) -> schemas.Line:
    """Return the schema of a type, reduced to the required and the present fields.

    Most records have few of the optional fields, and marshmallow spends time on each field of a schema.
    """
    schema = _SCHEMAS[kind]
    return type(schema)(only=[name for name in schema.fields if name in present or name in _REQUIRED[kind]])
