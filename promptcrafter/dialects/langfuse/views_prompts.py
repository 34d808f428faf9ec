"""The routes by which Langfuse's clients read and write prompts."""

import re
from typing import Any

from promptcrafter.database.transactions import writing
from promptcrafter.dialects.langfuse import translate
from promptcrafter.dialects.langfuse.schemas import (
    LangfuseLabelsIn,
    LangfuseListOut,
    LangfuseListQuery,
    LangfusePromptIn,
    LangfusePromptOut,
    LangfusePromptQuery,
)
from promptcrafter.dialects.prompt_names import slug_of
from promptcrafter.dialects.version_choice import PRODUCTION, read_version
from promptcrafter.http.blueprint import Blueprint
from promptcrafter.permissions import Permission
from promptcrafter.problems import Problem
from promptcrafter.prompts import fetching, label_store, list_store, search, store, version_store
from promptcrafter.prompts.fields import SLUG_EXAMPLE
from promptcrafter.prompts.version_names import LATEST
from promptcrafter.text import LABEL_PATTERN, shorten
from promptcrafter.workspaces.authentication import current_principal
from promptcrafter.workspaces.principal import Principal

blueprint = Blueprint(
    "langfuse-prompts",
    __name__,
    description="For Langfuse's clients: prompts to read and write",
    path_examples={"name": SLUG_EXAMPLE, "number": "1"},
)
_PATH = "/api/public/v2/prompts"
_prompt_out = LangfusePromptOut()


@blueprint.route(_PATH, permission=Permission.READ, takes_basic=True)
@blueprint.arguments(LangfuseListQuery(), location="query")
@blueprint.response(200, LangfuseListOut())
def list_langfuse_prompts(query: dict[str, Any]) -> dict[str, Any]:
    """List the prompts with their versions and labels, newest first."""
    page, limit = query.pop("page"), query.pop("limit")
    if "name" in query:
        query["slug"] = slug_of(query.pop("name"))
    if "tag" in query:
        query["tags"] = [query.pop("tag")]
    if query.get("label") == LATEST:
        del query["label"]  # every prompt has it
    total, prompts = list_store.get_page(list_store.find_prompts(current_principal(), query), page, limit)
    meta = {"page": page, "limit": limit, "total": total, "pages": -(-total // limit)}
    return {"data": [translate.to_entry(prompt, is_chat=is_chat) for prompt, is_chat in prompts], "meta": meta}


@blueprint.route(f"{_PATH}/<versioned:name>", permission=Permission.READ, refuses=(404,), takes_basic=True)
@blueprint.arguments(LangfusePromptQuery(), location="query")
@blueprint.response(200, _prompt_out)
def get_langfuse_prompt(query: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the version that `version` or `label` names, else the one in production."""
    number, label = query.get("version"), query.get("label", PRODUCTION)
    version, named = (label, f"label {shorten(label)}") if number is None else (str(number), f"version {number}")
    if number is None and not re.fullmatch(LABEL_PATTERN, label):
        raise _not_found(name, named)  # digits would be taken for the number of a version
    principal = current_principal()
    try:
        prompt = fetching.get_prompt_by_slug(principal, slug_of(name)).load()
        return translate.to_prompt(name, prompt, fetching.get_version(principal, prompt.id, version).load())
    except Problem as problem:
        if problem.status != 404:
            raise
    raise _not_found(name, named)


@blueprint.route(_PATH, methods=["POST"], permission=Permission.WRITE, takes_basic=True)
@blueprint.arguments(LangfusePromptIn())
@blueprint.response(201, _prompt_out)
def create_langfuse_prompt(body: dict[str, Any]) -> dict[str, Any]:
    """Create a prompt, or a new version of the one with that name, and set labels on it."""
    principal, slug = current_principal(), slug_of(body["name"])
    new = translate.to_new_prompt(body, slug)
    search_text = search.search_columns(new["title"], new["tags"], new["content"])
    with writing():
        store.lock_slugs(principal)
        prompt = store.lock_prompt_if_present(principal, slug)
        if prompt is None:
            prompt = store.add_prompt(principal, new, search_text)
        else:
            version_store.add_version(principal, prompt, translate.to_state(body, prompt.model), body.get("comment"))
            if body.get("tags", prompt.tags) != prompt.tags:
                store.change_prompt(principal, prompt, {"tags": body["tags"]})
        for label in body["labels"]:
            label_store.set_label(principal, prompt, label, prompt.version)
        return _show(principal, body["name"], prompt.id, prompt.version)


@blueprint.route(
    f"{_PATH}/<versioned:name>/versions/<number>",
    methods=["PATCH"],
    permission=Permission.WRITE,
    refuses=(404,),
    takes_basic=True,
)
@blueprint.arguments(LangfuseLabelsIn())
@blueprint.response(200, _prompt_out)
def label_langfuse_prompt(body: dict[str, Any], name: str, number: str) -> dict[str, Any]:
    """Set labels on a version, which keeps those that it has."""
    principal = current_principal()
    with writing():
        prompt = store.lock_prompt_if_present(principal, slug_of(name))
        version = read_version(number)
        if prompt is None or version is None or version > prompt.version:
            raise _not_found(name, f"version {shorten(number)}")
        for label in body["labels"]:
            label_store.set_label(principal, prompt, label, version)
        return _show(principal, name, prompt.id, version)


def _show(principal: Principal, name: str, prompt_id: str, number: int) -> dict[str, Any]:
    """Return a version of a locked prompt as it is inside the transaction."""
    prompt = fetching.read_prompt(prompt_id).load()
    return translate.to_prompt(name, prompt, fetching.get_version(principal, prompt_id, str(number)).load())


def _not_found(name: str, named: str) -> Problem:
    """Return the error 404, of which the SDKs show the message. A name that is no slug is explained."""
    slug = slug_of(name)
    explained = "" if slug == name else f" Its slug here would be {slug}."
    return Problem(404, f"Prompt not found: {shorten(name)} with {named}.{explained}", "prompt_not_found")
