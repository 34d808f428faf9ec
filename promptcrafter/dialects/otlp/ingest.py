"""Storing translated spans: each becomes one log or one step of its trace, however often and in what order it arrives.

Four words are used throughout:

- a *part* (`translate.Part`) is what one request says about one span; a span may arrive in several parts,
- a *node* (`calls.Node`) is all that is known of a span: its parts merged, and the row that it has in the database,
- *trace values* are what a span says about its whole trace, such as the user,
- a *batch* is up to `BATCH_SPANS` spans, which are stored in one transaction, so that others write in between.

For example, a framework's span `a`, a call of a model, arrives first: its node becomes a log. Later the span `b` of the
provider's client arrives, the same call, inside of `a`. The batch of `b` reads `a` from the database. Since `b` is the
inner call, `b` becomes the log and inherits the user from `a`, and the log of `a` is replaced by a step. Had both
arrived together, or `b` first, the same rows would result.

The steps of a batch:

1. Merge the parts into nodes. Resolve the prompts that they name.
2. Choose which calls become logs (`calls.choose_logs`), as if nothing were stored yet.
3. Prepare the logs: count tokens, compute costs and extract the words of the search index, before any lock is held.
4. Lock the traces, and create those that are new.
5. For traces that existed, read the stored rows of these spans and of the calls around and inside them, merge them with
   what has arrived, and choose again.
6. Add content that log records have sent before the spans (`records`).
7. Write the differences, with one statement for each kind of change, and the scores that have waited for the spans.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from flask import current_app

from promptcrafter.database.session import is_sqlite
from promptcrafter.database.transactions import write_until_done, writing_in_bulk
from promptcrafter.dialects.otlp import calls
from promptcrafter.dialects.otlp.calls import Key, Node
from promptcrafter.dialects.otlp.records import EventOfSpan, SortedRecords, complete, read_contents
from promptcrafter.dialects.otlp.spans import Event
from promptcrafter.dialects.otlp.translate import SOURCE, Limits, Part
from promptcrafter.dialects.prompt_references import (
    Resolver,
    reference_key,
    resolve_all,
    resolve_as_missing,
)
from promptcrafter.logs import recording, search, token_costs, trace_costs
from promptcrafter.logs import store as logs
from promptcrafter.logs.input_keys import find_input_key
from promptcrafter.problems import Problem
from promptcrafter.prompts.version_store import get_latest_numbers
from promptcrafter.scores import reported
from promptcrafter.traces import early_arrivals, growing_store, span_scores
from promptcrafter.traces.early_arrivals import Arrival
from promptcrafter.traces.growing_store import LockedTrace, SpanKey
from promptcrafter.traces.growth import compute_changes
from promptcrafter.traces.models import EarlyArrival
from promptcrafter.workspaces.principal import Principal
from promptcrafter.workspaces.quota import WorkspaceFull

# Spans of a transaction; on SQLite all other writers wait for its end
BATCH_SPANS, BATCH_SPANS_ON_SQLITE = 256, 128
_NO_SLUG = "otlp"  # of a trace whose program does not say what it is
_STEP = ("span_id", "type", "parent_id", "name", "start_time", "end_time", "duration_ms", "status", "error")
_JSON_OF_STEP = ("input", "output", "meta", "call")
# What is computed for a log where its client does not send it, by the names in its `computed`
_COMPUTED = {"inputTokens": "input_tokens", "outputTokens": "output_tokens", "cost": "cost"}
_PINNED = ("prompt_id", "prompt_version")  # the prompt that a reference was resolved to


def ingest(principal: Principal, parts: Sequence[Part]) -> None:
    """Store spans. Raises what `recording.record` raises."""
    size = _batch_size()
    for start in range(0, len(parts), size):
        with _saying_what_was_stored(start, f"{len(parts):,} spans"):
            _store_batch(principal, parts[start : start + size])


def _batch_size() -> int:
    return BATCH_SPANS_ON_SQLITE if is_sqlite() else BATCH_SPANS


@contextmanager
def _saying_what_was_stored(number: int, of_items: str) -> Iterator[None]:
    """Correct the error of a full workspace after earlier batches of the request were stored."""
    try:
        yield
    except WorkspaceFull as full:
        if not number:
            raise
        raise WorkspaceFull(full.size, full.limit, f"{number:,} of {of_items} were stored.") from full


def _store_batch(principal: Principal, parts: Sequence[Part]) -> None:
    recording.retry_if_parent_deleted(
        lambda: write_until_done(lambda: _write_batch(principal, parts, resolve_all)),
        lambda: write_until_done(lambda: _write_batch(principal, parts, resolve_as_missing)),
    )


def _write_batch(principal: Principal, parts: Sequence[Part], resolve: Resolver) -> None:
    batch = _Batch(principal, _merge_parts(principal, parts, resolve), _collect_trace_values(parts))
    batch.prepare()
    with writing_in_bulk():
        batch.lock()
        if batch.existing_trace_ids:
            batch.merge_stored(trusts_prompts=resolve is resolve_all)
        batch.apply_early_content()
        batch.write()


def ingest_records(principal: Principal, found: SortedRecords) -> Counter[str]:
    """Store the content and the scores that log records have: content is added to its span, or waits for it.

    Return the rules that scores break, and how many break each. Raises WorkspaceFull.
    """
    events, scores, size = len(found.events), len(found.scores), _batch_size()
    of_items = f"{events + scores:,} log records"
    for start in range(0, events, size):
        with _saying_what_was_stored(start, of_items):
            write_until_done(partial(_store_events, principal, found.events[start : start + size]))
    rejections: Counter[str] = Counter()
    for start in range(0, scores, size):
        with _saying_what_was_stored(events + start, of_items):
            write_until_done(partial(_put_scores, principal, found.scores[start : start + size], rejections))
    return rejections


def _store_events(principal: Principal, events: Sequence[EventOfSpan]) -> None:
    with writing_in_bulk():
        keys = {(trace_id, span_id) for trace_id, span_id, _ in events}
        trace_ids = {trace_id for trace_id, _ in keys}
        if not growing_store.have_arrived(principal, SOURCE, trace_ids):
            early_arrivals.exclude_spans(principal.workspace_id)
        batch = _Batch(
            principal,
            nodes={key: Node(key, is_call=False, columns={"span_id": key[1]}) for key in keys},
            trace_values={trace_id: [] for trace_id in trace_ids},
            traces=growing_store.lock_known_traces(principal, SOURCE, trace_ids),
        )
        early_arrivals.keep(principal, [_to_arrival(*event) for event in events])
        if batch.existing_trace_ids:
            batch.merge_stored(trusts_prompts=True)
        batch.drop_unknown_spans()
        batch.apply_early_content()
        batch.write()


def _put_scores(principal: Principal, scores: Sequence[Mapping[str, Any]], rejections: Counter[str]) -> None:
    with writing_in_bulk():
        results = span_scores.put_scores_of_spans(principal, scores)
    rejections.update(str(result.message) for result in results if isinstance(result, Problem))


def _to_arrival(trace_id: str, span_id: str, event: Event) -> Arrival:
    content = {"name": event.name, "time": str(event.time_ns), "attributes": dict(event.attributes)}
    return Arrival(trace_id, span_id, "event", (span_id, *content.values()), content)


def _merge_parts(principal: Principal, parts: Sequence[Part], resolve: Resolver) -> dict[Key, Node]:
    """Return one node for each span. Calls have the prompts and versions that they name, where these exist."""
    references = [part.reference for part in parts if part.reference]
    resolved = resolve(principal, references) if references else {}
    nodes: dict[Key, Node] = {}
    for part in parts:
        key = (part.trace_id, part.span_id)
        columns = {name: value for name, value in part.columns.items() if value is not None}
        if part.reference:
            found = resolved[reference_key(part.reference)]
            columns["prompt_reference"] = part.reference
            columns |= {"prompt_id": found.prompt.id} if found.prompt else {}
            columns |= {"prompt_version": found.version.number} if found.version else {}
        node = Node(key, part.is_call, columns, list(part.scores))
        if key in nodes:
            nodes[key].merge_later(node)
        else:
            nodes[key] = node
    return nodes


def _collect_trace_values(parts: Iterable[Part]) -> dict[str, list[tuple[str, Mapping[str, Any]]]]:
    """Return the trace values by the ids of traces, as pairs of a span's id and its values."""
    trace_values: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for part in parts:
        trace_values.setdefault(part.trace_id, []).append((part.span_id, part.of_trace))
    return trace_values


