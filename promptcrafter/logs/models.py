"""The tables of logs and of their scores."""

import re
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
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
    select,
    text,
    type_coerce,
)
from sqlalchemy.orm import Mapped, column_property, mapped_column

from promptcrafter import clock
from promptcrafter.auth.models import DELETED_ACCOUNT, User
from promptcrafter.database.base import DERIVED, SEQUENCE, Base, JsonText, Resource, UtcTime


def _index_where(column: str, *columns: str, name: str | None = None) -> Index:
    """Return an index of the logs that have a value in `column`, so that it costs nothing to store others."""
    is_there = text(f"{column} IS NOT NULL")
    return Index(name, *columns, "created_at", "seq", sqlite_where=is_there, postgresql_where=is_there)


_IN_TRACE = text("trace_id IS NOT NULL")
_BY_OTLP = text("source = 'otlp'")
_BY_RESPONSE = text("response_key IS NOT NULL")
_IN_EXPERIMENT = text("experiment_id IS NOT NULL")
DEFAULT_NAME, HUMAN = "score", "human"  # of the scores that a log's own `score` is the last one of
ANNOTATORS = ("human", "enduser", "judge", "code")
IMPORTED = "imported:"  # begins the rater of a score that came with an import
# The identifier of a score of a whole trace, or of the step of it with this id: see `Score.trace_id`
OF_TRACE = re.compile(r"trace:([0-9a-f]{16}|):(.*)", re.DOTALL)


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
        # Covers all columns that statistics read, so that they never read the rows, whose outputs may be long
        Index(
            "ix_logs_aggregates",
            *("prompt_id", "created_at", "seq", "prompt_version", "model_used", "mean_score", "ratings"),
            *("scored_at", "status", "latency_ms", "start_time", "end_time", "input_tokens", "output_tokens", "cost"),
            *("input_key", "experiment_id", "variant_key"),
        ),
        Index(None, "workspace_id", "model_used", "created_at", "seq"),
        Index(None, "prompt_id", "prompt_version", "created_at", "seq"),
        Index(None, "workspace_id", "rank", "created_at", "seq"),
        Index(None, "prompt_id", "rank", "created_at", "seq"),
        Index(None, "trace_id", "seq", sqlite_where=_IN_TRACE, postgresql_where=_IN_TRACE),
        # A span that OpenTelemetry's clients send again is the same log
        Index(
            "ix_logs_otlp_span", "trace_id", "span_id", unique=True, sqlite_where=_BY_OTLP, postgresql_where=_BY_OTLP
        ),
        Index("ix_logs_otlp_parent", "trace_id", "parent_span_id", sqlite_where=_BY_OTLP, postgresql_where=_BY_OTLP),
        Index(
            "ix_logs_workspace_id_response_key",
            *("workspace_id", "response_key"),
            sqlite_where=_BY_RESPONSE,
            postgresql_where=_BY_RESPONSE,
        ),
        Index(None, "experiment_id", "created_at", "seq", sqlite_where=_IN_EXPERIMENT, postgresql_where=_IN_EXPERIMENT),
        Index(
            None,
            *("experiment_id", "variant_key", "created_at", "seq"),
            sqlite_where=_IN_EXPERIMENT,
            postgresql_where=_IN_EXPERIMENT,
        ),
        _index_where("status", "workspace_id", "status"),
        _index_where("status", "prompt_id", "status"),
        _index_where("user_id", "workspace_id", "user_id"),
        _index_where("session_id", "workspace_id", "session_id"),
        _index_where("environment", "workspace_id", "environment"),
        _index_where("notes", "workspace_id", name="ix_logs_workspace_id_notes"),
        _index_where("notes", "prompt_id", name="ix_logs_prompt_id_notes"),
    )

    seq: Mapped[int] = mapped_column(SEQUENCE, Identity(), primary_key=True)
    id: Mapped[str] = mapped_column(String(64))
    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"))
    author_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    prompt_id: Mapped[str | None] = mapped_column(String(64))
    prompt_version: Mapped[int | None]
    prompt_reference: Mapped[Any | None] = mapped_column(JsonText)  # slug, version and tag as the client sent them
    model_used: Mapped[str | None] = mapped_column(Text)
    provider: Mapped[str | None] = mapped_column(Text)  # who served the model, if the client named one
    output: Mapped[str | None] = mapped_column(Text)
    output_format: Mapped[str | None] = mapped_column(String(8))  # "json": the text is that of a JSON value
    notes: Mapped[str | None] = mapped_column(Text)
    score: Mapped[float | None] = mapped_column(Float(53))  # the last one that a member gave; all are in `Score`
    # Of the scores named `score` that people gave: the mean over the raters, their number, the time of the first one
    mean_score: Mapped[float | None] = mapped_column(Float(53))
    ratings: Mapped[int | None]
    scored_at: Mapped[datetime | None] = mapped_column(UtcTime)
    rank: Mapped[float] = mapped_column(Float(53), Computed("coalesce(score, -1)"), nullable=True)  # sort key
    input: Mapped[str | None] = mapped_column(Text)
    input_format: Mapped[str | None] = mapped_column(String(8))
    ideal_output: Mapped[str | None] = mapped_column(Text)
    ideal_output_format: Mapped[str | None] = mapped_column(String(8))
    variables: Mapped[Any | None] = mapped_column(JsonText)
    input_key: Mapped[int | None] = mapped_column(BigInteger)  # equal for logs of the same input: see `input_keys`
    status: Mapped[str | None] = mapped_column(String(8))  # "error" if the call failed, else NULL
    error: Mapped[str | None] = mapped_column(Text)
    user_id: Mapped[str | None] = mapped_column(Text)  # whom the output was made for: no account here
    session_id: Mapped[str | None] = mapped_column(Text)
    environment: Mapped[str | None] = mapped_column(Text)
    parameters: Mapped[Any | None] = mapped_column(JsonText)
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
    response_key: Mapped[int | None] = mapped_column(BigInteger)  # equal for equal ids of responses: see `input_keys`
    metrics: Mapped[Any | None] = mapped_column(JsonText)
    context: Mapped[Any | None] = mapped_column(JsonText)
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    updated_at: Mapped[datetime] = mapped_column(UtcTime)

    @property
    def duration_ms(self) -> float | None:
        """The latency that was sent, or else the time from start to end if both are known: as statistics count it."""
        return clock.measure_ms(self.start_time, self.end_time) if self.latency_ms is None else self.latency_ms


