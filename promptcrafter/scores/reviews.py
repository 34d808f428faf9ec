"""What people have still to review, how far they have come, and how far raters agree: the store.

A review is a score that a person gives to a log under one name. What a request reads is bounded: it looks at no more
than LOGS_MAX logs, which follow one another in an index, and reads no more than SCORES_MAX scores.
"""

import secrets
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, case, func, literal, select, tuple_

from promptcrafter import clock
from promptcrafter.auth.models import DELETED_ACCOUNT, User
from promptcrafter.database.deletions import has_pending, is_present
from promptcrafter.database.session import request_connection, session
from promptcrafter.logs.models import HUMAN, IMPORTED, Log, Score
from promptcrafter.logs.raters import identify_rater
from promptcrafter.logs.scores import VALUE_KINDS
from promptcrafter.logs.store import conditions, find_stored_logs
from promptcrafter.problems import Problem
from promptcrafter.prompts import store as prompts
from promptcrafter.prompts import version_store
from promptcrafter.scores.agreement import Metric, Rating, describe_agreement, merge_ratings
from promptcrafter.workspaces.access import in_current_workspace
from promptcrafter.workspaces.principal import Principal

LOGS_MAX = 50_000
TOO_MANY = "too_many_to_review"  # code of the error
SCORES_MAX = 100_000
_FIRST_LOOK = 1000  # newest logs, among which the next one to review mostly is
RATERS_MAX = 100  # that the progress lists
_OLDEST_FIRST = (Log.created_at, Log.seq)  # the order of logs in every index that is used here
_NEWEST_FIRST = (Log.created_at.desc(), Log.seq.desc())
_KEY = tuple_(*_OLDEST_FIRST)
_IS_REVIEWABLE = Log.status.is_(None) & Log.output.is_not(None)  # a failed call has nothing to judge


def resolve(principal: Principal, query: Mapping[str, Any]) -> dict[str, Any]:
    """Return a query whose prompt the principal may read, with the number of the version that it names.

    Raises 400, 403 and 404.
    """
    if "promptId" in query:
        prompts.refuse_prompt_not_owned(principal, query["promptId"])
    if isinstance(query.get("promptVersion"), str):
        return {**query, "promptVersion": version_store.get_version_number(query["promptId"], query["promptVersion"])}
    return dict(query)


def get_next(principal: Principal, query: Mapping[str, Any], excluded: Collection[str] = ()) -> Log | None:
    """Return a log that the principal has still to review, or None if there is none. It is none of the `excluded` ids.

    `query` is a loaded NextReviewQuery with the number of the version. With `promptId` the caller must have checked
    that the prompt belongs to the principal. Raises 400 if there are more logs than it looks at, and none of these is
    to be reviewed.

    In random order it takes the first such log from a random one on, and goes on with the oldest. Of more than LOGS_MAX
    logs it looks at those from a random time on.
    """
    logs = _find_indexed(principal, query)
    wanted: list[ColumnElement[bool]] = [*_other_conditions(query), _IS_REVIEWABLE, _lacks_review(principal, query)]
    if excluded:
        wanted.append(Log.id.not_in(excluded))
    is_random = query["order"] == "random"
    few = None if is_random else _choose_newest(logs, min(_FIRST_LOOK, LOGS_MAX))  # counting takes longer
    if few is not None and (log := _get_first(few.where(*wanted, is_present(Log)).order_by(*_NEWEST_FIRST))):
        return log
    count = _count_logs(logs)
    is_whole = count <= LOGS_MAX
    if not is_whole:
        logs = _choose_at_random_time(logs) if is_random else _choose_newest(logs, LOGS_MAX)
        count = LOGS_MAX
    matching = logs.where(*wanted, is_present(Log))
    start = _get_key(logs.order_by(*_OLDEST_FIRST), secrets.randbelow(count)) if is_random and count else None
    if start is None:
        attempts = [matching.order_by(*_NEWEST_FIRST)]
    else:
        attempts = [matching.where(side).order_by(*_OLDEST_FIRST) for side in (start <= _KEY, start > _KEY)]
    for attempt in attempts:
        if log := _get_first(attempt):
            return log
    if not is_whole:
        raise _too_many(f"None of the {LOGS_MAX:,} logs that were looked at is to be reviewed", "promptId, model")
    return None


