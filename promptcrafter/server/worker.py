"""A Gunicorn threaded worker that answers short requests in the thread of its event loop.

Gunicorn's threaded worker polls the connections in its main thread and hands each request to a thread of a pool, and
back. On SQLite that is most of a request's time, because threads that compute at the same time compete for the
interpreter lock at every statement. A sync worker has no such cost, but one slow client would block it. Here the main
thread both polls the connections and answers requests. When a request takes long (the client sends or reads slowly, the
list is long, another writer holds the write lock), a standby thread polls the connections and the pool answers other
requests until that request is done. See decision record 24.

The module relies on Gunicorn's internals, which docs/private-apis.md lists.
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

_MAX_DISCARDED_BYTES = 65536  # read from a client after the server has ended the connection; Gunicorn's own limit
_SHORT_REQUEST_S = 0.05  # other connections wait at most twice as long; most requests take a few milliseconds


class InlineWorker(ThreadWorker):
    """A worker that answers in `threads` threads, two at least: the main thread, which runs the event loop, and a pool.

    `_poller_lock` guards the poller and the lists of connections: the main thread holds it except while it handles a
    request, and the standby thread holds it while it replaces the main thread as event loop.
    """

    def init_process(self) -> None:
        """Create the state of the worker, then start it as Gunicorn does."""
        self._main_thread_id = get_ident()
        self._poller_lock = Lock()
        self._requests_started = 0  # by the main thread; identifies the request that it handles
        self._is_handling = False  # whether the main thread handles a request
        self._is_finishing = False  # whether the main thread runs finish_request
        self._backlog: deque[Any] = deque()  # connections with a request that waits for a thread
        self._standby_needed = Event()  # set when the main thread starts a request
        super().init_process()

    def get_thread_pool(self) -> ThreadPoolExecutor:
        """Return the threads that answer while the main thread handles a long request."""
        return ThreadPoolExecutor(max_workers=max(1, self.cfg.threads - 1))

    def run(self) -> None:
        """Start the standby thread, then run the event loop until the worker stops."""
        self._poller_lock.acquire()
        Thread(target=self._run_standby_thread, name="standby", daemon=True).start()
        super().run()

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for events and dispatch them, then go on while requests are being answered.

        Return after `_SHORT_REQUEST_S` at the latest: the calling loop also sends heartbeats and closes idle
        connections.
        """
        until = time.monotonic() + _SHORT_REQUEST_S
        while self._poll_and_dispatch(timeout) and time.monotonic() < until:
            timeout = 0

    def _poll_and_dispatch(self, timeout: float) -> bool:
        """Dispatch events until one of them has led to an answer; return whether any request was answered.

        Poll again after each answer: readiness may have changed, and new connections must not wait for this batch.
        """
        before = self._requests_started
        if get_ident() == self._main_thread_id and (conn := self._pop_backlog()):
            self._handle_inline(conn)
            timeout = 0
        before_dispatch = self._requests_started
        try:
            for key, _ in self.poller.select(timeout):
                key.data(key.fileobj)
                if self._requests_started != before_dispatch:
                    break
        except OSError as error:
            if error.errno != errno.EINTR:
                raise
        return self._requests_started != before

    def enqueue_req(self, conn: Any) -> None:
        """Handle the next request of a connection inline, or put it in the backlog for another thread.

        A new connection is first polled until it is readable, so that a client that sends nothing occupies no thread.
        """
        is_main = get_ident() == self._main_thread_id
        if not (conn.initialized or conn.data_ready):
            self._register_pending(conn, partial(self.on_pending_socket_readable, conn))
        elif is_main and not self._is_finishing:
            self._handle_inline(conn)
        else:  # within finish_request, pipelined requests would nest one inside the other
            self._backlog.append(conn)
            if not is_main:
                self.tpool.submit(self._handle_from_backlog)

    def finish_request(self, conn: Any, fs: Any) -> None:
        """Keep a connection for its next request, or close it.

        Closing has two steps, because the client might lose the last answer otherwise (RFC 9112, section 9.6): end the
        sending side, then discard input until the client closes. The poller waits for that; Gunicorn would block.
        """
        if fs.result():
            super().finish_request(conn, fs)
            return
        conn.bytes_to_discard = _MAX_DISCARDED_BYTES
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:  # the client has closed the connection
            self.nr_conns -= 1
            conn.close()
            return
        self._register_pending(conn, partial(self._discard_input, conn))

    def _discard_input(self, conn: Any, sock: socket.socket) -> None:
        try:
            data = sock.recv(_MAX_DISCARDED_BYTES)
        except OSError:
            data = b""
        conn.bytes_to_discard -= len(data)
        if not data or conn.bytes_to_discard <= 0:
            self.poller.unregister(sock)
            self.pending_conns.remove(conn)
            self.nr_conns -= 1
            conn.close()

    def _register_pending(self, conn: Any, on_readable: Callable[[socket.socket], None]) -> None:
        """Call `on_readable` when the connection becomes readable; close it if the keep-alive time passes before."""
        conn.sock.setblocking(False)
        conn.set_timeout()
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, on_readable)

    def _handle_inline(self, conn: Any) -> None:
        """Handle a request in the main thread, without the poller lock, so that the standby thread can take it."""
        self._requests_started += 1
        self._is_handling = True
        if not self._standby_needed.is_set():
            self._standby_needed.set()
        self._poller_lock.release()
        try:
            is_kept = self.handle(conn)
        finally:
            self._is_handling = False
            if not self._poller_lock.acquire(blocking=False):
                self.method_queue.defer(int)  # wakes the standby thread's poll
                self._poller_lock.acquire()
        self._is_finishing = True
        try:
            self.finish_request(conn, _CompletedFuture(is_kept))
        finally:
            self._is_finishing = False

    def _handle_from_backlog(self) -> None:
        """Handle a request of the backlog in the pool, unless the main thread has taken it meanwhile."""
        if conn := self._pop_backlog():
            self.method_queue.defer(self.finish_request, conn, _CompletedFuture(self.handle(conn)))

    def _pop_backlog(self) -> Any:
        try:
            return self._backlog.popleft()
        except IndexError:
            return None

    def _run_standby_thread(self) -> None:
        """Run the event loop whenever the main thread handles a request for longer than `_SHORT_REQUEST_S`."""
        request = 0
        while True:
            if self._requests_started == request and not self._is_handling:
                self._standby_needed.clear()
                if self._requests_started == request:
                    self._standby_needed.wait()
            request = self._requests_started
            time.sleep(_SHORT_REQUEST_S)
            if self._is_still_handling(request) and self._poller_lock.acquire(blocking=False):
                try:
                    self._run_event_loop_during(request)
                except Exception:
                    self.log.exception("This worker ends: its connections cannot be looked after.")
                    self.alive = False
                    return
                finally:
                    self._poller_lock.release()

    def _is_still_handling(self, request: int) -> bool:
        """Return whether the main thread still handles the request of that number."""
        return self._is_handling and self._requests_started == request

    def _run_event_loop_during(self, request: int) -> None:
        """Do what Gunicorn's loop does, until the main thread has answered the request of that number."""
        while self._is_still_handling(request):
            self.notify()
            self.set_accept_enabled(self.alive and self.nr_conns < self.worker_connections)
            self.wait_for_and_dispatch_events(timeout=1.0)
            if self.alive:
                self.murder_keepalived()
                self.murder_pending()


class _CompletedFuture:
    """The part of a `Future` that Gunicorn's `finish_request` uses, whose result is known from the start."""

    def __init__(self, is_kept: Any) -> None:
        self._is_kept = is_kept

    def cancelled(self) -> bool:
        return False

    def result(self) -> Any:
        return self._is_kept
