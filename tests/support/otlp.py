"""Requests of OpenTelemetry's exporters, made by hand."""

import base64
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from promptcrafter.dialects.otlp.signals import PREFIXES, SIGNALS
from tests.support.people import Answer

PATHS = frozenset(prefix + signal.path for prefix in PREFIXES for signal in SIGNALS)
START_NS = 1_750_000_000_000_000_000
TRACE = "0af7651916cd43dd8448eb211c80319c"
_ids = count(1)


def make_span(
    attributes: Mapping[str, Any] | None = None,
    *,
    trace_id: str = TRACE,
    span_id: str | None = None,
    parent_id: str | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Return a span as OTLP's JSON has it, but with plain attributes, of 1.5 seconds.

    `more` may have the keys `name`, `start_ns`, `end_ns`, `status`, `message` and `events`, a list of name and
    attributes.
    """
    return {
        **{"name": "chat", "start_ns": START_NS, "end_ns": START_NS + 1_500_000_000, "status": 0, "message": ""},
        **{"events": [], "attributes": dict(attributes or {}), **more},
        **{"trace_id": trace_id, "span_id": span_id or f"{next(_ids):016x}", "parent_id": parent_id},
    }


def encode(
    spans: Sequence[Mapping[str, Any]], resource: Mapping[str, Any] | None = None, scope: str = "tests"
) -> bytes:
    """Return the request in protobuf that an exporter sends for these spans."""
    request = ExportTraceServiceRequest()
    of_resource = request.resource_spans.add()
    of_resource.resource.attributes.extend(_to_pairs(resource or {"service.name": "shop"}))
    of_scope = of_resource.scope_spans.add()
    of_scope.scope.name = scope
    for span in spans:
        message = of_scope.spans.add(
            trace_id=bytes.fromhex(span["trace_id"]),
            span_id=bytes.fromhex(span["span_id"]),
            parent_span_id=bytes.fromhex(span["parent_id"] or ""),
            name=span["name"],
            start_time_unix_nano=span["start_ns"],
            end_time_unix_nano=span["end_ns"],
            attributes=_to_pairs(span["attributes"]),
        )
        message.status.code, message.status.message = span["status"], span["message"]
        for name, attributes in span["events"]:
            message.events.add(name=name, time_unix_nano=span["start_ns"], attributes=_to_pairs(attributes))
    return bytes(request.SerializeToString())


def to_json(
    spans: Sequence[Mapping[str, Any]], resource: Mapping[str, Any] | None = None, scope: str = "tests"
) -> dict[str, Any]:
    """Return the request in OTLP's JSON form that an exporter sends for these spans."""
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": _to_json_pairs(resource or {"service.name": "shop"})},
                "scopeSpans": [{"scope": {"name": scope}, "spans": [_to_json_span(span) for span in spans]}],
            }
        ]
    }


def _to_json_span(span: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "traceId": span["trace_id"],
        "spanId": span["span_id"],
        "parentSpanId": span["parent_id"] or "",
        "name": span["name"],
        "kind": 3,
        "startTimeUnixNano": str(span["start_ns"]),
        "endTimeUnixNano": str(span["end_ns"]),
        "attributes": _to_json_pairs(span["attributes"]),
        "events": [
            {"name": name, "timeUnixNano": str(span["start_ns"]), "attributes": _to_json_pairs(attributes)}
            for name, attributes in span["events"]
        ],
        "status": {"code": span["status"], "message": span["message"]},
    }


def _to_json_pairs(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _to_json_value(value)} for name, value in attributes.items()]


def _to_json_value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, bytes):
        return {"bytesValue": base64.b64encode(value).decode()}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_to_json_value(item) for item in value]}}
    if isinstance(value, Mapping):
        return {"kvlistValue": {"values": _to_json_pairs(value)}}
    return {"stringValue": str(value)}


def export(person: Any, *spans: Mapping[str, Any], path: str = "/v1/traces", **more: Any) -> Any:
    """Send spans as an exporter does; return the response. `more` are arguments of `encode`."""
    return person.open(path, method="POST", data=encode(spans, **more), content_type="application/x-protobuf")


def make_record(name: str, *, span: Mapping[str, Any] | None = None, body: Any = None, **more: Any) -> dict[str, Any]:
    """Return a log record with plain values, of this span if there is one.

    `more` may have the keys `attributes`, `time_ns`, `trace_id` and `span_id`.
    """
    ids = {"trace_id": span["trace_id"], "span_id": span["span_id"]} if span else {"trace_id": "", "span_id": ""}
    return {**ids, "name": name, "body": body, "attributes": {}, "time_ns": START_NS, **more}


def encode_records(records: Sequence[Mapping[str, Any]]) -> bytes:
    """Return the request in protobuf that an exporter sends for these log records."""
    request = ExportLogsServiceRequest()
    of_scope = request.resource_logs.add().scope_logs.add()
    for record in records:
        of_scope.log_records.add(
            trace_id=bytes.fromhex(record["trace_id"]),
            span_id=bytes.fromhex(record["span_id"]),
            event_name=record["name"],
            time_unix_nano=record["time_ns"],
            body=None if record["body"] is None else _to_any(record["body"]),
            attributes=_to_pairs(record["attributes"]),
        )
    return bytes(request.SerializeToString())


def records_to_json(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the request in OTLP's JSON form that an exporter sends for these log records."""
    sent = [
        {
            "traceId": record["trace_id"],
            "spanId": record["span_id"],
            "eventName": record["name"],
            "timeUnixNano": str(record["time_ns"]),
            "body": None if record["body"] is None else _to_json_value(record["body"]),
            "attributes": _to_json_pairs(record["attributes"]),
        }
        for record in records
    ]
    return {"resourceLogs": [{"scopeLogs": [{"logRecords": sent}]}]}


def export_records(person: Any, *records: Mapping[str, Any], path: str = "/v1/logs") -> Any:
    """Send log records as an exporter does; return the response."""
    return person.open(path, method="POST", data=encode_records(records), content_type="application/x-protobuf")


def read_rejections(answer: Any) -> tuple[int, str]:
    """Return how many log records a 200 says were rejected, and why."""
    assert answer.status_code == 200, answer.text
    partial = ExportLogsServiceResponse.FromString(answer.data).partial_success
    return partial.rejected_log_records, partial.error_message


def assert_status(answer: Answer, status: int, message: str | None = None) -> None:
    """Check an error whose body is a `google.rpc.Status` in JSON."""
    assert answer.status_code == status, answer.text
    assert answer.mimetype == "application/json"
    assert set(answer.json) == {"code", "message"}
    if message is not None:
        assert answer.json["message"] == message


def _to_pairs(attributes: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=name, value=_to_any(value)) for name, value in attributes.items()]


def _to_any(value: Any) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, bytes):
        return AnyValue(bytes_value=value)
    if isinstance(value, list):
        result = AnyValue()
        result.array_value.values.extend(map(_to_any, value))
        return result
    if isinstance(value, Mapping):
        result = AnyValue()
        result.kvlist_value.values.extend(_to_pairs(value))
        return result
    return AnyValue(string_value=str(value))
