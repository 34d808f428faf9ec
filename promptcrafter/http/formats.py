"""The forms a list can leave in: a JSON array, a JSON object a line, CSV, or a Markdown table.

Each yields its text as the rows come. A column is a key of the rows, or a path of keys: `score.mean`.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from promptcrafter.jsonio import dumps

Rows = Iterable[Mapping[str, Any]]
Write = Callable[[Rows, Sequence[str]], Iterator[str]]
_PIECE_CHARACTERS = 128 * 1024  # a page of a hundred outputs of 600 characters is one piece
_ROWS_AT_ONCE = 5  # of JSON: to begin takes longer than a row does, and each may hold a mebibyte of text
# What Markdown takes for more than itself within a line; ids are full of `_`, which inside a word is itself
# and addresses become links
_MEANINGFUL = re.compile(r"[\\`*~<\[|&@]|(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?<=www)\.")
_BREAK = re.compile(r"\r\n|\r|\n")
_RUNNABLE = (*"=+-@＝＋－＠", "\t", "\r", "\n")  # what makes a spreadsheet take a cell for a formula


def write_json(rows: Rows, columns: Sequence[str]) -> Iterator[str]:
    """Write one JSON array."""
    separator, rest = "[", iter(rows)
    while some := list(islice(rest, _ROWS_AT_ONCE)):
        yield separator + dumps(some)[1:-1]
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
    for cells in _cells(rows, columns, _cell):
        writer.writerow(cells)
        yield line.getvalue()
        line.seek(0)
        line.truncate()


def write_markdown(rows: Rows, columns: Sequence[str]) -> Iterator[str]:
    """Write a table for people: fractions are rounded to six digits, and a line break in a cell is `<br>`."""
    for number, cells in enumerate(_cells(rows, columns, _shown)):
        yield f"| {' | '.join(cells)} |\n"
        if number == 0:
            yield f"|{' --- |' * len(cells)}\n"


def escape_markdown(text: str) -> str:
    """Return text that Markdown shows as it is, within a line."""
    return _MEANINGFUL.sub(r"\\\g<0>", text)


WRITERS: dict[str, Write] = {
    "application/json": write_json,
    "application/x-ndjson": write_ndjson,
    "text/csv": write_csv,
}


def join_to_pieces(lines: Iterable[str]) -> Iterator[str]:
    """Join lines to pieces of more than a hundred kilobytes or one line."""
    piece, size = [], 0
    for line in lines:
        piece.append(line)
        size += len(line)
        if size >= _PIECE_CHARACTERS:
            yield "".join(piece)
            piece, size = [], 0
    yield "".join(piece)


def _cells(rows: Rows, columns: Sequence[str], show: Callable[[Any], str]) -> Iterator[list[str]]:
    """Yield the columns' names, then the cells of each row."""
    yield [show(name) for name in columns]
    paths = [name.split(".") for name in columns]
    for row in rows:
        yield [show(_find(row, path)) for path in paths]


def _find(row: Mapping[str, Any], path: Sequence[str]) -> Any:
    value: Any = row
    for key in path:
        value = None if value is None else value.get(key)
    return value


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_RUNNABLE) else value
    return dumps(value)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    if isinstance(value, float):
        return f"{value:.6g}"
    return _BREAK.sub("<br>", escape_markdown(value if isinstance(value, str) else dumps(value)))
