"""Decoding OTLP's two encodings: the same of both, strict about ids, and bounded."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from promptcrafter.dialects.otlp.decode_json import JsonDecoder
from promptcrafter.dialects.otlp.decode_protobuf import ProtobufDecoder
from promptcrafter.dialects.otlp.decoding import ITEM_VALUES_MAX, NAME_MAX, PARTS_MAX, Batch, Decoder
from promptcrafter.dialects.otlp.spans import Span
from promptcrafter.problems import Problem
from tests.support.environment import ROOT
from tests.support.otlp import encode, make_span, to_json
from tests.support.otlp_hostile import IDS, attribute, field, request

ATTRIBUTES: dict[str, Any] = {
    "text": "Grüße 🌱",
    "empty": "",
    "yes": True,
    "whole": -(2**63),
    "fraction": 0.1,
    "bytes": b"\x00\xff",
    "list": ["a", 1, [True, {"b": 2.5}]],
    "map": {"a": {"b": []}, "c": {}},
}


def read_protobuf(*spans: Mapping[str, Any]) -> Batch[Span]:
    return ProtobufDecoder(encode(spans)).read_spans()


def read_json(*spans: Mapping[str, Any]) -> Batch[Span]:
    return JsonDecoder(json.dumps(to_json(spans)).encode()).read_spans()


both = pytest.mark.parametrize("read", [read_protobuf, read_json])
Read = Callable[..., Batch[Span]]


def refusal(decoder: Decoder) -> tuple[int, str]:
    with pytest.raises(Problem) as error:
        decoder.read_spans()
    assert error.value.__cause__ is None, "the library's error refers to the body"
    return error.value.status, error.value.message


def test_both_encodings_are_decoded_to_the_same() -> None:
    events = [("exception", {"exception.message": "no"}), ("gen_ai.choice", {})]
    child = make_span(ATTRIBUTES, parent_id="00000000000000ff", status=2, message="failed", events=events)
    spans = [make_span(name="root"), child]
    assert read_protobuf(*spans) == read_json(*spans)
    root, decoded = read_json(*spans).items
    assert (root.parent_id, root.attributes, root.events) == (None, {}, [])
    assert decoded.attributes == {**ATTRIBUTES, "bytes": "AP8="}
    assert (decoded.parent_id, decoded.status, decoded.status_message) == ("00000000000000ff", 2, "failed")
    assert (decoded.scope, decoded.resource) == ("tests", {"service.name": "shop"})


@both
@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"trace_id": "00" * 16}, "trace_id must have 16 bytes that are not all 0, in JSON as 32 hex digits"),
        ({"trace_id": "11" * 15}, "trace_id must have 16 bytes that are not all 0, in JSON as 32 hex digits"),
        ({"trace_id": ""}, "trace_id must have 16 bytes that are not all 0, in JSON as 32 hex digits"),
        ({"span_id": "00" * 8}, "span_id must have 8 bytes that are not all 0, in JSON as 16 hex digits"),
        ({"span_id": "11" * 9}, "span_id must have 8 bytes that are not all 0, in JSON as 16 hex digits"),
        ({"parent_id": "11" * 3}, "parent_span_id must be empty or have 8 bytes, in JSON as 16 hex digits"),
        (
            {"attributes": {"n" * (NAME_MAX + 1): 1}},
            f"the name of an attribute must have at most {NAME_MAX:,} characters",
        ),
        (
            {"attributes": {"a": [0] * ITEM_VALUES_MAX}},
            f"an item must have at most {ITEM_VALUES_MAX:,} attributes, values in them, and events",
        ),
        (
            {"events": [("e", {})] * (ITEM_VALUES_MAX + 1)},
            f"an item must have at most {ITEM_VALUES_MAX:,} attributes, values in them, and events",
        ),
        (
            {"attributes": {"a": json.loads("[" * 21 + "]" * 21)}},
            "attributes must be nested at most 20 levels deep",
        ),
    ],
)
def test_a_span_that_breaks_a_rule_is_rejected_alone(read: Read, changed: dict[str, Any], rule: str) -> None:
    batch = read(make_span(name="a"), {**make_span(), **changed}, make_span(name="b"), {**make_span(), **changed})
    assert [span.name for span in batch.items] == ["a", "b"]
    assert batch.rejections == {rule: 2}


@both
def test_what_no_database_stores_is_replaced_and_long_names_are_cut(read: Read) -> None:
    (span,) = read(make_span({"a\0b": "c\0d", "e": ["\0"]}, name="\0" + "n" * 2000, message="f\0")).items
    assert (span.attributes, span.status_message) == ({"a\ufffdb": "c\ufffdd", "e": ["\ufffd"]}, "f\ufffd")
    assert span.name == "\ufffd" + "n" * (NAME_MAX - 1)


@both
def test_any_time_of_64_bits_is_read(read: Read) -> None:
    (span,) = read(make_span(start_ns=2**64 - 1, end_ns=1)).items
    assert (span.start_ns, span.end_ns) == (2**64 - 1, 1)


@pytest.mark.parametrize("decoder", [ProtobufDecoder, JsonDecoder])
def test_an_empty_body_is_an_empty_request(decoder: type[Decoder]) -> None:
    assert decoder(b"").read_spans() == Batch()
    assert decoder(b"").count_points() == 0


def read_value(value: Any) -> Any:
    """Return a decoded value of OTLP's JSON form; the rule that it breaks as a tuple."""
    body = to_json([make_span()])
    body["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"] = [{"key": "a", "value": value}]
    batch = JsonDecoder(json.dumps(body).encode()).read_spans()
    return batch.items[0].attributes["a"] if batch.items else tuple(batch.rejections)


