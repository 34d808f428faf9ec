"""Storing translated spans: each becomes one log or one step of its trace, however often and in what order it arrives.

A call of a model that is inside another one, as where two instrumentations observe it, is one log: that of the inner
span, which knows most about the call. The outer one becomes a step, so that nothing is counted twice.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from promptcrafter.database.transactions import writing
from promptcrafter.dialects.otlp.translate import SOURCE, Part, to_step
from promptcrafter.dialects.prompt_references import Resolved, reference_key, resolve_all, resolve_as_missing
from promptcrafter.logs import recording, token_costs
from promptcrafter.logs import store as logs
from promptcrafter.logs.models import Log
from promptcrafter.scores import reported
from promptcrafter.traces import early_arrivals, span_scores
from promptcrafter.traces import growing_store as traces
from promptcrafter.traces.models import Span, Trace
from promptcrafter.workspaces.principal import Principal

PIECE = 256  # spans of a transaction: others write in between
_NO_SLUG = "otlp"  # of a trace whose program does not say what it is
_REVIEWED = ("score", "notes", "ratings")
_Key = tuple[str, str]  # the trace's id from outside, and the span's


def ingest(principal: Principal, parts: Sequence[Part]) -> int:
    """Store spans, in pieces; return how many new logs were made. Raises what `recording.record` raises."""
    return sum(_store_piece(principal, _join(parts[start : start + PIECE])) for start in range(0, len(parts), PIECE))


def _store_piece(principal: Principal, parts: Mapping[_Key, Part]) -> int:
    return recording.retry_if_parent_deleted(
        lambda: _store(principal, parts, resolve_all), lambda: _store(principal, parts, resolve_as_missing)
    )


def _join(piece: Sequence[Part]) -> dict[_Key, Part]:
    """Return the spans by their keys; of several with one key, what later ones say counts."""
    joined: dict[_Key, Part] = {}
    for part in piece:
        key = (part.trace_id, part.span_id)
        former = joined.get(key)
        joined[key] = part if former is None else _merge(former, part)
    outer = {(part.trace_id, part.columns.get("parent_span_id")) for part in joined.values() if part.is_output}
    return {key: _demote(part) if part.is_output and key in outer else part for key, part in joined.items()}


def _merge(former: Part, later: Part) -> Part:
    if former.is_output and not later.is_output:
        former, later = later, former  # what says that it is a call counts, whenever it arrives
    known = {} if later.is_output and not former.is_output else former.columns  # a step has other columns
    return Part(
        trace_id=later.trace_id,
        span_id=later.span_id,
        is_output=later.is_output,
        columns={**known, **later.columns},
        of_trace={**former.of_trace, **later.of_trace},
        reference=later.reference or former.reference,
        scores=[*former.scores, *later.scores],
    )


def _demote(part: Part) -> Part:
    return Part(part.trace_id, part.span_id, is_output=False, columns=to_step(part.columns), of_trace=part.of_trace)


def _store(principal: Principal, parts: Mapping[_Key, Part], resolve: Any) -> int:
    references = [part.reference for part in parts.values() if part.reference]
    resolved = resolve(principal, references) if references else {}
    prepared = {key: recording.prepare(_with_prompt(part, resolved)) for key, part in parts.items() if part.is_output}
    fitting = reported.fit(principal.workspace_id, [parts[key].scores for key in prepared])
    with writing():
        return _write(principal, parts, dict(zip(prepared, zip(prepared.values(), fitting, strict=True), strict=True)))


def _with_prompt(part: Part, resolved: Mapping[Any, Resolved]) -> dict[str, Any]:
    """Return the columns of a log, with the prompt and version that the span names, if there are such."""
    found = resolved[reference_key(part.reference)] if part.reference else Resolved()
    return {
        "model_used": None,
        **part.columns,
        "prompt_reference": part.reference,
        "prompt_id": found.prompt.id if found.prompt else None,
        "prompt_version": found.version.number if found.version else None,
    }


def _write(
    principal: Principal,
    parts: Mapping[_Key, Part],
    prepared: Mapping[_Key, tuple[dict[str, Any], list[dict[str, Any]]]],
) -> int:
    of_traces: dict[str, dict[str, Any]] = {}
    for part in parts.values():
        of_traces.setdefault(part.trace_id, {"slug": _NO_SLUG}).update(slug=part.of_trace.get("slug", _NO_SLUG))
    early_arrivals.admit_spans(principal.workspace_id)
    found = traces.lock_traces(principal, SOURCE, of_traces)
    ids = {trace.id: external_id for external_id, trace in found.items()}
    span_ids = {span_id for _, span_id in parts}
    near = logs.get_logs_of_spans(list(ids), span_ids | _parents(parts))
    stored_logs = {(ids[str(log.trace_id)], str(log.span_id)): log for log in near}
    has_call_inside = {(ids[str(log.trace_id)], log.parent_span_id) for log in near}
    stored_spans = traces.get_spans([(found[trace_id].id, span_id) for trace_id, span_id in parts])
    new_logs: list[dict[str, Any]] = []
    new_steps: list[dict[str, Any]] = []
    replaced: list[Span] = []
    demoted: list[Log] = []
    reported_again: list[dict[str, Any]] = []
    costs: dict[str, float] = {}

    def place(trace: Trace) -> dict[str, str]:
        return {"workspace_id": trace.workspace_id, "trace_id": trace.id}

    for key, part in parts.items():
        trace, log = found[part.trace_id], stored_logs.get(key)
        step = stored_spans.get((trace.id, part.span_id))
        if log is not None:
            of_span = {"trace_id": part.trace_id, "span_id": part.span_id}
            reported_again += [{**score, **of_span} for score in prepared[key][1]] if part.is_output else []
        if log is not None:
            if part.is_output:
                costs[part.trace_id] = costs.get(part.trace_id, 0) + _complete(log, *prepared[key])
        elif part.is_output and key not in has_call_inside:
            outer = stored_logs.get((part.trace_id, part.columns.get("parent_span_id", "")))
            if outer is not None and not _is_reviewed(outer):
                new_steps.append({**to_step(_columns_of(outer)), **place(trace)})
                costs[part.trace_id] = costs.get(part.trace_id, 0) - (outer.cost or 0)
                demoted.append(outer)
                stored_logs.pop((part.trace_id, str(outer.span_id)))
                outer = None
            if outer is not None:
                new_steps.append({**to_step(part.columns), **place(trace)})
                continue
            values, scores = prepared[key]
            new_logs.append({**values, **place(trace), "scores": scores})
            costs[part.trace_id] = costs.get(part.trace_id, 0) + (values.get("cost") or 0)
            if step is not None:
                replaced.append(step)
        else:
            columns = to_step(part.columns) if part.is_output else part.columns
            if step is None:
                new_steps.append({**columns, **place(trace)})
            else:
                traces.change_span(step, columns)
    traces.remove_spans(replaced)
    logs.record_all(principal, new_logs)
    leaving = {log.seq: (str(log.trace_id), str(log.span_id)) for log in demoted}
    span_scores.move_to_last_outputs(list(ids), span_ids, leaving)
    for log in demoted:
        logs.replace_log(log)
    traces.add_spans(new_steps)
    for part in parts.values():
        traces.grow(found[part.trace_id], part.of_trace, costs.pop(part.trace_id, 0))
    response_keys = {values["response_key"] for values, _ in prepared.values() if values.get("response_key")}
    span_scores.put_early_scores(principal, list(found), span_ids, response_keys)
    span_scores.put_scores_of_spans(principal, reported_again)
    return len(new_logs)


def _parents(parts: Mapping[_Key, Part]) -> set[str]:
    return {part.columns["parent_span_id"] for part in parts.values() if part.columns.get("parent_span_id")}


def _is_reviewed(log: Log) -> bool:
    return any(getattr(log, name) is not None for name in _REVIEWED)


def _columns_of(log: Log) -> dict[str, Any]:
    names = ("span_id", "parent_span_id", "name", "start_time", "end_time", "status", "error", "meta")
    texts = ("input", "input_format", "output", "output_format")
    return {name: getattr(log, name) for name in (*names, *texts)}


def _complete(log: Log, values: Mapping[str, Any], scores: Sequence[Mapping[str, Any]]) -> float:
    """Set what a span that has arrived again says about its log; return by how much the cost has changed."""
    computed = {"inputTokens": "input_tokens", "outputTokens": "output_tokens", "cost": "cost"}
    kept = {name: getattr(log, name) for name in logs.SENT if getattr(log, name) is not None}
    for wire_name in log.computed or ():
        kept.pop(computed[wire_name], None)
    said = {name: value for name, value in values.items() if name in logs.SENT and value is not None}
    for wire_name in values.get("computed") or ():
        said.pop(computed[wire_name], None)
    if all(kept.get(name) == value for name, value in said.items()):
        return 0
    before = log.cost or 0
    merged = token_costs.with_tokens_and_cost({**dict.fromkeys(logs.SENT), **kept, **said}, said.get("model_used"))
    logs.complete_log(log, {name: merged.get(name) for name in (*logs.SENT, "computed", "priced_as", "priced")})
    return (log.cost or 0) - before
