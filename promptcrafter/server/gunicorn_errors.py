"""The response to requests that Gunicorn or our worker rejects before they reach the application."""

import json
import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import gunicorn.util

from promptcrafter.problems import RETRY_AFTER_S
from promptcrafter.server.logging import new_request_id

_log = logging.getLogger("promptcrafter.gunicorn")


def make_write_error(headers: Mapping[str, str]) -> Callable[[Any, int, str, str], None]:
    """Return a function that replaces `gunicorn.util.write_error`; it sends these headers, too."""
    more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return lambda sock, status, reason, message: _write_error(sock, status, message, more)


def _write_error(sock: Any, status: int, message: str, more_headers: str) -> None:
    """Write the JSON error body that the application's errors have.

    `message` is Gunicorn's text for the client, or empty. The log line does not quote the request.
    """
    reason = HTTPStatus(status).phrase
    request_id = new_request_id()
    text = message or reason
    _log.warning("refused a request with %s %s, as %s", status, reason, request_id)
    code = reason.lower().replace(" ", "_")
    body = json.dumps({"message": text, "error": text, "code": code, "requestId": request_id}).encode()
    retry = f"Retry-After: {RETRY_AFTER_S}\r\n" if status == HTTPStatus.SERVICE_UNAVAILABLE else ""
    head = (
        f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nX-Request-Id: {request_id}\r\nX-Content-Type-Options: nosniff\r\n"
        f"{retry}{more_headers}\r\n"
    )
    gunicorn.util.write_nonblock(sock, head.encode() + body)
