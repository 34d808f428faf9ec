"""The forms that change a prompt: a new one, its next version, an older version restored, and its end."""

from collections.abc import Mapping
from typing import Any

from flask import request, url_for
from marshmallow import Schema
from werkzeug.wrappers import Response

from promptcrafter import clock, jsonio
from promptcrafter.database.transactions import writing
from promptcrafter.http.fields import Text
from promptcrafter.pages.blueprint import PageBlueprint
from promptcrafter.pages.forms import read_fields, read_form, read_rows
from promptcrafter.pages.notices import redirect_with
from promptcrafter.pages.prompt import find_protected, to_json
from promptcrafter.pages.rendering import render
from promptcrafter.pages.version_diff import align
from promptcrafter.permissions import Permission
from promptcrafter.problems import Problem
from promptcrafter.prompts import search, store, version_store
from promptcrafter.prompts.fields import MESSAGES_MAX
from promptcrafter.prompts.messages import ROLES, Message
from promptcrafter.prompts.models import Prompt, Version
from promptcrafter.prompts.schemas import PromptIn, PromptPatch, RestoreIn
from promptcrafter.prompts.unclosed import find_unclosed
from promptcrafter.prompts.version_names import LATEST
from promptcrafter.workspaces.authentication import current_principal
from promptcrafter.workspaces.principal import refuse_role

blueprint = PageBlueprint("prompt_form", __name__)
_FIRST_MESSAGES = ({"role": "system", "content": ""}, {"role": "user", "content": ""})  # of a new prompt
_CHANGED_MEANWHILE = "changed_meanwhile"
_REARRANGING = ("add-message", "remove-message", "raise-message")  # buttons; the latter two have the message's number
PLACEHOLDER = "placeholder"  # chosen in the form instead of a role


class _RestoreQuery(Schema):
    """The version that is to be restored."""

    version = Text(required=True, maximum=64)


@blueprint.page("/prompts/new", permission=Permission.WRITE)
def show_new() -> Response:
    """Show the form for a new prompt, of one text or of messages."""
    refuse_role(current_principal())
    return _show_form({"type": "text", "messages": _FIRST_MESSAGES}, {})


@blueprint.page("/prompts", methods=["POST"], permission=Permission.WRITE)
def create_prompt() -> Response:
    """Make a prompt."""
    sent, body, faults = _read_prompt()
    if _is_rearranged():
        return _show_form(sent, {})
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


@blueprint.page("/prompts/<prompt_id>/edit", permission=Permission.WRITE)
def show_edit(prompt_id: str) -> Response:
    """Show the form that changes a prompt."""
    principal = current_principal()
    prompt = store.get_prompt(principal, prompt_id)
    refuse_role(principal)
    sent = {
        "seen": _state_of(prompt),
        **{name: getattr(prompt, name) for name in ("title", "slug", "model", "description", "type")},
        "content": prompt.content if prompt.messages is None else "",
        "messages": [_to_row(message) for message in prompt.messages or []] or _FIRST_MESSAGES,
        "tags": ", ".join(prompt.tags),
        "config": to_json(prompt.config),
    }
    return _show_form(sent, {}, prompt)


@blueprint.page("/prompts/<prompt_id>/edit", methods=["POST"], permission=Permission.WRITE)
def change_prompt(prompt_id: str) -> Response:
    """Change a prompt; another content, model or config makes a version."""
    principal = current_principal()
    sent, body, faults = _read_prompt()
    if _is_rearranged():
        return _show_form(sent, {}, store.get_prompt(principal, prompt_id))
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
        version = version_store.get_version(prompt, name)
        version_store.restore_version(principal, prompt, version, form.values.get("comment"))
    return redirect_with(url_for("prompt.show_prompt", prompt_id=prompt_id), "version_restored")