class Score(Resource):
    """What one rater thinks of a log: a person, a judge (another model) or code. At most one for each key."""

    kind = "score"
    has_parts = False
    __tablename__ = "scores"
    __table_args__ = (
        UniqueConstraint("id"),
        UniqueConstraint("log_seq", "name", "annotator", "rater", "identifier"),
        CheckConstraint("value_kind IN ('number', 'boolean', 'category')", name="value_kind"),
        CheckConstraint("annotator IN ('human', 'enduser', 'judge', 'code')", name="annotator"),
        Index(None, "workspace_id", "created_at", "seq"),
        Index(None, "workspace_id", "name", "created_at", "seq"),
        Index(None, "workspace_id", "rater_id", "created_at", "seq"),
        Index(None, "prompt_id", "created_at", "seq"),
        Index(None, "trace_id", "created_at", "seq", sqlite_where=_IN_TRACE, postgresql_where=_IN_TRACE),
    )

    seq: Mapped[int] = mapped_column(SEQUENCE, Identity(), primary_key=True)
    id: Mapped[str] = mapped_column(String(64))
    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"))
    author_id: Mapped[str] = mapped_column(ForeignKey("users.id"))  # who sent it: of an imported one, who imported it
    # By its sequence number: the database itself removes the few scores of a log, and `cascade` needs no step for them
    log_seq: Mapped[int] = mapped_column(SEQUENCE, ForeignKey("logs.seq", ondelete="CASCADE"))
    prompt_id: Mapped[str | None] = mapped_column(String(64))  # the log's, which never changes
    name: Mapped[str] = mapped_column(String(64))
    value_kind: Mapped[str] = mapped_column(String(8))
    number: Mapped[float | None] = mapped_column(Float(53))  # of a boolean 1 or 0, of a category NULL
    category: Mapped[str | None] = mapped_column(String(64))
    comment: Mapped[str | None] = mapped_column(Text)
    annotator: Mapped[str] = mapped_column(String(8))
    # Who counts as the rater: the author's id, or IMPORTED and the id that the account had where it came from
    rater: Mapped[str] = mapped_column(String(64))
    rater_id: Mapped[str] = mapped_column(String(64), Computed(f"replace(rater, '{IMPORTED}', '')"), nullable=True)
    imported_name: Mapped[str | None] = mapped_column(Text)
    # Tells apart scores of one rater. That of a score of a trace has the form of OF_TRACE
    identifier: Mapped[str] = mapped_column(String(64))
    # Of a score of a whole trace, or of a step that is no log: it is kept at the last output of that trace, with which
    # it counts. NULL for a score of the log itself
    trace_id: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    updated_at: Mapped[datetime] = mapped_column(UtcTime)
    valued_at: Mapped[datetime] = mapped_column(UtcTime)  # when the value was written; in a log, each has another

    log_id: Mapped[str] = column_property(
        select(Log.id).where(Log.seq == log_seq).correlate_except(Log).scalar_subquery()
    )
    author_name: Mapped[str] = column_property(
        select(type_coerce(User.name, String)).where(User.id == author_id).correlate_except(User).scalar_subquery()
    )

    @property
    def value(self) -> float | bool | str | None:
        """The value as it was sent."""
        if self.value_kind == "category":
            return self.category
        return bool(self.number) if self.value_kind == "boolean" else self.number

    @property
    def sent_identifier(self) -> str:
        """The identifier as it was sent."""
        match = self.trace_id and OF_TRACE.fullmatch(self.identifier)
        return match[2] if match else self.identifier

    @property
    def span_id(self) -> str | None:
        """The id of the step that it is a score of; None for a score of a log or of a whole trace."""
        match = self.trace_id and OF_TRACE.fullmatch(self.identifier)
        return match[1] or None if match else None

    @property
    def is_imported(self) -> bool:
        """Whether it came with an import. Its author is then a text: nobody can forge the score of an account here."""
        return self.rater.startswith(IMPORTED)

    @property
    def author(self) -> dict[str, str] | None:
        """The id and the name of who gave it; None if an import does not say."""
        if not self.is_imported:
            return {"user_id": self.rater, "name": self.author_name or DELETED_ACCOUNT}
        return {"user_id": self.rater_id, "name": self.imported_name or ""} if self.rater_id else None


DETAILS = "details:"  # begins the id of the scope that has a workspace's logs by prompt and author, too


class AggregateScope(Base):
    """A prompt or a workspace with so many logs that the aggregates of their days are stored (decision 56)."""

    __tablename__ = "aggregate_scopes"
    __table_args__ = (Index(None, "workspace_id"), DERIVED)

    # The id of the prompt or of the workspace, or `DETAILS` followed by the latter
    scope_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"))
    # Who changes a log that was created before this time marks its day
    announced_until: Mapped[datetime] = mapped_column(UtcTime)
    # All logs created before this time are in the aggregates of their day. Never later than `announced_until`
    covered_until: Mapped[datetime] = mapped_column(UtcTime)


class ChangedDay(Base):
    """A mark: logs of this day have changed since its aggregates were computed. There may be several for a day."""

    __tablename__ = "changed_days"
    __table_args__ = (Index(None, "scope_id", "day"), DERIVED)

    seq: Mapped[int] = mapped_column(SEQUENCE, Identity(), primary_key=True)
    scope_id: Mapped[str] = mapped_column(String(64))
    day: Mapped[int]  # in UTC, counted from 1970
