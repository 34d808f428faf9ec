"""Comparing outputs: two to five side by side, with the words in which they differ from the first one.

They are chosen in a list, or those of one input by several versions. Scores are given in place.
"""

from collections.abc import Mapping
from typing import Any

from flask import url_for
from marshmallow import Schema
from werkzeug.wrappers import Response

from promptcrafter.http.fields import ForeignId, RepeatedText, Text
from promptcrafter.logs import scores, store
from promptcrafter.logs.models import DEFAULT_NAME, Log
from promptcrafter.logs.schemas_comparison import LOGS_MAX, LOGS_MIN, LogIds
from promptcrafter.pages import lists, text_views
from promptcrafter.pages.blueprint import PageBlueprint
from promptcrafter.pages.forms import read_fields
from promptcrafter.pages.notices import redirect_with
from promptcrafter.pages.rendering import render
from promptcrafter.pages.scoring import get_scoring, give_score, remove_own_score
from promptcrafter.permissions import Permission
from promptcrafter.problems import Invalid
from promptcrafter.prompts import store as prompts
from promptcrafter.scores.schemas import name_field
from promptcrafter.word_diff import compare, find_equal_share
from promptcrafter.workspaces.authentication import current_principal

blueprint = PageBlueprint("compare_page", __name__)
_SHARE_MIN = 0.5  # of the words, which must be equal for their differences to be readable


class _CompareQuery(Schema):
    """The outputs to compare: as in `GET /compare`, or one parameter for each, as the list of outputs sends them.

    `input` is an output: it is compared with those of the same input by other versions. `view` is `words` for the
    words that differ, and `texts` for the texts as they are; without it the texts decide.
    """

    logs = LogIds(LOGS_MIN, LOGS_MAX)
    log = RepeatedText(Text(maximum=100), maximum=lists.PER_PAGE)
    input = ForeignId()
    name = name_field(load_default=DEFAULT_NAME)  # of the scores that the account gives
    view = Text(choices=("words", "texts"))


@blueprint.page("/compare")
@blueprint.arguments(_CompareQuery(), location="query")
def show_comparison(query: dict[str, Any]) -> Response:
    """Show outputs side by side. With too few or too many, lead back to the list, which says so."""
    if not _is_comparable(query):
        return redirect_with(lists.find_outputs_list(), "choose_to_compare")
    return _show(query)


@blueprint.page("/compare", methods=["POST"], permission=Permission.SCORE)
@blueprint.arguments(_CompareQuery(), location="query")
def score_in_place(query: dict[str, Any]) -> Response:
    """Store the account's own score of one of the outputs, or remove it if the field is empty."""
    principal, fields = current_principal(), read_fields()
    if not _is_comparable(query):
        raise Invalid({"log": [f"must be {LOGS_MIN} to {LOGS_MAX}"]})
    log_id, value = fields.get("output", ""), fields.get("value", "").strip()
    try:
        if value:
            give_score(principal, log_id, query["name"], value)
        else:
            remove_own_score(principal, log_id, query["name"])
    except Invalid as problem:
        return _show(query, sent=fields, refused=problem)
    return redirect_with(f"{lists.link()}#{log_id}", "output_saved")


def _is_comparable(query: Mapping[str, Any]) -> bool:
    return bool({"logs", "input"} & query.keys()) or LOGS_MIN <= len(set(query.get("log", ()))) <= LOGS_MAX


def _show(
    query: Mapping[str, Any], *, sent: Mapping[str, str] | None = None, refused: Invalid | None = None
) -> Response:
    principal = current_principal()
    logs = _get_logs(query)
    texts = [text_views.indent_json(log.output) for log in logs]
    changes = compare(texts[0], texts[1:]) if query.get("view") != "texts" else []
    shares = [find_equal_share(each) for each in changes]
    is_by_words = query.get("view") == "words" or (bool(shares) and sum(shares) >= _SHARE_MIN * len(shares))
    shown = [None, *(changes if is_by_words else [None] * (len(texts) - 1))]
    titles = prompts.get_titles({log.prompt_id for log in logs if log.prompt_id})
    own = [scores.get_own_score(principal, log, query["name"]) for log in logs]
    response = render(
        "compare.html",
        compared=list(zip(logs, texts, shown, own, strict=True)),
        is_by_words=is_by_words,
        back=lists.find_way_back(url_for("outputs.list_outputs")),
        scoring=get_scoring(principal, query["name"]),
        titles=titles,
        variables=logs[0].variables if all(log.variables == logs[0].variables for log in logs) else None,
        input=text_views.show(logs[0].input) if len({log.input for log in logs}) == 1 else None,
        sent=sent or {},
        errors=refused.details or {} if refused else {},
    )
    response.status_code = 400 if refused else 200
    return response


def _get_logs(query: Mapping[str, Any]) -> list[Log]:
    principal = current_principal()
    if "input" in query:
        return store.get_logs_with_same_input(store.get_log(principal, query["input"]), LOGS_MAX)
    return store.get_logs(principal, query.get("logs") or list(dict.fromkeys(query["log"])))
