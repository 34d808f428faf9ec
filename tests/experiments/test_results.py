"""The results of experiments: summaries against known values, and the rate of false winners in simulations."""

import math
import random
import statistics
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest

from promptcrafter.experiments import results
from promptcrafter.experiments.results import Sample
from promptcrafter.statistics.intervals import sequential_interval

Draw = Callable[[random.Random], float]
RUNS, OBSERVATIONS = 60, 1000
DRAWS: dict[str, Draw] = {
    "normal": lambda source: source.gauss(5, 2),
    "skewed": lambda source: source.lognormvariate(0, 1),
    "one in twenty": lambda source: float(source.random() < 0.05),
    "one to five": lambda source: float(source.randint(1, 5)),
}


class Running:
    """A sample that grows: what `Sample` works out once, at every step."""

    def __init__(self) -> None:
        self.count, self.mean, self.squares = 0, 0.0, 0.0
        self.frequencies: Counter[float] = Counter()
        self.most = 0

    def add(self, value: float) -> None:
        """Take a value in (Welford 1962)."""
        self.count += 1
        self.frequencies[value] += 1
        self.most = max(self.most, self.frequencies[value])
        change = value - self.mean
        self.mean += change / self.count
        self.squares += change * (value - self.mean)

    @property
    def variance(self) -> float:
        return self.squares / max(1, self.count - 1)

    @property
    def has_reliable_variance(self) -> bool:
        return self.count - self.most >= 10


def sample_of(values: list[float]) -> Sample:
    sample = Sample()
    sample.values.extend(values)
    return sample


def is_ever_settled(source: random.Random, draw: Draw, share: float, lift: float = 0) -> bool:
    """Tell whether the difference counts as settled after any observation of one run."""
    first, second = Running(), Running()
    for _ in range(OBSERVATIONS):
        into_first = source.random() < share
        (first if into_first else second).add(draw(source) + (0 if into_first else lift))
        both: Any = (second, first)
        if min(first.count, second.count) and results.compare("B", both[0], "A", both[1], 1)["settled"]:
            return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.5, 0.9])
@pytest.mark.parametrize("name", DRAWS)
def test_peeking_after_every_observation_rarely_finds_a_winner_among_equals(name: str, share: float) -> None:
    source = random.Random(f"{name} {share}")
    winners = sum(is_ever_settled(source, DRAWS[name], share) for _ in range(RUNS))
    assert winners / RUNS <= results.ALPHA


