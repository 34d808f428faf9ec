"""Spans as all encodings of OTLP are decoded to.

Attribute values are JSON values: their texts can be stored, and their numbers are finite.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Attributes = Mapping[str, Any]
OK, ERROR = 1, 2  # codes of a span's status (opentelemetry/proto/trace/v1/trace.proto); 0 is unset
BODY = "body"  # the attribute under which the event of a log record has the record's body


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened during a span. `time_ns` is in nanoseconds since 1970, 0 if unknown."""

    name: str
    time_ns: int
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Span:
    """A span. Its ids are lower-case hex, of 32 and 16 digits; `parent_id` is None for the root of a trace.

    Times are in nanoseconds since 1970, 0 if unknown. `resource` describes the program that sent it, and `scope` is
    the name of its instrumentation.
    """

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    start_ns: int
    end_ns: int
    status: int
    status_message: str
    attributes: Attributes
    events: Sequence[Event]
    resource: Attributes
    scope: str
    scope_version: str


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A log record: an event, and the ids of the trace and the span in which it happened, each "" if it has none.

    The body, if any, is the attribute BODY of the event.
    """

    trace_id: str
    span_id: str
    event: Event
