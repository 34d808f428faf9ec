"""The requests and responses of Basalt's clients."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, post_load

from promptcrafter.http.fields import ERRORS, Name, Number, Text, Timestamp, TimestampIn
from promptcrafter.http.ignored_fields import note_ignored
from promptcrafter.http.schemas import CreateSchema, JsonArray, JsonObject, Objects, TextAndFormat
from promptcrafter.logs.fields import complete_counts, refuse_large_output, token_part_fields, usage_fields
from promptcrafter.problems import REQUIRED
from promptcrafter.prompts.fields import SLUG_EXAMPLE
from promptcrafter.traces.schemas import evaluation_fields, trace_fields

SPAN_TYPES = ("span", "function", "tool", "retrieval", "event", "generation")
SPANS_MAX = 5000
VARIABLES_MAX = 1000  # of an output; no prompt has as many
OUTPUT_EXAMPLE = "It changed how people lived and worked."
SPAN_EXAMPLE = {
    "id": "answer",
    "type": "generation",
    "prompt": {"slug": SLUG_EXAMPLE, "version": "1.0.0"},
    "output": OUTPUT_EXAMPLE,
}
VERSION_NAME = "`2.0.0`; `2.0` and `2` are read as the same"


class VariableIn(CreateSchema):
    """A variable of a prompt and its value."""

    label = Text(required=True, minimum=1, metadata={"example": "question"})
    value = Text(load_default=None, allow_none=True, metadata={"example": "What is the capital of France?"})


def _tokens(name: str) -> Number:
    return Number(data_key=name, minimum=0, metadata={"description": "Counted by the server if absent"})


class _OutputIn(CreateSchema):
    """The fields that an output of a prompt and a step of a trace have in common."""

    input = TextAndFormat()
    ideal_output = TextAndFormat(data_key="idealOutput")
    variables = Objects(VariableIn(), unique_by="label", maximum=VARIABLES_MAX)
    start_time = TimestampIn(data_key="startTime")
    end_time = TimestampIn(data_key="endTime")
    input_tokens = _tokens("inputTokens")
    output_tokens = _tokens("outputTokens")
    cost = Number(minimum=0, metadata={"description": "US dollars; computed by the server if absent"})
    locals().update(token_part_fields())
    locals().update(usage_fields())
    meta = JsonObject(data_key="metadata")

    @post_load
    def complete_counts(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Take token counts from a `usage` object."""
        return complete_counts(data)


class MonitorLogIn(_OutputIn):
    """An output of a prompt, which becomes a log in a trace of its own."""

    slug = Text(required=True, minimum=1, metadata={"example": SLUG_EXAMPLE})
    output = TextAndFormat(required=True, validate=refuse_large_output, metadata={"example": OUTPUT_EXAMPLE})
    name = Text(metadata={"description": "Name of the trace", "example": "qa-chatbot"})
    version = Text(metadata={"description": VERSION_NAME, "example": "1.0.0"})
    tag = Text(metadata={"description": "A label; ignored beside a version"})
    organization = JsonObject(metadata={"example": {"id": "123", "name": "ACME"}})
    user = JsonObject(metadata={"example": {"id": "123", "name": "John Doe"}})


class PromptReference(CreateSchema):
    """The prompt of a generation, as the client names it."""

    slug = Text(required=True, minimum=1)
    version = Text()
    tag = Text()


class SpanIn(_OutputIn):
    """A step of a trace. The fields of an output are used in generations only."""

    id = Text(required=True, minimum=1, metadata={"description": "The client's own id"})
    type = Text(required=True, choices=SPAN_TYPES)
    name = Text()
    parent_id = Text(data_key="parentId")
    output = TextAndFormat(validate=refuse_large_output)
    prompt = fields.Nested(PromptReference(), error_messages=ERRORS)
    evaluators = JsonArray()


class ExperimentReference(CreateSchema):
    """The experiment that a trace belongs to."""

    id = Text(required=True, minimum=1)


