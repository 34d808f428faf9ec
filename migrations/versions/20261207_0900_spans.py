"""Spans in a table of their own, and what traces from outside need: their ids, and columns to find and sort them by.

The spans of a trace were the JSON of one of its columns. They become rows in the order in which they stood there, and
the step back makes the same JSON of them. What traces and spans of OpenTelemetry have beside that is lost with it.
"""

import json
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "f07d3a91c5b2"
down_revision = "e90c3b57a124"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True).with_variant(sa.String(24), "sqlite")
_SEQUENCE = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_BATCH = 500  # traces, each of which may have 5,000 spans of 2 MB together
_FILTERS = ("name", "user_id", "session_id", "status")
_RANKS = {"duration_rank": "duration_ms", "cost_rank": "cost"}
# The keys of a span in JSON, in their order, and the columns
_KEYS = {
    "id": "span_id",
    "type": "type",
    "parentId": "parent_id",
    "name": "name",
    "startTime": "start_time",
    "endTime": "end_time",
    "input": "input",
    "output": "output",
    "idealOutput": "ideal_output",
    "metadata": "metadata",
    "evaluators": "evaluators",
}
_IDENTITY = ("workspace_id", "trace_id", "span_id", "ordinal", "type")
_TIMES = ("start_time", "end_time")


