"""What the lines of an export look like: each schema writes them, and reads them strictly."""

import re
from collections.abc import Mapping
from typing import Any

from flask import current_app
from marshmallow import RAISE, Schema, ValidationError, fields, post_dump, post_load, validate, validates_schema

from promptcrafter import clock, ids
from promptcrafter.dialects.agenttest import METRICS_MAX
from promptcrafter.dialects.basalt.schemas import SPAN_TYPES, SPANS_MAX
from promptcrafter.experiments import schemas as experiments
from promptcrafter.http.fields import ERRORS, PatternText, Text, TimestampIn, WholeNumber
from promptcrafter.http.schemas import CreateSchema, JsonObject, Objects, TextAndFormat, split_formats
from promptcrafter.logs.schemas import SOURCES, call_fields, output_bytes, review_fields
from promptcrafter.problems import REQUIRED
from promptcrafter.prompts import schemas as prompts
from promptcrafter.traces.schemas import evaluation_fields, span_fields, trace_fields

_COMPUTED = ("inputTokens", "outputTokens", "cost")
_NUMBER_MAX = 2**31 - 1
_WRITTEN = r"[0-9-]{10}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{3}Z"
# What every log of our own API has
_NATIVE = {"prompt_id": "promptId", "prompt_version": "promptVersion", "model_used": "modelUsed", "output": "output"}


class Id(PatternText):
    """An id, made here or elsewhere."""

    def __init__(self, kind: ids.Kind, **kwargs: Any) -> None:
        super().__init__(ids.pattern(kind), f"must be {kind}_ and 1 to 40 letters or digits", **kwargs)


class Moment(TimestampIn):
    """A moment, written as RFC 3339 in UTC with milliseconds: so, too, where a zone has led to the last day of 1969."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if isinstance(value, str) and value.startswith("1969-12-31T") and re.fullmatch(_WRITTEN, value):
            return clock.from_text(value)
        return super()._deserialize(value, attr, data, **kwargs)

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return None if value is None else clock.to_text(value)


class MomentText(Moment):
    """A moment that is kept as that text."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        return clock.to_text(super()._deserialize(value, attr, data, **kwargs))

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        return value


def _refuse_large_output(output: Any) -> None:
    limit: int = current_app.config["MAX_OUTPUT_BYTES"]
    size = output_bytes(output)
    if size > limit:
        raise ValidationError(f"may have at most {limit:,} bytes; it is {size:,}")


