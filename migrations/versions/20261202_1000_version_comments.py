"""Versions of prompts have a comment: why the prompt was changed.

Existing versions have none. The release before does not read the column and stores NULL in it. The step back loses the
comments and nothing else.
"""

import sqlalchemy as sa
from alembic import op

revision = "8c3f5a9e1b72"
down_revision = "5e0c83a1d7f6"
branch_labels = None
depends_on = None
previous_release_may_write = True


def upgrade() -> None:
    op.add_column("prompt_versions", sa.Column("comment", sa.Text))


def downgrade() -> None:
    op.execute("ALTER TABLE prompt_versions DROP COLUMN comment")
