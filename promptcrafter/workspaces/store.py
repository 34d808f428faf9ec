"""Workspaces, members and invitations in the database. Call the writing functions inside `transactions.writing()`.

Whatever could leave a workspace without an owner locks its row first, so that two such changes come one after another.
"""

import re
import secrets
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import Row, Select, bindparam, delete, func, or_, select, update

from promptcrafter import clock
from promptcrafter.auth import store as accounts
from promptcrafter.auth.models import ApiKey, User
from promptcrafter.auth.store import digest
from promptcrafter.database.base import Base
from promptcrafter.database.compiled import CompiledQuery
from promptcrafter.database.deletions import defer, is_pending, is_present
from promptcrafter.database.errors import translating
from promptcrafter.database.session import session
from promptcrafter.database.transactions import lock_name
from promptcrafter.ids import is_well_formed, new_id
from promptcrafter.permissions import OF_ROLE, Permission, Role, least_role
from promptcrafter.problems import Invalid, Problem, Unauthorized
from promptcrafter.workspaces import audit
from promptcrafter.workspaces.models import Invitation, Member, Workspace
from promptcrafter.workspaces.principal import (
    Membership,
    Principal,
    find_role_obstacle,
    find_workspace_id,
    in_workspace,
    personal_workspace_id,
    workspace_not_found,
)

INVITATION_PREFIX = "inv_"
_TOKEN_RANDOM_BYTES = 32
_WORKSPACES_MAX = 100  # of which one account is a member: each request reads all of its memberships
_MEMBERS_MAX = 1000  # of a workspace
_INVITATIONS_MAX = 100  # open ones of a workspace
_KEYS_NOTED = 20  # by an entry for each when they end together; of more there is one entry
_KEY_IDS_NOTED = 1000  # in that entry
_SHOWN = ("id", "slug", "name", "created_at", "updated_at")  # in every answer
_USERS, _MEMBERS, _WORKSPACES = (Base.metadata.tables[model.__tablename__] for model in (User, Member, Workspace))
# Every page executes this query
_FRAME = CompiledQuery(
    select(_USERS.c.id, _USERS.c.name, _USERS.c.email)
    .add_columns(_WORKSPACES.c.id, _WORKSPACES.c.slug, _WORKSPACES.c.name, _WORKSPACES.c.personal_user_id)
    .join(_MEMBERS, _MEMBERS.c.user_id == _USERS.c.id)
    .join(_WORKSPACES, _WORKSPACES.c.id == _MEMBERS.c.workspace_id)
    .where(_USERS.c.id == bindparam("user_id"))
    .order_by(_WORKSPACES.c.seq)
)
_SHOWN_AS = {"protected_labels": "protectedLabels"}  # in the audit trail, as in the API
_DERIVED_SLUG_MAX = 50  # characters; leaves room for a number at the end


class ShownAccount(NamedTuple):
    """What every page shows of the account that is signed in."""

    id: str
    name: str
    email: str


class ShownWorkspace(NamedTuple):
    """What every page shows of a workspace of the account."""

    id: str
    slug: str
    name: str
    personal: bool


def add_account(name: str, email: str, password_hash: str) -> User:
    """Insert an account and its personal workspace. Raises 409 if there is one with this address."""
    user = accounts.add_user(name, email, password_hash)
    workspace_id = personal_workspace_id(user.id)
    slug = f"personal-{workspace_id.removeprefix('workspace').replace('_', '')}"
    _insert_workspace(workspace_id, user.name, slug, user.id, personal_user_id=user.id)
    return user


def lock_account(user_id: str) -> User:
    """Return the account of a request, locked until the commit.

    Raises 401 if it was deleted since the request was authenticated. Lock it before a workspace of which it is a
    member, as the deletion of an account does.
    """
    user = accounts.lock_user(user_id)
    if user.deleted_at is not None:
        raise Unauthorized
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


# For the command line, whose operator is a member of nothing and may do everything


