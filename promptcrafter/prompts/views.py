"""The routes of prompts, of their versions and labels, and of the search."""

from typing import Any

from flask import Response, current_app, jsonify, request, url_for
from werkzeug.http import quote_etag

from promptcrafter.database.transactions import writing
from promptcrafter.http import ignored_fields, lists
from promptcrafter.http.blueprint import Blueprint
from promptcrafter.http.etags import YAML_TAG_END, etag_of, refuse_lost_update, revalidated
from promptcrafter.http.yaml_form import YAML, YAML_TYPES, prefers_yaml, yaml_response
from promptcrafter.idempotency.decorator import idempotent, idempotent_in
from promptcrafter.permissions import Permission
from promptcrafter.problems import Invalid
from promptcrafter.prompts import fetching, label_store, list_store, ranking, search, store, version_store
from promptcrafter.prompts.fetching import FetchedPrompt, FetchedVersion
from promptcrafter.prompts.fields import SLUG_EXAMPLE
from promptcrafter.prompts.line_diff import unified_diff
from promptcrafter.prompts.message_diff import compare_configs, compare_messages
from promptcrafter.prompts.models import Prompt, Version
from promptcrafter.prompts.prompt_file import write_prompt_file
from promptcrafter.prompts.render import render_messages, render_text
from promptcrafter.prompts.schemas import (
    DiffOut,
    DiffQuery,
    LabelIn,
    PromptFileIn,
    PromptFilePatch,
    PromptIn,
    PromptOut,
    PromptPatch,
    PromptQuery,
    RenderIn,
    RenderOut,
    RestoreIn,
    SearchQuery,
    TagOut,
    TagQuery,
    VersionOut,
    VersionQuery,
)
from promptcrafter.prompts.version_names import LATEST, refuse_label
from promptcrafter.workspaces.authentication import current_principal

blueprint = Blueprint(
    "prompts",
    __name__,
    description="Prompts and the search over them",
    path_examples={"slug": SLUG_EXAMPLE, "name": LATEST, "label": "production"},
)
_prompt_out = PromptOut()
_version_out = VersionOut()
_tag_rows = lists.ColumnRows(TagOut())
_HEADER = {"schema": {"type": "string"}}


@blueprint.route("/prompts", methods=["POST"], permission=Permission.WRITE, refuses=(409,), yaml_schema=PromptFileIn())
@blueprint.arguments(PromptIn())
@idempotent
@blueprint.response(201, _prompt_out, headers={"Location": _HEADER, "ETag": _HEADER})
def create_prompt(body: dict[str, Any]) -> tuple[Prompt, int, dict[str, str]]:
    """Create a prompt."""
    search_text = search.search_columns(body["title"], body.get("tags", []), body["content"])
    with writing():
        prompt = store.add_prompt(current_principal(), body, search_text)
        tag = fetching.read_prompt(prompt.id).tag
    location = url_for("prompts.get_prompt", prompt_id=prompt.id)
    return prompt, 201, {"Location": location, "ETag": quote_etag(tag)}


@blueprint.route("/prompts", permission=Permission.READ)
@blueprint.arguments(PromptQuery(), location="query")
@blueprint.list_response(PromptOut(many=True))
def list_prompts(query: dict[str, Any]) -> Response:
    """List the prompts of the workspace, newest first."""
    prompts = list_store.find_prompts(current_principal(), query)
    return lists.list_response(prompts, (Prompt.created_at, Prompt.seq), _prompt_out, query)


@blueprint.route("/tags", permission=Permission.READ)
@blueprint.arguments(TagQuery(), location="query")
@blueprint.list_response(TagOut(many=True))
def list_tags(query: dict[str, Any]) -> Response:
    """List the tags of the workspace's prompts with the numbers of prompts that have them, the most frequent first."""
    tags, order = list_store.rank_tags(current_principal())
    return lists.list_response(tags, order, _tag_rows, query)


@blueprint.route("/prompts/<prompt_id>", permission=Permission.READ, refuses=(403, 404))
@blueprint.negotiated_response(_prompt_out, YAML, headers={"ETag": _HEADER})
@blueprint.alt_response(304, description="The prompt matches If-None-Match")
def get_prompt(prompt_id: str) -> Response:
    """Return a prompt."""
    return _show(fetching.get_prompt(current_principal(), prompt_id))


@blueprint.route("/prompts/by-slug/<slug:slug>", permission=Permission.READ, refuses=(404,))
@blueprint.negotiated_response(_prompt_out, YAML, headers={"ETag": _HEADER})
@blueprint.alt_response(304, description="The prompt matches If-None-Match")
def get_prompt_by_slug(slug: str) -> Response:
    """Return the prompt with this slug."""
    return _show(fetching.get_prompt_by_slug(current_principal(), slug))


