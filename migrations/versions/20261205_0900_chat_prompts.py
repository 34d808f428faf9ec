"""Prompts have a description, and messages and parameters in each version.

Existing prompts stay texts: without messages, with empty parameters and an empty description. Until now a slug was one
segment; the step back makes one of several with hyphens, and with a number at the end where that slug is in use. It
loses descriptions, parameters and messages. The flattened text of the messages remains as the content.
"""

import sqlalchemy as sa
from alembic import op

revision = "7b2d91f4c6e0"
down_revision = "c94e17d0b382"
branch_labels = None
depends_on = None

_SLUG_MAX = 120
_PROMPTS = sa.table("prompts", sa.column("seq"), sa.column("workspace_id"), sa.column("slug"))


def upgrade() -> None:
    op.add_column("prompts", sa.Column("description", sa.Text, nullable=False, server_default=""))
    for table in ("prompts", "prompt_versions"):
        op.add_column(table, sa.Column("messages", sa.Text))
        op.add_column(table, sa.Column("config", sa.Text, nullable=False, server_default="{}"))


def downgrade() -> None:
    _make_slugs_plain(op.get_bind())
    for column in ("messages", "config", "description"):
        op.execute(f"ALTER TABLE prompts DROP COLUMN {column}")
    for column in ("messages", "config"):
        op.execute(f"ALTER TABLE prompt_versions DROP COLUMN {column}")


def _make_slugs_plain(connection: sa.Connection) -> None:
    """Make one segment of the slugs of several."""
    slug = _PROMPTS.c.slug
    for row in connection.execute(sa.select(_PROMPTS).where(slug.contains("/")).order_by(_PROMPTS.c.seq)).all():
        plain, number = row.slug.replace("/", "-"), 1
        in_use = sa.select(_PROMPTS.c.seq).where(_PROMPTS.c.workspace_id == row.workspace_id)
        chosen = plain
        while connection.execute(in_use.where(slug == chosen)).first():
            number += 1
            chosen = f"{plain[: _SLUG_MAX - len(str(number)) - 1]}-{number}"
        connection.execute(sa.update(_PROMPTS).where(_PROMPTS.c.seq == row.seq).values(slug=chosen))
