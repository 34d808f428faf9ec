"""The page `/docs`, where users read and try the API, and its files, which this server serves itself."""

from pathlib import Path

from flask import Response, jsonify, render_template, send_from_directory

from promptcrafter.http import openapi
from promptcrafter.http.blueprint import Blueprint
from promptcrafter.permissions import Permission

blueprint = Blueprint("docs", __name__, template_folder="templates")
_STATIC = Path(__file__).parent / "static"
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@blueprint.route("/openapi.json", permission=Permission.PUBLIC)
def get_openapi() -> Response:
    """Return the OpenAPI description of the API, which is generated from its code."""
    return jsonify(openapi.document())


@blueprint.route("/docs", permission=Permission.PUBLIC)
def show_docs() -> Response:
    """Return a page with Swagger UI for the OpenAPI description."""
    response = Response(render_template("docs.html"))
    response.headers["Content-Security-Policy"] = _PAGE_POLICY
    return response


@blueprint.route("/static/<path:name>", permission=Permission.PUBLIC)
def get_static(name: str) -> Response:
    """Return a static file of the page."""
    return send_from_directory(_STATIC, name, max_age=3600)
