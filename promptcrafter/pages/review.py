"""Reviewing: one output after the other, each scored with one key.

Without JavaScript a form sends each score, and the page that follows shows the next output. With it `review.js` fetches
the next outputs ahead, and saves the scores beside: nobody waits for the network, and what it fails to save is sent
again.
"""

from typing import Any

from flask import redirect, request, url_for
from marshmallow import Schema
from werkzeug.wrappers import Response

from promptcrafter.http.fields import ForeignId, QueryInteger, RepeatedText, Text
from promptcrafter.logs import scores
from promptcrafter.logs import store as logs
from promptcrafter.logs.models import DEFAULT_NAME, HUMAN, Log
from promptcrafter.pages import lists, text_views
from promptcrafter.pages.agreement_words import describe, name_raters
from promptcrafter.pages.blueprint import PageBlueprint
from promptcrafter.pages.forms import read_fields
from promptcrafter.pages.rendering import no_content, render, render_part
from promptcrafter.pages.scales import make_scale, write_value
from promptcrafter.pages.scoring import give_score
from promptcrafter.pages.text_views import indent_json
from promptcrafter.permissions import Permission
from promptcrafter.problems import Problem
from promptcrafter.prompts import store as prompts
from promptcrafter.scores import configs, reviews
from promptcrafter.scores.schemas import name_field
from promptcrafter.scores.schemas_reviews import RATERS, RATERS_MAX, NextReviewQuery
from promptcrafter.workspaces import member_store
from promptcrafter.workspaces.authentication import current_principal

blueprint = PageBlueprint("review", __name__)
_CHOICES_MAX = 200  # prompts to choose from
_IDS_MAX = 60  # in a list of a query: two of them fit into the line of a request
_SKIPPED_MAX = 20  # that a page without JavaScript remembers
_OF_PAGE = ("output", "last", "skipped", "exclude")  # parameters that do not say which outputs are reviewed
_OF_AGREEMENT = ("name", "promptId", "since", "until")


class _NextQuery(NextReviewQuery):
    """Which outputs are reviewed, and which of them not now: some never, the skipped ones after all others.

    Without `raters` the workspace decides how many people are to score each output. `view` is how texts are shown.
    """

    raters = QueryInteger(minimum=1, maximum=RATERS_MAX)
    view = Text(choices=("text", "markdown"), load_default="text")
    excluded = RepeatedText(Text(maximum=100), maximum=_IDS_MAX, data_key="exclude")
    skipped = RepeatedText(Text(maximum=100), maximum=_IDS_MAX)


class _ReviewQuery(_NextQuery):
    """The output to show instead of the next one, and the one that was scored last."""

    log_id = ForeignId(data_key="output")
    last = ForeignId()


class _NameQuery(Schema):
    """The name of the scores."""

    name = name_field(load_default=DEFAULT_NAME)


@blueprint.page("/review")
@blueprint.arguments(_ReviewQuery(), location="query")
def show_review(query: dict[str, Any]) -> Response:
    """Show the next output to review, and how far everybody is; at the end, how far the raters agree."""
    principal = current_principal()
    query = _with_raters(query)
    resolved = reviews.resolve(principal, query)
    shown = query.get("log_id")
    progress, agreement, trouble, is_too_much = None, None, "", False
    if shown is None:
        log, is_too_much = _find_next(resolved)
    else:
        log = logs.get_log(principal, shown)
    try:
        progress = name_raters(reviews.get_progress(principal, resolved))
        if log is None and not is_too_much:
            asked = {name: query[name] for name in _OF_AGREEMENT if name in query}
            agreement = describe(reviews.get_agreement(principal, {**asked, "annotator": HUMAN}))
    except Problem as problem:
        trouble = problem.message
    names = {DEFAULT_NAME, query["name"], *(config.name for config in configs.list_configs(principal))}
    return render(
        "review.html",
        **_describe(query, log, is_chosen=shown is not None),
        action=lists.link(output=None, last=None),
        filters=_filters() | {"raters": query["raters"]},  # for the script: nobody who joins meanwhile changes it
        last=query.get("last", ""),
        progress=progress,
        agreement=agreement,
        trouble="" if is_too_much else trouble,
        looked_at=reviews.LOGS_MAX if is_too_much else None,
        tab="review",
        chosen_prompt=prompts.get_prompt(principal, query["promptId"]) if "promptId" in query else None,
        names=sorted(names),
        prompts=prompts.get_newest_titles(principal, _CHOICES_MAX),
    )


