"""What is kept of a span besides the columns with a meaning: parameters and metadata, of a bounded size.

An object that is too large loses its largest entries, whose names are kept. Pure functions.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from promptcrafter import clock
from promptcrafter.dialects.otlp import names
from promptcrafter.dialects.otlp.attributes import (
    EMPTY,
    first_number,
    first_text,
    is_empty,
    nest,
    read_json,
    read_object,
    read_quoted,
    to_text,
)
from promptcrafter.dialects.otlp.media import describe_media
from promptcrafter.dialects.otlp.sorting import Sorted
from promptcrafter.dialects.otlp.spans import Attributes, Span
from promptcrafter.jsonio import dumps
from promptcrafter.logs.fields import ORIGIN_MAX

OBJECT_MAX = 64 * 1024  # bytes of the JSON of parameters, of the sender's metadata, and of unknown attributes
_NAME_MAX = 100  # characters of the name of an entry that is left out
OMITTED_MAX = 50  # such names
_TEXT_MAX = 1000  # characters of an id, a reason or a name
_STACK_MAX = 20_000  # characters
_LIST_MAX = 100  # tags, and reasons
_DEFAULT_LEVEL = "DEFAULT"


def read_parameters(span: Span, of_span: Sorted, request: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the parameters of a call, among them its tools, and the names of those that are left out.

    `request` has the fields of the request that stand beside its messages. The model is among neither.
    """
    attributes = span.attributes
    found: dict[str, Any] = {**request}
    for prefix in names.TOOL_PREFIXES:
        if prefix in of_span.families:
            tools = nest(of_span.families[prefix])
            found["tools"] = [_unwrap_tool(tool) for tool in tools] if isinstance(tools, list) else tools
    for name in names.TOOLS:
        if name in attributes:
            tools = read_json(attributes[name])
            found["tools"] = [read_json(tool) for tool in tools] if isinstance(tools, list) else tools
    for name, theirs in names.PARAMETERS:
        if theirs in attributes:
            found[name] = read_json(attributes[theirs])
    for prefix in names.PARAMETER_PREFIXES:
        for name, value in of_span.families.get(prefix, {}).items():
            found[name] = read_json(value)
    for name in reversed(names.PARAMETER_OBJECTS):
        if name in attributes:
            found |= read_object(attributes[name])
    for name in ("model", "messages"):
        found.pop(name, None)
    return leave_out_largest(found)


def _unwrap_tool(tool: Any) -> Any:
    inner = tool.get("tool", tool) if isinstance(tool, dict) else tool
    return read_json(inner.get("json_schema", inner)) if isinstance(inner, dict) else inner


def read_variables(span: Span, of_span: Sorted, maximum: int) -> tuple[dict[str, Any], list[str]]:
    """Return the variables of the prompt, and the names of those that are left out."""
    for name in names.VARIABLES:
        if name in span.attributes and (found := read_object(span.attributes[name])):
            return leave_out_largest(found, maximum)
    return leave_out_largest({**of_span.families.get(names.VARIABLE_PREFIX, {})}, maximum)


def read_metadata(span: Span, of_span: Sorted) -> tuple[dict[str, Any], list[str]]:
    """Return the metadata of a log or a step, and the names of what is left out of it.

    They are the sender's own, what has no column, and attributes that `names` does not have, as `attributes`.
    """
    attributes = span.attributes
    metadata, omitted = leave_out_largest(_read_own(attributes, of_span))
    more: dict[str, Any] = {
        "tags": read_texts(attributes, names.TAGS),
        "finishReasons": read_texts(attributes, names.FINISH_REASONS),
        "responseId": first_text(attributes, names.RESPONSE_ID, _TEXT_MAX),
        "service": read_service(span),
        "scope": span.scope[:_TEXT_MAX],
        "timeToFirstTokenMs": _read_time_to_first_token(span),
        "stackTrace": _read_stack_trace(span),
        **{name: first_text(attributes, (theirs,), _TEXT_MAX) for name, theirs in names.METADATA},
    }
    if more["level"] == _DEFAULT_LEVEL:
        del more["level"]
    for name, value in more.items():
        if value not in EMPTY:
            metadata.setdefault(name, value)
    if of_span.unknown:
        rest, left_out = leave_out_largest(of_span.unknown)
        omitted += left_out
        if rest:
            metadata["attributes"] = rest
    return metadata, omitted


