"""The pace of work that writes for long while the service runs: short transactions, and pauses between them.

Other writers wait for one transaction at most, and have half of the time for themselves.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event

from promptcrafter.database import checkpoints
from promptcrafter.database.session import is_sqlite, sqlite_path
from promptcrafter.database.transactions import writing_in_background

_SQLITE_S, _POSTGRESQL_S = 0.03, 0.2  # how long a transaction should take
_LEAST_ROWS = 50  # fewer would take no less time on a busy machine
_MIN_PAUSE_S = 0.01


def transaction_s() -> float:
    """Return how many seconds a transaction should take: on SQLite, all other writers wait for it."""
    return _SQLITE_S if is_sqlite() else _POSTGRESQL_S


class Pace:
    """How many rows a transaction writes, adapted to how long they take: a row may have some bytes or mebibytes.

    `stop` ends a pause early.
    """

    def __init__(self, stop: Event | None = None) -> None:
        self._stop = stop or Event()
        self._rows = _LEAST_ROWS

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the block as one write transaction; then checkpoint, and pause for as long as the block took."""
        with writing_in_background():
            started = time.monotonic()
            yield
        taken = time.monotonic() - started
        path = sqlite_path()
        if path is not None:
            checkpoints.write_back(path)
        factor = min(2.0, max(0.1, transaction_s() / max(taken, 0.0001)))
        self._rows = max(_LEAST_ROWS, int(self._rows * factor))
        self._stop.wait(max(taken, _MIN_PAUSE_S))

    def parts(self, rows: Sequence[int]) -> Iterator[Sequence[int]]:
        """Yield all rows, as many at a time as one transaction should write."""
        done = 0
        while done < len(rows):
            part = rows[done : done + self._rows]
            done += len(part)
            yield part
