"""Confidence intervals and percentiles, for the statistics of prompts and the results of experiments. Pure functions.

For a single look there are Student's t (a mean) and Welch's t (a difference of two means); for repeated looks while
data arrives, the mixture sequential t-test.
"""

import math
import operator
from collections.abc import Sequence
from statistics import NormalDist

Interval = tuple[float, float]  # lower and upper end

# 97.5th percentiles of Student's t distribution for 1 to 9 degrees of freedom
_STUDENT_T = (12.706205, 4.302653, 3.182446, 2.776445, 2.570582, 2.446912, 2.364624, 2.306004, 2.262157)
_NORMAL: float = NormalDist().inv_cdf(0.975)
# Standard deviation of the effects that the sequential test is tuned to, in standard deviations of the metric: a small
# effect by Cohen's convention ("Statistical Power Analysis for the Behavioral Sciences", 1988)
_EFFECT = 0.2
# With fewer values that differ from the mode, the estimated variance of a sample is unreliable: the usual minimum for
# counts of rare events
MIN_NON_MODAL_VALUES = 10


def percentile(ordered: Sequence[float], fraction: float) -> float:
    """Return the percentile of sorted values at `fraction`, a number from 0 to 1, by linear interpolation.

    This is type 7 of Hyndman and Fan, "Sample quantiles in statistical packages", The American Statistician 50 (1996),
    which PostgreSQL's `percentile_cont` computes, too. `ordered` has at least one value.
    """
    position = fraction * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def student_t_interval(mean: float, stddev: float | None, count: int) -> Interval | None:
    """Return the 95 % confidence interval of a mean by Student's t: mean ± t * stddev / sqrt(count).

    `stddev` is the sample standard deviation of the `count` values. Without one (fewer than two values), or when it is
    0 (all values are equal), the data does not determine an interval: return None.
    """
    if not stddev:
        return None
    margin = _student_t(count - 1) * stddev / math.sqrt(count)
    return mean - margin, mean + margin


def welch_interval(difference: float, variances: Sequence[float], counts: Sequence[int]) -> Interval:
    """Return the 95 % confidence interval of a difference of two means that is looked at once, by Welch's t-test.

    Each sample has at least two values, and one of the variances is above 0. Fewer than 10 degrees of freedom are
    rounded down, which makes the interval wider. Source: Welch, "The generalization of 'Student's' problem when several
    different population variances are involved", Biometrika 34 (1947).
    """
    margin = _student_t(welch_satterthwaite_degrees(variances, counts))
    margin *= math.sqrt(welch_squared_error(variances, counts))
    return difference - margin, difference + margin


def _student_t(degrees: float) -> float:
    """Return the 97.5th percentile of Student's t distribution, with a relative error of at most 1 in 200,000.

    From 10 degrees of freedom on, it is the expansion around the normal percentile x of Abramowitz and Stegun,
    "Handbook of Mathematical Functions" (1964), formula 26.7.5; below, the expansion is less exact than the table,
    whose entries are for whole degrees.
    """
    if degrees < len(_STUDENT_T) + 1:
        return _STUDENT_T[int(degrees) - 1]
    x = _NORMAL
    terms: tuple[float, ...] = (
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
        (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / 92160,
    )
    return x + math.fsum(term / degrees**power for power, term in enumerate(terms, 1))


def sequential_interval(
    estimate: float, squared_error: float, degrees: float, effective_size: float, alpha: float
) -> Interval | None:
    """Return the always-valid 1 - `alpha` interval of the mixture sequential t-test; None while it is unbounded.

    `squared_error` is the squared standard error of `estimate`, with `degrees` degrees of freedom. `effective_size` is
    the number of observations for a mean, and n1 * n2 / (n1 + n2) for a difference of two means.

    The interval inverts the likelihood ratio of Student's t, averaged over normally distributed effects with a standard
    deviation of 0.2. With r = 1 + effective_size * 0.2^2 and x = t^2 / degrees, the ratio is
    r^(-1/2) * ((1 + x) / (1 + x / r))^((degrees + 1) / 2); the interval ends where it reaches 1 / alpha.

    For a single look this is the Bayes factor of Gönen et al., "The Bayesian two-sample t test", The American
    Statistician 59 (2005). As a test martingale it exceeds 1 / alpha at any time with a probability of at most alpha if
    there is no difference: Pérez-Ortiz et al., "E-statistics, group invariance and anytime-valid testing", Annals of
    Statistics 52 (2024). For many observations it approaches the mixture SPRT of Johari et al., "Peeking at A/B tests",
    KDD 2017.
    """
    ratio = 1 + effective_size * _EFFECT**2
    bound = (math.sqrt(ratio) / alpha) ** (2 / (degrees + 1))
    if bound >= ratio:
        return None
    margin = math.sqrt((bound - 1) / (1 - bound / ratio) * degrees) * math.sqrt(squared_error)
    return estimate - margin, estimate + margin


def sequential_difference_interval(
    difference: float, variances: Sequence[float], counts: Sequence[int], alpha: float
) -> Interval | None:
    """Return the always-valid 1 - `alpha` interval of a difference of two means; None while it is unbounded.

    Each sample has at least two values, and one of the variances is above 0. The standard error is the larger of
    Welch's and the pooled one. Welch's alone is too small for rare events under uneven shares, because a small sample
    of rare events seems to vary less than it does: in simulations, a quarter of the experiments without a difference
    had a false winner (docs/decisions/0010).
    """
    squared_error = max(welch_squared_error(variances, counts), pooled_squared_error(variances, counts))
    effective_size = counts[0] * counts[1] / sum(counts)
    degrees = welch_satterthwaite_degrees(variances, counts)
    return sequential_interval(difference, squared_error, degrees, effective_size, alpha)


def welch_squared_error(variances: Sequence[float], counts: Sequence[int]) -> float:
    """Return the squared standard error of a difference of two means whose variances may differ (Welch's t-test)."""
    return math.fsum(variance / count for variance, count in zip(variances, counts, strict=True))


def pooled_squared_error(variances: Sequence[float], counts: Sequence[int]) -> float:
    """Return the squared standard error of a difference of two means from their pooled variance (Student's t-test)."""
    degrees = [count - 1 for count in counts]
    pooled_variance = math.fsum(map(operator.mul, variances, degrees)) / max(1, sum(degrees))
    return pooled_variance * sum(1 / count for count in counts)


def welch_satterthwaite_degrees(variances: Sequence[float], counts: Sequence[int]) -> float:
    """Return the degrees of freedom of a difference of two means, by the Welch–Satterthwaite equation.

    Each sample has at least two values, and one of the variances is above 0. Sources: Satterthwaite, Biometrics
    Bulletin 2 (1946); Welch, Biometrika 34 (1947).
    """
    squared_error = welch_squared_error(variances, counts)
    # Shares of the sum instead of the values themselves, whose squares might leave the range of floats
    shares = [variance / count / squared_error for variance, count in zip(variances, counts, strict=True)]
    return 1 / math.fsum(share**2 / (count - 1) for share, count in zip(shares, counts, strict=True))