def list_all_workspaces() -> list[dict[str, Any]]:
    """Return all workspaces, oldest first: attributes, the number of members, and the addresses of the owners."""
    counts = dict(session.execute(select(Member.workspace_id, func.count()).group_by(Member.workspace_id)).all())
    owners: dict[str, list[str]] = {}
    found = select(Member.workspace_id, User.email).join(User, User.id == Member.user_id)
    found = found.where(Member.role == "owner").order_by(Member.created_at, Member.user_id)
    for workspace_id, email in session.execute(found):
        owners.setdefault(workspace_id, []).append(email)
    return [
        {
            **{"_id": workspace.id, "slug": workspace.slug, "name": workspace.name},
            "personal": workspace.personal_user_id is not None,
            **{"members": counts.get(workspace.id, 0), "owners": owners.get(workspace.id, [])},
        }
        for workspace in session.scalars(select(Workspace).where(is_present(Workspace)).order_by(Workspace.seq))
    ]


def get_any_workspace(reference: str) -> Workspace:
    """Return the workspace that an id or a slug names. Raises 404."""
    workspace = session.scalar(_find_any(reference))
    if workspace is None:
        raise _no_such_workspace(reference)
    return workspace


def lock_any_workspace(reference: str) -> Workspace:
    """Return what `get_any_workspace` returns, locked until the commit."""
    workspace_id = session.scalar(_find_any(reference).with_only_columns(Workspace.id))
    workspace = None if workspace_id is None else _lock_row(Workspace.id == workspace_id)
    if workspace is None or is_pending(workspace.id):  # deleted while this waited for the lock
        raise _no_such_workspace(reference)
    return workspace


def act_as_member(workspace: Workspace, user: User, needs: Permission) -> Principal:
    """Return the principal of a command that acts for a member of a workspace, with the role that it has there.

    Raises 404 if the account is no member, and 403 if its role does not grant what the command needs.
    """
    role = session.scalar(_find_member(workspace.id, user.id).with_only_columns(Member.role))
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
    if session.scalar(_find_member(workspace.id, user_id)) is not None:
        set_role(principal, workspace, user_id, role)
    else:
        _join(principal, workspace, user_id, role)


def list_lone_workspaces(user_id: str) -> Sequence[Workspace]:
    """Return the workspaces of which an account is the only member, the personal one among them, oldest first."""
    members = select(Member.user_id).where(Member.workspace_id == Workspace.id)
    is_lone = _find_member(Workspace.id, user_id).exists() & ~members.where(Member.user_id != user_id).exists()
    return session.scalars(select(Workspace).where(is_lone).order_by(Workspace.seq)).all()


# Workspaces


def get_frame(principal: Principal) -> tuple[ShownAccount, list[ShownWorkspace]]:
    """Return what every page shows: the account, and the workspaces that it may access, the personal one first.

    Raises 401 if the account was deleted meanwhile.
    """
    rows = _FRAME.all(user_id=principal.user_id)
    if not rows:
        raise Unauthorized("This account was deleted.")
    workspaces = [ShownWorkspace(row[3], row[4], row[5], row[6] is not None) for row in rows]
    shown = [each for each in workspaces if each.id in principal.memberships]
    return ShownAccount(*rows[0][:3]), sorted(shown, key=lambda each: not each.personal)


def list_workspaces(principal: Principal) -> list[dict[str, Any]]:
    """Return the workspaces that the principal may access, the personal one first, as `show` returns each."""
    # columns, because each page reads them, and an object takes longer
    columns = (getattr(Workspace, name) for name in (*_SHOWN, "personal_user_id", "protected_labels"))
    found = select(*columns).where(Workspace.id.in_(principal.memberships)).order_by(Workspace.seq)
    workspaces = session.execute(found).all()
    personal_first = sorted(workspaces, key=lambda each: not each.personal_user_id)
    return [show(workspace, principal.memberships[workspace.id].role) for workspace in personal_first]


def show(workspace: Workspace | Row[Any], role: str) -> dict[str, Any]:
    """Return the attributes of a workspace, and the caller's role in it."""
    columns = {name: getattr(workspace, name) for name in _SHOWN}
    return {
        **columns,
        "personal": workspace.personal_user_id is not None,
        "role": role,
        "protected_labels": workspace.protected_labels,
    }