@dataclass
class _Batch:
    """The spans of one transaction. The methods are called in the order in which they stand here.

    `nodes` has the spans by their keys. `trace_values` has the pairs that `growth.compute_changes` takes, and `traces`
    the locked rows, both by the ids of traces that the clients sent.
    """

    principal: Principal
    nodes: dict[Key, Node]
    trace_values: Mapping[str, list[tuple[str, Mapping[str, Any]]]]
    traces: dict[str, LockedTrace] = field(default_factory=dict)
    # The columns of new logs as they are inserted, and from which columns of the node they were prepared
    prepared: dict[Key, tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=dict)
    early: list[EarlyArrival] = field(default_factory=list)

    def prepare(self) -> None:
        """Do everything slow that can be done before the lock is taken."""
        calls.choose_logs(self.nodes)
        new = [node for node in self.nodes.values() if node.is_log]
        scored = [node for node in self.nodes.values() if node.scores]
        if scored:
            fitting = reported.fit(self.principal.workspace_id, [node.scores for node in scored])
            for node, fit in zip(scored, fitting, strict=True):
                node.scores = fit
        self.prepared = {node.key: (_prepare(node), dict(node.columns)) for node in new}

    def lock(self) -> None:
        """Lock the traces, and create those that do not exist."""
        early_arrivals.admit_spans(self.principal.workspace_id)
        costs = _sum_costs((trace_id, log) for (trace_id, _), (log, _) in self.prepared.items())
        new = {
            external_id: {"slug": _NO_SLUG, **compute_changes({}, values), "cost": costs.get(external_id)}
            for external_id, values in self.trace_values.items()
        }
        self.traces = growing_store.lock_traces(self.principal, SOURCE, new)

    @property
    def existing_trace_ids(self) -> list[str]:
        """The ids, as clients sent them, of the traces that existed before."""
        return [each for each, trace in self.traces.items() if not trace.is_new]

    def merge_stored(self, *, trusts_prompts: bool) -> None:
        """Merge what is stored with what has arrived, and choose again which calls are logs.

        A stored step may name a prompt that was deleted since. Without `trusts_prompts`, all prompts that stored steps
        name are treated as deleted.
        """
        existing = set(self.existing_trace_ids)
        external = {self.traces[external_id].id: external_id for external_id in existing}
        of_existing = [node for node in self.nodes.values() if node.key[0] in existing]
        own = [node.key for node in of_existing]
        outer = [node.parent for node in of_existing if node.is_call]
        keys = self._to_stored_keys([*own, *filter(None, outer)])
        stored = _to_nodes(external, growing_store.get_logs(keys), growing_store.get_spans(keys))
        self._merge_nodes(stored)
        inside = [key for key in own if self.nodes[key].is_call]
        read: set[Key] = set()  # calls whose own calls inside have been read
        for _ in range(calls.LEVELS):
            read.update(inside)
            here = self._to_stored_keys(inside)
            found = _to_nodes(external, growing_store.get_logs_inside(here), growing_store.get_calls_inside(here))
            self._merge_nodes({key: node for key, node in found.items() if key not in self.nodes})
            inside = [key for key, node in found.items() if node.stored_step is not None and key not in read]
            if not inside:
                break
        for key in inside:
            self.nodes[key].may_contain_calls = True
        self._mark_reviewed()
        self._drop_deleted_prompts(trusts_prompts=trusts_prompts)
        calls.choose_logs(self.nodes)

    def drop_unknown_spans(self) -> None:
        """Remove the nodes of spans that have not arrived: what log records say of them waits."""
        for key, node in list(self.nodes.items()):
            if node.stored_log is None and node.stored_step is None:
                del self.nodes[key]

    def apply_early_content(self) -> None:
        """Add to the spans the input and output of log records that arrived before them, or that arrive now."""
        response_keys = {node.columns["response_key"] for node in self.nodes.values() if "response_key" in node.columns}
        awaited = [*self.traces, *map(early_arrivals.await_response, response_keys)]
        span_ids = {span_id for _, span_id in self.nodes}
        self.early = early_arrivals.get_arrivals(self.principal.workspace_id, awaited, span_ids)
        by_span: dict[Key, list[EarlyArrival]] = {}
        for arrival in self.early:
            if arrival.kind == "event" and (arrival.awaited, arrival.span_id) in self.nodes:
                by_span.setdefault((arrival.awaited, arrival.span_id), []).append(arrival)
        # `sort_records` has described what is not to be kept
        limits = Limits(current_app.config["MAX_OUTPUT_BYTES"], keeps_media=True)
        for key, arrivals in by_span.items():
            if not all(arrival.is_joined for arrival in arrivals):
                node = self.nodes[key]
                before, after = (
                    read_contents([_to_event(each) for each in of_side], limits, is_call=node.is_call)
                    for of_side in ([each for each in arrivals if each.is_joined], arrivals)
                )
                complete(node.columns, before, after)
                early_arrivals.mark_joined([arrival.seq for arrival in arrivals])

    def write(self) -> None:
        """Write what has changed."""
        new_logs, completed, words = [], {}, {}
        new_steps, changed_steps = [], {}
        replaced_logs, replaced_steps = [], []
        for node in self.nodes.values():
            if node.is_log and node.stored_log is not None:
                changes = _find_changes(node)
                if changes:
                    completed[node.stored_log] = changes
                    if any(name in changes for name in logs.INDEXED):
                        texts = {**node.stored, **node.columns}
                        words[node.stored_log] = search.index_words(*map(texts.get, logs.INDEXED))
            elif node.is_log:
                new_logs.append(
                    {**self._prepare_again_if_changed(node), **self._ids_of_parents(node), "scores": node.scores}
                )
                replaced_steps += [] if node.stored_step is None else [node.stored_step]
            elif node.stored_step is not None:
                step = _to_step(node)
                changes = {name: value for name, value in step.items() if value != node.stored.get(name)}
                if changes:
                    changed_steps[node.stored_step] = changes
            else:
                new_steps.append({**_to_step(node), **self._ids_of_parents(node)})
                replaced_logs += [] if node.stored_log is None else [node.stored_log]
        growing_store.remove_spans(replaced_steps)
        logs.complete_logs(completed, words)
        growing_store.add_spans(new_steps)
        growing_store.change_spans(changed_steps)
        if new_logs:
            logs.record_all(self.principal, new_logs)
        trace_ids, span_ids = [trace.id for trace in self.traces.values()], {span_id for _, span_id in self.nodes}
        span_scores.move_to_last_outputs(trace_ids, span_ids, replaced_logs)
        logs.replace_logs(replaced_logs)
        self._update_traces(new_logs)
        span_scores.put_early_scores(self.principal, [each for each in self.early if each.kind == "score"])
        span_scores.put_scores_of_spans(self.principal, list(self._each_later_score()))

    def _each_later_score(self) -> Iterator[dict[str, Any]]:
        """Yield the reported scores of all nodes but new logs, which are stored with theirs."""
        for node in self.nodes.values():
            if node.stored_log is not None or not node.is_log:
                trace_id, span_id = node.key
                yield from ({**score, "trace_id": trace_id, "span_id": span_id} for score in node.scores)

    def _update_traces(self, new_logs: Sequence[Mapping[str, Any]]) -> None:
        """Update the traces that existed before by the values of their spans and the costs of the new logs."""
        costs = _sum_costs((log["trace_id"], log) for log in new_logs)
        changes = {}
        for external_id in self.existing_trace_ids:
            trace = self.traces[external_id]
            changes[trace.seq] = compute_changes(trace.values, self.trace_values[external_id])
            if trace.id in costs:
                changes[trace.seq]["cost"] = (trace.values["cost"] or 0) + costs[trace.id]
        growing_store.change_traces(changes)

    def _to_stored_keys(self, keys: Iterable[Key]) -> set[SpanKey]:
        """Return keys with our ids of traces instead of those that clients sent."""
        return {(self.traces[trace_id].id, span_id) for trace_id, span_id in keys}

    def _merge_nodes(self, stored: Mapping[Key, Node]) -> None:
        """Merge stored spans into those that have arrived; where both have a value, the one that has arrived counts."""
        for key, node in stored.items():
            if key in self.nodes:
                node.merge_later(self.nodes[key])
            self.nodes[key] = node

    def _mark_reviewed(self) -> None:
        """Mark the logs with calls inside that must stay logs, because they have notes or a score."""
        outer = {node.parent for node in self.nodes.values() if node.is_call}
        candidates = [node for key, node in self.nodes.items() if node.stored_log is not None and key in outer]
        scored = logs.get_scored_seqs([node.stored_log for node in candidates if node.stored_log is not None])
        for node in candidates:
            node.is_reviewed = node.stored["notes"] is not None or node.stored_log in scored

    def _drop_deleted_prompts(self, *, trusts_prompts: bool) -> None:
        """Remove from steps that are calls the prompts that were deleted: no log may refer to one."""
        steps = [node for node in self.nodes.values() if node.stored_step is not None and "prompt_id" in node.columns]
        wanted = {node.columns["prompt_id"] for node in steps}
        present = get_latest_numbers(sorted(wanted)) if wanted and trusts_prompts else {}
        for node in steps:
            workspace_id, latest = present.get(node.columns["prompt_id"], ("", 0))
            is_here = workspace_id == self.principal.workspace_id and node.columns.get("prompt_version", 0) <= latest
            if not is_here:
                node.columns = {name: value for name, value in node.columns.items() if name not in _PINNED}

    def _prepare_again_if_changed(self, node: Node) -> dict[str, Any]:
        """Return the columns of a new log; they are prepared again if what is stored has changed them."""
        prepared, columns = self.prepared.get(node.key, ({}, None))
        return prepared if columns == node.columns else _prepare(node)

    def _ids_of_parents(self, node: Node) -> dict[str, str]:
        return {"workspace_id": self.principal.workspace_id, "trace_id": self.traces[node.key[0]].id}


