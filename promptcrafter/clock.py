"""The time, in one place, so that tests can move it."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def now() -> datetime:
    """Return the current UTC time, cut to the milliseconds that the API shows."""
    return to_milliseconds(datetime.now(UTC))


def to_milliseconds(moment: datetime) -> datetime:
    """Return an aware time in UTC, cut to whole milliseconds."""
    moment = moment.astimezone(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def to_text(moment: datetime) -> str:
    """Return RFC 3339 text in UTC with milliseconds: `2024-06-20T13:10:00.000Z`."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def to_number(moment: datetime) -> int:
    """Return the milliseconds since 1970."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def from_number(milliseconds: int) -> datetime:
    """Return the time so many milliseconds after 1970. Raises OverflowError past the year 9999."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


def from_text(text: str) -> datetime:
    """Read ISO 8601 text; a time without a zone is UTC.

    Raises ValueError when it is none, or lies outside the years 1 to 9999 in UTC.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        return to_milliseconds(moment)
    except OverflowError as error:
        raise ValueError(str(error)) from error
