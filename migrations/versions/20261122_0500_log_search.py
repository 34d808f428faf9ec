"""Full text over outputs and notes."""

import sqlalchemy as sa
from alembic import op

from migrations.frozen.log_words import milliseconds_of, words_of

revision = "d16f7a3b9c05"
down_revision = "e07c45a1b2f8"
branch_labels = None
depends_on = None

_ROWS_AT_ONCE = 500
# The row id of the index begins with the time, so that what is found comes in its order
_INSERT_SQLITE = (
    "INSERT INTO log_search (docid, seq, words) "
    "VALUES ((min(:time, 4398046511103) << 21) | (:seq & 2097151), :seq, :words)"
)
_INSERT_POSTGRESQL = (
    "INSERT INTO log_search (seq, words) VALUES (:seq, array_to_tsvector(string_to_array(:words, ' ')))"
)
_INDEX = "INSERT INTO log_words (rowid, words) VALUES (new.docid, new.words);"
_FORGET = "INSERT INTO log_words (log_words, rowid, words) VALUES ('delete', old.docid, old.words);"
_TRIGGERS = {"insert": _INDEX, "delete": _FORGET, "update": f"{_FORGET} {_INDEX}"}


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _make_sqlite()
    else:
        _make_postgresql()
    _index_logs()


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.drop_table("log_words")
    op.drop_table("log_search")


def _make_sqlite() -> None:
    op.create_table(
        "log_search",
        sa.Column("docid", sa.Integer, primary_key=True),
        sa.Column("seq", sa.Integer, sa.ForeignKey("logs.seq", ondelete="CASCADE"), nullable=False, unique=True),
        sa.Column("words", sa.Text, nullable=False),
    )
    op.execute(
        "CREATE VIRTUAL TABLE log_words USING fts5(words, content='log_search', content_rowid='docid', "
        "tokenize='ascii', detail='none', columnsize=0)"
    )
    for event, statements in _TRIGGERS.items():
        op.execute(f"CREATE TRIGGER log_words_{event} AFTER {event.upper()} ON log_search BEGIN {statements} END")


def _make_postgresql() -> None:
    op.execute(
        "CREATE TABLE log_search (seq BIGINT PRIMARY KEY REFERENCES logs (seq) ON DELETE CASCADE, "
        "words tsvector NOT NULL)"
    )
    op.execute("CREATE INDEX ix_log_search_words ON log_search USING gin (words)")


def _index_logs() -> None:
    """Index the logs that are there, some at a time: their texts may be large."""
    connection = op.get_bind()
    insert = sa.text(_INSERT_SQLITE if connection.dialect.name == "sqlite" else _INSERT_POSTGRESQL)
    logs = sa.table("logs", *map(sa.column, ("seq", "output", "notes", "created_at")))
    some = sa.select(logs).order_by(logs.c.seq).limit(_ROWS_AT_ONCE)
    last = 0
    while rows := connection.execute(some.where(logs.c.seq > last)).all():
        connection.execute(
            insert,
            [
                {"seq": row.seq, "time": milliseconds_of(row.created_at), "words": words_of(row.output, row.notes)}
                for row in rows
            ],
        )
        last = rows[-1].seq
