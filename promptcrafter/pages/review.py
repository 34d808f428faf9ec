"""Reviewing: one output after the other, each scored with one key.

The same path shows the next output and takes a score. With JavaScript only the part that changes is sent; without it
the whole page is.
"""

from typing import Any

from flask import redirect, request
from werkzeug.wrappers import Response

from promptcrafter.http.fields import ForeignId
from promptcrafter.logs import store as logs
from promptcrafter.pages import lists
from promptcrafter.pages.blueprint import PageBlueprint
from promptcrafter.pages.forms import read_fields
from promptcrafter.pages.outputs import pretty
from promptcrafter.pages.rendering import render
from promptcrafter.pages.scoring import give_score
from promptcrafter.permissions import Permission
from promptcrafter.problems import Problem
from promptcrafter.prompts import store as prompts
from promptcrafter.scores import reviews
from promptcrafter.scores.schemas_reviews import NextReviewQuery
from promptcrafter.workspaces.authentication import current_principal

blueprint = PageBlueprint("review", __name__)
_CHOICES_MAX = 200  # prompts to choose from


class _ReviewQuery(NextReviewQuery):
    """Which outputs are reviewed; the one to show instead of the next, and the one that was scored last."""

    log_id = ForeignId(data_key="output")
    last = ForeignId()


@blueprint.page("/review")
@blueprint.arguments(_ReviewQuery(), location="query")
def show_review(query: dict[str, Any]) -> Response:
    """Show the next output to review, and how far everybody is."""
    return _show(query, last=query.get("last", ""), with_progress=not request.headers.get("HX-Request"))


@blueprint.page("/review", methods=["POST"], permission=Permission.SCORE)
@blueprint.arguments(_ReviewQuery(), location="query")
def score_output(query: dict[str, Any]) -> Response:
    """Store a score, and show the next output."""
    fields = read_fields()
    value, log_id = fields.get("value", "").strip(), fields.get("output", "")
    if value:
        give_score(current_principal(), log_id, query["name"], value, fields.get("comment", "").strip() or None)
    following = {name: each for name, each in query.items() if name != "log_id"}
    if not request.headers.get("HX-Request"):  # so that reloading the page sends nothing twice
        return redirect(lists.link(output=None, last=log_id), 303)
    return _show(following, last=log_id, with_progress=False)


def _show(query: dict[str, Any], *, last: str = "", with_progress: bool) -> Response:
    principal = current_principal()
    resolved = reviews.resolve(principal, query)
    shown = query.get("log_id")
    log = reviews.find_next(principal, resolved) if shown is None else logs.get_log(principal, shown)
    progress, trouble = None, ""
    if with_progress:
        try:
            progress = reviews.get_progress(principal, resolved)
        except Problem as problem:
            trouble = problem.message
    prompt = prompts.get_prompt(principal, log.prompt_id) if log is not None and log.prompt_id else None
    return render(
        "review.html",
        log=log,
        prompt=prompt,
        input=log and pretty(log.input, log.input_format),
        output=log and pretty(log.output, log.output_format),
        is_blind=query["blind"] == "true",
        query=query,
        last=last,
        progress=progress,
        trouble=trouble,
        prompts=prompts.get_choices(principal, _CHOICES_MAX) if with_progress else (),
    )
