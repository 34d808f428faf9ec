"""The OpenAPI document, generated from the routes when it is first requested."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from threading import Lock
from typing import Any

import flask_smorest
from flask import Flask, current_app, request
from marshmallow import Schema, fields

from promptcrafter.http.ignored_fields import HEADER
from promptcrafter.http.schemas import COMPONENTS
from promptcrafter.version import VERSION

_ERROR_DESCRIPTIONS = {
    400: "Malformed JSON, an invalid field, or an unknown parameter",
    401: "The token or API key is missing, invalid, expired or revoked",
    403: "The resource is in a workspace that you are no member of, or your role or API key does not allow the call",
    404: "The resource, or the workspace that X-Workspace names, does not exist",
    409: "The request conflicts with an existing resource",
    412: "The resource has changed since the version that If-Match names",
    413: "The body or a part of it is too large",
    415: "The Content-Type or the Content-Encoding is not one that the call accepts",
    422: "The Idempotency-Key was used for another request",
    429: "Too many attempts; see Retry-After",
    503: "The database is busy or unreachable; see Retry-After",
    507: "The disk or the workspace is full",
}
_IGNORED_FIELDS = {
    "description": "The fields of the body that had no effect, percent-encoded; `+N` counts those that are not listed",
    "schema": {"type": "string"},
}
_SPECIFICATION = {
    "API_TITLE": "PromptCrafter",
    "API_VERSION": VERSION,
    "OPENAPI_VERSION": "3.1.0",
    "API_SPEC_OPTIONS": {
        "info": {"description": "Stores prompts and their outputs, with notes and scores, and searches them."},
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A token or an API key"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
                "basic": {"type": "http", "scheme": "basic", "description": "The password is an API key"},
            }
        },
    },
}


class ErrorOut(Schema):
    """The body of every error."""

    message = fields.String(required=True, metadata={"description": "For people"})
    error = fields.String(required=True, metadata={"description": "The same text as `message`"})
    code = fields.String(required=True, metadata={"description": "Stable, for machines"})
    requestId = fields.String(required=True, metadata={"description": "As in the `X-Request-Id` header"})
    details = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String()),
        metadata={"description": "All reasons for each invalid field; only in validation errors"},
    )


@dataclass(frozen=True)
class Bodies:
    """OpenAPI's descriptions of bodies by their media types: of requests, and of the responses 200 and errors.

    For routes of other systems' clients, which are JSON objects of a schema neither way.
    """

    request: Mapping[str, Any]
    response: Mapping[str, Any]
    errors: Mapping[str, Any]


class Api(flask_smorest.Api):
    """Registers the routes at once and describes them when the document is first requested.

    Generating the document takes longer than the rest of the startup.
    """

    ERROR_SCHEMA = ErrorOut
    DEFAULT_ERROR_RESPONSE_NAME = None

    def __init__(self, app: Flask) -> None:
        app.config.update(deepcopy(_SPECIFICATION))
        self._undescribed: list[flask_smorest.Blueprint] = []
        self._describing = Lock()
        super().__init__(app)

    def register_blueprint(self, blp: flask_smorest.Blueprint, **options: Any) -> None:
        """Register the routes of a blueprint; `describe` adds them to the document."""
        self._app.extensions["flask-smorest"]["blp_name_to_api"][blp.name] = self
        self._app.register_blueprint(blp, **options)
        self._undescribed.append(blp)

    def describe(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        with self._describing:
            if self._undescribed:
                for name, component in COMPONENTS.items():
                    self.spec.components.schema(name, component)
            while self._undescribed:
                blueprint = self._undescribed[0]
                blueprint.register_views_in_doc(self, self._app, self.spec, name=blueprint.name, parameters=None)
                self.spec.tag({"name": blueprint.name, "description": blueprint.description})
                self._undescribed.remove(blueprint)
            document: dict[str, Any] = self.spec.to_dict()
            for (schema_class, *_), name in self.ma_plugin.converter.refs.items():
                document["components"]["schemas"][name] |= getattr(schema_class, "rules", {})
            _leave_objects_empty(document)
        return document

    def _register_error_handlers(self) -> None:
        """Register none: `http.error_handlers` handles all errors."""

    def _register_responses(self) -> None:
        """Register none: `describe_errors` adds each error to its operation. One for every status takes long."""


def _leave_objects_empty(document: dict[str, Any]) -> None:
    """Give query parameters that are objects an empty example: the page would fill in keys of its own."""
    for operations in document["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()) if isinstance(operation, dict) else ():
                if parameter.get("schema", {}).get("type") == "object":
                    parameter["example"] = {}


def document() -> dict[str, Any]:
    """Return the OpenAPI document of the current application, as a server at the prefix of the request, if any."""
    api: Api = current_app.extensions["flask-smorest"]["apis"][""]["ext_obj"]
    servers = {"servers": [{"url": request.root_path}]} if request.root_path else {}
    return {**api.describe(), **servers}


def describe_example(doc: dict[str, Any], doc_info: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Add the example of a JSON body to its operation; a callback that flask-smorest's blueprints call.

    Without it, the page /docs makes up a value for every field, by its pattern.
    """
    content = doc.get("requestBody", {}).get("content", {}).get("application/json")
    if content is not None and isinstance(content["schema"], Schema):
        content["example"] = _example_of_body(content["schema"])
    return doc


def _example_of_body(schema: Schema) -> dict[str, Any]:
    """Return an object of the fields that have an example, and of those that are required."""
    examples = {field.data_key or name: _example_of(field) for name, field in schema.load_fields.items()}
    return {name: example for name, example in examples.items() if example is not None}


def _example_of(field: fields.Field[Any]) -> Any:
    """Return the example of a field, None if it is optional and has none."""
    if "example" in field.metadata or not field.required:
        return field.metadata.get("example")
    if isinstance(field, fields.List) and isinstance(field.inner, fields.Nested):
        return [_example_of_body(field.inner.schema)]
    return None


def describe_errors(doc: dict[str, Any], doc_info: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Add the errors of a route to its operation; a callback that flask-smorest's blueprints call.

    It takes the place of a decorator for each error, which would copy the description made so far each time.
    """
    common = {"application/json": {"schema": ErrorOut}}
    for status in doc_info.get("refusals", ()):
        content = deepcopy(doc_info.get("error_content", common))
        doc.setdefault("responses", {})[status] = {"description": _ERROR_DESCRIPTIONS[status], "content": content}
    return doc


def describe_parameters(doc: dict[str, Any], doc_info: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Add the parameters that a route has besides those of its schemas and its path; a callback like the above."""
    others = doc_info.get("other_parameters")
    return {**doc, "parameters": [*doc.get("parameters", ()), *others]} if others else doc


def describe_ignored_fields(doc: dict[str, Any], doc_info: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Add the header with the ignored fields to the successful responses of a route; a callback like the above."""
    if doc_info.get("may_ignore_fields"):
        for status, response in doc.get("responses", {}).items():
            if str(status).startswith("2"):
                response.setdefault("headers", {})[HEADER] = _IGNORED_FIELDS
    return doc
