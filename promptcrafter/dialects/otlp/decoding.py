"""What the decoders of OTLP's two encodings share: the rules for requests and items, and the texts of their errors.

An item, such as a span, that breaks a rule is rejected alone; a request that cannot be taken apart into items is
refused. Everything that takes memory or time is counted before that is spent.
"""

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, Generic, TypeVar

from promptcrafter.dialects.otlp.signals import LOGS, METRICS, TRACES, Signal
from promptcrafter.dialects.otlp.spans import BODY, Attributes, Event, LogRecord, Span
from promptcrafter.problems import Problem

PARTS_MAX = 20_000  # resources, scopes and items of a request
REQUEST_VALUES_MAX = 250_000  # attributes, items of arrays, and events of a request; each takes about 250 bytes
ITEM_VALUES_MAX = 10_000  # of an item
_CHARGE_MAX = 5 * ITEM_VALUES_MAX  # what one item takes of the values of its request, however many it has
_COUNTED_MAX = 500_000  # parts of metrics that are looked at
DEPTH_MAX = 20  # levels of arrays and maps in the value of an attribute
NAME_MAX = 1000  # characters of the name of an attribute; other names are cut
_TRACE_ID, _SPAN_ID = re.compile("[0-9a-f]{32}"), re.compile("[0-9a-f]{16}")
_EVENT_NAME = "event.name"
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")

Item = TypeVar("Item")


class Rejected(Exception):
    """An item breaks a rule, which is the text."""


@dataclass
class Batch(Generic[Item]):
    """The items of a request, and how many others break which rule."""

    items: list[Item] = field(default_factory=list)
    rejections: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Origin:
    """What sent an item: the attributes of its resource, and the name and version of its scope."""

    resource: Attributes
    scope: str
    scope_version: str


@dataclass(frozen=True, slots=True)
class Group:
    """The parts of a request, not decoded yet: a resource, and for each of its scopes that and its items."""

    resource: Any
    scopes: Sequence[tuple[Any, Sequence[Any]]]


class Decoder(ABC):
    """Decodes one request.

    The `read_…` methods return what it has, and raise 400 for a body that is no such request and 413 for one of too
    many parts.
    """

    def __init__(self, body: bytes) -> None:
        self.body = body
        self._parts = 0
        self._values_left = REQUEST_VALUES_MAX
        self._values_left_of_item = 0

    def read_spans(self) -> Batch[Span]:
        """Return the spans of an ExportTraceServiceRequest."""
        return self._read(TRACES, self._read_span)

    def read_records(self) -> Batch[LogRecord]:
        """Return the log records of an ExportLogsServiceRequest."""
        return self._read(LOGS, self._read_record)

    def count_points(self) -> int:
        """Return how many points the metrics of an ExportMetricsServiceRequest have; of very many, some are counted."""
        items = [item for group in self._split(METRICS) for _, items in group.scopes for item in items]
        return sum(islice(chain.from_iterable(map(self._find_points, items)), _COUNTED_MAX))

    def _read(self, signal: Signal, read_item: Callable[[Any, Origin], Item]) -> Batch[Item]:
        batch: Batch[Item] = Batch()
        for group in self._split(signal):
            for scope, items in group.scopes:
                try:
                    origin = self._read_origin(group.resource, scope)
                except Rejected as rule:
                    batch.rejections[f"its resource or scope: {rule}"] += len(items)
                    continue
                for item in items:
                    self._values_left_of_item = ITEM_VALUES_MAX
                    try:
                        self._take(0)  # when there are too many values already, the others take no time
                        batch.items.append(read_item(item, origin))
                    except Rejected as rule:
                        batch.rejections[str(rule)] += 1
        return batch

    def _read_origin(self, resource: Any, scope: Any) -> Origin:
        self._values_left_of_item = ITEM_VALUES_MAX
        self._take(0)
        return Origin(self._read_resource(resource), *map(cut, self._read_scope(scope)))

    @abstractmethod
    def _split(self, signal: Signal) -> Iterator[Group]:
        """Yield the parts of the request, counted with `_count_part`. Raises 400 and 413."""

    @abstractmethod
    def _read_resource(self, resource: Any) -> dict[str, Any]:
        """Return the attributes of a resource. Raises Rejected."""

    @abstractmethod
    def _read_scope(self, scope: Any) -> tuple[str, str]:
        """Return name and version of a scope. Raises Rejected."""

    @abstractmethod
    def _read_span(self, item: Any, origin: Origin) -> Span:
        """Return a span. Raises Rejected."""

    @abstractmethod
    def _read_record(self, item: Any, origin: Origin) -> LogRecord:
        """Return a log record. Raises Rejected."""

    @abstractmethod
    def _find_points(self, item: Any) -> Iterator[bool]:
        """Yield, for each part of a metric, whether it is a point."""

    def _count_part(self) -> None:
        self._parts += 1
        if self._parts > PARTS_MAX:
            text = f"A request may have at most {PARTS_MAX:,} resources, scopes and items, such as spans."
            raise Problem(413, text, "too_many_items")

    def _take(self, count: int, depth: int = 0) -> None:
        """Count values that are about to be decoded. Raises Rejected if the item or the request has too many."""
        if depth > DEPTH_MAX:
            raise Rejected(f"attributes must be nested at most {DEPTH_MAX} levels deep")
        self._values_left -= min(count, _CHARGE_MAX)
        self._values_left_of_item -= count
        if self._values_left_of_item < 0:
            raise Rejected(f"an item must have at most {ITEM_VALUES_MAX:,} attributes, values in them, and events")
        if self._values_left < 0:
            raise Rejected(f"a request must have at most {REQUEST_VALUES_MAX:,} attributes, values in them, and events")


