"""Translates a span to what becomes of it: a log, or a step of its trace. Pure functions.

`names` has the names of all conventions. `kinds` decides what a span is, `sorting` walks through its attributes once,
and `contents`, `tokens` and `metadata` read the columns from them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from promptcrafter import clock
from promptcrafter.dialects.otlp import contents, kinds, metadata, names, tokens
from promptcrafter.dialects.otlp.attributes import EMPTY, first_text, read_json, read_object, to_text
from promptcrafter.dialects.otlp.evaluations import to_score
from promptcrafter.dialects.otlp.media import describe_media
from promptcrafter.dialects.otlp.names import GENERATION
from promptcrafter.dialects.otlp.sorting import Sorted, sort
from promptcrafter.dialects.otlp.spans import ERROR, OK, Attributes, Span
from promptcrafter.jsonio import dumps
from promptcrafter.logs import model_names
from promptcrafter.logs.fields import ERROR_MAX, FAILED, ORIGIN_MAX
from promptcrafter.logs.input_keys import find_response_key
from promptcrafter.prompts.fields import MODEL_MAX
from promptcrafter.traces.schemas import SPAN_TYPE_MAX

SOURCE = "otlp"
NAME_MAX = 1000  # characters of the names of spans and traces
_SCORES_MAX = 100  # of a span
_REFERENCE, _IDENTITY = ("slug", "version", "tag"), ("id", "name")


@dataclass(frozen=True, slots=True)
class Limits:
    """What is kept of a span: `output_bytes` of each text, and pictures and sounds as they are if `keeps_media`."""

    output_bytes: int
    keeps_media: bool = False


@dataclass(slots=True)
class Part:
    """A translated span: a call of a model if `is_call`, else another step of its trace.

    A call becomes a log, unless another call is directly inside it: see `calls`. `columns` are those of a log for a
    call, else those of a step; `of_trace` are columns of the trace that the span determines, and `reference` has the
    `slug`, `version` and `tag` by which it names a prompt. `scores` are those that the span reports. What the span does
    not have is left out.
    """

    trace_id: str
    span_id: str
    is_call: bool
    columns: dict[str, Any]
    of_trace: dict[str, Any]
    reference: dict[str, str] | None = None
    scores: list[dict[str, Any]] = field(default_factory=list)


class _Content(NamedTuple):
    """An input or output: its value, the text in which a log has it, and whether it is only the beginning of it."""

    value: Any
    text: str | None
    is_cut: bool

    @property
    def format(self) -> str | None:
        """Return the format of the text, as a log has it."""
        return None if self.text is None or isinstance(self.value, str) else "json"


def translate(span: Span, limits: Limits) -> Part | None:
    """Return what a span becomes; None for one that has nothing to do with models, or only with an SDK's own calls.

    The attributes may have any names and values.
    """
    kind = kinds.kind_of(span)
    if kind is None:
        return None
    of_span = sort(span.attributes)
    sent, request = contents.read_input(span, of_span)
    received = _shorten(sent, limits)
    generated = _shorten(contents.read_output(span, of_span), limits)
    meta, omitted = metadata.read_metadata(span, of_span)
    columns: dict[str, Any] = {"span_id": span.span_id, "name": span.name[:NAME_MAX]}
    columns |= {**_to_times(span), **_to_status(span)}
    is_call = kind == GENERATION
    if is_call:
        call, left_out = _to_call(span, of_span, request, limits)
        omitted += left_out
        if _would_prevent_price(call["provider"], call["model_used"]):
            meta["provider"] = call.pop("provider")
        columns |= {
            **call,
            "source": SOURCE,
            "parent_span_id": span.parent_id,
            **{"input": received.text, "input_format": received.format},
            **{"output": generated.text, "output_format": generated.format},
        }
    else:
        columns |= {
            "type": kind[:SPAN_TYPE_MAX],
            "parent_id": span.parent_id,
            "duration_ms": columns.pop("latency_ms"),
            **{"input": received.value, "output": generated.value},
        }
    truncated = [name for name, content in (("input", received), ("output", generated)) if content.is_cut]
    meta |= {"truncated": truncated} if truncated else {}
    meta |= {"omitted": omitted[: metadata.OMITTED_MAX]} if omitted else {}
    columns["meta"] = meta
    return Part(
        trace_id=span.trace_id,
        span_id=span.span_id,
        is_call=is_call,
        columns=_without_empty(columns),
        of_trace=_to_trace(span, of_span, received.value, generated.value, limits),
        reference=_read_reference(span.attributes) if is_call else None,
        scores=_read_scores(span) if span.events else [],
    )


def _without_empty(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that have a value; null and empty ones count as not sent."""
    return {name: value for name, value in columns.items() if value not in EMPTY}


