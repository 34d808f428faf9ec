"""The parts that charts have in common, as SVG: their frame, texts, grids and marks. Pure functions."""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate

from markupsafe import Markup, escape

from promptcrafter.pages.chart_scales import TICKS, Scale
from promptcrafter.text import display_width

WIDE, NARROW = 800, 300  # widths of charts, in the units of their view boxes
_LABEL_CHARACTERS = 40  # of which wide ones count twice
CHARACTER = 6.7  # about the width of one, in the same units
SERIES = 6  # that differ in colour and shape
MARGIN = 16  # at the right end


def for_all_widths(draw: Callable[[int], Markup]) -> Markup:
    """Return a chart drawn for a wide and for a narrow screen, of which the style sheet shows one."""
    return Markup('<div class="charts">{}{}</div>').format(draw(WIDE), draw(NARROW))


def legend(names: Sequence[str]) -> Markup:
    """Return what the colours and shapes of lines or bars stand for."""
    items = (
        Markup('<li><svg class="chart-swatch" viewBox="0 0 12 12" aria-hidden="true">{}</svg>{}</li>').format(
            Markup(write_shape(number, 6, 6, 4.5, "")),  # noqa: S704 - numbers only
            name,
        )
        for number, name in enumerate(names[:SERIES])
    )
    return Markup('<ul class="chart-legend">{}</ul>').format(Markup("").join(items))


def shorten(label: str, maximum: int = _LABEL_CHARACTERS) -> str:
    """Return the beginning of a label that is longer than `maximum` characters, of which wide ones count twice."""
    if display_width(label) <= maximum:
        return label
    ends = accumulate(map(display_width, label))
    return f"{label[: sum(end < maximum for end in ends)]}…"


def count_ticks(width: int) -> int:
    """Return for about how many ticks an axis of a chart of this width has room."""
    return TICKS if width == WIDE else 4


def width_of(text: str) -> float:
    """Return about the width of a text, in the units of the view box."""
    return display_width(text) * CHARACTER


def write_shape(number: int, x: float, y: float, size: float, title: str) -> str:
    """Return the mark of a series: those of six differ in their shapes as in their colours."""
    number %= SERIES
    css = f'class="chart-mark chart-fill-{number}"'
    if number == 0:
        return f'<circle {css} cx="{x}" cy="{y}" r="{size}">{title}</circle>'
    left, right, top, bottom = x - size, x + size, y - size, y + size
    path = (
        "",
        f"M{left:g} {top:g}H{right:g}V{bottom:g}H{left:g}Z",
        f"M{x:g} {top:g}L{right:g} {bottom:g}H{left:g}Z",
        f"M{x:g} {top:g}L{right:g} {y:g}L{x:g} {bottom:g}L{left:g} {y:g}Z",
        f"M{left:g} {top:g}H{right:g}L{x:g} {bottom:g}Z",
        f"M{left:g} {y - size / 2.5:g}H{right:g}V{y + size / 2.5:g}H{left:g}Z",
    )[number]
    return f'<path {css} d="{path}">{title}</path>'


def vertical_grid(
    scale: Scale, values: Iterable[float], top: float, bottom: float, format_x: Callable[[float], str] | None = None
) -> str:
    """Return an upright line at each value, with the value below it."""
    write = format_x or write_tick
    return "".join(
        f'<line class="chart-grid" x1="{scale.place(value)}" y1="{top}" x2="{scale.place(value)}" y2="{bottom}"/>'
        + write_text(scale.place(value), bottom + 15, write(value), "chart-tick", anchor="middle")
        for value in values
    )


def horizontal_grid(scale: Scale, values: Iterable[float], left: float, width: float) -> str:
    """Return a level line at each value, with the value at its left end."""
    end = width - MARGIN
    return "".join(
        f'<line class="chart-grid" x1="{left}" y1="{scale.place(value)}" x2="{end}" y2="{scale.place(value)}"/>'
        + write_text(left - 8, scale.place(value) + 4, write_tick(value), "chart-tick", anchor="end")
        for value in values
    )


def write_tick(value: float) -> str:
    """Return a value as an axis shows it."""
    return f"{value:,g}".replace("-", "−")


def position_labels(positions: Sequence[str], scale: Scale, height: float, width: int) -> str:
    """Return the labels of some positions, as many as there is room for."""
    longest = max(map(width_of, positions), default=0) + 12
    every = max(1, math.ceil(len(positions) * longest / (scale.end - scale.start)))
    return "".join(
        write_text(scale.place(at), height - 8, positions[at], "chart-tick", anchor="middle")
        for at in range(0, len(positions), every)
    )


def write_text(x: float, y: float, text: str, css: str, *, anchor: str) -> str:
    """Return a text whose `anchor` (start, middle or end) is at a position."""
    return f'<text class="{css}" x="{round(x, 2)}" y="{round(y, 2)}" text-anchor="{anchor}">{escape(text)}</text>'


def write_title(text: str) -> str:
    """Return the title of a mark, which browsers show when the pointer is on it."""
    return f"<title>{escape(text)}</title>"


def write_frame(height: float, caption: str, parts: Iterable[str], width: int) -> Markup:
    """Return a chart of these parts, which must have no unescaped texts in them."""
    css = "chart" if width == WIDE else "chart narrow"
    head = f'class="{css}" viewBox="0 0 {width} {round(height)}" role="img" aria-label="{escape(caption)}"'
    return Markup(f"<svg {head}>{''.join(parts)}</svg>")  # noqa: S704 - all texts in it are escaped
