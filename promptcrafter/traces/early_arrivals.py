"""What has arrived before the span or the trace that it is about: it waits for a day at most.

A transaction that does not find a span, and therefore keeps an arrival, must first call `exclude_spans`. Otherwise a
span that is stored at the same time would not be found by this transaction, and would not find the arrival either. Call
these functions inside `transactions.writing()`.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, get_args

from blinker import Signal
from sqlalchemy import ColumnElement, bindparam, delete, exists, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from promptcrafter import clock
from promptcrafter.database.base import Base
from promptcrafter.database.compiled import CompiledQuery
from promptcrafter.database.session import is_sqlite, request_connection, session
from promptcrafter.database.transactions import lock_name, on_commit, share_name
from promptcrafter.jsonio import dumps
from promptcrafter.traces.models import EarlyArrival
from promptcrafter.workspaces import quota
from promptcrafter.workspaces.principal import Principal

Kind = Literal["score", "event"]
KINDS: tuple[Kind, ...] = get_args(Kind)
MOST = 10_000  # that may wait in a workspace
WAITING_TIME = timedelta(hours=24)
JOINED_TIME = timedelta(minutes=10)  # that an event stays after it was joined to its span
ANY_OUTPUT = ""  # instead of the id of a span: what waits for any output of its trace
arrivals_kept = Signal("Sent after a transaction that lets something wait.")
arrivals_dropped = Signal("Sent after a transaction that dropped what waited in vain; `kinds` counts it by kind.")

_TABLE = Base.metadata.tables[EarlyArrival.__tablename__]
_KEY = ("workspace_id", "awaited", "digest")
_ANY_OF_WORKSPACE = CompiledQuery(select(_TABLE.c.seq).where(_TABLE.c.workspace_id == bindparam("id")).limit(1))


@dataclass(frozen=True, slots=True)
class Arrival:
    """Something that is to wait. `identity` tells it apart from others that wait for the same."""

    awaited: str
    span_id: str
    kind: Kind
    identity: Sequence[Any]
    content: dict[str, Any]


def await_response(response_key: int) -> str:
    """Return the `awaited` of an arrival that names no trace, but the response of a model by its key."""
    return f"response:{response_key}"


def exclude_spans(workspace_id: str) -> None:
    """Lock out the writers of spans of a workspace, see `admit_spans`, until the commit.

    Call it before anything else is locked.
    """
    lock_name(_lock_of(workspace_id))


def admit_spans(workspace_id: str) -> None:
    """Share the lock of the writers of spans until the commit: `exclude_spans` waits for them, and they for it.

    Call it before anything else is locked.
    """
    share_name(_lock_of(workspace_id))


def keep(principal: Principal, arrivals: Sequence[Arrival]) -> None:
    """Let things wait in the current workspace. One that has the identity of another one replaces it.

    If there are then more than MOST, the oldest are dropped.
    """
    if not arrivals:
        return
    common = {
        **{"workspace_id": principal.workspace_id, "author_id": principal.user_id},
        **{"is_joined": False, "expires_at": clock.now() + WAITING_TIME},
    }
    rows = {
        (row["awaited"], row["digest"]): row
        for row in (
            {
                **common,
                "awaited": arrival.awaited,
                "span_id": arrival.span_id,
                "kind": arrival.kind,
                "digest": _digest(principal, arrival),
                "content": arrival.content,
            }
            for arrival in arrivals
        )
    }
    insert = (sqlite if is_sqlite() else postgresql).insert(_TABLE)
    changed = {name: insert.excluded[name] for name in ("span_id", "content", "expires_at")}
    request_connection().execute(insert.on_conflict_do_update(index_elements=_KEY, set_=changed), list(rows.values()))
    quota.check_growth(principal.workspace_id)
    on_commit(lambda: arrivals_kept.send())
    _drop_oldest(principal.workspace_id)


def get_arrivals(workspace_id: str, awaited: Collection[str], span_ids: Collection[str]) -> list[EarlyArrival]:
    """Return what waits for these spans, or for any output of their traces, in the order in which it arrived."""
    if _ANY_OF_WORKSPACE.first(id=workspace_id) is None:
        return []  # as most of the time; the query below has hundreds of parameters
    is_awaited = (EarlyArrival.workspace_id == workspace_id) & EarlyArrival.awaited.in_(awaited)
    is_of_span = EarlyArrival.span_id.in_({*span_ids, ANY_OUTPUT})
    return list(session.scalars(select(EarlyArrival).where(is_awaited, is_of_span).order_by(EarlyArrival.seq)))


def remove(seqs: Collection[int]) -> None:
    """Delete what waits no more."""
    if seqs:
        request_connection().execute(delete(_TABLE).where(_TABLE.c.seq.in_(seqs)))


def count_dropped(kinds: Iterable[str]) -> None:
    """Count what was deleted because it can never be used."""
    counts = Counter(kinds)
    if counts:
        on_commit(lambda: arrivals_dropped.send(kinds=counts))


def mark_joined(seqs: Collection[int]) -> None:
    """Note that events were joined to their spans."""
    if seqs:
        joined = {"is_joined": True, "expires_at": clock.now() + JOINED_TIME}
        request_connection().execute(update(_TABLE).where(_TABLE.c.seq.in_(seqs)).values(joined))


def has_any() -> bool:
    """Return whether anything waits, in any workspace."""
    return bool(session.scalar(select(exists(select(_TABLE.c.seq)))))


def has_expired() -> bool:
    """Return whether anything has waited for too long."""
    return bool(session.scalar(select(exists(select(_TABLE.c.seq).where(_is_expired())))))


def remove_expired(limit: int) -> int:
    """Delete up to `limit` rows, in all workspaces, that have waited for too long; return how many."""
    return _remove_counted(_TABLE.c.seq.in_(select(_TABLE.c.seq).where(_is_expired()).limit(limit)))


def count_waiting() -> dict[str, int]:
    """Return how much waits in all workspaces, by kind."""
    counted = select(_TABLE.c.kind, func.count().label("waiting")).where(~_TABLE.c.is_joined).group_by(_TABLE.c.kind)
    return {row.kind: row.waiting for row in session.execute(counted)}


def _is_expired() -> ColumnElement[bool]:
    return _TABLE.c.expires_at < clock.now()


def _drop_oldest(workspace_id: str) -> None:
    is_own = _TABLE.c.workspace_id == workspace_id
    beyond = select(_TABLE.c.seq).where(is_own).order_by(_TABLE.c.seq.desc()).offset(MOST).limit(1).scalar_subquery()
    _remove_counted(is_own & (_TABLE.c.seq <= beyond))


def _remove_counted(condition: ColumnElement[bool]) -> int:
    removed = request_connection().execute(delete(_TABLE).where(condition).returning(_TABLE.c.kind, _TABLE.c.is_joined))
    rows = removed.all()
    count_dropped(row.kind for row in rows if not row.is_joined)
    return len(rows)


def _digest(principal: Principal, arrival: Arrival) -> str:
    """Return the digest of what tells an arrival apart; scores of several accounts never replace one another."""
    identity = (arrival.kind, principal.user_id if arrival.kind == "score" else "", *arrival.identity)
    return hashlib.sha256(dumps(identity).encode()).hexdigest()


def _lock_of(workspace_id: str) -> str:
    return f"spans of {workspace_id}"
