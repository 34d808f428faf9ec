"""The blueprint class of all routes, and their registration.

The decorators of a view are its contract: they parse and validate the request, serialize the response and describe both
in the OpenAPI document. `route` requires the permission of the route: a module that omits it cannot be imported.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from types import MappingProxyType
from typing import Any, NoReturn, TypeVar

import flask_smorest
from flask import Flask, Request, request
from marshmallow import Schema, ValidationError, fields
from webargs.flaskparser import FlaskParser
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import BaseConverter, Map, Rule, UnicodeConverter

from config import Config
from promptcrafter import ids, slugs
from promptcrafter.http import decompression, headers, ignored_fields, openapi, request_checks
from promptcrafter.http.fields import NamedTexts
from promptcrafter.http.formats import WRITERS
from promptcrafter.http.json_provider import Provider
from promptcrafter.http.route import Route, declare, requested_route
from promptcrafter.http.schemas import Batch, BodySchema, load_body
from promptcrafter.http.yaml_form import YAML, YAML_TYPES
from promptcrafter.permissions import Permission
from promptcrafter.problems import Invalid, flatten

_View = TypeVar("_View", bound=Callable[..., Any])
_LINES = {"type": "string", "format": "binary"}  # without the format, generated clients cannot send or read the lines
_YAML_CONTENT = {YAML: {"schema": _LINES}}
_NDJSON_CONTENT = {request_checks.NDJSON: {"schema": _LINES}}
# Only this type, though NDJSON is accepted, too: some generators leave out a call whose only type they do not know
_FILE_CONTENT = {request_checks.OCTET_STREAM: {"schema": _LINES}}
VERSIONED_NAME = "[^/]+(?:/(?!versions(?:/|$))[^/]*)*"  # of the converter `versioned`
_STRICT = {
    "in": "query",
    "name": ignored_fields.PARAMETER,
    "description": "Whether fields of the body that the call does not know are refused, instead of ignored and named "
    f"in `{ignored_fields.HEADER}`",
    "schema": {"type": "boolean", "default": False},
}


def idempotency_key(description: str) -> dict[str, Any]:
    """Return the OpenAPI parameter of the header `Idempotency-Key` with this description."""
    schema = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]{1,255}$"}
    return {"in": "header", "name": "Idempotency-Key", "description": description, "schema": schema}


_IDEMPOTENCY_KEY = idempotency_key(
    "A request repeated with the same key and body within 24 hours gets the first response again"
)
_WORKSPACE = {
    "in": "header",
    "name": headers.WORKSPACE,
    "description": "The id or slug of the workspace that the request is about where no id says it. Without it: that of "
    "the API key if it is bound to one, for tokens the account's default one, else the personal one",
    "schema": {"type": "string", "minLength": 1, "maxLength": 64},
}


class _Parser(FlaskParser):
    """Reads request bodies with `request_checks` and `load_body`, and raises marshmallow's errors as `Invalid`."""

    DEFAULT_VALIDATION_STATUS = 400

    def parse(self, argmap: Any, req: Request | None = None, *, location: str | None = None, **kwargs: Any) -> Any:
        """Return the loaded body or query parameters."""
        if location == "json":
            route = requested_route()
            if route is not None and route.may_take_json:
                return load_body(argmap, request_checks.read_optional_object())
            if route is not None and route.yaml_schema is not None and request.mimetype in YAML_TYPES:
                return load_body(route.yaml_schema, request_checks.read_yaml_object(req or request))
            if route is not None and route.array is not None:
                return _load_object_or_array(argmap, route.array, request_checks.read_json(req or request))
            return load_body(argmap, request_checks.read_object(req or request, argmap))
        return super().parse(argmap, req, location=location, **kwargs)

    def handle_error(self, error: ValidationError, req: Request, schema: Schema, **kwargs: Any) -> NoReturn:
        raise Invalid(flatten(error.messages))  # one location: {"json": {field: reasons}}


def _load_object_or_array(schema: BodySchema, array: Batch, value: Any) -> Any:
    if not isinstance(value, list):
        return load_body(schema, request_checks.require_object(value))
    try:
        return array.deserialize(value)
    except ValidationError as error:
        raise Invalid({"body": [str(reason) for reason in error.messages]}) from error


