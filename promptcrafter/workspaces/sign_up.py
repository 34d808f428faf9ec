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
from promptcrafter.workspaces import account_store, invitation_store
from promptcrafter.workspaces.authentication import new_principal


def create_account(body: Mapping[str, Any]) -> User:
    """Add an account as SignupIn describes it; with an invitation it is a member of that workspace, too.

    Raises 403 if the server takes no sign-ups, 404 for an unknown invitation and 409 for an address in use.
    """
    if current_app.config["SIGNUP"] == "closed":
        raise Problem(403, "Sign-up is closed on this server.", "signup_closed")
    if current_app.config["SIGNUP"] == "invited" and "invitation" not in body:
        raise _invitation_required()
    with hashing.place():
        password_hash = hashing.run(passwords.hash_password, body["password"])
    with writing():
        with _explaining_taken_address() if "invitation" in body else nullcontext():
            user = account_store.add_account(body["name"], body["email"], password_hash)
        if "invitation" in body:
            invitation_store.accept_invitation(new_principal(user.id), body["invitation"])
    return user


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
