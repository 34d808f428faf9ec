"""Accounts and API keys in the database. What writes here belongs inside `transactions.writing()`."""

import hashlib
import secrets
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Select, delete, or_, select, update
from sqlalchemy.exc import IntegrityError

from promptcrafter import clock, db
from promptcrafter.auth.models import ApiKey, User
from promptcrafter.db import session
from promptcrafter.errors import Problem
from promptcrafter.ids import is_well_formed, new_id

KEY_MARK = "pc_"  # tells a key from a token
_KEY_RANDOM_BYTES = 32
_KEY_PREFIX_LENGTH = len(KEY_MARK) + 6


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
    try:
        session.flush()
    except IntegrityError as error:
        if not db.violates(error, "uq_users_email_key"):
            raise
        raise Problem(409, "Email already in use.", "email_taken") from error
    return user


def find_by_email(email: str) -> User | None:
    """Return the account of an address, whatever its case."""
    return session.scalar(select(User).where(User.email_key == email_key(email)))


def get_user(user_id: str) -> User:
    """Return the account; the caller is signed in to it, so it exists."""
    return session.scalars(select(User).where(User.id == user_id)).one()


def get_token_epoch(user_id: str) -> int | None:
    """Return the epoch that a good token of this user names; None for no such user."""
    return session.scalar(select(User.token_epoch).where(User.id == user_id))


def set_password_hash(user: User, password_hash: str) -> bool:
    """Replace the hash that `user` was read with; tokens stay as they are. Tell whether it was still that one."""
    unchanged = (User.id == user.id) & (User.password_hash == user.password_hash)
    changed = update(User).where(unchanged).values(password_hash=password_hash).returning(User.id)
    return session.scalar(changed) is not None


def revoke_tokens(user_id: str) -> None:
    """Make every token issued so far to this user worthless."""
    session.execute(update(User).where(User.id == user_id).values(token_epoch=User.token_epoch + 1))


def add_key(user_id: str, values: Mapping[str, Any]) -> tuple[ApiKey, str]:
    """Insert a key of this user; return it and the text that nobody will see again."""
    text = KEY_MARK + secrets.token_urlsafe(_KEY_RANDOM_BYTES)
    key = ApiKey(
        id=new_id("key"),
        user_id=user_id,
        prefix=text[:_KEY_PREFIX_LENGTH],
        digest=_digest(text),
        created_at=clock.now(),
        **values,
    )
    session.add(key)
    session.flush()
    return key, text


def find_keys(user_id: str) -> Select[ApiKey]:
    """Return the user's keys."""
    return select(ApiKey).where(ApiKey.user_id == user_id)


def get_key_owner_id(text: str) -> str | None:
    """Return whose key this is; None when there is no such key, or no longer."""
    alive = or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > clock.now())
    return session.scalar(select(ApiKey.user_id).where(ApiKey.digest == _digest(text), alive))


def remove_key(key_id: str, user_id: str) -> None:
    """Revoke a key at once. Raises 400 for a malformed id, 404 for one that is not the user's."""
    if not is_well_formed("key", key_id):
        raise Problem(400, "The key ID format is invalid.", "invalid_key_id")
    removed = session.scalar(delete(ApiKey).where(ApiKey.id == key_id, ApiKey.user_id == user_id).returning(ApiKey.id))
    if removed is None:
        raise Problem(404, "Key not found", "key_not_found")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
