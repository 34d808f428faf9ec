"""Statistics of tables that PostgreSQL has not looked at yet.

PostgreSQL plans the check of a foreign key once for each connection. Planned while the table that it refers to has few
rows and no statistics, the check may read all rows of a workspace instead of one, and it keeps that plan: each new row
takes longer than the one before. The autovacuum daemon gathers statistics, and so ends this, a minute later or more.
"""

from collections.abc import Iterable
from contextlib import suppress
from weakref import WeakKeyDictionary

from sqlalchemy import Engine, Table
from sqlalchemy.exc import DBAPIError, TimeoutError

from promptcrafter.database.session import get_engine, is_sqlite
from promptcrafter.database.transactions import autocommit_connection, on_commit

ENOUGH, MANY = 256, 16_384  # rows: enough to tell the columns apart, and so many that the daemon has been there
_analyzed: WeakKeyDictionary[Engine, set[str]] = WeakKeyDictionary()  # the names of tables


def note_growth(table: Table, columns: Iterable[str], seqs: Iterable[int]) -> None:
    """Gather statistics of these columns of a table after the commit, once in this process, if the table is young.

    `seqs` are the sequence numbers of new rows, from which the size of the table is guessed. All connections then plan
    anew, those of other processes, too. Call it inside `transactions.writing()`. SQLite needs no statistics for this.
    """
    if is_sqlite():
        return
    if table.name not in _names_of_analyzed() and ENOUGH <= max(seqs, default=0) < MANY:
        on_commit(lambda: _analyze(table, columns))


def _analyze(table: Table, columns: Iterable[str]) -> None:
    """Gather statistics, unless another thread or process does. The request has succeeded, whatever comes of this."""
    if table.name in _names_of_analyzed():
        return
    _names_of_analyzed().add(table.name)  # only now: a transaction that was rolled back leaves it to the next one
    statement = f"ANALYZE (SKIP_LOCKED) {table.name} ({', '.join(columns)})"
    with suppress(DBAPIError, TimeoutError), autocommit_connection() as connection:
        connection.exec_driver_sql(statement)


def _names_of_analyzed() -> set[str]:
    return _analyzed.setdefault(get_engine(), set())
