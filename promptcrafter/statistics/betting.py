"""Confidence sequences by betting: always-valid intervals for means of bounded values of any distribution.

Pure functions. To test whether a mean is m, capital is bet on each value: a value x on a scale from 0 to 1 multiplies
it by 1 + l(x - m), with a bet l for which no factor is negative. If the mean is at most m, no bet l >= 0 makes the
capital grow on average. It is a test supermartingale then, and by Ville's inequality it ever reaches 1 / alpha with a
probability of at most alpha. The interval has the means for which neither the capital that is bet on a higher mean nor
that bet on a lower one has reached 2 / alpha. This is the hedged capital of Waudby-Smith and Ramdas, "Estimating means
of bounded random variables by betting", Journal of the Royal Statistical Society B 86 (2024).

Their bets follow the earlier values, so that their interval depends on the order of the values. Here the capital is
divided among constant bets instead, like the portfolios of Orabona and Jun, "Tight concentrations and confidence
sequences from the regret of universal portfolio", IEEE Transactions on Information Theory 70 (2024). Its growth depends
only on how often each value occurs, which is what a sample of a group has.
"""

import math
from collections.abc import Callable, Mapping, Sequence

from promptcrafter.statistics.intervals import Interval

_Values = list[tuple[float, float]]  # values from 0 to 1, and how often each occurs

# Fractions of the largest possible bet, 1/m, with the logarithms of their shares of the capital. More than half of it
# is on the largest bet, because small samples need large bets; the smallest one, 1/512, serves about a million values.
_LEVELS = 10
_BETS = [(2.0**-level, math.log((_LEVELS + 1) / _LEVELS / ((level + 1) * (level + 2)))) for level in range(_LEVELS)]
_STEPS = 128  # more different values than this are spread over a lattice of as many steps
_TINY = 1e-9  # means nearer to an end of the scale are not told apart from it
_PRECISION = 1e-5
_GOLDEN = (math.sqrt(5) - 1) / 2


def mean_interval(values: Mapping[float, int], bounds: Interval, alpha: float) -> Interval:
    """Return the always-valid 1 - `alpha` interval of the mean of values within `bounds`.

    `values` has the number of times that each value occurs, and is not empty. The values need not be independent or
    identically distributed: the mean of each, given the earlier ones, is what they must have in common.
    """
    scaled = _scale(values, bounds)
    threshold = math.log(2 / alpha)
    lower = _lower_end(scaled, threshold)
    upper = 1 - _lower_end(_mirror(scaled), threshold)
    width = bounds[1] - bounds[0]
    return bounds[0] + lower * width, bounds[0] + upper * width


def difference_interval(
    first: Mapping[float, int], second: Mapping[float, int], bounds: Interval, alpha: float
) -> Interval:
    """Return the always-valid 1 - `alpha` interval of the second mean minus the first, of two independent samples.

    The capital of a difference d is the product of that bet on a first mean below m and that bet on a second one above
    m + d, for the m for which it is least: a hypothesis of many pairs of means is rejected when each pair is.
    """
    one, other = _scale(first, bounds), _scale(second, bounds)
    threshold = math.log(2 / alpha)
    lower = _lower_difference(one, other, threshold)
    upper = -_lower_difference(other, one, threshold)
    width = bounds[1] - bounds[0]
    return lower * width, upper * width


def is_difference_within(
    first: Mapping[float, int], second: Mapping[float, int], bounds: Interval, margin: float, alpha: float
) -> bool:
    """Return whether the interval that `difference_interval` returns lies within ±`margin`, without computing it."""
    one, other = _scale(first, bounds), _scale(second, bounds)
    threshold = math.log(2 / alpha)
    scaled = margin / (bounds[1] - bounds[0])
    return _is_higher(one, other, -scaled, threshold) and _is_higher(other, one, -scaled, threshold)


def is_difference_settled(
    first: Mapping[float, int], second: Mapping[float, int], bounds: Interval, alpha: float
) -> bool:
    """Return whether the interval that `difference_interval` returns leaves out 0, without computing it."""
    one, other = _scale(first, bounds), _scale(second, bounds)
    threshold = math.log(2 / alpha)
    return _is_higher(one, other, 0, threshold) or _is_higher(other, one, 0, threshold)


