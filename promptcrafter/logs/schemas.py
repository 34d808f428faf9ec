"""What logs look like on the wire."""

from collections.abc import Mapping
from typing import Any

from flask import current_app
from marshmallow import Schema, ValidationError, fields, post_load, pre_load, validates_schema

from promptcrafter.http.fields import (
    ForeignId,
    Number,
    QueryInteger,
    QueryNumber,
    Text,
    TextOut,
    Timestamp,
    TimestampIn,
    TimestampText,
    WholeNumber,
)
from promptcrafter.http.page_query import RANK, SEQUENCE, TIME, Cursor, PageQuery
from promptcrafter.http.schemas import (
    Batch,
    BodySchema,
    CreateSchema,
    FieldGroup,
    JsonObject,
    SparseSchema,
    TextAndFormat,
    split_formats,
)
from promptcrafter.ids import pattern
from promptcrafter.jsonio import dumps
from promptcrafter.problems import TooLarge
from promptcrafter.prompts.schemas import MODEL_MAX, QUERY_MAX

SCORE_MAX = 10
BATCH_MAX = 1000
NATIVE = "promptcrafter"
SOURCES = (NATIVE, "basalt", "agenttest", "llm", "promptfoo")
SORTS = ("-createdAt", "createdAt", "-score", "score")


def read_model(values: Mapping[str, Any], *names: str) -> str | None:
    """Return the first of the values, `model` unless others are named, that may be the name of a model."""
    found = (values.get(name) for name in names or ("model",))
    return next((name for name in found if isinstance(name, str) and 0 < len(name) <= MODEL_MAX), None)


def output_bytes(output: Any) -> int:
    """Return the bytes of an output as it is stored, of whatever a field loads: text, JSON or `(text, format)`."""
    if isinstance(output, tuple):
        output, _ = output
    return len((output if isinstance(output, str) else dumps(output)).encode())


def refuse_large_output(output: Any) -> None:
    """Validate that an output has at most MAX_OUTPUT_BYTES. Raises TooLarge."""
    limit: int = current_app.config["MAX_OUTPUT_BYTES"]
    size = output_bytes(output)
    if size > limit:
        raise TooLarge("output", limit, size)


def review_fields() -> FieldGroup:
    """Return the fields of a review, as a request or an export has them."""
    return {
        "notes": Text(allow_none=True, metadata={"example": "Clear, accessible explanation for students."}),
        "score": Number(allow_none=True, minimum=0, maximum=SCORE_MAX, metadata={"example": 8}),
    }


def call_fields(time: type[fields.Field[Any]]) -> FieldGroup:
    """Return the fields about the call of the model: LogIn, LogOut and the line of an export all have them.

    A number or an object that is added here is accepted, shown, exported and imported under the attribute's name.
    `time` is the type of a time in that direction.
    """
    return {
        "variables": JsonObject(),
        "start_time": time(data_key="startTime"),
        "end_time": time(data_key="endTime"),
        "latency_ms": Number(data_key="latencyMs", minimum=0),
        "input_tokens": Number(data_key="inputTokens", minimum=0),
        "output_tokens": Number(data_key="outputTokens", minimum=0),
        "cost": Number(minimum=0, metadata={"description": "US dollars"}),
    }


