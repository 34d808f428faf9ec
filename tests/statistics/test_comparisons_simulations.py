"""How often comparisons are wrong: simulated groups, looked at after every score.

Each log has a value on 0-10 from its first score on, and another one from a later score on: that of a second rater,
with whom it is the mean of two, or a changed one. The simulations compute all looks at once with NumPy, and are
compared with `compare_groups` at some of them.
"""

import math
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pytest

from promptcrafter.statistics.comparisons import compare_groups
from promptcrafter.statistics.samples import GroupSample, InputScore

Array = Any  # NumPy has its types, which the type checker does not read
Draw = Callable[[Any, int], Array]

START = datetime(2026, 11, 2, tzinfo=UTC)
VALUES = np.arange(21) / 2  # means of two whole scores on 0-10
LEVELS = np.arange(10)
FRACTIONS, LOG_SHARES = 2.0**-LEVELS, np.log(1.1 / ((LEVELS + 1) * (LEVELS + 2)))
NEVER = 10**9


class Logs(NamedTuple):
    """The logs of a simulation, one in each element of the arrays."""

    groups: Array
    inputs: Array
    first: Array  # the value from the first score on
    first_at: Array  # the number of scores of all logs before this one
    second: Array  # the value from the second score on
    second_at: Array  # or NEVER

    def values_at(self, time: int) -> Array:
        """Return the values after the score of this number, NaN before the first."""
        return np.where(self.second_at <= time, self.second, np.where(self.first_at <= time, self.first, np.nan))


def normal(source: Any, size: int) -> Array:
    return np.clip(np.round(source.normal(6, 1.5, size)), 0, 10)


def piled_at_8(source: Any, size: int) -> Array:
    return np.clip(np.round(source.normal(8, 0.6, size)), 0, 10)


def failing_rarely(source: Any, size: int) -> Array:
    return np.where(source.random(size) < 0.05, 0, piled_at_8(source, size))


def passing_mostly(source: Any, size: int) -> Array:
    return np.where(source.random(size) < 0.9, 10.0, 0.0)


def scored_over_time(source: Any, groups: Array, inputs: Array, first: Array, again: Array | None, mean: bool) -> Logs:
    """Return logs that are scored in their order, and half of them again after a while, with the values `again`.

    The second score is that of a second rater if `mean` is true, else a changed one.
    """
    size = len(first)
    times: Array = np.arange(size, dtype=float)
    if again is None:
        return Logs(groups, inputs, first, times.astype(int), first, np.full(size, NEVER))
    again_at = np.where(source.random(size) < 0.5, times + source.exponential(size / 5, size), np.inf)
    order = np.argsort(np.concatenate([times, again_at]), kind="stable")
    positions: Array = np.empty(2 * size, int)
    positions[order] = np.arange(2 * size)
    second = (first + again) / 2 if mean else again
    return Logs(groups, inputs, first, positions[:size], second, np.where(np.isinf(again_at), NEVER, positions[size:]))


def randomised(source: Any, draw: Draw, size: int, kind: str, other: Draw | None = None, groups: int = 5) -> Logs:
    """Return logs of groups that arrive one after the other, assigned at random to those that are there.

    `other` draws the values of all groups but the first, if it is given.
    """
    starts = np.array([0, 0, 0.05, 0.15, 0.3])[:groups] * size
    available = (starts <= np.arange(size)[:, None]).sum(1)
    group = (source.random(size) * available).astype(int)
    first, again = (np.where(group > 0, (other or draw)(source, size), draw(source, size)) for _ in range(2))
    return scored_over_time(source, group, np.arange(size), first, None if kind == "once" else again, kind == "raters")


def paired(source: Any, draw: Draw, size: int, kind: str, other: Draw | None = None, groups: int = 5) -> Logs:
    """Return logs of groups that arrive one after the other, each with the same inputs in the same order."""
    begins = np.array([0, 0, 0.2, 0.4, 0.6])[:groups] * size
    when = (begins[:, None] + np.arange(size) + np.arange(groups)[:, None] / 10).ravel()
    order = np.argsort(when)
    group, inputs = np.divmod(order, size)
    easier = np.tile(source.integers(-1, 2, size), groups)[order]  # inputs differ in how well they are answered

    def values() -> Array:
        one, two = draw(source, groups * size), (other or draw)(source, groups * size)
        return np.clip(np.where(group > 0, two, one) + easier, 0, 10)

    again = None if kind == "once" else values()
    return scored_over_time(source, group, inputs, values(), again, kind == "raters")


