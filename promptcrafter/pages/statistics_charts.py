"""The charts of statistics, from the groups of an answer. Pure functions."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

from markupsafe import Markup

from promptcrafter.pages import charts
from promptcrafter.pages.chart_parts import for_all_widths
from promptcrafter.pages.chart_scales import bound, round_up, ticks, zoom
from promptcrafter.pages.formatting import duration, mean, money, number, period, sentence
from promptcrafter.statistics.aggregates import TimeSeries
from promptcrafter.statistics.periods import find_place

_LINES_MAX = 6  # in a chart, as many as have colours and shapes of their own
_BARS_MAX = 20  # of a histogram
_SCALE = (0.0, 10.0)  # if nothing is known of the scores


_WHOLE_SPAN = 4  # a scale of whole numbers that is as long has a bar for each of them, whatever the scores are
_CERTAINTY = (
    "The line around a mean is its 95% interval: the more scores there are, and the more alike, the shorter it is. It "
    "is for that row alone, and for one look. The sentences under “What is better” compare two rows, and stay valid "
    "however often you look and however many rows there are. That needs more scores, so two lines may lie apart before "
    "a sentence says that one is better."
)


class Named(NamedTuple):
    """A group of an answer with its name and the values of its keys."""

    name: str
    values: tuple[Any, ...]
    group: Mapping[str, Any]


class Table(NamedTuple):
    """The figures of a chart that the table of the groups does not have."""

    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[float | None]]]


class Drawn(NamedTuple):
    """A chart with its heading, explanations, what its colours stand for, and its own table if it needs one."""

    heading: str
    text: str
    chart: Markup
    legend: Sequence[str] = ()
    table: Table | None = None
    certainty: str = ""  # how sure what it shows is


class Bin(NamedTuple):
    """A bar of a histogram: values from `low` to below `high`; with equal ends, those that round to the number."""

    low: float
    high: float

    @property
    def label(self) -> str:
        """How the axis names it."""
        return number(self.low) if self.low == self.high else f"{number(self.low)}–{number(self.high)}"


def draw_groups(
    named: Sequence[Named], found: Mapping[str, Any], label: str, moves: Sequence[tuple[datetime, int]]
) -> list[Drawn]:
    """Return the charts of groups that are no periods; each only if it has something to show.

    `moves` has when a label was put on which version, for marks in the scores over time.
    """
    low, high = _find_scale([each.group for each in named], found)
    drawn = [
        _draw_scores(named, low, high),
        _draw_costs(named, low, high),
        _draw_time_series(named, found.get("time_series"), low, high, label, moves),
        _draw_histogram(named, low, high),
        _draw_latencies(named),
    ]
    return [each for each in drawn if each is not None]


def draw_periods(
    named: Sequence[Named], period: str, name_line: Callable[[Mapping[str, Any]], str], found: Mapping[str, Any]
) -> list[Drawn]:
    """Return the charts of groups of which one key is a period."""
    low, high = _find_scale([each.group for each in named], found)
    positions = sorted({each.group[period] for each in named if each.group[period]})
    by_line: dict[str, dict[str, Mapping[str, Any]]] = {}
    for each in named:
        by_line.setdefault(name_line(each.group), {})[each.group[period]] = each.group
    lines = _choose(by_line, {name: sum(g["count"] for g in by_time.values()) for name, by_time in by_line.items()})
    if not positions:
        return []
    legend = lines if len(lines) > 1 else ()
    left_out = f" The {_LINES_MAX} with the most outputs." if len(by_line) > _LINES_MAX else ""

    def read(read_group: Callable[[Mapping[str, Any]], float | None]) -> list[charts.Series]:
        return [
            charts.Series(name, [read_group(by_time[at]) if at in by_time else None for at in positions])
            for name, by_time in ((name, by_line[name]) for name in lines)
        ]

    drawn = []
    scores = read(lambda group: group["score"]["mean"])
    means = [value for line in scores for value in line.values if value is not None]
    if means:
        ends = zoom(means, low, high)
        draw = partial(charts.line_chart, positions, scores, *ends, caption=f"Mean scores by {period}")
        text = f"The mean score of each {period}.{_about_zoom(ends, low, high)}{left_out}"
        drawn.append(Drawn(f"Scores by {period}", text, _draw(draw), legend))
    counts = read(lambda group: float(group["count"]))
    draw = partial(charts.bar_chart, positions, counts, caption=f"Outputs by {period}")
    drawn.append(Drawn(f"Outputs by {period}", left_out.strip(), _draw(draw), legend))
    if len(lines) == 1:
        drawn += _draw_latencies_by(period, positions, by_line[lines[0]])
    return drawn


def _draw_latencies_by(period: str, positions: Sequence[str], by_time: Mapping[str, Mapping[str, Any]]) -> list[Drawn]:
    lines = [
        charts.Series(percentile, [_seconds(by_time.get(at), percentile) for at in positions])
        for percentile in ("p50", "p95")
    ]
    known = [value for line in lines for value in line.values if value is not None]
    if not known:
        return []
    top = round_up(bound(max(known)) or 1)
    draw = partial(charts.line_chart, positions, lines, 0, top, caption=f"Latencies by {period}")
    text = "Half of the outputs took at most p50, and 95 of 100 at most p95, in seconds."
    return [Drawn(f"Latency by {period}", text, _draw(draw), ("p50", "p95"))]


def find_bins(counts: Mapping[float, int], low: float, high: float) -> list[Bin]:
    """Return the bars of a histogram of values: one for each of a few whole numbers, else equal parts of the scale.

    The mean of two people's scores may be no whole number, but must not change the bars of all others: it does so only
    on a short scale, such as from 0 to 1.
    """
    ends = [low, high, *counts]
    low, high = min(ends), max(ends)
    is_whole = all(float(value).is_integer() for value in counts)
    has_whole_ends = float(low).is_integer() and float(high).is_integer()
    if has_whole_ends and (is_whole or high - low >= _WHOLE_SPAN) and high - low < _BARS_MAX:
        return [Bin(value, value) for value in map(float, range(int(low), int(high) + 1))]
    edges = ticks(low, high, _BARS_MAX // 2)
    step = edges[1] - edges[0] if len(edges) > 1 else 1.0
    if edges[0] > low:
        edges.insert(0, edges[0] - step)
    if edges[-1] < high or len(edges) == 1:
        edges.append(edges[-1] + step)
    return [Bin(start, end) for start, end in pairwise(edges)]


def fill_bins(bins: Sequence[Bin], counts: Mapping[float, int]) -> list[float]:
    """Return how many values are in each bar; one at the end of the scale is in the last one."""
    starts = [each.low - 0.5 if each.low == each.high else each.low for each in bins]
    filled: Counter[int] = Counter()
    for value, count in counts.items():
        filled[max(0, bisect_right(starts, value) - 1)] += count
    return [float(filled[place]) for place in range(len(bins))]


def _draw_scores(named: Sequence[Named], low: float, high: float) -> Drawn | None:
    rows = []
    for each in named:
        score = each.group["score"]
        if score["mean"] is not None:
            start, end = score["interval95"] or (None, None)
            note = _describe_score(score)
            rows.append(charts.IntervalRow(each.name, score["mean"], start, end, note, mean(score["mean"])))
    if not rows:
        return None
    ends = zoom([end for row in rows for end in row[1:4] if end is not None], low, high)
    draw = partial(charts.interval_chart, rows, *ends, caption="Mean scores with their 95% intervals")
    text = f"The mean score of each, within its 95% interval.{_about_zoom(ends, low, high)}"
    return Drawn("Scores", text, _draw(draw), certainty=_CERTAINTY)


def _draw_costs(named: Sequence[Named], low: float, high: float) -> Drawn | None:
    slowest = max((each.group["latencyMs"]["p95"] or 0 for each in named), default=0) or 1
    points = []
    for each in named:
        score, cost, latency = each.group["score"], each.group["cost"]["mean"], each.group["latencyMs"]["p95"]
        if score["mean"] is not None and cost:
            note = f"{_describe_score(score)}, {money(cost)} each, p95 {duration(latency)}"
            points.append(charts.Point(each.name, cost, score["mean"], (latency or 0) / slowest, note))
    if len(points) < 2:
        return None
    ends = zoom([point.y for point in points], low, high)
    draw = partial(
        charts.scatter_chart,
        points,
        *ends,
        caption="Cost against score",
        x_name="cost of an output, on a logarithmic axis",
        format_x=_write_cost,
    )
    best = charts.find_unbeaten(points)
    unbeaten = "Nothing beats the points on the line in cost and score at once."
    if len(best) == 1:
        unbeaten = f"The highest mean score, and the lowest cost, is that of {best[0].label}."
    text = (
        "Up is better, left is cheaper; the larger a point, the slower (p95: 95 of 100 outputs took at most that). "
        f"{unbeaten}{_about_zoom(ends, low, high)}"
    )
    return Drawn("Cost against score", text, _draw(draw))


def _draw_time_series(
    named: Sequence[Named],
    time_series: TimeSeries | None,
    low: float,
    high: float,
    label: str,
    moves: Sequence[tuple[datetime, int]],
) -> Drawn | None:
    if time_series is None or not time_series.groups:
        return None
    positions = time_series.periods
    if len(positions) < 2:
        return None
    shown = sorted(named, key=lambda each: -each.group["score"]["count"])[:_LINES_MAX]
    lines = []
    for each in named:  # in the order of the table
        by_time = time_series.groups.get(each.values)
        if each in shown and by_time:
            lines.append(charts.Series(each.name, [_mean_of(by_time.get(at)) for at in positions]))
    means = [value for line in lines for value in line.values if value is not None]
    ends = zoom(means, low, high)
    events = _place_moves(time_series, label, moves)
    labels = [period(each) for each in positions]
    draw = partial(charts.line_chart, labels, lines, *ends, caption=f"Mean scores by {time_series.unit}", events=events)
    marks = f" The upright lines are where {label} moved to another version." if events else ""
    left_out = f" The {_LINES_MAX} with the most scores." if len(named) > _LINES_MAX else ""
    begins = ", named by its Monday" if time_series.unit == "week" else ""
    text = f"The mean score of each {time_series.unit}{begins}.{marks}{_about_zoom(ends, low, high)}{left_out}"
    names = [f"{each}, from {period(each)}" if time_series.unit == "week" else each for each in positions]
    return Drawn(
        "Scores over time", text, _draw(draw), [line.name for line in lines], _tabulate(time_series.unit, names, lines)
    )


def _place_moves(time_series: TimeSeries, label: str, moves: Iterable[tuple[datetime, int]]) -> list[charts.Event]:
    """Return the marks of the moves within the time series, from left to right."""
    events = []
    for moment, version in sorted(moves):
        place = find_place(time_series.unit, time_series.first, moment)
        if -0.5 <= place <= len(time_series.periods) - 0.5:
            note = f"{label} moved to version {version}, {moment:%Y-%m-%d %H:%M} UTC"
            events.append(charts.Event(place, f"v{version}", note))
    return events


def _draw_histogram(named: Sequence[Named], low: float, high: float) -> Drawn | None:
    with_values = [each for each in named if each.group["values"]]
    if not with_values:
        return None
    total: Counter[float] = Counter()
    for each in with_values:
        total.update(each.group["values"])
    bins = find_bins(total, low, high)
    first, rest = with_values, []
    if len(with_values) > _LINES_MAX:
        largest = sorted(with_values, key=lambda each: -each.group["score"]["count"])[: _LINES_MAX - 1]
        first, rest = [each for each in with_values if each in largest], [e for e in with_values if e not in largest]
    stacks = [charts.Series(each.name, fill_bins(bins, each.group["values"])) for each in first]
    if rest:
        others: Counter[float] = Counter()
        for each in rest:
            others.update(each.group["values"])
        stacks.append(charts.Series("others", fill_bins(bins, others)))
    labels = [each.label for each in bins]
    draw = partial(charts.bar_chart, labels, stacks, caption="How often each score was given")
    legend = [stack.name for stack in stacks] if len(stacks) > 1 else ()
    if any(each.low != each.high for each in bins):
        text = "How many outputs have a mean score from each number to the next."
    elif all(float(value).is_integer() for value in total):
        text = "How many outputs have each score."
    else:
        text = "How many outputs have each mean score, to the nearest whole number: several people may have scored one."
    return Drawn("How the scores spread", text, _draw(draw), legend, _tabulate("score", labels, stacks))


def _tabulate(axis: str, positions: Sequence[str], series: Sequence[charts.Series]) -> Table:
    rows = [(name, [each.values[at] for each in series]) for at, name in enumerate(positions)]
    return Table([sentence(axis), *(each.name for each in series)], rows)


def _draw_latencies(named: Sequence[Named]) -> Drawn | None:
    rows = []
    for each in named:
        latency = each.group["latencyMs"]
        if latency["p50"] is not None:
            half, most = duration(latency["p50"]), duration(latency["p95"])
            note = f"p50 {half}, p95 {most} of {number(latency['count'])} outputs"
            rows.append(charts.RangeRow(each.name, latency["p50"], latency["p95"], note, f"{half} – {most}"))
    if not rows:
        return None
    draw = partial(charts.range_chart, rows, caption="Latencies", format_x=_write_duration)
    text = "Half of the outputs took no longer than the dot (p50), and 95 of 100 no longer than the ring (p95)."
    return Drawn("Latency", text, _draw(draw))


def _find_scale(groups: Sequence[Mapping[str, Any]], found: Mapping[str, Any]) -> tuple[float, float]:
    """Return the ends of the scale of the scores, or what they reach where it has none."""
    if found["scale"] is not None:
        low, high = found["scale"]
        return float(low), float(high)
    ends = [group["score"][end] for group in groups for end in ("min", "max") if group["score"][end] is not None]
    if not ends:
        return _SCALE
    return (min(ends), max(ends)) if min(ends) < max(ends) else (min(ends) - 1, max(ends) + 1)


def _choose(names: Iterable[str], sizes: Mapping[str, int]) -> list[str]:
    """Return the largest ones, in the order that they have."""
    largest = set(sorted(sizes, key=lambda name: -sizes[name])[:_LINES_MAX])
    return [name for name in names if name in largest]


def _seconds(group: Mapping[str, Any] | None, percentile: str) -> float | None:
    value = None if group is None else group["latencyMs"][percentile]
    return None if value is None else value / 1000


def _mean_of(sum_of: tuple[int, float] | None) -> float | None:
    return None if sum_of is None else sum_of[1] / sum_of[0]


def _describe_score(score: Mapping[str, Any]) -> str:
    interval = score["interval95"]
    within = f" ({number(interval[0])} to {number(interval[1])})" if interval else ""
    return f"mean {number(score['mean'])}{within} of {number(score['count'])} scored outputs"


def _write_cost(value: float) -> str:
    text = money(value)
    return text.rstrip("0").rstrip(".") if "." in text else text


def _write_duration(value: float) -> str:
    digits, _, unit = duration(value).partition(" ")
    return f"{digits.rstrip('0').rstrip('.') if '.' in digits else digits} {unit}" if value else "0"


def _write_ends(low: float, high: float) -> str:
    return f"{number(low)} to {number(high)}"


def _about_zoom(ends: tuple[float, float], low: float, high: float) -> str:
    """Return what a reader must know of an axis that is only a part of the scale."""
    if ends == (low, high):
        return ""
    return f" The axis shows {_write_ends(*ends)} of {_write_ends(low, high)}."


def _draw(draw: Callable[..., Markup]) -> Markup:
    return for_all_widths(lambda width: draw(width=width))
