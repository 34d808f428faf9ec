"""The requests and responses of logs. `fields.py` has what others share, `schemas_filters.py` the query parameters."""

from collections.abc import Mapping
from typing import Any, ClassVar

from marshmallow import Schema, ValidationError, fields, missing, post_load, pre_load, validates_schema

from promptcrafter.http.fields import ForeignId, Number, Text, TextOut, Timestamp, TimestampIn
from promptcrafter.http.ignored_fields import note_ignored
from promptcrafter.http.schemas import (
    Batch,
    BodySchema,
    CreateSchema,
    JsonObject,
    SparseSchema,
    TextAndFormat,
    result_fields,
    split_formats,
)
from promptcrafter.ids import pattern
from promptcrafter.logs.fields import (
    FAILED,
    SCORE_MAX,
    STATUSES,
    call_fields,
    complete_counts,
    outcome_fields,
    refuse_large_output,
    review_fields,
    token_part_fields,
    usage_fields,
)
from promptcrafter.prompts.fields import MODEL_MAX, VERSION_NAME, VersionReference

BATCH_MAX = 1000


class _Output(Text):
    """The output of a call, required unless the call failed; an empty text counts as absent."""

    def deserialize(self, value: Any, attr: str | None = None, data: Any = None, **kwargs: Any) -> Any:
        if value in (missing, ""):
            if isinstance(data, Mapping) and data.get("status") == FAILED:
                return missing
            raise self.make_error("required")
        return super().deserialize(value, attr, data, **kwargs)


class LogIn(CreateSchema):
    """A new log; loads to its columns."""

    other_names = ("model",)
    rules: ClassVar[dict[str, Any]] = {
        "if": {"required": ["status"], "properties": {"status": {"const": FAILED}}},
        "else": {
            "required": ["output"],
            "properties": {"output": {"type": "string", "minLength": 1}, "error": {"type": "null"}},
        },
    }

    prompt_id = ForeignId(data_key="promptId", required=True, metadata={"example": "prompt_01jz8x4m5n6p7q8r9s0t1v2w3x"})
    output = _Output(
        validate=refuse_large_output,
        metadata={
            "example": "It changed how people lived and worked.",
            "description": "Required, and not empty, unless `status` is `error`",
        },
    )
    model_used = Text(
        data_key="modelUsed",
        required=True,
        minimum=1,
        maximum=MODEL_MAX,
        metadata={"example": "Claude 3 Sonnet", "description": "`model` is accepted as another name"},
    )
    locals().update(review_fields())
    prompt_version = VersionReference(
        data_key="promptVersion",
        metadata={"description": f"{VERSION_NAME}, which is the default"},
    )
    input = TextAndFormat()
    ideal_output = TextAndFormat(data_key="idealOutput")
    locals().update(call_fields(TimestampIn))
    locals().update(token_part_fields())
    locals().update(usage_fields())
    meta = JsonObject(data_key="metadata")
    locals().update(outcome_fields(STATUSES))

    @pre_load
    def accept_model(self, data: Mapping[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Accept `model` as another name of `modelUsed`, as older documentation has it."""
        values = dict(data)
        if values.get("modelUsed") is None and "model" in values:
            values["modelUsed"] = values["model"]
        elif values.get("model") not in (None, values.get("modelUsed")):
            note_ignored("model", "must be absent or equal to modelUsed")
        return values

    @validates_schema
    def refuse_contradictions(self, data: Mapping[str, Any], **kwargs: Any) -> None:
        """Reject the error of a call that did not fail."""
        if "error" in data and data.get("status") != FAILED:
            raise ValidationError("needs the status error beside it", "error")

    @post_load
    def to_columns(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Split text and format into two columns, drop the status `ok`, and complete the token counts."""
        if data.get("status") != FAILED:
            data.pop("status", None)
        return complete_counts(split_formats(data, ("input", "ideal_output")))


class LogBatchIn(CreateSchema):
    """Several new logs."""

    logs = Batch(LogIn(), "log", maximum=BATCH_MAX, required=True)


class LogResult(Schema):
    """The result of one log of a batch: status 201 and its id, or an error."""

    locals().update(result_fields("log"))


class LogBatchOut(Schema):
    """The results of a batch, in the order of its logs."""

    results = fields.List(fields.Nested(LogResult()), required=True)


class LogPatch(BodySchema):
    """Changes to the review of a log; null removes notes or score."""

    locals().update(review_fields())


class LogOut(SparseSchema):
    """A log. If the format of a text is `json`, the text is the JSON of an object or array that was sent."""

    id = fields.String(data_key="_id", required=True, metadata={"pattern": pattern("log")})
    prompt_id = fields.String(
        data_key="promptId",
        required=True,
        allow_none=True,
        metadata={"description": "Null only if a client of another system named no known prompt"},
    )
    prompt_version = fields.Integer(data_key="promptVersion", required=True, allow_none=True)
    output = TextOut(required=True, metadata={"description": "Empty if a failed call had none"})
    notes = fields.String(required=True, allow_none=True)
    model_used = fields.String(data_key="modelUsed", required=True, allow_none=True)
    score = Number(required=True, allow_none=True, minimum=0, maximum=SCORE_MAX)
    output_format = fields.String(data_key="outputFormat")
    input = fields.String()
    input_format = fields.String(data_key="inputFormat")
    ideal_output = fields.String(data_key="idealOutput")
    ideal_output_format = fields.String(data_key="idealOutputFormat")
    locals().update(call_fields(Timestamp))
    computed = fields.List(
        fields.String(),
        metadata={
            "description": "Which of inputTokens, outputTokens and cost were computed because they were not sent"
        },
    )
    priced_as = fields.String(
        data_key="pricedAs", metadata={"description": "Provider and model whose price a computed cost is based on"}
    )
    meta = JsonObject(data_key="metadata")
    source = fields.String(metadata={"description": "The API that the log was sent to; absent for the native API"})
    name = fields.String()
    prompt_reference = JsonObject(
        data_key="promptReference", metadata={"description": "The slug, version and tag that the client sent"}
    )
    trace_id = fields.String(data_key="traceId")
    span_id = fields.String(data_key="spanId")
    parent_span_id = fields.String(data_key="parentSpanId")
    experiment_id = fields.String(data_key="experimentId")
    variant_key = fields.String(data_key="variantKey")
    metrics = JsonObject()
    context = JsonObject()
    created_at = Timestamp(data_key="createdAt", required=True)
    updated_at = Timestamp(data_key="updatedAt", required=True)
    locals().update(token_part_fields())
    priced = JsonObject(metadata={"description": "How a computed cost came about, or why a cost is not computed"})
    locals().update(outcome_fields())
