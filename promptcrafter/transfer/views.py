"""The routes `GET /export` and `POST /import`."""

from typing import Any

from flask import Response, current_app, request

from promptcrafter.http.blueprint import Blueprint, idempotency_key
from promptcrafter.http.request_checks import NDJSON
from promptcrafter.idempotency.decorator import read_key
from promptcrafter.permissions import Permission
from promptcrafter.problems import TooLarge
from promptcrafter.transfer import importer
from promptcrafter.transfer.export_response import export_response
from promptcrafter.transfer.import_file import LimitedFile, import_file
from promptcrafter.transfer.schemas import ExportQuery, ImportOut, ImportQuery
from promptcrafter.workspaces.authentication import current_principal

blueprint = Blueprint("transfer", __name__, description="Export everything in a workspace, and import it")
_IDEMPOTENCY_KEY = idempotency_key("With `ids=new`: importing the same file with the same key again changes nothing")


@blueprint.route("/export", permission=Permission.READ, refuses=(403, 404))
@blueprint.arguments(ExportQuery(), location="query")
@blueprint.response(200, {"type": "string", "format": "binary"}, content_type=NDJSON)
def export_all(query: dict[str, Any]) -> Response:
    """Return everything in the workspace, or one prompt with its logs, one typed JSON object a line."""
    is_noted = request.method == "GET"
    return export_response(current_principal(), query.get("promptId"), query["form"], is_noted=is_noted)


@blueprint.route(
    "/import",
    methods=["POST"],
    permission=Permission.WRITE,
    takes_file="The file that `GET /export` returned, on this server or another one. It may also be sent as "
    "`application/x-ndjson`",
    refuses=(403, 404, 409),
)
@blueprint.arguments(ImportQuery(), location="query")
@blueprint.response(200, ImportOut())
@blueprint.doc(parameters=[_IDEMPOTENCY_KEY])
def import_all(query: dict[str, Any]) -> importer.Counts:
    """Import an export into the workspace. What the workspace has already is skipped."""
    limit = current_app.config["MAX_IMPORT_BYTES"]
    request.max_content_length = limit + 1  # Werkzeug cuts a longer chunked body without an error
    if (request.content_length or 0) > limit:
        raise TooLarge("The file", limit, request.content_length)
    has_new_ids = query["ids"] == "new"
    key = read_key() if has_new_ids else None
    return import_file(current_principal(), LimitedFile(request.stream, limit), has_new_ids=has_new_ids, key=key)
