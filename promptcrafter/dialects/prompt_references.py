"""Find the prompts and versions that the references of other systems' clients name."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from promptcrafter.dialects.prompt_names import slug_of
from promptcrafter.dialects.version_choice import Choice, choose_version
from promptcrafter.logs.store import ParentDeleted
from promptcrafter.prompts import store, version_store
from promptcrafter.prompts.models import Prompt, Version
from promptcrafter.text import shorten
from promptcrafter.workspaces.principal import Principal

ReferenceKey = tuple[str, str | None, str | None]  # slug, version and tag


@dataclass(frozen=True)
class Resolved:
    """The prompt and version that a reference names, each None if there is none.

    `tag` is the tag by which the version was found. `warning` says what the reference names that does not exist.
    """

    prompt: Prompt | None = None
    version: Version | None = None
    tag: str = ""
    warning: str | None = None


Resolver = Callable[[Principal, Iterable[Mapping[str, Any]]], dict[ReferenceKey, Resolved]]  # such as `resolve_all`


def reference_key(reference: Mapping[str, Any]) -> ReferenceKey:
    """Return slug, version and tag of a client's reference; version and tag may be missing or empty."""
    return reference["slug"], reference.get("version"), reference.get("tag")


def resolve_all(principal: Principal, references: Iterable[Mapping[str, Any]]) -> dict[ReferenceKey, Resolved]:
    """Find what references name, reading all prompts and all versions at once.

    A reference may have the prompt's name in Langfuse in place of its slug: see `prompt_names`. Raises ParentDeleted
    if a prompt is deleted in between.
    """
    keys = list(dict.fromkeys(map(reference_key, references)))
    slugs = {slug: slug_of(slug) for slug, _, _ in keys}
    prompts = store.get_prompts_by_slug(principal, set(slugs.values()))
    chosen: dict[ReferenceKey, tuple[Prompt, Choice]] = {}
    for key in keys:
        slug, version, tag = key
        if (prompt := prompts.get(slugs[slug])) is not None:
            labels = {row.name: row.version for row in prompt.label_rows}
            chosen[key] = prompt, choose_version(prompt.version, labels, version, tag)
    numbers = {(prompt.id, choice.number) for prompt, choice in chosen.values() if choice.number is not None}
    versions = version_store.get_versions(numbers)
    if versions.keys() != numbers:
        raise ParentDeleted  # versions are deleted only with their prompt
    resolved = {}
    for key in keys:
        if key in chosen:
            prompt, choice = chosen[key]
            resolved[key] = Resolved(prompt, versions.get((prompt.id, choice.number or 0)), choice.tag, choice.warning)
        else:
            resolved[key] = _missing_prompt(key[0])
    return resolved


def resolve_as_missing(principal: Principal, references: Iterable[Mapping[str, Any]]) -> dict[ReferenceKey, Resolved]:
    """Return what `resolve_all` would return if no prompt existed, without reading the database."""
    return {reference_key(reference): _missing_prompt(reference["slug"]) for reference in references}


def _missing_prompt(slug: str) -> Resolved:
    return Resolved(warning=f"There is no prompt with the slug {shorten(slug)}.")