def get_workspace(principal: Principal, reference: str) -> Workspace:
    """Return the workspace that an id or a slug names, if the principal is a member of it.

    Raises 404, or 403 if the role there does not grant what the route requires.
    """
    return _get_workspace(principal, reference, lock=False)


def lock_workspace(principal: Principal, reference: str) -> Workspace:
    """Return what `get_workspace` returns, locked until the commit."""
    workspace = _get_workspace(principal, reference, lock=True)
    role = session.scalar(_find_member(workspace.id, principal.user_id).with_only_columns(Member.role))
    if role != principal.memberships[workspace.id].role:  # changed since the request was authenticated
        raise workspace_not_found()
    return workspace


def add_workspace(principal: Principal, name: str, slug: str | None) -> Workspace:
    """Insert a workspace that is owned by the account. Raises 409 if the slug is taken."""
    _lock_joining(principal.user_id)
    lock_name("slugs of workspaces")
    workspace = _insert_workspace(new_id("workspace"), name, slug or _choose_slug(name), principal.user_id)
    _note(principal, workspace, "workspace.create", workspace, name)
    return workspace


def change_workspace(principal: Principal, workspace: Workspace, changes: Mapping[str, Any]) -> None:
    """Change a locked workspace. Raises 409 if the slug is taken."""
    before = {_SHOWN_AS.get(attribute, attribute): getattr(workspace, attribute) for attribute in changes}
    after = {_SHOWN_AS.get(attribute, attribute): value for attribute, value in changes.items()}
    for attribute, value in changes.items():
        setattr(workspace, attribute, value)
    _note(principal, workspace, "workspace.change", workspace, workspace.name, before=before, after=after)
    workspace.updated_at = clock.now()
    _flush_or_refuse_slug()


def remove_workspace(workspace: Workspace, confirmed: str) -> None:
    """Delete a locked workspace with all that it has; its content is left to a purge.

    Raises 409 for a personal one, and 400 unless its slug is confirmed.
    """
    if workspace.personal_user_id is not None:
        raise Problem(409, "A personal workspace is deleted with its account only.", "personal_workspace")
    if confirmed != workspace.slug:
        raise Invalid({"confirm": ["must be the slug of the workspace"]})
    delete_with_contents(workspace)


def delete_with_contents(workspace: Workspace) -> None:
    """Delete a locked workspace of any kind with all that it has.

    Its members and keys are gone at once, its content is left to a purge: removing here what requests that began before
    still refer to, row by row, would end in a deadlock with them on PostgreSQL.
    """
    for model in (Member, Invitation):
        session.execute(delete(model).where(model.workspace_id == workspace.id))
    session.execute(delete(ApiKey).where(ApiKey.workspace_id == workspace.id))
    defer(workspace)
    values: dict[str, Any] = {"slug": Workspace.id, "name": "", "personal_user_id": None, "protected_labels": []}
    session.execute(update(Workspace).where(Workspace.id == workspace.id).values(values))  # an id is no slug


# Members


def find_members(workspace: Workspace) -> Select[*tuple[Any, ...]]:
    """Return a select of the members of a workspace, with names and addresses, as rows."""
    is_disabled = User.disabled_since.is_not(None).label("is_disabled")
    columns = (Member.user_id, User.name, User.email, Member.role, Member.created_at, is_disabled)
    return select(*columns).join(User, User.id == Member.user_id).where(Member.workspace_id == workspace.id)


def list_members(workspace: Workspace) -> Sequence[Row[Any]]:
    """Return the members of a workspace, those who joined first before the others."""
    return session.execute(find_members(workspace).order_by(Member.created_at, Member.user_id)).all()


def get_member(workspace: Workspace, user_id: str) -> Row[Any]:
    """Return a member of a workspace. Raises 404."""
    row = session.execute(find_members(workspace).where(Member.user_id == user_id)).first()
    if row is None:
        raise _member_not_found()
    return row


