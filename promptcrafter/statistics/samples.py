"""What comparisons need of a group of logs. `cells.to_samples` makes it from the cell of the group.

Values are at most `cells.LARGEST` in size, so that the sums of their squares are finite.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

Arm = tuple[str, str]  # the id of an experiment and the key of its variant


@dataclass(slots=True)
class LogMoments:
    """Count, mean and sum of squared deviations of the natural logarithms of positive values."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    @property
    def variance(self) -> float:
        """The sample variance, with n - 1 in the denominator; 0 for fewer than two values."""
        return self.squares / max(1, self.count - 1)


class InputScore(NamedTuple):
    """The scored logs of a group that have the same input. Its first one is compared with that of another group.

    `position` orders logs by the time of their first score: it is that time in milliseconds, with the last bits of the
    log's sequence number below. The log that stands for its input must not depend on the value of the score. Cost and
    latency are those of this log, and None if they are unknown. `logs` is the number of scored logs with this input.
    """

    position: int
    value: float
    cost: float | None = None
    latency: float | None = None
    logs: int = 1


@dataclass(slots=True)
class GroupSample:
    """A group of logs.

    The value of a log is the mean of its scores by different raters: two raters on one log are one value.
    """

    key: dict[str, Any]  # the values that the logs are grouped by, such as {"version": 3}
    first_logged: datetime | None = None  # when the first log was created
    first_scored: datetime | None = None  # when the first score of any of the logs was created
    logs: int = 0  # with and without a value
    ratings: int = 0  # the number of scores
    values: dict[float, int] = field(default_factory=dict)  # value -> number of logs with it
    costs: LogMoments = field(default_factory=LogMoments)  # of all logs
    latencies: LogMoments = field(default_factory=LogMoments)  # of all logs
    arms: dict[Arm | None, int] = field(default_factory=dict)  # -> number of logs with a value; None: not assigned
    logged_arms: dict[Arm | None, int] = field(default_factory=dict)  # -> number of all logs
    raters: dict[str, int] = field(default_factory=dict)  # -> number of scores
    weeks: dict[str, int] = field(default_factory=dict)  # ISO week in which a log was created -> logs with a value
    models: dict[str, int] = field(default_factory=dict)  # -> number of logs with a value
    versions: dict[str, int] = field(default_factory=dict)  # -> number of logs with a value
    inputs: dict[int, InputScore] = field(default_factory=dict)  # hash of input or variables -> the logs with a value

    @property
    def scored(self) -> int:
        """The number of logs with a value."""
        return sum(self.values.values())