def sample_groups(logs: Logs, time: int, is_paired: bool) -> list[GroupSample]:
    """Return what is known of each group after the score of this number."""
    values = logs.values_at(time)
    samples = []
    for number in range(int(logs.groups.max()) + 1):
        own = (logs.groups == number) & ~np.isnan(values)
        if own.any():
            when = START + timedelta(seconds=int(logs.first_at[own].min()))
            sample = GroupSample({"version": number}, when, when, int(own.sum()), int(own.sum()))
            sample.values = dict(Counter(values[own].tolist()))
            sample.arms = sample.logged_arms = {None if is_paired else ("exp_1", str(number)): int(own.sum())}
            rows = zip(logs.inputs[own].tolist(), logs.first_at[own].tolist(), values[own].tolist(), strict=True)
            sample.inputs = {digest: InputScore(position, value) for digest, position, value in rows}
            samples.append(sample)
    return samples


def compare_at(logs: Logs, time: int, is_paired: bool) -> dict[tuple[int, int], dict[str, Any]]:
    comparisons = compare_groups(
        sample_groups(logs, time, is_paired), scale=(0, 10), margin=0.5, one_look=False, direction="up"
    )
    return {(pair["a"]["version"], pair["b"]["version"]): pair for pair in comparisons}


def alpha_of(rank: int) -> float:
    return 0.05 * 6 / (math.pi * (rank - 1)) ** 2 / (rank - 1) / 3


def log_capital(counts: Array, means: Array) -> Array:
    """Return the logarithm of the capital of counts of values on 0-10, at the mean of each row on 0-1."""
    factors = 1 + FRACTIONS[:, None, None] * (VALUES / 10 / means[:, None] - 1)
    growth = (counts * np.log(np.maximum(factors, 1e-300))).sum(-1)
    return np.logaddexp.reduce(growth + LOG_SHARES[:, None], 0)


