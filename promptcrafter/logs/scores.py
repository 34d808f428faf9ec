"""Scores in the database. Call the writing functions inside `transactions.writing()`.

All scores of a log are kept. The log stores two values derived from them: `score`, the one given last, and
`mean_score`, the mean over its raters, imported ones included. Both are written in the transaction of the score, so
only writers of the same log wait for each other.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple, get_args

from sqlalchemy import (
    ColumnElement,
    Select,
    delete,
    func,
    select,
    tuple_,
)
from sqlalchemy.orm import load_only

from promptcrafter import clock
from promptcrafter.database.base import Base
from promptcrafter.database.deletions import is_present
from promptcrafter.database.session import is_sqlite, session
from promptcrafter.ids import new_id
from promptcrafter.logs.models import DEFAULT_NAME, HUMAN, IMPORTED, OF_TRACE, Log, Score
from promptcrafter.logs.score_columns import COUNTED, is_default, refresh_logs
from promptcrafter.problems import Problem
from promptcrafter.workspaces import audit, quota
from promptcrafter.workspaces.access import (
    find_obstacle,
    get_resource,
    in_current_workspace,
    not_found,
    refuse_inaccessible,
    refuse_malformed,
)
from promptcrafter.workspaces.principal import Principal, refuse_non_owner

SCORES_MAX = 1000  # of a log
ValueKind = Literal["number", "boolean", "category"]
VALUE_KINDS: tuple[ValueKind, ...] = get_args(ValueKind)
# Returns what the workspace with this id has against the value of a score, if anything
FindFault = Callable[[str, Mapping[str, Any]], Problem | None]

_LOGS = Base.metadata.tables["logs"]
_PARENTS = {"prompts": "prompt_id", "experiments": "experiment_id", "traces": "trace_id"}  # in which order to lock them
MILLISECOND = timedelta(milliseconds=1)
_LATEST = datetime(9999, 12, 31, 23, 59, 59, 999000, UTC)  # an import may have it


class ScoreKey(NamedTuple):
    """What tells the scores of all logs apart."""

    log_seq: int
    name: str
    annotator: str
    rater: str
    identifier: str


def put_score(
    principal: Principal, values: Mapping[str, Any], find_fault: FindFault | None = None
) -> tuple[Score, bool]:
    """Insert or replace one score; return it with whether it is new. Raises what `put_scores` would return."""
    (result,) = put_scores(principal, [values], find_fault)
    if isinstance(result, Problem):
        raise result
    session.refresh(result[0])  # with the log's id and the author's name, before the commit
    return result


def put_scores(
    principal: Principal, scores: Sequence[Mapping[str, Any] | Problem], find_fault: FindFault | None = None
) -> list[tuple[Score, bool] | Problem]:
    """Insert or replace scores of the principal, in their order; return each with whether it is new, or its problem.

    A score has the keys `log_id`, `name`, `value_kind`, `number`, `category`, `annotator` and `identifier`, and
    `comment` unless that of the replaced one stays. A `Problem` among the scores is returned unchanged. The logs are
    locked until the commit, all in the same order, so that requests with several never wait for each other in a circle.

    A score that the principal gave elsewhere and that an import brought back is replaced, too: nobody counts twice.
    """
    given = [score for score in scores if not isinstance(score, Problem)]
    logs = lock_logs({score["log_id"] for score in given})
    stored = _get_stored(principal, logs, given)
    tallies = tally_scores(logs.values())
    now = clock.now()
    results: list[tuple[Score, bool] | Problem] = []
    shown_scores: dict[int, float] = {}
    replaced: list[str] = []
    for values in scores:
        if isinstance(values, Problem):
            results.append(values)
            continue
        log = logs.get(values["log_id"])
        if log is None:
            results.append(not_found("log"))
            continue
        key, tally = _key_of(principal, log, values), tallies[log.seq]
        former = None if key in stored else stored.get(key._replace(rater=f"{IMPORTED}{principal.user_id}"))
        problem = find_obstacle(principal, "log", log.workspace_id)
        if problem is None and find_fault is not None:
            problem = find_fault(log.workspace_id, values)
        if problem is None and key not in stored and former is None and tally.count >= SCORES_MAX:
            problem = _too_many(log, key)
        if problem is not None:
            results.append(problem)
            continue
        is_new = key not in stored
        if former is not None:
            session.delete(former)
            replaced.append(former.id)
            tally.count -= 1
        if is_new:
            tally.count += 1
            stored[key] = Score(
                id=new_id("score"),
                workspace_id=log.workspace_id,
                author_id=principal.user_id,
                prompt_id=log.prompt_id,
                trace_id=find_trace_id(log, key.identifier),
                created_at=now,
                **key._asdict(),
            )
            session.add(stored[key])
        _set_value(stored[key], values, tally.next_time(now), now)
        if is_default(stored[key]):
            shown_scores[log.seq] = values["number"]
        results.append((stored[key], is_new))
    for workspace_id in {result[0].workspace_id for result in results if not isinstance(result, Problem)}:
        quota.check_growth(workspace_id)
    session.flush()
    audit.forget(*replaced)
    refresh_logs(shown_scores, now)
    return results


def set_own(principal: Principal, log: Log, number: float | None) -> None:
    """Set the score that the principal gives to a locked log, and that it shows; None removes both.

    This is what the documented calls write: the scores of others stay.
    """
    if number is not None:
        value = {"value_kind": "number", "number": number, "category": None}
        key = {"log_id": log.id, "name": DEFAULT_NAME, "annotator": HUMAN, "identifier": ""}
        put_scores(principal, [{**key, **value}])
    else:
        _remove_own(principal, log)
        refresh_logs({log.seq: None}, clock.now())
    session.refresh(log)


def find_scores(principal: Principal, filters: Mapping[str, Any]) -> Select[Score]:
    """Return a select of the scores in the current workspace, or of the prompt `promptId`, that match the filters.

    With the filter `promptId` the caller must have checked that the prompt belongs to the principal.
    """
    scope = Score.prompt_id == filters["promptId"] if "promptId" in filters else in_current_workspace(principal, Score)
    conditions = (_FILTERS[name](value) for name, value in filters.items() if name in _FILTERS)
    return select(Score).join(Log, Log.seq == Score.log_seq).where(scope, is_present(Log), *conditions)


def find_scores_of_log(log: Log) -> Select[Score]:
    """Return a select of the scores of a log."""
    return select(Score).where(Score.log_seq == log.seq)


def get_newest_scores(log: Log, count: int) -> Sequence[Score]:
    """Return the newest scores of a log."""
    newest = find_scores_of_log(log).order_by(Score.created_at.desc(), Score.seq.desc())
    return session.scalars(newest.limit(count)).all()


def get_own_score(principal: Principal, log: Log, name: str) -> Score | None:
    """Return the score that the principal gave a log as a person, under this name; None without one."""
    own = (Score.name == name) & (Score.annotator == HUMAN) & (Score.rater == principal.user_id)
    return session.scalar(find_scores_of_log(log).where(own, Score.identifier == ""))


def get_imported_score(principal: Principal, log: Log, name: str) -> Score | None:
    """Return the score under this name that came with an import as one of the principal; None without one.

    One that the principal gives replaces it.
    """
    own = (Score.name == name) & (Score.annotator == HUMAN) & (Score.rater == f"{IMPORTED}{principal.user_id}")
    return session.scalar(find_scores_of_log(log).where(own, Score.identifier == ""))


def get_score(principal: Principal, score_id: str) -> Score:
    """Return the score. Raises as `get_resource` does."""
    score = get_resource(principal, Score, score_id)
    if session.scalar(select(Log.seq).where(Log.seq == score.log_seq, is_present(Log))) is None:
        raise not_found("score")
    return score


def lock_score(principal: Principal, score_id: str) -> tuple[Score, Log]:
    """Return a score that the principal may change, and its log, locked until the commit.

    Raises as `get_resource` does, and 403 for the score of somebody else unless the principal is an owner.
    """
    refuse_malformed("score", score_id)
    log_id = session.scalar(select(Log.id).join(Score, Score.log_seq == Log.seq).where(Score.id == score_id))
    log = lock_logs({log_id}).get(log_id) if log_id else None
    score = session.scalar(select(Score).where(Score.id == score_id))  # after the lock: it may have been removed
    if log is None or score is None:
        raise not_found("score")
    refuse_inaccessible(principal, "score", score.workspace_id)
    if score.rater != principal.user_id:
        refuse_non_owner(principal, score.workspace_id, "a score of somebody else")
    return score, log


def change_score(principal: Principal, score: Score, log: Log, changes: Mapping[str, Any]) -> None:
    """Change value or comment of a locked score. The audit trail has what an owner changes of another's score."""
    now = clock.now()
    before = {"value": score.value, "comment": score.comment}
    quota.check_growth(score.workspace_id)
    if "value_kind" in changes:
        _set_value(score, changes, tally_scores([log])[log.seq].next_time(now), now)
    else:
        score.comment, score.updated_at = changes["comment"], now
    if score.rater != principal.user_id:
        after = {"value": score.value, "comment": score.comment}
        changed = [name for name in after if after[name] != before[name]]
        shown = {"before": {name: before[name] for name in changed}, "after": {name: after[name] for name in changed}}
        _note(principal, score, log, "score.change", name=score.name, **shown)
    session.flush()
    if "value_kind" in changes and is_default(score):
        refresh_logs({log.seq: score.number}, now)


