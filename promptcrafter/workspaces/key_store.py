"""API keys that are bound to workspaces. Call the writing functions inside `transactions.writing()`."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, func, select

from promptcrafter.auth import store as accounts
from promptcrafter.auth.models import ApiKey, User
from promptcrafter.database.session import session
from promptcrafter.ids import is_well_formed
from promptcrafter.problems import Problem
from promptcrafter.workspaces import audit
from promptcrafter.workspaces.models import Workspace
from promptcrafter.workspaces.principal import Principal, personal_workspace_id

_NOTED = 20  # by an entry for each when they end together; of more there is one entry
_IDS_NOTED = 1000  # in that entry


def list_keys(workspace: Workspace) -> list[dict[str, Any]]:
    """Return the API keys that are bound to a workspace, newest first, with the names of their accounts."""
    found = select(ApiKey, User.name).join(User, User.id == ApiKey.user_id).where(ApiKey.workspace_id == workspace.id)
    columns = ("id", "name", "prefix", "user_id", "scopes", "created_at", "expires_at", "last_used_at")
    rows = session.execute(found.order_by(ApiKey.created_at.desc(), ApiKey.seq.desc())).all()
    return [{**{column: getattr(key, column) for column in columns}, "user_name": name} for key, name in rows]


def add_key(principal: Principal, values: Mapping[str, Any]) -> tuple[ApiKey, str]:
    """Insert an API key of a locked account; return its row and the key itself, which is not stored. Raises 400.

    With a `workspace_id` it is bound to that workspace, which must be locked.
    """
    if values.get("scopes"):
        values = {**values, "scopes": list(dict.fromkeys(values["scopes"]))}
    key, secret = accounts.add_key(principal.user_id, values)
    note_key(principal, "key.create", key)
    return key, secret


def remove_key(principal: Principal, workspace: Workspace, key_id: str) -> None:
    """Revoke an API key that is bound to a workspace. Raises 404."""
    is_it = (ApiKey.id == key_id) & (ApiKey.workspace_id == workspace.id)
    key = session.scalar(select(ApiKey).where(is_it)) if is_well_formed("key", key_id) else None
    if key is None:
        raise Problem(404, "Key not found", "key_not_found")
    note_key(principal, "key.revoke", key)
    session.delete(key)
    session.flush()


def note_key(principal: Principal, action: str, key: ApiKey) -> None:
    """Add an entry about a key to the audit trail of its workspace, or of the account's personal one."""
    workspace_id = key.workspace_id or personal_workspace_id(key.user_id)
    side = "before" if action == "key.revoke" else "after"
    values: dict[str, Any] = {side: {"scopes": key.scopes, "userId": key.user_id}}
    audit.note(principal, workspace_id, action, "key", key.id, key.name, within_id=key.user_id, **values)


def end_keys(principal: Principal, workspace: Workspace, user_id: str) -> None:
    """Revoke the keys of an account that are bound to a workspace. Many of them share one entry of the audit trail."""
    is_bound = (ApiKey.user_id == user_id) & (ApiKey.workspace_id == workspace.id)
    keys = session.scalars(select(ApiKey).where(is_bound).order_by(ApiKey.seq).limit(_NOTED + 1)).all()
    if len(keys) <= _NOTED:
        for key in keys:
            note_key(principal, "key.revoke", key)
    else:
        ids = session.scalars(select(ApiKey.id).where(is_bound).order_by(ApiKey.seq).limit(_IDS_NOTED)).all()
        count = session.scalars(select(func.count()).select_from(ApiKey).where(is_bound)).one()
        before = {"keys": count, "keyIds": list(ids)}
        name = accounts.get_user(user_id).name
        audit.note(principal, workspace.id, "key.revoke", "member", user_id, name, before=before, is_whole=True)
    session.flush()
    session.execute(delete(ApiKey).where(is_bound))
