"""The geometry of charts: a mark is where the scale says, and nothing leaves the plot."""

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptcrafter.pages import charts
from promptcrafter.pages.charts import Bar, IntervalRow, Point, Scale, Series

WIDTH = 720
NUMBERS = st.floats(min_value=-1e6, max_value=1e6)


def parse(chart: str) -> ElementTree.Element:
    return ElementTree.fromstring(chart)


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
    assert charts.ticks(low, high) == expected


@given(NUMBERS, NUMBERS)
def test_ticks_of_any_ends_are_few_and_within(one: float, other: float) -> None:
    low, high = min(one, other), max(one, other)
    found = charts.ticks(low, high)
    assert 1 <= len(found) <= 12
    rounding = (high - low) * 1e-6 + max(abs(low), abs(high)) * 1e-12
    assert all(low - rounding <= tick <= high + rounding for tick in found)


def test_a_mean_and_its_interval_are_where_the_scale_says() -> None:
    chart = charts.interval_chart([IntervalRow("v1", 5, 4, 7, "mean 5")], 0, 10, caption="Scores")
    scale = Scale(0, 10, 190, WIDTH - 16)
    ((x,),) = [(float(each.get("cx") or 0),) for each in parse(chart).iter("circle")]
    assert x == scale.place(5)
    interval = next(each for each in parse(chart).iter("line") if each.get("class") == "chart-interval")
    assert (float(interval.get("x1") or 0), float(interval.get("x2") or 0)) == (scale.place(4), scale.place(7))
    assert "v1: mean 5" in chart


@given(st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), max_size=30))
def test_no_interval_leaves_the_plot_whatever_it_is(rows: list[tuple[float, float, float]]) -> None:
    chart = charts.interval_chart([IntervalRow("x", *sorted_row(row)) for row in rows], 0, 10, caption="c")
    for each in parse(chart).iter():
        for name in ("x1", "x2", "cx"):
            if each.get(name) is not None:
                assert 0 <= float(each.get(name) or 0) <= WIDTH


def sorted_row(row: tuple[float, float, float]) -> tuple[float, float, float]:
    low, mean, high = sorted(row)
    return mean, low, high


def test_a_line_has_a_gap_where_there_is_no_value_and_no_point_makes_no_line() -> None:
    chart = charts.line_chart(["a", "b", "c", "d"], [Series("v1", [1, 2, None, 4])], 0, 10, caption="c")
    lines = [each.get("points") or "" for each in parse(chart).iter("polyline")]
    assert [len(points.split()) for points in lines] == [2]
    assert len(list(parse(chart).iter("circle"))) == 3
    empty = charts.line_chart([], [], 0, 10, caption="c")
    assert list(parse(empty).iter("polyline")) == []


def test_bars_stand_on_each_other_and_end_at_the_total() -> None:
    chart = charts.bar_chart(["mon", "tue"], [Series("ok", [3, None]), Series("failed", [1, 0])], caption="c")
    bars = [(float(each.get("y") or 0), float(each.get("height") or 0)) for each in parse(chart).iter("rect")]
    (low_y, low_height), (high_y, high_height) = bars
    assert high_y + high_height == pytest.approx(low_y)
    assert low_height == pytest.approx(3 * high_height)
    assert high_y == 12, "the highest bar reaches the top"
    assert list(parse(charts.bar_chart([], [], caption="c")).iter("rect")) == []


def test_the_front_has_what_nothing_beats_in_cost_and_score() -> None:
    cheap, good, bad = Point("cheap", 1, 5), Point("good", 3, 9), Point("bad", 4, 6)
    assert charts.find_unbeaten([bad, good, cheap]) == [cheap, good]
    assert charts.find_unbeaten([]) == []
    same = [Point("a", 1, 5), Point("b", 1, 5)]
    assert len(charts.find_unbeaten(same)) == 1


def test_a_scatter_plot_leaves_out_what_has_no_logarithm_and_takes_ten_thousand_points() -> None:
    def draw(points: list[Point]) -> ElementTree.Element:
        return parse(charts.scatter_chart(points, 0, 10, caption="c", x_name="cost", format_x=str))

    assert len(list(draw([Point("free", 0, 5), Point("paid", 0.01, 5)]).iter("circle"))) == 1
    assert list(draw([]).iter("circle")) == []
    many = draw([Point("p", 0.001 + number, number % 11) for number in range(10_000)])
    assert len(list(many.iter("circle"))) == 10_000
    assert all(0 <= float(each.get("cx") or 0) <= WIDTH for each in many.iter("circle"))


def test_texts_are_escaped_and_long_labels_cut() -> None:
    label = '<script>"&' + "x" * 50
    for chart in (
        charts.interval_chart([IntervalRow(label, 1, 0, 2, label)], 0, 10, caption=label),
        charts.bar_chart([label], [Series(label, [1])], caption=label),
        charts.line_chart([label], [Series(label, [1])], 0, 10, caption=label),
    ):
        assert "<script" not in chart
        parse(chart)
    assert charts.shorten("x" * 50) == "x" * 23 + "…"


def test_a_step_of_a_waterfall_stays_within_its_cell_and_can_be_seen() -> None:
    for bar in (Bar(0, 1, ""), Bar(1, 0, ""), Bar(0.999, 0.5, ""), Bar(0.25, 0.5, "")):
        chart = charts.waterfall_bar(bar, has_failed=False)
        ((x, width),) = [
            (float(each.get("x") or 0), float(each.get("width") or 0)) for each in parse(chart).iter("rect")
        ]
        assert width >= 0.6
        assert 0 <= x <= x + min(width, 100 - x) <= 100
    assert "failed" in charts.waterfall_bar(Bar(0, 1, ""), has_failed=True)
    assert not re.search("style=", charts.waterfall_bar(Bar(0, 1, ""), has_failed=True))