def read_service(span: Span) -> str | None:
    """Return the name of the program that sent a span, if it has one."""
    service = first_text(span.resource, (names.SERVICE,), ORIGIN_MAX)
    return None if service is None or service.startswith(names.UNKNOWN_SERVICE) else service


def read_metadata_of_trace(span: Span, of_span: Sorted, environment: str | None) -> dict[str, Any]:
    """Return the metadata of a trace that a span has: what its sender says of the trace, tags and environment."""
    attributes = span.attributes
    sent = read_quoted(attributes.get(names.TRACE_METADATA))
    own = {**sent} if isinstance(sent, dict) else {} if is_empty(sent) else {"metadata": sent}
    for name, value in of_span.families.get(f"{names.TRACE_METADATA}.", {}).items():
        own[name] = read_quoted(value)
    found, _ = leave_out_largest(own)
    more = {
        "tags": read_texts(attributes, names.TAGS),
        "release": first_text(attributes, (names.RELEASE,), _TEXT_MAX),
        "environment": environment,
    }
    return {**{name: value for name, value in more.items() if value not in EMPTY}, **found}


def _read_own(attributes: Attributes, of_span: Sorted) -> dict[str, Any]:
    """Return what the sender calls metadata."""
    own: dict[str, Any] = {}
    for name in names.METADATA_OBJECTS:
        if name in attributes:
            value = read_quoted(attributes[name])
            own |= value if isinstance(value, dict) else {} if is_empty(value) else {"metadata": value}
    for prefix in names.METADATA_PREFIXES:
        for name, value in of_span.families.get(prefix, {}).items():
            own[name] = read_quoted(value)
    own.pop(names.INTERNAL_CALL, None)
    return own


def read_texts(attributes: Attributes, candidates: Iterable[str]) -> list[str]:
    """Return the first of the values that is an array of texts, its JSON, or one text."""
    for name in candidates:
        if name not in attributes:
            continue
        value = read_json(attributes[name])
        listed = value if isinstance(value, list) else [] if is_empty(value) else [value]
        texts = [text[:_TEXT_MAX] for item in listed[:_LIST_MAX] if (text := to_text(item))]
        if texts:
            return texts
    return []


def _read_time_to_first_token(span: Span) -> float | None:
    """Return the milliseconds from the beginning of a call to the first token of its output."""
    attributes = span.attributes
    seconds = first_number(attributes, names.FIRST_TOKEN_S)
    if seconds is not None:
        return round(seconds * 1000, 3)
    milliseconds = first_number(attributes, names.FIRST_TOKEN_MS)
    if milliseconds is not None:
        return milliseconds
    first = next((event.time_ns for event in span.events if event.name in names.FIRST_TOKEN_EVENTS), 0)
    if names.COMPLETION_START in attributes:
        first = _read_time(attributes[names.COMPLETION_START]) or first
    return (first - span.start_ns) / 1_000_000 if 0 < span.start_ns <= first else None


def _read_time(value: Any) -> int | None:
    """Return a time as nanoseconds since 1970, with the precision of milliseconds."""
    try:
        return clock.to_number(clock.from_text(to_text(value) or "")) * 1_000_000
    except ValueError:
        return None


def _read_stack_trace(span: Span) -> str | None:
    found = (event.attributes for event in span.events if event.name == "exception")
    traces = (first_text(attributes, ("exception.stacktrace",), _STACK_MAX) for attributes in found)
    return next(filter(None, traces), None)


def leave_out_largest(values: Mapping[str, Any], maximum: int = OBJECT_MAX) -> tuple[dict[str, Any], list[str]]:
    """Return an object whose JSON takes at most `maximum` bytes, and the names of the entries that it lost for that.

    Pictures and sounds in it are described first.
    """
    kept = dict(values)
    if not kept or len(written := dumps(kept)) <= maximum // 4 or len(written.encode()) <= maximum:
        return kept, []
    kept = {name: describe_media(value) for name, value in kept.items()}
    sizes = {name: len(dumps({name: value}).encode()) for name, value in kept.items()}
    excess = sum(sizes.values()) - maximum
    omitted = []
    for name in sorted(sizes, key=lambda name: sizes[name], reverse=True):
        if excess <= 0:
            break
        excess -= sizes[name]
        del kept[name]
        omitted.append(name[:_NAME_MAX])
    return kept, omitted
