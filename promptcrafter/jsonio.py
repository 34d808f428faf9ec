"""Strict reading and compact writing of JSON.

`loads` accepts RFC 8259 JSON in UTF-8 only; a byte order mark is ignored. NaN, duplicate keys, numbers beyond the range
of a double, nesting deeper than MAX_DEPTH and more than MAX_CONTAINERS arrays and objects raise JsonError. `dumps`
writes compact JSON without escaping non-ASCII characters. `find_unstorable_text` finds what JSON allows in a string but
SQLite or PostgreSQL cannot store: NUL and lone surrogates.
"""

import codecs
import json
import math
import re
import sys
from array import array
from collections.abc import Iterator
from itertools import accumulate
from typing import Any, NoReturn

from promptcrafter.text import shorten

MAX_DEPTH = 100  # levels of arrays and objects; reading and writing are recursive
MAX_CONTAINERS = 250_000  # arrays and objects of a body or line; each takes up to 100 bytes of memory and a microsecond
# Made once, because json.dumps makes an encoder at each call that has options
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_PIECE_BYTES = 64 * 1024
_HINT = " It seems to be UTF-16 or UTF-32."
_ZEROS_OF_UTF_16 = ([True, False, True, False], [False, True, False, True])
# Possessive repetitions (`*+`) keep no state to go back to: otherwise a string needs a hundred times its size in memory
_OUTSIDE_STRINGS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|(NaN|-?Infinity)')
_STEPS = bytes.maketrans(b"[{]}", bytes([1, 1, 255, 255]))  # as signed bytes: one level down or up
_NO_STEPS = bytes(set(range(256)) - set(b"[{]}"))


class JsonError(ValueError):
    """The data is not acceptable JSON. `code` identifies the broken rule, as in the body of an error response."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class _ConstantError(ValueError):
    """The parser has met NaN or an infinity, which is the text of the error."""


def loads(data: bytes, *, max_containers: int = MAX_CONTAINERS, max_values: int = sys.maxsize) -> Any:
    """Parse UTF-8 JSON with at most `max_containers` arrays and objects. Raises JsonError.

    `max_values` limits these together with the commas, for bodies that are large enough to have millions of texts.

    It is raised here, not where the parser's error is caught: that one would be its context, and holds the whole text.
    """
    parsed = _try_loads(data, max_containers, max_values)
    if isinstance(parsed, JsonError):
        try:
            raise parsed
        finally:
            del parsed  # its traceback refers to this frame: such a cycle would keep the text until it is collected
    return parsed


def _try_loads(data: bytes, max_containers: int, max_values: int) -> Any:
    """Return the parsed JSON, or the JsonError."""
    is_simple = data.count(b"[") + data.count(b"{") <= MAX_DEPTH and len(data) <= max_values
    if not is_simple and (excess := _find_excess(data, max_containers, max_values)):
        return excess
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        hint = _HINT if _is_utf_16(data) else ""
        return JsonError(f"The body is not UTF-8: byte {error.start + 1} is invalid.{hint}", "invalid_utf8")
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        return _not_utf_8() if _is_utf_16(data) else _invalid(text, error.pos, error.msg)
    except _ConstantError as error:
        position = next((found.start() for found in _OUTSIDE_STRINGS.finditer(text) if found.group(1)), 0)
        return _invalid(text, position, f"{error} is not a JSON number")
    except JsonError as error:
        return JsonError(str(error), error.code)
    except ValueError:  # int() raises it for more digits than sys.get_int_max_str_digits()
        return JsonError("A number in the JSON has too many digits.", "number_out_of_range")


def dumps(value: Any) -> str:
    """Return compact JSON; characters beyond ASCII are not escaped. Raises ValueError for NaN and infinity."""
    return _ENCODER.encode(value)


def find_unstorable_text(value: Any) -> str | None:
    """Return why text in a decoded value cannot be stored, as the rest of a sentence; None if all of it can."""
    if isinstance(value, str):
        return _find_unstorable(value)
    # the encoder takes a tenth of the time of a walk in Python; it escapes NUL
    if "\\u0000" not in (written := dumps(value)) and _find_unstorable(written) is None:
        return None
    return next((reason for text in _strings(value) if (reason := _find_unstorable(text))), None)


def _find_unstorable(text: str) -> str | None:
    """Return why a string cannot be stored, None if it can."""
    if "\x00" in text:
        return "must not contain the NUL character (U+0000)"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return f"must not contain a lone surrogate (U+{ord(text[error.start]):04X})"
    return None


def refuse_utf_16(data: bytes) -> None:
    """Raise JsonError for UTF-16 and UTF-32."""
    if _is_utf_16(data):
        raise _not_utf_8()


def _is_utf_16(data: bytes) -> bool:
    """Return whether the data begins like UTF-16 or UTF-32: with a mark, or with a zero in each ASCII character."""
    has_mark = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE))
    return has_mark or [byte == 0 for byte in data[:4]] in _ZEROS_OF_UTF_16


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object of these pairs. Raises JsonError for a duplicate key."""
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise JsonError(
                    f"The JSON has the key {json.dumps(shorten(key))} twice in one object.", "duplicate_key"
                )
            seen.add(key)
    return result


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise JsonError(f"The number {text[:40]} is too large.", "number_out_of_range")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise _ConstantError(name)


