"""The table of traces, which are stored as they were sent."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, ForeignKeyConstraint, Identity, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from promptcrafter.database.base import SEQUENCE, JsonText, Resource, UtcTime


class Trace(Resource):
    """One run of a client's program. Its generations are stored as logs, its other spans in the column `spans`."""

    kind = "trace"
    __tablename__ = "traces"
    __table_args__ = (
        UniqueConstraint("id"),
        UniqueConstraint("workspace_id", "id"),
        ForeignKeyConstraint(
            ["workspace_id", "experiment_id"], ["experiments.workspace_id", "experiments.id"], ondelete="CASCADE"
        ),
        Index(None, "workspace_id", "created_at", "seq"),
        Index(None, "experiment_id"),
    )

    seq: Mapped[int] = mapped_column(SEQUENCE, Identity(), primary_key=True)
    id: Mapped[str] = mapped_column(String(64))
    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"))
    author_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    source: Mapped[str] = mapped_column(String(16))
    slug: Mapped[str] = mapped_column(Text)
    name: Mapped[str | None] = mapped_column(Text)
    input: Mapped[Any | None] = mapped_column(JsonText)
    output: Mapped[Any | None] = mapped_column(JsonText)
    ideal_output: Mapped[Any | None] = mapped_column(JsonText)
    meta: Mapped[Any | None] = mapped_column("metadata", JsonText)
    organization: Mapped[Any | None] = mapped_column(JsonText)
    user: Mapped[Any | None] = mapped_column(JsonText)
    start_time: Mapped[datetime | None] = mapped_column(UtcTime)
    end_time: Mapped[datetime | None] = mapped_column(UtcTime)
    experiment_id: Mapped[str | None] = mapped_column(String(64))
    evaluators: Mapped[Any | None] = mapped_column(JsonText)
    evaluation_config: Mapped[Any | None] = mapped_column(JsonText)
    spans: Mapped[Any | None] = mapped_column(JsonText)
    created_at: Mapped[datetime] = mapped_column(UtcTime)
