"""Collect the requests of one connection, piece by piece, before a thread is given to them.

This module finds where a head and a body end; Gunicorn's parser then reads the head and decodes the chunks. A client
that sends slowly occupies no thread.
"""

import io
import re
import tempfile
from collections.abc import Callable
from typing import IO, Any

from gunicorn.http.body import Body, ChunkedReader, LengthReader
from gunicorn.http.errors import LimitRequestHeaders, NoMoreData
from gunicorn.http.message import Request
from gunicorn.http.unreader import Unreader

HEAD_MAX = 64 * 1024  # bytes of a request line and its header fields together
PIECE = 64 * 1024  # bytes read from a connection or a file at once
_PARSED = 8 * 1024  # bytes given to Gunicorn's parser at once, which copies what it has left for each line and chunk
_READ_AHEAD = 64 * 1024  # what the application may ask for beyond the largest body, to see that a body is larger
_LINE_MAX = 256  # bytes of the line before a chunk, with its extensions
_TRAILERS_MAX = 8 * 1024  # bytes of the fields after the last chunk
_SMALL_CHUNKS_MAX = 10_000  # of a body whose chunks have less than the next number of bytes on average
_SMALL_CHUNK = 32
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[^\r\n]*)?\r\n")


class BodyWanted(BaseException):
    """The application reads a body that has not been collected, because it is large.

    It is no `Exception`, so that no handler of the application answers it.
    """


class Incoming:
    """The input of one connection.

    `feed` it with what has been received, then ask `has_request`. The request is in `request`, its input for the
    application in `wsgi_input`; `next` forgets it and goes on with what has been received after it.

    A body that is longer than `body_max` bytes is collected only when the application has asked for it: `has_request`
    returns True without it, and reading it raises BodyWanted. Then `collect_all` lets it be collected in a file.
    """

    def __init__(self, cfg: Any, peer: Any, body_max: int) -> None:
        self._cfg = cfg
        self._peer = peer
        self._body_max = body_max
        self._count = 0  # of requests
        self._received = bytearray()
        self._searched = 0  # bytes of `_received` that do not contain the end of the head
        self.request: Any = None
        self._length: int | None = None  # of the body; None for one in chunks
        self._chunks: _ChunkScanner | None = None
        self._file: IO[bytes] | None = None  # holds a large body
        self._file_size = 0
        self._is_all_wanted = False
        self._has_ended = False
        self.expects_continue = False  # whether the client waits for `100 Continue` before it sends the body

    @property
    def has_ended(self) -> bool:
        """Whether the client sends nothing any more."""
        return self._has_ended

    @property
    def held(self) -> int:
        """How many bytes are held in memory."""
        return len(self._received)

    @property
    def has_begun(self) -> bool:
        """Whether a part of a request has been received."""
        return self.request is not None or bool(self._received)

    @property
    def is_whole(self) -> bool:
        """Whether the body has been collected, so that the next request begins behind it."""
        if self._chunks is not None:
            return self._chunks.is_clean
        return self._length is not None and self._collected() >= self._length

    def feed(self, data: bytes) -> None:
        """Take what has been received; nothing means that nothing more will be. Raises OSError if a disk is full."""
        if not data:
            self._has_ended = True
        elif self._file is None:
            self._received += data
        else:
            self._store(data)

    def has_request(self) -> bool:
        """Return whether there is a request to be answered. Raises Gunicorn's errors for a malformed head."""
        if self.request is None and not self._read_head():
            return False
        return self._has_ended or self._has_body()

    def collect_all(self) -> None:
        """Collect the body of the present request in a file, however long it is. Raises OSError."""
        self._is_all_wanted = True
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed in next() or close()
        received = bytes(self._received)
        self._received.clear()
        if self._chunks is not None:
            self._chunks = _ChunkScanner()
        self._store(received)

    def next(self) -> None:
        """Forget the present request and its body."""
        if self._file is not None:
            self._file.close()
        elif self._length is not None:
            del self._received[: self._length]
        elif self._chunks is not None:
            del self._received[: self._chunks.scanned]
        self.request = self._length = self._chunks = self._file = None
        self._searched = self._file_size = 0
        self.expects_continue = False
        self._is_all_wanted = False

    def close(self) -> None:
        """Free what is held."""
        if self._file is not None:
            self._file.close()
        self._received.clear()

    def wsgi_input(self) -> Any:
        """Return the body for the application, as PEP 3333 describes it."""
        if self._length is None:
            return Body(ChunkedReader(self.request, self._make_source()))
        if self._file is None and len(self._received) >= self._length:
            return io.BytesIO(self._received[: self._length])
        return Body(LengthReader(self._make_source(), self._length))

    def _read_head(self) -> bool:
        received = self._received
        end = received.find(b"\r\n\r\n", max(0, self._searched - 3))
        if end < 0 and len(received) <= HEAD_MAX and not _has_bare_newline(received, self._searched):
            self._searched = len(received)
            return False
        head = bytes(received) if end < 0 else bytes(received[: end + 4])
        self._count += 1
        try:
            request = Request(self._cfg, _Source(head), self._peer, self._count)
        except NoMoreData as error:  # it was cut because it is too long
            raise LimitRequestHeaders("limit request head size") from error
        del received[: len(head)]
        self.request = request
        self.expects_continue, request._expected_100_continue = request._expected_100_continue, False
        reader = request.body.reader
        self._length = reader.length if isinstance(reader, LengthReader) else None
        self._chunks = _ChunkScanner() if self._length is None else None
        return True

    def _has_body(self) -> bool:
        if self._length is not None:
            is_large = self._length > self._body_max
            return self._collected() >= self._length or (is_large and not self._is_all_wanted)
        assert self._chunks is not None
        if self._file is None:
            self._chunks.feed(memoryview(self._received)[self._chunks.scanned :].tobytes())
            is_large = self._chunks.payload > self._body_max + _READ_AHEAD
            return self._chunks.is_done or (is_large and not self._is_all_wanted)
        return self._chunks.is_done

    def _collected(self) -> int:
        """Return how many bytes of a body of known length have been received."""
        return len(self._received) if self._file is None else self._file_size

    def _store(self, data: bytes) -> None:
        """Write a piece of a large body to the file; what comes after the body stays in memory."""
        assert self._file is not None
        if self._chunks is not None:
            count = self._chunks.feed(data)
        else:
            assert self._length is not None
            count = min(len(data), self._length - self._file_size)
        view = memoryview(data)[:count]
        while view:
            view = view[self._file.write(view) :]
        self._file_size += count
        self._received += data[count:]

    def _make_source(self) -> "_Source":
        """Return the collected bytes of the body; of one that was not collected, reading on raises BodyWanted."""
        if self._file is not None:
            self._file.seek(0)
            return _Source(b"", self._file.read)
        if self._length is not None:
            return _Source(bytes(self._received) if self._has_ended else b"", self._read_on)
        assert self._chunks is not None
        return _Source(bytes(memoryview(self._received)[: self._chunks.scanned]), self._read_on)

    def _read_on(self, _size: int) -> bytes:
        if self._has_ended or (self._chunks is not None and self._chunks.is_done):
            return b""
        raise BodyWanted