def grow_capital(values: Mapping[float, int], bounds: Interval, mean: float) -> Callable[[float], float]:
    """Return how capital grows that is bet on the side of `mean` on which the mean of the values is.

    The function that is returned takes how many times as many values there are, with the same shares, and returns the
    logarithm of the capital. `mean` is inside of `bounds`.
    """
    scaled, null = _scale(values, bounds), (mean - bounds[0]) / (bounds[1] - bounds[0])
    total = math.fsum(count for _, count in scaled)
    if math.fsum(value * count for value, count in scaled) < null * total:
        scaled, null = _mirror(scaled), 1 - null
    bets = _bet(scaled, null)
    return lambda factor: _log_sum([share + factor * growth for share, growth in bets])


def _scale(values: Mapping[float, int], bounds: Interval) -> _Values:
    """Return the values on a scale from 0 to 1.

    If there are many, each is divided among its two neighbours on a lattice so that the mean stays the same. The
    logarithm of a factor is a concave function of the value, so this never makes capital larger (Jensen's inequality).
    """
    low, width = bounds[0], bounds[1] - bounds[0]
    scaled = [(min(1.0, max(0.0, (value - low) / width)), float(count)) for value, count in values.items()]
    if len(scaled) <= _STEPS:
        return scaled
    lattice = [0.0] * (_STEPS + 1)
    for value, count in scaled:
        step = min(_STEPS - 1, int(value * _STEPS))
        above = value * _STEPS - step
        lattice[step] += count * (1 - above)
        lattice[step + 1] += count * above
    return [(step / _STEPS, count) for step, count in enumerate(lattice) if count]


def _mirror(values: _Values) -> _Values:
    return [(1 - value, count) for value, count in values]


def _log_capital(values: _Values, mean: float) -> float:
    """Return the logarithm of the capital that bets on a mean above `mean`, which is between 0 and 1.

    It decreases with `mean`, and is a convex function of it.
    """
    return _log_sum([share + growth for share, growth in _bet(values, mean)])


def _bet(values: _Values, mean: float) -> list[tuple[float, float]]:
    """Return the logarithms of the share of each bet, and of what the values multiply it by.

    A bet that loses everything is left out; the smaller ones never do.
    """
    bets = []
    for fraction, share in _BETS:
        rest, gain, growth = 1 - fraction, fraction / mean, 0.0
        for value, count in values:
            factor = rest + gain * value
            if factor <= 0:
                break  # the largest bet loses everything on a value of 0
            growth += count * math.log(factor)
        else:
            bets.append((share, growth))
    return bets


def _log_sum(logarithms: Sequence[float]) -> float:
    largest = max(logarithms)
    return largest + math.log(math.fsum(math.exp(each - largest) for each in logarithms))


def _lower_end(values: _Values, threshold: float) -> float:
    """Return the mean below which the capital that bets on a higher one has reached the threshold, or 0."""
    total = math.fsum(count for _, count in values)
    mean = math.fsum(value * count for value, count in values) / total
    if mean <= _TINY or _log_capital(values, _TINY) < threshold:
        return 0.0
    return _bisect(lambda candidate: _log_capital(values, candidate) >= threshold, _TINY, min(mean, 1 - _TINY))


def _lower_difference(first: _Values, second: _Values, threshold: float) -> float:
    """Return the difference below which the capital that bets on a higher one has reached the threshold, or -1."""
    return _bisect(lambda difference: _is_higher(first, second, difference, threshold), -1.0, 1.0)


def _is_higher(first: _Values, second: _Values, difference: float, threshold: float) -> bool:
    """Return whether the capital that bets on a difference above `difference` has reached the threshold.

    It has if there is no first mean for which it is below the threshold. The least capital is found by golden-section
    search (Kiefer, "Sequential minimax search for a maximum", Proceedings of the AMS 4, 1953): both capitals are convex
    functions of the first mean. The second mean is limited to the scale, which makes capitals only smaller.
    """
    mirrored = _mirror(first)

    def log_capital(mean: float) -> float:
        second_mean = min(1 - _TINY, mean + difference)
        return _log_capital(mirrored, 1 - mean) + _log_capital(second, second_mean)

    low, high = max(0.0, -difference) + _TINY, 1 - _TINY
    if low >= high:
        return True  # no two means differ by so little
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = log_capital(left), log_capital(right)
    while high - low > _PRECISION and min(at_left, at_right) >= threshold:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = log_capital(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = log_capital(right)
    return min(at_left, at_right) >= threshold


def _bisect(is_rejected: Callable[[float], bool], low: float, high: float) -> float:
    """Return the end of the rejected numbers from `low` on, or a number that is lower by at most the precision."""
    while high - low > _PRECISION:
        middle = (low + high) / 2
        if is_rejected(middle):
            low = middle
        else:
            high = middle
    return low
