"""The routes under /experiments. Clients request variants and report results through `dialects.agenttest`."""

from collections.abc import Mapping, Sequence
from typing import Any

from flask import Response, url_for

from promptcrafter.database.transactions import writing
from promptcrafter.experiments import results, store
from promptcrafter.experiments.models import Experiment
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
from promptcrafter.ids import is_well_formed
from promptcrafter.logs.models import HUMAN, Log
from promptcrafter.permissions import Permission
from promptcrafter.problems import Invalid
from promptcrafter.prompts import store as prompts
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
        variants = _pin_prompts(body["variants"])
        experiment = store.add_experiment(current_principal(), {"status": "DRAFT", **body, "variants": variants})
    return experiment, 201, {"Location": url_for("experiments.get_experiment", slug=experiment.slug)}


@blueprint.route("/experiments", permission=Permission.READ)
@blueprint.arguments(PageQuery(), location="query")
@blueprint.list_response(ExperimentOut(many=True))
def list_experiments(query: dict[str, Any]) -> Response:
    """List the caller's experiments, newest first."""
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
            changes["variants"] = _pin_prompts(changes["variants"])
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
    experiment = store.get_experiment(current_principal(), slug)
    shares = [(variant.key, variant.traffic_percent) for variant in experiment.variants]
    score = {"name": query["metric"], "annotator": query.get("annotator", HUMAN)} if "metric" in query else None
    measurements = store.each_scored(experiment, **score) if score else store.each_measurement(experiment)
    shown = {"slug": experiment.slug, "name": experiment.name, "status": experiment.status}
    return {**shown, **({"score_metric": score} if score else {}), **results.evaluate(shares, measurements)}


def _pin_prompts(variants: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the variants with the numbers of the versions that they name.

    Raises 404 or 403 unless every prompt that a variant names is in the workspace of the experiment; a prompt in
    another workspace of the caller is answered as an unknown one. Raises 400 for a version that a prompt does not have.
    """
    principal = current_principal()
    prompt_ids = {variant["prompt_id"] for variant in variants if "prompt_id" in variant}
    for prompt_id in prompt_ids:
        if not is_well_formed("prompt", prompt_id):
            raise prompts.prompt_not_found(prompt_id)
        if prompts.get_workspace_id(principal, prompt_id) != principal.workspace_id:
            raise prompts.prompt_not_found(prompt_id)
    names = {
        (variant["prompt_id"], variant["prompt_version"])
        for variant in variants
        if isinstance(variant.get("prompt_version"), str)
    }
    pinned_ids = {variant["prompt_id"] for variant in variants if "prompt_version" in variant}
    latest = prompts.get_latest_numbers(pinned_ids) if pinned_ids else {}
    labelled = prompts.get_labelled_numbers(names)
    pinned = [_pin(variant, latest, labelled) for variant in variants]
    faults = {
        f"variants.{position}.promptVersion": [found] for position, found in enumerate(pinned) if isinstance(found, str)
    }
    if faults:
        raise Invalid(faults)
    return [variant for variant in pinned if isinstance(variant, dict)]


def _pin(
    variant: dict[str, Any], latest: Mapping[str, tuple[str, int]], labelled: Mapping[tuple[str, str], int]
) -> dict[str, Any] | str:
    """Return a variant with the number of the version that it names, or the reason why there is no such version."""
    if "prompt_version" not in variant:
        return variant
    version, (_, newest) = variant["prompt_version"], latest.get(variant["prompt_id"], ("", 0))
    number = labelled.get((variant["prompt_id"], version)) if isinstance(version, str) else version
    if version == prompts.LATEST:
        number = newest
    if number is None or not 0 < number <= newest:
        return prompts.not_a_version(version, newest)
    return {**variant, "prompt_version": number}
