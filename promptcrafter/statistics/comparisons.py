"""Which of two groups of logs is better, and whether that is settled. Pure functions.

Groups are compared on the values of their logs (the score), and on cost and latency as ratios. What the data can carry
is the `basis` of a comparison:

- `randomised`: one experiment assigned all logs of both groups, so that only chance and the variants make them differ.
- `paired`: both groups have the same inputs, and the first scored logs of each input are compared with each other.
- `observational`: anything else may make the groups differ, too. Nothing is settled then.

Intervals may be looked at after every score: the chance that any difference of a metric is ever settled although there
is none is at most 5 %, over all groups and looks (docs/decisions/0052). Which interval is used depends on the values:

- Randomised: the mixture sequential t-test (`intervals.sequential_difference_interval`), once the variances of both
  groups are reliable.
- Randomised, on a scale: by betting, too. It needs no variance, such as that of a check that always passes, and few
  values for a large difference. And it must agree with the t-test, which takes a good series of a group that fails
  rarely for a difference.
- Paired, on a scale: by betting. Differences of scores pile up at 0 with rare large ones, such as a version that fails
  for one input in twenty. The t-test takes a good series before the first failure for a difference.
- Costs, latencies and values without a scale: the sequential t-test of differences. Those of costs and latencies are
  differences of logarithms, because costs and latencies are skewed.

Two groups may be settled by either of the first two, or as pairs: each of the three has a third of their error
probability.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from itertools import combinations
from typing import Any, Literal, Protocol

from promptcrafter.statistics.betting import (
    difference_interval,
    is_difference_settled,
    is_difference_within,
    mean_interval,
)
from promptcrafter.statistics.intervals import (
    MIN_NON_MODAL_VALUES,
    Interval,
    sequential_difference_interval,
    sequential_interval,
    student_t_interval,
    welch_interval,
)
from promptcrafter.statistics.sample_sizes import estimate_for_bets, estimate_for_difference, estimate_for_mean
from promptcrafter.statistics.samples import Arm, GroupSample, InputScore

ALPHA = 0.05
MAX_GROUPS = 20
MIN_PAIRS = 10
_INTERVALS = 3  # that two groups may have one after the other, each with its share of the error probability
Direction = Literal["up", "down", "none"]
Metric = Literal["cost", "latency"]
_Pair = tuple[InputScore, InputScore]
Basis = Literal["randomised", "paired", "observational"]
_RATIO_DIGITS = 12
_DIFFERENT = 0.1  # a total variation distance up to this is no difference worth a warning


class _Sample(Protocol):
    """What the t-tests need of a sample."""

    @property
    def count(self) -> int: ...
    @property
    def mean(self) -> float: ...
    @property
    def variance(self) -> float: ...
    @property
    def has_reliable_variance(self) -> bool: ...


class _Values:
    """A sample of values with the number of times that each occurs."""

    def __init__(self, counts: Mapping[float, int]) -> None:
        self.counts = counts
        self.count = sum(self.counts.values())

    @cached_property
    def mean(self) -> float:
        if len(self.counts) == 1:
            return next(iter(self.counts))  # the quotient of sum and number might differ in the last digit
        return math.fsum(value * count for value, count in self.counts.items()) / self.count

    @cached_property
    def variance(self) -> float:
        squares = math.fsum((value - self.mean) ** 2 * count for value, count in self.counts.items())
        return squares / max(1, self.count - 1)

    @cached_property
    def has_reliable_variance(self) -> bool:
        return self.variance > 0 and self.count - max(self.counts.values()) >= MIN_NON_MODAL_VALUES

    @cached_property
    def factor_to_reliable_variance(self) -> float:
        """How many times as many values of the same shares have a reliable variance; infinite if none ever do."""
        others = self.count - max(self.counts.values())
        return max(1.0, MIN_NON_MODAL_VALUES / others) if others else math.inf

    def is_binary(self, bounds: Interval) -> bool:
        """Return whether all values are ends of the scale."""
        return set(bounds).issuperset(self.counts)

    def is_within(self, bounds: Interval) -> bool:
        return all(bounds[0] <= value <= bounds[1] for value in self.counts)


@dataclass(frozen=True)
class _Logarithms:
    """A sample of logarithms of which only the moments are known."""

    count: int
    mean: float
    variance: float

    @property
    def has_reliable_variance(self) -> bool:
        # Rounding alone makes equal logarithms vary by about 1e-16 of their size
        return self.count > MIN_NON_MODAL_VALUES and self.variance > (1e-12 * max(1.0, abs(self.mean))) ** 2


@dataclass(frozen=True)
class _Group:
    """A group with its positions among all groups."""

    sample: GroupSample
    scored_rank: int  # 1 for the group whose first score is the oldest
    logged_rank: int  # 1 for the group whose first log is the oldest

    @cached_property
    def values(self) -> _Values:
        return _Values(self.sample.values)

    @cached_property
    def input_counts(self) -> dict[int, int]:
        return {digest: score.logs for digest, score in self.sample.inputs.items()}

    @cached_property
    def scored_counts(self) -> dict[bool, int]:
        return {True: self.sample.scored, False: self.sample.logs - self.sample.scored}


@dataclass(frozen=True)
class _Estimate:
    """The difference of the second group from the first."""

    difference: float | None
    interval: Interval | None
    count: int
    basis: Basis
    needed: int | None = None  # how large `count` must be until the interval leaves out zero, if all else stays

    def higher(self, is_one_look: bool) -> str | None:
        """Return which group is higher, `a` or `b`, if that is settled."""
        if self.interval is None or is_one_look or self.basis == "observational":
            return None
        return "b" if self.interval[0] > 0 else "a" if self.interval[1] < 0 else None


def compare_groups(
    groups: Sequence[GroupSample],
    *,
    scale: Interval | None,
    margin: float | None,
    one_look: bool,
    direction: Direction,
) -> list[dict[str, Any]]:
    """Return a comparison of every two groups, in the order of their first scores.

    `groups` has all groups; the 20 with the most scored logs are compared. `scale` has the bounds of the score, or is
    None. `one_look` says that the groups may have been chosen after their scores were seen: by what can be changed
    after logging, or by a filter. `direction` says which scores are better.

    A comparison has these keys:

    - `a`, `b`: the keys of the group that was scored first and of the other one
    - `difference`: the mean value of a log of b minus that of a; of paired groups, the mean difference of pairs
    - `interval95`: its 95 % interval, which holds at all looks and for all groups together. With `one_look` it is the
      fixed-sample interval of Welch's or the paired t-test, which holds for one look at one difference. None if the
      data does not determine it yet
    - `n`: the number of pairs, or of scored logs in both groups
    - `needed`: about how many there must be until the interval leaves out 0, if the difference stays as it is; None if
      it does, with `one_look`, or if there are too few for an estimate or more than 100,000 are needed
    - `basis`: what the difference rests on (see the docstring of this module)
    - `higher`: `a` or `b` if it is settled which of them has the higher mean, else None
    - `settled`: `a` or `b` if it is settled which of them is better: the higher one, or the lower one if `direction` is
      `down`; always None if it is `none`
    - `equivalent`: whether the difference is settled to be at most `margin` in either direction
    - `oneLook`: `one_look`; nothing is settled then
    - `warnings`: what else differs between the groups
    - `cost`, `latencyMs`: the `ratio` of the geometric means of b to a, with `interval95`, `n`, `basis` and `settled`,
      which names the cheaper and the faster group
    """
    scored_arms = _count_arms([group.arms for group in groups])
    logged_arms = _count_arms([group.logged_arms for group in groups])
    return [
        _compare(a, b, scored_arms, logged_arms, scale=scale, margin=margin, one_look=one_look, direction=direction)
        for a, b in combinations(_choose(_rank(groups)), 2)
    ]


def _compare(
    a: _Group,
    b: _Group,
    scored_arms: Mapping[Arm | None, int],
    logged_arms: Mapping[Arm | None, int],
    *,
    scale: Interval | None,
    margin: float | None,
    one_look: bool,
    direction: Direction,
) -> dict[str, Any]:
    first, second = a.sample, b.sample
    bounds = scale if scale and a.values.is_within(scale) and b.values.is_within(scale) else None
    is_randomised = _is_randomised(first.arms, second.arms, scored_arms)
    pairs = list(_pair(first, second))
    score = _compare_scores(a, b, pairs, bounds, is_randomised, one_look)
    higher = score.higher(one_look)
    is_randomised = _is_randomised(first.logged_arms, second.logged_arms, logged_arms)
    alpha = _alpha(max(a.logged_rank, b.logged_rank))
    costs = _compare_logarithms(first, second, "cost", pairs, is_randomised, alpha, one_look)
    latencies = _compare_logarithms(first, second, "latency", pairs, is_randomised, alpha, one_look)
    return {
        "a": first.key,
        "b": second.key,
        "difference": score.difference,
        "interval95": None if score.interval is None else list(score.interval),
        "n": score.count,
        "needed": score.needed,
        "basis": score.basis,
        "higher": higher,
        "settled": _better(higher, direction),
        "equivalent": not one_look and _is_equivalent(a, b, score, bounds, margin),
        "oneLook": one_look,
        "warnings": _warn(a, b, score.basis),
        "cost": _describe_ratio(costs, one_look),
        "latencyMs": _describe_ratio(latencies, one_look),
    }


def _rank(groups: Sequence[GroupSample]) -> list[_Group]:
    """Return the groups in the order of their first scores, those without one last in the order of their first logs."""
    never = datetime.max.replace(tzinfo=UTC)

    def by_log(index: int) -> tuple[datetime, str]:
        return groups[index].first_logged or never, repr(sorted(groups[index].key.items()))

    def by_score(index: int) -> tuple[datetime, tuple[datetime, str]]:
        return groups[index].first_scored or never, by_log(index)

    logged_ranks = {index: rank for rank, index in enumerate(sorted(range(len(groups)), key=by_log), 1)}
    in_order = sorted(range(len(groups)), key=by_score)
    return [_Group(groups[index], rank, logged_ranks[index]) for rank, index in enumerate(in_order, 1)]


def _choose(ranked: Sequence[_Group]) -> list[_Group]:
    """Return the groups with the most scored logs, or else the most logs, in the order given."""
    largest = sorted(ranked, key=lambda group: (-group.sample.scored, -group.sample.logs, group.scored_rank))
    return sorted(largest[:MAX_GROUPS], key=lambda group: group.scored_rank)


def _alpha(rank: int) -> float:
    """Return the error probability of an interval of the group of this rank, 2 or more, and one that came before it.

    The group of rank k spends 6 / (pi (k - 1))^2 of the whole, which sums to 1 over all k, and divides it evenly among
    its k - 1 comparisons and the intervals that each may have. This depends on nothing that comes later. It is the
    alpha-spending of Foster and Stine, "Alpha-investing", Journal of the Royal Statistical Society B 70 (2008).
    """
    return ALPHA * 6 / (math.pi * (rank - 1)) ** 2 / (rank - 1) / _INTERVALS


def _count_arms(arms_of_groups: Iterable[Mapping[Arm | None, int]]) -> Counter[Arm | None]:
    """Return the number of groups that have logs of each variant."""
    return Counter(arm for arms in arms_of_groups for arm, count in arms.items() if count)


def _is_randomised(
    first: Mapping[Arm | None, int], second: Mapping[Arm | None, int], groups_by_arm: Mapping[Arm | None, int]
) -> bool:
    """Return whether one experiment assigned all logs of two groups, and the groups have different variants.

    All logs of these variants must be in the two groups. If those of a variant are divided among several groups,
    something else than the assignment divides them, such as the day or a model that was used as a fallback.
    """
    one = {arm for arm, count in first.items() if count}
    other = {arm for arm, count in second.items() if count}
    arms = one | other
    experiments = {arm and arm[0] for arm in arms}
    is_assigned = bool(one and other) and None not in arms and len(experiments) == 1
    return is_assigned and all(groups_by_arm[arm] == 1 for arm in arms)


def _compare_scores(
    a: _Group, b: _Group, pairs: Iterable[_Pair], bounds: Interval | None, is_randomised: bool, is_one_look: bool
) -> _Estimate:
    alpha = _alpha(max(a.scored_rank, b.scored_rank))
    first, second = a.values, b.values
    if not is_randomised:
        differences = [two.value - one.value for one, two in pairs]
        if _are_enough(differences, a.sample, b.sample):
            return _compare_pairs(differences, bounds, alpha, is_one_look)
    basis: Basis = "randomised" if is_randomised else "observational"
    if not (first.count and second.count):
        return _Estimate(None, None, first.count + second.count, basis)
    interval = _two_sample_interval(first, second, alpha, is_one_look)
    if bounds is not None and is_randomised and not is_one_look:
        interval = _combine_with_bets(interval, first, second, bounds, alpha)
    difference, needed = second.mean - first.mean, None
    if not is_one_look and _has_zero(interval):
        least = max(first.factor_to_reliable_variance, second.factor_to_reliable_variance)
        variances, counts = (first.variance, second.variance), (first.count, second.count)
        needed = estimate_for_difference(difference, variances, counts, alpha, least)
    count = first.count + second.count
    # as many as there are would be enough for the t-test alone
    return _Estimate(difference, _clamp(interval, bounds), count, basis, needed if needed != count else None)


def _combine_with_bets(
    by_t_test: Interval | None, first: _Values, second: _Values, bounds: Interval, alpha: float
) -> Interval:
    """Return the interval of the t-test, or that by betting if it alone leaves out 0 or there is no other.

    If the t-test alone leaves out 0, the interval covers the one by betting at an error of 5 %, too. So the chance that
    a comparison is settled although there is no difference is at most 5 % for values of any distribution, also while a
    group that fails rarely has not failed yet; what is divided among the comparisons is the error of the t-test. Two
    values alone, such as passed and failed, need no such check: groups with one mean have one distribution then.
    """
    if by_t_test is None:
        return difference_interval(first.counts, second.counts, bounds, alpha)
    if _has_zero(by_t_test):
        is_settled = is_difference_settled(first.counts, second.counts, bounds, alpha)
        return difference_interval(first.counts, second.counts, bounds, alpha) if is_settled else by_t_test
    if first.is_binary(bounds) and second.is_binary(bounds):
        return by_t_test
    if is_difference_settled(first.counts, second.counts, bounds, ALPHA):
        return by_t_test
    by_bets = difference_interval(first.counts, second.counts, bounds, ALPHA)
    return min(by_t_test[0], by_bets[0]), max(by_t_test[1], by_bets[1])


def _compare_logarithms(
    a: GroupSample,
    b: GroupSample,
    name: Metric,
    pairs: Iterable[_Pair],
    is_randomised: bool,
    alpha: float,
    is_one_look: bool,
) -> _Estimate:
    if not is_randomised:
        differences = list(_log_ratios(pairs, name))
        if _are_enough(differences, a, b):
            return _compare_pairs(differences, None, alpha, is_one_look)
    basis: Basis = "randomised" if is_randomised else "observational"
    first, second = (
        _Logarithms(moments.count, moments.mean, moments.variance)
        for moments in ((a.costs, b.costs) if name == "cost" else (a.latencies, b.latencies))
    )
    count = first.count + second.count
    if not (first.count and second.count):
        return _Estimate(None, None, count, basis)
    interval = _two_sample_interval(first, second, alpha, is_one_look)
    return _Estimate(second.mean - first.mean, interval, count, basis)


def _pair(a: GroupSample, b: GroupSample) -> Iterator[_Pair]:
    """Yield the first scored logs of the two groups for each input that both have."""
    for digest, score in a.inputs.items():
        other = b.inputs.get(digest)
        if other is not None:
            yield score, other


def _log_ratios(pairs: Iterable[_Pair], name: Metric) -> Iterator[float]:
    for one, two in pairs:
        first, second = (one.cost, two.cost) if name == "cost" else (one.latency, two.latency)
        if first is not None and second is not None and 0 < first < math.inf and 0 < second < math.inf:
            yield math.log(second) - math.log(first)


def _are_enough(pairs: Sequence[float], a: GroupSample, b: GroupSample) -> bool:
    """Return whether pairs stand for the groups: at least ten, of at least half the inputs of one of them."""
    return len(pairs) >= MIN_PAIRS and 2 * len(pairs) >= min(len(a.inputs), len(b.inputs))


def _compare_pairs(differences: Sequence[float], bounds: Interval | None, alpha: float, is_one_look: bool) -> _Estimate:
    sample = _Values(Counter(differences))
    count, mean, variance = sample.count, sample.mean, sample.variance
    interval = needed = None
    if is_one_look:
        interval = student_t_interval(mean, math.sqrt(variance), count)
    elif bounds is not None:
        width = bounds[1] - bounds[0]
        interval = mean_interval(sample.counts, (-width, width), alpha)
        needed = estimate_for_bets(sample.counts, (-width, width), alpha) if _has_zero(interval) else None
    else:
        if sample.has_reliable_variance:
            interval = sequential_interval(mean, variance / count, count - 1, count, alpha)
        if _has_zero(interval):
            needed = estimate_for_mean(mean, variance, count, alpha, sample.factor_to_reliable_variance)
    return _Estimate(mean, _clamp(interval, bounds), count, "paired", needed)


def _two_sample_interval(first: _Sample, second: _Sample, alpha: float, is_one_look: bool) -> Interval | None:
    difference = second.mean - first.mean
    variances, counts = (first.variance, second.variance), (first.count, second.count)
    if is_one_look:
        return welch_interval(difference, variances, counts) if min(counts) > 1 and max(variances) > 0 else None
    if not (first.has_reliable_variance and second.has_reliable_variance):
        return None
    return sequential_difference_interval(difference, variances, counts, alpha)


def _has_zero(interval: Interval | None) -> bool:
    """Return whether a difference may be zero, as one without an interval may."""
    return interval is None or interval[0] <= 0 <= interval[1]


def _clamp(interval: Interval | None, bounds: Interval | None) -> Interval | None:
    """Limit the interval of a difference to the differences that the scale allows."""
    if interval is None or bounds is None:
        return interval
    width = bounds[1] - bounds[0]
    return max(-width, interval[0]), min(width, interval[1])


def _better(higher: str | None, direction: Direction) -> str | None:
    """Return which group is better, if it is settled which of them is higher."""
    if higher is None or direction == "none":
        return None
    lower = "a" if higher == "b" else "b"
    return higher if direction == "up" else lower


def _is_equivalent(a: _Group, b: _Group, score: _Estimate, bounds: Interval | None, margin: float | None) -> bool:
    """Return whether the interval of a difference that can be settled lies within ±`margin`.

    For randomised groups on a scale, the interval by betting must lie within it, too: a group that fails rarely, and is
    as good otherwise, looks equivalent to the t-test too often.
    """
    if not margin or score.interval is None or score.basis == "observational":
        return False
    if score.interval[0] < -margin or score.interval[1] > margin:
        return False
    if score.basis == "paired" or bounds is None:
        return True
    alpha = _alpha(max(a.scored_rank, b.scored_rank))
    return is_difference_within(a.values.counts, b.values.counts, bounds, margin, alpha)


def _describe_ratio(estimate: _Estimate, is_one_look: bool) -> dict[str, Any]:
    """Return a difference of logarithms as a ratio. Less is better."""
    ends = [] if estimate.interval is None else [_exp(end) for end in estimate.interval]
    return {
        "ratio": None if estimate.difference is None else _exp(estimate.difference),
        "interval95": ends if ends and None not in ends else None,
        "n": estimate.count,
        "basis": estimate.basis,
        "settled": _better(estimate.higher(is_one_look), "down"),
    }


def _exp(logarithm: float) -> float | None:
    """Return the exponential without the digits that are noise of the logarithms; None if it is too large for a float.

    All other figures are exact or have no better value; that of a cost and its double should be 2.
    """
    try:
        return float(f"{math.exp(logarithm):.{_RATIO_DIGITS}g}")
    except OverflowError:
        return None


def _warn(a: _Group, b: _Group, basis: Basis) -> list[str]:
    """Return what differs between two groups beside what they are grouped by."""
    grouped_by = a.sample.key.keys()
    candidates: list[tuple[str, Mapping[Any, int], Mapping[Any, int], bool]] = [
        ("The raters differ", a.sample.raters, b.sample.raters, True),
        ("The weeks differ", a.sample.weeks, b.sample.weeks, grouped_by.isdisjoint({"day", "week", "month"})),
        ("The models differ", a.sample.models, b.sample.models, "model" not in grouped_by),
        (
            "The versions differ",
            a.sample.versions,
            b.sample.versions,
            grouped_by.isdisjoint({"prompt", "version", "label"}),
        ),
        ("The inputs differ", a.input_counts, b.input_counts, basis != "paired"),
        ("The shares of scored logs differ", a.scored_counts, b.scored_counts, True),
    ]
    return [text for text, first, second, applies in candidates if applies and _differ(first, second)]


def _differ(first: Mapping[Any, int], second: Mapping[Any, int]) -> bool:
    """Return whether two distributions of counts differ by more than chance explains and than a tenth.

    Their difference is the total variation distance: the share of one that would have to change to equal the other. Two
    samples of the same distribution have a positive one, too, the larger the smaller they are and the more categories
    there are. What chance explains is a bound of its mean, half the sum of the standard deviations of the differences
    of shares (Jensen's inequality). So one log each by different raters is enough for a warning, and inputs that all
    occur once are none. A tenth moves a mean little: if a tenth of the logs score 2 higher, by 0.2.
    """
    totals = sum(first.values()), sum(second.values())
    if not all(totals):
        return False
    distance = chance = 0.0
    for category in first.keys() | second.keys():
        counts = first.get(category, 0), second.get(category, 0)
        share = sum(counts) / sum(totals)
        distance += abs(counts[0] / totals[0] - counts[1] / totals[1]) / 2
        chance += math.sqrt(share * (1 - share) * (1 / totals[0] + 1 / totals[1])) / 2
    return distance > chance + _DIFFERENT
