"""The audit trail: who changed what in a workspace, and what stood there before.

Entries are written in the transaction of what they tell, by API and command line alike. What was deleted keeps no text:
its entries keep ids and counts. There is one entry for each request, also for batches.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, delete, func, or_, select, update

from promptcrafter import clock
from promptcrafter.auth.models import ApiKey, User
from promptcrafter.database import cascade
from promptcrafter.database.base import Base
from promptcrafter.database.session import request_connection, session
from promptcrafter.database.transactions import on_commit
from promptcrafter.ids import new_id
from promptcrafter.jsonio import dumps
from promptcrafter.text import shorten
from promptcrafter.workspaces.models import AuditEntry
from promptcrafter.workspaces.principal import Principal

_ENTRIES = Base.metadata.tables[AuditEntry.__tablename__]
_TEXT_MAX = 1000  # characters of a text, except where all of it is wanted
_COMMAND_LINE = "command line"
_IDS_PER_STATEMENT = 1000  # SQLite allows 32,766 parameters in a statement
_WORKSPACES_NAMED = 1000  # in a statement; more of them are all that there are
_FILTERS: dict[str, Callable[[Any], ColumnElement[bool]]] = {
    "since": lambda moment: AuditEntry.created_at >= moment,
    "until": lambda moment: AuditEntry.created_at < moment,
    "actor": lambda actor_id: or_(AuditEntry.actor_id == actor_id, AuditEntry.actor_user_id == actor_id),
    "action": lambda action: AuditEntry.action == action,
    "object": lambda object_id: or_(AuditEntry.object_id == object_id, AuditEntry.within_id == object_id),
}


def note(
    principal: Principal,
    workspace_id: str,
    action: str,
    object_type: str,
    object_id: str,
    name: str | None = None,
    *,
    within_id: str | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    is_whole: bool = False,
    created_at: datetime | None = None,
) -> str:
    """Add an entry, of now unless `created_at` is given, and return its id. Texts are shortened unless `is_whole`.

    Call it inside `transactions.writing()`.
    """
    if principal.api_key_id:
        kind, actor_id, actor_name = "key", principal.api_key_id, _name_of(ApiKey, principal.api_key_id)
    elif principal.is_command:
        kind, actor_id, actor_name = "cli", "", _COMMAND_LINE  # whatever account it is for: the operator acts
    else:
        kind, actor_id, actor_name = "user", principal.user_id, _name_of(User, principal.user_id)
    shown = (lambda values: values) if is_whole else _shorten
    entry = AuditEntry(
        id=new_id("audit"),
        workspace_id=workspace_id,
        created_at=created_at or clock.now(),
        actor_kind=kind,
        actor_id=actor_id,
        actor_name=actor_name,
        actor_user_id=None if kind == "cli" else principal.user_id,
        action=action,
        object_type=object_type,
        object_id=object_id,
        object_name=name and shorten(name),
        within_id=within_id,
        before=before and shown(before),
        after=after and shown(after),
        request_id=principal.request_id,
    )
    session.add(entry)
    return entry.id


class CountingEntry:
    """The one entry of what writes in several transactions, each of which adds to its numbers.

    Whatever ends it, the entry has what is stored. It is about the current workspace of the principal. `names` are all
    numbers that it has, and `counts` those by now.
    """

    def __init__(self, principal: Principal, action: str, names: Iterable[str]) -> None:
        self._principal = principal
        self._action = action
        self._id: str | None = None
        self.counts = dict.fromkeys(names, 0)

    def add(self, numbers: Mapping[str, int]) -> None:
        """Add the entry if there is none yet, and these numbers to it. Call it last inside of `transactions.writing()`.

        They count in `counts` when that is committed.
        """
        counts = {name: count + numbers.get(name, 0) for name, count in self.counts.items()}
        entry_id, workspace_id = self._id, self._principal.current_id
        if entry_id is None:
            entry_id = note(self._principal, workspace_id, self._action, "workspace", workspace_id, after=counts)
        else:
            session.execute(update(AuditEntry).where(AuditEntry.id == entry_id).values(after=counts))

        def keep() -> None:
            self._id, self.counts = entry_id, counts

        on_commit(keep)


def forget(*object_ids: str) -> None:
    """Remove the texts of the entries about what is deleted, and about what belonged to it.

    What `database.cascade` removes needs no call: logs of a trace or an experiment, now or by a purge.
    """
    texts = {"object_name": AuditEntry.object_name, "before": AuditEntry.before, "after": AuditEntry.after}
    has_text = or_(*(column.is_not(None) for column in texts.values()))
    cleared = update(AuditEntry).where(has_text).values(dict.fromkeys(texts))
    session.flush()
    for start in range(0, len(object_ids), _IDS_PER_STATEMENT):
        ids = object_ids[start : start + _IDS_PER_STATEMENT]
        is_about = or_(AuditEntry.object_id.in_(ids), AuditEntry.within_id.in_(ids))
        session.execute(cleared.where(is_about).execution_options(synchronize_session=False))


def place_within(parents: Mapping[str, str]) -> None:
    """Let the entries about objects, given by their ids, be of what these belong to from now on: see `forget`."""
    moved = [{"moved_id": object_id, "parent_id": parent_id} for object_id, parent_id in parents.items()]
    if moved:
        session.flush()
        entries = update(_ENTRIES).where(_ENTRIES.c.object_id == bindparam("moved_id"))
        request_connection().execute(entries.values(within_id=bindparam("parent_id")), moved)


@cascade.removed.connect
def _forget_removed(_sender: Any, *, ids: Sequence[str]) -> None:
    forget(*ids)


def anonymise(user_id: str, key_ids: Iterable[str]) -> None:
    """Remove the names of an account and of its keys from all entries. Keys that were revoked before need no id."""
    session.flush()
    is_by = or_(AuditEntry.actor_user_id == user_id, AuditEntry.actor_id.in_([user_id, *key_ids]))
    made = select(AuditEntry.object_id).where(is_by, AuditEntry.action == "key.create")
    is_of_key = or_(AuditEntry.within_id == user_id, AuditEntry.object_id.in_(made))
    is_about = or_(AuditEntry.object_id.in_([user_id, *key_ids]), is_of_key)
    for entries, values in (
        (is_about, {"object_name": None, "before": None, "after": None}),
        (is_by, {"actor_name": None}),
    ):
        cleared = update(AuditEntry).where(entries).values(values)
        session.execute(cleared.execution_options(synchronize_session=False))


def find_entries(workspace_id: str, filters: Mapping[str, Any]) -> Select[AuditEntry]:
    """Return a select of the entries of a workspace that match the filters of an AuditQuery."""
    conditions = (_FILTERS[name](value) for name, value in filters.items() if name in _FILTERS)
    return select(AuditEntry).where(AuditEntry.workspace_id == workspace_id, *conditions)


def get_label_moves(workspace_id: str, prompt_id: str, label: str, count: int) -> list[tuple[datetime, int]]:
    """Return when a label of a prompt was last put on a version, and on which one, at most `count`, newest first.

    The caller must have checked that the prompt may be read: the entries themselves are for owners, but at each of
    these times everybody could read where the label was.
    """
    is_move = (AuditEntry.workspace_id == workspace_id) & (AuditEntry.action == "label.set")
    is_of_label = (AuditEntry.object_id == prompt_id) & (AuditEntry.object_name == label)
    moves = select(AuditEntry.created_at, AuditEntry.after).where(is_move, is_of_label)
    rows = session.execute(moves.order_by(AuditEntry.created_at.desc(), AuditEntry.seq.desc()).limit(count))
    return [(moment, after["version"]) for moment, after in rows if after and "version" in after]


def count_before(moment: datetime, workspace_ids: Sequence[str]) -> int:
    """Return how many entries of workspaces are older than a moment."""
    return session.scalars(select(func.count()).where(_is_before(moment, workspace_ids))).one()


def remove_before(moment: datetime, workspace_ids: Sequence[str], count: int) -> int:
    """Delete up to `count` entries of workspaces that are older than a moment; return how many."""
    some = select(AuditEntry.seq).where(_is_before(moment, workspace_ids)).limit(count)
    return len(session.scalars(delete(AuditEntry).where(AuditEntry.seq.in_(some)).returning(AuditEntry.seq)).all())


def _is_before(moment: datetime, workspace_ids: Sequence[str]) -> ColumnElement[bool]:
    """Return the condition that entries are old and of one of the workspaces, or of any of very many."""
    is_old = AuditEntry.created_at < moment
    if len(workspace_ids) > _WORKSPACES_NAMED:
        return is_old
    return is_old & AuditEntry.workspace_id.in_(workspace_ids)


def _name_of(model: Any, row_id: str) -> Any:
    return select(model.name).where(model.id == row_id).scalar_subquery()


def _shorten(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _shorten_value(value) for name, value in values.items()}


def _shorten_value(value: Any) -> Any:
    """Return a value, or the beginning of its text if that is long. Of an object or array that is its JSON."""
    text = dumps(value) if isinstance(value, dict | list) else value
    return shorten(text, _TEXT_MAX) if isinstance(text, str) and len(text) > _TEXT_MAX else value
