"""Reading the values of attributes, which are JSON values, whatever type a sender has chosen for them. Pure functions.

Every function takes any values, in a time that is linear in their size.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from promptcrafter import jsonio
from promptcrafter.dialects.otlp.spans import Attributes

INDEX_MAX = 1000  # of the numbers in flattened names such as `llm.input_messages.3.message.content`
NESTING_MAX = 16  # levels of a flattened name
LEVELS_MAX = 50  # levels of the JSON in a text: whatever it is put into stays below `jsonio.MAX_DEPTH`
COUNT_MAX = 2**53
_NUMBER_MAX = 50  # characters of a number
_ESCAPES = ("\\u0000", "\\ud", "\\uD")  # of NUL and of surrogates, which no database stores


def read_json(value: Any) -> Any:
    """Return the object or array that a text holds as JSON; any other value, and any other text, unchanged."""
    return _parse(value) if isinstance(value, str) and value[:1] in ("{", "[") else value


def read_quoted(value: Any) -> Any:
    """Return the object, array or string that a text holds as JSON; any other value, and any other text, unchanged.

    For senders that write every value as JSON, strings included.
    """
    return _parse(value) if isinstance(value, str) and value[:1] in ("{", "[", '"') else value


def _parse(text: str) -> Any:
    try:
        parsed = jsonio.loads(text.encode(errors="surrogatepass"))
    except jsonio.JsonError:
        return text
    if text.count("[") + text.count("{") > LEVELS_MAX and jsonio.count_levels(parsed) > LEVELS_MAX:
        return text
    has_escapes = "\\u" in text and any(escape in text for escape in _ESCAPES)
    return text if has_escapes and jsonio.find_unstorable_text(parsed) else parsed


def first_text(attributes: Attributes, names: Iterable[str], maximum: int) -> str | None:
    """Return the first of the values that is a text which is not empty, or a number; at most `maximum` characters."""
    for name in names:
        if name in attributes and (text := to_text(attributes[name])):
            return text[:maximum]
    return None


def to_text(value: Any) -> str | None:
    """Return a text, also one in quotation marks, or a number as a text; None for anything else."""
    if isinstance(value, str):
        unquoted = read_quoted(value) if value[:1] == '"' else value
        return unquoted if isinstance(unquoted, str) else value
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if is_number else None


def first_number(attributes: Attributes, names: Iterable[str]) -> float | None:
    """Return the first of the values that is a number, or the text of one, from 0 to COUNT_MAX."""
    for name in names:
        if name in attributes and (number := to_number(attributes[name])) is not None:
            return number
    return None


def to_number(value: Any) -> float | None:
    """Return a number, or the text of one, from 0 to COUNT_MAX; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and len(value) > _NUMBER_MAX:
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if 0 <= number <= COUNT_MAX else None  # NaN is not


def to_count(value: Any) -> float | None:
    """Return what `to_number` returns if it is a whole number, else None."""
    number = to_number(value)
    return number if number is not None and number.is_integer() else None


def first_count(attributes: Attributes, names: Iterable[str]) -> float | None:
    """Return the first of the values of which `to_count` makes a number."""
    for name in names:
        if name in attributes and (count := to_count(attributes[name])) is not None:
            return count
    return None


def read_object(value: Any) -> dict[str, Any]:
    """Return an object, or that of a JSON text; an empty one for anything else."""
    parsed = read_json(value)
    return dict(parsed) if isinstance(parsed, dict) else {}


class _Branch(dict[str, Any]):
    """An object of a flattened name, as opposed to a value that is an object."""


def nest(flattened: Mapping[str, Any]) -> Any:
    """Return the JSON whose leaves have these names; `0.tool_call.function.name` is in an object in an array.

    Leaves with an index of INDEX_MAX or more are left out, as are those that would be inside of another leaf. What is
    deeper than NESTING_MAX keeps the rest of its name.
    """
    root = _Branch()
    for name, value in flattened.items():
        *path, last = name.split(".", NESTING_MAX)
        place = root
        for step in path:
            place = place.setdefault(step, _Branch())
            if type(place) is not _Branch:
                break
        else:
            place.setdefault(last, value)
    return _to_json(root)


def _to_json(branch: _Branch) -> Any:
    values = {name: _to_json(value) if type(value) is _Branch else value for name, value in branch.items()}
    if not values or not all(name.isascii() and name.isdecimal() for name in values):
        return values
    indices = sorted(int(name) for name in values if len(name) < len(str(INDEX_MAX)))
    return [values[str(index)] for index in indices if str(index) in values]


# Values that are as good as none
EMPTY: tuple[Any, ...] = (None, "", [], {})


def is_empty(value: Any) -> bool:
    """Return whether a value is as good as none: null, and a text, array or object without content."""
    return value in EMPTY
