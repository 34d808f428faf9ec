"""Members of workspaces and their roles. Call the writing functions inside `transactions.writing()`.

Whatever could leave a workspace without an owner locks its row first, so that two such changes come one after another.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, Select, delete, func, select, update

from promptcrafter import clock
from promptcrafter.auth import store as accounts
from promptcrafter.auth.models import User
from promptcrafter.database.session import session
from promptcrafter.ids import is_well_formed
from promptcrafter.permissions import OF_ROLE, Permission, Role, least_role
from promptcrafter.problems import Invalid, Problem
from promptcrafter.workspaces import audit, key_store
from promptcrafter.workspaces.models import Invitation, Member, Workspace
from promptcrafter.workspaces.principal import Membership, Principal, personal_workspace_id

_WORKSPACES_MAX = 100  # of which one account is a member: each request reads all of its memberships
_MEMBERS_MAX = 1000  # of a workspace


def find_members(workspace: Workspace) -> Select[*tuple[Any, ...]]:
    """Return a select of the members of a workspace, with names and addresses, as rows."""
    is_disabled = User.disabled_since.is_not(None).label("is_disabled")
    columns = (Member.user_id, User.name, User.email, Member.role, Member.created_at, is_disabled)
    return select(*columns).join(User, User.id == Member.user_id).where(Member.workspace_id == workspace.id)


def list_members(workspace: Workspace) -> Sequence[Row[Any]]:
    """Return the members of a workspace, those who joined first before the others."""
    return session.execute(find_members(workspace).order_by(Member.created_at, Member.user_id)).all()


def has_several_members(principal: Principal) -> bool:
    """Return whether the current workspace has more than one member who can sign in."""
    members = select(Member.user_id).join(User, User.id == Member.user_id).where(User.disabled_since.is_(None))
    return len(session.scalars(members.where(Member.workspace_id == principal.workspace_id).limit(2)).all()) > 1


def get_member(workspace: Workspace, user_id: str) -> Row[Any]:
    """Return a member of a workspace. Raises 404."""
    row = session.execute(find_members(workspace).where(Member.user_id == user_id)).first()
    if row is None:
        raise _member_not_found()
    return row


def act_as_member(workspace: Workspace, user: User, needs: Permission) -> Principal:
    """Return the principal of a command that acts for a member of a workspace, with the role that it has there.

    Raises 404 if the account is no member, and 403 if its role does not grant what the command needs.
    """
    role = session.scalar(find_member(workspace.id, user.id).with_only_columns(Member.role))
    if role is None:
        raise Problem(404, f"{user.email} is no member of {workspace.slug}.", "member_not_found")
    if needs not in OF_ROLE[role]:
        text = f"The role of {user.email} in {workspace.slug} is {role}; this needs {least_role(needs)}."
        raise Problem(403, text, "role_forbids")
    memberships = {workspace.id: Membership(role, workspace.slug)}
    return Principal(user_id=user.id, memberships=memberships, current_id=workspace.id, needs=needs, is_command=True)


def put_member(principal: Principal, workspace: Workspace, user_id: str, role: Role) -> None:
    """Give an account a role in a locked workspace, as a new member if it is none.

    Raises 409 for a personal workspace, if no owner would be left, and for too many members or memberships.
    """
    if workspace.personal_user_id is not None:
        raise Problem(409, "A personal workspace has one member, its owner.", "personal_workspace")
    if session.scalar(find_member(workspace.id, user_id)) is not None:
        set_role(principal, workspace, user_id, role)
    else:
        join(principal, workspace, user_id, role)


def set_role(principal: Principal, workspace: Workspace, user_id: str, role: Role) -> None:
    """Change the role of a member of a locked workspace.

    Raises 404, 400 for an owner whose account is disabled, and 409 if no owner would be left. Invitations of a
    member whose new role may not invite are revoked.
    """
    member = get_membership(workspace.id, user_id)
    if role == "owner":
        _refuse_disabled(user_id)
    elif member.role == "owner":
        _refuse_last_owner(workspace, user_id)
    before: dict[str, Any] = {"role": member.role}
    member.role = role
    session.flush()
    if Permission.MANAGE not in OF_ROLE[role]:
        before |= _revoke_invitations(workspace, user_id)
    note_member(principal, workspace, "member.change", user_id, before=before, after={"role": role})


def remove_member(principal: Principal, workspace: Workspace, user_id: str) -> None:
    """Remove a member of a locked workspace, with the keys of that account that are bound to it, and its invitations.

    Raises 404, and 409 if no owner would be left.
    """
    member = get_membership(workspace.id, user_id)
    if member.role == "owner":
        _refuse_last_owner(workspace, user_id)
    key_store.end_keys(principal, workspace, user_id)
    before = {"role": member.role, **_revoke_invitations(workspace, user_id)}
    session.delete(member)
    session.flush()
    action = "member.leave" if user_id == principal.user_id else "member.remove"
    note_member(principal, workspace, action, user_id, before=before)


def set_default(user_id: str, workspace_id: str | None) -> None:
    """Let tokens of an account act in this workspace by default; None: in the personal one. It must be a member."""
    changed = update(Member).where(Member.user_id == user_id).values(is_default=Member.workspace_id == workspace_id)
    session.execute(changed.execution_options(synchronize_session=False))


def get_default(user_id: str) -> str:
    """Return the id of the workspace in which tokens of an account act by default."""
    is_default = (Member.user_id == user_id) & Member.is_default
    return session.scalar(select(Member.workspace_id).where(is_default)) or personal_workspace_id(user_id)


def join(principal: Principal, workspace: Workspace, user_id: str, role: str, **noted: str) -> None:
    """Make an account a member of a locked workspace. Raises 409 for too many members or memberships.

    The entry of the audit trail has the role and what else is `noted`.
    """
    lock_joining(user_id)
    if role == "owner":
        _refuse_disabled(user_id)
    count = select(func.count()).select_from(Member).where(Member.workspace_id == workspace.id)
    if session.scalars(count).one() >= _MEMBERS_MAX:
        raise Problem(409, f"A workspace has at most {_MEMBERS_MAX:,} members.", "too_many_members")
    insert_member(workspace.id, user_id, role)
    note_member(principal, workspace, "member.join", user_id, after={"role": role, **noted})


def insert_member(workspace_id: str, user_id: str, role: str) -> None:
    """Insert a member without further checks, as the owner of a new workspace is."""
    session.add(Member(workspace_id=workspace_id, user_id=user_id, role=role, is_default=False, created_at=clock.now()))
    session.flush()


def lock_joining(user_id: str) -> None:
    """Lock an account that is to become a member of one more workspace.

    Raises 409 if it is in too many, and 401 if it was deleted since the request was authenticated.
    """
    accounts.lock_account(user_id)
    count = select(func.count()).select_from(Member).where(Member.user_id == user_id)
    if session.scalars(count).one() >= _WORKSPACES_MAX:
        raise Problem(409, f"An account is in at most {_WORKSPACES_MAX} workspaces.", "too_many_workspaces")


def find_member(workspace_id: Any, user_id: str) -> Select[Member]:
    """Return a select of the membership of an account in a workspace, whose id may be a column."""
    return select(Member).where(Member.workspace_id == workspace_id, Member.user_id == user_id)


def get_membership(workspace_id: str, user_id: str) -> Member:
    """Return the membership of an account in a workspace. Raises 404."""
    member = session.scalar(find_member(workspace_id, user_id)) if is_well_formed("user", user_id) else None
    if member is None:
        raise _member_not_found()
    return member


def find_other_owners(workspace_id: Any, user_id: str) -> Select[str]:
    """Return a select of the ids of the owners of a workspace but one."""
    is_other = (Member.workspace_id == workspace_id) & (Member.role == "owner") & (Member.user_id != user_id)
    return select(Member.user_id).join(User, User.id == Member.user_id).where(is_other)


def note_member(principal: Principal, workspace: Workspace, action: str, user_id: str, **values: Any) -> None:
    """Add an entry about a member to the audit trail."""
    name = accounts.get_user(user_id).name
    audit.note(principal, workspace.id, action, "member", user_id, name, **values)


def _revoke_invitations(workspace: Workspace, author_id: str) -> dict[str, int]:
    """Delete the invitations that a member has made; return how many, as a part of an audit entry's `before`."""
    by_member = (Invitation.workspace_id == workspace.id) & (Invitation.author_id == author_id)
    revoked = len(session.scalars(delete(Invitation).where(by_member).returning(Invitation.seq)).all())
    return {"invitations": revoked} if revoked else {}


def _refuse_last_owner(workspace: Workspace, user_id: str) -> None:
    """Raise 409 if a locked workspace has no other owner than this one, apart from disabled accounts."""
    owners = find_other_owners(workspace.id, user_id)
    if session.scalar(owners.where(User.disabled_since.is_(None)).limit(1)) is None:
        text = "The workspace would be left without an owner: make another member an owner first, or delete it."
        disabled = " A disabled account does not count." if session.scalar(owners.limit(1)) else ""
        raise Problem(409, text + disabled, "last_owner")


def _refuse_disabled(user_id: str) -> None:
    """Raise 400 if an account that is to be an owner is disabled: the workspace would have one who cannot log in."""
    if accounts.get_user(user_id).disabled_since is not None:
        raise Invalid({"role": ["must not be owner: the account is disabled"]})


def _member_not_found() -> Problem:
    return Problem(404, "Member not found", "member_not_found")
