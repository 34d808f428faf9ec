"""YAML as another form of a resource: in requests whose route declares a schema for it, and in responses."""

from flask import Response, request
from werkzeug.datastructures import MIMEAccept

YAML_TYPES = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml")  # RFC 9512, and its older names
YAML = YAML_TYPES[0]
JSON_OR_YAML = ("application/json", *YAML_TYPES)


def prefers_yaml() -> bool:
    """Return whether the request asks for YAML rather than JSON."""
    if "yaml" not in request.environ.get("HTTP_ACCEPT", "").lower():  # so in nearly all requests
        return False
    # parameters such as a charset or a version have no meaning here
    accepted = MIMEAccept([(value.partition(";")[0].strip(), quality) for value, quality in request.accept_mimetypes])
    return accepted.best_match(JSON_OR_YAML, default=JSON_OR_YAML[0]) in YAML_TYPES


def yaml_response(text: str) -> Response:
    """Return the response with a text in YAML."""
    return Response(text, mimetype=YAML)
