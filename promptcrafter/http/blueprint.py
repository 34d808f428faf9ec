"""HTTP conventions that every route shares, and the description made from them.

A feature declares a route on a `Blueprint`; its decorators are the contract: they parse, validate, serialise and
write the operation into `/openapi.json`. A route needs a signed-in caller unless it says `@blueprint.public`.
"""

from collections.abc import Callable
from threading import Lock
from typing import Any, NoReturn, TypeVar

import flask_smorest
from flask import Flask, Request, current_app
from marshmallow import Schema, ValidationError, fields
from webargs.flaskparser import FlaskParser
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import BaseConverter, Map, UnicodeConverter

from config import Config
from promptcrafter import ids
from promptcrafter.http import request_checks
from promptcrafter.http.formats import WRITERS
from promptcrafter.http.json_provider import Provider
from promptcrafter.problems import Invalid, flatten
from promptcrafter.version import VERSION

_View = TypeVar("_View", bound=Callable[..., Any])
_LINES = {request_checks.LINES: {"schema": {"type": "string"}}}
_MEANINGS = {
    400: "Malformed JSON, a field that breaks its rule, or an unknown parameter",
    401: "No token, or one that is bad, expired or revoked",
    403: "It belongs to somebody else",
    404: "There is no such thing",
    409: "It is already taken, or something else is there",
    412: "It has changed since the version named in If-Match",
    413: "The body or a part of it is too large",
    415: "The body is not of the type that the call takes",
    422: "The Idempotency-Key was used for another request",
    429: "Too many attempts; see Retry-After",
    503: "The database is busy or away; see Retry-After",
    507: "The disk is full",
}
_IDEMPOTENCY_KEY = {
    "in": "header",
    "name": "Idempotency-Key",
    "description": "Sent again within 24 hours, with the same body, it gets the first answer again",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]{1,255}$"},
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
        return request_checks.read_object(req)

    def handle_error(self, error: ValidationError, req: Request, schema: Schema, **kwargs: Any) -> NoReturn:
        raise Invalid(flatten(error.messages))  # one location: {"json": {field: reasons}}


def public(view: _View) -> _View:
    """Open a view to callers who are not signed in."""
    view.is_public = True  # type: ignore[attr-defined]
    return view


class Blueprint(flask_smorest.Blueprint):
    """A feature's routes."""

    ARGUMENTS_PARSER = _Parser()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._prepare_doc_cbks.append(_describe_refusals)

    def add_url_rule(self, rule: str, endpoint: str | None = None, view_func: Any = None, **options: Any) -> None:
        if view_func is not None and not hasattr(view_func, "view_class"):
            described: dict[str, Any] = {
                "operationId": endpoint or view_func.__name__,
                "security": [] if is_public(view_func) else [{"bearer": []}, {"apiKey": []}],
            }
            if getattr(view_func, "is_idempotent", False):
                described["parameters"] = [_IDEMPOTENCY_KEY]
            apidoc = vars(view_func).setdefault("_apidoc", {})  # as `doc` would, but every call would pass its wrapper
            apidoc.setdefault("manual_doc", {}).update(described)
            apidoc["refusals"] = _list_refusals(view_func)
            options["parameters"] = [
                {"in": "path", "name": f"{kind}_id", "schema": {"type": "string", "pattern": ids.pattern(kind)}}
                for kind in ids.KINDS
                if f"{kind}_id>" in rule
            ]
        super().add_url_rule(rule, endpoint, view_func, **options)

    public = staticmethod(public)

    def takes_lines_of(self, field: str) -> Callable[[_View], _View]:
        """Let the array in a field of the body be sent as NDJSON, a line for each of its items."""

        def decorate(view: _View) -> _View:
            view.lines_of = field  # type: ignore[attr-defined]
            described: _View = self.doc(requestBody={"content": _LINES})(view)
            return described

        return decorate

    def takes_file(self, description: str) -> Callable[[_View], _View]:
        """Let a view read NDJSON from the body by itself, whatever its size."""

        def decorate(view: _View) -> _View:
            view.takes_file = True  # type: ignore[attr-defined]
            body = {"required": True, "description": description, "content": _LINES}
            described: _View = self.doc(requestBody=body)(view)
            return described

        return decorate

    def answers(self, schema: Schema, *forms: str) -> Callable[[_View], _View]:
        """Document an answer of `lists.respond`, in JSON and these other forms."""
        content = {form: {"schema": {"type": "string"}} for form in forms}

        def decorate(view: _View) -> _View:
            described: _View = self.doc(responses={200: {"content": content}})(self.response(200, schema)(view))
            return described

        return decorate

    def lists(self, schema: Schema) -> Callable[[_View], _View]:
        """Document a list of `lists.listing`, in all its forms."""
        return self.answers(schema, *(form for form in WRITERS if form != "application/json"))

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


