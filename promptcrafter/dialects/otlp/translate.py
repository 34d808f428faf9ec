"""Translation of a span to the columns of a log or of a step of a trace. Pure functions."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from promptcrafter import clock
from promptcrafter.dialects.otlp import kinds, names
from promptcrafter.dialects.otlp.messages import read_input, read_json, read_output
from promptcrafter.dialects.otlp.names import GENERATION
from promptcrafter.dialects.otlp.spans import ERROR, Attributes, Span
from promptcrafter.jsonio import dumps
from promptcrafter.logs.input_keys import find_response_key
from promptcrafter.logs.schemas import ERROR_MAX, FAILED, ORIGIN_MAX, read_model
from promptcrafter.traces.schemas import SPAN_TYPE_MAX

SOURCE = "otlp"
_COUNT_MAX = 2**53
_NAME_MAX = 1000  # characters of the names of spans and traces
_ATTRIBUTES_MAX = 64 * 1024  # bytes of the JSON of attributes that no other column has
_REQUEST = "gen_ai.request."


@dataclass(frozen=True, slots=True)
class Limits:
    """What a log may have: `output_bytes` for each of its texts."""

    output_bytes: int
    keeps_media: bool = False


@dataclass(slots=True)
class Part:
    """What becomes of a span: a log if `is_output`, else a step of its trace.

    `columns` are those of a log or a span, `of_trace` what the span says about its trace, and `reference` the `slug`,
    `version` and `tag` by which it names a prompt. `scores` are reported scores of the log.
    """

    trace_id: str
    span_id: str
    is_output: bool
    columns: dict[str, Any]
    of_trace: dict[str, Any]
    reference: dict[str, str] | None = None
    scores: list[dict[str, Any]] = field(default_factory=list)


def translate(span: Span, limits: Limits) -> Part | None:
    """Return what a span becomes; None for one that has nothing to do with models."""
    kind = kinds.kind_of(span)
    if kind is None:
        return None
    is_output = kind == GENERATION
    return Part(
        trace_id=span.trace_id,
        span_id=span.span_id,
        is_output=is_output,
        columns=_to_log(span, limits) if is_output else _to_step(span, kind, limits),
        of_trace=_to_trace(span),
        reference=_read_reference(span.attributes) if is_output else None,
    )


def to_step(log: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a step that has what a log has: for a call that another span inside it has, too."""
    texts = {name: _restore(log.get(name), log.get(f"{name}_format")) for name in ("input", "output")}
    same = ("name", "start_time", "end_time", "status", "error", "meta")
    return {
        **{name: log.get(name) for name in same},
        **texts,
        "span_id": log["span_id"],
        "parent_id": log.get("parent_span_id"),
        "type": GENERATION,
    }


def _to_log(span: Span, limits: Limits) -> dict[str, Any]:
    attributes = span.attributes
    response_id = _first_text(attributes, names.RESPONSE_ID, ORIGIN_MAX)
    columns: dict[str, Any] = {
        "source": SOURCE,
        "span_id": span.span_id,
        "parent_span_id": span.parent_id,
        "name": span.name[:_NAME_MAX] or None,
        "model_used": read_model(attributes, *names.MODEL),
        "provider": _first_text(attributes, names.PROVIDER, ORIGIN_MAX),
        **_to_times(span),
        **_to_outcome(span),
        "user_id": _first_text(attributes, names.USER_ID, ORIGIN_MAX),
        "session_id": _first_text(attributes, names.SESSION_ID, ORIGIN_MAX),
        "environment": _first_text({**span.resource, **attributes}, names.ENVIRONMENT, ORIGIN_MAX),
        "variables": _first_object(attributes, names.VARIABLES),
        "parameters": _read_parameters(attributes),
        **_read_tokens(attributes),
        "cost": _first_number(attributes, names.COST),
        "meta": _read_metadata(span),
        "response_key": None if response_id is None else find_response_key(response_id),
    }
    truncated = []
    for name, value in (("input", read_input(span)), ("output", read_output(span))):
        text, text_format = _store_text(value)
        if text is not None and len(text.encode()) > limits.output_bytes:
            text = text.encode()[: limits.output_bytes].decode(errors="ignore")
            text_format = None
            truncated.append(name)
        columns[name], columns[f"{name}_format"] = text, text_format
    if truncated:
        columns["meta"] = {**(columns["meta"] or {}), "truncated": truncated}
    return {name: value for name, value in columns.items() if value is not None}


