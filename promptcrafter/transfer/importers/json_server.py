"""A JSON file of json-server with the `prompts` and `logs` that PromptCrafter's first documents describe.

Ids such as `prompt104` and `log3` are kept; an id without a prefix, such as `104`, gets it. All other ids, such as
`5-Ti0M5`, and those that another workspace has already, are replaced (see `foreign_ids`). Accounts (`users`) are not
imported: all prompts and logs, or those of one given owner, go to the workspace. Messages, parameters and
descriptions are kept if they have our shape.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from promptcrafter.ids import Kind
from promptcrafter.problems import REQUIRED
from promptcrafter.prompts.fields import DESCRIPTION_MAX
from promptcrafter.slugs import derive_slug
from promptcrafter.transfer.importers import Unreadable
from promptcrafter.transfer.importers.foreign_ids import RULE, ForeignIds, normalize
from promptcrafter.transfer.importers.stored_versions import (
    FindVersions,
    StoredVersion,
    find_none,
    read_config,
    read_messages,
)
from promptcrafter.transfer.records import Record, invalid_record, make_record

SOURCE = "json-server"
_LISTS = ("prompts", "logs")
_PROMPT_FIELDS = ("slug", "title", "tags")
_VERSION_FIELDS = ("content", "model")
_TIMES = ("createdAt", "updatedAt")
_OWNER = "ownerId"
# Fields that become fields of the log; all others go to its metadata
_LOG_FIELDS = (
    *("output", "notes", "score", "createdAt", "updatedAt", "input", "idealOutput", "variables"),
    *("startTime", "endTime", "latencyMs", "inputTokens", "outputTokens", "cost"),
    *("cachedInputTokens", "cacheWriteTokens", "reasoningTokens"),
)
_ID_NAMES = ("_id", "id")
_MODEL_NAMES = ("modelUsed", "model")
_Entry = tuple[str, dict[str, Any]]  # its location, such as `logs.3`, and its fields


def read(
    document: Any,
    now: str,
    only_owner: str | None = None,
    ids: ForeignIds | None = None,
    left_out: Counter[str] | None = None,
    find_versions: FindVersions = find_none,
) -> Iterator[Record]:
    """Yield the records of the file's prompts and logs.

    `document` is the parsed JSON, `now` the time, in RFC 3339, of entries without one. With `only_owner`, entries of
    other owners are skipped; 7 and `"7"` are the same owner, and a log without an owner has that of its prompt. `ids`
    chooses the ids of the records. Lists other than prompts and logs, and unknown keys of prompts, are counted by name
    in `left_out`. A prompt that the workspace has already as a text, or without parameters, stays so. Raises Unreadable
    and Invalid.
    """
    if not isinstance(document, dict) or not any(isinstance(document.get(name), list) for name in _LISTS):
        raise Unreadable("It has neither prompts nor logs.")
    ids = ids or ForeignIds(SOURCE, "", lambda kind, found: {})
    left_out = Counter() if left_out is None else left_out
    for name, value in document.items():
        if name not in _LISTS:
            left_out[name] += len(value) if isinstance(value, list) else 1
    prompts, logs = (list(_each_entry(document, name)) for name in _LISTS)
    owners = {normalize("prompt", _get_id(prompt)): _get_owner(prompt) for _, prompt in prompts}
    wanted = None if only_owner is None else normalize("user", only_owner) or ""  # no owner is ""
    prompts = [entry for entry in prompts if wanted in (None, _get_owner(entry[1]))]
    # prompts of the workspace that the file does not have may be referred to
    ids.choose("prompt", [*(_get_id(prompt) for _, prompt in prompts), *(log.get("promptId") for _, log in logs)])
    ids.choose("log", [_get_id(log) for _, log in logs])
    seen: dict[str, str] = {}
    slugs = {slug for _, prompt in prompts if isinstance(slug := prompt.get("slug"), str)}
    stored = find_versions([id for _, prompt in prompts if (id := ids.get("prompt", _get_id(prompt))) is not None])
    for location, prompt in prompts:
        id = _read_id(location, "prompt", prompt, ids, seen)
        version = _read_version(prompt, stored.get(id))
        yield from _read_prompt(location, id, prompt, version, now, slugs, left_out)
    for location, log in logs:
        prompt_id = log.get("promptId")
        owner = _get_owner(log) or owners.get(normalize("prompt", prompt_id))
        if wanted in (None, owner):
            id = _read_id(location, "log", log, ids, seen)
            # a value that cannot be an id is refused by the schema
            yield _read_log(location, id, ids.get("prompt", prompt_id) or prompt_id, log, now)


def _each_entry(document: Mapping[str, Any], name: str) -> Iterator[_Entry]:
    """Yield the location and the fields of each entry of a list. Raises Unreadable."""
    entries = document.get(name, [])
    if not isinstance(entries, list):
        raise Unreadable(f"{name} must be an array.")
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise Unreadable(f"{name}.{index} must be an object.")
        yield f"{name}.{index}", entry


def _read_id(location: str, kind: Kind, entry: Mapping[str, Any], ids: ForeignIds, seen: dict[str, str]) -> str:
    """Return the id of an entry's record. Raises Invalid if the entry has none, or that of another one."""
    name = _find_name(entry, *_ID_NAMES)
    id = ids.get(kind, entry.get(name))
    if id is None:
        raise invalid_record(location, {name: [REQUIRED if entry.get(name) in (None, "") else RULE]})
    before = seen.setdefault(id, location)
    if before != location:
        raise invalid_record(location, {name: [f"stands in {before} already"]})
    return id


