"""The order of logs from the worst score to the best, with those without a score at the end."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, case, literal, select, union_all

from promptcrafter.database.keyset import Columns, Order, split_cursor
from promptcrafter.logs.models import Log

_UNSCORED = -1  # the rank of a log without a score; no index has them at the end


@dataclass(frozen=True)
class UnscoredLast(Order):
    """The ascending order by rank, in which logs without a score follow all others.

    `columns` begin with the rank. The two kinds are two ranges of its index. No log of the select has a score below
    `least`; all of them have one if `is_scored`, and none if that is False.
    """

    least: float = 0
    is_scored: bool | None = None

    def sort(self, select: Select[Any]) -> Select[Any]:
        """Return the select with its ORDER BY, for which no index serves."""
        return select.order_by(case((Log.rank < 0, 1), else_=0), *(column.asc() for column in self.columns))

    def split(self, select: Select[Any]) -> Sequence[Select[Any]]:
        """Return the select of those with a score, and of those without one."""
        return [Order(columns, True).sort(part) for part, columns in self._parts(select, None)]

    def page(self, select: Select[Any], cursor: str | None, count: int) -> tuple[Select[Any], Columns]:
        """Return the page: `count` keys of each kind are read, and of these so many rows."""
        keys = union_all(*(self._keys(*part, place, count) for place, part in enumerate(self._parts(select, cursor))))
        page = keys.subquery("page")
        rows = _LOGS.join(page, page.c.seq == Log.seq).order_by(page.c.place, *(each.asc() for each in self.columns))
        return rows.limit(count), self.columns

    def _parts(self, select: Select[Any], cursor: str | None) -> list[tuple[Select[Any], Columns]]:
        """Return the selects of both kinds, after the row of the cursor, with the columns that each is sorted by."""
        logs = select.order_by(None)
        unscored = logs.where(Log.rank == _UNSCORED)
        newest = self.columns[1:]
        rank, _, rest = (cursor or "").partition("-")
        if rank and split_cursor(rank) == [0]:
            return [(Order(newest, True).start_after(unscored, rest), newest)]
        scored = logs.where(Log.rank >= self.least) if cursor is None else self.start_after(logs, cursor)
        parts: list[tuple[Select[Any], Columns]] = [(scored, self.columns), (unscored, newest)]
        # SQLite would read a whole part to see that it has none of the logs
        return parts if self.is_scored is None else parts[:1] if self.is_scored else parts[1:]

    def _keys(self, logs: Select[Any], columns: Columns, place: int, count: int) -> Select[Any]:
        """Return the select of the keys of the first rows of one kind."""
        keys = Order(columns, True).sort(logs.with_only_columns(Log.seq.label("seq"))).limit(count).subquery()
        return select(keys.c.seq, literal(place).label("place"))


_LOGS = select(Log)
