"""The current time and its conversions. All code takes the time from here, so that tests can set it."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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
    """Return the datetime in UTC for milliseconds since 1970. Raises OverflowError past the year 9999."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


def from_text(text: str) -> datetime:
    """Parse ISO 8601 text; a time without an offset is taken as UTC. Returns UTC, cut to milliseconds.

    Raises ValueError if the text is not such a time or lies outside the years 1 to 9999 in UTC.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        return to_milliseconds(moment)
    except OverflowError as error:
        raise ValueError(str(error)) from error
