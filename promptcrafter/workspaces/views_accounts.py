"""The routes under /auth that know workspaces: sign-up, the caller's account, and new API keys.

They are routes of `auth.views.blueprint`.
"""

from typing import Any

from promptcrafter.auth import store as accounts
from promptcrafter.auth import throttle
from promptcrafter.auth.credentials import issue_token
from promptcrafter.auth.models import User
from promptcrafter.auth.schemas import NewKeyOut, SignupIn, SignupOut
from promptcrafter.auth.views import blueprint
from promptcrafter.database.transactions import writing
from promptcrafter.permissions import Permission
from promptcrafter.problems import Invalid
from promptcrafter.workspaces import key_store, member_store, store
from promptcrafter.workspaces.account_changes import change_account, delete_account
from promptcrafter.workspaces.authentication import current_principal
from promptcrafter.workspaces.principal import find_workspace_id
from promptcrafter.workspaces.schemas import AccountPatch, DeletionIn, KeyIn, MeOut
from promptcrafter.workspaces.sign_up import create_account


@blueprint.route(
    "/signup", methods=["POST"], permission=Permission.PUBLIC, refuses=(403, 404, 409, 429), returns_secret=True
)
@throttle.limit_signups
@blueprint.arguments(SignupIn())
@blueprint.response(201, SignupOut())
def sign_up(body: dict[str, Any]) -> dict[str, Any]:
    """Create an account and return a token for it; with an invitation it is a member of that workspace, too."""
    user = create_account(body)
    return {"message": "User account created successfully.", "token": issue_token(user), "user": user}


@blueprint.route("/me", permission=Permission.ACCOUNT)
@blueprint.response(200, MeOut())
def get_me() -> dict[str, Any]:
    """Return the caller's account."""
    return _show(accounts.get_user(current_principal().user_id))


@blueprint.route("/me", methods=["PATCH"], permission=Permission.ACCOUNT, refuses=(403, 404, 409, 429))
@throttle.limit_password_failures
@blueprint.arguments(AccountPatch())
@blueprint.response(200, MeOut())
def change_me(body: dict[str, Any]) -> dict[str, Any]:
    """Change the caller's name, e-mail address (which takes the password) or default workspace."""
    return _show(change_account(current_principal(), body))


@blueprint.route("/me", methods=["DELETE"], permission=Permission.CREDENTIALS, refuses=(403, 409, 429))
@throttle.limit_password_failures
@blueprint.arguments(DeletionIn())
@blueprint.response(204)
def delete_me(body: dict[str, Any]) -> None:
    """Delete the caller's account, its personal workspace and all that this has.

    What it made in other workspaces stays, under its name or, with `anonymise`, under `deleted account`.
    """
    delete_account(current_principal(), body["currentPassword"], anonymise=body["anonymise"])


@blueprint.route("/keys", methods=["POST"], permission=Permission.ACCOUNT, refuses=(403, 404, 429), returns_secret=True)
@throttle.limit_keys
@blueprint.arguments(KeyIn())
@blueprint.response(201, NewKeyOut())
def create_key(body: dict[str, Any]) -> dict[str, Any]:
    """Create an API key, which is accepted wherever a token is, as far as its workspace and scopes allow."""
    principal = current_principal()
    values = {name: value for name, value in body.items() if name != "workspace"}
    if "workspace" in body and find_workspace_id(principal.memberships, body["workspace"]) is None:
        raise Invalid({"workspace": ["must be the id or slug of one of your workspaces"]})
    with writing():
        accounts.lock_account(principal.user_id)
        if "workspace" in body:
            values["workspace_id"] = store.lock_workspace(principal, body["workspace"]).id
        key, secret = key_store.add_key(principal, values)
    return {**{name: getattr(key, name) for name in NewKeyOut().fields if name != "key"}, "key": secret}


@blueprint.route("/keys/<key_id>", methods=["DELETE"], permission=Permission.ACCOUNT, refuses=(403, 404))
@blueprint.response(204)
def delete_key(key_id: str) -> None:
    """Revoke an API key, with immediate effect."""
    principal = current_principal()
    with writing():
        key_store.note_key(principal, "key.revoke", accounts.remove_key(principal.user_id, key_id))


def _show(user: User) -> dict[str, Any]:
    columns = {name: getattr(user, name) for name in ("id", "name", "email", "created_at")}
    return {**columns, "default_workspace_id": member_store.get_default(user.id)}
