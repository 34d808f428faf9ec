"""Routes about the service itself: the index, health and readiness checks, and limits."""

import logging
import os
from datetime import timedelta

from flask import current_app, redirect, request, url_for
from marshmallow import Schema, fields
from werkzeug.wrappers import Response as BaseResponse

from promptcrafter import jsonio
from promptcrafter.database import revisions, storage
from promptcrafter.http.blueprint import Blueprint
from promptcrafter.http.page_query import MAX_PER_PAGE
from promptcrafter.idempotency.store import RETENTION
from promptcrafter.logs.schemas import BATCH_MAX
from promptcrafter.permissions import Permission
from promptcrafter.problems import Unavailable
from promptcrafter.prompts import fields as prompts
from promptcrafter.prompts import search
from promptcrafter.version import VERSION

blueprint = Blueprint("status", __name__, description="The service itself")
_log = logging.getLogger(__name__)


class IndexOut(Schema):
    """Name, version and documentation of the service."""

    name = fields.String(required=True)
    version = fields.String(required=True)
    docs = fields.String(required=True)
    openapi = fields.String(required=True)


class HealthOut(Schema):
    """The result of a health check."""

    status = fields.String(required=True, metadata={"example": "ok"})


class LimitsOut(Schema):
    """The limits of the server."""

    bodyBytes = fields.Integer(required=True)
    outputBytes = fields.Integer(required=True)
    importBytes = fields.Integer(required=True)
    otlpBytes = fields.Integer(required=True)
    titleCharacters = fields.Integer(required=True)
    modelCharacters = fields.Integer(required=True)
    tags = fields.Integer(required=True)
    tagCharacters = fields.Integer(required=True)
    searchCharacters = fields.Integer(required=True)
    searchWords = fields.Integer(required=True)
    perPage = fields.Integer(required=True)
    jsonDepth = fields.Integer(required=True)
    batchLogs = fields.Integer(required=True)
    idempotencyHours = fields.Integer(required=True)


@blueprint.route("/", permission=Permission.PUBLIC)
@blueprint.response(200, IndexOut())
@blueprint.alt_response(303, description="The pages, for a browser: a request that accepts `text/html` above all")
def get_index() -> dict[str, str] | BaseResponse:
    """Return the name and version of the service, and where its documentation is; lead browsers to the pages."""
    # JSON first, for clients that take both alike. Not `best`, which prefers what is most specific: `…;v=b3` of Chrome
    if request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html":
        return redirect(url_for("home.find_home"), 303)
    links = {"docs": url_for("docs.show_docs"), "openapi": url_for("docs.get_openapi")}
    return {"name": "PromptCrafter", "version": VERSION, **links}


@blueprint.route("/healthz", permission=Permission.PUBLIC)
@blueprint.response(200, HealthOut())
def check_health() -> dict[str, str]:
    """Answer 200 while the process is running."""
    return {"status": "ok"}


@blueprint.route("/readyz", permission=Permission.PUBLIC)
@blueprint.response(200, HealthOut())
def check_readiness() -> dict[str, str]:
    """Answer 200 if the database can be reached and written and has the schema of this release, otherwise 503."""
    revisions.refuse_mismatch()
    storage.check_files()
    obstacle = storage.find_obstacle()
    if storage.was_full_lately() or (obstacle is not None and storage.is_no_room(obstacle)):
        _log.error("the disk of the database is full")
        raise Unavailable("The server's disk is full.", "insufficient_storage")
    if obstacle is not None:
        _log.error("the folder of the database cannot be written: %s", os.strerror(obstacle))
        raise Unavailable("The database cannot be written.")
    return {"status": "ready"}


@blueprint.route("/limits", permission=Permission.SIGNED_IN)
@blueprint.response(200, LimitsOut())
def get_limits() -> dict[str, int]:
    """List the limits of the server."""
    return {
        "bodyBytes": current_app.config["MAX_BODY_BYTES"],
        "outputBytes": current_app.config["MAX_OUTPUT_BYTES"],
        "importBytes": current_app.config["MAX_IMPORT_BYTES"],
        "otlpBytes": current_app.config["MAX_OTLP_BYTES"],
        "titleCharacters": prompts.TITLE_MAX,
        "modelCharacters": prompts.MODEL_MAX,
        "tags": prompts.TAGS_MAX,
        "tagCharacters": prompts.TAG_MAX,
        "searchCharacters": prompts.QUERY_MAX,
        "searchWords": search.MAX_WORDS,
        "perPage": MAX_PER_PAGE,
        "jsonDepth": jsonio.MAX_DEPTH,
        "batchLogs": BATCH_MAX,
        "idempotencyHours": RETENTION // timedelta(hours=1),
    }
