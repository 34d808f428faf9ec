"""Stored aggregates of the logs of days, for statistics of many logs: see decision 56.

Nothing is filled in here: the service does that while it runs. The step back loses nothing that cannot be computed.
"""

import sqlalchemy as sa
from alembic import op

revision = "e90c3b57a124"
down_revision = "1f6e84c2b9d7"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True).with_variant(sa.String(24), "sqlite")
_SEQUENCE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "aggregate_scopes",
        sa.Column("scope_id", sa.String(64), nullable=False),
        sa.Column("workspace_id", sa.String(64), nullable=False),
        sa.Column("announced_until", _MOMENT, nullable=False),
        sa.Column("covered_until", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("scope_id", name="pk_aggregate_scopes"),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], ondelete="CASCADE", name="fk_aggregate_scopes_workspace_id"
        ),
    )
    op.create_index("ix_aggregate_scopes_workspace_id", "aggregate_scopes", ["workspace_id"])
    op.create_table(
        "day_aggregates",
        sa.Column("scope_id", sa.String(64), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("prompt_version", sa.Integer(), nullable=False),
        sa.Column("model_used", sa.Text(), nullable=False),
        sa.Column("cell", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("scope_id", "day", "prompt_version", "model_used", name="pk_day_aggregates"),
        sa.ForeignKeyConstraint(
            ["scope_id"], ["aggregate_scopes.scope_id"], ondelete="CASCADE", name="fk_day_aggregates_scope_id"
        ),
    )
    op.create_table(
        "changed_days",
        sa.Column("seq", _SEQUENCE, sa.Identity(), nullable=False),
        sa.Column("scope_id", sa.String(64), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_changed_days"),
    )
    op.create_index("ix_changed_days_scope_id_day", "changed_days", ["scope_id", "day"])


def downgrade() -> None:
    op.drop_table("changed_days")
    op.drop_table("day_aggregates")
    op.drop_table("aggregate_scopes")
