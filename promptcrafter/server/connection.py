"""One connection of a client: what it is waiting for, and how long it may."""

import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from enum import Enum
from typing import Any

from promptcrafter.server.clients import identify_peer
from promptcrafter.server.incoming import Incoming
from promptcrafter.server.outgoing import Budgets, Outgoing

_NO_LINGER = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Limits:
    """How long a connection may take, and how much."""

    client_timeout_s: float = 15  # for a head, and for each measurement of a rate
    keepalive_s: float = 5  # between two requests
    drain_s: float = 2  # for what is received after the connection has been ended
    drain_bytes: int = 1024 * 1024
    bytes_per_s: int = 1024  # at least, of a body and of an answer
    stream_bytes_per_s: int = 64 * 1024  # at least, of a large body, and of an answer that is not yet made
    stream_s: float = 3600  # at most, for an answer that is not yet made or waits in a file
    body_bytes: int = 2 * 1024 * 1024  # of a body that is collected before the application is asked
    large_bodies: int = 4  # that a worker collects at the same time
    held_bytes: int = 64 * 1024 * 1024  # of unfinished requests in the memory of a worker
    answer_bytes: int = 64 * 1024 * 1024  # of answers that wait in the memory of a worker
    disk_bytes: int = 256 * 1024 * 1024  # of answers that wait in files of a worker


class State(Enum):
    """What a connection is waiting for."""

    IDLE = "the beginning of a request"
    HEAD = "the rest of a head"
    BODY = "the rest of a body"
    THREAD = "a thread, which answers the request"
    SENDING = "the client to read the answer"
    ENDED = "the client to close it"


class Connection:
    """One connection. A thread has it in the state THREAD, the event loop in all others."""

    __slots__ = (
        "address",
        "client",
        "closes",
        "context",
        "deadline",
        "has_large_body",
        "incoming",
        "is_gone",
        "measured",
        "outgoing",
        "peer",
        "pieces",
        "response",
        "server",
        "since",
        "sock",
        "started",
        "state",
        "wants_body",
        "watched",
    )

    def __init__(
        self, sock: socket.socket, address: Any, server: Any, cfg: Any, limits: Limits, budgets: Budgets, now: float
    ) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.address = address
        self.peer = identify_peer(address)
        self.client = self.peer  # or, of the present request, the client that a trusted proxy reports
        self.server = server
        self.incoming = Incoming(cfg, address, limits.body_bytes)
        self.outgoing = Outgoing(sock, budgets)
        self.state = State.IDLE
        self.since = now  # it is in this state
        self.deadline = now + limits.client_timeout_s
        self.measured = 0  # bytes received since the present measurement of the rate began
        self.watched = 0  # the events that the poller reports
        self.context = copy_context()  # the context variables of the present request, in whatever thread
        self.response: Any = None  # Gunicorn's, of the present request
        self.pieces: Iterator[bytes] | None = None  # of the answer that are not yet made
        self.started = 0.0  # when the answer began to wait for its client
        self.closes = False  # after the present answer
        self.is_gone = False  # whether the client has closed it
        self.wants_body = False  # whether the application has asked for a large body
        self.has_large_body = False  # whether that is being collected, or read

    def forget_request(self) -> None:
        """Go on with the next request."""
        self.incoming.next()
        self.response = None
        self.started = 0.0
        self.measured = 0

    def close_answer(self) -> None:
        """End the making of the answer, which releases its connection to the database."""
        pieces, self.pieces = self.pieces, None
        if pieces is not None and hasattr(pieces, "close"):
            pieces.close()

    def close(self, *, aborted: bool = False) -> None:
        """Close it and free what it holds. If aborted, discard what the system holds for the client, too."""
        self.incoming.close()
        self.outgoing.close()
        with suppress(OSError):
            if aborted:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            self.sock.close()
