"""Spans as the decoders return them, and what becomes of them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from promptcrafter.dialects.otlp.spans import Event, Span
from promptcrafter.dialects.otlp.translate import Limits, Part, translate
from tests.support.otlp import START_NS, TRACE

LIMITS = Limits(output_bytes=1024 * 1024)
SPAN = "00f067aa0ba902b7"
PARENT = "53995c3f42cd8ad8"


def to_span(
    attributes: Mapping[str, Any] | None = None,
    *,
    events: Sequence[tuple[str, Mapping[str, Any]]] = (),
    resource: Mapping[str, Any] | None = None,
    **more: Any,
) -> Span:
    """Return a span of 1.5 seconds inside of another one; `more` are fields of it. Events are at its middle."""
    fields: dict[str, Any] = {
        **{"trace_id": TRACE, "span_id": SPAN, "parent_id": PARENT, "name": "chat", "status": 0, "status_message": ""},
        **{"start_ns": START_NS, "end_ns": START_NS + 1_500_000_000, "scope": "", "scope_version": ""},
        **more,
    }
    return Span(
        attributes=dict(attributes or {}),
        events=[Event(name, START_NS + 750_000_000, of_event) for name, of_event in events],
        resource=dict(resource or {}),
        **fields,
    )


def translated(attributes: Mapping[str, Any] | None = None, *, limits: Limits = LIMITS, **more: Any) -> Part:
    """Return what becomes of a span, which must not be nothing. The arguments are those of `to_span`."""
    part = translate(to_span(attributes, **more), limits)
    assert part is not None
    return part


def columns_of(part: Part) -> dict[str, Any]:
    """Return the columns of a log or a step, with inputs and outputs as JSON values."""
    columns = dict(part.columns)
    for name in ("input", "output"):
        if columns.pop(f"{name}_format", None) == "json":
            columns[name] = json.loads(columns[name])
    return columns


def log_of(attributes: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Return the columns of the log that a span becomes, with inputs and outputs as JSON values."""
    part = translated(attributes, **more)
    assert part.is_call
    return columns_of(part)


def step_of(attributes: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Return the columns of the step that a span becomes."""
    part = translated(attributes, **more)
    assert not part.is_call
    return columns_of(part)


def pick(columns: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the columns that are in `names`, None for one that is not there."""
    return {name: columns.get(name) for name in names}
