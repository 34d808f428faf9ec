"""Decodes OTLP's protobuf encoding.

Import this module at the first request that needs it, because protobuf takes 6 MB of memory.
"""

import base64
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord as RecordMessage
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage

from promptcrafter.dialects.otlp.decoding import (
    ITEM_VALUES_MAX,
    Decoder,
    Group,
    Origin,
    Rejected,
    check_ids,
    check_name,
    clean,
    cut,
    make_record,
    make_span,
    not_a_request,
)
from promptcrafter.dialects.otlp.signals import Signal
from promptcrafter.dialects.otlp.spans import Event, LogRecord, Span
from promptcrafter.dialects.otlp.wire import Malformed, Place, count_fields, read_fields

_COUNTED_BYTES = 256 * 1024  # of a message whose fields are counted before the library makes objects of them
_FIELDS_MAX = 5 * ITEM_VALUES_MAX  # an attribute with a text has four
# The numbers of fields: those of all three signals are the same
_RESOURCES = 1
_RESOURCE, _SCOPES = 1, 2
_SCOPE, _ITEMS = 1, 2
_POINTS_OF_METRIC, _POINT = (5, 7, 9, 10, 11), 1
# The messages inside messages, by the numbers of their fields (opentelemetry/proto/*/v1/*.proto), for `count_fields`
MESSAGES: Mapping[str, Mapping[int, str]] = {
    "Span": {9: "KeyValue", 11: "Event", 13: "Link", 15: "Status"},
    "LogRecord": {5: "AnyValue", 6: "KeyValue"},
    "Event": {3: "KeyValue"},
    "Link": {4: "KeyValue"},
    "Status": {},
    "Resource": {1: "KeyValue", 3: "EntityRef"},
    "EntityRef": {},
    "InstrumentationScope": {3: "KeyValue"},
    "KeyValue": {2: "AnyValue"},
    "AnyValue": {5: "ArrayValue", 6: "KeyValueList"},
    "ArrayValue": {1: "AnyValue"},
    "KeyValueList": {1: "KeyValue"},
}


class ProtobufDecoder(Decoder):
    """Decodes a request in protobuf. Its parts are the places in the body where their messages are."""

    def _split(self, signal: Signal) -> Iterator[Group]:
        try:
            for number, place in self._each_field((0, len(self.body))):
                if number == _RESOURCES:
                    yield self._split_resource(place)
        except Malformed:
            raise not_a_request(signal, "protobuf") from None

    def _split_resource(self, place: Place) -> Group:
        resource: list[Place] = []
        scopes: list[tuple[Sequence[Place], Sequence[Place]]] = []
        for number, within in self._each_field(place):
            if number == _RESOURCE:
                resource.append(within)
            elif number == _SCOPES:
                fields = list(self._each_field(within))
                scope = [inner for number, inner in fields if number == _SCOPE]
                scopes.append((scope, [inner for number, inner in fields if number == _ITEMS]))
        return Group(resource, scopes)

    def _each_field(self, place: Place) -> Iterator[tuple[int, Place]]:
        for found in read_fields(self.body, place):
            self._count_part()
            yield found

    def _find_points(self, item: Place) -> Iterator[bool]:
        with suppress(Malformed):
            for number, place in read_fields(self.body, item):
                yield False
                if number in _POINTS_OF_METRIC:
                    yield from (number == _POINT for number, _ in read_fields(self.body, place))

    def _parse(self, message_type: Any, places: Sequence[Place]) -> Any:
        """Return a message, which is in several pieces if it was sent so. Raises Rejected."""
        pieces = [memoryview(self.body)[start:end] for start, end in places]
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)  # usually without a copy
        rule = "it is not valid protobuf"
        try:
            if len(data) > _COUNTED_BYTES:
                count = count_fields(data, message_type.DESCRIPTOR.name, MESSAGES, _FIELDS_MAX)
                self._take(count if count > _FIELDS_MAX else 0)
            return message_type.FromString(data)
        except Malformed:
            pass
        except DecodeError as error:
            if "UTF-8" in str(error):
                rule = "its texts must be UTF-8"
        raise Rejected(rule)

    def _read_resource(self, resource: Sequence[Place]) -> dict[str, Any]:
        return self._to_dict(self._parse(Resource, resource).attributes)

    def _read_scope(self, scope: Sequence[Place]) -> tuple[str, str]:
        message = self._parse(InstrumentationScope, scope)
        return message.name, message.version

    def _read_span(self, item: Place, origin: Origin) -> Span:
        message = self._parse(SpanMessage, [item])
        ids = check_ids(message.trace_id.hex(), message.span_id.hex(), message.parent_span_id.hex())
        self._take(len(message.events))
        return make_span(
            *ids,
            message.name,
            [Event(cut(event.name), event.time_unix_nano, self._to_dict(event.attributes)) for event in message.events],
            origin,
            start_ns=message.start_time_unix_nano,
            end_ns=message.end_time_unix_nano,
            status=message.status.code,
            status_message=clean(message.status.message),
            attributes=self._to_dict(message.attributes),
        )

    def _read_record(self, item: Place, origin: Origin) -> LogRecord:
        message = self._parse(RecordMessage, [item])
        body = self._to_value(message.body, 0) if message.HasField("body") else None
        times = (message.time_unix_nano, message.observed_time_unix_nano)
        attributes = self._to_dict(message.attributes)
        return make_record(message.trace_id.hex(), message.span_id.hex(), message.event_name, times, attributes, body)

    def _to_dict(self, pairs: Any, depth: int = 0) -> dict[str, Any]:
        self._take(len(pairs), depth)
        return {check_name(pair.key): self._to_value(pair.value, depth) for pair in pairs}

    def _to_value(self, value: Any, depth: int) -> Any:
        """Return an AnyValue as JSON; bytes are base64, and numbers that JSON has not are texts."""
        kind = value.WhichOneof("value")
        if kind == "string_value":
            return clean(value.string_value)
        if kind == "double_value":
            number = value.double_value
            return number if math.isfinite(number) else str(number)
        if kind == "array_value":
            items = value.array_value.values
            self._take(len(items), depth + 1)
            return [self._to_value(item, depth + 1) for item in items]
        if kind == "kvlist_value":
            return self._to_dict(value.kvlist_value.values, depth + 1)
        if kind == "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
        return None if kind is None else getattr(value, kind)
