"""The requests, responses and query parameters of scores and of their configurations."""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields, post_load, validates_schema

from promptcrafter.http.fields import (
    ERRORS,
    BoundedList,
    ForeignId,
    Number,
    PatternText,
    Text,
    Timestamp,
    TimestampText,
    as_number,
)
from promptcrafter.http.page_query import PageQuery
from promptcrafter.http.schemas import Batch, BodySchema, CreateSchema, SparseSchema, result_fields
from promptcrafter.ids import pattern
from promptcrafter.logs.fields import SCORE_MAX
from promptcrafter.logs.models import ANNOTATORS, DEFAULT_NAME, OF_TRACE
from promptcrafter.problems import Invalid

NAME = r"^[A-Za-z][A-Za-z0-9 _.\-]{0,63}$"
NAME_RULE = "must be a letter and up to 63 letters, digits, blanks, `_`, `.` or `-`"
NAME_EXAMPLE = "helpfulness"
CATEGORY_MAX = 64  # characters
COMMENT_MAX = 10_000
IDENTIFIER_MAX = 64
BATCH_MAX = 1000
CATEGORIES_MAX = 100
DESCRIPTION_MAX = 1000
DIRECTIONS = ("up", "down", "none")
_VALUE_RULE = f"must be a number, true, false or a text of 1 to {CATEGORY_MAX} characters"
_NUMBER, _CATEGORY = Number(), Text(minimum=1, maximum=CATEGORY_MAX, blank=False)


