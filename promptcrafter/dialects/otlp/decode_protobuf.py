"""Decodes OTLP's protobuf encoding.

The module is imported at the first OTLP request, because protobuf takes 6 MB of memory.
"""

import base64
import math
from collections.abc import Iterable
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from promptcrafter.dialects.otlp.spans import Event, Span
from promptcrafter.problems import Problem

_NO_TRACE, _NO_SPAN = bytes(16), bytes(8)


def read_spans(body: bytes) -> tuple[list[Span], list[str]]:
    """Return the spans of an ExportTraceServiceRequest, and why others are rejected. Raises 400 for anything else."""
    try:
        request = ExportTraceServiceRequest.FromString(body)
    except DecodeError:
        request = None
    if request is None:  # raised here, so that the error does not hold the body
        raise Problem(400, "The body is no ExportTraceServiceRequest in protobuf.", "invalid_protobuf")
    spans, rejections = [], []
    for of_resource in request.resource_spans:
        resource = _to_dict(of_resource.resource.attributes)
        for of_scope in of_resource.scope_spans:
            scope = (_clean(of_scope.scope.name), _clean(of_scope.scope.version))
            for message in of_scope.spans:
                fault = _find_fault(message)
                if fault is None:
                    spans.append(_to_span(message, resource, *scope))
                else:
                    rejections.append(fault)
    return spans, rejections


def _find_fault(message: Any) -> str | None:
    if len(message.trace_id) != len(_NO_TRACE) or message.trace_id == _NO_TRACE:
        return "trace_id must have 16 bytes that are not all 0"
    if len(message.span_id) != len(_NO_SPAN) or message.span_id == _NO_SPAN:
        return "span_id must have 8 bytes that are not all 0"
    if len(message.parent_span_id) not in (0, len(_NO_SPAN)):
        return "parent_span_id must be empty or have 8 bytes"
    return None


def _to_span(message: Any, resource: dict[str, Any], scope: str, scope_version: str) -> Span:
    parent = message.parent_span_id
    return Span(
        trace_id=message.trace_id.hex(),
        span_id=message.span_id.hex(),
        parent_id=parent.hex() if parent and parent != _NO_SPAN else None,
        name=_clean(message.name),
        start_ns=message.start_time_unix_nano,
        end_ns=message.end_time_unix_nano,
        status=message.status.code,
        status_message=_clean(message.status.message),
        attributes=_to_dict(message.attributes),
        events=[
            Event(_clean(event.name), event.time_unix_nano, _to_dict(event.attributes)) for event in message.events
        ],
        resource=resource,
        scope=scope,
        scope_version=scope_version,
    )


def _to_dict(pairs: Iterable[Any]) -> dict[str, Any]:
    return {_clean(pair.key): _to_value(pair.value) for pair in pairs}


def _to_value(value: Any) -> Any:
    """Return an AnyValue as JSON; bytes are base64, and numbers that JSON has not are texts."""
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return _clean(value.string_value)
    if kind == "double_value":
        number = value.double_value
        return number if math.isfinite(number) else str(number)
    if kind == "array_value":
        return [_to_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return _to_dict(value.kvlist_value.values)
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    return None if kind is None else getattr(value, kind)


def _clean(text: str) -> str:
    """Return text without NUL, which no database stores."""
    return text.replace("\0", "\ufffd") if "\0" in text else text
