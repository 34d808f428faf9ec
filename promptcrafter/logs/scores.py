"""Scores in the database. Call the writing functions inside `transactions.writing()`.

Everybody's score of a log is kept; a log shows one figure, the last score that a member gave it, and statistics read
the mean of all members. Both are columns of the log, written in the transaction of the score: nobody but the writers of
that log waits for the other.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Float,
    Integer,
    Select,
    String,
    Text,
    bindparam,
    cast,
    delete,
    exists,
    func,
    insert,
    inspect,
    literal_column,
    select,
    tuple_,
    update,
)
from sqlalchemy.orm import Session, load_only
from sqlalchemy.types import TypeEngine

from promptcrafter import clock
from promptcrafter.database.base import Base, UtcTime
from promptcrafter.database.compiled import CompiledWrite, from_arrays
from promptcrafter.database.deletions import is_present
from promptcrafter.database.session import is_sqlite, session
from promptcrafter.ids import new_id
from promptcrafter.logs import changed_days
from promptcrafter.logs.models import IMPORTED, Log, Score
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

DEFAULT_NAME, HUMAN = "score", "human"  # of the scores that a log's own `score` is the last one of
SCORES_MAX = 1000  # of a log
ANNOTATORS = ("human", "enduser", "judge", "code")
ValueKind = Literal["number", "boolean", "category"]
# Returns what the workspace with this id has against the value of a score, if anything
FindFault = Callable[[str, Mapping[str, Any]], Problem | None]

_TABLE = Base.metadata.tables["scores"]
_LOGS = Base.metadata.tables["logs"]
_PARENTS = {"prompts": "prompt_id", "experiments": "experiment_id", "traces": "trace_id"}  # in which order to lock them
_MILLISECOND = timedelta(milliseconds=1)
_LATEST = datetime(9999, 12, 31, 23, 59, 59, 999000, UTC)  # an import may have it
AGGREGATES = ("mean_score", "ratings", "scored_at")  # of the scores of a log that people gave
_NEW: dict[str, TypeEngine[Any]] = {
    "id": String(64),
    "workspace_id": String(64),
    "author_id": String(64),
    "log_id": String(64),
    "prompt_id": String(64),
    "rater": String(64),
    "number": Float(53),
    "created_at": UtcTime(),
}
_REPORTED: dict[str, TypeEngine[Any]] = {
    **_NEW,
    "name": String(64),
    "value_kind": String(8),
    "category": String(64),
    "annotator": String(8),
    "identifier": String(64),
    "valued_at": UtcTime(),
}

_GIVEN = ("name", "value_kind", "number", "category", "annotator", "identifier")  # by those who report scores


def is_counted(model: Any) -> ColumnElement[bool]:
    """Return the condition that a score is one of which a log shows the last one; `model` is `Score` or an alias."""
    condition: ColumnElement[bool] = (
        (model.name == DEFAULT_NAME) & (model.annotator == HUMAN) & (model.value_kind == "number")
    )
    return condition


_COUNTED = is_counted(Score)
_RESTORED = tuple(
    attribute.key
    for attribute in inspect(Score).column_attrs
    if attribute.key not in ("seq", "log_id", "author_name", "rater_id")
)


def _make_insert(types: Mapping[str, TypeEngine[Any]]) -> CompiledWrite:
    """Return the statement that inserts scores of new logs. What has no type here is as in the default score.

    On SQLite it has VALUES: before an INSERT with a SELECT, SQLite opens a savepoint, at which the full-text index
    writes out what it has gathered, and that takes three times as long as the insertion.
    """
    parameters: dict[str, ColumnElement[Any]] = {name: bindparam(name, type_=type_) for name, type_ in types.items()}
    rows = from_arrays({name: Text() if isinstance(type_, String) else type_ for name, type_ in types.items()})
    log_seq = select(_LOGS.c.seq).where(_LOGS.c.id == parameters["log_id"]).scalar_subquery()
    into, unnested = insert(_TABLE).inline(), _columns_of_new(dict(rows.c), _LOGS.c.seq)
    return CompiledWrite(
        [into.values(_columns_of_new(parameters, log_seq))],
        into.from_select(
            list(unnested),
            select(*unnested.values())
            .join_from(rows, _LOGS, _LOGS.c.id == rows.c.log_id)
            .order_by(_LOGS.c.seq, unnested["valued_at"]),
        ),
    )


def _columns_of_new(
    new: Mapping[str, ColumnElement[Any]], log_seq: ColumnElement[Any]
) -> dict[str, ColumnElement[Any]]:
    texts = {"name": DEFAULT_NAME, "value_kind": "number", "annotator": HUMAN, "identifier": ""}
    others = {name: literal_column(f"'{value}'", String(64)) for name, value in texts.items()}
    times = dict.fromkeys(("created_at", "updated_at", "valued_at"), new["created_at"])
    columns = {**others, **times, "log_seq": log_seq, **new}
    return {name: column for name, column in columns.items() if name in _TABLE.c}


_INSERT, _INSERT_REPORTED = _make_insert(_NEW), _make_insert(_REPORTED)


class ScoresChanged(Problem):
    """409: the logs of an import, or their scores, are not what they were when it was checked."""

    def __init__(self) -> None:
        super().__init__(409, "The logs or their scores have changed meanwhile.", "scores_changed")


class ScoreKey(NamedTuple):
    """What tells the scores of all logs apart."""

    log_seq: int
    name: str
    annotator: str
    rater: str
    identifier: str


def complete_log(log: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the attributes of a log that is to be inserted, with those that follow from its score."""
    if log.get("score") is None:
        return log
    return {**log, "mean_score": log["score"], "ratings": 1, "scored_at": log["updated_at"]}


