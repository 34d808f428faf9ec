"""Checks of a request before its view runs: media type, encoding, query parameters, and the JSON of its body."""

import difflib
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

from flask import Flask, Request, current_app, request
from werkzeug.exceptions import NotFound, RequestEntityTooLarge

from promptcrafter import jsonio
from promptcrafter.http.route import requested_route
from promptcrafter.problems import Details, Invalid, Problem

JSON, NDJSON = "application/json", "application/x-ndjson"
OCTET_STREAM = "application/octet-stream"  # a file whose type the client does not know: generated clients send it


def init_app(app: Flask) -> None:
    """Check every request, in this order."""
    app.before_request(refuse_unstorable_slug)
    app.before_request(refuse_unsupported_media_type)
    app.before_request(refuse_unknown_parameters)


def refuse_unstorable_slug() -> None:
    """Raise 404 for a slug that no database could store. The patterns of ids exclude such text by themselves."""
    if jsonio.find_unstorable_text((request.view_args or {}).get("slug", "")):
        raise NotFound


def refuse_unsupported_media_type() -> None:
    """Raise 415 unless the Content-Type of a body is one that the route accepts, and the body is not encoded."""
    route = requested_route()
    if route is None or not route.takes_body:
        return
    mimetype = request.mimetype
    is_json = mimetype == JSON or (mimetype.startswith("application/") and mimetype.endswith("+json"))
    is_file = mimetype == OCTET_STREAM and route.takes_file
    if not (mimetype == NDJSON and route.takes_ndjson) and not (is_json and route.takes_json) and not is_file:
        accepted = [JSON] * route.takes_json + [NDJSON] * route.takes_ndjson + [OCTET_STREAM] * route.takes_file
        raise Problem(415, f"Content-Type must be {' or '.join(accepted)}", "unsupported_media_type")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Problem(415, "Content-Encoding is not supported; send the body as it is", "unsupported_content_encoding")


def refuse_unknown_parameters() -> None:
    """Raise 400 for query parameters that the route does not declare, and for repeated ones."""
    route = requested_route()
    if not request.query_string or route is None:
        return
    try:
        unquote_to_bytes(request.query_string).decode()
    except UnicodeDecodeError as error:
        raise Problem(400, "The query string is not UTF-8.", "invalid_utf8") from error
    known = route.query_parameters
    details: Details = {}
    for name, values in request.args.lists():
        if name not in known:
            details[name] = [f"is not a parameter of this call; {_hint(name, known)}"]
        elif len(values) > 1:
            details[name] = ["must be given once"]
    if details:
        raise Invalid(details, "invalid_parameters")


def read_object(req: Request) -> dict[str, Any]:
    """Return the JSON object in the body. Raises 400 when it is not one, 413 when it is too large.

    Where the route has an `ndjson_field`, an NDJSON body is returned as an object with that field: its items are the
    parsed lines.
    """
    route = requested_route()
    if route is not None and route.ndjson_field is not None and req.mimetype == NDJSON:
        return {route.ndjson_field: [_parse_line(line) for line in _read_body(req).split(b"\n") if line.strip()]}
    value = _parse(_read_body(req))
    if not isinstance(value, dict):
        raise Problem(400, "The body must be a JSON object.", "not_an_object")
    return value


def _parse_line(line: bytes) -> Any:
    """Return the parsed line, or the `Problem`, so that one bad line does not reject the batch."""
    try:
        return _parse(line)
    except Problem as problem:
        return problem


def _parse(data: bytes) -> Any:
    try:
        return jsonio.loads(data)
    except jsonio.JsonError as error:
        raise Problem(400, str(error), error.code) from error


def _read_body(req: Request) -> bytes:
    """Return the body. Raises 413 when it is too large and 400 when it is incomplete."""
    body = req.get_data()
    if len(body) > current_app.config["MAX_BODY_BYTES"]:
        raise RequestEntityTooLarge
    if len(body) < (req.content_length or 0):  # a client that was cut off must send the whole body again
        raise Problem(400, "The body ended before its Content-Length.", "incomplete_body")
    return body


def _hint(name: str, known: Sequence[str]) -> str:
    """Return the known parameter that is most similar to `name`, or all known ones, as the end of a sentence."""
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"the nearest is {near[0]}"
    return f"it takes {', '.join(known)}" if known else "this call takes none"
