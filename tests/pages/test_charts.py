"""The geometry of charts: a mark is where the scale says, and nothing leaves the plot."""

import math
import re
import sys
from itertools import product
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptcrafter.pages import charts
from promptcrafter.pages.chart_parts import NARROW, WIDE, for_all_widths, legend, shorten
from promptcrafter.pages.chart_scales import Scale, round_up, zoom
from promptcrafter.pages.charts import Bar, IntervalRow, Point, Series
from promptcrafter.pages.formatting import duration, money

WIDTH = WIDE
WIDTHS = pytest.mark.parametrize("width", [WIDE, NARROW])
NUMBERS = st.floats(min_value=-1e6, max_value=1e6)


def parse(chart: str) -> ElementTree.Element:
    return ElementTree.fromstring(chart)


def positions_of(chart: str, tag: str, css: str, *names: str) -> list[tuple[float, ...]]:
    """Return the attributes of these names, as numbers, of all marks with a class."""
    marks = [each for each in parse(chart).iter(tag) if css in (each.get("class") or "").split()]
    return [tuple(float(each.get(name) or 0) for name in names) for each in marks]


def assert_within(chart: str, width: float) -> None:
    """Assert that nothing of a chart is beyond its view box."""
    root = parse(chart)
    _, _, right, bottom = map(float, (root.get("viewBox") or "").split())
    assert right == width
    for each in root.iter():
        for name in ("x", "x1", "x2", "cx"):
            assert 0 <= float(each.get(name) or 0) <= right, (each.attrib, name)
        for name in ("y", "y1", "y2", "cy"):
            assert 0 <= float(each.get(name) or 0) <= bottom, (each.attrib, name)
        for pair in (each.get("points") or "").split():
            x, y = map(float, pair.split(","))
            assert 0 <= x <= right
            assert 0 <= y <= bottom


@WIDTHS
def test_a_mean_and_its_interval_are_where_the_scale_says(width: int) -> None:
    rows = [IntervalRow("v1", 5, 4, 7, "mean 5", "5"), IntervalRow("v2", 10, None, None)]
    chart = charts.interval_chart(rows, 0, 10, caption="Scores", width=width)
    grid = [x for (x,) in positions_of(chart, "line", "chart-grid", "x1")]
    scale = Scale(0, 10, grid[0], grid[-1])  # the ticks of the ends are at the ends of the plot
    assert positions_of(chart, "circle", "chart-dot", "cx") == [(scale.place(5),), (scale.place(10),)]
    assert positions_of(chart, "line", "chart-interval", "x1", "x2") == [(scale.place(4), scale.place(7))]
    assert "v1: mean 5" in chart
    assert_within(chart, width)


@WIDTHS
def test_differences_have_a_line_at_zero_and_what_is_not_settled_is_a_ring(width: int) -> None:
    rows = [IntervalRow("B − A", 3, 1, 5, is_open=False), IntervalRow("C − A", 0, -4, 4, is_open=True)]
    chart = charts.interval_chart(rows, -5, 5, caption="Differences", width=width)
    ((zero,),) = positions_of(chart, "line", "chart-zero", "x1")
    assert positions_of(chart, "circle", "open", "cx") == [(zero,)]
    assert "chart-zero" not in charts.interval_chart(rows, 0, 5, caption="Scores", width=width)


@WIDTHS
def test_a_label_is_whole_where_there_is_room_and_no_label_reaches_into_the_plot(width: int) -> None:
    label = "answer first against polite, in short"
    chart = charts.interval_chart([IntervalRow(label, 1, 0, 2)], 0, 10, caption="c", width=width)
    assert label in [each.text for each in parse(chart).iter("text")]
    longer = charts.interval_chart([IntervalRow("x" * 300, 1, 0, 2, value="1.25")], 0, 10, caption="c", width=width)
    (shown,) = [each.text or "" for each in parse(longer).iter("text") if each.get("class") == "chart-label"]
    assert shown.endswith("x…")
    assert len(shown) * 6.7 <= width


