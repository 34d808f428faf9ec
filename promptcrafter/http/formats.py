"""The formats of a list: a JSON array, newline-delimited JSON, CSV and a Markdown table.

Each writer takes rows, as dicts, and column names, and yields text while it reads the rows. A column is a key of the
rows or a path of keys: `score.mean`. The JSON formats write whole rows and ignore the columns.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from promptcrafter.jsonio import dumps

Rows = Iterable[Mapping[str, Any]]
CSV = "text/csv"
BYTE_ORDER_MARK = "\ufeff"  # by which Excel recognises UTF-8
Write = Callable[[Rows, Sequence[str]], Iterator[str]]
_PIECE_CHARACTERS = 128 * 1024  # so that a page of a hundred outputs of 600 characters is one piece
_ROWS_AT_ONCE = 5  # per call of the JSON encoder, because starting it costs more than a small row
# What has a meaning in Markdown within a line. A `_` inside a word has none, and ids have many; `://` and `www.` would
# turn addresses into links
_MARKDOWN_SYNTAX = re.compile(r"[\\`*~<\[|&@]|(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?<=www)\.")
_LINE_BREAK = re.compile(r"\r\n|\r|\n")
_FORMULA_STARTS = (*"=+-@＝＋－＠", "\t", "\r", "\n")  # how formulas of a spreadsheet begin


def write_json(rows: Rows, columns: Sequence[str]) -> Iterator[str]:
    """Write one JSON array."""
    separator, remaining, count = "[", iter(rows), 1
    while batch := list(islice(remaining, count)):
        text = dumps(batch)[1:-1]
        del batch  # before the next rows are read: one may hold megabytes
        yield separator
        separator, count = ",", (_ROWS_AT_ONCE if len(text) < _PIECE_CHARACTERS else 1)
        yield text
        del text
    yield "]" if separator == "," else "[]"


def write_ndjson(rows: Rows, columns: Sequence[str]) -> Iterator[str]:
    """Write one JSON object per line (https://github.com/ndjson/ndjson-spec)."""
    for row in rows:
        yield dumps(row) + "\n"


def write_csv(rows: Rows, columns: Sequence[str]) -> Iterator[str]:
    """Write CSV (RFC 4180) with a header line.

    A missing value is an empty cell, an object or array is compact JSON, and a text that a spreadsheet would evaluate
    as a formula gets a `'` before it.
    """
    line = io.StringIO()
    writer = csv.writer(line)
    for cells in _cells(rows, columns, _to_csv_cell):
        writer.writerow(cells)
        yield line.getvalue()
        line.seek(0)
        line.truncate()


def write_markdown(rows: Rows, columns: Sequence[str]) -> Iterator[str]:
    """Write a Markdown table. Fractions are rounded to six digits, and a line break in a cell becomes `<br>`."""
    for number, cells in enumerate(_cells(rows, columns, _to_markdown_cell)):
        yield f"| {' | '.join(cells)} |\n"
        if number == 0:
            yield f"|{' --- |' * len(cells)}\n"


def escape_markdown(text: str) -> str:
    """Escape text so that Markdown, within a line, shows it unchanged."""
    return _MARKDOWN_SYNTAX.sub(r"\\\g<0>", text)


# The names in use for JSON lines; the first is the one that responses have unless the client asks for another
NDJSON_TYPES = (
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonl",
    "application/jsonlines",
    "application/x-jsonlines",
)
WRITERS: dict[str, Write] = {
    "application/json": write_json,
    NDJSON_TYPES[0]: write_ndjson,
    CSV: write_csv,
}


def join_to_pieces(lines: Iterable[str]) -> Iterator[str]:
    """Join lines into pieces of at least 128 Ki characters, but for the last, so that fewer chunks are sent."""
    piece, size = [], 0
    for line in lines:
        piece.append(line)
        size += len(line)
        if size >= _PIECE_CHARACTERS:
            yield "".join(piece)
            piece, size = [], 0
    yield "".join(piece)


def _cells(rows: Rows, columns: Sequence[str], to_cell: Callable[[Any], str]) -> Iterator[list[str]]:
    """Yield the header's cells, then those of each row, each value converted by `to_cell`."""
    yield [to_cell(name) for name in columns]
    paths = [name.split(".") for name in columns]
    for row in rows:
        yield [to_cell(_get_value(row, path)) for path in paths]


def _get_value(row: Mapping[str, Any], path: Sequence[str]) -> Any:
    value: Any = row
    for key in path:
        value = None if value is None else value.get(key)
    return value


def _to_csv_cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA_STARTS) else value
    return dumps(value)


def _to_markdown_cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(map(_to_markdown_cell, value))
    if isinstance(value, float):
        return f"{value:.6g}"
    return _LINE_BREAK.sub("<br>", escape_markdown(value if isinstance(value, str) else dumps(value)))
