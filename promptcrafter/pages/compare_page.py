"""Comparing outputs: two to five side by side, with the words in which they differ from the first one."""

from typing import Any

from marshmallow import Schema, ValidationError, validates_schema
from werkzeug.wrappers import Response

from promptcrafter.http.fields import RepeatedText, Text
from promptcrafter.logs.store import get_logs
from promptcrafter.pages.blueprint import PageBlueprint
from promptcrafter.pages.outputs import pretty
from promptcrafter.pages.rendering import render
from promptcrafter.prompts import store as prompts
from promptcrafter.statistics.schemas import LOGS_MAX, LOGS_MIN, LogIds
from promptcrafter.statistics.word_diff import compare
from promptcrafter.workspaces.authentication import current_principal

blueprint = PageBlueprint("compare_page", __name__)


class _CompareQuery(Schema):
    """The outputs to compare: as in `GET /compare`, or one parameter for each, as the list of outputs sends them."""

    logs = LogIds(LOGS_MIN, LOGS_MAX)
    log = RepeatedText(Text(maximum=100), maximum=LOGS_MAX)

    @validates_schema
    def refuse_other_numbers(self, data: dict[str, Any], **kwargs: Any) -> None:
        """Refuse too few and too many."""
        if "logs" not in data and not LOGS_MIN <= len(set(data.get("log", ()))) <= LOGS_MAX:
            raise ValidationError(f"choose {LOGS_MIN} to {LOGS_MAX} outputs", "log")


@blueprint.page("/compare")
@blueprint.arguments(_CompareQuery(), location="query")
def show_comparison(query: dict[str, Any]) -> Response:
    """Show outputs side by side."""
    principal = current_principal()
    logs = get_logs(principal, query.get("logs") or list(dict.fromkeys(query["log"])))
    texts = [pretty(log.output, log.output_format) or "" for log in logs]
    changes = [None, *compare(texts[0], texts[1:])]
    titles = prompts.get_titles({log.prompt_id for log in logs if log.prompt_id})
    return render("compare.html", compared=list(zip(logs, texts, changes, strict=True)), titles=titles)
