"""The fields of what a program sends to a model besides texts: messages and parameters."""

from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, fields

from promptcrafter.http.fields import ERRORS, BoundedList, PatternText, Text
from promptcrafter.http.schemas import JsonObject, name_component
from promptcrafter.jsonio import count_levels, dumps
from promptcrafter.prompts.messages import ROLES
from promptcrafter.text import INVISIBLE_BMP, shorten

MESSAGES_MAX = 200
NAME_MAX = 100  # characters
CONFIG_BYTES_MAX = 64 * 1024  # of compact JSON
CONFIG_LEVELS_MAX = 50
# What GitHub's `.prompt.yml` has beside `modelParameters`, as texts; a `config` has them under the same names
BESIDE_PARAMETERS = ("responseFormat", "jsonSchema")
_PLACEHOLDER = rf"^[^\s{{}}\u0000{INVISIBLE_BMP}]{{1,{NAME_MAX}}}$"
_NAMES_SHOWN = 5  # of fields that a message cannot have
_MESSAGE_NAMES = ("role", "content", "name")
_NO_NUL = "^[^\\u0000]*$"
_NOT_BLANK = "^[^\\u0000]*[^\\s\\u0000][^\\u0000]*$"


def _describe(required: tuple[str, ...], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": [*required], "properties": properties, "additionalProperties": False}


_DESCRIBED = {
    "oneOf": [
        name_component(
            "Message",
            _describe(
                ("role", "content"),
                role={"type": "string", "enum": [*ROLES]},
                content={"type": "string", "pattern": _NO_NUL},
                name={"type": "string", "minLength": 1, "maxLength": NAME_MAX, "pattern": _NOT_BLANK},
            ),
        ),
        name_component(
            "Placeholder",
            {
                **_describe(("placeholder",), placeholder={"type": "string", "pattern": _PLACEHOLDER}),
                "description": "Where a program inserts messages of its own",
            },
        ),
    ]
}


class MessageField(fields.Field[dict[str, str]]):
    """A message of a chat prompt, or a placeholder for messages; loads to its fields in a fixed order.

    Nothing that is sent is dropped: other fields are refused.
    """

    default_error_messages = {**ERRORS, "invalid": "must be an object", "null": "must be an object"}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(metadata={**_DESCRIBED, **kwargs.pop("metadata", {})}, **kwargs)
        self._fields = {
            "role": Text(required=True, choices=ROLES),
            "content": Text(),
            "name": Text(maximum=NAME_MAX, minimum=1, blank=False),
            "placeholder": PatternText(
                _PLACEHOLDER, f"must be a name of 1 to {NAME_MAX} characters without white space and braces"
            ),
        }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> dict[str, str]:
        if not isinstance(value, dict):
            raise self.make_error("invalid")
        present = {name: part for name, part in value.items() if part is not None}
        is_placeholder = "placeholder" in (present or value)
        names = ("placeholder",) if is_placeholder else _MESSAGE_NAMES
        errors: dict[str, list[str]] = {
            shorten(str(name)): ["cannot be in a message: it may have role, content and name, or placeholder alone"]
            for name in [name for name in present if name not in names][:_NAMES_SHOWN]
        }
        loaded = {}
        for name in names:
            if name not in present and name != "name":
                errors[name] = [ERRORS["required"]]
            elif name in present:
                try:
                    loaded[name] = self._fields[name].deserialize(present[name])
                except ValidationError as error:
                    errors[name] = [str(message) for message in error.messages]
        if errors:
            raise ValidationError(errors)
        return loaded


class ConfigField(JsonObject):
    """The parameters of a model: a JSON object of any content, kept as it was sent."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        if isinstance(value, dict):
            if count_levels(value) > CONFIG_LEVELS_MAX:
                raise ValidationError(f"must be nested at most {CONFIG_LEVELS_MAX} levels deep")
            size = len(dumps(value).encode(errors="surrogatepass"))
            if size > CONFIG_BYTES_MAX:
                raise ValidationError(f"must have at most {CONFIG_BYTES_MAX:,} bytes as compact JSON; it has {size:,}")
        return super()._deserialize(value, attr, data, **kwargs)


def messages_field() -> BoundedList:
    """Return the field of a chat prompt's messages, for requests and lines of an export."""
    return BoundedList(
        MessageField(),
        minimum=1,
        maximum=MESSAGES_MAX,
        allow_none=True,
        error_messages={**ERRORS, "invalid": "must be an array of messages"},
        metadata={"description": "Instead of `content`, for a chat prompt"},
    )


def config_field() -> ConfigField:
    """Return the field of a model's parameters, for requests and lines of an export."""
    return ConfigField(
        allow_none=True,
        metadata={
            "description": "Parameters of the model, such as `temperature`, tools or a response format",
            "example": {"temperature": 0.2},
        },
    )


def messages_field_out() -> fields.List[Any]:
    """Return the field of a chat prompt's messages, for responses."""
    return fields.List(
        fields.Raw(metadata=_DESCRIBED),
        required=True,
        allow_none=True,
        metadata={"description": "Of a chat prompt, whose `content` is their flattened text; null for a text prompt"},
    )
