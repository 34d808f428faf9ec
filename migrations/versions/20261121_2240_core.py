"""People, prompts with their versions, labels, tags and search, and logs."""

import sqlalchemy as sa
from alembic import op

revision = "9416f7a20451"
down_revision = None
branch_labels = None
depends_on = None

_SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MOMENT = sa.DateTime(timezone=True).with_variant(sa.String(24), "sqlite")
_FIELDS = ("title", "tags", "content")
_GRAMS = tuple(f"{field}_grams" for field in _FIELDS)


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("seq", _SEQUENCE, sa.Identity(), nullable=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("email_key", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("token_epoch", sa.Integer(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_users"),
        sa.UniqueConstraint("id", name="uq_users_id"),
        sa.UniqueConstraint("email_key", name="uq_users_email_key"),
    )
    op.create_table(
        "prompts",
        sa.Column("seq", _SEQUENCE, sa.Identity(), nullable=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("owner_id", sa.String(64), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sa.CheckConstraint("version >= 1", name="ck_prompts_version"),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name="fk_prompts_owner_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("seq", name="pk_prompts"),
        sa.UniqueConstraint("id", name="uq_prompts_id"),
        sa.UniqueConstraint("owner_id", "slug", name="uq_prompts_owner_id_slug"),
    )
    op.create_index("ix_prompts_owner_id_created_at_seq", "prompts", ["owner_id", "created_at", "seq"])
    op.create_index("ix_prompts_owner_id_model_created_at_seq", "prompts", ["owner_id", "model", "created_at", "seq"])
    op.create_table(
        "prompt_versions",
        sa.Column("prompt_id", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("created_by", sa.String(64), nullable=False),
        sa.ForeignKeyConstraint(["prompt_id"], ["prompts.id"], name="fk_prompt_versions_prompt_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["created_by"], ["users.id"], name="fk_prompt_versions_created_by", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("prompt_id", "number", name="pk_prompt_versions"),
    )
    op.create_table(
        "prompt_labels",
        sa.Column("prompt_id", sa.String(64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["prompt_id"], ["prompts.id"], name="fk_prompt_labels_prompt_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["prompt_id", "version"],
            ["prompt_versions.prompt_id", "prompt_versions.number"],
            name="fk_prompt_labels_prompt_id_version",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("prompt_id", "name", name="pk_prompt_labels"),
    )
    op.create_table(
        "prompt_tags",
        sa.Column("prompt_id", sa.String(64), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["prompt_id"], ["prompts.id"], name="fk_prompt_tags_prompt_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("prompt_id", "position", name="pk_prompt_tags"),
        sa.UniqueConstraint("prompt_id", "name", name="uq_prompt_tags_prompt_id_name"),
    )
    op.create_table(
        "logs",
        sa.Column("seq", _SEQUENCE, sa.Identity(), nullable=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("owner_id", sa.String(64), nullable=False),
        sa.Column("prompt_id", sa.String(64), nullable=False),
        sa.Column("prompt_version", sa.Integer(), nullable=False),
        sa.Column("model_used", sa.Text(), nullable=False),
        sa.Column("output", sa.Text(), nullable=False),
        sa.Column("notes", sa.Text()),
        sa.Column("score", sa.Float(53)),
        sa.Column("input", sa.Text()),
        sa.Column("input_format", sa.String(8)),
        sa.Column("ideal_output", sa.Text()),
        sa.Column("ideal_output_format", sa.String(8)),
        sa.Column("variables", sa.Text()),
        sa.Column("start_time", _MOMENT),
        sa.Column("end_time", _MOMENT),
        sa.Column("latency_ms", sa.Float(53)),
        sa.Column("input_tokens", sa.Float(53)),
        sa.Column("output_tokens", sa.Float(53)),
        sa.Column("cost", sa.Float(53)),
        sa.Column("metadata", sa.Text()),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sa.CheckConstraint("score BETWEEN 0 AND 10", name="ck_logs_score"),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name="fk_logs_owner_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["prompt_id", "prompt_version"],
            ["prompt_versions.prompt_id", "prompt_versions.number"],
            name="fk_logs_prompt_id_prompt_version",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("seq", name="pk_logs"),
        sa.UniqueConstraint("id", name="uq_logs_id"),
    )
    op.create_index("ix_logs_owner_id_created_at_seq", "logs", ["owner_id", "created_at", "seq"])
    op.create_index("ix_logs_prompt_id_created_at_seq", "logs", ["prompt_id", "created_at", "seq"])
    op.create_index("ix_logs_prompt_id_prompt_version", "logs", ["prompt_id", "prompt_version"])
    op.create_table(
        "prompt_search",
        sa.Column("seq", _SEQUENCE, nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in _FIELDS + _GRAMS),
        sa.ForeignKeyConstraint(["seq"], ["prompts.seq"], name="fk_prompt_search_seq", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("seq", name="pk_prompt_search"),
    )
    if op.get_bind().dialect.name == "sqlite":
        _index_search_sqlite()
    else:
        _index_search_postgresql()


def _index_search_sqlite() -> None:
    """Index the search texts with FTS5, kept in step by triggers (https://sqlite.org/fts5.html, §4.4.3)."""
    for index, columns, options in (
        ("prompt_trigrams", _FIELDS, "tokenize='trigram case_sensitive 1'"),
        ("prompt_grams", _GRAMS, "tokenize='ascii', detail='column', columnsize=0"),
    ):
        names = ", ".join(columns)
        op.execute(
            f"CREATE VIRTUAL TABLE {index} USING fts5({names}, content='prompt_search', content_rowid='seq', {options})"
        )
        remove = (
            f"INSERT INTO {index} ({index}, rowid, {names}) "
            f"VALUES ('delete', old.seq, {', '.join(f'old.{name}' for name in columns)});"
        )
        add = f"INSERT INTO {index} (rowid, {names}) VALUES (new.seq, {', '.join(f'new.{name}' for name in columns)});"
        for event, statements in (("insert", add), ("delete", remove), ("update", f"{remove} {add}")):
            op.execute(f"CREATE TRIGGER {index}_{event} AFTER {event.upper()} ON prompt_search BEGIN {statements} END")


def _index_search_postgresql() -> None:
    """Index the grams of the search texts."""
    for grams in _GRAMS:
        op.execute(f"CREATE INDEX ix_prompt_search_{grams} ON prompt_search USING gin (string_to_array({grams}, ' '))")


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TABLE prompt_trigrams")
        op.execute("DROP TABLE prompt_grams")
    for table in ("prompt_search", "logs", "prompt_tags", "prompt_labels", "prompt_versions", "prompts", "users"):
        op.drop_table(table)