def _read_prompt(
    location: str,
    id: str,
    prompt: Mapping[str, Any],
    version: Mapping[str, Any],
    now: str,
    slugs: set[str],
    left_out: Counter[str],
) -> Iterator[Record]:
    created_at = prompt.get("createdAt") or now
    description = prompt.get("description")
    is_described = isinstance(description, str) and len(description) <= DESCRIPTION_MAX
    names = (*_PROMPT_FIELDS, "description") if is_described else _PROMPT_FIELDS
    known = (*names, *_TIMES, _find_name(prompt, *_ID_NAMES), _OWNER, *_VERSION_FIELDS, *version)
    left_out.update(f"prompts.{name}" for name in _other_fields(prompt, *known))
    fields = {name: prompt[name] for name in names if prompt.get(name) is not None}
    defaults = {"slug": _choose_slug(id, prompt, slugs), "tags": []}
    times = {"createdAt": created_at, "updatedAt": prompt.get("updatedAt") or created_at}
    yield make_record(location, "prompt", {"_id": id, **defaults, **fields, **times})
    yield make_record(
        location, "version", {"promptId": id, "version": 1, "labels": [], "createdAt": created_at, **version}
    )


def _read_version(prompt: Mapping[str, Any], stored: StoredVersion | None) -> dict[str, Any]:
    """Return the fields of a prompt's version, with its messages and parameters if they are as ours.

    Messages come with their flattened text as `content` in our answers.
    """
    messages = read_messages(prompt.get("messages"))
    config = read_config(prompt.get("config"))
    version = {name: prompt.get(name) for name in _VERSION_FIELDS}
    if messages is not None and not (stored and stored.is_text and version["content"]):
        version |= {"content": None, "messages": messages}
    if config and not (stored and not stored.config):
        version["config"] = config
    return version


def _choose_slug(id: str, prompt: Mapping[str, Any], slugs: set[str]) -> str:
    """Return a slug that no prompt before has, the same in each import: the id if it is the file's, or else the title.

    The title has the end of the id behind it, because other prompts may have the same title.
    """
    slug = id.lower().replace("_", "-")
    if slug in slugs or id != normalize("prompt", _get_id(prompt)):
        title = prompt.get("title")
        slug = f"{derive_slug(title if isinstance(title, str) else '')}-{id[-8:].lower()}"
    slugs.add(slug)
    return slug


def _read_log(location: str, id: str, prompt_id: Any, log: Mapping[str, Any], now: str) -> Record:
    created_at = log.get("createdAt") or now
    model = _find_name(log, *_MODEL_NAMES)
    metadata = _other_fields(log, *_LOG_FIELDS, _find_name(log, *_ID_NAMES), model, _OWNER, "promptId")
    if metadata.keys() == {"metadata"}:  # the entry's own metadata and nothing else: not nested
        metadata = metadata["metadata"]
    fields = {
        "_id": id,
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


def _get_owner(entry: Mapping[str, Any]) -> str | None:
    return normalize("user", entry.get(_OWNER))


def _get_id(entry: Mapping[str, Any]) -> Any:
    return entry.get(_find_name(entry, *_ID_NAMES))
