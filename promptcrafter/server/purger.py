"""When and where the purge of `maintenance/purge.py` runs: in a thread of a worker, or else in the request itself.

A worker looks once at its start whether a deletion is pending, and then only after its own deletions. It has a thread
no longer than something is pending, or waits for its span: that is looked at from time to time. Where nothing starts
the purger, as in `flask run` or a test, the request that has deleted something purges before it is answered; others
are served meanwhile.
"""

import logging
from contextlib import suppress
from threading import Event, Lock, Thread

from flask import Flask, current_app
from sqlalchemy.exc import DBAPIError, TimeoutError

from promptcrafter.database import deletions
from promptcrafter.http.error_handlers import describe_obstacle
from promptcrafter.maintenance import purge
from promptcrafter.problems import Problem
from promptcrafter.traces import early_arrivals

_EXTENSION = "promptcrafter-purger"
_RETRY_S = 10  # while another process purges, or the database cannot be used
_EXPIRY_S = 600  # between the looks at what waits for its span
_STOP_S = 2

_log = logging.getLogger(__name__)


class _Purger:
    """The purger of an application in this process."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._is_started = False
        self._lock = Lock()
        self._thread: Thread | None = None
        self._has_more = False  # whether something was deleted since the thread has looked
        self._news, self._stop = Event(), Event()

    def start(self) -> None:
        """Purge in a thread from now on, at first what is pending already."""
        self._is_started = True
        self.wake()

    def wake(self) -> None:
        """Purge what has been deleted."""
        if self._is_started:
            self._ensure_thread()
            self._news.set()
        else:
            self._try()

    def watch(self) -> None:
        """See to it that what waits for its span does not wait for too long."""
        if self._is_started:
            self._ensure_thread()

    def _ensure_thread(self) -> None:
        with self._lock:
            self._has_more = True
            if self._thread is None and not self._stop.is_set():
                thread = Thread(target=self._run, name="purger", daemon=True)
                thread.start()
                self._thread = thread

    def stop(self) -> None:
        """End the thread, if there is one, after the transaction that it is in."""
        self._stop.set()
        self._news.set()
        thread = self._thread
        if thread is not None:
            thread.join(_STOP_S)

    def _run(self) -> None:
        try:
            self._purge_until_done()
        except BaseException:  # a bug: the next deletion starts another thread
            with self._lock:
                self._thread = None
            raise

    def _purge_until_done(self) -> None:
        while True:
            with self._lock:
                if not self._has_more or self._stop.is_set():
                    self._thread = None
                    return
                self._has_more = False
                self._news.clear()
            while not self._try() and not self._stop.wait(_RETRY_S):
                pass
            if self._has_early_arrivals():
                self._news.wait(_EXPIRY_S)
                self._has_more = True

    def _has_early_arrivals(self) -> bool:
        with self._app.app_context(), suppress(DBAPIError, TimeoutError):
            return early_arrivals.has_any()
        return True

    def _try(self) -> bool:
        """Purge, and return whether nothing is pending any more."""
        with self._app.app_context():
            try:
                return purge.run(self._stop) is purge.Outcome.DONE
            except (DBAPIError, TimeoutError, OSError, Problem) as error:
                _log.warning("the purge of what was deleted waits: %s", describe_obstacle(error))
                return False


def init_app(app: Flask) -> None:
    """Purge after each deletion of this application that leaves something to a purge."""
    app.extensions[_EXTENSION] = _Purger(app)
    deletions.deferred.connect(_wake)
    early_arrivals.arrivals_kept.connect(_watch)


def start(app: Flask) -> None:
    """Purge in a thread of this process from now on. Call it in a worker."""
    _get(app).start()


def stop(app: Flask) -> None:
    """End the thread of this process. Call it when a worker exits."""
    _get(app).stop()


def _wake(_: object) -> None:
    _get(current_app).wake()


def _watch(_: object) -> None:
    _get(current_app).watch()


def _get(app: Flask) -> _Purger:
    purger: _Purger = app.extensions[_EXTENSION]
    return purger
