"""The OpenAPI document, made from the routes: their errors, and when it is put together."""

from copy import deepcopy
from threading import Lock
from typing import Any

import flask_smorest
from flask import Flask, current_app
from marshmallow import Schema, fields

from promptcrafter.version import VERSION

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
_SPECIFICATION = {
    "API_TITLE": "PromptCrafter",
    "API_VERSION": VERSION,
    "OPENAPI_VERSION": "3.1.0",
    "API_SPEC_OPTIONS": {
        "info": {"description": "Keeps prompts, logs every output with notes and a score, and finds them again."},
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A token or an API key"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            }
        },
    },
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


class Api(flask_smorest.Api):
    """The documented API. Blueprints are registered at once; the document is made when it is first asked for.

    Making it takes longer than all else at a start.
    """

    ERROR_SCHEMA = ErrorOut
    DEFAULT_ERROR_RESPONSE_NAME = None

    def __init__(self, app: Flask) -> None:
        app.config.update(deepcopy(_SPECIFICATION))
        self._undescribed: list[flask_smorest.Blueprint] = []
        self._describing = Lock()
        super().__init__(app)

    def register_blueprint(self, blp: flask_smorest.Blueprint, **options: Any) -> None:
        """Register the routes of a blueprint, and leave their description for later."""
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
        """Leave errors to `http.error_handlers`."""


def document() -> dict[str, Any]:
    """Return the OpenAPI document of the current application."""
    api: Api = current_app.extensions["flask-smorest"]["apis"][""]["ext_obj"]
    return api.describe()


def describe_errors(doc: dict[str, Any], doc_info: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Add the errors of a route to its operation: a callback of flask-smorest's blueprints.

    As decorators they would copy, one by one, all that is described so far.
    """
    for status in doc_info.get("refusals", ()):
        content = {"application/json": {"schema": ErrorOut}}
        doc.setdefault("responses", {})[status] = {"description": _MEANINGS[status], "content": content}
    return doc
