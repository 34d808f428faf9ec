"""The query parameters and responses of statistics and comparisons."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validates_schema

from promptcrafter.http.fields import Number, QueryNumber, Text, TimestampText
from promptcrafter.http.page_query import bom_field
from promptcrafter.http.schemas import FieldGroup
from promptcrafter.ids import pattern
from promptcrafter.logs.models import ANNOTATORS, DEFAULT_NAME, HUMAN
from promptcrafter.logs.schemas_filters import LogFilters
from promptcrafter.logs.scores import VALUE_KINDS
from promptcrafter.scores.schemas import name_field
from promptcrafter.statistics.fields import GroupBy, Zone
from promptcrafter.statistics.keys import KEYS

BASES = ("randomised", "paired", "observational")


def request_fields() -> FieldGroup:
    """Return the fields of a `store.StatsRequest`."""
    return {
        "groupBy": GroupBy(),
        "score": name_field(
            load_default=DEFAULT_NAME, metadata={"description": "The name of the scores that groups are compared by"}
        ),
        "annotator": Text(choices=ANNOTATORS, load_default=HUMAN, metadata={"description": "Who gave these scores"}),
        "margin": QueryNumber(
            minimum=0,
            metadata={"description": "A difference that does not matter; by default 0.5 of the score from 0 to 10"},
        ),
        "tz": Zone(),
        "bom": bom_field(),
    }


class StatsQuery(Schema):
    """What is asked of the logs of a prompt, and their period."""

    locals().update(request_fields())
    since = TimestampText(description="Created at this time or later, such as `2024-06-20T13:10:00Z`")
    until = TimestampText(description="Created before this time")


class AllStatsQuery(LogFilters):
    """What is asked of the logs of a workspace, and which ones: by the filters of the list of logs."""

    locals().update(request_fields())

    @validates_schema
    def refuse_versions_of_prompts(self, data: dict[str, Any], **kwargs: Any) -> None:
        """Reject groups by version over several prompts, whose versions have nothing in common."""
        if "version" in data["groupBy"] and "promptId" not in data and "prompt" not in data["groupBy"]:
            raise ValidationError("by version needs promptId, or prompt as the other key", "groupBy")


class ScoresOut(Schema):
    """The scores of a group."""

    count = fields.Integer(required=True)
    mean = Number(required=True, allow_none=True)
    median = Number(required=True, allow_none=True)
    min = Number(required=True, allow_none=True)
    max = Number(required=True, allow_none=True)
    stddev = Number(
        required=True, allow_none=True, metadata={"description": "Sample standard deviation; null for a single score"}
    )
    interval95 = fields.List(
        Number(),
        required=True,
        allow_none=True,
        metadata={
            "description": "95% confidence interval of the mean, valid for a single look at the data; null if unknown"
        },
    )


class LatenciesOut(Schema):
    """The latencies of a group, in milliseconds."""

    count = fields.Integer(required=True)
    p50 = Number(required=True, allow_none=True)
    p95 = Number(required=True, allow_none=True)


class SumOut(Schema):
    """The sum and mean of a quantity in a group."""

    count = fields.Integer(required=True, metadata={"description": "Logs with a known value"})
    total = Number(required=True, allow_none=True)
    mean = Number(required=True, allow_none=True)


class TokensOut(Schema):
    """The tokens of a group."""

    input = fields.Nested(SumOut(), required=True)
    output = fields.Nested(SumOut(), required=True)


def key_fields() -> FieldGroup:
    """Return the fields of the values that a group has in common; each is there only if it is grouped by."""
    texts = {
        "prompt": "The id of the prompt",
        "model": "Null if unknown",
        "version": "Null if unknown",
        "label": "A label that is on the version now; null for versions without",
        "author": "The id of the account that logged",
        "day": "Such as 2026-03-29",
        "week": "ISO 8601, such as 2026-W13",
        "month": "Such as 2026-03",
    }
    types = {"version": fields.Integer}
    own: FieldGroup = {
        key: types.get(key, fields.String)(allow_none=True, metadata={"description": texts[key]}) for key in KEYS
    }
    own["metadata"] = fields.Dict(
        keys=fields.String(),
        values=fields.String(allow_none=True),
        metadata={"description": "The values of keys of the metadata, by key; null without a text, number or boolean"},
    )
    return own


class GroupOut(Schema):
    """The aggregates of the logs that have the same values of one or two keys."""

    locals().update(key_fields())
    count = fields.Integer(required=True, metadata={"description": "Number of logs, without those of failed calls"})
    score = fields.Nested(ScoresOut(), required=True)
    latencyMs = fields.Nested(LatenciesOut(), required=True)
    cost = fields.Nested(SumOut(), required=True, metadata={"description": "US dollars"})
    tokens = fields.Nested(TokensOut(), required=True)
    bestLogId = fields.String(required=True, allow_none=True, metadata={"pattern": pattern("log")})
    worstLogId = fields.String(required=True, allow_none=True, metadata={"pattern": pattern("log")})
    failed = fields.Integer(required=True, metadata={"description": "Failed calls, which all else leaves out"})
    ratings = fields.Integer(required=True, metadata={"description": "Scores that the values of the logs come from"})
    categories = fields.Dict(
        keys=fields.String(),
        values=fields.Integer(),
        metadata={"description": "The number of scores of each category; only of categories"},
    )


class RatioOut(Schema):
    """How much more a group costs or how much longer it takes than another."""

    ratio = Number(required=True, allow_none=True, metadata={"description": "Of the geometric means, b to a"})
    interval95 = fields.List(Number(), required=True, allow_none=True)
    n = fields.Integer(required=True)
    basis = fields.String(required=True, metadata={"enum": BASES})
    settled = fields.String(required=True, allow_none=True, metadata={"enum": ["a", "b", None]})


class GroupKey(Schema):
    """The values that the logs of a group have in common."""

    locals().update(key_fields())


class GroupComparisonOut(Schema):
    """The difference of one group from another."""

    a = fields.Nested(GroupKey(), required=True)
    b = fields.Nested(GroupKey(), required=True)
    difference = Number(required=True, allow_none=True, metadata={"description": "Of the mean values, b minus a"})
    interval95 = fields.List(Number(), required=True, allow_none=True)
    n = fields.Integer(required=True, metadata={"description": "Pairs, or logs with a value in both groups"})
    needed = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "About how large n must be until the interval leaves out 0, if the difference stays"},
    )
    basis = fields.String(required=True, metadata={"enum": BASES})
    higher = fields.String(required=True, allow_none=True, metadata={"enum": ["a", "b", None]})
    settled = fields.String(required=True, allow_none=True, metadata={"enum": ["a", "b", None]})
    equivalent = fields.Boolean(required=True)
    oneLook = fields.Boolean(required=True)
    warnings = fields.List(fields.String(), required=True)
    cost = fields.Nested(RatioOut(), required=True)
    latencyMs = fields.Nested(RatioOut(), required=True)


def answer_fields() -> FieldGroup:
    """Return the fields of an answer."""
    return {
        "groupBy": fields.List(fields.String(), required=True),
        "groups": fields.List(fields.Nested(GroupOut()), required=True),
        "score": fields.String(required=True, metadata={"description": "The name of the scores"}),
        "annotator": fields.String(required=True, metadata={"enum": ANNOTATORS}),
        "kind": fields.String(
            required=True,
            metadata={"enum": VALUE_KINDS, "description": "The kind of the scores that the groups describe"},
        ),
        "kinds": fields.Dict(
            keys=fields.String(),
            values=fields.Integer(),
            metadata={"description": "The number of scores of each kind, unless it is the default score"},
        ),
        "comparisons": fields.List(
            fields.Nested(GroupComparisonOut()),
            required=True,
            metadata={"description": "Of every two groups, of the 20 groups with the most scored logs"},
        ),
    }


class AllStatsOut(Schema):
    """The aggregates of logs by group, that with the best mean score first, and what every two groups differ by."""

    locals().update(answer_fields())


class StatsOut(Schema):
    """The same of the logs of one prompt."""

    promptId = fields.String(required=True, metadata={"pattern": pattern("prompt")})
    locals().update(answer_fields())
