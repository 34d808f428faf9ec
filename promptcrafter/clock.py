"""The current time and its conversions. All code takes the time from here, so that tests can set it."""

import re
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = -62_135_596_800_000, 253_402_300_799_999  # milliseconds from 1970 to the years 1 and 9999
_MONTH, _DAY, _HOUR = "(?:0[1-9]|1[0-2])", "(?:0[1-9]|[12][0-9]|3[01])", "(?:[01][0-9]|2[0-3])"
_MINUTE = "[0-5][0-9]"
_SECOND = "(?:[0-5][0-9]|60)(?:[.,][0-9]+)?"
_OFFSET = f"(?:[Zz]|[+-]{_HOUR}(?::?{_MINUTE})?)"
_LONGEST_TEXT = 1000  # characters; a fraction of a second may have any number of digits that fits


def pattern(year: str = "[0-9]{4}") -> str:
    """Return a regular expression for the texts that `from_text` parses, with this one for the year.

    It describes RFC 3339, ISO 8601 in its extended and its basic format, and dates alone. It accepts some texts that
    are no time, such as a February 30th. ECMAScript can read it, too.
    """
    extended = f"{year}-{_MONTH}-{_DAY}(?:[Tt ]{_HOUR}:{_MINUTE}(?::{_SECOND})?{_OFFSET}?)?"
    basic = f"{year}{_MONTH}{_DAY}(?:[Tt ]{_HOUR}{_MINUTE}(?:{_SECOND})?{_OFFSET}?)?"
    return f"(?:{extended}|{basic})"


_TEXT = re.compile(pattern())


def now() -> datetime:
    """Return the current time as an aware datetime in UTC, cut to milliseconds, which is what the API shows."""
    return to_milliseconds(datetime.now(UTC))


def to_milliseconds(moment: datetime) -> datetime:
    """Convert an aware datetime to UTC and cut it to whole milliseconds. Raises OverflowError past the year 9999."""
    moment = moment.astimezone(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def to_text(moment: datetime) -> str:
    """Return RFC 3339 text in UTC with milliseconds: `2024-06-20T13:10:00.000Z`."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def to_number(moment: datetime) -> int:
    """Return the whole milliseconds from 1970 to an aware datetime."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def from_number(milliseconds: int) -> datetime:
    """Return the datetime in UTC for milliseconds since 1970. Raises OverflowError outside of the years 1 to 9999."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


def measure_ms(start: datetime | None, end: datetime | None) -> float | None:
    """Return the milliseconds between two times; None if one is unknown, or they are in the wrong order."""
    if start is None or end is None or end < start:
        return None
    return (end - start).total_seconds() * 1000


def from_any_number(milliseconds: int) -> datetime:
    """Return the datetime in UTC for milliseconds since 1970, or the nearest that there is."""
    return from_number(min(max(milliseconds, _FIRST), _LAST))


def from_text(text: str) -> datetime:
    """Parse a time that `pattern` describes; one without an offset is taken as UTC. Returns UTC, cut to milliseconds.

    A leap second is the last millisecond of the second before it: it stays in its minute, day and year, and in order.
    Raises ValueError if the text is not such a time or lies outside the years 1 to 9999 in UTC.
    """
    if len(text) > _LONGEST_TEXT or not _TEXT.fullmatch(text):
        raise ValueError("not a time")
    start = 17 if text[4] == "-" else 13
    is_leap = text[start : start + 2] == "60"
    if is_leap:
        text = f"{text[:start]}59{text[start + 2 :]}"
    moment = datetime.fromisoformat(text.replace(",", ".").upper())
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        moment = to_milliseconds(moment)
        if is_leap:
            _refuse_no_leap_second(moment)
            moment = moment.replace(microsecond=999_000)
    except OverflowError as error:
        raise ValueError(str(error)) from error
    return moment


def _refuse_no_leap_second(moment: datetime) -> None:
    """Raise ValueError unless the second after this one may be a leap second: at the end of a month, in UTC."""
    after = moment.replace(microsecond=0) + timedelta(seconds=1)
    if (after.day, after.hour, after.minute, after.second) != (1, 0, 0, 0):
        raise ValueError("no leap second")
