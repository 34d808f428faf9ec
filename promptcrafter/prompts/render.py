"""Prompts with their variables replaced, and their placeholders by messages.

Nothing but `{{name}}` in a text and a placeholder among messages is interpreted, and nothing inside values.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from promptcrafter.jsonio import dumps
from promptcrafter.problems import Invalid, TooLarge
from promptcrafter.prompts.messages import ROLES, Message
from promptcrafter.text import shorten

VARIABLE = re.compile(r"\{\{[ \t]*(\w[\w.-]*)[ \t]*\}\}")
_MISSING_SHOWN = 100  # variables without a value, in an error


def find_variables(*texts: str) -> list[str]:
    """Return the distinct variable names, which are between double braces, in the order of their first occurrence."""
    return list(dict.fromkeys(name for text in texts for name in VARIABLE.findall(text)))


def find_variables_of_messages(messages: Sequence[Message]) -> list[str]:
    """Return the distinct names of the placeholders among messages, and of the variables in their contents."""
    return list(dict.fromkeys((*_placeholders_of(messages), *find_variables(*_contents_of(messages)))))


def render_text(content: str, variables: Mapping[str, Any], limit: int) -> str:
    """Return the text with every `{{name}}` replaced by its value: a string as it is, anything else as compact JSON.

    There is no other syntax. Raises Invalid for a variable without a value, and TooLarge if the result takes more than
    `limit` bytes in the JSON of a response.
    """
    _refuse_missing(find_variables(content), variables)
    _refuse_large(_rendered_bytes([content], variables), limit)
    return _render([content], variables)[0]


def render_messages(messages: Sequence[Message], variables: Mapping[str, Any], limit: int) -> list[Any]:
    """Return the messages with the variables in their contents replaced as `render_text` does.

    The value of a placeholder is an array of messages, which take its place unchanged. Raises as `render_text` does,
    and Invalid for a placeholder with another value.
    """
    placeholders, texts = _placeholders_of(messages), _contents_of(messages)
    _refuse_missing(find_variables_of_messages(messages), variables)
    for name in dict.fromkeys(placeholders):
        _refuse_bad_messages(name, variables[name])
    inserted = sum(count * _json_size(variables[name]) for name, count in Counter(placeholders).items())
    around = sum(_json_size({**message, "content": ""}) + 1 for message in messages if "content" in message)
    _refuse_large(inserted + around + _rendered_bytes(texts, variables), limit)
    contents = iter(_render(texts, variables))
    rendered: list[Any] = []
    for message in messages:
        if "placeholder" in message:
            rendered += variables[message["placeholder"]]
        else:
            rendered.append({**message, "content": next(contents)})
    return rendered


def _placeholders_of(messages: Sequence[Message]) -> list[str]:
    return [message["placeholder"] for message in messages if "placeholder" in message]


def _contents_of(messages: Sequence[Message]) -> list[str]:
    return [message["content"] for message in messages if "content" in message]


def _render(texts: Sequence[str], variables: Mapping[str, Any]) -> list[str]:
    """Return the texts with their variables replaced. Variables inside values are not."""
    values = {name: _to_text(variables[name]) for name in find_variables(*texts)}
    return [VARIABLE.sub(lambda match: values[match[1]], text) for text in texts]


def _rendered_bytes(texts: Sequence[str], variables: Mapping[str, Any]) -> int:
    """Return how many bytes `_render`'s texts take in the JSON of a response, without making them."""
    counts = Counter(name for text in texts for name in VARIABLE.findall(text))
    inserted = sum(count * _json_bytes(_to_text(variables[name])) for name, count in counts.items())
    return inserted + sum(_json_bytes(VARIABLE.sub("", text)) for text in texts)


def _refuse_missing(names: Sequence[str], variables: Mapping[str, Any]) -> None:
    """Raise Invalid for names without a value."""
    missing = [name for name in names if name not in variables]
    if missing:
        shown = [f"must have a value for {shorten(name)}" for name in missing[:_MISSING_SHOWN]]
        raise Invalid({"variables": shown}, more=len(missing) - len(shown))


def _refuse_bad_messages(name: str, value: Any) -> None:
    """Raise Invalid unless the value of a placeholder is an array of messages, which may have any other fields."""
    if not isinstance(value, list):
        raise Invalid({f"variables.{name}": ["must be an array of messages"]})
    for position, message in enumerate(value):
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            rule = f"must be an object with a role, which is one of {', '.join(ROLES)}"
            raise Invalid({f"variables.{name}.{position}": [rule]})


def _refuse_large(size: int, limit: int) -> None:
    if size > limit:
        raise TooLarge("The rendered text", limit, size)


def _to_text(value: Any) -> str:
    return value if isinstance(value, str) else dumps(value)


def _json_bytes(text: str) -> int:
    """Return how many bytes a text takes as a JSON string, without the quotes."""
    return _json_size(text) - 2


def _json_size(value: Any) -> int:
    return len(dumps(value).encode())
