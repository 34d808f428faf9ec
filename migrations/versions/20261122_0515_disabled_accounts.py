"""Accounts can be disabled."""

import sqlalchemy as sa
from alembic import op

revision = "3f9c61d2ab47"
down_revision = "b84e2c5d1a97"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("disabled_at", sa.DateTime(timezone=True).with_variant(sa.String(24), "sqlite")))


def downgrade() -> None:
    # An older release lets in whoever has a password or a key, so those of disabled accounts stop being any: the ends
    # of their hashes are overwritten. Passwords must then be set anew, keys made anew.
    for table, column, whose in (("users", "password_hash", "id"), ("api_keys", "digest", "user_id")):
        op.execute(
            f"UPDATE {table} SET {column} = substr({column}, 1, length({column}) - 16) || 'AAAAAAAAAAAAAAAA' "
            f"WHERE {whose} IN (SELECT id FROM users WHERE disabled_at IS NOT NULL)"
        )
    op.drop_column("users", "disabled_at")
