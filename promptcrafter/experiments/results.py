"""Results of experiments: a summary of each metric, and which differences are statistically settled. Pure functions.

The intervals are always valid: their error probability covers all looks together, however often results are read. They
are those of the mixture sequential t-test (see `promptcrafter.statistics.intervals` for formulas and sources).

The error probability is at most alpha for normally distributed values of equal variance, and asymptotically for others,
as long as variants and shares do not change. For strongly skewed values the interval of a single mean is an
approximation (docs/decisions/0010).
"""

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, partial
from statistics import fmean
from typing import Any, NamedTuple

from promptcrafter.statistics.intervals import (
    MIN_NON_MODAL_VALUES,
    percentile,
    sequential_difference_interval,
    sequential_interval,
)
from promptcrafter.statistics.sample_sizes import estimate_for_difference

ALPHA = 0.05
METRICS_MAX = 200  # names of metrics in the results, each of which has a sample in every variant
OTHERS_MAX = 10_000  # up to which the names of further metrics are counted
_POINTS_MAX = 24  # at which the growth of results is traced
_LARGEST = 1e150  # the square of a larger number may not be finite
_LEAST_VARIANCE = 1e-305  # a smaller one counts as 0, as it does when it is divided by a number of values
NOT_ENOUGH = "not enough data yet"
METHOD = {
    "name": "mixture sequential t-test",
    "alpha": ALPHA,
    "description": (
        "Always-valid 95 % intervals: they may be looked at after every result. For each metric, the chance that any "
        "variant is ever called different from the first although none is, is at most 5 %. The intervals of single "
        "means are approximate for strongly skewed metrics."
    ),
}
Measurements = Iterable[Sequence[Any]]  # pairs of a variant's key and a dict of metrics, or None for no metrics


class Sample:
    """The values of one metric under one variant.

    The properties are cached: add all values to `values` before reading any of them.
    """

    def __init__(self) -> None:
        self.values = array("d")

    @cached_property
    def count(self) -> int:
        """The number of values."""
        return len(self.values)

    @cached_property
    def mean(self) -> float:
        """The arithmetic mean of the values."""
        return fmean(self.values)

    @cached_property
    def variance(self) -> float:
        """The sample variance, with n - 1 in the denominator; 0 for a single value."""
        mean = self.mean
        return math.fsum((value - mean) ** 2 for value in self.values) / max(1, self.count - 1)

    @cached_property
    def has_reliable_variance(self) -> bool:
        """Whether there is a variance, and enough values differ from the mode to rely on it."""
        return self.variance > _LEAST_VARIANCE and self._non_modal_count >= MIN_NON_MODAL_VALUES

    @property
    def factor_to_reliable_variance(self) -> float:
        """How many times as many values of the same shares have a reliable variance; infinite if none ever do."""
        if self.variance <= _LEAST_VARIANCE or not self._non_modal_count:  # the mean of equal values may be rounded
            return math.inf
        return max(1.0, MIN_NON_MODAL_VALUES / self._non_modal_count)

    @cached_property
    def _non_modal_count(self) -> int:
        return self.count - max(Counter(self.values).values())


class Collected(NamedTuple):
    """The measurements of an experiment, by variant."""

    counts: dict[str, int]  # of measurements
    samples: dict[str, dict[str, Sample]]  # by variant and metric
    other_metrics: int  # the number of metrics that are left out of the samples, counted up to `OTHERS_MAX`


