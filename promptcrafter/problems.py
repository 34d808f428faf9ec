"""The errors that code raises for a client to see: `Problem` and its kinds, and how their fields are described.

`http/error_handlers.py` renders them. Nothing here knows Flask.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

Details = dict[str, list[str]]
REQUIRED = "is required"
RETRY_AFTER_S = 1
_DETAILS_SHOWN = 100  # a body of two mebibytes may have as many wrong fields as it has bytes


class Problem(Exception):
    """An error to be told to the client: status, text for people, code for machines, headers."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str,
        *,
        details: Details | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.details = details
        self.headers = dict(headers or {})


class Invalid(Problem):
    """400: fields break their rules. `details` maps each field to its reasons, each the rest of a sentence."""

    def __init__(self, details: Details, code: str = "invalid_fields") -> None:
        more = len(details) - _DETAILS_SHOWN
        details = dict(islice(details.items(), _DETAILS_SHOWN))
        missing = [field for field, reasons in details.items() if REQUIRED in reasons]
        if missing:
            message, code = (
                _enumerate(missing) + (" are required" if len(missing) > 1 else " is required"),
                "missing_fields",
            )
        else:
            message = "; ".join(f"{field} {reason}" for field, reasons in details.items() for reason in reasons) + "."
        super().__init__(400, f"{message} And {more} more." if more > 0 else message, code, details=details)


class Unauthorized(Problem):
    """401: no token, or one that is not or no longer good."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(401, message or "Invalid or missing bearer token", "unauthorized")


class TooLarge(Problem):
    """413: names what is too large, the limit and, where it is known, the size."""

    def __init__(self, what: str, limit: int, size: int | None) -> None:
        told = f"it is {size:,}" if size is not None else "it is more"
        super().__init__(413, f"{what} may have at most {limit:,} bytes; {told}.", "too_large")


class Unavailable(Problem):
    """503: the database is busy, away or not ready; the request may be sent again."""

    def __init__(
        self, message: str = "The database is busy or away. Try again.", code: str = "database_unavailable"
    ) -> None:
        super().__init__(503, message, code, headers={"Retry-After": str(RETRY_AFTER_S)})


class NotMigrated(Unavailable):
    """503: the database has not the tables that this release needs."""

    def __init__(self) -> None:
        super().__init__("The database is not migrated: run flask --app wsgi db upgrade.", "database_not_migrated")


class InvalidChunks(Exception):
    """The request body is not valid chunked transfer coding; answered as 400 `invalid_chunks`.

    It is not a Problem, because what reads a body line by line collects the problems of its lines, and this one ends
    the body.
    """


def flatten(messages: Any) -> Details:
    """Return what marshmallow says of one location, such as the body, field by field."""
    ((_, by_field),) = messages.items()
    return {".".join(path): reasons for path, reasons in _walk(by_field, ())}


def _walk(messages: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Yield where in the body and what is wrong: `logs.0.type` for the first of a list."""
    if isinstance(messages, dict):
        for name, inner in messages.items():
            yield from _walk(inner, path if name == "_schema" else (*path, str(name)))
    else:
        yield path, list(messages)


def describe(problem: Problem) -> dict[str, Any]:
    """Return what is told of a problem."""
    told = {"message": problem.message, "error": problem.message, "code": problem.code}
    return told if problem.details is None else {**told, "details": problem.details}


def _enumerate(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)}{',' if len(others) > 1 else ''} and {last}" if others else last
