"""The scales of charts: round values on an axis, and where a value is. Pure functions of numbers."""

import math
import sys
from collections.abc import Iterable
from typing import NamedTuple

TICKS = 5  # about as many on each axis
_LARGEST, _SMALLEST = 1e300, 1e-300  # beyond, a difference may be infinite and a step zero


class Scale(NamedTuple):
    """Maps values from `low` to `high` to positions from `start` to `end`, by their logarithms with `is_log`."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def place(self, value: float) -> float:
        """Return the position of a value; one beyond the ends is at the end."""
        convert = _log if self.is_log else bound
        low, high, at = map(convert, (self.low, self.high, value))
        share = 0.5 if high == low else (at - low) / (high - low)
        return round(self.start + min(1.0, max(0.0, share)) * (self.end - self.start), 2)


def bound(value: float) -> float:
    """Return the value as a chart can draw it: limited where sums of floats overflow, zero where steps underflow.

    Clients send any number that a float can hold.
    """
    return 0.0 if abs(value) < _SMALLEST else min(_LARGEST, max(-_LARGEST, value))


def ticks(low: float, high: float, count: int = TICKS, *, least_step: float = 0) -> list[float]:
    """Return round values from `low` to `high`, about `count` of them; the ends need not be among them."""
    start, end = bound(low), bound(high)
    if end <= start:
        return [low]
    step = _find_step(start, end, count, least_step)
    first, last = math.ceil(start / step - 1e-9), math.floor(end / step + 1e-9)
    decimals = max(0, 2 - math.floor(math.log10(step)))
    # Ends that differ by less than a float can tell apart may have no round value between them.
    return [round(number * step, decimals) for number in range(first, last + 1)][: 2 * count + 2] or [low]


def zoom(values: Iterable[float], low: float, high: float) -> tuple[float, float]:
    """Return round ends of an axis that shows the values: the whole scale, or the part of it that has them all.

    The part is taken if the values fill less than half of the scale. Bars, whose lengths are compared, need the whole.
    """
    low, high = bound(low), bound(high)
    inside = [min(high, max(low, bound(value))) for value in values]
    if not inside or high <= low:
        return low, high
    least, most = min(inside), max(inside)
    margin = max((most - least) * 0.15, (high - low) * 0.04)
    if most - least + 2 * margin > (high - low) / 2:
        return low, high
    step = _find_step(least - margin, most + margin, TICKS, 0)
    decimals = max(0, 2 - math.floor(math.log10(step)))
    start = round(math.floor((least - margin) / step) * step, decimals)
    end = round(math.ceil((most + margin) / step) * step, decimals)
    return max(low, start), min(high, end)


def round_up(value: float, *, least_step: float = 0) -> float:
    """Return the least round value that a positive one does not exceed, at which an axis from zero has a tick."""
    end = value = bound(value) or _SMALLEST
    step = 0.0
    while (next_step := _find_step(0, end, TICKS, least_step)) > step:  # an axis up to `end` may have wider steps
        step = next_step
        end = round(math.ceil(value / step - 1e-9) * step, max(0, 2 - math.floor(math.log10(step))))
    return end


def _log(value: float) -> float:
    return math.log10(max(value, sys.float_info.min))


def _find_step(low: float, high: float, count: int, least_step: float) -> float:
    resolution = max(abs(low), abs(high)) * sys.float_info.epsilon  # no step is less than floats can tell apart
    raw = max((high - low) / max(1, count), resolution, _SMALLEST)
    magnitude = 10.0 ** math.floor(math.log10(raw))
    # of numbers of things, whose least step is 1, 2.5 are none
    factors = (1, 2, 5, 10) if magnitude == least_step else (1, 2, 2.5, 5, 10)
    step = next(factor * magnitude for factor in factors if factor * magnitude >= raw * 0.999)
    return max(step, least_step)


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """Return 1, 2 and 5 of each power of ten between two numbers; of too many the powers, and of these every n-th."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    values = [value for power in powers for factor in (1, 2, 5) if low <= (value := factor * 10.0**power) <= high]
    if len(values) <= most:
        return values
    values = [value for power in powers if low <= (value := 10.0**power) <= high]
    return values[:: math.ceil(len(values) / most)] if values else []
