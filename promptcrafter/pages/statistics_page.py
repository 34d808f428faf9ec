"""Statistics of a prompt or the workspace: which version or model is better, what it costs, and if that is real."""

from collections.abc import Mapping, Sequence
from typing import Any

from flask import request
from markupsafe import Markup
from werkzeug.wrappers import Response

from promptcrafter.http.fields import is_relative_time
from promptcrafter.pages import charts
from promptcrafter.pages.blueprint import PageBlueprint
from promptcrafter.pages.formatting import duration, money, number
from promptcrafter.pages.rendering import render
from promptcrafter.pages.verdicts import Verdict, describe
from promptcrafter.prompts import store as prompts
from promptcrafter.statistics.asking import ask
from promptcrafter.statistics.schemas import AllStatsQuery
from promptcrafter.workspaces.authentication import current_principal

blueprint = PageBlueprint("statistics_page", __name__)
_PERIODS = ("day", "week", "month")
_CHOICES = ("version", "model", "version,model", "label", "week,version", "day", "week", "author")
_CHOICES_OF_ALL = ("prompt", "model", "prompt,version", "week", "day", "month", "author")
_VERDICTS_SHOWN = 12
_GROUPS_SHOWN = 60


@blueprint.page("/statistics")
@blueprint.arguments(AllStatsQuery(), location="query")
def show_statistics(query: dict[str, Any]) -> Response:
    """Show statistics of the workspace, or of one prompt."""
    principal = current_principal()
    prompt = prompts.get_prompt(principal, query["promptId"]) if "promptId" in query else None
    choices = _CHOICES_OF_ALL if prompt is None else _CHOICES
    if "groupBy" not in request.args:
        query["groupBy"] = choices[0].split(",")
    found = ask(
        principal,
        query,
        workspace_id=principal.current_id if prompt is None else prompt.workspace_id,
        is_bounded=True,
        is_since_fixed=not is_relative_time(request.args.get("since", "")),
        with_comparisons=True,
    )
    groups = found["groups"]
    keys: Sequence[str] = query["groupBy"]
    titles = prompts.get_titles({group["prompt"] for group in groups if group.get("prompt")})
    names = [_name(group, keys, titles) for group in groups]
    low, high = _find_scale(groups, query["score"])
    is_over_time = keys[0] in _PERIODS or keys[-1] in _PERIODS
    drawn = _draw_over_time(groups, keys, titles, low, high) if is_over_time else _draw_groups(groups, names, low, high)
    return render(
        "statistics.html",
        prompt=prompt,
        tab="statistics",
        query=query,
        keys=",".join(keys),
        choices=choices,
        groups=list(zip(names, groups, strict=True))[:_GROUPS_SHOWN],
        more=max(0, len(groups) - _GROUPS_SHOWN),
        charts=drawn,
        verdicts=[] if is_over_time else _describe_all(found["comparisons"], keys, titles),
        scored=sum(group["score"]["count"] for group in groups),
    )


def _name(group: Mapping[str, Any], keys: Sequence[str], titles: Mapping[str, str]) -> str:
    """Return what a group is called: the values of its keys."""
    return " · ".join(_name_value(group, key, titles) for key in keys)


def _name_value(group: Mapping[str, Any], key: str, titles: Mapping[str, str]) -> str:
    value = group.get("metadata", {}).get(key.partition(".")[2]) if key.startswith("metadata.") else group.get(key)
    if value is None:
        return f"no {key}"
    if key == "version":
        return f"version {value}"
    return titles.get(value, str(value)) if key == "prompt" else str(value)


def _find_scale(groups: Sequence[Mapping[str, Any]], score: str) -> tuple[float, float]:
    """Return the ends of the axis: 0 and 10, or what other scores reach."""
    ends = [group["score"][end] for group in groups for end in ("min", "max") if group["score"][end] is not None]
    if score == "score" or not ends:
        return 0.0, 10.0
    return (min(ends), max(ends)) if min(ends) < max(ends) else (min(ends) - 1, max(ends) + 1)


def _draw_groups(
    groups: Sequence[Mapping[str, Any]], names: Sequence[str], low: float, high: float
) -> list[tuple[str, str, Markup]]:
    """Return heading, explanation and chart of each chart that has something to show."""
    rows, points = [], []
    slowest = max((group["latencyMs"]["p95"] or 0 for group in groups), default=0) or 1
    for name, group in list(zip(names, groups, strict=True))[:_GROUPS_SHOWN]:
        score, cost, latency = group["score"], group["cost"]["mean"], group["latencyMs"]["p95"]
        start, end = score["interval95"] or (None, None)
        note = f"mean {number(score['mean'])} of {score['count']} scored outputs"
        if score["mean"] is not None:
            rows.append(charts.IntervalRow(name, score["mean"], start, end, note))
        if score["mean"] is not None and cost:
            more = f"{note}, {money(cost)} each, p95 {duration(latency)}"
            points.append(charts.Point(name, cost, score["mean"], (latency or 0) / slowest, more))
    drawn = []
    if rows:
        chart = charts.interval_chart(rows, low, high, caption="Mean scores with their 95% intervals")
        drawn.append(("Scores", "The mean score and its 95% interval, valid for a single look.", chart))
    if len(points) > 1:
        chart = charts.scatter_chart(
            points, low, high, caption="Cost against score", x_name="cost of an output", format_x=money
        )
        text = "The larger a point, the slower (p95). Nothing beats the points on the line in cost and score at once."
        drawn.append(("Cost against score", text, chart))
    return drawn


def _draw_over_time(
    groups: Sequence[Mapping[str, Any]], keys: Sequence[str], titles: Mapping[str, str], low: float, high: float
) -> list[tuple[str, str, Markup]]:
    """Return the charts of groups of which one key is a period."""
    period = next(key for key in keys if key in _PERIODS)
    others = [key for key in keys if key != period]
    positions = sorted({group[period] for group in groups if group[period]})
    if not positions:
        return []
    by_line: dict[str, dict[str, Mapping[str, Any]]] = {}
    for group in groups:
        name = _name(group, others, titles) if others else "all"
        by_line.setdefault(name, {})[group[period]] = group
    scores = [
        charts.Series(name, [by_time[at]["score"]["mean"] if at in by_time else None for at in positions])
        for name, by_time in list(by_line.items())[:6]
    ]
    counts = [
        charts.Series(name, [float(by_time[at]["count"]) if at in by_time else None for at in positions])
        for name, by_time in list(by_line.items())[:6]
    ]
    lines = charts.line_chart(positions, scores, low, high, caption=f"Mean scores by {period}")
    bars = charts.bar_chart(positions, counts, caption=f"Outputs by {period}")
    legend = ", ".join(series.name for series in scores) if others else ""
    return [(f"Scores by {period}", legend, lines), (f"Outputs by {period}", legend, bars)]


def _describe_all(
    comparisons: Sequence[Mapping[str, Any]], keys: Sequence[str], titles: Mapping[str, str]
) -> list[Verdict]:
    """Return what the comparisons say, what is settled first."""
    verdicts = []
    for comparison in comparisons:
        name_of = {side: _name(comparison[side], keys, titles) for side in ("a", "b")}
        verdict = describe(comparison, name_of)
        if verdict is not None:
            verdicts.append(verdict)
    order = ("settled", "equal", "observed", "open")
    return sorted(verdicts, key=lambda verdict: order.index(verdict.certainty))[:_VERDICTS_SHOWN]
