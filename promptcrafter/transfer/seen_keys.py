"""What the lines of a file have brought along so far: on disk, because memory must not grow with the file."""

import sqlite3
from collections.abc import Iterable

from promptcrafter.transfer.batch_file import NoRoom
from promptcrafter.transfer.references import Key


class SeenKeys:
    """Keys and the places where they stood, in a SQLite database of its own that goes when it is closed."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute("CREATE TABLE keys (key PRIMARY KEY, place) WITHOUT ROWID")
        self._db.execute("BEGIN")  # and never commit: nobody else will read it

    def add(self, key: Key, place: str) -> str | None:
        """Note a key; return the place where it stood before, None if nowhere. Raises NoRoom."""
        try:
            added = self._db.execute("INSERT OR IGNORE INTO keys VALUES (?, ?)", (_name(key), place)).rowcount
        except sqlite3.OperationalError as error:
            raise NoRoom from error
        return None if added else self._find(key)

    def find(self, keys: Iterable[Key]) -> set[Key]:
        """Return those of the keys that were noted."""
        return {key for key in keys if self._find(key) is not None}

    def close(self) -> None:
        """Let go of the disk."""
        self._db.close()

    def _find(self, key: Key) -> str | None:
        row = self._db.execute("SELECT place FROM keys WHERE key = ?", (_name(key),)).fetchone()
        return row and str(row[0])


def _name(key: Key) -> str:
    return "\n".join(key)  # only the last part may hold a line break
