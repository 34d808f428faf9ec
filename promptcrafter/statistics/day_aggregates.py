"""Stored aggregates of the logs of days, so that statistics of many logs read few rows (decision 56).

A scope is a prompt, a workspace, or the details of a workspace, which have its logs by prompt and author, too: few
questions need these, and reading them takes longer, because there are more. Its aggregates have all logs that were
created before its `covered_until`, except on days that are marked as changed (see `logs.changed_days`): the logs of
these days are read. They are computed outside of requests: `extend` adds the logs of a period to them, and `recompute`
replaces those of a marked day. One process at a time does that.

What makes them right: a period is first announced, in a transaction of its own. From then on, whatever changes a log of
it marks its day. Transactions that began before have ended when the logs are read. So a change is either in what is
read, or leaves a mark that is not removed.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Self

from sqlalchemy import ColumnElement, delete, func, insert, literal, select, text, update

from promptcrafter import clock
from promptcrafter.database.base import Base
from promptcrafter.database.session import ReadSession, is_sqlite, read_snapshot, request_connection, session
from promptcrafter.logs import changed_days
from promptcrafter.logs.models import DETAILS, AggregateScope, ChangedDay, Log
from promptcrafter.prompts.models import Prompt
from promptcrafter.statistics.cells import Cell
from promptcrafter.statistics.log_rows import CellKey, Grain, join_details, read_cells
from promptcrafter.statistics.models import DayAggregate
from promptcrafter.workspaces.models import Workspace

LEAST_LOGS = 1000  # that make it worth while to store aggregates: fewer are read as fast
_LAG = timedelta(seconds=30)  # a transaction that adds logs has ended after it, if its clock is right
_MOST_LOGS = 20_000  # that one step adds
_MOST_CELLS = 2000  # of a step: with more, aggregates would save nothing
EARLIEST = datetime(1969, 1, 1, tzinfo=UTC)  # before the first time that a log may have
LATEST = datetime(9999, 12, 31, tzinfo=UTC)
_POLL_S = 0.1
_WAIT_S = 20
_MOST_MARKS = 10_000  # that one step removes
_CELLS_AT_ONCE = 500
_PUT_CELL = text(
    "INSERT INTO day_aggregates (scope_id, day, prompt_version, model_used, cell) "
    "VALUES (:scope_id, :day, :prompt_version, :model_used, :cell) "
    "ON CONFLICT (scope_id, day, prompt_version, model_used) DO UPDATE SET cell = excluded.cell"
)
_LOGS = Base.metadata.tables[Log.__tablename__]
_Transaction = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class Scope:
    """A prompt or a workspace whose logs are aggregated."""

    id: str
    workspace_id: str

    @classmethod
    def of_details(cls, workspace_id: str) -> Self:
        """Return the scope of a workspace's logs by prompt and author."""
        return cls(DETAILS + workspace_id, workspace_id)

    @property
    def grain(self) -> Grain:
        """What the logs of a cell have in common."""
        if self.id == self.workspace_id:
            return "workspace"
        return "details" if self.id.startswith(DETAILS) else "prompt"

    @property
    def condition(self) -> ColumnElement[bool]:
        """The condition that logs belong to it."""
        return Log.prompt_id == self.id if self.grain == "prompt" else Log.workspace_id == self.workspace_id


@dataclass(frozen=True)
class Coverage:
    """What the stored aggregates of a scope have."""

    until: datetime  # they have the logs that were created before
    changed: frozenset[int]  # days of which they are not right


@dataclass(frozen=True)
class Plan:
    """How the logs of a period are read: the days whose aggregates are used, and the periods of which rows are."""

    days: tuple[int, int] | None  # the first and the last one
    without: frozenset[int]  # days between them whose rows are read
    periods: Sequence[tuple[datetime, datetime]]