class TraceIn(CreateSchema):
    """A run of a client's program."""

    slug = Text(
        data_key="featureSlug",
        minimum=1,
        metadata={"description": "Or `chainSlug`; any slug is accepted", "example": "qa"},
    )
    chain_slug = Text(data_key="chainSlug", minimum=1)
    name = Text()
    locals().update(trace_fields(TimestampIn, refuse_large_output))
    experiment = fields.Nested(ExperimentReference(), error_messages=ERRORS)
    logs = Objects(SpanIn(), maximum=SPANS_MAX, metadata={"example": [SPAN_EXAMPLE]})
    locals().update(evaluation_fields())

    @post_load
    def choose_slug(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Use `chainSlug`, the older name, if there is no `featureSlug`."""
        chain_slug = data.pop("chain_slug", None)
        data.setdefault("slug", chain_slug)
        if chain_slug not in (None, data["slug"]):
            note_ignored("chainSlug", "must be absent or equal to featureSlug")
        if data["slug"] is None:
            raise ValidationError(REQUIRED, "featureSlug")
        return data


class IdOut(Schema):
    """The id of a new resource."""

    id = fields.String(required=True)


class TraceLogged(Schema):
    """The response to a trace."""

    trace = fields.Nested(IdOut(), required=True)
    warning = fields.String(required=True, allow_none=True)


class OutputLogged(Schema):
    """The response to an output."""

    trace = fields.Nested(IdOut(), required=True)
    log = fields.Nested(IdOut(), required=True)
    warning = fields.String(required=True, allow_none=True)


class BasaltExperimentIn(CreateSchema):
    """A new experiment."""

    feature_slug = Text(data_key="featureSlug", required=True, minimum=1, metadata={"example": "qa"})
    name = Name(required=True, minimum=1, maximum=200, metadata={"example": "Shorter answers"})


class BasaltExperimentOut(Schema):
    """An experiment."""

    id = fields.String(required=True)
    name = fields.String(required=True)
    feature_slug = fields.String(data_key="featureSlug", required=True)
    created_at = Timestamp(data_key="createdAt", required=True)


class BasaltListQuery(Schema):
    """The filter of the list of prompts."""

    featureSlug = Text(metadata={"description": "Prompts with this tag only"})


class BasaltPromptQuery(Schema):
    """The version of a prompt, by default the one with the label `production`."""

    version = Text(metadata={"description": VERSION_NAME})
    tag = Text(metadata={"description": "A label; ignored beside a version"})


class BasaltModelOut(Schema):
    """A model in the form that Basalt's clients expect."""

    provider = fields.String(required=True)
    client = fields.String(required=True)
    model = fields.String(required=True)
    version = fields.String(required=True)
    parameters = fields.Dict(required=True)


class BasaltPromptOut(Schema):
    """A version of a prompt, with its variables not filled in."""

    slug = fields.String(required=True)
    text = fields.String(required=True)
    systemText = fields.String(required=True)
    version = fields.String(required=True)
    tag = fields.String(required=True)
    model = fields.Nested(BasaltModelOut(), required=True)


class BasaltPromptAnswer(Schema):
    """A version of a prompt, and a warning if the one that was asked for does not exist."""

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
    """A list of prompts."""

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
    """A prompt with its variables, and a warning if the version that was asked for does not exist."""

    prompt = fields.Nested(BasaltDescriptionOut(), required=True)
    warning = fields.String(required=True, allow_none=True)


class PublishIn(CreateSchema):
    """The tag to set and the version to set it on."""

    new_tag = Text(data_key="newTag", required=True, minimum=1, metadata={"example": "production"})
    version = Text(metadata={"description": VERSION_NAME, "example": "1.0.0"})
    tag = Text(metadata={"description": "The version under this tag; ignored beside a version"})


class PublishOut(Schema):
    """The tag that was set."""

    deploymentTag = fields.Nested(
        Schema.from_dict(
            {"id": fields.UUID(required=True), "label": fields.String(required=True)}, name="DeploymentTag"
        )(),
        required=True,
    )