class Blueprint(flask_smorest.Blueprint):
    """The routes of a feature.

    `path_examples` has examples of the names in paths, such as a slug, by parameter. Ids have no example.
    """

    ARGUMENTS_PARSER = _Parser()

    def __init__(self, *args: Any, path_examples: Mapping[str, str] = MappingProxyType({}), **options: Any) -> None:
        super().__init__(*args, **options)
        self._path_examples = path_examples
        self._prepare_doc_cbks.extend(
            (
                openapi.describe_example,
                openapi.describe_errors,
                openapi.describe_parameters,
                openapi.describe_ignored_fields,
            )
        )

    def route(
        self,
        rule: str,
        *,
        permission: Permission,
        methods: Sequence[str] = ("GET",),
        endpoint: str | None = None,
        refuses: tuple[int, ...] = (),
        unauthorized_message: str | None = None,
        ndjson_field: str | None = None,
        array: Batch | None = None,
        yaml_schema: BodySchema | None = None,
        takes_file: str | None = None,
        bodies: openapi.Bodies | None = None,
        ignores_parameters: bool = False,
        takes_basic: bool = False,
        is_page: bool = False,
        returns_secret: bool = False,
        tag: str | None = None,
    ) -> Callable[[_View], _View]:
        """Register a view and attach its `Route`; must be the outermost decorator.

        `refuses` are the status codes of errors that only this view raises. `takes_file` describes the NDJSON file that
        the view itself reads from the body. `bodies` describes those that the view reads and makes itself, in any media
        types. `tag` is the one that the OpenAPI description gives the call, by default the name of the blueprint;
        generated clients are divided by tags. The other parameters are those of `Route`.
        """

        def register(view: _View) -> _View:
            arguments: list[dict[str, Any]] = vars(view).get("_apidoc", {}).get("arguments", {}).get("parameters", [])
            takes_strict = bodies is None and not is_page and not {"POST", "PUT", "PATCH"}.isdisjoint(methods)
            parameters = _query_parameters(arguments)
            named = (name for name, field in parameters.items() if not isinstance(field, NamedTexts))
            route = Route(
                permission=permission,
                query_parameters=(*named, *((ignored_fields.PARAMETER,) * takes_strict)),
                repeatable_parameters=frozenset(
                    name for name, field in parameters.items() if isinstance(field, fields.List)
                ),
                parameter_prefixes=tuple(
                    field.prefix for field in parameters.values() if isinstance(field, NamedTexts)
                ),
                takes_json=any(argument["in"] == "json" and argument["required"] for argument in arguments),
                may_take_json=any(argument["in"] == "json" and not argument["required"] for argument in arguments),
                ndjson_field=ndjson_field,
                array=array,
                yaml_schema=yaml_schema,
                takes_file=takes_file is not None,
                raw_types=() if bodies is None else tuple(bodies.request),
                ignores_parameters=ignores_parameters,
                takes_basic=takes_basic,
                is_page=is_page,
                takes_strict=takes_strict,
                writes=permission is not Permission.READ and not {"GET", "HEAD"} & set(methods),
                is_idempotent=getattr(view, "is_idempotent", False),
                refuses=refuses,
                unauthorized_message=unauthorized_message,
                returns_secret=returns_secret,
            )
            declare(view, route)
            _describe(view, endpoint, route, takes_file, bodies)
            described = _id_parameters(rule) + _name_parameters(rule, self._path_examples)
            tags = None if tag is None else [tag]
            self.add_url_rule(rule, endpoint, view, methods=methods, parameters=described, tags=tags)
            return view

        return register

    def negotiated_response(self, schema: Schema, *media_types: str, **described: Any) -> Callable[[_View], _View]:
        """Document a response that is JSON of this schema or one of the other media types; `headers` may be given."""
        content = {media_type: {"schema": {"type": "string"}} for media_type in media_types}

        def decorate(view: _View) -> _View:
            documented = self.response(200, schema, **described)(view)
            decorated: _View = self.doc(responses={200: {"content": content}})(documented)
            return decorated

        return decorate

    def list_response(self, schema: Schema) -> Callable[[_View], _View]:
        """Document a response of `lists.list_response` in all its media types."""
        others = (media_type for media_type in WRITERS if media_type != "application/json")
        return self.negotiated_response(schema, *others)


def _query_parameters(arguments: Sequence[dict[str, Any]]) -> dict[str, fields.Field[Any]]:
    return {
        field.data_key or name: field
        for argument in arguments
        if argument["in"] == "query"
        for name, field in argument["schema"].fields.items()
    }


