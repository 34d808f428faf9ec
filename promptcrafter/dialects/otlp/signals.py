"""The three signals of OpenTelemetry: traces, logs and metrics. Each has its paths, and a request of the same shape.

A request has resources (programs), each of these scopes (instrumentations), and each of these items: spans, log records
or metrics.
"""

from dataclasses import dataclass

PROTOBUF, JSON = "application/x-protobuf", "application/json"  # the encodings of all three
PREFIXES = ("", "/basalt", "/api/public/otel")  # of the paths: the standard, Basalt's SDK and Langfuse's


@dataclass(frozen=True)
class Signal:
    """A signal: its name, the request that exporters send, what is counted of it, and the names in OTLP's JSON form."""

    name: str
    request: str
    item: str
    json_groups: tuple[str, str, str]
    json_rejected: str

    @property
    def path(self) -> str:
        """The path that the specification gives the signal."""
        return f"/v1/{self.name}"


TRACES = Signal(
    "traces", "ExportTraceServiceRequest", "span", ("resourceSpans", "scopeSpans", "spans"), "rejectedSpans"
)
LOGS = Signal(
    "logs", "ExportLogsServiceRequest", "log_record", ("resourceLogs", "scopeLogs", "logRecords"), "rejectedLogRecords"
)
METRICS = Signal(
    "metrics",
    "ExportMetricsServiceRequest",
    "metric_point",
    ("resourceMetrics", "scopeMetrics", "metrics"),
    "rejectedDataPoints",
)
SIGNALS = (TRACES, LOGS, METRICS)
