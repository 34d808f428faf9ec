"""The declared properties of a route, which request checks, authentication and the OpenAPI document read."""

from dataclasses import dataclass
from typing import Any

from flask import Flask, current_app, request

from promptcrafter.http.schemas import Batch, BodySchema
from promptcrafter.permissions import Permission

_ATTRIBUTE = "promptcrafter_route"


@dataclass(frozen=True, kw_only=True)
class Route:
    """The permission that a route requires, the input that it accepts, and the errors that it documents."""

    permission: Permission
    query_parameters: tuple[str, ...] = ()
    repeatable_parameters: frozenset[str] = frozenset()  # of these, those that may be given several times
    parameter_prefixes: tuple[str, ...] = ()  # of further parameters with any name, which may be repeated, too
    takes_json: bool = False  # a JSON object as the body
    may_take_json: bool = False  # a JSON object as the body, but anything else is ignored
    ndjson_field: str | None = None  # the field of that object whose array may be sent as NDJSON, a line for each item
    array: Batch | None = None  # the array that the body may be instead of an object
    yaml_schema: BodySchema | None = None  # of a body that is YAML instead of JSON, which names fields differently
    takes_file: bool = False  # NDJSON of any length, which the view reads from the body itself
    ignores_parameters: bool = False  # any query string is accepted, and not read
    raw_types: tuple[str, ...] = ()  # the media types of a body that the view reads and decodes itself
    takes_basic: bool = False  # accepts an API key as the password of Basic authentication, too
    is_page: bool = False  # a page for a browser: it authenticates by the cookie of its session, and by nothing else
    takes_strict: bool = False  # honours the parameter `strict`, as calls do that create or change something
    writes: bool = False  # to the database, so that a full disk is an error
    is_idempotent: bool = False  # honours the header Idempotency-Key
    refuses: tuple[int, ...] = ()  # the status codes of errors that are this route's own
    unauthorized_message: str | None = None  # the text of its 401, where it is not the usual one
    returns_secret: bool = False  # such as a token; its responses are not compressed

    @property
    def described_parameters(self) -> tuple[str, ...]:
        """The names of all parameters, for messages: `metadata.…` stands for those with that prefix."""
        return (*self.query_parameters, *(f"{prefix}…" for prefix in self.parameter_prefixes))

    def takes_parameter(self, name: str) -> bool:
        """Whether the route takes this query parameter."""
        return name in self.query_parameters or self.is_prefixed(name)

    def is_prefixed(self, name: str) -> bool:
        """Whether a query parameter is one of those that begin with a prefix, and has a name behind it."""
        return name.startswith(self.parameter_prefixes) and name not in self.parameter_prefixes

    @property
    def is_public(self) -> bool:
        """Whether the route answers callers who are not signed in."""
        return self.permission is Permission.PUBLIC

    @property
    def is_restricted(self) -> bool:
        """Whether roles and scopes of API keys decide who may use the route."""
        return self.permission not in (Permission.PUBLIC, Permission.SIGNED_IN)

    @property
    def takes_body(self) -> bool:
        """Whether the route takes a request body."""
        return self.takes_json or self.takes_file or bool(self.raw_types)

    @property
    def takes_ndjson(self) -> bool:
        """Whether the body may be NDJSON."""
        return self.takes_file or self.ndjson_field is not None

    @property
    def takes_yaml(self) -> bool:
        """Whether the body may be YAML."""
        return self.yaml_schema is not None

    @property
    def error_statuses(self) -> list[int]:
        """The status codes of all errors that the route documents: `refuses`, and those that its properties imply."""
        statuses = {400, 503, *self.refuses}
        statuses |= set() if self.is_public else {401, 404}  # 404: the workspace that the request names
        statuses |= {403} if self.is_restricted else set()
        statuses |= {422} if self.is_idempotent else set()
        statuses |= {413, 415} if self.takes_body else {413} if self.may_take_json else set()
        statuses |= {507} if self.writes else set()
        return sorted(statuses, reverse=True)


def declare(view: Any, route: Route) -> None:
    """Attach its route to a view function."""
    setattr(view, _ATTRIBUTE, route)


def route_of(view: Any) -> Route:
    """Return the route of a view function. Raises AttributeError for a view that declares none."""
    route: Route = getattr(view, _ATTRIBUTE)
    return route


def requested_route() -> Route | None:
    """Return the route that the request matches; None when no route has its path and method, and for OPTIONS."""
    if request.endpoint is None or request.method == "OPTIONS":
        return None
    return route_of(current_app.view_functions[request.endpoint])


def refuse_undeclared(app: Flask) -> None:
    """Raise RuntimeError if a view function declares no route and therefore no permission."""
    undeclared = [name for name, view in app.view_functions.items() if not hasattr(view, _ATTRIBUTE)]
    if undeclared:
        raise RuntimeError(f"These endpoints declare no permission: {', '.join(undeclared)}")
