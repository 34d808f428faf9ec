"""The requests and responses of Langfuse's clients about scores."""

import hashlib
from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields, post_load, pre_load, validates_schema

from promptcrafter.http.fields import ERRORS, PatternText, Text
from promptcrafter.http.schemas import Batch, CreateSchema, SparseSchema
from promptcrafter.logs.models import OF_TRACE
from promptcrafter.problems import REQUIRED
from promptcrafter.scores.schemas import BATCH_MAX, IDENTIFIER_MAX, NAME_EXAMPLE, ScoreIn

SCORE_CREATE = "score-create"
_ID_MAX = 1000  # characters
# The kinds of values of each type; corrections are no scores
_KINDS = {"NUMERIC": "number", "BOOLEAN": "boolean", "CATEGORICAL": "category", "TEXT": "category", "CORRECTION": None}
_RULES = {"number": "a number", "boolean": "1, 0, true or false", "category": "a text"}
_TARGET = {"traceId": "0af7651916cd43dd8448eb211c80319c", "observationId": "b7ad6b7169203331"}
# OpenTelemetry's ids of no trace and of no span are all 0
_TRACE_ID, _SPAN_ID = "^(?!0{32}$)[0-9a-f]{32}$", "^(?!0{16}$)[0-9a-f]{16}$"


class LangfuseScoreIn(ScoreIn):
    """A score of a trace or an observation; loads to its columns. Sent again with the same id, it replaces itself."""

    class Meta(ScoreIn.Meta):
        exclude = ("annotator",)

    identifier = Text(
        data_key="id",
        maximum=_ID_MAX,
        load_default="",
        metadata={"description": "Tells apart several scores of one name", "example": "8f14e45f"},
    )
    trace_id = PatternText(
        _TRACE_ID,
        "must be the id of a trace of OpenTelemetry: 32 hexadecimal digits in lower case, not all 0",
        data_key="traceId",
        required=True,
        error_messages={"required": f"{REQUIRED}: scores of sessions and of dataset runs are not kept"},
        metadata={"example": _TARGET["traceId"]},
    )
    span_id = PatternText(
        _SPAN_ID,
        "must be the id of a span of OpenTelemetry: 16 hexadecimal digits in lower case, not all 0",
        data_key="observationId",
        metadata={
            "example": _TARGET["observationId"],
            "description": "Without it, the score is one of the whole trace",
        },
    )
    data_type = Text(
        data_key="dataType",
        choices=tuple(_KINDS),
        metadata={"description": "By default what fits the value. CORRECTION is not kept", "example": "NUMERIC"},
    )

    @pre_load
    def read_boolean(self, data: Any, **kwargs: Any) -> Any:
        """Read the number that stands for a boolean in Langfuse."""
        if not isinstance(data, dict) or data.get("dataType") != "BOOLEAN" or data.get("value") not in (0, 1):
            return data
        return {**data, "value": bool(data["value"])}

    @validates_schema
    def refuse_other_type(self, data: Mapping[str, Any], **kwargs: Any) -> None:
        """Refuse a value that is not of its type."""
        kind = _KINDS.get(data.get("data_type", ""), "")
        if kind is None:
            raise ValidationError("must not be CORRECTION: a corrected output is no score", "dataType")
        if kind and "value" in data and data["value"][0] != kind:
            raise ValidationError(f"must be {_RULES[kind]} for the type {data['data_type']}", "value")

    @post_load
    def shorten_identifier(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Replace an id that cannot be an identifier by its hash, and keep what was sent as `sent_id`."""
        identifier = sent_id = data["identifier"]
        if len(identifier) > IDENTIFIER_MAX or OF_TRACE.fullmatch(identifier):
            identifier = hashlib.sha256(identifier.encode()).hexdigest()[:IDENTIFIER_MAX]
        return {name: value for name, value in data.items() if name != "data_type"} | {
            "identifier": identifier,
            "sent_id": sent_id,
        }


def scores_array() -> Batch:
    """Return the field of an array of scores as the whole body."""
    return Batch(LangfuseScoreIn(), "score", maximum=BATCH_MAX)


class LangfuseScoreOut(Schema):
    """A single score that was stored."""

    id = fields.String(required=True, metadata={"description": "The id that was sent"})


class LangfuseAcceptedOut(Schema):
    """All scores of a list were stored."""

    message = fields.String(required=True, metadata={"example": "Accepted"})


class LangfuseScoreError(Schema):
    """Why a score was not stored."""

    message = fields.String(required=True)


class LangfuseScoresOut(Schema):
    """How many scores of a list were stored."""

    accepted = fields.Integer(required=True)
    rejected = fields.Integer(required=True)
    errors = fields.List(fields.Nested(LangfuseScoreError()), required=True)


class EventIn(CreateSchema):
    """An event of a batch; the body of one that is no score is not read."""

    id = Text(maximum=_ID_MAX, load_default="", metadata={"example": "5f4dcc3b"})
    type = Text(maximum=100, load_default="", metadata={"example": SCORE_CREATE})
    body = fields.Raw(
        load_default=None,
        error_messages=ERRORS,
        metadata={
            "type": "object",
            "additionalProperties": {},
            "example": {**_TARGET, "name": NAME_EXAMPLE, "value": 8},
        },
    )


class IngestionIn(CreateSchema):
    """Events, of which scores alone are kept."""

    batch = Batch(EventIn(), "event", maximum=BATCH_MAX, required=True)


class EventSuccess(Schema):
    """An event that was stored, or dropped because it is no score."""

    id = fields.String(required=True)
    status = fields.Integer(required=True, metadata={"example": 201})


class EventError(SparseSchema):
    """An event that was not stored."""

    id = fields.String(required=True)
    status = fields.Integer(required=True, metadata={"example": 400})
    message = fields.String(required=True)
    error = fields.String(required=True)


class IngestionOut(Schema):
    """The results of a batch."""

    successes = fields.List(fields.Nested(EventSuccess()), required=True)
    errors = fields.List(fields.Nested(EventError()), required=True)
