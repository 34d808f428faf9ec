"""On SQLite, the service itself adds a log to the index of words: in a trigger that took FTS5 ten times as long.

A statement with triggers is one that SQLite may have to undo in part, so FTS5 writes out what it has gathered before
each row, instead of once a transaction. Changes and deletions stay with their triggers: a cascade reaches them too.
"""

from alembic import op

revision = "e83c5f17a2d4"
down_revision = "a95d07c3e1f4"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER log_words_insert")


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            "CREATE TRIGGER log_words_insert AFTER INSERT ON log_search BEGIN "
            "INSERT INTO log_words (rowid, words) VALUES (new.docid, new.words); END"
        )
