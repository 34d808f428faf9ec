"""A load generator for HTTP servers: one process that sends prebuilt requests on raw sockets, and so needs little CPU.

Each connection sends its next request as soon as it has the response. If the server closes a connection after a
response, the generator reconnects, and the time for that is part of the next request's latency.
"""

import selectors
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle

_WARM_UP = 0.15  # the fraction of the time, at the beginning, that is not counted
_TIMEOUT_S = 30  # to wait for a response, also for those outstanding at the end
_PIECE = 256 * 1024
_CHUNKED = -1


@dataclass(frozen=True)
class Load:
    """The result of a run: the seconds that were counted, and the latencies of their responses in ascending order."""

    seconds: float
    latencies_ms: Sequence[float]
    first_bytes_ms: Sequence[float]  # when the first bytes of these responses came, in ascending order
    errors: int
    sent: int  # all requests, including those before and after the counted seconds
    cpu_share: float  # of one core, used by the generator itself

    @property
    def per_second(self) -> float:
        """Responses per second."""
        return len(self.latencies_ms) / self.seconds

    def percentile(self, percent: int) -> float:
        """Return a percentile of the latencies in milliseconds, by the nearest-rank method."""
        return find_percentile(self.latencies_ms, percent)


def find_percentile(ascending: Sequence[float], percent: int) -> float:
    """Return a percentile of values, by the nearest-rank method."""
    return ascending[max(0, -(-len(ascending) * percent // 100) - 1)]


def request(
    method: str,
    path: str,
    token: str,
    body: bytes = b"",
    accept_encoding: str = "",
    if_none_match: str = "",
    content_type: str = "application/json",
    cookie: str = "",
) -> bytes:
    """Return a request as bytes, with the token or, for a page, the cookie of a session."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    head += f"Cookie: {cookie}\r\n" if cookie else f"Authorization: Bearer {token}\r\n"
    if accept_encoding:
        head += f"Accept-Encoding: {accept_encoding}\r\n"
    if if_none_match:
        head += f"If-None-Match: {if_none_match}\r\n"
    if body:
        head += f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
    return f"{head}\r\n".encode() + body


def put_under_load(port: int, requests: Iterable[bytes], connections: int, seconds: float) -> Load:
    """Send the requests repeatedly in their order, over this number of connections and for this number of seconds.

    Responses other than 2xx and 304, and lost connections count as errors. Raises TimeoutError if no response arrives
    in time, ValueError if a response has neither a Content-Length nor is chunked.
    """
    run = _Run(port, cycle(requests))
    started, cpu_started = time.monotonic(), time.process_time()
    counting_from, end = started + seconds * _WARM_UP, started + seconds
    for _ in range(connections):
        run.begin(_Exchange())
    while run.selector.get_map():
        events = run.selector.select(_TIMEOUT_S)
        if not events:
            raise TimeoutError(f"no response within {_TIMEOUT_S} s")
        for key, _ in events:
            run.advance(key.data, counting_from, end)
    cpu_share = (time.process_time() - cpu_started) / (time.monotonic() - started)
    run.selector.close()
    latencies = sorted(run.latencies_ms), sorted(run.first_bytes_ms)
    return Load(end - counting_from, *latencies, run.errors, run.sent, cpu_share)


@dataclass
class _Exchange:
    """A connection with the unsent part of its request and the received part of the response."""

    connection: socket.socket | None = None
    started: float = 0
    answered: float = 0  # when the first bytes of the response came
    unsent: memoryview = field(default_factory=lambda: memoryview(b""))
    answer: bytearray = field(default_factory=bytearray)
    size: int = 0  # of the whole response, as returned by _read_size

    @property
    def is_whole(self) -> bool:
        """Whether the whole response has been received."""
        if self.size == _CHUNKED:
            return self.answer.endswith(b"\r\n0\r\n\r\n")  # JSON never contains this line break
        return 0 < self.size <= len(self.answer)


class _Run:
    """The connections of a run and the counts so far."""

    def __init__(self, port: int, requests: Iterator[bytes]) -> None:
        self.selector = selectors.DefaultSelector()
        self.latencies_ms: list[float] = []
        self.first_bytes_ms: list[float] = []
        self.errors = 0
        self.sent = 0
        self._address = ("127.0.0.1", port)
        self._requests = requests

    def begin(self, exchange: _Exchange) -> None:
        """Send the next request, or as much of it as the socket accepts."""
        self.sent += 1
        exchange.started = time.monotonic()
        exchange.unsent = memoryview(next(self._requests))
        exchange.answer.clear()
        exchange.size = 0
        if exchange.connection is None:
            exchange.connection = socket.create_connection(self._address, _TIMEOUT_S)
            exchange.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            exchange.connection.setblocking(False)
            self.selector.register(exchange.connection, selectors.EVENT_READ, exchange)
        self._send(exchange, exchange.connection)

    def advance(self, exchange: _Exchange, counting_from: float, end: float) -> None:
        """Send or receive on a ready connection; after a complete response, begin the next request until the end."""
        assert exchange.connection is not None
        if exchange.unsent:
            self._send(exchange, exchange.connection)
            return
        try:
            piece = exchange.connection.recv(_PIECE)
        except ConnectionError:
            piece = b""
        if not exchange.answer:
            exchange.answered = time.monotonic()
        exchange.answer += piece
        exchange.size = exchange.size or _read_size(exchange.answer)
        if piece and not exchange.is_whole:
            return
        now = time.monotonic()
        if counting_from <= now and (now < end or not self.latencies_ms):  # at least one, even after the end
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
        except ConnectionError:  # the next read detects it
            exchange.unsent = memoryview(b"")
        events = selectors.EVENT_WRITE if exchange.unsent else selectors.EVENT_READ
        if self.selector.get_key(connection).events != events:
            self.selector.modify(connection, events, exchange)

    def _count(self, exchange: _Exchange, now: float) -> None:
        if exchange.is_whole and (exchange.answer[9:10] == b"2" or _is_not_modified(exchange.answer)):
            self.latencies_ms.append((now - exchange.started) * 1000)
            self.first_bytes_ms.append((exchange.answered - exchange.started) * 1000)
        else:
            self.errors += 1


def _read_size(answer: bytearray) -> int:
    """Return the size of the whole response in bytes, 0 while its head is incomplete, _CHUNKED if it is chunked."""
    end = answer.find(b"\r\n\r\n")
    if end < 0:
        return 0
    if _is_not_modified(answer):
        return end + 4
    head = bytes(answer[: end + 2]).lower()
    _, has_length, tail = head.partition(b"\r\ncontent-length:")
    if has_length:
        return end + 4 + int(tail[: tail.index(b"\r\n")])
    if b"\r\ntransfer-encoding: chunked\r\n" in head:
        return _CHUNKED
    raise ValueError(f"a response with neither Content-Length nor chunks: {head!r}")


def _is_not_modified(answer: bytearray) -> bool:
    """Return whether the status is 304, which has no body."""
    return answer[9:12] == b"304"
