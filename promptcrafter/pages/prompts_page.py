"""The list of prompts."""

from typing import Any

from sqlalchemy.orm import defer
from werkzeug.wrappers import Response

from promptcrafter.http.fields import Text
from promptcrafter.pages import lists
from promptcrafter.pages.blueprint import PageBlueprint
from promptcrafter.pages.rendering import render
from promptcrafter.prompts import store
from promptcrafter.prompts.models import LARGE_COLUMNS, Prompt
from promptcrafter.prompts.schemas import PromptOut, PromptQuery
from promptcrafter.workspaces.authentication import current_principal

blueprint = PageBlueprint("prompts_page", __name__)
_TAGS_SHOWN = 20


class _PromptsQuery(PromptQuery):
    """The filters of `GET /prompts`, and how the page is shown."""

    format = Text(data_key="as", choices=("json", "csv"))


@blueprint.page("/prompts")
@blueprint.arguments(_PromptsQuery(), location="query")
def list_prompts(query: dict[str, Any]) -> Response:
    """List the prompts of the workspace."""
    principal = current_principal()
    found, order = store.find_prompts(principal, query), (Prompt.created_at, Prompt.seq)
    if "format" in query:
        return lists.download(query["format"], found, order, PromptOut(), query)
    page = lists.read_page(found.options(*map(defer, LARGE_COLUMNS)), order, query)
    return render("prompts.html", page=page, tags=store.get_top_tags(principal, _TAGS_SHOWN), query=query)
