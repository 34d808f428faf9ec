"""A version's text with its variables filled in, and what changed from one version to another. Pure functions."""

import difflib
import re
from collections.abc import Mapping
from typing import Any

from promptcrafter.jsonio import dumps

_VARIABLE = re.compile(r"\{\{[ \t]*(\w[\w.-]*)[ \t]*\}\}")


def find_variables(content: str) -> list[str]:
    """Return the names between double braces, each once, in the order they appear."""
    return list(dict.fromkeys(_VARIABLE.findall(content)))


def render(content: str, variables: Mapping[str, Any]) -> str:
    """Replace every `{{name}}` by its value: a string as it is, anything else as compact JSON.

    Nothing else in the text has a meaning, and a value is never looked into. Raises KeyError for a name without value.
    """

    def value_of(match: re.Match[str]) -> str:
        value = variables[match[1]]
        return value if isinstance(value, str) else dumps(value)

    return _VARIABLE.sub(value_of, content)


def unified_diff(before: str, after: str, before_name: str, after_name: str) -> str:
    """Return the unified diff of two texts, line by line; empty when they are equal."""
    lines = difflib.unified_diff(before.split("\n"), after.split("\n"), before_name, after_name, lineterm="")
    return "\n".join(lines)
