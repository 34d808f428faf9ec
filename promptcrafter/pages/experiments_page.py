"""Experiments: the list, one with its variants and what its results show, and the forms that make and change one."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from flask import url_for
from markupsafe import Markup
from werkzeug.wrappers import Response

from promptcrafter import clock
from promptcrafter.database.transactions import writing
from promptcrafter.experiments import store
from promptcrafter.experiments.evaluation import evaluate_experiment
from promptcrafter.experiments.models import Experiment
from promptcrafter.experiments.pinning import pin_prompts
from promptcrafter.experiments.schemas import (
    ExperimentIn,
    ExperimentOut,
    ExperimentPatch,
    ResultsOut,
    ResultsQuery,
)
from promptcrafter.http import lists as responses
from promptcrafter.http.fields import Text
from promptcrafter.http.page_query import PageQuery
from promptcrafter.jsonio import dumps
from promptcrafter.logs.models import ANNOTATORS
from promptcrafter.pages import charts, experiment_form, lists, verdicts
from promptcrafter.pages.blueprint import PageBlueprint
from promptcrafter.pages.chart_parts import for_all_widths
from promptcrafter.pages.chart_scales import bound
from promptcrafter.pages.formatting import signed
from promptcrafter.pages.forms import read_form
from promptcrafter.pages.notices import redirect_with
from promptcrafter.pages.rendering import render
from promptcrafter.permissions import Permission
from promptcrafter.problems import Invalid, Problem
from promptcrafter.prompts import store as prompts
from promptcrafter.prompts import version_store
from promptcrafter.workspaces.authentication import current_principal

blueprint = PageBlueprint("experiments_page", __name__)
_experiment_out, _results_out = ExperimentOut(), ResultsOut()
_ORDER = (Experiment.created_at, Experiment.seq)
_METRICS_SHOWN = 12
_GROWTH_SHOWN = 3  # comparisons of a metric
_PROMPTS_OFFERED = 200
_VERSIONS_OFFERED = 50  # of a prompt
_SERVED_SHOWN = 12  # variants, of which it is said in words what a program serves
# What the answer says is kept as JSON, quotes included, so that a key of any characters can be sent back.
_KEEP_VARIANT = """python3 -c 'import json, sys; print(json.dumps(json.load(sys.stdin)["variant"]))'"""
_RESULT = (
    """'{"variantKey": '"$VARIANT"', "output": {"text": "What the model answered"},\n"""
    """       "metrics": {"rating": 5}, "context": {"userId": "user-42"}}'"""
)
_CHANGED_MEANWHILE = "The experiment was changed after you had opened the form. What you wrote is still below."
_NOT_A_DRAFT = "can only be changed while the experiment is a draft: results under other shares cannot be compared"


class _ListQuery(PageQuery):
    """The page of the list, and the kind of a download."""

    format = Text(data_key="as", choices=("json", "csv"))


class _ResultsPageQuery(ResultsQuery):
    """Which scores count as a metric, of which metric the growth is shown, and the kind of a download."""

    growth = Text()
    format = Text(data_key="as", choices=("json",))


class _Calls(NamedTuple):
    """The commands by which a program asks for a variant and reports a result, and an answer to the first one.

    The second command reports the variant that the first one has kept.
    """

    assign: str
    assigned: str
    report: str


class _Growth(NamedTuple):
    """How a difference between two variants grew: a chart, and its rows of results, difference and interval."""

    label: str
    chart: Markup
    rows: Sequence[tuple[int, float, Sequence[float] | None]]


class _Metric(NamedTuple):
    """What a metric shows: sentences, a chart of the differences, and how they grew if that was asked for.

    `differences` are the rows of the chart: its label, the difference and the interval.
    """

    name: str
    verdicts: Sequence[verdicts.Verdict]
    chart: Markup
    differences: Sequence[tuple[str, float, Sequence[float] | None]]
    growth: Sequence[_Growth]


@blueprint.page("/experiments")
@blueprint.arguments(_ListQuery(), location="query")
def list_experiments(query: dict[str, Any]) -> Response:
    """List the experiments, newest first."""
    found = store.find_experiments(current_principal())
    if "format" in query:
        return lists.download(query["format"], found, _ORDER, _experiment_out, query)
    return render("experiments.html", page=lists.read_page(found, _ORDER, query))


@blueprint.page("/experiment/new", permission=Permission.WRITE)
def show_new() -> Response:
    """Show the form for a new experiment."""
    return _show_form(experiment_form.BLANK, {})


@blueprint.page("/experiment/new", methods=["POST"], permission=Permission.WRITE)
def create_experiment() -> Response:
    """Make an experiment, as a draft."""
    form = experiment_form.read(ExperimentIn(), with_variants=True, makes_slug=True)
    if form.is_unfinished:
        return _show_form(form.sent, {})
    if form.errors:
        return _show_form(form.sent, form.errors, status=400)
    values = form.values
    principal = current_principal()
    try:
        with writing():
            variants = pin_prompts(principal, values["variants"])
            experiment = store.add_experiment(principal, {**values, "status": "DRAFT", "variants": variants})
            slug = experiment.slug
    except Problem as problem:
        return _show_form(form.sent, _explain(problem), status=problem.status)
    return redirect_with(url_for("experiments_page.show_experiment", slug=slug), "experiment_created")


