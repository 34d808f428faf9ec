"""The routes of scores."""

from typing import Any

from flask import Response, jsonify, url_for
from marshmallow import ValidationError

from promptcrafter.database.transactions import writing
from promptcrafter.http import lists
from promptcrafter.http.blueprint import Blueprint
from promptcrafter.idempotency.decorator import idempotent_in
from promptcrafter.logs import scores
from promptcrafter.logs import store as logs
from promptcrafter.logs.models import HUMAN, Score
from promptcrafter.permissions import Permission
from promptcrafter.problems import Invalid, Problem, describe
from promptcrafter.prompts.store import refuse_prompt_not_owned
from promptcrafter.scores import configs
from promptcrafter.scores.models import ScoreConfig
from promptcrafter.scores.schemas import (
    NAME_EXAMPLE,
    ScoreBatchIn,
    ScoreBatchOut,
    ScoreConfigIn,
    ScoreConfigOut,
    ScoreIn,
    ScoreOut,
    ScorePatch,
    ScoreQuery,
    ScoresOfLogQuery,
    refuse_default_beyond_scale,
    refuse_malformed_name,
)
from promptcrafter.workspaces.access import refuse_malformed
from promptcrafter.workspaces.authentication import current_principal
from promptcrafter.workspaces.principal import Principal

blueprint = Blueprint(
    "scores",
    __name__,
    description="What people, judges and code think of outputs",
    path_examples={"score_name": NAME_EXAMPLE},
)
_score_out = ScoreOut()
_ORDER = (Score.created_at, Score.seq)


@blueprint.route(
    "/logs/<not_batch:log_id>/scores", methods=["POST"], permission=Permission.SCORE, refuses=(403, 404, 409)
)
@blueprint.arguments(ScoreIn())
@idempotent_in(lambda principal, body, log_id: logs.get_workspace_ids(principal, [log_id]))
@blueprint.response(201, _score_out, headers={"Location": {"schema": {"type": "string"}}})
@blueprint.alt_response(200, schema=_score_out, description="It replaced the one before", success=True)
def create_score(body: dict[str, Any], log_id: str) -> tuple[Score, int, dict[str, str]]:
    """Give a score to a log, or replace the one that was given with the same keys."""
    refuse_malformed("log", log_id)
    principal = current_principal()
    values = _complete(principal, body | {"log_id": log_id})
    with writing():
        score, is_new = scores.put_score(principal, values, configs.make_check(principal.memberships, [values]))
    return score, 201 if is_new else 200, {"Location": url_for("scores.get_score", score_id=score.id)}


@blueprint.route("/scores/batch", methods=["POST"], permission=Permission.SCORE, ndjson_field="scores")
@blueprint.arguments(ScoreBatchIn())
@idempotent_in(
    lambda principal, body: logs.get_workspace_ids(
        principal, [each["log_id"] for each in body["scores"] if isinstance(each, dict)]
    )
)
@blueprint.response(200, ScoreBatchOut())
def create_scores(body: dict[str, Any]) -> Response:
    """Give up to 1,000 scores in one transaction; one that is invalid does not reject the others."""
    principal = current_principal()
    given = [each if isinstance(each, Problem) else _complete(principal, each) for each in body["scores"]]
    with writing():
        loaded = [each for each in given if isinstance(each, dict)]
        check = configs.make_check(principal.memberships, loaded)
        results = scores.put_scores(principal, given, check)
    return jsonify(results=[_to_result(result) for result in results])


@blueprint.route("/logs/<not_batch:log_id>/scores", permission=Permission.READ, refuses=(403, 404))
@blueprint.arguments(ScoresOfLogQuery(), location="query")
@blueprint.list_response(ScoreOut(many=True))
def list_scores_of_log(query: dict[str, Any], log_id: str) -> Response:
    """List the scores of a log, newest first."""
    log = logs.get_log(current_principal(), log_id)
    return lists.list_response(scores.find_scores_of_log(log), _ORDER, _score_out, query)


