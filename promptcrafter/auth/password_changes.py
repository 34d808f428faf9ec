"""Changes of a password, which the API and the pages share."""

from promptcrafter.auth import hashing, passwords, store
from promptcrafter.database.transactions import writing
from promptcrafter.problems import Invalid, Problem


def check_password(user_id: str, password: str | None) -> None:
    """Raise 400 without a password, and 401 unless it is that of the account."""
    if password is None:
        raise Invalid({"currentPassword": ["is required"]})
    with hashing.slot():
        verdict = hashing.run(passwords.verify, store.get_user(user_id).password_hash, password)
    if not verdict.is_right:
        raise _wrong_password()


def change_password(user_id: str, current: str, new: str) -> None:
    """Change the password of an account, and revoke every token issued before. Raises 401."""
    with hashing.slot():
        user = store.get_user(user_id)
        password_hash = hashing.run(passwords.replace, user.password_hash, current, new)
    if password_hash is None:
        raise _wrong_password()
    with writing():
        if not store.set_password_hash(user, password_hash):
            raise _wrong_password()  # another request has changed it meanwhile
        store.remove_reset(user.id)
        store.revoke_tokens(user.id)


def reset_password(token: str, new: str) -> None:
    """Set another password with a one-time secret, and revoke every token issued before. Raises 404."""
    with hashing.slot():
        store.refuse_unknown_reset(token)
        password_hash = hashing.run(passwords.hash_password, new)
    with writing():
        store.use_reset(token, password_hash)


def _wrong_password() -> Problem:
    return Problem(401, "Incorrect current password.", "wrong_password")
