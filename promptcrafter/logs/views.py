"""The native routes of logs."""

from collections.abc import Sequence
from typing import Any

from flask import Response, jsonify, url_for

from promptcrafter.database.transactions import writing
from promptcrafter.http import lists
from promptcrafter.http.blueprint import Blueprint
from promptcrafter.http.row_serializer import RowSerializer
from promptcrafter.idempotency.decorator import idempotent_in
from promptcrafter.jsonio import dumps
from promptcrafter.logs import queries, recording, store
from promptcrafter.logs.comparison_markdown import write_comparison
from promptcrafter.logs.models import Log
from promptcrafter.logs.schemas import LogBatchIn, LogBatchOut, LogIn, LogOut, LogPatch
from promptcrafter.logs.schemas_comparison import CompareOut, CompareQuery
from promptcrafter.logs.schemas_filters import LogQuery, PromptLogQuery
from promptcrafter.permissions import Permission
from promptcrafter.problems import Problem, describe
from promptcrafter.prompts import store as prompts
from promptcrafter.word_diff import compare
from promptcrafter.workspaces.authentication import current_principal
from promptcrafter.workspaces.principal import Principal

blueprint = Blueprint("logs", __name__, description="Outputs with notes and scores")
_log_in = LogIn()
_log_out = LogOut()
_compare_out = CompareOut()
_log_rows = RowSerializer(Log, _log_out)


@blueprint.route("/logs", methods=["POST"], permission=Permission.INGEST, refuses=(403, 404))
@blueprint.arguments(_log_in)
@idempotent_in(lambda principal, body: _get_workspace_ids(principal, [body]))
@blueprint.response(201, _log_out, headers={"Location": {"schema": {"type": "string"}}})
def create_log(body: dict[str, Any]) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Log an output of a prompt."""
    (log,) = recording.record(current_principal(), [body])
    if isinstance(log, Problem):
        raise log
    return log, 201, {"Location": url_for("logs.get_log", log_id=log["id"])}


@blueprint.route("/logs/batch", methods=["POST"], permission=Permission.INGEST, ndjson_field="logs")
@blueprint.arguments(LogBatchIn())
@idempotent_in(lambda principal, body: _get_workspace_ids(principal, body["logs"]))
@blueprint.response(200, LogBatchOut())
def create_logs(body: dict[str, Any]) -> Response:
    """Log up to 1,000 outputs in one transaction; one that is invalid does not reject the others."""
    logs = recording.record(current_principal(), body["logs"])
    return jsonify(results=[_to_result(log) for log in logs])


@blueprint.route("/logs", permission=Permission.READ, refuses=(403, 404))
@blueprint.arguments(LogQuery(), location="query")
@blueprint.list_response(LogOut(many=True))
def list_logs(query: dict[str, Any]) -> Response:
    """List the logs of the workspace, or those of one prompt, newest first."""
    principal = current_principal()
    with queries.limit_page(query):
        filters, resolved = queries.resolve(principal, query)
        logs = store.find_logs(principal, filters)
        return lists.list_response(logs, store.order_logs(filters), _log_rows, query, resolved)


@blueprint.route("/logs-by-prompt", permission=Permission.READ, refuses=(403, 404))
@blueprint.arguments(PromptLogQuery(), location="query")
@blueprint.list_response(LogOut(many=True))
def list_logs_by_prompt(query: dict[str, Any]) -> Response:
    """List a prompt's logs, newest first; equal to `GET /logs?promptId=`."""
    prompts.refuse_prompt_not_owned(current_principal(), query["promptId"])
    logs = store.find_logs(current_principal(), query)
    return lists.list_response(logs, store.order_logs(query), _log_rows, query)


@blueprint.route("/logs/<not_batch:log_id>", permission=Permission.READ, refuses=(403, 404))
@blueprint.response(200, _log_out)
def get_log(log_id: str) -> Log:
    """Return a log."""
    return store.get_log(current_principal(), log_id)


@blueprint.route("/logs/<not_batch:log_id>", methods=["PATCH"], permission=Permission.WRITE, refuses=(403, 404))
@blueprint.arguments(LogPatch())
@blueprint.response(200, _log_out)
def change_log(body: dict[str, Any], log_id: str) -> Log:
    """Change the score or the notes of a log."""
    principal = current_principal()
    with writing():
        log = store.lock_log(principal, log_id)
        if body:
            store.change_log(principal, log, body)
    return log


@blueprint.route("/logs/<not_batch:log_id>", methods=["DELETE"], permission=Permission.WRITE, refuses=(403, 404))
@blueprint.response(204)
def delete_log(log_id: str) -> None:
    """Delete a log."""
    principal = current_principal()
    with writing():
        store.remove_log(principal, store.lock_log(principal, log_id))


@blueprint.route("/compare", permission=Permission.READ, refuses=(403, 404), tag="stats")
@blueprint.arguments(CompareQuery(), location="query")
@blueprint.negotiated_response(_compare_out, "text/markdown")
def compare_logs(query: dict[str, Any]) -> Response:
    """Return logs side by side, with the differences of their outputs from the first one's, word by word."""
    logs = store.get_logs(current_principal(), query["logs"])
    first, *others = [log.output or "" for log in logs]
    differences = [
        {"logId": log.id, "against": logs[0].id, "words": [{"op": op, "text": text} for op, text in changes]}
        for log, changes in zip(logs[1:], compare(first, others), strict=True)
    ]
    compared = _compare_out.dump({"logs": logs, "differences": differences})
    return lists.negotiated_response(
        {"application/json": lambda: [dumps(compared)], "text/markdown": lambda: write_comparison(compared)}
    )


def _get_workspace_ids(principal: Principal, outputs: Sequence[recording.Output]) -> list[str]:
    """Return the ids of the workspaces in which these outputs will be logged."""
    return prompts.get_workspace_ids(principal, [each["prompt_id"] for each in outputs if isinstance(each, dict)])


def _to_result(log: recording.Output) -> dict[str, Any]:
    """Return a LogResult in its wire form.

    The schema is bypassed: it would only rename one field and take a tenth of a batch's time.
    """
    return {"status": log.status, **describe(log)} if isinstance(log, Problem) else {"status": 201, "_id": log["id"]}
