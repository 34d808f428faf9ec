"""Charts as SVG: pure functions from rows to text.

They set no style, only classes and positions, so that the policy of the pages holds and colours follow the scheme. Each
mark has a title that says its values, and each chart stands above a table of what it shows.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from markupsafe import Markup, escape

_TICKS = 5  # about as many on each axis
_LABEL_CHARACTERS = 24
_WIDTH = 720  # of a chart, in the units of its view box


class Scale(NamedTuple):
    """Maps values from `low` to `high` to positions from `start` to `end`, by their logarithms with `is_log`."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def place(self, value: float) -> float:
        """Return the position of a value; one beyond the ends is at the end."""
        low, high, at = (math.log10(each) if self.is_log else each for each in (self.low, self.high, value))
        share = 0.5 if high == low else (at - low) / (high - low)
        return round(self.start + min(1.0, max(0.0, share)) * (self.end - self.start), 2)


class IntervalRow(NamedTuple):
    """A mean with its interval, None where there are too few values for one."""

    label: str
    mean: float | None
    low: float | None
    high: float | None
    note: str = ""


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


def ticks(low: float, high: float, count: int = _TICKS) -> list[float]:
    """Return round values from `low` to `high`, about `count` of them; the ends need not be among them."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low]
    raw = (high - low) / max(1, count)
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    decimals = max(0, 2 - math.floor(math.log10(step)))
    # Ends that differ by less than a float can tell apart may have no round value between them.
    return [round(number * step, decimals) for number in range(first, last + 1)][: 2 * count + 2] or [low]


def interval_chart(rows: Sequence[IntervalRow], low: float, high: float, *, caption: str) -> Markup:
    """Return means as dots on lines that are their intervals, one row each, from `low` to `high`."""
    left, row_height, top = 190, 34, 8
    height = top + row_height * len(rows) + 28
    scale = Scale(low, high, left, _WIDTH - 16)
    parts = [_vertical_grid(scale, ticks(low, high), top, height - 24)]
    for number, row in enumerate(rows):
        y = top + row_height * number + row_height / 2
        parts.append(_text(left - 12, y + 4, shorten(row.label), "chart-label", anchor="end"))
        if row.low is not None and row.high is not None:
            start, end = scale.place(row.low), scale.place(row.high)
            parts.append(f'<line class="chart-interval" x1="{start}" y1="{y}" x2="{end}" y2="{y}"/>')
        if row.mean is not None:
            x = scale.place(row.mean)
            parts.append(
                f'<circle class="chart-dot" cx="{x}" cy="{y}" r="5.5">{_title(f"{row.label}: {row.note}")}</circle>'
            )
    return _frame(height, caption, parts)


def line_chart(positions: Sequence[str], lines: Sequence[Series], low: float, high: float, *, caption: str) -> Markup:
    """Return a line for each series over the same positions; a gap where a value is None."""
    left, bottom, top, height = 44, 26, 12, 240
    x = Scale(0, max(1, len(positions) - 1), left, _WIDTH - 16)
    y = Scale(low, high, height - bottom, top)
    parts = [_horizontal_grid(y, ticks(low, high), left), _position_labels(positions, x, height)]
    for number, line in enumerate(lines):
        css = f"chart-line-{number % 6}"
        for run in _runs(line.values):
            points = " ".join(f"{x.place(at)},{y.place(value)}" for at, value in run)
            if len(run) > 1:
                parts.append(f'<polyline class="chart-line {css}" points="{points}"/>')
        for at, value in enumerate(line.values):
            if value is not None:
                title = _title(f"{line.name}, {positions[at]}: {value:.2f}")
                place = f'cx="{x.place(at)}" cy="{y.place(value)}"'
                parts.append(f'<circle class="chart-mark {css}" {place} r="3">{title}</circle>')
    return _frame(height, caption, parts)


def bar_chart(positions: Sequence[str], stacks: Sequence[Series], *, caption: str) -> Markup:
    """Return a bar for each position, with the values of the series on top of each other."""
    left, bottom, top, height = 44, 26, 12, 200
    totals = [sum(stack.values[at] or 0 for stack in stacks) for at in range(len(positions))]
    most = max(totals, default=0) or 1
    y = Scale(0, most, height - bottom, top)
    step = (_WIDTH - 16 - left) / max(1, len(positions))
    width = max(1.0, min(36.0, step * 0.72))
    x = Scale(0, max(1, len(positions) - 1), left + step / 2, _WIDTH - 16 - step / 2)
    parts = [_horizontal_grid(y, ticks(0, most), left), _position_labels(positions, x, height)]
    for at, position in enumerate(positions):
        below = 0.0
        for number, stack in enumerate(stacks):
            value = stack.values[at] or 0
            if value:
                end, start = y.place(below + value), y.place(below)
                text = f"{position}, {stack.name}: {value:g}"
                parts.append(
                    f'<rect class="chart-bar chart-bar-{number % 6}" x="{round(x.place(at) - width / 2, 2)}" y="{end}" '
                    f'width="{round(width, 2)}" height="{round(start - end, 2)}">{_title(text)}</rect>'
                )
            below += value
    return _frame(height, caption, parts)


def scatter_chart(
    points: Sequence[Point], low: float, high: float, *, caption: str, x_name: str, format_x: Callable[[float], str]
) -> Markup:
    """Return points over a logarithmic axis, with a line through those that no other one beats in both directions.

    A point beats another one if its `x` is not greater and its `y` not less. Points with an `x` of 0 or less, which has
    no logarithm, are left out.
    """
    shown = [point for point in points if point.x > 0]
    left, bottom, top, height = 44, 42, 14, 300
    least, most = min((point.x for point in shown), default=1), max((point.x for point in shown), default=1)
    x = Scale(least / 1.6, most * 1.6, left, _WIDTH - 16, is_log=True)
    y = Scale(low, high, height - bottom, top)
    parts = [_horizontal_grid(y, ticks(low, high), left)]
    for value in _log_ticks(x.low, x.high):
        parts.append(_text(x.place(value), height - 24, format_x(value), "chart-tick", anchor="middle"))
    parts.append(_text((left + _WIDTH) / 2, height - 6, x_name, "chart-tick", anchor="middle"))
    best = find_unbeaten(shown)
    if len(best) > 1:
        line = " ".join(f"{x.place(point.x)},{y.place(point.y)}" for point in best)
        parts.append(f'<polyline class="chart-frontier" points="{line}"/>')
    for point in shown:
        at, up, radius = (
            x.place(point.x),
            y.place(point.y),
            round(4 + 12 * math.sqrt(min(1.0, max(0.0, point.size))), 2),
        )
        text = _title(f"{point.label}: {point.note}")
        parts.append(f'<circle class="chart-bubble" cx="{at}" cy="{up}" r="{radius}">{text}</circle>')
        is_far_right = at > _WIDTH - 150
        offset = -radius - 5 if is_far_right else radius + 5
        parts.append(
            _text(at + offset, up + 4, shorten(point.label), "chart-label", anchor="end" if is_far_right else "start")
        )
    return _frame(height, caption, parts)


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


def shorten(label: str) -> str:
    """Return the beginning of a long label."""
    return label if len(label) <= _LABEL_CHARACTERS else f"{label[: _LABEL_CHARACTERS - 1]}…"


def _runs(values: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    runs: list[list[tuple[int, float]]] = [[]]
    for at, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((at, value))
    return [run for run in runs if run]


def _log_ticks(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 of each power of ten between two numbers; only the powers themselves of many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if len(powers) <= 4 else (1,)
    values = (factor * 10.0**power for power in powers for factor in factors)
    return [value for value in values if low <= value <= high]


def _vertical_grid(scale: Scale, values: Iterable[float], top: float, bottom: float) -> str:
    return "".join(
        f'<line class="chart-grid" x1="{scale.place(value)}" y1="{top}" x2="{scale.place(value)}" y2="{bottom}"/>'
        + _text(scale.place(value), bottom + 16, f"{value:g}", "chart-tick", anchor="middle")
        for value in values
    )


def _horizontal_grid(scale: Scale, values: Iterable[float], left: float) -> str:
    return "".join(
        f'<line class="chart-grid" x1="{left}" y1="{scale.place(value)}" x2="{_WIDTH - 16}" y2="{scale.place(value)}"/>'
        + _text(left - 8, scale.place(value) + 4, f"{value:g}", "chart-tick", anchor="end")
        for value in values
    )


def _position_labels(positions: Sequence[str], scale: Scale, height: float) -> str:
    """Return the labels of some positions, as many as there is room for."""
    every = max(1, math.ceil(len(positions) / 8))
    return "".join(
        _text(scale.place(at), height - 8, positions[at], "chart-tick", anchor="middle")
        for at in range(0, len(positions), every)
    )


def _text(x: float, y: float, text: str, css: str, *, anchor: str) -> str:
    return f'<text class="{css}" x="{round(x, 2)}" y="{round(y, 2)}" text-anchor="{anchor}">{escape(text)}</text>'


def _title(text: str) -> str:
    return f"<title>{escape(text)}</title>"


def _frame(height: float, caption: str, parts: Iterable[str]) -> Markup:
    head = f'class="chart" viewBox="0 0 {_WIDTH} {round(height)}" role="img" aria-label="{escape(caption)}"'
    return Markup(f"<svg {head}>{''.join(parts)}</svg>")  # noqa: S704 - all texts in it are escaped