def _to_step(span: Span, kind: str, limits: Limits) -> dict[str, Any]:
    columns = {
        "span_id": span.span_id,
        "parent_id": span.parent_id,
        "type": kind[:SPAN_TYPE_MAX],
        "name": span.name[:_NAME_MAX] or None,
        **_to_times(span),
        **_to_outcome(span),
        "input": read_input(span),
        "output": read_output(span),
        "meta": _read_metadata(span),
    }
    columns.pop("latency_ms")
    columns |= {f"{side}_sent": str(ns) for side, ns in (("start", span.start_ns), ("end", span.end_ns)) if ns}
    return {name: value for name, value in columns.items() if value is not None}


def _to_trace(span: Span) -> dict[str, Any]:
    """Return the columns of the trace that a span knows."""
    attributes = span.attributes
    is_root = span.parent_id is None
    times = _to_times(span)
    columns = {
        "slug": _first_text(span.resource, ("service.name",), ORIGIN_MAX),
        "name": _first_text(attributes, names.TRACE_NAME, _NAME_MAX) or (span.name[:_NAME_MAX] if is_root else None),
        "user_id": _first_text(attributes, names.USER_ID, ORIGIN_MAX),
        "session_id": _first_text(attributes, names.SESSION_ID, ORIGIN_MAX),
        "start_time": times["start_time"],
        "end_time": times["end_time"],
        "status": FAILED if span.status == ERROR else None,
        "root_span_id": span.span_id if is_root else None,
        "input": read_input(span) if is_root else None,
        "output": read_output(span) if is_root else None,
    }
    return {name: value for name, value in columns.items() if value is not None}


def _to_times(span: Span) -> dict[str, Any]:
    """Return start and end in milliseconds, and the time between them with its fractions of a millisecond."""
    is_complete = 0 < span.start_ns <= span.end_ns
    return {
        "start_time": _to_time(span.start_ns),
        "end_time": _to_time(span.end_ns),
        "latency_ms": (span.end_ns - span.start_ns) / 1_000_000 if is_complete else None,
    }


