"""The way from `/app` to a workspace, and its first page: what has happened, and what waits."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, timedelta
from functools import partial
from typing import Any

from flask import redirect, url_for
from markupsafe import Markup
from werkzeug.wrappers import Response

from promptcrafter import clock
from promptcrafter.experiments import store as experiments
from promptcrafter.logs.models import DEFAULT_NAME, HUMAN
from promptcrafter.pages import charts
from promptcrafter.pages.blueprint import PageBlueprint
from promptcrafter.pages.chart_parts import for_all_widths, legend
from promptcrafter.pages.formatting import period
from promptcrafter.pages.rendering import render
from promptcrafter.permissions import Permission
from promptcrafter.problems import Problem
from promptcrafter.prompts import store as prompts
from promptcrafter.prompts import version_store
from promptcrafter.statistics.report import report_for_query
from promptcrafter.workspaces.authentication import current_principal

blueprint = PageBlueprint("home", __name__)
_DAYS = 14
_SHOWN = 6  # prompts and experiments


@blueprint.page_of_account("/", permission=Permission.READ)
@blueprint.page_of_account("", permission=Permission.READ, endpoint="find_home")
def find_home() -> Response:
    """Lead to the account's default workspace."""
    return redirect(url_for("home.show_home"), 303)


@blueprint.page("")
def show_home() -> Response:
    """Show what has happened in the workspace."""
    principal = current_principal()
    today = clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    days = [f"{today - timedelta(days=ago):%Y-%m-%d}" for ago in reversed(range(_DAYS))]
    since = today - timedelta(days=_DAYS - 1)
    question = {"groupBy": ["day"], "score": DEFAULT_NAME, "annotator": HUMAN, "tz": UTC}
    found = report_for_query(
        principal,
        {**question, "since": since},
        workspace_id=principal.current_id,
        is_bounded=True,
        is_since_fixed=True,
        with_comparisons=False,
    )
    by_day = {group["day"]: group for group in found["groups"]}
    answered = charts.Series("answered", [float(by_day[day]["count"]) if day in by_day else None for day in days])
    failed = charts.Series("failed", [float(by_day[day]["failed"]) if day in by_day else None for day in days])
    versions = version_store.get_changed_last(principal, _SHOWN)
    has_outputs = any(answered.values) or any(failed.values)
    return render(
        "home.html",
        example=version_store.get_changed_last_version(principal) if not has_outputs else None,
        chart=for_all_widths(partial(_draw, days, [answered, failed])),
        legend=legend(["answered", "failed"]) if any(failed.values) else "",
        since=clock.to_text(since),
        has_outputs=has_outputs,
        days=[(day, by_day.get(day)) for day in reversed(days)],
        totals=_sum_up(by_day.values()),
        versions=versions,
        titles=prompts.get_titles({version.prompt_id for version in versions}),
        experiments=experiments.get_active_and_completed(principal, _SHOWN),
    )


def _draw(days: Sequence[str], stacks: Sequence[charts.Series], width: int) -> Markup:
    return charts.bar_chart([period(day) for day in days], stacks, caption="Outputs of the last days", width=width)


def _sum_up(groups: Collection[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the groups of all days say together: `mean` is that of the scores, `cost` that of the known ones.

    Both are None without any.

    `outputs` counts those of calls that failed, too, as the list of outputs does.
    """
    costs = [group["cost"]["total"] for group in groups if group["cost"]["count"]]
    scored = sum(group["score"]["count"] for group in groups)
    points = sum(group["score"]["mean"] * group["score"]["count"] for group in groups if group["score"]["count"])
    return {
        "outputs": sum(group["count"] + group["failed"] for group in groups),
        "failed": sum(group["failed"] for group in groups),
        "cost": sum(costs) if costs else None,
        "waiting": sum(map(_count_waiting, groups)),
        "scored": scored,
        "mean": points / scored if scored else None,
    }


def _count_waiting(group: Mapping[str, Any]) -> int:
    """Return how many outputs of a group no person has scored; calls that failed are not among them."""
    waiting: int = group["count"] - group["score"]["count"]
    return max(0, waiting)


@blueprint.page_of_account("/<path:path>", permission=Permission.PUBLIC, ignores_parameters=True)
def find_nothing(path: str) -> Response:
    """Say that there is no such page."""
    raise Problem(404, "There is no such page.", "page_not_found")
