"""The list of prompts: folders, filters and the search."""

from datetime import timedelta
from typing import Any

from sqlalchemy import Select
from sqlalchemy.orm import defer
from werkzeug.wrappers import Response

from promptcrafter import clock
from promptcrafter.database.keyset import Order
from promptcrafter.http.fields import Text
from promptcrafter.http.page_query import SEQUENCE, TIME, Cursor
from promptcrafter.pages import lists
from promptcrafter.pages.blueprint import PageBlueprint
from promptcrafter.pages.rendering import render
from promptcrafter.problems import Invalid
from promptcrafter.prompts import list_store, version_store
from promptcrafter.prompts.fields import QUERY_MAX
from promptcrafter.prompts.models import LARGE_COLUMNS, Prompt
from promptcrafter.prompts.ranking import find_best
from promptcrafter.prompts.schemas import PromptOut, PromptQuery
from promptcrafter.prompts.search import make_pattern, parse_words
from promptcrafter.statistics import newest
from promptcrafter.workspaces.authentication import current_principal

blueprint = PageBlueprint("prompts_page", __name__)
_TAGS_SHOWN = _FOLDERS_SHOWN = 20
_CHOICES_SHOWN = 100
_NEWEST_FIRST = Order((Prompt.created_at, Prompt.seq))
_RECENT = timedelta(days=7)


class _PromptsQuery(PromptQuery):
    """The filters of `GET /prompts` or the words of `GET /search`, and how the page is shown."""

    cursor = Cursor(f"([0-9]-)?{TIME}-{SEQUENCE}")
    q = Text(maximum=QUERY_MAX)
    format = Text(data_key="as", choices=("json", "csv"))


@blueprint.page("/prompts")
@blueprint.arguments(_PromptsQuery(), location="query")
def list_prompts(query: dict[str, Any]) -> Response:
    """List the prompts of the workspace, or those that the search finds: it looks through all of them."""
    principal = current_principal()
    words = parse_words(query.get("q", ""))
    if "cursor" in query and (query["cursor"].count("-") == 2) is not bool(words):
        raise Invalid({"cursor": ["is not one that this list gave"]})
    if words:
        best = find_best(principal, query["q"])
        found: Select[Any] = best.matching
        order: Order = best
    else:
        found, order = list_store.find_prompts(principal, query), _NEWEST_FIRST
    if "format" in query:
        return lists.download(query["format"], found, order, PromptOut(), query)
    page = lists.read_page(found if words else found.options(*map(defer, LARGE_COLUMNS)), order, query)
    ids = [prompt.id for prompt in page.rows]
    folder = query.get("folder", "")
    return render(
        "prompts.html",
        page=page,
        query=query,
        words=words,
        pattern=make_pattern(words),
        is_filtered=not query.keys().isdisjoint(("tags", "model", "label", "author", "folder", "slug")),
        changes=version_store.get_last_changes(ids),
        summaries=newest.summarize_prompts(ids, clock.now() - _RECENT),
        newest=newest,
        folder=folder,
        folders=[] if words else list_store.get_folders(principal, folder, _FOLDERS_SHOWN),
        tags=[] if words else list_store.get_top_tags(principal, _TAGS_SHOWN),
        choices={} if words else list_store.get_filter_values(principal, _CHOICES_SHOWN),
    )
