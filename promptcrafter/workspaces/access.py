"""Access control: all comparisons of a resource's owner with a principal."""

from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, select

from promptcrafter.database.base import Resource
from promptcrafter.database.deletions import is_pending, is_present
from promptcrafter.database.session import session
from promptcrafter.ids import Kind, is_well_formed
from promptcrafter.problems import Problem
from promptcrafter.workspaces.principal import Principal

_Resource = TypeVar("_Resource", bound=Resource)


def owned_by(principal: Principal, model: Any) -> ColumnElement[bool]:
    """Return the condition that rows belong to the principal; `model` is a model or the columns of a table."""
    condition: ColumnElement[bool] = model.owner_id == principal.user_id
    return condition


def find_owned(principal: Principal, model: type[_Resource]) -> Select[_Resource]:
    """Return a select of all rows of a model that belong to the principal, without deleted ones."""
    return select(model).where(owned_by(principal, model), is_present(model))


def get_owned(principal: Principal, model: type[_Resource], resource_id: str, *, lock: bool = False) -> _Resource:
    """Return the principal's resource of that id, locked against other writers until the commit if `lock` is set.

    Raises 400 for a malformed id, 404 for an unknown one and 403 for a resource of another account.
    """
    refuse_malformed(model.kind, resource_id)
    statement = select(model).where(model.id == resource_id, is_present(model))
    resource = session.scalar(statement.with_for_update() if lock else statement)
    # the wait for the lock may have been for a deletion, which PostgreSQL shows to the next statement only
    if resource is None or (lock and is_pending(resource_id)):
        raise not_found(model.kind)
    refuse_foreign(principal, model.kind, resource.owner_id)
    return resource


def refuse_malformed(kind: Kind, resource_id: str) -> None:
    """Raise 400 for text that cannot be the id of a resource of this kind."""
    if not is_well_formed(kind, resource_id):
        raise Problem(400, f"The {kind} ID format is invalid.", f"invalid_{kind}_id")


def owns(principal: Principal, owner_id: str) -> bool:
    """Return whether a resource with this owner belongs to the principal."""
    return owner_id == principal.user_id


def refuse_foreign(principal: Principal, kind: Kind, owner_id: str) -> None:
    """Raise 403 unless a resource with this owner belongs to the principal."""
    if not owns(principal, owner_id):
        raise not_owned(kind)


def not_found(kind: Kind) -> Problem:
    """Return the error 404 for a kind of resource."""
    return Problem(404, f"{kind.capitalize()} not found", f"{kind}_not_found")


def not_owned(kind: Kind) -> Problem:
    """Return the error 403 for a kind of resource."""
    return Problem(403, f"You do not own this {kind}", f"{kind}_not_owned")
