"""Between Basalt's terms and ours. Pure functions.

Basalt's version `2.0.0` is our version 2, its tag our label, its generation our log.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from promptcrafter.clock import to_text
from promptcrafter.logs.schemas import read_model
from promptcrafter.prompts.models import Prompt, Version
from promptcrafter.prompts.render import find_variables
from promptcrafter.prompts.store import LATEST

SOURCE = "basalt"
PRODUCTION = "production"
_GENERATION = "generation"
_NAME_SHOWN = 100  # characters
_WARNINGS_SHOWN = 20
_FAMILIES = {
    "open-ai": r"gpt|chatgpt|davinci|dall|o\d",
    "anthropic": r"claude",
    "mistral": r"\w*stral",
    "gemini": r"gemini|gemma|palm",
}
# Our prompts have no parameters: these are what the providers do when none are sent
_PARAMETERS = {
    "temperature": 1,
    "topP": 1,
    "topK": None,
    "frequencyPenalty": 0,
    "presencePenalty": 0,
    "maxLength": None,
    "responseFormat": "text",
    "jsonObject": None,
}


@dataclass(frozen=True)
class Choice:
    """The version that a client means, None when nothing resolves, and what was odd about how it was named."""

    number: int | None
    tag: str = ""
    oddity: str | None = None


def choose_version(latest: int, labels: Mapping[str, int], version: str | None, tag: str | None) -> Choice:
    """Resolve a version and a tag, either of them perhaps None or empty, among versions 1 to `latest`.

    A version counts before a tag, a tag before the label `production`, which also stands in for what does not exist.
    """
    oddity = None
    if version:
        number = read_version(version)
        if number is not None and number <= latest:
            return Choice(number)
        oddity = f"There is no version {cut(version)} of the prompt"
    elif tag:
        if tag == LATEST or tag in labels:
            return Choice(latest if tag == LATEST else labels[tag], tag)
        oddity = f"No version of the prompt has the tag {cut(tag)}"
    if PRODUCTION in labels:
        return Choice(labels[PRODUCTION], PRODUCTION, f"{oddity}: production stands in." if oddity else None)
    return Choice(
        None, "", f"{oddity}, and none has the tag production." if oddity else "No version has the tag production."
    )


def cut(name: str) -> str:
    """Return a client's name for something, short enough to be told back."""
    return name if len(name) <= _NAME_SHOWN else f"{name[:_NAME_SHOWN]}…"


def read_version(version: str) -> int | None:
    """Return the number of `2.0.0`, `2.0` or `2`; None for what is no version of ours."""
    match = re.fullmatch(r"([1-9][0-9]{0,8})(\.0){0,2}", version)
    return int(match[1]) if match else None


def write_version(number: int) -> str:
    """Return a version as Basalt writes it."""
    return f"{number}.0.0"


def to_log(
    body: Mapping[str, Any], reference: Mapping[str, Any], prompt: Prompt | None, version: Version | None
) -> dict[str, Any]:
    """Return the columns of a log for an output or a generation.

    `reference` is how the client named the prompt, by `slug`, `version` and `tag`; prompt and version are what it
    resolved to.
    """
    columns = {name: body.get(name) for name in ("start_time", "end_time", "input_tokens", "output_tokens", "cost")}
    for name in ("input", "output", "ideal_output"):
        columns[name], columns[f"{name}_format"] = body.get(name, (None, None))
    named = {name: reference[name] for name in ("slug", "version", "tag") if reference.get(name)}
    variables = {variable["label"]: variable["value"] for variable in body.get("variables", ())}
    return {
        **columns,
        "source": SOURCE,
        "prompt_reference": named or None,
        "prompt_id": prompt.id if prompt else None,
        "prompt_version": version.number if version else None,
        "model_used": version.model if version else read_model(body.get("meta", {}), "modelName", "model"),
        "variables": variables or None,
        "meta": body.get("meta"),
    }


