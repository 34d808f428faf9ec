"""The requests, responses and query parameters of prompts and their versions. `fields.py` has what others share."""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields, post_load, pre_load, validates_schema

from promptcrafter.http.fields import RepeatedText, Text, Timestamp
from promptcrafter.http.ignored_fields import SERVER_SET
from promptcrafter.http.page_query import SEQUENCE, TIME, Cursor, PageQuery
from promptcrafter.http.schemas import CreateSchema, FieldGroup, JsonObject, SparseSchema
from promptcrafter.ids import pattern
from promptcrafter.prompts.fields import (
    A_LABEL,
    BESIDE_PARAMETERS,
    QUERY_MAX,
    TAGS_MAX,
    TYPES,
    VERSION_NAME,
    VersionReference,
    chat_fields_out,
    comment_field,
    config_field,
    describe_slug,
    description_field,
    refuse_bad_label,
    refuse_bad_slug,
    slug_field,
    tags_field,
    title_field,
    version_fields,
    version_fields_out,
)
from promptcrafter.prompts.messages import ROLES, flatten
from promptcrafter.slugs import FOLDER, FOLDER_MAX, FOLDER_RULE, is_folder

CHANGES = ("added", "removed", "changed")
_FLATTENED = "the text of the messages"  # stands in for a content until the messages are loaded
# For the OpenAPI document: messages take the place of a content
_WITH_MESSAGES: dict[str, Any] = {
    "if": {"required": ["messages"], "properties": {"messages": {"not": {"type": "null"}}}},
    "then": {"properties": {"content": {"type": "null"}}},
}


