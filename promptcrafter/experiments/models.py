"""Experiments and their variants. The results of an experiment are stored as logs."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from promptcrafter.database import cascade
from promptcrafter.database.base import SEQUENCE, Base, JsonText, Resource, UtcTime
from promptcrafter.prompts.models import Prompt


class Experiment(Resource):
    """A named set of results. If it has variants, users are assigned to them."""

    kind = "experiment"
    __tablename__ = "experiments"
    __table_args__ = (
        UniqueConstraint("id"),
        UniqueConstraint("workspace_id", "id"),
        UniqueConstraint("workspace_id", "slug"),
        CheckConstraint("status IN ('DRAFT', 'ACTIVE', 'PAUSED', 'COMPLETED')", name="status"),
        Index(None, "workspace_id", "created_at", "seq"),
    )

    seq: Mapped[int] = mapped_column(SEQUENCE, Identity(), primary_key=True)
    id: Mapped[str] = mapped_column(String(64))
    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"))
    author_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    slug: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(16))
    feature_slug: Mapped[str | None] = mapped_column(Text)  # set by clients that group experiments by feature
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    updated_at: Mapped[datetime] = mapped_column(UtcTime)

    variants: Mapped[list["Variant"]] = relationship(
        order_by="Variant.position", cascade="all, delete-orphan", passive_deletes=True, lazy="selectin"
    )


class Variant(Base):
    """One of the alternatives that an experiment compares, with its share of the users."""

    __tablename__ = "experiment_variants"
    __table_args__ = (
        ForeignKeyConstraint(
            ["workspace_id", "experiment_id"], ["experiments.workspace_id", "experiments.id"], ondelete="CASCADE"
        ),
        # no ON DELETE action, since SET NULL would set both columns: see `prompts.store.remove_prompt`
        ForeignKeyConstraint(["workspace_id", "prompt_id"], [Prompt.workspace_id, Prompt.id]),
        CheckConstraint("traffic_percent BETWEEN 0 AND 100", name="traffic_percent"),
        Index(None, "prompt_id"),
    )

    workspace_id: Mapped[str] = mapped_column(String(64))
    experiment_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    position: Mapped[int]
    payload: Mapped[Any] = mapped_column(JsonText)
    traffic_percent: Mapped[int]
    prompt_id: Mapped[str | None] = mapped_column(String(64))
    # Under which results are stored; None for the latest one. Versions are deleted only with their prompt
    prompt_version: Mapped[int | None] = mapped_column(info={cascade.CLEARED_WITH: "prompt_id"})
