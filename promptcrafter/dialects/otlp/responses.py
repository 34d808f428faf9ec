"""Responses of OTLP: a body in the encoding of the request, also of errors. Pure functions.

Errors of these paths are a `google.rpc.Status` instead of the JSON body of all other paths, since exporters read that.
A request in neither encoding gets JSON, which people can read.
"""

from collections import Counter
from collections.abc import Iterator

from flask import Flask

from promptcrafter import jsonio
from promptcrafter.dialects.otlp.signals import JSON, PREFIXES, PROTOBUF, SIGNALS, Signal
from promptcrafter.dialects.otlp.wire import write_bytes, write_number, write_text
from promptcrafter.http import error_handlers
from promptcrafter.problems import Problem

_RULES_SHOWN = 5
# The numbers of fields (opentelemetry/proto/collector, google/rpc/status.proto)
_PARTIAL_SUCCESS, _REJECTED, _ERROR_MESSAGE = 1, 1, 2
_CODE, _MESSAGE = 1, 2
# Codes of gRPC by status codes of HTTP (google/rpc/code.proto)
_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 413: 8, 415: 3, 429: 8, 503: 14, 507: 8}
_UNKNOWN, _INTERNAL = 2, 13


def init_app(app: Flask) -> None:
    """Write the errors of these paths as exporters read them."""
    paths = [prefix + signal.path for prefix in PREFIXES for signal in SIGNALS]
    error_handlers.use_body(app, paths, write_status)


def write_success(signal: Signal, rejections: Counter[str], mimetype: str) -> bytes:
    """Return the body of a 200; `rejections` has the rules that items break, and how many break each."""
    rejected, message = rejections.total(), _describe(rejections)
    if mimetype == PROTOBUF:
        partial = write_number(_REJECTED, rejected) + write_text(_ERROR_MESSAGE, message)
        return write_bytes(_PARTIAL_SUCCESS, partial) if partial else b""
    success = {signal.json_rejected: str(rejected), "errorMessage": message}
    return jsonio.dumps({"partialSuccess": success} if rejected else {}).encode()


def write_status(problem: Problem, mimetype: str) -> tuple[bytes, str]:
    """Return an error as a `google.rpc.Status`, and its media type."""
    code, message = _CODES.get(problem.status, _INTERNAL if problem.status >= 500 else _UNKNOWN), _explain(problem)
    if mimetype == PROTOBUF:
        return write_number(_CODE, code) + write_text(_MESSAGE, message), PROTOBUF
    return jsonio.dumps({"code": code, "message": message}).encode(), JSON


def _describe(rejections: Counter[str]) -> str:
    """Return the rules that are broken most, each with the number of items that break it."""
    parts = [f"{count} rejected: {rule}" for rule, count in rejections.most_common(_RULES_SHOWN)]
    more = len(rejections) - len(parts)
    return "; ".join([*parts, *([f"and {more} more rules"] if more else [])])


def _explain(problem: Problem) -> str:
    """Return the message of a problem with those of its details that it does not quote."""
    return "; ".join([problem.message, *(text for text in _each_detail(problem) if text not in problem.message)])


def _each_detail(problem: Problem) -> Iterator[str]:
    for name, reasons in (problem.details or {}).items():
        for reason in reasons:
            yield f"{name} {reason}"
