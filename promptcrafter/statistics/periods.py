"""Days, ISO weeks and months, as texts that sort by time. Pure functions."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache


@lru_cache(maxsize=4096)
def name_of(unit: str, day: date) -> str:
    """Return the name of the period of a day: `2026-03-29`, `2026-W13` or `2026-03`."""
    return _NAMES[unit](day)


def each_name(unit: str, first: date, last: date) -> Iterator[str]:
    """Yield the names of all periods from that of the first day to that of the last one, in order."""
    day = _STARTS[unit](first)
    while True:
        yield name_of(unit, day)
        try:
            day = _STARTS[unit](day + _LENGTHS[unit])
        except OverflowError:  # past the year 9999
            return
        if day > last:
            return


def count_periods(unit: str, first: date, last: date) -> int:
    """Return how many names `each_name` yields."""
    if unit == "month":
        return 12 * (last.year - first.year) + last.month - first.month + 1
    return (_STARTS[unit](last) - _STARTS[unit](first)) // _LENGTHS[unit] + 1


def find_place(unit: str, first: date, moment: datetime) -> float:
    """Return where a time is on an axis of periods, in UTC: 0 is the middle of that of the first day, 1 of the next."""
    day = moment.astimezone(UTC).date()
    start = _STARTS[unit](day)
    before = -count_periods(unit, day, first) + 1 if day < first else count_periods(unit, first, day) - 1
    end = _STARTS[unit](start + _LENGTHS[unit])
    passed = (moment - datetime.combine(start, time.min, UTC)) / (end - start)
    return before + passed - 0.5


def _name_week(day: date) -> str:
    year, week, _ = day.isocalendar()
    return f"{year:04}-W{week:02}"


_NAMES: dict[str, Callable[[date], str]] = {
    "day": date.isoformat,
    "week": _name_week,
    "month": lambda day: day.isoformat()[:7],
}
# The first Monday of the year 1 is its first day
_STARTS: dict[str, Callable[[date], date]] = {
    "day": lambda day: day,
    "week": lambda day: day - timedelta(days=day.weekday()),
    "month": lambda day: day.replace(day=1),
}
_LENGTHS = {"day": timedelta(days=1), "week": timedelta(days=7), "month": timedelta(days=31)}
