"""Translation between Basalt's terms and those of this service, in pure functions.

A version `2.0.0` of Basalt is version 2 here, a tag is a label, and a generation is a log.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from promptcrafter.dialects.version_choice import PRODUCTION, write_version
from promptcrafter.logs.fields import read_model
from promptcrafter.logs.usage import INPUT_COUNTS, OUTPUT_COUNTS
from promptcrafter.prompts.messages import INSTRUCTING_ROLES, Message, flatten
from promptcrafter.prompts.models import Prompt, Version
from promptcrafter.prompts.render import find_variables, find_variables_of_messages
from promptcrafter.prompts.version_names import LATEST

SOURCE = "basalt"
_GENERATION = "generation"
# The columns of a log whose values a body has under the same names
_SAME_IN_LOGS = ("start_time", "end_time", *INPUT_COUNTS, *OUTPUT_COUNTS, "cost", "priced")
_RESULTS = ("score", "value", "result")  # the keys under which an evaluator may have one, the first one counts
_SHOWN_WARNINGS_MAX = 20
_SHOWN_VARIABLES_MAX = 1000
_PROVIDER_PATTERNS = {  # patterns for the beginning of the model's name
    "open-ai": r"gpt|chatgpt|davinci|dall|o\d",
    "anthropic": r"claude",
    "mistral": r"\w*stral",
    "gemini": r"gemini|gemma|palm",
}
# What a prompt without such a parameter has: the providers' defaults
_PARAMETERS: dict[str, Any] = {
    "temperature": 1,
    "topP": 1,
    "topK": None,
    "frequencyPenalty": 0,
    "presencePenalty": 0,
    "maxLength": None,
    "responseFormat": "text",
    "jsonObject": None,
}
# Basalt's names by others' spellings of them, without underscores and in lower case
_PARAMETER_NAMES = {name.lower(): name for name in _PARAMETERS} | dict.fromkeys(
    ("maxtokens", "maxoutputtokens", "maxcompletiontokens"), "maxLength"
)
_LENGTH_MAX = 2**53


def to_log(
    body: Mapping[str, Any], reference: Mapping[str, Any], prompt: Prompt | None, version: Version | None
) -> dict[str, Any]:
    """Return the columns of a log for an output or a generation.

    `reference` has the `slug`, `version` and `tag` by which the client named the prompt; `prompt` and `version` are
    what it resolved to.
    """
    columns = {name: body.get(name) for name in _SAME_IN_LOGS}
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
    """Return the columns of a log that hold a generation's place in its trace."""
    return {"name": span.get("name"), "span_id": span["id"], "parent_span_id": span.get("parent_id")}


