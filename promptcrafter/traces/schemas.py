"""What traces look like on the wire."""

from collections.abc import Callable
from typing import Any

from marshmallow import Schema, fields

from promptcrafter.http.fields import Timestamp
from promptcrafter.http.schemas import FieldGroup, JsonArray, JsonObject, JsonOrText, SparseSchema
from promptcrafter.ids import pattern
from promptcrafter.logs.schemas import LogOut


def trace_fields(time: type[fields.Field[Any]], check_output: Callable[[Any], None] | None = None) -> FieldGroup:
    """Return the fields about a run that a client's trace, TraceOut and the line of an export all have.

    `time` is the type of a time in that direction, `check_output` the validator of an output that is loaded.
    """
    return {
        "input": JsonOrText(),
        "output": JsonOrText(validate=check_output),
        "ideal_output": JsonOrText(data_key="idealOutput"),
        "meta": JsonObject(data_key="metadata"),
        "organization": JsonObject(),
        "user": JsonObject(),
        "start_time": time(data_key="startTime"),
        "end_time": time(data_key="endTime"),
    }


def evaluation_fields() -> FieldGroup:
    """Return the fields about a run's evaluation, which the same three have behind its experiment."""
    return {"evaluators": JsonArray(), "evaluation_config": JsonObject(data_key="evaluationConfig")}


def span_fields(check_output: Callable[[Any], None] | None = None) -> FieldGroup:
    """Return the fields about a step that SpanOut and the line of an export have, by the names they are kept under."""
    return {
        "input": JsonOrText(),
        "output": JsonOrText(validate=check_output),
        "idealOutput": JsonOrText(),
        "metadata": JsonObject(),
        "evaluators": JsonArray(),
    }


class TraceOut(SparseSchema):
    """A trace without its steps. Inputs and outputs are as they were sent: text, objects or arrays."""

    id = fields.String(data_key="_id", required=True, metadata={"pattern": pattern("trace")})
    source = fields.String(required=True, metadata={"description": "The API it came by"})
    slug = fields.String(required=True, metadata={"description": "The client's name of the feature it is about"})
    name = fields.String()
    locals().update(trace_fields(Timestamp))
    experiment_id = fields.String(data_key="experimentId")
    locals().update(evaluation_fields())
    created_at = Timestamp(data_key="createdAt", required=True)


class SpanOut(Schema):
    """A step that is no generation, with the ids that the client gave; absent where it said nothing."""

    id = fields.String(required=True)
    type = fields.String(required=True)
    parentId = fields.String()
    name = fields.String()
    startTime = fields.String()
    endTime = fields.String()
    locals().update(span_fields())


class TraceWhole(TraceOut):
    """A trace with its steps: its generations are logs, tied to its spans by `spanId` and `parentSpanId`."""

    spans = fields.List(fields.Nested(SpanOut()), required=True)
    logs = fields.List(fields.Nested(LogOut()), required=True)
