"""Accounts, API keys and resets of forgotten passwords in the database.

Call the writing functions inside `transactions.writing()`. These functions take a user id rather than a Principal: an
account is not owned by another one.
"""

import hashlib
import secrets
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, delete, or_, select, update

from promptcrafter import clock, emails
from promptcrafter.auth.models import ApiKey, PasswordReset, User
from promptcrafter.database.errors import translating
from promptcrafter.database.session import session
from promptcrafter.ids import is_well_formed, new_id
from promptcrafter.problems import Invalid, Problem, Unauthorized

KEY_USE_PRECISION = timedelta(hours=1)
KEY_PREFIX = "pc_"  # distinguishes an API key from a token
RESET_PREFIX = "reset_"
_RANDOM_BYTES = 32  # of a key, and of a secret for a forgotten password
_RESET_VALID = timedelta(hours=24)
_SHOWN_PREFIX_LENGTH = len(KEY_PREFIX) + 6


def add_user(name: str, email: str, password_hash: str) -> User:
    """Insert an account. Raises 409 if there is one with this address, in any case and normal form."""
    if get_by_email_or_none(email) is not None:
        raise _email_taken()
    user = User(
        id=new_id("user"),
        name=name,
        email=email,
        email_key=emails.key(email),
        email_identity=emails.identity(email),
        password_hash=password_hash,
        created_at=clock.now(),
    )
    session.add(user)
    with translating({"uq_users_email_key": _email_taken, "ix_users_email_identity": _email_taken}):
        session.flush()
    return user


def get_by_email_or_none(email: str) -> User | None:
    """Return the account with this address, in any case and normal form; None if there is none.

    Of accounts whose addresses differ in their normal form only (see `list_twins`), each is found by its own spelling.
    """
    if len(email) > emails.LENGTH_MAX:
        return None
    identity, spellings = emails.identity(email), emails.spellings(email)
    is_same = or_(User.email_identity == identity, User.email_key.in_(spellings))
    # the key of a deleted account is its id, which is no address
    users = session.scalars(select(User).where(is_same, User.deleted_at.is_(None))).all()
    return min(
        users,
        key=lambda user: (user.email_key != spellings[0], user.email_identity != identity, user.email_key != identity),
        default=None,
    )


def get_by_email(email: str) -> User:
    """Return the account with this address, in any case and normal form. Raises 404 if there is none."""
    user = get_by_email_or_none(email)
    if user is None:
        raise _no_such_address(email)
    return user


def lock_by_email(email: str) -> User:
    """Return the account with this address, locked until the commit. Raises 404 if there is none."""
    is_it = (User.id == get_by_email(email).id) & User.deleted_at.is_(None)
    user = session.scalar(select(User).where(is_it).with_for_update(key_share=True))
    if user is None:  # deleted while this waited for the lock
        raise _no_such_address(email)
    return user


def get_names(user_ids: Collection[str]) -> dict[str, str]:
    """Return the names of accounts by their ids, deleted ones among them; the caller must have checked the access."""
    return dict(session.execute(select(User.id, User.name).where(User.id.in_(user_ids))).all())


def list_users() -> list[User]:
    """Return all accounts but deleted ones, oldest first."""
    return list(session.scalars(select(User).where(User.deleted_at.is_(None)).order_by(User.seq)))


def list_twins() -> list[list[User]]:
    """Return the groups of accounts whose addresses look the same, oldest first.

    They differ in their normal form or in invisible characters. Releases up to 0.1 created accounts for such addresses.
    """
    groups: dict[str, list[User]] = {}
    for user in list_users():
        groups.setdefault(emails.appearance(user.email), []).append(user)
    return [group for group in groups.values() if len(group) > 1]


def get_user(user_id: str) -> User:
    """Return the account of this id. Raises NoResultFound if there is none."""
    return session.scalars(select(User).where(User.id == user_id)).one()


def lock_user(user_id: str) -> User:
    """Return the account of this id, locked until the commit. Raises NoResultFound if there is none."""
    return session.scalars(select(User).where(User.id == user_id).with_for_update(key_share=True)).one()