def insert_for_logs(logs: Sequence[Mapping[str, Any]], *, imported: bool) -> None:
    """Insert the scores with which logs arrived: those of the log's author, or of an unknown one.

    Besides its `score`, a log may have a list `scores` of the columns of others; of no two are all keys the same, and
    none is of those that a log shows.
    """
    taken = _find_taken_ids(logs) if imported else ()
    rows = [
        {
            **_columns_of_log(log),
            "id": new_id("score") if log["id"] in taken else _derive_id(log["id"]),
            "rater": IMPORTED if imported else log["author_id"],
            "number": log["score"],
        }
        for log in logs
        if log.get("score") is not None
    ]
    if rows:
        _INSERT.execute(rows)
    reported = [
        {
            **_columns_of_log(log),
            "id": new_id("score"),
            "rater": log["author_id"],
            "valued_at": log["updated_at"] + place * _MILLISECOND,
            **{name: score[name] for name in _GIVEN},
        }
        for log in logs
        for place, score in enumerate(log.get("scores", ()), start=1)
    ]
    if reported:
        _INSERT_REPORTED.execute(reported)


def _columns_of_log(log: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "workspace_id": log["workspace_id"],
        "author_id": log["author_id"],
        "log_id": log["id"],
        "prompt_id": log.get("prompt_id"),
        "created_at": log["updated_at"],
    }


def restore_scores(principal: Principal, scores: Sequence[Mapping[str, Any]]) -> None:
    """Insert scores of an import in their order, with their own ids and times. The figures that the logs show stay.

    A score has all columns but those of the log, and `log_id`. Raises ScoresChanged if a log is not in the current
    workspace, has the score of the rater already, or would have too many.
    """
    if not scores:
        return
    logs = _lock_logs({score["log_id"] for score in scores})
    tallies = _count_scores(logs.values())
    rows = []
    for score in scores:
        log = logs.get(score["log_id"])
        if log is None or log.workspace_id != principal.workspace_id or tallies[log.seq].count >= SCORES_MAX:
            raise ScoresChanged
        tallies[log.seq].count += 1
        own = {"workspace_id": log.workspace_id, "author_id": principal.user_id, "prompt_id": log.prompt_id}
        rows.append({**score, **own, "log_seq": log.seq})
    if get_taken(session(), [_key_of_row(row) for row in rows]):
        raise ScoresChanged
    session.execute(insert(Score), [{name: row[name] for name in _RESTORED} for row in rows])
    quota.check_growth(principal.workspace_id)
    log_seqs = {row["log_seq"] for row in rows}
    session.execute(update(Log), _aggregate(log_seqs))
    changed_days.mark_logs(log_seqs)


def get_taken(reader: Session, keys: Collection[ScoreKey]) -> set[ScoreKey]:
    """Return those keys of imported scores for which there is a score already.

    It may be an imported one or one of the account with the id of the rater: a file that comes back must not count
    twice what somebody has scored here again.
    """
    columns = (Score.log_seq, Score.name, Score.annotator, Score.rater, Score.identifier)
    rows = reader.execute(select(*columns).where(_has_key(_with_imported(keys))))
    found = (ScoreKey(*row) for row in rows)
    return {key._replace(rater=f"{IMPORTED}{key.rater.removeprefix(IMPORTED)}") for key in found}


