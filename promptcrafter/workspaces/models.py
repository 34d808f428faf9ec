"""The tables of workspaces, their members and invitations to them."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from promptcrafter.auth.models import DELETED_ACCOUNT
from promptcrafter.database.base import SEQUENCE, Base, Deletable, JsonText, UtcTime


class Workspace(Deletable):
    """What prompts, logs, traces and experiments belong to, and who may access them: its members."""

    kind = "workspace"
    __tablename__ = "workspaces"
    __table_args__ = (UniqueConstraint("id"), UniqueConstraint("slug"), UniqueConstraint("personal_user_id"))

    seq: Mapped[int] = mapped_column(SEQUENCE, Identity(), primary_key=True)
    id: Mapped[str] = mapped_column(String(64))
    slug: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    personal_user_id: Mapped[str | None] = mapped_column(ForeignKey("users.id"))  # whose personal workspace it is
    protected_labels: Mapped[list[str]] = mapped_column(JsonText)  # which only owners move
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    updated_at: Mapped[datetime] = mapped_column(UtcTime)


class Member(Base):
    """The role of an account in a workspace."""

    __tablename__ = "members"
    __table_args__ = (
        CheckConstraint("role IN ('viewer', 'editor', 'owner')", name="role"),
        Index(None, "user_id", "workspace_id"),
    )

    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), primary_key=True)
    role: Mapped[str] = mapped_column(String(16))
    # Whether tokens of the account act here when a request names no workspace; for none: in the personal one
    is_default: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(UtcTime)  # when the account joined


class Invitation(Base):
    """An invitation that one account may accept, once. Only the digest of its token is stored."""

    __tablename__ = "invitations"
    __table_args__ = (
        UniqueConstraint("id"),
        UniqueConstraint("digest"),
        CheckConstraint("role IN ('viewer', 'editor', 'owner')", name="role"),
        Index(None, "workspace_id", "created_at", "seq"),
    )

    seq: Mapped[int] = mapped_column(SEQUENCE, Identity(), primary_key=True)
    id: Mapped[str] = mapped_column(String(64))
    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"))
    role: Mapped[str] = mapped_column(String(16))
    digest: Mapped[str] = mapped_column(String(64))  # SHA-256 in hexadecimal; a token of 256 random bits needs no salt
    author_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    expires_at: Mapped[datetime] = mapped_column(UtcTime)


class AuditEntry(Base):
    """Who did what in a workspace, written in the transaction that did it.

    It has no foreign keys but that of the workspace: what it tells of may be deleted.
    """

    __tablename__ = "audit_entries"
    __table_args__ = (
        UniqueConstraint("id"),
        Index(None, "workspace_id", "created_at", "seq"),
        Index(None, "object_id"),
        Index(None, "within_id"),
    )

    seq: Mapped[int] = mapped_column(SEQUENCE, Identity(), primary_key=True)
    id: Mapped[str] = mapped_column(String(64))
    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    actor_kind: Mapped[str] = mapped_column(String(8))  # "user", "key" or "cli"
    actor_id: Mapped[str] = mapped_column(String(64))  # of the account or the key; "" for a command
    actor_name: Mapped[str | None] = mapped_column(Text)  # None: removed, because the account is anonymised
    # The account itself, or that of the key. None for a command, and for keys of which only the id is known
    actor_user_id: Mapped[str | None] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(32))
    object_type: Mapped[str] = mapped_column(String(16))
    object_id: Mapped[str] = mapped_column(String(64))
    object_name: Mapped[str | None] = mapped_column(Text)
    within_id: Mapped[str | None] = mapped_column(String(64))  # to what the object belongs, such as a log's prompt
    before: Mapped[Any | None] = mapped_column(JsonText)
    after: Mapped[Any | None] = mapped_column(JsonText)
    request_id: Mapped[str | None] = mapped_column(String(128))

    @property
    def actor(self) -> dict[str, Any]:
        """Who did it."""
        user_id = self.actor_id if self.actor_kind == "user" else self.actor_user_id
        name = self.actor_name or DELETED_ACCOUNT
        return {"kind": self.actor_kind, "id": self.actor_id, "name": name, "user_id": user_id}

    @property
    def subject(self) -> dict[str, Any]:
        """What it was done to."""
        name = self.object_name or (DELETED_ACCOUNT if self.object_type == "member" else None)
        return {"type": self.object_type, "id": self.object_id, "name": name}
