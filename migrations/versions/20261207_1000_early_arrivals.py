"""What arrives before its span, scores of whole traces, and the keys of responses by which evaluations find logs.

The step back loses what waits. The scores of traces stay, as scores of the outputs at which they were kept.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "b6e2f48d1a73"
down_revision = "f07d3a91c5b2"
branch_labels = None
depends_on = None

previous_release_may_write = True

_MOMENT = sa.DateTime(timezone=True).with_variant(sa.String(24), "sqlite")
_SEQUENCE = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_TABLE = "early_arrivals"
# Those that a step back has left
_MARK = """
    UPDATE scores SET trace_id = (SELECT logs.trace_id FROM logs WHERE logs.seq = log_seq AND logs.source = 'otlp')
    WHERE identifier LIKE 'trace::%' OR identifier LIKE 'trace:________________:%'
"""


def upgrade() -> None:
    op.create_table(
        _TABLE,
        sa.Column("seq", _SEQUENCE, sa.Identity(), nullable=False),
        *(sa.Column(name, sa.String(64), nullable=False) for name in ("workspace_id", "author_id", "awaited")),
        sa.Column("span_id", sa.String(16), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("is_joined", sa.Boolean(), nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_early_arrivals"),
        sa.UniqueConstraint("workspace_id", "awaited", "digest", name="uq_early_arrivals_workspace_id_awaited_digest"),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], ondelete="CASCADE", name="fk_early_arrivals_workspace_id"
        ),
        sa.ForeignKeyConstraint(["author_id"], ["users.id"], name="fk_early_arrivals_author_id"),
        sa.CheckConstraint("kind IN ('score', 'event')", name="kind"),
    )
    op.create_index("ix_early_arrivals_workspace_id_seq", _TABLE, ["workspace_id", "seq"])
    op.create_index("ix_early_arrivals_expires_at", _TABLE, ["expires_at"])
    op.add_column("logs", sa.Column("response_key", sa.BigInteger()))
    op.create_index(
        "ix_logs_workspace_id_response_key",
        "logs",
        ["workspace_id", "response_key"],
        **_where("response_key IS NOT NULL"),
    )
    op.add_column("scores", sa.Column("trace_id", sa.String(64)))
    op.execute(_MARK)
    op.create_index(
        "ix_scores_trace_id_created_at_seq",
        "scores",
        ["trace_id", "created_at", "seq"],
        **_where("trace_id IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_scores_trace_id_created_at_seq", "scores")
    op.drop_column("scores", "trace_id")
    op.drop_index("ix_logs_workspace_id_response_key", "logs")
    op.drop_column("logs", "response_key")
    op.drop_table(_TABLE)


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}
