"""The agreement of raters, against published worked examples, other libraries and the properties of its figures."""

import json
import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import krippendorff
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from promptcrafter.scores.agreement import PAIRS_MAX, RATERS_MAX, Metric, Rating, Value, describe_agreement

# Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011): observers by units, with dots for missing values
BINARY = ("0100000010", "1110010000")
TWO_OBSERVERS = ("aabbdcccedda", "babbbccceddd")
FOUR_OBSERVERS = ("123321412...", "1233224125.3", ".3332342251.", "12332441251.")

NUMBERS = st.sampled_from([0, 0.5, 1, 2.25, 7, 10])
CATEGORIES = st.sampled_from(["good", "bad", "unsure"])
KINDS = st.sampled_from(["human", "judge", "code", "enduser"])
PROPERTIES = settings(max_examples=60)


def rows(*observers: Sequence[Any], read: Callable[[Any], Value] = str) -> list[Rating]:
    """Return ratings by humans from the values of each observer, unit by unit; dots are missing."""
    return [
        (f"log{unit}", f"rater{observer}", read(value), "human")
        for observer, values in enumerate(observers)
        for unit, value in enumerate(values)
        if value != "."
    ]


def tables(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Rating]]:
    """Return ratings of up to 12 logs by up to 5 raters, each of one kind."""

    def build(table: dict[tuple[int, int], Any], kinds: list[str]) -> list[Rating]:
        return [(f"log{log:02}", f"rater{rater}", value, kinds[rater]) for (log, rater), value in table.items()]

    cells = st.tuples(st.integers(0, 11), st.integers(0, 4))
    return st.builds(build, st.dictionaries(cells, values, max_size=40), st.lists(KINDS, min_size=5, max_size=5))


def pair(*observers: Sequence[Any], metric: Metric, read: Callable[[Any], Value] = str) -> dict[str, Any]:
    (found,) = describe_agreement(rows(*observers, read=read), metric)["pairs"]
    return dict(found)


def from_counts(*counts: Sequence[int]) -> list[Sequence[str]]:
    """Return the choices of two raters, from the number of logs by the first's and the second's category."""
    cells = [(str(a), str(b)) for a, row in enumerate(counts) for b, count in enumerate(row) for _ in range(count)]
    return list(zip(*cells, strict=True))


@pytest.mark.parametrize(
    ("observers", "metric", "alpha"),
    [
        (BINARY, "nominal", 0.095),
        (TWO_OBSERVERS, "nominal", 0.692),
        (FOUR_OBSERVERS, "nominal", 0.743),
        (FOUR_OBSERVERS, "interval", 0.849),
    ],
)
def test_alpha_is_that_of_krippendorffs_examples(observers: tuple[str, ...], metric: Metric, alpha: float) -> None:
    found = describe_agreement(rows(*observers, read=str if metric == "nominal" else int), metric)
    assert (found["metric"], found["alpha"]) == (metric, pytest.approx(alpha, abs=0.0005))


@pytest.mark.parametrize(
    ("counts", "equal", "kappa"),
    [
        # Cohen, "A Coefficient of Agreement for Nominal Scales" (1960), table 2, and a usual example of textbooks
        (((88, 14, 18), (10, 40, 10), (2, 6, 12)), 0.7, 0.492),
        (((20, 5), (10, 15)), 0.7, 0.4),
    ],
)
def test_kappa_is_that_of_published_examples(counts: Sequence[Sequence[int]], equal: float, kappa: float) -> None:
    found = pair(*from_counts(*counts), metric="nominal")
    assert found["n"] == sum(map(sum, counts))
    assert (found["equal"], found["kappa"]) == (pytest.approx(equal), pytest.approx(kappa, abs=0.0005))


def test_tied_numbers_have_the_mean_of_their_ranks() -> None:
    # Siegel, "Nonparametric Statistics for the Behavioral Sciences" (1956): ranks with three ties. The sum of squared
    # differences is 109.5, and the sums of squares are (12^3 - 12) / 12 = 143, and for the ties 3 * 6 / 12 less
    strivings = (42, 46, 39, 37, 65, 88, 86, 56, 62, 92, 54, 81)
    yielding = (0, 0, 1, 1, 3, 4, 5, 6, 7, 8, 8, 12)
    expected = (143 + 141.5 - 109.5) / (2 * math.sqrt(143 * 141.5))
    assert pair(strivings, yielding, metric="interval", read=float)["spearman"] == pytest.approx(expected)
    # The marks of ten students that Laerd Statistics explains Spearman's rho with, where two have 61 in English
    english, mathematics = (56, 75, 45, 71, 61, 64, 58, 80, 76, 61), (66, 70, 40, 60, 65, 56, 59, 77, 67, 63)
    found = pair(english, mathematics, metric="interval", read=float)["spearman"]
    assert found == pytest.approx(0.669, abs=0.0005)


