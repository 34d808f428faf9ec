"""A JSON file of json-server with the `prompts` and `logs` that PromptCrafter's first documents describe.

Ids such as `prompt104` and `log3` are kept; an id without a prefix, such as `104`, gets it. Accounts (`users`) are not
imported: all prompts and logs, or those of one given owner, go to the account that imports.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from promptcrafter.ids import Kind, is_well_formed
from promptcrafter.transfer.importers import Unreadable
from promptcrafter.transfer.records import Record, make_record

_LISTS = ("prompts", "logs")
_VERSION_FIELDS = ("content", "model")
# Fields that become fields of the log; all others go to its metadata
_LOG_FIELDS = (
    *("output", "notes", "score", "createdAt", "updatedAt", "input", "idealOutput", "variables"),
    *("startTime", "endTime", "latencyMs", "inputTokens", "outputTokens", "cost"),
)
_ID_NAMES = ("_id", "id")
_MODEL_NAMES = ("modelUsed", "model")


def read(document: Any, now: str, only_owner: str | None = None) -> Iterator[Record]:
    """Yield the records of the file's prompts and logs.

    `document` is the parsed JSON, `now` the time, in RFC 3339, of entries without one. With `only_owner`, entries of
    other owners are skipped; a log without an owner has that of its prompt. Raises Unreadable and Invalid.
    """
    if not isinstance(document, dict) or not any(isinstance(document.get(name), list) for name in _LISTS):
        raise Unreadable("It has neither prompts nor logs.")
    owners: dict[Any, Any] = {}
    for location, prompt in _each_entry(document, "prompts"):
        id = _get_id("prompt", prompt)
        owners[str(id)] = prompt.get("ownerId")
        if only_owner in (None, prompt.get("ownerId")):
            yield from _read_prompt(location, id, prompt, now)
    for location, log in _each_entry(document, "logs"):
        prompt_id = _add_prefix("prompt", log.get("promptId"))
        if only_owner in (None, log.get("ownerId", owners.get(str(prompt_id)))):
            yield _read_log(location, prompt_id, log, now)


def describe_skipped(document: Any) -> str:
    """Return the names of the parts of the file that are not imported, with their lengths: `users (2)`."""
    others = document.items() if isinstance(document, dict) else ()
    return ", ".join(
        f"{name} ({len(value)})" if isinstance(value, list) else name for name, value in others if name not in _LISTS
    )


def _each_entry(document: Mapping[str, Any], name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the location and the fields of each entry of a list. Raises Unreadable."""
    entries = document.get(name, [])
    if not isinstance(entries, list):
        raise Unreadable(f"{name} must be an array.")
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise Unreadable(f"{name}.{index} must be an object.")
        yield f"{name}.{index}", entry


def _read_prompt(location: str, id: Any, prompt: Mapping[str, Any], now: str) -> Iterator[Record]:
    created_at = prompt.get("createdAt") or now
    fields = _other_fields(prompt, *_VERSION_FIELDS, _find_name(prompt, *_ID_NAMES), "ownerId")
    defaults = {"slug": str(id).lower().replace("_", "-"), "tags": []}  # unique, and the same in each import
    times = {"createdAt": created_at, "updatedAt": prompt.get("updatedAt") or created_at}
    yield make_record(location, "prompt", {"_id": id, **defaults, **fields, **times})
    version = {name: prompt.get(name) for name in _VERSION_FIELDS}
    yield make_record(
        location, "version", {"promptId": id, "version": 1, "labels": [], "createdAt": created_at, **version}
    )


def _read_log(location: str, prompt_id: Any, log: Mapping[str, Any], now: str) -> Record:
    created_at = log.get("createdAt") or now
    model = _find_name(log, *_MODEL_NAMES)
    metadata = _other_fields(log, *_LOG_FIELDS, _find_name(log, *_ID_NAMES), model, "ownerId", "promptId")
    if metadata.keys() == {"metadata"}:  # the entry's own metadata and nothing else: not nested
        metadata = metadata["metadata"]
    fields = {
        "_id": _get_id("log", log),
        "promptId": prompt_id,
        "promptVersion": 1,
        "modelUsed": log.get(model),
        **{name: log.get(name) for name in _LOG_FIELDS},
        "metadata": metadata or None,
        "createdAt": created_at,
        "updatedAt": log.get("updatedAt") or created_at,
    }
    return make_record(location, "log", fields)


def _other_fields(entry: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return the fields of an entry that have other names than these and are not None."""
    return {name: value for name, value in entry.items() if name not in names and value is not None}


def _find_name(entry: Mapping[str, Any], *names: str) -> str:
    """Return the first of the names under which the entry has a value, or the last if there is none."""
    return next((name for name in names if entry.get(name) is not None), names[-1])


def _get_id(kind: Kind, entry: Mapping[str, Any]) -> Any:
    return _add_prefix(kind, entry.get(_find_name(entry, *_ID_NAMES)))


def _add_prefix(kind: Kind, id: Any) -> Any:
    """Return an id with the prefix of its kind. A value that cannot be an id is returned as it is, to be refused."""
    if isinstance(id, str | int) and not is_well_formed(kind, str(id)) and is_well_formed(kind, f"{kind}_{id}"):
        return f"{kind}_{id}"
    return id
