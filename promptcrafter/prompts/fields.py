"""The fields of prompts and versions that requests, responses, exports and other features share."""

import re
from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, fields, validate

from promptcrafter.http.fields import ERRORS, BoundedList, Name, PatternText, Tags, Text, WholeNumber
from promptcrafter.http.schemas import FieldGroup, JsonObject, name_component
from promptcrafter.jsonio import count_levels, dumps
from promptcrafter.prompts.messages import ROLES
from promptcrafter.prompts.version_names import LABEL_RULE, LATEST, is_label
from promptcrafter.slugs import SLUG, SLUG_MAX, SLUG_RULE, is_slug
from promptcrafter.text import INVISIBLE_BMP, LABEL_PATTERN, WIDE_LETTERS_BMP, count_columns, shorten

TITLE_MIN, TITLE_MAX = 3, 100  # characters; fewer are enough if they are as wide, see `refuse_bad_title_length`
MODEL_MAX = 200  # characters
TAGS_MAX, TAG_MAX = 100, 100
QUERY_MAX = 500  # characters of a search
COMMENT_MAX = 1000  # characters
DESCRIPTION_MAX = 10_000  # characters
TYPES = ("text", "chat")
VERSION_NAME = "A version's number, a label, or `latest`"
LABEL = f"^{LABEL_PATTERN}$"  # also fits `latest`
A_LABEL = {"pattern": LABEL, "not": {"const": LATEST}}  # in the description of a name that must be that of a label
NUMBER_MAX = 2**31 - 1  # the largest number that a version can have
_ANY, _VISIBLE, _WIDE = r"[^\u0000]", rf"[^\s{INVISIBLE_BMP}]", f"[{WIDE_LETTERS_BMP}]"
# What `refuse_bad_title_length` and a name require, for the OpenAPI document: one of three characters is visible, or
# one of two is a wide letter
_TITLE = (
    f"^(?:{_VISIBLE}{_ANY}{{2,}}|{_ANY}{_VISIBLE}{_ANY}+|{_ANY}{{2,}}{_VISIBLE}{_ANY}*|{_WIDE}{_ANY}|{_ANY}{_WIDE})$"
)
SLUG_EXAMPLE = "explain-the-industrial-revolution"  # that of a prompt with the example of a title
MESSAGES_MAX = 200
MESSAGE_NAME_MAX = 100  # characters of the name of a message or a placeholder
CONFIG_BYTES_MAX = 64 * 1024  # of compact JSON
CONFIG_LEVELS_MAX = 50
# What GitHub's `.prompt.yml` has beside `modelParameters`, as texts; a `config` has them under the same names
BESIDE_PARAMETERS = ("responseFormat", "jsonSchema")
_PLACEHOLDER = rf"^[^\s{{}}\u0000{INVISIBLE_BMP}]{{1,{MESSAGE_NAME_MAX}}}$"
_NAMES_SHOWN = 5  # of fields that a message cannot have
_MESSAGE_NAMES = ("role", "content", "name")
_NO_NUL = "^[^\\u0000]*$"
_NOT_BLANK = "^[^\\u0000]*[^\\s\\u0000][^\\u0000]*$"


