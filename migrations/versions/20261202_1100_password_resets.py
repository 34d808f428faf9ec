"""A table of one-time secrets that set another password, of which only the digests are stored.

An account has one at most. The step back makes them invalid; passwords stay as they are.
"""

import sqlalchemy as sa
from alembic import op

revision = "c41a9e6d07b8"
down_revision = "8c3f5a9e1b72"
branch_labels = None
depends_on = None
previous_release_may_write = True  # it neither reads nor writes the table

_MOMENT = sa.DateTime(timezone=True).with_variant(sa.String(24), "sqlite")


def upgrade() -> None:
    op.create_table(
        "password_resets",
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="pk_password_resets"),
        sa.UniqueConstraint("digest", name="uq_password_resets_digest"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_password_resets_user_id", ondelete="CASCADE"),
    )


def downgrade() -> None:
    op.drop_table("password_resets")