@WIDTHS
def test_labels_of_wide_characters_are_cut_where_they_would_leave_the_chart(width: int) -> None:
    label, value = "客服回复" * 20, "1.25"
    chart = charts.interval_chart([IntervalRow(label, 1, 0, 2, value=value)], 0, 10, caption="c", width=width)
    (shown,) = [each for each in parse(chart).iter("text") if each.get("class") == "chart-label"]
    text, x = shown.text or "", float(shown.get("x") or 0)
    assert text.endswith("…")
    length = 6.7 * (2 * len(text) - 1)  # the ellipsis is narrow
    start = x - length if shown.get("text-anchor") == "end" else x
    assert 0 <= start < start + length <= width - 6.7 * len(value)
    assert shorten("客" * 20) == "客" * 20
    assert shorten("客" * 21) == "客" * 19 + "…"
    assert shorten("x" + "客" * 20) == "x" + "客" * 19 + "…"


@WIDTHS
def test_two_percentiles_are_where_the_scale_says_from_zero(width: int) -> None:
    rows = [charts.RangeRow("v1", 100, 400, "n", "100 – 400 ms"), charts.RangeRow("v2", 250, 250)]
    chart = charts.range_chart(rows, caption="Latencies", format_x=lambda value: f"{value:g} ms", width=width)
    grid = [x for (x,) in positions_of(chart, "line", "chart-grid", "x1")]
    scale = Scale(0, 400, grid[0], grid[-1])
    marks = positions_of(chart, "circle", "chart-dot", "cx")
    assert marks == [(scale.place(value),) for value in (400, 100, 250, 250)]
    assert_within(chart, width)
    assert_within(charts.range_chart([], caption="c", format_x=str, width=width), width)
    assert_within(charts.range_chart([charts.RangeRow("a", 0, 0)], caption="c", format_x=str, width=width), width)


@WIDTHS
def test_a_band_narrows_around_its_line_and_stays_in_the_plot(width: int) -> None:
    points = [
        charts.BandPoint(10, 9, None, None),
        charts.BandPoint(20, 4, -500, 600),
        charts.BandPoint(40, 3, -1, 7),
        charts.BandPoint(80, 3, 1, 5),
    ]
    chart = charts.band_chart(points, caption="Growth", x_name="results", width=width)
    assert_within(chart, width)
    (band,) = [(each.get("points") or "").split() for each in parse(chart).iter("polygon")]
    assert len(band) == 6, "both ends of the three that have an interval"
    heights = [float(band[5 - n].split(",")[1]) - float(band[n].split(",")[1]) for n in range(3)]
    assert heights == sorted(heights, reverse=True)
    ((zero,),) = positions_of(chart, "line", "chart-zero", "y1")
    assert float(band[-4].split(",")[1]) < zero, "the last interval is above zero"
    assert positions_of(chart, "circle", "chart-dot", "cx")[-1] == (width - 16,)
    for few in ([], points[:1], [charts.BandPoint(5, 0, 0, 0)] * 2):
        assert_within(charts.band_chart(few, caption="c", x_name="x", width=width), width)


@given(st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), max_size=30))
def test_no_interval_leaves_the_plot_whatever_it_is(rows: list[tuple[float, float, float]]) -> None:
    for width in (WIDE, NARROW):
        shown = [IntervalRow("x", *sorted_row(row)) for row in rows]
        assert_within(charts.interval_chart(shown, 0, 10, caption="c", width=width), width)


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


@WIDTHS
def test_events_are_lines_at_their_times_whose_labels_do_not_overlap(width: int) -> None:
    events = [
        charts.Event(at, f"v{number}", f"moved to {number}") for number, at in enumerate((-0.5, 0.5, 0.52, 0.54, 1.5))
    ]
    chart = charts.line_chart(["w1", "w2"], [Series("a", [1, 9])], 0, 10, caption="c", events=events, width=width)
    assert_within(chart, width)
    xs = [x for (x,) in positions_of(chart, "line", "chart-event", "x1")]
    (first, _), (last, _) = positions_of(chart, "circle", "chart-mark", "cx", "cy")
    assert xs[0] < first < xs[1] < last < xs[-1]
    assert xs[1] == pytest.approx((first + last) / 2), "between the two periods"
    tops = [y for (y,) in positions_of(chart, "line", "chart-event", "y1")]
    assert len(set(tops[1:4])) == 3, "close ones have rows of their own"
    assert "moved to 3" in chart


