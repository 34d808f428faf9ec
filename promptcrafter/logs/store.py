"""Logs in the database. Call the writing functions inside `transactions.writing()`."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from blinker import Signal
from sqlalchemy import Select, bindparam, delete, func, insert, inspect, or_, select, tuple_, update

from promptcrafter import clock
from promptcrafter.database.base import Base
from promptcrafter.database.compiled import CompiledWrite, change_rows, from_arrays
from promptcrafter.database.deletions import is_present
from promptcrafter.database.errors import translating
from promptcrafter.database.keyset import Order, each_batch
from promptcrafter.database.session import is_sqlite, request_connection, session, unindexed
from promptcrafter.database.transactions import on_commit
from promptcrafter.ids import new_id
from promptcrafter.logs import arriving_scores, changed_days, scores, search, trace_costs
from promptcrafter.logs.filters import conditions as conditions
from promptcrafter.logs.filters import find_scored_part
from promptcrafter.logs.input_keys import find_input_key
from promptcrafter.logs.models import Log, Score
from promptcrafter.logs.orders import UnscoredLast
from promptcrafter.problems import InOtherWorkspace, Problem
from promptcrafter.workspaces import audit, quota
from promptcrafter.workspaces.access import find_obstacle, find_resources, get_resource, in_current_workspace
from promptcrafter.workspaces.principal import Principal

_TABLE = Base.metadata.tables["logs"]
# Every attribute of a log but those that the database fills in, all None
_EMPTY_LOG: dict[str, Any] = {
    attribute.key: None for attribute in inspect(Log).column_attrs if attribute.key not in ("seq", "rank")
}
INDEXED = ("output", "notes", "input", "input_format")  # the attributes that `search.index_words` takes
# The attributes that decide about the tokens and the cost of a log
RECOMPUTED_FROM = (
    *("model_used", "provider", "input", "input_format", "output", "output_format", "status", "end_time"),
    *("input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens"),
    *("cost", "computed", "priced_as", "priced"),
)
# What shows that a log has changed since these were read: the texts have other lengths, or one of these is another
_TEXTS = ("input", "output")
_COMPARED = tuple(name for name in RECOMPUTED_FROM if name not in (*_TEXTS, "computed", "priced"))
# The attributes of a log that a later part of its span may set
SENT = (
    *("prompt_id", "prompt_version", "prompt_reference", "model_used", "provider", "output", "output_format"),
    *("input", "input_format", "variables", "status", "error", "user_id", "session_id", "environment", "parameters"),
    *("start_time", "end_time", "latency_ms", "input_tokens", "output_tokens", "cached_input_tokens"),
    *("cache_write_tokens", "reasoning_tokens", "cost", "meta", "name", "parent_span_id", "response_key"),
)
_OTLP = "otlp"  # the source of logs that are unique by their span
# The sources of logs whose tokens and cost are never computed. A model of promptfoo is named by a label of the user
_NEVER_COMPLETED = ("agenttest", "promptfoo")
_SAME_INPUT_READ = 10_000
logs_committed = Signal("Sent after a transaction that inserted logs; `sources` is a list of the source of each log.")


class ParentDeleted(Problem):
    """404: the prompt, trace or experiment of a log was deleted between its look-up and the insert."""

    def __init__(self) -> None:
        super().__init__(404, "Prompt not found", "prompt_not_found")


_PARENT_CONSTRAINTS = {str(constraint.name): ParentDeleted for constraint in _TABLE.foreign_key_constraints}


def prepare(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a log, with its id and the words of the search index added.

    `record`, `record_all` and `restore_all` take such prepared logs. Call it before the transaction begins, so that
    the words are extracted while no lock is held. Beside attributes, `values` may have `scores`: see
    `arriving_scores.insert_for_logs`.
    """
    return {
        **values,
        "id": values.get("id") or new_id("log"),
        "input_key": find_input_key(values),
        "words": search.index_words(*map(values.get, INDEXED)),
    }


def record(principal: Principal, values: Mapping[str, Any]) -> dict[str, Any]:
    """Insert a prepared log and return all its attributes. Raises ParentDeleted."""
    (log,) = record_all(principal, [values])
    return {**_EMPTY_LOG, **log}


