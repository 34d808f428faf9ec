"""Invitations to workspaces. Call the writing functions inside `transactions.writing()`."""

import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, delete, func, select

from promptcrafter import clock
from promptcrafter.auth import store as accounts
from promptcrafter.auth.models import User
from promptcrafter.auth.store import digest
from promptcrafter.database.deletions import is_present
from promptcrafter.database.session import session
from promptcrafter.ids import is_well_formed, new_id
from promptcrafter.permissions import Role
from promptcrafter.problems import Problem
from promptcrafter.workspaces import audit, member_store, store
from promptcrafter.workspaces.models import Invitation, Workspace
from promptcrafter.workspaces.principal import Principal

INVITATION_PREFIX = "inv_"
_TOKEN_RANDOM_BYTES = 32
_INVITATIONS_MAX = 100  # open ones of a workspace


class ShownInvitation(NamedTuple):
    """What an open invitation shows to those who have its token."""

    workspace: str  # its name
    role: Role
    author: str  # the name of the owner who invites


def add_invitation(principal: Principal, workspace: Workspace, role: Role, days: int) -> tuple[Invitation, str]:
    """Insert an invitation to a locked workspace; return it and its token, which is not stored.

    Raises 409 for a personal workspace and for one that has too many open invitations.
    """
    if workspace.personal_user_id is not None:
        raise Problem(409, "Nobody can be invited to a personal workspace.", "personal_workspace")
    now = clock.now()
    session.execute(delete(Invitation).where(Invitation.workspace_id == workspace.id, Invitation.expires_at <= now))
    count = select(func.count()).select_from(Invitation).where(Invitation.workspace_id == workspace.id)
    if session.scalars(count).one() >= _INVITATIONS_MAX:
        raise Problem(409, f"A workspace has at most {_INVITATIONS_MAX} open invitations.", "too_many_invitations")
    token = INVITATION_PREFIX + secrets.token_urlsafe(_TOKEN_RANDOM_BYTES)
    invitation = Invitation(
        id=new_id("invitation"),
        workspace_id=workspace.id,
        role=role,
        digest=digest(token),
        author_id=principal.user_id,
        created_at=now,
        expires_at=now + timedelta(days=days),
    )
    session.add(invitation)
    session.flush()
    _note(principal, "invitation.create", invitation, after={"role": role})
    return invitation, token


def list_invitations(workspace: Workspace) -> Sequence[Invitation]:
    """Return the open invitations to a workspace, newest first."""
    is_open = (Invitation.workspace_id == workspace.id) & (Invitation.expires_at > clock.now())
    return session.scalars(select(Invitation).where(is_open).order_by(Invitation.created_at.desc())).all()


def show_invitation(token: str) -> ShownInvitation:
    """Return what an open invitation is for. Raises 404 for an unknown, used, revoked or expired token."""
    found = select(Workspace.name, Invitation.role, User.name).select_from(Invitation)
    found = found.join(Workspace, Workspace.id == Invitation.workspace_id).join(User, User.id == Invitation.author_id)
    row: Any = session.execute(found.where(*_is_open(token), is_present(Workspace))).first()
    if row is None:
        raise _invitation_not_found()
    return ShownInvitation(*row)


def remove_invitation(principal: Principal, workspace: Workspace, invitation_id: str) -> None:
    """Revoke an invitation. Raises 404."""
    is_it = (Invitation.id == invitation_id) & (Invitation.workspace_id == workspace.id)
    invitation = (
        session.scalar(select(Invitation).where(is_it)) if is_well_formed("invitation", invitation_id) else None
    )
    if invitation is None:
        raise _invitation_not_found()
    session.delete(invitation)
    session.flush()
    _note(principal, "invitation.revoke", invitation)


def accept_invitation(principal: Principal, token: str) -> Workspace:
    """Make an account a member of the workspace that it is invited to, and use the invitation up.

    An account that is a member already stays what it is, and the invitation stays unused. Raises 404 for an unknown,
    used, revoked or expired token.
    """
    user_id = principal.user_id
    accounts.lock_account(user_id)
    is_open = _is_open(token)
    invitation = session.scalar(select(Invitation).where(*is_open))
    # the row is locked before the invitation is used, as for all changes of members
    workspace = None if invitation is None else store.lock_row(Workspace.id == invitation.workspace_id)
    if workspace is None:
        raise _invitation_not_found()
    if session.scalar(member_store.find_member(workspace.id, user_id)) is not None:
        return workspace
    used = session.execute(delete(Invitation).where(*is_open).returning(Invitation.id, Invitation.role)).first()
    if used is None:
        raise _invitation_not_found()
    member_store.join(principal, workspace, user_id, used.role, invitationId=used.id)
    return workspace


def _is_open(token: str) -> tuple[ColumnElement[bool], ...]:
    return (Invitation.digest == digest(token), Invitation.expires_at > clock.now())


def _note(principal: Principal, action: str, invitation: Invitation, **values: Any) -> None:
    audit.note(principal, invitation.workspace_id, action, "invitation", invitation.id, **values)


def _invitation_not_found() -> Problem:
    return Problem(404, "This invitation is used, revoked, expired or unknown.", "invitation_not_found")