@blueprint.route("/scores", permission=Permission.READ, refuses=(403, 404))
@blueprint.arguments(ScoreQuery(), location="query")
@blueprint.list_response(ScoreOut(many=True))
def list_scores(query: dict[str, Any]) -> Response:
    """List the scores of the workspace, or of the logs of one prompt, newest first."""
    if "author" in query:
        refuse_malformed("user", query["author"])
    if "promptId" in query:
        refuse_prompt_not_owned(current_principal(), query["promptId"])
    return lists.list_response(scores.find_scores(current_principal(), query), _ORDER, _score_out, query)


@blueprint.route("/scores/<not_batch:score_id>", permission=Permission.READ, refuses=(403, 404))
@blueprint.response(200, _score_out)
def get_score(score_id: str) -> Score:
    """Return a score."""
    return scores.get_score(current_principal(), score_id)


@blueprint.route("/scores/<not_batch:score_id>", methods=["PATCH"], permission=Permission.SCORE, refuses=(403, 404))
@blueprint.arguments(ScorePatch())
@blueprint.response(200, _score_out)
def change_score(body: dict[str, Any], score_id: str) -> Score:
    """Change the value or the comment of one's own score; an owner may change any."""
    principal = current_principal()
    with writing():
        score, log = scores.lock_score(principal, score_id)
        if "value_kind" in body:
            _refuse_fault(score, body)
        if body:
            scores.change_score(principal, score, log, body)
    return score


@blueprint.route("/scores/<not_batch:score_id>", methods=["DELETE"], permission=Permission.SCORE, refuses=(403, 404))
@blueprint.response(204)
def delete_score(score_id: str) -> None:
    """Delete one's own score; an owner may delete any."""
    principal = current_principal()
    with writing():
        scores.remove_score(principal, *scores.lock_score(principal, score_id))


@blueprint.route("/score-configs", permission=Permission.READ)
@blueprint.response(200, ScoreConfigOut(many=True))
def list_configs() -> list[ScoreConfig]:
    """List the configurations of scores that apply in the workspace, by name."""
    return configs.list_configs(current_principal())


@blueprint.route("/score-configs/<score_name>", methods=["PUT"], permission=Permission.WRITE, refuses=(409,))
@blueprint.arguments(ScoreConfigIn())
@blueprint.response(200, ScoreConfigOut())
def put_config(body: dict[str, Any], score_name: str) -> ScoreConfig:
    """Set what the scores of a name must be from now on; stored ones stay."""
    refuse_malformed_name(score_name)
    with writing():
        config = configs.put_config(current_principal(), score_name, body)
    return config


@blueprint.route("/score-configs/<score_name>", methods=["DELETE"], permission=Permission.WRITE, refuses=(404,))
@blueprint.response(204)
def archive_config(score_name: str) -> None:
    """Archive a configuration: it applies no more, and the scores stay."""
    refuse_malformed_name(score_name)
    with writing():
        configs.archive_config(current_principal(), score_name)


def _complete(principal: Principal, values: dict[str, Any]) -> dict[str, Any]:
    """Return the columns of a score with the annotator that it has unless the request says another."""
    return {"annotator": "code" if principal.api_key_id else HUMAN, **values}


def _refuse_fault(score: Score, values: dict[str, Any]) -> None:
    """Raise 400 if a score must not have this value."""
    try:
        refuse_default_beyond_scale({"name": score.name, "value": (values["value_kind"], values["number"])})
    except ValidationError as error:
        raise Invalid({"value": [str(rule) for rule in error.messages]}) from error
    config = configs.get_config(score.workspace_id, score.name)
    fault = configs.find_fault(config, values)
    if fault is not None:
        raise fault


def _to_result(result: tuple[Score, bool] | Problem) -> dict[str, Any]:
    """Return a ScoreResult in its wire form."""
    if isinstance(result, Problem):
        return {"status": result.status, **describe(result)}
    score, is_new = result
    return {"status": 201 if is_new else 200, "_id": score.id}