class Looks:
    """Samples of the groups after each score."""

    def __init__(self, logs: Logs) -> None:
        times = int(max(logs.first_at.max(), logs.second_at[logs.second_at < NEVER].max(initial=0))) + 1
        changes = np.zeros((int(logs.groups.max()) + 1, times, len(VALUES)))
        again = logs.second_at < NEVER
        first, second = (logs.first * 2).astype(int), (logs.second * 2).astype(int)
        np.add.at(changes, (logs.groups, logs.first_at, first), 1)
        np.add.at(changes, (logs.groups[again], logs.second_at[again], first[again]), -1)
        np.add.at(changes, (logs.groups[again], logs.second_at[again], second[again]), 1)
        self.counts = changes.cumsum(1)
        self.size = self.counts.sum(-1)
        some = np.maximum(self.size, 1)
        self.mean = self.counts @ VALUES / some
        self.variance = np.maximum(0, self.counts @ VALUES**2 - some * self.mean**2) / np.maximum(1, some - 1)
        self.is_reliable = self.size - self.counts.max(-1) >= 10

    def margins(self, a: int, b: int, alpha: float) -> Array:
        """Return half the width of the sequential interval at each look, infinite while there is none."""
        sizes, variances = self.size[[a, b]], self.variance[[a, b]]
        with np.errstate(all="ignore"):
            errors = variances / sizes
            welch = errors.sum(0)
            pooled = ((sizes - 1) * variances).sum(0) / (sizes - 1).sum(0) * (1 / sizes).sum(0)
            degrees = welch**2 / (errors**2 / (sizes - 1)).sum(0)
            ratio = 1 + sizes.prod(0) / sizes.sum(0) * 0.04
            bound = (np.sqrt(ratio) / alpha) ** (2 / (degrees + 1))
            margin = np.sqrt((bound - 1) / (1 - bound / ratio) * degrees * np.maximum(welch, pooled))
            return np.where(self.is_reliable[[a, b]].all(0) & (bound < ratio), margin, np.inf)

    def settled(self, a: int, b: int) -> Array:
        """Return whether a comparison is settled at each look, or may be by betting."""
        alpha = alpha_of(max(a, b) + 1)
        is_binary = self.counts[[a, b], :, 1:-1].sum((0, 2)) == 0
        by_t_test = self.settled_by_t_test(a, b)
        capital = self.capital(a, b)
        return (by_t_test & (is_binary | (capital > math.log(2 / 0.05)))) | (capital > math.log(2 / alpha))

    def settled_by_t_test(self, a: int, b: int) -> Array:
        return np.abs(self.mean[b] - self.mean[a]) > self.margins(a, b, alpha_of(max(a, b) + 1))

    def capital(self, a: int, b: int) -> Array:
        """Return the logarithm of the capital that bets on a difference, or of a larger one, at each look.

        That of a difference is the least one over all means. Here it is that at the mean of both groups.
        """
        capital = np.full(self.size.shape[1], -np.inf)
        # where the means are near each other, no bet has grown
        errors = np.sqrt((self.variance[[a, b]] / np.maximum(1, self.size[[a, b]])).sum(0))
        is_far = np.abs(self.mean[b] - self.mean[a]) >= 2 * errors
        looks = np.flatnonzero((self.size[[a, b]] > 0).all(0) & is_far)
        for low, high in ((a, b), (b, a)):
            mean = (self.counts[[low, high]][:, looks].sum(0) @ VALUES) / self.size[[low, high]][:, looks].sum(0) / 10
            mean = np.clip(mean, 1e-9, 1 - 1e-9)
            grown = log_capital(self.counts[low, looks][:, ::-1], 1 - mean) + log_capital(
                self.counts[high, looks], mean
            )
            capital[looks] = np.maximum(capital[looks], grown)
        return capital


def pair_up(logs: Logs, a: int, b: int) -> tuple[Array, Array, Callable[[float, int], Array]]:
    """Return the times at which a pair of groups changes, the number of pairs, and a function of the capital.

    The function returns the logarithm of the capital that bets on a mean difference above the given one (1) or below
    it (-1).
    """
    one, two = (Logs(*(column[logs.groups == number] for column in logs)) for number in (a, b))
    one, two = (Logs(*(column[np.argsort(own.inputs)] for column in own)) for own in (one, two))
    start = np.maximum(one.first_at, two.first_at)
    changes = np.sort(np.maximum(np.stack([one.second_at, two.second_at]), start), 0)
    stages = [start, changes[0], changes[1]]

    def differences(times: Array) -> Array:
        values: list[Array] = [np.where(own.second_at <= times, own.second, own.first) for own in (one, two)]
        return values[1] - values[0]

    order = np.argsort(np.concatenate(stages), kind="stable")
    times = np.concatenate(stages)[order]
    sizes = np.concatenate([np.ones(len(start)), np.zeros(2 * len(start))])[order].cumsum()
    is_look = np.append(times[1:] != times[:-1], True) & (times < NEVER) & (sizes >= 10)
    at_stages: list[Array] = [differences(stage) for stage in stages]

    def capital(difference: float, sign: int) -> Array:
        mean = (10 + sign * difference) / 20
        factors = [1 + FRACTIONS[:, None] * ((10 + sign * value) / 20 / mean - 1) for value in at_stages]
        growth = [np.log(np.maximum(factor, 1e-300)) for factor in factors]
        steps = np.concatenate([growth[0], growth[1] - growth[0], growth[2] - growth[1]], 1)
        path = np.cumsum(steps[:, order], 1)[:, is_look]
        return np.logaddexp.reduce(path + LOG_SHARES[:, None], 0)

    return times[is_look], sizes[is_look], capital


KINDS = ("once", "raters", "changed")


def is_ever_settled(logs: Logs, is_paired: bool) -> bool:
    """Return whether any two groups are settled after any score."""
    looks = None if is_paired else Looks(logs)
    for a, b in combinations(range(int(logs.groups.max()) + 1), 2):
        if is_paired:
            _, _, capital = pair_up(logs, a, b)
            if (np.maximum(capital(0, 1), capital(0, -1)) > math.log(2 / alpha_of(b + 1))).any():
                return True
        elif looks and looks.settled(a, b).any():
            return True
    return False


