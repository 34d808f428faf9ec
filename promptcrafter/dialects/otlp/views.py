"""The routes that OpenTelemetry's exporters send to."""

from importlib import import_module
from typing import Any

from flask import Response, current_app, request

from promptcrafter.dialects.otlp import ingest, responses
from promptcrafter.dialects.otlp.translate import Limits, translate
from promptcrafter.http.blueprint import Blueprint
from promptcrafter.http.request_checks import read_raw_body
from promptcrafter.permissions import Permission
from promptcrafter.workspaces.authentication import current_principal

blueprint = Blueprint("otlp", __name__, description="For programs that are instrumented with OpenTelemetry")
_ROUTE: dict[str, Any] = {
    "methods": ["POST"],
    "permission": Permission.INGEST,
    "raw_types": (responses.PROTOBUF, responses.JSON),
    "takes_basic": True,
}
_SHOWN_MAX = 5  # rejections


@blueprint.route("/v1/traces", endpoint="export_traces", **_ROUTE)
@blueprint.route("/basalt/v1/traces", endpoint="export_traces_of_basalt", **_ROUTE)
@blueprint.route("/api/public/otel/v1/traces", endpoint="export_traces_of_langfuse", **_ROUTE)
@blueprint.response(200, {"type": "string", "format": "binary"}, content_type=responses.PROTOBUF)
def export_traces() -> Response:
    """Store the spans of an OpenTelemetry exporter: calls of models become logs, other steps those of a trace."""
    body = read_raw_body(request, current_app.config["MAX_OTLP_BYTES"])
    # imported at the first request, since protobuf takes 6 MB of memory
    decoder = import_module("promptcrafter.dialects.otlp.decode_protobuf")
    spans, rejections = decoder.read_spans(body)
    limits = Limits(current_app.config["MAX_OUTPUT_BYTES"], keeps_media=current_app.config["OTLP_MEDIA"] == "keep")
    parts = [part for span in spans if (part := translate(span, limits)) is not None]
    ingest.ingest(current_principal(), parts)
    return responses.succeed(len(rejections), "; ".join(dict.fromkeys(rejections[:_SHOWN_MAX])))
