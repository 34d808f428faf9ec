"""Scores of spans and of whole traces from outside, which their clients know by the ids of OpenTelemetry.

The score of a span that is a log is a score of that log. Every other one, of a whole trace or of a step that is no log,
is kept at the last output of the trace, that is, the one that ended last: it counts with that output, and moves on when
a later one arrives. Such a score has a `trace_id`, and its identifier has the form of OF_TRACE, so that it is another
one than a score of the log itself. What is scored before it arrives waits: see `early_arrivals`.

Call these functions inside `transactions.writing()`.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, bindparam, delete, func, select, update

from promptcrafter.database.base import Base
from promptcrafter.database.deletions import is_present
from promptcrafter.database.session import request_connection, session
from promptcrafter.logs import score_columns, scores
from promptcrafter.logs.input_keys import find_response_key
from promptcrafter.logs.models import DEFAULT_NAME, HUMAN, OF_TRACE, Log, Score
from promptcrafter.logs.scores import ScoreKey
from promptcrafter.problems import Problem
from promptcrafter.scores import configs
from promptcrafter.traces import early_arrivals, growing_store
from promptcrafter.traces.early_arrivals import ANY_OUTPUT, Arrival
from promptcrafter.traces.models import EarlyArrival, Trace
from promptcrafter.workspaces import audit
from promptcrafter.workspaces.principal import Principal

Result = tuple[Score, bool] | Problem | None
_SOURCE = "otlp"
_IDENTIFIER_MAX = 41  # characters that are kept of the identifier of a score of a trace; a longer one is hashed
_KEY = (Score.name, Score.annotator, Score.rater, Score.identifier)
_ENDED = func.coalesce(Log.end_time, Log.start_time, Log.created_at)
_WHOLE = ""  # instead of the id of a span: the whole trace
_SCORES = Base.metadata.tables[Score.__tablename__]
_VALUES = ("name", "value_kind", "number", "category", "comment", "annotator", "identifier")


class Target(NamedTuple):
    """What a score is about: a span, or with an empty `span_id` a whole trace, both by their ids from outside."""

    trace_id: str
    span_id: str = _WHOLE


class _Place(NamedTuple):
    """Where a score belongs that is about something that has arrived."""

    log_id: str | None  # None as long as the trace has no output
    of_step: str | None  # the id of the step that it is a score of, or _WHOLE; None for a score of the log itself


class _Output(NamedTuple):
    """A log of a trace, as far as it decides where scores are kept."""

    ended: datetime
    seq: int
    id: str
    trace_id: str | None
    span_id: str | None
    prompt_id: str | None


def put_scores_of_spans(principal: Principal, items: Sequence[Mapping[str, Any] | Problem]) -> list[Result]:
    """Insert or replace scores of the principal, in their order; return each with whether it is new, or its problem.

    An item has the columns of a score as `scores.put_scores` takes them, and instead of `log_id` either `trace_id`, of
    32 hexadecimal digits, and perhaps `span_id`, of 16; or `response_id`, the id that the provider gave to the response
    of a call. The result is None for a score that waits because what it is about has not arrived, or because the trace
    has no output yet. A `Problem` among the items is returned unchanged. Call it before anything is locked.
    """
    given = [item for item in items if not isinstance(item, Problem)]
    results: list[Result] = [item if isinstance(item, Problem) else None for item in items]
    if not given:
        return results
    workspace_id = principal.workspace_id
    targets = _resolve(workspace_id, given)
    if None in targets or not growing_store.have_arrived(
        principal, _SOURCE, {target.trace_id for target in targets if target}
    ):
        early_arrivals.exclude_spans(workspace_id)
        targets = _resolve(workspace_id, given)
    places = _find_places(principal, {target for target in targets if target})
    check = configs.make_check([workspace_id], given)
    ready: list[tuple[int, dict[str, Any]]] = []
    arrivals = []
    of_given = iter(targets)
    for position, item in enumerate(items):
        if isinstance(item, Problem):
            continue
        target = next(of_given)
        place = places.get(target) if target else None
        fault = check(workspace_id, item)
        if fault is not None:
            results[position] = fault
        elif place is not None and place.log_id is not None:
            ready.append((position, _at(place, item)))
        else:
            arrivals.append(_to_arrival(item, has_arrived=place is not None))
    early_arrivals.keep(principal, arrivals)
    put = scores.put_scores(principal, [values for _, values in ready])
    for (position, _), result in zip(ready, put, strict=True):
        results[position] = result
    return results


def put_early_scores(principal: Principal, waiting: Sequence[EarlyArrival]) -> None:
    """Insert those scores among `waiting` that are about something that is stored now.

    Each is a score of the account that sent it. One that the configurations of scores do not allow any more, or for
    which its log has no room, is dropped. The traces must be locked.
    """
    if not waiting:
        return
    workspace_id = principal.workspace_id
    targets = _resolve(workspace_id, [arrival.content for arrival in waiting])
    places = _find_places(principal, {target for target in targets if target})
    ready: dict[str, list[tuple[EarlyArrival, dict[str, Any]]]] = {}
    for arrival, target in zip(waiting, targets, strict=True):
        place = places.get(target) if target else None
        if place is not None and place.log_id is None:
            arrival.span_id = ANY_OUTPUT
        elif place is not None:
            ready.setdefault(arrival.author_id, []).append((arrival, _at(place, arrival.content)))
    for author_id, rows in ready.items():
        check = configs.make_check([workspace_id], [values for _, values in rows])
        author = replace(principal, user_id=author_id, api_key_id="")
        results = scores.put_scores(author, [values for _, values in rows], check)
        early_arrivals.remove([arrival.seq for arrival, _ in rows])
        early_arrivals.count_dropped(
            arrival.kind for (arrival, _), result in zip(rows, results, strict=True) if isinstance(result, Problem)
        )


def move_to_last_outputs(trace_ids: Collection[str], span_ids: Collection[str], leaving: Collection[int] = ()) -> None:
    """Keep the scores of traces, given by their ids here, at their last outputs after some of their spans were stored.

    `span_ids` are those of the spans. `leaving` are the sequence numbers of logs that the caller deletes next, because
    they are steps from now on. The scores of a step that is a log from now on become scores of that log. The traces
    must be locked.
    """
    kept = _get_kept(trace_ids)
    if kept:
        is_near = Log.span_id.in_(span_ids) | Log.seq.in_({score.log_seq for score in kept})
        _move(kept, _get_outputs(Log.trace_id.in_(trace_ids) & is_near & Log.seq.not_in(leaving)))


def find_scores_of_trace(trace: Trace) -> Select[Score]:
    """Return a select of the scores of a whole trace, and of its steps that are no logs."""
    return select(Score).where(Score.trace_id == trace.id)


def _resolve(workspace_id: str, items: Sequence[Mapping[str, Any]]) -> list[Target | None]:
    """Return what each score is about; None for the id of a response that has not arrived."""
    keys = {find_response_key(item["response_id"]) for item in items if _is_of_response(item)}
    by_key: dict[int, Target] = {}
    if keys:
        columns = (Log.response_key, Trace.external_id, Log.span_id)
        of_traces = select(*columns).join(Trace, Trace.id == Log.trace_id).order_by(Log.seq)
        is_own = (Log.workspace_id == workspace_id) & Log.response_key.in_(keys) & Trace.external_id.is_not(None)
        rows: Iterable[Any] = session.execute(of_traces.where(is_own, is_present(Log)))
        for key, trace_id, span_id in rows:
            by_key.setdefault(key, Target(trace_id, span_id))
    return [
        by_key.get(find_response_key(item["response_id"]))
        if _is_of_response(item)
        else Target(item["trace_id"], item.get("span_id") or _WHOLE)
        for item in items
    ]


def _is_of_response(item: Mapping[str, Any]) -> bool:
    return bool(item.get("response_id")) and not item.get("span_id")


def _find_places(principal: Principal, targets: Collection[Target]) -> dict[Target, _Place]:
    """Return where the scores of these belong, as far as they have arrived; lock their traces until the commit."""
    traces = growing_store.lock_known_traces(principal, _SOURCE, {target.trace_id for target in targets})
    ids = {external_id: trace.id for external_id, trace in traces.items()}
    known = {(ids[target.trace_id], target.span_id): target for target in targets if target.trace_id in ids}
    spans = {key for key in known if key[1] != _WHOLE}
    logs = growing_store.get_log_ids(spans)
    places = {known[key]: _Place(log_id, None) for key, log_id in logs.items()}
    arrived = known.keys() - spans | growing_store.get_known_spans(spans - logs.keys())
    last = _get_last_outputs({trace_id for trace_id, _ in arrived})
    for key in arrived:
        output = last.get(key[0])
        places[known[key]] = _Place(output.id if output else None, key[1])
    return places


def _get_last_outputs(trace_ids: Collection[str]) -> dict[str, _Output]:
    """Return the last outputs of traces, by the ids of these here, and keep all scores of the traces at them."""
    if not trace_ids:
        return {}
    is_last = func.row_number().over(partition_by=Log.trace_id, order_by=(_ENDED.desc(), Log.seq.desc())) == 1
    ranked = select(Log.seq, is_last.label("is_last")).where(Log.trace_id.in_(trace_ids), is_present(Log)).subquery()
    last = _get_outputs(Log.seq.in_(select(ranked.c.seq).where(ranked.c.is_last)))
    _move(_get_kept(trace_ids), last)
    return {str(output.trace_id): output for output in last}


def _get_outputs(condition: ColumnElement[bool]) -> list[_Output]:
    columns = (_ENDED, Log.seq, Log.id, Log.trace_id, Log.span_id, Log.prompt_id)
    return [_Output(*row) for row in session.execute(select(*columns).where(condition))]


def _get_kept(trace_ids: Collection[str]) -> Sequence[Any]:
    columns = (Score.seq, Score.id, Score.log_seq, Score.trace_id, *_KEY)
    return session.execute(select(*columns).where(Score.trace_id.in_(trace_ids)).order_by(Score.seq)).all()


def _move(kept: Sequence[Any], outputs: Sequence[_Output]) -> None:
    """Move the scores of traces to the last of these outputs, or to the one that is the step that they are of.

    Where there is a score with the same key already, that one stays.
    """
    last = {output.trace_id: output for output in sorted(outputs)}
    own = {(output.trace_id, output.span_id): output for output in outputs}
    moved: list[tuple[Any, ScoreKey, _Output, str | None]] = []
    for score in kept:
        match = OF_TRACE.fullmatch(score.identifier)
        output, trace_id, identifier = last.get(score.trace_id), score.trace_id, score.identifier
        if match and (step := own.get((score.trace_id, match[1]))) is not None:
            output, trace_id, identifier = step, None, match[2]
        if output is not None and (output.seq, identifier) != (score.log_seq, score.identifier):
            key = ScoreKey(output.seq, score.name, score.annotator, score.rater, identifier)
            moved.append((score, key, output, trace_id))
    if not moved:
        return
    columns = (Score.seq, Score.log_seq, *_KEY)
    at_outputs = select(*columns).where(Score.log_seq.in_({output.seq for _, _, output, _ in moved}))
    going = {score.seq for score, *_ in moved}
    taken = {ScoreKey(*row[1:]) for row in session.execute(at_outputs) if row.seq not in going}
    rows, lost = [], set()
    for score, key, output, trace_id in moved:
        if key in taken:
            lost.add(score.seq)
            continue
        taken.add(key)
        place = {"log_seq": output.seq, "prompt_id": output.prompt_id, "trace_id": trace_id}
        rows.append({"score_seq": score.seq, **place, "identifier": key.identifier})
    if lost:
        ids = session.scalars(delete(_SCORES).where(_SCORES.c.seq.in_(lost)).returning(_SCORES.c.id)).all()
        audit.forget(*ids)
    if rows:
        names = ("log_seq", "prompt_id", "trace_id", "identifier")
        change = update(_SCORES).where(_SCORES.c.seq == bindparam("score_seq"))
        request_connection().execute(change.values({name: bindparam(name) for name in names}), rows)
        audit.place_within({score.id: output.id for score, _, output, _ in moved if score.seq not in lost})
    is_default = [
        {score.log_seq, output.seq}
        for score, _, output, _ in moved
        if score.name == DEFAULT_NAME and score.annotator == HUMAN
    ]
    changed = set().union(*is_default)
    if changed:
        score_columns.refresh_aggregates(changed, changed)


def _at(place: _Place, item: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a score with the log at which it is kept."""
    values = {name: item[name] for name in _VALUES if name in item}
    if place.of_step is not None:
        values["identifier"] = _mark(place.of_step, item["identifier"])
    return {**values, "log_id": place.log_id}


def _mark(of_step: str, identifier: str) -> str:
    """Return the identifier under which a score of a trace is stored."""
    if len(identifier) > _IDENTIFIER_MAX:
        identifier = hashlib.sha256(identifier.encode()).hexdigest()[:_IDENTIFIER_MAX]
    return f"trace:{of_step}:{identifier}"


def _to_arrival(item: Mapping[str, Any], *, has_arrived: bool) -> Arrival:
    """Return what waits: for the span, or if it `has_arrived` for any output of its trace."""
    content = {name: item[name] for name in ("trace_id", "span_id", "response_id", *_VALUES) if name in item}
    span_id = ANY_OUTPUT if has_arrived else item.get("span_id") or ANY_OUTPUT
    awaited = item["trace_id"]
    if _is_of_response(item):
        awaited = early_arrivals.await_response(find_response_key(item["response_id"]))
    identity = (item.get("span_id"), *(item[name] for name in ("name", "annotator", "identifier")))
    return Arrival(awaited, span_id, "score", identity, content)