class ScoreValue(fields.Raw):
    """A number, a boolean or a short text. Loads to the pair of its kind and itself."""

    default_error_messages = {**ERRORS, "invalid": _VALUE_RULE}

    def __init__(self, **kwargs: Any) -> None:
        described = {"type": ["number", "boolean", "string"], "minLength": 1, "maxLength": CATEGORY_MAX}
        super().__init__(metadata={**described, "example": 8, **kwargs.pop("metadata", {})}, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> tuple[str, Any]:
        if isinstance(value, bool):
            return "boolean", value
        if isinstance(value, int | float):
            return "number", _NUMBER.deserialize(value)
        if isinstance(value, str):
            return "category", _CATEGORY.deserialize(value)
        raise self.make_error("invalid")

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        return as_number(value) if isinstance(value, float) else value


def split_value(values: dict[str, Any]) -> dict[str, Any]:
    """Replace the pair that ScoreValue loaded by the columns of a score; return `values`."""
    if "value" in values:
        kind, value = values.pop("value")
        is_category = kind == "category"
        values |= {"value_kind": kind, "category": value if is_category else None}
        values["number"] = None if is_category else float(value)
    return values


def refuse_default_beyond_scale(values: Mapping[str, Any]) -> None:
    """Raise ValidationError unless a score named `score` has a value on the scale of the `score` of a log."""
    kind, value = values.get("value", ("number", 0))
    if values.get("name") == DEFAULT_NAME and (kind != "number" or not 0 <= value <= SCORE_MAX):
        raise ValidationError(f"must be a number from 0 to {SCORE_MAX} for the name {DEFAULT_NAME}", "value")


def name_field(**kwargs: Any) -> PatternText:
    """Return the field of a score's name."""
    return PatternText(NAME, NAME_RULE, **kwargs)


_NAME_FIELD = name_field()


def refuse_malformed_name(name: str) -> None:
    """Raise 400 for what is no name of a score."""
    try:
        _NAME_FIELD.deserialize(name)
    except ValidationError as error:
        raise Invalid({"name": [NAME_RULE]}) from error


def comment_field() -> Text:
    """Return the field of a score's comment."""
    return Text(allow_none=True, maximum=COMMENT_MAX, metadata={"example": "Clear, but too long."})


def _refuse_identifier_of_trace(identifier: str) -> None:
    if OF_TRACE.fullmatch(identifier):
        raise ValidationError("must not have the form of one of a score of a trace")


class ScoreIn(CreateSchema):
    """A score of a log; loads to its columns. Sent again with the same keys, it replaces the one before."""

    name = name_field(required=True, metadata={"example": NAME_EXAMPLE})
    value = ScoreValue(required=True)
    comment = comment_field()
    annotator = Text(
        choices=ANNOTATORS,
        metadata={"description": "Who judged: by default `human` for a token and `code` for an API key"},
    )
    identifier = Text(
        maximum=IDENTIFIER_MAX,
        load_default="",
        validate=_refuse_identifier_of_trace,
        metadata={"description": "Tells apart several judges or runs of one program", "example": ""},
    )

    @validates_schema
    def refuse_beyond_scale(self, data: dict[str, Any], **kwargs: Any) -> None:
        """Reject a value that a log's `score` cannot have under that name."""
        refuse_default_beyond_scale(data)

    @post_load
    def to_columns(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Split the value into columns."""
        return split_value({"comment": None, **data})


class BatchScoreIn(ScoreIn):
    """A score and the log that it is about."""

    log_id = ForeignId(data_key="logId", required=True, metadata={"pattern": pattern("log")})


class ScoreBatchIn(CreateSchema):
    """Several scores."""

    scores = Batch(BatchScoreIn(), "score", maximum=BATCH_MAX, required=True)


class ScoreResult(Schema):
    """The result of one score of a batch: an error, or its id. Status 200 means that it replaced an earlier one."""

    locals().update(result_fields("score"))


class ScoreBatchOut(Schema):
    """The results of a batch, in the order of its scores."""

    results = fields.List(fields.Nested(ScoreResult()), required=True)


class ScorePatch(BodySchema):
    """Changes to a score; null removes its comment."""

    value = ScoreValue()
    comment = comment_field()

    @post_load
    def to_columns(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Split the value into columns."""
        return split_value(data)


class RaterOut(Schema):
    """Who gave a score."""

    user_id = fields.String(data_key="userId", required=True)
    name = fields.String(required=True)


class ScoreOut(SparseSchema):
    """A score of a log."""

    id = fields.String(data_key="_id", required=True, metadata={"pattern": pattern("score")})
    log_id = fields.String(data_key="logId", required=True, metadata={"pattern": pattern("log")})
    name = fields.String(required=True)
    value_kind = fields.String(data_key="kind", required=True, metadata={"enum": ["number", "boolean", "category"]})
    value = ScoreValue(required=True)
    comment = fields.String(required=True, allow_none=True)
    annotator = fields.String(required=True, metadata={"enum": ANNOTATORS})
    author = fields.Nested(
        RaterOut(),
        required=True,
        allow_none=True,
        metadata={"description": "Null for an imported score whose author the file does not name"},
    )
    sent_identifier = fields.String(data_key="identifier", required=True)
    is_imported = fields.Boolean(
        data_key="imported",
        required=True,
        metadata={"description": "Whether it came with an import; its author is then no account of this server"},
    )
    created_at = Timestamp(data_key="createdAt", required=True)
    updated_at = Timestamp(data_key="updatedAt", required=True)
    trace_id = fields.String(
        data_key="traceId",
        metadata={
            "description": "Of a score of a whole trace, which is kept at its last output, or of a step of it",
            "pattern": pattern("trace"),
        },
    )
    span_id = fields.String(
        data_key="spanId", metadata={"description": "Of a score of a step of a trace: the client's id of the step"}
    )


class ScoresOfLogQuery(PageQuery):
    """The page of the scores of one log."""


class ScoreQuery(PageQuery):
    """The filters of the list of scores, which are combined by AND."""

    name = name_field(metadata={"description": "Scores of this name"})
    annotator = Text(choices=ANNOTATORS, metadata={"description": "Scores that people, judges or code gave"})
    author = ForeignId(
        metadata={
            "description": "The id of the account that gave them, here or where they come from",
            "pattern": pattern("user"),
        }
    )
    promptId = ForeignId(metadata={"description": "Scores of logs of this prompt", "pattern": pattern("prompt")})
    since = TimestampText(description="Given at this time or later, such as `2024-06-20T13:10:00Z`")
    until = TimestampText(description="Given before this time")


class ScoreConfigIn(CreateSchema):
    """What the scores of one name must be."""

    kind = Text(required=True, choices=("number", "boolean", "category"), metadata={"example": "number"})
    minimum = Number(data_key="min", metadata={"example": 1, "description": "Of numbers only"})
    maximum = Number(data_key="max", metadata={"example": 5, "description": "Of numbers only"})
    categories = BoundedList(
        Text(minimum=1, maximum=CATEGORY_MAX, blank=False),
        minimum=1,
        maximum=CATEGORIES_MAX,
        error_messages={**ERRORS, "invalid": "must be an array of strings"},
        metadata={"description": "Of categories only; required for them"},
    )
    direction = Text(
        choices=DIRECTIONS,
        load_default="none",
        metadata={"description": "Which values are better: higher ones, lower ones, or neither", "example": "up"},
    )
    description = Text(
        maximum=DESCRIPTION_MAX, load_default="", metadata={"example": "How much the answer helps the customer."}
    )

    @validates_schema
    def refuse_contradictions(self, data: dict[str, Any], **kwargs: Any) -> None:
        """Reject settings that another kind has, and an empty range."""
        kind = data.get("kind")
        for name, key in (("minimum", "min"), ("maximum", "max")):
            if name in data and kind not in (None, "number"):
                raise ValidationError("is for numbers only", key)
        if "categories" in data and kind not in (None, "category"):
            raise ValidationError("is for the kind category only", "categories")
        if kind == "category" and "categories" not in data:
            raise ValidationError("is required: the texts that a score may be", "categories")
        if kind == "category" and data["direction"] != "none":
            raise ValidationError("must be none for categories, which have no order", "direction")
        if "minimum" in data and "maximum" in data and data["minimum"] > data["maximum"]:
            raise ValidationError("must not be less than min", "max")
        if len(set(data.get("categories", ()))) < len(data.get("categories", ())):
            raise ValidationError("must not have a text twice", "categories")

    @post_load
    def complete(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Fill in what was not sent."""
        return {"minimum": None, "maximum": None, "categories": None, **data}


class ScoreConfigOut(SparseSchema):
    """What the scores of one name must be."""

    name = fields.String(required=True)
    kind = fields.String(required=True)
    minimum = Number(data_key="min", required=True, allow_none=True)
    maximum = Number(data_key="max", required=True, allow_none=True)
    categories = fields.List(fields.String(), required=True, allow_none=True)
    direction = fields.String(required=True, metadata={"enum": DIRECTIONS})
    description = fields.String(required=True)
    created_at = Timestamp(data_key="createdAt", required=True)
    updated_at = Timestamp(data_key="updatedAt", required=True)
