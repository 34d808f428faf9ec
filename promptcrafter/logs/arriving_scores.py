"""Scores that arrive with their logs, or with an import. Call the writing functions inside `transactions.writing()`."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Float,
    String,
    Text,
    bindparam,
    func,
    insert,
    inspect,
    literal_column,
    select,
    update,
)
from sqlalchemy.orm import Session
from sqlalchemy.types import TypeEngine

from promptcrafter.database.base import Base, UtcTime
from promptcrafter.database.compiled import CompiledWrite, from_arrays
from promptcrafter.database.session import session
from promptcrafter.ids import new_id
from promptcrafter.logs import changed_days
from promptcrafter.logs.models import DEFAULT_NAME, HUMAN, IMPORTED, Log, Score
from promptcrafter.logs.score_columns import aggregate
from promptcrafter.logs.scores import (
    MILLISECOND,
    SCORES_MAX,
    ScoreKey,
    find_trace_id,
    has_key,
    lock_logs,
    tally_scores,
    with_imported,
)
from promptcrafter.problems import Problem
from promptcrafter.workspaces import quota
from promptcrafter.workspaces.principal import Principal

_TABLE = Base.metadata.tables["scores"]
_LOGS = Base.metadata.tables["logs"]
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
            "valued_at": log["updated_at"] + place * MILLISECOND,
            **{name: score[name] for name in _GIVEN},
        }
        for log in logs
        for place, score in enumerate(log.get("scores", ()), start=1)
    ]
    if reported:
        _INSERT_REPORTED.execute(reported)


def restore_scores(principal: Principal, scores: Sequence[Mapping[str, Any]]) -> None:
    """Insert scores of an import in their order, with their own ids and times. The scores that the logs show stay.

    A score has all columns but those of the log, and `log_id`. Raises ScoresChanged if a log is not in the current
    workspace, has the score of the rater already, or would have too many.
    """
    if not scores:
        return
    logs = lock_logs({score["log_id"] for score in scores})
    tallies = tally_scores(logs.values())
    rows = []
    for score in scores:
        log = logs.get(score["log_id"])
        if log is None or log.workspace_id != principal.workspace_id or tallies[log.seq].count >= SCORES_MAX:
            raise ScoresChanged
        tallies[log.seq].count += 1
        own = {"workspace_id": log.workspace_id, "author_id": principal.user_id, "prompt_id": log.prompt_id}
        trace_id = find_trace_id(log, score["identifier"])
        rows.append({**score, **own, "log_seq": log.seq, "trace_id": trace_id})
    if get_taken(session(), [_key_of_row(row) for row in rows]):
        raise ScoresChanged
    session.execute(insert(Score), [{name: row[name] for name in _RESTORED} for row in rows])
    quota.check_growth(principal.workspace_id)
    log_seqs = {row["log_seq"] for row in rows}
    session.execute(update(Log), aggregate(log_seqs))
    changed_days.mark_logs(log_seqs)


def get_taken(reader: Session, keys: Collection[ScoreKey]) -> set[ScoreKey]:
    """Return those keys of imported scores for which there is a score already.

    It may be an imported one or one of the account with the id of the rater: a file that comes back must not count
    twice what somebody has scored here again.
    """
    columns = (Score.log_seq, Score.name, Score.annotator, Score.rater, Score.identifier)
    rows = reader.execute(select(*columns).where(has_key(with_imported(keys))))
    found = (ScoreKey(*row) for row in rows)
    return {key._replace(rater=f"{IMPORTED}{key.rater.removeprefix(IMPORTED)}") for key in found}


def count_scores(reader: Session, log_seqs: Collection[int]) -> dict[int, int]:
    """Return how many scores logs have, by their sequence numbers; those without scores are left out."""
    counted = select(Score.log_seq, func.count()).where(Score.log_seq.in_(log_seqs)).group_by(Score.log_seq)
    return dict(reader.execute(counted).all())


def _columns_of_log(log: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "workspace_id": log["workspace_id"],
        "author_id": log["author_id"],
        "log_id": log["id"],
        "prompt_id": log.get("prompt_id"),
        "created_at": log["updated_at"],
    }


def _derive_id(log_id: str) -> str:
    """Return the id of the score with which a log arrived: all servers on which it is imported have the same one."""
    return f"score{log_id.removeprefix('log')}"


def _find_taken_ids(logs: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the ids of imported logs for whose score the derived id is one of another score already."""
    ids = {_derive_id(log["id"]): log["id"] for log in logs if log.get("score") is not None}
    return {ids[score_id] for score_id in session.scalars(select(Score.id).where(Score.id.in_(ids)))} if ids else set()


def _key_of_row(row: Mapping[str, Any]) -> ScoreKey:
    return ScoreKey(row["log_seq"], row["name"], row["annotator"], row["rater"], row["identifier"])