class VersionedSchema(CreateSchema):
    """The base of what is read with the fields of a version: either `content` or `messages`.

    Messages load with their flattened text as the content, and a content loads with None as the messages.
    """

    @pre_load
    def stand_in_for_content(self, data: Any, **kwargs: Any) -> Any:
        """Let messages take the place of a content, which is required where messages are not sent."""
        if not isinstance(data, dict) or data.get("messages") is None or data.get("content") is not None:
            return data
        return {**data, "content": _FLATTENED}

    @post_load
    def complete_content(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Derive the content from messages, and have no messages with a content.

        The flattened text may come with messages, so that a client can send back what it has read.
        """
        if data.get("messages") is not None:
            content = flatten(data["messages"])
            if data["content"] is not _FLATTENED and data["content"] != content:
                raise ValidationError("must not come with content: a prompt has the one or the other", "messages")
            data["content"] = content
        elif data.get("content") is not None:
            data["messages"] = None
        return data


def _refuse_bad_folder(folder: str) -> None:
    if not is_folder(folder):
        raise ValidationError(FOLDER_RULE)


def prompt_fields(required: bool) -> FieldGroup:
    """Return the fields of PromptIn, of which title, content and model are required, or of PromptPatch."""
    return {
        "title": title_field(required),
        **version_fields(required),
        "tags": tags_field(),
        "slug": slug_field(),
        "description": description_field(),
        "type": Text(
            choices=TYPES, allow_none=True, metadata={"description": "May be sent back; must fit what comes with it"}
        ),
    }


def prompt_file_fields(required: bool) -> FieldGroup:
    """Return the fields of PromptFileIn and PromptFilePatch that have other names in YAML than in JSON."""
    title, config = title_field(required), config_field()
    title.data_key, config.data_key = "name", "modelParameters"
    return {"title": title, "config": config, **{name: Text(allow_none=True) for name in BESIDE_PARAMETERS}}


@pre_load
def _empty_nulls(self: Schema, data: Any, **kwargs: Any) -> Any:
    """Take what has no value for empty if it can be empty, and for absent otherwise."""
    if not isinstance(data, dict):
        return data
    empty = {"description": "", "modelParameters": {}, "tags": []}
    filled = {name: empty.get(name) if value is None else value for name, value in data.items()}
    return {name: value for name, value in filled.items() if value is not None}


@post_load
def _merge_config(self: Schema, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Put what GitHub keeps beside the parameters among them: together they are what `config` is."""
    beside = {name: data.pop(name) for name in BESIDE_PARAMETERS if name in data}
    config = data.get("config", {})
    for name in beside:
        if name in config:
            raise ValidationError("must not be in modelParameters, too", name)
    if beside:
        try:
            data["config"] = self.fields["config"].deserialize({**config, **beside})
        except ValidationError as error:
            raise ValidationError(error.messages, "modelParameters") from error
    return data


class _PromptBody(VersionedSchema):
    """The base of the bodies of POST and PATCH."""

    @post_load
    def drop_type(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Drop the type, which follows from the rest."""
        return {name: value for name, value in data.items() if name != "type"}

    @validates_schema
    def refuse_other_type(self, data: Mapping[str, Any], **kwargs: Any) -> None:
        """Refuse a type that is not the one of what was sent."""
        if data.get("content") is not None and "type" in data:
            actual = "text" if data.get("messages") is None else "chat"
            if data["type"] != actual:
                raise ValidationError(f"must be {actual} with {'content' if actual == 'text' else 'messages'}", "type")


class PromptIn(_PromptBody):
    """A new prompt: with `content`, or with `messages` instead."""

    locals().update(prompt_fields(required=True))
    rules = {
        "required": ["title", "model"],
        **_WITH_MESSAGES,
        "else": {"required": ["content"], "properties": {"content": {"type": "string"}}},
    }


class PromptPatch(_PromptBody):
    """Changes to a prompt; a field that is null is not changed."""

    # GET answers it, too. In a POST it is named as ignored: there it would be meant to choose the workspace
    server_set = SERVER_SET | {"workspaceId"}
    rules = _WITH_MESSAGES
    locals().update(prompt_fields(required=False))
    comment = comment_field()

    @validates_schema
    def refuse_comment_alone(self, data: Mapping[str, Any], **kwargs: Any) -> None:
        """Refuse a comment in a request that cannot make the version with which it would be kept."""
        if "comment" in data and data.keys().isdisjoint((*version_fields(required=False), *BESIDE_PARAMETERS)):
            rule = "is kept with a new version, so content, messages, model or config must come with it"
            raise ValidationError(rule, "comment")


class PromptFileIn(PromptIn):
    """A new prompt in YAML, whose keys are those of GitHub's `.prompt.yml`."""

    locals().update(prompt_file_fields(required=True))
    drop_nulls, merge_config = _empty_nulls, _merge_config


class PromptFilePatch(PromptPatch):
    """Changes to a prompt in YAML. A key that is absent changes nothing; one without a value empties the field."""

    locals().update(prompt_file_fields(required=False))
    drop_nulls, merge_config = _empty_nulls, _merge_config


class PromptOut(Schema):
    """A prompt with the content of its latest version."""

    id = fields.String(data_key="_id", required=True, metadata={"pattern": pattern("prompt")})
    author_id = fields.String(data_key="ownerId", required=True)
    slug = fields.String(required=True)
    title = fields.String(required=True)
    locals().update(version_fields_out())
    tags = fields.List(fields.String(), required=True)
    version = fields.Integer(
        required=True,
        metadata={
            "description": "Number of the latest version; a change of content, messages, model or config makes another"
        },
    )
    labels = fields.List(fields.String(), required=True)
    created_at = Timestamp(data_key="createdAt", required=True)
    updated_at = Timestamp(data_key="updatedAt", required=True)
    workspace_id = fields.String(data_key="workspaceId", required=True)
    description = fields.String(required=True)
    locals().update(chat_fields_out())


class PromptQuery(PageQuery):
    """Filters of the list of prompts."""

    model = Text(minimum=1, metadata={"description": "Prompts with exactly this model"})
    tags = RepeatedText(
        Text(minimum=1),
        maximum=TAGS_MAX,
        data_key="tag",
        metadata={"description": "Prompts with exactly this tag; if given several times, with all of the tags"},
    )
    slug = Text(validate=refuse_bad_slug, metadata=describe_slug("The prompt with this slug"))
    folder = Text(
        validate=_refuse_bad_folder,
        metadata={
            "pattern": FOLDER,
            "maxLength": FOLDER_MAX,
            "description": "Prompts whose slug begins with this and a slash, such as `support/reply` in `support`",
        },
    )
    label = Text(validate=refuse_bad_label, metadata={**A_LABEL, "description": "Prompts that have this label"})
    author = Text(minimum=1, metadata={"description": "Prompts that the account with this id has made"})


class TagOut(Schema):
    """A tag, and how many prompts have it."""

    name = fields.String(data_key="tag", required=True)
    number = fields.Integer(data_key="count", required=True)


class TagQuery(PageQuery):
    """The query parameters of the list of tags; its cursor is a position."""

    cursor = Cursor(SEQUENCE)


class SearchQuery(PageQuery):
    """The words to search for. The cursor begins with the relevance."""

    cursor = Cursor(f"[0-9]-{TIME}-{SEQUENCE}")
    q = Text(
        required=True,
        minimum=1,
        maximum=QUERY_MAX,
        blank=False,
        metadata={
            "description": "Words or parts of words, in any script; punctuation is literal",
            "example": "industrial",
        },
    )


class AuthorOut(Schema):
    """The account that made something, which may be deleted by now."""

    user_id = fields.String(data_key="userId", required=True)
    name = fields.String(required=True, metadata={"description": "`deleted account` if the name was removed"})


class VersionOut(SparseSchema):
    """A version of a prompt."""

    number = fields.Integer(data_key="version", required=True)
    locals().update(version_fields_out())
    labels = fields.List(fields.String(), required=True)
    created_at = Timestamp(data_key="createdAt", required=True)
    author_id = fields.String(data_key="createdBy", required=True)
    author = fields.Nested(AuthorOut(), required=True)
    comment = fields.String(metadata={"description": "Why the prompt was changed; absent if nothing was said"})
    locals().update(chat_fields_out())


class RestoreIn(CreateSchema):
    """What may be sent with the restoration of a version."""

    comment = comment_field()


class VersionQuery(PageQuery):
    """The query parameters of the list of versions; its cursor is a version's number."""

    cursor = Cursor("[0-9]{1,9}")


class LabelIn(CreateSchema):
    """The version to put a label on."""

    version = VersionReference(required=True, metadata={"example": 1})


class DiffQuery(Schema):
    """The versions to compare."""

    before = Text(data_key="from", required=True, minimum=1, metadata={"description": VERSION_NAME, "example": "1"})
    after = Text(data_key="to", required=True, minimum=1, metadata={"description": VERSION_NAME, "example": "latest"})


class ModelChangeOut(Schema):
    """The models of two versions."""

    before = fields.String(data_key="from", required=True)
    after = fields.String(data_key="to", required=True)


class PlaceOut(Schema):
    """Where a message is in a version."""

    position = fields.Integer(required=True, metadata={"description": "Among the messages, from 0"})
    role = fields.String(required=True, metadata={"enum": [*ROLES, "placeholder"]})


class MessageChangeOut(SparseSchema):
    """A message that differs between two versions."""

    change = fields.String(required=True, metadata={"enum": [*CHANGES]})
    before = fields.Nested(PlaceOut(), data_key="from", metadata={"description": "Absent if it was added"})
    after = fields.Nested(PlaceOut(), data_key="to", metadata={"description": "Absent if it was removed"})


class ConfigChangeOut(Schema):
    """A key of `config` whose values differ between two versions."""

    key = fields.String(required=True)
    change = fields.String(required=True, metadata={"enum": [*CHANGES]})
    before = fields.Raw(data_key="from", metadata={"description": "Absent if it was added"})
    after = fields.Raw(data_key="to", metadata={"description": "Absent if it was removed"})


class DiffOut(SparseSchema):
    """The differences between two versions."""

    before = fields.Integer(data_key="from", required=True)
    after = fields.Integer(data_key="to", required=True)
    model = fields.Nested(ModelChangeOut(), required=True)
    diff = fields.String(required=True, metadata={"description": "Unified diff of the content; empty when it is equal"})
    simplified = fields.Boolean(
        metadata={
            "description": "True if the contents are too long or too repetitive to find all common lines: some may be "
            "in the diff as removed and added; otherwise absent"
        }
    )
    messages = fields.List(
        fields.Nested(MessageChangeOut()),
        required=True,
        metadata={"description": "The messages that differ; a text has none"},
    )
    config = fields.List(fields.Nested(ConfigChangeOut()), required=True)


class RenderIn(CreateSchema):
    """Values for the variables of a version."""

    # Refused, not ignored as other unknown keys: the latest version would be rendered instead of the one that is meant
    hints = dict.fromkeys(("label", "tag"), "is not a field of this call; send the label as version")
    variables = JsonObject(required=True, metadata={"example": {"age": "12"}})
    version = Text(
        allow_none=True,
        minimum=1,
        metadata={"type": ["string", "integer"], "minimum": 1, "description": VERSION_NAME, "example": "latest"},
    )

    @pre_load
    def accept_number(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Accept a version's number as a JSON number, too, and refuse other names for the version."""
        for name, hint in self.hints.items():
            if data.get(name) is not None:
                raise ValidationError(hint, name)
        version = data.get("version")
        if type(version) is int or (isinstance(version, float) and version.is_integer()):
            return {**data, "version": str(int(version))}
        return data


class RenderOut(SparseSchema):
    """The text or the messages of a version with its variables filled in."""

    text = fields.String(metadata={"description": "Of a text prompt; absent for a chat prompt"})
    model = fields.String(required=True)
    version = fields.Integer(required=True)
    messages = fields.List(
        JsonObject(),
        metadata={"description": "Of a chat prompt, with the messages sent for placeholders; absent for a text prompt"},
    )
    config = JsonObject(required=True, metadata={"description": "Parameters of the model"})
