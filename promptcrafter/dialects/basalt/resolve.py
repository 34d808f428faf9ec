"""Which of the caller's prompts and versions a Basalt client means."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from promptcrafter.auth.authentication import current_principal
from promptcrafter.dialects.basalt.translate import choose_version, cut
from promptcrafter.logs.store import ParentDeleted
from promptcrafter.problems import Problem
from promptcrafter.prompts import store
from promptcrafter.prompts.models import Prompt, Version

Name = tuple[str, str | None, str | None]  # slug, version and tag


@dataclass(frozen=True)
class Resolved:
    """A prompt and its version, each None when there is none, the tag it was found by, and what was odd about it."""

    prompt: Prompt | None = None
    version: Version | None = None
    tag: str = ""
    oddity: str | None = None


def name_of(reference: Mapping[str, Any]) -> Name:
    """Return what a client's reference names; version and tag may be missing or empty."""
    return reference["slug"], reference.get("version"), reference.get("tag")


def resolve_all(references: Iterable[Mapping[str, Any]]) -> dict[Name, Resolved]:
    """Find what references name, looking for each prompt and each version once."""
    names = list(dict.fromkeys(map(name_of, references)))
    prompts = store.get_prompts_by_slug(current_principal(), {slug for slug, _, _ in names})
    versions: dict[tuple[str, int], Version] = {}
    found = {}
    for name in names:
        slug, version, tag = name
        prompt = prompts.get(slug)
        if prompt is None:
            found[name] = _nothing(slug)
            continue
        labels = {row.name: row.version for row in prompt.label_rows}
        choice = choose_version(prompt.version, labels, version, tag)
        key = (prompt.id, choice.number or 0)
        if choice.number is not None and key not in versions:
            versions[key] = _get_version(prompt, choice.number)
        found[name] = Resolved(prompt, versions.get(key), choice.tag, choice.oddity)
    return found


def resolve_none(references: Iterable[Mapping[str, Any]]) -> dict[Name, Resolved]:
    """Answer as `resolve_all` does where nothing is found."""
    return {name_of(reference): _nothing(reference["slug"]) for reference in references}


def _nothing(slug: str) -> Resolved:
    return Resolved(oddity=f"There is no prompt with the slug {cut(slug)}.")


def _get_version(prompt: Prompt, number: int) -> Version:
    try:
        return store.get_version(prompt, str(number))
    except Problem as problem:
        raise ParentDeleted from problem  # with its prompt, since that was found
