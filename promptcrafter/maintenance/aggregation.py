"""The computation of stored aggregates: what `statistics.day_aggregates` does, for all that has changed, at a pace.

One process of all that share the database does it at a time.
"""

import time
from contextlib import AbstractContextManager
from threading import Event

from promptcrafter.database.session import read_snapshot, session
from promptcrafter.database.transactions import writing
from promptcrafter.maintenance import Progress
from promptcrafter.maintenance.pace import Pace
from promptcrafter.statistics import day_aggregates
from promptcrafter.statistics.day_aggregates import Scope

_DAYS_AT_ONCE = 100
_REST = 20  # times as long as the computation of a day took, it is not computed again
_LEAST_REST_S = 5
_REMEMBERED_S = 120  # a scope after its last new log: the youngest logs are not added yet
_UNORDERED = 10_000  # sequence numbers that PostgreSQL may commit in another order
_DAYS_REMEMBERED = 10_000


class Aggregation:
    """What the process that computes aggregates knows between the rounds."""

    def __init__(self, stop: Event) -> None:
        self._stop = stop
        self._last: int | None = None  # the last sequence number of a log that was seen
        self._candidates: dict[Scope, float] = {}  # and until when to look at them
        self._resting: dict[tuple[str, int], float] = {}  # marked days, and until when they are left alone

    def run(self) -> int:
        """Compute what has changed since the last round; return in how many steps. Raises DBAPIError and Problem."""
        return self._recompute_changed() + self._extend()

    def _recompute_changed(self) -> int:
        now = time.monotonic()
        self._resting = {day: until for day, until in self._resting.items() if until > now}
        steps = 0
        for scope_id, day in day_aggregates.each_changed(_DAYS_AT_ONCE + len(self._resting)):
            if self._stop.is_set():
                break
            if (scope_id, day) in self._resting or len(self._resting) >= _DAYS_REMEMBERED:
                continue
            scope = day_aggregates.get_scope(scope_id) or Scope(scope_id, "")
            started = time.monotonic()
            day_aggregates.recompute(scope, day, self._transaction)
            taken = time.monotonic() - started
            self._resting[scope_id, day] = time.monotonic() + max(_LEAST_REST_S, _REST * taken)
            steps += 1
        session.close()
        return steps

    def _extend(self) -> int:
        if self._last is None or day_aggregates.get_last_seq() > self._last:
            after = None if self._last is None else max(0, self._last - _UNORDERED)
            found = day_aggregates.list_scopes(after)
            with self._transaction():
                self._last = day_aggregates.mark_late(self._last)
            self._candidates |= dict.fromkeys(found, time.monotonic() + _REMEMBERED_S)
        steps = 0
        for scope, until in list(self._candidates.items()):
            while not self._stop.is_set() and day_aggregates.extend(scope, self._transaction, self._stop):
                steps += 1
            if until < time.monotonic():
                del self._candidates[scope]
            session.close()
        return steps

    def _transaction(self) -> AbstractContextManager[None]:
        return Pace(self._stop).transaction()


def mark_wrong(on_progress: Progress) -> int:
    """Compare what is stored with the logs, and mark the days that differ; return how many.

    Marked days are computed again by the service. Raises DBAPIError and Problem.
    """
    count = 0
    scopes = day_aggregates.list_stored()
    for done, scope in enumerate(scopes, 1):
        with read_snapshot() as reader:
            days = day_aggregates.find_wrong_days(reader, scope)
        if days:
            with writing():
                day_aggregates.mark_days(scope, days)
        count += len(days)
        on_progress(done, len(scopes))
    return count
