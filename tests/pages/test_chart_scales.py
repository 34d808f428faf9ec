"""The scales of charts: ticks are round, and an axis shows what it has to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptcrafter.pages.chart_scales import Scale, round_up, ticks, zoom

NUMBERS = st.floats(min_value=-1e6, max_value=1e6)


def test_a_scale_places_its_ends_and_its_middle_and_keeps_what_is_beyond_at_the_end() -> None:
    scale = Scale(0, 10, 100, 300)
    assert [scale.place(value) for value in (0, 5, 10, -3, 99)] == [100, 200, 300, 100, 300]
    turned = Scale(0, 10, 200, 20)
    assert [turned.place(value) for value in (0, 2.5, 10)] == [200, 155, 20]
    logarithmic = Scale(0.001, 1, 0, 300, is_log=True)
    assert [logarithmic.place(value) for value in (0.001, 0.01, 0.1, 1)] == [0, 100, 200, 300]
    assert Scale(4, 4, 0, 100).place(4) == 50, "one value only is in the middle"


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 10, [0, 2, 4, 6, 8, 10]), (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (3, 3, [3]), (-1, 1, [-1, -0.5, 0, 0.5, 1])],
)
def test_ticks_are_round_and_within_the_ends(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == expected


@given(NUMBERS, NUMBERS)
def test_ticks_of_any_ends_are_few_and_within(one: float, other: float) -> None:
    low, high = min(one, other), max(one, other)
    found = ticks(low, high)
    assert 1 <= len(found) <= 12
    rounding = (high - low) * 1e-6 + max(abs(low), abs(high)) * 1e-12
    assert all(low - rounding <= tick <= high + rounding for tick in found)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([5.9, 7.2], (5.5, 7.6)),
        ([1, 9], (0, 10)),
        ([], (0, 10)),
        ([5], (4.4, 5.6)),
        ([0, 0.2], (0, 0.8)),
        ([10, 10], (9.4, 10)),
        ([-3, 99], (0, 10)),
    ],
)
def test_an_axis_shows_the_part_of_the_scale_that_has_the_values(
    values: list[float], expected: tuple[float, float]
) -> None:
    low, high = zoom(values, 0, 10)
    assert 0 <= low < high <= 10
    assert all(low <= min(10, max(0, value)) <= high for value in values)
    assert (high - low < 10) is (expected != (0, 10))


@given(st.lists(st.floats(min_value=0, max_value=10), max_size=20))
def test_what_is_zoomed_to_has_all_values_and_stays_on_the_scale(values: list[float]) -> None:
    low, high = zoom(values, 0, 10)
    assert 0 <= low < high <= 10
    assert all(low <= value <= high for value in values)


@given(st.floats(min_value=1e-9, max_value=1e12))
def test_an_axis_ends_at_a_round_value_that_nothing_exceeds(value: float) -> None:
    end = round_up(value)
    assert value <= end * (1 + 1e-8)
    assert end <= value * 2.01
    assert ticks(0, end)[-1] == pytest.approx(end)
