"""The tables of accounts, API keys and secrets for forgotten passwords."""

from datetime import datetime

from sqlalchemy import ForeignKey, Identity, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from promptcrafter.database.base import SEQUENCE, Base, JsonText, UtcTime

DELETED_ACCOUNT = "deleted account"  # shown in place of the name of an account that was removed with its name


class User(Base):
    """An account."""

    __tablename__ = "users"
    __table_args__ = (
        UniqueConstraint("id"),
        UniqueConstraint("email_key"),
        Index(None, "email_identity", unique=True),  # no constraint: to add one, SQLite would rebuild the table
    )

    seq: Mapped[int] = mapped_column(SEQUENCE, Identity(), primary_key=True)
    id: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(Text)
    email: Mapped[str] = mapped_column(Text)  # as the user entered it
    email_key: Mapped[str] = mapped_column(Text)  # in lower case, so that addresses are unique whatever their case
    # The key in the normal form NFC, by which accounts are found. None if it is another account's: until release 0.1,
    # each spelling of an address could get an account. Also None in rows that such a release adds during an upgrade.
    email_identity: Mapped[str | None] = mapped_column(Text)
    password_hash: Mapped[str] = mapped_column(Text)
    # Part of every token. A password change or log-out increments it, which invalidates the tokens issued before.
    token_epoch: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    disabled_since: Mapped[datetime | None] = mapped_column(UtcTime)  # None while the account is enabled
    # A deleted account keeps its row, without address and password, so that what it made in workspaces has an author
    deleted_at: Mapped[datetime | None] = mapped_column(UtcTime)


class ApiKey(Base):
    """A key that a program sends instead of a token. Only its digest is stored."""

    __tablename__ = "api_keys"
    __table_args__ = (
        UniqueConstraint("id"),
        UniqueConstraint("digest"),
        Index(None, "user_id", "created_at", "seq"),
    )

    seq: Mapped[int] = mapped_column(SEQUENCE, Identity(), primary_key=True)
    id: Mapped[str] = mapped_column(String(64))
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(Text)
    prefix: Mapped[str] = mapped_column(String(16))  # the first characters, by which the owner recognises the key
    digest: Mapped[str] = mapped_column(String(64))  # SHA-256 in hexadecimal; a key of 256 random bits needs no salt
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcTime)
    # The one workspace that the key may access; None: all of the account's
    workspace_id: Mapped[str | None] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"), index=True)
    scopes: Mapped[list[str] | None] = mapped_column(JsonText)  # None: all
    last_used_at: Mapped[datetime | None] = mapped_column(UtcTime)  # right to the hour


class PasswordReset(Base):
    """A secret that sets another password of an account, once. Only its digest is stored."""

    __tablename__ = "password_resets"
    __table_args__ = (UniqueConstraint("digest"),)

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64))  # SHA-256 in hexadecimal; 256 random bits need no salt
    expires_at: Mapped[datetime] = mapped_column(UtcTime)
