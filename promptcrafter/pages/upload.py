"""A form with a file, read while it is sent: the file is never held as a whole, neither in memory nor on disk."""

from typing import IO

from flask import request
from werkzeug.sansio.multipart import Data, Epilogue, Event, Field, File, MultipartDecoder, NeedData

from promptcrafter.problems import Invalid, Problem, TooLarge
from promptcrafter.text import shorten

_PIECE_BYTES = 64 * 1024
_BUFFER_BYTES = 4 * _PIECE_BYTES
_FORM_BYTES = 64 * 1024  # that the form may have beside the file
_FIELD_BYTES = 1024
_PARTS_MAX = 10


class _Parts:
    """The events of a multipart body, one after the other. Raises 400 for a malformed one, or one that is cut off."""

    def __init__(self, stream: IO[bytes], boundary: str) -> None:
        self._stream = stream
        self._decoder = MultipartDecoder(boundary.encode(), _BUFFER_BYTES, max_parts=_PARTS_MAX)

    def read(self) -> Event:
        try:
            while isinstance(event := self._decoder.next_event(), NeedData):
                self._decoder.receive_data(self._stream.read(_PIECE_BYTES) or None)
        except ValueError as error:
            raise Problem(400, "The form is malformed or was cut off. Send it again.", "malformed_form") from error
        return event

    def read_data(self) -> Data:
        event = self.read()
        if not isinstance(event, Data):
            raise Problem(400, "The form is malformed. Send it again.", "malformed_form")
        return event


class SentFile:
    """The file of a form, which can be read once.

    Reading its end raises 400 for a field behind it: what the form asks would be known too late, and be ignored.
    """

    def __init__(self, parts: _Parts) -> None:
        self._parts = parts
        self._rest = b""
        self._has_more = True

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes; none at the end."""
        while not self._rest and self._has_more:
            data = self._parts.read_data()
            self._rest, self._has_more = data.data, data.more_data
            if not self._has_more:
                self._refuse_further_parts()
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece

    def _refuse_further_parts(self) -> None:
        event = self._parts.read()
        if isinstance(event, File | Field):
            raise Invalid({shorten(event.name): ["must come before the file in the form"]})


def read_upload(limit: int) -> tuple[dict[str, str], SentFile]:
    """Return the fields before the file of a form, and the file. Raises 400 without a file, and 413.

    A form that is larger than `limit` in bytes by more than its fields is refused at once.
    """
    request.max_content_length = limit + _FORM_BYTES
    if (request.content_length or 0) > limit + _FORM_BYTES:
        raise TooLarge("The file", limit, request.content_length)
    boundary = request.mimetype_params.get("boundary")
    if request.mimetype != "multipart/form-data" or not boundary:
        raise _no_file()
    parts = _Parts(request.stream, boundary)
    fields: dict[str, str] = {}
    while not isinstance(event := parts.read(), Epilogue):
        if isinstance(event, File):
            if not event.filename:  # nothing was chosen
                break
            return fields, SentFile(parts)
        if isinstance(event, Field):
            fields[event.name] = _read_field(parts)
    raise _no_file()


def _read_field(parts: _Parts) -> str:
    text, has_more = b"", True
    while has_more:
        data = parts.read_data()
        text, has_more = text + data.data, data.more_data
        if len(text) > _FIELD_BYTES:
            raise TooLarge("A field of this form", _FIELD_BYTES, None)
    return text.decode(errors="replace")


def _no_file() -> Problem:
    return Problem(400, "Choose a file.", "no_file")
