"""Decodes OTLP's JSON encoding, which differs from protobuf's own JSON form (OTLP 1.x specification, "JSON Protobuf").

Ids are hex digits, whole numbers of 64 bits numbers or texts, and enumerations numbers. Names are lowerCamelCase;
unknown ones are ignored, and null is absent.
"""

import math
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from promptcrafter import jsonio
from promptcrafter.dialects.otlp.decoding import (
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
from promptcrafter.problems import Problem

_VALUES_MAX = 500_000  # of a body, see jsonio.loads; an attribute takes four
_NANOSECONDS_MAX = 2**64 - 1
_INTEGER_MIN, _INTEGER_MAX = -(2**63), 2**63 - 1
_DIGITS = re.compile("-?[0-9]{1,20}")
_STATUS_CODES = {"STATUS_CODE_UNSET": 0, "STATUS_CODE_OK": 1, "STATUS_CODE_ERROR": 2}
_KINDS_OF_METRICS = ("gauge", "sum", "histogram", "exponentialHistogram", "summary")


class JsonDecoder(Decoder):
    """Decodes a request in JSON. Its parts are the objects in the body."""

    def _split(self, signal: Signal) -> Iterator[Group]:
        resources, scopes, items = signal.json_groups
        try:
            for of_resource in self._each_part(_parse(self.body), resources):
                of_scopes = [
                    (_read_object(of_scope, "scope"), list(self._each_part(of_scope, items)))
                    for of_scope in self._each_part(of_resource, scopes)
                ]
                yield Group(_read_object(of_resource, "resource"), of_scopes)
        except Rejected as rule:
            raise not_a_request(signal, "JSON", str(rule)) from None

    def _each_part(self, part: Any, name: str) -> Iterator[Any]:
        for item in _read_list(part, name):
            self._count_part()
            yield item

    def _find_points(self, item: Any) -> Iterator[bool]:
        with suppress(Rejected):
            for kind in _KINDS_OF_METRICS:
                yield from (True for _ in _read_list(_read_object(item, kind), "dataPoints"))

    def _read_resource(self, resource: Any) -> dict[str, Any]:
        return self._read_attributes(resource)

    def _read_scope(self, scope: Any) -> tuple[str, str]:
        return _read_text(scope, "name"), _read_text(scope, "version")

    def _read_span(self, item: Any, origin: Origin) -> Span:
        ids = check_ids(*(_read_text(item, name) for name in ("traceId", "spanId", "parentSpanId")))
        events = _read_list(item, "events")
        self._take(len(events))
        status = _read_object(item, "status")
        return make_span(
            *ids,
            _read_text(item, "name"),
            [
                Event(cut(_read_text(event, "name")), _read_time(event, "timeUnixNano"), self._read_attributes(event))
                for event in events
            ],
            origin,
            start_ns=_read_time(item, "startTimeUnixNano"),
            end_ns=_read_time(item, "endTimeUnixNano"),
            status=_read_status_code(status),
            status_message=clean(_read_text(status, "message")),
            attributes=self._read_attributes(item),
        )

    def _read_record(self, item: Any, origin: Origin) -> LogRecord:
        trace_id, span_id, name = (_read_text(item, key) for key in ("traceId", "spanId", "eventName"))
        times = (_read_time(item, "timeUnixNano"), _read_time(item, "observedTimeUnixNano"))
        body = self._to_value(_read_object(item, "body"), 0)
        return make_record(trace_id, span_id, name, times, self._read_attributes(item), body)

    def _read_attributes(self, part: Any) -> dict[str, Any]:
        return self._to_dict(_read_list(part, "attributes"), 0)

    def _to_dict(self, pairs: list[Any], depth: int) -> dict[str, Any]:
        self._take(len(pairs), depth)
        return {
            check_name(_read_text(pair, "key")): self._to_value(_read_object(pair, "value"), depth) for pair in pairs
        }

    def _to_value(self, value: dict[str, Any], depth: int) -> Any:
        """Return an AnyValue as JSON; bytes stay base64, and numbers that JSON has not are texts."""
        for name, sent in value.items():
            if sent is None:
                continue
            if name in ("stringValue", "bytesValue"):
                return clean(_read_text(value, name))
            if name == "boolValue":
                return _read_boolean(value, name)
            if name == "intValue":
                return _read_integer(value, name, _INTEGER_MIN, _INTEGER_MAX)
            if name == "doubleValue":
                return _read_double(value, name)
            if name == "arrayValue":
                items = _read_list(_read_object(value, name), "values")
                self._take(len(items), depth + 1)
                return [self._to_value(_require_object(item, "arrayValue.values"), depth + 1) for item in items]
            if name == "kvlistValue":
                return self._to_dict(_read_list(_read_object(value, name), "values"), depth + 1)
        return None


def _parse(body: bytes) -> Any:
    if not body:
        return {}
    try:
        return jsonio.loads(body, max_values=_VALUES_MAX)
    except jsonio.JsonError as error:
        raise Problem(400, str(error), error.code) from None


def _require_object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Rejected(f"{name} must be an object")
    return value


def _read_object(part: Any, name: str) -> dict[str, Any]:
    value = _require_object(part, "each part of a request").get(name)
    return {} if value is None else _require_object(value, name)


def _read_list(part: Any, name: str) -> list[Any]:
    value = _require_object(part, "each part of a request").get(name)
    if value is not None and not isinstance(value, list):
        raise Rejected(f"{name} must be an array")
    return value or []


def _read_text(part: Any, name: str) -> str:
    value = _require_object(part, "each part of a request").get(name)
    if value is not None and not isinstance(value, str):
        raise Rejected(f"{name} must be a string")
    return value or ""


def _read_boolean(part: dict[str, Any], name: str) -> bool:
    value = part[name]
    if not isinstance(value, bool):
        raise Rejected(f"{name} must be true or false")
    return value


def _read_time(part: dict[str, Any], name: str) -> int:
    return _read_integer(part, name, 0, _NANOSECONDS_MAX)


def _read_integer(part: dict[str, Any], name: str, minimum: int, maximum: int) -> int:
    """Return a whole number of 64 bits, which may be written as text; 0 if it is absent. Raises Rejected."""
    value = part.get(name) or 0
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
        raise Rejected(f"{name} must be a whole number from {minimum} to {maximum}, or the text of one")
    return value


def _read_double(part: dict[str, Any], name: str) -> float | str:
    """Return a number; one that JSON has not, such as NaN, as text. Raises Rejected."""
    value = part[name]
    with suppress(ValueError, OverflowError):
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
        if number is not None:
            return number if math.isfinite(number) else str(number)
    raise Rejected(f"{name} must be a number, or the text of one")


def _read_status_code(status: dict[str, Any]) -> int:
    code = status.get("code")
    if isinstance(code, str) and code in _STATUS_CODES:
        return _STATUS_CODES[code]
    return _read_integer(status, "code", -(2**31), 2**31 - 1)