class _Source(Unreader):
    """What Gunicorn's parsers read from: collected bytes, then what a function returns."""

    def __init__(self, data: bytes, read: Callable[[int], bytes] = lambda size: b"") -> None:
        super().__init__()
        self._data = memoryview(data)
        self._read = read

    def chunk(self, size_hint: int | None = None) -> bytes:
        size = min(max(size_hint or 0, _PARSED), PIECE)  # the hint is what is left of the present chunk or body
        if not self._data:
            return self._read(size)
        piece, self._data = self._data[:size], self._data[size:]
        return piece.tobytes()


class _ChunkScanner:
    """Finds the end of a body in chunks (RFC 9112, section 7.1).

    It accepts no framing that Gunicorn's decoder would refuse. A body that it does not accept is done where the fault
    is, and Gunicorn's decoder says what is wrong.
    """

    def __init__(self) -> None:
        self.scanned = 0  # bytes of the body, with its framing
        self.payload = 0  # bytes without it
        self.is_done = False
        self.is_clean = False  # whether the body is complete, so that the next request begins behind it
        self._count = 0  # of chunks
        self._left = 0  # bytes of the present chunk
        self._line = b""  # the beginning of one that has not been received whole
        self._trailers: int | None = None  # bytes of them
        self._is_behind_chunk = False

    def feed(self, data: bytes) -> int:
        """Go on with these bytes; return how many of them belong to the body."""
        at = 0
        while at < len(data) and not self.is_done:
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
                self.payload += step
                at += step
                continue
            end = data.find(b"\n", at, at + _LINE_MAX) + 1
            piece = data[at:end] if end else data[at : at + _LINE_MAX]
            self._line += piece
            at += len(piece)
            if end:
                line, self._line = self._line, b""
                self._read_line(line)
            elif len(self._line) >= _LINE_MAX:
                self.is_done = True
        self.scanned += at
        return at

    def _read_line(self, line: bytes) -> None:
        if self._trailers is not None:
            self._trailers += len(line)
            self.is_clean = line == b"\r\n" and self._trailers == len(line)
            self.is_done = line == b"\r\n" or self._trailers > _TRAILERS_MAX
        elif self._is_behind_chunk:
            self._is_behind_chunk = False
            self.is_done = line != b"\r\n"
        elif (match := _CHUNK_SIZE.fullmatch(line)) is None:
            self.is_done = True
        elif int(match[1], 16) == 0:
            self._trailers = 0
        else:
            self._left = int(match[1], 16)
            self._count += 1
            self._is_behind_chunk = True
            self.is_done = self._count > _SMALL_CHUNKS_MAX and self.payload < self._count * _SMALL_CHUNK


def _has_bare_newline(received: bytearray, start: int) -> bool:
    """Return whether a line ends without a carriage return, which no further input can mend."""
    at = received.find(b"\n", start)
    while at >= 0:
        if at == 0 or received[at - 1] != 13:
            return True
        at = received.find(b"\n", at + 1)
    return False
