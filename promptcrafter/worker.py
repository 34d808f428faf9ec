"""Gunicorn's threaded worker, with requests answered where they arrive as long as that is quick.

Its usual way hands each request from the thread that looks after the connections to one that answers, and back. With
SQLite that is most of a request's time: threads that compute at the same time wait for the interpreter's lock at every
statement. A sync worker spares all that, but one slow client would stop it. So here the first thread does both, and
when a request takes long - a client that sends or reads slowly, a long list, a wait for the write lock - a deputy looks
after the connections in the usual way until it is done.
"""

import errno
import selectors
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Event, Lock, Thread, get_ident
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

_LONG_S = 0.05  # what the others have to wait at most, twice: most requests take a few milliseconds


class InlineWorker(ThreadWorker):
    """A worker of `threads` threads that answer, two at least; the first also looks after the connections."""

    def init_process(self) -> None:
        """Begin to work."""
        self._first = get_ident()
        self._connections = Lock()  # who has it looks after them
        self._begun = 0  # requests that the first thread has begun to answer
        self._is_answering = False
        self._has_answered = False
        self._is_finishing = False
        self._busy = Event()
        super().init_process()

    def get_thread_pool(self) -> ThreadPoolExecutor:
        """Return the threads that answer while the first one takes long."""
        return ThreadPoolExecutor(max_workers=max(1, self.cfg.threads - 1))

    def run(self) -> None:
        """Look after the connections until the end."""
        self._connections.acquire()
        Thread(target=self._stand_by, name="deputy", daemon=True).start()
        super().run()

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Wait for connections to come in or to become readable, and look after them as long as that goes on."""
        until = time.monotonic() + _LONG_S  # the usual loop around has other things to do
        while self._look_after_some(timeout) and time.monotonic() < until:
            timeout = 0

    def _look_after_some(self, timeout: float) -> bool:
        """Look after connections until a request was answered; tell whether one was.

        What else was ready then may not be any longer, and those who have come in meanwhile are not to wait for it all.
        """
        self._has_answered = False
        try:
            for key, _ in self.poller.select(timeout):
                key.data(key.fileobj)
                if self._has_answered:
                    return True
        except OSError as error:
            if error.errno != errno.EINTR:
                raise
        return False

    def enqueue_req(self, conn: Any) -> None:
        """Answer a connection's next request, or let another thread do so."""
        # while one is finished, too: of many that a client sends at once, each would be answered within the one before
        if get_ident() != self._first or self._is_finishing:
            super().enqueue_req(conn)
        elif conn.initialized or conn.data_ready:
            self._answer(conn)
        else:
            self._wait_for_first_byte(conn)

    def _answer(self, conn: Any) -> None:
        self._begun += 1
        self._is_answering = True
        if not self._busy.is_set():
            self._busy.set()
        self._connections.release()
        try:
            is_kept = self.handle(conn)
        finally:
            self._is_answering = False
            if not self._connections.acquire(blocking=False):
                self.method_queue.defer(int)  # wakes the deputy
                self._connections.acquire()
            self._has_answered = True
        self._is_finishing = True
        try:
            self.finish_request(conn, _Answered(is_kept))
        finally:
            self._is_finishing = False

    def _wait_for_first_byte(self, conn: Any) -> None:
        conn.sock.setblocking(False)
        conn.set_timeout()
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn))

    def _stand_by(self) -> None:
        """Look after the connections whenever the first thread takes long."""
        seen = 0
        while True:
            if self._begun == seen and not self._is_answering:
                self._busy.clear()
                if self._begun == seen:
                    self._busy.wait()
            seen = self._begun
            time.sleep(_LONG_S)
            if self._takes_long(seen) and self._connections.acquire(blocking=False):
                try:
                    self._deputise(seen)
                except Exception:
                    self.log.exception("This worker ends: its connections cannot be looked after.")
                    self.alive = False
                    return
                finally:
                    self._connections.release()

    def _takes_long(self, seen: int) -> bool:
        """Tell whether the first thread answers that request still."""
        return self._is_answering and self._begun == seen

    def _deputise(self, seen: int) -> None:
        while self._takes_long(seen):
            self.notify()
            self.set_accept_enabled(self.alive and self.nr_conns < self.worker_connections)
            self.wait_for_and_dispatch_events(timeout=1.0)
            if self.alive:
                self.murder_keepalived()
                self.murder_pending()


class _Answered:
    """What is done, as a future says it."""

    def __init__(self, is_kept: Any) -> None:
        self._is_kept = is_kept

    def cancelled(self) -> bool:
        return False

    def result(self) -> Any:
        return self._is_kept
