"""Accounts and API keys in the database. What writes here belongs inside `transactions.writing()`."""

import hashlib
import secrets
from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, delete, or_, select, update

from promptcrafter import clock
from promptcrafter.auth.models import ApiKey, User
from promptcrafter.database.base import Base
from promptcrafter.database.compiled import CompiledQuery
from promptcrafter.database.errors import translating
from promptcrafter.database.session import session
from promptcrafter.ids import is_well_formed, new_id
from promptcrafter.problems import Invalid, Problem

KEY_MARK = "pc_"  # tells a key from a token
_KEY_RANDOM_BYTES = 32
_KEY_PREFIX_LENGTH = len(KEY_MARK) + 6
# Every request asks one of these
_USERS, _KEYS = Base.metadata.tables["users"], Base.metadata.tables["api_keys"]
_EPOCH = CompiledQuery(
    select(_USERS.c.token_epoch).where(_USERS.c.id == bindparam("user_id"), _USERS.c.disabled_at.is_(None))
)
_KEY_OWNER = CompiledQuery(
    select(_USERS.c.id)
    .join(_KEYS, _KEYS.c.user_id == _USERS.c.id)
    .where(
        _KEYS.c.digest == bindparam("digest"),
        or_(_KEYS.c.expires_at.is_(None), _KEYS.c.expires_at > bindparam("now")),
        _USERS.c.disabled_at.is_(None),
    )
)


def email_key(email: str) -> str:
    """Return what two spellings of one address share."""
    return email.lower()


def add_user(name: str, email: str, password_hash: str) -> User:
    """Insert an account. Raises 409 when the address has one."""
    user = User(
        id=new_id("user"),
        name=name,
        email=email,
        email_key=email_key(email),
        password_hash=password_hash,
        created_at=clock.now(),
    )
    session.add(user)
    with translating({"uq_users_email_key": lambda: Problem(409, "Email already in use.", "email_taken")}):
        session.flush()
    return user


def find_by_email(email: str) -> User | None:
    """Return the account of an address, whatever its case."""
    return session.scalar(select(User).where(User.email_key == email_key(email)))


def get_by_email(email: str) -> User:
    """Return the account of an address, whatever its case. Raises 404 when it has none."""
    user = find_by_email(email)
    if user is None:
        raise Problem(404, f"No account has the address {email}.", "user_not_found")
    return user


def list_users() -> list[User]:
    """Return all accounts, oldest first."""
    return list(session.scalars(select(User).order_by(User.seq)))


def get_user(user_id: str) -> User:
    """Return the account; the caller is signed in to it, so it exists."""
    return session.scalars(select(User).where(User.id == user_id)).one()


def get_token_epoch(user_id: str) -> int | None:
    """Return the epoch that a good token of this user names; None for no such user, or a disabled one."""
    row = _EPOCH.first(user_id=user_id)
    return row[0] if row else None


def set_password_hash(user: User, password_hash: str) -> bool:
    """Replace the hash that `user` was read with; tokens stay as they are. Tell whether it was still that one."""
    unchanged = (User.id == user.id) & (User.password_hash == user.password_hash)
    changed = update(User).where(unchanged).values(password_hash=password_hash).returning(User.id)
    return session.scalar(changed) is not None


def reset_password(user_id: str, password_hash: str) -> None:
    """Replace the hash, whatever it was, and make every token issued so far to this user worthless."""
    values = {"password_hash": password_hash, "token_epoch": User.token_epoch + 1}
    session.execute(update(User).where(User.id == user_id).values(values))


def disable(user_id: str) -> bool:
    """Let nobody in by this account, also with a token issued so far to it. Tell whether anybody was let in before."""
    values = {"disabled_at": clock.now(), "token_epoch": User.token_epoch + 1}
    changed = update(User).where(User.id == user_id, User.disabled_at.is_(None)).values(values).returning(User.id)
    return session.scalar(changed) is not None


def enable(user_id: str) -> bool:
    """Let its owner and its keys in again. Tell whether they were not before."""
    whose = (User.id == user_id) & User.disabled_at.is_not(None)
    changed = update(User).where(whose).values(disabled_at=None).returning(User.id)
    return session.scalar(changed) is not None


def revoke_tokens(user_id: str) -> None:
    """Make every token issued so far to this user worthless."""
    session.execute(update(User).where(User.id == user_id).values(token_epoch=User.token_epoch + 1))


def add_key(user_id: str, values: Mapping[str, Any]) -> tuple[ApiKey, str]:
    """Insert a key of this user; return it and the text that nobody will see again. Raises 400 for a past expiry."""
    now = clock.now()
    if values.get("expires_at") and values["expires_at"] <= now:
        raise Invalid({"expiresAt": ["must be in the future"]})
    text = KEY_MARK + secrets.token_urlsafe(_KEY_RANDOM_BYTES)
    key = ApiKey(
        id=new_id("key"),
        user_id=user_id,
        prefix=text[:_KEY_PREFIX_LENGTH],
        digest=_digest(text),
        created_at=now,
        **values,
    )
    session.add(key)
    session.flush()
    return key, text


def find_keys(user_id: str) -> Select[ApiKey]:
    """Return the user's keys."""
    return select(ApiKey).where(ApiKey.user_id == user_id)


def get_key_owner_id(text: str) -> str | None:
    """Return whose key this is; None when there is no such key, or no longer, or its owner is disabled."""
    row = _KEY_OWNER.first(digest=_digest(text), now=clock.now())
    return row[0] if row else None


def list_keys(user_id: str) -> list[ApiKey]:
    """Return the user's keys, oldest first."""
    return list(session.scalars(find_keys(user_id).order_by(ApiKey.created_at, ApiKey.seq)))


def remove_key(key_id: str, user_id: str) -> None:
    """Revoke a key at once. Raises 400 for a malformed id, 404 for one that is not the user's."""
    _remove_key(key_id, ApiKey.user_id == user_id)


def remove_anyones_key(key_id: str) -> None:
    """Revoke a key at once, whosever it is. Raises 400 for a malformed id, 404 when there is none."""
    _remove_key(key_id)


def _remove_key(key_id: str, *conditions: ColumnElement[bool]) -> None:
    if not is_well_formed("key", key_id):
        raise Problem(400, "The key ID format is invalid.", "invalid_key_id")
    removed = session.scalar(delete(ApiKey).where(ApiKey.id == key_id, *conditions).returning(ApiKey.id))
    if removed is None:
        raise Problem(404, "Key not found", "key_not_found")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
