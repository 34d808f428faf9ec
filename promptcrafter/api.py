"""HTTP conventions that every route shares, and the description made from them.

A feature declares a route on a `Blueprint`; its decorators are the contract: they parse, validate, serialise and
write the operation into `/openapi.json`. A route needs a signed-in caller unless it says `@blueprint.public`.
"""

import difflib
import hashlib
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NoReturn, TypeVar
from urllib.parse import unquote_to_bytes

import flask_smorest
from flask import Flask, Request, Response, current_app, request
from marshmallow import Schema, ValidationError, fields
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.middleware.proxy_fix import ProxyFix

from config import Config
from promptcrafter import ids, jsonio
from promptcrafter.errors import Details, Invalid, Problem

VERSION = "0.1.0"  # the newest of CHANGELOG.md

_View = TypeVar("_View", bound=Callable[..., Any])
_MEANINGS = {
    400: "Malformed JSON, a field that breaks its rule, or an unknown parameter",
    401: "No token, or one that is bad, expired or revoked",
    403: "It belongs to somebody else",
    404: "There is no such thing",
    409: "It is already taken",
    412: "It has changed since the version named in If-Match",
    413: "The body or a part of it is too large",
    415: "The body is not application/json",
    429: "Too many attempts; see Retry-After",
    503: "The database is busy or away; see Retry-After",
}


class ErrorOut(Schema):
    """The one body of every error."""

    message = fields.String(required=True, metadata={"description": "For people"})
    error = fields.String(required=True, metadata={"description": "The same text as `message`"})
    code = fields.String(required=True, metadata={"description": "Stable, for machines"})
    requestId = fields.String(required=True, metadata={"description": "As in the `X-Request-Id` header"})
    details = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String()),
        metadata={"description": "Field by field, all reasons; on validation errors only"},
    )


class _Parser(FlaskParser):
    """Loads request bodies strictly and turns marshmallow's errors into ours."""

    DEFAULT_VALIDATION_STATUS = 400

    def load_json(self, req: Request, schema: Schema) -> Any:
        return _read_object(req)

    def handle_error(self, error: ValidationError, req: Request, schema: Schema, **kwargs: Any) -> NoReturn:
        raise Invalid(_flatten(error.messages))  # one location: {"json": {field: reasons}}


def public(view: _View) -> _View:
    """Open a view to callers who are not signed in."""
    view.is_public = True  # type: ignore[attr-defined]
    return view


class Blueprint(flask_smorest.Blueprint):
    """A feature's routes."""

    ARGUMENTS_PARSER = _Parser()

    def add_url_rule(self, rule: str, endpoint: str | None = None, view_func: Any = None, **options: Any) -> None:
        if view_func is not None and not hasattr(view_func, "view_class"):
            described: dict[str, Any] = {
                "operationId": endpoint or view_func.__name__,
                "security": [] if is_public(view_func) else [{"bearer": []}, {"apiKey": []}],
            }
            view_func = self.doc(**described)(self._document_refusals(view_func))
            options["parameters"] = [
                {"in": "path", "name": f"{kind}_id", "schema": {"type": "string", "pattern": ids.pattern(kind)}}
                for kind in ids.KINDS
                if f"<{kind}_id>" in rule
            ]
        super().add_url_rule(rule, endpoint, view_func, **options)

    public = staticmethod(public)

    def unauthorized(self, message: str) -> Callable[[_View], _View]:
        """Let strangers hear another text than the usual one."""

        def decorate(view: _View) -> _View:
            view.unauthorized = message  # type: ignore[attr-defined]
            return view

        return decorate

    def refuses(self, *statuses: int) -> Callable[[_View], _View]:
        """Document the errors that are a view's own; those of every view are documented for it."""

        def decorate(view: _View) -> _View:
            view.refuses = statuses  # type: ignore[attr-defined]
            return view

        return decorate

    def _document_refusals(self, view: Any) -> Any:
        statuses = {400, 503, *getattr(view, "refuses", ())}
        statuses |= set() if is_public(view) else {401}
        statuses |= {413, 415} if _takes_json(view) else set()
        for status in sorted(statuses, reverse=True):
            view = self.alt_response(status, schema=ErrorOut(), description=_MEANINGS[status])(view)
        return view


class _Api(flask_smorest.Api):
    ERROR_SCHEMA = ErrorOut
    DEFAULT_ERROR_RESPONSE_NAME = None

    def _register_error_handlers(self) -> None:
        """Leave errors to promptcrafter.errors."""


