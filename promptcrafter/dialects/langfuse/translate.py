"""Translation between Langfuse's prompts and those of this service, in pure functions."""

from collections.abc import Mapping, Sequence
from typing import Any

from promptcrafter.dialects.langfuse.fields import MESSAGE, PLACEHOLDER
from promptcrafter.dialects.prompt_names import name_of, title_of
from promptcrafter.logs.fields import read_model
from promptcrafter.prompts.messages import Message, flatten
from promptcrafter.prompts.models import Prompt
from promptcrafter.prompts.version_names import LATEST
from promptcrafter.text import is_invisible

NO_MODEL = "unspecified"  # of a prompt whose config names none: Langfuse's prompts have no model of their own


def to_state(body: Mapping[str, Any], former_model: str) -> dict[str, Any]:
    """Return what makes a version: the columns of the prompt that a client has sent.

    The model is the one that the config names, else that of the version before.
    """
    config = body["config"]
    model = read_model(config)
    messages = body["messages"]
    return {
        "content": body["content"] if messages is None else flatten(messages),
        "messages": messages,
        "config": config,
        "model": former_model if model is None or is_invisible(model) else model,
    }


def to_new_prompt(body: Mapping[str, Any], slug: str) -> dict[str, Any]:
    """Return the columns of a new prompt, with its tags and the comment of its first version."""
    name = body["name"]
    return {
        **to_state(body, NO_MODEL),
        "slug": slug,
        "title": title_of(name),
        "tags": body.get("tags", []),
        "comment": body.get("comment"),
    }


def to_wire(message: Message) -> dict[str, Any]:
    """Return a message or placeholder as Langfuse's SDKs read it."""
    if "placeholder" in message:
        return {"type": PLACEHOLDER, "name": message["placeholder"]}
    return {"type": MESSAGE, **message}


def to_prompt(name: str, prompt: Any, version: Any) -> dict[str, Any]:
    """Return a version under the name by which a client knows its prompt."""
    return {
        "name": name,
        "version": version.number,
        "type": version.type,
        "prompt": version.content if version.messages is None else [to_wire(each) for each in version.messages],
        "config": _show_config(version),
        "labels": _show_labels(version.labels, is_latest=version.number == prompt.version),
        "tags": prompt.tags,
        "comment": version.comment,
        "resolution_graph": None,
    }


def to_entry(prompt: Prompt, *, is_chat: bool) -> dict[str, Any]:
    """Return a prompt as an entry of Langfuse's list of prompts."""
    return {
        "name": name_of(prompt.slug, prompt.title),
        "type": "chat" if is_chat else "text",
        "versions": list(range(1, prompt.version + 1)),
        "labels": _show_labels(prompt.labels, is_latest=True),
        "tags": prompt.tags,
        "updated_at": prompt.updated_at,
        "config": _show_config(prompt),
    }


def _show_config(state: Any) -> dict[str, Any]:
    """Return the config of a prompt or version with its model, which programs look for there."""
    model = {} if state.model == NO_MODEL else {"model": state.model}
    return {**model, **state.config}


def _show_labels(labels: Sequence[str], *, is_latest: bool) -> list[str]:
    return [*labels, *([LATEST] if is_latest else [])]
