"""Authentication: every route that is not public requires a valid token or API key.

A token holds the user's id and token epoch (see `auth/tokens.py`). A password change or log-out increments the epoch in
the database, which invalidates all tokens with a lower one, whatever the clocks say. An API key is accepted
instead of a token, in the same header or in `x-api-key`, until it expires or is revoked.
"""

import time
from datetime import timedelta

from flask import Flask, current_app, g, request
from flask_jwt_extended import JWTManager, create_access_token

from config import Config
from promptcrafter.auth import store, tokens
from promptcrafter.auth.models import User
from promptcrafter.auth.principal import Principal
from promptcrafter.http.route import requested_route
from promptcrafter.problems import Unauthorized


def init_app(app: Flask, config: Config) -> None:
    """Require authentication on every route that is not public."""
    app.config.update(
        JWT_SECRET_KEY=config.jwt_secret_key,
        JWT_ALGORITHM=tokens.ALGORITHM,
        JWT_COOKIE_CSRF_PROTECT=False,  # tokens come in a header only
        JWT_ACCESS_TOKEN_EXPIRES=timedelta(days=config.token_days),
    )
    JWTManager(app)
    app.before_request(_authenticate)


def issue_token(user: User) -> str:
    """Return a token for this user."""
    token: str = create_access_token(user.id, additional_claims={tokens.EPOCH: user.token_epoch})
    return token


def current_principal() -> Principal:
    """Return the principal that the request acts for. Raises AttributeError on a public route."""
    principal: Principal = g.principal
    return principal


def _authenticate() -> None:
    route = requested_route()
    if route is None or route.is_public:
        return  # an unknown path is 404, and OPTIONS reveals only methods, which /openapi.json lists anyway
    user_id = _identify(_read_credential())
    if user_id is None:
        raise Unauthorized(route.unauthorized_message)
    g.principal = Principal(user_id)


def _read_credential() -> str:
    """Return the token or API key of the request, `""` if it has none; other authentication schemes are ignored."""
    scheme, _, credential = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return credential.strip()
    return request.headers.get("X-Api-Key", "").strip()


def _identify(credential: str) -> str | None:
    """Return the id of the user that the credential authenticates; None if it is invalid."""
    is_key = credential.startswith(store.KEY_PREFIX)
    return store.get_key_owner_id(credential) if is_key else _verify_token(credential)


def _verify_token(token: str) -> str | None:
    """Return the id of the user that the token was issued to; None if it is invalid, expired or revoked."""
    try:
        claims = tokens.read(token, current_app.config["JWT_SECRET_KEY"])
    except tokens.InvalidToken:
        return None
    is_valid = claims.is_valid_at(time.time()) and store.get_token_epoch(claims.user_id) == claims.epoch
    return claims.user_id if is_valid else None