def set_role(principal: Principal, workspace: Workspace, user_id: str, role: Role) -> None:
    """Change the role of a member of a locked workspace.

    Raises 404, 400 for an owner whose account is disabled, and 409 if no owner would be left. Invitations of a
    member whose new role may not invite are revoked.
    """
    member = _get_member(workspace.id, user_id)
    if role == "owner":
        _refuse_disabled(user_id)
    elif member.role == "owner":
        _refuse_last_owner(workspace, user_id)
    before: dict[str, Any] = {"role": member.role}
    member.role = role
    session.flush()
    if Permission.MANAGE not in OF_ROLE[role]:
        before |= _revoke_invitations(workspace, user_id)
    _note_member(principal, workspace, "member.change", user_id, before=before, after={"role": role})


def remove_member(principal: Principal, workspace: Workspace, user_id: str) -> None:
    """Remove a member of a locked workspace, with the keys of that account that are bound to it, and its invitations.

    Raises 404, and 409 if no owner would be left.
    """
    member = _get_member(workspace.id, user_id)
    if member.role == "owner":
        _refuse_last_owner(workspace, user_id)
    _end_keys(principal, workspace, user_id)
    before = {"role": member.role, **_revoke_invitations(workspace, user_id)}
    session.delete(member)
    session.flush()
    action = "member.leave" if user_id == principal.user_id else "member.remove"
    _note_member(principal, workspace, action, user_id, before=before)


def set_default(user_id: str, workspace_id: str | None) -> None:
    """Let tokens of an account act in this workspace by default; None: in the personal one. It must be a member."""
    changed = update(Member).where(Member.user_id == user_id).values(is_default=Member.workspace_id == workspace_id)
    session.execute(changed.execution_options(synchronize_session=False))


def get_default(user_id: str) -> str:
    """Return the id of the workspace in which tokens of an account act by default."""
    is_default = (Member.user_id == user_id) & Member.is_default
    return session.scalar(select(Member.workspace_id).where(is_default)) or personal_workspace_id(user_id)


# Invitations


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
    _note(principal, workspace, "invitation.create", invitation, after={"role": role})
    return invitation, token


def list_invitations(workspace: Workspace) -> Sequence[Invitation]:
    """Return the open invitations to a workspace, newest first."""
    is_open = (Invitation.workspace_id == workspace.id) & (Invitation.expires_at > clock.now())
    return session.scalars(select(Invitation).where(is_open).order_by(Invitation.created_at.desc())).all()


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
    _note(principal, workspace, "invitation.revoke", invitation)


def _revoke_invitations(workspace: Workspace, author_id: str) -> dict[str, int]:
    """Delete the invitations that a member has made; return how many, as a part of an audit entry's `before`."""
    by_member = (Invitation.workspace_id == workspace.id) & (Invitation.author_id == author_id)
    revoked = len(session.scalars(delete(Invitation).where(by_member).returning(Invitation.seq)).all())
    return {"invitations": revoked} if revoked else {}


def accept_invitation(principal: Principal, token: str) -> Workspace:
    """Make an account a member of the workspace that it is invited to, and use the invitation up.

    An account that is a member already stays what it is, and the invitation stays unused. Raises 404 for an unknown,
    used, revoked or expired token.
    """
    user_id = principal.user_id
    lock_account(user_id)
    is_open = (Invitation.digest == digest(token)) & (Invitation.expires_at > clock.now())
    invitation = session.scalar(select(Invitation).where(is_open))
    # the row is locked before the invitation is used, as for all changes of members
    workspace = None if invitation is None else _lock_row(Workspace.id == invitation.workspace_id)
    if workspace is None:
        raise _invitation_not_found()
    if session.scalar(_find_member(workspace.id, user_id)) is not None:
        return workspace
    used = session.execute(delete(Invitation).where(is_open).returning(Invitation.id, Invitation.role)).first()
    if used is None:
        raise _invitation_not_found()
    _join(principal, workspace, user_id, used.role, invitationId=used.id)
    return workspace


# Keys


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


