"""Workspaces in the database. Call the writing functions inside `transactions.writing()`."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Row, Select, bindparam, delete, func, or_, select, update

from promptcrafter import clock
from promptcrafter.auth.models import ApiKey, User
from promptcrafter.database.base import Base
from promptcrafter.database.compiled import CompiledQuery
from promptcrafter.database.deletions import defer, is_pending, is_present
from promptcrafter.database.errors import translating
from promptcrafter.database.session import session
from promptcrafter.database.transactions import lock_name
from promptcrafter.ids import new_id
from promptcrafter.problems import Invalid, Problem, Unauthorized
from promptcrafter.slugs import derive_slug, make_unique
from promptcrafter.workspaces import audit, member_store
from promptcrafter.workspaces.models import Invitation, Member, Workspace
from promptcrafter.workspaces.principal import (
    Principal,
    find_role_obstacle,
    find_workspace_id,
    personal_workspace_id,
    workspace_not_found,
)

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


def list_slugs(workspace_ids: Collection[str]) -> dict[str, str]:
    """Return the slugs of these workspaces by their ids."""
    found = session.execute(select(Workspace.id, Workspace.slug).where(Workspace.id.in_(workspace_ids)))
    return {row.id: row.slug for row in found}


def lock_any_workspace(reference: str) -> Workspace:
    """Return what `get_any_workspace` returns, locked until the commit."""
    workspace_id = session.scalar(_find_any(reference).with_only_columns(Workspace.id))
    workspace = None if workspace_id is None else lock_row(Workspace.id == workspace_id)
    if workspace is None or is_pending(workspace.id):  # deleted while this waited for the lock
        raise _no_such_workspace(reference)
    return workspace


# For members


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
    role = session.scalar(member_store.find_member(workspace.id, principal.user_id).with_only_columns(Member.role))
    if role != principal.memberships[workspace.id].role:  # changed since the request was authenticated
        raise workspace_not_found()
    return workspace


def lock_row(condition: Any) -> Workspace | None:
    """Return the workspace that meets the condition, locked until the commit, or None."""
    # FOR NO KEY UPDATE: rows that refer to the workspace, such as logs, can still be inserted meanwhile
    return session.scalar(select(Workspace).where(condition).with_for_update(key_share=True))


def add_workspace(principal: Principal, name: str, slug: str | None) -> Workspace:
    """Insert a workspace that is owned by the account. Raises 409 if the slug is taken."""
    member_store.lock_joining(principal.user_id)
    lock_name("slugs of workspaces")
    workspace = _insert_workspace(new_id("workspace"), name, slug or _choose_slug(name), principal.user_id)
    _note(principal, workspace, "workspace.create", name)
    return workspace


def add_personal_workspace(user: User) -> None:
    """Insert the personal workspace of a new account."""
    workspace_id = personal_workspace_id(user.id)
    slug = f"personal-{workspace_id.removeprefix('workspace').replace('_', '')}"
    _insert_workspace(workspace_id, user.name, slug, user.id, personal_user_id=user.id)


def change_workspace(principal: Principal, workspace: Workspace, changes: Mapping[str, Any]) -> None:
    """Change a locked workspace. Raises 409 if the slug is taken."""
    before = {_SHOWN_AS.get(attribute, attribute): getattr(workspace, attribute) for attribute in changes}
    after = {_SHOWN_AS.get(attribute, attribute): value for attribute, value in changes.items()}
    for attribute, value in changes.items():
        setattr(workspace, attribute, value)
    _note(principal, workspace, "workspace.change", workspace.name, before=before, after=after)
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
    member_store.insert_member(workspace_id, user_id, "owner")
    return workspace


def _note(principal: Principal, workspace: Workspace, action: str, name: str, **values: Any) -> None:
    audit.note(principal, workspace.id, action, "workspace", workspace.id, name, **values)


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
    slug = derive_slug(name, _DERIVED_SLUG_MAX, fallback="workspace")
    is_similar = or_(Workspace.slug == slug, Workspace.slug.startswith(f"{slug}-", autoescape=True))
    taken = set(session.scalars(select(Workspace.slug).where(is_similar)))
    return make_unique(slug, taken)


def _get_workspace(principal: Principal, reference: str, *, lock: bool) -> Workspace:
    workspace_id = find_workspace_id(principal.memberships, reference)
    if workspace_id is None:
        raise workspace_not_found()
    obstacle = find_role_obstacle(principal, workspace_id)
    if obstacle is not None:
        raise obstacle
    is_it = Workspace.id == workspace_id
    workspace = lock_row(is_it) if lock else session.scalar(select(Workspace).where(is_it))
    if workspace is None:
        raise workspace_not_found()
    return workspace
