"""Authentication: every route that is not public requires a valid token or API key of an account."""

from flask import Flask, g

from promptcrafter.auth import store
from promptcrafter.auth.credentials import read_credential, verify_token
from promptcrafter.http.route import requested_route
from promptcrafter.problems import Unauthorized
from promptcrafter.workspaces.principal import Principal


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
    user_id = _identify(read_credential())
    if user_id is None:
        raise Unauthorized(route.unauthorized_message)
    g.user_id = user_id
    g.principal = Principal(user_id)


def _identify(credential: str) -> str | None:
    """Return the id of the user that the credential authenticates; None if it is invalid."""
    if credential.startswith(store.KEY_PREFIX):
        return store.get_key_owner_id(credential)
    claims = verify_token(credential)
    is_valid = claims is not None and store.get_token_epoch(claims.user_id) == claims.epoch
    return claims.user_id if claims is not None and is_valid else None