@blueprint.page("/experiments/<slug>")
@blueprint.arguments(_ResultsPageQuery(), location="query")
def show_experiment(query: dict[str, Any], slug: str) -> Response:
    """Show an experiment with its results so far."""
    experiment = store.get_experiment(current_principal(), slug)
    if query.pop("format", None):
        shown = _results_out.dump(evaluate_experiment(experiment, query))
        return lists.name_file(
            "json", lambda: responses.negotiated_response({"application/json": lambda: [dumps(shown)]})
        )
    results = evaluate_experiment(experiment, query, with_growth="growth" in query)
    titles = prompts.get_titles({each.prompt_id for each in experiment.variants if each.prompt_id})
    names = list(dict.fromkeys(name for each in results["comparisons"] for name in each["metrics"]))
    names.sort(key=lambda name: name != query.get("metric"))  # what was asked for is never left out
    return render(
        "experiment.html",
        experiment=experiment,
        results=results,
        state=_find_state(experiment, results),
        calls=_write_calls(experiment),
        shares=sum(each.traffic_percent for each in experiment.variants),
        alike=_find_alike(experiment),
        with_score=[each["key"] for each in results["variants"] if query.get("metric") in each["metrics"]],
        served=experiment.variants[:_SERVED_SHOWN],
        count=sum(each["count"] for each in results["variants"]),
        settled=_list_settled(results),
        pinned=[each for each in experiment.variants if each.prompt_id and each.prompt_version],
        variants=list(zip(experiment.variants, results["variants"], strict=True)),
        metric_names=list(dict.fromkeys(name for each in results["variants"] for name in each["metrics"])),
        titles=titles,
        metrics=[_draw(results, name, with_growth=name == query.get("growth")) for name in names[:_METRICS_SHOWN]],
        more=max(0, len(names) - _METRICS_SHOWN),
        annotators=ANNOTATORS,
        query=query,
        page=lists.PageOfRows([], None),
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
    notice = f"experiment_{form.values['status'].lower()}"
    return redirect_with(url_for("experiments_page.show_experiment", slug=slug), notice)


@blueprint.page("/experiments/<slug>/edit", permission=Permission.WRITE)
def show_edit(slug: str) -> Response:
    """Show the form that changes an experiment."""
    experiment = store.get_experiment(current_principal(), slug)
    return _show_form(experiment_form.write(experiment), {}, experiment)


@blueprint.page("/experiments/<slug>/edit", methods=["POST"], permission=Permission.WRITE)
def change_experiment(slug: str) -> Response:
    """Change the name of an experiment; its variants only while it is a draft."""
    principal = current_principal()
    experiment = store.get_experiment(principal, slug)
    is_draft = experiment.status == "DRAFT"
    form = experiment_form.read(ExperimentPatch(), with_variants=is_draft)
    if form.is_unfinished:
        return _show_form(form.sent, {}, experiment)
    errors = form.errors if form.sent.get("name", "").strip() else {"name": ["is required"], **form.errors}
    if errors:
        return _show_form(form.sent, errors, experiment, 400)
    try:
        with writing():
            experiment = store.lock_experiment(principal, slug)
            if form.sent.get("seen", "") not in ("", clock.to_text(experiment.updated_at)):
                raise Problem(409, _CHANGED_MEANWHILE, "changed_meanwhile")
            changes: dict[str, Any] = {name: form.values[name] for name in ("name", "variants") if name in form.values}
            if "variants" in changes:
                if experiment.status != "DRAFT":
                    raise Invalid({"variants": [_NOT_A_DRAFT]})
                changes["variants"] = pin_prompts(principal, changes["variants"])
            store.change_experiment(principal, experiment, changes)
    except Problem as problem:
        experiment = store.get_experiment(principal, slug)
        sent = {**form.sent, "seen": clock.to_text(experiment.updated_at)}
        return _show_form(sent, _explain(problem), experiment, problem.status)
    return redirect_with(url_for("experiments_page.show_experiment", slug=slug), "experiment_changed")


@blueprint.page("/experiments/<slug>/delete", permission=Permission.WRITE)
def ask_to_delete(slug: str) -> Response:
    """Ask before an experiment is deleted."""
    return render("experiment_delete.html", experiment=store.get_experiment(current_principal(), slug))


@blueprint.page("/experiments/<slug>/delete", methods=["POST"], permission=Permission.WRITE)
def delete_experiment(slug: str) -> Response:
    """Delete an experiment and its results."""
    principal = current_principal()
    with writing():
        store.remove_experiment(principal, store.lock_experiment(principal, slug))
    return redirect_with(url_for("experiments_page.list_experiments"), "experiment_deleted")


def _show_form(
    sent: Mapping[str, Any], errors: Mapping[str, Any], experiment: Experiment | None = None, status: int = 200
) -> Response:
    offered = {each.id: each.title for each in prompts.get_newest_titles(current_principal(), _PROMPTS_OFFERED)}
    missing = {row["prompt"] for row in sent["variants"] if row["prompt"]} - offered.keys()
    if missing and experiment is not None:
        own = {each.prompt_id for each in experiment.variants if each.prompt_id}
        offered |= prompts.get_titles(missing & own)
    versions: dict[str, list[Any]] = {}
    chosen = {row["prompt"] for row in sent["variants"]} & offered.keys()
    for prompt_id, *version in version_store.get_newest_versions(chosen, _VERSIONS_OFFERED):
        versions.setdefault(prompt_id, []).append(version)
    page = render(
        "experiment_form.html",
        versions=versions,
        sent=sent,
        errors=errors,
        shown=experiment_form.name_fields(sent),
        shares=experiment_form.sum_shares(sent),
        experiment=experiment,
        with_variants=experiment is None or experiment.status == "DRAFT",
        prompts=offered,
    )
    page.status_code = status
    return page


def _explain(problem: Problem) -> dict[str, list[str]]:
    if problem.code == "slug_taken":
        return {"slug": ["is that of another experiment"]}
    return dict(experiment_form.to_fields(problem.details)) if problem.details else {"": [problem.message]}


def _find_state(experiment: Experiment, results: Mapping[str, Any]) -> str:
    """Return the state that decides what is to be done next: a status, or of a running experiment how far it is."""
    if experiment.status != "ACTIVE":
        return experiment.status.lower()
    if not any(each["count"] for each in results["variants"]):
        return "empty"
    return "settled" if _list_settled(results) else "running"


def _find_alike(experiment: Experiment) -> list[list[str]]:
    """Return the keys of variants that have the same version and payload. Those that have neither may differ."""
    keys: dict[tuple[str | None, int | None, str], list[str]] = {}
    for each in experiment.variants:
        if each.prompt_id or each.payload:
            same = (each.prompt_id, each.prompt_version, dumps(dict(sorted(each.payload.items()))))
            keys.setdefault(same, []).append(each.key)
    return [some for some in keys.values() if len(some) > 1]


def _list_settled(results: Mapping[str, Any]) -> list[str]:
    """Return the metrics in which variants were found to differ."""
    settled = (name for each in results["comparisons"] for name, found in each["metrics"].items() if found["settled"])
    return list(dict.fromkeys(settled))


def _write_calls(experiment: Experiment) -> _Calls | None:
    """Return the calls of a program that takes part; None without a variant."""
    if not experiment.variants:
        return None
    # one that is assigned, so that the answer can be this one
    variant = next((each for each in experiment.variants if each.traffic_percent), experiment.variants[0])
    ask = lists.write_post("agenttest.assign_variant", """'{"userId": "user-42"}'""", slug=experiment.slug)
    return _Calls(
        f'VARIANT=$({ask} \\\n  | {_KEEP_VARIANT})\necho "$VARIANT"',
        dumps({"variant": variant.key, "payload": variant.payload}),
        lists.write_post("agenttest.log_result", _RESULT, slug=experiment.slug),
    )


def _draw(results: Mapping[str, Any], name: str, *, with_growth: bool) -> _Metric:
    """Return what a metric shows, on a line that has zero."""
    rows, said, differences = [], [], []
    growth: list[_Growth] = []
    for comparison in results["comparisons"]:
        found = comparison["metrics"].get(name)
        if found is None:
            continue
        variant, baseline = comparison["variant"], comparison["baseline"]
        verdict = verdicts.describe_difference(variant, baseline, found)
        said.append(verdict)
        interval, label = found["interval95"], f"{variant} − {baseline}"
        low, high = interval or (None, None)
        value = signed(found["difference"])
        is_open = not found["settled"]
        rows.append(charts.IntervalRow(label, found["difference"], low, high, verdict.sentence, value, is_open))
        differences.append((label, found["difference"], interval))
        if with_growth and len(growth) < _GROWTH_SHOWN:
            growth.append(_draw_growth(label, name, results["trace"](variant, name)))
    ends = [bound(abs(end)) for row in rows for end in row[1:4] if end is not None]
    most = max(ends, default=0) * 1.1 or 1
    draw = partial(charts.interval_chart, rows, -most, most, caption=f"Differences in {name}")
    return _Metric(name, said, for_all_widths(lambda width: draw(width=width)), differences, growth)


def _draw_growth(label: str, name: str, traced: Sequence[tuple[int, Mapping[str, Any]]]) -> _Growth:
    rows = [(count, found["difference"], found["interval95"]) for count, found in traced]
    points = [charts.BandPoint(count, difference, *(ends or (None, None))) for count, difference, ends in rows]
    draw = partial(charts.band_chart, points, caption=f"{label} in {name}, as results came in", x_name="results")
    return _Growth(label, for_all_widths(lambda width: draw(width=width)), rows)