def test_a_fixed_sample_t_test_would_have_failed_the_same_simulation() -> None:
    source = random.Random(1)
    winners = 0
    for _ in range(RUNS):
        first, second = Running(), Running()
        for _ in range(OBSERVATIONS // 2):
            first.add(source.gauss(5, 2))
            second.add(source.gauss(5, 2))
            error = math.sqrt((first.variance + second.variance) / first.count)
            if first.count > 10 and abs(first.mean - second.mean) > 1.98 * error:
                winners += 1
                break
    assert winners / RUNS > 0.25


def test_scores_that_arrive_late_and_change_rarely_make_a_winner_among_equals() -> None:
    """Each output gets a score from 0 to 10, most often 8; a second rater makes a mean of it, and a third changes."""
    source = random.Random(5)
    values = range(11)

    def draw() -> float:
        return float(source.choices(values, (1, 1, 1, 2, 3, 5, 9, 14, 40, 14, 10))[0])

    winners = 0
    for _ in range(RUNS):
        variants: tuple[list[float], list[float]] = [], []
        for count in range(1, 401):
            for scores in variants:
                scores.append(draw())
                place = source.randrange(len(scores))
                scores[place] = (scores[place] + draw()) / 2 if count % 2 else draw()
            if count % 10 == 0:
                first, second = map(sample_of, variants)
                if results.compare("B", second, "A", first, 1)["settled"]:
                    winners += 1
                    break
    assert winners / RUNS <= results.ALPHA


@pytest.mark.parametrize(("share", "least"), [(0.5, 0.95), (0.8, 0.8)])
def test_a_planted_difference_is_found(share: float, least: float) -> None:
    source = random.Random(2)
    found = sum(is_ever_settled(source, lambda of: of.gauss(5, 2), share, lift=0.8) for _ in range(50))
    assert found / 50 >= least


@pytest.mark.parametrize(
    ("draw", "truth"), [(DRAWS["normal"], 5), (DRAWS["one in twenty"], 0.05), (DRAWS["one to five"], 3)]
)
def test_intervals_of_means_contain_the_true_value_at_every_look(draw: Draw, truth: float) -> None:
    source = random.Random(3)
    misses = 0
    for _ in range(100):
        sample: Any = Running()
        for _ in range(500):
            sample.add(draw(source))
            if not sample.has_reliable_variance:
                continue
            parts = sample.variance / sample.count, sample.count - 1, sample.count
            interval = sequential_interval(sample.mean, *parts, results.ALPHA)
            if interval and not interval[0] <= truth <= interval[1]:
                misses += 1
                break
    assert misses / 100 <= results.ALPHA


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_intervals_of_differences_contain_the_true_value_at_every_look_although_variances_differ(share: float) -> None:
    source = random.Random(4)
    misses = 0
    for _ in range(100):
        samples: Any = Running(), Running()
        for _ in range(OBSERVATIONS):
            into_second = source.random() >= share
            samples[into_second].add(float(source.random() < (0.05 if into_second else 0.2)))
            if min(sample.count for sample in samples) == 0:
                continue
            interval = results.compare("B", samples[1], "A", samples[0], 1)["interval95"]
            if interval and not interval[0] <= -0.15 <= interval[1]:
                misses += 1
                break
    assert misses / 100 <= results.ALPHA


def test_the_interval_ends_where_the_likelihood_ratio_reaches_one_in_alpha() -> None:
    sample = sample_of([1.5, 2.5, 2.0, 4.0, 3.0, 3.5, 1.0, 2.2] * 12)
    summary = results.summarize(sample)
    (low, high), n = summary["interval95"], sample.count
    assert (low + high) / 2 == pytest.approx(sample.mean)
    ratio, degrees = 1 + n * 0.2**2, n - 1
    squared_t = (high - sample.mean) ** 2 / (sample.variance / n)
    x = squared_t / degrees
    likelihood_ratio = ratio**-0.5 * ((1 + x) / (1 + x / ratio)) ** ((degrees + 1) / 2)
    assert likelihood_ratio == pytest.approx(1 / results.ALPHA)


def test_intervals_narrow_and_comparisons_share_the_error() -> None:
    values = [float(number % 7) for number in range(20_000)]
    widths = [
        high - low
        for size in (50, 500, 5_000, 20_000)
        for low, high in [results.summarize(sample_of(values[:size]))["interval95"]]
    ]
    assert all(later < earlier for earlier, later in pairwise(widths))
    one, four = (
        results.compare("B", sample_of(values[:500]), "A", sample_of(values[7:400]), pairs)["interval95"]
        for pairs in (1, 4)
    )
    assert four[0] < one[0] < one[1] < four[1]


def test_a_summary_gives_the_usual_figures() -> None:
    values = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0]
    summary = results.summarize(sample_of(values))
    assert summary["count"] == 8
    assert summary["mean"] == statistics.mean(values)
    assert summary["stddev"] == pytest.approx(statistics.stdev(values))
    assert (summary["min"], summary["median"], summary["max"]) == (1, 3.5, 9)
    assert summary["p95"] == pytest.approx(statistics.quantiles(values, n=20, method="inclusive")[-1])


