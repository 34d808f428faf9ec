"""The texts of a log that can be searched.

Of its input that is what was asked: of a chat only the last message of the user, because histories repeat.
"""

import json
from typing import Any

OUTPUT, NOTES, INPUT = TEXTS = ("output", "notes", "input")
DEFAULT_TEXTS = (OUTPUT, NOTES)
_TEXT_KEYS = ("text", "content")  # of a part of a message


def find_question(text: str | None, format: str | None = None) -> str | None:
    """Return the text of a log's input that the index has: of a chat that of the last user message.

    A chat is a JSON array of objects with a `role`, sent as such or as text. Other input is returned unchanged.
    """
    if text is None or not (format == "json" or text.lstrip().startswith("[")):
        return text
    try:
        messages = json.loads(text)
    except (ValueError, RecursionError):
        return text
    is_chat = isinstance(messages, list) and messages and all(isinstance(each, dict) for each in messages)
    if not is_chat or not all(isinstance(message.get("role"), str) for message in messages):
        return text
    asked = [message for message in messages if message["role"] in ("user", "human")]
    return "\n".join(_texts(asked[-1].get("content", asked[-1].get("parts")))) if asked else ""


def _texts(content: Any) -> list[str]:
    """Return the texts of a message's content: a text, or a list of parts of which some are texts."""
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        return []
    found = []
    for part in content:
        values = (
            [part] if isinstance(part, str) else [part.get(key) for key in _TEXT_KEYS] if isinstance(part, dict) else []
        )
        found += [value for value in values if isinstance(value, str)][:1]
    return found
