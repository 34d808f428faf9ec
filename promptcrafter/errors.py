"""Every error's one body, and the one place that renders it.

Code raises a `Problem`; werkzeug raises its own for routes and methods; drivers raise theirs. All leave as
`{"message", "error", "code", "requestId"}`, validation errors with `details` besides. Nothing that a driver
or a stack says ever leaves.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from http import HTTPStatus
from itertools import islice
from typing import Any

from flask import Flask, Response, current_app, g, jsonify, request
from gunicorn.http.errors import ParseException
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as WaitedTooLong
from werkzeug.exceptions import HTTPException

from promptcrafter import revisions
from promptcrafter.failures import is_unavailable

Details = dict[str, list[str]]
REQUIRED = "is required"
RETRY_AFTER_S = 1
_DETAILS_SHOWN = 100  # a body of two mebibytes may have as many wrong fields as it has bytes
_HEAR_OUT_BYTES = 64 * 1024 * 1024

_log = logging.getLogger(__name__)


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


def init_app(app: Flask) -> None:
    """Register the handlers."""
    app.after_request(_hear_out)
    app.register_error_handler(Problem, render)
    app.register_error_handler(HTTPException, _from_werkzeug)
    app.register_error_handler(DBAPIError, from_database)
    app.register_error_handler(WaitedTooLong, lambda error: render(Unavailable()))
    app.register_error_handler(ParseException, _from_broken_body)
    app.register_error_handler(Exception, _from_bug)


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


def explain(error: DBAPIError) -> Problem | None:
    """Return what to tell of a driver's error; None when the statement was wrong."""
    if is_unavailable(error):
        return Unavailable()
    try:
        return None if revisions.is_migrated() else NotMigrated()
    except DBAPIError:
        return Unavailable()


def render(problem: Problem) -> Response:
    """Make the one error body of a problem."""
    response = jsonify({**describe(problem), "requestId": g.get("request_id", "")})
    response.status_code = problem.status
    response.headers.update(problem.headers)
    if problem.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _enumerate(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)}{',' if len(others) > 1 else ''} and {last}" if others else last


def _from_werkzeug(error: HTTPException) -> Response:
    status = error.code or 500
    if status == 413:
        return render(TooLarge("The request body", current_app.config["MAX_BODY_BYTES"], request.content_length))
    texts = {404: "Route not found", 405: "Method not allowed", 500: "Unexpected server error"}
    message = texts.get(status, error.description or HTTPStatus(status).phrase)
    code = {404: "route_not_found", 500: "internal_error"}.get(status, HTTPStatus(status).name.lower())
    headers = {name: value for name, value in error.get_headers() if name in ("Allow", "Retry-After")}
    return render(Problem(status, message, code, headers=headers))


def _hear_out(response: Response) -> Response:
    """Read the rest of a refused request's body.

    A client that sends it whole before it listens would otherwise meet a closed connection instead of the answer, and
    so would its next request.
    """
    if response.status_code >= 400 and request.method in ("POST", "PUT", "PATCH"):
        left = _HEAR_OUT_BYTES
        with suppress(OSError, ParseException):
            while left > 0 and (read := request.environ["wsgi.input"].read(65536)):
                left -= len(read)
    return response


def from_database(error: DBAPIError) -> Response:
    """Make the answer to what a driver raised."""
    if is_unavailable(error):
        _log.warning("database unavailable: %s", type(error.orig).__name__)
    problem = explain(error)
    return _from_bug(error) if problem is None else render(problem)


def _from_broken_body(error: ParseException) -> Response:
    return render(Problem(400, "The request body is not valid chunked transfer coding.", "invalid_chunks"))


def _from_bug(error: Exception) -> Response:
    # Only the kind and the place: a driver's message quotes the values of the statement
    told = {"requestId": g.get("request_id")}
    _log.error("unexpected %s", type(error).__name__, exc_info=error, extra={"told": told})
    return render(Problem(500, "Unexpected server error", "internal_error"))
