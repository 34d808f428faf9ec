"""The agreement between raters who score the same logs. Pure functions.

Coefficients correct agreement for chance, or measure how alike two raters rank: Krippendorff's alpha for all raters
together, Cohen's kappa for two raters of categories, Spearman's rho for two raters of numbers. None says who is right.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import combinations
from statistics import fmean
from typing import Any, Literal, NamedTuple

Metric = Literal["interval", "nominal"]
Value = float | str  # a number for the metric "interval", a boolean or a category for "nominal"
Rating = tuple[str, str, Value, str]  # id of the log, key of the rater, value, annotator

FEW_LOGS = 10  # figures from fewer logs are marked
PAIRS_MAX = 100
RATERS_MAX = 100  # raters of whom pairs are formed: the number of pairs grows with its square
_LARGEST = 1e100  # sums of squares of larger numbers may not be finite


class _Methods(NamedTuple):
    """What is computed in another way for numbers than for categories."""

    disagreement: Callable[[Sequence[Any]], float]  # of values, summed over all ordered pairs of them
    summarize: Callable[[Sequence[Any]], Value | None]  # one value for several raters of a log; None if they are tied
    compare: Callable[[Sequence[Any], Sequence[Any]], dict[str, float | None]]  # the values of two raters, log by log


def describe_agreement(ratings: Iterable[Rating], metric: Metric) -> dict[str, Any]:
    """Return how far raters agree, over the logs that at least two of them have scored.

    There is at most one rating for each log and rater: see `merge_ratings`. The key of a rater is an opaque text; the
    annotator is `human`, `enduser`, `judge` or `code`. Numbers beyond ±1e100 are left out.

    `equal` is the share of logs whose scores are all equal. `pairs` has two raters each, with their figures over the
    `n` logs that both have scored: the PAIRS_MAX pairs with the largest n, among the RATERS_MAX raters who have scored
    most of these logs. `otherPairs` counts the remaining pairs of these raters with a common log, and `otherRaters` the
    raters beyond RATERS_MAX. `humanAgainstJudge` compares the mean (numbers) or the most frequent value (categories) of
    all humans with that of all judges; it is None if no log has both, and leaves out `tiedLogs`, where two values are
    equally frequent. Figures that the data does not determine are None. `fewLogs` marks those from fewer than FEW_LOGS
    logs. The result does not depend on the order of the ratings.

    Time and memory grow with the number of ratings, up to the sorting of values, as the number of pairs is limited.
    """
    methods = _METHODS[metric]
    by_log: dict[str, list[tuple[str, Value, str]]] = {}
    for log_id, rater, value, annotator in ratings:
        if isinstance(value, str) or abs(value) <= _LARGEST:
            by_log.setdefault(log_id, []).append((rater, value, annotator))
    logs = [scores for scores in by_log.values() if len(scores) > 1]
    by_rater: dict[str, dict[int, Value]] = {}
    for index, scores in enumerate(logs):
        for rater, value, _ in scores:
            by_rater.setdefault(rater, {})[index] = value
    units = [[value for _, value, _ in scores] for scores in logs]
    return {
        "metric": metric,
        "logs": len(units),
        "scores": sum(map(len, units)),
        "raters": len(by_rater),
        "fewLogs": len(units) < FEW_LOGS,
        "equal": sum(len(set(unit)) == 1 for unit in units) / len(units) if units else None,
        "alpha": _krippendorff_alpha(units, methods.disagreement),
        **_describe_pairs(by_rater, len(units), methods),
        "humanAgainstJudge": _describe_human_against_judge(logs, methods),
    }


def merge_ratings(ratings: Iterable[Rating], metric: Metric) -> Iterator[Rating]:
    """Yield one rating for each log and rater: the mean of several numbers, or the most frequent of several categories.

    A rater with several values for a log of which none is the most frequent has none. Numbers beyond ±1e100 are left
    out.
    """
    ratings_of: dict[tuple[str, str], list[Rating]] = {}
    for rating in ratings:
        log_id, rater, value, _ = rating
        if isinstance(value, str) or abs(value) <= _LARGEST:
            ratings_of.setdefault((log_id, rater), []).append(rating)
    for (log_id, rater), given in ratings_of.items():
        if len(given) == 1:
            yield given[0]
        else:
            merged = _METHODS[metric].summarize([value for _, _, value, _ in given])
            if merged is not None:
                yield log_id, rater, merged, given[0][3]


def _krippendorff_alpha(units: Sequence[Sequence[Value]], disagreement: Callable[..., float]) -> float | None:
    """Return 1 - observed / expected disagreement; None if none is expected, because all values are equal.

    Numbers count as equal if the square of their difference is too small for a float (differences below about 1e-162).

    Each unit has the values of one log, at least two. With m values in a unit and n in all, the observed disagreement
    is the sum over all ordered pairs within units, each pair weighted by 1 / (m - 1), over n. The expected disagreement
    is the mean over all n * (n - 1) ordered pairs. Two numbers differ by the square of their difference, two categories
    by 1. Source: Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), which also covers missing scores.
    """
    values = [value for unit in units for value in unit]
    expected = disagreement(values)
    if not expected:
        return None
    observed = math.fsum(disagreement(unit) / (len(unit) - 1) for unit in units)
    return 1 - observed / (expected / (len(values) - 1))


def _sum_squared_differences(values: Sequence[float]) -> float:
    """Return the sum of (x - y)^2 over all ordered pairs of numbers: 2 * n * the sum of squared deviations."""
    if not values or min(values) == max(values):
        return 0.0  # the mean of equal values might differ from them in the last digit
    mean = fmean(values)
    return 2 * len(values) * math.fsum((value - mean) ** 2 for value in values)


def _count_unequal_pairs(values: Sequence[Value]) -> int:
    """Return the number of ordered pairs of unequal values."""
    return len(values) ** 2 - sum(count**2 for count in Counter(values).values())


def _describe_pairs(by_rater: dict[str, dict[int, Value]], log_count: int, methods: _Methods) -> dict[str, Any]:
    raters = sorted(by_rater, key=lambda rater: (-len(by_rater[rater]), rater))
    bits = {rater: _to_bits(by_rater[rater], log_count) for rater in sorted(raters[:RATERS_MAX])}
    counted = [((bits[a] & bits[b]).bit_count(), a, b) for a, b in combinations(bits, 2)]
    pairs = sorted((-count, a, b) for count, a, b in counted if count)
    described = []
    for _, a, b in pairs[:PAIRS_MAX]:
        common = [index for index in by_rater[a] if index in by_rater[b]]
        first, second = ([by_rater[rater][index] for index in common] for rater in (a, b))
        described.append({"a": a, "b": b, **_compare(first, second, methods)})
    return {
        "pairs": described,
        "otherPairs": len(pairs) - len(described),
        "otherRaters": max(0, len(raters) - RATERS_MAX),
    }


def _to_bits(indices: Iterable[int], length: int) -> int:
    """Return an integer with a bit for each index: common ones of two raters are counted many at a time."""
    digits = bytearray(b"0" * length)
    for index in indices:
        digits[index] = ord("1")
    return int(digits, 2)


def _describe_human_against_judge(
    logs: Sequence[Sequence[tuple[str, Value, str]]], methods: _Methods
) -> dict[str, Any] | None:
    humans, judges, tied = [], [], 0
    for scores in logs:
        by_humans = [value for _, value, annotator in scores if annotator == "human"]
        by_judges = [value for _, value, annotator in scores if annotator == "judge"]
        if by_humans and by_judges:
            human, judge = methods.summarize(by_humans), methods.summarize(by_judges)
            if human is None or judge is None:
                tied += 1
            else:
                humans.append(human)
                judges.append(judge)
    return {**_compare(humans, judges, methods), "tiedLogs": tied} if humans or tied else None


def _compare(first: Sequence[Value], second: Sequence[Value], methods: _Methods) -> dict[str, Any]:
    return {"n": len(first), "fewLogs": len(first) < FEW_LOGS, **methods.compare(first, second)}


def _compare_numbers(first: Sequence[float], second: Sequence[float]) -> dict[str, float | None]:
    differences = [abs(x - y) for x, y in zip(first, second, strict=True)]
    return {
        "meanAbsoluteDifference": fmean(differences) if differences else None,
        "spearman": _spearman_rho(first, second),
    }


def _compare_categories(first: Sequence[Value], second: Sequence[Value]) -> dict[str, float | None]:
    equal = sum(x == y for x, y in zip(first, second, strict=True))
    return {"equal": equal / len(first) if first else None, "kappa": _cohen_kappa(first, second)}


def _spearman_rho(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Return the product-moment correlation of the ranks; None if all values of one sequence are equal.

    Sources: Spearman, "The Proof and Measurement of Association between Two Things", American Journal of Psychology 15
    (1904); for tied values, Kendall, "Rank Correlation Methods" (1948), chapter 3.
    """
    centre = len(first) + 1  # the mean of doubled ranks
    x = [rank - centre for rank in _doubled_ranks(first)]
    y = [rank - centre for rank in _doubled_ranks(second)]
    covariance = sum(a * b for a, b in zip(x, y, strict=True))
    variances = sum(a * a for a in x) * sum(b * b for b in y)
    # These are integers, so that equal ranks yield exactly 1
    return math.copysign(math.sqrt(covariance**2 / variances), covariance) if variances else None


