"""The page `/docs`, where users read and try the API, and its files, which this server serves itself."""

import re
from pathlib import Path

from flask import Response, jsonify, render_template, send_from_directory

from promptcrafter.http import openapi
from promptcrafter.http.blueprint import Blueprint
from promptcrafter.permissions import Permission

blueprint = Blueprint("docs", __name__, template_folder="templates")
_STATIC = Path(__file__).parent / "static"
_WITH_DIGEST = re.compile(r"-[0-9a-f]{10}(\.[a-z]+)\Z")
_HOUR_S, _FOR_GOOD_S = 3600, 365 * 24 * 3600
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


@blueprint.route("/favicon.ico", permission=Permission.PUBLIC)
def get_favicon() -> Response:
    """Return the icon, which browsers ask for at this path whatever a page or an answer says."""
    return send_from_directory(_STATIC, "favicon.svg", max_age=_HOUR_S, conditional=False)


@blueprint.route("/static/<path:name>", permission=Permission.PUBLIC)
def get_static(name: str) -> Response:
    """Return a static file of a page. A name with the digest of the content is kept by browsers for good."""
    plain = _WITH_DIGEST.sub(r"\1", name)
    response = send_from_directory(_STATIC, plain, max_age=_FOR_GOOD_S if plain != name else _HOUR_S)
    response.cache_control.immutable = plain != name
    return response
