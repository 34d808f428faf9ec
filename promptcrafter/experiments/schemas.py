"""The requests, responses and query parameters of experiments and their results."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validates_schema

from promptcrafter.experiments.results import METRICS_MAX, OTHERS_MAX
from promptcrafter.http.fields import ForeignId, Name, Number, PatternText, Text, Timestamp, WholeNumber
from promptcrafter.http.page_query import PageQuery
from promptcrafter.http.schemas import BodySchema, CreateSchema, JsonObject, Objects, SparseSchema, TextAndFormat
from promptcrafter.ids import pattern
from promptcrafter.logs.models import ANNOTATORS, HUMAN
from promptcrafter.prompts.fields import VERSION_NAME, VersionReference
from promptcrafter.scores.schemas import NAME, NAME_RULE

STATUSES = ("DRAFT", "ACTIVE", "PAUSED", "COMPLETED")
SLUG = r"^[A-Za-z0-9][A-Za-z0-9._~-]{0,119}$"
SLUG_EXAMPLE = "greeting"
SLUG_RULE = "must consist of 1 to 120 letters, digits, `-`, `.`, `_` and `~` and begin with a letter or digit"
NAME_MAX = 200  # characters, of a name or a variant's key
VARIANTS_MAX = 100


def _name(required: bool) -> Name:
    return Name(
        required=required,
        allow_none=not required,
        minimum=1,
        maximum=NAME_MAX,
        metadata={"example": "Which greeting"},
    )


def _status() -> Text:
    return Text(allow_none=True, choices=STATUSES, metadata={"example": "ACTIVE"})


class VariantIn(CreateSchema):
    """A variant of a new experiment."""

    key = Name(required=True, minimum=1, maximum=NAME_MAX, metadata={"example": "A"})
    payload = JsonObject(load_default=dict, metadata={"example": {"prompt": "Greet the customer."}})
    traffic_percent = WholeNumber(
        data_key="trafficPercent",
        required=True,
        minimum=0,
        maximum=100,
        metadata={"example": 50, "description": "Share of the users, relative to the sum of all variants' shares"},
    )
    prompt_id = ForeignId(data_key="promptId", metadata={"description": "A prompt to whose logs the results are added"})
    prompt_version = VersionReference(
        data_key="promptVersion",
        metadata={
            "description": f"The version to whose logs the results are added: {VERSION_NAME}, of which the number at "
            "the time of the request is kept. Without it, each result is added to the version that is then the latest"
        },
    )

    @validates_schema
    def refuse_version_alone(self, data: dict[str, Any], **kwargs: Any) -> None:
        """Reject a version of no prompt."""
        if "prompt_version" in data and "prompt_id" not in data:
            raise ValidationError("needs promptId beside it", "promptVersion")


def _variants(required: bool) -> Objects:
    greetings = {"A": "Greet the customer.", "B": "Greet the customer by name."}
    variants = [{"key": key, "payload": {"prompt": text}, "trafficPercent": 50} for key, text in greetings.items()]
    return Objects(
        VariantIn(),
        unique_by="key",
        minimum=1,
        maximum=VARIANTS_MAX,
        required=required,
        allow_none=not required,
        metadata={"example": variants} if required else {},
    )


class ExperimentIn(CreateSchema):
    """A new experiment."""

    slug = PatternText(SLUG, SLUG_RULE, required=True, metadata={"example": SLUG_EXAMPLE})
    name = _name(required=True)
    status = _status()
    variants = _variants(required=True)


class ExperimentPatch(BodySchema):
    """Changes to an experiment. A field that is null is not changed; variants replace all existing ones."""

    name = _name(required=False)
    status = _status()
    variants = _variants(required=False)


class VariantOut(SparseSchema):
    """A variant of an experiment."""

    key = fields.String(required=True)
    payload = JsonObject(required=True)
    traffic_percent = fields.Integer(data_key="trafficPercent", required=True)
    prompt_id = fields.String(data_key="promptId", required=True, allow_none=True)
    prompt_version = fields.Integer(
        data_key="promptVersion", metadata={"description": "If the results are added to one version of the prompt"}
    )


class ExperimentOut(Schema):
    """An experiment."""

    id = fields.String(data_key="_id", required=True, metadata={"pattern": pattern("experiment")})
    slug = fields.String(required=True)
    name = fields.String(required=True)
    status = fields.String(required=True, metadata={"enum": STATUSES})
    feature_slug = fields.String(
        data_key="featureSlug",
        required=True,
        allow_none=True,
        metadata={"description": "The feature that a client created the experiment for"},
    )
    variants = fields.List(fields.Nested(VariantOut()), required=True)
    created_at = Timestamp(data_key="createdAt", required=True)
    updated_at = Timestamp(data_key="updatedAt", required=True)


class ResultOut(Schema):
    """A result of an experiment, with objects as they were sent. It is the log that has the same id."""

    id = fields.String(data_key="_id", required=True, metadata={"pattern": pattern("log")})
    variant_key = fields.String(data_key="variantKey", required=True, allow_none=True)
    input = TextAndFormat(required=True, allow_none=True)
    output = TextAndFormat(required=True, allow_none=True)
    metrics = JsonObject(required=True, allow_none=True)
    context = JsonObject(required=True, allow_none=True)
    created_at = Timestamp(data_key="createdAt", required=True)


class ResultQuery(PageQuery):
    """The filter of an experiment's results."""

    variantKey = Text(minimum=1, metadata={"description": "Results of this variant only"})


