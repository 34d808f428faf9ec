"""Compare what logs keep of their scores with the scores, and set it anew.

Mean, number and first time of the scores that people gave follow from these alone. The score that a log shows is one of
them, unless it has none: an import may have brought it without the scores of the log.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import and_, exists, func, select

from promptcrafter.database.session import read_snapshot
from promptcrafter.database.transactions import writing
from promptcrafter.logs.models import Log, Score
from promptcrafter.logs.score_columns import AGGREGATES, find_aggregates, is_counted, refresh_aggregates
from promptcrafter.maintenance import Progress

_LOGS_AT_ONCE = 1000
_OF_LOG = is_counted(Score) & (Score.log_seq == Log.seq)
_SHOWS_ANOTHER = and_(
    Log.score.is_not(None), exists().where(_OF_LOG), ~exists().where(_OF_LOG, Score.number == Log.score)
)


@dataclass
class Differences:
    """The sequence numbers of logs that differ from their scores: in what follows from these, and in what they show."""

    aggregates: list[int] = field(default_factory=list)
    shown_scores: list[int] = field(default_factory=list)


def compare(on_progress: Progress) -> Differences:
    """Return which logs of the database differ from their scores. Raises DBAPIError."""
    found = Differences()
    for differing in _each_batch(on_progress):
        found.aggregates += differing.aggregates
        found.shown_scores += differing.shown_scores
    return found


def mend(on_progress: Progress) -> int:
    """Let all logs follow from their scores; return how many did not. Raises DBAPIError, and what `writing` raises."""
    mended = 0
    for differing in _each_batch(on_progress):
        wrong = {*differing.aggregates, *differing.shown_scores}
        if wrong:
            with writing():
                refresh_aggregates(wrong, showing_newest=differing.shown_scores)
            mended += len(wrong)
    return mended


def _each_batch(on_progress: Progress) -> Iterator[Differences]:
    """Yield how the logs of each batch differ. `on_progress` is called with the number of logs read and their total."""
    with read_snapshot() as reader:
        total = reader.scalar(select(func.count(Log.seq))) or 0
    done, last = 0, -1
    columns = (Log.seq, *(getattr(Log, name) for name in AGGREGATES), _SHOWS_ANOTHER.label("shows_another"))
    batch = select(*columns).order_by(Log.seq).limit(_LOGS_AT_ONCE)
    while True:
        with read_snapshot() as reader:  # of the logs and of their scores at one time
            rows = reader.execute(batch.where(Log.seq > last)).all()
            if not rows:
                return
            is_of_batch = Score.log_seq.between(rows[0].seq, rows[-1].seq)
            expected = {row.log_seq: row for row in reader.execute(find_aggregates(is_of_batch))}
        yield Differences(
            [row.seq for row in rows if not _is_same(row, expected.get(row.seq))],
            [row.seq for row in rows if row.shows_another],
        )
        last, done = rows[-1].seq, done + len(rows)
        on_progress(done, max(total, done))


def _is_same(log: Any, expected: Any) -> bool:
    if expected is None or log.mean_score is None:
        return expected is None and all(getattr(log, name) is None for name in AGGREGATES)
    # the databases add numbers up in different ways
    is_near = math.isclose(log.mean_score, expected.mean_score, rel_tol=1e-9, abs_tol=1e-9)
    return is_near and (log.ratings, log.scored_at) == (expected.ratings, expected.scored_at)
