"""The native routes of logs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flask import Response, jsonify, url_for

from promptcrafter.auth.principal import current_user_id
from promptcrafter.database.transactions import writing
from promptcrafter.http import lists
from promptcrafter.http.blueprint import Blueprint, load
from promptcrafter.http.row_serializer import RowSerializer
from promptcrafter.idempotency.decorator import idempotent
from promptcrafter.ids import is_well_formed
from promptcrafter.logs import search, store, token_costs
from promptcrafter.logs.models import Log
from promptcrafter.logs.schemas import LogBatchIn, LogBatchOut, LogIn, LogOut, LogPatch, LogQuery, PromptLogQuery
from promptcrafter.problems import Invalid, Problem, Unavailable, describe
from promptcrafter.prompts import store as prompts

blueprint = Blueprint("logs", __name__, description="Outputs with notes and scores")
_log_in = LogIn()
_log_out = LogOut()
_log_rows = RowSerializer(Log, _log_out)
_TRIES = 3


@blueprint.route("/logs", methods=["POST"])
@blueprint.refuses(403, 404)
@blueprint.arguments(_log_in)
@idempotent
@blueprint.response(201, _log_out, headers={"Location": {"schema": {"type": "string"}}})
def create_log(body: dict[str, Any]) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Log an output of a prompt."""
    (pinned,) = _pin_all([body])
    if isinstance(pinned, Problem):
        raise pinned
    values = _complete(pinned)
    with writing():
        log = store.record(current_user_id(), values)
    return log, 201, {"Location": url_for("logs.get_log", log_id=log["id"])}


@blueprint.route("/logs/batch", methods=["POST"])
@blueprint.takes_lines_of("logs")
@blueprint.arguments(LogBatchIn())
@idempotent
@blueprint.response(200, LogBatchOut())
def create_logs(body: dict[str, Any]) -> Response:
    """Log up to 1,000 outputs in one transaction; a bad one does not keep its neighbours from being kept."""
    loaded = [_load(item) for item in body["logs"]]
    for _ in range(_TRIES):
        prepared = _pin_all(loaded)
        good = [_complete(values) for values in prepared if isinstance(values, dict)]
        try:
            with writing():
                kept = iter(store.record_all(current_user_id(), good))
        except store.ParentGone:
            continue  # look again at which prompts there are
        return jsonify(results=[_result(values, kept) for values in prepared])
    raise Unavailable


@blueprint.route("/logs")
@blueprint.refuses(403, 404)
@blueprint.arguments(LogQuery(), location="query")
@blueprint.lists(LogOut(many=True))
def list_logs(query: dict[str, Any]) -> Response:
    """List the caller's logs, or those of one prompt, newest first."""
    if "promptId" in query:
        prompts.get_latest_number(query["promptId"], current_user_id())
    if "q" in query:
        query = {**query, "q": _read_terms(query["q"])}
    found = store.find_logs(current_user_id(), query)
    return lists.listing(found, store.order_logs(query), _log_rows, query)


@blueprint.route("/logs-by-prompt")
@blueprint.refuses(403, 404)
@blueprint.arguments(PromptLogQuery(), location="query")
@blueprint.lists(LogOut(many=True))
def list_logs_by_prompt(query: dict[str, Any]) -> Response:
    """List a prompt's logs, newest first: another name of `GET /logs?promptId=`."""
    prompts.get_latest_number(query["promptId"], current_user_id())
    found = store.find_logs(current_user_id(), query)
    return lists.listing(found, store.order_logs({"sort": "-createdAt"}), _log_rows, query)


@blueprint.route("/logs/<item:log_id>")
@blueprint.refuses(403, 404)
@blueprint.response(200, _log_out)
def get_log(log_id: str) -> Log:
    """Return a log."""
    return store.get_log(log_id, current_user_id())


@blueprint.route("/logs/<item:log_id>", methods=["PATCH"])
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


@blueprint.route("/logs/<item:log_id>", methods=["DELETE"])
@blueprint.refuses(403, 404)
@blueprint.response(204)
def delete_log(log_id: str) -> None:
    """Delete a log."""
    with writing():
        store.remove_log(store.lock_log(log_id, current_user_id()))


def _read_terms(query: str) -> list[str]:
    terms = search.terms_of(query)
    if not 0 < len(terms) <= search.MAX_WORDS:
        raise Invalid({"q": [f"must have 1 to {search.MAX_WORDS} words, which are letters, digits or symbols"]})
    return terms


def _load(item: Any) -> dict[str, Any] | Problem:
    """Return a log's columns, or what is wrong with it."""
    try:
        if isinstance(item, Problem):
            raise item
        if not isinstance(item, dict):
            raise Invalid({"log": ["must be an object"]})
        values: dict[str, Any] = load(_log_in, item)
    except Problem as problem:
        return problem
    return values


def _pin_all(loaded: Sequence[dict[str, Any] | Problem]) -> list[dict[str, Any] | Problem]:
    """Pin each log to a version of its prompt, the latest unless it names one, or tell why it cannot be."""
    ids = {values["prompt_id"] for values in loaded if isinstance(values, dict)}
    found = prompts.get_latest_numbers([prompt_id for prompt_id in ids if is_well_formed("prompt", prompt_id)])
    return [
        values if isinstance(values, Problem) else _pin(values, found.get(values["prompt_id"])) for values in loaded
    ]


def _pin(values: dict[str, Any], prompt: tuple[str, int] | None) -> dict[str, Any] | Problem:
    if prompt is None:
        return prompts.prompt_not_found()
    owner_id, latest = prompt
    if owner_id != current_user_id():
        return prompts.prompt_not_owned()
    number = values.get("prompt_version") or latest
    return {**values, "prompt_version": number} if number <= latest else _no_such_version(latest)


def _complete(pinned: dict[str, Any]) -> dict[str, Any]:
    return store.prepare(token_costs.complete(pinned, pinned["model_used"]))


def _no_such_version(latest: int) -> Invalid:
    return Invalid({"promptVersion": [f"must be a version of the prompt; the latest is {latest}"]})


def _result(values: dict[str, Any] | Problem, kept: Iterator[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a LogResult as it is on the wire: the schema would take a tenth of a batch's time to rename a field."""
    if isinstance(values, Problem):
        return {"status": values.status, **describe(values)}
    return {"status": 201, "_id": next(kept)["id"]}
