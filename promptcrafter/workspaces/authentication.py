"""Authentication: every route that is not public requires a valid token or API key of an account.

One query looks up the credential and the workspaces that the account is a member of, so that deciding who may do what
takes no round trip of its own.
"""

from collections.abc import Sequence
from typing import Any

from flask import Flask, g
from sqlalchemy import bindparam, or_, select

from promptcrafter import clock
from promptcrafter.auth.credentials import read_credential, verify_token
from promptcrafter.auth.models import ApiKey, User
from promptcrafter.auth.store import KEY_PREFIX, digest
from promptcrafter.database.base import Base
from promptcrafter.database.compiled import CompiledQuery
from promptcrafter.http.route import requested_route
from promptcrafter.permissions import Permission
from promptcrafter.problems import Unauthorized
from promptcrafter.workspaces.models import Member
from promptcrafter.workspaces.principal import Principal, personal_workspace_id

_USERS, _KEYS, _MEMBERS = (Base.metadata.tables[model.__tablename__] for model in (User, ApiKey, Member))
_MEMBERSHIPS = (_MEMBERS.c.workspace_id, _MEMBERS.c.role)
# Each authenticated request executes one of these two queries
_BY_TOKEN = CompiledQuery(
    select(_USERS.c.id, _USERS.c.token_epoch, *_MEMBERSHIPS)
    .join(_MEMBERS, _MEMBERS.c.user_id == _USERS.c.id)
    .where(_USERS.c.id == bindparam("user_id"), _USERS.c.disabled_since.is_(None))
)
_BY_KEY = CompiledQuery(
    select(_USERS.c.id, _KEYS.c.id, *_MEMBERSHIPS)
    .join(_KEYS, _KEYS.c.user_id == _USERS.c.id)
    .join(_MEMBERS, _MEMBERS.c.user_id == _USERS.c.id)
    .where(
        _KEYS.c.digest == bindparam("digest"),
        or_(_KEYS.c.expires_at.is_(None), _KEYS.c.expires_at > bindparam("now")),
        _USERS.c.disabled_since.is_(None),
    )
)


def init_app(app: Flask) -> None:
    """Require authentication on every route that is not public."""
    app.before_request(_authenticate)


def current_principal() -> Principal:
    """Return the principal that the request acts for. Raises AttributeError on a public route."""
    principal: Principal = g.principal
    return principal


def _authenticate() -> None:
    route = requested_route()
    if route is None or route.is_public:
        return  # an unknown path is 404, and OPTIONS reveals only methods, which /openapi.json lists anyway
    principal = _identify(read_credential(), route.permission)
    if principal is None:
        raise Unauthorized(route.unauthorized_message)
    g.user_id = principal.user_id
    g.principal = principal


def _identify(credential: str, permission: Permission) -> Principal | None:
    """Return the principal whom the credential authenticates; None if it is invalid."""
    if credential.startswith(KEY_PREFIX):
        rows = _BY_KEY.all(digest=digest(credential), now=clock.now())
        return _to_principal(rows, permission, rows[0][1]) if rows else None
    claims = verify_token(credential)
    rows = [] if claims is None else _BY_TOKEN.all(user_id=claims.user_id)
    is_valid = claims is not None and rows and rows[0][1] == claims.epoch
    return _to_principal(rows, permission, "") if is_valid else None


def _to_principal(rows: Sequence[Sequence[Any]], permission: Permission, api_key_id: str) -> Principal:
    """Return the principal of the rows of one account, of which each has a membership."""
    user_id = rows[0][0]
    return Principal(
        user_id=user_id,
        roles={workspace_id: role for *_, workspace_id, role in rows},
        current_id=personal_workspace_id(user_id),
        needs=permission,
        api_key_id=api_key_id,
    )
