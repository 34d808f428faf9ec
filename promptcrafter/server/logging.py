"""Logging: one line for each request, with its id, status, duration and user.

A line never contains a body, a query string, a token or a password. Of an exception it contains the class and the
stack's locations, but not the text, because a driver's text quotes values.

A call may add fields to its line with `extra={"fields": {…}}`.
"""

import json
import logging
import re
import secrets
import time
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from flask import Flask, Response, g, request

from promptcrafter import clock
from promptcrafter.workspaces.principal import Principal

_VALID_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
_log = logging.getLogger("promptcrafter.request")
_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class _Formatter(logging.Formatter):
    def formatException(self, ei: _ExcInfo) -> str:  # noqa: N802 - logging's name
        kind, _, trace = ei
        frames = (f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(trace))
        return f"{kind.__name__ if kind else ''} at " + " < ".join(reversed(list(frames)))


class _JsonFormatter(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": clock.to_text(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


class _TextFormatter(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", {})
        time_of_day = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        text = record.getMessage()
        if record.name == _log.name:
            text = "{status} {method} {path} {durationMs} ms".format_map(fields) + f" {fields['userId'] or ''}".rstrip()
        exception = f"\n  {self.formatException(record.exc_info)}" if record.exc_info else ""
        # unescaped control characters in a path could forge lines
        return f"{time_of_day} {record.levelname[0]} {text.encode('unicode_escape').decode()}{exception}"


class _NoQuotes(logging.Filter):
    """Drops Gunicorn's lines about malformed requests, because they quote them, and about clients that disconnected."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(("Invalid request from", "Socket error processing request"))


def logging_config(log_format: str) -> dict[str, Any]:
    """Return a `logging.config` dictionary: all lines to standard error, in the format `json` or `text`."""
    formatter = _JsonFormatter if log_format == "json" else _TextFormatter
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"promptcrafter": {"()": formatter}},
        "filters": {"no_quotes": {"()": _NoQuotes}},
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": "promptcrafter", "filters": ["no_quotes"]}
        },
        "root": {"level": "INFO", "handlers": ["stderr"]},
        "loggers": {
            "alembic": {"level": "WARNING"},
            "gunicorn.error": {"level": "INFO", "handlers": [], "propagate": True},
        },
    }


def init_app(app: Flask) -> None:
    """Give each request an id, and write its line when its response has been sent."""
    app.before_request(_begin)
    app.after_request(_finish)


def new_request_id() -> str:
    """Return a random id, for a request whose client sent none or an invalid one."""
    return secrets.token_hex(16)


def _begin() -> None:
    # from the environment: `headers.get` raises and catches an exception for a missing header
    sent_id = request.environ.get("HTTP_X_REQUEST_ID", "")
    g.request_id = sent_id if _VALID_ID.fullmatch(sent_id) else new_request_id()
    g.started = time.perf_counter()


def _finish(response: Response) -> Response:
    response.headers["X-Request-Id"] = g.request_id
    principal: Principal | None = g.get("principal")
    line = {
        "requestId": g.request_id,
        "method": request.method,
        "path": request.path,
        "status": response.status_code,
        "userId": principal.user_id if principal else None,
    }
    started = g.started

    def write() -> None:
        line["durationMs"] = round((time.perf_counter() - started) * 1000, 1)
        _log.info("request", extra={"fields": line})

    response.direct_passthrough = False  # otherwise the server closes files itself and the line is missing
    response.call_on_close(write)
    return response
