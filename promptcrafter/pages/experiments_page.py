"""Experiments: the list, and one with its variants and what its results show."""

from collections.abc import Mapping
from typing import Any

from flask import url_for
from markupsafe import Markup
from werkzeug.wrappers import Response

from promptcrafter.database.transactions import writing
from promptcrafter.experiments import store
from promptcrafter.experiments.evaluation import evaluate_experiment
from promptcrafter.experiments.models import Experiment
from promptcrafter.experiments.schemas import ExperimentPatch, ResultsQuery
from promptcrafter.http.page_query import PageQuery
from promptcrafter.pages import charts, lists
from promptcrafter.pages.blueprint import PageBlueprint
from promptcrafter.pages.formatting import number
from promptcrafter.pages.forms import read_form
from promptcrafter.pages.notices import redirect_with
from promptcrafter.pages.rendering import render
from promptcrafter.permissions import Permission
from promptcrafter.problems import Invalid
from promptcrafter.prompts import store as prompts
from promptcrafter.workspaces.authentication import current_principal

blueprint = PageBlueprint("experiments_page", __name__)
_METRICS_SHOWN = 12


@blueprint.page("/experiments")
@blueprint.arguments(PageQuery(), location="query")
def list_experiments(query: dict[str, Any]) -> Response:
    """List the experiments, newest first."""
    found = store.find_experiments(current_principal())
    page = lists.read_page(found, (Experiment.created_at, Experiment.seq), query)
    return render("experiments.html", page=page)


@blueprint.page("/experiments/<slug>")
@blueprint.arguments(ResultsQuery(), location="query")
def show_experiment(query: dict[str, Any], slug: str) -> Response:
    """Show an experiment with its results so far."""
    experiment = store.get_experiment(current_principal(), slug)
    results = evaluate_experiment(experiment, query)
    titles = prompts.get_titles({each.prompt_id for each in experiment.variants if each.prompt_id})
    return render(
        "experiment.html",
        experiment=experiment,
        results=results,
        titles=titles,
        metrics=_draw(results),
        query=query,
    )


@blueprint.page("/experiments/<slug>/status", methods=["POST"], permission=Permission.WRITE)
def change_status(slug: str) -> Response:
    """Start, pause or complete an experiment."""
    form = read_form(ExperimentPatch())
    if form.errors or "status" not in form.values:
        raise Invalid(form.errors or {"status": ["is required"]})
    with writing():
        experiment = store.lock_experiment(current_principal(), slug)
        store.change_experiment(current_principal(), experiment, {"status": form.values["status"]})
    return redirect_with(url_for("experiments_page.show_experiment", slug=slug), "experiment_changed")


def _draw(results: Mapping[str, Any]) -> list[tuple[str, list[str], Markup]]:
    """Return, for each metric, its name, what the differences say, and a chart of them on a line that shows zero."""
    names = list(dict.fromkeys(name for each in results["comparisons"] for name in each["metrics"]))
    drawn = []
    for name in names[:_METRICS_SHOWN]:
        rows, sentences = [], []
        for comparison in results["comparisons"]:
            found = comparison["metrics"].get(name)
            if found is not None:
                low, high = found["interval95"] or (None, None)
                label = f"{comparison['variant']} against {comparison['baseline']}"
                rows.append(charts.IntervalRow(label, found["difference"], low, high, number(found["difference"])))
                sentences.append(f"{label}: {found['verdict']}")
        ends = [abs(end) for row in rows for end in (row.mean, row.low, row.high) if end is not None]
        most = max(ends, default=0) * 1.1 or 1
        drawn.append((name, sentences, charts.interval_chart(rows, -most, most, caption=f"Differences in {name}")))
    return drawn