def _shorten(value: Any, limits: Limits) -> _Content:
    """Return an input or output without the bytes of pictures, cut if it is still longer than a text may be.

    A number or boolean becomes its text: inputs and outputs are texts, objects and arrays.
    """
    if value is None:
        return _Content(None, None, is_cut=False)
    if isinstance(value, int | float):
        value = dumps(value)
    if not limits.keeps_media:
        value = describe_media(value)
    text = value if isinstance(value, str) else dumps(value)
    most = limits.output_bytes
    if len(text) <= most // 4 or len(encoded := text.encode()) <= most:
        return _Content(value, text, is_cut=False)
    beginning = encoded[:most].decode(errors="ignore")
    return _Content(beginning, beginning, is_cut=True)


def _to_call(
    span: Span, of_span: Sorted, request: Mapping[str, Any], limits: Limits
) -> tuple[dict[str, Any], list[str]]:
    """Return the columns that only a log has, and the names of parameters and variables that are left out."""
    attributes = span.attributes
    parameters, left_out = metadata.read_parameters(span, of_span, request)
    variables, left_out_variables = metadata.read_variables(span, of_span, limits.output_bytes)
    response_id = first_text(attributes, names.RESPONSE_ID, ORIGIN_MAX)
    columns = {
        "model_used": _read_model(attributes, request),
        "provider": first_text(attributes, names.PROVIDER, ORIGIN_MAX),
        "user_id": _read_origin(span, names.USER_ID),
        "session_id": _read_origin(span, names.SESSION_ID),
        "environment": _read_origin(span, names.ENVIRONMENT),
        "parameters": parameters,
        "variables": variables,
        "response_key": None if response_id is None else find_response_key(response_id),
        **tokens.read_tokens(attributes),
    }
    return columns, [*left_out, *left_out_variables]


def _to_trace(span: Span, of_span: Sorted, received: Any, generated: Any, limits: Limits) -> dict[str, Any]:
    """Return the columns of the trace that a span knows. What its root was given and returned is that of the trace."""
    attributes = span.attributes
    is_root = span.parent_id is None
    columns: dict[str, Any] = {
        "slug": first_text(attributes, (names.SLUG,), ORIGIN_MAX) or metadata.read_service(span),
        "name": first_text(attributes, names.TRACE_NAME, NAME_MAX),
        "user_id": _read_origin(span, names.USER_ID),
        "session_id": _read_origin(span, names.SESSION_ID),
        "start_time": _to_time(span.start_ns),
        "end_time": _to_time(span.end_ns),
        "status": FAILED if _has_failed(span) else None,
        "meta": metadata.read_metadata_of_trace(span, of_span, _read_origin(span, names.ENVIRONMENT)),
        "user": _read_texts(attributes, _IDENTITY, names.USER),
        "organization": _read_texts(attributes, _IDENTITY, names.ORGANIZATION),
    }
    if is_root:
        columns |= {"root_span_id": span.span_id, "root_name": span.name[:NAME_MAX]}
        columns |= {"input": received, "output": generated}
    for column, name in (("input", names.TRACE_INPUT), ("output", names.TRACE_OUTPUT)):
        if name in attributes:
            columns[column] = _shorten(read_json(attributes[name]), limits).value
    return _without_empty(columns)


