"""A prompt: its content, its versions and labels, the difference between two versions, and the forms that change it."""

import json
from collections.abc import Mapping
from typing import Any

from flask import request, url_for
from marshmallow import Schema
from sqlalchemy.orm import defer
from werkzeug.wrappers import Response

from promptcrafter import jsonio
from promptcrafter.database.transactions import writing
from promptcrafter.http.fields import Text
from promptcrafter.http.page_query import PageQuery
from promptcrafter.pages import lists
from promptcrafter.pages.blueprint import PageBlueprint
from promptcrafter.pages.forms import Form, read_fields, read_form
from promptcrafter.pages.notices import redirect_with
from promptcrafter.pages.rendering import render
from promptcrafter.permissions import Permission
from promptcrafter.problems import Problem
from promptcrafter.prompts import search, store
from promptcrafter.prompts.message_diff import compare_configs
from promptcrafter.prompts.messages import ROLES
from promptcrafter.prompts.models import Prompt, Version
from promptcrafter.prompts.render import find_variables, find_variables_of_messages
from promptcrafter.prompts.schemas import LabelIn, PromptIn, PromptPatch, RestoreIn
from promptcrafter.statistics.word_diff import compare
from promptcrafter.workspaces.authentication import current_principal

blueprint = PageBlueprint("prompt", __name__)
_VERSIONS_SHOWN = 20
_EMPTY_MESSAGES = 1  # rows for further messages that the form has below those that are there


class _VersionsQuery(PageQuery):
    """The version that the page shows: a number, a label or `latest`."""

    version = Text(maximum=64)


class _DiffQuery(Schema):
    """The versions that are compared."""

    before = Text(required=True, maximum=64)
    after = Text(required=True, maximum=64)


@blueprint.page("/prompts/new")
def show_new() -> Response:
    """Show the form for a new prompt, of one text or of messages."""
    return _show_form({"type": "text", "messages": [{"role": "system", "content": ""}]}, {})


@blueprint.page("/prompts", methods=["POST"], permission=Permission.WRITE)
def create_prompt() -> Response:
    """Make a prompt."""
    sent, body, faults = _read_prompt()
    if "add-message" in request.form:
        return _show_form({**sent, "messages": [*sent["messages"], {"role": "user", "content": ""}]}, {})
    form = read_form(PromptIn(), **body)
    if form.errors or faults:
        return _show_form(sent, {**form.errors, **faults}, status=400)
    values = form.values
    try:
        with writing():
            texts = search.search_columns(values["title"], values.get("tags", []), values["content"])
            prompt = store.add_prompt(current_principal(), values, texts)
            prompt_id = prompt.id
    except Problem as problem:
        return _show_form(sent, _explain(problem), status=problem.status)
    return redirect_with(url_for("prompt.show_prompt", prompt_id=prompt_id), "prompt_created")


@blueprint.page("/prompts/<prompt_id>")
@blueprint.arguments(_VersionsQuery(), location="query")
def show_prompt(query: dict[str, Any], prompt_id: str) -> Response:
    """Show a version of a prompt, with the other versions beside it."""
    prompt = store.get_prompt(current_principal(), prompt_id)
    version = store.get_version(prompt, query.get("version", store.LATEST))
    versions = lists.read_page(
        store.find_versions(prompt).options(defer(Version.content), defer(Version.messages)),
        (Version.number,),
        {**query, "per_page": _VERSIONS_SHOWN},
    )
    is_text = version.messages is None
    names = find_variables(version.content) if is_text else find_variables_of_messages(version.messages or [])
    config = json.dumps(version.config, indent=2, ensure_ascii=False) if version.config else ""
    return render(
        "prompt.html", prompt=prompt, version=version, versions=versions, variables=names, config=config, tab="content"
    )


@blueprint.page("/prompts/<prompt_id>/edit")
def show_edit(prompt_id: str) -> Response:
    """Show the form that changes a prompt."""
    prompt = store.get_prompt(current_principal(), prompt_id)
    sent = {
        **{name: getattr(prompt, name) for name in ("title", "slug", "model", "description", "type")},
        "content": prompt.content if prompt.messages is None else "",
        "messages": prompt.messages or [],
        "tags": ", ".join(prompt.tags),
        "config": json.dumps(prompt.config, indent=2, ensure_ascii=False) if prompt.config else "",
    }
    return _show_form(sent, {}, prompt)


@blueprint.page("/prompts/<prompt_id>/edit", methods=["POST"], permission=Permission.WRITE)
def change_prompt(prompt_id: str) -> Response:
    """Change a prompt; another content, model or config makes a version."""
    principal = current_principal()
    sent, body, faults = _read_prompt()
    if "add-message" in request.form:
        more = {**sent, "messages": [*sent["messages"], {"role": "user", "content": ""}]}
        return _show_form(more, {}, store.get_prompt(principal, prompt_id))
    form = read_form(PromptPatch(), **body)
    if form.errors or faults:
        return _show_form(sent, {**form.errors, **faults}, store.get_prompt(principal, prompt_id), 400)
    try:
        with writing():
            prompt = store.lock_prompt(principal, prompt_id)
            before = prompt.version
            store.change_prompt(principal, prompt, form.values)
            notice = "version_saved" if prompt.version > before else "prompt_saved"
    except Problem as problem:
        return _show_form(sent, _explain(problem), store.get_prompt(principal, prompt_id), problem.status)
    return redirect_with(url_for("prompt.show_prompt", prompt_id=prompt_id), notice)