def remove_score(principal: Principal, score: Score, log: Log) -> None:
    """Delete a locked score. If the log shows it, the log then shows the newest one that remains, if any.

    The newest one may have been imported, and then the log may show an older one.
    """
    audit.forget(score.id)
    if score.rater != principal.user_id:
        _note(principal, score, log, "score.delete")
    counted = select(Score.id, Score.number).where(Score.log_seq == log.seq, COUNTED).order_by(Score.valued_at.desc())
    newest = session.execute(counted.limit(1)).first()
    session.delete(score)
    session.flush()
    if not is_default(score):
        return
    shown_score = log.score
    if shown_score is not None:
        is_shown = newest is None or newest.id == score.id
        if is_shown or session.execute(counted.where(Score.number == shown_score).limit(1)).first() is None:
            left = session.execute(counted.limit(1)).first()
            shown_score = None if left is None else left.number
    refresh_logs({log.seq: shown_score}, clock.now())


@dataclass
class Tally:
    """How many scores a log has, and the last time that a value of them was written."""

    count: int = 0
    last: datetime | None = None

    def next_time(self, now: datetime) -> datetime:
        """Return a time for a value that is written now: later than all before, however many come in a millisecond."""
        self.last = now if self.last is None or self.last >= _LATEST else max(now, self.last + MILLISECOND)
        return self.last


