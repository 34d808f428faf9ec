"""Workspaces and memberships in the database. Call the writing functions inside `transactions.writing()`."""

from sqlalchemy import select

from promptcrafter import clock
from promptcrafter.auth import store as accounts
from promptcrafter.auth.models import User
from promptcrafter.database.session import session
from promptcrafter.workspaces.models import Member, Workspace
from promptcrafter.workspaces.principal import Principal, in_workspace, personal_workspace_id


def add_account(name: str, email: str, password_hash: str) -> User:
    """Insert an account and its personal workspace. Raises 409 if there is one with this address."""
    user = accounts.add_user(name, email, password_hash)
    workspace_id = personal_workspace_id(user.id)
    session.add(
        Workspace(
            id=workspace_id,
            slug=f"personal-{user.id.removeprefix('user').replace('_', '')}",
            name=user.name,
            personal_user_id=user.id,
            protected_labels=[],
            created_at=user.created_at,
            updated_at=user.created_at,
        )
    )
    session.flush()
    _add_member(workspace_id, user.id, "owner")
    return user


def list_principals(email: str | None) -> list[Principal]:
    """Return the principal of a command for each workspace; with an address, for that account's personal one alone.

    Raises 404 for an unknown address.
    """
    if email is not None:
        user_id = accounts.get_by_email(email).id
        return [in_workspace(user_id, personal_workspace_id(user_id))]
    ids = session.scalars(select(Workspace.id).order_by(Workspace.seq))
    return [in_workspace("", workspace_id) for workspace_id in ids]


def _add_member(workspace_id: str, user_id: str, role: str) -> None:
    session.add(Member(workspace_id=workspace_id, user_id=user_id, role=role, is_default=False, created_at=clock.now()))
    session.flush()