def _id_parameters(rule: str) -> list[dict[str, Any]]:
    return [
        {"in": "path", "name": f"{kind}_id", "schema": {"type": "string", "pattern": ids.pattern(kind)}}
        for kind in ids.KINDS
        if f"{kind}_id>" in rule
    ]


def _name_parameters(rule: str, examples: Mapping[str, str]) -> list[dict[str, Any]]:
    return [
        {"in": "path", "name": name, "schema": {"type": "string", "example": example}}
        for name, example in examples.items()
        if f"<{name}>" in rule or f":{name}>" in rule
    ]


def _describe(
    view: Any, endpoint: str | None, route: Route, takes_file: str | None, bodies: openapi.Bodies | None
) -> None:
    """Store the route's part of the OpenAPI operation where flask-smorest's `doc` decorator stores it.

    The decorator itself would add a wrapper to every call of the view.
    """
    described: dict[str, Any] = {
        "operationId": endpoint or view.__name__,
        "security": [] if route.is_public else [{"bearer": []}, {"apiKey": []}],
    }
    if route.takes_basic:
        described["security"].append({"basic": []})
    if route.ndjson_field is not None:
        described["requestBody"] = {"content": _NDJSON_CONTENT}
    if route.yaml_schema is not None:
        described["requestBody"] = {"content": _YAML_CONTENT}
    if takes_file is not None:
        described["requestBody"] = {"required": True, "description": takes_file, "content": _FILE_CONTENT}
    apidoc = vars(view).setdefault("_apidoc", {})
    if bodies is not None:
        described["requestBody"] = {"required": True, "content": bodies.request}
        described["responses"] = {200: {"description": "OK", "content": bodies.response}}
        apidoc["error_content"] = bodies.errors
    manual = apidoc.setdefault("manual_doc", {})
    manual.update(described)
    apidoc["refusals"] = route.error_statuses
    apidoc["other_parameters"] = [
        *([_STRICT] * route.takes_strict + [_IDEMPOTENCY_KEY] * route.is_idempotent),
        *([_WORKSPACE] * (not route.is_public)),
        *manual.pop("parameters", ()),  # of a `doc` decorator: flask-smorest would take them in place of all others
    ]
    apidoc["may_ignore_fields"] = route.takes_strict and not route.takes_file


class _NotBatch(UnicodeConverter):
    """A path segment other than `batch`, so that `/logs/batch` is never matched as the log with the id `batch`.

    `GET /logs/batch` is then 405; otherwise it would be 400 for a malformed id.
    """

    regex = "(?!batch$)[^/]{1,}"  # apispec reads the minimum length from the braces

    def __init__(self, url_map: Map) -> None:
        BaseConverter.__init__(self, url_map)


class _Rule(Rule):
    """A rule that compiles the two functions which build its URLs when the first URL is built.

    Compiling those of all rules takes most of the time of `create_app`; a process builds the URLs of few of them.
    """

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        compiled = cache(partial(super()._compile_builder, append_unknown))
        return lambda rule, /, **values: compiled()(rule, **values)


class _Slug(BaseConverter):
    """The slug of a prompt, which may have several segments; it ends before a word that is reserved in slugs."""

    regex = slugs.IN_PATH


class _Versioned(BaseConverter):
    """A name that may have several segments, in paths that may go on with `/versions/…`."""

    regex = VERSIONED_NAME


def init_app(app: Flask, config: Config, blueprints: list[Blueprint]) -> None:
    """Register the routes of all blueprints and what they share: JSON, request checks, proxy headers, OpenAPI."""
    app.json = Provider(app)
    app.url_rule_class = _Rule
    app.url_map.converters["not_batch"] = _NotBatch
    app.url_map.converters["slug"] = _Slug
    app.url_map.converters["versioned"] = _Versioned
    app.url_map.merge_slashes = False  # clients that follow a redirect lose the body and the token of a POST
    app.config.update(
        MAX_BODY_BYTES=config.max_body_bytes,
        MAX_CONTENT_LENGTH=config.max_body_bytes + 1,  # werkzeug truncates a chunked body here without an error
    )
    hops = config.trusted_proxies
    if hops:  # no x_host: the proxy passes the Host header on, and X-Forwarded-Host may come from a client
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=0)  # type: ignore[method-assign]
    decompression.init_app(app)
    request_checks.init_app(app)
    api = openapi.Api(app)
    for blueprint in blueprints:
        api.register_blueprint(blueprint)
