"""The way from `/app` to a workspace, and its first page."""

from flask import redirect, url_for
from werkzeug.wrappers import Response

from promptcrafter.pages.blueprint import PageBlueprint
from promptcrafter.permissions import Permission
from promptcrafter.problems import Problem

blueprint = PageBlueprint("home", __name__)


@blueprint.page_of_account("/", permission=Permission.READ)
@blueprint.page_of_account("", permission=Permission.READ, endpoint="find_home")
def find_home() -> Response:
    """Lead to the account's default workspace."""
    return redirect(url_for("prompts_page.list_prompts"), 303)


@blueprint.page_of_account("/<path:path>", permission=Permission.PUBLIC)
def find_nothing(path: str) -> Response:
    """Say that there is no such page."""
    raise Problem(404, "There is no such page.", "page_not_found")
