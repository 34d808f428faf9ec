"""Reading and writing protobuf's wire format without a schema."""

import pytest
from google.protobuf.descriptor import Descriptor
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from promptcrafter.dialects.otlp.decode_protobuf import MESSAGES
from promptcrafter.dialects.otlp.wire import (
    OTHER,
    Malformed,
    count_fields,
    read_fields,
    write_bytes,
    write_number,
    write_text,
)
from tests.support.otlp_hostile import IDS, attribute, field, nested


@pytest.mark.parametrize("number", [0, 1, 127, 128, 300, 2**31, 2**63 - 1])
def test_what_is_written_is_what_the_library_reads(number: int) -> None:
    text = "ä" * (number % 1000)
    written = write_bytes(1, write_number(1, number) + write_text(2, text))
    partial = ExportTraceServiceResponse.FromString(written).partial_success
    assert (partial.rejected_spans, partial.error_message) == (number, text)


def test_fields_are_found_with_their_places() -> None:
    span = Span(trace_id=b"t" * 16, name="n" * 200, kind=Span.SPAN_KIND_CLIENT, start_time_unix_nano=1, flags=2)
    data = bytes(span.SerializeToString())
    found = list(read_fields(data, (0, len(data))))
    assert [(number, data[start:end]) for number, (start, end) in found if number != OTHER] == [
        (1, b"t" * 16),
        (5, b"n" * 200),
    ]
    assert [number for number, _ in found].count(OTHER) == 3


@pytest.mark.parametrize(
    "data", [b"\x0a", b"\x0a\x02a", b"\x09" + bytes(7), b"\x0d" + bytes(3), b"\x0b", b"\x0c", b"\x80" * 11, b"\x02\x00"]
)
def test_what_ends_too_early_groups_and_the_number_0_are_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        list(read_fields(data, (0, len(data))))


def test_fields_are_counted_at_all_depths_up_to_the_limit() -> None:
    data = IDS + attribute(b"a", field(1, b"text")) + attribute(b"b", nested(3, 6))
    assert count_fields(data, "Span", MESSAGES, 1000) == 2 + 4 + 3 + 3 * 3
    assert count_fields(data, "Span", MESSAGES, 5) == 6


def test_the_table_of_messages_is_what_the_library_knows() -> None:
    descriptors: dict[str, Descriptor] = {}
    parsed = (Span, LogRecord, resource_pb2.Resource, common_pb2.InstrumentationScope)
    pending = [message_type.DESCRIPTOR for message_type in parsed]
    while pending:
        descriptor = pending.pop()
        if descriptor.name not in descriptors:
            descriptors[descriptor.name] = descriptor
            pending += [each.message_type for each in descriptor.fields if each.message_type]
    assert MESSAGES.keys() == descriptors.keys()
    for name, descriptor in descriptors.items():
        inside = {each.number: each.message_type.name for each in descriptor.fields if each.message_type}
        assert MESSAGES[name] == inside, name