class Line(CreateSchema):
    """A line or an object in it: what is unknown is left out, and nothing may be in it that would be lost."""

    class Meta:
        unknown = RAISE

    error_messages = {"type": "must be an object", "unknown": "is not a field of such a line"}

    @post_dump
    def drop_unknown(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Leave out what is not known."""
        return {key: value for key, value in data.items() if value is not None}


class HeaderLine(Line):
    """The first line: which form the others have."""

    format = Text(required=True, choices=("promptcrafter",))
    version = WholeNumber(required=True, minimum=1, maximum=_NUMBER_MAX)


class PromptLine(Line):
    """A prompt. What it says is in its versions, which follow it at once."""

    id = Id("prompt", data_key="_id", required=True)
    slug = prompts.slug_field(required=True)
    title = prompts.title_field(required=True)
    tags = prompts.tags_field(required=True)
    created_at = Moment(data_key="createdAt", required=True)
    updated_at = Moment(data_key="updatedAt", required=True)


class VersionLine(Line):
    """A version of a prompt, with the labels that sit on it."""

    prompt_id = Id("prompt", data_key="promptId", required=True)
    number = WholeNumber(data_key="version", required=True, minimum=1, maximum=_NUMBER_MAX)
    locals().update(prompts.version_fields(required=True))
    labels = fields.List(Text(), required=True, error_messages={**ERRORS, "invalid": "must be an array of strings"})
    created_at = Moment(data_key="createdAt", required=True)

    @post_dump
    def sort_labels(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Sort the labels by code point: the databases sort by rules of their own."""
        return {**data, "labels": sorted(data["labels"])}


class VariantLine(Line):
    """One way that an experiment tries."""

    key = Text(required=True, minimum=1, maximum=experiments.NAME_MAX, blank=False)
    payload = JsonObject(required=True)
    traffic_percent = WholeNumber(data_key="trafficPercent", required=True, minimum=0, maximum=100)
    prompt_id = Id("prompt", data_key="promptId")


class ExperimentLine(Line):
    """An experiment with its variants in order."""

    id = Id("experiment", data_key="_id", required=True)
    slug = PatternText(experiments.SLUG, experiments.SLUG_RULE, required=True)
    name = Text(required=True, minimum=1, maximum=experiments.NAME_MAX, blank=False)
    status = Text(required=True, choices=experiments.STATUSES)
    feature_slug = Text(data_key="featureSlug", minimum=1)
    variants = Objects(VariantLine(), distinct="key", maximum=experiments.VARIANTS_MAX, required=True)
    created_at = Moment(data_key="createdAt", required=True)
    updated_at = Moment(data_key="updatedAt", required=True)


class SpanLine(Line):
    """A step of a trace that is no generation."""

    id = Text(required=True, minimum=1)
    type = Text(required=True, choices=SPAN_TYPES)
    parentId = Text()
    name = Text()
    startTime = MomentText()
    endTime = MomentText()
    locals().update(span_fields(_refuse_large_output))


class TraceLine(Line):
    """A trace with its steps; its generations are logs."""

    id = Id("trace", data_key="_id", required=True)
    source = Text(required=True, choices=SOURCES[1:])
    slug = Text(required=True, minimum=1)
    name = Text()
    locals().update(trace_fields(Moment, _refuse_large_output))
    experiment_id = Id("experiment", data_key="experimentId")
    locals().update(evaluation_fields())
    spans = Objects(SpanLine(), maximum=SPANS_MAX)
    created_at = Moment(data_key="createdAt", required=True)


class LogLine(Line):
    """A log. One without a `source` is of our own API, and has what that requires."""

    id = Id("log", data_key="_id", required=True)
    prompt_id = Id("prompt", data_key="promptId")
    prompt_version = WholeNumber(data_key="promptVersion", minimum=1, maximum=_NUMBER_MAX)
    model_used = Text(data_key="modelUsed", minimum=1, maximum=prompts.MODEL_MAX)
    output = TextAndFormat(validate=_refuse_large_output)
    locals().update(review_fields())
    input = TextAndFormat()
    ideal_output = TextAndFormat(data_key="idealOutput")
    locals().update(call_fields(Moment))
    computed = fields.List(Text(choices=_COMPUTED), error_messages={**ERRORS, "invalid": "must be an array of strings"})
    priced_as = Text(data_key="pricedAs")
    meta = JsonObject(data_key="metadata")
    source = Text(choices=SOURCES[1:])
    name = Text()
    prompt_reference = JsonObject(data_key="promptReference")
    trace_id = Id("trace", data_key="traceId")
    span_id = Text(data_key="spanId")
    parent_span_id = Text(data_key="parentSpanId")
    experiment_id = Id("experiment", data_key="experimentId")
    variant_key = Text(data_key="variantKey", minimum=1, maximum=experiments.NAME_MAX)
    metrics = JsonObject(validate=validate.Length(max=METRICS_MAX, error=f"must have at most {METRICS_MAX} names"))
    context = JsonObject()
    created_at = Moment(data_key="createdAt", required=True)
    updated_at = Moment(data_key="updatedAt", required=True)

    @validates_schema
    def refuse_gaps(self, data: Mapping[str, Any], **kwargs: Any) -> None:
        """Refuse a log that lacks what others like it have."""
        missing = [wire for name, wire in _NATIVE.items() if "source" not in data and name not in data]
        if "source" not in data and data.get("output") == ("", None):
            missing.append("output")
        if "prompt_version" in data and "prompt_id" not in data:
            missing.append("promptId")
        if "variant_key" in data and "experiment_id" not in data:
            missing.append("experimentId")
        if missing:
            raise ValidationError({name: [REQUIRED] for name in missing})

    @post_load
    def split_formats(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Load the text and the format of what may be text or JSON to a column each."""
        return split_formats(data, ("input", "output", "ideal_output"))


class EndLine(Line):
    """The last line: how many there are of each type, where it says so."""

    prompts = WholeNumber(minimum=0, maximum=2**53)
    versions = WholeNumber(minimum=0, maximum=2**53)
    experiments = WholeNumber(minimum=0, maximum=2**53)
    traces = WholeNumber(minimum=0, maximum=2**53)
    logs = WholeNumber(minimum=0, maximum=2**53)


class CountOut(Schema):
    """What became of the lines of one type."""

    created = fields.Integer(required=True)
    skipped = fields.Integer(required=True, metadata={"description": "Were there already"})


class ImportOut(Schema):
    """What became of the lines."""

    prompts = fields.Nested(CountOut(), required=True)
    versions = fields.Nested(CountOut(), required=True)
    experiments = fields.Nested(CountOut(), required=True)
    traces = fields.Nested(CountOut(), required=True)
    logs = fields.Nested(CountOut(), required=True)
