"""A table of what is deleted but whose rows are still to be removed: see decision 38.

The step back removes those rows at once, because the release before would show them again.
"""

import sqlalchemy as sa
from alembic import op

revision = "2f96d0a8b4e3"
down_revision = "b7e41c9d5a20"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True).with_variant(sa.String(24), "sqlite")
_OF_KIND = "(SELECT target_id FROM pending_deletions WHERE kind = '{}')"
_PROMPTS, _TRACES, _EXPERIMENTS = (_OF_KIND.format(kind) for kind in ("prompt", "trace", "experiment"))
_TRACES_OF_EXPERIMENTS = f"(SELECT id FROM traces WHERE experiment_id IN {_EXPERIMENTS})"
_LOGS = (
    f"prompt_id IN {_PROMPTS} OR trace_id IN {_TRACES} OR experiment_id IN {_EXPERIMENTS} "
    f"OR trace_id IN {_TRACES_OF_EXPERIMENTS}"
)
# Children first: on SQLite, foreign keys are off during migrations. A trigger removes the words of `log_search`
_REMOVED = (
    f"log_search WHERE log_seq IN (SELECT seq FROM logs WHERE {_LOGS})",
    f"logs WHERE {_LOGS}",
    f"traces WHERE id IN {_TRACES} OR experiment_id IN {_EXPERIMENTS}",
    f"experiment_variants WHERE experiment_id IN {_EXPERIMENTS}",
    f"experiments WHERE id IN {_EXPERIMENTS}",
    f"prompt_labels WHERE prompt_id IN {_PROMPTS}",
    f"prompt_versions WHERE prompt_id IN {_PROMPTS}",
    f"prompt_tags WHERE prompt_id IN {_PROMPTS}",
    f"prompt_search WHERE seq IN (SELECT seq FROM prompts WHERE id IN {_PROMPTS})",
    f"prompts WHERE id IN {_PROMPTS}",
)


def upgrade() -> None:
    op.create_table(
        "pending_deletions",
        sa.Column("target_id", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("target_id", name="pk_pending_deletions"),
    )


def downgrade() -> None:
    for rows in _REMOVED:
        op.execute(f"DELETE FROM {rows}")
    op.drop_table("pending_deletions")
