"""Comparing outputs: two to five side by side, with the words in which they differ from the first one.

They are chosen in a list, or those of one input by several versions. Scores are given in place.
"""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, validates_schema
from werkzeug.wrappers import Response

from promptcrafter.http.fields import ForeignId, RepeatedText, Text
from promptcrafter.logs import scores, store
from promptcrafter.logs.models import DEFAULT_NAME, Log
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
from promptcrafter.statistics.schemas import LOGS_MAX, LOGS_MIN, LogIds
from promptcrafter.statistics.word_diff import compare
from promptcrafter.workspaces.authentication import current_principal

blueprint = PageBlueprint("compare_page", __name__)


class _CompareQuery(Schema):
    """The outputs to compare: as in `GET /compare`, or one parameter for each, as the list of outputs sends them.

    `input` is an output: it is compared with those of the same input by other versions.
    """

    logs = LogIds(LOGS_MIN, LOGS_MAX)
    log = RepeatedText(Text(maximum=100), maximum=LOGS_MAX)
    input = ForeignId()
    name = name_field(load_default=DEFAULT_NAME)  # of the scores that the account gives

    @validates_schema
    def refuse_other_numbers(self, data: dict[str, Any], **kwargs: Any) -> None:
        """Refuse too few and too many."""
        if "logs" not in data and "input" not in data and not LOGS_MIN <= len(set(data.get("log", ()))) <= LOGS_MAX:
            raise ValidationError(f"choose {LOGS_MIN} to {LOGS_MAX} outputs", "log")


@blueprint.page("/compare")
@blueprint.arguments(_CompareQuery(), location="query")
def show_comparison(query: dict[str, Any]) -> Response:
    """Show outputs side by side."""
    return _show(query)


@blueprint.page("/compare", methods=["POST"], permission=Permission.SCORE)
@blueprint.arguments(_CompareQuery(), location="query")
def score_in_place(query: dict[str, Any]) -> Response:
    """Store the account's own score of one of the outputs, or remove it if the field is empty."""
    principal, fields = current_principal(), read_fields()
    log_id, value = fields.get("output", ""), fields.get("value", "").strip()
    try:
        if value:
            give_score(principal, log_id, query["name"], value)
        else:
            remove_own_score(principal, log_id, query["name"])
    except Invalid as problem:
        return _show(query, sent=fields, refused=problem)
    return redirect_with(f"{lists.link()}#{log_id}", "output_saved")


def _show(
    query: Mapping[str, Any], *, sent: Mapping[str, str] | None = None, refused: Invalid | None = None
) -> Response:
    principal = current_principal()
    logs = _get_logs(query)
    texts = [text_views.indent_json(log.output) for log in logs]
    changes = [None, *compare(texts[0], texts[1:])] if len(texts) > 1 else [None]
    titles = prompts.get_titles({log.prompt_id for log in logs if log.prompt_id})
    own = [scores.get_own_score(principal, log, query["name"]) for log in logs]
    response = render(
        "compare.html",
        compared=list(zip(logs, texts, changes, own, strict=True)),
        scoring=get_scoring(principal, query["name"]),
        titles=titles,
        input=text_views.show(logs[0].input) if len({log.input for log in logs}) == 1 else None,
        sent=sent or {},
        errors=refused.details or {} if refused else {},
    )
    response.status_code = 400 if refused else 200
    return response


def _get_logs(query: Mapping[str, Any]) -> list[Log]:
    principal = current_principal()
    if "input" in query:
        return store.find_same_input(store.get_log(principal, query["input"]), LOGS_MAX)
    return store.get_logs(principal, query.get("logs") or list(dict.fromkeys(query["log"])))