def read_coverage(reader: ReadSession, scope_id: str) -> Coverage | None:
    """Return what the stored aggregates of a scope have; None without any."""
    until = reader.scalar(select(AggregateScope.covered_until).where(AggregateScope.scope_id == scope_id))
    if until is None:
        return None
    changed = select(ChangedDay.day).where(ChangedDay.scope_id == scope_id).distinct()
    return Coverage(until, frozenset(reader.scalars(changed)))


def plan(coverage: Coverage, begin: datetime, end: datetime) -> Plan:
    """Return how to read the logs that were created from `begin` on and before `end`. A pure function."""
    first, last = to_day(begin - timedelta(milliseconds=1)) + 1, to_day(min(end, coverage.until))
    if end < coverage.until or start_of(last) == coverage.until:
        last -= 1  # of its last day, the period ends before the aggregates do; or they have nothing of it
    if last < first:
        return Plan(None, frozenset(), [(begin, end)] if begin < end else [])
    without = frozenset(day for day in coverage.changed if first <= day <= last)
    periods = [(begin, start_of(first))] if begin < start_of(first) else []
    periods += [(start_of(day), min(start_of(day + 1), coverage.until)) for day in sorted(without)]
    tail = min(start_of(last + 1), coverage.until)
    if tail < end:
        periods.append((tail, end))
    return Plan((first, last), without, _join(periods))