def collect(measurements: Measurements, growth: "Growth | None" = None, kept_metric: str | None = None) -> Collected:
    """Return the number of measurements by variant, and the samples of the first `METRICS_MAX` metrics.

    Names such as `latency_<request id>` would make a metric of each measurement. `kept_metric` has a sample in any
    case, beside the others. Booleans, values that are not numbers, and numbers beyond ±1e150 are left out of the
    samples. `growth` notes their sizes after some of the measurements.
    """
    counts: dict[str, int] = {}
    samples: dict[str, dict[str, Sample]] = {}
    names: set[str] = set()
    others: set[int] = set()  # hashes of names, which may be long
    for number, (key, metrics) in enumerate(measurements, 1):
        counts[key] = counts.get(key, 0) + 1
        variant_samples = samples.setdefault(key, {})
        for name, value in (metrics or {}).items():
            if not isinstance(value, int | float) or isinstance(value, bool) or abs(value) > _LARGEST:
                continue
            if name != kept_metric and name not in names:
                if len(names) >= METRICS_MAX:
                    if len(others) < OTHERS_MAX:
                        others.add(hash(name))
                    continue
                names.add(name)
            variant_samples.setdefault(name, Sample()).values.append(value)
        if growth is not None:
            growth.note(number, samples)
    if growth is not None:
        growth.close(samples)
    return Collected(counts, samples, len(others))


class _Running:
    """The first values of a sample, as many as it has grown to: mean and variance are merged (Chan et al., 1979)."""

    def __init__(self, values: "array[float]") -> None:
        self._values = values
        self._squares = 0.0  # the sum of squared deviations from the mean
        self._modes: Counter[float] = Counter()
        self.count, self.mean = 0, 0.0

    def grow(self, size: int) -> None:
        """Take the values up to this size, which is not less than that before."""
        some = self._values[self.count : size]
        if not some:
            return
        mean = fmean(some)
        total, change = self.count + len(some), mean - self.mean
        self._squares += math.fsum((value - mean) ** 2 for value in some) + change**2 * self.count * len(some) / total
        self.mean += change * len(some) / total
        self.count = total
        self._modes.update(some)

    @property
    def variance(self) -> float:
        """The sample variance; 0 for a single value."""
        return self._squares / max(1, self.count - 1)

    @property
    def has_reliable_variance(self) -> bool:
        """Whether there is a variance, and enough values differ from the mode to rely on it."""
        return self.variance > _LEAST_VARIANCE and self.count - max(self._modes.values()) >= MIN_NON_MODAL_VALUES


class Growth:
    """How many values each sample had after some of the measurements, of which there are never many.

    Each second one is dropped, and only each second further one noted, when there are too many.
    """

    def __init__(self) -> None:
        self.points: list[tuple[int, dict[tuple[str, str], int]]] = []  # (measurements, sizes by variant and metric)
        self._step, self._last = 1, 0

    def note(self, number: int, samples: Mapping[str, Mapping[str, Sample]]) -> None:
        """Note the sizes of the samples after `number` measurements, if this is one of the steps."""
        self._last = number
        if number % self._step == 0:
            self._add(number, samples)
            if len(self.points) >= _POINTS_MAX:
                self._step *= 2
                self.points = [point for point in self.points if point[0] % self._step == 0]

    def close(self, samples: Mapping[str, Mapping[str, Sample]]) -> None:
        """Note the sizes after the last measurement."""
        if self._last and (not self.points or self.points[-1][0] != self._last):
            self._add(self._last, samples)

    def trace(
        self, samples: Mapping[str, Mapping[str, Sample]], baseline: str, comparisons: int, key: str, name: str
    ) -> list[tuple[int, dict[str, Any]]]:
        """Return what the comparison of a variant with the baseline in a metric was, and after how many measurements.

        It is left out where one of the two had no value yet.
        """
        running = {each: _Running(samples[each][name].values) for each in (baseline, key)}
        traced = []
        for number, sizes in self.points:
            for each, sample in running.items():
                sample.grow(sizes.get((each, name), 0))
            if running[key].count and running[baseline].count:
                traced.append((number, compare(key, running[key], baseline, running[baseline], comparisons)))
        return traced

    def _add(self, number: int, samples: Mapping[str, Mapping[str, Sample]]) -> None:
        sizes = {
            (key, name): len(sample.values) for key, by_name in samples.items() for name, sample in by_name.items()
        }
        self.points.append((number, sizes))


