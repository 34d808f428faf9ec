"""The requests, responses and query parameters of Langfuse's clients about prompts."""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields, post_load, pre_load, validates_schema

from promptcrafter.dialects.langfuse.fields import WIRE_MESSAGE, PromptContent, PromptName
from promptcrafter.http.fields import (
    ERRORS,
    BoundedList,
    PatternText,
    QueryFlag,
    QueryInteger,
    Text,
    Timestamp,
    TimestampText,
)
from promptcrafter.http.schemas import CreateSchema, JsonObject, SparseSchema
from promptcrafter.prompts.fields import LABEL, NUMBER_MAX, TYPES, comment_field, config_field, tags_field
from promptcrafter.prompts.version_names import LATEST
from promptcrafter.text import LABEL_PATTERN

_LABELS_MAX = 50  # of one request
_PAGE_MAX, _LIMIT_MAX, _LIMIT = 1_000_000, 100, 50


def _labels_field(**kwargs: Any) -> BoundedList:
    rule = f"must match {LABEL_PATTERN}"
    return BoundedList(
        PatternText(LABEL, rule),
        maximum=_LABELS_MAX,
        error_messages={**ERRORS, "invalid": "must be an array of labels"},
        metadata={"example": ["production"], "description": f"`{LATEST}` is always on the newest version"},
        **kwargs,
    )


def _without_latest(labels: list[str]) -> list[str]:
    return [name for name in dict.fromkeys(labels) if name != LATEST]


class LangfusePromptIn(CreateSchema):
    """A new prompt, or a new version of the one with that name."""

    name = PromptName(required=True, metadata={"example": "movie-critic"})
    prompt = PromptContent(required=True)
    type = Text(choices=TYPES, metadata={"description": "Must fit the prompt; `text` if absent"})
    config = config_field()
    labels = _labels_field()
    tags = tags_field()
    comment = comment_field()
    comment.data_key = "commitMessage"
    comment.metadata = {
        **comment.metadata,
        "pattern": "^[^\\u0000]*$",
        "description": "Why the prompt was changed; a blank one counts as absent",
    }

    @pre_load
    def drop_blank_message(self, data: Any, **kwargs: Any) -> Any:
        """Treat a blank commit message as absent."""
        message = data.get("commitMessage") if isinstance(data, dict) else None
        is_blank = isinstance(message, str) and not message.strip()
        return {**data, "commitMessage": None} if is_blank else data

    @validates_schema
    def refuse_other_type(self, data: Mapping[str, Any], **kwargs: Any) -> None:
        """Refuse a type that is not the one of the prompt that was sent."""
        if "prompt" in data:
            is_chat = data["prompt"][1] is not None
            if data.get("type", "text") != ("chat" if is_chat else "text"):
                raise ValidationError("must be chat with messages, and text or absent with a text", "type")

    @post_load
    def split_prompt(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Name the parts as this service does, and fill in what was not sent."""
        content, messages = data.pop("prompt")
        labels = _without_latest(data.get("labels", []))
        return {"config": {}, **data, "content": content, "messages": messages, "labels": labels}


class LangfuseLabelsIn(CreateSchema):
    """Labels for a version, which the versions that have them lose."""

    labels = _labels_field(required=True, data_key="newLabels")

    @post_load
    def drop_latest(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Leave out the label that is set by itself."""
        return {"labels": _without_latest(data["labels"])}


class LangfusePromptQuery(Schema):
    """Which version of a prompt is meant: without a parameter that in production."""

    version = QueryInteger(minimum=1, maximum=NUMBER_MAX, metadata={"description": "The number of the version"})
    label = Text(minimum=1, metadata={"description": f"A label, or `{LATEST}`; without a version, `production`"})
    resolve = QueryFlag(metadata={"description": "Has no effect: no prompt contains others"})

    @validates_schema
    def refuse_both(self, data: Mapping[str, Any], **kwargs: Any) -> None:
        """Refuse a label beside a version."""
        if "version" in data and "label" in data:
            raise ValidationError("must not come with version", "label")


class LangfusePromptOut(Schema):
    """A version of a prompt."""

    name = fields.String(required=True)
    version = fields.Integer(required=True)
    type = fields.String(required=True, metadata={"enum": [*TYPES]})
    prompt = fields.Raw(
        required=True,
        metadata={"type": ["string", "array"], "items": WIRE_MESSAGE, "description": "A text, or messages"},
    )
    config = JsonObject(required=True, metadata={"description": "With the `model` of the version"})
    labels = fields.List(fields.String(), required=True)
    tags = fields.List(fields.String(), required=True)
    comment = fields.String(data_key="commitMessage", required=True, allow_none=True)
    resolution_graph = fields.Raw(
        data_key="resolutionGraph", required=True, allow_none=True, metadata={"description": "Always null"}
    )


class LangfuseListQuery(Schema):
    """Filters and page of the list of prompts."""

    name = Text(minimum=1, metadata={"description": "The prompt with this name"})
    label = Text(minimum=1, metadata={"description": "Prompts that have this label"})
    tag = Text(minimum=1, metadata={"description": "Prompts that have this tag"})
    page = QueryInteger(minimum=1, maximum=_PAGE_MAX, load_default=1)
    limit = QueryInteger(minimum=1, maximum=_LIMIT_MAX, load_default=_LIMIT)
    updated_since = TimestampText(description="Changed at this time or later")
    updated_since.data_key = "fromUpdatedAt"
    updated_until = TimestampText(description="Changed before this time")
    updated_until.data_key = "toUpdatedAt"


class LangfuseEntryOut(SparseSchema):
    """A prompt in the list."""

    name = fields.String(required=True)
    type = fields.String(required=True, metadata={"enum": [*TYPES]})
    versions = fields.List(fields.Integer(), required=True)
    labels = fields.List(fields.String(), required=True)
    tags = fields.List(fields.String(), required=True)
    updated_at = Timestamp(data_key="lastUpdatedAt", required=True)
    config = JsonObject(data_key="lastConfig", required=True)


class LangfusePageOut(Schema):
    """Where in the list a page is."""

    page = fields.Integer(required=True)
    limit = fields.Integer(required=True)
    total = fields.Integer(data_key="totalItems", required=True)
    pages = fields.Integer(data_key="totalPages", required=True)


class LangfuseListOut(Schema):
    """A page of the list of prompts."""

    data = fields.List(fields.Nested(LangfuseEntryOut()), required=True)
    meta = fields.Nested(LangfusePageOut(), required=True)
