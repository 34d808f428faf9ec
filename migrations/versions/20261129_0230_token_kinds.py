"""Tokens of a log that are priced apart (cached, written to a cache, reasoning), and how its cost came about."""

import sqlalchemy as sa
from alembic import op

revision = "1d7b90e4c2a6"
down_revision = "e83c5f17a2d4"
branch_labels = None
depends_on = None

_TOKENS = ("cached_input_tokens", "cache_write_tokens", "reasoning_tokens")


def upgrade() -> None:
    for name in _TOKENS:
        op.add_column("logs", sa.Column(name, sa.Float(53)))
    op.add_column("logs", sa.Column("priced", sa.Text()))


def downgrade() -> None:
    # each statement drops one column and rebuilds nothing: a rebuild on SQLite would lose the generated column `rank`
    for name in ("priced", *_TOKENS):
        op.drop_column("logs", name)