def lock_account(user_id: str) -> User:
    """Return the account of a request, locked until the commit.

    Raises 401 if it was deleted since the request was authenticated. Lock it before a workspace of which it is a
    member, as the deletion of an account does.
    """
    user = lock_user(user_id)
    if user.deleted_at is not None:
        raise Unauthorized
    return user


def change_user(user: User, changes: Mapping[str, str]) -> None:
    """Change the name or the address of a locked account. Raises 409 if another one has the address.

    With another address, an open reset of the password is dead: its secret may be in the mailbox that was left.
    """
    if "email" in changes:
        found = get_by_email_or_none(changes["email"])
        if found is not None and found.id != user.id:
            raise _email_taken()
        user.email = changes["email"]
        user.email_key, user.email_identity = emails.key(user.email), emails.identity(user.email)
        remove_reset(user.id)
    user.name = changes.get("name", user.name)
    with translating({"uq_users_email_key": _email_taken, "ix_users_email_identity": _email_taken}):
        session.flush()


def bury(user: User, *, anonymise: bool) -> None:
    """Make a tombstone of a locked account: its id and, unless it is anonymised, its name.

    Its keys, tokens and reset are dead, and its address is free again.
    """
    session.execute(delete(ApiKey).where(ApiKey.user_id == user.id))
    remove_reset(user.id)
    user.email, user.email_key, user.email_identity = "", user.id, None  # an id is no address
    user.password_hash = ""
    user.token_epoch += 1
    user.disabled_since = user.disabled_since or clock.now()
    user.deleted_at = clock.now()
    if anonymise:
        user.name = ""
    session.flush()


def set_password_hash(user: User, password_hash: str) -> bool:
    """Replace the password hash unless it has changed since `user` was read; return whether it was replaced.

    Tokens stay valid.
    """
    unchanged = (User.id == user.id) & (User.password_hash == user.password_hash)
    changed = update(User).where(unchanged).values(password_hash=password_hash).returning(User.id)
    return session.scalar(changed) is not None


def reset_password(user_id: str, password_hash: str) -> None:
    """Replace the password hash of a locked account unconditionally; revoke all its tokens and its reset."""
    remove_reset(user_id)
    values = {"password_hash": password_hash, "token_epoch": User.token_epoch + 1}
    session.execute(update(User).where(User.id == user_id).values(values))


def add_reset(user_id: str) -> tuple[str, datetime]:
    """Insert a reset for a forgotten password; return its secret, which is not stored, and when it expires.

    It replaces the one that the account may have.
    """
    remove_reset(user_id)
    secret = RESET_PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    reset = PasswordReset(user_id=user_id, digest=digest(secret), expires_at=clock.now() + _RESET_VALID)
    session.add(reset)
    session.flush()
    return secret, reset.expires_at


def refuse_unknown_reset(secret: str) -> None:
    """Raise 404 unless a secret can be used at present: before the password is hashed, which takes long."""
    if session.scalar(select(PasswordReset.user_id).where(_is_usable_reset(secret))) is None:
        raise _reset_not_found()


def use_reset(secret: str, password_hash: str) -> None:
    """Replace the password hash of the account that a secret is for, and revoke the secret and all tokens.

    Raises 404 if the secret is used, expired or unknown, or if the account is disabled.
    """
    user_id = session.scalar(select(PasswordReset.user_id).where(_is_usable_reset(secret)))
    if user_id is None:
        raise _reset_not_found()
    lock_user(user_id)  # before its reset, as the deletion of an account does
    used = delete(PasswordReset).where(_is_usable_reset(secret)).returning(PasswordReset.user_id)
    if session.scalar(used.execution_options(synchronize_session=False)) is None:
        raise _reset_not_found()
    reset_password(user_id, password_hash)


def remove_reset(user_id: str) -> None:
    """Delete the reset of this user, if there is one."""
    session.execute(delete(PasswordReset).where(PasswordReset.user_id == user_id))


