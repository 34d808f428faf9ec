"""The way from `/app` to a workspace, and its first page."""

from flask import redirect, url_for
from werkzeug.wrappers import Response

from promptcrafter.pages.blueprint import PageBlueprint
from promptcrafter.permissions import Permission
from promptcrafter.workspaces.authentication import current_principal

blueprint = PageBlueprint("home", __name__)


@blueprint.page_of_account("/", permission=Permission.READ)
@blueprint.page_of_account("", permission=Permission.READ, endpoint="find_home")
def find_home() -> Response:
    """Lead to the account's default workspace."""
    principal = current_principal()
    return redirect(url_for("prompts_page.list_prompts", workspace=principal.memberships[principal.current_id].slug))
