"""Accounts in the database."""

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from promptcrafter import clock, db
from promptcrafter.auth.models import User
from promptcrafter.db import session
from promptcrafter.errors import Problem
from promptcrafter.ids import new_id


def email_key(email: str) -> str:
    """Return what two spellings of one address share."""
    return email.casefold()


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


def set_password_hash(user_id: str, password_hash: str) -> None:
    """Replace the hash; tokens stay as they are."""
    session.execute(update(User).where(User.id == user_id).values(password_hash=password_hash))


def revoke_tokens(user_id: str) -> None:
    """Make every token issued so far to this user worthless."""
    session.execute(update(User).where(User.id == user_id).values(token_epoch=User.token_epoch + 1))