def to_generation(span: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a log that say where in its trace a generation stood."""
    return {"name": span.get("name"), "span_id": span["id"], "parent_span_id": span.get("parent_id")}


def to_trace(body: Mapping[str, Any], experiment_id: str | None) -> dict[str, Any]:
    """Return the columns of a trace; its generations are left to the logs."""
    names = ("slug", "name", "input", "output", "ideal_output", "meta", "organization", "user")
    times = ("start_time", "end_time", "evaluators", "evaluation_config")
    spans = [_to_span(span) for span in body.get("logs", ()) if not is_generation(span)]
    columns = {name: body[name] for name in (*names, *times) if name in body}
    return {**columns, "source": SOURCE, "experiment_id": experiment_id, "spans": spans or None}


def to_trace_of_output(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of the trace that holds a single output: what the log itself has no room for."""
    names = ("slug", "name", "organization", "user", "start_time", "end_time")
    return {"source": SOURCE, **{name: body[name] for name in names if name in body}}


def join_warnings(warnings: Sequence[str]) -> str | None:
    """Return warnings as one text, None when there are none, and of very many how many more there are."""
    more = len(warnings) - _WARNINGS_SHOWN
    shown = [*warnings[:_WARNINGS_SHOWN], *([f"And {more} more."] if more > 0 else [])]
    return " ".join(shown) or None


def is_generation(span: Mapping[str, Any]) -> bool:
    """Tell whether a step of a trace is an output of a model."""
    return bool(span["type"] == _GENERATION)


def to_entry(prompt: Prompt) -> dict[str, Any]:
    """Return a prompt as it stands in Basalt's list."""
    return {
        "slug": prompt.slug,
        "name": prompt.title,
        "status": "live" if PRODUCTION in prompt.labels else "draft",
        "description": "",
        "availableVersions": [write_version(number) for number in range(1, prompt.version + 1)],
        "availableTags": [*prompt.labels, LATEST],
    }


def to_description(prompt: Prompt, version: Version) -> dict[str, Any]:
    """Return a prompt with the variables of a version."""
    names = find_variables(version.content)
    return {**to_entry(prompt), "variables": [{"label": name, "type": "string", "description": ""} for name in names]}


def to_prompt(prompt: Prompt, version: Version, tag: str) -> dict[str, Any]:
    """Return a version of a prompt; the SDK wants every text to be a string and every number a number."""
    provider = guess_provider(version.model)
    return {
        "slug": prompt.slug,
        "text": version.content,
        "systemText": "",
        "version": write_version(version.number),
        "tag": tag or next(iter(version.labels), ""),
        "model": {
            "provider": provider,
            "client": provider,
            "model": version.model,
            "version": "",
            "parameters": _PARAMETERS,
        },
    }


def guess_provider(model: str) -> str:
    """Return who offers a model of that name, in Basalt's words; of another family, the first word of the name."""
    name = model.strip().lower().rpartition("/")[2]
    for provider, names in _FAMILIES.items():
        if re.match(names, name):
            return provider
    word = re.search("[a-z]+", model.lower())
    return word[0] if word else ""


def tag_id(prompt: Prompt, label: str) -> UUID:
    """Return the id that Basalt's clients know a label by: always the same for the same label of the same prompt."""
    return uuid5(NAMESPACE_URL, f"{prompt.id}/{label}")


def _to_span(span: Mapping[str, Any]) -> dict[str, Any]:
    """Return a step as it is kept: with the wire's names, without what was not said."""
    kept = {
        "id": span["id"],
        "type": span["type"],
        "parentId": span.get("parent_id"),
        "name": span.get("name"),
        "startTime": to_text(span["start_time"]) if "start_time" in span else None,
        "endTime": to_text(span["end_time"]) if "end_time" in span else None,
        "input": _as_sent(span.get("input")),
        "output": _as_sent(span.get("output")),
        "idealOutput": _as_sent(span.get("ideal_output")),
        "metadata": span.get("meta"),
        "evaluators": span.get("evaluators"),
    }
    return {name: value for name, value in kept.items() if value is not None}


def _as_sent(value: tuple[str, str | None] | None) -> Any:
    if value is None:
        return None
    text, kind = value
    return json.loads(text) if kind == "json" else text
