"""The responses of traces, and the fields that requests and exports share with them."""

from collections.abc import Callable
from typing import Any

from marshmallow import Schema, ValidationError, fields, post_load, validates_schema

from promptcrafter.http.fields import Number, Text, Timestamp, TimestampText
from promptcrafter.http.page_query import RANK, SEQUENCE, TIME, Cursor, PageQuery
from promptcrafter.http.schemas import FieldGroup, JsonArray, JsonObject, JsonOrText, SparseSchema
from promptcrafter.ids import pattern
from promptcrafter.logs.fields import ORIGIN_MAX, SOURCES, STATUSES
from promptcrafter.logs.schemas import LogOut

SPAN_TYPE_MAX = 64  # characters
SORTS = ("-createdAt", "createdAt", "-duration", "duration", "-cost", "cost")


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


def run_fields() -> FieldGroup:
    """Return the fields that only traces of OpenTelemetry or newer releases have, for TraceOut."""

    def text(name: str, description: str) -> fields.String:
        return fields.String(data_key=name, metadata={"description": description})

    return {
        "external_id": text("externalId", "The id that OpenTelemetry's clients gave it, in hex"),
        "root_span_id": text("rootSpanId", "The span that all others are inside of, once it has arrived"),
        "status": text("status", "`error` if the run failed; only that is shown"),
        "user_id": text("userId", "For whom the run was made: a user of yours, who needs no account here"),
        "session_id": text("sessionId", "The conversation or session that the run belongs to"),
        "duration_ms": Number(data_key="durationMs", metadata={"description": "From the first start to the last end"}),
        "cost": Number(metadata={"description": "US dollars, the sum over its logs"}),
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
    locals().update(run_fields())


class SpanOut(SparseSchema):
    """A step other than a generation, with the client's own ids. What the client did not send is left out."""

    span_id = fields.String(data_key="id", required=True)
    type = fields.String(required=True)
    locals().update(span_fields(Timestamp))
    status = fields.String(metadata={"description": "`error` if the step failed; only that is shown"})
    error = fields.String(metadata={"description": "What failed"})
    duration_ms = Number(data_key="durationMs", metadata={"description": "With the fractions of what was sent"})


class TraceWhole(TraceOut):
    """A trace with its steps. Its generations are logs, whose `spanId` and `parentSpanId` refer to spans."""

    spans = fields.List(fields.Nested(SpanOut()), required=True)
    logs = fields.List(fields.Nested(LogOut()), required=True)


class NodeOut(SparseSchema):
    """A node of the tree of a trace: a step, or a call of a model, whose log has all that is known of it."""

    depth = fields.Integer(required=True, metadata={"description": "In how many other nodes it is"})
    span_id = fields.String(data_key="spanId", metadata={"description": "The client's id"})
    parent_id = fields.String(data_key="parentId", metadata={"description": "That of the step around it, if it is one"})
    log_id = fields.String(data_key="logId", metadata={"description": "The log, if it is a call of a model"})
    type = fields.String(required=True, metadata={"description": "`generation` for a call of a model"})
    name = fields.String()
    start_time = Timestamp(data_key="startTime")
    duration_ms = Number(data_key="durationMs", metadata={"description": "With the fractions of what was sent"})
    status = fields.String(metadata={"description": "`error` if it failed; only that is shown"})
    error = fields.String(metadata={"description": "What failed; the first 500 characters"})
    model_used = fields.String(data_key="modelUsed")
    cost = Number(metadata={"description": "US dollars"})


class TreeOut(Schema):
    """The tree of a trace as a list, each node before those inside of it."""

    trace_id = fields.String(data_key="traceId", required=True, metadata={"pattern": pattern("trace")})
    nodes = fields.List(fields.Nested(NodeOut()), required=True)
    more = fields.Integer(
        required=True, metadata={"description": "How many nodes are left out, because there are many"}
    )


class TraceQuery(PageQuery):
    """The order of the list of traces and its filters, which are combined by AND."""

    name = Text(minimum=1, metadata={"description": "Traces with exactly this name"})
    userId = Text(minimum=1, maximum=ORIGIN_MAX, metadata={"description": "Traces with exactly this userId"})
    sessionId = Text(minimum=1, maximum=ORIGIN_MAX, metadata={"description": "Traces with exactly this sessionId"})
    externalId = Text(
        minimum=1, maximum=32, metadata={"description": "The trace with exactly this id of OpenTelemetry, in hex"}
    )
    status = Text(choices=STATUSES, metadata={"description": "Runs that failed (`error`), or all others"})
    source = Text(choices=SOURCES[1:], metadata={"description": "The API that the traces were sent to"})
    since = TimestampText(description="Created at this time or later, such as `2024-06-20T13:10:00Z` or `7d`")
    until = TimestampText(description="Created before this time")
    cursor = Cursor(f"({RANK}-)?{TIME}-{SEQUENCE}")
    sort = Text(
        choices=SORTS,
        load_default=SORTS[0],
        metadata={"description": "Traces without a duration or a cost rank below all others"},
    )

    @validates_schema
    def refuse_cursor_of_another_order(self, data: dict[str, Any], **kwargs: Any) -> None:
        """Reject a cursor that another order gave."""
        if "cursor" in data and data["cursor"].count("-") != 1 + (not data["sort"].endswith("createdAt")):
            raise ValidationError("is not one that this list gave", "cursor")

    @post_load
    def load_ok_as_none(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Load the status `ok` as None, which is how traces have it."""
        return data | ({"status": None} if data.get("status") == STATUSES[0] else {})


class ScoresOfTraceQuery(PageQuery):
    """The page of the scores of one trace."""
