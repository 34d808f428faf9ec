"""The blueprint class of the pages: what each page has in common.

A page is a view of the API: it calls the same stores and functions, and answers with HTML. It authenticates by the
cookie of its session. Its path names the workspace, so that a link shows everybody the same.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from flask import current_app, g, request

from promptcrafter.http import blueprint
from promptcrafter.pages import errors, forgery
from promptcrafter.permissions import Permission

_View = TypeVar("_View", bound=Callable[..., Any])
ROOT = "/app"
WORKSPACE = f"{ROOT}/w/<workspace>"


class PageBlueprint(blueprint.Blueprint):
    """The routes of one or several pages."""

    def __init__(self, name: str, import_name: str) -> None:
        super().__init__(name, import_name, template_folder="templates")
        self.before_request(forgery.refuse_foreign_request)
        errors.register(self)
        self.url_value_preprocessor(_prepare)
        self.url_defaults(_stay_in_workspace)

    def page(
        self, rule: str, *, permission: Permission = Permission.READ, methods: Sequence[str] = ("GET",), **options: Any
    ) -> Callable[[_View], _View]:
        """Register a page of a workspace, at a path behind that of the workspace."""
        return self.route(WORKSPACE + rule, permission=permission, methods=methods, is_page=True, **options)

    def page_of_account(
        self, rule: str, *, permission: Permission, methods: Sequence[str] = ("GET",), **options: Any
    ) -> Callable[[_View], _View]:
        """Register a page that belongs to no workspace."""
        return self.route(ROOT + rule, permission=permission, methods=methods, is_page=True, **options)


def _prepare(endpoint: str | None, values: dict[str, Any] | None) -> None:
    """Take the workspace out of the path, and what is empty out of the query, before anything reads them.

    The authentication needs the workspace; views get it with the principal. Browsers send a parameter without a value
    for each field of a form that is left empty, and no filter means an empty text.
    """
    g.workspace_of_page = (values or {}).pop("workspace", None)
    if request.query_string:
        parameters = request.query_string.split(b"&")
        request.query_string = b"&".join(each for each in parameters if each and not each.endswith(b"="))


def _stay_in_workspace(endpoint: str, values: dict[str, Any]) -> None:
    """Let links of a page lead to pages of the same workspace, by default to those of the account's default one."""
    workspace = g.get("workspace_of_page")
    if workspace is None and "principal" in g:
        workspace = g.principal.memberships[g.principal.current_id].slug
    takes_one = "workspace" not in values and current_app.url_map.is_endpoint_expecting(endpoint, "workspace")
    if workspace is not None and takes_one:
        values["workspace"] = workspace