def _end_keys(principal: Principal, workspace: Workspace, user_id: str) -> None:
    """Revoke the keys of an account that are bound to a workspace. Many of them share one entry of the audit trail."""
    is_bound = (ApiKey.user_id == user_id) & (ApiKey.workspace_id == workspace.id)
    keys = session.scalars(select(ApiKey).where(is_bound).order_by(ApiKey.seq).limit(_KEYS_NOTED + 1)).all()
    if len(keys) <= _KEYS_NOTED:
        for key in keys:
            note_key(principal, "key.revoke", key)
    else:
        ids = session.scalars(select(ApiKey.id).where(is_bound).order_by(ApiKey.seq).limit(_KEY_IDS_NOTED)).all()
        count = session.scalars(select(func.count()).select_from(ApiKey).where(is_bound)).one()
        before = {"keys": count, "keyIds": list(ids)}
        _note_member(principal, workspace, "key.revoke", user_id, before=before, is_whole=True)
    session.flush()
    session.execute(delete(ApiKey).where(is_bound))


# Accounts that leave


def get_sole_ownerships(user_id: str) -> Sequence[Workspace]:
    """Return the shared workspaces with other members of which an account is the only owner that is not disabled."""
    others = select(Member.user_id).where(Member.workspace_id == Workspace.id, Member.user_id != user_id)
    own = _find_member(Workspace.id, user_id).where(Member.role == "owner")
    owned = select(Workspace).where(own.exists(), Workspace.personal_user_id.is_(None))
    owners = _find_other_owners(Workspace.id, user_id).where(User.disabled_since.is_(None))
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
    user = lock_account(user_id)
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
            delete_with_contents(workspace)
        else:
            before = {"role": _get_member(workspace.id, user_id).role}
            _end_keys(principal, workspace, user_id)
            _note_member(principal, workspace, "member.leave", user_id, before=before)
    session.execute(delete(Invitation).where(Invitation.author_id == user_id))
    if anonymise:
        audit.anonymise(user_id, key_ids)
    session.execute(delete(Member).where(Member.user_id == user_id))
    accounts.bury(user, anonymise=anonymise)


def _note(
    principal: Principal, workspace: Workspace, action: str, thing: Any, name: str | None = None, **values: Any
) -> None:
    object_type = "invitation" if isinstance(thing, Invitation) else "workspace"
    audit.note(principal, workspace.id, action, object_type, thing.id, name, **values)


def _note_member(principal: Principal, workspace: Workspace, action: str, user_id: str, **values: Any) -> None:
    name = accounts.get_user(user_id).name
    audit.note(principal, workspace.id, action, "member", user_id, name, **values)


def _insert_workspace(
    workspace_id: str, name: str, slug: str, user_id: str, personal_user_id: str | None = None
) -> Workspace:
    now = clock.now()
    workspace = Workspace(
        id=workspace_id,
        slug=slug,
        name=name,
        personal_user_id=personal_user_id,
        protected_labels=[],
        created_at=now,
        updated_at=now,
    )
    session.add(workspace)
    _flush_or_refuse_slug()
    _insert_member(workspace_id, user_id, "owner")
    return workspace


def _flush_or_refuse_slug() -> None:
    with translating({"uq_workspaces_slug": lambda: Problem(409, "Slug already in use.", "slug_taken")}):
        session.flush()


def _find_any(reference: str) -> Select[Workspace]:
    """Return a select of the workspace with this id, or else of the one with this slug."""
    is_named = or_(Workspace.id == reference, Workspace.slug == reference)
    return select(Workspace).where(is_named, is_present(Workspace)).order_by(Workspace.id != reference).limit(1)


def _no_such_workspace(reference: str) -> Problem:
    return Problem(404, f"No workspace has the id or the slug {reference}.", "workspace_not_found")


