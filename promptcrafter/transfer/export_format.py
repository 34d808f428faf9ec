"""The export format: NDJSON, with a header line, one record a line, and an end line.

The header names the format and its version. The end line counts the records of each type, so that a file that was cut
off between two lines is recognised. Nothing in the file depends on the server that wrote it.
"""

import codecs
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO

from promptcrafter.transfer import form_1
from promptcrafter.transfer.records import (
    END,
    FORM,
    FORMS,
    HEADER,
    KINDS,
    UNKNOWN_TYPE_DETAILS,
    Record,
    format_line,
    format_row,
    get_max_line_bytes,
    invalid_record,
    load_values,
    parse_line,
    plural,
    refuse_long_line,
)

_FORMAT = "promptcrafter"
_ALWAYS_COUNTED = tuple(kind for kind in KINDS if kind != "span")  # releases that have no spans refuse their number
_MAX_EMPTY_LINES = 1000


def write_lines(rows: Iterable[tuple[str, Any]], form: int = FORM) -> Iterator[str]:
    """Yield the lines of an export of these rows, each a type and a model instance (see `store.each_row`)."""
    yield format_line(HEADER, {"format": _FORMAT, "version": form})
    counts = dict.fromkeys(form_1.KINDS if form == form_1.VERSION else _ALWAYS_COUNTED, 0)
    for kind, row in rows:
        counts[kind] = counts.get(kind, 0) + 1
        yield format_row(kind, row, form)
    yield format_line(END, {plural(kind): count for kind, count in counts.items()})


def read_records(file: BinaryIO) -> Iterator[Record]:
    """Yield the records of an export, without its header and end. Their fields are not validated yet.

    Raises Invalid for a line that is too long or not an object with a known type, for a missing or wrong header or end,
    and for numbers in the end line that differ from the actual ones.
    """
    records = _parse_lines(file)
    record = next(records, Record("line 1", "", {}, 0))
    form = _read_form(record)
    counts: Counter[str] = Counter()
    for record in records:
        if record.kind == END:
            break
        if record.kind == HEADER:
            raise invalid_record(record.location, UNKNOWN_TYPE_DETAILS)
        if form == form_1.VERSION and record.kind not in form_1.KINDS:
            raise invalid_record(record.location, {"type": [f"must not be {record.kind} in a file of version {form}"]})
        counts[plural(record.kind)] += 1
        yield record._replace(form=form)
    if record.kind != END:
        raise invalid_record(record.location, {"": [f"must be followed by more: the file ends without its {END} line"]})
    _check_counts(load_values(record), counts, record.location)
    for record in records:
        raise invalid_record(record.location, {"": [f"must not stand behind the {END} line"]})


def _parse_lines(file: BinaryIO) -> Iterator[Record]:
    """Yield each line as a record. Empty lines are skipped, but limited in number: a file of millions costs time."""
    limit, number, empty = get_max_line_bytes(), 0, 0
    while data := file.readline(limit + 1):
        number += 1
        data = data.removeprefix(codecs.BOM_UTF8) if number == 1 else data
        if data.strip():
            refuse_long_line(len(data), f"line {number}")
            yield parse_line(data, f"line {number}")
            continue
        empty += 1
        if empty > _MAX_EMPTY_LINES or len(data) > limit:
            raise invalid_record(f"line {number}", {"": [f"must not be empty, as {_MAX_EMPTY_LINES:,} before it are"]})


def _read_form(record: Record) -> int:
    """Return the form of the file that the header states. Raises Invalid."""
    if record.kind != HEADER:
        raise invalid_record(record.location, {"type": [f"must be {HEADER}, as in the first line of every export"]})
    form: int = load_values(record)["version"]
    if form not in FORMS:
        readable = " or ".join(map(str, FORMS))
        raise invalid_record(record.location, {"version": [f"must be {readable}, which is what this release reads"]})
    return form


def _check_counts(stated: Mapping[str, int], found: Mapping[str, int], location: str) -> None:
    """Raise Invalid if the end line states another number of records of a type than were found."""
    wrong = {
        name: [f"must be {found.get(name, 0)}, for so many there are"]
        for name, count in stated.items()
        if count != found.get(name, 0)
    }
    if wrong:
        raise invalid_record(location, wrong)