@blueprint.route(
    "/prompts/<prompt_id>",
    methods=["PATCH"],
    permission=Permission.WRITE,
    refuses=(403, 404, 409, 412),
    yaml_schema=PromptFilePatch(),
)
@blueprint.arguments(PromptPatch())
@blueprint.response(200, _prompt_out, headers={"ETag": _HEADER})
def change_prompt(body: dict[str, Any], prompt_id: str) -> Response:
    """Change a prompt; new content, messages, model or config add a version."""
    with writing():
        prompt = store.lock_prompt(current_principal(), prompt_id)
        _refuse_lost_update(prompt)
        latest = prompt.version
        # A file is sent whole, however little of it has changed, and often by a program that knows no other state
        if body and not (request.mimetype in YAML_TYPES and store.has_all(prompt, body)):
            store.change_prompt(current_principal(), prompt, body)
        if "comment" in body and prompt.version == latest:
            _ignore_comment()
        changed = fetching.read_prompt(prompt_id)
    return _show(changed)


@blueprint.route("/prompts/<prompt_id>", methods=["DELETE"], permission=Permission.WRITE, refuses=(403, 404, 412))
@blueprint.response(204)
def delete_prompt(prompt_id: str) -> None:
    """Delete a prompt and its logs."""
    principal = current_principal()
    with writing():
        prompt = store.lock_prompt(principal, prompt_id)
        _refuse_lost_update(prompt)
        store.remove_prompt(principal, prompt)


@blueprint.route("/prompts/<prompt_id>/versions", permission=Permission.READ, refuses=(403, 404))
@blueprint.arguments(VersionQuery(), location="query")
@blueprint.list_response(VersionOut(many=True))
def list_versions(query: dict[str, Any], prompt_id: str) -> Response:
    """List a prompt's versions, newest first."""
    prompt = store.get_prompt(current_principal(), prompt_id)
    return lists.list_response(version_store.find_versions(prompt.id), (Version.number,), _version_out, query)


@blueprint.route("/prompts/<prompt_id>/versions/<name>", permission=Permission.READ, refuses=(403, 404))
@blueprint.negotiated_response(_version_out, YAML, headers={"ETag": _HEADER})
@blueprint.alt_response(304, description="The version matches If-None-Match")
def get_version(prompt_id: str, name: str) -> Response:
    """Return the version that a number, a label or `latest` names."""
    return _show(fetching.get_version(current_principal(), prompt_id, name))


@blueprint.route("/prompts/by-slug/<slug:slug>/versions/<name>", permission=Permission.READ, refuses=(404,))
@blueprint.negotiated_response(_version_out, YAML, headers={"ETag": _HEADER})
@blueprint.alt_response(304, description="The version matches If-None-Match")
def get_version_by_slug(slug: str, name: str) -> Response:
    """Return the version of the prompt with this slug that a number, a label or `latest` names."""
    return _show(fetching.get_version_by_slug(current_principal(), slug, name))


@blueprint.route(
    "/prompts/<prompt_id>/versions/<name>/restore",
    methods=["POST"],
    permission=Permission.WRITE,
    refuses=(403, 404, 412),
)
@blueprint.arguments(RestoreIn(), required=False)
@idempotent_in(lambda principal, body, prompt_id, name: store.get_workspace_ids(principal, [prompt_id]))
@blueprint.response(201, _version_out, headers={"Location": _HEADER})
def restore_version(body: dict[str, Any], prompt_id: str, name: str) -> tuple[Version, int, dict[str, str]]:
    """Add a version that is the same as an old one."""
    principal = current_principal()
    with writing():
        prompt = store.lock_prompt(principal, prompt_id)
        _refuse_lost_update(prompt)
        old = version_store.get_version(prompt, name)
        version = version_store.restore_version(principal, prompt, old, body.get("comment"))
    return version, 201, {"Location": url_for("prompts.get_version", prompt_id=prompt_id, name=version.number)}


@blueprint.route(
    "/prompts/<prompt_id>/labels/<label>", methods=["PUT"], permission=Permission.WRITE, refuses=(403, 404, 412)
)
@blueprint.arguments(LabelIn())
@blueprint.response(200, _prompt_out, headers={"ETag": _HEADER})
def set_label(body: dict[str, Any], prompt_id: str, label: str) -> Response:
    """Set a label such as `production` on a version, and remove it from the version that had it."""
    principal = current_principal()
    refuse_label(label, "label")
    with writing():
        prompt = store.lock_prompt(principal, prompt_id)
        _refuse_lost_update(prompt)
        label_store.set_label(principal, prompt, label, body["version"])
        labelled = fetching.read_prompt(prompt_id)
    return _show(labelled)


@blueprint.route(
    "/prompts/<prompt_id>/labels/<label>", methods=["DELETE"], permission=Permission.WRITE, refuses=(403, 404, 412)
)
@blueprint.response(204)
def remove_label(prompt_id: str, label: str) -> None:
    """Remove a label."""
    principal = current_principal()
    with writing():
        prompt = store.lock_prompt(principal, prompt_id)
        _refuse_lost_update(prompt)
        label_store.remove_label(principal, prompt, label)