def count_scores(reader: Session, log_seqs: Collection[int]) -> dict[int, int]:
    """Return how many scores logs have, by their sequence numbers; those without scores are left out."""
    counted = select(Score.log_seq, func.count()).where(Score.log_seq.in_(log_seqs)).group_by(Score.log_seq)
    return dict(reader.execute(counted).all())


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
    logs = _lock_logs({score["log_id"] for score in given})
    stored = _get_stored(principal, logs, given)
    tallies = _count_scores(logs.values())
    now = clock.now()
    results: list[tuple[Score, bool] | Problem] = []
    figures: dict[int, float] = {}
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
            problem = Problem(409, f"A log may have at most {SCORES_MAX:,} scores.", "too_many_scores")
        if problem is not None:
            results.append(problem)
            continue
        is_new = key not in stored
        if former is not None:
            session.delete(former)
            tally.count -= 1
        if is_new:
            tally.count += 1
            stored[key] = Score(
                id=new_id("score"),
                workspace_id=log.workspace_id,
                author_id=principal.user_id,
                prompt_id=log.prompt_id,
                created_at=now,
                **key._asdict(),
            )
            session.add(stored[key])
        _set_value(stored[key], values, tally.next_time(now), now)
        if is_default(stored[key]):
            figures[log.seq] = values["number"]
        results.append((stored[key], is_new))
    for workspace_id in {result[0].workspace_id for result in results if not isinstance(result, Problem)}:
        quota.check_growth(workspace_id)
    session.flush()
    _refresh_logs(figures, now)
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
        _refresh_logs({log.seq: None}, clock.now())
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
    log = _lock_logs({log_id}).get(log_id) if log_id else None
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
        _set_value(score, changes, _count_scores([log])[log.seq].next_time(now), now)
    else:
        score.comment, score.updated_at = changes["comment"], now
    if score.rater != principal.user_id:
        after = {"value": score.value, "comment": score.comment}
        changed = [name for name in after if after[name] != before[name]]
        shown = {"before": {name: before[name] for name in changed}, "after": {name: after[name] for name in changed}}
        _note(principal, score, log, "score.change", name=score.name, **shown)
    session.flush()
    if "value_kind" in changes and is_default(score):
        _refresh_logs({log.seq: score.number}, now)


def remove_score(principal: Principal, score: Score, log: Log) -> None:
    """Delete a locked score. If the log shows it, the log then shows the newest one that remains, if any.

    The newest one may have been imported, and then the log may show an older one.
    """
    audit.forget(score.id)
    if score.rater != principal.user_id:
        _note(principal, score, log, "score.delete")
    counted = select(Score.id, Score.number).where(Score.log_seq == log.seq, _COUNTED).order_by(Score.valued_at.desc())
    newest = session.execute(counted.limit(1)).first()
    session.delete(score)
    session.flush()
    if not is_default(score):
        return
    figure = log.score
    if figure is not None:
        is_shown = newest is None or newest.id == score.id
        if is_shown or session.execute(counted.where(Score.number == figure).limit(1)).first() is None:
            left = session.execute(counted.limit(1)).first()
            figure = None if left is None else left.number
    _refresh_logs({log.seq: figure}, clock.now())


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
        .where(condition, _COUNTED)
        .group_by(Score.log_seq, Score.rater)
        .subquery()
    ).c
    return select(
        of_rater.log_seq,
        func.avg(of_rater.mean).label("mean_score"),
        cast(func.sum(of_rater.ratings), Integer).label("ratings"),
        func.min(of_rater.first).label("scored_at"),
    ).group_by(of_rater.log_seq)


def refresh_aggregates(log_seqs: Collection[int], figures: Collection[int]) -> None:
    """Set what logs keep of their scores anew, and let those in `figures` show their newest one."""
    session.scalars(
        select(Log.seq).where(Log.seq.in_(log_seqs)).order_by(Log.seq).with_for_update(key_share=True)
    ).all()
    rows = _aggregate(log_seqs)
    if rows:
        session.execute(update(Log), rows)
    newest = select(Score.number).where(Score.log_seq == Log.seq, _COUNTED).order_by(Score.valued_at.desc()).limit(1)
    if figures:
        session.execute(
            update(Log).where(Log.seq.in_(figures)).values(score=newest.scalar_subquery()),
            execution_options={"synchronize_session": False},
        )
    changed_days.mark_logs(log_seqs)


def has_score_of_person() -> ColumnElement[bool]:
    """Return the condition that a person, whether a member or not, has given a log a score of any name."""
    return exists().where(Score.log_seq == Log.seq, Score.annotator.in_((HUMAN, "enduser")))


def is_default(score: Score) -> bool:
    """Return whether this is one of the scores of which a log shows the last one."""
    return score.name == DEFAULT_NAME and score.annotator == HUMAN


@dataclass
class _Tally:
    """How many scores a log has, and the last time that a value of them was written."""

    count: int = 0
    last: datetime | None = None

    def next_time(self, now: datetime) -> datetime:
        """Return a time for a value that is written now: later than all before, however many come in a millisecond."""
        self.last = now if self.last is None or self.last >= _LATEST else max(now, self.last + _MILLISECOND)
        return self.last


