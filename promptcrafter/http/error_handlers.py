"""Error handlers: turn every exception into the one JSON error body.

Code raises a `Problem`, werkzeug an `HTTPException` for routes and methods, drivers a `DBAPIError`. The body of each is
`{"message", "error", "code", "requestId"}`, for validation errors also `details`. The text of a driver's error and
stack traces are never sent. Only the paths of `use_body` have another body.
"""

import logging
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, current_app, g, jsonify, request
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from promptcrafter.database import revisions, storage
from promptcrafter.database.errors import FileUnusable, describe_cause, find_code, is_of_ended_workspace, is_unavailable
from promptcrafter.http.route import requested_route
from promptcrafter.problems import (
    DiskFull,
    InvalidChunks,
    NewerSchema,
    NotMigrated,
    Problem,
    TooLarge,
    Unavailable,
    WorkspaceNotFound,
    describe,
)

BodyWriter = Callable[[Problem, str], tuple[bytes, str]]
_BODIES = "promptcrafter-error-bodies"
_NO_TURN = "no turn to write, or no free connection, within DATABASE_TIMEOUT_MS"
_BEARER, _BASIC = "Bearer", 'Basic realm="PromptCrafter", charset="UTF-8"'

_log = logging.getLogger(__name__)


def init_app(app: Flask) -> None:
    """Register the handlers."""
    app.extensions[_BODIES] = {}
    for kind, handle in _HANDLERS.items():
        app.register_error_handler(kind, handle)


def to_response(error: Exception) -> Response:
    """Return the response with the JSON body for any exception, by the handler that Flask would choose."""
    return next(_HANDLERS[kind] for kind in type(error).__mro__ if kind in _HANDLERS)(error)


def use_body(app: Flask, paths: Iterable[str], write: BodyWriter) -> None:
    """Let the errors of these paths have the body that a dialect's clients read instead of the common one.

    `write` is called with the problem and the media type of the request; it returns the body and its media type.
    """
    app.extensions[_BODIES].update(dict.fromkeys(paths, write))


def explain(error: DBAPIError) -> Problem | None:
    """Return the problem that a driver's error is reported as; None if it is a bug.

    It is DiskFull, Unavailable, WorkspaceNotFound, NotMigrated or NewerSchema.
    """
    if storage.is_full(error):
        return DiskFull()
    if isinstance(error.orig, FileUnusable):
        return Unavailable(f"{error.orig.summary} The operator of the server has to mend that.")
    if is_unavailable(error):
        return Unavailable()
    if is_of_ended_workspace(error):
        return WorkspaceNotFound()
    try:
        return revisions.find_mismatch()
    except DBAPIError:
        return Unavailable()


def describe_obstacle(error: DBAPIError | PoolTimeout | OSError | Problem) -> str:
    """Return, in one line for the log or a command, why the database could not be used; needs an application context.

    The line has no password, and no text or value of a statement.
    """
    if isinstance(error, PoolTimeout):
        return _NO_TURN
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    problem = error if isinstance(error, Problem) else explain(error)
    if isinstance(error, DBAPIError) and not isinstance(problem, NotMigrated | NewerSchema):
        return describe_cause(error)
    assert problem is not None
    return problem.message.removesuffix(".")


def report(error: DBAPIError | PoolTimeout) -> Problem | None:
    """Return the problem that an error of the database is reported as, and log its cause; None if it is a bug."""
    if isinstance(error, PoolTimeout):
        _log.warning("database unavailable: %s", describe_obstacle(error))
        return Unavailable()
    problem = explain(error)
    if isinstance(problem, DiskFull):
        _log.error("the disk of the database is full: %s", describe_cause(error))
    elif is_unavailable(error):
        _log.warning("database unavailable: %s", describe_cause(error))
    elif isinstance(problem, WorkspaceNotFound):
        _log.info("a workspace or a membership ended during a request: %s", describe_cause(error))
    return problem


def render(problem: Problem) -> Response:
    """Return the response with the error body of the path, the status and the headers of a problem."""
    # A view that raised a problem from a variable is in its trace: that cycle would keep the request for a while
    problem.without_trace()
    write: BodyWriter | None = current_app.extensions[_BODIES].get(request.path)
    if write is None:
        response = jsonify({**describe(problem), "requestId": g.get("request_id", "")})
    else:
        body, mimetype = write(problem, request.mimetype)
        response = current_app.response_class(body, mimetype=mimetype)
    response.status_code = problem.status
    response.headers.update(problem.headers)
    if problem.status == 401:
        route = requested_route()
        takes_basic = route is not None and route.takes_basic
        response.headers["WWW-Authenticate"] = f"{_BEARER}, {_BASIC}" if takes_basic else _BEARER
    return response


def _from_werkzeug(error: HTTPException) -> Response:
    status = error.code or 500
    if status == 413:
        return render(TooLarge("The request body", current_app.config["MAX_BODY_BYTES"], request.content_length))
    texts = {404: "Route not found", 405: "Method not allowed", 500: "Unexpected server error"}
    message = texts.get(status, error.description or HTTPStatus(status).phrase)
    code = {404: "route_not_found", 500: "internal_error"}.get(status, HTTPStatus(status).name.lower())
    headers = {name: value for name, value in error.get_headers() if name in ("Allow", "Retry-After")}
    return render(Problem(status, message, code, headers=headers))


def from_database(error: DBAPIError) -> Response:
    """Return the response for a driver's error: 507, 503, 404, or 500 if the error is a bug.

    A full disk is 503 for a request that only reads, because SQLite may need space for that, too.
    """
    problem = report(error)
    if problem is None:
        return _from_bug(error)
    if isinstance(problem, DiskFull) and request.method in ("GET", "HEAD"):
        problem = Unavailable("The server's disk is full. Try again.", problem.code)
    return render(problem)


def _from_timeout(error: PoolTimeout) -> Response:
    problem = report(error)
    return _from_bug(error) if problem is None else render(problem)


def _from_invalid_chunks(error: InvalidChunks) -> Response:
    return render(Problem(400, "The request body is not valid chunked transfer coding.", "invalid_chunks"))


def _from_bug(error: Exception) -> Response:
    # the formatter logs only the class and the locations: a driver's message quotes the values of the statement
    fields = {"requestId": g.get("request_id")}
    name = f"{type(error).__name__} {find_code(error)}" if isinstance(error, DBAPIError) else type(error).__name__
    _log.error("unexpected %s", name, exc_info=error, extra={"fields": fields})
    return render(Problem(500, "Unexpected server error", "internal_error"))


_HANDLERS: dict[type, Callable[[Any], Response]] = {
    Problem: render,
    HTTPException: _from_werkzeug,
    DBAPIError: from_database,
    PoolTimeout: _from_timeout,
    InvalidChunks: _from_invalid_chunks,
    Exception: _from_bug,
}
