"""The lines of an export. Each schema both writes its lines and reads them, strictly.

The fields that a line shares with requests and responses come from the schemas of logs, traces and prompts.
"""

import re
from collections.abc import Mapping
from typing import Any

from flask import current_app
from marshmallow import RAISE, Schema, ValidationError, fields, post_dump, post_load, pre_load, validates_schema

from promptcrafter import clock, ids
from promptcrafter.dialects.agenttest import METRICS_MAX
from promptcrafter.dialects.basalt.schemas import SPANS_MAX
from promptcrafter.experiments import schemas as experiments
from promptcrafter.http.fields import (
    ERRORS,
    BoundedList,
    Flag,
    ForeignId,
    Number,
    PatternText,
    QueryInteger,
    StoredName,
    StoredTags,
    Text,
    TimestampIn,
    WholeNumber,
)
from promptcrafter.http.schemas import CreateSchema, JsonObject, Objects, TextAndFormat, split_formats
from promptcrafter.logs.fields import (
    FAILED,
    SOURCES,
    call_fields,
    outcome_fields,
    output_bytes,
    review_fields,
    token_part_fields,
)
from promptcrafter.logs.models import ANNOTATORS, IMPORTED
from promptcrafter.problems import REQUIRED
from promptcrafter.prompts import fields as prompts
from promptcrafter.prompts.models import LABELS_MAX
from promptcrafter.prompts.schemas import VersionedSchema
from promptcrafter.scores import schemas as scores
from promptcrafter.traces.schemas import SPAN_TYPE_MAX, evaluation_fields, span_fields, trace_fields

_OF_CALL = ("variables", "cost", "input_tokens", "output_tokens")
_ORIGIN_OF_CALL = ("user_id", "session_id", "environment", "parameters", "provider")
_COMPUTABLE = ("inputTokens", "outputTokens", "cost")
_NUMBER_MAX = 2**31 - 1
_AUTHOR_NAME_MAX = 100  # characters, as many as that of an account
_FIELDS_MAX = 100  # of a line or an object in it: three times as many as a log has
_EXPORTED_TIME = r"[0-9-]{10}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{3}Z"
# The fields that the native API requires of a log: attribute and name in JSON
_NATIVE_REQUIRED = {
    "prompt_id": "promptId",
    "prompt_version": "promptVersion",
    "model_used": "modelUsed",
    "output": "output",
}


class Id(PatternText):
    """An id of one kind, made by this server or another one."""

    def __init__(self, kind: ids.Kind, **kwargs: Any) -> None:
        super().__init__(ids.pattern(kind), f"must be {kind}_ and 1 to 40 letters or digits", **kwargs)


class ExportTime(TimestampIn):
    """A time, written as RFC 3339 text in UTC with milliseconds.

    Reads what TimestampIn reads, and times on 1969-12-31 in the exported form, which a request with a time in 1970
    and an offset may have created.
    """

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if isinstance(value, str) and value.startswith("1969-12-31T") and re.fullmatch(_EXPORTED_TIME, value):
            return clock.from_text(value)
        return super()._deserialize(value, attr, data, **kwargs)

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return None if value is None else clock.to_text(value)


def _refuse_large_output(output: Any) -> None:
    """Raise ValidationError where the API would answer 413, so that the error names the line."""
    limit: int = current_app.config["MAX_OUTPUT_BYTES"]
    size = output_bytes(output)
    if size > limit:
        raise ValidationError(f"may have at most {limit:,} bytes; it is {size:,}")