_FILTERS: dict[str, Callable[[Any], ColumnElement[bool]]] = {
    "name": lambda name: Score.name == name,
    "annotator": lambda annotator: Score.annotator == annotator,
    "author": lambda user_id: Score.rater_id == user_id,
    "since": lambda moment: Score.created_at >= moment,
    "until": lambda moment: Score.created_at < moment,
}


def _lock_logs(log_ids: set[str]) -> dict[str, Log]:
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


def _key_of_row(row: Mapping[str, Any]) -> ScoreKey:
    return ScoreKey(row["log_seq"], row["name"], row["annotator"], row["rater"], row["identifier"])


def _key_of(principal: Principal, log: Log, values: Mapping[str, Any]) -> ScoreKey:
    return ScoreKey(log.seq, values["name"], values["annotator"], principal.user_id, values["identifier"])


def _get_stored(
    principal: Principal, logs: Mapping[str, Log], scores: Iterable[Mapping[str, Any]]
) -> dict[ScoreKey, Score]:
    """Return the scores of the principal that would be replaced, imported ones included, by their keys."""
    keys = {_key_of(principal, logs[values["log_id"]], values) for values in scores if values["log_id"] in logs}
    stored = session.scalars(select(Score).where(_has_key(_with_imported(keys))))
    return {ScoreKey(row.log_seq, row.name, row.annotator, row.rater, row.identifier): row for row in stored}


def _with_imported(keys: Collection[ScoreKey]) -> list[ScoreKey]:
    """Return keys of imported scores and of scores given here, each in both forms."""
    raters = [(key, key.rater.removeprefix(IMPORTED)) for key in keys]
    return [key._replace(rater=f"{form}{rater}") for key, rater in raters for form in ("", IMPORTED)]


def _has_key(keys: Collection[ScoreKey]) -> ColumnElement[bool]:
    """Return the condition that a score has one of the keys."""
    # by log and name, too: for rows of values alone SQLite would read the whole index
    of_logs = Score.log_seq.in_({key.log_seq for key in keys}) & Score.name.in_({key.name for key in keys})
    columns = tuple_(Score.log_seq, Score.name, Score.annotator, Score.rater, Score.identifier)
    return of_logs & columns.in_(keys)


def _count_scores(logs: Iterable[Log]) -> dict[int, _Tally]:
    seqs = [log.seq for log in logs]
    counted = select(Score.log_seq, func.count(), func.max(Score.valued_at)).where(Score.log_seq.in_(seqs))
    found = {seq: _Tally(count, last) for seq, count, last in session.execute(counted.group_by(Score.log_seq))}
    return {seq: found.get(seq) or _Tally() for seq in seqs}


def _set_value(score: Score, values: Mapping[str, Any], valued_at: datetime, now: datetime) -> None:
    for name in ("value_kind", "number", "category"):
        setattr(score, name, values[name])
    if "comment" in values:
        score.comment = values["comment"]
    score.updated_at, score.valued_at = now, valued_at


def _remove_own(principal: Principal, log: Log) -> None:
    own = (Score.log_seq == log.seq) & _COUNTED & (Score.rater == principal.user_id) & (Score.identifier == "")
    removed = delete(Score).where(own).returning(Score.id).execution_options(synchronize_session=False)
    audit.forget(*session.scalars(removed))


def _refresh_logs(figures: Mapping[int, float | None], now: datetime) -> None:
    """Set what logs show of their scores: the figures, by sequence number, and the mean of all that people gave."""
    if figures:
        rows = [{**row, "score": figures[row["seq"]], "updated_at": now} for row in _aggregate(figures)]
        session.execute(update(Log), rows)
        changed_days.mark_logs(figures)


def _aggregate(log_seqs: Collection[int]) -> list[dict[str, Any]]:
    """Return, for each of the logs, its sequence number and the attributes that follow from its scores."""
    found = {row.log_seq: row for row in session.execute(find_aggregates(Score.log_seq.in_(log_seqs)))}
    rows = ((seq, found.get(seq)) for seq in log_seqs)
    return [{"seq": seq, **{name: row and getattr(row, name) for name in AGGREGATES}} for seq, row in rows]


def _derive_id(log_id: str) -> str:
    """Return the id of the score with which a log arrived: all servers on which it is imported have the same one."""
    return f"score{log_id.removeprefix('log')}"


def _find_taken_ids(logs: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the ids of imported logs for whose score the derived id is one of another score already."""
    ids = {_derive_id(log["id"]): log["id"] for log in logs if log.get("score") is not None}
    return {ids[score_id] for score_id in session.scalars(select(Score.id).where(Score.id.in_(ids)))} if ids else set()


def _note(principal: Principal, score: Score, log: Log, action: str, name: str | None = None, **values: Any) -> None:
    # within the log, not its prompt: the entry loses its texts when the log is deleted, whatever that is a part of
    audit.note(principal, score.workspace_id, action, "score", score.id, name, within_id=log.id, **values)