@blueprint.page("/prompts/<prompt_id>/labels", methods=["POST"], permission=Permission.WRITE)
def set_label(prompt_id: str) -> Response:
    """Put a label on a version, or remove it."""
    principal = current_principal()
    fields = read_fields()
    label, is_removed = fields.get("label", "").strip(), fields.get("remove") == "1"
    store.refuse_label(label, "label")
    form = Form({}) if is_removed else read_form(LabelIn(), version=int(fields["version"]))
    if form.errors:
        raise Problem(400, "A label needs the number of a version.", "invalid_label")
    with writing():
        prompt = store.lock_prompt(principal, prompt_id)
        if is_removed:
            store.remove_label(principal, prompt, label)
        else:
            store.set_label(principal, prompt, label, form.values["version"])
    return redirect_with(
        url_for("prompt.show_prompt", prompt_id=prompt_id), "label_removed" if is_removed else "label_set"
    )


@blueprint.page("/prompts/<prompt_id>/restore", methods=["POST"], permission=Permission.WRITE)
def restore_version(prompt_id: str) -> Response:
    """Add a version that is the same as an old one."""
    principal = current_principal()
    form = read_form(RestoreIn())
    with writing():
        prompt = store.lock_prompt(principal, prompt_id)
        old = store.get_version(prompt, form.sent.get("version", ""))
        store.restore_version(principal, prompt, old, form.values.get("comment"))
    return redirect_with(url_for("prompt.show_prompt", prompt_id=prompt_id), "version_restored")


@blueprint.page("/prompts/<prompt_id>/delete")
def ask_to_delete(prompt_id: str) -> Response:
    """Ask before a prompt is deleted."""
    return render("prompt_delete.html", prompt=store.get_prompt(current_principal(), prompt_id))


@blueprint.page("/prompts/<prompt_id>/delete", methods=["POST"], permission=Permission.WRITE)
def delete_prompt(prompt_id: str) -> Response:
    """Delete a prompt and its outputs."""
    principal = current_principal()
    with writing():
        store.remove_prompt(principal, store.lock_prompt(principal, prompt_id))
    return redirect_with(url_for("prompts_page.list_prompts"), "prompt_deleted")


@blueprint.page("/prompts/<prompt_id>/diff")
@blueprint.arguments(_DiffQuery(), location="query")
def show_diff(query: dict[str, Any], prompt_id: str) -> Response:
    """Show the difference between two versions, word by word, side by side."""
    prompt = store.get_prompt(current_principal(), prompt_id)
    before, after = (store.get_version(prompt, query[name]) for name in ("before", "after"))
    (changes,) = compare(before.content, [after.content])
    versions = lists.read_page(
        store.find_versions(prompt).options(defer(Version.content), defer(Version.messages)), (Version.number,), {}
    )
    return render(
        "prompt_diff.html",
        prompt=prompt,
        before=before,
        after=after,
        changes=changes,
        config=list(compare_configs(before.config, after.config)),
        versions=versions.rows,
        tab="diff",
    )


def _read_prompt() -> tuple[dict[str, Any], dict[str, Any], dict[str, list[str]]]:
    """Return the form as it is to be shown again, its values that are no texts in JSON, and what is wrong with them."""
    sent: dict[str, Any] = dict(read_fields())
    roles, contents = request.form.getlist("role"), request.form.getlist("message")
    messages = [
        {"role": role, "content": content.replace("\r\n", "\n")} for role, content in zip(roles, contents, strict=False)
    ]
    sent["messages"] = messages
    body: dict[str, Any] = {"tags": [tag.strip() for tag in sent.get("tags", "").split(",") if tag.strip()]}
    faults: dict[str, list[str]] = {}
    body["config"] = {}
    if sent.get("config", "").strip():
        try:
            body["config"] = jsonio.loads(sent["config"].encode())
        except jsonio.JsonError as error:
            faults["config"] = [f"is no JSON: {error}"]
    if sent.get("type") == "chat":
        body["messages"] = [message for message in messages if message["content"].strip()]
        body["content"] = None
    return sent, body, faults


def _explain(problem: Problem) -> dict[str, list[str]]:
    return dict(problem.details or {"": [problem.message]})


def _show_form(
    sent: Mapping[str, Any], errors: Mapping[str, Any], prompt: Prompt | None = None, status: int = 200
) -> Response:
    by_field: dict[str, list[str]] = {}
    for name, reasons in errors.items():  # `messages.0.content` stands at the messages
        by_field.setdefault(name.partition(".")[0], []).extend(
            f"{name.partition('.')[2]} {reason}".strip() for reason in reasons
        )
    page = render("prompt_form.html", sent=sent, errors=by_field, prompt=prompt, roles=ROLES)
    page.status_code = status
    return page
