"""What traces look like on the wire."""

from marshmallow import Schema, fields

from promptcrafter.http.fields import Timestamp
from promptcrafter.http.schemas import JsonArray, JsonObject, JsonOrText, SparseSchema
from promptcrafter.ids import pattern
from promptcrafter.logs.schemas import LogOut


class TraceOut(SparseSchema):
    """A trace without its steps. Inputs and outputs are as they were sent: text, objects or arrays."""

    id = fields.String(data_key="_id", required=True, metadata={"pattern": pattern("trace")})
    source = fields.String(required=True, metadata={"description": "The API it came by"})
    slug = fields.String(required=True, metadata={"description": "The client's name of the feature it is about"})
    name = fields.String()
    input = JsonOrText()
    output = JsonOrText()
    ideal_output = JsonOrText(data_key="idealOutput")
    meta = JsonObject(data_key="metadata")
    organization = JsonObject()
    user = JsonObject()
    start_time = Timestamp(data_key="startTime")
    end_time = Timestamp(data_key="endTime")
    experiment_id = fields.String(data_key="experimentId")
    evaluators = JsonArray()
    evaluation_config = JsonObject(data_key="evaluationConfig")
    created_at = Timestamp(data_key="createdAt", required=True)


class SpanOut(Schema):
    """A step that is no generation, with the ids that the client gave; absent where it said nothing."""

    id = fields.String(required=True)
    type = fields.String(required=True)
    parentId = fields.String()
    name = fields.String()
    startTime = fields.String()
    endTime = fields.String()
    input = JsonOrText()
    output = JsonOrText()
    idealOutput = JsonOrText()
    metadata = JsonObject()
    evaluators = JsonArray()


class TraceWhole(TraceOut):
    """A trace with its steps: its generations are logs, tied to its spans by `spanId` and `parentSpanId`."""

    spans = fields.List(fields.Nested(SpanOut()), required=True)
    logs = fields.List(fields.Nested(LogOut()), required=True)
