"""Settings: who changed what in the workspace."""

from typing import Any

from werkzeug.wrappers import Response

from promptcrafter.pages import lists
from promptcrafter.pages.blueprint import PageBlueprint
from promptcrafter.pages.rendering import render
from promptcrafter.permissions import Permission
from promptcrafter.workspaces import audit, store
from promptcrafter.workspaces.authentication import current_principal
from promptcrafter.workspaces.models import AuditEntry
from promptcrafter.workspaces.schemas import AuditQuery

blueprint = PageBlueprint("settings_audit", __name__)


@blueprint.page("/settings/audit", permission=Permission.MANAGE)
@blueprint.arguments(AuditQuery(), location="query")
def show_audit(query: dict[str, Any]) -> Response:
    """Show who changed what in the workspace."""
    workspace = store.get_workspace(current_principal(), current_principal().current_id)
    entries = audit.find_entries(workspace, query)
    page = lists.read_page(entries, (AuditEntry.created_at, AuditEntry.seq), query)
    return render("settings_audit.html", tab="audit", page=page)
