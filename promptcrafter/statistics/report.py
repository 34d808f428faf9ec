"""Statistics of logs: the aggregates of their groups, and how the groups differ."""

from collections.abc import Mapping
from typing import Any, cast

from promptcrafter.logs import queries
from promptcrafter.logs.fields import SCORE_MAX
from promptcrafter.logs.models import DEFAULT_NAME
from promptcrafter.scores import configs
from promptcrafter.scores.models import ScoreConfig
from promptcrafter.statistics import store
from promptcrafter.statistics.aggregates import describe, to_group_samples
from promptcrafter.statistics.comparisons import Direction, compare_groups
from promptcrafter.statistics.intervals import Interval
from promptcrafter.statistics.keys import FIXED
from promptcrafter.statistics.schemas import request_fields
from promptcrafter.workspaces.principal import Principal

_FIXED_FILTERS = {"promptId", "since"}
_MARGIN = 0.5  # by default, of the score from 0 to 10
_REQUEST = request_fields().keys()


def report_for_query(
    principal: Principal,
    query: Mapping[str, Any],
    *,
    workspace_id: str,
    is_bounded: bool,
    is_since_fixed: bool,
    with_comparisons: bool,
    with_time_series: bool = False,
) -> dict[str, Any]:
    """Return a dict in the shape of StatsOut for a loaded StatsQuery or AllStatsQuery.

    The caller must have checked that the prompt `promptId` may be read. `workspace_id` is that of the logs.
    `compute_report` and `store.StatsRequest` describe the others.
    """
    selecting = {name: value for name, value in query.items() if name not in _REQUEST}
    filters, _ = queries.resolve(principal, selecting)
    request = store.StatsRequest(
        keys=query["groupBy"],
        name=query["score"],
        annotator=query["annotator"],
        zone=query["tz"],
        with_raters=with_comparisons,
        is_bounded=is_bounded,
        with_time_series=with_time_series,
    )
    return compute_report(
        principal,
        {**filters, **{name: selecting[name] for name in ("promptId",) if name in selecting}},
        request,
        workspace_id=workspace_id,
        margin=query.get("margin"),
        is_since_fixed=is_since_fixed,
        with_comparisons=with_comparisons,
    )


def compute_report(
    principal: Principal,
    filters: Mapping[str, Any],
    request: store.StatsRequest,
    *,
    workspace_id: str,
    margin: float | None,
    is_since_fixed: bool,
    with_comparisons: bool,
) -> dict[str, Any]:
    """Return a dict in the shape of StatsOut about the logs that match the filters, without `promptId`.

    Beside that, it has the `scale` of the scores if it is known, the `values` of each group, and the `time_series`
    if the request asks for it.

    `is_since_fixed` says that `since` is a time, not how long ago one was. What is grouped by what may change later, or
    filtered by anything else, may have been chosen to have a difference: nothing is settled then.
    """
    config = configs.get_config(workspace_id, request.name)
    found = store.get_groups(principal, filters, request)
    bounds, direction = _read_scale(request, config, found.kind)
    if margin is None and request.name == DEFAULT_NAME:
        margin = _MARGIN
    comparisons = []
    if with_comparisons:
        is_fixed = set(FIXED).issuperset(request.keys) and _FIXED_FILTERS.issuperset(filters) and is_since_fixed
        comparisons = compare_groups(
            to_group_samples([group for group in found.groups if group.cell.logs], request.keys),
            scale=bounds,
            margin=margin,
            one_look=not is_fixed,
            direction=direction,
        )
    return {
        "groupBy": list(request.keys),
        "groups": describe(found.groups, request.keys, found.log_ids, bounds),
        "score": request.name,
        "annotator": request.annotator,
        "kind": found.kind,
        **({} if request.is_default else {"kinds": found.kinds}),
        "comparisons": comparisons,
        "scale": bounds,
        **({} if found.time_series is None else {"time_series": found.time_series}),
    }


def _read_scale(
    request: store.StatsRequest, config: ScoreConfig | None, kind: str
) -> tuple[Interval | None, Direction]:
    """Return the least and the greatest score that may be, as far as that is known, and which scores are better."""
    if request.name == DEFAULT_NAME:
        return (0.0, float(SCORE_MAX)), "up"
    direction = "none" if config is None else cast(Direction, config.direction)
    if kind == "boolean":
        return (0.0, 1.0), direction
    if config is None or config.minimum is None or config.maximum is None:
        return None, direction
    return (config.minimum, config.maximum), direction
