"""The list of outputs with its filters, and one output."""

from collections.abc import Mapping
from typing import Any

from flask import current_app, g, request, url_for
from marshmallow import Schema
from werkzeug.wrappers import Response

from promptcrafter.database.transactions import writing
from promptcrafter.http.fields import QueryFlag, RepeatedText, Text
from promptcrafter.http.row_serializer import RowSerializer
from promptcrafter.logs import hits, queries, scores, store
from promptcrafter.logs.models import DEFAULT_NAME, Log
from promptcrafter.logs.schemas import LogOut, LogPatch
from promptcrafter.logs.schemas_filters import LogQuery
from promptcrafter.pages import errors, lists, text_views
from promptcrafter.pages.blueprint import PageBlueprint
from promptcrafter.pages.forms import read_fields, read_form
from promptcrafter.pages.notices import redirect_with
from promptcrafter.pages.output_details import describe_cost, describe_tokens, find_neighbours
from promptcrafter.pages.rendering import render
from promptcrafter.pages.scoring import get_scoring, give_score, remove_own_score
from promptcrafter.permissions import Permission
from promptcrafter.problems import Invalid, Problem
from promptcrafter.prompts import fetching, version_store
from promptcrafter.prompts import store as prompts
from promptcrafter.scores.schemas import name_field
from promptcrafter.word_diff import compare
from promptcrafter.workspaces.authentication import current_principal

blueprint = PageBlueprint("outputs", __name__)
_log_rows = RowSerializer(Log, LogOut())
_SCORES_SHOWN = 50
_COUNTED_MAX = 10_000
COLUMNS = {
    "model": "Model",
    "score": "Score",
    "cost": "Cost",
    "time": "Time",
    "when": "When",
    "tokens": "Tokens",
    "input": "Input",
    "variables": "Variables",
    "user": "User",
    "session": "Session",
    "environment": "Environment",
}
_DEFAULT_COLUMNS = ("model", "score", "cost", "time", "when")
_OF_ONE_VISIT = ("cursor", "count", "where", "as")  # parameters that links from a list to an output leave out
_CHOICES_MAX = 200  # prompts to choose from


class _OutputsQuery(LogQuery):
    """The filters of `GET /logs`, and how the page is shown.

    `where` is a filter of metadata as a form sends it, `KEY=VALUE`.
    """

    format = Text(data_key="as", choices=("json", "csv"))
    columns = RepeatedText(Text(choices=tuple(COLUMNS)), maximum=len(COLUMNS), data_key="column")
    count = QueryFlag()
    where = Text(maximum=1001)


class _OutputQuery(_OutputsQuery):
    """The list in which an output is shown, how its text is, and what is scored."""

    view = Text(choices=text_views.VIEWS, load_default="text")
    name = name_field(load_default=DEFAULT_NAME)  # of the scores that the account gives


class _ChosenQuery(Schema):
    """Outputs that were chosen in a list."""

    log_ids = RepeatedText(Text(maximum=100), maximum=lists.PER_PAGE, data_key="log")
    format = Text(data_key="as", choices=("json", "csv"))


@blueprint.page("/outputs")
@blueprint.arguments(_OutputsQuery(), location="query")
def list_outputs(query: dict[str, Any]) -> Response:
    """List outputs, newest first, filtered as by the API."""
    principal = current_principal()
    if "where" in query:
        return _add_metadata(query["where"])
    if "format" in query:
        filters, _ = queries.resolve(principal, query)
        found = store.find_logs(principal, filters)
        return lists.download(query["format"], found, store.order_logs(filters), _log_rows, query)
    query["per_page"] = min(query.get("per_page", lists.PER_PAGE), lists.PER_PAGE)
    with queries.limit_page(query):
        filters, _ = queries.resolve(principal, query)
        page = lists.read_page(store.find_logs(principal, filters), store.order_logs(filters), query)
    return _render_list(page=page, query=query, total=_count(query, page))


def _count(query: Mapping[str, Any], page: lists.PageOfRows) -> str:
    """Return the number of outputs that match in words, as far as it is known or asked for."""
    if page.next_url is None and "cursor" not in query:
        return str(len(page.rows))
    if not query.get("count"):
        return ""
    principal = current_principal()
    whole = {name: value for name, value in query.items() if name not in ("cursor", "per_page")}
    try:
        with queries.limit_page(query):
            filters, _ = queries.resolve(principal, whole)
            number = store.count_up_to(store.find_logs(principal, filters), _COUNTED_MAX)
    except Problem:
        return f"more than {len(page.rows)}"
    return f"{number:,}" if number <= _COUNTED_MAX else f"{_COUNTED_MAX:,}+"


