"""The query parameters and responses of reviews and of the agreement of raters."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validates_schema

from promptcrafter.http.fields import ForeignId, Number, QueryInteger, Text, Timestamp, TimestampText
from promptcrafter.ids import pattern
from promptcrafter.logs.models import ANNOTATORS, DEFAULT_NAME
from promptcrafter.logs.schemas import LogOut
from promptcrafter.logs.scores import VALUE_KINDS
from promptcrafter.prompts.fields import VERSION_NAME, QueryVersionReference
from promptcrafter.scores.schemas import RaterOut, name_field

# What a blind review shows: all that a person needs to judge an output, and nothing from which model, version or the
# opinion of others follows. The times are missing because versions follow one another
BLIND = (
    *("id", "prompt_id", "output", "output_format", "input", "input_format", "variables"),
    *("ideal_output", "ideal_output_format"),
)
RATERS = 2  # people who review each log, by default: fewer show nothing about their agreement
RATERS_MAX = 100


class ReviewQuery(Schema):
    """Which logs are reviewed, under which name, and by how many people. The filters are combined by AND."""

    name = name_field(load_default=DEFAULT_NAME, metadata={"description": "The name of the scores that people give"})
    promptId = ForeignId(metadata={"description": "Logs of this prompt only", "pattern": pattern("prompt")})
    promptVersion = QueryVersionReference(
        metadata={"description": f"Logs of this version only: {VERSION_NAME}; needs `promptId`"}
    )
    model = Text(minimum=1, metadata={"description": "Logs with exactly this modelUsed"})
    since = TimestampText(description="Logs created at this time or later, such as `2024-06-20T13:10:00Z`")
    until = TimestampText(description="Logs created before this time")
    raters = QueryInteger(
        minimum=1,
        maximum=RATERS_MAX,
        load_default=RATERS,
        metadata={"description": "How many different people are to score each log"},
    )

    @validates_schema
    def refuse_version_of_no_prompt(self, data: dict[str, Any], **kwargs: Any) -> None:
        """Reject a version without its prompt."""
        if "promptVersion" in data and "promptId" not in data:
            raise ValidationError("needs promptId beside it", "promptVersion")


class NextReviewQuery(ReviewQuery):
    """Which log to review next."""

    order = Text(
        choices=("random", "newest"),
        load_default="random",
        metadata={"description": "With `random`, people who review at the same time rarely get the same log"},
    )
    blind = Text(
        choices=("true", "false"),
        load_default="false",
        metadata={"description": "Whether the answer hides what might bias a person, such as model and version"},
    )


class ReviewOut(LogOut):
    """A log to review. A blind review has no other fields than the required ones and those of input and variables."""

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        """Require only what a blind review shows, too."""
        field_obj.required = field_obj.required and field_name in BLIND


class ReviewerOut(Schema):
    """A person and what he or she has scored."""

    author = fields.Nested(
        RaterOut(),
        required=True,
        allow_none=True,
        metadata={"description": "Null for imported scores whose author the file does not name"},
    )
    imported = fields.Boolean(
        required=True, metadata={"description": "Whether the scores came with an import: not from an account here"}
    )
    scores = fields.Integer(required=True)
    logs = fields.Integer(required=True)
    last = Timestamp(required=True, metadata={"description": "When the newest of the scores was given or changed"})


class ReviewProgressOut(Schema):
    """How far people have come with reviewing logs."""

    name = fields.String(required=True)
    logs = fields.Integer(required=True, metadata={"description": "Logs to review: all that match but failed calls"})
    done = fields.Integer(required=True, metadata={"description": "Logs that `raters` people or more have scored"})
    open = fields.Integer(required=True, metadata={"description": "All other logs"})
    given = fields.Integer(
        required=True,
        metadata={"description": "How many of the `wanted` scores there are: of each log `raters` at most"},
    )
    wanted = fields.Integer(required=True, metadata={"description": "`raters` scores of each log"})
    scores = fields.Integer(required=True, metadata={"description": "Scores that people have given to these logs"})
    raters = fields.List(
        fields.Nested(ReviewerOut()), required=True, metadata={"description": "Who has given most of them comes first"}
    )
    otherRaters = fields.Integer(required=True, metadata={"description": "People who are not among `raters`"})


class AgreementQuery(Schema):
    """The scores to compare; the filters are combined by AND."""

    name = name_field(load_default=DEFAULT_NAME)
    promptId = ForeignId(metadata={"description": "Scores of logs of this prompt", "pattern": pattern("prompt")})
    annotator = Text(choices=ANNOTATORS, metadata={"description": "Scores of these raters only"})
    kind = Text(
        choices=VALUE_KINDS,
        metadata={"description": "The kind of the values to compare; by default the one that most scores have"},
    )
    since = TimestampText(description="Given at this time or later, such as `2024-06-20T13:10:00Z`")
    until = TimestampText(description="Given before this time")


class AgreeingRaterOut(Schema):
    """One of the raters that are compared: a person or customer, or a judge or program of an account."""

    user_id = fields.String(
        data_key="userId",
        required=True,
        allow_none=True,
        metadata={"description": "Null for imported scores whose author the file does not name"},
    )
    name = fields.String(required=True)
    annotator = fields.String(required=True, metadata={"enum": ANNOTATORS})
    identifier = fields.String(required=True, metadata={"description": "Empty for people, whose scores are averaged"})
    imported = fields.Boolean(required=True)


class RaterPairOut(Schema):
    """How far two sides agree. Which figures there are depends on the metric; null is one that is not determined."""

    n = fields.Integer(required=True, metadata={"description": "Logs that both have scored"})
    fewLogs = fields.Boolean(required=True, metadata={"description": "Whether these are fewer than 10"})
    meanAbsoluteDifference = Number(allow_none=True, metadata={"description": "In points of the scale; of numbers"})
    spearman = Number(allow_none=True, metadata={"description": "Spearman's rho; of numbers"})
    equal = Number(allow_none=True, metadata={"description": "Share of equal values; of booleans and categories"})
    kappa = Number(allow_none=True, metadata={"description": "Cohen's kappa; of booleans and categories"})


class PairOut(RaterPairOut):
    """How far two raters agree."""

    a = fields.Nested(AgreeingRaterOut(), required=True)
    b = fields.Nested(AgreeingRaterOut(), required=True)


class HumanAgainstJudgeOut(RaterPairOut):
    """How far all people together agree with all judges together."""

    tiedLogs = fields.Integer(required=True, metadata={"description": "Logs left out: no value is the most frequent"})


class OtherKindOut(Schema):
    """How many scores have another kind of value, and are left out."""

    kind = fields.String(required=True, metadata={"enum": VALUE_KINDS})
    scores = fields.Integer(required=True)


class AgreementOut(Schema):
    """How far the raters of the same logs agree."""

    name = fields.String(required=True)
    kind = fields.String(required=True, metadata={"enum": VALUE_KINDS})
    otherKinds = fields.List(fields.Nested(OtherKindOut()), required=True)
    metric = fields.String(required=True, metadata={"enum": ["interval", "nominal"]})
    logs = fields.Integer(required=True, metadata={"description": "Logs that at least two raters have scored"})
    scores = fields.Integer(required=True, metadata={"description": "Of these logs, one for each rater"})
    raters = fields.Integer(required=True)
    fewLogs = fields.Boolean(required=True, metadata={"description": "Whether there are fewer than 10 logs"})
    equal = Number(required=True, allow_none=True, metadata={"description": "Share of logs whose scores are all equal"})
    alpha = Number(required=True, allow_none=True, metadata={"description": "Krippendorff's alpha of all raters"})
    pairs = fields.List(fields.Nested(PairOut()), required=True)
    otherPairs = fields.Integer(required=True)
    otherRaters = fields.Integer(required=True)
    humanAgainstJudge = fields.Nested(
        HumanAgainstJudgeOut(),
        required=True,
        allow_none=True,
        metadata={"description": "Null if no log has scores of both"},
    )