def _columns() -> list[sa.Column[Any]]:
    texts = (name for name in _KEYS.values() if name not in (*_IDENTITY, *_TIMES))
    return [
        sa.Column("seq", _SEQUENCE, sa.Identity(), nullable=False),
        sa.Column("workspace_id", sa.String(64), nullable=False),
        sa.Column("trace_id", sa.String(64), nullable=False),
        sa.Column("span_id", sa.Text(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        *(sa.Column(name, _MOMENT) for name in _TIMES),
        *(sa.Column(name, sa.Text()) for name in ("error", "call", *texts)),
        sa.Column("status", sa.String(8)),
        sa.Column("duration_ms", sa.Float(53)),
    ]


def upgrade() -> None:
    op.create_table(
        "spans",
        *_columns(),
        sa.PrimaryKeyConstraint("seq", name="pk_spans"),
        sa.UniqueConstraint("trace_id", "span_id", "ordinal", name="uq_spans_trace_id_span_id_ordinal"),
        sa.ForeignKeyConstraint(
            ["workspace_id", "trace_id"],
            ["traces.workspace_id", "traces.id"],
            ondelete="CASCADE",
            name="fk_spans_workspace_id_trace_id",
        ),
    )
    op.create_index("ix_spans_trace_id_seq", "spans", ["trace_id", "seq"])
    op.create_index("ix_spans_calls", "spans", ["trace_id", "parent_id"], **_where("call IS NOT NULL"))
    _move_to_rows()
    op.drop_column("traces", "spans")
    is_kept = op.get_bind().dialect.name == "postgresql"  # SQLite adds only columns that are computed when read
    op.add_column("traces", sa.Column("external_id", sa.String(32)))
    for name in ("root_span_id", "user_id", "session_id", "said_by"):
        op.add_column("traces", sa.Column(name, sa.Text()))
    op.add_column("traces", sa.Column("status", sa.String(8)))
    for rank, column in _RANKS.items():
        op.add_column("traces", sa.Column(column, sa.Float(53)))
        op.add_column(
            "traces", sa.Column(rank, sa.Float(53), sa.Computed(f"coalesce({column}, -1)", persisted=is_kept))
        )
    _compute_durations_and_costs()
    for rank in (*_RANKS, "source"):
        op.create_index(f"ix_traces_workspace_id_{rank}_created_at_seq", "traces", _keyed(rank))
    for name in _FILTERS:
        op.create_index(
            f"ix_traces_workspace_id_{name}_created_at_seq", "traces", _keyed(name), **_where(f"{name} IS NOT NULL")
        )
    outside = _where("external_id IS NOT NULL")
    op.create_index(
        "ix_traces_external_id", "traces", ["workspace_id", "source", "external_id"], unique=True, **outside
    )
    op.add_column("logs", sa.Column("provider", sa.Text()))
    op.create_index("ix_logs_otlp_span", "logs", ["trace_id", "span_id"], unique=True, **_where("source = 'otlp'"))
    op.create_index("ix_logs_otlp_parent", "logs", ["trace_id", "parent_span_id"], **_where("source = 'otlp'"))


def downgrade() -> None:
    op.drop_index("ix_logs_otlp_parent", "logs")
    op.drop_index("ix_logs_otlp_span", "logs")
    op.drop_column("logs", "provider")
    op.drop_index("ix_traces_external_id", "traces")
    for name in (*_FILTERS, *_RANKS, "source"):
        op.drop_index(f"ix_traces_workspace_id_{name}_created_at_seq", "traces")
    for rank, column in _RANKS.items():
        op.drop_column("traces", rank)
        op.drop_column("traces", column)
    for name in ("said_by", "status", "session_id", "user_id", "root_span_id", "external_id"):
        op.drop_column("traces", name)
    op.add_column("traces", sa.Column("spans", sa.Text()))
    _move_to_json()
    op.drop_table("spans")


def _keyed(column: str) -> list[str]:
    return ["workspace_id", column, "created_at", "seq"]


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def _compute_durations_and_costs() -> None:
    on_sqlite = op.get_bind().dialect.name == "sqlite"
    days, seconds = "julianday(end_time) - julianday(start_time)", "extract(epoch FROM end_time - start_time)"
    duration = f"round(({days}) * 86400000)" if on_sqlite else f"{seconds} * 1000"
    op.execute(f"UPDATE traces SET duration_ms = {duration} WHERE end_time >= start_time")
    cost = "SELECT sum(logs.cost) FROM logs WHERE logs.trace_id = traces.id"
    op.execute(f"UPDATE traces SET cost = ({cost}) WHERE id IN (SELECT trace_id FROM logs WHERE cost IS NOT NULL)")


def _move_to_rows() -> None:
    connection, insert = op.get_bind(), sa.insert(sa.Table("spans", sa.MetaData(), *_columns()))
    traces = sa.table("traces", *map(sa.column, ("seq", "workspace_id", "id", "spans")))
    is_next = (traces.c.seq > sa.bindparam("last")) & traces.c.spans.is_not(None)
    batch = sa.select(traces).where(is_next).order_by(traces.c.seq).limit(_BATCH)
    last = 0
    while rows := connection.execute(batch, {"last": last}).all():
        last = rows[-1].seq
        spans = [
            {"workspace_id": row.workspace_id, "trace_id": row.id, "ordinal": ordinal, **_to_columns(span)}
            for row in rows
            for ordinal, span in enumerate(json.loads(row.spans))
        ]
        if spans:
            connection.execute(insert, spans)


def _to_columns(span: dict[str, Any]) -> dict[str, Any]:
    columns: dict[str, Any] = dict.fromkeys(_KEYS.values())
    for key, value in span.items():
        name = _KEYS[key]
        is_json = name in ("input", "output", "ideal_output", "metadata", "evaluators")
        columns[name] = _dumps(value) if is_json else value
    if op.get_bind().dialect.name == "postgresql":
        columns |= {name: columns[name] and datetime.fromisoformat(columns[name]) for name in _TIMES}
    return columns


def _move_to_json() -> None:
    connection, spans = op.get_bind(), sa.Table("spans", sa.MetaData(), *_columns())
    traces = sa.table("traces", *map(sa.column, ("seq", "id", "spans")))
    has_spans = sa.exists().where(spans.c.trace_id == traces.c.id)
    is_next = (traces.c.seq > sa.bindparam("last")) & has_spans
    batch = sa.select(traces.c.seq, traces.c.id).where(is_next).order_by(traces.c.seq).limit(_BATCH)
    change = sa.update(traces).where(traces.c.id == sa.bindparam("trace")).values(spans=sa.bindparam("json"))
    last = 0
    while rows := connection.execute(batch, {"last": last}).all():
        last = rows[-1].seq
        of_batch = spans.c.trace_id.in_([row.id for row in rows])
        by_trace: dict[str, list[dict[str, Any]]] = {}
        for span in connection.execute(sa.select(spans).where(of_batch).order_by(spans.c.seq)).mappings():
            by_trace.setdefault(span["trace_id"], []).append(_to_json(span))
        connection.execute(change, [{"trace": id, "json": _dumps(each)} for id, each in by_trace.items()])


def _to_json(span: Any) -> dict[str, Any]:
    values = {key: span[name] for key, name in _KEYS.items() if span[name] is not None}
    for key in ("input", "output", "idealOutput", "metadata", "evaluators"):
        if key in values:
            values[key] = json.loads(values[key])
    for key in ("startTime", "endTime"):
        if isinstance(values.get(key), datetime):
            moment = values[key].astimezone(UTC).replace(tzinfo=None)
            values[key] = f"{moment.isoformat(timespec='milliseconds')}Z"
    return values


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
