"""The text of a version with its variables replaced. Pure functions."""

import re
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

    def value_of(match: re.Match[str]) -> str:
        value = variables[match[1]]
        return value if isinstance(value, str) else dumps(value)

    return _VARIABLE.sub(value_of, content)
