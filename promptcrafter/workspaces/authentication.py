"""Authentication: every route that is not public requires a valid token or API key of an account.

One query looks up the credential and the workspaces that the account is a member of, so that deciding who may do what
takes no round trip of its own.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Lock
from typing import Any

from flask import Flask, g, request
from sqlalchemy import Text, bindparam, or_, select, type_coerce

from promptcrafter import clock
from promptcrafter.auth.credentials import describe_refusal, read_credential, verify_token
from promptcrafter.auth.models import ApiKey, User
from promptcrafter.auth.store import KEY_PREFIX, KEY_USE_PRECISION, digest, note_use
from promptcrafter.database.base import Base
from promptcrafter.database.compiled import CompiledQuery
from promptcrafter.database.transactions import write_if_possible
from promptcrafter.http.headers import WORKSPACE
from promptcrafter.http.route import requested_route
from promptcrafter.permissions import NEVER_OF_BOUND_KEY, OF_SCOPE, SCOPES, Permission
from promptcrafter.problems import Problem, Unauthorized
from promptcrafter.workspaces.models import Member, Workspace
from promptcrafter.workspaces.principal import (
    Membership,
    Principal,
    at_home,
    find_workspace_id,
    personal_workspace_id,
    workspace_not_found,
)

_USERS, _KEYS, _MEMBERS, _WORKSPACES = (
    Base.metadata.tables[model.__tablename__] for model in (User, ApiKey, Member, Workspace)
)
_MEMBERSHIP = (_MEMBERS.c.workspace_id, _MEMBERS.c.role, _WORKSPACES.c.slug, _MEMBERS.c.is_default)
# Each authenticated request executes one of these two queries
_BY_TOKEN = CompiledQuery(
    select(_USERS.c.id, _USERS.c.token_epoch, *_MEMBERSHIP)
    .join(_MEMBERS, _MEMBERS.c.user_id == _USERS.c.id)
    .join(_WORKSPACES, _WORKSPACES.c.id == _MEMBERS.c.workspace_id)
    .where(_USERS.c.id == bindparam("user_id"), _USERS.c.disabled_since.is_(None))
)
_BY_KEY = CompiledQuery(
    select(
        *(_USERS.c.id, _KEYS.c.id, _KEYS.c.workspace_id, type_coerce(_KEYS.c.scopes, Text)),
        or_(_KEYS.c.last_used_at.is_(None), _KEYS.c.last_used_at <= bindparam("noted_before")),
        *_MEMBERSHIP,
    )
    .join(_KEYS, _KEYS.c.user_id == _USERS.c.id)
    .join(_MEMBERS, _MEMBERS.c.user_id == _USERS.c.id)
    .join(_WORKSPACES, _WORKSPACES.c.id == _MEMBERS.c.workspace_id)
    .where(
        _KEYS.c.digest == bindparam("digest"),
        or_(_KEYS.c.workspace_id.is_(None), _KEYS.c.workspace_id == _MEMBERS.c.workspace_id),
        or_(_KEYS.c.expires_at.is_(None), _KEYS.c.expires_at > bindparam("now")),
        _USERS.c.disabled_since.is_(None),
    )
)
_COLUMNS = len(_MEMBERSHIP)
_WORKSPACE_VARIABLE = f"HTTP_{WORKSPACE.upper().replace('-', '_')}"  # WSGI's name of the header
_LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)
_ATTEMPTS_EVERY = timedelta(minutes=1)  # to note the use of a key, which other requests may be noting, or which failed
_ATTEMPTS_MAX = 10_000
_attempts: dict[str, datetime] = {}  # when this process has last attempted that, by the id of the key
_lock = Lock()


def init_app(app: Flask) -> None:
    """Require authentication on every route that is not public."""
    app.before_request(_authenticate)


def current_principal() -> Principal:
    """Return the principal that the request acts for. Raises AttributeError on a public route."""
    principal: Principal = g.principal
    return principal


def new_principal(user_id: str) -> Principal:
    """Return the principal of an account that this request has just made."""
    return replace(at_home(user_id), is_command=False, request_id=g.get("request_id"))


def find_signed_in() -> str | None:
    """Return the id of the account whose credential the request has, on a route that requires none; None without."""
    principal = _identify(read_credential(), Permission.READ)
    return None if principal is None else principal.user_id


def _authenticate() -> None:
    route = requested_route()
    if route is None or route.is_public:
        return  # an unknown path is 404, and OPTIONS reveals only methods, which /openapi.json lists anyway
    principal = _identify(read_credential(), route.permission)
    if principal is None:
        raise Unauthorized(route.unauthorized_message, describe_refusal())
    g.user_id = principal.user_id
    g.principal = principal


def _identify(credential: str, permission: Permission) -> Principal | None:
    """Return the principal whom the credential authenticates; None if it is invalid.

    Raises 403 if an API key does not grant the permission, and 404 for a workspace that is not the caller's.
    """
    route = requested_route()
    if credential.startswith(KEY_PREFIX) and not (route is not None and route.is_page):
        now = clock.now()
        rows = _BY_KEY.all(digest=digest(credential), now=now, noted_before=now - KEY_USE_PRECISION)
        return _principal_of_key(rows, permission) if rows else None
    claims = verify_token(credential)
    rows = [] if claims is None else _BY_TOKEN.all(user_id=claims.user_id)
    is_valid = claims is not None and rows and rows[0][1] == claims.epoch
    return _principal_of_token(rows, permission) if is_valid else None


def _note_use(key_id: str) -> None:
    """Note the use of a key, unless this process has attempted it a moment ago."""
    now = clock.now()
    with _lock:
        if now - _attempts.get(key_id, _LONG_AGO) < _ATTEMPTS_EVERY:
            return
        if len(_attempts) >= _ATTEMPTS_MAX:
            _attempts.clear()
        _attempts[key_id] = now
    write_if_possible(partial(note_use, key_id, now))  # a full disk must not prevent reading


def _principal_of_key(rows: Sequence[Sequence[Any]], permission: Permission) -> Principal:
    user_id, key_id, bound_to, scopes, is_use_due = rows[0][:-_COLUMNS]
    granted = _grant(permission, json.loads(scopes) if scopes else ["admin"], is_bound=bound_to is not None)
    if is_use_due:  # once an hour, so that not each request writes
        _note_use(key_id)
    memberships = _memberships(rows)
    default = bound_to or personal_workspace_id(user_id)
    return Principal(
        user_id=user_id,
        memberships=memberships,
        current_id=_choose_workspace(memberships, default, is_bound=bound_to is not None),
        needs=permission,
        granted=granted,
        api_key_id=key_id,
        is_bound=bound_to is not None,
        request_id=g.get("request_id"),
    )


def _principal_of_token(rows: Sequence[Sequence[Any]], permission: Permission) -> Principal:
    user_id = rows[0][0]
    memberships = _memberships(rows)
    default = next((row[2] for row in rows if row[-1]), personal_workspace_id(user_id))
    return Principal(
        user_id=user_id,
        memberships=memberships,
        current_id=_choose_workspace(memberships, default, is_bound=False),
        needs=permission,
        is_confined=g.get("workspace_of_page") is not None,
        request_id=g.get("request_id"),
    )


def _memberships(rows: Sequence[Sequence[Any]]) -> dict[str, Membership]:
    return {workspace_id: Membership(role, slug) for *_, workspace_id, role, slug, _ in rows}


def _choose_workspace(memberships: dict[str, Membership], default: str, *, is_bound: bool) -> str:
    """Return the id of the workspace that the request names in its header, or else the default one. Raises 404."""
    # from the environment: `headers.get` raises and catches an exception for a missing header
    wanted: str | None = request.environ.get(_WORKSPACE_VARIABLE)
    if (route := requested_route()) is not None and route.is_page:
        wanted = g.get("workspace_of_page")  # the path of a page names it
    if wanted is None:
        return default
    found = find_workspace_id(memberships, wanted)
    if found is None:
        # the same text whether or not there is such a workspace, and whether or not the key's account is in it
        raise workspace_not_found(". This API key is bound to one workspace and sees no other." if is_bound else "")
    return found


def _grant(permission: Permission, scopes: Sequence[str], *, is_bound: bool) -> frozenset[Permission]:
    """Return what the scopes of a key grant, as far as the account's role does. Raises 403 without the permission."""
    granted = frozenset[Permission]().union(*(OF_SCOPE[scope] for scope in scopes))
    if is_bound:
        granted -= NEVER_OF_BOUND_KEY
    if permission in granted:
        return granted
    if is_bound and permission in NEVER_OF_BOUND_KEY:
        reason = "it is bound to a workspace, and this is about the account"
    elif permission is Permission.CREDENTIALS:
        reason = "it takes a token"
    else:
        needed = next(scope for scope in SCOPES if permission in OF_SCOPE[scope])
        reason = f"it has the scopes {', '.join(scopes)}, and this needs {needed}"
    raise Problem(403, f"This API key does not allow that: {reason}.", "scope_forbids")
