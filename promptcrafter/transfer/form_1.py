"""The first form of the file, which release 0.1.0 reads: what it cannot have is left out.

Release 0.1.0 refuses a field that it does not know, and a log of the native API without an output. Its fields never
change, so they are listed here, and what later releases add stays out by itself. `store.each_row` leaves out whole
rows: scores, calls that failed, which that release would count as outputs, and what came from sources that it does not
know.
"""

from collections.abc import Mapping
from typing import Any

VERSION = 1
SOURCES = ("basalt", "agenttest", "llm", "promptfoo")
KINDS = ("prompt", "version", "experiment", "trace", "log")
_FIELDS = {
    "prompt": {"_id", "slug", "title", "tags", "createdAt", "updatedAt"},
    "experiment": {"_id", "slug", "name", "status", "featureSlug", "variants", "createdAt", "updatedAt"},
    "trace": {
        *("_id", "source", "slug", "name", "input", "output", "idealOutput", "metadata", "organization", "user"),
        *("startTime", "endTime", "experimentId", "evaluators", "evaluationConfig", "spans", "createdAt"),
    },
    "log": {
        *("_id", "promptId", "promptVersion", "modelUsed", "output", "notes", "score", "input", "idealOutput"),
        *("variables", "startTime", "endTime", "latencyMs", "inputTokens", "outputTokens", "cost", "computed"),
        *("pricedAs", "metadata", "source", "name", "promptReference", "traceId", "spanId", "parentSpanId"),
        *("experimentId", "variantKey", "metrics", "context", "createdAt", "updatedAt"),
    },
}
_OF_VERSION = ("promptId", "version", "content", "model", "labels", "createdAt")
_OF_VARIANT = {"key", "payload", "trafficPercent", "promptId"}


def reduce(kind: str, fields: Mapping[str, Any], row: Any) -> dict[str, Any]:
    """Return the fields of a line that the first form has, of those that the newest form has.

    A chat prompt becomes the text of its messages.
    """
    if kind == "version":
        whole = {**fields, "content": row.content}
        return {name: whole[name] for name in _OF_VERSION}
    reduced = _pick(fields, _FIELDS[kind])
    if kind == "experiment":
        reduced["variants"] = [_pick(variant, _OF_VARIANT) for variant in fields["variants"]]
    return reduced


def _pick(fields: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name in names}
