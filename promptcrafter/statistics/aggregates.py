"""What is told of a group of logs, made from the figures that the database has worked out. Pure functions."""

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import NormalDist
from typing import Any

from promptcrafter.logs.schemas import SCORE_MAX

# Student's t that 95 % of the values lie within, for 1 to 9 degrees of freedom
_STUDENT = (12.706205, 4.302653, 3.182446, 2.776445, 2.570582, 2.446912, 2.364624, 2.306004, 2.262157)
_NORMAL: float = NormalDist().inv_cdf(0.975)


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
    return {"count": count, **told, "stddev": spread, "interval95": find_interval(told["mean"], spread, count)}


def find_interval(mean: float, spread: float | None, count: int) -> list[float] | None:
    """Return where the mean of all scores lies with 95 % confidence, by Student's t; None when nothing tells.

    That is so of fewer than two scores, and of equal ones. The interval ends where scores do.
    """
    if not spread:
        return None
    reach = _find_student(count - 1) * spread / math.sqrt(count)
    return [max(0.0, mean - reach), min(float(SCORE_MAX), mean + reach)]


def _find_student(degrees: int) -> float:
    """Return the 97.5th percentile of Student's t (Abramowitz and Stegun 26.7.5, to 1 in 200,000)."""
    if degrees <= len(_STUDENT):
        return _STUDENT[degrees - 1]
    x = _NORMAL
    terms: tuple[float, ...] = (
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
        (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / 92160,
    )
    return x + math.fsum(term / degrees**power for power, term in enumerate(terms, 1))


def _describe_sum(row: Mapping[str, Any], name: str) -> dict[str, Any]:
    count, total = row[f"{name}_count"], row[f"{name}_total"]
    return {"count": count, "total": total, "mean": total / count if count else None}


def _place(group: Mapping[str, Any], keys: Sequence[str]) -> tuple[Any, ...]:
    mean = group["score"]["mean"]
    names = [(group[key] is None, group[key] or 0) for key in keys]
    return (mean is None, -(mean or 0), -group["count"], *names)