@blueprint.route("/prompts/<prompt_id>/diff", permission=Permission.READ, refuses=(403, 404))
@blueprint.arguments(DiffQuery(), location="query")
@blueprint.response(200, DiffOut())
def diff_versions(query: dict[str, Any], prompt_id: str) -> dict[str, Any]:
    """Return the difference between two versions."""
    prompt = store.get_prompt(current_principal(), prompt_id)
    before, after = (version_store.get_version(prompt, query[name]) for name in ("before", "after"))
    diff = unified_diff(before.content, after.content, f"version {before.number}", f"version {after.number}")
    changes = compare_messages(before.messages or [], after.messages or [])
    return {
        "before": before.number,
        "after": after.number,
        "model": {"before": before.model, "after": after.model},
        "diff": diff.text,
        "simplified": diff.is_simplified or None,
        "messages": [change._asdict() for change in changes],
        "config": list(compare_configs(before.config, after.config)),
    }


@blueprint.route("/prompts/<prompt_id>/render", methods=["POST"], permission=Permission.READ, refuses=(403, 404))
@blueprint.arguments(RenderIn())
@blueprint.response(200, RenderOut())
def render_version(body: dict[str, Any], prompt_id: str) -> dict[str, Any]:
    """Return a version's text or messages with its variables replaced; nothing but `{{name}}` is interpreted."""
    return _render(fetching.get_version(current_principal(), prompt_id, body.get("version", LATEST)), body)


@blueprint.route("/prompts/by-slug/<slug:slug>/render", methods=["POST"], permission=Permission.READ, refuses=(404,))
@blueprint.arguments(RenderIn())
@blueprint.response(200, RenderOut())
def render_version_by_slug(body: dict[str, Any], slug: str) -> dict[str, Any]:
    """Return the same for a version of the prompt with this slug."""
    return _render(fetching.get_version_by_slug(current_principal(), slug, body.get("version", LATEST)), body)


@blueprint.route("/search", permission=Permission.READ)
@blueprint.arguments(SearchQuery(), location="query")
@blueprint.list_response(PromptOut(many=True))
def search_prompts(query: dict[str, Any]) -> Response:
    """Search the title, tags and content of the workspace's prompts for words or parts of words."""
    order = ranking.find_best(current_principal(), query["q"])
    return lists.list_response(order.matching, order, _prompt_out, query)


def _render(fetched: FetchedVersion, body: dict[str, Any]) -> dict[str, Any]:
    version = fetched.load()
    variables, limit = body["variables"], current_app.config["MAX_OUTPUT_BYTES"]
    shown = {"model": version.model, "version": version.number, "config": version.config}
    if version.messages is None:
        return {"text": render_text(version.content, variables, limit), **shown}
    return {"messages": render_messages(version.messages, variables, limit), **shown}


def _refuse_lost_update(prompt: Prompt) -> None:
    """Raise 412 if the request has an `If-Match` for another state of a locked prompt than the current one."""
    refuse_lost_update(lambda: fetching.read_prompt(prompt.id).tag)


def _ignore_comment() -> None:
    """Report that a comment is ignored because it came with what is the latest already; in strict mode raise 400.

    It is no error otherwise: a PATCH that is sent again, because its response was lost, must succeed.
    """
    reason = "is kept with a new version, and what came with it is that of the latest"
    if ignored_fields.is_strict():
        raise Invalid({"comment": [reason]})
    ignored_fields.note_ignored("comment", reason)


def _show(fetched: FetchedPrompt | FetchedVersion) -> Response:
    """Return what was fetched with its entity tag, or 304; as a file in YAML if a GET or HEAD request prefers that."""
    if request.method not in ("GET", "HEAD"):
        return _show_json(fetched)
    response = _show_file(fetched) if prefers_yaml() else _show_json(fetched)
    response.headers["Vary"] = "Accept"
    return response


def _show_json(fetched: FetchedPrompt | FetchedVersion) -> Response:
    schema = _prompt_out if isinstance(fetched, FetchedPrompt) else _version_out
    return revalidated(fetched.tag, lambda: jsonify(schema.dump(fetched.load())))


def _show_file(fetched: FetchedPrompt | FetchedVersion) -> Response:
    prompt, tag = fetched, fetched.tag
    if isinstance(fetched, FetchedVersion):  # whose file has the name, description, slug and tags of its prompt
        prompt = fetching.get_prompt(current_principal(), fetched.load().prompt_id)
        tag = etag_of((fetched.tag, prompt.tag))
    return revalidated(tag + YAML_TAG_END, lambda: yaml_response(write_prompt_file(prompt.load(), fetched.load())))
