"""The parser of forms: it refuses what would take seconds to parse, before anybody is known to have sent it."""

import io
from typing import IO, Any
from urllib.parse import unquote_to_bytes

from werkzeug.formparser import FormDataParser

from promptcrafter.problems import Problem

_FIELDS_MAX = 10_000  # several times as many as the largest form of a page has
_URLENCODED = "application/x-www-form-urlencoded"


class FormParser(FormDataParser):
    """Werkzeug's parser, for forms in UTF-8 with a bounded number of fields. It bounds those of other forms itself."""

    def parse(
        self, stream: IO[bytes], mimetype: str, content_length: int | None, options: dict[str, str] | None = None
    ) -> Any:
        """Return what Werkzeug returns. Raises 400."""
        if mimetype == _URLENCODED:
            body = stream.read()
            _refuse_slow_form(body)
            stream = io.BytesIO(body)
        return super().parse(stream, mimetype, content_length, options)


def _refuse_slow_form(body: bytes) -> None:
    if body.count(b"&") >= _FIELDS_MAX:
        raise Problem(400, f"A form may have at most {_FIELDS_MAX:,} fields.", "malformed_form")
    try:
        unquote_to_bytes(body).decode()
    except UnicodeDecodeError as error:  # of which Werkzeug would handle each byte by itself
        raise Problem(400, "The form is not UTF-8.", "invalid_utf8") from error
