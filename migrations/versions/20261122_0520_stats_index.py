"""An index that holds all that statistics of a prompt ask for, in place of the one that it begins with."""

from alembic import op

revision = "7c40b9e2f6a1"
down_revision = "3f9c61d2ab47"
branch_labels = None
depends_on = None

_ORDER = ["prompt_id", "created_at", "seq"]
_KEYS = ["prompt_version", "model_used"]
_FIGURES = ["score", "latency_ms", "start_time", "end_time", "input_tokens", "output_tokens", "cost"]


def upgrade() -> None:
    op.create_index("ix_logs_figures", "logs", [*_ORDER, *_KEYS, *_FIGURES])
    op.drop_index("ix_logs_prompt_id_created_at_seq", "logs")


def downgrade() -> None:
    op.create_index("ix_logs_prompt_id_created_at_seq", "logs", _ORDER)
    op.drop_index("ix_logs_figures", "logs")
