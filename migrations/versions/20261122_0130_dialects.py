"""Traces and experiments; logs that know no prompt, and say where they came from and what was computed."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "5b1e8d37c960"
down_revision = "c2f0d18a7b64"
branch_labels = None
depends_on = None

_SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MOMENT = sa.DateTime(timezone=True).with_variant(sa.String(24), "sqlite")
_REQUIRED_BEFORE: dict[str, sa.types.TypeEngine[Any]] = {
    "prompt_id": sa.String(64),
    "prompt_version": sa.Integer(),
    "model_used": sa.Text(),
    "output": sa.Text(),
}
_NEW: dict[str, sa.types.TypeEngine[Any]] = {
    "source": sa.String(16),
    "name": sa.Text(),
    "output_format": sa.String(8),
    "prompt_reference": sa.Text(),
    "computed": sa.Text(),
    "priced_as": sa.Text(),
    "trace_id": sa.String(64),
    "span_id": sa.Text(),
    "parent_span_id": sa.Text(),
    "experiment_id": sa.String(64),
    "variant_key": sa.Text(),
    "metrics": sa.Text(),
    "context": sa.Text(),
}
_PARENTS = {
    "prompt_id": ("prompts", ["prompt_id"], ["id"], "CASCADE"),
    "trace_id": ("traces", ["trace_id"], ["id"], "CASCADE"),
    "experiment_id": ("experiments", ["experiment_id"], ["id"], "CASCADE"),
    # without an action: a variant that has results stays
    "experiment_id_variant_key": (
        "experiment_variants",
        ["experiment_id", "variant_key"],
        ["experiment_id", "key"],
        None,
    ),
}
_INDICES = {
    "ix_logs_trace_id_seq": (["trace_id", "seq"], "trace_id IS NOT NULL"),
    "ix_logs_experiment_id_created_at_seq": (["experiment_id", "created_at", "seq"], "experiment_id IS NOT NULL"),
    "ix_logs_experiment_id_variant_key_created_at_seq": (
        ["experiment_id", "variant_key", "created_at", "seq"],
        "experiment_id IS NOT NULL",
    ),
}


def upgrade() -> None:
    op.create_table(
        "experiments",
        sa.Column("seq", _SEQUENCE, sa.Identity(), nullable=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("owner_id", sa.String(64), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("feature_slug", sa.Text()),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sa.CheckConstraint("status IN ('DRAFT', 'ACTIVE', 'PAUSED', 'COMPLETED')", name=op.f("ck_experiments_status")),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name="fk_experiments_owner_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("seq", name="pk_experiments"),
        sa.UniqueConstraint("id", name="uq_experiments_id"),
        sa.UniqueConstraint("owner_id", "slug", name="uq_experiments_owner_id_slug"),
    )
    op.create_index("ix_experiments_owner_id_created_at_seq", "experiments", ["owner_id", "created_at", "seq"])
    op.create_table(
        "experiment_variants",
        sa.Column("experiment_id", sa.String(64), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("traffic_percent", sa.Integer(), nullable=False),
        sa.Column("prompt_id", sa.String(64)),
        sa.CheckConstraint("traffic_percent BETWEEN 0 AND 100", name=op.f("ck_experiment_variants_traffic_percent")),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiments.id"], name="fk_experiment_variants_experiment_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["prompt_id"], ["prompts.id"], name="fk_experiment_variants_prompt_id", ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("experiment_id", "key", name="pk_experiment_variants"),
    )
    op.create_index("ix_experiment_variants_prompt_id", "experiment_variants", ["prompt_id"])
    op.create_table(
        "traces",
        sa.Column("seq", _SEQUENCE, sa.Identity(), nullable=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("owner_id", sa.String(64), nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("name", sa.Text()),
        *(sa.Column(name, sa.Text()) for name in ("input", "output", "ideal_output")),
        *(sa.Column(name, sa.Text()) for name in ("metadata", "organization", "user")),
        sa.Column("start_time", _MOMENT),
        sa.Column("end_time", _MOMENT),
        sa.Column("experiment_id", sa.String(64)),
        *(sa.Column(name, sa.Text()) for name in ("evaluators", "evaluation_config", "spans")),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name="fk_traces_owner_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiments.id"], name="fk_traces_experiment_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("seq", name="pk_traces"),
        sa.UniqueConstraint("id", name="uq_traces_id"),
    )
    op.create_index("ix_traces_owner_id_created_at_seq", "traces", ["owner_id", "created_at", "seq"])
    op.create_index("ix_traces_experiment_id", "traces", ["experiment_id"])
    with op.batch_alter_table("logs") as logs:
        for name, kind in _NEW.items():
            logs.add_column(sa.Column(name, kind))
        for name, kind in _REQUIRED_BEFORE.items():
            logs.alter_column(name, existing_type=kind, nullable=True)
        for name, (table, columns, referred, action) in _PARENTS.items():
            logs.create_foreign_key(f"fk_logs_{name}", table, columns, referred, ondelete=action)
    if op.get_bind().dialect.name == "postgresql":
        # It checks keys in the order they were made: a prompt before its version, as a deletion of it locks them
        op.drop_constraint("fk_logs_prompt_id_prompt_version", "logs", type_="foreignkey")
        op.create_foreign_key(
            "fk_logs_prompt_id_prompt_version",
            "logs",
            "prompt_versions",
            ["prompt_id", "prompt_version"],
            ["prompt_id", "number"],
            ondelete="CASCADE",
        )
    for name, (columns, condition) in _INDICES.items():
        where = sa.text(condition)
        op.create_index(name, "logs", columns, sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    """Go back; logs that the older release cannot hold, those without a prompt, a model or an output, are lost."""
    op.execute(f"DELETE FROM logs WHERE {' OR '.join(f'{name} IS NULL' for name in _REQUIRED_BEFORE)}")
    for name in _INDICES:
        op.drop_index(name, "logs")
    with op.batch_alter_table("logs") as logs:
        for name in _PARENTS:
            logs.drop_constraint(f"fk_logs_{name}", type_="foreignkey")
        for name, kind in _REQUIRED_BEFORE.items():
            logs.alter_column(name, existing_type=kind, nullable=False)
        for name in _NEW:
            logs.drop_column(name)
    for table in ("traces", "experiment_variants", "experiments"):
        op.drop_table(table)