def _read_origin(span: Span, candidates: Sequence[str]) -> str | None:
    """Return for whom or where a call was made, as its span says it, or else the program that sent it."""
    found = first_text(span.attributes, candidates, ORIGIN_MAX)
    return first_text(span.resource, candidates, ORIGIN_MAX) if found is None else found


def _read_model(attributes: Attributes, request: Mapping[str, Any]) -> str | None:
    """Return the model that answered, or that was asked; a call that was refused may name it among its parameters."""
    found = first_text(attributes, names.MODEL, MODEL_MAX)
    if found is not None:
        return found
    objects = [request, *(read_object(attributes[name]) for name in names.PARAMETER_OBJECTS if name in attributes)]
    return next((model for each in objects if (model := first_text(each, ("model", "model_name"), MODEL_MAX))), None)


def _would_prevent_price(provider: str | None, model: str | None) -> bool:
    """Return whether a provider is unknown although the name of the model alone determines the price.

    Stored as the provider of a log, it would prevent that price from being found (decision 31).
    """
    if provider is None or model is None or model_names.is_known_provider(provider):
        return False
    return model_names.is_sold_by_its_maker(model)


def _to_times(span: Span) -> dict[str, Any]:
    """Return start and end, and the milliseconds between them with their fractions."""
    is_complete = 0 < span.start_ns <= span.end_ns
    return {
        "start_time": _to_time(span.start_ns),
        "end_time": _to_time(span.end_ns),
        "latency_ms": (span.end_ns - span.start_ns) / 1_000_000 if is_complete else None,
    }


def _to_time(nanoseconds: int) -> datetime | None:
    """Return a time, cut to milliseconds; None for 0. Any 64-bit number is before the year 2555."""
    return clock.from_any_number(nanoseconds // 1_000_000) if nanoseconds else None


def _has_failed(span: Span) -> bool:
    """Return whether a span has failed. An exception that was handled is none: the status is OK then."""
    if span.status == ERROR or span.attributes.get(names.LEVEL) == "ERROR" or span.attributes.get(names.ERROR_TYPE):
        return True
    return span.status != OK and any(event.name == "exception" for event in span.events)


def _to_status(span: Span) -> dict[str, str]:
    """Return status and error of a span that has failed; nothing of another one."""
    if not _has_failed(span):
        return {}
    said = (to_text(span.attributes.get(names.STATUS_MESSAGE)), span.status_message)
    exceptions = (event.attributes for event in span.events if event.name == "exception")
    thrown = (
        first_text(attributes, (name,), ERROR_MAX)
        for attributes in exceptions
        for name in ("exception.message", "exception.type")
    )
    texts = (*said, *thrown, to_text(span.attributes.get(names.ERROR_TYPE)))
    return {"status": FAILED, "error": next(filter(None, texts), "")[:ERROR_MAX]}


def _read_reference(attributes: Attributes) -> dict[str, str] | None:
    """Return slug, version and tag of the prompt that a span names; None if it names none."""
    for keys in names.PROMPTS:
        if keys[0] in attributes and (named := _read_texts(attributes, _REFERENCE, keys)).get("slug"):
            return named
    prompt = read_object(attributes.get(names.PROMPT_OBJECT))
    if prompt.get("isFallback") is not True and (named := _read_texts(prompt, _REFERENCE, ("name", "version"))):
        return named if "slug" in named else None
    return _read_texts(attributes, _REFERENCE, (names.PROMPT_ID,)) or None


def _read_texts(values: Attributes, names_of_texts: Sequence[str], keys: Sequence[str]) -> dict[str, str]:
    """Return the texts that are not empty under these keys, under the names in the same order."""
    found = ((name, first_text(values, (key,), ORIGIN_MAX)) for name, key in zip(names_of_texts, keys, strict=False))
    return {name: text for name, text in found if text}


def _read_scores(span: Span) -> list[dict[str, Any]]:
    found = (to_score(event.attributes) for event in span.events if event.name == names.EVALUATION_EVENT)
    return [score for score in found if score is not None][:_SCORES_MAX]
