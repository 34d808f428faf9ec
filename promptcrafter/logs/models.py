"""The table of logs."""

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
from sqlalchemy.orm import Mapped, mapped_column

from promptcrafter.database.base import SEQUENCE, JsonText, Resource, UtcTime

_IN_TRACE = text("trace_id IS NOT NULL")
_IN_EXPERIMENT = text("experiment_id IS NOT NULL")


class Log(Resource):
    """An output of a model, with the version of the prompt that produced it. NULL means unknown, never 0.

    Logs of the native API always have a prompt, its version, a model and an output. Logs of other clients may refer to
    a prompt that does not exist here, or to none.
    """

    kind = "log"
    has_parts = False
    __tablename__ = "logs"
    __table_args__ = (
        UniqueConstraint("id"),
        ForeignKeyConstraint(
            ["prompt_id", "prompt_version"], ["prompt_versions.prompt_id", "prompt_versions.number"], ondelete="CASCADE"
        ),
        ForeignKeyConstraint(["workspace_id", "prompt_id"], ["prompts.workspace_id", "prompts.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(["workspace_id", "trace_id"], ["traces.workspace_id", "traces.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(
            ["workspace_id", "experiment_id"], ["experiments.workspace_id", "experiments.id"], ondelete="CASCADE"
        ),
        ForeignKeyConstraint(  # no ON DELETE action: a variant with results cannot be deleted
            ["experiment_id", "variant_key"], ["experiment_variants.experiment_id", "experiment_variants.key"]
        ),
        CheckConstraint("score BETWEEN 0 AND 10", name="score"),
        Index(None, "workspace_id", "created_at", "seq"),
        # Covers all columns that statistics read, so that they never read the rows, whose outputs may be long. Its name
        # has an older word for aggregates: a better one would need a migration.
        Index(
            "ix_logs_figures",
            *("prompt_id", "created_at", "seq", "prompt_version", "model_used", "score", "latency_ms"),
            *("start_time", "end_time", "input_tokens", "output_tokens", "cost"),
        ),
        Index(None, "workspace_id", "model_used", "created_at", "seq"),
        Index(None, "prompt_id", "prompt_version", "created_at", "seq"),
        Index(None, "workspace_id", "rank", "created_at", "seq"),
        Index(None, "prompt_id", "rank", "created_at", "seq"),
        Index(None, "trace_id", "seq", sqlite_where=_IN_TRACE, postgresql_where=_IN_TRACE),
        Index(None, "experiment_id", "created_at", "seq", sqlite_where=_IN_EXPERIMENT, postgresql_where=_IN_EXPERIMENT),
        Index(
            None,
            *("experiment_id", "variant_key", "created_at", "seq"),
            sqlite_where=_IN_EXPERIMENT,
            postgresql_where=_IN_EXPERIMENT,
        ),
    )

    seq: Mapped[int] = mapped_column(SEQUENCE, Identity(), primary_key=True)
    id: Mapped[str] = mapped_column(String(64))
    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"))
    author_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    prompt_id: Mapped[str | None] = mapped_column(String(64))
    prompt_version: Mapped[int | None]
    prompt_reference: Mapped[Any | None] = mapped_column(JsonText)  # slug, version and tag as the client sent them
    model_used: Mapped[str | None] = mapped_column(Text)
    output: Mapped[str | None] = mapped_column(Text)
    output_format: Mapped[str | None] = mapped_column(String(8))  # "json": the text is that of a JSON value
    notes: Mapped[str | None] = mapped_column(Text)
    score: Mapped[float | None] = mapped_column(Float(53))
    rank: Mapped[float] = mapped_column(Float(53), Computed("coalesce(score, -1)"), nullable=True)  # sort key
    input: Mapped[str | None] = mapped_column(Text)
    input_format: Mapped[str | None] = mapped_column(String(8))
    ideal_output: Mapped[str | None] = mapped_column(Text)
    ideal_output_format: Mapped[str | None] = mapped_column(String(8))
    variables: Mapped[Any | None] = mapped_column(JsonText)
    start_time: Mapped[datetime | None] = mapped_column(UtcTime)
    end_time: Mapped[datetime | None] = mapped_column(UtcTime)
    latency_ms: Mapped[float | None] = mapped_column(Float(53))
    input_tokens: Mapped[float | None] = mapped_column(Float(53))
    output_tokens: Mapped[float | None] = mapped_column(Float(53))
    cached_input_tokens: Mapped[float | None] = mapped_column(Float(53))  # a part of input_tokens
    cache_write_tokens: Mapped[float | None] = mapped_column(Float(53))  # another part of input_tokens
    reasoning_tokens: Mapped[float | None] = mapped_column(Float(53))  # a part of output_tokens
    cost: Mapped[float | None] = mapped_column(Float(53))  # US dollars
    computed: Mapped[Any | None] = mapped_column(
        JsonText
    )  # which of input_tokens, output_tokens and cost were computed
    priced_as: Mapped[str | None] = mapped_column(Text)  # the entry of the price list, as "provider/model"
    priced: Mapped[Any | None] = mapped_column(JsonText)  # how the cost came about: see `token_costs`
    meta: Mapped[Any | None] = mapped_column("metadata", JsonText)
    source: Mapped[str | None] = mapped_column(String(16))  # the name of the dialect; NULL for the native API
    name: Mapped[str | None] = mapped_column(Text)
    trace_id: Mapped[str | None] = mapped_column(String(64))
    span_id: Mapped[str | None] = mapped_column(Text)  # sent by the client; not necessarily unique, even in its trace
    parent_span_id: Mapped[str | None] = mapped_column(Text)
    experiment_id: Mapped[str | None] = mapped_column(String(64))
    variant_key: Mapped[str | None] = mapped_column(Text)
    metrics: Mapped[Any | None] = mapped_column(JsonText)
    context: Mapped[Any | None] = mapped_column(JsonText)
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    updated_at: Mapped[datetime] = mapped_column(UtcTime)
