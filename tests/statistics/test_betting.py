"""Confidence sequences by betting, against their definition and in simulations of values that no t-test is made for."""

import math
from collections import Counter
from collections.abc import Mapping
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptcrafter.statistics.betting import difference_interval, is_difference_within, mean_interval

SCALE = (0.0, 10.0)
SCORES = st.dictionaries(st.integers(0, 10).map(float), st.integers(1, 40), min_size=1, max_size=6)
ALPHAS = st.sampled_from([0.05, 0.03, 1e-4])


def capital_above(values: Mapping[float, int], mean: float) -> Fraction:
    """Return the capital that bets on a mean above `mean` of values on 0-10, by its definition and exactly."""
    m, capital = Fraction(mean) / 10, Fraction(0)
    for level in range(10):
        bet = Fraction(1, 2**level) / m
        growth = Fraction(11, 10 * (level + 1) * (level + 2))
        for value, count in values.items():
            growth *= (1 + bet * (Fraction(value) / 10 - m)) ** count
        capital += growth
    return capital


@settings(max_examples=40)
@given(SCORES, ALPHAS)
def test_the_interval_of_a_mean_ends_where_a_capital_reaches_its_threshold(
    values: dict[float, int], alpha: float
) -> None:
    low, high = mean_interval(values, SCALE, alpha)
    mean = sum(value * count for value, count in values.items()) / sum(values.values())
    assert 0 <= low <= mean <= high <= 10
    assert low == 0 or capital_above(values, low) >= 2 / alpha * (1 - 1e-6)
    assert capital_above(values, low + 0.001) < 2 / alpha
    mirrored = {10 - value: count for value, count in values.items()}
    assert high == 10 or capital_above(mirrored, 10 - high) >= 2 / alpha * (1 - 1e-6)
    assert capital_above(mirrored, 10 - high + 0.001) < 2 / alpha


def test_the_capital_is_divided_completely() -> None:
    assert capital_above({5.0: 3}, 5.0) == 1


@settings(max_examples=40)
@given(SCORES, ALPHAS)
def test_a_mean_on_another_scale_or_mirrored_has_the_same_interval(values: dict[float, int], alpha: float) -> None:
    low, high = mean_interval(values, SCALE, alpha)
    shifted = {value * 3 - 40: count for value, count in values.items()}
    assert mean_interval(shifted, (-40, -10), alpha) == pytest.approx((low * 3 - 40, high * 3 - 40), abs=1e-3)
    mirrored = {-value: count for value, count in values.items()}
    assert mean_interval(mirrored, (-10, 0), alpha) == pytest.approx((-high, -low), abs=1e-3)


@settings(max_examples=20)
@given(SCORES, SCORES, ALPHAS)
def test_a_difference_is_that_of_the_groups_exchanged_with_its_sign_changed(
    first: dict[float, int], second: dict[float, int], alpha: float
) -> None:
    low, high = difference_interval(first, second, SCALE, alpha)
    assert difference_interval(second, first, SCALE, alpha) == pytest.approx((-high, -low), abs=1e-3)
    means = [sum(value * count for value, count in one.items()) / sum(one.values()) for one in (first, second)]
    assert -10 <= low <= means[1] - means[0] + 1e-3
    assert means[1] - means[0] - 1e-3 <= high <= 10
    margin = max(-low, high)
    assert is_difference_within(first, second, SCALE, margin + 0.002, alpha)
    assert margin < 0.002 or not is_difference_within(first, second, SCALE, margin - 0.002, alpha)


@settings(max_examples=20)
@given(SCORES, SCORES, ALPHAS)
def test_a_difference_is_rejected_only_if_each_pair_of_means_is(
    first: dict[float, int], second: dict[float, int], alpha: float
) -> None:
    low, _ = difference_interval(first, second, SCALE, alpha)
    mirrored = {10 - value: count for value, count in first.items()}
    if low > -9.9:
        for step in range(1, 20):
            mean = max(0.0, -low) + (10 - abs(low)) * step / 20
            product = capital_above(mirrored, 10 - mean) * capital_above(second, min(mean + low, 9.999999))
            assert product >= 2 / alpha * 0.98


def test_groups_that_always_score_the_same_differ_nevertheless() -> None:
    low, high = difference_interval({2.0: 50}, {9.0: 50}, SCALE, 0.05)
    assert 6 < low < 7 < high < 7.5
    low, high = difference_interval({1.0: 100}, {0.0: 40, 1.0: 60}, (0, 1), 0.05)
    assert high < 0
    assert difference_interval({1.0: 1}, {0.0: 1}, (0, 1), 0.05)[1] > 0


def test_many_different_values_widen_the_interval_by_little_and_never_narrow_it() -> None:
    source = np.random.default_rng(1)
    values = np.clip(source.normal(8, 1.5, 3000), 0, 10)
    fine = mean_interval(Counter(values.tolist()), SCALE, 0.05)
    scaled, low = values / 10, fine[0] / 10
    fractions = 2.0 ** -np.arange(10)
    shares = 1.1 / ((np.arange(10) + 1) * (np.arange(10) + 2))
    growth = np.log1p(fractions[:, None] * (scaled / low - 1)).sum(1)
    exact = float(np.logaddexp.reduce(growth + np.log(shares)))
    assert math.log(2 / 0.05) <= exact < math.log(2 / 0.05) + 0.3


def test_a_million_values_have_a_narrow_interval() -> None:
    low, high = mean_interval({7.0: 300_000, 8.0: 400_000, 9.0: 300_000}, SCALE, 0.05)
    assert 7.99 < low < 8 < high < 8.01


def test_a_margin_as_wide_as_the_scale_contains_every_difference() -> None:
    assert is_difference_within({0.0: 1}, {10.0: 1}, SCALE, 10, 0.05)
    assert is_difference_within({0.0: 1}, {10.0: 1}, SCALE, 1e300, 0.05)
