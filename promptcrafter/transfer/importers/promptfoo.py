"""The results of promptfoo, as `promptfoo eval --output results.json` writes them (versions 2 to 4 of the format).

A prompt under test becomes a prompt of one version, the template; a result becomes a log of it. Scores go from 0 to 1
there and from 0 to 10 here: one outside of that, or of a call that brought no output, is no score. The result as it
was, but for what is the log's output, input and variables, is in its metadata.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from promptcrafter.jsonio import dumps
from promptcrafter.prompts.schemas import MODEL_MAX, TITLE_MAX, TITLE_MIN
from promptcrafter.prompts.store import derive_slug
from promptcrafter.transfer.importers import Unreadable, stable_id
from promptcrafter.transfer.records import Record, make_record

SOURCE = "promptfoo"
_VERSION_MAX = 4
_SCALE = 10  # from their scores to ours
_DIGITS = 9  # of a score: 0.57 * 10 is 5.7 and not 5.699999999999999
_Object = Mapping[str, Any]


def read(document: Any, account: str, now: str) -> Iterator[Record]:
    """Yield the lines of the file's prompts and results, with ids of the account's own; `now` dates what has no date.

    Raises Unreadable and Invalid.
    """
    summary = _find_summary(document)
    made = summary.get("timestamp") or document.get("createdAt") or now
    templates = _find_templates(document, summary)
    ids: dict[tuple[str, str], str] = {}
    for number, template in enumerate(templates):
        content = _to_text(template.get("raw"))
        if content and (_label(template), content) not in ids:
            prompt = _to_prompt(template, content, account)
            ids[_label(template), content] = prompt["_id"]
            yield from _read_prompt(f"prompts.{number}", prompt, content, _provider(template), made)
    by_label = {_label(template): template for template in reversed(templates)}
    for number, result in enumerate(summary["results"]):
        place = f"results.{number}"
        if not isinstance(result, dict):
            raise Unreadable(f"{place} must be an object.")
        template = _find_template(result, templates, by_label)
        prompt_id = ids.get((_label(template), _to_text(template.get("raw"))))
        origin = [account, SOURCE, document.get("evalId") or made, result.get("id") or [number, result]]
        yield make_record(place, "log", _to_log(result, prompt_id, stable_id("log", *origin), document, made))


def _find_summary(document: Any) -> _Object:
    """Return the object that holds the results: the whole, or what is in a file of results beside their settings."""
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
    """Return the prompts under test, once for each provider: in version 2 they are the head of the table."""
    head = summary.get("table") or {}
    found = summary.get("prompts") or (head.get("head") or {}).get("prompts") or document.get("prompts") or []
    return [template for template in found if isinstance(template, dict)]


def _find_template(result: _Object, templates: Sequence[_Object], by_label: Mapping[str, _Object]) -> _Object:
    """Return the template of a result, by its number or else by its label, which is all that version 2 has."""
    number = result.get("promptIdx")
    if isinstance(number, int) and 0 <= number < len(templates):
        return templates[number]
    return by_label.get(_label(_as_object(result.get("prompt"))), {})


def _to_prompt(template: _Object, content: str, account: str) -> dict[str, Any]:
    """Return a prompt's fields but for its times. The id follows from what it says: what is equal meets."""
    title = " ".join(_label(template).split()) or " ".join(content.split())
    title = title if len(title) >= TITLE_MIN else f"{SOURCE} {title}"
    title = title if len(title) <= TITLE_MAX else f"{title[: TITLE_MAX - 1]}…"
    id = stable_id("prompt", account, SOURCE, _label(template), content, _provider(template))
    return {"_id": id, "slug": f"{derive_slug(title)}-{id[-8:]}", "title": title, "tags": [SOURCE]}


def _read_prompt(place: str, prompt: _Object, content: str, model: str, made: Any) -> Iterator[Record]:
    yield make_record(place, "prompt", {**prompt, "createdAt": made, "updatedAt": made})
    version = {"version": 1, "content": content, "model": model, "labels": [], "createdAt": made}
    yield make_record(place, "version", {"promptId": prompt["_id"], **version})


def _to_log(result: _Object, prompt_id: str | None, id: str, document: _Object, made: Any) -> dict[str, Any]:
    response, prompt = (_as_object(result.get(name)) for name in ("response", "prompt"))
    usage, grading = _find_usage(result, response), _as_object(result.get("gradingResult"))
    output, sent = response.get("output"), prompt.get("raw")
    rest = {name: value for name, value in result.items() if name not in ("vars", "response", "prompt")}
    rest["response"] = _without("output", result.get("response"))
    rest["prompt"] = _without("raw", result.get("prompt"))
    variables = result.get("vars")
    if not isinstance(variables, dict):
        rest["vars"], variables = variables, None
    rest["evalId"] = document.get("evalId")
    return {
        "_id": id,
        "promptId": prompt_id,
        "promptVersion": prompt_id and 1,
        "modelUsed": _provider(result) or None,
        "output": output if isinstance(output, dict | list | None) else _to_text(output),
        "notes": next((text for name in ("comment", "reason") if isinstance(text := grading.get(name), str)), None),
        "score": _scale(result.get("score")) if output is not None else None,
        "input": sent if isinstance(sent, dict | list) else _to_text(sent) or None,
        "variables": variables,
        "latencyMs": _amount(result.get("latencyMs")),
        "inputTokens": _amount(usage.get("prompt")),
        "outputTokens": _amount(usage.get("completion")),
        "cost": _amount(response.get("cost", result.get("cost") or None)),  # the result's own 0 means unknown
        "metadata": {name: value for name, value in rest.items() if value is not None},
        "source": SOURCE,
        "createdAt": made,
        "updatedAt": made,
    }


def _without(name: str, value: Any) -> Any:
    """Return what is left of an object without that; None for nothing, and what is no object as it is."""
    return {key: inner for key, inner in value.items() if key != name} or None if isinstance(value, dict) else value


def _find_usage(result: _Object, response: _Object) -> _Object:
    """Return what is known of the tokens; a result's own total of 0 means nothing."""
    own = _as_object(result.get("tokenUsage"))
    return _as_object(response.get("tokenUsage")) or (own if own.get("total") else {})


def _label(named: _Object) -> str:
    """Return the name of a prompt, which the oldest files keep in `display`."""
    return _to_text(named.get("label") or named.get("display"))


def _provider(named: _Object) -> str:
    """Return the provider of a prompt or result if its name may be that of a model, else that of the tool."""
    provider = named.get("provider")
    name = provider.get("id") if isinstance(provider, dict) else provider
    return name if isinstance(name, str) and name.strip() and len(name) <= MODEL_MAX else SOURCE


def _scale(score: Any) -> float | None:
    amount = _amount(score)
    return None if amount is None or amount > 1 else round(amount * _SCALE, _DIGITS)


def _amount(value: Any) -> float | None:
    """Return a number from 0 on, None for anything else."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 else None


def _to_text(value: Any) -> str:
    """Return text as it is, nothing as no text and anything else as its JSON."""
    return value if isinstance(value, str) else "" if value is None else dumps(value)


def _as_object(value: Any) -> _Object:
    return value if isinstance(value, dict) else {}
