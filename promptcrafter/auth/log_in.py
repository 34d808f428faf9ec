"""Log-in by e-mail address and password, which the API and the pages share."""

from contextlib import suppress

from promptcrafter.auth import hashing, passwords, store
from promptcrafter.auth.models import User
from promptcrafter.database.errors import ignoring_unavailable
from promptcrafter.database.transactions import writing
from promptcrafter.problems import Problem, Unavailable


def verify_log_in(email: str, password: str) -> User:
    """Return the account with this address and password. Raises 401, and 403 if the account is disabled."""
    with hashing.place():
        user = store.get_by_email_or_none(email)
        verdict = hashing.run(passwords.verify, user.password_hash if user else None, password)
    if user is None or not verdict.is_right:
        raise Problem(401, "Incorrect email or password.", "wrong_credentials")
    if user.disabled_since is not None:
        raise Problem(403, "This account is disabled.", "account_disabled")
    if verdict.renewed_hash is not None:
        with ignoring_unavailable(), suppress(Unavailable), writing():  # a full disk must not prevent log-ins
            store.set_password_hash(user, verdict.renewed_hash)
    return user
