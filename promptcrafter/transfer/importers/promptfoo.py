"""The results of promptfoo, as `promptfoo eval --output results.json` writes them (versions 2 to 4 of the format).

A prompt under test becomes a prompt with one version, the template; a result becomes a log of it. A template that is a
JSON list of messages becomes a chat prompt; one whose messages have more than text, such as images, stays a text. The
parameters of its provider, as far as they are known to be no credentials, become its `config`. Scores from 0 to 1
become scores from 0 to 10; a score outside that range, or of a result without an output, is dropped. The metadata have
the original result without its output, input and variables.

The model of a log is the label of the provider, or without one its id: promptfoo's users give labels to providers that
have the same id and differ in their configuration.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeGuard

from promptcrafter.jsonio import JsonError, dumps, loads
from promptcrafter.prompts.fields import MODEL_MAX, TITLE_MAX, TITLE_MIN
from promptcrafter.slugs import derive_slug
from promptcrafter.transfer.importers import Unreadable, stable_id
from promptcrafter.transfer.importers.stored_versions import (
    FindVersions,
    StoredVersion,
    find_none,
    read_config,
    read_messages,
)
from promptcrafter.transfer.records import Record, make_record

SOURCE = "promptfoo"
_VERSION_MAX = 4
_SCALE = 10  # the highest score of a log; the highest of a result is 1
# Of a provider's configuration; the rest may be addresses and keys
_PARAMETERS = (
    *("temperature", "top_p", "topP", "top_k", "topK", "frequency_penalty", "presence_penalty", "seed", "n"),
    *("max_tokens", "max_completion_tokens", "max_output_tokens", "maxOutputTokens", "generationConfig"),
    *("stop", "stop_sequences", "stopSequences", "response_format", "tools", "tool_choice", "toolConfig"),
    *("functions", "function_call", "reasoning", "reasoning_effort", "thinking", "verbosity"),
)
_DIGITS = 9  # to which a score is rounded: 0.57 * 10 becomes 5.7, not 5.699999999999999
_Object = Mapping[str, Any]


def read(document: Any, account: str, now: str, find_versions: FindVersions = find_none) -> Iterator[Record]:
    """Yield the records of the file's prompts and results.

    `document` is the parsed JSON. `account` is part of each derived id, so that two workspaces may import one file; see
    `foreign_ids`. `now` is the time, in RFC 3339, of a file without one. A prompt that the workspace has already
    keeps its type and its parameters, which another evaluation of it may have changed. Raises Unreadable and Invalid.
    """
    summary = _find_summary(document)
    own_time = summary.get("timestamp") or document.get("createdAt")
    created_at = own_time or now
    templates = _find_templates(document, summary)
    ids: dict[tuple[str, str], str] = {}
    first: list[tuple[int, dict[str, Any], str]] = []
    for index, template in enumerate(templates):
        content = _to_text(template.get("raw"))
        if content and (_get_label(template), content) not in ids:
            prompt = _to_prompt(template, content, account)
            ids[_get_label(template), content] = prompt["_id"]
            first.append((index, prompt, content))
    stored = find_versions(list(ids.values()))
    for index, prompt, content in first:
        version = _to_version(templates[index], content, document, stored.get(prompt["_id"]))
        yield from _read_prompt(f"prompts.{index}", prompt, version, created_at)
    names = _ProviderNames(summary["results"], templates)
    by_label = {_get_label(template): template for template in reversed(templates)}
    for index, result in enumerate(summary["results"]):
        location = f"results.{index}"
        if not isinstance(result, dict):
            raise Unreadable(f"{location} must be an object.")
        template = _find_template(result, templates, by_label)
        prompt_id = ids.get((_get_label(template), _to_text(template.get("raw"))))
        origin = [account, SOURCE, document.get("evalId") or own_time, result.get("id") or [index, result]]
        fields = _to_log(result, names.get(result), prompt_id, stable_id("log", *origin), document, created_at)
        yield make_record(location, "log", fields)


class _ProviderNames:
    """The names of the providers in a file: their labels or ids, with both where a label alone would be ambiguous."""

    def __init__(self, results: Sequence[Any], templates: Sequence[_Object]) -> None:
        self._templates = templates
        self._ids: dict[str, set[str]] = defaultdict(set)  # by label, and by id: each id is a name of itself
        for result in results:
            if isinstance(result, dict):
                id = _get_provider(result)
                self._ids[self._get_label(result) or id].add(id)
                self._ids[id].add(id)

    def get(self, result: _Object) -> str:
        """Return the name of the provider of a result."""
        id, label = _get_provider(result), self._get_label(result)
        if label is None or label == id:
            return id
        both = f"{label} ({id})"
        return both if len(self._ids[label]) > 1 and len(both) <= MODEL_MAX else label

    def _get_label(self, result: _Object) -> str | None:
        """Return the label that a result has, or the prompt of its column, whose provider is a label or an id."""
        own = _as_object(result.get("provider")).get("label")
        index = result.get("promptIdx")
        column = self._templates[index] if isinstance(index, int) and 0 <= index < len(self._templates) else {}
        return next((label for label in (own, column.get("provider")) if _is_name(label)), None)


def _find_summary(document: Any) -> _Object:
    """Return the object that has the list of results: the document, or its field `results`. Raises Unreadable."""
    summary = document
    if isinstance(document, dict) and isinstance(document.get("results"), dict):
        summary = document["results"]
    if not isinstance(summary, dict) or not isinstance(summary.get("results"), list):
        raise Unreadable("It has no results, so it is not a file of promptfoo.")
    for version in (document.get("version"), summary.get("version")):
        if version is not None and (not isinstance(version, int) or version > _VERSION_MAX):
            raise Unreadable(f"It is of version {version} of promptfoo's format; those up to {_VERSION_MAX} are read.")
    return summary


def _find_templates(document: _Object, summary: _Object) -> list[_Object]:
    """Return the prompts under test, one for each provider. In version 2 they are in the head of a table.

    Raises Unreadable.
    """
    head = _as_object(_as_object(summary.get("table")).get("head"))
    templates = summary.get("prompts") or head.get("prompts") or document.get("prompts") or []
    if not isinstance(templates, list):
        raise Unreadable("prompts must be an array.")
    return [template for template in templates if isinstance(template, dict)]


def _find_template(result: _Object, templates: Sequence[_Object], by_label: Mapping[str, _Object]) -> _Object:
    """Return the template of a result: by index, or in version 2, which has none, by label. `{}` if there is none."""
    index = result.get("promptIdx")
    if isinstance(index, int) and 0 <= index < len(templates):
        return templates[index]
    return by_label.get(_get_label(_as_object(result.get("prompt"))), {})


def _to_prompt(template: _Object, content: str, account: str) -> dict[str, Any]:
    """Return the fields of a prompt without its times.

    The id is derived from label, content and provider, so that the same prompt in another file has the same id.
    """
    title = " ".join(_get_label(template).split()) or " ".join(content.split())
    title = title if len(title) >= TITLE_MIN else f"{SOURCE} {title}"
    title = title if len(title) <= TITLE_MAX else f"{title[: TITLE_MAX - 1]}…"
    id = stable_id("prompt", account, SOURCE, _get_label(template), content, _get_provider(template))
    return {"_id": id, "slug": f"{derive_slug(title)}-{id[-8:]}", "title": title, "tags": [SOURCE]}


def _to_version(template: _Object, content: str, document: _Object, stored: StoredVersion | None) -> dict[str, Any]:
    """Return the fields of a prompt's version without its time."""
    messages = None if stored and stored.is_text else _find_messages(content)
    return {
        "version": 1,
        **({"content": content} if messages is None else {"messages": messages}),
        "model": _get_provider(template),
        "config": stored.config if stored else _find_config(document, _get_provider(template)),
        "labels": [],
    }


