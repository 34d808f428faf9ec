"""Access control: all comparisons of a resource's workspace with those of a principal."""

from dataclasses import replace
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, or_, select

from promptcrafter import clock
from promptcrafter.auth.models import ApiKey, User
from promptcrafter.database.base import Resource
from promptcrafter.database.deletions import is_pending, is_present
from promptcrafter.database.session import session
from promptcrafter.ids import Kind, is_well_formed
from promptcrafter.problems import InOtherWorkspace, Problem, Unauthorized
from promptcrafter.workspaces.models import Member, Workspace
from promptcrafter.workspaces.principal import (
    Membership,
    Principal,
    find_role_obstacle,
    refuse_role,
    workspace_not_found,
)

_Resource = TypeVar("_Resource", bound=Resource)


def in_current_workspace(principal: Principal, model: Any) -> ColumnElement[bool]:
    """Return the condition that rows belong to the current workspace; `model` is a model or a table's columns.

    Raises 403 if the role there does not grant what the route requires.
    """
    condition: ColumnElement[bool] = model.workspace_id == principal.workspace_id
    return condition


def find_resources(principal: Principal, model: type[_Resource]) -> Select[_Resource]:
    """Return a select of all rows of a model in the current workspace, without deleted ones.

    Raises as `in_current_workspace` does.
    """
    return select(model).where(in_current_workspace(principal, model), is_present(model))


def get_resource(principal: Principal, model: type[_Resource], resource_id: str, *, lock: bool = False) -> _Resource:
    """Return the resource of that id, in any workspace of the principal; locked until the commit if `lock` is set.

    For a principal that is confined it must be in the current one, else InOtherWorkspace is raised.

    Raises 400 for a malformed id, 404 for an unknown one, and 403 for a resource of a workspace that the principal is
    no member of, or where the role does not grant what the route requires.
    """
    refuse_malformed(model.kind, resource_id)
    statement = select(model).where(model.id == resource_id, is_present(model))
    resource = session.scalar(statement.with_for_update() if lock else statement)
    # the wait for the lock may have been for a deletion, which PostgreSQL shows to the next statement only
    if resource is None or (lock and is_pending(resource_id)):
        raise not_found(model.kind)
    refuse_inaccessible(principal, model.kind, resource.workspace_id, resource_id)
    return resource


def lock_current_workspace(principal: Principal) -> Principal:
    """Lock the current workspace until the commit; return the principal with the role that it has there by now.

    For a request that writes in several transactions, since changes of members and of protected labels lock the same
    row. Raises 404 if the workspace is deleted or the account no member any more, 401 if the account is disabled or
    deleted or the API key revoked, and 403 if the role does not grant what the route requires.
    """
    workspace_id = principal.current_id
    # FOR NO KEY UPDATE: rows that refer to the workspace, such as logs, can still be inserted meanwhile
    locked = select(Workspace.slug).where(Workspace.id == workspace_id).with_for_update(key_share=True)
    slug = session.scalar(locked)
    if slug is None or is_pending(workspace_id):
        raise workspace_not_found()
    if principal.is_command:
        return principal
    is_member = (Member.user_id == User.id) & (Member.workspace_id == workspace_id)
    account = select(User.id, Member.role).outerjoin(Member, is_member).where(User.id == principal.user_id)
    if principal.api_key_id:
        is_valid = (ApiKey.id == principal.api_key_id) & or_(
            ApiKey.expires_at.is_(None), ApiKey.expires_at > clock.now()
        )
        account = account.where(select(ApiKey.id).where(is_valid).exists())
    row = session.execute(account.where(User.disabled_since.is_(None))).first()
    if row is None:
        raise Unauthorized
    if row.role is None:
        raise workspace_not_found()
    current = replace(principal, memberships={workspace_id: Membership(row.role, slug)})
    refuse_role(current)
    return current


def refuse_malformed(kind: Kind, resource_id: str) -> None:
    """Raise 400 for text that cannot be the id of a resource of this kind."""
    if not is_well_formed(kind, resource_id):
        raise Problem(400, f"The {kind} ID format is invalid.", f"invalid_{kind}_id")


def find_obstacle(principal: Principal, kind: Kind, workspace_id: str, *resource_ids: str) -> Problem | None:
    """Return the error 403 if the principal may not do with a resource there what the route requires, else None.

    For a principal that is confined to another workspace, it is InOtherWorkspace with the ids of the resources if it is
    a member of theirs, and the 404 of what does not exist if not.
    """
    if workspace_id not in principal.memberships:
        return not_found(kind) if principal.is_confined else _not_owned(principal, kind)
    if principal.is_confined and workspace_id != principal.current_id:
        return InOtherWorkspace(kind, principal.memberships[workspace_id].slug, resource_ids)
    return find_role_obstacle(principal, workspace_id)


def refuse_inaccessible(principal: Principal, kind: Kind, workspace_id: str, *resource_ids: str) -> None:
    """Raise the error that `find_obstacle` returns, if there is one."""
    obstacle = find_obstacle(principal, kind, workspace_id, *resource_ids)
    if obstacle is not None:
        raise obstacle


def not_found(kind: Kind) -> Problem:
    """Return the error 404 for a kind of resource."""
    return Problem(404, f"{kind.capitalize()} not found", f"{kind}_not_found")


def _not_owned(principal: Principal, kind: Kind) -> Problem:
    """Return the error 403 for a kind of resource in a workspace that the caller is no member of.

    For a bound key the text is the same whether or not the key's account is a member there: those who have the key are
    not to learn what else is the account's.
    """
    more = ". This API key is bound to one workspace and reaches nothing outside of it." if principal.is_bound else ""
    return Problem(403, f"You do not own this {kind}{more}", f"{kind}_not_owned")
