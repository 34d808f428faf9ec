"""The form of an export: NDJSON, one typed object a line, and a line before and after that say what it is.

The first line names the form and its version. The last one counts the others, so that a file that was cut short, if
only between two lines, is known as such. Nothing in it differs from server to server.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, BinaryIO, NamedTuple

from flask import current_app

from promptcrafter import jsonio
from promptcrafter.http.blueprint import load
from promptcrafter.problems import Details, Invalid
from promptcrafter.transfer import schemas

BEGIN, END = "export", "end"
HEADER = {"format": "promptcrafter", "version": 1}
# In the order in which they leave: what is referred to before what refers
KINDS = ("prompt", "version", "experiment", "trace", "log")
_OTHER_TYPE = {"type": [f"must be one of {', '.join(KINDS)}"]}
# Of the largest body that the API takes: one makes a log and another its notes, and a number may leave longer than it
# came, as `1E15` does
_LONGEST = 5
_EMPTY_MAX = 1000  # lines
_SCHEMAS: dict[str, schemas.Line] = {
    BEGIN: schemas.HeaderLine(),
    "prompt": schemas.PromptLine(),
    "version": schemas.VersionLine(),
    "experiment": schemas.ExperimentLine(),
    "trace": schemas.TraceLine(),
    "log": schemas.LogLine(),
    END: schemas.EndLine(),
}
_NAMES = {
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
        line = _read_object(json.dumps({"type": kind, **known}).encode(), place)
    except TypeError as error:
        raise fault(place, {"": ["must consist of text, numbers and the like"]}) from error
    size = len(_write_line(kind, known).encode("utf-8", "surrogatepass"))
    _refuse_long(size, place)
    return line._replace(size=size)


def write(rows: Iterable[tuple[str, Any]]) -> Iterator[str]:
    """Write rows, each with its type, between first and last line."""
    yield _write_line(BEGIN, HEADER)
    counts = dict.fromkeys(KINDS, 0)
    for kind, row in rows:
        counts[kind] += 1
        known = frozenset(name for name in _NAMES[kind].values() if getattr(row, name) is not None)
        yield _write_line(kind, _narrow(kind, known).dump(row))
    yield _write_line(END, {count_name(kind): count for kind, count in counts.items()})


def read(file: BinaryIO) -> Iterator[Record]:
    """Yield the lines between first and last, as they are.

    Raises Invalid about a line that is too long or no typed object, and when the first or last one is missing or wrong.
    """
    lines = _read_objects(file)
    line = next(lines, Record("line 1", "", {}, 0))
    _refuse_other_forms(line)
    counts: Counter[str] = Counter()
    for line in lines:
        if line.kind == END:
            break
        if line.kind == BEGIN:
            raise fault(line.place, _OTHER_TYPE)
        counts[count_name(line.kind)] += 1
        yield line
    if line.kind != END:
        raise fault(line.place, {"": [f"must be followed by more: the file ends without its {END} line"]})
    _compare(load_fields(line), counts, line.place)
    for line in lines:
        raise fault(line.place, {"": [f"must not stand behind the {END} line"]})


def load_fields(line: Record) -> dict[str, Any]:
    """Return a line's fields as columns. Raises Invalid naming line and fields."""
    names = _NAMES[line.kind]
    known = frozenset(names[key] for key in line.fields.keys() & names.keys())
    try:
        loaded: dict[str, Any] = load(_narrow(line.kind, known), line.fields)
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
def _narrow(kind: str, names: frozenset[str]) -> schemas.Line:
    """Return a type's schema with these fields and those required: most lines have few of the many there are."""
    schema = _SCHEMAS[kind]
    return type(schema)(only=[name for name in schema.fields if name in names or name in _REQUIRED[kind]])


def _write_line(kind: str, fields: Mapping[str, Any]) -> str:
    return jsonio.dumps({"type": kind, **fields}) + "\n"


def _read_objects(file: BinaryIO) -> Iterator[Record]:
    """Yield every line but empty ones, of which there may be some, not millions: each takes its time."""
    longest, number, empty = _longest(), 0, 0
    while data := file.readline(longest + 1):
        number += 1
        if data.strip():
            _refuse_long(len(data), f"line {number}")
            yield _read_object(data, f"line {number}")
            continue
        empty += 1
        if empty > _EMPTY_MAX or len(data) > longest:
            raise fault(f"line {number}", {"": [f"must not be empty, as {_EMPTY_MAX:,} before it are"]})


def _refuse_long(size: int, place: str) -> None:
    if size > _longest():
        raise fault(place, {"": [f"must have at most {_longest():,} bytes"]})


def _longest() -> int:
    """Return the bytes that a line, with its end, may have."""
    limit: int = current_app.config["MAX_BODY_BYTES"]
    return _LONGEST * limit


def _read_object(data: bytes, place: str) -> Record:
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
        raise fault(place, _OTHER_TYPE)
    return Record(place, kind, fields, len(data))


def _refuse_other_forms(line: Record) -> None:
    if line.kind != BEGIN:
        raise fault(line.place, {"type": [f"must be {BEGIN}, as in the first line of every export"]})
    version = load_fields(line)["version"]
    if version != HEADER["version"]:
        raise fault(line.place, {"version": [f"must be {HEADER['version']}, which is what this release reads"]})


def _compare(told: Mapping[str, int], counts: Mapping[str, int], place: str) -> None:
    found = {name: counts.get(name, 0) for name in told}
    wrong = {name: [f"must be {count}, for so many there are"] for name, count in found.items() if told[name] != count}
    if wrong:
        raise fault(place, wrong)