def _to_time(nanoseconds: int) -> datetime | None:
    return clock.from_number(nanoseconds // 1_000_000) if nanoseconds else None


def _to_outcome(span: Span) -> dict[str, str]:
    """Return status and error of a span that failed; nothing of another one."""
    exceptions = [event.attributes for event in span.events if event.name == "exception"]
    kind = span.attributes.get("error.type")
    if span.status != ERROR and not kind and span.attributes.get("langfuse.observation.level") != "ERROR":
        return {}
    texts = [span.status_message, *(str(each.get("exception.message") or "") for each in exceptions), str(kind or "")]
    error = next(filter(None, texts), "")[:ERROR_MAX]
    return {"status": FAILED, **({"error": error} if error else {})}


def _read_tokens(attributes: Attributes) -> dict[str, float | None]:
    counts = {
        "input_tokens": _first_number(attributes, names.INPUT_TOKENS, is_count=True),
        "output_tokens": _first_number(attributes, names.OUTPUT_TOKENS, is_count=True),
        "cached_input_tokens": _first_number(attributes, names.CACHED_INPUT_TOKENS, is_count=True),
        "cache_write_tokens": _first_number(attributes, names.CACHE_WRITE_TOKENS, is_count=True),
        "reasoning_tokens": _first_number(attributes, names.REASONING_TOKENS, is_count=True),
    }
    parts = (counts["cached_input_tokens"] or 0) + (counts["cache_write_tokens"] or 0)
    if counts["input_tokens"] is not None and parts > counts["input_tokens"]:
        counts["input_tokens"] += parts  # more of it is cached than there is: the sender left that out
    return counts


def _read_reference(attributes: Attributes) -> dict[str, str] | None:
    slug = _first_text(attributes, names.PROMPT_NAME, ORIGIN_MAX)
    if slug is None:
        return None
    version = _first_text(attributes, names.PROMPT_VERSION, ORIGIN_MAX)
    tag = _first_text(attributes, names.PROMPT_TAG, ORIGIN_MAX)
    return {name: value for name, value in (("slug", slug), ("version", version), ("tag", tag)) if value}


def _read_parameters(attributes: Attributes) -> dict[str, Any] | None:
    sent = read_json(attributes.get("llm.invocation_parameters"))
    parameters = dict(sent) if isinstance(sent, Mapping) else {}
    for name, value in attributes.items():
        if name.startswith(_REQUEST) and name != f"{_REQUEST}model":
            parameters[name.removeprefix(_REQUEST)] = read_json(value)
    return parameters or None


def _read_metadata(span: Span) -> dict[str, Any] | None:
    """Return what no other column has."""
    sent = read_json(span.attributes.get("metadata"))
    metadata = dict(sent) if isinstance(sent, Mapping) else {}
    used = _USED
    rest = {
        name: value
        for name, value in span.attributes.items()
        if name not in used and not name.startswith(_USED_PREFIXES) and name != "metadata"
    }
    if rest and len(dumps(rest).encode()) <= _ATTRIBUTES_MAX:
        metadata["attributes"] = rest
    if isinstance(service := span.resource.get("service.name"), str):
        metadata["service"] = service
    if span.scope:
        metadata["scope"] = span.scope
    return metadata or None


def _store_text(value: Any) -> tuple[str | None, str | None]:
    """Return text and format of an input or output."""
    if value is None or isinstance(value, str):
        return value, None
    return dumps(value), "json"


def _restore(text: str | None, text_format: str | None) -> Any:
    return read_json(text) if text_format == "json" else text


def _first_text(attributes: Attributes, candidates: Sequence[str], maximum: int) -> str | None:
    for name in candidates:
        value = attributes.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = str(value)
        if isinstance(value, str) and value:
            return value[:maximum]
    return None


def _first_object(attributes: Attributes, candidates: Sequence[str]) -> dict[str, Any] | None:
    for name in candidates:
        value = read_json(attributes.get(name))
        if isinstance(value, Mapping) and value:
            return dict(value)
    return None


def _first_number(attributes: Attributes, candidates: Sequence[str], *, is_count: bool = False) -> float | None:
    """Return the first value that is a number, or the text of one, not negative; with `is_count` a whole one."""
    for name in candidates:
        value = attributes.get(name)
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if 0 <= value <= _COUNT_MAX and math.isfinite(value) and (not is_count or value == int(value)):
            return float(value)
    return None


_USED = frozenset(
    (
        *names.KINDS,
        *(*names.MODEL, *names.PROVIDER, *names.INPUT_TOKENS, *names.OUTPUT_TOKENS, *names.CACHED_INPUT_TOKENS),
        *(*names.CACHE_WRITE_TOKENS, *names.REASONING_TOKENS, *names.COST, *names.PROMPT_NAME, *names.PROMPT_VERSION),
        *(*names.PROMPT_TAG, *names.VARIABLES, *names.USER_ID, *names.SESSION_ID, *names.ENVIRONMENT),
        *(*names.TRACE_NAME, "llm.invocation_parameters", "error.type"),
    )
)
_USED_PREFIXES = (
    *("langfuse.observation.input", "langfuse.observation.output", "basalt.span.input", "basalt.span.output"),
    *("llm.input_messages", "llm.output_messages", "gen_ai.input.messages", "gen_ai.output.messages"),
    *("gen_ai.system_instructions", "ai.prompt.messages", "ai.response.text", "ai.response.object", "gen_ai.prompt"),
    *("gen_ai.completion", "traceloop.entity.input", "traceloop.entity.output", "mlflow.spanInputs"),
    *("mlflow.spanOutputs", "input.value", "output.value", _REQUEST),
)
