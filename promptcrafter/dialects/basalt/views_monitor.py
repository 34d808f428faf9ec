"""The routes by which Basalt's clients log outputs and traces and create experiments.

A reference to an unknown prompt is not an error: the output is recorded without a prompt, and the
response has a warning.
"""

from typing import Any
from uuid import uuid4

from promptcrafter.database.transactions import writing
from promptcrafter.dialects.basalt import translate
from promptcrafter.dialects.basalt.schemas import (
    BasaltExperimentIn,
    BasaltExperimentOut,
    MonitorLogIn,
    OutputLogged,
    TraceIn,
    TraceLogged,
)
from promptcrafter.dialects.prompt_references import (
    Resolved,
    Resolver,
    reference_key,
    resolve_all,
    resolve_as_missing,
)
from promptcrafter.experiments import store as experiments
from promptcrafter.experiments.models import Experiment
from promptcrafter.http.blueprint import Blueprint
from promptcrafter.idempotency.decorator import idempotent
from promptcrafter.logs import recording, trace_costs
from promptcrafter.logs import store as logs
from promptcrafter.permissions import Permission
from promptcrafter.scores import reported
from promptcrafter.text import shorten
from promptcrafter.traces import store as traces
from promptcrafter.workspaces.authentication import current_principal
from promptcrafter.workspaces.principal import Principal

blueprint = Blueprint("basalt", __name__, description="For Basalt's clients: outputs, traces and experiments")


@blueprint.route("/monitor/log", methods=["POST"], endpoint="log_output", permission=Permission.INGEST)
@blueprint.route("/basalt/monitor/log", methods=["POST"], endpoint="log_output_of_sdk", permission=Permission.INGEST)
@blueprint.arguments(MonitorLogIn())
@idempotent
@blueprint.response(200, OutputLogged())
def log_output(body: dict[str, Any]) -> dict[str, Any]:
    """Log an output of the prompt with this slug; without such a prompt it is stored with a warning."""

    principal = current_principal()

    def attempt(resolve: Resolver) -> dict[str, Any]:
        resolved = resolve(principal, [body])[reference_key(body)]
        values = recording.prepare(_to_log(body, body, resolved))
        with writing():
            run = {**translate.to_trace_of_output(body), "cost": trace_costs.add_up([values["cost"]])}
            trace = traces.add_trace(principal, run)
            log = logs.record(principal, {**values, "trace_id": trace.id})
        return {"trace": trace, "log": log, "warning": _warning(resolved)}

    return recording.retry_if_parent_deleted(lambda: attempt(resolve_all), lambda: attempt(resolve_as_missing))


@blueprint.route("/basalt/monitor/trace", methods=["POST"], permission=Permission.INGEST)
@blueprint.arguments(TraceIn())
@idempotent
@blueprint.response(200, TraceLogged())
def log_trace(body: dict[str, Any]) -> dict[str, Any]:
    """Log a trace; each of its generations becomes a log of its prompt."""
    principal = current_principal()
    generations = [span for span in body.get("logs", ()) if translate.is_generation(span)]
    evaluations = [translate.find_evaluations(span) for span in generations]
    if len(generations) == 1:  # what holds for the run then holds for its only output
        evaluations = [translate.find_evaluations(body) + evaluations[0]]
    scores = reported.fit(principal.workspace_id, evaluations)

    def attempt(resolve: Resolver) -> dict[str, Any]:
        experiment_id, warnings = _find_experiment(principal, body)
        resolved_prompts = resolve(principal, [span["prompt"] for span in generations if "prompt" in span])
        outputs = []
        for span, scores_of_span in zip(generations, scores, strict=True):
            reference = span.get("prompt", {})
            resolved = resolved_prompts[reference_key(reference)] if reference else Resolved()
            output = {**_to_log(span, reference, resolved), **translate.to_generation(span)}
            outputs.append(recording.prepare({**output, "scores": scores_of_span}))
        cost = trace_costs.add_up(output["cost"] for output in outputs)
        with writing():
            run = {**translate.to_trace(body, experiment_id), "cost": cost}
            trace = traces.add_trace(principal, run)
            parents = {"trace_id": trace.id, "experiment_id": experiment_id}
            logs.record_all(principal, [{**output, **parents} for output in outputs])
        warnings += dict.fromkeys(filter(None, map(_warning, resolved_prompts.values())))
        warnings += _warn_of_no_scores(evaluations, scores)
        return {"trace": trace, "warning": translate.join_warnings(warnings)}

    return recording.retry_if_parent_deleted(lambda: attempt(resolve_all), lambda: attempt(resolve_as_missing))


@blueprint.route("/basalt/monitor/experiments", methods=["POST"], permission=Permission.WRITE)
@blueprint.arguments(BasaltExperimentIn())
@idempotent
@blueprint.response(200, BasaltExperimentOut())
def create_basalt_experiment(body: dict[str, Any]) -> Experiment:
    """Create an experiment that traces can belong to."""
    slug = f"experiment-{uuid4().hex[:12]}"
    with writing():
        return experiments.add_experiment(current_principal(), {**body, "slug": slug, "status": "ACTIVE"})


def _find_experiment(principal: Principal, body: dict[str, Any]) -> tuple[str | None, list[str]]:
    """Return the id of the experiment that a trace names, None if there is none, and the warnings about it."""
    sent_id = body.get("experiment", {}).get("id")
    experiment_id = experiments.get_experiment_id(principal, sent_id) if sent_id else None
    is_missing = sent_id is not None and experiment_id is None
    return experiment_id, [f"There is no experiment with the id {shorten(sent_id)}."] if is_missing else []


def _warn_of_no_scores(evaluations: list[list[dict[str, Any]]], scores: list[list[dict[str, Any]]]) -> list[str]:
    """Return the warning that results of evaluators cannot be scores, if there are any."""
    slugs = sum(len({evaluation["identifier"] for evaluation in each}) for each in evaluations)
    omitted = slugs - sum(map(len, scores))
    return [f"Results of evaluators that cannot be scores: {omitted}."] if omitted else []


def _to_log(body: dict[str, Any], reference: dict[str, Any], resolved: Resolved) -> dict[str, Any]:
    return translate.to_log(body, reference, resolved.prompt, resolved.version)


def _warning(resolved: Resolved) -> str | None:
    """Return the warning about a reference and, if no version was found, what the log lacks."""
    if resolved.warning is None or resolved.version:
        return resolved.warning
    return f"{resolved.warning} The log is kept without a {'version' if resolved.prompt else 'prompt'}."
