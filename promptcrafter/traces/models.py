"""The tables of traces and of their spans."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Computed,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from promptcrafter.database.base import SEQUENCE, Base, JsonText, Resource, UtcTime

_FROM_OUTSIDE = text("external_id IS NOT NULL")
_IS_CALL = text("call IS NOT NULL")


def _index_where(column: str) -> Index:
    """Return an index of the traces that have a value in `column`, so that it costs nothing to store others."""
    is_there = text(f"{column} IS NOT NULL")
    return Index(None, "workspace_id", column, "created_at", "seq", sqlite_where=is_there, postgresql_where=is_there)


class Trace(Resource):
    """One run of a client's program. The calls of models in it are stored as logs, its other steps as spans.

    One that came from outside by OpenTelemetry grows with each of its spans, which arrive in any order.
    """

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
        Index(  # the workspace in it, so that nobody can claim a trace of another one
            "ix_traces_external_id",
            *("workspace_id", "source", "external_id"),
            unique=True,
            sqlite_where=_FROM_OUTSIDE,
            postgresql_where=_FROM_OUTSIDE,
        ),
        Index(None, "workspace_id", "source", "created_at", "seq"),
        Index(None, "workspace_id", "duration_rank", "created_at", "seq"),
        Index(None, "workspace_id", "cost_rank", "created_at", "seq"),
        *map(_index_where, ("name", "user_id", "session_id", "status")),
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
    external_id: Mapped[str | None] = mapped_column(String(32))  # the id that OpenTelemetry gave it, in hex
    root_span_id: Mapped[str | None] = mapped_column(Text)  # of the span without a parent, when it has arrived
    status: Mapped[str | None] = mapped_column(String(8))  # "error" if the run failed, else NULL
    user_id: Mapped[str | None] = mapped_column(Text)  # whom the run was made for: no account here
    session_id: Mapped[str | None] = mapped_column(Text)
    duration_ms: Mapped[float | None] = mapped_column(Float(53))
    cost: Mapped[float | None] = mapped_column(Float(53))  # US dollars, the sum over its logs: see `logs.trace_costs`
    said_by: Mapped[Any | None] = mapped_column(JsonText)  # which span gave each column: see `growth`
    duration_rank: Mapped[float] = mapped_column(Float(53), Computed("coalesce(duration_ms, -1)"), nullable=True)
    cost_rank: Mapped[float] = mapped_column(Float(53), Computed("coalesce(cost, -1)"), nullable=True)
    created_at: Mapped[datetime] = mapped_column(UtcTime)

    spans: Mapped[list["Span"]] = relationship(order_by="Span.seq", viewonly=True, lazy="raise")


class Span(Base):
    """A step of a trace. Calls of models are logs instead, and only the inner one of two that are one call."""

    __tablename__ = "spans"
    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "trace_id"], ["traces.workspace_id", "traces.id"], ondelete="CASCADE"),
        UniqueConstraint("trace_id", "span_id", "ordinal"),
        Index(None, "trace_id", "seq"),
        Index("ix_spans_calls", "trace_id", "parent_id", sqlite_where=_IS_CALL, postgresql_where=_IS_CALL),
    )

    seq: Mapped[int] = mapped_column(SEQUENCE, Identity(), primary_key=True)
    workspace_id: Mapped[str] = mapped_column(String(64))
    trace_id: Mapped[str] = mapped_column(String(64))
    span_id: Mapped[str] = mapped_column(Text)  # sent by the client
    # Basalt's ids may repeat in a trace, so this is the place of the span among those sent with it. Else 0
    ordinal: Mapped[int]
    type: Mapped[str] = mapped_column(Text)
    parent_id: Mapped[str | None] = mapped_column(Text)
    name: Mapped[str | None] = mapped_column(Text)
    start_time: Mapped[datetime | None] = mapped_column(UtcTime)
    end_time: Mapped[datetime | None] = mapped_column(UtcTime)
    duration_ms: Mapped[float | None] = mapped_column(Float(53))  # from the nanoseconds that OpenTelemetry sends
    status: Mapped[str | None] = mapped_column(String(8))  # "error" if the step failed, else NULL
    error: Mapped[str | None] = mapped_column(Text)
    input: Mapped[Any | None] = mapped_column(JsonText)
    output: Mapped[Any | None] = mapped_column(JsonText)
    ideal_output: Mapped[Any | None] = mapped_column(JsonText)
    meta: Mapped[Any | None] = mapped_column("metadata", JsonText)
    evaluators: Mapped[Any | None] = mapped_column(JsonText)
    # Of a call of a model that another call inside it has as its log: what a log has beside the columns above
    call: Mapped[Any | None] = mapped_column(JsonText)


class EarlyArrival(Base):
    """A score of a span or trace from outside, or content of a span, that arrived before it. It waits for a day."""

    __tablename__ = "early_arrivals"
    __table_args__ = (
        UniqueConstraint("workspace_id", "awaited", "digest"),
        Index(None, "workspace_id", "seq"),
        Index(None, "expires_at"),
        CheckConstraint("kind IN ('score', 'event')", name="kind"),
    )

    seq: Mapped[int] = mapped_column(SEQUENCE, Identity(), primary_key=True)
    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"))
    author_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    # The id from outside of the trace that it waits for, or the key of a response: see `early_arrivals`
    awaited: Mapped[str] = mapped_column(String(64))
    span_id: Mapped[str] = mapped_column(String(16))  # of the span that it waits for; "" for any output of the trace
    kind: Mapped[str] = mapped_column(String(8))
    digest: Mapped[str] = mapped_column(String(64))  # equal for what replaces one another: see `early_arrivals`
    content: Mapped[Any] = mapped_column(JsonText)
    # Whether an event was joined to its span: it stays for a while, since more of the same span may follow
    is_joined: Mapped[bool]
    expires_at: Mapped[datetime] = mapped_column(UtcTime)