def not_a_request(signal: Signal, encoding: str, reason: str = "") -> Problem:
    """Return the 400 for a body that is no request of this signal, with the rule that it breaks if that is known."""
    text = f"The body is no {signal.request} in {encoding}"
    return Problem(400, f"{text}: {reason}." if reason else f"{text}.", f"invalid_{encoding.lower()}")


def make_span(
    trace_id: str, span_id: str, parent_id: str, name: str, events: Sequence[Event], origin: Origin, **fields: Any
) -> Span:
    """Return a span; `fields` are those of `Span` that need no check."""
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_id=parent_id or None,
        name=cut(name),
        events=events,
        resource=origin.resource,
        scope=origin.scope,
        scope_version=origin.scope_version,
        **fields,
    )


def check_ids(trace_id: str, span_id: str, parent_id: str) -> tuple[str, str, str]:
    """Return the ids of a span, of hex digits, in lower case; that of no parent is empty. Raises Rejected."""
    trace_id, span_id, parent_id = trace_id.lower(), span_id.lower(), parent_id.lower()
    if not _TRACE_ID.fullmatch(trace_id) or trace_id == _NO_TRACE:
        raise Rejected("trace_id must have 16 bytes that are not all 0, in JSON as 32 hex digits")
    if not _SPAN_ID.fullmatch(span_id) or span_id == _NO_SPAN:
        raise Rejected("span_id must have 8 bytes that are not all 0, in JSON as 16 hex digits")
    if parent_id and not _SPAN_ID.fullmatch(parent_id):
        raise Rejected("parent_span_id must be empty or have 8 bytes, in JSON as 16 hex digits")
    return trace_id, span_id, "" if parent_id == _NO_SPAN else parent_id


def make_record(
    trace_id: str, span_id: str, name: str, times_ns: tuple[int, int], attributes: dict[str, Any], body: Any
) -> LogRecord:
    """Return a log record; of its times, that of the event counts before that of its observation. Raises Rejected.

    Older SDKs have the name of the event among the attributes.
    """
    named = name or attributes.pop(_EVENT_NAME, "")
    with_body = attributes if body is None else {**attributes, BODY: body}
    event = Event(cut(named) if isinstance(named, str) else "", times_ns[0] or times_ns[1], with_body)
    return LogRecord(*_check_ids_of_record(trace_id.lower(), span_id.lower()), event)


def _check_ids_of_record(trace_id: str, span_id: str) -> tuple[str, str]:
    """Return the ids of a record, of hex digits; one that is missing, or all 0, is empty. Raises Rejected."""
    if trace_id and not _TRACE_ID.fullmatch(trace_id):
        raise Rejected("trace_id must be empty or have 16 bytes, in JSON as 32 hex digits")
    if span_id and not _SPAN_ID.fullmatch(span_id):
        raise Rejected("span_id must be empty or have 8 bytes, in JSON as 16 hex digits")
    return "" if trace_id == _NO_TRACE else trace_id, "" if span_id == _NO_SPAN else span_id


def check_name(name: str) -> str:
    """Return the name of an attribute as it can be stored. Raises Rejected."""
    if len(name) > NAME_MAX:
        raise Rejected(f"the name of an attribute must have at most {NAME_MAX:,} characters")
    return clean(name)


def clean(text: str) -> str:
    """Return text in which what no database stores, NUL and lone surrogates, is replaced."""
    return text if text.isascii() and "\0" not in text else _UNSTORABLE.sub("\ufffd", text)


def cut(name: str) -> str:
    """Return the name of something else than an attribute as it can be stored."""
    return clean(name[:NAME_MAX])
