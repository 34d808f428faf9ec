"""Errors that are reported to the client: `Problem` and its subclasses.

`http/error_handlers.py` renders them. Nothing here depends on Flask.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from promptcrafter.jsonio import dumps
from promptcrafter.text import shorten

Details = dict[str, list[str]]
REQUIRED = "is required"
UNCHECKED = "has more faults than are listed"  # of a list whose items were not all checked
RETRY_AFTER_S = 1
MIGRATE = "run flask --app wsgi db upgrade"  # the end of what is said about a database that is not migrated
_DELETION_S = 5
# A body of 2 MiB can have hundreds of thousands of invalid fields, with names as long as the body. An error has each
# reason three times: in its message, in `error`, and in its details
_DETAILS_SHOWN = 100
_DETAILS_BYTES = 16 * 1024
_NAME_MAX, _REASON_MAX = 200, 1000  # characters


class Problem(Exception):
    """An error to report to the client: HTTP status, text for people, code for programs, response headers.

    `details` maps field names to lists of reasons, or is None.
    """

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

    def without_trace(self) -> Self:
        """Return the problem for keeping, such as with the results of a batch.

        Where an exception was raised from, and from which other one, it refers to the whole request by its traceback.
        """
        self.__cause__ = self.__context__ = None
        return self.with_traceback(None)


class Invalid(Problem):
    """400: fields are missing or invalid.

    `details` maps each field to its reasons. A reason continues a sentence that begins with the field's name. At most
    `_DETAILS_SHOWN` reasons are reported, and fewer if they are long; the message has the number of the others, unless
    `UNCHECKED` among the reasons shows that it is not known. `more` is the number of fields that `details` leaves out
    already.
    """

    def __init__(self, details: Details, code: str = "invalid_fields", *, more: int = 0) -> None:
        details, omitted = _limit(details)
        more += omitted
        is_unchecked = any(UNCHECKED in reasons for reasons in details.values())
        rest = " And more." if is_unchecked else f" And {more} more." if more > 0 else ""
        missing = {field: each for field, reasons in details.items() for each in reasons if _says_required(each)}
        if missing:
            # of a single field the whole reason, which may explain what is required
            verb = "are required" if len(missing) > 1 else next(iter(missing.values()))
            message, code = f"{_enumerate(missing)} {verb}", "missing_fields"
        else:
            message = "; ".join(f"{field} {reason}" for field, reasons in details.items() for reason in reasons) + "."
        super().__init__(400, message + rest, code, details=details)


class Unauthorized(Problem):
    """401: the token is missing, invalid, expired or revoked."""

    def __init__(self, message: str | None = None, details: Details | None = None) -> None:
        super().__init__(401, message or "Invalid or missing bearer token", "unauthorized", details=details)


class InOtherWorkspace(Problem):
    """404: the resource is in another workspace of the caller than the one that the request is confined to.

    `workspace` is the slug of the workspace that it is in, `resource_ids` are the ids in question there, as far as they
    are known.
    """

    def __init__(self, kind: str, workspace: str, resource_ids: Iterable[str]) -> None:
        super().__init__(404, f"{kind.capitalize()} not found in this workspace", f"{kind}_not_found")
        self.workspace = workspace
        self.resource_ids = frozenset(resource_ids)


class WorkspaceNotFound(Problem):
    """404: the workspace does not exist, or the caller is no member of it, possibly since a moment ago."""

    def __init__(self, more: str = "") -> None:
        super().__init__(404, f"Workspace not found{more}", "workspace_not_found")


class TooLarge(Problem):
    """413: `what` is larger than `limit` bytes; `size` is its size in bytes, None if unknown."""

    def __init__(self, what: str, limit: int, size: int | None) -> None:
        actual = f"it is {size:,}" if size is not None else "it is more"
        super().__init__(413, f"{what} may have at most {limit:,} bytes; {actual}.", "too_large")


class Unavailable(Problem):
    """503: the database is busy, unreachable or not ready; the client may retry after `RETRY_AFTER_S` seconds."""

    def __init__(
        self, message: str = "The database is busy or away. Try again.", code: str = "database_unavailable"
    ) -> None:
        super().__init__(503, message, code, headers={"Retry-After": str(RETRY_AFTER_S)})


class DiskFull(Problem):
    """507: the disk of the database is full; reading is still possible."""

    def __init__(self) -> None:
        super().__init__(507, "The server's disk is full. Nothing was stored.", "insufficient_storage")


class DeletionPending(Problem):
    """409: something was deleted, but is not removed yet. `what` begins a sentence, and ends with its verb."""

    def __init__(self, what: str, details: Details | None = None) -> None:
        message = f"{what} being deleted, which takes a while. Try again."
        headers = {"Retry-After": str(_DELETION_S)}
        super().__init__(409, message, "deletion_pending", details=details, headers=headers)


class NotMigrated(Unavailable):
    """503: the database lacks migrations of this release."""

    def __init__(self) -> None:
        super().__init__(f"The database is not migrated: {MIGRATE}.", "database_not_migrated")


class NewerSchema(Unavailable):
    """503: a newer release has migrated the database, and this release may no longer write to it."""

    def __init__(self) -> None:
        super().__init__(
            "The database was migrated by a newer release than this one: upgrade the service.", "database_too_new"
        )


class InvalidChunks(Exception):
    """The request body is not valid chunked transfer coding; answered as 400 `invalid_chunks`.

    It is not a Problem: code that reads a body line by line collects the problems of its lines and goes on, but after
    this error no further line can be read.
    """


def _says_required(reason: str) -> bool:
    """Return whether a field is missing; `is required: …` explains what it takes."""
    return reason == REQUIRED or reason.startswith(f"{REQUIRED}:")


def flatten(messages: Any) -> Details:
    """Return marshmallow's messages about one location, such as `{"json": {…}}`, as reasons by dotted field name."""
    ((_, by_field),) = messages.items()
    return {".".join(path): reasons for path, reasons in _walk(by_field, ())}


def _walk(messages: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Yield the path and the reasons of each invalid field: `("logs", "0", "type")` in the first item of a list."""
    if isinstance(messages, dict):
        for name, inner in messages.items():
            yield from _walk(inner, path if name == "_schema" else (*path, str(name)))
    else:
        yield path, list(messages)


def _limit(details: Details) -> tuple[Details, int]:
    """Return the first reasons, with names and reasons shortened, and the number of the others."""
    pairs = [(field, reason) for field, reasons in details.items() for reason in reasons]
    limited: Details = {}
    shown = size = 0
    for field, reason in pairs[:_DETAILS_SHOWN]:
        name, text = shorten(field, _NAME_MAX), shorten(reason, _REASON_MAX)
        size += len(dumps([name, text]).encode())
        if shown and size > _DETAILS_BYTES:
            break
        limited.setdefault(name, []).append(text)
        shown += 1
    return limited, len(pairs) - shown


def describe(problem: Problem) -> dict[str, Any]:
    """Return the fields of the error body, without `requestId`."""
    body = {"message": problem.message, "error": problem.message, "code": problem.code}
    return body if problem.details is None else {**body, "details": problem.details}


def _enumerate(names: Iterable[str]) -> str:
    """Join names as `a`, `a and b`, or `a, b, and c`."""
    *others, last = names
    return f"{', '.join(others)}{',' if len(others) > 1 else ''} and {last}" if others else last
