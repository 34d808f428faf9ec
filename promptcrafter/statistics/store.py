"""Aggregates of a prompt's logs, computed by the database in one statement and therefore from one snapshot.

The statement reads only the covering index `ix_logs_aggregates` (decision 17). The score of a log is the mean of the
scores that people gave it. Scores have few distinct values: they are counted by value first, and median, deviations and
extremes are computed from the counts. Latencies have many distinct values, and are sorted.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Float,
    FromClause,
    Integer,
    ScalarSelect,
    Select,
    SQLColumnExpression,
    Subquery,
    and_,
    case,
    cast,
    extract,
    func,
    literal,
    select,
    union,
)

from promptcrafter.database.deletions import has_pending, is_present
from promptcrafter.database.session import is_sqlite, session
from promptcrafter.logs.models import Log
from promptcrafter.logs.store import find_stored_logs
from promptcrafter.workspaces.principal import Principal

_LARGEST = 1e100  # larger values are left out of sums: a sum of much larger ones may not be finite
_SMALLEST = 1e-100  # smaller scores count as 0: PostgreSQL raises an underflow error when it squares much smaller ones
_KEYS: dict[str, ColumnElement[Any]] = {
    "model": func.coalesce(Log.model_used, ""),
    "version": func.coalesce(Log.prompt_version, 0),
}
_SUMMED = {"cost": Log.cost, "input": Log.input_tokens, "output": Log.output_tokens}
_PERCENTS = (50, 95)


def get_aggregates(principal: Principal, filters: Mapping[str, Any], keys: Sequence[str]) -> list[Mapping[str, Any]]:
    """Return one row of aggregates for each group of the principal's logs that match `filters`.

    `filters` has the keys that `logs.store.find_logs` takes.

    `keys` has `model`, `version` or both. They are columns of the rows, with `""` for an unknown model and 0 for an
    unknown version. The other columns are:

    - `count`: the number of logs
    - `scored`, `mean`, `median`, `lowest`, `highest`, `squares`: number, mean, median, extremes and sum of squared
      deviations of the scores
    - `timed`, `p50`, `p95`: number and percentiles of the latencies, in milliseconds
    - `cost_…`, `input_…` and `output_…`, each with `count` and `total`: number and sum of the costs in US dollars, and
      of the input and output tokens
    - `best`, `worst`: the ids of the newest logs with the highest and the lowest score

    Except for the numbers of logs, latencies, costs and tokens, an aggregate of no values is None.
    """
    stored = find_stored_logs(principal, filters)
    logs = _select_values(stored.where(is_present(Log)) if has_pending() else stored, keys)
    counts = _count_scores(logs, keys)
    totals = _sum_counts(counts, keys)
    scores = _aggregate_scores(counts, keys)
    latencies = (_latency_percentiles_sqlite if is_sqlite() else _latency_percentiles_postgresql)(logs, totals, keys)
    statement = select(
        *totals.c,
        *_columns_except(scores, *keys, "best", "worst"),
        *_columns_except(latencies, *keys),
        _id_of(scores.c.best).label("best"),
        _id_of(scores.c.worst).label("worst"),
    )
    statement = statement.outerjoin_from(totals, scores, _same_group(totals, scores, keys))
    rows = session.execute(statement.outerjoin(latencies, _same_group(totals, latencies, keys)))
    return [dict(row) for row in rows.mappings()]


def _select_values(logs: Select[Log], keys: Sequence[str]) -> Subquery:
    """Return keys, sequence number, score, latency, cost and tokens of each log.

    The latency is the one that was sent, or else the time from start to end if both are known.
    """
    elapsed = cast(_milliseconds_between(Log.start_time, Log.end_time), Float(53))
    return logs.with_only_columns(
        *(_KEYS[key].label(key) for key in keys),
        Log.seq,
        case((Log.mean_score < _SMALLEST, 0.0), else_=Log.mean_score).label("score"),
        func.coalesce(Log.latency_ms, case((Log.end_time >= Log.start_time, elapsed))).label("latency"),
        *(case((column <= _LARGEST, column)).label(name) for name, column in _SUMMED.items()),
    ).subquery("logs_read")


def _milliseconds_between(start: SQLColumnExpression[Any], end: SQLColumnExpression[Any]) -> ColumnElement[Any]:
    if is_sqlite():  # julianday() returns days as a float, exact to a twentieth of a millisecond
        return func.round((func.julianday(end) - func.julianday(start)) * 86_400_000)
    return (extract("epoch", end) - extract("epoch", start)) * 1000


def _count_scores(logs: Subquery, keys: Sequence[str]) -> CTE:
    """Count the logs of each group and score, and sum their costs and tokens."""
    group = [*_columns(logs, keys), logs.c.score]
    sums = (
        aggregate(logs.c[name]).label(f"{name}_{suffix}")
        for name in _SUMMED
        for suffix, aggregate in (("count", func.count), ("total", func.sum))
    )
    counted = select(
        *group,
        func.count().label("count"),
        func.max(logs.c.seq).label("newest"),
        func.count(logs.c.latency).label("timed"),
        *sums,
    )
    return counted.group_by(*group).cte("counts")


def _sum_counts(counts: CTE, keys: Sequence[str]) -> CTE:
    """Add up the counts and sums of all scores of each group."""
    names = ("count", "timed", *(f"{name}_count" for name in _SUMMED))
    return (
        select(
            *_columns(counts, keys),
            *(cast(func.sum(counts.c[name]), BigInteger).label(name) for name in names),
            *(func.sum(counts.c[f"{name}_total"]).label(f"{name}_total") for name in _SUMMED),
        )
        .group_by(*_columns(counts, keys))
        .cte("totals")
    )


def _aggregate_scores(counts: CTE, keys: Sequence[str]) -> Subquery:
    """Return number, mean, extremes, median and sum of squared deviations of each group's scores.

    `best` and `worst` are the sequence numbers of the newest logs with the highest and the lowest score.
    """
    count, score = counts.c.count, counts.c.score
    group = _columns(counts, keys)
    total = func.sum(count).over(partition_by=group)
    ranked = (
        select(
            *group,
            score,
            count,
            counts.c.newest,
            func.sum(count).over(partition_by=group, order_by=score, rows=(None, 0)).label("reached"),
            total.label("scored"),
            (func.sum(count * score).over(partition_by=group) / total).label("mean"),
            func.min(score).over(partition_by=group).label("lowest"),
            func.max(score).over(partition_by=group).label("highest"),
        )
        .where(score.is_not(None))
        .subquery("ranked")
    )
    row = ranked.c
    # The median is the mean of the two middle scores, which are the same one if the number of scores is odd
    below = func.min(row.score).filter(2 * row.reached >= row.scored)
    above = func.min(row.score).filter(2 * row.reached > row.scored)
    deviation = row.score - row.mean
    return (
        select(
            *_columns(ranked, keys),
            cast(func.max(row.scored), BigInteger).label("scored"),
            func.max(row.mean).label("mean"),
            func.min(row.lowest).label("lowest"),
            func.max(row.highest).label("highest"),
            ((below + above) / 2).label("median"),
            func.sum(row.count * deviation * deviation).label("squares"),
            func.max(row.newest).filter(row.score == row.highest).label("best"),
            func.max(row.newest).filter(row.score == row.lowest).label("worst"),
        )
        .group_by(*_columns(ranked, keys))
        .subquery("scores")
    )


def _latency_percentiles_postgresql(logs: Subquery, totals: CTE, keys: Sequence[str]) -> Subquery:
    """Return the percentiles of each group's latencies.

    They are those of `intervals.percentile` (type 7 of Hyndman and Fan), as `percentile_cont` defines them.
    """
    percentiles = (
        func.percentile_cont(percent / 100).within_group(logs.c.latency).label(f"p{percent}") for percent in _PERCENTS
    )
    return select(*_columns(logs, keys), *percentiles).group_by(*_columns(logs, keys)).subquery("latencies")


def _latency_percentiles_sqlite(logs: Subquery, totals: CTE, keys: Sequence[str]) -> Subquery:
    """Return the same percentiles as `_latency_percentiles_postgresql`, with the same digits.

    SQLite has no function for them: the latencies of each group are numbered from 0 in ascending order, and a
    percentile is interpolated between the two latencies on both sides of its position.
    """
    number = func.row_number().over(partition_by=_columns(logs, keys), order_by=logs.c.latency) - 1
    timed = logs.c.latency.is_not(None)
    numbered = select(*_columns(logs, keys), logs.c.latency, number.label("number")).where(timed).subquery("numbered")
    positions = {percent: (totals.c.timed - 1) * literal(percent / 100) for percent in _PERCENTS}
    neighbours = union(*(select(side) for position in positions.values() for side in _floor_and_ceiling(position)))

    def latency_at(side: ColumnElement[Any]) -> ColumnElement[Any]:
        return func.max(case((numbered.c.number == side, numbered.c.latency)))

    def interpolate(position: ColumnElement[float]) -> ColumnElement[Any]:
        below, above = _floor_and_ceiling(position)
        return latency_at(below) + (position - below) * (latency_at(above) - latency_at(below))

    percentiles = [interpolate(position).label(f"p{percent}") for percent, position in positions.items()]
    # An outer join makes SQLite begin with the few rows that are needed; it might begin an inner join at `totals`
    joined = numbered.outerjoin(totals, _same_group(numbered, totals, keys))
    statement = select(*_columns(numbered, keys), *percentiles).select_from(joined)
    statement = statement.where(numbered.c.number.in_(neighbours))
    return statement.group_by(*_columns(numbered, keys)).subquery("latencies")


def _floor_and_ceiling(position: ColumnElement[float]) -> tuple[ColumnElement[int], ColumnElement[int]]:
    """Return the integers below and above a number from 0 on; both are the number itself if it is an integer."""
    below = cast(position, Integer)
    return below, below + cast(position > below, Integer)


def _columns(table: FromClause, names: Sequence[str]) -> list[ColumnElement[Any]]:
    return [table.c[name] for name in names]


def _columns_except(table: FromClause, *names: str) -> list[ColumnElement[Any]]:
    return [column for column in table.c if column.name not in names]


def _same_group(left: FromClause, right: FromClause, keys: Sequence[str]) -> ColumnElement[bool]:
    return and_(*(left.c[key] == right.c[key] for key in keys))


def _id_of(seq: ColumnElement[int]) -> ScalarSelect[str]:
    return select(Log.id).where(Log.seq == seq).scalar_subquery()
