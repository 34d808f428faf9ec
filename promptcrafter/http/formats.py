"""The formats of a list: a JSON array, newline-delimited JSON, CSV and a Markdown table.

Each writer takes rows, as dicts, and column names, and yields text while it reads the rows. A column is a key of the
rows or a path of keys: `score.mean`. The JSON formats write whole rows and ignore the columns.
"""

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
_MARKDOWN_CELL_MAX = 100_000  # characters
# What has a meaning in Markdown within a line. A `_` inside a word has none, and ids have many. Renderers make links of
# what begins with `//` or `www.`, and some of every name like `a.b`
_MARKDOWN_SYNTAX = re.compile(
    r"[\\`*~<\[|&@]|(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?<!:)/(?=/)|(?i:(?<=www)\.)|\.(?=[^\W\d_])"
)
# GitHub's renderer looks for e-mail addresses after it has removed the backslashes
_MARKDOWN_EMAIL = re.compile(r"(?<=[\w.+:-])\\@(?=[\w.\\-])")
# What has a meaning at the beginning of a line: of a heading, a list, a quotation, a line below a heading or of a table
_MARKDOWN_LINE_START = re.compile(r"\A(?:[#+=:>-]|[0-9]+(?=[.)]))")
_BLANKS = " \t\xa0"  # which are dropped from the beginning or the end of a line
_LINE_BREAK = re.compile(r"\r\n|\r|\n")
# Where a spreadsheet would evaluate a text as a formula: at its beginning and, since a program may take another
# character than the comma for the separator and then sees no quotes, after each separator and line break in it
_FORMULA_STARTS = (*"=+-@＝＋－＠", "\t", "\r", "\n")
_FORMULA = re.compile(r'([;|\t\r\n]"*)(?=[=+\-@＝＋－＠])')
_FORMULA_IN_JSON = re.compile(r"(?<=[;|])[=+\-@＝＋－＠]")


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

    A missing value is an empty cell. Every other cell is in quotes, an object or array as compact JSON, and nothing in
    a text can become a formula of a spreadsheet: see `_FORMULA`.
    """
    yield ",".join(columns) + "\r\n"
    for values in _values(rows, columns):
        yield ",".join(map(_to_csv_cell, values)) + "\r\n"


def write_markdown(rows: Rows, columns: Sequence[str]) -> Iterator[str]:
    """Write a Markdown table. Fractions are rounded to six digits, and a line break in a cell becomes `<br>`.

    A longer text than `_MARKDOWN_CELL_MAX` is cut.
    """
    yield _write_markdown_row(columns)
    yield f"|{' --- |' * len(columns)}\n"
    for values in _values(rows, columns):
        yield _write_markdown_row(map(_to_markdown_cell, values))


def _write_markdown_row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def escape_markdown(text: str) -> str:
    """Escape text so that Markdown, within a line, shows it unchanged and without links."""
    return _MARKDOWN_EMAIL.sub("<!-- -->@", _MARKDOWN_SYNTAX.sub(r"\\\g<0>", text))


def escape_markdown_start(text: str) -> str:
    """Escape text at the beginning of a line, where more has a meaning than within it."""
    escaped = escape_markdown(text)
    if text[:1] in _BLANKS:
        return _to_reference(escaped[:1]) + escaped[1:]
    start = _MARKDOWN_LINE_START.match(escaped)
    if start is None:
        return escaped
    at = start.end() if escaped[0].isdigit() else 0
    return f"{escaped[:at]}\\{escaped[at:]}"


def split_lines(text: str) -> list[str]:
    """Split a text at its line breaks, with or without a carriage return; they have the same meaning in Markdown."""
    return _LINE_BREAK.split(text)


def keep_blank_at_end(escaped: str) -> str:
    """Return escaped text so that a blank at its end is kept at the end of a line."""
    return escaped[:-1] + _to_reference(escaped[-1:]) if escaped[-1:] in _BLANKS else escaped


def _to_reference(blank: str) -> str:
    return f"&#{ord(blank)};" if blank else ""


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


def _values(rows: Rows, columns: Sequence[str]) -> Iterator[list[Any]]:
    """Yield the values of each row's columns."""
    paths = [name.split(".") for name in columns]
    for row in rows:
        yield [_get_value(row, path) for path in paths]


def _get_value(row: Mapping[str, Any], path: Sequence[str]) -> Any:
    value: Any = row
    for key in path:
        value = None if value is None else value.get(key)
    return value


def _to_csv_cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        text = _FORMULA.sub(r"\1'", value) if _FORMULA.search(value) else value
        text = f"'{text}" if value.startswith(_FORMULA_STARTS) else text
    else:
        text = _FORMULA_IN_JSON.sub(_escape_json, dumps(value))
    doubled = text.replace('"', '""')
    return f'"{doubled}"'


def _escape_json(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def _to_markdown_cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(map(_to_markdown_cell, value))
    if isinstance(value, float):
        return f"{value:.6g}"
    text = value if isinstance(value, str) else dumps(value)
    omitted = len(text) - _MARKDOWN_CELL_MAX
    more = f" … and {omitted:,} more characters" if omitted > 0 else ""
    return _LINE_BREAK.sub("<br>", escape_markdown(text[:_MARKDOWN_CELL_MAX])) + more
