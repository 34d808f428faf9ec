"""Figures of a prompt's logs, worked out by the database in one statement, so that they are of one moment.

Nothing but the index `ix_logs_figures` is read for them. Scores are first counted by value, since few differ, and
what is asked of them follows from the counts. Latencies do differ, and are sorted.
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

from promptcrafter.auth.principal import Principal
from promptcrafter.database.session import is_sqlite, session
from promptcrafter.logs.models import Log
from promptcrafter.logs.store import find_logs

_LARGEST = 1e100  # the sum of much larger numbers may not be finite
_SMALLEST = 1e-100  # PostgreSQL refuses to square differences of much smaller ones
_KEYS: dict[str, ColumnElement[Any]] = {
    "model": func.coalesce(Log.model_used, ""),
    "version": func.coalesce(Log.prompt_version, 0),
}
_SUMMED = {"cost": Log.cost, "input": Log.input_tokens, "output": Log.output_tokens}
_PERCENTS = (50, 95)


def get_figures(principal: Principal, filters: Mapping[str, Any], keys: Sequence[str]) -> list[Mapping[str, Any]]:
    """Return the figures of the owner's logs that the filters find, a row for each group of them.

    The keys, `model` and `version` or one of them, make the groups; `""` and 0 stand for an unknown one.
    """
    logs = _read(find_logs(principal, filters), keys)
    counts = _count_scores(logs, keys)
    totals = _total(counts, keys)
    scores = _measure_scores(counts, keys)
    latencies = (_measure_latencies_sqlite if is_sqlite() else _measure_latencies_postgresql)(logs, totals, keys)
    found = select(
        *totals.c,
        *_but(scores, *keys, "best", "worst"),
        *_but(latencies, *keys),
        _find_id(scores.c.best).label("best"),
        _find_id(scores.c.worst).label("worst"),
    )
    found = found.outerjoin_from(totals, scores, _same(totals, scores, keys))
    rows = session.execute(found.outerjoin(latencies, _same(totals, latencies, keys)))
    return [dict(row) for row in rows.mappings()]


def _read(found: Select[Log], keys: Sequence[str]) -> Subquery:
    """Return keys, score, latency and what is summed of each log."""
    passed = cast(_milliseconds_between(Log.start_time, Log.end_time), Float(53))
    return found.with_only_columns(
        *(_KEYS[key].label(key) for key in keys),
        Log.seq,
        case((Log.score < _SMALLEST, 0.0), else_=Log.score).label("score"),
        func.coalesce(Log.latency_ms, case((Log.end_time >= Log.start_time, passed))).label("latency"),
        *(case((column <= _LARGEST, column)).label(name) for name, column in _SUMMED.items()),
    ).subquery("picked")


def _milliseconds_between(start: SQLColumnExpression[Any], end: SQLColumnExpression[Any]) -> ColumnElement[Any]:
    if is_sqlite():  # days as floats, exact to a twentieth of a millisecond
        return func.round((func.julianday(end) - func.julianday(start)) * 86_400_000)
    return (extract("epoch", end) - extract("epoch", start)) * 1000


def _count_scores(logs: Subquery, keys: Sequence[str]) -> CTE:
    """Count the logs of each group and score, and what is summed of them."""
    by = [*_pick(logs, keys), logs.c.score]
    sums = (
        aggregate(logs.c[name]).label(f"{name}_{what}")
        for name in _SUMMED
        for what, aggregate in (("count", func.count), ("total", func.sum))
    )
    counted = select(
        *by,
        func.count().label("count"),
        func.max(logs.c.seq).label("newest"),
        func.count(logs.c.latency).label("timed"),
        *sums,
    )
    return counted.group_by(*by).cte("counts")


def _total(counts: CTE, keys: Sequence[str]) -> CTE:
    """Sum over the scores of each group."""
    names = ("count", "timed", *(f"{name}_count" for name in _SUMMED))
    return (
        select(
            *_pick(counts, keys),
            *(cast(func.sum(counts.c[name]), BigInteger).label(name) for name in names),
            *(func.sum(counts.c[f"{name}_total"]).label(f"{name}_total") for name in _SUMMED),
        )
        .group_by(*_pick(counts, keys))
        .cte("totals")
    )


def _measure_scores(counts: CTE, keys: Sequence[str]) -> Subquery:
    """Return count, mean, extremes, median and the sum of squared deviations of each group's scores.

    With them come the sequence numbers of the newest logs that have the highest and the lowest one.
    """
    count, score = counts.c.count, counts.c.score
    group = _pick(counts, keys)
    whole = func.sum(count).over(partition_by=group)
    ranked = (
        select(
            *group,
            score,
            count,
            counts.c.newest,
            func.sum(count).over(partition_by=group, order_by=score, rows=(None, 0)).label("reached"),
            whole.label("scored"),
            (func.sum(count * score).over(partition_by=group) / whole).label("mean"),
            func.min(score).over(partition_by=group).label("lowest"),
            func.max(score).over(partition_by=group).label("highest"),
        )
        .where(score.is_not(None))
        .subquery("ranked")
    )
    of = ranked.c
    # the scores on both sides of the middle, which are the same one when their number is odd
    below = func.min(of.score).filter(2 * of.reached >= of.scored)
    above = func.min(of.score).filter(2 * of.reached > of.scored)
    deviation = of.score - of.mean
    return (
        select(
            *_pick(ranked, keys),
            cast(func.max(of.scored), BigInteger).label("scored"),
            func.max(of.mean).label("mean"),
            func.min(of.lowest).label("lowest"),
            func.max(of.highest).label("highest"),
            ((below + above) / 2).label("median"),
            func.sum(of.count * deviation * deviation).label("squares"),
            func.max(of.newest).filter(of.score == of.highest).label("best"),
            func.max(of.newest).filter(of.score == of.lowest).label("worst"),
        )
        .group_by(*_pick(ranked, keys))
        .subquery("scores")
    )


def _measure_latencies_postgresql(logs: Subquery, totals: CTE, keys: Sequence[str]) -> Subquery:
    """Return the percentiles of each group's latencies."""
    places = (func.percentile_cont(percent / 100).within_group(logs.c.latency) for percent in _PERCENTS)
    named = (place.label(f"p{percent}") for percent, place in zip(_PERCENTS, places, strict=True))
    return select(*_pick(logs, keys), *named).group_by(*_pick(logs, keys)).subquery("latencies")


