"""Confidence intervals and percentiles, against tables, the standard library and their own definitions."""

import math
import statistics

import pytest
from scipy import stats

from promptcrafter.statistics.intervals import (
    percentile,
    pooled_squared_error,
    sequential_interval,
    student_t_interval,
    welch_interval,
    welch_satterthwaite_degrees,
    welch_squared_error,
)

T975 = {1: 12.7062, 2: 4.3027, 4: 2.7764, 9: 2.2622, 10: 2.2281, 30: 2.0423, 120: 1.9799, 10**6: 1.9600}


@pytest.mark.parametrize("degrees", T975)
def test_the_interval_of_a_mean_is_that_of_students_t(degrees: int) -> None:
    interval = student_t_interval(5, 0.1, degrees + 1)
    assert interval is not None
    assert [abs(end - 5) * (degrees + 1) ** 0.5 / 0.1 for end in interval] == pytest.approx(2 * [T975[degrees]], 2e-5)


@pytest.mark.parametrize("stddev", [None, 0.0])
def test_values_without_a_deviation_have_no_interval(stddev: float | None) -> None:
    assert student_t_interval(5, stddev, 1) is None


@pytest.mark.parametrize("size", [2, 3, 8, 21])
def test_percentiles_are_those_of_hyndman_and_fans_type_7(size: int) -> None:
    values = sorted(number * 7919 % 1000 / 8 for number in range(size))
    cuts = statistics.quantiles(values, n=20, method="inclusive")
    assert [percentile(values, n / 20) for n in range(1, 20)] == pytest.approx(cuts)
    assert (percentile(values, 0), percentile(values, 1)) == (values[0], values[-1])


@pytest.mark.parametrize(("degrees", "size", "alpha"), [(95, 96, 0.05), (40.5, 20, 0.05), (1000, 500, 0.0125)])
def test_the_sequential_interval_ends_where_the_likelihood_ratio_is_one_in_alpha(
    degrees: float, size: float, alpha: float
) -> None:
    interval = sequential_interval(3, 0.25, degrees, size, alpha)
    assert interval is not None
    for end in interval:
        ratio, x = 1 + size * 0.2**2, (end - 3) ** 2 / 0.25 / degrees
        likelihood_ratio = ratio**-0.5 * ((1 + x) / (1 + x / ratio)) ** ((degrees + 1) / 2)
        assert likelihood_ratio == pytest.approx(1 / alpha)


def test_the_sequential_interval_is_unbounded_at_first() -> None:
    assert sequential_interval(3, 0.25, 4, 5, 0.05) is None


def test_equal_samples_have_the_same_error_by_either_formula() -> None:
    assert welch_squared_error((4, 4), (8, 8)) == pooled_squared_error((4, 4), (8, 8)) == 1
    assert welch_satterthwaite_degrees((4, 4), (8, 8)) == pytest.approx(14)


def test_unequal_samples_weigh_their_variances() -> None:
    variances, counts = (9.0, 1.0), (3, 11)
    assert welch_squared_error(variances, counts) == pytest.approx(3 + 1 / 11)
    assert pooled_squared_error(variances, counts) == pytest.approx((9 * 2 + 1 * 10) / 12 * (1 / 3 + 1 / 11))
    expected = (3 + 1 / 11) ** 2 / (3**2 / 2 + (1 / 11) ** 2 / 10)
    assert welch_satterthwaite_degrees(variances, counts) == pytest.approx(expected)
    assert math.isfinite(welch_satterthwaite_degrees((9e-200, 1e-200), counts))


@pytest.mark.parametrize(("variances", "counts"), [((4, 9), (30, 12)), ((0, 1), (2, 11)), ((1e-200, 3e-200), (40, 7))])
def test_the_interval_of_a_difference_that_is_looked_at_once_is_welchs(
    variances: tuple[float, float], counts: tuple[int, int]
) -> None:
    low, high = welch_interval(3, variances, counts)
    assert (low + high) / 2 == pytest.approx(3)
    degrees = welch_satterthwaite_degrees(variances, counts)
    percentile_975 = stats.t.ppf(0.975, degrees if degrees >= 10 else math.floor(degrees + 1e-9))
    assert (high - low) / 2 == pytest.approx(percentile_975 * math.sqrt(welch_squared_error(variances, counts)), 1e-5)