def get_progress(principal: Principal, query: Mapping[str, Any]) -> dict[str, Any]:
    """Return how far people have come, as ReviewProgressOut shows it. Raises 400 for too many logs or scores.

    `query` is a loaded ReviewQuery; otherwise as for `get_next`.
    """
    logs = _find_indexed(principal, query)
    if _count_logs(logs) > LOGS_MAX:
        raise _too_many(f"More than {LOGS_MAX:,} logs match", "promptId, model")
    logs = logs.where(*_other_conditions(query), _IS_REVIEWABLE, is_present(Log))
    is_given = (Score.log_seq == Log.seq) & (Score.name == query["name"]) & (Score.annotator == HUMAN)
    columns = (Score.log_seq, Score.rater, Score.imported_name, Score.updated_at)
    scores = logs.join(Score, is_given).with_only_columns(*columns).limit(SCORES_MAX + 1).subquery().c
    by_rater = select(
        scores.rater,
        func.max(scores.imported_name).label("imported_name"),
        func.count().label("scores"),
        func.count(scores.log_seq.distinct()).label("logs"),
        func.max(scores.updated_at).label("last"),
    )
    raters = session.execute(by_rater.group_by(scores.rater).order_by(func.count().desc(), scores.rater)).all()
    total = sum(rater.scores for rater in raters)
    if total > SCORES_MAX:
        raise _too_many(f"The logs that match have more than {SCORES_MAX:,} scores", "promptId, model")
    wanted = query["raters"]
    people = select(func.count(scores.rater.distinct()).label("people")).group_by(scores.log_seq).subquery().c.people
    is_done = people >= wanted
    sums = select(func.count().filter(is_done), func.coalesce(func.sum(case((is_done, wanted), else_=people)), 0))
    done_count, given_count = session.execute(sums.select_from(people.table)).one()
    count = _count_logs(logs)
    # a log may have been deleted since
    done_count, given_count = min(done_count, count), min(given_count, count * wanted)
    shown = raters[:RATERS_MAX]
    names = _get_names(rater.rater for rater in shown)
    return {
        "name": query["name"],
        "logs": count,
        "done": done_count,
        "open": count - done_count,
        "given": int(given_count),  # PostgreSQL adds whole numbers to a Decimal
        "wanted": count * wanted,
        "scores": total,
        "raters": [_describe_progress(rater, names) for rater in shown],
        "otherRaters": len(raters) - len(shown),
    }


def get_agreement(principal: Principal, query: Mapping[str, Any]) -> dict[str, Any]:
    """Return how far raters agree, as AgreementOut shows it. Raises 400 for too many scores.

    `query` is a loaded AgreementQuery; otherwise as for `get_next`.
    """
    scores = _read_scores(principal, query)
    counts = Counter(dict.fromkeys(VALUE_KINDS, 0))
    counts.update(score.value_kind for score in scores)
    kind = query.get("kind") or counts.most_common(1)[0][0]
    metric: Metric = "interval" if kind == "number" else "nominal"
    raters: dict[str, Any] = {}
    ratings = _each_rating((score for score in scores if score.value_kind == kind), raters)
    agreement = describe_agreement(merge_ratings(ratings, metric), metric)
    shown = {rater for pair in agreement["pairs"] for rater in (pair["a"], pair["b"])}
    names = _get_names(raters[rater].rater for rater in shown)
    described = {rater: _describe_rater(raters[rater], names) for rater in shown}
    return {
        "name": query["name"],
        "kind": kind,
        "otherKinds": [{"kind": other, "scores": counts[other]} for other in counts if other != kind and counts[other]],
        **agreement,
        "pairs": [{**pair, "a": described[pair["a"]], "b": described[pair["b"]]} for pair in agreement["pairs"]],
    }


def _find_indexed(principal: Principal, query: Mapping[str, Any]) -> Select[Log]:
    """Return a select of logs that follow one another in an index, so that it reads no others.

    It leaves out the filters that `_other_conditions` returns.
    """
    names = ("promptId", "promptVersion", "since", "until") if "promptId" in query else ("model", "since", "until")
    return find_stored_logs(principal, {name: query[name] for name in names if name in query})


def _other_conditions(query: Mapping[str, Any]) -> list[ColumnElement[bool]]:
    return conditions({"model": query["model"]}) if {"promptId", "model"} <= query.keys() else []


def _lacks_review(principal: Principal, query: Mapping[str, Any]) -> ColumnElement[bool]:
    """Return the condition that the principal has not scored a log, and fewer people than asked for have.

    It is one search in the unique index of scores for each log; PostgreSQL cannot turn it into a join with all scores.
    """
    own = func.count().filter(Score.rater == principal.user_id)
    people = select(func.count(Score.rater.distinct()) + own * query["raters"])
    of_log = (Score.log_seq == Log.seq) & (Score.name == query["name"]) & (Score.annotator == HUMAN)
    is_below: ColumnElement[bool] = people.where(of_log).correlate(Log).scalar_subquery() < query["raters"]
    return is_below


def _count_logs(logs: Select[Log]) -> int:
    """Return the number of logs, or LOGS_MAX + 1 if there are more."""
    # in this order, PostgreSQL reads the index, and not the table until it has found enough
    return _count(logs.with_only_columns(Log.seq).order_by(*_OLDEST_FIRST), LOGS_MAX)


def _choose_newest(logs: Select[Log], most: int) -> Select[Log]:
    """Return the newest logs, so many at most."""
    oldest = _get_key(logs.order_by(*_NEWEST_FIRST), most - 1)
    return logs if oldest is None else logs.where(oldest <= _KEY)


