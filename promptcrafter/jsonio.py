"""Strict reading and compact writing of JSON.

`loads` accepts RFC 8259 JSON in UTF-8 only; a byte order mark is ignored. NaN, duplicate keys, numbers beyond the range
of a double and nesting deeper than MAX_DEPTH raise JsonError. `dumps` writes compact JSON without escaping non-ASCII
characters. `find_unstorable_text` finds what JSON allows in a string but SQLite or PostgreSQL cannot store: NUL and
lone surrogates.
"""

import codecs
import json
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

from promptcrafter.text import shorten

MAX_DEPTH = 100  # levels of arrays and objects; reading and writing are recursive
# Made once, because json.dumps makes an encoder at each call that has options
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_HINT = " It seems to be UTF-16 or UTF-32."
_ZEROS_OF_UTF_16 = ([True, False, True, False], [False, True, False, True])
_OUTSIDE_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"|(NaN|-?Infinity)')


class JsonError(ValueError):
    """The data is not acceptable JSON. `code` identifies the broken rule, as in the body of an error response."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


def loads(data: bytes) -> Any:
    """Parse UTF-8 JSON. Raises JsonError."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        hint = _HINT if _is_utf_16(data) else ""
        raise JsonError(f"The body is not UTF-8: byte {error.start + 1} is invalid.{hint}", "invalid_utf8") from error
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=lambda name: _refuse_constant(name, text),
            parse_float=_float,
        )
    except json.JSONDecodeError as error:
        refuse_utf_16(data)
        raise JsonError(_located(text, error.pos, error.msg), "invalid_json") from error
    except RecursionError:
        raise _too_deep() from None
    except JsonError:
        raise
    except ValueError as error:  # int() raises it for more digits than sys.get_int_max_str_digits()
        raise JsonError("A number in the JSON has too many digits.", "number_out_of_range") from error
    if _is_deep(value):
        raise _too_deep()
    return value


def dumps(value: Any) -> str:
    """Return compact JSON; characters beyond ASCII are not escaped. Raises ValueError for NaN and infinity."""
    return _ENCODER.encode(value)


def find_unstorable_text(value: Any) -> str | None:
    """Return why text in a decoded value cannot be stored, as the rest of a sentence; None if all of it can."""
    if isinstance(value, str):
        return _find_unstorable(value)
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
        raise JsonError(f"The body is not UTF-8.{_HINT}", "invalid_utf8")


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


def _refuse_constant(name: str, text: str) -> NoReturn:
    position = next((m.start() for m in _OUTSIDE_STRINGS.finditer(text) if m.group(1)), 0)
    raise JsonError(_located(text, position, f"{name} is not a JSON number"), "invalid_json")


def _located(text: str, position: int, reason: str) -> str:
    """Return the message of an error at this position (0-based, in characters), with its line and column."""
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    return f"Invalid JSON at line {line}, column {column}: {reason}."


def _too_deep() -> JsonError:
    return JsonError(f"The JSON is nested deeper than {MAX_DEPTH} levels.", "nested_too_deeply")


def _is_deep(value: Any) -> bool:
    """Return whether a value has more than MAX_DEPTH levels of arrays and objects; does not recurse."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for item in level for child in _children(item) if isinstance(child, dict | list)]
        if not level:
            return False
    return True


def _strings(value: Any) -> Iterator[str]:
    """Yield every string in a decoded value, keys included."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            yield from item
        pending.extend(_children(item))


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
