"""The routes `GET /export` and `POST /import`."""

import io
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import chain
from typing import Any

from flask import Response, current_app, request

from promptcrafter.database.session import stream_snapshot
from promptcrafter.http.blueprint import Blueprint
from promptcrafter.http.formats import join_to_pieces
from promptcrafter.http.request_checks import NDJSON
from promptcrafter.idempotency.decorator import HEADER, read_key
from promptcrafter.permissions import Permission
from promptcrafter.problems import TooLarge
from promptcrafter.prompts.store import get_prompt
from promptcrafter.transfer import export_format, importer, store
from promptcrafter.transfer.id_policy import KEPT_IDS, IdPolicy, NewIds
from promptcrafter.transfer.schemas import ExportQuery, ImportOut, ImportQuery
from promptcrafter.workspaces.authentication import current_principal
from promptcrafter.workspaces.principal import refuse_role

blueprint = Blueprint("transfer", __name__, description="Export everything that an account owns, and import it")
_PIECE_BYTES = 64 * 1024
_IDEMPOTENCY_KEY = {
    "in": "header",
    "name": HEADER,
    "description": "With `ids=new`: importing the same file with the same key again changes nothing",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]{1,255}$"},
}


class _Body(io.RawIOBase):
    """The request body as a stream. Reading past the limit in bytes raises TooLarge."""

    def __init__(self, limit: int) -> None:
        request.max_content_length = limit + 1  # Werkzeug cuts a longer chunked body without an error
        self._limit = self._left = limit
        if (request.content_length or 0) > limit:
            raise TooLarge("The file", limit, request.content_length)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        piece = request.stream.read(len(buffer))
        self._left -= len(piece)
        if self._left < 0:
            raise TooLarge("The file", self._limit, None)
        buffer[: len(piece)] = piece
        return len(piece)


@blueprint.route("/export", permission=Permission.READ, refuses=(403, 404))
@blueprint.arguments(ExportQuery(), location="query")
@blueprint.response(200, {"type": "string", "format": "binary"}, content_type=NDJSON)
def export_all(query: dict[str, Any]) -> Response:
    """Return everything in the workspace, or one prompt with its logs, one typed JSON object a line."""
    principal, prompt_id, form = current_principal(), query.get("promptId"), query["form"]
    if prompt_id is not None:
        principal = replace(principal, current_id=get_prompt(principal, prompt_id).workspace_id)
    if request.method == "GET":
        store.note_export(principal, prompt_id)
    reader = stream_snapshot()  # open until the response is sent, which is after the request context has ended
    try:
        pieces = join_to_pieces(export_format.write_lines(store.each_row(reader, principal, form, prompt_id), form))
        first = next(pieces)  # read before the response starts, so that a failure still gets an error status
    except BaseException:
        reader.close()
        raise
    response = current_app.response_class(chain([first], pieces), mimetype=NDJSON)
    response.call_on_close(reader.close)
    return response


@blueprint.route(
    "/import",
    methods=["POST"],
    permission=Permission.WRITE,
    takes_file="The file that `GET /export` returned, on this server or another one. It may also be sent as "
    "`application/x-ndjson`",
    refuses=(403, 404, 409),
)
@blueprint.arguments(ImportQuery(), location="query")
@blueprint.response(200, ImportOut())
@blueprint.doc(parameters=[_IDEMPOTENCY_KEY])
def import_all(query: dict[str, Any]) -> importer.Counts:
    """Import an export into the caller's account. What the account has already is skipped."""
    principal = current_principal()
    refuse_role(principal)  # before the file is read; one without records would never ask
    policy: AbstractContextManager[IdPolicy] = nullcontext(KEPT_IDS)
    if query["ids"] == "new":
        policy = NewIds(principal, read_key())
    raw: io.RawIOBase = _Body(current_app.config["MAX_IMPORT_BYTES"])
    body = io.BufferedReader(raw, _PIECE_BYTES)
    with policy as ids, importer.check(principal, export_format.read_records(body), ids) as checked:
        return importer.store_checked(principal, checked, ids)
