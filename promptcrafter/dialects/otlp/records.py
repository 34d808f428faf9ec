"""What log records become: content of a call that its span does not have, or a score. Pure functions.

Some instrumentations send the messages of a call as events of its span, others as log records with the span's ids, and
evaluators send their results as log records. All other records are about something else.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from marshmallow import ValidationError

from promptcrafter.dialects.otlp import names
from promptcrafter.dialects.otlp.attributes import first_text, read_object
from promptcrafter.dialects.otlp.evaluations import to_score
from promptcrafter.dialects.otlp.media import describe_media
from promptcrafter.dialects.otlp.spans import BODY, Event, LogRecord, Span
from promptcrafter.dialects.otlp.translate import Limits, translate
from promptcrafter.jsonio import dumps
from promptcrafter.logs.fields import ORIGIN_MAX
from promptcrafter.problems import Invalid, flatten
from promptcrafter.scores.schemas import IDENTIFIER_MAX, ScoreIn

_CONTENT_EVENTS = frozenset((*names.EVENT_ROLES, names.DETAILS_EVENT))
_SIDES = ("input", "output")
# The attributes that make the span of `read_contents` a call of a model, or another step
_CALL, _STEP = {"gen_ai.operation.name": "chat"}, {"gen_ai.operation.name": "execute_tool"}
_score_in = ScoreIn()

EventOfSpan = tuple[str, str, Event]  # the id of a trace, that of a span in it, and an event of that span


@dataclass(slots=True)
class SortedRecords:
    """The records of a request: events with the ids of their traces and spans, and scores as
    `span_scores.put_scores_of_spans` takes them; and how many others are about something else, or break which rule.
    """

    events: list[EventOfSpan] = field(default_factory=list)
    scores: list[dict[str, Any]] = field(default_factory=list)
    unrelated: int = 0
    rejections: Counter[str] = field(default_factory=Counter)


def sort_records(records: Iterable[LogRecord], limits: Limits) -> SortedRecords:
    """Sort log records."""
    found = SortedRecords()
    for record in records:
        if record.event.name == names.EVALUATION_EVENT:
            _add_score(found, record)
        elif record.event.name in _CONTENT_EVENTS:
            _add_event(found, record, limits)
        else:
            found.unrelated += 1
    return found


def _add_score(found: SortedRecords, record: LogRecord) -> None:
    attributes = _with_body(record.event)
    score = to_score(attributes)
    response_id = first_text(attributes, names.RESPONSE_ID, ORIGIN_MAX)
    if score is None:
        found.rejections[f"{names.EVALUATION_EVENT} must have a name, and a value or a label"] += 1
    elif not record.trace_id and not response_id:
        found.rejections[f"{names.EVALUATION_EVENT} must have a trace_id, or the attribute gen_ai.response.id"] += 1
    else:
        identifier = first_text(attributes, names.EVALUATOR, IDENTIFIER_MAX) or ""
        try:
            columns = _score_in.load({**score, "identifier": identifier})
        except ValidationError as error:
            reasons = Invalid(flatten({"score": error.messages})).message
            found.rejections[f"{names.EVALUATION_EVENT}: {reasons.removesuffix('.')}"] += 1
            return
        place = {"trace_id": record.trace_id, "span_id": record.span_id or None, "response_id": response_id}
        found.scores.append({**columns, **place})


def _add_event(found: SortedRecords, record: LogRecord, limits: Limits) -> None:
    if not record.trace_id or not record.span_id:
        found.rejections[f"{record.event.name} must have a trace_id and a span_id"] += 1
        return
    event = record.event
    attributes = _with_body(event) if event.name == names.DETAILS_EVENT else event.attributes
    if not limits.keeps_media:
        attributes = describe_media(attributes)
    if len(dumps(attributes).encode()) > limits.output_bytes:
        found.rejections[f"{event.name} must have at most {limits.output_bytes:,} bytes"] += 1
        return
    found.events.append((record.trace_id, record.span_id, Event(event.name, event.time_ns, attributes)))


def read_contents(events: Sequence[Event], limits: Limits, *, is_call: bool) -> dict[str, Any]:
    """Return the input and the output that the events of one span have, as columns of a log or of a step."""
    in_order = sorted(events, key=lambda event: event.time_ns)
    part = translate(_make_span(in_order, _CALL if is_call else _STEP), limits)
    assert part is not None
    columns = (name for side in _SIDES for name in (side, f"{side}_format"))
    return {name: part.columns[name] for name in columns if name in part.columns}


def complete(columns: dict[str, Any], before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Set the input and the output of a span to those of its events in `after`, unless the span sent its own.

    `before` has those of the events that were joined to it earlier: what equals them came from events, too, so `after`
    replaces it.
    """
    for side in _SIDES:
        own = ((side, f"{side}_format"), columns)
        if side in after and (side not in columns or (side in before and _same(own[0], columns, before))):
            for name in own[0]:
                columns.pop(name, None)
            columns |= {name: after[name] for name in own[0] if name in after}


def _same(columns: Sequence[str], first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    return all(first.get(name) == second.get(name) for name in columns)


def _with_body(event: Event) -> dict[str, Any]:
    """Return the attributes of an event, and what else its body has, as an object or as JSON."""
    return {**read_object(event.attributes.get(BODY)), **event.attributes}


def _make_span(events: Sequence[Event], attributes: Mapping[str, Any]) -> Span:
    return Span("", "", None, "", 0, 0, 0, "", attributes, events, {}, "", "")
