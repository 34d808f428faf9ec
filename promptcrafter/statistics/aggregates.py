"""Groups of logs from cells, and what an answer says of them. Pure functions."""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import product
from typing import Any, NamedTuple

from promptcrafter.statistics import periods
from promptcrafter.statistics.cells import Cell, Sum, to_samples
from promptcrafter.statistics.comparisons import MAX_GROUPS
from promptcrafter.statistics.intervals import Interval, student_t_interval
from promptcrafter.statistics.keys import METADATA, UNITS
from promptcrafter.statistics.samples import GroupSample

# Inputs of a group that are compared: of two groups, of many, and pairs of inputs of all groups together in between
_INPUTS_MAX, _INPUTS_MIN, _PAIRS_MAX = 5000, 500, 5000
_PERCENTS = (0.5, 0.95)
_TIME_SERIES_PERIODS = 40  # of a time series; of months there may be more


class Slot(NamedTuple):
    """What the logs of a cell have in common."""

    day: date
    version: int | None
    model: str | None
    prompt: str | None
    others: tuple[Any, ...] = ()  # the values of further keys: see `store.OTHERS`


@dataclass(slots=True)
class Group:
    """The logs that have the same values of the keys, in the order of the keys."""

    values: tuple[Any, ...]
    cell: Cell = field(default_factory=Cell)
    weeks: Counter[str] = field(default_factory=Counter)  # -> logs with a value, as are these
    models: Counter[str] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class TimeSeries:
    """The values of groups over time: for each group, the number of values and their sum in each period."""

    unit: str  # see `periods`
    first: date
    last: date
    groups: Mapping[tuple[Any, ...], Mapping[str, tuple[int, float]]]

    @property
    def periods(self) -> list[str]:
        """The names of all periods, in order."""
        return list(periods.each_name(self.unit, self.first, self.last))


def gather(
    cells: Iterable[tuple[Slot, Cell]],
    keys: Sequence[str],
    others: Sequence[str] = (),
    labels: Mapping[tuple[str | None, int | None], Sequence[str]] | None = None,
) -> list[Group]:
    """Merge cells into groups.

    `others` has the keys whose values are the others of a slot, and `labels` the names of the labels that are on a
    version of a prompt. A log whose version has several labels is in the group of each.
    """
    groups: dict[tuple[Any, ...], Group] = {}
    for slot, cell in cells:
        scored = cell.scored
        for values in product(*(_values_of(slot, key, others, labels or {}) for key in keys)):
            group = groups.get(values)
            if group is None:
                group = groups[values] = Group(values)
            group.cell.merge(cell)
            if scored:
                group.weeks[periods.name_of("week", slot.day)] += scored
                group.models[slot.model or ""] += scored
                group.versions[f"{slot.prompt or ''} {slot.version}"] += scored
    return list(groups.values())


def to_time_series(
    cells: Sequence[tuple[Slot, Cell]],
    keys: Sequence[str],
    others: Sequence[str] = (),
    labels: Mapping[tuple[str | None, int | None], Sequence[str]] | None = None,
) -> TimeSeries:
    """Return the values over time of what `gather` returns, by the shortest periods that are few enough."""
    scored = [(slot, cell) for slot, cell in cells if cell.values]
    first, last = (end((slot.day for slot, _ in scored), default=date.min) for end in (min, max))
    unit = next((each for each in UNITS if periods.count_periods(each, first, last) <= _TIME_SERIES_PERIODS), UNITS[-1])
    groups: dict[tuple[Any, ...], dict[str, tuple[int, float]]] = {}
    for slot, cell in scored:
        count, total = cell.scored, math.fsum(_repeated(cell.values))
        name = periods.name_of(unit, slot.day)
        for values in product(*(_values_of(slot, key, others, labels or {}) for key in keys)):
            of_group = groups.setdefault(values, {})
            known = of_group.get(name, (0, 0.0))
            of_group[name] = known[0] + count, known[1] + total
    return TimeSeries(unit, first, last, groups)


def fill_periods(groups: Sequence[Group], keys: Sequence[str], days: Collection[date]) -> Iterator[Group]:
    """Yield the groups and empty ones for each period without logs between the first and the last of the days.

    `keys` has one of `UNITS`.
    """
    place = next(place for place, key in enumerate(keys) if key in UNITS)
    known = {group.values: group for group in groups}
    rest = list(dict.fromkeys(group.values[:place] + group.values[place + 1 :] for group in groups))
    for name in periods.each_name(keys[place], min(days), max(days)):
        for other in rest:
            values = (*other[:place], name, *other[place:])
            yield known.get(values) or Group(values)


def describe(
    groups: Iterable[Group], keys: Sequence[str], log_ids: Mapping[int, str], bounds: Interval | None
) -> list[dict[str, Any]]:
    """Return a dict in the shape of GroupOut for each group, and with the number of logs that have each value.

    They are in descending order of mean score. Unknown values are None. Groups without a score come last. Groups with
    equal means are sorted by descending number of logs, then by their keys. Periods come before all of that, in order.
    """
    described = [(group.values, _describe(group, keys, log_ids, bounds)) for group in groups]
    times = [place for place, key in enumerate(keys) if key in UNITS]
    return [group for _, group in sorted(described, key=lambda pair: _sort_key(pair[0], pair[1], times))]


