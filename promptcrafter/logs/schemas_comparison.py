"""The query parameters and the response of the comparison of outputs."""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields

from promptcrafter.http.fields import Text
from promptcrafter.ids import is_well_formed, pattern
from promptcrafter.logs.schemas import LogOut

LOGS_MIN, LOGS_MAX = 2, 5


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
