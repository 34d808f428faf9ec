"""Load on an HTTP server from one process that takes little of the machine: prebuilt requests on raw sockets.

Each connection sends its next request as soon as it has its answer. A server that closes a connection after an answer
is connected to again, and the time that takes counts as the next request's.
"""

import selectors
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle

_WARM_UP = 0.15  # of the time is left out at its beginning
_PATIENCE_S = 30  # for answers that are under way at the end
_PIECE = 256 * 1024
_CHUNKED = -1


@dataclass(frozen=True)
class Load:
    """What came of a run: the answers counted, over how many seconds, and how long each took, in ascending order."""

    seconds: float
    latencies_ms: Sequence[float]
    errors: int
    sent: int  # requests, those included that are not counted: at the beginning and at the end
    cpu_share: float  # of one core, taken by the generator itself

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return len(self.latencies_ms) / self.seconds

    def percentile(self, percent: int) -> float:
        """Return the latency in milliseconds that so many per cent of the answers did not exceed (nearest rank)."""
        return self.latencies_ms[max(0, -(-len(self.latencies_ms) * percent // 100) - 1)]


def request(method: str, path: str, token: str, body: bytes = b"") -> bytes:
    """Return the bytes of a request."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{head}\r\n".encode() + body


def put_under_load(port: int, requests: Sequence[bytes], connections: int, seconds: float) -> Load:
    """Send the requests, again and again in their order, over so many connections for so many seconds.

    An answer that is not a 2xx, or a connection that breaks, is an error. Raises TimeoutError when the server hangs,
    ValueError when an answer does not say where it ends.
    """
    run = _Run(port, cycle(requests))
    started, cpu_started = time.monotonic(), time.process_time()
    counting_from, end = started + seconds * _WARM_UP, started + seconds
    for _ in range(connections):
        run.begin(_Exchange())
    while run.selector.get_map():
        events = run.selector.select(_PATIENCE_S)
        if not events:
            raise TimeoutError("no answer within the generator's patience")
        for key, _ in events:
            run.go_on(key.data, counting_from, end)
    cpu_share = (time.process_time() - cpu_started) / (time.monotonic() - started)
    run.selector.close()
    return Load(end - counting_from, sorted(run.latencies_ms), run.errors, run.sent, cpu_share)


@dataclass
class _Exchange:
    """A connection, what of its request is still to be sent and what of the answer has come."""

    connection: socket.socket | None = None
    started: float = 0
    unsent: memoryview = field(default_factory=lambda: memoryview(b""))
    answer: bytearray = field(default_factory=bytearray)
    size: int = 0  # of the whole answer, as _read_size tells it

    @property
    def is_whole(self) -> bool:
        """Whether all of the answer has come."""
        if self.size == _CHUNKED:
            return self.answer.endswith(b"\r\n0\r\n\r\n")  # JSON has no line break of that kind inside
        return 0 < self.size <= len(self.answer)


class _Run:
    def __init__(self, port: int, requests: Iterator[bytes]) -> None:
        self.selector = selectors.DefaultSelector()
        self.latencies_ms: list[float] = []
        self.errors = 0
        self.sent = 0
        self._address = ("127.0.0.1", port)
        self._requests = requests

    def begin(self, exchange: _Exchange) -> None:
        """Send the next request, or as much of it as goes."""
        self.sent += 1
        exchange.started = time.monotonic()
        exchange.unsent = memoryview(next(self._requests))
        exchange.answer.clear()
        exchange.size = 0
        if exchange.connection is None:
            exchange.connection = socket.create_connection(self._address, _PATIENCE_S)
            exchange.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            exchange.connection.setblocking(False)
            self.selector.register(exchange.connection, selectors.EVENT_READ, exchange)
        self._send(exchange, exchange.connection)

    def go_on(self, exchange: _Exchange, counting_from: float, end: float) -> None:
        """Do what the connection is ready for, and begin anew when it has its answer and there is time left."""
        assert exchange.connection is not None
        if exchange.unsent:
            self._send(exchange, exchange.connection)
            return
        try:
            piece = exchange.connection.recv(_PIECE)
        except ConnectionError:
            piece = b""
        exchange.answer += piece
        exchange.size = exchange.size or _read_size(exchange.answer)
        if piece and not exchange.is_whole:
            return
        now = time.monotonic()
        if counting_from <= now and (now < end or not self.latencies_ms):  # one at least, however slow
            self._count(exchange, now)
        if not piece or b"\r\nConnection: close\r\n" in exchange.answer[:1000] or now >= end:
            self.selector.unregister(exchange.connection)
            exchange.connection.close()
            exchange.connection = None
        if now < end:
            self.begin(exchange)

    def _send(self, exchange: _Exchange, connection: socket.socket) -> None:
        try:
            exchange.unsent = exchange.unsent[connection.send(exchange.unsent) :]
        except BlockingIOError:
            pass
        except ConnectionError:  # what is read next tells
            exchange.unsent = memoryview(b"")
        events = selectors.EVENT_WRITE if exchange.unsent else selectors.EVENT_READ
        if self.selector.get_key(connection).events != events:
            self.selector.modify(connection, events, exchange)

    def _count(self, exchange: _Exchange, now: float) -> None:
        if exchange.is_whole and exchange.answer[9:10] == b"2":
            self.latencies_ms.append((now - exchange.started) * 1000)
        else:
            self.errors += 1


def _read_size(answer: bytearray) -> int:
    """Return the bytes of the whole answer, 0 as long as its head is incomplete, _CHUNKED when it comes in chunks."""
    end = answer.find(b"\r\n\r\n")
    if end < 0:
        return 0
    head = bytes(answer[: end + 2]).lower()
    _, has_length, rest = head.partition(b"\r\ncontent-length:")
    if has_length:
        return end + 4 + int(rest[: rest.index(b"\r\n")])
    if b"\r\ntransfer-encoding: chunked\r\n" in head:
        return _CHUNKED
    raise ValueError(f"an answer that does not say where it ends: {head!r}")