def evaluate(
    shares: Sequence[tuple[str, int]],
    measurements: Measurements,
    *,
    kept_metric: str | None = None,
    with_growth: bool = False,
) -> dict[str, Any]:
    """Return the results: `method`, `variants`, `comparisons` and `other_metrics`, in the shape of ResultsOut.

    `shares` has a pair of key and share for each variant, in order. Every other variant is compared with the first. Of
    many metrics, the first ones are shown, and `kept_metric` in any case.

    With `with_growth` there is also `trace`, a function of the key of a variant and the name of a metric that returns
    what their comparison was after some of the measurements; see `Growth.trace`.
    """
    growth = Growth() if with_growth else None
    counts, samples, other_metrics = collect(measurements, growth, kept_metric)
    total = sum(share for _, share in shares)
    variants = [
        {
            "key": key,
            "share": share / total if total else None,
            "count": counts.get(key, 0),
            "metrics": {name: summarize(sample) for name, sample in sorted(samples.get(key, {}).items())},
        }
        for key, share in shares
    ]
    keys = [key for key, _ in shares]
    comparisons = [
        {
            "baseline": keys[0],
            "variant": key,
            "metrics": {
                name: _compare_and_estimate(key, sample, keys[0], samples[keys[0]][name], len(keys) - 1)
                for name, sample in sorted(samples.get(key, {}).items())
                if name in samples.get(keys[0], {})
            },
        }
        for key in keys[1:]
    ]
    found = {"method": METHOD, "variants": variants, "comparisons": comparisons, "other_metrics": other_metrics}
    if growth is None:
        return found
    return {**found, "trace": partial(growth.trace, samples, keys[0], len(keys) - 1)}


def summarize(sample: Sample) -> dict[str, Any]:
    """Return count, mean, standard deviation, minimum, median, 95th percentile, maximum and interval of the mean.

    The interval is None unless the variance of the sample is reliable, and while the interval is unbounded.
    """
    ordered = sorted(sample.values)
    variance = sample.variance
    return {
        "count": sample.count,
        "mean": sample.mean,
        "stddev": math.sqrt(variance) if sample.count > 1 else None,
        "min": ordered[0],
        "median": percentile(ordered, 0.5),
        "p95": percentile(ordered, 0.95),
        "max": ordered[-1],
        "interval95": sequential_interval(sample.mean, variance / sample.count, sample.count - 1, sample.count, ALPHA)
        if sample.has_reliable_variance
        else None,
    }


def _compare_and_estimate(
    key: str, sample: Sample, baseline_key: str, baseline: Sample, comparisons: int
) -> dict[str, Any]:
    """Return what `compare` returns, with `n`, the number of values of both, and `needed`.

    `needed` is about how many values both must have together until the difference is settled, if everything stays as it
    is; None if it is settled, or there is no estimate: see `sample_sizes`.
    """
    found, needed = compare(key, sample, baseline_key, baseline, comparisons), None
    if not found["settled"]:
        needed = estimate_for_difference(
            found["difference"],
            (sample.variance, baseline.variance),
            (sample.count, baseline.count),
            ALPHA / comparisons,
            max(sample.factor_to_reliable_variance, baseline.factor_to_reliable_variance),
        )
    return {**found, "n": sample.count + baseline.count, "needed": needed}


def compare(
    key: str, sample: "Sample | _Running", baseline_key: str, baseline: "Sample | _Running", comparisons: int
) -> dict[str, Any]:
    """Return the difference of a variant's mean from the baseline's, its interval, and whether it is settled.

    It is settled if the interval excludes 0. `comparisons` is the number of comparisons that share the error
    probability (Bonferroni correction).
    """
    difference = sample.mean - baseline.mean
    interval = None
    if sample.has_reliable_variance and baseline.has_reliable_variance:
        variances, counts = (sample.variance, baseline.variance), (sample.count, baseline.count)
        interval = sequential_difference_interval(difference, variances, counts, ALPHA / comparisons)
    settled = interval is not None and not interval[0] <= 0 <= interval[1]
    higher, lower = (key, baseline_key) if difference > 0 else (baseline_key, key)
    return {
        "difference": difference,
        "interval95": interval,
        "settled": settled,
        "verdict": f"{higher} is higher than {lower}" if settled else NOT_ENOUGH,
    }