@pytest.mark.parametrize("values", [[7.0], [7.0, 7.0], [1.0, 2.0, 3.0]])
def test_too_few_values_have_no_interval_and_no_verdict(values: list[float]) -> None:
    summary = results.summarize(sample_of(values))
    assert summary["interval95"] is None
    assert (summary["stddev"] is None) is (len(values) == 1)
    compared = results.compare("B", sample_of(values), "A", sample_of([100.0, 101.0]), 1)
    assert (compared["settled"], compared["verdict"], compared["interval95"]) == (False, "not enough data yet", None)


@pytest.mark.parametrize(
    ("values", "baseline"),
    [
        ([2.0] * 50, [1.0] * 50),
        ([0.0] * 160, [1.0]),
        ([0.0] * 160, [1.0] * 9 + [0.0] * 151),
        ([1e-170, 2e-170] * 50,) * 2,
    ],
)
def test_values_that_hardly_vary_have_no_verdict(values: list[float], baseline: list[float]) -> None:
    compared = results.compare("B", sample_of(values), "A", sample_of(baseline), 1)
    assert (compared["settled"], compared["verdict"], compared["interval95"]) == (False, "not enough data yet", None)
    assert results.summarize(sample_of(values))["interval95"] is None


@pytest.mark.parametrize("scale", [1e-90, 1e-150, 1, 1e90, 1e149])
def test_scaling_a_metric_scales_its_intervals_and_keeps_the_verdict(scale: float) -> None:
    first, second = ([scale * (number % 7 + more) for number in range(400)] for more in (0, 2))
    shown = results.evaluate(
        [("A", 1), ("B", 1)], [("A", {"m": value}) for value in first] + [("B", {"m": value}) for value in second]
    )
    difference = shown["comparisons"][0]["metrics"]["m"]
    assert difference["settled"]
    assert difference["difference"] == pytest.approx(2 * scale)
    assert [end / scale for end in difference["interval95"]] == pytest.approx([1.568, 2.432], abs=0.01)


def test_values_that_are_not_finite_numbers_are_left_out_and_large_ones_do_not_fail() -> None:
    metrics = {"a": True, "b": "7", "c": None, "d": [1], "e": {"f": 1}, "g": 1e200, "h": 10**400, "i": 1e149, "j": -3}
    counts, samples, _ = results.collect([("A", metrics), ("A", None), ("A", {"i": -1e149})])
    assert counts == {"A": 3}
    assert {name: list(sample.values) for name, sample in samples["A"].items()} == {"i": [1e149, -1e149], "j": [-3.0]}
    assert all(map(math.isfinite, _numbers(results.evaluate([("A", 1)], [("A", metrics), ("A", {"i": -1e149})]))))


@pytest.mark.parametrize("size", [1e-150, 3e-160, 1e-161, 1e-165, 5e-324])
def test_values_whose_squares_are_hardly_numbers_do_not_fail(size: float) -> None:
    measurements = [(key, {"m": value + size * (key == "B")}) for key in "AB" for value in [0.0, size] * 20]
    shown = results.evaluate([("A", 1), ("B", 1)], measurements, with_growth=True)
    assert all(map(math.isfinite, _numbers({**shown, "trace": shown["trace"]("B", "m")})))
    difference = shown["comparisons"][0]["metrics"]["m"]
    assert (difference["settled"], difference["needed"]) == (size == 1e-150, None)