def _doubled_ranks(values: Sequence[float]) -> list[int]:
    """Return twice the rank of each value, from 1. Equal values have the mean of their ranks, which may end in .5."""
    ranks, below = {}, 0
    for value, count in sorted(Counter(values).items()):
        ranks[value] = 2 * below + count + 1
        below += count
    return [ranks[value] for value in values]


def _cohen_kappa(first: Sequence[Value], second: Sequence[Value]) -> float | None:
    """Return (p_o - p_e) / (1 - p_e), with the shares of equal values observed and expected by chance.

    It is None if both raters always chose the same category, when all values are expected to be equal. Source: Cohen,
    "A Coefficient of Agreement for Nominal Scales", Educational and Psychological Measurement 20 (1960).
    """
    count = len(first)
    equal = sum(x == y for x, y in zip(first, second, strict=True))
    totals, others = Counter(first), Counter(second)
    by_chance = sum(total * others[value] for value, total in totals.items())
    return (count * equal - by_chance) / (count**2 - by_chance) if count**2 > by_chance else None


def _mean(values: Sequence[float]) -> float:
    """Return the mean, rounded to 12 significant digits, so that the mean of 6.1 and 6.3 is tied with 6.2."""
    return float(f"{fmean(values):.12g}")


def _most_frequent(values: Sequence[Value]) -> Value | None:
    """Return the most frequent value, or None if two or more values are."""
    (value, count), *others = Counter(values).most_common(2)
    return None if others and others[0][1] == count else value


_METHODS: dict[Metric, _Methods] = {
    "interval": _Methods(_sum_squared_differences, _mean, _compare_numbers),
    "nominal": _Methods(_count_unequal_pairs, _most_frequent, _compare_categories),
}
