"""Translate Gunicorn's errors about malformed chunked bodies, so that only the server room depends on Gunicorn."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from flask import Flask
from gunicorn.http.errors import NoMoreData, ParseException

from promptcrafter.problems import InvalidChunks

_Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


class _Input:
    """A `wsgi.input` whose reading methods, those of PEP 3333, raise InvalidChunks instead of Gunicorn's errors."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        with _translating():
            return self._stream.read(size)

    def readline(self, size: int = -1) -> bytes:
        with _translating():
            return self._stream.readline(size)

    def readlines(self, hint: int = -1) -> list[bytes]:
        with _translating():
            return self._stream.readlines(hint)

    def __iter__(self) -> Iterator[bytes]:
        with _translating():
            yield from self._stream


def init_app(app: Flask) -> None:
    """Wrap the input of requests that have a transfer coding; others have no chunks and are passed on as they are."""
    app.wsgi_app = _wrap_input(app.wsgi_app)  # type: ignore[method-assign, assignment]


def _wrap_input(inner: _Wsgi) -> _Wsgi:
    def wrapped(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if "HTTP_TRANSFER_ENCODING" in environ:
            environ["wsgi.input"] = _Input(environ["wsgi.input"])
        return inner(environ, start_response)

    return wrapped


@contextmanager
def _translating() -> Iterator[None]:
    try:
        yield
    except (NoMoreData, ParseException) as error:  # the first one where the body ends within a chunk
        raise InvalidChunks from error