def _choose_at_random_time(logs: Select[Log]) -> Select[Log]:
    """Return LOGS_MAX logs from a random time on, or the newest ones if there are fewer from then on."""
    times = logs.with_only_columns(Log.created_at).limit(1)
    ends = [session.scalar(times.order_by(*order)) for order in (_OLDEST_FIRST, _NEWEST_FIRST)]
    first, last = (clock.to_number(moment) if moment is not None else 0 for moment in ends)
    moment = clock.from_number(first + secrets.randbelow(last - first + 1))
    later = logs.where(Log.created_at >= moment)
    end = _get_key(later.order_by(*_OLDEST_FIRST), LOGS_MAX)
    return _choose_newest(logs, LOGS_MAX) if end is None else later.where(end > _KEY)


def _get_first(logs: Select[Log]) -> Log | None:
    found = logs.with_only_columns(Log.seq).limit(1).correlate(None).scalar_subquery()
    return session.scalar(select(Log).where(Log.seq == found))


def _get_key(logs: Select[Log], position: int) -> Any:
    """Return the sort key of the log at this position, from 0, as a parameter; None if there is none."""
    row = session.execute(logs.with_only_columns(*_OLDEST_FIRST).limit(1).offset(position)).first()
    return row and tuple_(*(literal(value, column.type) for value, column in zip(row, _OLDEST_FIRST, strict=True)))


def _read_scores(principal: Principal, query: Mapping[str, Any]) -> Sequence[Any]:
    """Return the rows of the scores of all kinds that match an AgreementQuery. Raises 400 for too many."""
    named = Score.name == query["name"]
    # What one of two indices has in the order of the times: all scores of a prompt, or those of a name in a workspace
    of_prompt = "promptId" in query
    scope = [Score.prompt_id == query["promptId"]] if of_prompt else [in_current_workspace(principal, Score), named]
    if "since" in query:
        scope.append(Score.created_at >= query["since"])
    if "until" in query:
        scope.append(Score.created_at < query["until"])
    in_order = select(Score.seq).where(*scope).order_by(Score.created_at, Score.seq)
    if _count(in_order, SCORES_MAX) > SCORES_MAX:
        what = "scores of this prompt" if of_prompt else f"scores named {query['name']}"
        raise _too_many(f"There are more than {SCORES_MAX:,} {what}", "promptId")
    found = select(
        *(Score.log_seq, Score.value_kind, Score.number, Score.category),
        *(Score.annotator, Score.rater, Score.identifier, Score.imported_name),
    ).where(*scope, named)
    if "annotator" in query:
        found = found.where(Score.annotator == query["annotator"])
    if has_pending():
        found = found.join(Log, Log.seq == Score.log_seq).where(is_present(Log))
    return request_connection().execute(found).all()


def _each_rating(scores: Iterable[Any], raters: dict[str, Any]) -> Iterator[Rating]:
    """Yield the ratings for scores of one kind, and collect a score of each rater by the rater's key."""
    for score in scores:
        log_seq, kind, number, category, annotator, account, identifier, _ = score
        rater = "\n".join((annotator, *identify_rater(annotator, account, identifier)))
        raters.setdefault(rater, score)
        value = category if kind == "category" else number if kind == "number" else str(bool(number))
        yield str(log_seq), rater, value, annotator


def _describe_progress(rater: Any, names: Mapping[str, str | None]) -> dict[str, Any]:
    account = _describe_account(rater, names)
    author = account if account["user_id"] else None
    counted = {"scores": rater.scores, "logs": rater.logs, "last": rater.last}
    return {"author": author, "imported": account["imported"], **counted}


def _describe_rater(score: Any, names: Mapping[str, str | None]) -> dict[str, Any]:
    identifier = "" if score.annotator == HUMAN else score.identifier
    return {**_describe_account(score, names), "annotator": score.annotator, "identifier": identifier}


def _describe_account(score: Any, names: Mapping[str, str | None]) -> dict[str, Any]:
    """Return who gave a score, from its columns `rater` and `imported_name`; the id is None if an import names none."""
    is_imported = score.rater.startswith(IMPORTED)
    name = score.imported_name or "" if is_imported else names.get(score.rater) or DELETED_ACCOUNT
    return {"user_id": score.rater.removeprefix(IMPORTED) or None, "name": name, "imported": is_imported}


def _get_names(raters: Iterable[str]) -> dict[str, str | None]:
    """Return the names of accounts by their ids; of imported raters none."""
    accounts = select(User.id, User.name).where(User.id.in_({rater for rater in raters if rater}))
    return {account.id: account.name for account in session.execute(accounts)}


def _count(rows: Select[Any], most: int) -> int:
    """Return the number of rows, or `most` + 1 if there are more."""
    return session.scalar(select(func.count()).select_from(rows.limit(most + 1).subquery())) or 0


def _too_many(what: str, parameters: str) -> Problem:
    return Problem(400, f"{what}. Narrow it by {parameters}, since or until.", TOO_MANY)
