"""Checks of a request before its view runs: media type, encoding, query parameters, the JSON or YAML of its body."""

import codecs
import io
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import Any, cast
from urllib.parse import unquote_to_bytes

from flask import Flask, Request, current_app, request
from marshmallow import Schema
from werkzeug.exceptions import NotFound

from promptcrafter import jsonio, yamlio
from promptcrafter.http import ignored_fields
from promptcrafter.http.decompression import DEFLATE, GZIP, IDENTITY, codings_of, is_compressed
from promptcrafter.http.fields import BoundedList
from promptcrafter.http.formats import NDJSON_TYPES
from promptcrafter.http.ignored_fields import describe_known
from promptcrafter.http.route import Route, requested_route
from promptcrafter.http.schemas import BodySchema, load_body
from promptcrafter.http.yaml_form import YAML, YAML_TYPES
from promptcrafter.problems import Details, Invalid, Problem, TooLarge

JSON, NDJSON = "application/json", NDJSON_TYPES[0]
OCTET_STREAM = "application/octet-stream"  # a file whose type the client does not know: generated clients send it
_NO_FIELDS = BodySchema()
_IN_FIRST_LINE = "Invalid JSON at line 1, "  # begins a message of `jsonio`


def init_app(app: Flask) -> None:
    """Check every request, in this order."""
    app.before_request(refuse_unstorable_slug)
    app.before_request(check_against_route)


def refuse_unstorable_slug() -> None:
    """Raise 404 for a slug that no database could store. The patterns of ids exclude such text by themselves."""
    if jsonio.find_unstorable_text((request.view_args or {}).get("slug", "")):
        raise NotFound


def check_against_route() -> None:
    """Check media type, query parameters and a body that nothing reads, against the declaration of the route."""
    route = requested_route()
    if route is None:
        return
    if route.takes_body:
        refuse_unsupported_media_type(route)
    if request.query_string and not route.ignores_parameters:
        refuse_unknown_parameters(route)
    if route.takes_strict and not (route.takes_body or route.may_take_json):
        ignore_unread_body()


def refuse_unsupported_media_type(route: Route) -> None:
    """Raise 415 unless the route accepts the Content-Type of its body, and the server its Content-Encoding."""
    mimetype = request.mimetype
    is_json = mimetype == JSON or (mimetype.startswith("application/") and mimetype.endswith("+json"))
    is_file = mimetype == OCTET_STREAM and route.takes_file
    is_other = (mimetype in NDJSON_TYPES and route.takes_ndjson) or (mimetype in YAML_TYPES and route.takes_yaml)
    is_other = is_other or mimetype in route.raw_types
    if not is_other and not (is_json and route.takes_json) and not is_file:
        # the text that clients of JSON know stays as it is
        names_yaml = route.takes_yaml and any(name in mimetype for name in ("yaml", "yml"))
        accepted = [*route.raw_types, *[JSON] * route.takes_json, *[YAML] * names_yaml]
        accepted += [NDJSON] * route.takes_ndjson + [OCTET_STREAM] * route.takes_file
        raise Problem(415, f"Content-Type must be {' or '.join(accepted)}", "unsupported_media_type")
    accepted = [GZIP, *[DEFLATE] * bool(route.raw_types)]
    if codings_of(request) not in ([], *([coding] for coding in accepted)):
        message = f"Content-Encoding must be {' or '.join([*accepted, IDENTITY])}"
        headers = {"Accept-Encoding": ", ".join(accepted)}
        raise Problem(415, message, "unsupported_content_encoding", headers=headers)


def refuse_unknown_parameters(route: Route) -> None:
    """Raise 400 for query parameters that the route does not declare or that are repeated; read `strict`."""
    try:
        unquote_to_bytes(request.query_string).decode()
    except UnicodeDecodeError as error:
        raise Problem(400, "The query string is not UTF-8.", "invalid_utf8") from error
    details: Details = {}
    for name, values in request.args.lists():
        if not route.takes_parameter(name):
            hint = describe_known(name, route.described_parameters)
            details[name] = [f"is not a parameter of this call; {hint}"]
        elif len(values) > 1 and not (name in route.repeatable_parameters or route.is_prefixed(name)):
            details[name] = ["must be given once"]
        elif name == ignored_fields.PARAMETER and values[0] not in ("true", "false"):
            details[name] = ["must be true or false"]
    if details:
        raise Invalid(details, "invalid_parameters")
    ignored_fields.set_strict(request.args.get(ignored_fields.PARAMETER) == "true")