def _describe_object(required: tuple[str, ...], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": [*required], "properties": properties, "additionalProperties": False}


_DESCRIBED = {
    "oneOf": [
        name_component(
            "Message",
            _describe_object(
                ("role", "content"),
                role={"type": "string", "enum": [*ROLES]},
                content={"type": "string", "pattern": _NO_NUL},
                name={"type": "string", "minLength": 1, "maxLength": MESSAGE_NAME_MAX, "pattern": _NOT_BLANK},
            ),
        ),
        name_component(
            "Placeholder",
            {
                **_describe_object(("placeholder",), placeholder={"type": "string", "pattern": _PLACEHOLDER}),
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
            "name": Text(maximum=MESSAGE_NAME_MAX, minimum=1, blank=False),
            "placeholder": PatternText(
                _PLACEHOLDER, f"must be a name of 1 to {MESSAGE_NAME_MAX} characters without white space and braces"
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


class VersionReference(WholeNumber):
    """A version of a prompt: its number, a label or `latest`. Loads to an integer, or to the name as text.

    The name is resolved when the request is processed.
    """

    def __init__(self, **kwargs: Any) -> None:
        described = {"type": ["integer", "string"], "minimum": 1, "maximum": NUMBER_MAX, "pattern": LABEL}
        described |= {"description": VERSION_NAME, **kwargs.pop("metadata", {})}
        super().__init__(minimum=1, maximum=NUMBER_MAX, metadata=described, **kwargs)
        rule = f"must be a whole number from 1 to {NUMBER_MAX}, a label or latest"
        self.error_messages |= {"invalid": rule, "too_large": rule}
        self.validators.pop()
        self._in_range = validate.Range(min=1, max=NUMBER_MAX, error=rule)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        if isinstance(value, str) and re.fullmatch(LABEL_PATTERN, value):
            return value
        number = self.deserialize_number(value, attr, data)
        self._in_range(number)
        return number

    def deserialize_number(self, value: Any, attr: str | None, data: Mapping[str, Any] | None) -> int:
        """Load what is not a name."""
        return super()._deserialize(value, attr, data)


class QueryVersionReference(VersionReference):
    """A version of a prompt in a query string, where a number is text as well."""

    def deserialize_number(self, value: Any, attr: str | None, data: Mapping[str, Any] | None) -> int:
        number = int(value) if re.fullmatch("[0-9]{1,18}", value) else value
        return super().deserialize_number(number, attr, data)


def refuse_bad_label(label: str) -> None:
    """Raise ValidationError unless a text may be the name of a label."""
    if not is_label(label):
        raise ValidationError(LABEL_RULE)


def title_field(required: bool, name: type[Text] = Name) -> Text:
    """Return the field of a title, for requests and, with the `name` StoredName, for lines of an export."""
    described = {
        **{"pattern": _TITLE, "maxLength": TITLE_MAX, "example": "Explain the Industrial Revolution"},
        "description": "At least 3 characters, or 2 that are 3 columns wide, as 2 letters of Chinese are",
    }
    return name(required=required, allow_none=not required, validate=refuse_bad_title_length, metadata=described)


def refuse_bad_title_length(title: str) -> None:
    """Raise ValidationError for a title that is too long, or has too few characters and takes too few columns."""
    # the length comes first: the width of a long text takes long to count
    if len(title) > TITLE_MAX or (len(title) < TITLE_MIN and count_columns(title) < TITLE_MIN):
        raise ValidationError(f"must have {TITLE_MIN} to {TITLE_MAX} characters")


def slug_field(required: bool = False) -> Text:
    """Return the field of a prompt's slug, for requests and lines of an export."""
    described = "Unique in the workspace; made from the title if absent. Its segments but the last are folders"
    return Text(required=required, allow_none=not required, validate=refuse_bad_slug, metadata=describe_slug(described))


def refuse_bad_slug(slug: str) -> None:
    """Raise ValidationError unless a text may be a slug."""
    if not is_slug(slug):
        raise ValidationError(SLUG_RULE)


def describe_slug(description: str) -> dict[str, Any]:
    """Return the metadata of a field with a slug."""
    return {"pattern": SLUG, "maxLength": SLUG_MAX, "description": description}


def version_fields(required: bool, name: type[Text] = Name) -> FieldGroup:
    """Return the fields whose change makes a new version, for requests and lines of an export.

    `name` is the class of the fields for names, StoredName in an export.
    """
    return {
        "content": Text(
            required=required,
            allow_none=not required,
            minimum=1,
            metadata={
                **({"type": ["string", "null"]} if required else {}),  # null beside messages
                "description": "Instead of `messages`",
                "example": "Explain the Industrial Revolution to a twelve-year-old.",
            },
        ),
        "model": name(
            required=required,
            allow_none=not required,
            minimum=1,
            maximum=MODEL_MAX,
            metadata={"example": "gpt-4o", "description": "Free text"},
        ),
        "messages": messages_field(),
        "config": config_field(),
    }


def version_fields_out() -> FieldGroup:
    """Return the same fields as `version_fields`, for responses; those of chat prompts are in `chat_fields_out`."""
    return {"content": fields.String(required=True), "model": fields.String(required=True)}


def chat_fields_out() -> FieldGroup:
    """Return the fields of a version that come after all others of a response."""
    return {
        "type": fields.String(required=True, metadata={"enum": [*TYPES]}),
        "messages": messages_field_out(),
        "config": JsonObject(required=True, metadata={"description": "Parameters of the model"}),
    }


def tags_field(required: bool = False, tags: type[Tags] = Tags) -> Tags:
    """Return the field of a prompt's tags, for requests and, with the class StoredTags, for lines of an export."""
    return tags(
        required=required,
        allow_none=not required,
        maximum=TAGS_MAX,
        maximum_length=TAG_MAX,
        metadata={"example": ["history", "school"], "description": "A repeated tag is kept once"},
    )


def comment_field() -> Text:
    """Return the field of a version's comment, for requests and lines of an export."""
    return Text(
        allow_none=True,
        maximum=COMMENT_MAX,
        blank=False,
        metadata={"description": "Why the prompt was changed; kept with the new version", "example": "Shorter answers"},
    )


def description_field() -> Text:
    """Return the field of a prompt's description, for requests and lines of an export."""
    return Text(
        allow_none=True,
        maximum=DESCRIPTION_MAX,
        metadata={"description": "What the prompt is for; a change makes no version", "example": "For school classes"},
    )
