"""A prompt: its content, its versions and labels, the difference between two versions, and the forms that change it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from flask import current_app, jsonify, request, url_for
from marshmallow import Schema
from sqlalchemy.orm import defer
from werkzeug.wrappers import Response

from promptcrafter import clock, jsonio
from promptcrafter.database.transactions import writing
from promptcrafter.dialects.version_choice import PRODUCTION
from promptcrafter.http.fields import Text
from promptcrafter.http.yaml_form import yaml_response
from promptcrafter.logs import store as logs
from promptcrafter.pages import lists
from promptcrafter.pages.blueprint import PageBlueprint
from promptcrafter.pages.forms import Form, read_fields, read_form
from promptcrafter.pages.notices import redirect_with
from promptcrafter.pages.rendering import render
from promptcrafter.pages.version_diff import align
from promptcrafter.permissions import Permission
from promptcrafter.problems import Problem
from promptcrafter.prompts import fetching, search, store
from promptcrafter.prompts.message_diff import compare_configs
from promptcrafter.prompts.messages import ROLES, Message
from promptcrafter.prompts.models import Prompt, Version
from promptcrafter.prompts.prompt_file import write_prompt_file
from promptcrafter.prompts.render import find_variables, find_variables_of_messages, render_messages, render_text
from promptcrafter.prompts.schemas import LabelIn, PromptIn, PromptOut, PromptPatch, RestoreIn, VersionOut, VersionQuery
from promptcrafter.statistics import newest
from promptcrafter.workspaces import audit
from promptcrafter.workspaces.authentication import current_principal
from promptcrafter.workspaces.models import AuditEntry
from promptcrafter.workspaces.principal import is_owner

blueprint = PageBlueprint("prompt", __name__)
_VERSIONS_SHOWN = 20
_OUTPUTS_SHOWN = 5
_ENTRIES_SHOWN = 10
_VARIABLES_MAX = 100  # for which the page has a form
_AUDIT_ORDER = (AuditEntry.created_at, AuditEntry.seq)
_FIRST_MESSAGES = ({"role": "system", "content": ""}, {"role": "user", "content": ""})  # of a new prompt
_CHANGED_MEANWHILE = "changed_meanwhile"
PLACEHOLDER = "placeholder"  # chosen in the form instead of a role


class _ShowQuery(VersionQuery):
    """The version that the page shows, a number, a label or `latest`; `as` is for the answer of the API."""

    version = Text(maximum=64)
    format = Text(data_key="as", choices=("json", "yaml"))


@dataclass(frozen=True)
class _Filled:
    """The values of variables as they were sent, what is wrong with them, and the text or messages with them."""

    sent: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, list[str]] = field(default_factory=dict)
    text: str | None = None
    messages: list[Any] | None = None


class _RestoreQuery(Schema):
    """The version that is to be restored."""

    version = Text(required=True, maximum=64)


class _DiffQuery(Schema):
    """The versions that are compared."""

    before = Text(required=True, maximum=64)
    after = Text(required=True, maximum=64)


@blueprint.page("/prompts/new")
def show_new() -> Response:
    """Show the form for a new prompt, of one text or of messages."""
    return _show_form({"type": "text", "messages": _FIRST_MESSAGES}, {})


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
@blueprint.arguments(_ShowQuery(), location="query")
def show_prompt(query: dict[str, Any], prompt_id: str) -> Response:
    """Show a version of a prompt, with the other versions beside it, its newest outputs and its audit trail below."""
    if "format" in query:
        return _download(query["format"], prompt_id, query.get("version"))
    return _show(*_fetch(prompt_id, query.get("version", store.LATEST)), query, _Filled())


@blueprint.page("/prompts/<prompt_id>/render", methods=["POST"])
def render_prompt(prompt_id: str) -> Response:
    """Show a version with its variables filled in; nothing is stored."""
    fields = read_fields()
    prompt, version = _fetch(prompt_id, fields.get("version", "") or store.LATEST)
    filled = _fill_in(version, fields)
    page = _show(prompt, version, {}, filled)
    # browsers write a failed request of a script to their console
    page.status_code = 400 if filled.errors and not request.headers.get("HX-Request") else 200
    return page


@blueprint.page("/prompts/<prompt_id>/edit")
def show_edit(prompt_id: str) -> Response:
    """Show the form that changes a prompt."""
    prompt = store.get_prompt(current_principal(), prompt_id)
    sent = {
        "seen": _state_of(prompt),
        **{name: getattr(prompt, name) for name in ("title", "slug", "model", "description", "type")},
        "content": prompt.content if prompt.messages is None else "",
        "messages": [_to_row(message) for message in prompt.messages or []] or _FIRST_MESSAGES,
        "tags": ", ".join(prompt.tags),
        "config": _to_json(prompt.config),
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
            if sent.get("seen", "") not in ("", _state_of(prompt)):
                raise Problem(409, "The prompt has been changed meanwhile.", _CHANGED_MEANWHILE)
            before = prompt.version
            store.change_prompt(principal, prompt, form.values)
            notice = "version_saved" if prompt.version > before else "prompt_saved"
    except Problem as problem:
        prompt = store.get_prompt(principal, prompt_id)
        if problem.code == _CHANGED_MEANWHILE:
            return _show_conflict(sent, form.values, prompt)
        return _show_form(sent, _explain(problem), prompt, problem.status)
    return redirect_with(url_for("prompt.show_prompt", prompt_id=prompt_id), notice)


@blueprint.page("/prompts/<prompt_id>/labels", methods=["POST"], permission=Permission.WRITE)
def set_label(prompt_id: str) -> Response:
    """Put a label on a version, or remove it."""
    principal = current_principal()
    fields = read_fields()
    label, is_removed = fields.get("label", "").strip(), fields.get("remove") == "1"
    store.refuse_label(label, "label")
    number = fields.get("version", "")
    form = Form({}) if is_removed else read_form(LabelIn(), version=int(number) if number.isdecimal() else number)
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


@blueprint.page("/prompts/<prompt_id>/restore")
@blueprint.arguments(_RestoreQuery(), location="query")
def ask_to_restore(query: dict[str, Any], prompt_id: str) -> Response:
    """Ask why an old version is restored, and show what that changes."""
    return _show_restore(store.get_prompt(current_principal(), prompt_id), query["version"], {}, {})


@blueprint.page("/prompts/<prompt_id>/restore", methods=["POST"], permission=Permission.WRITE)
def restore_version(prompt_id: str) -> Response:
    """Add a version that is the same as an old one."""
    principal = current_principal()
    form = read_form(RestoreIn())
    name = form.sent.get("version", "")
    if form.errors:
        return _show_restore(store.get_prompt(principal, prompt_id), name, form.sent, form.errors)
    with writing():
        prompt = store.lock_prompt(principal, prompt_id)
        store.restore_version(principal, prompt, store.get_version(prompt, name), form.values.get("comment"))
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
    numbers = {each.number for each in _read_versions(prompt.id, {}).rows} | {before.number, after.number}
    return render(
        "prompt_diff.html",
        prompt=prompt,
        before=before,
        after=after,
        rows=align(before, after),
        config=list(compare_configs(before.config, after.config)),
        numbers=sorted(numbers, reverse=True),
        may_move_production=PRODUCTION not in [*after.labels, *_find_protected(prompt.workspace_id)],
        tab="diff",
    )


def _fetch(prompt_id: str, name: str) -> tuple[SimpleNamespace, SimpleNamespace]:
    """Return a prompt, and its version with this name, with a statement for each. They cannot be changed."""
    principal = current_principal()
    prompt = fetching.get_prompt(principal, prompt_id)
    return prompt.load(), fetching.get_version(principal, prompt_id, name).load()


def _show(prompt: SimpleNamespace, version: SimpleNamespace, query: Mapping[str, Any], filled: _Filled) -> Response:
    principal = current_principal()
    outputs = logs.find_logs(principal, {"promptId": prompt.id})
    entries: Sequence[Any] = ()
    if is_owner(principal, prompt.workspace_id):
        trail = audit.find_entries(prompt.workspace_id, {"object": prompt.id})
        entries = lists.read_page(trail, _AUDIT_ORDER, {"per_page": _ENTRIES_SHOWN}).rows
    return render(
        "prompt.html",
        prompt=prompt,
        version=version,
        versions=_read_versions(prompt.id, {**query, "per_page": _VERSIONS_SHOWN}),
        summaries=newest.summarize_versions(prompt.id),
        scores_max=newest.SCORES_OF_VERSIONS,
        variables=_find_names(version),
        variables_max=_VARIABLES_MAX,
        placeholders=[message["placeholder"] for message in version.messages or [] if "placeholder" in message],
        filled=filled,
        config=_to_json(version.config),
        outputs=lists.read_page(outputs, logs.order_logs({}), {"per_page": _OUTPUTS_SHOWN}).rows,
        entries=entries,
        protected=_find_protected(prompt.workspace_id),
        tab="content",
    )


def _read_versions(prompt_id: str, query: Mapping[str, Any]) -> lists.PageOfRows:
    versions = store.find_versions(prompt_id).options(defer(Version.content), defer(Version.messages))
    return lists.read_page(versions, (Version.number,), query)


def _find_protected(workspace_id: str) -> list[str]:
    """Return the labels that the account may not move because they are protected."""
    principal = current_principal()
    return [] if is_owner(principal, workspace_id) else store.get_protected_labels(workspace_id)


def _download(kind: str, prompt_id: str, name: str | None) -> Response:
    """Return a prompt, or its version with this name, as the API does, as a file."""
    principal = current_principal()
    fetched = fetching.get_prompt(principal, prompt_id)
    prompt = shown = fetched.load()
    schema: Schema = PromptOut()
    if name is not None:
        shown, schema = fetching.get_version(principal, prompt_id, name).load(), VersionOut()
    response = yaml_response(write_prompt_file(prompt, shown)) if kind == "yaml" else jsonify(schema.dump(shown))
    ending = "prompt.yml" if kind == "yaml" else kind
    file_name = f"{prompt.slug.replace('/', '-')}.{ending}"
    response.headers["Content-Disposition"] = f'attachment; filename="{file_name}"'
    return response


def _find_names(version: SimpleNamespace) -> list[str]:
    if version.messages is None:
        return find_variables(version.content)
    return find_variables_of_messages(version.messages)


def _fill_in(version: SimpleNamespace, fields: Mapping[str, str]) -> _Filled:
    """Return a version with the values of the form: those of placeholders are JSON, and no messages if empty."""
    sent = {name: fields.get(f"value.{name}", "") for name in _find_names(version)}
    values: dict[str, Any] = dict(sent)
    errors: dict[str, list[str]] = {}
    for name in (message["placeholder"] for message in version.messages or [] if "placeholder" in message):
        try:
            values[name] = jsonio.loads(sent[name].encode()) if sent[name].strip() else []
        except jsonio.JsonError as error:
            errors[name] = [str(error)]
    if errors:
        return _Filled(sent, errors)
    limit = current_app.config["MAX_OUTPUT_BYTES"]
    try:
        if version.messages is None:
            return _Filled(sent, text=render_text(version.content, values, limit))
        return _Filled(sent, messages=render_messages(version.messages, values, limit))
    except Problem as problem:
        for name, reasons in (problem.details or {"": [problem.message]}).items():
            variable = name.removeprefix("variables.")
            if variable not in sent:  # the position of a message follows
                variable, _, position = variable.rpartition(".")
                reasons = [f"message {position} {reason}" if variable else reason for reason in reasons]
            errors.setdefault(variable, []).extend(reasons)
        return _Filled(sent, errors)


def _to_json(config: Mapping[str, Any]) -> str:
    return json.dumps(config, indent=2, ensure_ascii=False) if config else ""


def _to_row(message: Message) -> dict[str, str]:
    """Return a message as a row of the form; the text of a placeholder is its name."""
    if "placeholder" in message:
        return {"role": PLACEHOLDER, "content": message["placeholder"], "name": ""}
    return {"name": "", **message}


def _to_message(row: Mapping[str, str]) -> dict[str, str]:
    if row["role"] == PLACEHOLDER:
        return {"placeholder": row["content"].strip()}
    return {name: row[name] for name in ("role", "content", "name") if name != "name" or row["name"]}


def _read_prompt() -> tuple[dict[str, Any], dict[str, Any], dict[str, list[str]]]:
    """Return the form as it is to be shown again, its values that are no texts in JSON, and what is wrong with them."""
    sent: dict[str, Any] = dict(read_fields())
    roles, contents, names = (request.form.getlist(name) for name in ("role", "message", "message-name"))
    messages = [
        {"role": role, "content": content.replace("\r\n", "\n"), "name": name}
        for role, content, name in zip(roles, contents, [*names, *[""] * (len(roles) - len(names))], strict=False)
    ]
    sent["messages"] = messages
    body: dict[str, Any] = {"tags": [tag.strip() for tag in sent.get("tags", "").split(",") if tag.strip()]}
    faults: dict[str, list[str]] = {}
    body["config"] = {}
    if sent.get("config", "").strip():
        try:
            body["config"] = jsonio.loads(sent["config"].encode())
        except jsonio.JsonError as error:
            faults["config"] = [str(error)]
    if sent.get("type") == "chat":
        body["messages"] = [_to_message(row) for row in messages if row["content"].strip()]
        body["content"] = None
    return sent, body, faults


def _explain(problem: Problem) -> dict[str, list[str]]:
    return dict(problem.details or {"": [problem.message]})


def _show_conflict(sent: Mapping[str, Any], values: Mapping[str, Any], prompt: Prompt) -> Response:
    """Show the form again, with what was saved meanwhile beside what was written; saving again replaces the former."""
    latest = store.get_version(prompt, store.LATEST)
    written = Version(
        content=values.get("content") or latest.content,
        messages=values["messages"] if values.get("content") else latest.messages,
    )
    others = {name: getattr(prompt, name) for name in ("title", "slug", "model", "description")}
    others["tags"] = ", ".join(prompt.tags)
    conflict = {
        "latest": latest,
        "has_new_version": not sent["seen"].startswith(f"{prompt.version} "),
        "rows": align(latest, written),
        "others": [(name, saved, sent[name]) for name, saved in others.items() if sent.get(name, saved) != saved],
    }
    return _show_form({**sent, "seen": _state_of(prompt)}, {}, prompt, 409, conflict)


def _state_of(prompt: Prompt) -> str:
    """Return what a form carries of the state that it began with: the version, and when anything was last changed."""
    return f"{prompt.version} {clock.to_text(prompt.updated_at)}"


def _show_restore(prompt: Prompt, name: str, sent: Mapping[str, str], errors: Mapping[str, list[str]]) -> Response:
    latest, old = store.get_version(prompt, store.LATEST), store.get_version(prompt, name)
    page = render(
        "prompt_restore.html", prompt=prompt, old=old, latest=latest, rows=align(latest, old), sent=sent, errors=errors
    )
    page.status_code = 400 if errors else 200
    return page


def _show_form(
    sent: Mapping[str, Any],
    errors: Mapping[str, Any],
    prompt: Prompt | None = None,
    status: int = 200,
    conflict: Mapping[str, Any] | None = None,
) -> Response:
    by_field: dict[str, list[str]] = {}
    for name, reasons in errors.items():  # `messages.0.content` stands at the messages
        by_field.setdefault(name.partition(".")[0], []).extend(
            f"{name.partition('.')[2]} {reason}".strip() for reason in reasons
        )
    page = render(
        "prompt_form.html",
        sent=sent,
        errors=by_field,
        prompt=prompt,
        roles=(*ROLES, PLACEHOLDER),
        conflict=conflict,
        # programs that fetch a protected label find the prompt by its slug
        is_slug_kept=prompt is not None and not set(prompt.labels).isdisjoint(_find_protected(prompt.workspace_id)),
    )
    page.status_code = status
    return page