@WIDTHS
def test_labels_of_events_at_the_right_end_stand_before_their_lines_and_overlap_none(width: int) -> None:
    right = width - 16  # the end of the axis
    for gap in (20, 25, 30, 40):  # units between two events, of which the last has no room behind it
        ends = [right - 5 - gap, right - 5]
        events = [charts.Event((x - 40) / (right - 40) - 0.5, "v12", "moved") for x in ends]
        chart = charts.line_chart(["w1"], [Series("a", [1])], 0, 10, caption="c", events=events, width=width)
        spans = []
        for each in parse(chart).iter("text"):
            if each.text == "v12":
                x, y, length = float(each.get("x") or 0), each.get("y"), 3 * 6.7
                spans.append((y, x - length if each.get("text-anchor") == "end" else x, length))
        (first_row, first, length), (last_row, last, _) = spans
        assert first_row != last_row or first + length <= last, gap


def test_series_differ_in_shape_as_in_colour() -> None:
    lines = [Series(str(number), [number]) for number in range(6)]
    chart = charts.line_chart(["w"], lines, 0, 10, caption="c")
    shapes = [each.get("d") or each.tag for each in parse(chart).iter() if "chart-mark" in (each.get("class") or "")]
    moved = [re.sub("[0-9.]+", "", shape) for shape in shapes]
    assert len(shapes) == 6
    assert len(set(moved)) >= 4
    key = legend(["one", "<b>"])
    assert key.count("<li>") == 2
    assert "<b>" not in key


def test_bars_stand_on_each_other_and_end_at_the_total() -> None:
    chart = charts.bar_chart(["mon", "tue"], [Series("ok", [3, None]), Series("failed", [1, 0])], caption="c")
    bars = [(float(each.get("y") or 0), float(each.get("height") or 0)) for each in parse(chart).iter("rect")]
    (low_y, low_height), (high_y, high_height) = bars
    assert high_y + high_height == pytest.approx(low_y)
    assert low_height == pytest.approx(3 * high_height)
    assert high_y >= 12, "the highest bar ends at the highest tick, or below"
    ticks = [each.text for each in parse(chart).iter("text") if each.get("text-anchor") == "end"]
    assert ticks == ["0", "1", "2", "3", "4"], "numbers of things are whole"
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
    assert len(list(draw([Point("same", 0.01, 5)] * 3).iter("circle"))) == 3
    many = draw([Point("p", 0.001 + number, number % 11) for number in range(10_000)])
    assert len(list(many.iter("circle"))) == 10_000
    assert all(0 <= float(each.get("cx") or 0) <= WIDTH for each in many.iter("circle"))


@WIDTHS
def test_labels_of_close_points_cover_neither_each_other_nor_the_line_nor_a_point(width: int) -> None:
    points = [Point(f"model number {n}", 0.001 * 1.07**n, 5 + n % 3 * 0.1, 0.4) for n in range(12)]
    chart = charts.scatter_chart(points, 4, 7, caption="c", x_name="cost", format_x=str, width=width)
    assert_within(chart, width)
    labels = [each for each in parse(chart).iter("text") if each.get("class") == "chart-label"]
    assert labels
    boxes = [(float(each.get("x") or 0), float(each.get("y") or 0), len(each.text or "") * 6.5) for each in labels]
    for number, (x, y, length) in enumerate(boxes):
        assert x + length <= width
        for other_x, other_y, other_length in boxes[:number]:
            assert x + length <= other_x or other_x + other_length <= x or abs(y - other_y) >= 14
        for at, up, radius in positions_of(chart, "circle", "chart-bubble", "cx", "cy", "r"):
            assert not (x < at + radius and at - radius < x + length and y - 11 < up + radius and up - radius < y)


def test_a_chart_for_all_widths_is_drawn_twice() -> None:
    both = for_all_widths(lambda width: charts.bar_chart(["a"], [Series("s", [3])], caption="c", width=width))
    assert both.count("<svg") == 2
    assert f'viewBox="0 0 {WIDE}' in both
    assert f'viewBox="0 0 {NARROW}' in both


