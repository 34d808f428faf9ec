"""What Basalt's clients send and expect."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, post_load

from promptcrafter.http.fields import Number, Text, Timestamp, TimestampIn
from promptcrafter.http.schemas import CreateSchema, JsonArray, JsonObject, Objects, TextAndFormat
from promptcrafter.logs.schemas import refuse_large_output
from promptcrafter.problems import REQUIRED
from promptcrafter.traces.schemas import evaluation_fields, trace_fields

SPAN_TYPES = ("span", "function", "tool", "retrieval", "event", "generation")
SPANS_MAX = 5000
VERSION_NAME = "`2.0.0`; `2.0` and `2` are read as the same"


class VariableIn(CreateSchema):
    """A variable and what it stood for."""

    label = Text(required=True, minimum=1, metadata={"example": "question"})
    value = Text(load_default=None, allow_none=True, metadata={"example": "What is the capital of France?"})


def _tokens(name: str) -> Number:
    return Number(data_key=name, minimum=0, metadata={"description": "Counted when absent"})


class _OutputIn(CreateSchema):
    """What an output of a prompt and a generation have in common."""

    input = TextAndFormat()
    ideal_output = TextAndFormat(data_key="idealOutput")
    variables = Objects(VariableIn(), distinct="label")
    start_time = TimestampIn(data_key="startTime")
    end_time = TimestampIn(data_key="endTime")
    input_tokens = _tokens("inputTokens")
    output_tokens = _tokens("outputTokens")
    cost = Number(minimum=0, metadata={"description": "US dollars; computed when absent"})
    meta = JsonObject(data_key="metadata")


class MonitorLogIn(_OutputIn):
    """An output of a prompt."""

    slug = Text(required=True, minimum=1, metadata={"example": "qa"})
    output = TextAndFormat(required=True, validate=refuse_large_output)
    name = Text(metadata={"description": "Name of the trace", "example": "qa-chatbot"})
    version = Text(metadata={"description": VERSION_NAME, "example": "1.0.0"})
    tag = Text(metadata={"example": "production"})
    organization = JsonObject(metadata={"example": {"id": "123", "name": "ACME"}})
    user = JsonObject(metadata={"example": {"id": "123", "name": "John Doe"}})


class PromptReference(CreateSchema):
    """The prompt of a generation, as its client names it."""

    slug = Text(required=True, minimum=1)
    version = Text()
    tag = Text()


class SpanIn(_OutputIn):
    """A step of a trace. What belongs to generations is read in generations only."""

    id = Text(required=True, minimum=1, metadata={"description": "The client's own"})
    type = Text(required=True, choices=SPAN_TYPES)
    name = Text()
    parent_id = Text(data_key="parentId")
    output = TextAndFormat(validate=refuse_large_output)
    prompt = fields.Nested(PromptReference())
    evaluators = JsonArray()


class ExperimentReference(CreateSchema):
    """The experiment that a trace belongs to."""

    id = Text(required=True, minimum=1)


class TraceIn(CreateSchema):
    """A run of a client's program."""

    slug = Text(data_key="featureSlug", minimum=1, metadata={"description": "Or `chainSlug`; any slug is taken"})
    chain_slug = Text(data_key="chainSlug", minimum=1)
    name = Text()
    locals().update(trace_fields(TimestampIn, refuse_large_output))
    experiment = fields.Nested(ExperimentReference())
    logs = Objects(SpanIn(), maximum=SPANS_MAX)
    locals().update(evaluation_fields())

    @post_load
    def choose_slug(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Take `chainSlug`, the older name, where there is no `featureSlug`."""
        chain_slug = data.pop("chain_slug", None)
        data.setdefault("slug", chain_slug)
        if data["slug"] is None:
            raise ValidationError(REQUIRED, "featureSlug")
        return data


class IdOut(Schema):
    """What was made."""

    id = fields.String(required=True)


class TraceLogged(Schema):
    """The answer to a trace."""

    trace = fields.Nested(IdOut(), required=True)
    warning = fields.String(required=True, allow_none=True)


class OutputLogged(Schema):
    """The answer to an output."""

    trace = fields.Nested(IdOut(), required=True)
    log = fields.Nested(IdOut(), required=True)
    warning = fields.String(required=True, allow_none=True)


class BasaltExperimentIn(CreateSchema):
    """A new experiment."""

    feature_slug = Text(data_key="featureSlug", required=True, minimum=1, metadata={"example": "qa"})
    name = Text(required=True, minimum=1, maximum=200, blank=False, metadata={"example": "Shorter answers"})


class BasaltExperimentOut(Schema):
    """An experiment."""

    id = fields.String(required=True)
    name = fields.String(required=True)
    feature_slug = fields.String(data_key="featureSlug", required=True)
    created_at = Timestamp(data_key="createdAt", required=True)


class BasaltListQuery(Schema):
    """Which prompts to list."""

    featureSlug = Text(metadata={"description": "Those with this tag only"})


class BasaltPromptQuery(Schema):
    """Which version of a prompt is meant: production unless one is named."""

    version = Text(metadata={"description": VERSION_NAME})
    tag = Text(metadata={"description": "A label; ignored beside a version"})


class BasaltModelOut(Schema):
    """A model as Basalt's clients expect it."""

    provider = fields.String(required=True)
    client = fields.String(required=True)
    model = fields.String(required=True)
    version = fields.String(required=True)
    parameters = fields.Dict(required=True)


class BasaltPromptOut(Schema):
    """A version of a prompt, ready for its variables."""

    slug = fields.String(required=True)
    text = fields.String(required=True)
    systemText = fields.String(required=True)
    version = fields.String(required=True)
    tag = fields.String(required=True)
    model = fields.Nested(BasaltModelOut(), required=True)


class BasaltPromptAnswer(Schema):
    """A version of a prompt and what was odd about the call."""

    prompt = fields.Nested(BasaltPromptOut(), required=True)
    warning = fields.String(required=True, allow_none=True)


class BasaltEntryOut(Schema):
    """A prompt in a list."""

    slug = fields.String(required=True)
    name = fields.String(required=True)
    status = fields.String(required=True, metadata={"enum": ["live", "draft"]})
    description = fields.String(required=True)
    availableVersions = fields.List(fields.String(), required=True)
    availableTags = fields.List(fields.String(), required=True)


class BasaltListOut(Schema):
    """Prompts."""

    prompts = fields.List(fields.Nested(BasaltEntryOut()), required=True)
    warning = fields.String(required=True, allow_none=True)


class BasaltVariableOut(Schema):
    """A variable of a prompt."""

    label = fields.String(required=True)
    type = fields.String(required=True)
    description = fields.String(required=True)


class BasaltDescriptionOut(BasaltEntryOut):
    """A prompt and its variables."""

    variables = fields.List(fields.Nested(BasaltVariableOut()), required=True)


class BasaltDescriptionAnswer(Schema):
    """A prompt described, and what was odd about the call."""

    prompt = fields.Nested(BasaltDescriptionOut(), required=True)
    warning = fields.String(required=True, allow_none=True)


class PublishIn(CreateSchema):
    """Where a tag is to sit."""

    new_tag = Text(data_key="newTag", required=True, minimum=1, metadata={"example": "production"})
    version = Text(metadata={"description": VERSION_NAME})
    tag = Text(metadata={"description": "The version under this tag; ignored beside a version"})


class PublishOut(Schema):
    """The tag that was set."""

    deploymentTag = fields.Nested(
        Schema.from_dict(
            {"id": fields.UUID(required=True), "label": fields.String(required=True)}, name="DeploymentTag"
        )(),
        required=True,
    )
