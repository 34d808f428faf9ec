"""The table of the configurations of scores."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Float, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from promptcrafter.database.base import Base, JsonText, UtcTime


class ScoreConfig(Base):
    """What the scores of one name must be in a workspace, and which of them are better."""

    __tablename__ = "score_configs"
    __table_args__ = (
        CheckConstraint("kind IN ('number', 'boolean', 'category')", name="kind"),
        CheckConstraint("direction IN ('up', 'down', 'none')", name="direction"),
    )

    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    author_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    kind: Mapped[str] = mapped_column(String(8))
    minimum: Mapped[float | None] = mapped_column(Float(53))
    maximum: Mapped[float | None] = mapped_column(Float(53))
    categories: Mapped[Any | None] = mapped_column(JsonText)
    direction: Mapped[str] = mapped_column(String(8))
    description: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    updated_at: Mapped[datetime] = mapped_column(UtcTime)
    archived_at: Mapped[datetime | None] = mapped_column(UtcTime)