def test_only_the_order_of_numbers_matters_to_rho() -> None:
    first, second = (3, 1, 4, 1, 5, 9, 2, 6), (2, 7, 1, 8, 2, 8, 1, 8)
    expected = pair(first, second, metric="interval", read=float)["spearman"]
    cubes = [number**3 for number in second]
    assert pair(first, cubes, metric="interval", read=float)["spearman"] == expected


@PROPERTIES
@given(tables(NUMBERS))
def test_the_figures_of_numbers_are_those_of_other_libraries(ratings: list[Rating]) -> None:
    found = describe_agreement(ratings, "interval")
    assert found["alpha"] == alpha_of_library(ratings, "interval")
    by_rater = values_by_rater(ratings)
    for figures in found["pairs"]:
        common = [log for log in by_rater[figures["a"]] if log in by_rater[figures["b"]]]
        first, second = ([by_rater[figures[key]][log] for log in common] for key in ("a", "b"))
        assert figures["n"] == len(common)
        assert figures["meanAbsoluteDifference"] == pytest.approx(
            sum(abs(x - y) for x, y in zip(first, second, strict=True)) / len(common)
        )
        varied = len(set(first)) > 1 < len(set(second))
        assert figures["spearman"] == (pytest.approx(spearmanr(first, second).statistic) if varied else None)


@PROPERTIES
@given(tables(CATEGORIES))
def test_the_figures_of_categories_are_those_of_another_library_and_the_definition(ratings: list[Rating]) -> None:
    found = describe_agreement(ratings, "nominal")
    codes = {"good": 1, "bad": 2, "unsure": 3}
    assert found["alpha"] == alpha_of_library([(*row[:2], codes[str(row[2])], row[3]) for row in ratings], "nominal")
    by_rater = values_by_rater(ratings)
    for figures in found["pairs"]:
        common = [log for log in by_rater[figures["a"]] if log in by_rater[figures["b"]]]
        first, second = ([by_rater[figures[key]][log] for log in common] for key in ("a", "b"))
        observed = sum(x == y for x, y in zip(first, second, strict=True)) / len(common)
        expected = sum((first.count(code) / len(common)) * (second.count(code) / len(common)) for code in codes)
        assert figures["equal"] == pytest.approx(observed)
        assert figures["kappa"] == (
            None
            if set(first) == set(second) and len(set(first)) == 1
            else pytest.approx((observed - expected) / (1 - expected))
        )


