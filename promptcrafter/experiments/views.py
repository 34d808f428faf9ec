"""The routes under /experiments. Clients request variants and report results through `dialects.agenttest`."""

from typing import Any

from flask import Response, url_for

from promptcrafter.database.transactions import writing
from promptcrafter.experiments import store
from promptcrafter.experiments.evaluation import evaluate_experiment
from promptcrafter.experiments.models import Experiment
from promptcrafter.experiments.pinning import pin_prompts
from promptcrafter.experiments.schemas import (
    SLUG_EXAMPLE,
    ExperimentIn,
    ExperimentOut,
    ExperimentPatch,
    ResultOut,
    ResultQuery,
    ResultsOut,
    ResultsQuery,
)
from promptcrafter.http import lists
from promptcrafter.http.blueprint import Blueprint
from promptcrafter.http.page_query import PageQuery
from promptcrafter.idempotency.decorator import idempotent
from promptcrafter.logs.models import Log
from promptcrafter.permissions import Permission
from promptcrafter.workspaces.authentication import current_principal

blueprint = Blueprint(
    "experiments",
    __name__,
    description="Variants of a feature, and the comparison of their results",
    path_examples={"slug": SLUG_EXAMPLE},
)
_experiment_out = ExperimentOut()
_result_out = ResultOut()


@blueprint.route("/experiments", methods=["POST"], permission=Permission.WRITE, refuses=(403, 404, 409))
@blueprint.arguments(ExperimentIn())
@idempotent
@blueprint.response(201, _experiment_out, headers={"Location": {"schema": {"type": "string"}}})
def create_experiment(body: dict[str, Any]) -> tuple[Experiment, int, dict[str, str]]:
    """Create an experiment; its status is `DRAFT` unless another one is sent."""
    with writing():
        variants = pin_prompts(current_principal(), body["variants"])
        experiment = store.add_experiment(current_principal(), {"status": "DRAFT", **body, "variants": variants})
    return experiment, 201, {"Location": url_for("experiments.get_experiment", slug=experiment.slug)}


@blueprint.route("/experiments", permission=Permission.READ)
@blueprint.arguments(PageQuery(), location="query")
@blueprint.list_response(ExperimentOut(many=True))
def list_experiments(query: dict[str, Any]) -> Response:
    """List the experiments of the workspace, newest first."""
    experiments = store.find_experiments(current_principal())
    return lists.list_response(experiments, (Experiment.created_at, Experiment.seq), _experiment_out, query)


@blueprint.route("/experiments/<slug>", permission=Permission.READ, refuses=(404,))
@blueprint.response(200, _experiment_out)
def get_experiment(slug: str) -> Experiment:
    """Return an experiment."""
    return store.get_experiment(current_principal(), slug)


@blueprint.route("/experiments/<slug>", methods=["PATCH"], permission=Permission.WRITE, refuses=(403, 404, 409))
@blueprint.arguments(ExperimentPatch())
@blueprint.response(200, _experiment_out)
def change_experiment(body: dict[str, Any], slug: str) -> Experiment:
    """Change the name or status, or replace the variants; one that has results cannot be removed."""
    changes = {name: value for name, value in body.items() if value is not None}
    with writing():
        experiment = store.lock_experiment(current_principal(), slug)
        if "variants" in changes:
            changes["variants"] = pin_prompts(current_principal(), changes["variants"])
        if changes:
            store.change_experiment(current_principal(), experiment, changes)
    return experiment


@blueprint.route("/experiments/<slug>", methods=["DELETE"], permission=Permission.WRITE, refuses=(404,))
@blueprint.response(204)
def delete_experiment(slug: str) -> None:
    """Delete an experiment and its results."""
    principal = current_principal()
    with writing():
        store.remove_experiment(principal, store.lock_experiment(principal, slug))


@blueprint.route("/experiments/<slug>/logs", permission=Permission.READ, refuses=(404,))
@blueprint.arguments(ResultQuery(), location="query")
@blueprint.list_response(ResultOut(many=True))
def list_results(query: dict[str, Any], slug: str) -> Response:
    """List an experiment's results as the clients sent them, newest first."""
    experiment = store.get_experiment(current_principal(), slug)
    return lists.list_response(store.find_results(experiment, query), (Log.created_at, Log.seq), _result_out, query)


@blueprint.route("/experiments/<slug>/results", permission=Permission.READ, refuses=(404,))
@blueprint.arguments(ResultsQuery(), location="query")
@blueprint.response(200, ResultsOut())
def get_results(query: dict[str, Any], slug: str) -> dict[str, Any]:
    """Return each variant's results and the settled differences; intervals stay valid however often you look."""
    return evaluate_experiment(store.get_experiment(current_principal(), slug), query)
