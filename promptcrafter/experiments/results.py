"""What an experiment has shown: a summary of each metric, and which differences are settled. Pure functions.

The intervals hold at every look, however often somebody looks: they are those of the mixture sequential t-test (see
`promptcrafter.statistics.intervals`, which has the formulas and their sources).

The error is at most alpha for normal values of equal variance, and asymptotically so for others, while shares and
variants stay as they are; of strongly skewed values the interval of a single mean is an approximation
(docs/decisions/0010). Variances may differ: the standard error of a difference is the larger of Welch's and the pooled
one. By Welch's alone, rare events under uneven shares made false winners of a quarter of all runs.
"""

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from statistics import fmean
from typing import Any

from promptcrafter.statistics.intervals import (
    percentile,
    pooled_squared_error,
    sequential_interval,
    welch_satterthwaite_degrees,
    welch_squared_error,
)

ALPHA = 0.05
_LARGEST = 1e150  # the square of a larger number may not be finite
# Values besides the most frequent one, below which a sample tells too little of its variance: the usual demand on
# counts of rare events
_LEAST_VARIED = 10
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
Measurements = Iterable[Sequence[Any]]  # pairs of a variant's key and its metrics, which may be None


class Sample:
    """The values of one metric under one variant; complete before anything is asked of them."""

    def __init__(self) -> None:
        self.values = array("d")

    @cached_property
    def count(self) -> int:
        """How many values there are."""
        return len(self.values)

    @cached_property
    def mean(self) -> float:
        """Their mean."""
        return fmean(self.values)

    @cached_property
    def variance(self) -> float:
        """Their sample variance, with n - 1 in the denominator; 0 for a single one."""
        mean = self.mean
        return math.fsum((value - mean) ** 2 for value in self.values) / max(1, self.count - 1)

    @cached_property
    def is_varied(self) -> bool:
        """Whether they differ enough for their variance to be believed."""
        return self.variance > 0 and self.count - max(Counter(self.values).values()) >= _LEAST_VARIED


def collect(measurements: Measurements) -> tuple[dict[str, int], dict[str, dict[str, Sample]]]:
    """Sort measurements into counts by variant and samples by variant and metric.

    What is no finite number within 10^150, booleans included, is left out.
    """
    counts: dict[str, int] = {}
    samples: dict[str, dict[str, Sample]] = {}
    for key, metrics in measurements:
        counts[key] = counts.get(key, 0) + 1
        of_variant = samples.setdefault(key, {})
        for name, value in (metrics or {}).items():
            if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST:
                of_variant.setdefault(name, Sample()).values.append(value)
    return counts, samples


def evaluate(shares: Sequence[tuple[str, int]], measurements: Measurements) -> dict[str, Any]:
    """Return method, summary by variant and comparison of every variant with the first.

    `shares` are the variants' keys and shares in order.
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

    Percentiles interpolate between neighbours (type 7 of Hyndman and Fan, as PostgreSQL's percentile_cont).
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
        if sample.is_varied
        else None,
    }


def compare(key: str, sample: Sample, baseline_key: str, baseline: Sample, pairs: int) -> dict[str, Any]:
    """Return the difference of a variant's mean from the baseline's, its interval, and whether it is settled.

    `pairs` is the number of comparisons that share the error (Bonferroni).
    """
    difference = sample.mean - baseline.mean
    counts = sample.count, baseline.count
    variances = sample.variance, baseline.variance
    interval = None
    if sample.is_varied and baseline.is_varied:
        squared_error = max(welch_squared_error(variances, counts), pooled_squared_error(variances, counts))
        effective = counts[0] * counts[1] / sum(counts)
        degrees = welch_satterthwaite_degrees(variances, counts)
        interval = sequential_interval(difference, squared_error, degrees, effective, ALPHA / pairs)
    settled = interval is not None and not interval[0] <= 0 <= interval[1]
    higher, lower = (key, baseline_key) if difference > 0 else (baseline_key, key)
    return {
        "difference": difference,
        "interval95": interval,
        "settled": settled,
        "verdict": f"{higher} is higher than {lower}" if settled else NOT_ENOUGH,
    }
