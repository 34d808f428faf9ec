"""Request bodies: whole ones, and compressed ones, which all code reads as if they were not.

A body that ends before its Content-Length is 400 for whatever reads it. Half of a form or of lines could be valid.

Every route accepts gzip; `request_checks` refuses deflate where the route does not say that it accepts it.

A small body can decompress to any size. So it is decompressed in small pieces while it is read, and never beyond the
limit of its route. See docs/decisions/0032-gzip-of-requests-and-responses.md.
"""

import io
import zlib
from typing import IO, Any

import flask
from flask import Flask
from werkzeug.utils import cached_property

from promptcrafter.problems import Problem, TooLarge

GZIP, DEFLATE, IDENTITY = "gzip", "deflate", "identity"
# zlib's numbers for data with the header and trailer of gzip, and with its own (RFC 9110, section 8.4.1.2)
_FORMATS = {GZIP: 16 + zlib.MAX_WBITS, DEFLATE: zlib.MAX_WBITS}
_PIECE_BYTES = 16 * 1024  # zlib copies what follows the end of a gzip member: a small piece keeps that cheap


class _Request(flask.Request):
    """A request whose `stream`, and therefore `get_data()`, is the decompressed body.

    Of a body that is larger than `max_content_length`, that many bytes are returned, as of a chunked body. Reading
    raises 413 if the compressed body itself is as large, and 400 if it is damaged or incomplete.
    """

    @cached_property
    def stream(self) -> IO[bytes]:
        stream: Any = super().stream
        if self.content_length:  # the end of one in chunks is marked
            stream = _Whole(stream, self.content_length)
        return _Decompressed(stream, self) if is_compressed(self) else stream  # type: ignore[return-value]


class _Whole(io.RawIOBase):
    """A body of a declared length. Reading raises 400 where the client has sent less."""

    def __init__(self, stream: IO[bytes], length: int) -> None:
        self._stream = stream
        self._left = length

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        piece = self._take(self._stream.read(len(buffer)), is_last=False)
        buffer[: len(piece)] = piece
        return len(piece)

    def readall(self) -> bytes:
        return self._take(self._stream.read(), is_last=True)

    def _take(self, piece: bytes, *, is_last: bool) -> bytes:
        self._left -= len(piece)
        if self._left > 0 and (is_last or not piece):
            raise Problem(400, "The body ended before its Content-Length.", "incomplete_body")
        return piece


class _Decompressed(io.RawIOBase):
    """The content of compressed data, which is one member or several, one after the other. No data has no content."""

    def __init__(self, compressed: IO[bytes], request: flask.Request) -> None:
        (self._coding,) = codings_of(request)
        self._compressed = compressed
        self._declared = request.content_length or 0
        self._left = request.max_content_length or 0  # one byte more than the route accepts: see blueprint.init_app
        self._limit = self._left - 1
        self._size = 0  # of the compressed data read so far
        self._data = b""  # compressed data that has been read but not decompressed
        self._member: Any = None  # the decompressor of the present member

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        piece = self._read_piece(min(len(buffer), self._left))
        self._left -= len(piece)
        buffer[: len(piece)] = piece
        return len(piece)

    def readall(self) -> bytes:
        """Return the rest. Unlike that of the base class, it never holds the pieces beside the whole."""
        content = io.BytesIO()
        while piece := self._read_piece(min(_PIECE_BYTES, self._left)):
            self._left -= len(piece)
            content.write(piece)
        return content.getvalue()

    def _read_piece(self, size: int) -> bytes:
        """Return 1 to `size` bytes; none at the end of the data, or for a `size` of 0."""
        while size > 0:
            if self._member is None or self._member.eof:
                if not self._data and not self._fill():
                    break
                self._member = zlib.decompressobj(_FORMATS[self._coding])
            try:
                piece: bytes = self._member.decompress(self._data, size)
            except zlib.error as error:
                raise self._invalid("it is damaged, or followed by something else") from error
            self._data = self._member.unconsumed_tail or self._member.unused_data
            if piece:
                return piece
            if not self._member.eof and not self._data and not self._fill():
                raise self._invalid("it ends too early")
        return b""

    def _fill(self) -> bool:
        """Read more compressed data; return False at its end. Raises 413 if it is too large."""
        if self._declared > self._limit:
            raise TooLarge("The compressed request body", self._limit, self._declared)
        self._data = self._compressed.read(_PIECE_BYTES)
        self._size += len(self._data)
        if self._size > self._limit:
            raise TooLarge("The compressed request body", self._limit, self._declared or None)
        return bool(self._data)

    def _invalid(self, reason: str) -> Problem:
        return Problem(400, f"The body is not valid {self._coding} data: {reason}.", f"invalid_{self._coding}")


def init_app(app: Flask) -> None:
    """Decompress the bodies of all requests."""
    app.request_class = _Request


def codings_of(request: flask.Request) -> list[str]:
    """Return the content codings of the body, in the order in which they were applied; `identity` is left out."""
    header = request.environ.get("HTTP_CONTENT_ENCODING")
    names = (name.strip().lower() for name in header.split(",")) if header else ()
    return [GZIP if name == "x-gzip" else name for name in names if name not in ("", IDENTITY)]


def is_compressed(request: flask.Request) -> bool:
    """Return whether the body is compressed in a way that is decompressed."""
    return codings_of(request) in ([GZIP], [DEFLATE])
