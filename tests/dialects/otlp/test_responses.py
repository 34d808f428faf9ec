"""The bodies of responses, which are written without protobuf's library."""

import json
from collections import Counter
from typing import Any

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from promptcrafter.dialects.otlp.responses import write_status, write_success
from promptcrafter.dialects.otlp.signals import JSON, LOGS, METRICS, PROTOBUF, TRACES, Signal
from promptcrafter.problems import Invalid, Problem


@pytest.mark.parametrize(
    ("signal", "response_type", "rejected"),
    [
        (TRACES, ExportTraceServiceResponse, "rejected_spans"),
        (LOGS, ExportLogsServiceResponse, "rejected_log_records"),
        (METRICS, ExportMetricsServiceResponse, "rejected_data_points"),
    ],
)
def test_both_encodings_of_a_partial_success_are_what_the_library_reads(
    signal: Signal, response_type: Any, rejected: str
) -> None:
    rejections = Counter({"b": 300, "a": 1})
    from_protobuf = response_type.FromString(write_success(signal, rejections, PROTOBUF))
    assert getattr(from_protobuf.partial_success, rejected) == 301
    assert from_protobuf.partial_success.error_message == "300 rejected: b; 1 rejected: a"
    assert json_format.Parse(write_success(signal, rejections, JSON), response_type()) == from_protobuf
    assert response_type.FromString(write_success(signal, Counter(), PROTOBUF)) == response_type()
    assert write_success(signal, Counter(), JSON) == b"{}"


def test_a_response_has_the_rules_that_are_broken_most() -> None:
    rejections = Counter({f"rule {number}": number for number in range(1, 8)})
    success = json.loads(write_success(TRACES, rejections, JSON))["partialSuccess"]
    assert success == {
        "rejectedSpans": "28",
        "errorMessage": "7 rejected: rule 7; 6 rejected: rule 6; 5 rejected: rule 5; 4 rejected: rule 4; "
        "3 rejected: rule 3; and 2 more rules",
    }


def test_an_error_has_the_details_that_its_message_does_not_quote() -> None:
    body, media = write_status(Problem(401, "No key.", "unauthorized", details={"x-api-key": ["is none"]}), JSON)
    assert (json.loads(body), media) == ({"code": 16, "message": "No key.; x-api-key is none"}, JSON)
    body, media = write_status(Invalid({"a": ["is no parameter"]}), "text/plain")
    assert (json.loads(body), media) == ({"code": 3, "message": "a is no parameter."}, JSON)


@pytest.mark.parametrize(("status", "code"), [(500, 13), (502, 13), (418, 2), (507, 8), (503, 14)])
def test_each_status_has_a_code_of_grpc(status: int, code: int) -> None:
    problem = Problem(status, "", "code")
    assert write_status(problem, PROTOBUF) == (bytes([8, code]), PROTOBUF)
    assert json.loads(write_status(problem, JSON)[0]) == {"code": code, "message": ""}
