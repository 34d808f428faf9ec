"""The query parameters and responses of statistics and comparisons."""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields, post_load

from promptcrafter.http.fields import Number, Text, TimestampText
from promptcrafter.http.page_query import bom_field
from promptcrafter.ids import is_well_formed, pattern
from promptcrafter.logs.schemas import LogOut

KEYS = ("model", "version")
LOGS_MIN, LOGS_MAX = 2, 5
_GROUPINGS = ("model", "version", "model,version", "version,model")


class StatsQuery(Schema):
    """The grouping of a prompt's logs, and their period."""

    groupBy = Text(
        choices=_GROUPINGS,
        load_default=KEYS[0],
        metadata={"description": "Make one group for each model, each version, or each pair of them"},
    )
    since = TimestampText(description="Created at this time or later, such as `2024-06-20T13:10:00Z`")
    until = TimestampText(description="Created before this time")
    bom = bom_field()

    @post_load
    def split_keys(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Load `groupBy` as a list of keys in the order of KEYS."""
        return {**data, "groupBy": [key for key in KEYS if key in data["groupBy"].split(",")]}


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


class GroupOut(Schema):
    """The aggregates of the logs of one model, one version or both."""

    model = fields.String(allow_none=True, metadata={"description": "Only if grouped by it"})
    version = fields.Integer(allow_none=True, metadata={"description": "Only if grouped by it"})
    count = fields.Integer(required=True, metadata={"description": "Number of logs"})
    score = fields.Nested(ScoresOut(), required=True)
    latencyMs = fields.Nested(LatenciesOut(), required=True)
    cost = fields.Nested(SumOut(), required=True, metadata={"description": "US dollars"})
    tokens = fields.Nested(TokensOut(), required=True)
    bestLogId = fields.String(required=True, allow_none=True, metadata={"pattern": pattern("log")})
    worstLogId = fields.String(required=True, allow_none=True, metadata={"pattern": pattern("log")})


class StatsOut(Schema):
    """The aggregates of a prompt's logs by group, that with the best mean score first."""

    promptId = fields.String(required=True, metadata={"pattern": pattern("prompt")})
    groupBy = fields.List(fields.String(), required=True)
    groups = fields.List(fields.Nested(GroupOut()), required=True)


class LogIds(Text):
    """Ids of `minimum` to `maximum` different logs, separated by commas; loads to a list."""

    def __init__(self, minimum: int, maximum: int, **kwargs: Any) -> None:
        self.minimum, self.maximum = minimum, maximum
        log_id = pattern("log")[1:-1]
        described = {"pattern": f"^{log_id}(,{log_id}){{{minimum - 1},{maximum - 1}}}$", **kwargs.pop("metadata", {})}
        super().__init__(metadata=described, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        ids: list[str] = super()._deserialize(value, attr, data, **kwargs).split(",")
        if not self.minimum <= len(ids) <= self.maximum:
            raise ValidationError(f"must have {self.minimum} to {self.maximum} ids, with commas between them")
        for index, log_id in enumerate(ids):
            if not is_well_formed("log", log_id):
                raise ValidationError("must have ids of logs only")
            if log_id in ids[:index]:
                raise ValidationError(f"must not have {log_id} twice")
        return ids


class CompareQuery(Schema):
    """The logs to compare."""

    logs = LogIds(
        LOGS_MIN,
        LOGS_MAX,
        required=True,
        metadata={"description": "Ids of logs, separated by commas; the others are compared with the first"},
    )


class ChangeOut(Schema):
    """A run of words that both outputs or one of them has."""

    op = fields.String(required=True, metadata={"enum": ["equal", "delete", "insert"]})
    text = fields.String(required=True)


class Changes(fields.List[Any]):
    """A list of changes, dumped as they are: there may be 100,000, and a schema takes longer than the comparison."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        return value


class DifferenceFromOut(Schema):
    """The differences of a log's output from the first log's."""

    logId = fields.String(required=True, metadata={"pattern": pattern("log")})
    against = fields.String(required=True, metadata={"pattern": pattern("log")})
    words = Changes(
        fields.Nested(ChangeOut()),
        required=True,
        metadata={"description": "`equal` and `delete` make up the first output, `equal` and `insert` this one"},
    )


class CompareOut(Schema):
    """Logs and the differences between their outputs."""

    logs = fields.List(fields.Nested(LogOut()), required=True)
    differences = fields.List(fields.Nested(DifferenceFromOut()), required=True)
