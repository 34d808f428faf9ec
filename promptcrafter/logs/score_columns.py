"""What logs keep of their scores: the one that a log shows, and the mean, the number and the first time of them all.

They are columns of the log, written in the transaction of the score. Call the writing functions inside
`transactions.writing()`.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Integer, Select, cast, exists, func, select, update

from promptcrafter.database.session import session
from promptcrafter.logs import changed_days
from promptcrafter.logs.models import DEFAULT_NAME, HUMAN, Log, Score

AGGREGATES = ("mean_score", "ratings", "scored_at")  # of the scores of a log that people gave


def is_counted(model: Any) -> ColumnElement[bool]:
    """Return the condition that a score is one of which a log shows the last one; `model` is `Score` or an alias."""
    condition: ColumnElement[bool] = (
        (model.name == DEFAULT_NAME) & (model.annotator == HUMAN) & (model.value_kind == "number")
    )
    return condition


COUNTED = is_counted(Score)


def is_default(score: Score) -> bool:
    """Return whether this is one of the scores of which a log shows the last one."""
    return score.name == DEFAULT_NAME and score.annotator == HUMAN


def has_score_of_person() -> ColumnElement[bool]:
    """Return the condition that a person, whether a member or not, has given a log a score of any name."""
    return exists().where(Score.log_seq == Log.seq, Score.annotator.in_((HUMAN, "enduser")))


def find_aggregates(condition: ColumnElement[bool]) -> Select[Any]:
    """Return a select of what logs keep of the scores that people gave: `log_seq`, and `AGGREGATES` by these names.

    The condition is one on the scores, such as on the logs that they are of; logs without such scores are left out.
    """
    of_rater = (
        select(
            Score.log_seq,
            func.avg(Score.number).label("mean"),
            func.count().label("ratings"),
            func.min(Score.created_at).label("first"),
        )
        .where(condition, COUNTED)
        .group_by(Score.log_seq, Score.rater)
        .subquery()
    ).c
    return select(
        of_rater.log_seq,
        func.avg(of_rater.mean).label("mean_score"),
        cast(func.sum(of_rater.ratings), Integer).label("ratings"),
        func.min(of_rater.first).label("scored_at"),
    ).group_by(of_rater.log_seq)


def aggregate(log_seqs: Collection[int]) -> list[dict[str, Any]]:
    """Return, for each of the logs, its sequence number and the attributes that follow from its scores."""
    found = {row.log_seq: row for row in session.execute(find_aggregates(Score.log_seq.in_(log_seqs)))}
    rows = ((seq, found.get(seq)) for seq in log_seqs)
    return [{"seq": seq, **{name: row and getattr(row, name) for name in AGGREGATES}} for seq, row in rows]


def refresh_aggregates(log_seqs: Collection[int], showing_newest: Collection[int]) -> None:
    """Set what logs keep of their scores anew, and let those in `showing_newest` show their newest one."""
    session.scalars(
        select(Log.seq).where(Log.seq.in_(log_seqs)).order_by(Log.seq).with_for_update(key_share=True)
    ).all()
    rows = aggregate(log_seqs)
    if rows:
        session.execute(update(Log), rows)
    newest = select(Score.number).where(Score.log_seq == Log.seq, COUNTED).order_by(Score.valued_at.desc()).limit(1)
    if showing_newest:
        session.execute(
            update(Log).where(Log.seq.in_(showing_newest)).values(score=newest.scalar_subquery()),
            execution_options={"synchronize_session": False},
        )
    changed_days.mark_logs(log_seqs)


def refresh_logs(shown_scores: Mapping[int, float | None], now: datetime) -> None:
    """Set what logs keep of their scores: those that they show, by sequence number, and the mean of all by people."""
    if shown_scores:
        rows = [{**row, "score": shown_scores[row["seq"]], "updated_at": now} for row in aggregate(shown_scores)]
        session.execute(update(Log), rows)
        changed_days.mark_logs(shown_scores)
