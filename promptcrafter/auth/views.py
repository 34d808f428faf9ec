"""The routes under /auth: log-in, the caller's own account and API keys."""

from typing import Any

from flask import Response

from promptcrafter.auth import password_changes, store, throttle
from promptcrafter.auth.credentials import current_user_id, issue_token
from promptcrafter.auth.log_in import verify_log_in
from promptcrafter.auth.models import ApiKey
from promptcrafter.auth.schemas import (
    KeyOut,
    LoginIn,
    LoginOut,
    PasswordIn,
    ResetIn,
)
from promptcrafter.database.transactions import writing
from promptcrafter.http import lists
from promptcrafter.http.blueprint import Blueprint
from promptcrafter.http.page_query import PageQuery
from promptcrafter.permissions import Permission

blueprint = Blueprint("auth", __name__, url_prefix="/auth", description="Accounts, tokens and API keys")
_key_out = KeyOut()


@blueprint.route("/login", methods=["POST"], permission=Permission.PUBLIC, refuses=(401, 403, 429), returns_secret=True)
@throttle.limit_logins
@throttle.limit_login_failures
@blueprint.arguments(LoginIn())
@blueprint.response(200, LoginOut())
def log_in(body: dict[str, Any]) -> dict[str, Any]:
    """Return a token for an e-mail address and password."""
    user = verify_log_in(body["email"], body["password"])
    return {"token": issue_token(user), "user": user}


@blueprint.route("/password", methods=["POST"], permission=Permission.CREDENTIALS, refuses=(403, 429))
@throttle.limit_password_failures
@blueprint.arguments(PasswordIn())
@blueprint.response(204)
def change_password(body: dict[str, Any]) -> None:
    """Change the password and revoke every token issued before."""
    password_changes.change_password(current_user_id(), body["currentPassword"], body["newPassword"])


@blueprint.route("/password/reset", methods=["POST"], permission=Permission.PUBLIC, refuses=(404, 429))
@throttle.limit_logins
@blueprint.arguments(ResetIn())
@blueprint.response(204)
def reset_password(body: dict[str, Any]) -> None:
    """Set another password with a one-time secret from the operator, and revoke every token issued before."""
    password_changes.reset_password(body["token"], body["newPassword"])


@blueprint.route("/logout", methods=["POST"], permission=Permission.ACCOUNT)
@blueprint.response(204)
def log_out() -> None:
    """Revoke all of the caller's tokens."""
    with writing():
        store.revoke_tokens(current_user_id())


@blueprint.route("/keys", permission=Permission.ACCOUNT)
@blueprint.arguments(PageQuery(), location="query")
@blueprint.list_response(KeyOut(many=True))
def list_keys(query: dict[str, Any]) -> Response:
    """List the caller's API keys, newest first."""
    keys = store.find_keys(current_user_id())
    return lists.list_response(keys, (ApiKey.created_at, ApiKey.seq), _key_out, query)
