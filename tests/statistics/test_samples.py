"""Samples of groups of logs: merging the samples of days gives that of their period."""

import math
import statistics
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptcrafter.statistics.samples import GroupSample, InputScore, LogMoments

DAY = datetime(2026, 11, 2, tzinfo=UTC)
POSITIVE = st.floats(1e-300, 1e300)
# The day, the value, the cost, the input and the rater of each log
LOGS = st.lists(
    st.tuples(
        st.integers(0, 9),
        st.none() | st.sampled_from([0.0, 7.5, 8.0, 10.0]),
        st.none() | POSITIVE,
        st.integers(0, 3),
        st.sampled_from(["ann", "ben"]),
    ),
    max_size=30,
)


def sample_of(position: int, log: tuple[int, float | None, float | None, int, str]) -> GroupSample:
    day, value, cost, digest, rater = log
    when = DAY + timedelta(days=day, seconds=position)
    sample = GroupSample({"version": 1}, first_logged=when, logs=1, logged_arms={None: 1})
    sample.costs.add(cost or 0)
    sample.latencies.add(2.0)
    if value is not None:
        sample.first_scored, sample.ratings = when, 2
        sample.values, sample.raters = {value: 1}, {rater: 2}
        sample.arms = {("exp_1", "a"): 1} if rater == "ann" else {None: 1}
        sample.weeks, sample.models, sample.versions = {f"2026-W{45 + day // 7}": 1}, {"gpt-4o": 1}, {"1": 1}
        sample.inputs = {digest: InputScore(position, value, cost)}
    return sample


def merged(samples: list[GroupSample]) -> GroupSample:
    whole = GroupSample({"version": 1})
    for sample in samples:
        whole.merge(sample)
    return whole


def split(moments: LogMoments) -> tuple[int, float, float]:
    return moments.count, moments.mean, moments.squares


@given(LOGS, st.randoms(use_true_random=False))
def test_days_merged_in_any_order_give_the_sample_of_their_period(logs: list[tuple], random) -> None:  # type: ignore[no-untyped-def,type-arg]
    whole = merged([sample_of(position, log) for position, log in enumerate(logs)])
    days = [
        merged([sample_of(position, log) for position, log in enumerate(logs) if log[0] == day]) for day in range(10)
    ]
    random.shuffle(days)
    shuffled = merged(days)
    assert split(shuffled.costs) == pytest.approx(split(whole.costs), rel=1e-9, abs=1e-9)
    assert split(shuffled.latencies) == (len(logs), math.log(2) if logs else 0, 0)  # equal values: no variance
    shuffled.costs = whole.costs
    assert shuffled == whole
    assert whole.scored == sum(log[1] is not None for log in logs)


@given(st.lists(POSITIVE, min_size=2, max_size=20))
def test_moments_are_those_of_the_logarithms(values: list[float]) -> None:
    moments = LogMoments()
    for value in [0.0, -1.0, math.inf, math.nan, *values]:
        moments.add(value)
    logarithms = [math.log(value) for value in values]
    assert moments.count == len(values)
    assert moments.mean == pytest.approx(statistics.fmean(logarithms), rel=1e-9, abs=1e-9)
    assert moments.variance == pytest.approx(statistics.variance(logarithms), rel=1e-9, abs=1e-9)


def test_the_first_scored_log_stands_for_its_input_whatever_its_value() -> None:
    early, late = InputScore(3, 9.0, cost=0.5), InputScore(8, 2.0)
    for first, second in ((early, late), (late, early)):
        sample = GroupSample({}, inputs={1: first})
        sample.merge(GroupSample({}, inputs={1: second, 2: late}))
        assert sample.inputs == {1: InputScore(3, 9.0, cost=0.5, logs=2), 2: late}


def test_a_sample_without_logs_has_no_variance_and_no_values() -> None:
    sample = merged([])
    assert (sample.scored, sample.costs.variance, sample.first_scored) == (0, 0, None)
