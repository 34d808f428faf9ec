"""Indices to filter and sort logs by, and the rank of their score."""

import sqlalchemy as sa
from alembic import op

revision = "e07c45a1b2f8"
down_revision = "5b1e8d37c960"
branch_labels = None
depends_on = None

_INDICES = {
    "ix_logs_owner_id_model_used_created_at_seq": ["owner_id", "model_used", "created_at", "seq"],
    "ix_logs_prompt_id_prompt_version_created_at_seq": ["prompt_id", "prompt_version", "created_at", "seq"],
    "ix_logs_owner_id_rank_created_at_seq": ["owner_id", "rank", "created_at", "seq"],
    "ix_logs_prompt_id_rank_created_at_seq": ["prompt_id", "rank", "created_at", "seq"],
}


def upgrade() -> None:
    # SQLite works it out for the indices alone; PostgreSQL must keep it to index it
    is_kept = op.get_bind().dialect.name == "postgresql"
    op.add_column("logs", sa.Column("rank", sa.Float(53), sa.Computed("coalesce(score, -1)", persisted=is_kept)))
    for name, columns in _INDICES.items():
        op.create_index(name, "logs", columns)
    op.drop_index("ix_logs_prompt_id_prompt_version", "logs")


def downgrade() -> None:
    op.create_index("ix_logs_prompt_id_prompt_version", "logs", ["prompt_id", "prompt_version"])
    for name in _INDICES:
        op.drop_index(name, "logs")
    op.drop_column("logs", "rank")
