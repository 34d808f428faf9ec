"""Settings: the export of a workspace, and the import of a file."""

from typing import Any

from flask import current_app, request
from marshmallow import Schema
from werkzeug.wrappers import Response

from promptcrafter.http.fields import ForeignId
from promptcrafter.pages.blueprint import PageBlueprint
from promptcrafter.pages.rendering import protect, render
from promptcrafter.pages.upload import read_upload
from promptcrafter.permissions import Permission
from promptcrafter.problems import Problem
from promptcrafter.transfer.export_response import export_response
from promptcrafter.transfer.id_policy import ExistsElsewhere, ImportConflict
from promptcrafter.transfer.import_file import LimitedFile, import_file
from promptcrafter.transfer.importer import Counts, ImportInterrupted, ImportRefused, ImportSuspended
from promptcrafter.workspaces.authentication import current_principal
from promptcrafter.workspaces.principal import refuse_role

blueprint = PageBlueprint("settings_transfer", __name__)
# What a line of a file is called on pages
_NAMES = {
    "prompts": ("prompt", "prompts"),
    "versions": ("version", "versions"),
    "logs": ("output", "outputs"),
    "scores": ("score", "scores"),
    "scoreConfigs": ("setting of scores", "settings of scores"),
    "experiments": ("experiment", "experiments"),
    "traces": ("run", "runs"),
    "spans": ("step", "steps"),
}


class _ExportQuery(Schema):
    """What to export: everything, or one prompt with its outputs."""

    prompt_id = ForeignId(data_key="promptId")


@blueprint.page("/settings/transfer")
def show_transfer() -> Response:
    """Show how to export the workspace and to import a file."""
    return _show_transfer()


@blueprint.page("/settings/export")
@blueprint.arguments(_ExportQuery(), location="query")
def download_export(query: dict[str, str]) -> Response:
    """Return what `GET /export` returns, as a file."""
    principal = current_principal()
    response = export_response(principal, query.get("prompt_id"), is_noted=request.method == "GET")
    name = query.get("prompt_id") or principal.memberships[principal.current_id].slug
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.ndjson"'
    return protect(response)


@blueprint.page("/settings/import", methods=["POST"], permission=Permission.WRITE)
def import_upload() -> Response:
    """Import a file while it is sent, and show what came of it."""
    principal = current_principal()
    refuse_role(principal)  # before anything of the file is read
    limit = current_app.config["MAX_IMPORT_BYTES"]
    fields: dict[str, str] = {}
    try:
        fields, file = read_upload(limit)
        counts = import_file(principal, LimitedFile(file, limit), has_new_ids=fields.get("ids") == "new")
    except Problem as problem:
        is_partial = isinstance(problem, (ImportInterrupted, ImportRefused, ImportSuspended))
        if problem.status == 401 or (problem.status in (429, 503) and not is_partial):
            raise
        # a browser sends the file once more with the form; that it is to be a copy then is chosen already
        makes_copy = fields.get("ids") == "new" or isinstance(problem, ImportConflict)
        page = _show_transfer(problem=problem, makes_copy=makes_copy, is_partial=is_partial)
        page.status_code = problem.status
        return page
    return _show_transfer(counts=counts)


def _show_transfer(
    counts: Counts | None = None, problem: Problem | None = None, *, makes_copy: bool = False, is_partial: bool = False
) -> Response:
    """Show the page. With a problem, `is_partial` is whether a part of the file may be stored."""
    values: dict[str, Any] = {"counts": counts, "problem": problem, "makes_copy": makes_copy, "is_partial": is_partial}
    values["elsewhere"] = problem.location if isinstance(problem, ExistsElsewhere) else None
    if counts is not None:
        values |= {kind: _describe(counts, kind) for kind in ("created", "skipped")}
    return render("settings_transfer.html", tab="transfer", limit=current_app.config["MAX_IMPORT_BYTES"], **values)


def _describe(counts: Counts, outcome: str) -> list[str]:
    """Return how many of each type were `created` or `skipped`, in words, without what is none."""
    found = ((names, counts.get(kind, {}).get(outcome, 0)) for kind, names in _NAMES.items())
    return [f"{count:,} {names[count != 1]}" for names, count in found if count]
