"""The routes of prompts and of the search over them."""

from typing import Any

from flask import Response, jsonify, request, url_for

from promptcrafter import paging
from promptcrafter.api import Blueprint, etag_of, refuse_lost_update
from promptcrafter.auth.principal import current_user_id
from promptcrafter.db import writing
from promptcrafter.errors import Invalid
from promptcrafter.prompts import search, store
from promptcrafter.prompts.models import Prompt
from promptcrafter.prompts.schemas import PromptIn, PromptOut, PromptPatch, PromptQuery, SearchQuery

blueprint = Blueprint("prompts", __name__, description="Prompts and the search over them")
_prompt_out = PromptOut()


@blueprint.route("/prompts", methods=["POST"])
@blueprint.refuses(409)
@blueprint.arguments(PromptIn())
@blueprint.response(201, _prompt_out, headers={"Location": {"schema": {"type": "string"}}})
def create_prompt(body: dict[str, Any]) -> tuple[Prompt, int, dict[str, str]]:
    """Save a prompt."""
    with writing():
        prompt = store.add_prompt(current_user_id(), body)
    return prompt, 201, {"Location": url_for("prompts.get_prompt", prompt_id=prompt.id)}


@blueprint.route("/prompts")
@blueprint.arguments(PromptQuery(), location="query")
@blueprint.response(200, PromptOut(many=True))
def list_prompts(query: dict[str, Any]) -> Response:
    """List the caller's prompts, newest first."""
    found = store.find_prompts(current_user_id(), query)
    return paging.listing(found, (Prompt.created_at, Prompt.seq), _prompt_out, query)


@blueprint.route("/prompts/<prompt_id>")
@blueprint.refuses(403, 404)
@blueprint.response(200, _prompt_out, headers={"ETag": {"schema": {"type": "string"}}})
def get_prompt(prompt_id: str) -> Response:
    """Return a prompt."""
    return _with_etag(store.get_prompt(prompt_id, current_user_id()))


@blueprint.route("/prompts/<prompt_id>", methods=["PATCH"])
@blueprint.refuses(403, 404, 409, 412)
@blueprint.arguments(PromptPatch())
@blueprint.response(200, _prompt_out, headers={"ETag": {"schema": {"type": "string"}}})
def change_prompt(body: dict[str, Any], prompt_id: str) -> Response:
    """Change a prompt; a new content or model makes a new version."""
    changes = {name: value for name, value in body.items() if value is not None}
    with writing():
        prompt = store.lock_prompt(prompt_id, current_user_id())
        refuse_lost_update(_prompt_out.dump(prompt))
        if changes:
            store.change_prompt(prompt, changes)
    return _with_etag(prompt)


@blueprint.route("/prompts/<prompt_id>", methods=["DELETE"])
@blueprint.refuses(403, 404, 412)
@blueprint.response(204)
def delete_prompt(prompt_id: str) -> None:
    """Delete a prompt and its logs."""
    with writing():
        prompt = store.lock_prompt(prompt_id, current_user_id())
        refuse_lost_update(_prompt_out.dump(prompt))
        store.remove_prompt(prompt)


@blueprint.route("/search")
@blueprint.arguments(SearchQuery(), location="query")
@blueprint.response(200, PromptOut(many=True))
def search_prompts(query: dict[str, Any]) -> Response:
    """Search the caller's prompts by words or parts of words in title, tags and content."""
    words = search.words_of(query["q"])
    if len(words) > search.MAX_WORDS:
        raise Invalid({"q": [f"must have at most {search.MAX_WORDS} words"]})
    found, sort = search.find_matching(current_user_id(), words)
    return paging.listing(found, sort, _prompt_out, query)


def _with_etag(prompt: Prompt) -> Response:
    representation = _prompt_out.dump(prompt)
    response = jsonify(representation)
    response.headers["Cache-Control"] = "private, no-cache"
    response.set_etag(etag_of(representation))
    return response.make_conditional(request) if request.method in ("GET", "HEAD") else response  # type: ignore[return-value]