@blueprint.page("/review", methods=["POST"], permission=Permission.SCORE)
@blueprint.arguments(_ReviewQuery(), location="query")
def score_output(query: dict[str, Any]) -> Response:
    """Store a score, or skip the output, and lead to the next one."""
    fields = read_fields()
    log_id = fields.get("output", "")
    if "skip" in fields:
        skipped = [*(each for each in query.get("skipped", ()) if each != log_id), log_id][-_SKIPPED_MAX:]
        return redirect(lists.link(output=None, last=None, skipped=skipped), 303)
    _store_score(query["name"], fields)
    return redirect(lists.link(output=None, last=log_id), 303)  # so that reloading the page sends nothing twice


@blueprint.page("/review/next")
@blueprint.arguments(_NextQuery(), location="query")
def get_next(query: dict[str, Any]) -> Response:
    """Return the part of the page that shows the next output, for the script; 204 without one."""
    query = _with_raters(query)
    log, _ = _find_next(reviews.resolve(current_principal(), query))
    if log is None:
        return no_content()
    action = url_for("review.show_review", **_filters())
    return render_part("parts/review_output.html", action=action, **_describe(query, log))


@blueprint.page("/review/scores", methods=["POST"], permission=Permission.SCORE)
@blueprint.arguments(_NameQuery(), location="query")
def save_score(query: dict[str, Any]) -> Response:
    """Store a score that the script sends, maybe long after it was given; the same one twice is one."""
    fields = read_fields()
    if fields.get("account") != current_principal().user_id:
        message = "Another account has signed in in this browser. Sign in as before, and open the review again."
        raise Problem(409, message, "other_account")
    _store_score(query["name"], fields)
    return no_content()


def _store_score(name: str, fields: dict[str, str]) -> None:
    value = fields.get("value", "").strip()
    give_score(current_principal(), fields.get("output", ""), name, value, fields.get("comment"))


def _with_raters(query: dict[str, Any]) -> dict[str, Any]:
    """Return a query that says how many people are to score each output: by default one who is alone, else RATERS."""
    if "raters" in query:
        return query
    return query | {"raters": RATERS if member_store.has_several_members(current_principal()) else 1}


def _filters() -> dict[str, Any]:
    """Return the parameters of the request that say which outputs are reviewed, and how."""
    return {name: values for name, values in request.args.to_dict(flat=False).items() if name not in _OF_PAGE}


def _find_next(query: dict[str, Any]) -> tuple[Log | None, bool]:
    """Return the next output, which is one of those that were skipped if there is no other.

    Without one, say also whether more outputs match than were looked at.
    """
    excluded, skipped = query.get("excluded", []), query.get("skipped", [])
    is_too_much = False
    for left_out in ([*excluded, *skipped], excluded) if skipped else (excluded,):
        try:
            log = reviews.get_next(current_principal(), query, left_out)
        except Problem as problem:
            if problem.code != reviews.TOO_MANY:
                raise
            log, is_too_much = None, True
        if log is not None:
            return log, False
    return None, is_too_much


def _describe(query: dict[str, Any], log: Log | None, *, is_chosen: bool = False) -> dict[str, Any]:
    """Return what the part of the page that shows an output needs.

    The score that the account gave already is shown for the output that the account chose; the others have none.
    """
    principal, name = current_principal(), query["name"]
    is_markdown = query["view"] == "markdown"
    config = configs.get_config(principal.workspace_id, name)
    own = scores.get_own_score(principal, log, name) if log is not None and is_chosen else None
    return {
        "log": log,
        "prompt": prompts.get_prompt(principal, log.prompt_id) if log is not None and log.prompt_id else None,
        "input": log and indent_json(log.input),
        "output": log and (text_views.show(log.output, "markdown") if is_markdown else indent_json(log.output)),
        "is_markdown": is_markdown,
        "is_blind": query["blind"] == "true",
        "is_scored": own is not None,
        "query": query,
        "config": config,
        "scale": make_scale(config),
        "comment": own.comment or "" if own is not None else "",
        "value": None if own is None else write_value(own.value),
    }
