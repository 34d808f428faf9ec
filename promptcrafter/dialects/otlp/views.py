"""The routes that OpenTelemetry's exporters send to."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from flask import Response, current_app, request

from promptcrafter.dialects.otlp import responses
from promptcrafter.dialects.otlp.decode_json import JsonDecoder
from promptcrafter.dialects.otlp.decoding import Decoder
from promptcrafter.dialects.otlp.ingest import ingest, ingest_records
from promptcrafter.dialects.otlp.outcomes import Outcome, items_handled
from promptcrafter.dialects.otlp.records import sort_records
from promptcrafter.dialects.otlp.schemas import describe_bodies
from promptcrafter.dialects.otlp.signals import JSON, LOGS, METRICS, TRACES, Signal
from promptcrafter.dialects.otlp.translate import Limits, translate
from promptcrafter.http.blueprint import Blueprint
from promptcrafter.http.request_checks import read_raw_body
from promptcrafter.permissions import Permission
from promptcrafter.workspaces.authentication import current_principal
from promptcrafter.workspaces.principal import refuse_role

blueprint = Blueprint("otlp", __name__, description="For programs that are instrumented with OpenTelemetry")
# Exporters append parameters to the address that are meant for other servers
_ROUTE: dict[str, Any] = {
    "methods": ["POST"],
    "permission": Permission.INGEST,
    "ignores_parameters": True,
    "takes_basic": True,
}
_TRACES, _LOGS, _METRICS = map(describe_bodies, (TRACES, LOGS, METRICS))


@blueprint.route("/v1/traces", endpoint="export_traces", bodies=_TRACES, **_ROUTE)
@blueprint.route("/basalt/v1/traces", endpoint="export_traces_of_basalt", bodies=_TRACES, **_ROUTE)
@blueprint.route("/api/public/otel/v1/traces", endpoint="export_traces_of_langfuse", bodies=_TRACES, **_ROUTE)
def export_traces() -> Response:
    """Store the spans of an OpenTelemetry exporter: calls of models become logs, other steps those of a trace."""
    batch = _decode().read_spans()
    limits = _limits()
    parts = [part for span in batch.items if (part := translate(span, limits)) is not None]
    ingest(current_principal(), parts)
    outcomes = Counter(Outcome.LOG if part.is_call else Outcome.STEP for part in parts)
    outcomes[Outcome.UNRELATED] = len(batch.items) - len(parts)
    return _succeed(TRACES, outcomes, batch.rejections)


@blueprint.route("/v1/logs", endpoint="export_logs", bodies=_LOGS, **_ROUTE)
@blueprint.route("/basalt/v1/logs", endpoint="export_logs_of_basalt", bodies=_LOGS, **_ROUTE)
@blueprint.route("/api/public/otel/v1/logs", endpoint="export_logs_of_langfuse", bodies=_LOGS, **_ROUTE)
def export_logs() -> Response:
    """Store the log records of an OpenTelemetry exporter: content is joined to its span, and evaluations are scores."""
    batch = _decode().read_records()
    found = sort_records(batch.items, _limits())
    refused = ingest_records(current_principal(), found)
    outcomes = {
        Outcome.EVENT: len(found.events),
        Outcome.SCORE: len(found.scores) - refused.total(),
        Outcome.UNRELATED: found.unrelated,
    }
    return _succeed(LOGS, outcomes, batch.rejections + found.rejections + refused)


@blueprint.route("/v1/metrics", endpoint="export_metrics", bodies=_METRICS, **_ROUTE)
@blueprint.route("/basalt/v1/metrics", endpoint="export_metrics_of_basalt", bodies=_METRICS, **_ROUTE)
@blueprint.route("/api/public/otel/v1/metrics", endpoint="export_metrics_of_langfuse", bodies=_METRICS, **_ROUTE)
def export_metrics() -> Response:
    """Accept the metrics of an OpenTelemetry exporter, and drop them: a 404 would fill its log with errors."""
    return _succeed(METRICS, {Outcome.UNRELATED: _decode().count_points()}, Counter())


def _limits() -> Limits:
    return Limits(current_app.config["MAX_OUTPUT_BYTES"], keeps_media=current_app.config["OTLP_MEDIA"] == "keep")


def _decode() -> Decoder:
    """Return the decoder of the request's body. Raises 403 before that is read, and 400 and 413."""
    refuse_role(current_principal())
    body = read_raw_body(request, current_app.config["MAX_OTLP_BYTES"])
    if request.mimetype == JSON:
        return JsonDecoder(body)
    from promptcrafter.dialects.otlp.decode_protobuf import ProtobufDecoder  # takes 6 MB of memory

    return ProtobufDecoder(body)


def _succeed(signal: Signal, outcomes: Mapping[Outcome, int], rejections: Counter[str]) -> Response:
    """Count what became of the items of a request, and return the 200."""
    items_handled.send(item=signal.item, outcomes={**outcomes, Outcome.REJECTED: rejections.total()})
    body = responses.write_success(signal, rejections, request.mimetype)
    return Response(body, mimetype=request.mimetype)
