"""The text of a version with its variables replaced, and the diff between two versions. Pure functions."""

import difflib
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


def unified_diff(before: str, after: str, before_name: str, after_name: str) -> str:
    """Return the unified diff of two texts by lines; an empty string if they are equal."""
    lines = difflib.unified_diff(before.split("\n"), after.split("\n"), before_name, after_name, lineterm="")
    return "\n".join(lines)