@pytest.mark.parametrize("share", [1, 3])
def test_what_is_needed_is_where_the_same_values_again_and_again_are_settled(share: int) -> None:
    first, second = [5.0, 6.0, 7.0, 8.0, 4.0, 5.0] * 2, [8.0, 7.0, 9.0, 7.0, 6.0, 9.0] * 2 * share

    def look(times: int) -> dict[str, Any]:
        measurements = [("A", {"m": value}) for value in first * times] + [
            ("B", {"m": value}) for value in second * times
        ]
        found: dict[str, Any] = results.evaluate([("A", 1), ("B", 1)], measurements)["comparisons"][0]["metrics"]["m"]
        return found

    looks = {times: look(times) for times in range(1, 12)}
    once, enough = looks[1], min(times for times, each in looks.items() if each["settled"])
    assert enough > 1
    assert once["n"] == len(first) + len(second)
    assert (enough - 1) * once["n"] < once["needed"] <= enough * once["n"] * 1.02
    assert all((each["needed"] is None) is each["settled"] for each in looks.values())
    assert all(each["needed"] > each["n"] for times, each in looks.items() if times < enough)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([5.0, 7.0] * 3, [6.0] * 6),  # equal means
        ([5.0, 7.0], [8.0, 9.0]),
        ([5.0] * 6, [6.0] * 6),  # no spread
        ([0.1 + 0.7] * 11, [3.3] * 11),  # none but that of a rounded mean
        ([5.0, 9.0] * 300, [5.0, 9.01] * 300),  # more than 100,000
        ([1e150, -1e150] * 5, [1e-150, 2e-150] * 5),
    ],
)
def test_nothing_is_needed_where_no_number_of_values_tells_or_too_few_are_known(
    first: list[float], second: list[float]
) -> None:
    measurements = [("A", {"m": value}) for value in first] + [("B", {"m": value}) for value in second]
    found = results.evaluate([("A", 1), ("B", 1)], measurements)["comparisons"][0]["metrics"]["m"]
    assert (found["settled"], found["needed"]) == (False, None)


def test_the_first_metrics_are_evaluated_and_the_others_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "METRICS_MAX", 2)
    monkeypatch.setattr(results, "OTHERS_MAX", 3)
    measurements: list[tuple[str, dict[str, Any]]] = [("A", {"text": "x", "first": 1, "second": 2, "third": 3})]
    measurements += [("B", {"second": 5, "third": 6, "kept": 7})]

    def names_of(shown: dict[str, Any]) -> list[set[str]]:
        return [set(variant["metrics"]) for variant in shown["variants"]]

    shares = [("A", 1), ("B", 1)]
    shown = results.evaluate(shares, measurements)
    assert (names_of(shown), shown["other_metrics"]) == ([{"first", "second"}, {"second"}], 2)
    shown = results.evaluate(shares, measurements, kept_metric="kept")
    assert (names_of(shown), shown["other_metrics"]) == ([{"first", "second"}, {"second", "kept"}], 1)
    measurements += [("A", {f"latency_{number}": number}) for number in range(9)]
    shown = results.evaluate(shares, measurements)
    assert (names_of(shown), shown["other_metrics"]) == ([{"first", "second"}, {"second"}], 3), "counted up to 3"


@pytest.mark.parametrize("size", [1, 5, 23, 24, 25, 1000])
def test_the_growth_of_a_comparison_is_what_it_was_after_the_first_measurements(size: int) -> None:
    source = random.Random(7)
    measurements = [
        ("AB"[number % 2], {"m": source.gauss(5 + number % 2, 1), **({"late": 1} if number > 20 else {})})
        for number in range(size)
    ]
    shown = results.evaluate([("A", 1), ("B", 1)], measurements, with_growth=True)
    assert shown["comparisons"] == results.evaluate([("A", 1), ("B", 1)], measurements)["comparisons"]
    if size == 1:
        return
    traced = shown["trace"]("B", "m")
    counts = [count for count, _ in traced]
    assert counts == sorted(set(counts))
    assert counts[-1] == size
    assert len(traced) <= 25
    for count, found in traced:
        (then,) = results.evaluate([("A", 1), ("B", 1)], measurements[:count])["comparisons"]
        expected = then["metrics"]["m"]
        assert found["difference"] == pytest.approx(expected["difference"])
        assert (found["interval95"] is None) is (expected["interval95"] is None)
        assert found["interval95"] is None or found["interval95"] == pytest.approx(expected["interval95"])
    assert size <= 23 or shown["trace"]("B", "late")[0][0] > 20, "nothing is shown of the time before the first value"


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _numbers(item)
    elif isinstance(value, int | float):
        yield value
