"""The keys that the records of a file have defined so far, on disk so that memory does not grow with the file."""

import sqlite3
from collections.abc import Iterable

from promptcrafter.transfer.batch_file import InsufficientStorage
from promptcrafter.transfer.references import Key


class SeenKeys:
    """Keys and the locations of the records that defined them, in a temporary SQLite database.

    `close()` deletes the database.
    """

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute("CREATE TABLE keys (key PRIMARY KEY, location) WITHOUT ROWID")
        self._db.execute("CREATE TABLE counts (key PRIMARY KEY, number) WITHOUT ROWID")
        self._db.execute("BEGIN")  # never committed: no other connection reads it

    def add(self, key: Key, location: str) -> str | None:
        """Add a key. If it was added before, return the earlier location, else None. Raises InsufficientStorage."""
        try:
            added = self._db.execute("INSERT OR IGNORE INTO keys VALUES (?, ?)", (_to_text(key), location)).rowcount
        except sqlite3.OperationalError as error:
            raise InsufficientStorage from error
        return None if added else self._get_location(key)

    def find(self, keys: Iterable[Key]) -> set[Key]:
        """Return those of the keys that were added."""
        return {key for key in keys if self._get_location(key) is not None}

    def count(self, key: Key) -> int:
        """Count one more of something, and return how many that makes. Raises InsufficientStorage."""
        counted = (
            "INSERT INTO counts VALUES (?, 1) ON CONFLICT (key) DO UPDATE SET number = number + 1 RETURNING number"
        )
        try:
            ((number,),) = self._db.execute(counted, (_to_text(key),)).fetchall()
        except sqlite3.OperationalError as error:
            raise InsufficientStorage from error
        return int(number)

    def close(self) -> None:
        """Close and thereby delete the database."""
        self._db.close()

    def _get_location(self, key: Key) -> str | None:
        row = self._db.execute("SELECT location FROM keys WHERE key = ?", (_to_text(key),)).fetchone()
        return row and str(row[0])


def _to_text(key: Key) -> str:
    return "\n".join(key)  # unambiguous: only the last part may contain a line break
