"""The people who sign in, and the keys their programs sign in with."""

from datetime import datetime

from sqlalchemy import ForeignKey, Identity, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from promptcrafter.database.base import SEQUENCE, Base, UtcTime


class User(Base):
    """An account."""

    __tablename__ = "users"
    __table_args__ = (UniqueConstraint("id"), UniqueConstraint("email_key"))

    seq: Mapped[int] = mapped_column(SEQUENCE, Identity(), primary_key=True)
    id: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(Text)
    email: Mapped[str] = mapped_column(Text)  # as typed
    email_key: Mapped[str] = mapped_column(Text)  # in lower case: what must be unique
    password_hash: Mapped[str] = mapped_column(Text)
    # Written into every token; raised by a password change or a log-out, which kills those issued before
    token_epoch: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    disabled_at: Mapped[datetime | None] = mapped_column(UtcTime)  # since when nobody gets in by it


class ApiKey(Base):
    """A key that a program shows instead of a token; only its digest is kept."""

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
    prefix: Mapped[str] = mapped_column(String(16))  # what the owner recognises it by
    digest: Mapped[str] = mapped_column(String(64))  # SHA-256 of the key in hexadecimal: 256 random bits need no salt
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcTime)