def _choose_slug(name: str) -> str:
    """Return a slug for the name that is free, with `-2`, `-3` … at the end if necessary."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = re.sub("[^a-z0-9]+", "-", plain)[:_DERIVED_SLUG_MAX].strip("-") or "workspace"
    is_similar = or_(Workspace.slug == slug, Workspace.slug.startswith(f"{slug}-", autoescape=True))
    taken = set(session.scalars(select(Workspace.slug).where(is_similar)))
    return next(each for each in (slug, *(f"{slug}-{n}" for n in range(2, len(taken) + 3))) if each not in taken)


def _get_workspace(principal: Principal, reference: str, *, lock: bool) -> Workspace:
    workspace_id = find_workspace_id(principal.memberships, reference)
    if workspace_id is None:
        raise workspace_not_found()
    obstacle = find_role_obstacle(principal, workspace_id)
    if obstacle is not None:
        raise obstacle
    is_it = Workspace.id == workspace_id
    workspace = _lock_row(is_it) if lock else session.scalar(select(Workspace).where(is_it))
    if workspace is None:
        raise workspace_not_found()
    return workspace


def _lock_row(condition: Any) -> Workspace | None:
    # FOR NO KEY UPDATE: rows that refer to the workspace, such as logs, can still be inserted meanwhile
    return session.scalar(select(Workspace).where(condition).with_for_update(key_share=True))


def _join(principal: Principal, workspace: Workspace, user_id: str, role: str, **noted: str) -> None:
    """Make an account a member of a locked workspace. Raises 409 for too many members or memberships.

    The entry of the audit trail has the role and what else is `noted`.
    """
    _lock_joining(user_id)
    if role == "owner":
        _refuse_disabled(user_id)
    count = select(func.count()).select_from(Member).where(Member.workspace_id == workspace.id)
    if session.scalars(count).one() >= _MEMBERS_MAX:
        raise Problem(409, f"A workspace has at most {_MEMBERS_MAX:,} members.", "too_many_members")
    _insert_member(workspace.id, user_id, role)
    _note_member(principal, workspace, "member.join", user_id, after={"role": role, **noted})


def _insert_member(workspace_id: str, user_id: str, role: str) -> None:
    session.add(Member(workspace_id=workspace_id, user_id=user_id, role=role, is_default=False, created_at=clock.now()))
    session.flush()


def _find_member(workspace_id: Any, user_id: str) -> Select[Member]:
    return select(Member).where(Member.workspace_id == workspace_id, Member.user_id == user_id)


def _get_member(workspace_id: str, user_id: str) -> Member:
    member = session.scalar(_find_member(workspace_id, user_id)) if is_well_formed("user", user_id) else None
    if member is None:
        raise _member_not_found()
    return member


def _refuse_last_owner(workspace: Workspace, user_id: str) -> None:
    """Raise 409 if a locked workspace has no other owner than this one, apart from disabled accounts."""
    owners = _find_other_owners(workspace.id, user_id)
    if session.scalar(owners.where(User.disabled_since.is_(None)).limit(1)) is None:
        text = "The workspace would be left without an owner: make another member an owner first, or delete it."
        disabled = " A disabled account does not count." if session.scalar(owners.limit(1)) else ""
        raise Problem(409, text + disabled, "last_owner")


def _find_other_owners(workspace_id: Any, user_id: str) -> Select[str]:
    """Return a select of the ids of the owners of a workspace but one."""
    is_other = (Member.workspace_id == workspace_id) & (Member.role == "owner") & (Member.user_id != user_id)
    return select(Member.user_id).join(User, User.id == Member.user_id).where(is_other)


def _refuse_disabled(user_id: str) -> None:
    """Raise 400 if an account that is to be an owner is disabled: the workspace would have one who cannot log in."""
    if accounts.get_user(user_id).disabled_since is not None:
        raise Invalid({"role": ["must not be owner: the account is disabled"]})


def _lock_joining(user_id: str) -> None:
    """Lock an account that is to become a member of one more workspace.

    Raises 409 if it is in too many, and 401 if it was deleted since the request was authenticated.
    """
    lock_account(user_id)
    count = select(func.count()).select_from(Member).where(Member.user_id == user_id)
    if session.scalars(count).one() >= _WORKSPACES_MAX:
        raise Problem(409, f"An account is in at most {_WORKSPACES_MAX} workspaces.", "too_many_workspaces")


def _member_not_found() -> Problem:
    return Problem(404, "Member not found", "member_not_found")


def _invitation_not_found() -> Problem:
    return Problem(404, "This invitation is used, revoked, expired or unknown.", "invitation_not_found")
