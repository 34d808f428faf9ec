"""Gunicorn's threaded worker, with requests answered where they arrive as long as that is quick.

Its usual way hands each request from the thread that looks after the connections to one that answers, and back. With
SQLite that is most of a request's time: threads that compute at the same time wait for the interpreter's lock at every
statement. A sync worker spares all that, but one slow client would stop it. So here the first thread does both, and
when a request takes long - a client that sends or reads slowly, a long list, a wait for the write lock - a deputy looks
after the connections in the usual way until it is done.
"""

import errno
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Event, Lock, Thread, get_ident
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

_MAX_UNREAD = 65536  # bytes that a client may still send when its connection is ended, as Gunicorn has it
_LONG_S = 0.05  # what the others have to wait at most, twice: most requests take a few milliseconds


class InlineWorker(ThreadWorker):
    """A worker of `threads` threads that answer, two at least; the first also looks after the connections."""

    def init_process(self) -> None:
        """Begin to work."""
        self._first = get_ident()
        self._connections = Lock()  # who has it looks after them
        self._begun = 0  # requests that the first thread has begun to answer
        self._is_answering = False
        self._is_finishing = False
        self._waiting: deque[Any] = deque()  # connections with a request that the first thread had no time for
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
        """Look after connections until a request of those now ready was answered; tell whether one was.

        What else was ready then may not be any longer, and those who have come in meanwhile are not to wait for it all.
        """
        begun = self._begun
        if get_ident() == self._first and (conn := self._take_waiting()):
            self._answer(conn)
            timeout = 0
        answered = self._begun
        try:
            for key, _ in self.poller.select(timeout):
                key.data(key.fileobj)
                if self._begun != answered:
                    break
        except OSError as error:
            if error.errno != errno.EINTR:
                raise
        return self._begun != begun

    def enqueue_req(self, conn: Any) -> None:
        """Answer a connection's next request, now or when there is a thread for it."""
        is_first = get_ident() == self._first
        if not (conn.initialized or conn.data_ready):
            self._watch(conn, partial(self.on_pending_socket_readable, conn))
        elif is_first and not self._is_finishing:
            self._answer(conn)
        else:  # of many that a client sends at once, each would be answered within the one before
            self._waiting.append(conn)
            if not is_first:
                self.tpool.submit(self._answer_waiting)

    def finish_request(self, conn: Any, fs: Any) -> None:
        """Keep a connection for its next request, or end it.

        It is ended in two steps, since the client might lose the last answer otherwise (RFC 9112, section 9.6): nobody
        waits for the client's, as Gunicorn would.
        """
        if fs.result():
            super().finish_request(conn, fs)
            return
        conn.unread = _MAX_UNREAD
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:  # the client has gone
            self.nr_conns -= 1
            conn.close()
            return
        self._watch(conn, partial(self._read_to_the_end, conn))

    def _read_to_the_end(self, conn: Any, sock: socket.socket) -> None:
        try:
            data = sock.recv(_MAX_UNREAD)
        except OSError:
            data = b""
        conn.unread -= len(data)
        if not data or conn.unread <= 0:
            self.poller.unregister(sock)
            self.pending_conns.remove(conn)
            self.nr_conns -= 1
            conn.close()

    def _watch(self, conn: Any, on_readable: Callable[[socket.socket], None]) -> None:
        """Have this called when a connection becomes readable; end it if that takes longer than one is kept."""
        conn.sock.setblocking(False)
        conn.set_timeout()
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, on_readable)

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
        self._is_finishing = True
        try:
            self.finish_request(conn, _Answered(is_kept))
        finally:
            self._is_finishing = False

    def _answer_waiting(self) -> None:
        """Answer a request that waits, if the first thread has not come back to do so."""
        if conn := self._take_waiting():
            self.method_queue.defer(self.finish_request, conn, _Answered(self.handle(conn)))

    def _take_waiting(self) -> Any:
        try:
            return self._waiting.popleft()
        except IndexError:
            return None

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