class Line(CreateSchema):
    """A line or an object in it. Values that are None are not written, and unknown fields are rejected when read."""

    class Meta:
        unknown = RAISE

    error_messages = {"type": "must be an object", "unknown": "is not a field of such a line"}

    @pre_load
    def refuse_many_fields(self, data: Any, **kwargs: Any) -> Any:
        """Refuse an object with many more fields than any line has, before marshmallow makes an error of each."""
        if isinstance(data, dict) and len(data) > _FIELDS_MAX:
            raise ValidationError(f"must have at most {_FIELDS_MAX} fields")
        return data

    @post_dump
    def drop_none(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return {key: value for key, value in data.items() if value is not None}


class HeaderLine(Line):
    """The first line, with the format of the others and its version."""

    format = Text(required=True, choices=("promptcrafter",))
    version = WholeNumber(required=True, minimum=1, maximum=_NUMBER_MAX)


class PromptLine(Line):
    """A prompt. Its content and model are in its versions, whose lines follow immediately."""

    id = Id("prompt", data_key="_id", required=True)
    slug = prompts.slug_field(required=True)
    title = prompts.title_field(required=True, name=StoredName)
    tags = prompts.tags_field(required=True, tags=StoredTags)
    created_at = ExportTime(data_key="createdAt", required=True)
    updated_at = ExportTime(data_key="updatedAt", required=True)
    description = prompts.description_field()

    @post_load
    def complete_description(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Give a prompt without a description an empty one: empty ones are not written."""
        return {"description": "", **data}

    @post_dump
    def drop_empty(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Drop an empty description, so that earlier releases can read what they know."""
        return {name: value for name, value in data.items() if name != "description" or value}


class VersionLine(Line, VersionedSchema):
    """A version of a prompt, with its labels. A chat prompt has messages instead of a content."""

    prompt_id = Id("prompt", data_key="promptId", required=True)
    number = WholeNumber(data_key="version", required=True, minimum=1, maximum=_NUMBER_MAX)
    locals().update(prompts.version_fields(required=True, name=StoredName))
    labels = BoundedList(
        Text(),
        maximum=LABELS_MAX,
        required=True,
        error_messages={**ERRORS, "invalid": "must be an array of strings"},
    )
    created_at = ExportTime(data_key="createdAt", required=True)
    comment = prompts.comment_field()

    @post_load
    def complete_config(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Give a version without parameters empty ones: empty ones are not written."""
        return {"config": {}, **data}

    @post_dump
    def drop_derived_and_empty(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Drop a content that is derived from messages, and empty parameters, which earlier releases cannot read."""
        dropped = {name for name in ("config",) if not data[name]} | ({"content"} if "messages" in data else set())
        return {name: value for name, value in data.items() if name not in dropped}

    @post_dump
    def sort_labels(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Sort the labels by code point, because each database has an order of its own."""
        return {**data, "labels": sorted(data["labels"])}


class VariantLine(Line):
    """A variant of an experiment."""

    key = StoredName(required=True, minimum=1, maximum=experiments.NAME_MAX)
    payload = JsonObject(required=True)
    traffic_percent = WholeNumber(data_key="trafficPercent", required=True, minimum=0, maximum=100)
    prompt_id = Id("prompt", data_key="promptId")
    prompt_version = WholeNumber(data_key="promptVersion", minimum=1, maximum=_NUMBER_MAX)

    @validates_schema
    def refuse_version_alone(self, data: Mapping[str, Any], **kwargs: Any) -> None:
        """Reject a version without its prompt."""
        if "prompt_version" in data and "prompt_id" not in data:
            raise ValidationError({"promptId": [REQUIRED]})

    @post_dump
    def drop_version_alone(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Drop the version of a prompt that has been deleted since."""
        return data if "promptId" in data else {name: data[name] for name in data if name != "promptVersion"}


class ExperimentLine(Line):
    """An experiment with its variants in their order."""

    id = Id("experiment", data_key="_id", required=True)
    slug = PatternText(experiments.SLUG, experiments.SLUG_RULE, required=True)
    name = StoredName(required=True, minimum=1, maximum=experiments.NAME_MAX)
    status = Text(required=True, choices=experiments.STATUSES)
    feature_slug = Text(data_key="featureSlug", minimum=1)
    variants = Objects(VariantLine(), unique_by="key", maximum=experiments.VARIANTS_MAX, required=True)
    created_at = ExportTime(data_key="createdAt", required=True)
    updated_at = ExportTime(data_key="updatedAt", required=True)


class SpanLine(Line):
    """A step of a trace other than a generation."""

    span_id = Text(data_key="id", required=True, minimum=1)
    type = Text(required=True, minimum=1, maximum=SPAN_TYPE_MAX)
    locals().update(span_fields(ExportTime, _refuse_large_output, text=Text))


class CallLine(Line):
    """What a step that is a call of a model has beside a step's fields: see `traces.models.Span.call`."""

    prompt_id = Id("prompt", data_key="promptId")
    prompt_version = WholeNumber(data_key="promptVersion", minimum=1, maximum=_NUMBER_MAX)
    prompt_reference = JsonObject(data_key="promptReference")
    model_used = Text(data_key="modelUsed", minimum=1, maximum=prompts.MODEL_MAX)
    locals().update({name: call_fields(ExportTime)[name] for name in _OF_CALL})
    locals().update(token_part_fields())
    locals().update({name: outcome_fields()[name] for name in _ORIGIN_OF_CALL})


class SpanRecordLine(SpanLine):
    """A step of a trace of OpenTelemetry, which may have very many: so each has a line of its own."""

    trace_id = Id("trace", data_key="traceId", required=True)
    type = Text(data_key="kind", required=True, minimum=1, maximum=SPAN_TYPE_MAX)  # `type` is that of the line
    duration_ms = Number(data_key="durationMs", minimum=0)
    locals().update({name: outcome_fields()[name] for name in ("status", "error")})
    call = fields.Nested(CallLine(), error_messages=ERRORS)


class TraceLine(Line):
    """A trace with its steps, unless these have lines of their own. Its generations are in the lines of logs."""

    id = Id("trace", data_key="_id", required=True)
    source = Text(required=True, choices=SOURCES[1:])
    slug = Text(required=True, minimum=1)
    name = Text()
    locals().update(trace_fields(ExportTime, _refuse_large_output))
    experiment_id = Id("experiment", data_key="experimentId")
    locals().update(evaluation_fields())
    spans = Objects(SpanLine(), maximum=SPANS_MAX)
    created_at = ExportTime(data_key="createdAt", required=True)
    external_id = PatternText("[0-9a-f]{32}", "must be 32 lower-case hex digits", data_key="externalId")
    root_span_id = Text(data_key="rootSpanId", minimum=1)
    locals().update({name: outcome_fields()[name] for name in ("status", "user_id", "session_id")})

    @post_dump
    def drop_no_spans(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Leave out an empty list."""
        return {key: value for key, value in data.items() if key != "spans" or value}


class LogLine(Line):
    """A log. Without a `source` it is of the native API and must have the fields that are required there."""

    id = Id("log", data_key="_id", required=True)
    prompt_id = Id("prompt", data_key="promptId")
    prompt_version = WholeNumber(data_key="promptVersion", minimum=1, maximum=_NUMBER_MAX)
    model_used = Text(data_key="modelUsed", minimum=1, maximum=prompts.MODEL_MAX)
    output = TextAndFormat(validate=_refuse_large_output)
    locals().update(review_fields())
    input = TextAndFormat()
    ideal_output = TextAndFormat(data_key="idealOutput")
    locals().update(call_fields(ExportTime))
    locals().update(token_part_fields())
    computed = BoundedList(
        Text(choices=_COMPUTABLE),
        maximum=len(_COMPUTABLE),
        error_messages={**ERRORS, "invalid": "must be an array of strings"},
    )
    priced_as = Text(data_key="pricedAs")
    priced = JsonObject()
    meta = JsonObject(data_key="metadata")
    source = Text(choices=SOURCES[1:])
    name = Text()
    prompt_reference = JsonObject(data_key="promptReference")
    trace_id = Id("trace", data_key="traceId")
    span_id = Text(data_key="spanId")
    parent_span_id = Text(data_key="parentSpanId")
    experiment_id = Id("experiment", data_key="experimentId")
    variant_key = Text(data_key="variantKey", minimum=1, maximum=experiments.NAME_MAX)
    metrics = JsonObject(maximum=METRICS_MAX)
    context = JsonObject()
    created_at = ExportTime(data_key="createdAt", required=True)
    updated_at = ExportTime(data_key="updatedAt", required=True)
    locals().update(outcome_fields())

    @validates_schema
    def refuse_missing_fields(self, data: Mapping[str, Any], **kwargs: Any) -> None:
        """Reject a log without a field that its source or another of its fields requires."""
        missing = [
            json_name for name, json_name in _NATIVE_REQUIRED.items() if "source" not in data and name not in data
        ]
        if "source" not in data and data.get("output") == ("", None):
            missing.append("output")
        if data.get("status") == FAILED:
            missing = [name for name in missing if name != "output"]
        if "prompt_version" in data and "prompt_id" not in data:
            missing.append("promptId")
        if "variant_key" in data and "experiment_id" not in data:
            missing.append("experimentId")
        if missing:
            raise ValidationError({name: [REQUIRED] for name in missing})

    @post_load
    def split_formats(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Split text and format into two columns."""
        return split_formats(data, ("input", "output", "ideal_output"))


class AuthorLine(Line):
    """Who gave a score, where the file comes from. No account is looked for here."""

    user_id = Id("user", data_key="userId", required=True)
    name = StoredName(required=True, minimum=1, maximum=_AUTHOR_NAME_MAX)


class ScoreLine(Line):
    """A score of a log. Whatever the line says, it is imported when it is read, and its author is a text."""

    id = Id("score", data_key="_id", required=True)
    log_id = Id("log", data_key="logId", required=True)
    name = scores.name_field(required=True)
    value = scores.ScoreValue(required=True)
    comment = scores.comment_field()
    annotator = Text(required=True, choices=ANNOTATORS)
    author = fields.Nested(AuthorLine(), error_messages=ERRORS)
    identifier = Text(maximum=scores.IDENTIFIER_MAX)
    is_imported = Flag(data_key="imported")
    created_at = ExportTime(data_key="createdAt", required=True)
    updated_at = ExportTime(data_key="updatedAt", required=True)
    valued_at = ExportTime(data_key="valuedAt")

    @validates_schema
    def refuse_beyond_scale(self, data: Mapping[str, Any], **kwargs: Any) -> None:
        """Reject a value that a log's `score` cannot have under that name."""
        scores.refuse_default_beyond_scale(data)

    @post_load
    def to_columns(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Return the columns of an imported score, as far as the line has them."""
        author = data.pop("author", {})
        data.pop("is_imported", None)
        rater = {"rater": f"{IMPORTED}{author.get('user_id', '')}", "imported_name": author.get("name")}
        defaults = {"comment": None, "identifier": "", "valued_at": data["updated_at"]}
        return scores.split_value({**defaults, **data, **rater})

    @post_dump
    def drop_defaults(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Drop what a line without it means, too."""
        defaults = {"identifier": "", "imported": False, "valuedAt": data["updatedAt"]}
        return {name: value for name, value in data.items() if name not in defaults or value != defaults[name]}


class ScoreConfigLine(Line, scores.ScoreConfigIn):
    """What the scores of one name must be, or were to be until it was archived."""

    name = scores.name_field(required=True)
    direction = Text(required=True, choices=scores.DIRECTIONS)
    description = Text(maximum=scores.DESCRIPTION_MAX)
    created_at = ExportTime(data_key="createdAt", required=True)
    updated_at = ExportTime(data_key="updatedAt", required=True)
    archived_at = ExportTime(data_key="archivedAt")

    @post_load
    def add_defaults(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Fill in what the line does not have."""
        return {"description": "", "archived_at": None, **data}

    @post_dump
    def drop_empty_description(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Drop what a line without it means, too."""
        return {name: value for name, value in data.items() if (name, value) != ("description", "")}


class EndLine(Line):
    """The last line, with the number of lines of each type. All numbers are optional."""

    prompts = WholeNumber(minimum=0, maximum=2**53)
    versions = WholeNumber(minimum=0, maximum=2**53)
    experiments = WholeNumber(minimum=0, maximum=2**53)
    traces = WholeNumber(minimum=0, maximum=2**53)
    logs = WholeNumber(minimum=0, maximum=2**53)
    scoreConfigs = WholeNumber(minimum=0, maximum=2**53)
    scores = WholeNumber(minimum=0, maximum=2**53)
    spans = WholeNumber(minimum=0, maximum=2**53)


class ExportQuery(Schema):
    """What to export."""

    promptId = ForeignId(
        metadata={
            "description": "This prompt, its logs, and the traces and experiments of these, instead of everything",
            "pattern": ids.pattern("prompt"),
        }
    )
    form = QueryInteger(
        minimum=1,
        maximum=2,
        load_default=2,
        metadata={"description": "The version of the file format: 1 for release 0.1.0, without what it cannot read"},
    )


class ImportQuery(Schema):
    """What to do with the ids in the file."""

    ids = Text(
        choices=("keep", "new"),
        load_default="keep",
        metadata={"description": "`new` gives everything in the file a new id, so that each import makes a copy"},
    )


class CountOut(Schema):
    """The result for the lines of one type."""

    created = fields.Integer(required=True)
    skipped = fields.Integer(required=True, metadata={"description": "Lines whose resource existed already"})


class ImportOut(Schema):
    """The result of an import."""

    prompts = fields.Nested(CountOut(), required=True)
    versions = fields.Nested(CountOut(), required=True)
    experiments = fields.Nested(CountOut(), required=True)
    traces = fields.Nested(CountOut(), required=True)
    logs = fields.Nested(CountOut(), required=True)
    scoreConfigs = fields.Nested(CountOut(), required=True)
    scores = fields.Nested(CountOut(), required=True)
    spans = fields.Nested(CountOut(), required=True, metadata={"description": "Those that have lines of their own"})
