"""Accounts as far as they own or leave workspaces. Call the writing functions inside `transactions.writing()`."""

from collections.abc import Sequence

from sqlalchemy import delete, func, select

from promptcrafter.auth import store as accounts
from promptcrafter.auth.models import ApiKey, User
from promptcrafter.database.session import session
from promptcrafter.problems import Problem
from promptcrafter.workspaces import audit, key_store, member_store, store
from promptcrafter.workspaces.models import Invitation, Member, Workspace
from promptcrafter.workspaces.principal import Principal, in_workspace, personal_workspace_id


def add_account(name: str, email: str, password_hash: str) -> User:
    """Insert an account and its personal workspace. Raises 409 if there is one with this address."""
    user = accounts.add_user(name, email, password_hash)
    store.add_personal_workspace(user)
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


def list_lone_workspaces(user_id: str) -> Sequence[Workspace]:
    """Return the workspaces of which an account is the only member, the personal one among them, oldest first."""
    members = select(Member.user_id).where(Member.workspace_id == Workspace.id)
    is_lone = (
        member_store.find_member(Workspace.id, user_id).exists() & ~members.where(Member.user_id != user_id).exists()
    )
    return session.scalars(select(Workspace).where(is_lone).order_by(Workspace.seq)).all()


def get_sole_ownerships(user_id: str) -> Sequence[Workspace]:
    """Return the shared workspaces with other members of which an account is the only owner that is not disabled."""
    others = select(Member.user_id).where(Member.workspace_id == Workspace.id, Member.user_id != user_id)
    own = member_store.find_member(Workspace.id, user_id).where(Member.role == "owner")
    owned = select(Workspace).where(own.exists(), Workspace.personal_user_id.is_(None))
    owners = member_store.find_other_owners(Workspace.id, user_id).where(User.disabled_since.is_(None))
    return session.scalars(owned.where(others.exists(), ~owners.exists()).order_by(Workspace.seq)).all()


def remove_account(principal: Principal, *, anonymise: bool) -> None:
    """Delete the principal's account with its personal workspace, keys and memberships; many rows are left to a purge.

    What it made elsewhere stays, under its name unless it is anonymised. A shared workspace of which it is the only
    member is deleted. Raises 409 if it is the only owner of a shared workspace with other members, and 401 if it is
    deleted already.
    """
    user_id = principal.user_id
    # FOR UPDATE, in the order in which the rows of other requests refer to them: none of these waits for this one while
    # this one waits for it
    for row in (select(Member.user_id).where(Member.user_id == user_id), select(User.id).where(User.id == user_id)):
        session.execute(row.with_for_update())
    user = accounts.lock_account(user_id)
    memberships = select(Member.workspace_id).where(Member.user_id == user_id)
    is_own = Workspace.id.in_(memberships)
    locked = session.scalars(select(Workspace).where(is_own).order_by(Workspace.id).with_for_update(key_share=True))
    workspaces = locked.all()
    if owned := get_sole_ownerships(user_id):
        names = ", ".join(workspace.slug for workspace in owned)
        text = f"You are the only owner of {names}: make another member an owner first, or delete it."
        raise Problem(409, text, "last_owner")
    key_ids = session.scalars(select(ApiKey.id).where(ApiKey.user_id == user_id)).all()
    for workspace in workspaces:
        count = select(func.count()).select_from(Member).where(Member.workspace_id == workspace.id)
        if session.scalars(count).one() == 1:
            store.delete_with_contents(workspace)
        else:
            before = {"role": member_store.get_membership(workspace.id, user_id).role}
            key_store.end_keys(principal, workspace, user_id)
            member_store.note_member(principal, workspace, "member.leave", user_id, before=before)
    session.execute(delete(Invitation).where(Invitation.author_id == user_id))
    if anonymise:
        audit.anonymise(user_id, key_ids)
    session.execute(delete(Member).where(Member.user_id == user_id))
    accounts.bury(user, anonymise=anonymise)
