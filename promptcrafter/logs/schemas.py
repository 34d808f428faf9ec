"""The requests, responses and query parameters of logs."""

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
    """Return the first of the values under `names`, by default `model`, that can be a model's name; else None."""
    candidates = (values.get(name) for name in names or ("model",))
    return next((name for name in candidates if isinstance(name, str) and 0 < len(name) <= MODEL_MAX), None)


def output_bytes(output: Any) -> int:
    """Return the size in bytes that an output is stored with. Takes text, a JSON value or TextAndFormat's pair."""
    if isinstance(output, tuple):
        output, _ = output
    return len((output if isinstance(output, str) else dumps(output)).encode())


def refuse_large_output(output: Any) -> None:
    """Validate that an output takes at most MAX_OUTPUT_BYTES. Raises TooLarge, which the API answers with 413."""
    limit: int = current_app.config["MAX_OUTPUT_BYTES"]
    size = output_bytes(output)
    if size > limit:
        raise TooLarge("output", limit, size)


def review_fields() -> FieldGroup:
    """Return the fields of a review, for requests and lines of an export."""
    return {
        "notes": Text(allow_none=True, metadata={"example": "Clear, accessible explanation for students."}),
        "score": Number(allow_none=True, minimum=0, maximum=SCORE_MAX, metadata={"example": 8}),
    }


def call_fields(time: type[fields.Field[Any]]) -> FieldGroup:
    """Return the fields that describe the model's call, for LogIn, LogOut and LogLine of an export.

    `time` is the class of the fields for times. To add a number or a JSON object to logs, add a column to the model
    and a field here: it is then accepted, shown, exported and imported. Other types of fields, which requests and
    responses describe differently, are declared in each of the three schemas.
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
    """A new log; loads to its columns."""

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
        metadata={"example": "Claude 3 Sonnet", "description": "`model` is accepted as another name"},
    )
    locals().update(review_fields())
    prompt_version = WholeNumber(
        data_key="promptVersion",
        minimum=1,
        maximum=2**31 - 1,
        metadata={"description": "The latest version by default"},
    )
    input = TextAndFormat()
    ideal_output = TextAndFormat(data_key="idealOutput")
    locals().update(call_fields(TimestampIn))
    meta = JsonObject(data_key="metadata")

    @pre_load
    def accept_model(self, data: Mapping[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Accept `model` as another name of `modelUsed`, as older documentation has it."""
        values = dict(data)
        if values.get("modelUsed") is None and "model" in values:
            values["modelUsed"] = values["model"]
        return values

    @post_load
    def split_formats(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Split text and format into two columns."""
        return split_formats(data, ("input", "ideal_output"))


class LogBatchIn(CreateSchema):
    """Several new logs."""

    logs = Batch(LogIn(), maximum=BATCH_MAX, required=True)


class LogResult(Schema):
    """The result of one log of a batch: status 201 and its id, or an error."""

    status = fields.Integer(required=True)
    id = fields.String(data_key="_id", metadata={"pattern": pattern("log")})
    message = fields.String()
    error = fields.String()
    code = fields.String()
    details = fields.Dict(keys=fields.String(), values=fields.List(fields.String()))


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


class LogQuery(PageQuery):
    """The order of the list of logs and its filters, which are combined by AND."""

    cursor = Cursor(f"({RANK}-)?{TIME}-{SEQUENCE}")
    promptId = ForeignId(metadata={"description": "Logs of this prompt only", "pattern": pattern("prompt")})
    promptVersion = QueryInteger(
        minimum=1, maximum=2**31 - 1, metadata={"description": "Logs of this version only; needs `promptId`"}
    )
    model = Text(minimum=1, metadata={"description": "Logs with exactly this modelUsed"})
    minScore = QueryNumber(minimum=0, maximum=SCORE_MAX, metadata={"description": "Logs with at least this score"})
    maxScore = QueryNumber(minimum=0, maximum=SCORE_MAX, metadata={"description": "Logs with at most this score"})
    since = TimestampText(description="Created at this time or later, such as `2024-06-20T13:10:00Z`")
    until = TimestampText(description="Created before this time")
    source = Text(
        choices=SOURCES, metadata={"description": f"The API that the logs were sent to; {NATIVE} is the native one"}
    )
    q = Text(
        minimum=1,
        maximum=QUERY_MAX,
        metadata={
            "description": "Logs with all these words in output or notes, such as `lived work*`; `word*` matches any "
            "word that begins so",
        },
    )
    sort = Text(
        choices=SORTS, load_default=SORTS[0], metadata={"description": "Logs without a score rank below all others"}
    )

    @validates_schema
    def refuse_contradictions(self, data: dict[str, Any], **kwargs: Any) -> None:
        """Reject combinations without a meaning, and a cursor of another order."""
        if "promptVersion" in data and "promptId" not in data:
            raise ValidationError("needs promptId beside it", "promptVersion")
        if "cursor" in data and data["cursor"].count("-") != 1 + data["sort"].endswith("score"):
            raise ValidationError("is not one that this list gave", "cursor")

    @post_load
    def load_native_as_none(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Load the native API's name as None: its logs have no source."""
        return {**data, "source": None} if data.get("source") == NATIVE else data


class PromptLogQuery(PageQuery):
    """The prompt whose logs to list."""

    promptId = ForeignId(required=True, metadata={"description": "Logs of this prompt", "pattern": pattern("prompt")})
