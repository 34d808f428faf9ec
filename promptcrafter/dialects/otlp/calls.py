"""Which spans become logs: each call of a model once, however often it was observed. Pure functions.

Two instrumentations may observe one call, as where one wraps a framework and another one the client of a provider. Then
the span of one is the parent of the other's. The log is that of the inner span, which knows most about the call. The
outer one becomes a step, and the log gets from it what the inner one lacks, such as the prompt and the user.

A log that was reviewed is never replaced: then the inner call becomes the step.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from promptcrafter.dialects.otlp.names import GENERATION
from promptcrafter.jsonio import dumps

Key = tuple[str, str]  # the id of a trace and that of a span, as OpenTelemetry's clients send them
LEVELS = 4  # of calls inside each other that inherit: no program has that many instrumentations of one call
_PROMPT = ("prompt_reference", "prompt_id", "prompt_version")
_INHERITED = ("variables", "user_id", "session_id", "environment")
# Of the metadata: what is about a span, not about the call
_OF_SPAN_ONLY = ("attributes", "scope", "truncated", "omitted", "stackTrace")
# The columns of a step by those of a log; inputs and outputs are apart, since a step has them as JSON values
_SAME = {
    **{name: name for name in ("span_id", "name", "start_time", "end_time", "status", "error", "meta")},
    **{"parent_span_id": "parent_id", "latency_ms": "duration_ms"},
}
_TEXTS = ("input", "output")
_OBJECTS = ("meta", "parameters")  # columns of which each part of a span may have some members
# What a step keeps of a call, because it has no column for it. So the step can become a log again
_KEPT = (
    *(*_PROMPT, *_INHERITED, "model_used", "provider", "parameters", "cost", "input_tokens", "output_tokens"),
    *("cached_input_tokens", "cache_write_tokens", "reasoning_tokens", "priced"),
)


@dataclass(slots=True)
class Node:
    """All that is known of a span: what has arrived, merged with what is stored.

    `columns` are those of a log for a call, else those of a step; a column without a value is absent, and nothing in
    them is computed. `scores` were reported by the span itself. `stored_log` and `stored_step` are the sequence numbers
    of the row that the span has, at most one of them, and `stored` the columns of that. `may_contain_calls` says that
    calls inside of a stored step have not been read: it stays a step.
    """

    key: Key
    is_call: bool
    columns: dict[str, Any]
    scores: list[dict[str, Any]] = field(default_factory=list)
    stored_log: int | None = None
    stored_step: int | None = None
    stored: Mapping[str, Any] = field(default_factory=dict)
    is_reviewed: bool = False
    is_log: bool = False
    may_contain_calls: bool = False

    @property
    def parent(self) -> Key | None:
        """The key of the span around this one; None for the root, and for a span that claims to be its own parent."""
        parent_id = self.columns.get("parent_span_id" if self.is_call else "parent_id")
        return None if parent_id in (None, self.key[1]) else (self.key[0], str(parent_id))

    def merge_later(self, later: "Node") -> None:
        """Merge a node of the same span that has arrived later: its values replace those here, and others stay."""
        if later.is_call and not self.is_call:
            self.is_call, self.columns = True, to_log(self.columns)
        columns = to_log(later.columns) if self.is_call and not later.is_call else later.columns
        self.columns = merge_columns(self.columns, columns)
        self.scores += later.scores

    def inherit(self, outer: "Node") -> None:
        """Copy from the call around this one the columns that this one lacks."""
        if "prompt_reference" not in self.columns:
            self.columns |= {name: outer.columns[name] for name in _PROMPT if name in outer.columns}
        for name in _INHERITED:
            if name in outer.columns:
                self.columns.setdefault(name, outer.columns[name])
        of_call = {name: value for name, value in outer.columns.get("meta", {}).items() if name not in _OF_SPAN_ONLY}
        if of_call:
            self.columns["meta"] = {**of_call, **self.columns.get("meta", {})}


def merge_columns(former: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a span after a later part: its values replace the former ones, objects are merged."""
    merged = {**former, **later}
    for name in _OBJECTS:
        if name in former and name in later:
            merged[name] = {**former[name], **later[name]}
            if name == "meta" and "attributes" in former[name] and "attributes" in later[name]:
                merged[name]["attributes"] = {**former[name]["attributes"], **later[name]["attributes"]}
    for name in _TEXTS:
        if name in later and f"{name}_format" not in later:
            merged.pop(f"{name}_format", None)
    if "prompt_reference" in later:
        # one that is sent again still names what it named then, although a label may have moved
        source = former if former.get("prompt_reference") == later["prompt_reference"] else later
        for name in _PROMPT:
            merged.pop(name, None)
        merged |= {name: source[name] for name in _PROMPT if name in source}
    return merged


def choose_logs(nodes: Mapping[Key, Node]) -> None:
    """Set `is_log` of the calls, and let each inherit from the call around it."""
    calls = {key: node for key, node in nodes.items() if node.is_call}
    around = {key: outer for key, node in calls.items() if (outer := _find_outer(node, calls)) is not None}
    has_call_inside = {outer.key for outer in around.values()}
    for key, node in calls.items():
        is_in_reviewed = key in around and around[key].is_reviewed
        is_innermost = key not in has_call_inside and not node.may_contain_calls
        node.is_log = node.is_reviewed or (is_innermost and not is_in_reviewed)
    for _ in range(LEVELS if around else 0):
        for key, outer in around.items():
            calls[key].inherit(outer)


def _find_outer(node: Node, calls: Mapping[Key, Node]) -> Node | None:
    """Return the call directly around this one, if any.

    None for a call in a circle of up to LEVELS + 1 that claim to be inside each other: each of them is a log. In a
    longer circle none is.
    """
    outer = found = None if node.parent is None else calls.get(node.parent)
    for _ in range(LEVELS):
        if found is None or found.parent is None:
            break
        if found.parent == node.key:
            return None
        found = calls.get(found.parent)
    return outer


def to_step(log: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a step that has what the columns of a log have: for a call that is no log."""
    step = {name: log[of_log] for of_log, name in _SAME.items() if of_log in log}
    for name in _TEXTS:
        if name in log:
            step[name] = json.loads(log[name]) if log.get(f"{name}_format") == "json" else log[name]
    return {**step, "type": GENERATION, "call": {name: log[name] for name in _KEPT if name in log}}


def to_log(step: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a log that has what the columns of a step have."""
    log = {of_log: step[name] for of_log, name in _SAME.items() if name in step}
    for name in _TEXTS:
        if name in step:
            is_text = isinstance(step[name], str)
            log |= {name: step[name]} if is_text else {name: dumps(step[name]), f"{name}_format": "json"}
    return {**log, **step.get("call", {})}
