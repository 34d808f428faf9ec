"""Which releases may write to the schema; no earlier one may, and the word index is repaired where one has damaged it.

Release 0.1.0 writes to every newer schema. Two columns get other names, so that it fails instead: each request with a
token or a key and each command about accounts reads `users.disabled_at`, and whatever adds logs, even in a request that
was signed in before this migration, writes `log_search.seq`. From this migration on, a release writes only to a schema
that it knows, or that the table `schema_writers` declares harmless for it; `migrations/env.py` fills the table.

A release of before `e83c5f17a2d4` on a newer schema has left logs out of SQLite's word index, and a release of after it
on an older schema has put them in twice. Logs without words are of releases before `d16f7a3b9c05`.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

from migrations.frozen.log_words import milliseconds_of, words_of

revision = "b7e41c9d5a20"
down_revision = "4d81b6e0c93f"
branch_labels = None
depends_on = None

# in this order: statements that touch both tables lock users first
_RENAMED = (("users", "disabled_at", "disabled_since"), ("log_search", "seq", "log_seq"))
_INDICES = ("log_words", "prompt_trigrams", "prompt_grams")
_ROWS_AT_ONCE = 500
_INSERT_SQLITE = (
    "INSERT INTO log_search (docid, log_seq, words) "
    "VALUES ((min(:time, 4398046511103) << 21) | (:seq & 2097151), :seq, :words)"
)
_INSERT_POSTGRESQL = (
    "INSERT INTO log_search (log_seq, words) VALUES (:seq, array_to_tsvector(string_to_array(:words, ' ')))"
)


def upgrade() -> None:
    op.create_table(
        "schema_writers",
        sa.Column("schema_revision", sa.String(32), primary_key=True),
        sa.Column("release_revision", sa.String(32), primary_key=True),
    )
    for table, old, new in _RENAMED:
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {old} TO {new}")
    has_added = _add_missing_words()
    if op.get_bind().dialect.name == "sqlite":
        for index in _INDICES:
            if (index == "log_words" and has_added) or not _is_intact(index):
                op.execute(f"INSERT INTO {index} ({index}) VALUES ('rebuild')")


def downgrade() -> None:
    for table, old, new in _RENAMED:
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {new} TO {old}")
    op.drop_table("schema_writers")


def _add_missing_words() -> bool:
    """Add the words of logs that have none; return whether there were such logs."""
    connection = op.get_bind()
    insert = sa.text(_INSERT_SQLITE if connection.dialect.name == "sqlite" else _INSERT_POSTGRESQL)
    logs = sa.table("logs", *map(sa.column, ("seq", "output", "notes", "created_at")))
    search = sa.table("log_search", sa.column("log_seq"))
    missing = sa.select(logs).outerjoin(search, search.c.log_seq == logs.c.seq).where(search.c.log_seq.is_(None))
    some = missing.order_by(logs.c.seq).limit(_ROWS_AT_ONCE)
    last = 0
    while rows := connection.execute(some.where(logs.c.seq > last)).all():
        connection.execute(insert, _to_parameters(rows))
        last = rows[-1].seq
    return last > 0


def _to_parameters(rows: Sequence[Any]) -> list[dict[str, Any]]:
    return [
        {"seq": row.seq, "time": milliseconds_of(row.created_at), "words": words_of(row.output, row.notes)}
        for row in rows
    ]


def _is_intact(index: str) -> bool:
    """Return whether a full-text index of SQLite has the words of its table; about a second for 100,000 logs."""
    try:
        op.get_bind().exec_driver_sql(f"INSERT INTO {index} ({index}, rank) VALUES ('integrity-check', 1)")
    except sa.exc.DatabaseError as error:
        if not str(getattr(error.orig, "sqlite_errorname", "")).startswith("SQLITE_CORRUPT"):
            raise
        return False
    return True