def record_all(principal: Principal, logs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Insert prepared logs in their order, with the current time as that of all; return the attributes that were set.

    Those that name no `workspace_id` belong to the current one. Raises ParentDeleted.
    """
    now = clock.now()
    common = {"author_id": principal.user_id, "created_at": now, "updated_at": now}
    if not all("workspace_id" in values for values in logs):
        common["workspace_id"] = principal.workspace_id
    rows = [arriving_scores.complete_log({**common, **values}) for values in logs]
    inserted = _insert(rows)
    arriving_scores.insert_for_logs(rows, imported=False)
    return inserted


def restore_all(principal: Principal, logs: Sequence[Mapping[str, Any]]) -> None:
    """Insert prepared logs of an import in their order, with their own ids and times. Raises ParentDeleted.

    Their scores are those that the import has besides: see `arriving_scores.restore_scores`.
    """
    own = {"workspace_id": principal.workspace_id, "author_id": principal.user_id}
    _insert([{**values, **own} for values in _without_taken_spans(logs)])
    _mark(logs)


def restore_scored(principal: Principal, logs: Sequence[Mapping[str, Any]]) -> None:
    """Insert logs as `restore_all` does, of an import without scores of its own.

    The `score` of each becomes a score of an unknown author.
    """
    own = {"workspace_id": principal.workspace_id, "author_id": principal.user_id}
    rows = [arriving_scores.complete_log({**values, **own}) for values in _without_taken_spans(logs)]
    _insert(rows)
    arriving_scores.insert_for_logs(rows, imported=True)
    _mark(logs)


def _without_taken_spans(logs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return logs of an import, without the id of a span of OpenTelemetry that has another log already."""
    of_spans = [log for log in logs if log.get("source") == _OTLP and "trace_id" in log and "span_id" in log]
    if not of_spans:
        return list(logs)
    key = tuple_(Log.trace_id, Log.span_id)
    keys = [(log["trace_id"], log["span_id"]) for log in of_spans]
    stored = select(Log.trace_id, Log.span_id).where(Log.source == _OTLP, key.in_(keys))
    taken = {(row.trace_id, row.span_id) for row in session.execute(stored)}
    rows: list[Mapping[str, Any]] = []
    for log in logs:
        own = (log.get("trace_id"), log.get("span_id"))
        is_of_span = log.get("source") == _OTLP and None not in own
        rows.append({**log, "span_id": None} if is_of_span and own in taken else log)
        if is_of_span:
            taken.add(own)
    return rows


def find_logs(principal: Principal, filters: Mapping[str, Any]) -> Select[Log]:
    """Return a select of the principal's logs that match all filters, as `queries.resolve` returns them.

    With the filter `promptId` the caller must have checked that the prompt belongs to the principal. `found` has the
    sequence numbers of the logs that match all other filters.
    """
    return find_stored_logs(principal, filters).where(is_present(Log))


def find_stored_logs(principal: Principal, filters: Mapping[str, Any]) -> Select[Log]:
    """Return what `find_logs` returns, and the logs of deleted traces and experiments that await their purge, too.

    Without that condition PostgreSQL can read an index alone.
    """
    if "found" in filters:
        return select(Log).where(Log.seq.in_(filters["found"]))
    # a prompt's logs are in its workspace: with both conditions the database might choose the wrong index
    column, value = (
        (_TABLE.c.prompt_id, filters["promptId"])
        if "promptId" in filters
        else (_TABLE.c.workspace_id, principal.workspace_id)
    )
    statement = select(Log).where(*conditions(filters))
    if "q" in filters:
        return search.find_matching(statement.where(unindexed(column) == value), filters["q"], filters)
    # a trace has few logs: they are read by its index and sorted, instead of looked for in the order of the list
    return statement.where((unindexed(column) if "traceId" in filters else column) == value)


def order_logs(filters: Mapping[str, Any]) -> Order:
    """Return the order that the `sort` of a LogQuery names, by default the newest first."""
    sort = filters.get("sort") or "-createdAt"
    newest = (Log.created_at, Log.seq)
    if sort == "worst":
        return UnscoredLast((Log.rank, *newest), True, *find_scored_part(filters))
    is_ascending = not (sort.startswith("-") or sort == "best")
    if sort.endswith("score") or sort == "best":
        return Order((Log.rank, *newest), is_ascending)
    return (search.WordIndexOrder if "q" in filters and is_sqlite() else Order)(newest, is_ascending)


def find_logs_of_trace(trace_id: str) -> Select[Log]:
    """Return a select of a trace's logs."""
    return select(Log).where(Log.trace_id == trace_id, is_present(Log))


def get_log(principal: Principal, log_id: str) -> Log:
    """Return the principal's log. Raises as `get_resource` does."""
    return get_resource(principal, Log, log_id)


def get_id(logs: Select[Any]) -> str | None:
    """Return the id of the first log of a select, None without any."""
    log_id: str | None = session.execute(logs.with_only_columns(Log.id).limit(1)).scalar()
    return log_id


def count_up_to(logs: Select[Any], most: int) -> int:
    """Return the number of logs of a select, or `most` + 1 if there are more."""
    counted = logs.with_only_columns(Log.seq).limit(most + 1).subquery()
    return session.scalar(select(func.count()).select_from(counted)) or 0


def get_logs(principal: Principal, log_ids: Sequence[str]) -> list[Log]:
    """Return the principal's logs in the order of the ids.

    Raises 404 for an unknown id and 403 for a log in a workspace that the principal is no member of; the message names
    the first such id.
    """
    by_id = {log.id: log for log in session.scalars(select(Log).where(Log.id.in_(log_ids), is_present(Log)))}
    for log_id in log_ids:
        if log_id not in by_id:
            raise Problem(404, f"Log not found: {log_id}", "log_not_found")
        workspace_id = by_id[log_id].workspace_id
        others = [each.id for each in by_id.values() if each.workspace_id == workspace_id]
        obstacle = find_obstacle(principal, "log", workspace_id, *others)
        if isinstance(obstacle, InOtherWorkspace):
            raise obstacle
        if obstacle is not None:
            text, dot, more = obstacle.message.partition(". ")
            raise Problem(obstacle.status, f"{text.removesuffix('.')}: {log_id}{dot}{more}", obstacle.code)
    return [by_id[log_id] for log_id in log_ids]


def get_logs_with_same_input(log: Log, most: int) -> list[Log]:
    """Return a log and the newest outputs of the same input by other versions of its prompt, `most` in all.

    There is one of each version, in the order of these. Only the newest `_SAME_INPUT_READ` logs of the prompt are
    looked at.
    """
    if log.input_key is None or log.prompt_id is None:
        return [log]
    of_prompt = select(Log.seq, Log.input_key, Log.prompt_version).where(Log.prompt_id == log.prompt_id)
    newest = of_prompt.order_by(Log.created_at.desc(), Log.seq.desc()).limit(_SAME_INPUT_READ).subquery()
    of_input = (newest.c.input_key == log.input_key) & (newest.c.prompt_version != log.prompt_version)
    by_version = select(func.max(newest.c.seq)).where(of_input).group_by(newest.c.prompt_version)
    chosen = by_version.order_by(newest.c.prompt_version.desc()).limit(most - 1)
    seqs = session.scalars(chosen).all()
    others = session.scalars(select(Log).where(Log.seq.in_(seqs), is_present(Log))).all() if seqs else []
    return sorted([log, *others], key=lambda each: (each.prompt_version or 0, each.seq))


def get_workspace_ids(principal: Principal, log_ids: Sequence[str]) -> list[str]:
    """Return the ids of the workspaces of logs, in their order; for an unknown log that of the current one."""
    found = session.execute(select(Log.id, Log.workspace_id).where(Log.id.in_(set(log_ids))))
    workspace_ids = {row.id: row.workspace_id for row in found}
    return [workspace_ids.get(log_id, principal.current_id) for log_id in log_ids]


def complete_logs(changes: Mapping[int, Mapping[str, Any]], words: Mapping[int, str]) -> None:
    """Set attributes of stored logs of which more has arrived, by their sequence numbers; their reviews stay.

    `words` are the new ones of the search index, of those whose texts change. Raises ParentDeleted.
    """
    if not changes:
        return
    changed_days.mark_logs(changes)
    costlier = [seq for seq, values in changes.items() if "cost" in values]
    if costlier:
        trace_costs.note_logs(_TABLE.c.seq.in_(costlier))
    with translating(_PARENT_CONSTRAINTS):
        change_rows(_TABLE, {seq: _by_column(values) for seq, values in changes.items()})
    if words:
        rows = [{"key": seq, "words": text} for seq, text in words.items()]
        request_connection().execute(search.update_words_statement(), rows)


def get_scored_seqs(seqs: Sequence[int]) -> set[int]:
    """Return those of the sequence numbers of logs that have a score of their own, not one of their trace."""
    is_own = Score.log_seq.in_(seqs) & Score.trace_id.is_(None)
    return set(session.scalars(select(Score.log_seq).where(is_own).distinct())) if seqs else set()


def replace_logs(seqs: Sequence[int]) -> None:
    """Delete logs that nobody has reviewed, because steps of their traces take their places."""
    if not seqs:
        return
    changed_days.mark_logs(seqs)
    trace_costs.note_logs(_TABLE.c.seq.in_(seqs))
    ids = request_connection().execute(delete(_TABLE).where(_TABLE.c.seq.in_(seqs)).returning(_TABLE.c.id)).scalars()
    audit.forget(*ids.all())


def _by_column(by_attribute: Mapping[str, Any]) -> dict[str, Any]:
    return {getattr(Log, name).property.columns[0].name: value for name, value in by_attribute.items()}


def lock_log(principal: Principal, log_id: str) -> Log:
    """Return the principal's log, locked until the commit. Raises as `get_resource` does."""
    return get_resource(principal, Log, log_id, lock=True)


def change_log(principal: Principal, log: Log, changes: Mapping[str, Any]) -> None:
    """Set the notes or the score of a locked log; None clears them. The audit trail keeps what the log showed before.

    The score is that of the principal; those of others stay.
    """
    before = {name: getattr(log, name) for name, value in changes.items() if getattr(log, name) not in (None, value)}
    if before:
        after = {name: changes[name] for name in before}
        _note(principal, log, "log.change", before=before, after=after, is_whole=True)
    quota.check_growth(log.workspace_id)
    if "score" in changes:
        scores.set_own(principal, log, changes["score"])
    if "notes" in changes:
        log.notes, log.updated_at = changes["notes"], clock.now()
        words = search.index_words(*(getattr(log, name) for name in INDEXED))
        session.execute(search.update_words_statement(), {"key": log.seq, "words": words})


def remove_log(principal: Principal, log: Log) -> None:
    """Delete a log."""
    audit.forget(log.id)
    _note(principal, log, "log.delete")
    changed_days.mark_logs([log.seq])
    trace_costs.note_logs(_TABLE.c.seq == log.seq)
    session.execute(delete(Log).where(Log.id == log.id))


def count_expired(principal: Principal, filters: Mapping[str, Any]) -> int:
    """Return how many of the principal's logs match the filters."""
    return session.scalars(find_logs(principal, filters).with_only_columns(func.count())).one()


def each_expired(principal: Principal, filters: Mapping[str, Any], size: int) -> Iterator[list[int]]:
    """Yield the sequence numbers of the principal's logs that match the filters, oldest first, `size` at a time."""
    for rows in each_batch(find_logs(principal, filters), (Log.created_at, Log.seq), size):
        yield [row[-1] for row in rows]


def remove_expired(principal: Principal, filters: Mapping[str, Any], sequence_numbers: Sequence[int]) -> int:
    """Delete the principal's logs with these sequence numbers that still match the filters; return how many.

    A log that no longer matches, such as one reviewed since `each_expired` yielded it, is kept.
    """
    is_own = in_current_workspace(principal, Log)
    changed_days.mark_logs(sequence_numbers)
    trace_costs.note_logs(_TABLE.c.seq.in_(sequence_numbers))
    expired = delete(Log).where(is_own, Log.seq.in_(sequence_numbers), *conditions(filters))
    ids = session.scalars(expired.returning(Log.id)).all()
    audit.forget(*ids)
    return len(ids)


def count_recomputable(principal: Principal) -> int:
    """Return how many of the principal's logs have tokens or a cost that the server computes."""
    return session.scalars(_find_recomputable(principal).with_only_columns(func.count())).one()


def each_recomputable(principal: Principal, size: int) -> Iterator[list[dict[str, Any]]]:
    """Yield the attributes of these logs that `token_costs.recomputed` takes, oldest first, `size` logs at a time."""
    columns = [getattr(Log, name) for name in ("id", *RECOMPUTED_FROM)]
    for keys in each_batch(_find_recomputable(principal), (Log.created_at, Log.seq), size):
        rows = session.execute(select(*columns).where(Log.seq.in_([key[-1] for key in keys]))).mappings().all()
        session.close()
        yield [dict(row) for row in rows]


def change_costs(changes: Mapping[str, Mapping[str, Any]], read: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Set attributes of logs, given by their id, and return the ids of those that were changed.

    `read` has the attributes from which the changes were computed. A log that has others by now is left as it is: more
    of its span has arrived since, and its cost was computed with that. The `updated_at` of logs stays: it is the time
    of the last review.
    """
    changed_days.mark_where(_TABLE.c.id.in_(list(changes)))
    trace_costs.note_logs(_TABLE.c.id.in_(list(changes)))
    changed = set()
    for log_id, values in changes.items():
        before = read[log_id]
        is_same = [
            *(getattr(Log, name).is_not_distinct_from(before[name]) for name in _COMPARED),
            *(func.length(getattr(Log, name)).is_not_distinct_from(_length(before[name])) for name in _TEXTS),
        ]
        same = update(Log).where(Log.id == log_id, *is_same).values(dict(values)).returning(Log.id)
        if session.scalar(same, execution_options={"synchronize_session": False}) is not None:
            changed.add(log_id)
    return changed


def _length(text: str | None) -> int | None:
    return None if text is None else len(text)


def _mark(logs: Sequence[Mapping[str, Any]]) -> None:
    changed_days.mark_where(_TABLE.c.id.in_([values["id"] for values in logs]))
    trace_costs.note_traces({values["trace_id"] for values in logs if values.get("trace_id")})


def _note(principal: Principal, log: Log, action: str, **values: Any) -> None:
    audit.note(principal, log.workspace_id, action, "log", log.id, within_id=log.prompt_id or log.trace_id, **values)


def _find_recomputable(principal: Principal) -> Select[Log]:
    is_completed = func.coalesce(Log.source, "").not_in(_NEVER_COMPLETED)
    is_computed = or_(Log.cost.is_(None), Log.computed.is_not(None))
    return find_resources(principal, Log).where(is_completed, is_computed)


def _insert(logs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Insert prepared logs; return, for each, the attributes that at least one of them has.

    Raises ParentDeleted. SQLAlchemy's unit of work would hold the write lock three times as long.
    """
    if not logs:
        return []
    used = {name for log in logs for name, value in log.items() if value is not None}
    names = tuple(name for name in _EMPTY_LOG if name in used)
    rows = [{name: log.get(name) for name in names} for log in logs]
    words = [
        {"id": log["id"], "milliseconds": search.index_time(log["created_at"]), "words": log["words"]} for log in logs
    ]
    with translating(_PARENT_CONSTRAINTS):
        _compile_insert(names).execute(rows)
        search.INSERT_WORDS.execute(words)
    for workspace_id in {log["workspace_id"] for log in logs}:
        quota.check_growth(workspace_id)
    if logs_committed.receivers:
        on_commit(lambda: logs_committed.send(sources=[log.get("source") for log in logs]))
    return rows


@lru_cache(maxsize=256)
def _compile_insert(names: tuple[str, ...]) -> CompiledWrite:
    """Return the statement that inserts logs with these attributes.

    Most logs have few of the more than thirty attributes, so a statement that names only those is faster.
    """
    columns = {name: getattr(Log, name) for name in names}
    arrays = from_arrays({name: column.type for name, column in columns.items()})
    into = insert(_TABLE).inline()
    return CompiledWrite(
        [into.values({column: bindparam(name) for name, column in columns.items()})],
        into.from_select(list(columns.values()), select(*arrays.c)),
    )