def _find_messages(content: str) -> list[dict[str, str]] | None:
    """Return the messages of a template that is a list of them, None for any other one."""
    if not content.lstrip().startswith("["):
        return None
    try:
        return read_messages(loads(content.encode()))
    except (JsonError, UnicodeEncodeError):
        return None


def _find_config(document: _Object, name: str) -> dict[str, Any]:
    """Return the parameters of the provider with this label or id, `{}` if the file has none or several such ones."""
    providers = _as_object(document.get("config")).get("providers")
    providers = [_as_object(provider) for provider in providers] if isinstance(providers, list) else []
    # a prompt names its provider by the label, if there is one; in older files by the id
    named = [provider for provider in providers if (provider.get("label") or provider.get("id")) == name]
    found = named or [provider for provider in providers if provider.get("id") == name]
    config = _as_object(found[0].get("config")) if len(found) == 1 else {}
    return read_config({key: value for key, value in config.items() if key in _PARAMETERS and value is not None}) or {}


def _read_prompt(location: str, prompt: _Object, version: _Object, created_at: Any) -> Iterator[Record]:
    yield make_record(location, "prompt", {**prompt, "createdAt": created_at, "updatedAt": created_at})
    yield make_record(location, "version", {"promptId": prompt["_id"], **version, "createdAt": created_at})


