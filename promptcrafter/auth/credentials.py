"""Credentials of requests: tokens, which this module issues and verifies, and where a request holds its credential.

A token holds the user's id and token epoch (see `auth/tokens.py`). A password change or log-out increments the epoch in
the database, which invalidates all tokens with a lower one, whatever the clocks say. An API key is accepted
instead of a token, in the same header or in `x-api-key`, until it expires or is revoked. `workspaces/authentication.py`
looks both up, together with the workspaces that the account may see.
"""

import time
from datetime import timedelta

from flask import Flask, current_app, g, request
from flask_jwt_extended import JWTManager, create_access_token

from config import Config
from promptcrafter.auth import tokens
from promptcrafter.auth.models import User
from promptcrafter.http.route import requested_route
from promptcrafter.problems import Details


def init_app(app: Flask, config: Config) -> None:
    """Configure tokens."""
    app.config.update(
        JWT_SECRET_KEY=config.jwt_secret_key,
        JWT_ALGORITHM=tokens.ALGORITHM,
        JWT_COOKIE_CSRF_PROTECT=False,  # tokens need no claim "csrf": pages/forgery.py protects the cookie of pages
        JWT_ACCESS_TOKEN_EXPIRES=timedelta(days=config.token_days),
    )
    JWTManager(app)


def issue_token(user: User) -> str:
    """Return a token for this user."""
    token: str = create_access_token(user.id, additional_claims={tokens.EPOCH: user.token_epoch})
    return token


def current_user_id() -> str:
    """Return the id of the account that the request comes from. Raises AttributeError on a public route."""
    user_id: str = g.user_id
    return user_id


def read_credential() -> str:
    """Return the token or API key of the request, `""` if it has none; other authentication schemes are ignored.

    Where the route says so, it may be the password of Basic authentication, with any user name.
    """
    route = requested_route()
    if route is not None and route.is_page:
        return request.cookies.get(session_cookie(), "")
    bearer = _read_bearer()
    return (_read_basic() or _read_api_key()) if bearer is None else bearer


def session_cookie() -> str:
    """Return the name of the cookie that holds the token of a browser's session.

    Behind TLS its prefix makes browsers refuse one that was set over plain HTTP or by another host of the domain.
    """
    return "__Host-session" if request.is_secure else "session"


def describe_refusal() -> Details | None:
    """Return the details of a 401, whose text speaks of a token, if the credential of the request is sent otherwise."""
    if _read_bearer() is not None:
        return None
    if _read_basic():
        return {"authorization": ["has a password that is no API key, or one that is expired or revoked"]}
    return {"x-api-key": ["is no API key, or one that is expired or revoked"]} if _read_api_key() else None


def verify_token(token: str) -> tokens.Claims | None:
    """Return the claims of a token; None if it is invalid or expired. It may have been revoked by its epoch."""
    try:
        claims = tokens.read(token, current_app.config["JWT_SECRET_KEY"])
    except tokens.InvalidToken:
        return None
    return claims if claims.is_valid_at(time.time()) else None


def _read_bearer() -> str | None:
    """Return what follows `Bearer` in the header `Authorization`; None without that scheme."""
    scheme, _, credential = request.headers.get("Authorization", "").partition(" ")
    return credential.strip() if scheme.lower() == "bearer" else None


def _read_basic() -> str:
    """Return the password of Basic authentication, `""` without one and where the route does not accept it."""
    route = requested_route()
    if route is None or not route.takes_basic or request.authorization is None:
        return ""
    return (request.authorization.password or "").strip() if request.authorization.type == "basic" else ""


def _read_api_key() -> str:
    return request.headers.get("X-Api-Key", "").strip()
