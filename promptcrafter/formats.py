"""The forms a list can leave in: a JSON array, a JSON object a line, or CSV. Each yields its text row by row."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from promptcrafter.jsonio import dumps

Rows = Iterable[Mapping[str, Any]]
Write = Callable[[Rows, Sequence[str]], Iterator[str]]
_PIECE_CHARACTERS = 64 * 1024
_RUNNABLE = ("=", "+", "-", "@", "\t", "\r")  # what makes a spreadsheet take a cell for a formula


def write_json(rows: Rows, columns: Sequence[str]) -> Iterator[str]:
    """Write one JSON array."""
    separator = "["
    for row in rows:
        yield separator + dumps(row)
        separator = ","
    yield "]" if separator == "," else "[]"


def write_ndjson(rows: Rows, columns: Sequence[str]) -> Iterator[str]:
    """Write a JSON object a line (https://github.com/ndjson/ndjson-spec)."""
    for row in rows:
        yield dumps(row) + "\n"


def write_csv(rows: Rows, columns: Sequence[str]) -> Iterator[str]:
    """Write CSV (RFC 4180) under a line of the columns' names.

    What a row has not got is an empty cell, objects and arrays are compact JSON, and a text that a spreadsheet would
    run as a formula has a `'` before it.
    """
    line = io.StringIO()
    writer = csv.writer(line)
    for cells in _cells(rows, columns):
        writer.writerow(cells)
        yield line.getvalue()
        line.seek(0)
        line.truncate()


WRITERS: dict[str, Write] = {
    "application/json": write_json,
    "application/x-ndjson": write_ndjson,
    "text/csv": write_csv,
}


def join_to_pieces(lines: Iterable[str]) -> Iterator[str]:
    """Join lines to pieces of some tens of kilobytes or one line."""
    piece, size = [], 0
    for line in lines:
        piece.append(line)
        size += len(line)
        if size >= _PIECE_CHARACTERS:
            yield "".join(piece)
            piece, size = [], 0
    yield "".join(piece)


def _cells(rows: Rows, columns: Sequence[str]) -> Iterator[list[str]]:
    yield list(columns)
    for row in rows:
        yield [_cell(row.get(name)) for name in columns]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_RUNNABLE) else value
    return dumps(value)
