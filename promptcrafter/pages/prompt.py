"""A prompt: its content, its versions and labels, and the difference between two versions."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from flask import current_app, jsonify, request, url_for
from marshmallow import Schema
from sqlalchemy.orm import defer
from werkzeug.wrappers import Response

from promptcrafter import jsonio
from promptcrafter.database.transactions import writing
from promptcrafter.dialects.version_choice import PRODUCTION
from promptcrafter.http.fields import Text
from promptcrafter.http.yaml_form import yaml_response
from promptcrafter.logs import store as logs
from promptcrafter.pages import lists
from promptcrafter.pages.blueprint import PageBlueprint
from promptcrafter.pages.example_calls import find_names
from promptcrafter.pages.forms import Form, read_fields, read_form
from promptcrafter.pages.notices import redirect_with
from promptcrafter.pages.rendering import render
from promptcrafter.pages.version_diff import align
from promptcrafter.permissions import Permission
from promptcrafter.problems import Problem
from promptcrafter.prompts import fetching, label_store, store, version_store
from promptcrafter.prompts.message_diff import compare_configs
from promptcrafter.prompts.models import Version
from promptcrafter.prompts.prompt_file import write_prompt_file
from promptcrafter.prompts.render import render_messages, render_text
from promptcrafter.prompts.schemas import LabelIn, PromptOut, VersionOut, VersionQuery
from promptcrafter.prompts.unclosed import find_unclosed
from promptcrafter.prompts.version_names import LATEST, refuse_label
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


class _DiffQuery(Schema):
    """The versions that are compared."""

    before = Text(required=True, maximum=64)
    after = Text(required=True, maximum=64)


@blueprint.page("/prompts/<prompt_id>")
@blueprint.arguments(_ShowQuery(), location="query")
def show_prompt(query: dict[str, Any], prompt_id: str) -> Response:
    """Show a version of a prompt, with the other versions beside it, its newest outputs and its audit trail below."""
    if "format" in query:
        return _download(query["format"], prompt_id, query.get("version"))
    return _show(*_fetch(prompt_id, query.get("version", LATEST)), query, _Filled())


@blueprint.page("/prompts/<prompt_id>/render", methods=["POST"])
def render_prompt(prompt_id: str) -> Response:
    """Show a version with its variables filled in; nothing is stored."""
    fields = read_fields()
    prompt, version = _fetch(prompt_id, fields.get("version", "") or LATEST)
    filled = _fill_in(version, fields)
    page = _show(prompt, version, {}, filled)
    # browsers write a failed request of a script to their console
    page.status_code = 400 if filled.errors and not request.headers.get("HX-Request") else 200
    return page


@blueprint.page("/prompts/<prompt_id>/labels", methods=["POST"], permission=Permission.WRITE)
def set_label(prompt_id: str) -> Response:
    """Put a label on a version, or remove it."""
    principal = current_principal()
    fields = read_fields()
    label, is_removed = fields.get("label", "").strip(), fields.get("remove") == "1"
    refuse_label(label, "label")
    number = fields.get("version", "")
    form = Form({}) if is_removed else read_form(LabelIn(), version=int(number) if number.isdecimal() else number)
    if form.errors:
        raise Problem(400, "A label needs the number of a version.", "invalid_label")
    with writing():
        prompt = store.lock_prompt(principal, prompt_id)
        notice = "label_removed" if is_removed else "label_moved" if label in prompt.labels else "label_put"
        if is_removed:
            label_store.remove_label(principal, prompt, label)
        else:
            label_store.set_label(principal, prompt, label, form.values["version"])
        latest = prompt.version
    seen = number if number.isdecimal() and number != str(latest) else None  # the version that the page showed
    target = url_for("prompt.show_prompt", prompt_id=prompt_id, version=seen)
    return redirect_with(target, notice, label=label, version=form.values.get("version", ""))


@blueprint.page("/prompts/<prompt_id>/diff")
@blueprint.arguments(_DiffQuery(), location="query")
def show_diff(query: dict[str, Any], prompt_id: str) -> Response:
    """Show the difference between two versions, word by word, side by side."""
    prompt = store.get_prompt(current_principal(), prompt_id)
    before, after = (version_store.get_version(prompt, query[name]) for name in ("before", "after"))
    numbers = {each.number for each in _read_versions(prompt.id, {}).rows} | {before.number, after.number}
    return render(
        "prompt_diff.html",
        prompt=prompt,
        before=before,
        after=after,
        rows=align(before, after),
        config=list(compare_configs(before.config, after.config)),
        numbers=sorted(numbers, reverse=True),
        may_move_production=PRODUCTION not in [*after.labels, *find_protected(prompt.workspace_id)],
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
        variables=find_names(version),
        unclosed=_find_unclosed(version),
        variables_max=_VARIABLES_MAX,
        placeholders=[message["placeholder"] for message in version.messages or [] if "placeholder" in message],
        filled=filled,
        config=to_json(version.config),
        outputs=lists.read_page(outputs, logs.order_logs({}), {"per_page": _OUTPUTS_SHOWN}).rows,
        entries=entries,
        protected=find_protected(prompt.workspace_id),
        tab="content",
    )


def _find_unclosed(version: SimpleNamespace) -> list[str]:
    if version.messages is None:
        return find_unclosed(version.content)
    return find_unclosed(*(message["content"] for message in version.messages if "content" in message))


def _read_versions(prompt_id: str, query: Mapping[str, Any]) -> lists.PageOfRows:
    versions = version_store.find_versions(prompt_id).options(defer(Version.content), defer(Version.messages))
    return lists.read_page(versions, (Version.number,), query)


def find_protected(workspace_id: str) -> list[str]:
    """Return the labels that the account may not move because they are protected."""
    principal = current_principal()
    return [] if is_owner(principal, workspace_id) else label_store.get_protected_labels(workspace_id)


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


def _fill_in(version: SimpleNamespace, fields: Mapping[str, str]) -> _Filled:
    """Return a version with the values of the form: those of placeholders are JSON, and no messages if empty."""
    sent = {name: fields.get(f"value.{name}", "") for name in find_names(version)}
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


def to_json(config: Mapping[str, Any]) -> str:
    """Return the parameters of a version as people write them; nothing without any."""
    return json.dumps(config, indent=2, ensure_ascii=False) if config else ""