def first_settled(logs: Logs, is_paired: bool) -> float:
    """Return the number of pairs, or of logs of both groups, after which the first two groups are settled."""
    if is_paired:
        _, sizes, capital = pair_up(logs, 0, 1)
        settled = np.maximum(capital(0, 1), capital(0, -1)) > math.log(2 / alpha_of(2))
    else:
        settled = Looks(logs).settled(0, 1)
        sizes = np.arange(len(settled)) + 1
    return float(sizes[settled.argmax()]) if settled.any() else math.inf


def is_ever_equivalent(logs: Logs, is_paired: bool) -> bool:
    """Return whether the first two groups are equivalent within 0.5 at any look; every twentieth one if randomised."""
    if is_paired:
        _, _, capital = pair_up(logs, 0, 1)
        return bool((np.minimum(capital(-0.5, 1), capital(0.5, -1)) > math.log(2 / alpha_of(2))).any())
    looks = Looks(logs)
    within = np.abs(looks.mean[1] - looks.mean[0]) + looks.margins(0, 1, alpha_of(2)) <= 0.5
    return any(
        comparison["equivalent"]
        for time in np.flatnonzero(within)[::20].tolist()
        for comparison in compare_at(logs, time, is_paired).values()
    )


def rate_of_false_verdicts(source: Any, draw: Draw, kind: str, is_paired: bool, runs: int, size: int) -> float:
    simulate = paired if is_paired else randomised
    return sum(is_ever_settled(simulate(source, draw, size, kind), is_paired) for _ in range(runs)) / runs


@pytest.mark.parametrize("is_paired", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_simulation_agrees_with_the_comparison_of_the_groups(is_paired: bool, kind: str) -> None:
    source = np.random.default_rng(7)
    checked = 0
    for draw, other in ((piled_at_8, None), (passing_mostly, normal), (normal, passing_mostly)):
        logs = (paired if is_paired else randomised)(source, draw, 150 if is_paired else 600, kind, other, 4)
        looks = Looks(logs)
        for time in source.integers(5, looks.size.shape[1], 5).tolist():
            for pair, comparison in compare_at(logs, time, is_paired).items():
                a, b = sorted(pair)
                if is_paired:
                    times, sizes, capital = pair_up(logs, a, b)
                    look = np.flatnonzero(times <= time)
                    assert (comparison["basis"] == "paired") is (len(look) > 0)
                    if len(look):
                        capitals = [float(capital(0, sign)[look[-1]]) for sign in (1, -1)]
                        expected = max(capitals) > math.log(2 / alpha_of(b + 1))
                        assert comparison["n"] == sizes[look[-1]]
                        assert (comparison["settled"] is not None) is expected
                        checked += 1
                else:
                    is_settled = comparison["settled"] is not None
                    assert not is_settled or looks.settled(a, b)[time]
                    margin = looks.margins(a, b, alpha_of(b + 1))[time]
                    if np.isfinite(margin) and bool(looks.settled_by_t_test(a, b)[time]) is is_settled:
                        expected = looks.mean[pair[1], time] - looks.mean[pair[0], time] + np.array([-margin, margin])
                        assert comparison["interval95"] == pytest.approx(np.clip(expected, -10, 10).tolist())
                        checked += 1
    assert checked > 20


@pytest.mark.slow
def test_a_group_that_fails_rarely_and_is_as_good_on_average_is_settled_less_often_than_by_the_t_test_alone() -> None:
    source = np.random.default_rng(23)

    def failing(source: Any, size: int) -> Array:
        return np.where(source.random(size) < 0.05, 0, around(8, 0.6)(source, size))

    def is_settled(logs: Logs, time: int) -> bool:
        (comparison,) = compare_at(logs, time, False).values()
        return comparison["settled"] is not None

    by_t_test = by_both = 0
    for _ in range(100):
        logs = randomised(source, around(7.6, 0.6), 800, "once", failing, 2)
        looks = Looks(logs)
        by_t_test += bool(looks.settled_by_t_test(0, 1).any())
        by_both += any(is_settled(logs, time) for time in np.flatnonzero(looks.settled(0, 1))[::5].tolist())
    assert by_both <= 1 < 3 <= by_t_test


@pytest.mark.slow
@pytest.mark.parametrize(("is_paired", "runs", "size"), [(False, 12, 1000), (True, 16, 250)])
def test_five_equal_groups_that_arrive_one_after_the_other_are_rarely_settled(
    is_paired: bool, runs: int, size: int
) -> None:
    source = np.random.default_rng(21)
    rates = [
        rate_of_false_verdicts(source, draw, kind, is_paired, runs, size)
        for draw in (normal, piled_at_8, failing_rarely, passing_mostly)
        for kind in KINDS
    ]
    assert sum(rates) / len(rates) <= 0.05


def around(mean: float, deviation: float) -> Draw:
    return lambda source, size: np.clip(np.round(2 * source.normal(mean, deviation, size)) / 2, 0, 10)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("is_paired", "deviation", "median", "most"), [(False, 1.5, 550, 1000), (True, 1.5 / math.sqrt(2), 170, 250)]
)
def test_a_difference_of_half_a_point_is_settled_after_the_stated_numbers(
    is_paired: bool, deviation: float, median: float, most: float
) -> None:
    source = np.random.default_rng(22)
    simulate = paired if is_paired else randomised
    draws = around(6, deviation), around(6.5, deviation)
    needed = [
        first_settled(simulate(source, draws[0], 400 if is_paired else 1200, "once", draws[1], 2), is_paired)
        for _ in range(100)
    ]
    assert np.quantile(needed, 0.5) <= median
    assert np.quantile(needed, 0.9) <= most