def _to_log(
    result: _Object, model: str, prompt_id: str | None, id: str, document: _Object, created_at: Any
) -> dict[str, Any]:
    response, prompt = (_as_object(result.get(name)) for name in ("response", "prompt"))
    usage, grading = _find_usage(result, response), _as_object(result.get("gradingResult"))
    output, rendered = response.get("output"), prompt.get("raw")
    metadata = {name: value for name, value in result.items() if name not in ("vars", "response", "prompt")}
    metadata["response"] = _omit("output", result.get("response"))
    metadata["prompt"] = _omit("raw", result.get("prompt"))
    variables = result.get("vars")
    if not isinstance(variables, dict):
        metadata["vars"], variables = variables, None
    metadata["evalId"] = document.get("evalId")
    return {
        "_id": id,
        "promptId": prompt_id,
        "promptVersion": prompt_id and 1,
        "modelUsed": model,
        "output": output if isinstance(output, dict | list | None) else _to_text(output),
        "notes": next((text for name in ("comment", "reason") if isinstance(text := grading.get(name), str)), None),
        "score": _scale_score(result.get("score")) if output is not None else None,
        "input": rendered if isinstance(rendered, dict | list) else _to_text(rendered) or None,
        "variables": variables,
        "latencyMs": _get_amount(result.get("latencyMs")),
        # `cached` is not read: it counts what promptfoo took from its own cache, without a call
        "inputTokens": _get_amount(usage.get("prompt")),
        "outputTokens": _get_amount(usage.get("completion")),
        "reasoningTokens": _get_amount(_as_object(usage.get("completionDetails")).get("reasoning")),
        "cost": _get_amount(response.get("cost", result.get("cost") or None)),  # a result's cost of 0 means unknown
        "metadata": {name: value for name, value in metadata.items() if value is not None},
        "source": SOURCE,
        "createdAt": created_at,
        "updatedAt": created_at,
    }


def _omit(name: str, value: Any) -> Any:
    """Return an object without a field, or None if no other field is left. Return any other value as it is."""
    return {key: inner for key, inner in value.items() if key != name} or None if isinstance(value, dict) else value


def _find_usage(result: _Object, response: _Object) -> _Object:
    """Return the token usage of the response or else of the result, where a total of 0 means unknown."""
    own = _as_object(result.get("tokenUsage"))
    return _as_object(response.get("tokenUsage")) or (own if own.get("total") else {})


def _get_label(prompt: _Object) -> str:
    """Return the label of a prompt, which the oldest files have as `display`."""
    return _to_text(prompt.get("label") or prompt.get("display"))


def _get_provider(entry: _Object) -> str:
    """Return the provider of a prompt or result, or `promptfoo` if its name cannot be the name of a model."""
    provider = entry.get("provider")
    name = provider.get("id") if isinstance(provider, dict) else provider
    return name if _is_name(name) else SOURCE


def _is_name(value: Any) -> TypeGuard[str]:
    """Return whether a value can be the name of a model."""
    return isinstance(value, str) and bool(value.strip()) and len(value) <= MODEL_MAX


def _scale_score(score: Any) -> float | None:
    """Return a score from 0 to 1 as one from 0 to 10, None for anything else."""
    amount = _get_amount(score)
    return None if amount is None or amount > 1 else round(amount * _SCALE, _DIGITS)


def _get_amount(value: Any) -> float | None:
    """Return a number that is not negative, None for anything else."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 else None


def _to_text(value: Any) -> str:
    """Return text as it is, None as `""`, and anything else as JSON."""
    return value if isinstance(value, str) else "" if value is None else dumps(value)


def _as_object(value: Any) -> _Object:
    return value if isinstance(value, dict) else {}
