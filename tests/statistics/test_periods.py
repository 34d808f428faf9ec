"""Periods: where a time is on an axis of days, weeks or months."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptcrafter.statistics import periods

UNITS = ("day", "week", "month")


@pytest.mark.parametrize(
    ("unit", "moment", "place"),
    [
        ("day", datetime(2026, 3, 4, tzinfo=UTC), -0.5),
        ("day", datetime(2026, 3, 4, 12, tzinfo=UTC), 0),
        ("day", datetime(2026, 3, 6, 12, tzinfo=UTC), 2),
        ("day", datetime(2026, 3, 3, 12, tzinfo=UTC), -1),
        ("day", datetime(2026, 3, 5, 1, tzinfo=timezone(timedelta(hours=13))), 0),
        ("week", datetime(2026, 3, 2, tzinfo=UTC), -0.5),
        ("week", datetime(2026, 3, 12, 12, tzinfo=UTC), 1),
        ("week", datetime(2026, 2, 19, 12, tzinfo=UTC), -2),
        ("month", datetime(2026, 3, 16, 12, tzinfo=UTC), 0),
        ("month", datetime(2027, 3, 1, tzinfo=UTC), 11.5),
    ],
)
def test_the_middle_of_a_period_has_its_number(unit: str, moment: datetime, place: float) -> None:
    assert periods.find_place(unit, date(2026, 3, 4), moment) == pytest.approx(place)


@given(
    st.sampled_from(UNITS), st.dates(date(1990, 1, 1), date(2090, 1, 1)), st.integers(0, 3000), st.integers(0, 86399)
)
def test_a_time_is_within_the_period_that_its_day_belongs_to(unit: str, first: date, days: int, seconds: int) -> None:
    day = first + timedelta(days=days)
    names = list(periods.each_name(unit, first, day))
    moment = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(seconds=seconds)
    assert periods.count_periods(unit, first, day) == len(names)
    assert len(names) - 1.5 <= periods.find_place(unit, first, moment) < len(names) - 0.5
