"""Connections to PostgreSQL that wait for the server for a limited time, whatever hangs.

What a request waits for PostgreSQL is added up: connecting, the test of a pooled connection, statements, the commit and
the rollback. When that exceeds the timeout, the server is asked over a new connection what the other one does. If it
executes the statement, it may go on: it works, and does not hang. If it waits for a lock or for its standby, or does
not answer, the connection is closed. Nothing else ends such a wait in time: the kernel acknowledges what is sent to a
process that is stopped, and TCP takes many seconds to notice a network that drops packets.
"""

import os
import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, ClassVar

import psycopg
from psycopg.abc import RV, PQGen, PQGenConn
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import DBAPIError

_POLL_S = 0.1  # how often the driver looks up from a wait
_PROBE_S = 0.5  # for the answer to the question whether the server works, if a request waits; a command has more time
_TRIALS_EVERY_S = 0.5  # in which one request waits longer for a server that has left another one without an answer
_FIRST_TRIAL_S = 0.25
_LONGEST_S = 60  # that a request waits for one statement that the server executes
# A backend without a row has ended. One that waits for its client has lost what we have sent, or has just answered
_IS_WORKING = """
    SELECT state = 'active' AND coalesce(wait_event_type, '') <> 'Client' AND coalesce(wait_event, '') <> 'SyncRep'
           AND (coalesce(wait_event_type, '') <> 'Lock' OR %s)
    FROM pg_stat_activity WHERE pid = %s
"""
# One round trip, as BEGIN alone would be. `migrations/env.py` locks the table in a mode that conflicts with this one: a
# migration waits for the writers before it, and those after it wait and then read its revision. SELECT alone would lock
# too little, and a row lock would write to the disk.
_BEGIN_AS_WRITER = (
    "BEGIN; {settings}LOCK TABLE alembic_version IN ROW SHARE MODE; SELECT version_num FROM alembic_version"
)
_END = "SELECT pg_terminate_backend(%s)"  # a mere cancel would leave a transaction open, with its locks


@dataclass
class Server:
    """What this process knows about a server."""

    timeout_s: float
    hosts: int = 1
    is_silent: bool = False  # whether it has left a request without an answer and none has had one since
    next_trial: float = 0  # when a request may wait for longer although it is silent, by the monotonic clock
    trial_s: float = 0  # for how long, which is doubled each time

    def note_silence(self) -> None:
        """Note that a request, or a probe, has had no answer."""
        if not self.is_silent:
            self.is_silent = True
            self.next_trial, self.trial_s = time.monotonic() + _TRIALS_EVERY_S, _FIRST_TRIAL_S

    def allow_s(self) -> float:
        """Return how many seconds a request may wait: none, or only sometimes some, while the server is silent.

        Even then a server that answers at once is heard, since the driver looks up from a wait after `_POLL_S`. So a
        silent server does not occupy the threads, which other requests need.
        """
        if not self.is_silent:
            return self.timeout_s
        now = time.monotonic()
        if now < self.next_trial:
            return 0
        allowed_s, self.trial_s = min(self.trial_s, self.timeout_s), 2 * self.trial_s
        self.next_trial = now + allowed_s + _TRIALS_EVERY_S
        return allowed_s


@dataclass
class _Budget:
    """How long a request, or a probe, has waited, and how long it may."""

    allowed_s: float
    longest_s: float  # for a statement that the server executes; infinite outside of requests
    is_probe: bool = False
    waited_s: float = field(default=0, init=False)

    @property
    def left_s(self) -> float:
        return self.allowed_s - self.waited_s


class NoAnswer(psycopg.OperationalError):
    """The server has not answered for as long as a request may wait, or waits for something itself."""


_budget: ContextVar[_Budget | None] = ContextVar("promptcrafter_postgresql_budget", default=None)


def limit_engine(engine: Engine, timeout_s: float) -> Callable[[], None]:
    """Let the connections of an engine wait for the server no longer than the timeout.

    Return a function to call when a request begins: the timeout is then that of all its waits together. Outside of
    requests, as in commands, each wait has the whole timeout, and a statement may run for any time. How long it waits
    for locks is left to the server.
    """
    server = Server(timeout_s, _count_hosts(engine))
    connection_class: Any = type("ServerConnection", (LimitedConnection,), {"server": server})

    @event.listens_for(engine, "do_connect")
    def connect(dialect: Any, record: Any, args: Any, options: Any) -> LimitedConnection:
        connection: LimitedConnection = connection_class.connect(*args, **options)
        return connection

    def begin_request() -> None:
        _budget.set(_Budget(server.allow_s(), _LONGEST_S))

    return begin_request


def leave_request() -> None:
    """Forget the request that this thread has answered last: what follows is none, as in a command or a migration."""
    _budget.set(None)


def find_encoding_fault(connection: Connection) -> str | None:
    """Return why the encoding of a database cannot hold all texts, as the end of a sentence about it; None for UTF8.

    Raises DBAPIError.
    """
    encoding = connection.scalar(text("SHOW server_encoding"))
    return None if encoding == "UTF8" else f"its encoding is {encoding}, and must be UTF8"


def _count_hosts(engine: Engine) -> int:
    """Return to how many hosts a connection is tried, one after the other."""
    hosts = engine.url.query.get("host", "")
    return hosts.count(",") + 1 if isinstance(hosts, str) else len(hosts)