def _measure_latencies_sqlite(logs: Subquery, totals: CTE, keys: Sequence[str]) -> Subquery:
    """Return the same, interpolated in the same way, to the last digit."""
    place = func.row_number().over(partition_by=_pick(logs, keys), order_by=logs.c.latency) - 1
    timed = logs.c.latency.is_not(None)
    placed = select(*_pick(logs, keys), logs.c.latency, place.label("place")).where(timed).subquery("placed")
    way = {percent: (totals.c.timed - 1) * literal(percent / 100) for percent in _PERCENTS}  # in places, as floats
    wanted = union(*(select(border) for steps in way.values() for border in _borders(steps)))

    def at(border: ColumnElement[Any]) -> ColumnElement[Any]:
        return func.max(case((placed.c.place == border, placed.c.latency)))

    def between(steps: ColumnElement[float]) -> ColumnElement[Any]:
        below, above = _borders(steps)
        return at(below) + (steps - below) * (at(above) - at(below))

    measured = [between(steps).label(f"p{percent}") for percent, steps in way.items()]
    # Few places are wanted, so only few rows are to be joined; an inner join might begin at the other end
    joined = placed.outerjoin(totals, _same(placed, totals, keys))
    found = select(*_pick(placed, keys), *measured).select_from(joined).where(placed.c.place.in_(wanted))
    return found.group_by(*_pick(placed, keys)).subquery("latencies")


def _borders(steps: ColumnElement[float]) -> tuple[ColumnElement[int], ColumnElement[int]]:
    """Return the whole numbers on both sides of one from 0 on, which are the same if it is whole itself."""
    below = cast(steps, Integer)
    return below, below + cast(steps > below, Integer)


def _pick(table: FromClause, names: Sequence[str]) -> list[ColumnElement[Any]]:
    return [table.c[name] for name in names]


def _but(table: FromClause, *names: str) -> list[ColumnElement[Any]]:
    return [column for column in table.c if column.name not in names]


def _same(one: FromClause, other: FromClause, keys: Sequence[str]) -> ColumnElement[bool]:
    return and_(*(one.c[key] == other.c[key] for key in keys))


def _find_id(seq: ColumnElement[int]) -> ScalarSelect[str]:
    return select(Log.id).where(Log.seq == seq).scalar_subquery()