class ResultsQuery(Schema):
    """Which scores count as a metric beside those that were sent with the results."""

    metric = PatternText(
        NAME,
        NAME_RULE,
        metadata={
            "description": "The name of scores of the results, such as `score`: their values count as a metric of that "
            "name, in place of one sent with the results"
        },
    )
    annotator = Text(
        choices=ANNOTATORS, metadata={"description": f"Who gave those scores, `{HUMAN}` by default; needs `metric`"}
    )

    @validates_schema
    def refuse_annotator_alone(self, data: dict[str, Any], **kwargs: Any) -> None:
        """Reject an annotator of no scores."""
        if "annotator" in data and "metric" not in data:
            raise ValidationError("needs metric beside it", "annotator")


class ScoreMetricOut(Schema):
    """The scores that count as a metric."""

    name = fields.String(required=True)
    annotator = fields.String(required=True, metadata={"enum": ANNOTATORS})


class MethodOut(Schema):
    """The statistical method that compares variants."""

    name = fields.String(required=True)
    alpha = Number(required=True)
    description = fields.String(required=True)


class SummaryOut(Schema):
    """Summary statistics of one metric."""

    count = fields.Integer(required=True)
    mean = Number(required=True)
    stddev = Number(required=True, allow_none=True)
    min = Number(required=True)
    median = Number(required=True)
    p95 = Number(required=True)
    max = Number(required=True)
    interval95 = fields.List(
        Number(),
        required=True,
        allow_none=True,
        metadata={"description": "95% confidence interval of the mean; null while it is too wide"},
    )


class VariantResultOut(Schema):
    """The results of one variant."""

    key = fields.String(required=True)
    share = Number(required=True, allow_none=True, metadata={"description": "Share of the users, from 0 to 1"})
    count = fields.Integer(required=True, metadata={"description": "Number of results"})
    metrics = fields.Dict(keys=fields.String(), values=fields.Nested(SummaryOut()), required=True)


class DifferenceOut(Schema):
    """The difference of one metric between two variants."""

    difference = Number(required=True)
    interval95 = fields.List(Number(), required=True, allow_none=True)
    settled = fields.Boolean(required=True)
    verdict = fields.String(required=True)
    n = fields.Integer(required=True, metadata={"description": "Number of values of both variants"})
    needed = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "About how large n must be until it is settled, if the difference stays"},
    )


class ComparisonOut(Schema):
    """The comparison of a variant with the first one."""

    baseline = fields.String(required=True)
    variant = fields.String(required=True)
    metrics = fields.Dict(keys=fields.String(), values=fields.Nested(DifferenceOut()), required=True)


class ResultsOut(Schema):
    """The results of an experiment so far."""

    slug = fields.String(required=True)
    name = fields.String(required=True)
    status = fields.String(required=True)
    score_metric = fields.Nested(
        ScoreMetricOut(), data_key="scoreMetric", metadata={"description": "If `metric` names scores"}
    )
    method = fields.Nested(MethodOut(), required=True)
    variants = fields.List(fields.Nested(VariantResultOut()), required=True)
    comparisons = fields.List(fields.Nested(ComparisonOut()), required=True)
    other_metrics = fields.Integer(
        required=True,
        data_key="otherMetrics",
        metadata={
            "description": f"Number of metrics that are left out, since the results had {METRICS_MAX} others before "
            f"them; counted up to {OTHERS_MAX:,}"
        },
    )
