"""Sign-up, which creates an account together with its personal workspace. It is a route of `auth.views.blueprint`."""

from typing import Any

from flask import current_app

from promptcrafter.auth import hashing, passwords, throttle
from promptcrafter.auth.credentials import issue_token
from promptcrafter.auth.schemas import SignupIn, SignupOut
from promptcrafter.auth.views import blueprint
from promptcrafter.database.transactions import writing
from promptcrafter.permissions import Permission
from promptcrafter.problems import Problem
from promptcrafter.workspaces import store


@blueprint.route(
    "/signup", methods=["POST"], permission=Permission.PUBLIC, refuses=(403, 409, 429), returns_secret=True
)
@throttle.limit_signups
@blueprint.arguments(SignupIn())
@blueprint.response(201, SignupOut())
def sign_up(body: dict[str, Any]) -> dict[str, Any]:
    """Create an account and return a token for it."""
    if current_app.config["SIGNUP"] == "closed":
        raise Problem(403, "Sign-up is closed on this server.", "signup_closed")
    with hashing.place():
        password_hash = hashing.run(passwords.hash_password, body["password"])
    with writing():
        user = store.add_account(body["name"], body["email"], password_hash)
    return {"message": "User account created successfully.", "token": issue_token(user), "user": user}
