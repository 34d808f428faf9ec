"""Which of the caller's prompts and versions a Basalt client means."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from promptcrafter.auth.principal import current_user_id
from promptcrafter.ingest.basalt.translate import choose_version
from promptcrafter.prompts import store
from promptcrafter.prompts.models import Prompt, Version


@dataclass(frozen=True)
class Resolved:
    """A prompt and its version, each None when there is none, the tag it was found by, and what was odd about it."""

    prompt: Prompt | None = None
    version: Version | None = None
    tag: str = ""
    oddity: str | None = None


def resolve(reference: Mapping[str, Any]) -> Resolved:
    """Find what `slug`, `version` and `tag` name; the last two may be missing or empty."""
    prompt = store.get_prompt_by_slug(reference["slug"], current_user_id())
    if prompt is None:
        return Resolved(oddity=f"There is no prompt with the slug {reference['slug']}.")
    labels = {row.name: row.version for row in prompt.label_rows}
    choice = choose_version(prompt.version, labels, reference.get("version"), reference.get("tag"))
    version = None if choice.number is None else store.get_version(prompt, str(choice.number))
    return Resolved(prompt, version, choice.tag, choice.oddity)
