"""Log-in by e-mail address and password, which the API and the pages share."""

from functools import partial

from promptcrafter.auth import hashing, passwords, store
from promptcrafter.auth.models import User
from promptcrafter.database.transactions import write_if_possible
from promptcrafter.problems import Problem


def verify_log_in(email: str, password: str) -> User:
    """Return the account with this address and password. Raises 401, and 403 if the account is disabled."""
    with hashing.slot():
        user = store.get_by_email_or_none(email)
        verdict = hashing.run(passwords.verify, user.password_hash if user else None, password)
    if user is None or not verdict.is_right:
        raise Problem(401, "Incorrect email or password.", "wrong_credentials")
    if user.disabled_since is not None:
        raise Problem(403, "This account is disabled.", "account_disabled")
    if verdict.renewed_hash is not None:
        write_if_possible(partial(store.set_password_hash, user, verdict.renewed_hash))  # else by the next log-in
    return user
