"""A Gunicorn worker whose event loop collects requests and sends answers, so that slow clients occupy no thread.

The event loop accepts connections, collects each request whole (`incoming`), hands it to a thread, and sends what the
client does not read at once (`outgoing`). Every wait for a client has an end: see `connection.Limits`.

Which thread answers depends on the database. On SQLite the thread of the event loop answers short requests itself,
because threads that compute at the same time compete for the interpreter lock at every statement. When a request takes
long (the list is long, another writer holds the write lock), a standby thread runs the event loop and a pool answers
other requests until that request is done. On PostgreSQL, where a thread waits for the server most of the time, the
pool answers all requests. The thread that runs the event loop also answers health checks, even when all others are
busy. Of requests for `serial_paths`, which take long, one at a time is answered, so that they do not occupy all
threads. See decision records 24, 37 and 62.

The module relies on Gunicorn's internals, which docs/private-apis.md lists.
"""

import errno
import os
import resource
import selectors
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import copy_context
from functools import partial
from http import HTTPStatus
from queue import SimpleQueue
from threading import Event, Lock, Thread, get_ident
from typing import Any, ClassVar

import gunicorn.util
from gunicorn.http import wsgi
from gunicorn.workers.base import Worker

from config import Config
from promptcrafter.dialects.otlp.signals import LOGS, PREFIXES, TRACES
from promptcrafter.server.clients import identify_client
from promptcrafter.server.connection import Connection, Limits, State
from promptcrafter.server.fair_queue import FairQueue
from promptcrafter.server.incoming import PIECE, BodyWanted
from promptcrafter.server.outgoing import Budget, Budgets, ClientGone

