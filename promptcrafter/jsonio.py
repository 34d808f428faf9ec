"""JSON in and out, strictly.

What is read is RFC 8259 JSON in UTF-8 and nothing more: NaN, duplicate keys and absurd nesting are
refused, and so are NUL and lone surrogates inside strings, which one database or the other could not
keep. What is written is compact UTF-8 with every character as itself.
"""

import json
import math
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from flask.json.provider import JSONProvider

MAX_DEPTH = 100  # levels of arrays and objects; both reading and writing recurse
_OUTSIDE_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"|(NaN|-?Infinity)')


class JsonError(ValueError):
    """The bytes are not JSON that can be kept.

    `code` names the rule for machines; `path` is where in the value a string breaks it, else empty.
    """

    def __init__(self, message: str, code: str, path: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.path = path


def loads(data: bytes) -> Any:
    """Parse UTF-8 JSON. Raises JsonError."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise JsonError(f"The body is not UTF-8: byte {error.start + 1} is invalid.", "invalid_utf8") from error
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=lambda name: _refuse_constant(name, text),
            parse_float=_float,
        )
    except json.JSONDecodeError as error:
        raise JsonError(_located(text, error.pos, error.msg), "invalid_json") from error
    except RecursionError:
        raise _too_deep() from None
    except JsonError:
        raise
    except ValueError as error:  # int() refuses more digits than sys.get_int_max_str_digits()
        raise JsonError("A number in the JSON has too many digits.", "number_out_of_range") from error
    for path, string in _strings(value):
        check_text(string, path)
    return value


def dumps(value: Any) -> str:
    """Write compact JSON; characters beyond ASCII stand as themselves."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def check_text(text: str, path: str = "") -> None:
    """Raise JsonError when `text` holds a NUL or half of a surrogate pair."""
    if "\x00" in text:
        raise JsonError("must not contain the NUL character (U+0000)", "nul_character", path)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        codepoint = f"U+{ord(text[error.start]):04X}"
        raise JsonError(f"must not contain a lone surrogate ({codepoint})", "lone_surrogate", path) from error


class Provider(JSONProvider):
    """Flask's way to this module."""

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        return dumps(obj)

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        return loads(s.encode("utf-8") if isinstance(s, str) else s)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise JsonError(f"The JSON has the key {json.dumps(key)} twice in one object.", "duplicate_key")
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
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    return f"Invalid JSON at line {line}, column {column}: {reason}."


def _too_deep() -> JsonError:
    return JsonError(f"The JSON is nested deeper than {MAX_DEPTH} levels.", "nested_too_deeply")


def _strings(value: Any) -> Iterator[tuple[str, str]]:
    """Yield every string in a decoded value, keys included, with the path to it. Raises JsonError past MAX_DEPTH."""
    pending: list[tuple[str, Any, int]] = [("", value, 0)]
    while pending:
        path, item, depth = pending.pop()
        if isinstance(item, str):
            yield path, item
        elif isinstance(item, dict | list):
            if depth >= MAX_DEPTH:
                raise _too_deep()
            if isinstance(item, dict):
                for key, child in item.items():
                    yield path, key
                    if not isinstance(child, int | float | None):
                        pending.append((f"{path}.{key}" if path else key, child, depth + 1))
            else:
                pending.extend((f"{path}[{index}]", child, depth + 1) for index, child in enumerate(item))
