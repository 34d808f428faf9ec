"""One output of a prompt."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from promptcrafter.db import SEQUENCE, Base, JsonText, UtcTime


class Log(Base):
    """An output, pinned to the prompt's version it was made with. NULL means unknown, never 0."""

    __tablename__ = "logs"
    __table_args__ = (
        UniqueConstraint("id"),
        ForeignKeyConstraint(
            ["prompt_id", "prompt_version"], ["prompt_versions.prompt_id", "prompt_versions.number"], ondelete="CASCADE"
        ),
        CheckConstraint("score BETWEEN 0 AND 10", name="score"),
        Index(None, "owner_id", "created_at", "seq"),
        Index(None, "prompt_id", "created_at", "seq"),
        Index(None, "prompt_id", "prompt_version"),
    )

    seq: Mapped[int] = mapped_column(SEQUENCE, Identity(), primary_key=True)
    id: Mapped[str] = mapped_column(String(64))
    owner_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    prompt_id: Mapped[str] = mapped_column(String(64))
    prompt_version: Mapped[int]
    model_used: Mapped[str] = mapped_column(Text)
    output: Mapped[str] = mapped_column(Text)
    notes: Mapped[str | None] = mapped_column(Text)
    score: Mapped[float | None] = mapped_column(Float(53))
    input: Mapped[str | None] = mapped_column(Text)
    input_format: Mapped[str | None] = mapped_column(String(8))  # "json": the text is JSON that was sent as such
    ideal_output: Mapped[str | None] = mapped_column(Text)
    ideal_output_format: Mapped[str | None] = mapped_column(String(8))
    variables: Mapped[Any | None] = mapped_column(JsonText)
    start_time: Mapped[datetime | None] = mapped_column(UtcTime)
    end_time: Mapped[datetime | None] = mapped_column(UtcTime)
    latency_ms: Mapped[float | None] = mapped_column(Float(53))
    input_tokens: Mapped[float | None] = mapped_column(Float(53))
    output_tokens: Mapped[float | None] = mapped_column(Float(53))
    cost: Mapped[float | None] = mapped_column(Float(53))  # US dollars
    meta: Mapped[Any | None] = mapped_column("metadata", JsonText)
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    updated_at: Mapped[datetime] = mapped_column(UtcTime)
