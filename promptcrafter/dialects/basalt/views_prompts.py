"""The routes by which Basalt's clients read prompts and publish versions."""

from collections.abc import Mapping
from typing import Any

from promptcrafter.database.transactions import writing
from promptcrafter.dialects.basalt import translate
from promptcrafter.dialects.basalt.schemas import (
    BasaltDescriptionAnswer,
    BasaltListOut,
    BasaltListQuery,
    BasaltPromptAnswer,
    BasaltPromptQuery,
    PublishIn,
    PublishOut,
)
from promptcrafter.dialects.prompt_references import Resolved, reference_key, resolve_all
from promptcrafter.http.blueprint import Blueprint
from promptcrafter.permissions import Permission
from promptcrafter.problems import REQUIRED, Invalid, Problem
from promptcrafter.prompts import label_store, list_store, store
from promptcrafter.prompts.fields import SLUG_EXAMPLE
from promptcrafter.prompts.models import Prompt, Version
from promptcrafter.prompts.version_names import refuse_label, version_not_found
from promptcrafter.workspaces.access import not_found
from promptcrafter.workspaces.authentication import current_principal

blueprint = Blueprint(
    "basalt-prompts",
    __name__,
    description="For Basalt's clients: prompts to read and publish",
    path_examples={"slug": SLUG_EXAMPLE},
)


@blueprint.route("/basalt/prompts", permission=Permission.READ)
@blueprint.arguments(BasaltListQuery(), location="query")
@blueprint.response(200, BasaltListOut())
def list_basalt_prompts(query: dict[str, Any]) -> dict[str, Any]:
    """List the prompts of the workspace, newest first; with `featureSlug`, those that have it as a tag."""
    filters = {"tags": [query["featureSlug"]]} if query.get("featureSlug") else {}
    prompts = list_store.get_prompts(current_principal(), filters)
    return {"prompts": [translate.to_entry(prompt) for prompt in prompts], "warning": None}


@blueprint.route("/basalt/prompts/<slug:slug>", permission=Permission.READ, refuses=(404,))
@blueprint.arguments(BasaltPromptQuery(), location="query")
@blueprint.response(200, BasaltPromptAnswer())
def get_basalt_prompt(query: dict[str, Any], slug: str) -> dict[str, Any]:
    """Return the version that `version` or `tag` names, else the one in production."""
    prompt, version, resolved = _get_version(slug, query)
    return {"prompt": translate.to_prompt(prompt, version, resolved.tag), "warning": _warning(resolved, query)}


@blueprint.route("/basalt/prompts/<slug:slug>/describe", permission=Permission.READ, refuses=(404,))
@blueprint.arguments(BasaltPromptQuery(), location="query")
@blueprint.response(200, BasaltDescriptionAnswer())
def describe_basalt_prompt(query: dict[str, Any], slug: str) -> dict[str, Any]:
    """Return a prompt's versions and tags, and the variables of the named version."""
    prompt, version, resolved = _get_version(slug, query)
    warnings = _warning(resolved, query), translate.warn_of_omitted_variables(version)
    return {
        "prompt": translate.to_description(prompt, version),
        "warning": translate.join_warnings([warning for warning in warnings if warning]),
    }


@blueprint.route(
    "/basalt/prompts/<slug:slug>/publish", methods=["POST"], permission=Permission.WRITE, refuses=(403, 404)
)
@blueprint.arguments(PublishIn())
@blueprint.response(201, PublishOut())
def publish_basalt_prompt(body: dict[str, Any], slug: str) -> dict[str, Any]:
    """Set a tag on a version; one that does not exist is 404, without a fallback to the version in production."""
    if not body.get("version") and not body.get("tag"):
        raise Invalid({"version": [f"{REQUIRED} unless tag is given"]})
    label = body["new_tag"]
    principal = current_principal()
    refuse_label(label, "newTag")
    with writing():
        prompt = store.lock_prompt_by_slug(principal, slug)  # before `_get_version` reads its labels
        _, version, resolved = _get_version(slug, body)
        if resolved.warning:
            raise version_not_found(body.get("version") or body["tag"])
        label_store.set_label(principal, prompt, label, version.number)
    return {"deploymentTag": {"id": translate.tag_id(prompt, label), "label": label}}


def _get_version(slug: str, named: Mapping[str, Any]) -> tuple[Prompt, Version, Resolved]:
    """Return the prompt and version that a client names. Raises 404 if there is no such prompt or version."""
    reference = {**named, "slug": slug}
    resolved = resolve_all(current_principal(), [reference])[reference_key(reference)]
    if resolved.prompt is None:
        raise not_found("prompt")
    if resolved.version is None:
        raise Problem(404, str(resolved.warning), "version_not_found")
    return resolved.prompt, resolved.version, resolved


def _warning(resolved: Resolved, query: Mapping[str, Any]) -> str | None:
    is_tag_ignored = query.get("version") and query.get("tag")
    warnings = ["The tag was ignored: a version was named."] if is_tag_ignored else []
    return " ".join([*warnings, *([resolved.warning] if resolved.warning else [])]) or None
