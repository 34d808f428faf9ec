"""Where the aggregates of `maintenance/aggregation.py` are computed: in a thread of one of the workers.

The thread of each worker tries to be the one; the others wait until its process ends.
"""

import logging
from threading import Event, Thread

from flask import Flask
from sqlalchemy.exc import DBAPIError, TimeoutError

from promptcrafter.database import sqlite
from promptcrafter.http.error_handlers import describe_obstacle
from promptcrafter.maintenance.aggregation import Aggregation
from promptcrafter.maintenance.only_process import only_process
from promptcrafter.problems import Problem

_LOCK_KEY = 0x50C0_A66E  # of PostgreSQL's advisory lock: an arbitrary number
_EVERY_S = 5
_RETRY_S = 15  # while another process computes them, or the database cannot be used
_STOP_S = 2
_EXTENSION = "promptcrafter-aggregator"

_log = logging.getLogger(__name__)


class _Aggregator:
    """The thread of this process."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._stop = Event()
        self._thread = Thread(target=self._run, name="aggregator", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(_STOP_S)

    def _run(self) -> None:
        while not self._stop.wait(_EVERY_S):
            with self._app.app_context():
                try:
                    with only_process(sqlite.AGGREGATION_LOCK_SUFFIX, _LOCK_KEY) as is_only:
                        if is_only:
                            self._run_rounds()
                except (DBAPIError, TimeoutError, OSError, Problem) as error:
                    _log.warning("the aggregates of statistics wait: %s", describe_obstacle(error))
            self._stop.wait(_RETRY_S)

    def _run_rounds(self) -> None:
        aggregation = Aggregation(self._stop)
        while not self._stop.is_set():
            steps = aggregation.run()
            if steps:
                _log.info("computed aggregates of statistics in %d steps", steps)
            self._stop.wait(_EVERY_S)


def start(app: Flask) -> None:
    """Compute aggregates in a thread of this process from now on. Call it in a worker."""
    app.extensions[_EXTENSION] = _Aggregator(app)
    app.extensions[_EXTENSION].start()


def stop(app: Flask) -> None:
    """End the thread of this process, after the transaction that it is in. Call it when a worker exits."""
    app.extensions[_EXTENSION].stop()
