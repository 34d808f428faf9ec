"""Indices for finding failed calls, the calls for a user, of a session or in an environment, and logs with notes.

Each has only the logs that have the value, so that it costs nothing to store others. The step back loses nothing.
"""

import sqlalchemy as sa
from alembic import op

revision = "1f6e84c2b9d7"
down_revision = "d52b7f09c3a8"
branch_labels = None
depends_on = None
previous_release_may_write = True

_INDICES = {
    "ix_logs_workspace_id_status_created_at_seq": ("status", ("workspace_id", "status")),
    "ix_logs_prompt_id_status_created_at_seq": ("status", ("prompt_id", "status")),
    "ix_logs_workspace_id_user_id_created_at_seq": ("user_id", ("workspace_id", "user_id")),
    "ix_logs_workspace_id_session_id_created_at_seq": ("session_id", ("workspace_id", "session_id")),
    "ix_logs_workspace_id_environment_created_at_seq": ("environment", ("workspace_id", "environment")),
    "ix_logs_workspace_id_notes": ("notes", ("workspace_id",)),
    "ix_logs_prompt_id_notes": ("notes", ("prompt_id",)),
}


def upgrade() -> None:
    for name, (column, columns) in _INDICES.items():
        is_there = sa.text(f"{column} IS NOT NULL")
        op.create_index(name, "logs", [*columns, "created_at", "seq"], sqlite_where=is_there, postgresql_where=is_there)


def downgrade() -> None:
    for name in _INDICES:
        op.drop_index(name, "logs")