_FILTERS: dict[str, Callable[[Any], ColumnElement[bool]]] = {
    "name": lambda name: Score.name == name,
    "annotator": lambda annotator: Score.annotator == annotator,
    "author": lambda user_id: Score.rater_id == user_id,
    "since": lambda moment: Score.created_at >= moment,
    "until": lambda moment: Score.created_at < moment,
}


def lock_logs(log_ids: set[str]) -> dict[str, Log]:
    """Return the logs that exist, by id, locked until the commit in the order of their sequence numbers."""
    if len(log_ids) > 1 and not is_sqlite():
        _lock_parents(log_ids)
    columns = (Log.seq, Log.id, Log.workspace_id, Log.prompt_id, Log.trace_id, Log.score)
    locked = select(Log).options(load_only(*columns)).where(Log.id.in_(log_ids), is_present(Log)).order_by(Log.seq)
    # FOR NO KEY UPDATE: rows that refer to the logs can still be inserted meanwhile
    logs = session.scalars(locked.with_for_update(key_share=True).execution_options(populate_existing=True))
    return {log.id: log for log in logs}


def _lock_parents(log_ids: set[str]) -> None:
    """Keep what the logs belong to from being deleted, which would lock these logs in another order."""
    for name, column in _PARENTS.items():
        parent = Base.metadata.tables[name]
        of_logs = select(_LOGS.c[column]).where(_LOGS.c.id.in_(log_ids))
        locked = select(parent.c.id).where(parent.c.id.in_(of_logs)).order_by(parent.c.id)
        session.execute(locked.with_for_update(read=True, key_share=True))