WHOLE = f"intValue must be a whole number from {-(2**63)} to {2**63 - 1}, or the text of one"
DOUBLE = "doubleValue must be a number, or the text of one"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"intValue": 7}, 7),
        ({"intValue": "-7"}, -7),
        ({"intValue": 7.0}, 7),
        ({"intValue": "7.5"}, (WHOLE,)),
        ({"intValue": True}, (WHOLE,)),
        ({"intValue": 2**63}, (WHOLE,)),
        ({"doubleValue": 1}, 1.0),
        ({"doubleValue": "1e3"}, 1000.0),
        ({"doubleValue": "NaN"}, "nan"),
        ({"doubleValue": "-Infinity"}, "-inf"),
        ({"doubleValue": 10**400}, (DOUBLE,)),
        ({"doubleValue": []}, (DOUBLE,)),
        ({"boolValue": "true"}, ("boolValue must be true or false",)),
        ({"stringValue": 1}, ("stringValue must be a string",)),
        ({"stringValue": "\ud800"}, "\ufffd"),
        ({"arrayValue": {}}, []),
        ({"arrayValue": {"values": [{}]}}, [None]),
        ({"arrayValue": {"values": [1]}}, ("arrayValue.values must be an object",)),
        ({"kvlistValue": {"values": [{"key": "b", "value": {"intValue": 1}}]}}, {"b": 1}),
        ({"kvlistValue": []}, ("kvlistValue must be an object",)),
        ({"stringValue": None, "intValue": 1}, 1),
        ({"string_value": "a", "unknown": 1}, None),
        ({}, None),
        (None, None),
        ("a", ("value must be an object",)),
    ],
)
def test_values_in_json_are_read_as_the_specification_says(value: Any, expected: Any) -> None:
    assert read_value(value) == expected


def test_json_reads_names_of_enumerations_and_upper_case_ids_and_ignores_unknown_fields() -> None:
    body = to_json([make_span(trace_id="AB" * 16, span_id="CD" * 8)])
    span = body["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    span |= {"status": {"code": "STATUS_CODE_ERROR"}, "unknown": [1], "trace_id": 1, "links": 7, "name": None}
    (decoded,) = JsonDecoder(json.dumps({**body, "more": {}}).encode()).read_spans().items
    assert (decoded.trace_id, decoded.span_id) == ("ab" * 16, "cd" * 8)
    assert (decoded.status, decoded.name) == (2, "")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"[]", "The body is no ExportTraceServiceRequest in JSON: each part of a request must be an object."),
        (b'{"resourceSpans": {}}', "The body is no ExportTraceServiceRequest in JSON: resourceSpans must be an array."),
        (
            b'{"resourceSpans": [{"scopeSpans": 1}]}',
            "The body is no ExportTraceServiceRequest in JSON: scopeSpans must be an array.",
        ),
        (b"{", "Invalid JSON at line 1, column 2: Expecting property name enclosed in double quotes."),
        (b"\xff", "The body is not UTF-8: byte 1 is invalid."),
    ],
)
def test_a_body_that_is_no_request_in_json_is_refused(body: bytes, message: str) -> None:
    assert refusal(JsonDecoder(body)) == (400, message)


