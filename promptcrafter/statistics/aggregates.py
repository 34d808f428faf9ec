"""What is told of a group of logs, made from the figures that the database has worked out. Pure functions."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from promptcrafter.logs.schemas import SCORE_MAX
from promptcrafter.statistics.intervals import student_t_interval


def describe(figures: Iterable[Mapping[str, Any]], keys: Sequence[str]) -> list[dict[str, Any]]:
    """Return the groups, the one with the highest mean score first; what is not known is None.

    Groups without a score come last; among equals the larger one is first, then the order of the keys decides.
    """
    groups = [_describe(row, keys) for row in figures]
    return sorted(groups, key=lambda group: _place(group, keys))


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
    told = {name: row[name] for name in ("mean", "median")} | {"min": row["lowest"], "max": row["highest"]}
    spread = None
    if count and row["lowest"] == row["highest"]:
        told["mean"] = row["lowest"]  # which a quotient might miss by its last digit, and the deviations with it
        spread = 0.0 if count > 1 else None
    elif count:
        spread = math.sqrt(row["squares"] / (count - 1))
    return {
        "count": count,
        **told,
        "stddev": spread,
        "interval95": _clamp(student_t_interval(told["mean"], spread, count)),
    }


def _clamp(interval: tuple[float, float] | None) -> list[float] | None:
    """Cut an interval of a mean score off at the ends of the scale of scores."""
    return None if interval is None else [max(0.0, interval[0]), min(float(SCORE_MAX), interval[1])]


def _describe_sum(row: Mapping[str, Any], name: str) -> dict[str, Any]:
    count, total = row[f"{name}_count"], row[f"{name}_total"]
    return {"count": count, "total": total, "mean": total / count if count else None}


def _place(group: Mapping[str, Any], keys: Sequence[str]) -> tuple[Any, ...]:
    mean = group["score"]["mean"]
    names = [(group[key] is None, group[key] or 0) for key in keys]
    return (mean is None, -(mean or 0), -group["count"], *names)
