"""Responses of OTLP: a body in the encoding of the request, also of errors.

Errors of these paths are a `google.rpc.Status` instead of the JSON body of all other paths, since exporters read that.
"""

import json

from flask import Flask, Response, request

PROTOBUF, JSON = "application/x-protobuf", "application/json"
PATHS = ("/v1/traces", "/v1/logs", "/v1/metrics")
_PREFIXES = ("", "/basalt", "/api/public/otel")
_ALL_PATHS = frozenset(prefix + path for prefix in _PREFIXES for path in PATHS)
# Codes of gRPC by status codes of HTTP (google/rpc/code.proto)
_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 413: 8, 415: 3, 429: 8, 503: 14, 507: 8}
_INTERNAL = 13


def init_app(app: Flask) -> None:
    """Write the errors of these paths as exporters read them."""
    app.after_request(_rewrite_error)


def succeed(rejected: int = 0, message: str = "") -> Response:
    """Return the 200 for what is stored, with how many spans or records are not, and why."""
    if request.mimetype == PROTOBUF:
        body = _message(1, _number(1, rejected) + _text(2, message)) if rejected or message else b""
        return Response(body, mimetype=PROTOBUF)
    field = "rejectedLogRecords" if request.path.endswith("logs") else "rejectedSpans"
    partial = {"partialSuccess": {field: str(rejected), "errorMessage": message}} if rejected or message else {}
    return Response(json.dumps(partial), mimetype=JSON)


def _rewrite_error(response: Response) -> Response:
    if response.status_code < 400 or request.path not in _ALL_PATHS:
        return response
    body = response.get_json(silent=True) or {}
    code, message = _CODES.get(response.status_code, _INTERNAL), body.get("message", "")
    if details := body.get("details"):
        message = "; ".join([message, *(f"{name} {', '.join(reasons)}" for name, reasons in details.items())])
    if request.mimetype == PROTOBUF:
        response.set_data(_number(1, code) + _text(2, message))
        response.mimetype = PROTOBUF
    else:
        response.set_data(json.dumps({"code": code, "message": message}))
    return response


def _number(field: int, value: int) -> bytes:
    """Return a field of protobuf that holds a whole number, nothing for 0."""
    return bytes([field << 3]) + _varint(value) if value else b""


def _text(field: int, value: str) -> bytes:
    return _message(field, value.encode()) if value else b""


def _message(field: int, value: bytes) -> bytes:
    return bytes([field << 3 | 2]) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    digits = []
    while value > 127:
        digits.append(value & 127 | 128)
        value >>= 7
    return bytes([*digits, value])
