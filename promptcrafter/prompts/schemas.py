"""What prompts look like on the wire."""

from marshmallow import Schema, fields, validate

from promptcrafter.fields import BodySchema, CreateSchema, Tags, Text, Timestamp
from promptcrafter.ids import pattern
from promptcrafter.paging import SEQUENCE, TIME, Cursor, PageQuery

TITLE_MIN, TITLE_MAX = 3, 100  # characters
MODEL_MAX = 200
TAGS_MAX, TAG_MAX = 100, 100
QUERY_MAX = 500
SLUG = r"^[a-z0-9-]{1,120}$"


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
    rule = "must consist of 1 to 120 lower-case letters, digits and hyphens"
    field = Text(
        allow_none=True,
        metadata={"pattern": SLUG, "description": "Unique among the owner's; made from the title if absent"},
    )
    field.validators.append(validate.Regexp(SLUG.replace("$", r"\Z"), error=rule))
    return field


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
