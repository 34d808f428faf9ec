"""The messages of chat prompts. Pure functions.

A chat prompt is a list of messages, each `{"role", "content"}` with an optional `name`, and of placeholders,
`{"placeholder": name}`, where a program inserts messages of its own, such as the conversation so far.
"""

from collections.abc import Mapping, Sequence
from typing import Any

Message = Mapping[str, Any]

ROLES = ("system", "developer", "user", "assistant", "tool")
INSTRUCTING_ROLES = ("system", "developer")  # whose messages are not part of the conversation


def flatten(messages: Sequence[Message]) -> str:
    """Return the messages as one text, for search, comparison and readers that know only texts.

    Each message is a line `role:`, or `role (name):`, and its content. A placeholder is its name in double braces.
    Between them are blank lines. Different messages may have the same text: the text is not read back.
    """
    return "\n\n".join(map(_flatten, messages))


def _flatten(message: Message) -> str:
    if "placeholder" in message:
        return f"{{{{{message['placeholder']}}}}}"
    name = f" ({message['name']})" if "name" in message else ""
    return f"{message['role']}{name}:\n{message['content']}"
