"""What a request must be before its view runs: JSON in UTF-8 that says so, with parameters that the call takes."""

import difflib
from collections.abc import Sequence
from functools import cache
from typing import Any
from urllib.parse import unquote_to_bytes

from flask import Request, current_app, request
from werkzeug.exceptions import NotFound, RequestEntityTooLarge

from promptcrafter import jsonio
from promptcrafter.problems import Details, Invalid, Problem

LINES = "application/x-ndjson"


def refuse_other_media() -> None:
    """Raise 415 where a view takes a body and it is, or says it is, something else than the view takes."""
    view = _called_view()
    if not takes_body(view):
        return
    kind = request.mimetype
    is_json = kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))
    is_lines = kind == LINES and (takes_file(view) or lines_of(view))
    if not is_lines and not (is_json and takes_json(view)):
        named = ["application/json"] * takes_json(view) + [LINES] * bool(takes_file(view) or lines_of(view))
        raise Problem(415, f"Content-Type must be {' or '.join(named)}", "unsupported_media_type")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Problem(415, "Content-Encoding is not supported; send the body as it is", "unsupported_content_encoding")


def refuse_odd_slugs() -> None:
    """Raise 404 for a slug that no database could keep. What else is in a path is refused by its shape."""
    if jsonio.find_unstorable_text((request.view_args or {}).get("slug", "")):
        raise NotFound


def refuse_unknown_parameters() -> None:
    """Raise 400 for a query parameter that the view does not take, or that comes twice."""
    view = _called_view()
    if not request.query_string or view is None:
        return
    try:
        unquote_to_bytes(request.query_string).decode()
    except UnicodeDecodeError as error:
        raise Problem(400, "The query string is not UTF-8.", "invalid_utf8") from error
    known = _known_parameters(view)
    details: Details = {}
    for name, values in request.args.lists():
        if name not in known:
            details[name] = [f"is not a parameter of this call; {_hint(name, known)}"]
        elif len(values) > 1:
            details[name] = ["must be given once"]
    if details:
        raise Invalid(details, "invalid_parameters")


def read_object(req: Request) -> dict[str, Any]:
    """Return the JSON object that is the body. Raises 400 when it is none, 413 when it is too large.

    Of a view that takes lines, NDJSON is read as an object whose one field holds them.
    """
    name = lines_of(_called_view())
    if name and req.mimetype == LINES:
        return {name: [_read_line(line) for line in _read_body(req).split(b"\n") if line.strip()]}
    value = _read_json(_read_body(req))
    if not isinstance(value, dict):
        raise Problem(400, "The body must be a JSON object.", "not_an_object")
    return value


def lines_of(view: Any) -> str | None:
    """Return the field of the body that NDJSON may be sent as the lines of; None where it may not be sent."""
    name: str | None = getattr(view, "lines_of", None)
    return name


def _read_line(line: bytes) -> Any:
    """Return a line's value, or what is wrong with it: its neighbours are not to suffer."""
    try:
        return _read_json(line)
    except Problem as problem:
        return problem


def _read_json(data: bytes) -> Any:
    try:
        return jsonio.loads(data)
    except jsonio.JsonError as error:
        raise Problem(400, str(error), error.code) from error


@cache
def takes_json(view: Any) -> bool:
    """Tell whether a view takes a JSON object as its body."""
    return any(argument["in"] == "json" for argument in _arguments(view))


def takes_file(view: Any) -> bool:
    """Tell whether a view reads NDJSON of any length from the body by itself."""
    return getattr(view, "takes_file", False)


def takes_body(view: Any) -> bool:
    """Tell whether a view takes a body."""
    return takes_json(view) or takes_file(view)


def _read_body(req: Request) -> bytes:
    body = req.get_data()
    if len(body) > current_app.config["MAX_BODY_BYTES"]:
        raise RequestEntityTooLarge
    if len(body) < (req.content_length or 0):  # a client that was cut off is to try again, and the whole of it
        raise Problem(400, "The body ended before its Content-Length.", "incomplete_body")
    return body


def _called_view() -> Any:
    """Return the view that is about to run; None when there is none for this path and method."""
    if request.endpoint is None or request.method == "OPTIONS":
        return None
    return current_app.view_functions[request.endpoint]


def _hint(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"the nearest is {near[0]}"
    return f"it takes {', '.join(known)}" if known else "this call takes none"


@cache
def _known_parameters(view: Any) -> tuple[str, ...]:
    return tuple(
        field.data_key or name
        for argument in _arguments(view)
        if argument["in"] == "query"
        for name, field in argument["schema"].fields.items()
    )


def _arguments(view: Any) -> list[dict[str, Any]]:
    arguments: list[dict[str, Any]] = getattr(view, "_apidoc", {}).get("arguments", {}).get("parameters", [])
    return arguments
