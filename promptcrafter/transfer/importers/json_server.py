"""A file of json-server as the PromptCrafter documents of old describe it: `prompts` and `logs`, beside `users`.

Ids stay as they are, `prompt104` and `log3`; one that is a bare number or word gets the prefix. Accounts are not taken
along: everything goes to the one that imports, or only what was a given user's.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from promptcrafter.ids import Kind, is_well_formed
from promptcrafter.transfer.importers import Unreadable
from promptcrafter.transfer.records import Record, make_record

_LISTS = ("prompts", "logs")
_OF_VERSION = ("content", "model")
# What a log of ours may have; anything else goes to its metadata
_OF_LOG = (
    *("output", "notes", "score", "createdAt", "updatedAt", "input", "idealOutput", "variables"),
    *("startTime", "endTime", "latencyMs", "inputTokens", "outputTokens", "cost"),
)
_IDS = ("_id", "id")
_MODELS = ("modelUsed", "model")


def read(document: Any, now: str, only_owner: str | None = None) -> Iterator[Record]:
    """Yield the lines of the file's prompts and logs, those of one owner if named; `now` dates what has no date.

    Raises Unreadable and Invalid.
    """
    if not isinstance(document, dict) or not any(isinstance(document.get(name), list) for name in _LISTS):
        raise Unreadable("It has neither prompts nor logs.")
    owners: dict[Any, Any] = {}
    for place, prompt in _each(document, "prompts"):
        id = _id("prompt", prompt)
        owners[str(id)] = prompt.get("ownerId")
        if only_owner in (None, prompt.get("ownerId")):
            yield from _read_prompt(place, id, prompt, now)
    for place, log in _each(document, "logs"):
        prompt_id = _prefixed("prompt", log.get("promptId"))
        if only_owner in (None, log.get("ownerId", owners.get(str(prompt_id)))):
            yield _read_log(place, prompt_id, log, now)


def left_out(document: Any) -> str:
    """Return what the file has besides, such as `users (2)`."""
    others = document.items() if isinstance(document, dict) else ()
    return ", ".join(
        f"{name} ({len(value)})" if isinstance(value, list) else name for name, value in others if name not in _LISTS
    )


def _each(document: Mapping[str, Any], name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    entries = document.get(name, [])
    if not isinstance(entries, list):
        raise Unreadable(f"{name} must be an array.")
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise Unreadable(f"{name}.{number} must be an object.")
        yield f"{name}.{number}", entry


def _read_prompt(place: str, id: Any, prompt: Mapping[str, Any], now: str) -> Iterator[Record]:
    made = prompt.get("createdAt") or now
    told = _rest(prompt, *_OF_VERSION, _first(prompt, *_IDS), "ownerId")
    given = {"slug": str(id).lower().replace("_", "-"), "tags": []}  # a slug of its own that stays the same
    times = {"createdAt": made, "updatedAt": prompt.get("updatedAt") or made}
    yield make_record(place, "prompt", {"_id": id, **given, **told, **times})
    version = {name: prompt.get(name) for name in _OF_VERSION}
    yield make_record(place, "version", {"promptId": id, "version": 1, "labels": [], "createdAt": made, **version})


def _read_log(place: str, prompt_id: Any, log: Mapping[str, Any], now: str) -> Record:
    made = log.get("createdAt") or now
    model = _first(log, *_MODELS)
    metadata = _rest(log, *_OF_LOG, _first(log, *_IDS), model, "ownerId", "promptId")
    if metadata.keys() == {"metadata"}:
        metadata = metadata["metadata"]
    fields = {
        "_id": _id("log", log),
        "promptId": prompt_id,
        "promptVersion": 1,
        "modelUsed": log.get(model),
        **{name: log.get(name) for name in _OF_LOG},
        "metadata": metadata or None,
        "createdAt": made,
        "updatedAt": log.get("updatedAt") or made,
    }
    return make_record(place, "log", fields)


def _rest(entry: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return what an entry has under other names."""
    return {name: value for name, value in entry.items() if name not in names and value is not None}


def _first(entry: Mapping[str, Any], *names: str) -> str:
    """Return the first of the names that the entry has, or else the last."""
    return next((name for name in names if entry.get(name) is not None), names[-1])


def _id(kind: Kind, entry: Mapping[str, Any]) -> Any:
    return _prefixed(kind, entry.get(_first(entry, *_IDS)))


def _prefixed(kind: Kind, id: Any) -> Any:
    """Return an id with its prefix; one that cannot be an id as it is, to be refused."""
    if isinstance(id, str | int) and not is_well_formed(kind, str(id)) and is_well_formed(kind, f"{kind}_{id}"):
        return f"{kind}_{id}"
    return id
