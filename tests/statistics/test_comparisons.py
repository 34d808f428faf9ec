"""Comparisons of groups: which basis they have, which of them are settled, and their agreement with SciPy."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from promptcrafter.statistics.betting import difference_interval, mean_interval
from promptcrafter.statistics.cells import LARGEST
from promptcrafter.statistics.comparisons import compare_groups
from promptcrafter.statistics.intervals import sequential_difference_interval
from promptcrafter.statistics.samples import Arm, GroupSample, InputScore, LogMoments

START = datetime(2026, 11, 2, tzinfo=UTC)
FIRST_ALPHA = 0.05 * 6 / math.pi**2 / 3  # of each interval of the first two groups


def moments_of(values: Iterable[float]) -> LogMoments:
    """Return the moments of the logarithms of positive values."""
    logarithms = [math.log(value) for value in values]
    if not logarithms:
        return LogMoments()
    mean = math.fsum(logarithms) / len(logarithms)
    return LogMoments(len(logarithms), mean, math.fsum((each - mean) ** 2 for each in logarithms))


def group(
    number: int,
    values: Sequence[float],
    *,
    arm: Arm | None = None,
    costs: Iterable[float] = (),
    inputs: Iterable[InputScore] = (),
    **fields: Any,
) -> GroupSample:
    """Return the group of a version that was logged and scored on a day of its own, with a log for each value."""
    when = START + timedelta(days=number)
    arms = {arm: len(values)} if values else {}
    sample = GroupSample({"version": number}, when, when if values else None, len(values), len(values), Counter(values))
    sample.costs, sample.arms, sample.logged_arms = moments_of(costs), arms, dict(arms)
    sample.inputs = dict(enumerate(inputs))
    for name, value in fields.items():
        setattr(sample, name, value)
    return sample


def compare(*groups: GroupSample, **options: Any) -> list[dict[str, Any]]:
    return compare_groups(groups, **{"scale": (0, 10), "margin": 0.5, "one_look": False, "direction": "up", **options})


def compare_two(*groups: GroupSample, **options: Any) -> dict[str, Any]:
    (comparison,) = compare(*groups, **options)
    return comparison


def variants(*samples: Sequence[float], **fields: Any) -> list[GroupSample]:
    return [group(number, values, arm=("exp_1", str(number)), **fields) for number, values in enumerate(samples)]


def scored(values: Iterable[float], **fields: Any) -> list[InputScore]:
    return [InputScore(position, value, **fields) for position, value in enumerate(values)]


SPREAD = [5.0, 6.0, 7.0, 8.0, 9.0] * 40
LOWER = [value - 2 for value in SPREAD]


def observed(*samples: Sequence[float]) -> list[GroupSample]:
    return [group(number, values) for number, values in enumerate(samples)]


def paired(*samples: Sequence[float]) -> list[GroupSample]:
    return [group(number, values, inputs=scored(values)) for number, values in enumerate(samples)]


@pytest.mark.parametrize("make", [observed, variants, paired])
@pytest.mark.parametrize("scale", [(0, 10), None])
@pytest.mark.parametrize("sign", [1, -1])
def test_what_is_needed_is_where_the_same_values_again_and_again_leave_out_zero(
    make: Callable[..., list[GroupSample]], scale: tuple[float, float] | None, sign: int
) -> None:
    lower, higher = [5.0, 6.0, 7.0, 8.0, 4.0, 5.0] * 2, [8.0, 7.0, 9.0, 7.0, 6.0, 9.0] * 2
    first, second = (lower, higher)[::sign]

    def look(times: int) -> dict[str, Any]:
        return compare_two(*make(first * times, second * times), scale=scale)

    looks = {times: look(times) for times in range(1, 12)}
    once, enough = looks[1], min(times for times, each in looks.items() if each["needed"] is None)
    assert enough > 1
    assert (enough - 1) * once["n"] < once["needed"] <= enough * once["n"] * 1.02
    assert not looks[enough]["interval95"][0] <= 0 <= looks[enough]["interval95"][1]
    assert all(each["needed"] > each["n"] for times, each in looks.items() if times < enough)


def test_nothing_is_needed_where_no_number_of_values_tells_or_too_few_are_known() -> None:
    for lower, higher in (
        ([5.0, 7.0] * 3, [6.0] * 6),  # equal means
        ([5.0, 7.0], [8.0, 9.0]),
        ([5.0] * 6, [6.0] * 6),  # no spread
        ([5.0, 9.0] * 300, [5.0, 9.01] * 300),  # more than 100,000
    ):
        comparison = compare_two(*observed(lower, higher))
        assert comparison["interval95"] is None or comparison["interval95"][0] < 0 < comparison["interval95"][1]
        assert comparison["needed"] is None
    assert compare_two(*observed(LOWER[:15], SPREAD[:15]), one_look=True)["needed"] is None


def test_randomised_groups_have_the_interval_of_the_sequential_test_and_name_the_better_one() -> None:
    comparison = compare_two(*variants(LOWER, SPREAD))
    variance = stats.tvar(SPREAD)
    expected = sequential_difference_interval(2, (variance, variance), (200, 200), FIRST_ALPHA)
    assert comparison["interval95"] == pytest.approx(expected)
    assert {key: comparison[key] for key in ("a", "b", "difference", "n", "basis", "settled", "higher")} == {
        "a": {"version": 0},
        "b": {"version": 1},
        "difference": pytest.approx(2),
        "n": 400,
        "basis": "randomised",
        "settled": "b",
        "higher": "b",
    }
    assert (comparison["equivalent"], comparison["oneLook"], comparison["warnings"]) == (False, False, [])


def test_a_large_difference_on_a_scale_is_settled_by_betting_before_the_t_test_can_tell() -> None:
    lower, higher = [4.0, 5.0, 5.0, 6.0] * 5, [6.0, 7.0, 7.0, 8.0] * 5
    on_scale, without = (compare_two(*variants(lower, higher), scale=scale) for scale in ((0, 10), None))
    expected = difference_interval(Counter(lower), Counter(higher), (0, 10), FIRST_ALPHA)
    assert (on_scale["interval95"], on_scale["settled"]) == (pytest.approx(expected), "b")
    assert without["settled"] is None


def test_the_t_test_alone_settles_nothing_on_a_scale_while_a_group_may_fail_that_has_not_yet() -> None:
    never_failed, other = [8.0, 8.5, 8.0, 7.5] * 10, [7.5, 8.0, 7.5, 7.0] * 10
    on_scale, without = (compare_two(*variants(other, never_failed), scale=scale) for scale in ((0, 10), None))
    by_bets = difference_interval(Counter(other), Counter(never_failed), (0, 10), 0.05)
    assert (without["settled"], on_scale["settled"]) == ("b", None)
    assert on_scale["interval95"] == pytest.approx(
        [min(by_bets[0], without["interval95"][0]), max(by_bets[1], without["interval95"][1])]
    )
    assert on_scale["interval95"][0] < 0
    assert on_scale["needed"] is None, "the t-test has enough"
    passed, failed = [10.0] * 90 + [0.0] * 10, [10.0] * 60 + [0.0] * 40
    assert (
        compare_two(*variants(failed, passed))["interval95"]
        == compare_two(*variants(failed, passed), scale=None)["interval95"]
    )


@pytest.mark.parametrize(("direction", "settled"), [("up", "b"), ("down", "a"), ("none", None)])
def test_settled_names_the_better_group_in_the_direction_of_the_score(direction: str, settled: str | None) -> None:
    comparison = compare_two(*variants(LOWER, SPREAD), direction=direction)
    assert (comparison["settled"], comparison["higher"]) == (settled, "b")
    reverse = compare_two(*variants(SPREAD, LOWER), direction=direction)
    assert (reverse["settled"], reverse["higher"]) == ({"a": "b", "b": "a", None: None}[settled], "a")


def test_a_group_that_always_scores_the_same_is_compared_by_betting() -> None:
    passes, fails = [1.0] * 60, [1.0] * 30 + [0.0] * 30
    comparison = compare_two(*variants(fails, passes), scale=(0, 1))
    expected = difference_interval({1.0: 30, 0.0: 30}, {1.0: 60}, (0, 1), FIRST_ALPHA)
    assert (comparison["interval95"], comparison["settled"]) == (list(expected), "b")
    without_scale = compare_two(*variants(fails, passes), scale=None)
    assert (without_scale["interval95"], without_scale["settled"]) == (None, None)


def test_the_basis_is_randomised_only_if_one_experiment_assigned_every_log_and_nothing_else_divides_them() -> None:
    one, other = ("exp_1", "a"), ("exp_1", "b")
    cases: list[tuple[dict[Arm | None, int], dict[Arm | None, int], str]] = [
        ({one: 200}, {other: 200}, "randomised"),
        ({one: 100, ("exp_1", "c"): 100}, {other: 200}, "randomised"),
        ({one: 199, None: 1}, {other: 200}, "observational"),
        ({one: 200}, {("exp_2", "b"): 200}, "observational"),
        ({one: 100, other: 100}, {other: 200}, "observational"),
        ({None: 200}, {None: 200}, "observational"),
        ({one: 200, None: 0}, {other: 200}, "randomised"),
    ]
    for first, second, basis in cases:
        groups = group(0, LOWER, arms=first, logged_arms=first), group(1, SPREAD, arms=second, logged_arms=second)
        comparison = compare_two(*groups)
        assert comparison["basis"] == comparison["cost"]["basis"] == basis
        assert comparison["settled"] == ("b" if basis == "randomised" else None)
    split = [group(0, LOWER, arm=one), group(1, SPREAD, arm=other), group(2, SPREAD, arm=other)]
    assert {comparison["basis"] for comparison in compare(*split)} == {"observational"}


def test_unscored_logs_that_nobody_assigned_leave_only_the_cost_observational() -> None:
    groups = variants(LOWER, SPREAD)
    groups[0].logged_arms = {**groups[0].arms, None: 5}
    comparison = compare_two(*groups)
    assert (comparison["basis"], comparison["cost"]["basis"]) == ("randomised", "observational")


def test_groups_with_the_same_inputs_are_compared_pair_by_pair() -> None:
    easy = [float(value % 7 + 2) for value in range(150)]
    groups = group(0, easy, inputs=scored(easy)), group(1, easy, inputs=scored(value + 1 for value in easy))
    comparison = compare_two(*groups)
    expected = mean_interval({1.0: 150}, (-10, 10), FIRST_ALPHA)
    assert (comparison["basis"], comparison["n"], comparison["difference"]) == ("paired", 150, 1)
    assert (comparison["interval95"], comparison["settled"]) == (list(expected), "b")
    few = group(0, easy, inputs=scored(easy)), group(1, easy, inputs=scored(value + 1 for value in easy[:9]))
    assert compare_two(*few)["basis"] == "observational"


def test_pairs_stand_for_the_groups_only_if_they_are_half_the_inputs_of_one() -> None:
    values = [7.0] * 40
    first = group(0, values, inputs=scored(values))
    for shared, basis in ((20, "paired"), (19, "observational")):
        second = group(1, values)
        second.inputs = {number + 40 - shared: score for number, score in first.inputs.items()}
        assert compare_two(first, second)["basis"] == basis


def test_pairs_without_a_scale_have_the_sequential_interval_once_their_variance_is_reliable() -> None:
    values = [float(value) for value in range(40)]
    higher = [value + 5 + value % 3 for value in values]
    groups = group(0, values, inputs=scored(values)), group(1, higher, inputs=scored(higher))
    comparison = compare_two(*groups, scale=None)
    assert (comparison["basis"], comparison["settled"]) == ("paired", "b")
    same = group(0, values, inputs=scored(values)), group(1, values, inputs=scored(value + 5 for value in values))
    assert compare_two(*same, scale=None)["interval95"] is None


def test_values_beyond_the_scale_are_compared_as_without_one() -> None:
    groups = variants(LOWER, [*SPREAD, 11.0])
    assert compare_two(*groups) == compare_two(*groups, scale=None)


def test_with_one_look_intervals_are_those_of_a_fixed_sample_and_nothing_is_settled() -> None:
    higher = [*SPREAD[:90], 10.0]
    comparison = compare_two(*variants(LOWER, higher), one_look=True)
    expected = stats.ttest_ind(higher, LOWER, equal_var=False).confidence_interval(0.95)
    assert comparison["interval95"] == pytest.approx([expected.low, expected.high], rel=1e-5)
    assert (comparison["settled"], comparison["higher"], comparison["oneLook"]) == (None, None, True)
    assert not compare_two(*variants(SPREAD * 50, SPREAD * 50), one_look=True)["equivalent"]
    pairs = group(0, SPREAD, inputs=scored(SPREAD)), group(1, SPREAD, inputs=scored([*LOWER[:-1], 9.0]))
    expected = stats.ttest_rel([*LOWER[:-1], 9.0], SPREAD).confidence_interval(0.95)
    comparison = compare_two(*pairs, one_look=True)
    assert comparison["interval95"] == pytest.approx([expected.low, expected.high], rel=1e-5)
    assert (comparison["basis"], comparison["settled"]) == ("paired", None)
    assert compare_two(*variants([7.0] * 9, [8.0] * 9), one_look=True)["interval95"] is None


def test_equal_groups_are_equivalent_once_their_interval_is_within_the_margin() -> None:
    for repetitions, margin, equivalent in ((1, 0.5, False), (20, 0.5, True), (20, 0.01, False), (20, None, False)):
        comparison = compare_two(*variants(SPREAD * repetitions, SPREAD * repetitions), margin=margin)
        assert comparison["equivalent"] is equivalent, (repetitions, margin)
    pairs = [group(number, SPREAD, inputs=scored(SPREAD)) for number in (0, 1)]
    assert compare_two(*pairs)["equivalent"]
    assert compare_two(*variants(SPREAD * 20, SPREAD * 20), scale=None)["equivalent"]
    assert not compare_two(group(0, SPREAD * 20), group(1, SPREAD * 20))["equivalent"]  # observational
    close = compare_two(*variants(SPREAD * 20, [value + 0.25 for value in SPREAD] * 20))
    assert (close["settled"], close["equivalent"]) == ("b", True)  # better, by less than matters


def test_costs_are_compared_as_ratios_of_geometric_means() -> None:
    costs = [0.01, 0.02, 0.03, 0.05] * 25
    cheaper = [cost / 2 for cost in costs]
    comparison = compare_two(
        group(0, SPREAD, arm=("exp_1", "a"), costs=costs), group(1, SPREAD, arm=("exp_1", "b"), costs=cheaper)
    )
    variance = stats.tvar([math.log(cost) for cost in costs])
    expected = sequential_difference_interval(-math.log(2), (variance, variance), (100, 100), FIRST_ALPHA)
    assert expected
    assert comparison["cost"] == {
        "ratio": 0.5,
        "interval95": pytest.approx([math.exp(end) for end in expected]),
        "n": 200,
        "basis": "randomised",
        "settled": "b",
    }
    assert comparison["latencyMs"] == {
        "ratio": None,
        "interval95": None,
        "n": 0,
        "basis": "randomised",
        "settled": None,
    }


def test_costs_of_the_same_inputs_are_compared_pair_by_pair() -> None:
    costs = [10.0 ** (number % 5) for number in range(60)]
    first = [InputScore(number, 7.0, cost, None) for number, cost in enumerate(costs)]
    second = [InputScore(number, 7.0, cost * (1.1 + number % 4 / 10), 5.0) for number, cost in enumerate(costs)]
    comparison = compare_two(group(0, [7.0] * 60, inputs=first), group(1, [7.0] * 60, inputs=second))
    assert comparison["cost"]["settled"] == "a"
    assert (comparison["cost"]["basis"], comparison["cost"]["n"]) == ("paired", 60)
    assert comparison["cost"]["ratio"] == pytest.approx(stats.gmean([1.1, 1.2, 1.3, 1.4]), rel=1e-11)
    assert (comparison["latencyMs"]["basis"], comparison["latencyMs"]["n"]) == ("observational", 0)


def test_ratios_beyond_the_range_of_floats_are_unknown() -> None:
    tiny, huge = [5e-324, 1e-323] * 20, [1e308, 1.7e308] * 20
    up = compare_two(group(0, SPREAD, costs=tiny), group(1, SPREAD, costs=huge))
    assert (up["cost"]["ratio"], up["cost"]["interval95"]) == (None, None)
    down = compare_two(group(0, SPREAD, costs=huge), group(1, SPREAD, costs=tiny))
    assert down["cost"]["ratio"] == 0


def test_each_group_spends_its_share_of_the_error_whatever_comes_later() -> None:
    groups = variants(*[SPREAD] * 5)
    all_of_them = compare(*groups)
    for count in range(2, 5):
        pairs = [pair for pair in all_of_them if pair["b"]["version"] < count]
        assert compare(*reversed(groups[:count])) == pairs
    widths = {pair["b"]["version"]: pair["interval95"][1] - pair["interval95"][0] for pair in all_of_them}
    assert widths[1] < widths[2] < widths[3] < widths[4]
    variance = stats.tvar(SPREAD)
    for rank in range(2, 6):
        alpha = 0.05 * 6 / math.pi**2 / (rank - 1) ** 2 / (rank - 1) / 3
        expected = sequential_difference_interval(0, (variance, variance), (200, 200), alpha)
        assert expected
        assert widths[rank - 1] == pytest.approx(expected[1] - expected[0])


def test_costs_are_counted_in_the_order_of_first_logs() -> None:
    groups = [group(number, SPREAD, arm=("exp_1", str(number)), costs=[1.0, 2.0] * 30) for number in range(3)]
    groups[0].first_logged, groups[2].first_logged = groups[2].first_logged, groups[0].first_logged
    by_pair = {(pair["a"]["version"], pair["b"]["version"]): pair for pair in compare(*groups)}
    widths = {key: math.log(pair["cost"]["interval95"][1]) for key, pair in by_pair.items()}
    assert widths[1, 2] < widths[0, 1] == pytest.approx(widths[0, 2])


def test_the_twenty_groups_with_the_most_scores_are_compared_and_the_others_count() -> None:
    groups = variants(*(SPREAD[: 40 + number] for number in range(22)))
    comparisons = compare(*groups)
    assert len(comparisons) == 190
    assert (comparisons[0]["a"], comparisons[0]["b"]) == ({"version": 2}, {"version": 3})
    alone = compare(*groups[2:4])[0]["interval95"]
    assert comparisons[0]["interval95"][1] > alone[1]


def test_groups_without_values_are_compared_without_an_interval() -> None:
    empty, full = group(0, []), group(1, SPREAD)
    comparison = compare_two(empty, full)
    assert (comparison["a"], comparison["difference"], comparison["interval95"]) == ({"version": 1}, None, None)
    assert (comparison["n"], comparison["basis"], comparison["warnings"]) == (200, "observational", [])
    assert compare() == compare(full) == []
    assert compare_two(*variants([7.0], [8.0]))["settled"] is None


def test_warnings_name_what_differs_beside_what_is_compared() -> None:
    same: dict[str, Any] = {
        "raters": {"ann": 100, "ben": 100},
        "weeks": {"2026-W45": 200},
        "models": {"gpt-4o": 200},
        "versions": {"1": 200},
    }
    others: dict[str, tuple[dict[str, int], str]] = {
        "raters": ({"ann": 200}, "The raters differ"),
        "weeks": ({"2026-W45": 100, "2026-W46": 100}, "The weeks differ"),
        "models": ({"gpt-4o": 150, "claude": 50}, "The models differ"),
        "versions": ({"2": 200}, "The versions differ"),
    }
    for name, (counts, warning) in others.items():
        changed: dict[str, Any] = {**same, name: counts}
        groups = group(0, LOWER, **same), group(1, SPREAD, **changed)
        for one in groups:
            one.key = {"author": str(id(one))}
        assert compare_two(*groups)["warnings"] == [warning]
        assert compare_two(*groups)["settled"] is None
    groups = group(0, LOWER, **same), group(1, SPREAD, **same, logs=1000)
    assert compare_two(*groups)["warnings"] == ["The shares of scored logs differ"]
    groups = group(0, LOWER, **same), group(1, SPREAD, **same)
    groups[0].inputs = {1: InputScore(1, 5.0, logs=200)}
    groups[1].inputs = {2: InputScore(1, 5.0, logs=200)}
    assert compare_two(*groups)["warnings"] == ["The inputs differ"]


@pytest.mark.parametrize(
    ("key", "unnamed"), [("week", "weeks"), ("day", "weeks"), ("model", "models"), ("label", "versions")]
)
def test_what_the_groups_are_grouped_by_is_no_warning(key: str, unnamed: str) -> None:
    fields: list[dict[str, Any]] = [{unnamed: {str(number): 200}, "key": {key: number}} for number in (0, 1)]
    groups = [group(number, SPREAD, **own) for number, own in enumerate(fields)]
    assert compare_two(*groups)["warnings"] == []


def test_few_logs_warn_if_all_of_them_differ_and_not_by_chance() -> None:
    cases: list[tuple[dict[str, int], dict[str, int], bool]] = [
        ({"ann": 1}, {"ben": 1}, True),
        ({"ann": 3}, {"ben": 100}, True),
        ({"ann": 3, "ben": 2}, {"ann": 2, "ben": 3}, False),
        ({"ann": 52, "ben": 48}, {"ann": 48, "ben": 52}, False),
        ({"ann": 6000, "ben": 4000}, {"ann": 5100, "ben": 4900}, False),  # certain, but small
        ({"ann": 6000, "ben": 4000}, {"ann": 4800, "ben": 5200}, True),
        ({str(rater): 1 for rater in range(20)}, {str(rater): 1 for rater in range(10, 30)}, False),
        ({}, {"ann": 5}, False),
    ]
    for first, second, differs in cases:
        groups = group(0, SPREAD, raters=first), group(1, SPREAD, raters=second)
        assert (compare_two(*groups)["warnings"] == ["The raters differ"]) is differs, (first, second)


@settings(max_examples=40)
@given(
    st.lists(st.floats(-LARGEST, LARGEST), max_size=30),
    st.lists(st.floats(-10, 10), max_size=30),
    st.booleans(),
    st.booleans(),
)
def test_any_values_that_a_cell_has_give_finite_numbers(
    first: list[float], second: list[float], one_look: bool, is_paired: bool
) -> None:
    groups = variants(first, second)
    if is_paired:
        groups = [group(number, values, inputs=scored(values)) for number, values in enumerate((first, second))]
    comparison = compare_two(*groups, scale=None, one_look=one_look)
    numbers = [comparison["difference"], *(comparison["interval95"] or [])]
    assert all(number is None or math.isfinite(number) for number in numbers)


def test_huge_negative_and_equal_values_need_no_scale() -> None:
    for size in (1e-300, 1.0, 1e99):
        low, high = ([size * value for value in values] for values in (LOWER, SPREAD))
        comparison = compare_two(*variants([-value for value in low], [-value for value in high]), scale=None)
        assert comparison["settled"] == (None if size == 1e-300 else "a"), size
        assert comparison["difference"] == pytest.approx(-2 * size)


SCORES = st.lists(st.integers(0, 10).map(float), min_size=1, max_size=60)


@settings(max_examples=30)
@given(SCORES, SCORES, st.booleans(), st.sampled_from([(0, 10), None]))
def test_exchanging_two_groups_changes_signs_only(
    first: list[float], second: list[float], is_paired: bool, scale: tuple[int, int] | None
) -> None:
    def two(one: list[float], other: list[float]) -> dict[str, Any]:
        if is_paired:
            size = min(len(one), len(other))
            groups = [
                group(number, values[:size], inputs=scored(values[:size])) for number, values in ((0, one), (1, other))
            ]
            return compare_two(*groups, scale=scale, direction="up")
        return compare_two(*variants(one, other), scale=scale, direction="up")

    there, back = two(first, second), two(second, first)
    assert there["difference"] == pytest.approx(-back["difference"])
    assert (there["interval95"] is None) is (back["interval95"] is None)
    if there["interval95"]:
        assert there["interval95"] == pytest.approx([-end for end in reversed(back["interval95"])], abs=2e-3)
    assert there["settled"] == {"a": "b", "b": "a", None: None}[back["settled"]]
    assert there["basis"] == back["basis"]
