"""The text of a version with its variables replaced. Pure functions."""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from promptcrafter.jsonio import dumps

_VARIABLE = re.compile(r"\{\{[ \t]*(\w[\w.-]*)[ \t]*\}\}")


def find_variables(content: str) -> list[str]:
    """Return the distinct variable names, which are between double braces, in the order of their first occurrence."""
    return list(dict.fromkeys(_VARIABLE.findall(content)))


def render(content: str, variables: Mapping[str, Any]) -> str:
    """Return the text with every `{{name}}` replaced by its value: a string as it is, anything else as compact JSON.

    There is no other syntax, and placeholders inside values are not replaced. Raises KeyError for a name without value.
    """
    values = {name: _to_text(variables[name]) for name in find_variables(content)}
    return _VARIABLE.sub(lambda match: values[match[1]], content)


def rendered_bytes(content: str, variables: Mapping[str, Any]) -> int:
    """Return how many bytes `render`'s text takes in the JSON of a response, without making the text.

    Raises KeyError for a name without value.
    """
    counts = Counter(_VARIABLE.findall(content))
    inserted = sum(count * _json_bytes(_to_text(variables[name])) for name, count in counts.items())
    return _json_bytes(_VARIABLE.sub("", content)) + inserted


def _to_text(value: Any) -> str:
    return value if isinstance(value, str) else dumps(value)


def _json_bytes(text: str) -> int:
    """Return how many bytes a text takes as a JSON string, without the quotes."""
    return len(dumps(text).encode()) - 2
