"""What is known of a group of logs before it is compared with others: a mergeable sample. Pure functions.

A sample is built from stored aggregates: merging the samples of days gives that of their period. Counts, times and
first scores are merged exactly, means and variances of logarithms to rounding.
"""

import math
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

_Key = TypeVar("_Key")
Arm = tuple[str, str]  # the id of an experiment and the key of its variant


@dataclass(slots=True)
class LogMoments:
    """Count, mean and sum of squared deviations of the natural logarithms of positive values.

    The updates are those of Welford, "Note on a method for calculating corrected sums of squares and products",
    Technometrics 4 (1962), and for two samples of Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm
    for computing sample variances", COMPSTAT 1982.
    """

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> None:
        """Add a value. Values that are not positive and finite have no logarithm, and are left out."""
        if 0 < value < math.inf:
            self.merge(LogMoments(1, math.log(value)))

    def merge(self, other: "LogMoments") -> None:
        """Add the values of another sample."""
        if not other.count:
            return
        count = self.count + other.count
        step = other.mean - self.mean
        self.squares += other.squares + step * step * (self.count / count) * other.count
        self.mean += step * (other.count / count)
        self.count = count

    @property
    def variance(self) -> float:
        """The sample variance, with n - 1 in the denominator; 0 for fewer than two values."""
        return self.squares / max(1, self.count - 1)


class InputScore(NamedTuple):
    """The scored logs of a group that have the same input. Its first one is compared with that of another group.

    `position` orders the first scores of logs and is unique, such as the sequence number of a log's first score: the
    log that stands for its input must not depend on the value of the score. Cost and latency are those of this log, and
    None if they are unknown. `logs` is the number of scored logs with this input.
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

    def merge(self, other: "GroupSample") -> None:
        """Add the logs of another sample, which has none of the logs of this one."""
        self.first_logged = _earlier(self.first_logged, other.first_logged)
        self.first_scored = _earlier(self.first_scored, other.first_scored)
        self.logs += other.logs
        self.ratings += other.ratings
        self.costs.merge(other.costs)
        self.latencies.merge(other.latencies)
        _add_counts(self.values, other.values)
        _add_counts(self.arms, other.arms)
        _add_counts(self.logged_arms, other.logged_arms)
        _add_counts(self.raters, other.raters)
        _add_counts(self.weeks, other.weeks)
        _add_counts(self.models, other.models)
        _add_counts(self.versions, other.versions)
        for digest, score in other.inputs.items():
            own = self.inputs.get(digest)
            first = score if own is None else min(own, score)  # by position
            self.inputs[digest] = first._replace(logs=score.logs + (own.logs if own else 0))


def _earlier(first: datetime | None, second: datetime | None) -> datetime | None:
    if first is None or second is None:
        return first or second
    return min(first, second)


def _add_counts(counts: dict[_Key, int], others: dict[_Key, int]) -> None:
    for key, count in others.items():
        counts[key] = counts.get(key, 0) + count
