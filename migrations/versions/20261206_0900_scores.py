"""Scores of people, judges and code; failed calls; for whom a call was made; variants of one version of a prompt.

Until now a log has one score, of the account that wrote last. It stays where it is, and becomes a row of `scores`. The
author of that row is the log's, and its time is that of the log's last review.

The step back keeps the last score that a person gave to each log. It loses all others, the configurations of scores,
the version that a variant names, and the new columns of logs. A failed call without an output becomes one with an empty
output.

The release before must not write to this schema: its scores would have no rows, and no means for statistics.
"""

import hashlib
import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "d52b7f09c3a8"
down_revision = "a6f3c8d15e29"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True).with_variant(sa.String(24), "sqlite")
_SEQUENCE = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_LOG_COLUMNS: dict[str, sa.types.TypeEngine[Any]] = {
    "mean_score": sa.Float(53),
    "ratings": sa.Integer(),
    "scored_at": _MOMENT,
    "input_key": sa.BigInteger(),
    "status": sa.String(8),
    "error": sa.Text(),
    "user_id": sa.Text(),
    "session_id": sa.Text(),
    "environment": sa.Text(),
    "parameters": sa.Text(),
}
_ORDER = ("prompt_id", "created_at", "seq", "prompt_version", "model_used")
_CALL = ("latency_ms", "start_time", "end_time", "input_tokens", "output_tokens", "cost")
_OLD_INDEX = (*_ORDER, "score", *_CALL)
_NEW_INDEX = (
    *(*_ORDER, "mean_score", "ratings", "scored_at", "status", *_CALL),
    *("input_key", "experiment_id", "variant_key"),
)
_ROWS_AT_ONCE = 100  # each may have texts of some MiB
_LOGS = sa.table("logs", *map(sa.column, ("seq", "input", "variables", "input_key")))
_INSERT_SCORES = """
    INSERT INTO scores (
        id, workspace_id, author_id, log_seq, prompt_id, name, value_kind, number, annotator, rater, identifier,
        created_at, updated_at, valued_at
    )
    SELECT 'score' || substr(id, 4), workspace_id, author_id, seq, prompt_id, 'score', 'number', score, 'human',
        author_id, '', updated_at, updated_at, updated_at
    FROM logs WHERE score IS NOT NULL ORDER BY seq
"""


def upgrade() -> None:
    op.drop_index("ix_logs_figures", "logs")
    for name, type_ in _LOG_COLUMNS.items():
        op.add_column("logs", sa.Column(name, type_))
    op.add_column("experiment_variants", sa.Column("prompt_version", sa.Integer()))
    _create_tables()
    op.execute("UPDATE logs SET mean_score = score, ratings = 1, scored_at = updated_at WHERE score IS NOT NULL")
    op.execute(_INSERT_SCORES)
    _fill_input_keys(op.get_bind())
    op.create_index("ix_logs_aggregates", "logs", _NEW_INDEX)
    for columns in (("created_at",), ("name", "created_at"), ("rater_id", "created_at")):
        op.create_index(f"ix_scores_workspace_id_{'_'.join(columns)}_seq", "scores", ["workspace_id", *columns, "seq"])
    op.create_index("ix_scores_prompt_id_created_at_seq", "scores", ["prompt_id", "created_at", "seq"])


def downgrade() -> None:
    op.drop_table("score_configs")
    op.drop_table("scores")
    op.drop_index("ix_logs_aggregates", "logs")
    op.execute("UPDATE logs SET output = '' WHERE output IS NULL AND source IS NULL")
    # each statement drops one column and rebuilds nothing: a rebuild on SQLite would lose the generated column `rank`
    op.execute("ALTER TABLE experiment_variants DROP COLUMN prompt_version")
    for name in reversed(_LOG_COLUMNS):
        op.execute(f"ALTER TABLE logs DROP COLUMN {name}")
    op.create_index("ix_logs_figures", "logs", _OLD_INDEX)


def _create_tables() -> None:
    op.create_table(
        "scores",
        sa.Column("seq", _SEQUENCE, sa.Identity(), nullable=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("workspace_id", sa.String(64), nullable=False),
        sa.Column("author_id", sa.String(64), nullable=False),
        sa.Column("log_seq", _SEQUENCE, nullable=False),
        sa.Column("prompt_id", sa.String(64)),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("value_kind", sa.String(8), nullable=False),
        sa.Column("number", sa.Float(53)),
        sa.Column("category", sa.String(64)),
        sa.Column("comment", sa.Text()),
        sa.Column("annotator", sa.String(8), nullable=False),
        sa.Column("rater", sa.String(64), nullable=False),
        sa.Column("rater_id", sa.String(64), sa.Computed("replace(rater, 'imported:', '')", persisted=True)),
        sa.Column("imported_name", sa.Text()),
        sa.Column("identifier", sa.String(64), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sa.Column("valued_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_scores"),
        sa.UniqueConstraint("id", name="uq_scores_id"),
        sa.UniqueConstraint(
            *("log_seq", "name", "annotator", "rater", "identifier"),
            name="uq_scores_log_seq_name_annotator_rater_identifier",
        ),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], ondelete="CASCADE", name="fk_scores_workspace_id"),
        sa.ForeignKeyConstraint(["author_id"], ["users.id"], name="fk_scores_author_id"),
        sa.ForeignKeyConstraint(["log_seq"], ["logs.seq"], ondelete="CASCADE", name="fk_scores_log_seq"),
        sa.CheckConstraint("value_kind IN ('number', 'boolean', 'category')", name="value_kind"),
        sa.CheckConstraint("annotator IN ('human', 'enduser', 'judge', 'code')", name="annotator"),
    )
    op.create_table(
        "score_configs",
        sa.Column("workspace_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("author_id", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("minimum", sa.Float(53)),
        sa.Column("maximum", sa.Float(53)),
        sa.Column("categories", sa.Text()),
        sa.Column("direction", sa.String(8), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sa.Column("archived_at", _MOMENT),
        sa.PrimaryKeyConstraint("workspace_id", "name", name="pk_score_configs"),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], ondelete="CASCADE", name="fk_score_configs_workspace_id"
        ),
        sa.ForeignKeyConstraint(["author_id"], ["users.id"], name="fk_score_configs_author_id"),
        sa.CheckConstraint("kind IN ('number', 'boolean', 'category')", name="kind"),
        sa.CheckConstraint("direction IN ('up', 'down', 'none')", name="direction"),
    )


def _fill_input_keys(connection: sa.Connection) -> None:
    """Compute the keys of the inputs, as `input_keys` of this release does."""
    has_input = sa.or_(_LOGS.c.input.is_not(None), _LOGS.c.variables.is_not(None))
    batch = sa.select(_LOGS).where(has_input).order_by(_LOGS.c.seq).limit(_ROWS_AT_ONCE)
    change = sa.update(_LOGS).where(_LOGS.c.seq == sa.bindparam("key")).values(input_key=sa.bindparam("new"))
    last = -1
    while rows := connection.execute(batch.where(_LOGS.c.seq > last)).all():
        connection.execute(change, [{"key": row.seq, "new": _input_key(row.input, row.variables)} for row in rows])
        last = rows[-1].seq


def _input_key(input_text: str | None, variables: str | None) -> int:
    text: Any = input_text
    if text is None:
        values = json.loads(variables or "{}")
        text = "\0" + json.dumps(values, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)
