"""Sign-up, which the API and the pages share."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

from flask import current_app

from promptcrafter.auth import hashing, passwords
from promptcrafter.auth.models import User
from promptcrafter.auth.schemas import SignupIn
from promptcrafter.database.transactions import writing
from promptcrafter.http.ignored_fields import describe_ignored
from promptcrafter.problems import REQUIRED, Problem
from promptcrafter.workspaces import account_store, invitation_store, member_store
from promptcrafter.workspaces.authentication import new_principal
from promptcrafter.workspaces.models import Workspace


def create_account(body: Mapping[str, Any]) -> User:
    """Add an account as SignupIn describes it; with an invitation it is a member of that workspace, too.

    Raises 403 if the server takes no sign-ups, 404 for an unknown invitation and 409 for an address in use.
    """
    password_hash = _prepare(body)
    with writing():
        return _add_account(body, password_hash)[0]


def create_account_in_workspace(body: Mapping[str, Any]) -> tuple[User, str | None]:
    """Add an account as `create_account` does, whose default workspace is the one that it is invited to.

    Also return the slug of that workspace, None without an invitation. The API leaves the default to its clients, which
    create in the personal workspace unless they name another one.
    """
    password_hash = _prepare(body)
    with writing():
        user, workspace = _add_account(body, password_hash)
        if workspace is None:
            return user, None
        member_store.set_default(user.id, workspace.id)
        return user, workspace.slug


def _prepare(body: Mapping[str, Any]) -> str:
    """Return the hash of the password, if the server takes this sign-up. Raises 403."""
    if current_app.config["SIGNUP"] == "closed":
        raise Problem(403, "Sign-up is closed on this server.", "signup_closed")
    if current_app.config["SIGNUP"] == "invited" and "invitation" not in body:
        raise _invitation_required()
    with hashing.slot():
        return hashing.run(passwords.hash_password, body["password"])


def _add_account(body: Mapping[str, Any], password_hash: str) -> tuple[User, Workspace | None]:
    """Insert an account, and return it with the workspace that it is invited to, if it is."""
    with _explaining_taken_address() if "invitation" in body else nullcontext():
        user = account_store.add_account(body["name"], body["email"], password_hash)
    if "invitation" not in body:
        return user, None
    return user, invitation_store.accept_invitation(new_principal(user.id), body["invitation"])


def _invitation_required() -> Problem:
    """Return the error 403 for a sign-up without an invitation, which may have been sent under another name."""
    details = {"invitation": [REQUIRED], **describe_ignored(tuple(SignupIn().fields))}
    reasons = "; ".join(f"{field} {reason}" for field, reasons in details.items() for reason in reasons)
    text = f"Sign-up on this server takes an invitation: {reasons}."
    return Problem(403, text, "invitation_required", details=details)


@contextmanager
def _explaining_taken_address() -> Iterator[None]:
    """Let the error about an address in use say how to accept an invitation with the account that has it."""
    try:
        yield
    except Problem as problem:
        if problem.code == "email_taken":
            text = f"{problem.message} Log in with it, and send the invitation's token to POST /invitations/accept."
            raise Problem(problem.status, text, problem.code) from problem
        raise