def _invalid(text: str, position: int, reason: str) -> JsonError:
    """Return the error at this position (0-based, in characters), with its line and column."""
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    return JsonError(f"Invalid JSON at line {line}, column {column}: {reason}.", "invalid_json")


def _not_utf_8() -> JsonError:
    return JsonError(f"The body is not UTF-8.{_HINT}", "invalid_utf8")


def _find_excess(data: bytes, max_containers: int, max_values: int) -> JsonError | None:
    """Return the error if JSON has too many levels of arrays and objects, or too many of these or of values; else None.

    It counts the brackets outside strings before the text is parsed, because a million values take a second to make and
    to visit. If the data is not JSON, any error will do.
    """
    containers = values = level = 0
    is_in_string = False
    for piece in _each_piece(data):
        # what escapes a quotation mark stands in strings only, of which every second part of the piece is one then
        parts = piece.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
        outside = b"".join(parts[is_in_string::2])
        is_in_string ^= len(parts) % 2 == 0
        steps = array("b", outside.translate(_STEPS, _NO_STEPS))
        opened = steps.count(1)
        containers += opened
        values += opened + outside.count(b",")
        if containers > max_containers:
            return JsonError(f"The JSON has more than {max_containers:,} arrays and objects.", "too_many_values")
        if values > max_values:
            return JsonError(f"The JSON has more than {max_values:,} values.", "too_many_values")
        levels = list(accumulate(steps, initial=level))
        level = levels[-1]
        if max(levels) > MAX_DEPTH:
            return JsonError(f"The JSON is nested deeper than {MAX_DEPTH} levels.", "nested_too_deeply")
    return None


def _each_piece(data: bytes) -> Iterator[bytes]:
    """Yield pieces of about `_PIECE_BYTES`, none of which ends within an escape."""
    start = 0
    while start < len(data):
        piece = data[start : start + _PIECE_BYTES]
        backslashes = len(piece) - len(piece.rstrip(b"\\"))
        end = start + len(piece)
        if backslashes % 2 and len(piece) > 1 and end < len(data):
            end -= 1
        yield data[start:end]
        start = end


# Made once, because json.loads makes a decoder at each call that has options
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant, parse_float=_float)


def is_same(value: Any, other: Any) -> bool:
    """Return whether two decoded values are the same JSON; the order of keys has no meaning."""
    if isinstance(value, str) and isinstance(other, str):
        return value == other
    # as text, because Python's True equals 1 and 1.0
    return json.dumps(value, sort_keys=True) == json.dumps(other, sort_keys=True)


def count_levels(value: Any) -> int:
    """Return how many levels of arrays and objects a decoded value has, 0 for a text or a number."""
    levels, containers = 0, [value]
    while containers := [item for item in containers if isinstance(item, list | dict)]:
        levels += 1
        containers = [part for item in containers for part in (item.values() if isinstance(item, dict) else item)]
    return levels


def _strings(value: Any) -> Iterator[str]:
    """Yield every string in a decoded value, keys included."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            yield from item
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)
