"""The responses of traces, and the fields that requests and exports share with them."""

from collections.abc import Callable
from typing import Any

from marshmallow import fields

from promptcrafter.http.fields import Timestamp
from promptcrafter.http.page_query import PageQuery
from promptcrafter.http.schemas import FieldGroup, JsonArray, JsonObject, JsonOrText, SparseSchema
from promptcrafter.ids import pattern
from promptcrafter.logs.schemas import LogOut

SPAN_TYPE_MAX = 64  # characters


def trace_fields(time: type[fields.Field[Any]], check_output: Callable[[Any], None] | None = None) -> FieldGroup:
    """Return the fields that describe the run, for TraceOut, TraceLine of an export and a dialect's requests.

    `time` is the class of the fields for times, `check_output` a validator of the output.
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
    """Return the fields that describe the evaluation of the run, for the same schemas as `trace_fields`."""
    return {"evaluators": JsonArray(), "evaluation_config": JsonObject(data_key="evaluationConfig")}


def span_fields(
    time: type[fields.Field[Any]],
    check_output: Callable[[Any], None] | None = None,
    text: type[fields.String] = fields.String,
) -> FieldGroup:
    """Return the fields of a step besides its id and type, for SpanOut and SpanLine of an export: see `trace_fields`.

    `text` is the class of the fields for texts.
    """
    return {
        "parent_id": text(data_key="parentId"),
        "name": text(),
        "start_time": time(data_key="startTime"),
        "end_time": time(data_key="endTime"),
        "input": JsonOrText(),
        "output": JsonOrText(validate=check_output),
        "ideal_output": JsonOrText(data_key="idealOutput"),
        "meta": JsonObject(data_key="metadata"),
        "evaluators": JsonArray(),
    }


class TraceOut(SparseSchema):
    """A trace without its steps. Inputs and outputs are shown as they were sent: text, objects or arrays."""

    id = fields.String(data_key="_id", required=True, metadata={"pattern": pattern("trace")})
    source = fields.String(required=True, metadata={"description": "The API that the trace was sent to"})
    slug = fields.String(required=True, metadata={"description": "The client's name of the feature"})
    name = fields.String()
    locals().update(trace_fields(Timestamp))
    experiment_id = fields.String(data_key="experimentId")
    locals().update(evaluation_fields())
    created_at = Timestamp(data_key="createdAt", required=True)


class SpanOut(SparseSchema):
    """A step other than a generation, with the client's own ids. What the client did not send is left out."""

    span_id = fields.String(data_key="id", required=True)
    type = fields.String(required=True)
    locals().update(span_fields(Timestamp))


class TraceWhole(TraceOut):
    """A trace with its steps. Its generations are logs, whose `spanId` and `parentSpanId` refer to spans."""

    spans = fields.List(fields.Nested(SpanOut()), required=True)
    logs = fields.List(fields.Nested(LogOut()), required=True)


class ScoresOfTraceQuery(PageQuery):
    """The page of the scores of one trace."""
