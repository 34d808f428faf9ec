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
from collections.abc import Iterable, Sequence
from functools import cached_property
from statistics import fmean
from typing import Any

from promptcrafter.statistics.intervals import (
    MIN_NON_MODAL_VALUES,
    percentile,
    sequential_difference_interval,
    sequential_interval,
)

ALPHA = 0.05
_LARGEST = 1e150  # the square of a larger number may not be finite
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
        """Whether the variance is above 0 and enough values differ from the mode to rely on it."""
        return self.variance > 0 and self.count - max(Counter(self.values).values()) >= MIN_NON_MODAL_VALUES


def collect(measurements: Measurements) -> tuple[dict[str, int], dict[str, dict[str, Sample]]]:
    """Return the number of measurements by variant, and the samples by variant and metric.

    Booleans, values that are not numbers, and numbers beyond ±1e150 are left out of the samples.
    """
    counts: dict[str, int] = {}
    samples: dict[str, dict[str, Sample]] = {}
    for key, metrics in measurements:
        counts[key] = counts.get(key, 0) + 1
        variant_samples = samples.setdefault(key, {})
        for name, value in (metrics or {}).items():
            if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST:
                variant_samples.setdefault(name, Sample()).values.append(value)
    return counts, samples


def evaluate(shares: Sequence[tuple[str, int]], measurements: Measurements) -> dict[str, Any]:
    """Return the results of an experiment: `method`, `variants` and `comparisons`, in the shape of ResultsOut.

    `shares` has a pair of key and share for each variant, in order. Every other variant is compared with the first.
    """
    counts, samples = collect(measurements)
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
                name: compare(key, sample, keys[0], samples[keys[0]][name], len(keys) - 1)
                for name, sample in sorted(samples.get(key, {}).items())
                if name in samples.get(keys[0], {})
            },
        }
        for key in keys[1:]
    ]
    return {"method": METHOD, "variants": variants, "comparisons": comparisons}


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


def compare(key: str, sample: Sample, baseline_key: str, baseline: Sample, comparisons: int) -> dict[str, Any]:
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