def init_app(app: Flask, config: Config, blueprints: list[Blueprint]) -> None:
    """Register the routes, their description and the conventions that hold for all of them."""
    app.json = jsonio.Provider(app)
    app.url_map.merge_slashes = False  # a redirect would lose the body and the token of a POST
    app.config.update(
        MAX_BODY_BYTES=config.max_body_bytes,
        MAX_CONTENT_LENGTH=config.max_body_bytes + 1,  # werkzeug cuts a chunked body here without a word
        API_TITLE="PromptCrafter",
        API_VERSION=VERSION,
        OPENAPI_VERSION="3.1.0",
        API_SPEC_OPTIONS={
            "info": {"description": "Keeps prompts, logs every output with notes and a score, and finds them again."},
            "components": {
                "securitySchemes": {
                    "bearer": {"type": "http", "scheme": "bearer", "description": "A token or an API key"},
                    "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
                }
            },
        },
    )
    hops = config.trusted_proxies
    if hops:  # the host is what the proxy passes on: nobody's header may choose where our links lead
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=0)  # type: ignore[method-assign]
    app.before_request(_refuse_other_media)
    app.before_request(_refuse_unknown_parameters)
    app.after_request(_complete_headers)
    api = _Api(app)
    for blueprint in blueprints:
        api.register_blueprint(blueprint)


def description() -> dict[str, Any]:
    """Return the OpenAPI document of the current application."""
    document: dict[str, Any] = current_app.extensions["flask-smorest"]["apis"][""]["ext_obj"].spec.to_dict()
    return document


def is_public(view: Any) -> bool:
    """Tell whether a view answers callers who are not signed in."""
    return getattr(view, "is_public", False)


def unauthorized_message(view: Any) -> str | None:
    """Return what a view wants strangers to hear; None for the usual."""
    message: str | None = getattr(view, "unauthorized", None)
    return message


def etag_of(representation: Any) -> str:
    """Return the strong entity tag of a serialised resource, without quotes."""
    return hashlib.sha256(jsonio.dumps(representation).encode()).hexdigest()[:32]


def refuse_lost_update(representation: Any) -> None:
    """Raise 412 when the caller's `If-Match` names another state than the one about to be changed."""
    if request.if_match and not request.if_match.contains(etag_of(representation)):
        raise Problem(412, "It has changed since: read it again and retry.", "precondition_failed")


def _called_view() -> Any:
    """Return the view that is about to run; None when there is none for this path and method."""
    if request.endpoint is None or request.method == "OPTIONS":
        return None
    return current_app.view_functions[request.endpoint]


def _refuse_other_media() -> None:
    if not _takes_json(_called_view()):
        return
    kind = request.mimetype
    if not (kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))):
        raise Problem(415, "Content-Type must be application/json", "unsupported_media_type")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Problem(415, "Content-Encoding is not supported; send the body as it is", "unsupported_content_encoding")


def _read_object(req: Request) -> dict[str, Any]:
    try:
        value = jsonio.loads(_read_body(req))
    except jsonio.JsonError as error:
        raise Problem(400, str(error), error.code) from error
    if not isinstance(value, dict):
        raise Problem(400, "The body must be a JSON object.", "not_an_object")
    return value


def _read_body(req: Request) -> bytes:
    body = req.get_data()
    if len(body) > current_app.config["MAX_BODY_BYTES"]:
        raise RequestEntityTooLarge
    return body


def _flatten(messages: Any) -> Details:
    ((_, by_field),) = messages.items()
    return {".".join(path): reasons for path, reasons in _walk(by_field, ())}


def _walk(messages: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Yield where in the body and what is wrong: `logs.0.type` for the first of a list."""
    if isinstance(messages, dict):
        for name, inner in messages.items():
            yield from _walk(inner, path if name == "_schema" else (*path, str(name)))
    else:
        yield path, list(messages)


def _refuse_unknown_parameters() -> None:
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
            near = difflib.get_close_matches(name, known, n=1, cutoff=0)
            hint = f"; the nearest is {near[0]}" if near else "; this call takes none"
            details[name] = [f"is not a parameter of this call{hint}"]
        elif len(values) > 1:
            details[name] = ["must be given once"]
    if details:
        raise Invalid(details, "invalid_parameters")


@cache
def _known_parameters(view: Any) -> tuple[str, ...]:
    return tuple(
        field.data_key or name
        for argument in _arguments(view)
        if argument["in"] == "query"
        for name, field in argument["schema"].fields.items()
    )


@cache
def _takes_json(view: Any) -> bool:
    return any(argument["in"] == "json" for argument in _arguments(view))


def _arguments(view: Any) -> list[dict[str, Any]]:
    arguments: list[dict[str, Any]] = getattr(view, "_apidoc", {}).get("arguments", {}).get("parameters", [])
    return arguments


def _complete_headers(response: Response) -> Response:
    headers = response.headers
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("X-Frame-Options", "DENY")
    headers.setdefault("Referrer-Policy", "no-referrer")
    headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
    headers.setdefault("Cache-Control", "no-store")
    if response.status_code == 204:
        headers.pop("Content-Type", None)
    if request.is_secure:
        headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    return response