_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
_LARGEST_READ = 256 * 1024
_SHORT_REQUEST_S = 0.05  # other connections wait at most twice as long; most requests take a few milliseconds
_TURN_S = 1.0  # the longest time between two looks at deadlines
_STOPPING_KEEPALIVE_S = 2.0  # a stopping worker answers requests that are on their way (RFC 9112, section 9.6)
_OWN_FILES = 24  # descriptors that the worker keeps for files and for connections to the database
_WAITING = (State.IDLE, State.HEAD, State.BODY, State.ENDED)
_TOO_SLOW = "The request did not arrive in time."
_DISK_FULL = "The server's disk is full."
_EXPORTS = [f"{prefix}{signal.path}" for prefix in PREFIXES for signal in (TRACES, LOGS)]
_NO_MORE_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class InlineWorker(Worker):
    """A worker that answers in `threads` threads, two at least: the main thread, which runs the event loop, and a pool.

    The thread that runs the event loop holds `_loop_lock`, which guards the poller and all connections that are not in
    the state THREAD. It is the main thread, except while that answers a request; if that takes long, the standby thread
    runs the event loop meanwhile.
    """

    limits: ClassVar[Limits] = Limits()
    answers_inline: ClassVar[bool] = True  # whether the main thread answers requests
    health_paths: ClassVar[tuple[str, ...]] = ("/healthz",)
    serial_paths: ClassVar[frozenset[str]] = frozenset()  # of long requests, of which one at a time is answered
    trusted_proxies: ClassVar[int] = 0

    def init_process(self) -> None:
        """Create the state of the worker, then start it as Gunicorn does."""
        self._main_thread_id = get_ident()
        self._loop_lock = Lock()
        self._requests_started = 0  # by the main thread; identifies the request that it answers
        self._is_answering = False  # whether the main thread answers a request
        self._backlog = FairQueue()  # connections with a request that waits for a thread
        self._serial = FairQueue()  # those with a request for `serial_paths` that waits for the end of another one
        self._answered_serially: Connection | None = None  # that other one
        self._standby_needed = Event()  # set when the main thread starts a request
        self._pool = ThreadPoolExecutor(max(1, self.cfg.threads - self.answers_inline), "answers")
        self._connections: set[Connection] = set()
        self._budgets = Budgets(memory=Budget(self.limits.answer_bytes), files=Budget(self.limits.disk_bytes))
        self._large_bodies = 0  # that are being collected
        self._poller = selectors.DefaultSelector()
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()  # for the event loop, from other threads
        self._waker, self._woken = socket.socketpair()
        for end in (self._waker, self._woken):
            end.setblocking(False)
        self._poller.register(self._woken, _READ, self._run_calls)
        self._is_accepting = False
        self._looked_at_deadlines = 0.0
        super().init_process()

    def run(self) -> None:
        """Run the event loop until the worker stops, then answer what has been received."""
        self._connections_max = self._find_connections_max()
        self._poller.register(self.PIPE[0], _READ, self._drain_signals)
        self._loop_lock.acquire()
        if self.answers_inline:
            Thread(target=self._run_standby_thread, name="standby", daemon=True).start()
        while self.alive and self._is_parent_alive():
            self._accept_connections(True)
            self._turn(_TURN_S)
        self._accept_connections(False)
        for listener in self.sockets:
            listener.close()
        now = time.monotonic()
        end = now + self.cfg.graceful_timeout
        for connection in self._connections:
            if connection.state is State.IDLE:
                connection.deadline = min(connection.deadline, now + _STOPPING_KEEPALIVE_S)
        while self._connections and time.monotonic() < end:
            self._turn(0.1)
        for connection in list(self._connections):
            if connection.state is not State.THREAD:
                self._close(connection)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Begin to stop. The signal itself wakes the event loop."""
        self.alive = False

    def handle_quit(self, sig: int, frame: Any) -> None:
        """Stop without waiting for requests."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        super().handle_quit(sig, frame)

    # The event loop

    def _turn(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for events and handle them, and go on while requests are being answered.

        Return after `_SHORT_REQUEST_S` at the latest then.
        """
        self.notify()
        until = time.monotonic() + _SHORT_REQUEST_S
        while self._poll(timeout):
            timeout = 0
            if time.monotonic() > until:
                break
        now = time.monotonic()
        if now - self._looked_at_deadlines > _TURN_S / 4:
            self._looked_at_deadlines = now
            for connection in [each for each in self._connections if each.deadline < now]:
                if connection.state is not State.THREAD:
                    self._expire(connection, now)

    def _poll(self, timeout: float) -> bool:
        """Answer a request that waits, if this is the thread for it, and handle events. Return whether more is to do.

        After each answer new events are looked for: new connections must not wait for all that were ready before.
        """
        if self._is_own_thread() and (connection := self._backlog.pop()):
            timeout = 0
            self._answer_inline(connection)
        for key, _ in self._poller.select(timeout):
            if isinstance(key.data, Connection):
                self._handle(key.data)
            else:
                key.data(key.fileobj)
        return bool(self._backlog) and self._is_own_thread()

    def _is_own_thread(self) -> bool:
        """Return whether the thread that runs the event loop answers requests itself."""
        return self.answers_inline and get_ident() == self._main_thread_id

    def _handle(self, connection: Connection) -> None:
        """Do what a connection has been waiting for."""
        if connection not in self._connections:  # closed since the poller has reported it
            return
        with self._closing_on_failure(connection):
            if connection.state is State.THREAD:  # it sends more already, or has gone; see to that later
                self._watch(connection, 0)
            elif connection.state is State.SENDING:
                self._send(connection)
            elif connection.state is State.ENDED:
                self._discard_input(connection)
            else:
                self._receive(connection)

    @contextmanager
    def _closing_on_failure(self, connection: Connection) -> Iterator[None]:
        """Close the connection if its client has gone or the block fails: one connection must not end the worker."""
        try:
            yield
        except Exception as error:
            if not isinstance(error, ClientGone | OSError):
                self.log.exception("A connection could not be served.")
            self._close(connection, aborted=True)

    def _watch(self, connection: Connection, events: int) -> None:
        """Let the poller report these events of a connection, and no others."""
        if connection.watched == events:
            return
        if not connection.watched:
            self._poller.register(connection.sock, events, connection)
        elif events:
            self._poller.modify(connection.sock, events, connection)
        else:
            self._poller.unregister(connection.sock)
        connection.watched = events

    def _call_soon(self, function: Callable[..., None], *arguments: Any) -> None:
        """Let the event loop call a function. For other threads."""
        self._calls.put(partial(function, *arguments))
        with suppress(BlockingIOError):  # enough is waiting to wake it
            self._waker.send(b"\0")

    def _run_calls(self, woken: socket.socket) -> None:
        with suppress(BlockingIOError):
            woken.recv(4096)
        for _ in range(self._calls.qsize()):  # what these calls add is left to the next poll: clients wait, too
            self._calls.get_nowait()()

    def _drain_signals(self, pipe: int) -> None:
        with suppress(BlockingIOError):
            os.read(pipe, 4096)

    def _is_parent_alive(self) -> bool:
        return bool(self.ppid == os.getppid())

    # Accepting and closing

    def _find_connections_max(self) -> int:
        """Return how many connections there may be, so that descriptors are left for files and for the database."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft == resource.RLIM_INFINITY:
            return int(self.cfg.worker_connections)
        open_files = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else _OWN_FILES
        return max(2, min(int(self.cfg.worker_connections), soft - open_files - _OWN_FILES))

    def _accept_connections(self, enabled: bool) -> None:
        """Let the poller report new connections, or not."""
        if enabled != self._is_accepting:
            for listener in self.sockets:
                if enabled:
                    listener.setblocking(False)
                    self._poller.register(listener, _READ, self._accept)
                else:
                    self._poller.unregister(listener)
            self._is_accepting = enabled

    def _accept(self, listener: Any) -> None:
        """Accept a connection; close another one if there are too many."""
        if len(self._connections) >= self._connections_max and not self._close_one_connection():
            self._accept_connections(False)  # until the next turn
            return
        try:
            sock, address = listener.accept()
        except OSError as error:
            if error.errno in _NO_MORE_FILES and not self._close_one_connection():
                self._accept_connections(False)
            return
        now = time.monotonic()
        connection = Connection(sock, address, listener.getsockname(), self.cfg, self.limits, self._budgets, now)
        self._connections.add(connection)
        self._watch(connection, _READ)

    def _close_one_connection(self) -> bool:
        """Close the oldest connection of the client that has most of them; return False if there is none to close.

        So a client that opens connections without end loses its own, not those of others. Those that wait for their
        client to send something are closed first. Others are left alone if there is only one client, which may be a
        proxy: then new connections wait.
        """
        counts = Counter(each.client for each in self._connections)
        closable = [each for each in self._connections if len(counts) > 1 or each.state in _WAITING]
        for connection in sorted(
            closable, key=lambda each: (-counts[each.client], each.state not in _WAITING, each.since)
        ):
            is_waiting = self._backlog.discard(connection) or self._serial.discard(connection)
            if connection.state is not State.THREAD or is_waiting:
                self._close(connection, aborted=connection.state not in _WAITING)
                return True
        return False

    def _close(self, connection: Connection, *, aborted: bool = False) -> None:
        self._end_turn(connection)
        self._connections.discard(connection)
        if connection.watched:
            with suppress(OSError, KeyError, ValueError):
                self._poller.unregister(connection.sock)
            connection.watched = 0
        self._release_large_body(connection)
        connection.close(aborted=aborted)
        if connection.pieces is not None:
            try:
                # in the pool, because the database may take its time
                self._pool.submit(connection.context.run, self._close_answer, connection)
            except RuntimeError:  # the worker stops
                connection.context.run(self._close_answer, connection)

    def _close_answer(self, connection: Connection) -> None:
        try:
            connection.close_answer()
        except Exception:
            self.log.exception("An answer that was broken off could not be closed.")

    def _expire(self, connection: Connection, now: float) -> None:
        """End a connection whose deadline has passed, unless it moves fast enough."""
        with self._closing_on_failure(connection):
            if connection.state is State.HEAD:
                self._refuse(connection, 408, _TOO_SLOW)
            elif connection.state is State.BODY:
                if not self._is_fast_enough(connection, now):
                    self._refuse(connection, 408, _TOO_SLOW)
            elif connection.state is not State.SENDING or not self._is_fast_enough(connection, now):
                self._close(connection, aborted=connection.state is State.SENDING)

    def _is_fast_enough(self, connection: Connection, now: float) -> bool:
        """Return whether enough bytes were moved since the last look, and begin the next measurement."""
        limits = self.limits
        is_stream = connection.pieces is not None or connection.has_large_body
        rate = limits.stream_bytes_per_s if is_stream else limits.bytes_per_s
        moved = connection.outgoing.measure() if connection.state is State.SENDING else connection.measured
        connection.measured = 0
        connection.deadline = now + limits.client_timeout_s
        has_more = connection.pieces is not None or connection.outgoing.is_in_file
        is_over = has_more and now - connection.started > limits.stream_s
        return moved >= rate * limits.client_timeout_s and not is_over

    # Receiving

    def _receive(self, connection: Connection) -> None:
        """Read what a client has sent, and have its request answered when it is complete."""
        try:
            data = connection.sock.recv(_LARGEST_READ if connection.state is State.BODY else PIECE)
        except (BlockingIOError, InterruptedError):
            return
        connection.measured += len(data)
        try:
            connection.incoming.feed(data)
        except OSError:
            self._refuse(connection, 507, _DISK_FULL)
            return
        self._look_for_request(connection)

    def _look_for_request(self, connection: Connection) -> None:
        incoming = connection.incoming
        try:
            is_complete = incoming.has_request()
        except Exception as error:  # Gunicorn knows which are the client's fault
            connection.closes = True
            self.handle_error(None, connection.outgoing, connection.address, error)
            self._send(connection)
            return
        if is_complete:
            fields = incoming.request.headers
            connection.client = identify_client(connection.peer, fields, self.trusted_proxies)
            self._enqueue(connection)
        elif incoming.has_ended:
            self._close(connection)
        else:
            self._wait_for_rest(connection)

    def _wait_for_rest(self, connection: Connection) -> None:
        """Wait for the rest of a request, or for its beginning."""
        incoming, now = connection.incoming, time.monotonic()
        state = State.IDLE if not incoming.has_begun else State.HEAD if incoming.request is None else State.BODY
        if state is not connection.state:
            connection.since = now
            if state is State.IDLE:
                connection.deadline = now + (self.limits.keepalive_s if self.alive else _STOPPING_KEEPALIVE_S)
            else:
                connection.deadline = now + self.limits.client_timeout_s
                connection.measured = 0
            connection.state = state
        if state is State.BODY and incoming.expects_continue:
            incoming.expects_continue = False
            connection.outgoing.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            connection.outgoing.flush()
        self._watch(connection, _READ)
        if incoming.held > PIECE:
            self._limit_held_bytes()

    def _limit_held_bytes(self) -> None:
        """Refuse the unfinished request that has waited longest while all together hold too much."""
        waiting = [each for each in self._connections if each.state in (State.HEAD, State.BODY)]
        excess = sum(each.incoming.held for each in waiting) - self.limits.held_bytes
        for connection in sorted(waiting, key=lambda each: each.since):
            if excess <= 0:
                break
            excess -= connection.incoming.held
            with self._closing_on_failure(
                connection
            ):  # its client may have gone, which must not end another connection
                self._refuse(connection, 503, "The server is receiving too many requests at once.")

    def _collect_large_body(self, connection: Connection) -> None:
        """Collect the body for which the application has asked, and then call it again."""
        connection.wants_body = False
        connection.response = None
        if self._large_bodies >= self.limits.large_bodies:
            self._refuse(connection, 503, "The server is receiving too many large files at once.")
            return
        self._large_bodies += 1
        connection.has_large_body = True
        try:
            connection.incoming.collect_all()
        except OSError:
            self._refuse(connection, 507, _DISK_FULL)
            return
        self._look_for_request(connection)

    def _release_large_body(self, connection: Connection) -> None:
        self._large_bodies -= connection.has_large_body
        connection.has_large_body = False

    # Answering

    def _enqueue(self, connection: Connection) -> None:
        """Have a thread answer the request of a connection, or go on with its answer."""
        connection.state = State.THREAD
        if not self._takes_turn(connection):
            self._serial.append(connection)
        elif self._is_own_thread():
            self._backlog.append(connection)  # not at once: it may be the turn of another client
        elif connection.incoming.request.path in self.health_paths:
            self._answer_and_return(connection)
        else:
            self._backlog.append(connection)
            self._pool.submit(self._answer_from_backlog)

    def _takes_turn(self, connection: Connection) -> bool:
        """Return whether a request may be answered now: one for `serial_paths` only if no other one is."""
        if connection.incoming.request.path in self.serial_paths:
            if self._answered_serially not in (None, connection):
                return False
            self._answered_serially = connection
        return True

    def _end_turn(self, connection: Connection) -> None:
        """Have the next request for `serial_paths` answered, if this connection had the last one."""
        if connection is self._answered_serially:
            self._answered_serially = None
            if following := self._serial.pop():
                self._enqueue(following)

    def _answer_inline(self, connection: Connection) -> None:
        """Answer in the main thread, without the lock of the event loop, so that the standby thread can take it."""
        self._requests_started += 1
        self._is_answering = True
        if not self._standby_needed.is_set():
            self._standby_needed.set()
        self._loop_lock.release()
        try:
            self._answer(connection)
        finally:
            self._is_answering = False
            if not self._loop_lock.acquire(blocking=False):
                self._call_soon(lambda: None)  # wakes the standby thread's poll
                self._loop_lock.acquire()
        self._finish(connection)

    def _answer_from_backlog(self) -> None:
        """Answer a request of the backlog in the pool, unless the main thread has taken it meanwhile."""
        if connection := self._backlog.pop():
            self._answer_and_return(connection)

    def _answer_and_return(self, connection: Connection) -> None:
        """Answer, then give the connection back to the event loop."""
        self._answer(connection)
        self._call_soon(self._finish, connection)

    def _answer(self, connection: Connection) -> None:
        """Make an answer, or a part of one that is too long to be held. In any thread, which has the connection."""
        if connection.pieces is None:
            connection.context = copy_context()
        connection.context.run(self._answer_in_context, connection)

    def _answer_in_context(self, connection: Connection) -> None:
        try:
            if connection.pieces is None:
                self._start(connection)
            self._produce(connection)
        except BodyWanted:
            connection.wants_body = True
        except ClientGone:
            connection.is_gone = True
            self._close_answer(connection)
        except Exception as error:
            self._answer_failure(connection, error)

    def _start(self, connection: Connection) -> None:
        """Call the application."""
        incoming, request = connection.incoming, connection.incoming.request
        response, environ = wsgi.create(request, connection.outgoing, connection.address, connection.server, self.cfg)
        environ["wsgi.multithread"] = True
        environ["wsgi.input"] = incoming.wsgi_input()
        connection.response = response
        if not self.alive or not incoming.is_whole:
            response.force_close()
        connection.pieces = iter(self.wsgi(environ, response.start_response))
        self.nr += 1
        if self.nr >= self.max_requests:
            self.alive = False

    def _produce(self, connection: Connection) -> None:
        """Make the answer until it is complete or no more of it may be held."""
        response = connection.response
        for piece in connection.pieces or ():
            response.write(piece)
            if connection.outgoing.is_full and response.sent != response.response_length:
                return
        response.close()
        connection.closes = response.should_close()
        connection.close_answer()

    def _answer_failure(self, connection: Connection, error: Exception) -> None:
        """Answer with the status that Gunicorn gives the error, or break off an answer that has begun."""
        connection.closes = True
        if connection.response is not None and connection.response.headers_sent:
            self.log.exception("An answer could not be completed.")  # its end is missing, which clients notice
        else:
            self.handle_error(connection.incoming.request, connection.outgoing, connection.address, error)
        self._close_answer(connection)

    def _finish(self, connection: Connection) -> None:
        """Go on with a connection that a thread gives back. In the event loop."""
        self._end_turn(connection)
        with self._closing_on_failure(connection):
            if connection.is_gone:
                self._close(connection)
            elif connection.wants_body:
                self._collect_large_body(connection)
            else:
                self._send(connection)

    # Sending

    def _send(self, connection: Connection) -> None:
        """Send what is held. Then make more of the answer, or go on with the next request."""
        if not connection.outgoing.flush():
            if connection.state is not State.SENDING:
                now = time.monotonic()
                connection.state, connection.since = State.SENDING, now
                connection.started = connection.started or now
                connection.deadline = now + self.limits.client_timeout_s
                connection.outgoing.measure()
            self._watch(connection, _WRITE)
            if self._budgets.memory.is_exceeded:
                self._limit_held_answers()
        elif connection.pieces is not None:
            self._enqueue(connection)
        elif connection.closes or connection.incoming.has_ended:
            self._end(connection)
        else:
            self._release_large_body(connection)
            connection.forget_request()
            self._look_for_request(connection)

    def _limit_held_answers(self) -> None:
        """Cut off readers while the answers that wait in memory take too much: of the client that has most, the oldest.

        Answers wait in files first, so many clients must read nothing, or one client by many connections.
        """
        waiting = [each for each in self._connections if each.state is State.SENDING and each.outgoing.in_memory]
        held: Counter[str] = Counter()
        for each in waiting:
            held[each.client] += each.outgoing.in_memory
        while waiting and self._budgets.memory.is_exceeded:
            connection = min(waiting, key=lambda each: (-held[each.client], each.since))
            waiting.remove(connection)
            held[connection.client] -= connection.outgoing.in_memory
            self._close(connection, aborted=True)

    def _refuse(self, connection: Connection, status: int, message: str) -> None:
        """Answer an error to a request that has not arrived whole, and end the connection."""
        connection.closes = True
        connection.incoming.close()
        gunicorn.util.write_error(connection.outgoing, status, HTTPStatus(status).phrase, message)
        self._send(connection)

    def _end(self, connection: Connection) -> None:
        """End the sending side, and wait until the client closes: otherwise it might lose the last answer.

        See RFC 9112, section 9.6. What it still sends is discarded.
        """
        connection.sock.shutdown(socket.SHUT_WR)
        now = time.monotonic()
        connection.state, connection.since = State.ENDED, now
        connection.deadline = now + self.limits.drain_s
        connection.measured = 0
        self._watch(connection, _READ)

    def _discard_input(self, connection: Connection) -> None:
        """Discard what a client sends after the end, up to a limit; what comes then is not read."""
        data = connection.sock.recv(PIECE)
        connection.measured += len(data)
        if not data:
            self._close(connection)
        elif connection.measured > self.limits.drain_bytes:
            self._watch(connection, 0)

    # The standby thread

    def _run_standby_thread(self) -> None:
        """Run the event loop whenever the main thread answers a request for longer than `_SHORT_REQUEST_S`."""
        request = 0
        while True:
            if self._requests_started == request and not self._is_answering:
                self._standby_needed.clear()
                if self._requests_started == request:
                    self._standby_needed.wait()
            request = self._requests_started
            time.sleep(_SHORT_REQUEST_S)
            if self._is_still_answering(request) and self._loop_lock.acquire(blocking=False):
                try:
                    for _ in range(len(self._backlog)):
                        self._pool.submit(self._answer_from_backlog)
                    while self._is_still_answering(request):
                        self._accept_connections(self.alive)
                        self._turn(_TURN_S)
                except Exception:
                    self.log.exception("This worker ends: its connections cannot be looked after.")
                    self.alive = False
                    return
                finally:
                    self._loop_lock.release()

    def _is_still_answering(self, request: int) -> bool:
        """Return whether the main thread still answers the request of that number."""
        return self._is_answering and self._requests_started == request


class PooledWorker(InlineWorker):
    """A worker whose pool of `threads` threads answers all requests: for PostgreSQL."""

    answers_inline = False


def choose_worker(config: Config) -> type[InlineWorker] | str:
    """Return the worker class that the settings ask for: one of ours, with its limits, or the name of Gunicorn's."""
    if config.worker == "gthread":
        return "gthread"
    base = InlineWorker if config.database_url.startswith("sqlite") else PooledWorker
    limits = Limits(
        client_timeout_s=config.client_timeout_s,
        body_bytes=config.max_body_bytes,
        held_bytes=max(Limits.held_bytes, 8 * config.max_body_bytes),
    )
    attributes = {
        "__doc__": base.__doc__,
        "limits": limits,
        "health_paths": ("/healthz", f"{config.script_name}/healthz"),
        "serial_paths": frozenset(f"{before}{path}" for before in ("", config.script_name) for path in _EXPORTS),
        "trusted_proxies": config.trusted_proxies,
    }
    return type(base.__name__, (base,), attributes)