def to_group_samples(groups: Sequence[Group], keys: Sequence[str]) -> list[GroupSample]:
    """Return what is compared of groups: of periods not the inputs, since nothing is ever settled between them."""
    number = min(len(groups), MAX_GROUPS)
    inputs_max = min(_INPUTS_MAX, max(_INPUTS_MIN, 2 * _PAIRS_MAX // max(1, number * (number - 1))))
    if not set(UNITS).isdisjoint(keys):
        inputs_max = 0
    return to_samples(
        (
            (
                GroupSample(
                    name_group(group.values, keys),
                    weeks=dict(group.weeks),
                    models=dict(group.models),
                    versions=dict(group.versions),
                ),
                group.cell,
            )
            for group in groups
        ),
        inputs_max,
    )


def name_group(values: Sequence[Any], keys: Sequence[str]) -> dict[str, Any]:
    """Return the values of a group by their keys; those of metadata as an object."""
    named: dict[str, Any] = {}
    for key, value in zip(keys, values, strict=True):
        if key.startswith(METADATA):
            named.setdefault("metadata", {})[key.removeprefix(METADATA)] = value
        else:
            named[key] = value
    return named


def _values_of(
    slot: Slot, key: str, others: Sequence[str], labels: Mapping[tuple[str | None, int | None], Sequence[str]]
) -> Sequence[Any]:
    if key in UNITS:
        return (periods.name_of(key, slot.day),)
    if key == "label":
        return labels.get((slot.prompt, slot.version)) or (None,)
    if key in others:
        return (slot.others[others.index(key)],)
    return (getattr(slot, key) or None,)


def _describe(group: Group, keys: Sequence[str], log_ids: Mapping[int, str], bounds: Interval | None) -> dict[str, Any]:
    cell = group.cell
    half, most = cell.percentiles(_PERCENTS)
    return {
        **name_group(group.values, keys),
        "count": cell.logs,
        "score": _describe_scores(cell.values, bounds),
        "latencyMs": {"count": cell.timed, "p50": half, "p95": most},
        "cost": _describe_sum(cell.cost),
        "tokens": {"input": _describe_sum(cell.input), "output": _describe_sum(cell.output)},
        "bestLogId": log_ids.get(cell.best[1]) if cell.best else None,
        "worstLogId": log_ids.get(cell.worst[1]) if cell.worst else None,
        "failed": cell.failed,
        "ratings": cell.ratings,
        "values": cell.values,
        **({"categories": dict(sorted(cell.categories.items()))} if cell.categories else {}),
    }


def _describe_scores(counts: Mapping[float, int], bounds: Interval | None) -> dict[str, Any]:
    count = sum(counts.values())
    if not count:
        return {"count": 0, **dict.fromkeys(("mean", "median", "min", "max", "stddev", "interval95"))}
    ordered = sorted(counts)
    if len(ordered) == 1:  # the quotient of sum and number might differ from the scores in the last digit
        mean, stddev = ordered[0], (0.0 if count > 1 else None)
    else:
        mean = math.fsum(_repeated(counts)) / count
        stddev = math.sqrt(math.fsum((value - mean) ** 2 * number for value, number in counts.items()) / (count - 1))
    return {
        "count": count,
        "mean": mean,
        "median": _median(ordered, counts, count),
        "min": ordered[0],
        "max": ordered[-1],
        "stddev": stddev,
        "interval95": _clamp(student_t_interval(mean, stddev, count), bounds),
    }


def _repeated(counts: Mapping[float, int]) -> Iterator[float]:
    return (value * number for value, number in counts.items())


def _median(ordered: Sequence[float], counts: Mapping[float, int], count: int) -> float:
    """Return the mean of the two middle values, which are the same one if their number is odd."""
    reached, below = 0, None
    for value in ordered:
        reached += counts[value]
        if below is None and 2 * reached >= count:
            below = value
        if 2 * reached > count:
            break
    return value if below is None else (below + value) / 2


def _clamp(interval: Interval | None, bounds: Interval | None) -> list[float] | None:
    """Limit an interval to the scale of scores."""
    if interval is None or bounds is None:
        return interval and list(interval)
    return [max(bounds[0], interval[0]), min(bounds[1], interval[1])]


def _describe_sum(values: Sum) -> dict[str, Any]:
    if not values.count:
        return {"count": 0, "total": None, "mean": None}
    return {"count": values.count, "total": values.total, "mean": values.total / values.count}


def _sort_key(values: Sequence[Any], group: Mapping[str, Any], times: Sequence[int]) -> tuple[Any, ...]:
    mean = group["score"]["mean"]
    names = [(value is None, value or 0) for value in values]
    return (*(values[place] for place in times), mean is None, -(mean or 0), -group["count"], *names)