def _join(periods: Sequence[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    """Return periods in the order of time, those that touch as one: each is read by statements of its own."""
    joined: list[tuple[datetime, datetime]] = []
    for begin, end in periods:
        if joined and joined[-1][1] == begin:
            joined[-1] = joined[-1][0], end
        else:
            joined.append((begin, end))
    return joined


def each_cell(
    reader: ReadSession, scope_id: str, plan: Plan, prompt_id: str | None = None
) -> Iterator[tuple[CellKey, Cell]]:
    """Yield the stored cells of the days of a plan, of a workspace's details with `prompt_id` those of a prompt."""
    if plan.days is None:
        return
    columns = (DayAggregate.day, DayAggregate.prompt_version, DayAggregate.model_used, DayAggregate.cell)
    stored = select(*columns).where(_is_of_days(scope_id, plan.days, prompt_id))
    result = reader.connection().execute(stored.execution_options(yield_per=_CELLS_AT_ONCE))
    while rows := result.fetchmany(_CELLS_AT_ONCE):
        for day, version, model, cell in rows:
            if day not in plan.without:
                yield (day, version, model), Cell.load(cell)


def count_cells(reader: ReadSession, scope_id: str, plan: Plan, prompt_id: str | None, most: int) -> int:
    """Return how many cells the days of a plan have at least, counted up to `most`. See `each_cell`."""
    if plan.days is None:
        return 0
    some = select(literal(1).label("one")).where(_is_of_days(scope_id, plan.days, prompt_id)).limit(most)
    return reader.scalar(select(func.count()).select_from(some.subquery("some"))) or 0


def extend(scope: Scope, transaction: _Transaction, stop: Event) -> bool:
    """Add the next logs of a scope to its aggregates; return whether there may be more to add.

    It does nothing, and returns False, while fewer than `LEAST_LOGS` can be added. Raises DBAPIError and Problem.
    """
    until = _find_end(scope)
    if until is None:
        return False
    with transaction():
        covered = _announce(scope, until)
        if covered is None:
            return False
        mark = None if is_sqlite() else request_connection().scalar(text("SELECT pg_current_xact_id()::text::bigint"))
    if mark is not None and not _wait_for_older(mark, stop):
        return False
    with read_snapshot() as reader:
        coverage = read_coverage(reader, scope.id)
        if coverage is None or coverage.until != covered:
            return False
        cells = read_cells(reader, scope.condition, covered, until, scope.grain)
        days = {day for day, _, _ in cells} - coverage.changed
        stored = _load_cells(reader, scope.id, days)
    added = {key: cell for key, cell in cells.items() if key[0] in days}
    for key, cell in added.items():
        if key in stored:
            cell.merge(stored[key])
    with transaction():
        same = (AggregateScope.scope_id == scope.id) & (AggregateScope.covered_until == covered)
        moved = request_connection().execute(update(AggregateScope).where(same).values(covered_until=until))
        if moved.rowcount:
            _put_cells(scope.id, added)
    return len(cells) <= _MOST_CELLS


def recompute(scope: Scope, day: int, transaction: _Transaction) -> None:
    """Replace the aggregates of a marked day, and remove the marks that were there when its logs were read.

    Raises DBAPIError and Problem.
    """
    with read_snapshot() as reader:
        coverage = read_coverage(reader, scope.id)
        is_of_day = (ChangedDay.scope_id == scope.id) & (ChangedDay.day == day)
        marks = list(reader.scalars(select(ChangedDay.seq).where(is_of_day).limit(_MOST_MARKS)))
        end = start_of(day + 1) if coverage is None else min(start_of(day + 1), coverage.until)
        cells = {} if coverage is None else read_cells(reader, scope.condition, start_of(day), end, scope.grain)
    with transaction():
        if coverage is not None:
            same = (AggregateScope.scope_id == scope.id) & (AggregateScope.covered_until == coverage.until)
            if request_connection().scalar(select(AggregateScope.scope_id).where(same).with_for_update()) is None:
                return
            is_stored = (DayAggregate.scope_id == scope.id) & (DayAggregate.day == day)
            request_connection().execute(delete(DayAggregate).where(is_stored))
            _put_cells(scope.id, cells)
        request_connection().execute(delete(ChangedDay).where(ChangedDay.seq.in_(marks)))


def find_wrong_days(reader: ReadSession, scope: Scope) -> set[int]:
    """Return the days of which what is stored differs from the logs, without those that are marked anyway."""
    coverage = read_coverage(reader, scope.id)
    if coverage is None:
        return set()
    stored = _load_cells(reader, scope.id, {to_day(EARLIEST), to_day(coverage.until)})
    read = read_cells(reader, scope.condition, EARLIEST, coverage.until, scope.grain)
    differing = {
        key[0]
        for key in stored.keys() | read.keys()
        if (stored.get(key) or Cell()).dump() != (read.get(key) or Cell()).dump()
    }
    return differing - coverage.changed


def mark_days(scope: Scope, days: Iterable[int]) -> None:
    """Mark days of a scope as changed. Call it inside a write transaction."""
    rows = [{"scope_id": scope.id, "day": day} for day in days]
    if rows:
        request_connection().execute(insert(Base.metadata.tables[ChangedDay.__tablename__]), rows)


def list_stored() -> list[Scope]:
    """Return the scopes that have stored aggregates."""
    return [Scope(*row) for row in session.execute(select(AggregateScope.scope_id, AggregateScope.workspace_id))]


def each_changed(most: int) -> list[tuple[str, int]]:
    """Return up to `most` marked days, as scope id and day."""
    marked = select(ChangedDay.scope_id, ChangedDay.day).distinct().limit(most)
    return [(scope_id, day) for scope_id, day in session.execute(marked)]


def get_last_seq() -> int:
    """Return the last sequence number of a log; 0 without any."""
    return request_connection().scalar(select(func.max(Log.seq))) or 0


def mark_late(after: int | None) -> int:
    """Mark the days of logs that were added after a sequence number, with an earlier time than aggregates have.

    Clocks are set back, and hosts may disagree about the time. Return the last sequence number, from which to go on:
    without `after`, nothing is marked. Call it inside a write transaction.
    """
    last = get_last_seq()
    if after is not None and last > after:
        changed_days.mark_where(_LOGS.c.seq > after)
    return last


def list_scopes(after: int | None = None) -> set[Scope]:
    """Return the prompts and workspaces that have logs; those with logs after a sequence number if it is given."""
    if after is None:
        prompts = [Scope(*row) for row in session.execute(select(Prompt.id, Prompt.workspace_id))]
        return {*prompts, *_scopes_of(session.scalars(select(Workspace.id)))}
    added = select(Log.prompt_id, Log.workspace_id).where(Log.seq > after).distinct()
    found = session.execute(added).all()
    of_prompts = {Scope(prompt_id, workspace_id) for prompt_id, workspace_id in found if prompt_id is not None}
    return of_prompts | _scopes_of(workspace_id for _, workspace_id in found)


def _scopes_of(workspace_ids: Iterable[str]) -> set[Scope]:
    return {scope for each in workspace_ids for scope in (Scope(each, each), Scope.of_details(each))}


def get_scope(scope_id: str) -> Scope | None:
    """Return the scope with this id that has aggregates, or None."""
    workspace_id = session.scalar(select(AggregateScope.workspace_id).where(AggregateScope.scope_id == scope_id))
    return None if workspace_id is None else Scope(scope_id, workspace_id)


def to_day(moment: datetime) -> int:
    """Return the day of a time, counted from 1970."""
    return clock.to_number(moment) // 86_400_000


def start_of(day: int) -> datetime:
    """Return the time at which a day begins."""
    return clock.from_any_number(day * 86_400_000)


def _is_of_days(scope_id: str, days: tuple[int, int], prompt_id: str | None) -> ColumnElement[bool]:
    condition = (DayAggregate.scope_id == scope_id) & DayAggregate.day.between(*days)
    if prompt_id is None:
        return condition
    beginning = join_details(prompt_id, None, None)[: len(prompt_id) + 1]
    return condition & (func.substr(DayAggregate.model_used, 1, len(beginning)) == beginning)


def _find_end(scope: Scope) -> datetime | None:
    """Return up to which time the next step adds logs; None if there are too few."""
    covered = session.scalar(select(AggregateScope.covered_until).where(AggregateScope.scope_id == scope.id))
    horizon = clock.now() - _LAG
    times = select(Log.created_at).where(scope.condition, Log.created_at >= (covered or EARLIEST))
    times = times.where(Log.created_at < horizon).order_by(Log.created_at, Log.seq).limit(1)
    if session.scalar(times.offset(LEAST_LOGS - 1)) is None:
        return None
    last = session.scalar(times.offset(_MOST_LOGS - 1))
    # at least a millisecond: an import may have more logs of one time
    return horizon if last is None else max(last, (covered or EARLIEST) + timedelta(milliseconds=1))


def _announce(scope: Scope, until: datetime) -> datetime | None:
    """Let changes of logs before a time mark their day; return up to which the aggregates are. None: it is deleted."""
    exists = select(Prompt.id).where(Prompt.id == scope.id)
    if scope.grain != "prompt":
        exists = select(Workspace.id).where(Workspace.id == scope.workspace_id)
    if session.scalar(exists) is None:
        return None
    existing = session.get(AggregateScope, scope.id)
    if existing is None:
        existing = AggregateScope(scope_id=scope.id, workspace_id=scope.workspace_id, covered_until=EARLIEST)
        session.add(existing)
    existing.announced_until = until
    session.flush()
    return existing.covered_until


def _wait_for_older(transaction_id: int, stop: Event) -> bool:
    """Wait until all transactions of PostgreSQL have ended that began before this one; return whether they have."""
    oldest = text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
    ends = time.monotonic() + _WAIT_S
    while time.monotonic() < ends and not stop.is_set():
        found = session.scalar(oldest)
        session.close()
        if found is not None and found > transaction_id:
            return True
        stop.wait(_POLL_S)
    return False


def _load_cells(reader: ReadSession, scope_id: str, days: Set[int]) -> dict[CellKey, Cell]:
    if not days:
        return {}
    return dict(each_cell(reader, scope_id, Plan((min(days), max(days)), frozenset(), ())))


def _put_cells(scope_id: str, cells: Mapping[CellKey, Cell]) -> None:
    names = ("day", "prompt_version", "model_used")
    rows = [{"scope_id": scope_id, **dict(zip(names, key, strict=True)), "cell": cells[key].dump()} for key in cells]
    if rows:
        request_connection().execute(_PUT_CELL, rows)
