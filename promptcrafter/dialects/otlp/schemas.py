"""What the OpenAPI document says about the bodies of OTLP, which OpenTelemetry's own specification defines."""

from typing import Any

from promptcrafter.dialects.otlp.signals import JSON, PROTOBUF, Signal
from promptcrafter.http.openapi import Bodies

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_TEXT, _INTEGER = {"type": "string"}, {"type": "integer"}
_OBJECTS = {"type": "array", "items": {"type": "object", "additionalProperties": True}}


def describe_bodies(signal: Signal) -> Bodies:
    """Return the description of the request and of its responses in both encodings."""
    resources, _, _ = signal.json_groups
    request = {"schema": _object(**{resources: _OBJECTS}), "example": {resources: []}}
    partial_success = _object(**{signal.json_rejected: _TEXT}, errorMessage=_TEXT)
    status = _object(code=_INTEGER, message=_TEXT)
    return Bodies(
        request={PROTOBUF: _BINARY, JSON: request},
        response={PROTOBUF: _BINARY, JSON: {"schema": _object(partialSuccess=partial_success)}},
        errors={PROTOBUF: _BINARY, JSON: {"schema": status}},
    )


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}