def _add_metadata(where: str) -> Response:
    """Redirect to the list with one more filter of metadata."""
    name, equals, value = where.partition("=")
    if not (name.strip() and equals and value.strip()):
        raise Invalid({"where": ["must be a key and a value, such as customer=42"]})
    key = f"metadata.{name.strip()}"
    target = lists.link(where=None, **{key: [*request.args.getlist(key), value.strip()]})
    return current_app.redirect(target, 303)


def _render_list(
    *,
    page: lists.PageOfRows | None,
    query: Mapping[str, Any],
    total: str = "",
    refused: Problem | None = None,
) -> Response:
    """Return the page of the list; without rows if the filters were refused."""
    rows = page.rows if page else ()
    sent = request.args
    example = version_store.get_changed_last_version(current_principal()) if page and not rows and not sent else None
    shown = {log.prompt_id for log in rows if log.prompt_id} | ({example.prompt_id} if example else set())
    return render(
        "outputs.html",
        prompt=prompts.get_prompt(current_principal(), query["promptId"]) if "promptId" in query else None,
        tab="outputs",
        example=example,
        page=page,
        query=sent,
        total=total,
        titles=prompts.get_titles(shown),
        prompts=prompts.get_newest_titles(current_principal(), _CHOICES_MAX),
        pattern=hits.make_pattern(query["q"]) if "q" in query else None,
        texts=query.get("texts", ()),
        columns=query.get("columns") or _DEFAULT_COLUMNS,
        all_columns=COLUMNS,
        has_own_columns=tuple(query.get("columns") or _DEFAULT_COLUMNS) != _DEFAULT_COLUMNS,  # a search sends them all
        metadata=[(name, value) for name, value in sent.items(multi=True) if name.startswith("metadata.")],
        errors={} if refused is None else refused.details or {"": [refused.message]},
        has_input=current_app.config["INDEX_INPUT"],
        of_list=_list_arguments(),
    )


def _show_refused(error: Problem) -> Any:
    """Return the page with the form and what is wrong with it, if the filters of the list were refused."""
    is_of_list = request.endpoint == "outputs.list_outputs" and "principal" in g
    if not is_of_list or not (error.status == 400 or error.code in ("label_not_found", "version_not_found")):
        return errors.show(error)
    response = _render_list(page=None, query={}, refused=error)
    response.status_code = error.status
    return response


blueprint.register_error_handler(Problem, _show_refused)


@blueprint.page("/outputs/chosen")
@blueprint.arguments(_ChosenQuery(), location="query")
def export_chosen(query: dict[str, Any]) -> Response:
    """Return chosen outputs of a list as a file."""
    principal = current_principal()
    if "log_ids" not in query:
        return redirect_with(lists.find_outputs_list(), "choose_some")
    chosen = [log.id for log in _get_chosen(query)]
    found = store.find_logs(principal, {}).where(Log.id.in_(chosen))
    return lists.download(query.get("format", "json"), found, store.order_logs({}), _log_rows, {})


@blueprint.page("/outputs/delete", permission=Permission.WRITE)
@blueprint.arguments(_ChosenQuery(), location="query")
def ask_to_delete(query: dict[str, Any]) -> Response:
    """Ask before chosen outputs are deleted."""
    if "log_ids" not in query:
        return redirect_with(lists.find_outputs_list(), "choose_some")
    return render("outputs_delete.html", logs=_get_chosen(query))


@blueprint.page("/outputs/delete", methods=["POST"], permission=Permission.WRITE)
def delete_chosen() -> Response:
    """Delete chosen outputs, all or none."""
    principal = current_principal()
    log_ids = request.form.getlist("log")
    if len(log_ids) > lists.PER_PAGE:
        raise Invalid({"log": [f"may be given at most {lists.PER_PAGE} times"]})
    chosen = _get_chosen({"log_ids": log_ids})
    with writing():
        for log in sorted(chosen, key=lambda each: each.seq):  # locked in the order of all transactions
            store.remove_log(principal, store.lock_log(principal, log.id))
    notice = "output_deleted" if len(chosen) == 1 else "outputs_deleted"
    return redirect_with(url_for("outputs.list_outputs"), notice)