def disable(user_id: str) -> bool:
    """Disable a locked account and revoke all its tokens; return whether it was enabled before."""
    values = {"disabled_since": clock.now(), "token_epoch": User.token_epoch + 1}
    changed = update(User).where(User.id == user_id, User.disabled_since.is_(None)).values(values).returning(User.id)
    return session.scalar(changed) is not None


def enable(user_id: str) -> bool:
    """Enable a locked account again, and with it its API keys; return whether it was disabled before."""
    changed = update(User).where(User.id == user_id, User.disabled_since.is_not(None)).values(disabled_since=None)
    return session.scalar(changed.returning(User.id)) is not None


def revoke_tokens(user_id: str) -> None:
    """Revoke all tokens issued to this user so far."""
    session.execute(update(User).where(User.id == user_id).values(token_epoch=User.token_epoch + 1))


def add_key(user_id: str, values: Mapping[str, Any]) -> tuple[ApiKey, str]:
    """Insert an API key of this user; return its row and the key itself, which is not stored.

    Raises 400 if `expires_at` is in the past.
    """
    now = clock.now()
    if values.get("expires_at") and values["expires_at"] <= now:
        raise Invalid({"expiresAt": ["must be in the future"]})
    secret = KEY_PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    key = ApiKey(
        id=new_id("key"),
        user_id=user_id,
        prefix=secret[:_SHOWN_PREFIX_LENGTH],
        digest=digest(secret),
        created_at=now,
        **values,
    )
    session.add(key)
    session.flush()
    return key, secret


def find_keys(user_id: str) -> Select[ApiKey]:
    """Return a select of the user's API keys."""
    return select(ApiKey).where(ApiKey.user_id == user_id)


def note_use(key_id: str, now: datetime) -> None:
    """Note that an API key was used, unless that was noted less than an hour ago."""
    is_due = or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at <= now - KEY_USE_PRECISION)
    noted = update(ApiKey).where(ApiKey.id == key_id, is_due).values(last_used_at=now)
    session.execute(noted.execution_options(synchronize_session=False))


def list_keys(user_id: str) -> list[ApiKey]:
    """Return the user's API keys, oldest first."""
    return list(session.scalars(find_keys(user_id).order_by(ApiKey.created_at, ApiKey.seq)))


def remove_key(user_id: str, key_id: str) -> ApiKey:
    """Delete an API key of this user, and return it. Raises 400 for a malformed id and 404 if there is none."""
    return _remove_key(key_id, ApiKey.user_id == user_id)


def remove_key_of_any_user(key_id: str) -> ApiKey:
    """Delete the API key of any account, and return it. Raises 400 for a malformed id and 404 if there is none."""
    return _remove_key(key_id)


def digest(secret: str) -> str:
    """Return the digest by which a secret is found: an API key, a reset of a password or an invitation."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _no_such_address(email: str) -> Problem:
    return Problem(404, f"No account has the address {email}.", "user_not_found")


def _email_taken() -> Problem:
    return Problem(409, "Email already in use.", "email_taken")


def _is_usable_reset(secret: str) -> ColumnElement[bool]:
    enabled = select(User.id).where(User.disabled_since.is_(None))
    is_current = (PasswordReset.digest == digest(secret)) & (PasswordReset.expires_at > clock.now())
    return is_current & PasswordReset.user_id.in_(enabled)


def _reset_not_found() -> Problem:
    return Problem(404, "This reset of a password is used, expired or unknown.", "reset_not_found")


def _remove_key(key_id: str, *conditions: ColumnElement[bool]) -> ApiKey:
    if not is_well_formed("key", key_id):
        raise Problem(400, "The key ID format is invalid.", "invalid_key_id")
    key = session.scalar(select(ApiKey).where(ApiKey.id == key_id, *conditions).with_for_update())
    if key is None:
        raise Problem(404, "Key not found", "key_not_found")
    session.delete(key)
    session.flush()
    return key