def values_by_rater(ratings: list[Rating]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for log, rater, value, _ in ratings:
        found.setdefault(rater, {})[log] = value
    return found


def alpha_of_library(ratings: list[Rating], metric: Metric) -> Any:
    """Return what alpha is expected to be: None where the library has none, because no values can be paired or vary."""
    by_rater = values_by_rater(ratings)
    logs = sorted({log for log, *_ in ratings})
    logs = [log for log in logs if sum(log in values for values in by_rater.values()) > 1]
    if len({values[log] for values in by_rater.values() for log in logs if log in values}) < 2:
        return None
    table = [[values.get(log, math.nan) for log in logs] for values in by_rater.values()]
    return pytest.approx(float(krippendorff.alpha(reliability_data=table, level_of_measurement=metric)), abs=1e-12)


@PROPERTIES
@given(st.one_of(st.tuples(tables(NUMBERS), st.just("interval")), st.tuples(tables(CATEGORIES), st.just("nominal"))))
def test_the_result_does_not_depend_on_the_order_of_ratings_and_is_json(case: tuple[list[Rating], Metric]) -> None:
    ratings, metric = case
    found = describe_agreement(ratings, metric)
    assert describe_agreement(ratings[::-1], metric) == found
    assert describe_agreement(random.Random(7).sample(ratings, len(ratings)), metric) == found
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@PROPERTIES
@given(tables(CATEGORIES), st.permutations(["good", "bad", "unsure"]), st.permutations(range(5)))
def test_new_names_of_raters_and_categories_change_no_figure(
    ratings: list[Rating], categories: list[str], raters: list[int]
) -> None:
    category = dict(zip(["good", "bad", "unsure"], categories, strict=True))
    rater = {f"rater{old}": f"rater{new}" for old, new in enumerate(raters)}
    renamed: list[Rating] = [(log, rater[name], category[str(value)], kind) for log, name, value, kind in ratings]
    found, again = describe_agreement(ratings, "nominal"), describe_agreement(renamed, "nominal")

    def by_raters(pairs: list[dict[str, Any]], names: dict[str, str]) -> dict[frozenset[str], dict[str, Any]]:
        return {frozenset((names[row["a"]], names[row["b"]])): {**row, "a": 0, "b": 0} for row in pairs}

    assert by_raters(again.pop("pairs"), {name: name for name in rater}) == by_raters(found.pop("pairs"), rater)
    assert again == found


@PROPERTIES
@given(tables(NUMBERS), st.sampled_from([1e-60, 0.1, 3, 1e6]), st.sampled_from([-5, 0, 0.3, 100]))
def test_another_unit_and_zero_point_of_numbers_change_neither_alpha_nor_rho(
    ratings: list[Rating], unit: float, zero: float
) -> None:
    start = zero * unit
    moved: list[Rating] = [(log, rater, float(value) * unit + start, kind) for log, rater, value, kind in ratings]
    found, again = describe_agreement(ratings, "interval"), describe_agreement(moved, "interval")
    assert again["alpha"] == (None if found["alpha"] is None else pytest.approx(found["alpha"], abs=1e-9))
    assert [row["spearman"] for row in again["pairs"]] == [row["spearman"] for row in found["pairs"]]


@PROPERTIES
@given(st.lists(st.floats(-1e100, 1e100) | NUMBERS, min_size=2, max_size=15), st.integers(2, 4))
def test_perfect_agreement_on_varied_values_is_exactly_1(values: list[float], raters: int) -> None:
    assume(max(values) - min(values) > 1e-100)
    numbers = describe_agreement(rows(*[values] * raters, read=float), "interval")
    categories = describe_agreement(rows(*[values] * raters), "nominal")
    assert (numbers["alpha"], numbers["equal"], categories["alpha"], categories["equal"]) == (1, 1, 1, 1)
    assert {(row["meanAbsoluteDifference"], row["spearman"]) for row in numbers["pairs"]} == {(0, 1)}
    assert {(row["equal"], row["kappa"]) for row in categories["pairs"]} == {(1, 1)}


def test_opposite_raters_have_the_lowest_figures() -> None:
    assert pair(range(12), range(12)[::-1], metric="interval", read=float)["spearman"] == -1
    assert pair("ab" * 6, "ba" * 6, metric="nominal")["kappa"] == -1


@pytest.mark.parametrize("metric", ["interval", "nominal"])
def test_without_logs_that_two_raters_scored_there_are_no_figures(metric: Metric) -> None:
    for ratings in ([], [("log1", "ada", 7, "human"), ("log2", "bob", 7, "human")]):
        assert describe_agreement(ratings, metric) == {
            "metric": metric,
            "logs": 0,
            "scores": 0,
            "raters": 0,
            "fewLogs": True,
            "equal": None,
            "alpha": None,
            "pairs": [],
            "otherPairs": 0,
            "otherRaters": 0,
            "humanAgainstJudge": None,
        }


def test_without_variation_coefficients_are_unknown_but_shares_and_differences_are_not() -> None:
    tenths = describe_agreement(rows(*[[0.1] * 7] * 3, read=float), "interval")  # whose mean is not exactly 0.1
    assert (tenths["equal"], tenths["alpha"]) == (1, None)
    assert [(row["meanAbsoluteDifference"], row["spearman"]) for row in tenths["pairs"]] == [(0, None)] * 3
    good = describe_agreement(rows([True] * 7, [True] * 7, read=bool), "nominal")
    assert (good["equal"], good["alpha"], good["pairs"][0]["equal"], good["pairs"][0]["kappa"]) == (1, None, 1, None)
    # One rater who always says the same agrees by chance only
    assert pair("aaaa", "aaab", metric="nominal")["kappa"] == 0
    assert pair("1111", "1112", metric="interval", read=float)["spearman"] is None


def test_figures_from_fewer_than_10_logs_are_marked() -> None:
    nine = describe_agreement(rows(range(9), range(9), read=float), "interval")
    ten = describe_agreement(rows(range(10), range(10), [*range(9), "."], read=float), "interval")
    assert (nine["logs"], nine["fewLogs"]) == (9, True)
    assert (ten["logs"], ten["scores"], ten["raters"], ten["fewLogs"]) == (10, 29, 3, False)
    assert [(row["a"], row["b"], row["n"], row["fewLogs"]) for row in ten["pairs"]] == [
        ("rater0", "rater1", 10, False),
        ("rater0", "rater2", 9, True),
        ("rater1", "rater2", 9, True),
    ]


def test_humans_are_compared_with_judges_by_their_means() -> None:
    ratings: list[Rating] = [
        ("log1", "ada", 6.1, "human"),
        ("log1", "bob", 6.3, "human"),
        ("log1", "judge-a", 5, "judge"),
        ("log1", "judge-b", 8, "judge"),
        ("log1", "length", 0, "code"),
        ("log1", "customer", 0, "enduser"),
        ("log2", "ada", 6.2, "human"),
        ("log2", "judge-a", 6.5, "judge"),
        ("log3", "bob", 9, "human"),
        ("log3", "judge-b", 8, "judge"),
        ("log4", "ada", 1, "human"),
        ("log4", "bob", 1, "human"),
        ("log5", "judge-a", 1, "judge"),
    ]
    found = describe_agreement(ratings, "interval")["humanAgainstJudge"]
    assert found == {
        "n": 3,
        "fewLogs": True,
        "meanAbsoluteDifference": pytest.approx((0.3 + 0.3 + 1) / 3),
        "spearman": 1,  # the humans' 6.1 and 6.3 are tied with their 6.2, as the judges' 5 and 8 with their 6.5
        "tiedLogs": 0,
    }


def test_humans_are_compared_with_judges_by_their_most_frequent_category() -> None:
    def log(name: str, humans: str, judges: str) -> list[Rating]:
        return [
            *((name, f"human{n}", value, "human") for n, value in enumerate(humans)),
            *((name, f"judge{n}", value, "judge") for n, value in enumerate(judges)),
        ]

    ratings = [*log("log1", "aab", "a"), *log("log2", "b", "aac"), *log("log3", "ab", "a"), *log("log4", "bbaac", "b")]
    assert describe_agreement([*ratings, *log("log5", "b", "bbac")], "nominal")["humanAgainstJudge"] == {
        "n": 3,
        "fewLogs": True,
        "equal": pytest.approx(2 / 3),
        "kappa": pytest.approx((2 / 3 - 4 / 9) / (1 - 4 / 9)),
        "tiedLogs": 2,
    }
    assert describe_agreement(log("log3", "ab", "a"), "nominal")["humanAgainstJudge"] == {
        "n": 0,
        "fewLogs": True,
        "equal": None,
        "kappa": None,
        "tiedLogs": 1,
    }


def test_the_pairs_with_most_common_logs_are_shown_and_the_others_counted() -> None:
    raters = 16  # 120 pairs: rater n has scored the logs from n on
    found = describe_agreement(rows(*[["."] * rater + ["a"] * (30 - rater) for rater in range(raters)]), "nominal")
    assert [row["n"] for row in found["pairs"]] == sorted(
        (30 - later for later in range(raters) for _ in range(later)), reverse=True
    )[:PAIRS_MAX]
    assert (found["otherPairs"], found["otherRaters"]) == (20, 0)


def test_many_raters_form_pairs_only_among_those_who_scored_most() -> None:
    crowd = [("log1", f"customer{n:05}", n % 2 == 0, "enduser") for n in range(20_000)]
    colleagues = [(f"log{n}", rater, n % 3 == 0, "human") for n in range(1, 13) for rater in ("ada", "bob")]
    found = describe_agreement([*crowd, *colleagues], "nominal")
    assert (found["logs"], found["raters"], found["pairs"][0]["n"]) == (12, 20_002, 12)
    assert (found["pairs"][0]["a"], found["pairs"][0]["b"]) == ("ada", "bob")
    assert len(found["pairs"]) + found["otherPairs"] == RATERS_MAX * (RATERS_MAX - 1) // 2
    assert found["otherRaters"] == 20_002 - RATERS_MAX


def test_numbers_beyond_all_scales_are_left_out_and_tiny_ones_are_kept() -> None:
    normal = rows(range(10), [1, *range(1, 10)], read=float)
    huge: list[Rating] = [("log0", "eve", 1e300, "human"), ("log1", "eve", -1e308, "human")]
    assert describe_agreement([*normal, *huge], "interval") == describe_agreement(normal, "interval")
    large = describe_agreement(rows([-1e100, 1e100] * 20, [1e100] * 40, read=float), "interval")
    assert large["alpha"] is not None
    tiny = describe_agreement(rows([0, 5e-324], [0, 5e-324], read=float), "interval")
    assert (tiny["alpha"], tiny["pairs"][0]["spearman"]) == (None, 1)
