"""Permissions, and which of them a role in a workspace and a scope of an API key grant.

Each route requires exactly one permission, which it names in `http.blueprint.Blueprint.route`.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal, get_args

Role = Literal["viewer", "editor", "owner"]
Scope = Literal["read", "ingest", "write", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)  # each may do what those before it may
SCOPES: tuple[Scope, ...] = get_args(Scope)


class Permission(StrEnum):
    """A permission. An unauthenticated caller has PUBLIC alone."""

    PUBLIC = "public"  # no authentication
    SIGNED_IN = "signed_in"  # any valid token or API key; information about the service
    ACCOUNT = "account"  # the caller's own account, tokens and API keys, whatever the workspace
    CREDENTIALS = "credentials"  # password, e-mail address and end of the account; no API key grants it
    READ = "read"  # prompts, logs, traces, experiments, statistics
    SCORE = "score"  # give scores to logs, change and remove one's own; an owner's any
    INGEST = "ingest"  # add logs, traces and results; be assigned a variant
    WRITE = "write"  # create, change and delete what READ covers
    LEAVE = "leave"  # end one's own membership
    MANAGE = "manage"  # members, invitations, API keys of the workspace, and the workspace itself


_ANYWHERE = frozenset({Permission.PUBLIC, Permission.SIGNED_IN})
# what is about no workspace takes no role
_VIEWER = _ANYWHERE | {Permission.ACCOUNT, Permission.CREDENTIALS, Permission.READ, Permission.SCORE, Permission.LEAVE}
_EDITOR = _VIEWER | {Permission.INGEST, Permission.WRITE}
OF_ROLE: Mapping[str, frozenset[Permission]] = {
    "viewer": _VIEWER,
    "editor": _EDITOR,
    "owner": _EDITOR | {Permission.MANAGE},
}
# Of what the role grants; a key without scopes has `admin`
OF_SCOPE: Mapping[str, frozenset[Permission]] = {
    "read": _ANYWHERE | {Permission.READ},
    "ingest": _ANYWHERE | {Permission.INGEST, Permission.SCORE},
    "write": _ANYWHERE | {Permission.READ, Permission.SCORE, Permission.INGEST, Permission.WRITE},
    "admin": frozenset(Permission) - {Permission.CREDENTIALS},
}
NEVER_OF_BOUND_KEY = frozenset({Permission.ACCOUNT})


def least_role(permission: Permission) -> Role:
    """Return the first role that grants a permission."""
    return next(role for role in ROLES if permission in OF_ROLE[role])
