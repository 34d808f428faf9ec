"""Settings: who changed what in the workspace."""

from typing import Any

from flask import request
from werkzeug.wrappers import Response

from promptcrafter.http.fields import Text
from promptcrafter.pages import lists
from promptcrafter.pages.blueprint import PageBlueprint
from promptcrafter.pages.rendering import render
from promptcrafter.permissions import Permission
from promptcrafter.prompts import store as prompts
from promptcrafter.workspaces import audit, member_store, store
from promptcrafter.workspaces.authentication import current_principal
from promptcrafter.workspaces.models import AuditEntry
from promptcrafter.workspaces.schemas import ACTIONS, AuditEntryOut, AuditQuery

blueprint = PageBlueprint("settings_audit", __name__)
_audit_entry_out = AuditEntryOut()
_ORDER = (AuditEntry.created_at, AuditEntry.seq)


class _AuditPageQuery(AuditQuery):
    """The filters of the audit trail, and the kind of a download."""

    format = Text(data_key="as", choices=("json", "csv", "ndjson"))


@blueprint.page("/settings/audit", permission=Permission.MANAGE)
@blueprint.arguments(_AuditPageQuery(), location="query")
def show_audit(query: dict[str, Any]) -> Response:
    """Show who changed what in the workspace."""
    principal = current_principal()
    workspace = store.get_workspace(principal, principal.current_id)
    entries = audit.find_entries(workspace.id, query)
    if "format" in query:
        return lists.download(query["format"], entries, _ORDER, _audit_entry_out, query)
    page = lists.read_page(entries, _ORDER, query)
    members = member_store.list_members(workspace)
    labelled = {entry.object_id for entry in page.rows if entry.object_type == "label"}  # the prompts of labels
    return render(
        "settings_audit.html",
        tab="audit",
        page=page,
        query=request.args,
        members=members,
        names={each.user_id: each.name for each in members},
        titles=prompts.get_titles(labelled),
        actions=ACTIONS,
    )