class LogIn(CreateSchema):
    """An output to keep; loads to the columns of a log."""

    prompt_id = ForeignId(data_key="promptId", required=True, metadata={"example": "prompt_01jz8x4m5n6p7q8r9s0t1v2w3x"})
    output = Text(
        required=True,
        minimum=1,
        validate=refuse_large_output,
        metadata={"example": "It changed how people lived and worked."},
    )
    model_used = Text(
        data_key="modelUsed",
        required=True,
        minimum=1,
        maximum=MODEL_MAX,
        metadata={"example": "Claude 3 Sonnet", "description": "`model` is taken as another name of it"},
    )
    locals().update(review_fields())
    prompt_version = WholeNumber(
        data_key="promptVersion",
        minimum=1,
        maximum=2**31 - 1,
        metadata={"description": "The latest unless sent"},
    )
    input = TextAndFormat()
    ideal_output = TextAndFormat(data_key="idealOutput")
    locals().update(call_fields(TimestampIn))
    meta = JsonObject(data_key="metadata")

    @pre_load
    def accept_model(self, data: Mapping[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Take `model` for `modelUsed`, as the older documents print it."""
        values = dict(data)
        if values.get("modelUsed") is None and "model" in values:
            values["modelUsed"] = values["model"]
        return values

    @post_load
    def split_formats(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Load the text and the format of what may be text or JSON to a column each."""
        return split_formats(data, ("input", "ideal_output"))


class LogBatchIn(CreateSchema):
    """Outputs to keep."""

    logs = Batch(LogIn(), maximum=BATCH_MAX, required=True)


class LogResult(Schema):
    """What became of one of them: 201 and its id, or what was wrong with it."""

    status = fields.Integer(required=True)
    id = fields.String(data_key="_id", metadata={"pattern": pattern("log")})
    message = fields.String()
    error = fields.String()
    code = fields.String()
    details = fields.Dict(keys=fields.String(), values=fields.List(fields.String()))


class LogBatchOut(Schema):
    """What became of each, in their order."""

    results = fields.List(fields.Nested(LogResult()), required=True)


class LogPatch(BodySchema):
    """A verdict after the fact; null clears."""

    locals().update(review_fields())


class LogOut(SparseSchema):
    """An output that was kept. A format `json` says that the text beside it is JSON that was sent as such."""

    id = fields.String(data_key="_id", required=True, metadata={"pattern": pattern("log")})
    prompt_id = fields.String(
        data_key="promptId",
        required=True,
        allow_none=True,
        metadata={"description": "Null only where another system's client named no prompt of ours"},
    )
    prompt_version = fields.Integer(data_key="promptVersion", required=True, allow_none=True)
    output = TextOut(required=True)
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
        fields.String(), metadata={"description": "Which of inputTokens, outputTokens and cost were not sent"}
    )
    priced_as = fields.String(
        data_key="pricedAs", metadata={"description": "Provider and model that a computed cost was taken from"}
    )
    meta = JsonObject(data_key="metadata")
    source = fields.String(metadata={"description": "The API it came by, unless it is this one"})
    name = fields.String()
    prompt_reference = JsonObject(
        data_key="promptReference", metadata={"description": "The slug, version and tag that the client named"}
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


class LogQuery(PageQuery):
    """Filters of the list of logs, all of which must hold, and its order."""

    cursor = Cursor(f"({RANK}-)?{TIME}-{SEQUENCE}")
    promptId = ForeignId(metadata={"description": "Of this prompt only", "pattern": pattern("prompt")})
    promptVersion = QueryInteger(
        minimum=1, maximum=2**31 - 1, metadata={"description": "Of this version only; with `promptId`"}
    )
    model = Text(minimum=1, metadata={"description": "Exactly this modelUsed"})
    minScore = QueryNumber(minimum=0, maximum=SCORE_MAX, metadata={"description": "Scored this or better"})
    maxScore = QueryNumber(minimum=0, maximum=SCORE_MAX, metadata={"description": "Scored this or worse"})
    since = TimestampText(description="Made at this time or later")
    until = TimestampText(description="Made before this time")
    source = Text(choices=SOURCES, metadata={"description": f"By which API it came; {NATIVE} is this one"})
    q = Text(
        minimum=1,
        maximum=QUERY_MAX,
        metadata={
            "description": "With all these words in output or notes; `word*` is any word that begins so",
            "example": "lived work*",
        },
    )
    sort = Text(
        choices=SORTS, load_default=SORTS[0], metadata={"description": "Logs without a score stand below all others"}
    )

    @validates_schema
    def refuse_contradictions(self, data: dict[str, Any], **kwargs: Any) -> None:
        """Refuse what makes no sense together."""
        if "promptVersion" in data and "promptId" not in data:
            raise ValidationError("needs promptId beside it", "promptVersion")
        if "cursor" in data and data["cursor"].count("-") != 1 + data["sort"].endswith("score"):
            raise ValidationError("is not one that this list gave", "cursor")

    @post_load
    def name_no_source(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Our own logs have no source."""
        return {**data, "source": None} if data.get("source") == NATIVE else data


class PromptLogQuery(PageQuery):
    """Whose logs to list."""

    promptId = ForeignId(required=True, metadata={"description": "Of this prompt", "pattern": pattern("prompt")})
