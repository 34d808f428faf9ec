"""What prompts look like on the wire."""

from typing import Any

from marshmallow import Schema, fields, pre_load

from promptcrafter.http.fields import PatternText, Tags, Text, Timestamp, WholeNumber
from promptcrafter.http.page_query import SEQUENCE, TIME, Cursor, PageQuery
from promptcrafter.http.schemas import BodySchema, CreateSchema, JsonObject
from promptcrafter.ids import pattern

TITLE_MIN, TITLE_MAX = 3, 100  # characters
MODEL_MAX = 200
TAGS_MAX, TAG_MAX = 100, 100
QUERY_MAX = 500
VERSION_NAME = "A version's number, a label, or `latest`"
SLUG = r"^[a-z0-9-]{1,120}$"
SLUG_RULE = "must consist of 1 to 120 lower-case letters, digits and hyphens"


def _title(required: bool) -> Text:
    return Text(
        required=required,
        allow_none=not required,
        minimum=TITLE_MIN,
        maximum=TITLE_MAX,
        blank=False,
        metadata={"example": "Explain the Industrial Revolution"},
    )


def _content(required: bool) -> Text:
    return Text(
        required=required,
        allow_none=not required,
        minimum=1,
        metadata={"example": "Explain the Industrial Revolution to a twelve-year-old."},
    )


def _model(required: bool) -> Text:
    return Text(
        required=required,
        allow_none=not required,
        minimum=1,
        maximum=MODEL_MAX,
        blank=False,
        metadata={"example": "gpt-4o", "description": "Free text"},
    )


def _tags() -> Tags:
    return Tags(
        allow_none=True,
        maximum=TAGS_MAX,
        maximum_length=TAG_MAX,
        metadata={"example": ["history", "school"], "description": "A repeated tag is kept once"},
    )


def _slug() -> Text:
    described = {"description": "Unique among the owner's; made from the title if absent"}
    return PatternText(SLUG, SLUG_RULE, allow_none=True, metadata=described)


class PromptIn(CreateSchema):
    """A new prompt."""

    title = _title(required=True)
    content = _content(required=True)
    model = _model(required=True)
    tags = _tags()
    slug = _slug()


class PromptPatch(BodySchema):
    """Changes to a prompt; null leaves a field alone."""

    title = _title(required=False)
    content = _content(required=False)
    model = _model(required=False)
    tags = _tags()
    slug = _slug()


class PromptOut(Schema):
    """A prompt as it is now."""

    id = fields.String(data_key="_id", required=True, metadata={"pattern": pattern("prompt")})
    owner_id = fields.String(data_key="ownerId", required=True)
    slug = fields.String(required=True)
    title = fields.String(required=True)
    content = fields.String(required=True)
    model = fields.String(required=True)
    tags = fields.List(fields.String(), required=True)
    version = fields.Integer(required=True, metadata={"description": "Moves when content or model change"})
    labels = fields.List(fields.String(), required=True)
    created_at = Timestamp(data_key="createdAt", required=True)
    updated_at = Timestamp(data_key="updatedAt", required=True)


class PromptQuery(PageQuery):
    """Filters of the list of prompts."""

    model = Text(minimum=1, metadata={"description": "Exactly this model"})
    tag = Text(minimum=1, metadata={"description": "Has exactly this tag"})


class SearchQuery(PageQuery):
    """What to search for; the cursor begins with the relevance."""

    cursor = Cursor(f"[0-9]-{TIME}-{SEQUENCE}")
    q = Text(
        required=True,
        minimum=1,
        maximum=QUERY_MAX,
        blank=False,
        metadata={"description": "Words or parts of words, in any script; punctuation is literal", "example": "photo"},
    )


class VersionOut(Schema):
    """One state of a prompt."""

    number = fields.Integer(data_key="version", required=True)
    content = fields.String(required=True)
    model = fields.String(required=True)
    labels = fields.List(fields.String(), required=True)
    created_at = Timestamp(data_key="createdAt", required=True)
    created_by = fields.String(data_key="createdBy", required=True)


class VersionQuery(PageQuery):
    """The query parameters of the list of versions; its cursor is a version's number."""

    cursor = Cursor("[0-9]{1,9}")


class LabelIn(CreateSchema):
    """Where a label sits."""

    version = WholeNumber(required=True, minimum=1, maximum=2**31 - 1, metadata={"example": 1})


class DiffQuery(Schema):
    """What to compare."""

    before = Text(data_key="from", required=True, minimum=1, metadata={"description": VERSION_NAME, "example": "1"})
    after = Text(data_key="to", required=True, minimum=1, metadata={"description": VERSION_NAME, "example": "latest"})


class ModelChangeOut(Schema):
    """The models of two versions."""

    before = fields.String(data_key="from", required=True)
    after = fields.String(data_key="to", required=True)


class DiffOut(Schema):
    """What changed from one version to another."""

    before = fields.Integer(data_key="from", required=True)
    after = fields.Integer(data_key="to", required=True)
    model = fields.Nested(ModelChangeOut(), required=True)
    diff = fields.String(required=True, metadata={"description": "Unified diff of the content; empty when it is equal"})


class RenderIn(CreateSchema):
    """Values for the variables of a version."""

    variables = JsonObject(required=True, metadata={"example": {"age": "12"}})
    version = Text(
        allow_none=True,
        minimum=1,
        metadata={"type": ["string", "integer"], "minimum": 1, "description": VERSION_NAME, "example": "latest"},
    )

    @pre_load
    def accept_number(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Take a version's number as a number too."""
        version = data.get("version")
        return {**data, "version": str(version)} if type(version) is int else data


class RenderOut(Schema):
    """A version's text, ready to be sent to its model."""

    text = fields.String(required=True)
    model = fields.String(required=True)
    version = fields.Integer(required=True)