def one_higher(draw: Draw, share: float) -> Draw:
    return lambda source, size: np.minimum(10, draw(source, size) + (source.random(size) < share))


def failing(draw: Draw, share: float) -> Draw:
    return lambda source, size: np.where(source.random(size) < share, 0, draw(source, size))


@pytest.mark.slow
@pytest.mark.parametrize("is_paired", [False, True])
def test_groups_that_differ_by_more_than_the_margin_are_rarely_equivalent(is_paired: bool) -> None:
    source = np.random.default_rng(23)
    simulate = paired if is_paired else randomised
    calm = around(7, 0.7)
    wrong = [
        is_ever_equivalent(simulate(source, draw, 500 if is_paired else 1500, "once", other, 2), is_paired)
        for draw, other in ((around(6, 1.2), one_higher(around(6, 1.2), 0.55)), (calm, failing(calm, 0.55 / 7)))
        for _ in range(40)
    ]
    assert sum(wrong) / len(wrong) <= 0.05
    equal = [
        is_ever_equivalent(simulate(source, calm, 300 if is_paired else 800, "once", None, 2), is_paired)
        for _ in range(5)
    ]
    assert all(equal)


@pytest.mark.parametrize(
    ("field", "values", "warning"),
    [
        ("raters", ({"ann": 60}, {"ben": 60}), "The raters differ"),
        ("weeks", ({"2026-W45": 60}, {"2026-W46": 60}), "The weeks differ"),
    ],
)
def test_observational_groups_never_settle_however_far_apart_and_the_warning_names_why(
    field: str, values: tuple[dict[str, int], dict[str, int]], warning: str
) -> None:
    source = np.random.default_rng(24)
    logs = randomised(source, around(3, 1), 400, "raters", around(8, 1), 2)
    for time in range(20, 400, 20):
        samples = sample_groups(logs, time, is_paired=False)
        for sample, counts in zip(samples, values, strict=True):
            sample.arms = sample.logged_arms = {}
            setattr(sample, field, counts)
        (comparison,) = compare_groups(samples, scale=(0, 10), margin=0.5, one_look=False, direction="up")
        verdicts = comparison["settled"], comparison["higher"], comparison["equivalent"]
        assert (comparison["basis"], verdicts, comparison["warnings"]) == (
            "observational",
            (None, None, False),
            [warning],
        )
