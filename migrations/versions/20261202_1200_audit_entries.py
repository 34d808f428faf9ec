"""The audit trail of workspaces."""

import sqlalchemy as sa
from alembic import op

revision = "c94e17d0b382"
down_revision = "c41a9e6d07b8"
branch_labels = None
depends_on = None
previous_release_may_write = True

_SEQUENCE = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_MOMENT = sa.DateTime(timezone=True).with_variant(sa.String(24), "sqlite")
_INDICES = (["workspace_id", "created_at", "seq"], ["object_id"], ["within_id"])


def upgrade() -> None:
    op.create_table(
        "audit_entries",
        sa.Column("seq", _SEQUENCE, sa.Identity(), nullable=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("workspace_id", sa.String(64), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("actor_kind", sa.String(8), nullable=False),
        sa.Column("actor_id", sa.String(64), nullable=False),
        sa.Column("actor_name", sa.Text),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("object_type", sa.String(16), nullable=False),
        sa.Column("object_id", sa.String(64), nullable=False),
        sa.Column("object_name", sa.Text),
        sa.Column("within_id", sa.String(64)),
        sa.Column("before", sa.Text),
        sa.Column("after", sa.Text),
        sa.Column("request_id", sa.String(128)),
        sa.PrimaryKeyConstraint("seq", name="pk_audit_entries"),
        sa.UniqueConstraint("id", name="uq_audit_entries_id"),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name="fk_audit_entries_workspace_id", ondelete="CASCADE"
        ),
    )
    for columns in _INDICES:
        op.create_index("_".join(["ix_audit_entries", *columns]), "audit_entries", columns)


def downgrade() -> None:
    op.drop_table("audit_entries")