@blueprint.page("/prompts/<prompt_id>/delete", permission=Permission.WRITE)
def ask_to_delete(prompt_id: str) -> Response:
    """Ask before a prompt is deleted."""
    principal = current_principal()
    prompt = store.get_prompt(principal, prompt_id)
    refuse_role(principal)
    return render("prompt_delete.html", prompt=prompt)


@blueprint.page("/prompts/<prompt_id>/delete", methods=["POST"], permission=Permission.WRITE)
def delete_prompt(prompt_id: str) -> Response:
    """Delete a prompt and its outputs."""
    principal = current_principal()
    with writing():
        store.remove_prompt(principal, store.lock_prompt(principal, prompt_id))
    return redirect_with(url_for("prompts_page.list_prompts"), "prompt_deleted")


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
    rows = read_rows(("role", "message", "message-name"), "messages", MESSAGES_MAX)
    messages = [{"role": row["role"], "content": row["message"], "name": row["message-name"]} for row in rows]
    _keep_text(sent, messages)
    sent["messages"] = _rearrange(messages)
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
    elif sent.get("content"):
        body["content"] = sent["content"]
    return sent, body, faults


def _keep_text(sent: dict[str, Any], messages: list[dict[str, str]]) -> None:
    """Keep what was written before the type was changed: a text is the message of the user, and the other way round.

    It changes `sent` and `messages`, unless something was written for the new type. Of several messages none is the
    text.
    """
    written = [message for message in messages if message["content"].strip()]
    content = sent.get("content", "")
    if sent.get("type") == "chat" and not written and content.strip():
        empty = next((message for message in messages if message["role"] == "user"), None)
        if empty is None:
            messages.append({"role": "user", "content": content, "name": ""})
        else:
            empty["content"] = content
    elif sent.get("type") == "text" and not content.strip() and len(written) == 1:
        sent["content"] = written[0]["content"] if written[0]["role"] != PLACEHOLDER else ""


def _is_rearranged() -> bool:
    """Return whether a button of the messages sent the form, which saves nothing."""
    return not request.form.keys().isdisjoint(_REARRANGING)


def _rearrange(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return the messages as the button that sent the form leaves them."""
    if "add-message" in request.form:
        return [*messages, {"role": "user", "content": "", "name": ""}][:MESSAGES_MAX]
    for name in ("remove-message", "raise-message"):
        number = request.form.get(name, "")
        at = int(number) if number.isdecimal() and number.isascii() and len(number) < 5 else 0
        if 0 < at <= len(messages):
            moved = messages.pop(at - 1)
            if name == "raise-message":
                messages.insert(max(0, at - 2), moved)
    return messages


def _explain(problem: Problem) -> dict[str, list[str]]:
    return dict(problem.details or {"": [problem.message]})


def _show_conflict(sent: Mapping[str, Any], values: Mapping[str, Any], prompt: Prompt) -> Response:
    """Show the form again, with what was saved meanwhile beside what was written; saving again replaces the former."""
    latest = version_store.get_version(prompt, LATEST)
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


def _find_unclosed(sent: Mapping[str, Any]) -> list[str]:
    if sent.get("type") != "chat":
        return find_unclosed(sent.get("content", ""))
    return find_unclosed(*(row["content"] for row in sent["messages"] if row["role"] != PLACEHOLDER))


def _state_of(prompt: Prompt) -> str:
    """Return what a form carries of the state that it began with: the version, and when anything was last changed."""
    return f"{prompt.version} {clock.to_text(prompt.updated_at)}"


def _show_restore(prompt: Prompt, name: str, sent: Mapping[str, str], errors: Mapping[str, list[str]]) -> Response:
    latest, old = version_store.get_version(prompt, LATEST), version_store.get_version(prompt, name)
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
        unclosed=_find_unclosed(sent),
        conflict=conflict,
        # programs that fetch a protected label find the prompt by its slug
        is_slug_kept=prompt is not None and not set(prompt.labels).isdisjoint(find_protected(prompt.workspace_id)),
    )
    page.status_code = status
    return page