def _describe_refusals(doc: dict[str, Any], doc_info: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Add its errors to an operation; as decorators they would copy, one by one, all that is described so far."""
    for status in doc_info.get("refusals", ()):
        content = {"application/json": {"schema": ErrorOut}}
        doc.setdefault("responses", {})[status] = {"description": _MEANINGS[status], "content": content}
    return doc


def _list_refusals(view: Any) -> list[int]:
    statuses = {400, 503, *getattr(view, "refuses", ())}
    statuses |= set() if is_public(view) else {401}
    statuses |= {422} if getattr(view, "is_idempotent", False) else set()
    statuses |= {413, 415} if request_checks.takes_body(view) else set()
    return sorted(statuses, reverse=True)


class _Item(UnicodeConverter):
    """A name in a path where `batch` is not one: that is a resource of its own, with its own methods."""

    regex = "(?!batch$)[^/]{1,}"  # with braces: the description reads the length from them

    def __init__(self, url_map: Map) -> None:
        BaseConverter.__init__(self, url_map)


class _Api(flask_smorest.Api):
    ERROR_SCHEMA = ErrorOut
    DEFAULT_ERROR_RESPONSE_NAME = None

    def __init__(self, app: Flask) -> None:
        self._undescribed: list[Blueprint] = []
        self._describing = Lock()
        super().__init__(app)

    def register_blueprint(self, blp: Blueprint, **options: Any) -> None:
        """Register routes at once, and leave their description, which takes longer, until it is asked for."""
        self._app.extensions["flask-smorest"]["blp_name_to_api"][blp.name] = self
        self._app.register_blueprint(blp, **options)
        self._undescribed.append(blp)

    def describe(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        with self._describing:
            while self._undescribed:
                blueprint = self._undescribed[0]
                blueprint.register_views_in_doc(self, self._app, self.spec, name=blueprint.name, parameters=None)
                self.spec.tag({"name": blueprint.name, "description": blueprint.description})
                self._undescribed.remove(blueprint)
            document: dict[str, Any] = self.spec.to_dict()
        return document

    def _register_error_handlers(self) -> None:
        """Leave errors to promptcrafter.error_handlers."""


def init_app(app: Flask, config: Config, blueprints: list[Blueprint]) -> None:
    """Register the routes, their description and the conventions that hold for all of them."""
    app.json = Provider(app)
    app.url_map.converters["item"] = _Item
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
    app.before_request(request_checks.refuse_odd_slugs)
    app.before_request(request_checks.refuse_other_media)
    app.before_request(request_checks.refuse_unknown_parameters)
    api = _Api(app)
    for blueprint in blueprints:
        api.register_blueprint(blueprint)


def load(schema: Schema, value: Any) -> Any:
    """Load a value of a body on its own. Raises Invalid."""
    try:
        return schema.load(value)
    except ValidationError as error:
        raise Invalid(flatten({"json": error.messages})) from error


def description() -> dict[str, Any]:
    """Return the OpenAPI document of the current application."""
    document: dict[str, Any] = current_app.extensions["flask-smorest"]["apis"][""]["ext_obj"].describe()
    return document


def is_public(view: Any) -> bool:
    """Tell whether a view answers callers who are not signed in."""
    return getattr(view, "is_public", False)


def unauthorized_message(view: Any) -> str | None:
    """Return what a view wants strangers to hear; None for the usual."""
    message: str | None = getattr(view, "unauthorized", None)
    return message
