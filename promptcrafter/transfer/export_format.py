"""The form of an export: NDJSON, one typed object a line, and a line before and after that say what it is.

The first line names the form and its version. The last one counts the others, so that a file that was cut short, if
only between two lines, is known as such. Nothing in it differs from server to server.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO

from promptcrafter.transfer.records import (
    BEGIN,
    END,
    KINDS,
    NAMES,
    OTHER_TYPE,
    Record,
    count_name,
    fault,
    load_fields,
    longest,
    narrow,
    read_object,
    refuse_long,
    write_line,
)

HEADER = {"format": "promptcrafter", "version": 1}
_EMPTY_MAX = 1000  # lines


def write(rows: Iterable[tuple[str, Any]]) -> Iterator[str]:
    """Write rows, each with its type, between first and last line."""
    yield write_line(BEGIN, HEADER)
    counts = dict.fromkeys(KINDS, 0)
    for kind, row in rows:
        counts[kind] += 1
        known = frozenset(name for name in NAMES[kind].values() if getattr(row, name) is not None)
        yield write_line(kind, narrow(kind, known).dump(row))
    yield write_line(END, {count_name(kind): count for kind, count in counts.items()})


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
            raise fault(line.place, OTHER_TYPE)
        counts[count_name(line.kind)] += 1
        yield line
    if line.kind != END:
        raise fault(line.place, {"": [f"must be followed by more: the file ends without its {END} line"]})
    _compare(load_fields(line), counts, line.place)
    for line in lines:
        raise fault(line.place, {"": [f"must not stand behind the {END} line"]})


def _read_objects(file: BinaryIO) -> Iterator[Record]:
    """Yield every line but empty ones, of which there may be some, not millions: each takes its time."""
    limit, number, empty = longest(), 0, 0
    while data := file.readline(limit + 1):
        number += 1
        if data.strip():
            refuse_long(len(data), f"line {number}")
            yield read_object(data, f"line {number}")
            continue
        empty += 1
        if empty > _EMPTY_MAX or len(data) > limit:
            raise fault(f"line {number}", {"": [f"must not be empty, as {_EMPTY_MAX:,} before it are"]})


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
