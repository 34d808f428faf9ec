"""Runs of a program: the list of traces, and one of them as a waterfall of its steps."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from flask import url_for
from marshmallow import Schema
from werkzeug.wrappers import Response

from promptcrafter.database.transactions import writing
from promptcrafter.http.fields import Text
from promptcrafter.http.row_serializer import RowSerializer
from promptcrafter.logs import store as logs
from promptcrafter.logs.models import Log
from promptcrafter.pages import lists, text_views
from promptcrafter.pages.blueprint import PageBlueprint
from promptcrafter.pages.charts import Bar
from promptcrafter.pages.formatting import duration
from promptcrafter.pages.notices import redirect_with
from promptcrafter.pages.rendering import render
from promptcrafter.pages.text_views import Shown
from promptcrafter.permissions import Permission
from promptcrafter.traces import store, tree
from promptcrafter.traces.models import Span, Trace
from promptcrafter.traces.schemas import TraceOut, TraceQuery
from promptcrafter.workspaces.authentication import current_principal

blueprint = PageBlueprint("runs", __name__)
_trace_rows = RowSerializer(Trace, TraceOut())
_STEPS_SHOWN = 500


class _RunsQuery(TraceQuery):
    """The filters of `GET /traces`, and how the page is shown."""

    format = Text(data_key="as", choices=("json", "csv"))


class _StepQuery(Schema):
    """The step whose details are shown."""

    step = Text(maximum=200)


@blueprint.page("/runs")
@blueprint.arguments(_RunsQuery(), location="query")
def list_runs(query: dict[str, Any]) -> Response:
    """List the runs of programs, newest first or in another order."""
    found, order = store.find_matching(current_principal(), query), store.order_traces(query["sort"])
    if "format" in query:
        return lists.download(query["format"], found, order, _trace_rows, query)
    return render("runs.html", page=lists.read_page(found, order, query), query=query)


@blueprint.page("/runs/<trace_id>")
@blueprint.arguments(_StepQuery(), location="query")
def show_run(query: dict[str, Any], trace_id: str) -> Response:
    """Show a run as a waterfall of its steps and calls, with the details of one of them."""
    trace = store.get_trace(current_principal(), trace_id)
    places = tree.arrange(store.get_links(trace, tree.READ_MAX))[:_STEPS_SHOWN]
    nodes = store.get_nodes(trace, places)
    chosen = next((node for node in nodes if node["span_id"] == query.get("step")), None) if "step" in query else None
    step = _get_step(trace, chosen) if chosen is not None else None
    return render(
        "run.html",
        trace=trace,
        bars=list(zip(nodes, _to_bars(nodes), strict=True)),
        more=store.count_nodes(trace) - len(nodes),
        chosen=chosen,
        step=step,
        texts=_show_texts(step) if step is not None else (),
    )


@blueprint.page("/runs/<trace_id>/delete", methods=["POST"], permission=Permission.WRITE)
def delete_run(trace_id: str) -> Response:
    """Delete a run with its outputs."""
    principal = current_principal()
    with writing():
        store.remove_trace(principal, store.lock_trace(principal, trace_id))
    return redirect_with(url_for("runs.list_runs"), "run_deleted")


def _get_step(trace: Trace, node: Mapping[str, Any]) -> Span | Log | None:
    """Return the step, or the output of a call, that a node of the tree stands for."""
    if node["log_id"]:
        return logs.get_log(current_principal(), node["log_id"])
    return store.get_span(trace, node["span_id"])


def _show_texts(step: Span | Log) -> list[tuple[str, Shown]]:
    """Return what a step took, gave and says of itself, as the page of an output shows texts."""
    found = [("Input", step.input), ("Output", step.output), ("Metadata", step.meta)]
    texts = ((title, value if isinstance(value, str) else _to_json(value)) for title, value in found)
    return [(title, shown) for title, text in texts if (shown := text_views.show(text)) is not None]


def _to_json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False)


def _to_bars(nodes: Sequence[Mapping[str, Any]]) -> list[Bar]:
    """Return where each step begins and how long it takes, as shares of the whole run."""
    starts = [node["start_time"] for node in nodes if node["start_time"] is not None]
    if not starts:
        return [Bar(0, 0, "") for _ in nodes]
    begin = min(starts)
    ends = [_offset(node, begin) + (node["duration_ms"] or 0) for node in nodes]
    whole = max(ends) or 1
    return [
        Bar(_offset(node, begin) / whole, (node["duration_ms"] or 0) / whole, duration(node["duration_ms"]))
        for node in nodes
    ]


def _offset(node: Mapping[str, Any], begin: Any) -> float:
    """Return the milliseconds from the beginning of the run to that of a step."""
    return 0.0 if node["start_time"] is None else (node["start_time"] - begin).total_seconds() * 1000