def find_evaluations(evaluated: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the results that the evaluators of a generation or a trace came with, as reported scores.

    Most evaluators have a slug and no result: they name what Basalt's own service would run.
    """
    evaluators = [each for each in evaluated.get("evaluators", ()) if isinstance(each, dict)]
    found = [(each.get("slug"), *(each[key] for key in _RESULTS if each.get(key) is not None)) for each in evaluators]
    return [
        {"name": slug, "value": results[0], "annotator": "judge", "identifier": slug}
        for slug, *results in found
        if isinstance(slug, str) and results
    ]


def to_trace(body: Mapping[str, Any], experiment_id: str | None) -> dict[str, Any]:
    """Return the columns of a trace, with its spans; its generations become logs and are not among them."""
    names = (
        *("slug", "name", "input", "output", "ideal_output", "meta", "organization", "user"),
        *("start_time", "end_time", "evaluators", "evaluation_config"),
    )
    spans = [_to_span(span) for span in body.get("logs", ()) if not is_generation(span)]
    columns = {name: body[name] for name in names if name in body}
    return {**columns, "source": SOURCE, "experiment_id": experiment_id, "spans": spans}


def to_trace_of_output(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of the trace of a single output, which hold the fields that a log does not have."""
    names = ("slug", "name", "organization", "user", "start_time", "end_time")
    return {"source": SOURCE, **{name: body[name] for name in names if name in body}}


def join_warnings(warnings: Sequence[str]) -> str | None:
    """Return the first warnings, and the number of the others, as one text; None without warnings."""
    omitted = len(warnings) - _SHOWN_WARNINGS_MAX
    shown = [*warnings[:_SHOWN_WARNINGS_MAX], *([f"And {omitted} more."] if omitted > 0 else [])]
    return " ".join(shown) or None


def is_generation(span: Mapping[str, Any]) -> bool:
    """Return whether a span is an output of a model."""
    return bool(span["type"] == _GENERATION)


def to_entry(prompt: Prompt) -> dict[str, Any]:
    """Return a prompt as an entry of Basalt's list of prompts."""
    return {
        "slug": prompt.slug,
        "name": prompt.title,
        "status": "live" if PRODUCTION in prompt.labels else "draft",
        "description": prompt.description,
        "availableVersions": [write_version(number) for number in range(1, prompt.version + 1)],
        "availableTags": [*prompt.labels, LATEST],
    }


def to_description(prompt: Prompt, version: Version) -> dict[str, Any]:
    """Return a prompt with the first variables of a version."""
    names = _find_variables(version)[:_SHOWN_VARIABLES_MAX]
    return {**to_entry(prompt), "variables": [{"label": name, "type": "string", "description": ""} for name in names]}


def warn_of_omitted_variables(version: Version) -> str | None:
    """Return the warning that `to_description` leaves out variables of a version; None if it has all."""
    count = len(_find_variables(version))
    is_complete = count <= _SHOWN_VARIABLES_MAX
    return None if is_complete else f"The first {_SHOWN_VARIABLES_MAX:,} of {count:,} variables are listed."


def _find_variables(version: Version) -> list[str]:
    if version.messages is None:
        return find_variables(version.content)
    return find_variables_of_messages(version.messages)


def to_prompt(prompt: Prompt, version: Version, tag: str) -> dict[str, Any]:
    """Return a version of a prompt. The SDK requires all of these fields, with strings that are never null."""
    provider = guess_provider(version.model)
    system_text, text = ("", version.content) if version.messages is None else _split(version.messages)
    return {
        "slug": prompt.slug,
        "text": text,
        "systemText": system_text,
        "version": write_version(version.number),
        "tag": tag or next(iter(version.labels), ""),
        "model": {
            "provider": provider,
            "client": provider,
            "model": version.model,
            "version": "",
            "parameters": _to_parameters(version.config),
        },
    }


def _split(messages: Sequence[Message]) -> tuple[str, str]:
    """Return the contents of instructing messages as one text, and the other messages as another one.

    A single other message is its content; several, or a placeholder, are their flattened text.
    """
    instructing = [message for message in messages if message.get("role") in INSTRUCTING_ROLES]
    others = [message for message in messages if message.get("role") not in INSTRUCTING_ROLES]
    is_single = len(others) == 1 and "content" in others[0]
    text: str = others[0]["content"] if is_single else flatten(others)
    return "\n\n".join(message["content"] for message in instructing), text


def _to_parameters(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that Basalt knows. The SDK refuses values of other types, so the defaults stand for them.

    Of several spellings, the first one counts.
    """
    found: dict[str, Any] = {}
    for key, value in config.items():
        name = _PARAMETER_NAMES.get(key.replace("_", "").lower())
        parameter = None if name is None else _to_parameter(name, value)
        if name is not None and parameter is not None:
            found.setdefault(name, parameter)
    return {**_PARAMETERS, **found}


def _to_parameter(name: str, value: Any) -> Any:
    """Return the value of a parameter in the type that Basalt's SDK reads, None if it has another type."""
    if name == "jsonObject":
        return value if isinstance(value, dict) else None
    if name == "responseFormat":
        format = value.get("type") if isinstance(value, dict) else value
        return format if isinstance(format, str) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if name == "maxLength":
        return int(value) if 0 <= value <= _LENGTH_MAX and int(value) == value else None
    return value


def guess_provider(model: str) -> str:
    """Return Basalt's name of the provider of a model; for an unknown one the first word of the model's name."""
    name = model.strip().lower().rpartition("/")[2]
    for provider, pattern in _PROVIDER_PATTERNS.items():
        if re.match(pattern, name):
            return provider
    word = re.search("[a-z]+", model.lower())
    return word[0] if word else ""


def tag_id(prompt: Prompt, label: str) -> UUID:
    """Return the id of a prompt's label, which Basalt's clients expect: always the same one for the same label."""
    return uuid5(NAMESPACE_URL, f"{prompt.id}/{label}")


def _to_span(span: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a span; what was not sent is left out."""
    columns = {
        "span_id": span["id"],
        **{name: span.get(name) for name in ("type", "parent_id", "name", "start_time", "end_time")},
        **{name: _to_json_value(span.get(name)) for name in ("input", "output", "ideal_output")},
        **{name: span.get(name) for name in ("meta", "evaluators")},
    }
    return {name: value for name, value in columns.items() if value is not None}


def _to_json_value(value: tuple[str, str | None] | None) -> Any:
    if value is None:
        return None
    text, text_format = value
    return json.loads(text) if text_format == "json" else text