class LimitedConnection(psycopg.Connection[Any]):
    """A connection whose waits end when their request has waited for too long. It is closed then."""

    server: ClassVar[Server]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.server_cursor_factory = _ServerCursor

    @classmethod
    def _connect_gen(cls, conninfo: str = "", **options: Any) -> PQGenConn["LimitedConnection"]:
        """Connect to one host, for an equal share of the time that is left."""
        budget = _budget.get() or _Budget(cls.server.timeout_s, float("inf"))
        started, share_s = time.monotonic(), max(0, budget.left_s) / cls.server.hosts
        connecting = super()._connect_gen(conninfo, **options)
        try:
            waits_for = next(connecting)
            while True:
                ready = yield waits_for
                if not ready and time.monotonic() - started >= share_s:
                    connecting.close()
                    cls.server.note_silence()
                    raise psycopg.errors.ConnectionTimeout("the server does not answer")
                waits_for = connecting.send(ready)
        except StopIteration as end:
            connection: LimitedConnection = end.value
            cls.server.is_silent = False
            return connection
        finally:
            budget.waited_s += time.monotonic() - started

    def wait(self, gen: PQGen[RV], interval: float = _POLL_S, timeout: float | None = None) -> RV:
        """Do what the driver does, and close the connection when the request has waited for too long.

        Raises psycopg.OperationalError then.
        """
        budget = _budget.get() or _Budget(self.server.timeout_s, float("inf"))
        started = time.monotonic()
        try:
            result = super().wait(self._limit(gen, budget, started), interval, timeout)
        finally:
            budget.waited_s += time.monotonic() - started
        self.server.is_silent = False
        return result

    def _limit(self, gen: PQGen[RV], budget: _Budget, started: float) -> PQGen[RV]:
        """Pass on what `gen` waits for, until the time is over and the server does not work on it."""
        allowed_s = budget.left_s
        try:
            waits_for = next(gen)
            while True:
                ready = yield waits_for
                if not ready and (elapsed := time.monotonic() - started) >= allowed_s:
                    if budget.is_probe or self.server.is_silent or not self._is_working(elapsed, budget.longest_s):
                        self._drop()
                        raise NoAnswer("the server does not answer, or waits for a lock or a standby")
                    allowed_s = elapsed + self.server.timeout_s
                    budget.allowed_s = budget.waited_s + allowed_s
                waits_for = gen.send(ready)
        except StopIteration as end:
            result: RV = end.value
            return result

    def _is_working(self, elapsed_s: float, longest_s: float) -> bool:
        """Return whether the server executes this connection's statement, or just has; ask over a new connection.

        If the server does not execute it, or has executed it for too long, the server is told to end the transaction.
        """
        is_command = longest_s == float("inf")
        probe_s = self.server.timeout_s if is_command else min(_PROBE_S, self.server.timeout_s)
        token = _budget.set(_Budget(probe_s, longest_s, is_probe=True))
        options: dict[str, Any] = {**self.info.get_parameters(), "password": self.info.password}
        try:
            with type(self).connect(autocommit=True, **options) as probe:
                row = probe.execute(_IS_WORKING, [is_command, self.info.backend_pid]).fetchone()
                is_working = (bool(row and row[0]) and elapsed_s < longest_s) or self._has_answer()
                if not is_working:
                    probe.execute(_END, [self.info.backend_pid])
                return is_working
        except (psycopg.errors.ConnectionTimeout, NoAnswer):
            self.server.note_silence()
            return False
        except psycopg.Error:
            return False
        finally:
            _budget.reset(token)

    def _has_answer(self) -> bool:
        """Return whether the server has sent something that is not read yet; it may be on its way."""
        poll = select.poll()
        poll.register(self.pgconn.socket, select.POLLIN)
        return bool(poll.poll(1000 * _POLL_S))

    def _drop(self) -> None:
        """Close the connection without a word to the server, which could not be sent."""
        with suppress(OSError), socket.socket(fileno=os.dup(self.pgconn.socket)) as lost:
            lost.shutdown(socket.SHUT_RDWR)
        self.close()


class _ServerCursor(psycopg.ServerCursor[Any]):
    """A cursor whose `close()` succeeds although its connection is dropped meanwhile, with which it has ended."""

    def close(self) -> None:
        try:
            super().close()
        except psycopg.OperationalError:
            super().close()  # tells the server nothing when the connection is closed

    def __del__(self, *warn: Any) -> None:
        if not self.connection.closed:  # SQLAlchemy closes no cursor of a lost connection
            super().__del__(*warn)


def prepare_to_write(connection: Connection) -> None:
    """Let `read_revisions` begin the connection's transaction, until it is closed: psycopg adds no BEGIN of its own."""
    connection.execution_options(isolation_level="AUTOCOMMIT")


def read_revisions(connection: Connection, lock_timeout_s: float | None = None) -> list[str]:
    """Begin the transaction; return the revisions of the schema, which stay until its end.

    `lock_timeout_s` is how long the transaction waits for each lock, if it is not the connection's usual time.

    Raises DBAPIError, also if the database has no table of revisions.
    """
    driver: Any = connection.connection.driver_connection
    error_class = connection.dialect.loaded_dbapi.Error
    # 0 would be no timeout at all
    settings = "" if lock_timeout_s is None else f"SET LOCAL lock_timeout = {max(1, round(lock_timeout_s * 1000))}; "
    try:
        cursor = driver.execute(_BEGIN_AS_WRITER.format(settings=settings))
        while cursor.nextset():
            pass
        return [revision for (revision,) in cursor]
    except error_class as error:
        raise DBAPIError.instance(None, None, error, error_class, hide_parameters=True) from error
