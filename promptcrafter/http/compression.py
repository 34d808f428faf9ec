"""Compress responses with gzip for clients that accept it.

A streamed response stays one: each piece is compressed and sent when it is made. The compressed form of a response has
an entity tag of its own (RFC 9110, section 8.8.3), that of the uncompressed form with `-gzip` at its end. Requests may
name either; views know only the tag of the uncompressed form. See
docs/decisions/0032-gzip-of-requests-and-responses.md.
"""

import zlib
from collections.abc import Iterable, Iterator
from functools import lru_cache

from flask import Flask, Response, g, request
from werkzeug.datastructures import Headers
from werkzeug.http import parse_accept_header

from promptcrafter.http.decompression import GZIP
from promptcrafter.http.formats import NDJSON_TYPES
from promptcrafter.http.route import requested_route
from promptcrafter.http.yaml_form import YAML_TYPES

_MIN_BYTES = 1024  # a smaller body fits into one packet either way
_LEVEL = 1
_GZIP_FORMAT = 16 + zlib.MAX_WBITS  # zlib's number for data with the header and trailer of gzip
_TYPES = {"application/json", "application/javascript", *NDJSON_TYPES, *YAML_TYPES}  # and text/*
_TAG_END = f'-{GZIP}"'
_VARY = "Accept-Encoding"


def init_app(app: Flask) -> None:
    """Compress the responses of all routes that return no secret."""
    app.before_request(_translate_tags)
    app.after_request(_compress)


def _translate_tags() -> None:
    """Replace the entity tags of compressed forms by those of the uncompressed ones, which views compare with theirs.

    `If-Range` is left alone: a range of the uncompressed form is useless to a client that has a part of the other.
    """
    environ = request.environ
    if _TAG_END in environ.get("HTTP_IF_MATCH", ""):
        environ["HTTP_IF_MATCH"] = environ["HTTP_IF_MATCH"].replace(_TAG_END, '"')
    cached = environ.get("HTTP_IF_NONE_MATCH", "")
    if _TAG_END in cached and _read_accept_encoding(environ.get("HTTP_ACCEPT_ENCODING", ""))[0]:
        g.cached_tags = cached
        environ["HTTP_IF_NONE_MATCH"] = cached.replace(_TAG_END, '"')


def _compress(response: Response) -> Response:
    """Compress the response if it is large enough and the client accepts that; `Vary` says that it depends on both."""
    if response.status_code == 304:
        _add_vary(response.headers)
        if f'"{response.get_etag()[0]}{_TAG_END}' in g.get("cached_tags", ""):
            _mark_tag(response)
        return response
    if not _is_compressible(response):
        return response
    is_accepted, is_required = _read_accept_encoding(request.headers.get("Accept-Encoding", ""))
    size = response.content_length
    if size is None and not response.is_streamed:
        size = len(response.get_data())
    if size == 0 or (size is not None and size < _MIN_BYTES and not (is_accepted and is_required)):
        return response
    _add_vary(response.headers)
    if not is_accepted:
        return response
    if response.is_streamed:
        response.call_on_close(getattr(response.response, "close", lambda: None))
        response.response = _compress_pieces(response.iter_encoded())
        response.direct_passthrough = False
        response.headers.pop("Content-Length", None)
    else:
        response.set_data(zlib.compress(response.get_data(), _LEVEL, _GZIP_FORMAT))  # sets Content-Length
    response.headers["Content-Encoding"] = GZIP
    response.headers.pop("Accept-Ranges", None)
    _mark_tag(response)
    return response


def _is_compressible(response: Response) -> bool:
    """Return whether the response may be compressed, whatever its size."""
    headers, mimetype = response.headers, response.mimetype or ""
    if response.status_code in (204, 206) or not (mimetype in _TYPES or mimetype.startswith("text/")):
        return False
    if "Content-Encoding" in headers:
        return False
    if "no-transform" in headers.get("Cache-Control", "") or "no-transform" in request.headers.get("Cache-Control", ""):
        return False
    route = requested_route()
    return route is None or not route.returns_secret


def _compress_pieces(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield each piece compressed and complete: none of it is held back until the next one is made.

    If making a piece fails, the end of the gzip data is missing, so that the client cannot take the rest for all.
    """
    compressor = zlib.compressobj(_LEVEL, wbits=_GZIP_FORMAT)
    for piece in pieces:
        yield compressor.compress(piece) + compressor.flush(zlib.Z_SYNC_FLUSH)
    yield compressor.flush()


@lru_cache(maxsize=64)
def _read_accept_encoding(header: str) -> tuple[bool, bool]:
    """Return whether the client accepts gzip and does not prefer none, and whether it refuses none."""
    qualities = {name.lower(): quality for name, quality in parse_accept_header(header)}
    others = qualities.get("*")
    gzip = qualities.get(GZIP, qualities.get("x-gzip", others or 0))
    identity = qualities.get("identity", others)
    return gzip > 0 and gzip >= (identity or 0), identity == 0


def _add_vary(headers: Headers) -> None:
    present = headers.get("Vary")
    if present is None:
        headers.add("Vary", _VARY)
    elif present != "*" and _VARY.lower() not in present.lower():
        headers["Vary"] = f"{present}, {_VARY}"


def _mark_tag(response: Response) -> None:
    """Replace a strong entity tag by that of the compressed form. A weak one holds for both."""
    tag, is_weak = response.get_etag()
    if tag is not None and not is_weak:
        response.set_etag(tag + _TAG_END[:-1])
