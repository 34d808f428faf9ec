"""The fields of Langfuse's prompts: their names, and a text or messages in Langfuse's form."""

import re
from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, fields

from promptcrafter.dialects.prompt_names import NAME_MAX
from promptcrafter.http.blueprint import VERSIONED_NAME
from promptcrafter.http.fields import ERRORS, Name, Text
from promptcrafter.prompts.fields import messages_field

MESSAGE, PLACEHOLDER = "chatmessage", "placeholder"  # the types of what a chat prompt consists of
WIRE_MESSAGE = {
    "oneOf": [
        {
            "type": "object",
            "required": ["role", "content"],
            "properties": {
                "type": {"type": "string", "enum": [MESSAGE]},
                "role": {"type": "string"},
                "content": {"type": "string"},
            },
        },
        {
            "type": "object",
            "required": ["type", "name"],
            "properties": {"type": {"type": "string", "enum": [PLACEHOLDER]}, "name": {"type": "string"}},
        },
    ]
}


class PromptName(Name):
    """Langfuse's name of a prompt: any text that can stand in a path before `/versions/…`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(minimum=1, maximum=NAME_MAX, **kwargs)
        self.validators.append(_refuse_unreachable)


class PromptContent(fields.Raw):
    """A text, or the messages of a chat, as Langfuse's clients write them. Loads to `(content, messages)`."""

    default_error_messages = {**ERRORS, "invalid": "must be a text, or an array of messages"}

    def __init__(self, **kwargs: Any) -> None:
        described = {"type": ["string", "array"], "items": WIRE_MESSAGE, "example": "Criticise {{movie}} briefly."}
        super().__init__(metadata=described, **kwargs)
        self._text, self._messages = Text(minimum=1), messages_field()

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> tuple[Any, Any]:
        if isinstance(value, str):
            return self._text.deserialize(value), None
        if not isinstance(value, list):
            raise self.make_error("invalid")
        self._messages.length(value)  # before the messages are read
        return None, self._messages.deserialize([_from_wire(each) for each in value])


def _refuse_unreachable(name: str) -> None:
    if not re.fullmatch(VERSIONED_NAME, name):
        raise ValidationError("must not begin with a slash, and no segment but the first may be versions")


def _from_wire(message: Any) -> Any:
    """Return a message or placeholder as this service has it; what is neither is returned as it is."""
    if not isinstance(message, Mapping):
        return message
    if message.get("type") == PLACEHOLDER:
        return {"placeholder": message.get("name")}
    if message.get("type") in (None, MESSAGE):
        return {name: value for name, value in message.items() if name != "type"}
    return message
