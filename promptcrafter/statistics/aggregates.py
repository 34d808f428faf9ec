"""The statistics of groups of logs, from the aggregates that `statistics.store` returns. Pure functions."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from promptcrafter.logs.schemas import SCORE_MAX
from promptcrafter.statistics.intervals import student_t_interval


def describe(aggregates: Iterable[Mapping[str, Any]], keys: Sequence[str]) -> list[dict[str, Any]]:
    """Return a dict in the shape of GroupOut for each row of aggregates, in descending order of mean score.

    Unknown values are None. Groups without a score come last. Groups with equal means are sorted by descending number
    of logs, then by their keys.
    """
    groups = [_describe(row, keys) for row in aggregates]
    return sorted(groups, key=lambda group: _sort_key(group, keys))


def _describe(row: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {
        **{key: row[key] or None for key in keys},
        "count": row["count"],
        "score": _describe_scores(row),
        "latencyMs": {"count": row["timed"], "p50": row["p50"], "p95": row["p95"]},
        "cost": _describe_sum(row, "cost"),
        "tokens": {name: _describe_sum(row, name) for name in ("input", "output")},
        "bestLogId": row["best"],
        "worstLogId": row["worst"],
    }


def _describe_scores(row: Mapping[str, Any]) -> dict[str, Any]:
    count = row["scored"] or 0
    mean, stddev = row["mean"], None
    if count and row["lowest"] == row["highest"]:
        # All scores are equal; the quotient of sum and number might differ from them in the last digit
        mean, stddev = row["lowest"], (0.0 if count > 1 else None)
    elif count:
        stddev = math.sqrt(row["squares"] / (count - 1))
    return {
        "count": count,
        "mean": mean,
        "median": row["median"],
        "min": row["lowest"],
        "max": row["highest"],
        "stddev": stddev,
        "interval95": _clamp(student_t_interval(mean, stddev, count)),
    }


def _clamp(interval: tuple[float, float] | None) -> list[float] | None:
    """Limit an interval to the scale of scores."""
    return None if interval is None else [max(0.0, interval[0]), min(float(SCORE_MAX), interval[1])]


def _describe_sum(row: Mapping[str, Any], name: str) -> dict[str, Any]:
    count, total = row[f"{name}_count"], row[f"{name}_total"]
    return {"count": count, "total": total, "mean": total / count if count else None}


def _sort_key(group: Mapping[str, Any], keys: Sequence[str]) -> tuple[Any, ...]:
    mean = group["score"]["mean"]
    names = [(group[key] is None, group[key] or 0) for key in keys]
    return (mean is None, -(mean or 0), -group["count"], *names)