def _key_of(principal: Principal, log: Log, values: Mapping[str, Any]) -> ScoreKey:
    return ScoreKey(log.seq, values["name"], values["annotator"], principal.user_id, values["identifier"])


def _get_stored(
    principal: Principal, logs: Mapping[str, Log], scores: Iterable[Mapping[str, Any]]
) -> dict[ScoreKey, Score]:
    """Return the scores of the principal that would be replaced, imported ones included, by their keys."""
    keys = {_key_of(principal, logs[values["log_id"]], values) for values in scores if values["log_id"] in logs}
    stored = session.scalars(select(Score).where(has_key(with_imported(keys))))
    return {ScoreKey(row.log_seq, row.name, row.annotator, row.rater, row.identifier): row for row in stored}


def with_imported(keys: Collection[ScoreKey]) -> list[ScoreKey]:
    """Return keys of imported scores and of scores given here, each in both forms."""
    raters = [(key, key.rater.removeprefix(IMPORTED)) for key in keys]
    return [key._replace(rater=f"{form}{rater}") for key, rater in raters for form in ("", IMPORTED)]


def has_key(keys: Collection[ScoreKey]) -> ColumnElement[bool]:
    """Return the condition that a score has one of the keys."""
    # by log and name, too: for rows of values alone SQLite would read the whole index
    of_logs = Score.log_seq.in_({key.log_seq for key in keys}) & Score.name.in_({key.name for key in keys})
    columns = tuple_(Score.log_seq, Score.name, Score.annotator, Score.rater, Score.identifier)
    return of_logs & columns.in_(keys)


def _too_many(log: Log, key: ScoreKey) -> Problem:
    rule = f"A log may have at most {SCORES_MAX:,} scores."
    if find_trace_id(log, key.identifier) is not None:
        rule = f"A trace may have at most {SCORES_MAX:,} scores, with those of its last output."
    return Problem(409, rule, "too_many_scores")


def find_trace_id(log: Log, identifier: str) -> str | None:
    """Return the trace that a score at this log is one of; None if it is one of the log itself."""
    return log.trace_id if OF_TRACE.fullmatch(identifier) else None


def tally_scores(logs: Iterable[Log]) -> dict[int, Tally]:
    """Return the tallies of all logs, by sequence number."""
    seqs = [log.seq for log in logs]
    counted = select(Score.log_seq, func.count(), func.max(Score.valued_at)).where(Score.log_seq.in_(seqs))
    found = {seq: Tally(count, last) for seq, count, last in session.execute(counted.group_by(Score.log_seq))}
    return {seq: found.get(seq) or Tally() for seq in seqs}


def _set_value(score: Score, values: Mapping[str, Any], valued_at: datetime, now: datetime) -> None:
    for name in ("value_kind", "number", "category"):
        setattr(score, name, values[name])
    if "comment" in values:
        score.comment = values["comment"]
    score.updated_at, score.valued_at = now, valued_at


def _remove_own(principal: Principal, log: Log) -> None:
    own = (Score.log_seq == log.seq) & COUNTED & (Score.rater == principal.user_id) & (Score.identifier == "")
    removed = delete(Score).where(own).returning(Score.id).execution_options(synchronize_session=False)
    audit.forget(*session.scalars(removed))


def _note(principal: Principal, score: Score, log: Log, action: str, name: str | None = None, **values: Any) -> None:
    # within the log, not its prompt: the entry loses its texts when the log is deleted, whatever that is a part of
    audit.note(principal, score.workspace_id, action, "score", score.id, name, within_id=log.id, **values)
