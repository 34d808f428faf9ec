"""What Langfuse's clients ask about the service itself, and the error for what is not served to them."""

from typing import Any

from flask import Flask, request
from marshmallow import Schema, fields
from werkzeug.exceptions import NotFound

from promptcrafter.http.blueprint import Blueprint
from promptcrafter.http.schemas import JsonObject
from promptcrafter.permissions import Permission
from promptcrafter.problems import Problem
from promptcrafter.version import VERSION
from promptcrafter.workspaces import store
from promptcrafter.workspaces.authentication import current_principal

blueprint = Blueprint("langfuse-service", __name__, description="For Langfuse's clients: the service itself")
_ROOT = "/api/public"
_SERVED = (
    "prompts (GET, POST /v2/prompts, GET /v2/prompts/{name}, PATCH /v2/prompts/{name}/versions/{version}), "
    "scores (POST /scores, POST /ingestion), traces by OpenTelemetry (POST /otel/v1/traces), GET /projects and /health"
)


class OrganizationOut(Schema):
    """To whom a project belongs, which here is the workspace again."""

    id = fields.String(required=True)
    name = fields.String(required=True)


class ProjectOut(Schema):
    """A workspace, as Langfuse's clients know it."""

    id = fields.String(required=True)
    name = fields.String(required=True)
    organization = fields.Nested(OrganizationOut(), required=True)
    metadata = JsonObject(required=True, metadata={"description": "Always empty"})


class ProjectsOut(Schema):
    """The only project of an API key."""

    data = fields.List(fields.Nested(ProjectOut()), required=True)


class LangfuseHealthOut(Schema):
    """The result of a health check."""

    status = fields.String(required=True, metadata={"example": "OK"})
    version = fields.String(required=True)


def init_app(app: Flask) -> None:
    """Say what is served where a client calls what is not."""
    app.before_request(_explain_unknown_path)


@blueprint.route(f"{_ROOT}/projects", permission=Permission.SIGNED_IN, takes_basic=True)
@blueprint.response(200, ProjectsOut())
def list_langfuse_projects() -> dict[str, Any]:
    """Return the current workspace as the only project; the SDKs check their key by it."""
    principal = current_principal()
    workspace = store.get_workspace(principal, principal.current_id)
    named = {"id": workspace.id, "name": workspace.name}
    return {"data": [{**named, "organization": named, "metadata": {}}]}


@blueprint.route(f"{_ROOT}/health", permission=Permission.PUBLIC)
@blueprint.response(200, LangfuseHealthOut())
def check_langfuse_health() -> dict[str, str]:
    """Answer 200 while the process is running."""
    return {"status": "OK", "version": VERSION}


def _explain_unknown_path() -> None:
    """Raise 404 with the list of what is served, of which the SDKs show the message."""
    if isinstance(request.routing_exception, NotFound) and request.path.startswith(f"{_ROOT}/"):
        raise Problem(404, f"This server has no such call. Of Langfuse's API it serves {_SERVED}.", "route_not_found")
