"""The list of outputs with its filters, and one output."""

import json
from typing import Any

from flask import request, url_for
from werkzeug.wrappers import Response

from promptcrafter import jsonio
from promptcrafter.database.keyset import Order, write_cursor
from promptcrafter.database.transactions import writing
from promptcrafter.http.fields import Text
from promptcrafter.http.row_serializer import RowSerializer
from promptcrafter.logs import queries, scores, store
from promptcrafter.logs.models import Log
from promptcrafter.logs.schemas import LogOut, LogPatch, LogQuery
from promptcrafter.pages import lists
from promptcrafter.pages.blueprint import PageBlueprint
from promptcrafter.pages.forms import read_fields, read_form, read_number
from promptcrafter.pages.notices import redirect_with
from promptcrafter.pages.rendering import render
from promptcrafter.permissions import Permission
from promptcrafter.problems import Problem
from promptcrafter.prompts import store as prompts
from promptcrafter.statistics.word_diff import compare
from promptcrafter.workspaces.authentication import current_principal

blueprint = PageBlueprint("outputs", __name__)
_log_rows = RowSerializer(Log, LogOut())
_SCORES_SHOWN = 50
_CHOICES_MAX = 200  # prompts to choose from


class _OutputsQuery(LogQuery):
    """The filters of `GET /logs`, and how the page is shown."""

    format = Text(data_key="as", choices=("json", "csv"))


class _OutputQuery(_OutputsQuery):
    """The list in which an output is shown, and how its text is."""

    view = Text(choices=("text", "json"))


@blueprint.page("/outputs")
@blueprint.arguments(_OutputsQuery(), location="query")
def list_outputs(query: dict[str, Any]) -> Response:
    """List outputs, newest first, filtered as by the API."""
    principal = current_principal()
    with queries.limit_page(query):
        filters, _ = queries.resolve(principal, query)
        found, order = store.find_logs(principal, filters), store.order_logs(filters)
        if "format" in query:
            return lists.download(query["format"], found, order, _log_rows, query)
        page = lists.read_page(found, order, query)
    titles = prompts.get_titles({log.prompt_id for log in page.rows if log.prompt_id})
    choices = prompts.get_choices(principal, _CHOICES_MAX)
    return render("outputs.html", page=page, query=request.args, titles=titles, prompts=choices)


@blueprint.page("/outputs/<log_id>")
@blueprint.arguments(_OutputQuery(), location="query")
def show_output(query: dict[str, Any], log_id: str) -> Response:
    """Show an output with all that is known about it."""
    principal = current_principal()
    log = store.get_log(principal, log_id)
    prompt = prompts.get_prompt(principal, log.prompt_id) if log.prompt_id else None
    version = prompts.find_version(prompt.id, log.prompt_version) if prompt and log.prompt_version else None
    changes = compare(log.ideal_output, [log.output])[0] if log.ideal_output and log.output else None
    return render(
        "output.html",
        log=log,
        prompt=prompt,
        version=version,
        changes=changes,
        scores=scores.get_newest_scores(log, _SCORES_SHOWN),
        input=pretty(log.input, log.input_format),
        output=pretty(log.output, log.output_format),
        neighbours=_find_neighbours(query, log),
    )


@blueprint.page("/outputs/<log_id>", methods=["POST"], permission=Permission.WRITE)
def change_output(log_id: str) -> Response:
    """Set the score and the notes of an output."""
    principal = current_principal()
    fields = read_fields()
    score = fields.get("score", "").strip()
    notes = fields.get("notes", "")
    form = read_form(LogPatch(), score=read_number(score) if score else None, notes=notes or None)
    if form.errors:
        raise Problem(400, f"The score {'; '.join(form.errors.get('score', ['is malformed']))}.", "validation_failed")
    with writing():
        store.change_log(principal, store.lock_log(principal, log_id), form.values)
    return redirect_with(url_for("outputs.show_output", log_id=log_id), "output_saved")


@blueprint.page("/outputs/<log_id>/delete", methods=["POST"], permission=Permission.WRITE)
def delete_output(log_id: str) -> Response:
    """Delete an output."""
    principal = current_principal()
    with writing():
        store.remove_log(principal, store.lock_log(principal, log_id))
    return redirect_with(url_for("outputs.list_outputs"), "output_deleted")


def _find_neighbours(query: dict[str, Any], log: Log) -> dict[str, str | None]:
    """Return the URLs of the previous and next output of the list from which this one was opened."""
    filters, _ = queries.resolve(current_principal(), query)
    order = store.order_logs(filters)
    if type(order) is not Order:  # by the words of a search, or with the unscored ones last
        return {}
    cursor = write_cursor([getattr(log, str(getattr(column, "key", ""))) for column in order.columns], order.columns)
    found = store.find_logs(current_principal(), filters).with_only_columns(Log.id)
    urls = {}
    for name, each in (("next", order), ("previous", Order(order.columns, not order.is_ascending))):
        page, _ = each.page(each.sort(found), cursor, 1)
        other = store.get_id(page)
        urls[name] = other and lists.link(log_id=other)
    return urls


def pretty(text: str | None, text_format: str | None) -> str | None:
    """Return JSON with indents, other texts as they are."""
    if text is None or text_format != "json":
        return text
    return json.dumps(jsonio.loads(text.encode()), indent=2, ensure_ascii=False)