def _sum_costs(logs_of_traces: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, float]:
    """Return the sum of the costs of logs, by the ids of traces that they are paired with; without costs, none."""
    costs: dict[str, float] = {}
    for trace_id, log in logs_of_traces:
        if (cost := trace_costs.add_up([log.get("cost")])) is not None:
            costs[trace_id] = costs.get(trace_id, 0) + cost
    return costs


def _to_nodes(
    external: Mapping[str, str], stored_logs: Iterable[Mapping[str, Any]], stored_steps: Iterable[Mapping[str, Any]]
) -> dict[Key, Node]:
    """Return the nodes of stored rows. `external` has the ids of traces that clients sent, by ours."""
    nodes = {}
    for row in stored_logs:
        key = (external[row["trace_id"]], row["span_id"])
        computed = {_COMPUTED[name] for name in row["computed"] or ()}
        sent = {name: row[name] for name in logs.SENT if row[name] is not None and name not in computed}
        nodes[key] = Node(key, True, {"span_id": row["span_id"], **sent}, stored_log=row["seq"], stored=row)
    for row in stored_steps:
        key = (external[row["trace_id"]], row["span_id"])
        columns = {name: row[name] for name in (*_STEP, *_JSON_OF_STEP) if row[name] is not None}
        is_call = "call" in columns
        nodes[key] = Node(key, is_call, calls.to_log(columns) if is_call else columns)
        nodes[key].stored_step, nodes[key].stored = row["seq"], columns
    return nodes