@given(st.integers(min_value=1, max_value=10**9))
def test_an_axis_of_counts_has_whole_numbers_only(most: int) -> None:
    chart = charts.bar_chart(["a"], [Series("n", [most])], caption="c")
    ticks = re.findall('text-anchor="end">(.*?)</text>', chart)
    assert len(ticks) >= 2
    assert all(float(tick.replace(",", "")).is_integer() for tick in ticks), ticks


@WIDTHS
@given(values=st.lists(st.integers(min_value=0, max_value=10**6), max_size=40))
def test_no_bar_leaves_the_plot(width: int, values: list[int]) -> None:
    names = [f"2026-W{number}" for number in range(len(values))]
    assert_within(charts.bar_chart(names, [Series("n", values)], caption="c", width=width), width)


def test_texts_are_escaped_and_long_labels_cut() -> None:
    label = '<script>"&' + "x" * 50
    for chart in (
        charts.interval_chart([IntervalRow(label, 1, 0, 2, label)], 0, 10, caption=label),
        charts.bar_chart([label], [Series(label, [1])], caption=label),
        charts.line_chart([label], [Series(label, [1])], 0, 10, caption=label),
    ):
        assert "<script" not in chart
        parse(chart)
    assert shorten("x" * 50) == "x" * 39 + "…"


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


@WIDTHS
@pytest.mark.parametrize("values", [[], [5.0], [5.0] * 3, [number % 11 for number in range(10_000)]])
def test_charts_of_none_one_equal_and_very_many_values_stay_in_their_frames(width: int, values: list[float]) -> None:
    names = [str(number) for number in range(len(values))]
    low, high = zoom(values, 0, 10)
    line = charts.line_chart(names, [Series("a", values)], low, high, caption="c", width=width)
    marks = positions_of(line, "circle", "chart-mark", "cx", "cy")
    assert len(marks) == len(values)
    assert [x for x, _ in marks] == sorted(x for x, _ in marks), "later values are farther right"
    bars = charts.bar_chart(names, [Series("a", values)], caption="c", width=width)
    heights = [height for (height,) in positions_of(bars, "rect", "chart-bar", "height")]
    assert len(heights) == sum(value > 0 for value in values)
    rows = [IntervalRow(name, value, value - 1, value + 1) for name, value in zip(names, values, strict=True)]
    intervals = charts.interval_chart(rows, 0, 10, caption="c", width=width)
    ranges = charts.range_chart(
        [charts.RangeRow(row.label, row.mean or 0, row.high or 0) for row in rows],
        caption="c",
        format_x=str,
        width=width,
    )
    band = charts.band_chart(
        [charts.BandPoint(number, value, value - 1, value + 1) for number, value in enumerate(values)],
        caption="c",
        x_name="results",
        width=width,
    )
    for chart in (line, bars, intervals, ranges, band):
        assert_within(chart, width)


EXTREMES = (0.0, 5e-324, 1e-310, 1e-300, 1.0, 1e17, 1e300, sys.float_info.max)
NEXT = [(low, low + more * math.ulp(low)) for low in (1.0, -1e17, 1e17, 1e300) for more in (1, 2, 5)]


@WIDTHS
@pytest.mark.parametrize(
    ("one", "other"), [*product(EXTREMES, [*EXTREMES, *(-value for value in EXTREMES)]), *NEXT], ids=repr
)
def test_charts_of_the_smallest_and_largest_numbers_stay_in_their_frames(width: int, one: float, other: float) -> None:
    low, high = sorted((one, other))
    ends = zoom([low, high], low, high)
    drawn = (
        charts.line_chart(["a", "b"], [Series("a", [low, high])], *ends, caption="c", width=width),
        charts.line_chart(["a"], [Series("a", [one])], 0, round_up(one), caption="c", width=width),
        charts.interval_chart([IntervalRow("a", one, low, high)], low, high, caption="c", width=width),
        charts.range_chart([charts.RangeRow("a", 0, one)], caption="c", format_x=duration, width=width),
        charts.scatter_chart(
            [Point("a", one, low), Point("a", abs(other), low)],
            *ends,
            caption="c",
            x_name="x",
            format_x=money,
            width=width,
        ),
        charts.band_chart([charts.BandPoint(1, one, low, high)] * 2, caption="c", x_name="x", width=width),
    )
    for chart in drawn:
        assert_within(chart, width)
        assert not re.search(r"\b(nan|inf)\b", chart)
