"""The routes of traces. Only the dialects of other systems create traces."""

from typing import Any

from flask import Response

from promptcrafter.database.transactions import writing
from promptcrafter.http import lists
from promptcrafter.http.blueprint import Blueprint
from promptcrafter.http.row_serializer import RowSerializer
from promptcrafter.logs.models import Log, Score
from promptcrafter.logs.schemas import LogOut
from promptcrafter.permissions import Permission
from promptcrafter.scores.schemas import ScoreOut
from promptcrafter.traces import span_scores, store, tree
from promptcrafter.traces.models import Span, Trace
from promptcrafter.traces.schemas import ScoresOfTraceQuery, SpanOut, TraceOut, TraceQuery, TraceWhole, TreeOut
from promptcrafter.workspaces.authentication import current_principal

blueprint = Blueprint("traces", __name__, description="Runs of a program, step by step, with their outputs")
_score_out, _trace_out = ScoreOut(), TraceOut()
_trace_rows = RowSerializer(Trace, _trace_out)
_span_rows, _log_rows = RowSerializer(Span, SpanOut()), RowSerializer(Log, LogOut())


@blueprint.route("/traces", permission=Permission.READ)
@blueprint.arguments(TraceQuery(), location="query")
@blueprint.list_response(TraceOut(many=True))
def list_traces(query: dict[str, Any]) -> Response:
    """List the traces of the workspace, newest first or in another order."""
    found = store.find_matching(current_principal(), query)
    return lists.list_response(found, store.order_traces(query["sort"]), _trace_rows, query)


@blueprint.route("/traces/<trace_id>", permission=Permission.READ, refuses=(403, 404))
@blueprint.response(200, TraceWhole())
def get_trace(trace_id: str) -> Response:
    """Return a trace with its spans and logs."""
    trace = store.get_trace(current_principal(), trace_id)
    parts = {"spans": (store.find_spans(trace), _span_rows), "logs": (store.find_logs(trace), _log_rows)}
    return lists.object_response(_trace_out.dump(trace), parts)


@blueprint.route("/traces/<trace_id>/tree", permission=Permission.READ, refuses=(403, 404))
@blueprint.response(200, TreeOut())
def get_tree(trace_id: str) -> dict[str, Any]:
    """Return the steps and calls of a trace as a tree: in the order in which they began, each before those inside."""
    trace = store.get_trace(current_principal(), trace_id)
    count = store.count_nodes(trace)
    places = tree.arrange(store.get_links(trace, tree.READ_MAX))[: tree.SHOWN_MAX]
    return {"trace_id": trace.id, "nodes": store.get_nodes(trace, places), "more": count - len(places)}


@blueprint.route("/traces/<trace_id>/scores", permission=Permission.READ, refuses=(403, 404))
@blueprint.arguments(ScoresOfTraceQuery(), location="query")
@blueprint.list_response(ScoreOut(many=True))
def list_scores_of_trace(query: dict[str, Any], trace_id: str) -> Response:
    """List the scores of a whole trace and of its steps that are no logs, newest first."""
    trace = store.get_trace(current_principal(), trace_id)
    found = span_scores.find_scores_of_trace(trace)
    return lists.list_response(found, (Score.created_at, Score.seq), _score_out, query)


@blueprint.route("/traces/<trace_id>", methods=["DELETE"], permission=Permission.WRITE, refuses=(403, 404))
@blueprint.response(204)
def delete_trace(trace_id: str) -> None:
    """Delete a trace and its logs."""
    principal = current_principal()
    with writing():
        store.remove_trace(principal, store.lock_trace(principal, trace_id))
