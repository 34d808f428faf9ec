"""The response with an export, which the API and the pages share."""

from dataclasses import replace
from itertools import chain

from flask import Response, current_app

from promptcrafter.database.session import stream_snapshot
from promptcrafter.http.formats import join_to_pieces
from promptcrafter.http.request_checks import NDJSON
from promptcrafter.prompts.store import get_prompt
from promptcrafter.transfer import export_format, store
from promptcrafter.transfer.records import FORM
from promptcrafter.workspaces.principal import Principal


def export_response(
    principal: Principal, prompt_id: str | None = None, form: int = FORM, *, is_noted: bool = True
) -> Response:
    """Return the streamed response with everything in the current workspace, or one prompt with its logs.

    The audit trail gets an entry if `is_noted`. Raises 404 and 403 for a prompt that the principal has not.
    """
    if prompt_id is not None:
        principal = replace(principal, current_id=get_prompt(principal, prompt_id).workspace_id)
    if is_noted:
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
