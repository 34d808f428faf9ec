"""What prompts look like on the wire."""

from typing import Any

from marshmallow import Schema, fields, pre_load

from promptcrafter.http.fields import PatternText, Tags, Text, Timestamp, WholeNumber
from promptcrafter.http.page_query import SEQUENCE, TIME, Cursor, PageQuery
from promptcrafter.http.schemas import BodySchema, CreateSchema, FieldGroup, JsonObject
from promptcrafter.ids import pattern

TITLE_MIN, TITLE_MAX = 3, 100  # characters
MODEL_MAX = 200
TAGS_MAX, TAG_MAX = 100, 100
QUERY_MAX = 500
VERSION_NAME = "A version's number, a label, or `latest`"
SLUG = r"^[a-z0-9-]{1,120}$"
SLUG_RULE = "must consist of 1 to 120 lower-case letters, digits and hyphens"


def title_field(required: bool) -> Text:
    """Return the field of a title, as a request or an export has it."""
    return Text(
        required=required,
        allow_none=not required,
        minimum=TITLE_MIN,
        maximum=TITLE_MAX,
        blank=False,
        metadata={"example": "Explain the Industrial Revolution"},
    )


def version_fields(required: bool) -> FieldGroup:
    """Return the fields that make up a version, as a request or an export has them: one that changes makes a new one.

    What is added here belongs into `version_fields_out`, too.
    """
    return {
        "content": Text(
            required=required,
            allow_none=not required,
            minimum=1,
            metadata={"example": "Explain the Industrial Revolution to a twelve-year-old."},
        ),
        "model": Text(
            required=required,
            allow_none=not required,
            minimum=1,
            maximum=MODEL_MAX,
            blank=False,
            metadata={"example": "gpt-4o", "description": "Free text"},
        ),
    }


def version_fields_out() -> FieldGroup:
    """Return the fields of `version_fields` as PromptOut and VersionOut show them."""
    return {"content": fields.String(required=True), "model": fields.String(required=True)}


def tags_field(required: bool = False) -> Tags:
    """Return the field of a prompt's tags, as a request or an export has it."""
    return Tags(
        required=required,
        allow_none=not required,
        maximum=TAGS_MAX,
        maximum_length=TAG_MAX,
        metadata={"example": ["history", "school"], "description": "A repeated tag is kept once"},
    )


def slug_field(required: bool = False) -> Text:
    """Return the field of a prompt's slug, as a request or an export has it."""
    described = {"description": "Unique among the owner's; made from the title if absent"}
    return PatternText(SLUG, SLUG_RULE, required=required, allow_none=not required, metadata=described)


def prompt_fields(required: bool) -> FieldGroup:
    """Return the fields of PromptIn, where some are required, and of PromptPatch, where none is."""
    return {
        "title": title_field(required),
        **version_fields(required),
        "tags": tags_field(),
        "slug": slug_field(),
    }


class PromptIn(CreateSchema):
    """A new prompt."""

    locals().update(prompt_fields(required=True))


class PromptPatch(BodySchema):
    """Changes to a prompt; null leaves a field alone."""

    locals().update(prompt_fields(required=False))


class PromptOut(Schema):
    """A prompt as it is now."""

    id = fields.String(data_key="_id", required=True, metadata={"pattern": pattern("prompt")})
    owner_id = fields.String(data_key="ownerId", required=True)
    slug = fields.String(required=True)
    title = fields.String(required=True)
    locals().update(version_fields_out())
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
    locals().update(version_fields_out())
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
