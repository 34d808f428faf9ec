"""The native routes of logs."""

from typing import Any

from flask import Response, url_for

from promptcrafter import paging
from promptcrafter.api import Blueprint
from promptcrafter.auth.principal import current_user_id
from promptcrafter.db import writing
from promptcrafter.errors import Invalid
from promptcrafter.ids import is_well_formed
from promptcrafter.logs import store, usage
from promptcrafter.logs.models import Log
from promptcrafter.logs.schemas import LogIn, LogOut, LogPatch, LogQuery, PromptLogQuery
from promptcrafter.prompts import store as prompts

blueprint = Blueprint("logs", __name__, description="Outputs with notes and scores")
_log_out = LogOut()


@blueprint.route("/logs", methods=["POST"])
@blueprint.refuses(403, 404)
@blueprint.arguments(LogIn())
@blueprint.response(201, _log_out, headers={"Location": {"schema": {"type": "string"}}})
def create_log(body: dict[str, Any]) -> tuple[Log, int, dict[str, str]]:
    """Log an output of a prompt."""
    body["prompt_version"] = _resolve_version(body["prompt_id"], body.get("prompt_version"))
    values = usage.complete(body, body["model_used"])
    with writing():
        log = store.record(current_user_id(), values)
    return log, 201, {"Location": url_for("logs.get_log", log_id=log.id)}


@blueprint.route("/logs")
@blueprint.refuses(403, 404)
@blueprint.arguments(LogQuery(), location="query")
@blueprint.lists(LogOut(many=True))
def list_logs(query: dict[str, Any]) -> Response:
    """List the caller's logs, or those of one prompt, newest first."""
    if "promptId" in query:
        prompts.get_latest_number(query["promptId"], current_user_id())
    found = store.find_logs(current_user_id(), query)
    return paging.listing(found, store.order_logs(query["sort"]), _log_out, query)


@blueprint.route("/logs-by-prompt")
@blueprint.refuses(403, 404)
@blueprint.arguments(PromptLogQuery(), location="query")
@blueprint.lists(LogOut(many=True))
def list_logs_by_prompt(query: dict[str, Any]) -> Response:
    """List a prompt's logs, newest first: another name of `GET /logs?promptId=`."""
    prompts.get_latest_number(query["promptId"], current_user_id())
    found = store.find_logs(current_user_id(), query)
    return paging.listing(found, store.order_logs("-createdAt"), _log_out, query)


@blueprint.route("/logs/<log_id>")
@blueprint.refuses(403, 404)
@blueprint.response(200, _log_out)
def get_log(log_id: str) -> Log:
    """Return a log."""
    return store.get_log(log_id, current_user_id())


@blueprint.route("/logs/<log_id>", methods=["PATCH"])
@blueprint.refuses(403, 404)
@blueprint.arguments(LogPatch())
@blueprint.response(200, _log_out)
def change_log(body: dict[str, Any], log_id: str) -> Log:
    """Score or comment a log after the fact."""
    with writing():
        log = store.lock_log(log_id, current_user_id())
        if body:
            store.change_log(log, body)
    return log


@blueprint.route("/logs/<log_id>", methods=["DELETE"])
@blueprint.refuses(403, 404)
@blueprint.response(204)
def delete_log(log_id: str) -> None:
    """Delete a log."""
    with writing():
        store.remove_log(store.lock_log(log_id, current_user_id()))


def _resolve_version(prompt_id: str, number: int | None) -> int:
    """Return the version a log is pinned to: the latest unless one is named."""
    if not is_well_formed("prompt", prompt_id):
        raise prompts.prompt_not_found()
    latest = prompts.get_latest_number(prompt_id, current_user_id())
    if number is not None and not prompts.has_version(prompt_id, number):
        raise Invalid({"promptVersion": [f"must be a version of the prompt; the latest is {latest}"]})
    return number or latest
