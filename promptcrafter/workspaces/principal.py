"""The principal: for whom a request or a command acts, and in which workspaces. Views pass it to stores."""

from collections.abc import Mapping
from dataclasses import dataclass

from promptcrafter.permissions import OF_ROLE, Permission, Role, least_role
from promptcrafter.problems import Problem, WorkspaceNotFound


@dataclass(frozen=True)
class Membership:
    """What an account is in a workspace."""

    role: Role
    slug: str  # of the workspace


@dataclass(frozen=True, kw_only=True)
class Principal:
    """An account, authenticated by a token or an API key, or named by a command on the host."""

    user_id: str
    memberships: Mapping[str, Membership]  # by the id of each workspace that the caller may access
    current_id: str  # the workspace that is meant where no id says it
    needs: Permission = Permission.READ  # what the route requires
    granted: frozenset[Permission] = frozenset(Permission)  # by the API key, as far as the role does
    api_key_id: str = ""  # "" for a token or a command
    is_bound: bool = False  # to the current workspace, by its API key, which sees no other
    is_command: bool = False
    is_confined: bool = False  # to the current workspace, as a page is whose path names it
    request_id: str | None = None  # None for a command

    @property
    def workspace_id(self) -> str:
        """The id of the current workspace. Raises 403 if the role there does not grant what the route requires."""
        refuse_role(self)
        return self.current_id


def find_workspace_id(memberships: Mapping[str, Membership], reference: str) -> str | None:
    """Return the id of the workspace that an id or else a slug names among those of a caller, or None."""
    if reference in memberships:
        return reference
    return next((each for each, membership in memberships.items() if membership.slug == reference), None)


def find_role_obstacle(principal: Principal, workspace_id: str) -> Problem | None:
    """Return the error 403 if the role of a member does not grant what the route requires, else None."""
    role = principal.memberships[workspace_id].role
    return None if principal.needs in OF_ROLE[role] else role_forbids(role, least_role(principal.needs))


def is_owner(principal: Principal, workspace_id: str) -> bool:
    """Return whether a member may do what owners alone may."""
    role = principal.memberships[workspace_id].role
    return Permission.MANAGE in OF_ROLE[role] and Permission.MANAGE in principal.granted


def refuse_role(principal: Principal) -> None:
    """Raise 403 if the role in the current workspace does not grant what the route requires."""
    obstacle = find_role_obstacle(principal, principal.current_id)
    if obstacle is not None:
        raise obstacle


def refuse_non_owner(principal: Principal, workspace_id: str, what: str = "this") -> None:
    """Raise 403 unless a member is an owner of the workspace; `what` names what needs it."""
    if not is_owner(principal, workspace_id):
        raise owner_needed(principal, workspace_id, what)


def owner_needed(principal: Principal, workspace_id: str, what: str) -> Problem:
    """Return the error 403 where an owner is needed: for the role of a member, or else for the scopes of a key."""
    role = principal.memberships[workspace_id].role
    if Permission.MANAGE in OF_ROLE[role]:
        return Problem(403, f"This API key does not allow that: {what} needs the scope admin.", "scope_forbids")
    return role_forbids(role, "owner", what)


def role_forbids(role: Role, needed: Role, what: str = "this") -> Problem:
    """Return the error 403 for a role where another one is needed; `what` names what needs it."""
    return Problem(403, f"Your role in this workspace is {role}; {what} needs {needed}.", "role_forbids")


def workspace_not_found(more: str = "") -> Problem:
    """Return the error 404 for a workspace that does not exist or that the caller is no member of."""
    return WorkspaceNotFound(more)


def personal_workspace_id(user_id: str) -> str:
    """Return the id of the personal workspace of an account: that of user_X is workspace_X."""
    return f"workspace{user_id.removeprefix('user')}"


def at_home(user_id: str) -> Principal:
    """Return the principal of a command that acts for an account in its personal workspace."""
    return in_workspace(user_id, personal_workspace_id(user_id))


def in_workspace(user_id: str, workspace_id: str) -> Principal:
    """Return the principal of a command on the host, which may do everything in one workspace."""
    memberships = {workspace_id: Membership("owner", "")}
    return Principal(user_id=user_id, memberships=memberships, current_id=workspace_id, is_command=True)
