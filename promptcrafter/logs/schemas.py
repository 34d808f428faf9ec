"""The requests, responses and query parameters of logs."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from flask import current_app
from marshmallow import Schema, ValidationError, fields, missing, post_load, pre_load, validates_schema

from promptcrafter.http.fields import (
    ERRORS,
    ForeignId,
    NamedTexts,
    Number,
    PatternText,
    QueryFlag,
    QueryNumber,
    RepeatedText,
    Text,
    TextOut,
    Timestamp,
    TimestampIn,
    TimestampText,
)
from promptcrafter.http.ignored_fields import note_ignored
from promptcrafter.http.page_query import RANK, SEQUENCE, TIME, Cursor, PageQuery
from promptcrafter.http.schemas import (
    Batch,
    BodySchema,
    CreateSchema,
    FieldGroup,
    JsonObject,
    SparseSchema,
    TextAndFormat,
    result_fields,
    split_formats,
)
from promptcrafter.ids import pattern
from promptcrafter.jsonio import dumps
from promptcrafter.logs.questions import INPUT, NOTES, TEXTS
from promptcrafter.logs.usage import INPUT_COUNTS, OUTPUT_COUNTS, find_excess, read_usage
from promptcrafter.problems import TooLarge
from promptcrafter.prompts.fields import (
    A_LABEL,
    MODEL_MAX,
    QUERY_MAX,
    TAGS_MAX,
    VERSION_NAME,
    QueryVersionReference,
    VersionReference,
    refuse_bad_label,
)

SCORE_MAX = 10
BATCH_MAX = 1000
FAILED = "error"  # the status of a failed call; that of all others is stored as NULL
STATUSES = ("ok", FAILED)
ERROR_MAX = 20_000  # characters, enough for a stack trace
ORIGIN_MAX = 256  # characters of the names of a user, a session and an environment
NATIVE = "promptcrafter"
SOURCES = (NATIVE, "basalt", "agenttest", "llm", "promptfoo", "otlp")
_EXCESSES = {
    "cached_input_tokens": "must not exceed inputTokens, of which it is a part",
    "cache_write_tokens": "must not exceed, together with cachedInputTokens, inputTokens, of which both are parts",
    "reasoning_tokens": "must not exceed outputTokens, of which it is a part",
}
SORTS = ("-createdAt", "createdAt", "-score", "score", "best", "worst")
METADATA_FILTERS_MAX = 5
_SCORE_RANGE = f"from 0 to {SCORE_MAX} unless `scoreName` is given"


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


def token_part_fields() -> FieldGroup:
    """Return the fields for tokens that are a part of others and have a price of their own.

    LogOut has them last, so that the columns of a list as CSV keep their positions.
    """
    of_input, of_output = "A part of inputTokens", "A part of outputTokens"
    return {
        "cached_input_tokens": Number(
            data_key="cachedInputTokens", minimum=0, metadata={"description": f"{of_input}: read from a cache"}
        ),
        "cache_write_tokens": Number(
            data_key="cacheWriteTokens", minimum=0, metadata={"description": f"{of_input}: written to a cache"}
        ),
        "reasoning_tokens": Number(
            data_key="reasoningTokens", minimum=0, metadata={"description": f"{of_output}: not visible in the output"}
        ),
    }


def outcome_fields(statuses: Sequence[str] = (FAILED,)) -> FieldGroup:
    """Return the fields about how a call ended and what it was made for, for LogIn, LogOut and LogLine of an export.

    LogOut has them last, as those of `token_part_fields`. A request may say `ok`, which is not stored.
    """

    def origin(name: str, description: str) -> Text:
        return Text(data_key=name, minimum=1, maximum=ORIGIN_MAX, metadata={"description": description})

    return {
        "status": Text(
            choices=statuses, metadata={"description": "`error` if the call failed; only that is stored and shown"}
        ),
        "error": Text(
            minimum=1,
            maximum=ERROR_MAX,
            metadata={"description": "What failed; needs the status `error`"},
        ),
        "user_id": origin("userId", "For whom the call was made: a user of yours, who needs no account here"),
        "session_id": origin("sessionId", "The conversation or session that the call belongs to"),
        "environment": origin("environment", "Where the call was made, such as `production`"),
        "parameters": JsonObject(metadata={"description": "The parameters of the call, such as the temperature"}),
        "provider": origin("provider", "Who served the model, such as `openai` or `azure`; prices differ by provider"),
    }


def usage_fields() -> FieldGroup:
    """Return the fields that take a `usage` object; a schema with them passes what it loads to `complete_counts`."""
    return {
        "usage": fields.Raw(
            error_messages=ERRORS,
            metadata={
                "description": "The token counts of the model's response, as OpenAI, Anthropic or Google spell them. "
                "Used where the fields above are absent",
                "example": {"prompt_tokens": 42, "completion_tokens": 128},
            },
        ),
        "usage_metadata": fields.Raw(
            error_messages=ERRORS,
            data_key="usageMetadata",
            metadata={"description": "Google's name of `usage`"},
        ),
    }


def complete_counts(values: dict[str, Any]) -> dict[str, Any]:
    """Replace the `usage` object among a log's loaded values by the counts in it that were not sent as fields.

    A count of input or of output that was sent as a field takes precedence over all counts of that side. A malformed
    object is ignored and named in `X-Ignored-Fields`. Raises ValidationError if a part exceeds its whole, and in strict
    mode for a malformed object.
    """
    for name, key in (("usage", "usage"), ("usage_metadata", "usageMetadata")):
        usage = values.pop(name, None)
        if usage is None:
            continue
        found = read_usage(usage)
        if found is None:
            note_ignored(key, "must be an object with token counts as a provider's response has them")
            continue
        counts, apart = found
        free = [side for side in (INPUT_COUNTS, OUTPUT_COUNTS) if not any(column in values for column in side)]
        taken = {column: counts[column] for side in free for column in side if column in counts}
        if not taken and any(values.get(column) != count for column, count in counts.items()):
            note_ignored(key, "has no effect beside other token counts")
            continue
        values |= taken
        if apart and "cost" not in values:
            values["priced"] = {"unpriced": apart}
    excess = find_excess(values)
    if excess is not None:
        raise ValidationError(_EXCESSES[excess], token_part_fields()[excess].data_key or excess)
    return values


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


class _Texts(Text):
    """Names of texts of a log, separated by commas; loads to a tuple of them. The input must be indexed."""

    def __init__(self, **kwargs: Any) -> None:
        name = f"({'|'.join(TEXTS)})"
        described = {"pattern": f"^{name}(,{name}){{0,{len(TEXTS) - 1}}}$", **kwargs.pop("metadata", {})}
        super().__init__(metadata=described, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        names = value.split(",", len(TEXTS))
        if len(names) > len(TEXTS) or not set(names) <= set(TEXTS):
            raise ValidationError(f"must be one or more of {', '.join(TEXTS)}, separated by commas")
        if INPUT in names and not current_app.config["INDEX_INPUT"]:
            raise ValidationError("may have input only on a server with the setting INDEX_INPUT=on")
        return tuple(name for name in TEXTS if name in names)


class LogFilters(Schema):
    """The filters of logs, which are combined by AND: for the list, and for whatever else is about chosen logs."""

    promptId = ForeignId(metadata={"description": "Logs of this prompt only", "pattern": pattern("prompt")})
    promptVersion = QueryVersionReference(
        metadata={"description": f"Logs of this version only: {VERSION_NAME}; needs `promptId`"}
    )
    model = Text(
        minimum=1,
        metadata={
            "description": "Logs with exactly this modelUsed; before a `*` at its end, with one that begins so, such "
            "as `claude-3-5-sonnet*`"
        },
    )
    minScore = QueryNumber(metadata={"description": f"Logs with at least this score, {_SCORE_RANGE}"})
    maxScore = QueryNumber(metadata={"description": f"Logs with at most this score, {_SCORE_RANGE}"})
    since = TimestampText(description="Created at this time or later, such as `2024-06-20T13:10:00Z` or `7d`")
    until = TimestampText(description="Created before this time")
    source = Text(
        choices=SOURCES, metadata={"description": f"The API that the logs were sent to; {NATIVE} is the native one"}
    )
    q = Text(
        minimum=1,
        maximum=QUERY_MAX,
        metadata={
            "description": "Logs with all these words in output or notes, such as `lived work*`; `word*` matches any "
            'word that begins so, `"two words"` the words in this order, and what `-` is before must be absent',
        },
    )
    texts = _Texts(data_key="in", metadata={"description": "The texts of a log that `q` is about"})
    scored = QueryFlag(metadata={"description": "Logs that have a score, or that have none"})
    scoreName = Text(
        minimum=1,
        maximum=64,
        metadata={"description": "`scored`, `minScore` and `maxScore` are about all scores of this name, by anybody"},
    )
    hasNotes = QueryFlag(metadata={"description": "Logs that have notes, or that have none"})
    tags = RepeatedText(
        Text(minimum=1),
        maximum=TAGS_MAX,
        data_key="tag",
        metadata={"description": "Logs of prompts with this tag; if given several times, with all of the tags"},
    )
    label = Text(
        validate=refuse_bad_label,
        metadata={**A_LABEL, "description": "Logs of the version that this label of their prompt is on now"},
    )
    startedSince = TimestampText(description="With a startTime at this time or later")
    startedUntil = TimestampText(description="With a startTime before this time")
    metadata = NamedTexts(
        "metadata",
        maximum=METADATA_FILTERS_MAX,
        maximum_length=500,
        metadata={
            "description": "`metadata.KEY=VALUE`: logs whose metadata have this key, at their top level, with this "
            "text, or the number, boolean or null of which it is the JSON"
        },
    )
    status = Text(choices=STATUSES, metadata={"description": "Logs of failed calls (`error`), or of all others"})
    userId = Text(minimum=1, maximum=ORIGIN_MAX, metadata={"description": "Logs with exactly this userId"})
    sessionId = Text(minimum=1, maximum=ORIGIN_MAX, metadata={"description": "Logs with exactly this sessionId"})
    environment = Text(minimum=1, maximum=ORIGIN_MAX, metadata={"description": "Logs with exactly this environment"})
    traceId = PatternText(
        pattern("trace"),
        "must be the id of a trace",
        metadata={"description": "Logs of the calls in this trace only"},
    )

    @validates_schema
    def refuse_contradictory_filters(self, data: dict[str, Any], **kwargs: Any) -> None:
        """Reject combinations without a meaning."""
        if "promptVersion" in data and "promptId" not in data:
            raise ValidationError("needs promptId beside it", "promptVersion")
        if "promptVersion" in data and "label" in data:
            raise ValidationError("must not be given beside promptVersion, which takes a label, too", "label")
        if "texts" in data and "q" not in data:
            raise ValidationError("needs q beside it", "in")
        if data.get("texts") == (NOTES,) and not data.get("hasNotes", True):
            raise ValidationError("must not be false beside in=notes", "hasNotes")
        for name in ("minScore", "maxScore"):
            if name not in data:
                continue
            if "scoreName" not in data and not 0 <= data[name] <= SCORE_MAX:
                raise ValidationError(f"must be a number from 0 to {SCORE_MAX}", name)
            if not data.get("scored", True):
                raise ValidationError("must not be false beside minScore or maxScore", "scored")

    @post_load
    def load_defaults_as_none(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Load the native API and the status `ok` as None, which is how logs have them."""
        defaults = {"source": NATIVE, "status": STATUSES[0]}
        return data | {name: None for name, value in defaults.items() if data.get(name) == value}


class LogQuery(LogFilters, PageQuery):
    """The order of the list of logs and its filters."""

    cursor = Cursor(f"({RANK}-)?{TIME}-{SEQUENCE}")
    sort = Text(
        choices=SORTS,
        load_default=SORTS[0],
        metadata={
            "description": "Logs without a score rank below all others, but with `worst` they come last. `best` is "
            "`-score`"
        },
    )

    @validates_schema
    def refuse_cursor_of_another_order(self, data: dict[str, Any], **kwargs: Any) -> None:
        """Reject a cursor that another order gave."""
        # statistics take the filters, and have neither order nor pages
        if "cursor" in data and data["cursor"].count("-") != 1 + (not data["sort"].endswith("createdAt")):
            raise ValidationError("is not one that this list gave", "cursor")


class PromptLogQuery(PageQuery):
    """The prompt whose logs to list."""

    promptId = ForeignId(required=True, metadata={"description": "Logs of this prompt", "pattern": pattern("prompt")})