def _to_event(arrival: EarlyArrival) -> Event:
    content = arrival.content
    return Event(content["name"], int(content["time"]), content["attributes"])


def _prepare(node: Node) -> dict[str, Any]:
    return recording.prepare({"model_used": None, "prompt_id": None, **node.columns, "source": SOURCE})


def _to_step(node: Node) -> dict[str, Any]:
    return calls.to_step(node.columns) if node.is_call else node.columns


def _find_changes(node: Node) -> dict[str, Any]:
    """Return the columns that change in a stored log when more of its span has arrived."""
    computed = {_COMPUTED[name] for name in node.stored["computed"] or ()}
    before = {name: None if name in computed else node.stored[name] for name in logs.SENT}
    after = {name: node.columns.get(name) for name in logs.SENT}
    changes = {name: value for name, value in after.items() if value != before[name]}
    if any(name in changes for name in logs.RECOMPUTED_FROM):
        stored = node.stored["priced"] or {}
        priced = node.columns.get("priced", stored if "unpriced" in stored else None)
        whole = token_costs.with_tokens_and_cost({**after, "priced": priced}, after["model_used"])
        derived = {name: whole.get(name) for name in (*_COMPUTED.values(), "computed", "priced_as", "priced")}
        changes |= {name: value for name, value in derived.items() if value != node.stored[name]}
    if "input" in changes or "variables" in changes:
        changes["input_key"] = find_input_key(after)
    return changes