def _get_chosen(query: Mapping[str, Any]) -> list[Log]:
    """Return the chosen outputs. Raises 400 without any, and as `store.get_logs` does."""
    if not query.get("log_ids"):
        raise Invalid({"log": ["is missing: choose one or more outputs in the list"]})
    return store.get_logs(current_principal(), list(dict.fromkeys(query["log_ids"])))


@blueprint.page("/outputs/<log_id>")
@blueprint.arguments(_OutputQuery(), location="query")
def show_output(query: dict[str, Any], log_id: str) -> Response:
    """Show an output with all that is known about it."""
    return _show(query, log_id)


@blueprint.page("/outputs/<log_id>/score", methods=["POST"], permission=Permission.SCORE)
@blueprint.arguments(_OutputQuery(), location="query")
def score_output(query: dict[str, Any], log_id: str) -> Response:
    """Store the account's own score, or remove it if the field is empty."""
    principal, fields = current_principal(), read_fields()
    value = fields.get("value", "").strip()
    try:
        if value:
            give_score(principal, log_id, query["name"], value, fields.get("comment"))
        else:
            remove_own_score(principal, log_id, query["name"])
    except Invalid as problem:
        return _show(query, log_id, sent=fields, refused=problem)
    return redirect_with(_link(log_id), "output_saved")


@blueprint.page("/outputs/<log_id>", methods=["POST"], permission=Permission.WRITE)
@blueprint.arguments(_OutputQuery(), location="query")
def change_output(query: dict[str, Any], log_id: str) -> Response:
    """Set the notes of an output."""
    principal = current_principal()
    form = read_form(LogPatch(), notes=read_fields().get("notes") or None)
    if form.errors:
        return _show(query, log_id, sent=form.sent, refused=Invalid(form.errors))
    with writing():
        store.change_log(principal, store.lock_log(principal, log_id), {"notes": form.values["notes"]})
    return redirect_with(_link(log_id), "output_saved")


def _show(
    query: dict[str, Any], log_id: str, *, sent: Mapping[str, str] | None = None, refused: Invalid | None = None
) -> Response:
    principal = current_principal()
    log = store.get_log(principal, log_id)
    prompt = fetching.get_prompt(principal, log.prompt_id).load() if log.prompt_id else None
    version = (
        version_store.get_version_or_none(prompt.id, log.prompt_version) if prompt and log.prompt_version else None
    )
    changes = compare(log.ideal_output, [log.output])[0] if log.ideal_output and log.output else None
    shown_scores = scores.get_newest_scores(log, _SCORES_SHOWN)
    own = scores.get_own_score(principal, log, query["name"])
    neighbours = find_neighbours(principal, query, log)
    response = render(
        "output.html",
        log=log,
        prompt=prompt,
        version=version,
        changes=changes,
        scores=shown_scores,
        own=own,
        imported=None if own else scores.get_imported_score(principal, log, query["name"]),
        scoring=get_scoring(principal, query["name"]),
        input=text_views.show(log.input, query["view"]),
        output=text_views.show(log.output, query["view"]),
        pattern=hits.make_pattern(query["q"]) if "q" in query else None,
        view=query["view"],
        views=(("text", "Text"), ("markdown", "Markdown"), ("json", "JSON")),
        tokens=describe_tokens(log),
        cost_origin=describe_cost(log),
        neighbours={name: _link(other) for name, other in neighbours.items() if other},
        may_have_siblings=log.input_key is not None and prompt is not None and prompt.version > 1,
        of_list=_list_arguments(),
        sent=sent or {},
        errors=refused.details or {} if refused else {},
    )
    response.status_code = 400 if refused else 200
    return response


def _list_arguments() -> dict[str, Any]:
    """Return the parameters of the list that an output was opened from, for the links between them."""
    sent = request.args.to_dict(flat=False)
    return {name: values for name, values in sent.items() if name not in _OF_ONE_VISIT}


def _link(log_id: str) -> str:
    """Return the URL of an output in the same list and view."""
    return url_for("outputs.show_output", log_id=log_id, **_list_arguments())
