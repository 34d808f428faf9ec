"""Who is calling: every route but the public ones needs a good token.

A token is a JWT signed with HS256, and only that. It names the user and the user's token epoch; when the epoch in
the database has moved on, by a password change or a log-out, the token is dead. An API key serves instead of a token,
in the same header or in `x-api-key`, until it expires or is revoked.
"""

import time
from datetime import timedelta
from functools import lru_cache
from typing import Any

import jwt
from flask import Flask, current_app, g, request
from flask_jwt_extended import JWTManager, create_access_token

from config import Config
from promptcrafter.auth import store
from promptcrafter.auth.models import User
from promptcrafter.http.route import requested_route
from promptcrafter.problems import Unauthorized

_EPOCH = "epoch"
_ALGORITHM = "HS256"


def init_app(app: Flask, config: Config) -> None:
    """Make every route deny strangers by default."""
    app.config.update(
        JWT_SECRET_KEY=config.jwt_secret_key,
        JWT_ALGORITHM=_ALGORITHM,
        JWT_COOKIE_CSRF_PROTECT=False,  # tokens come in a header only
        JWT_ACCESS_TOKEN_EXPIRES=timedelta(days=config.token_days),
    )
    JWTManager(app)
    app.before_request(_require_principal)


def issue_token(user: User) -> str:
    """Return a token for this user, good until it expires or is revoked."""
    token: str = create_access_token(user.id, additional_claims={_EPOCH: user.token_epoch})
    return token


def current_user_id() -> str:
    """Return the id of the caller; only where a principal is required."""
    user_id: str = g.user_id
    return user_id


def _require_principal() -> None:
    route = requested_route()
    if route is None or route.is_public:
        return  # there is nothing to protect: which methods a route has is in /openapi.json
    user_id = _identify(_read_credential())
    if user_id is None:
        raise Unauthorized(route.unauthorized_message)
    g.user_id = user_id


def _read_credential() -> str:
    """Return the token or key of the request; a header that is not for us counts for nothing."""
    scheme, _, credential = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return credential.strip()
    return request.headers.get("X-Api-Key", "").strip()


def _identify(credential: str) -> str | None:
    is_key = credential.startswith(store.KEY_MARK)
    return store.get_key_owner_id(credential) if is_key else _verify_token(credential)


def _verify_token(token: str) -> str | None:
    try:
        claims = _read_token(token, current_app.config["JWT_SECRET_KEY"])
    except jwt.PyJWTError:
        return None
    user_id, epoch = claims["sub"], claims.get(_EPOCH)
    is_good = claims["exp"] > time.time() and type(epoch) is int and store.get_token_epoch(user_id) == epoch
    return str(user_id) if is_good else None


@lru_cache(maxsize=1024)
def _read_token(token: str, key: str) -> dict[str, Any]:
    """Return a token's claims; what they say stays true, but for the expiry. Raises jwt.PyJWTError.

    A client sends the same token with every request, and to verify it takes as long as a statement. By the library
    below Flask-JWT-Extended, which would decode it twice.
    """
    claims: dict[str, Any] = jwt.decode(token, key, [_ALGORITHM], {"require": ["sub", "exp"]})
    return claims