def ignore_unread_body() -> None:
    """Report the fields of a JSON body that a route does not read, or refuse them in strict mode.

    Anything else in such a body is ignored without a word, and so is one that is too large.
    """
    if (request.content_length or 0) <= current_app.config["MAX_BODY_BYTES"]:
        with suppress(TooLarge):  # of a body in chunks
            load_body(_NO_FIELDS, read_optional_object())


def read_optional_object() -> dict[str, Any]:
    """Return the JSON object in the body; an empty one if there is no body, or anything else in it.

    Raises 413 when it is too large.
    """
    if not request.is_json or request.content_length == 0:  # it is None for a body in chunks
        return {}
    try:
        body = jsonio.loads(_read_body(request))
    except jsonio.JsonError:
        return {}
    return body if isinstance(body, dict) else {}


def read_object(req: Request, schema: Schema) -> dict[str, Any]:
    """Return the JSON object in the body. Raises 400 when it is not one, 413 when it is too large.

    Where the route has an `ndjson_field`, an NDJSON body is returned as an object with that field: its items are the
    parsed lines. `schema` limits their number: only one line more is parsed, so that loading the field reports them.
    """
    route = requested_route()
    if route is not None and route.ndjson_field is not None and req.mimetype in NDJSON_TYPES:
        maximum = cast(BoundedList, schema.fields[route.ndjson_field]).maximum
        lines = islice(_each_line(req), maximum + 1)
        return {route.ndjson_field: [_parse_line(*each) for each in lines]}
    return require_object(read_json(req))


def read_json(req: Request) -> Any:
    """Return the JSON value in the body. Raises 400 when it is not JSON, 413 when it is too large."""
    return _parse(_read_body(req))


def require_object(value: Any) -> dict[str, Any]:
    """Return a decoded body that is an object. Raises 400 for any other."""
    if not isinstance(value, dict):
        raise Problem(400, "The body must be a JSON object.", "not_an_object")
    return value


def read_yaml_object(req: Request) -> dict[str, Any]:
    """Return the YAML mapping in the body. Raises 400 when it is not one, 413 when it is too large."""
    try:
        value = yamlio.loads(_read_body(req))
    except yamlio.YamlError as error:
        raise Problem(413 if error.code == "too_large" else 400, str(error), error.code) from error
    if not isinstance(value, dict):
        raise Problem(400, "The body must be a YAML mapping.", "not_an_object")
    return value


def _each_line(req: Request) -> Iterator[tuple[int, bytes]]:
    """Yield the numbers, from 1, and the lines of the body that are not empty.

    Raises 400 for a body in UTF-16, whose lines are no lines.
    """
    body = _read_body(req)
    try:
        jsonio.refuse_utf_16(body)
    except jsonio.JsonError as error:
        raise Problem(400, str(error), error.code) from error
    lines = enumerate(io.BytesIO(body.removeprefix(codecs.BOM_UTF8)), start=1)
    return ((number, line.removesuffix(b"\n")) for number, line in lines if line.strip())


def _parse_line(number: int, line: bytes) -> Any:
    """Return the parsed line, or the `Problem`, so that one bad line does not reject the batch."""
    try:
        return jsonio.loads(line)
    except jsonio.JsonError as error:
        message = str(error)
        if message.startswith(_IN_FIRST_LINE):
            message = message.replace("line 1,", f"line {number},", 1)
        return Problem(400, message, error.code)


def _parse(data: bytes) -> Any:
    try:
        return jsonio.loads(data)
    except jsonio.JsonError as error:
        raise Problem(400, str(error), error.code) from error


def read_raw_body(req: Request, limit: int) -> bytes:
    """Return the body of a route that has a limit of its own. Raises as for other bodies."""
    req.max_content_length = limit + 1  # Werkzeug cuts a longer chunked body without an error
    if (req.content_length or 0) > limit:
        raise TooLarge("The request body", limit, req.content_length)
    return _check_body(req, req.get_data(cache=False), limit)


def _read_body(req: Request) -> bytes:
    """Return the body. Raises 413 when it is too large."""
    return _check_body(req, req.get_data(), current_app.config["MAX_BODY_BYTES"])


def _check_body(req: Request, body: bytes, limit: int) -> bytes:
    if is_compressed(req):
        if len(body) > limit:
            raise TooLarge("The decompressed request body", limit, None)
        return body
    if len(body) > limit:
        raise TooLarge("The request body", limit, req.content_length)
    return body
