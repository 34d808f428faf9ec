"""How many values a comparison needs until its interval leaves out zero. Pure functions.

The estimates assume that everything stays as it is seen: the difference, the spread, and the shares of the groups. They
are no promise, because a difference that is seen early is often larger than the true one.
"""

import math
from collections.abc import Callable, Mapping, Sequence

from promptcrafter.statistics.betting import grow_capital
from promptcrafter.statistics.intervals import (
    Interval,
    sequential_difference_interval,
    sequential_interval,
)

MOST = 100_000  # values or pairs; a larger estimate says no more than that the difference hardly matters
_LEAST = 5  # values of each group: fewer say too little about the spread
_PRECISION = 1.01


def estimate_for_difference(
    difference: float, variances: Sequence[float], counts: Sequence[int], alpha: float, least_factor: float
) -> int | None:
    """Return how many values two groups need together for the mixture sequential t-test of their means.

    `least_factor` says how many times as many values there must be at least, for other reasons. None if the groups have
    too few values for an estimate, or need more than 100,000.
    """
    if not difference or min(counts) < _LEAST or max(variances) <= 0:
        return None

    def is_enough(factor: float) -> bool:
        larger = [math.ceil(count * factor) for count in counts]
        return _leaves_out_zero(sequential_difference_interval(difference, variances, larger, alpha))

    return _find_count(is_enough, sum(counts), least_factor)


def estimate_for_mean(mean: float, variance: float, count: int, alpha: float, least_factor: float) -> int | None:
    """Return how many values a sample needs for the sequential t-test of its mean; None as for differences."""
    if not mean or count < _LEAST or variance <= 0:
        return None

    def is_enough(factor: float) -> bool:
        size = math.ceil(count * factor)
        return _leaves_out_zero(sequential_interval(mean, variance / size, size - 1, size, alpha))

    return _find_count(is_enough, count, least_factor)


def estimate_for_bets(values: Mapping[float, int], bounds: Interval, alpha: float) -> int | None:
    """Return how many values a sample needs for the interval of its mean by betting; None as for differences.

    `values` has the number of times that each value occurs, and `bounds` is around zero.
    """
    count = sum(values.values())
    if count < _LEAST:
        return None
    capital = grow_capital(values, bounds, 0)
    threshold = math.log(2 / alpha)
    return _find_count(lambda factor: capital(factor) >= threshold, count, 1)


def _leaves_out_zero(interval: Interval | None) -> bool:
    return interval is not None and (interval[0] > 0 or interval[1] < 0)


def _find_count(is_enough: Callable[[float], bool], count: int, least_factor: float) -> int | None:
    """Return the smallest multiple of a number of values that is enough, which all larger ones are, too."""
    low, high = max(1.0, least_factor), MOST / count
    if low > high or not is_enough(high):
        return None
    if is_enough(low):
        return math.ceil(count * low)
    while high > low * _PRECISION:
        middle = math.sqrt(low * high)
        if is_enough(middle):
            high = middle
        else:
            low = middle
    return math.ceil(count * high)
