"""Charts as SVG: pure functions from rows to text.

They set no style, only classes and positions, so that the policy of the pages holds and colours follow the scheme. Each
mark has a title that says its values, and each chart stands above a table of what it shows.

A chart is drawn for a width in the units of its view box. `chart_parts.for_all_widths` draws it twice, for wide and for
narrow screens, and the style sheet shows the one that fits: a wide chart that is scaled down to a phone cannot be read.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from markupsafe import Markup

from promptcrafter.pages import formatting
from promptcrafter.pages.chart_labels import Box, Label, place_labels
from promptcrafter.pages.chart_parts import (
    CHARACTER,
    MARGIN,
    SERIES,
    WIDE,
    count_ticks,
    horizontal_grid,
    position_labels,
    shorten,
    vertical_grid,
    width_of,
    write_frame,
    write_shape,
    write_text,
    write_tick,
    write_title,
)
from promptcrafter.pages.chart_scales import Scale, bound, log_ticks, round_up, ticks

_SHORT_TICK = 4  # characters, of which a narrow axis has room for all ticks


class IntervalRow(NamedTuple):
    """A mean with its interval, None where there are too few values for one; `value` is written beside them.

    `is_open` draws the mean as a ring: nothing is settled about it.
    """

    label: str
    mean: float | None
    low: float | None
    high: float | None
    note: str = ""
    value: str = ""
    is_open: bool = False


class RangeRow(NamedTuple):
    """Two values of something, such as percentiles; `value` is written beside them."""

    label: str
    low: float
    high: float
    note: str = ""
    value: str = ""


class Point(NamedTuple):
    """A mark of a scatter plot; `size` is a share of the largest one."""

    label: str
    x: float
    y: float
    size: float = 0.5
    note: str = ""


class Bar(NamedTuple):
    """A bar of a waterfall: where it begins and how long it is, as shares of the whole, from 0 to 1."""

    start: float
    length: float
    label: str


class Series(NamedTuple):
    """A line: a value, or None, for each position of the axis."""

    name: str
    values: Sequence[float | None]


class Event(NamedTuple):
    """Something that happened at a place of the axis of positions, where 0 is the middle of the first position."""

    at: float
    label: str
    note: str


class BandPoint(NamedTuple):
    """A mean and its interval, None where there are too few values for one, at a place of an axis."""

    x: float
    mean: float
    low: float | None
    high: float | None


def interval_chart(rows: Sequence[IntervalRow], low: float, high: float, *, caption: str, width: int = WIDE) -> Markup:
    """Return means as dots on lines that are their intervals, one row each, from `low` to `high`.

    A scale with values on both sides of zero has a line there.
    """
    plot = _Rows.of([row.label for row in rows], [row.value for row in rows], width)
    scale = Scale(low, high, plot.left, plot.right)
    parts = [vertical_grid(scale, _score_ticks(low, high, width), plot.top, plot.bottom)]
    if low < 0 < high:
        at = scale.place(0)
        parts.append(f'<line class="chart-zero" x1="{at}" y1="{plot.top}" x2="{at}" y2="{plot.bottom}"/>')
    for number, row in enumerate(rows):
        y = plot.y_of(number)
        title = write_title(f"{row.label}: {row.note}")
        parts.append(plot.write(number))
        if row.low is not None and row.high is not None:
            start, end = scale.place(row.low), scale.place(row.high)
            parts.append(f'<line class="chart-interval" x1="{start}" y1="{y}" x2="{end}" y2="{y}">{title}</line>')
        if row.mean is not None:
            css = "chart-dot open" if row.is_open else "chart-dot"
            parts.append(f'<circle class="{css}" cx="{scale.place(row.mean)}" cy="{y}" r="5.5">{title}</circle>')
    return write_frame(plot.height, caption, parts, width)


def range_chart(
    rows: Sequence[RangeRow], *, caption: str, format_x: Callable[[float], str], width: int = WIDE
) -> Markup:
    """Return two values of each row, a dot and a ring, with a line between them, on an axis that begins at zero."""
    plot = _Rows.of([row.label for row in rows], [row.value for row in rows], width)
    most = max((bound(row.high) for row in rows), default=0) or 1
    scale = Scale(0, round_up(most), plot.left, plot.right)
    values = ticks(0, scale.high, count_ticks(width) - 1)
    parts = [vertical_grid(scale, values, plot.top, plot.bottom, format_x)]
    for number, row in enumerate(rows):
        y, start, end = plot.y_of(number), scale.place(row.low), scale.place(row.high)
        title = write_title(f"{row.label}: {row.note}")
        parts.append(plot.write(number))
        parts.append(f'<line class="chart-interval" x1="{start}" y1="{y}" x2="{end}" y2="{y}">{title}</line>')
        parts.append(f'<circle class="chart-dot open" cx="{end}" cy="{y}" r="5">{title}</circle>')
        parts.append(f'<circle class="chart-dot" cx="{start}" cy="{y}" r="5">{title}</circle>')
    return write_frame(plot.height, caption, parts, width)


def line_chart(
    positions: Sequence[str],
    lines: Sequence[Series],
    low: float,
    high: float,
    *,
    caption: str,
    events: Sequence[Event] = (),
    width: int = WIDE,
) -> Markup:
    """Return a line for each series over the same positions; a gap where a value is None.

    Events are upright lines, whose labels are in several rows where they are close to each other.
    """
    left, bottom, height = 40, 26, 240
    x = Scale(-0.5, max(1, len(positions)) - 0.5, left, width - MARGIN)
    spans = [_span_of(event.label, x.place(event.at), width - MARGIN) for event in events]
    rows = _stack(spans)
    top = 12 + 15 * (max(rows, default=-1) + 1)
    y = Scale(low, high, height - bottom, top)
    parts = [horizontal_grid(y, ticks(low, high), left, width), position_labels(positions, x, height, width)]
    for event, (start, _), row in zip(events, spans, rows, strict=True):
        at, base = x.place(event.at), 12 + 15 * row
        is_before = start < at
        parts.append(f'<line class="chart-event" x1="{at}" y1="{base - 8}" x2="{at}" y2="{height - bottom}">')
        parts.append(f"{write_title(event.note)}</line>")
        anchor = "end" if is_before else "start"
        parts.append(write_text(at - 4 if is_before else at + 4, base, event.label, "chart-tick", anchor=anchor))
    for number, line in enumerate(lines):
        css = f"chart-line-{number % SERIES}"
        for run in _runs(line.values):
            points = " ".join(f"{x.place(at)},{y.place(value)}" for at, value in run)
            if len(run) > 1:
                parts.append(f'<polyline class="chart-line {css}" points="{points}"/>')
        for at, value in enumerate(line.values):
            if value is not None:
                title = write_title(f"{line.name}, {positions[at]}: {value:.2f}")
                parts.append(write_shape(number, x.place(at), y.place(value), 4, title))
    return write_frame(height, caption, parts, width)


def bar_chart(positions: Sequence[str], stacks: Sequence[Series], *, caption: str, width: int = WIDE) -> Markup:
    """Return a bar for each position, with the values of the series on top of each other.

    The values are numbers of things. The axis ends at a round value that no bar exceeds.
    """
    totals = [sum(stack.values[at] or 0 for stack in stacks) for at in range(len(positions))]
    most = round_up(max(totals, default=0) or 1, least_step=1)
    left, bottom, top, height = max(32.0, 16 + width_of(f"{most:,g}")), 26, 12, 200
    y = Scale(0, most, height - bottom, top)
    step = (width - MARGIN - left) / max(1, len(positions))
    thickness = max(1.0, min(36.0, step * 0.72))
    x = Scale(-0.5, max(1, len(positions)) - 0.5, left, width - MARGIN)
    values = ticks(0, most, least_step=1)
    parts = [horizontal_grid(y, values, left, width), position_labels(positions, x, height, width)]
    for at, position in enumerate(positions):
        below = 0.0
        for number, stack in enumerate(stacks):
            value = stack.values[at] or 0
            if value:
                end, start = y.place(below + value), y.place(below)
                text = f"{position}, {stack.name}: {value:,g}"
                place = f'x="{round(x.place(at) - thickness / 2, 2)}" y="{end}"'
                size = f'width="{round(thickness, 2)}" height="{round(start - end, 2)}"'
                parts.append(f'<rect class="chart-bar chart-fill-{number % SERIES}" {place} {size}>')
                parts.append(f"{write_title(text)}</rect>")
            below += value
    return write_frame(height, caption, parts, width)


def band_chart(points: Sequence[BandPoint], *, caption: str, x_name: str, width: int = WIDE) -> Markup:
    """Return means as a line within the band of their intervals, on an axis that shows zero.

    The axis has room for all but the first third of the intervals, which may be many times as wide: these end at it.
    """
    left, bottom, top, height = 48, 42, 12, 200
    later = points[len(points) // 3 :]
    ends = [bound(end) for point in later for end in (point.low, point.mean, point.high) if end is not None]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    low, high = (low - (high - low) * 0.05, high + (high - low) * 0.05) if high > low else (-1.0, 1.0)
    x = Scale(0, max((point.x for point in points), default=1), left, width - MARGIN)
    y = Scale(low, high, height - bottom, top)
    parts = [horizontal_grid(y, ticks(low, high, 4), left, width)]
    parts.append(f'<line class="chart-zero" x1="{left}" y1="{y.place(0)}" x2="{width - MARGIN}" y2="{y.place(0)}"/>')
    for value in ticks(0, x.high, count_ticks(width), least_step=1):
        parts.append(write_text(x.place(value), height - 24, f"{value:,g}", "chart-tick", anchor="middle"))
    parts.append(write_text((left + width - MARGIN) / 2, height - 6, x_name, "chart-tick", anchor="middle"))
    known = [(point.x, point.low, point.high) for point in points if point.low is not None and point.high is not None]
    if len(known) > 1:
        upper = [f"{x.place(at)},{y.place(end)}" for at, _, end in known]
        lower = [f"{x.place(at)},{y.place(end)}" for at, end, _ in reversed(known)]
        parts.append(f'<polygon class="chart-band" points="{" ".join([*upper, *lower])}"/>')
    if len(points) > 1:
        line = " ".join(f"{x.place(point.x)},{y.place(point.mean)}" for point in points)
        parts.append(f'<polyline class="chart-line chart-line-0" points="{line}"/>')
    for point in points:
        within = (
            "" if point.low is None else f", between {formatting.number(point.low)} and {formatting.number(point.high)}"
        )
        title = write_title(f"after {point.x:,g}: {formatting.number(point.mean)}{within}")
        parts.append(f'<circle class="chart-dot" cx="{x.place(point.x)}" cy="{y.place(point.mean)}" r="3">{title}')
        parts.append("</circle>")
    return write_frame(height, caption, parts, width)


def scatter_chart(
    points: Sequence[Point],
    low: float,
    high: float,
    *,
    caption: str,
    x_name: str,
    format_x: Callable[[float], str],
    width: int = WIDE,
) -> Markup:
    """Return points over a logarithmic axis, with a line through those that no other one beats in both directions.

    A point beats another one if its `x` is not greater and its `y` not less. Points with an `x` of 0 or less, which has
    no logarithm, are left out. A label stands where it covers neither the line nor a point nor another label; where
    there is no such place, only the title of the point has it.
    """
    shown = [point for point in points if bound(point.x) > 0]
    left, bottom, top, height = 40, 42, 14, 300
    least, most = min((point.x for point in shown), default=1), max((point.x for point in shown), default=1)
    x = Scale(bound(least) / 1.6, bound(most) * 1.6, left, width - MARGIN, is_log=True)
    y = Scale(low, high, height - bottom, top)
    parts = [horizontal_grid(y, ticks(low, high), left, width)]
    for value in log_ticks(x.low, x.high, 3 if width < WIDE else 6):
        parts.append(write_text(x.place(value), height - 24, format_x(value), "chart-tick", anchor="middle"))
    parts.append(write_text((left + width - MARGIN) / 2, height - 6, x_name, "chart-tick", anchor="middle"))
    best = [(x.place(point.x), y.place(point.y)) for point in find_unbeaten(shown)]
    if len(best) > 1:
        line = " ".join(f"{at},{up}" for at, up in best)
        parts.append(f'<polyline class="chart-frontier" points="{line}"/>')
    largest = 12 if width == WIDE else 9
    labels = []
    for point in shown:
        at, up = x.place(point.x), y.place(point.y)
        radius = round(4 + largest * math.sqrt(min(1.0, max(0.0, point.size))), 2)
        text = write_title(f"{point.label}: {point.note}")
        parts.append(f'<circle class="chart-bubble" cx="{at}" cy="{up}" r="{radius}">{text}</circle>')
        name = shorten(point.label, 26 if width == WIDE else 18)
        labels.append(Label(name, at, up, radius, width_of(name)))
    plot = Box(left, 0, width, height - bottom)
    for label, place in place_labels(labels, list(pairwise(best)), plot):
        parts.append(write_text(place.left, place.bottom - 4, label.text, "chart-label", anchor="start"))
    return write_frame(height, caption, parts, width)


def waterfall_bar(bar: Bar, *, has_failed: bool) -> Markup:
    """Return one bar of a waterfall, for a cell of a table; the shortest is still to be seen."""
    width = max(0.6, round(bar.length * 100, 2))
    x = min(round(bar.start * 100, 2), 100 - width)
    css = "chart-step failed" if has_failed else "chart-step"
    rect = f'<rect class="{css}" x="{x:g}" y="2" width="{width:g}" height="8" rx="1"/>'
    head = 'class="waterfall" viewBox="0 0 100 12" preserveAspectRatio="none" aria-hidden="true"'
    return Markup(f"<svg {head}>{rect}</svg>")  # noqa: S704 - there are only numbers in it


def find_unbeaten(points: Iterable[Point]) -> list[Point]:
    """Return the points of the Pareto front, by ascending `x`: each further one has a greater `y`."""
    best: list[Point] = []
    for point in sorted(points, key=lambda point: (point.x, -point.y)):
        if not best or point.y > best[-1].y:
            best.append(point)
    return best


class _Rows(NamedTuple):
    """Where the rows of a chart are: labels beside the rows or, on narrow screens, above them."""

    labels: Sequence[str]
    values: Sequence[str]
    left: float  # of the plot
    right: float
    row_height: int
    is_narrow: bool
    width: int
    top: int = 8

    @classmethod
    def of(cls, labels: Sequence[str], values: Sequence[str], width: int) -> "_Rows":
        """Return the places of rows with these labels and written values."""
        if width < WIDE:
            return cls(labels, values, 10, width - 12, 42, True, width)
        beside = max((width_of(value) for value in values), default=0)
        left = min(280.0, max((width_of(shorten(label)) for label in labels), default=0) + 16)
        return cls(labels, values, max(60.0, left), width - MARGIN - beside, 32, False, width)

    @property
    def bottom(self) -> int:
        """Where the plot ends."""
        return self.top + self.row_height * len(self.labels) + 2

    @property
    def height(self) -> int:
        """That of the chart."""
        return self.bottom + 22

    def y_of(self, number: int) -> float:
        """Return the middle of the mark of a row."""
        return self.top + self.row_height * number + (30 if self.is_narrow else self.row_height / 2)

    def write(self, number: int) -> str:
        """Return label and value of a row."""
        label, value, y = self.labels[number], self.values[number], self.y_of(number)
        if self.is_narrow:
            room = int((self.width - 24 - width_of(value)) / CHARACTER)
            written = write_text(self.width - 4, y - 13, value, "chart-value", anchor="end") if value else ""
            return write_text(4, y - 13, shorten(label, room), "chart-label", anchor="start") + written
        written = write_text(self.width - 4, y + 4, value, "chart-value", anchor="end") if value else ""
        return write_text(self.left - 12, y + 4, shorten(label), "chart-label", anchor="end") + written


def _score_ticks(low: float, high: float, width: int) -> list[float]:
    """Return the ticks of an axis; where it is narrow, fewer of them only if their labels are long."""
    many = ticks(low, high)
    is_roomy = width == WIDE or max(len(write_tick(value)) for value in many) <= _SHORT_TICK
    return many if is_roomy else ticks(low, high, count_ticks(width))


def _span_of(label: str, at: float, right: float) -> tuple[float, float]:
    """Return from where to where an event's line and its label are: the label stands before it if there is no room."""
    length = width_of(label) + 4
    return (at - length, at) if at + length + 2 > right else (at, at + length)


def _stack(spans: Iterable[tuple[float, float]]) -> list[int]:
    """Return a row for each span, so that no two in a row overlap; all from the fourth row on are in the third."""
    ends = [-math.inf] * 3
    rows = []
    for start, end in spans:
        row = next((number for number, last in enumerate(ends) if last <= start), 2)
        ends[row] = end + 6
        rows.append(row)
    return rows


def _runs(values: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    runs: list[list[tuple[int, float]]] = [[]]
    for at, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((at, value))
    return [run for run in runs if run]