@pytest.mark.parametrize(
    "body",
    [
        b"\xff",
        b"\x0a",
        b"\x0a\x05ab",
        b"\x0a\x02\x12\x7f",
        b"\x00",
        b"\x0b",
        b"\x09" + bytes(7),
        b"\x08" + b"\xff" * 11,
    ],
)
def test_a_body_that_is_no_request_in_protobuf_is_refused(body: bytes) -> None:
    message = "The body is no ExportTraceServiceRequest in protobuf."
    assert refusal(ProtobufDecoder(body)) == (400, message)


def test_a_request_of_too_many_parts_is_refused() -> None:
    message = f"A request may have at most {PARTS_MAX:,} resources, scopes and items, such as spans."
    assert refusal(ProtobufDecoder(field(1, field(2, b"\x12\x00" * PARTS_MAX)))) == (413, message)
    scopes = json.dumps({"resourceSpans": [{"scopeSpans": [{}] * PARTS_MAX}]}).encode()
    assert refusal(JsonDecoder(scopes)) == (413, message)


@pytest.mark.parametrize(
    ("bad", "rule"),
    [
        (IDS + b"\x4a\x7f", "it is not valid protobuf"),
        (IDS + attribute(b"\xff", b""), "its texts must be UTF-8"),
        (IDS + attribute(b"a", field(1, b"\xff")), "its texts must be UTF-8"),
    ],
)
def test_a_damaged_span_is_rejected_alone(bad: bytes, rule: str) -> None:
    batch = ProtobufDecoder(request(IDS, bad, IDS)).read_spans()
    assert len(batch.items) == 2
    assert batch.rejections == {rule: 1}


def test_the_spans_of_a_damaged_resource_or_scope_are_rejected_and_no_others() -> None:
    damaged = request(IDS, IDS, resource_=field(1, field(1, b"\xff"))) + request(IDS, scope=field(1, b"\xff"))
    batch = ProtobufDecoder(damaged + request(IDS)).read_spans()
    assert len(batch.items) == 1
    assert batch.rejections == {"its resource or scope: its texts must be UTF-8": 3}


def test_a_message_that_is_sent_in_pieces_is_read_whole() -> None:
    resource = field(1, field(1, field(1, b"a"))) + field(1, field(1, field(1, b"b")))
    (span,) = ProtobufDecoder(field(1, resource + field(2, field(2, IDS)))).read_spans().items
    assert span.resource == {"a": None, "b": None}


def test_the_points_of_metrics_are_counted_in_both_encodings() -> None:
    message = ExportMetricsServiceRequest()
    metrics = message.resource_metrics.add().scope_metrics.add().metrics
    points = metrics.add(name="requests").sum.data_points
    points.add(as_int=1), points.add(as_double=2)
    metrics.add(name="duration").histogram.data_points.add(count=1)
    assert ProtobufDecoder(message.SerializeToString()).count_points() == 3
    sent = [{"name": "a", "gauge": {"dataPoints": [{}, {}]}}, {"summary": {"dataPoints": [{}]}}, {"sum": 7}]
    body = {"resourceMetrics": [{"scopeMetrics": [{"metrics": sent}]}]}
    assert JsonDecoder(json.dumps(body).encode()).count_points() == 3


def test_hostile_bodies_of_20_mib_take_less_than_100_mib() -> None:
    """They are measured in a process of their own, with what protobuf's library allocates."""
    code = [sys.executable, "-m", "tests.support.otlp_hostile"]
    lines = subprocess.run(code, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(lines) >= 40
    for decoder, name, outcome, _, mebibytes in map(json.loads, lines):
        assert mebibytes < 100, (decoder, name)
        is_kept = name in ("many spans with many links", "indices of a thousand million")
        assert is_kept or '": ' in outcome or outcome.startswith("4"), (decoder, name, outcome)
