"""Taking lines into an account.

First all lines are checked, without writing; only if there is no fault in any are they stored, some hundred in each
transaction, so that nobody waits long for the write lock. If that is broken off, importing the file again stores the
rest: what is there already is left as it is.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from promptcrafter.database.session import read_snapshot
from promptcrafter.database.transactions import writing
from promptcrafter.experiments.store import restore_experiments
from promptcrafter.logs.store import ParentGone, prepare, restore_all
from promptcrafter.problems import Invalid, Problem
from promptcrafter.prompts.restore import restore_prompts
from promptcrafter.prompts.search import search_columns
from promptcrafter.prompts.store import refuse_label
from promptcrafter.traces.store import restore_traces
from promptcrafter.transfer import store
from promptcrafter.transfer.batch_file import Spool
from promptcrafter.transfer.records import KINDS, Item, Record, count_name, fault, load_fields, locate
from promptcrafter.transfer.references import Key, defined_by, referred_to_by
from promptcrafter.transfer.seen_keys import SeenKeys

Counts = dict[str, dict[str, int]]

_LINES_AT_ONCE = 500
_BYTES_AT_ONCE = 4 * 1024 * 1024
_TRIES = 3


class Conflict(Problem):
    """409: a line does not go together with what is there."""

    def __init__(self, place: str, field: str, reason: str) -> None:
        details = locate(place, {field: [reason]})
        super().__init__(409, f"{place}.{field} {reason}.", "import_conflict", details=details)


class Interrupted(Problem):
    """409: what the rest of the lines need has changed since they were checked."""

    def __init__(self, problem: Problem) -> None:
        told = "It was not so when the import began: what stands before it is stored. Importing again is safe."
        super().__init__(409, f"{problem.message} {told}", "import_interrupted", details=problem.details)


def check(owner_id: str, source: Iterable[Record]) -> Spool:
    """Return the lines, to be closed, if all of them can be stored in the account. Raises Invalid and Conflict."""
    checked = Spool()
    try:
        with closing(SeenKeys()) as register:
            for chunk in _chunks(source):
                _examine(chunk, owner_id, register)
                checked.add(chunk)
    except BaseException:
        checked.close()
        raise
    return checked


def store_checked(owner_id: str, checked: Iterable[Sequence[Item]]) -> Counts:
    """Store what is not there yet, and return how many of each type were and were not. Raises Interrupted."""
    counts = {count_name(kind): {"created": 0, "skipped": 0} for kind in KINDS}
    for chunk in checked:
        created = Counter(item.kind for item in _store(chunk, owner_id))
        for kind, count in Counter(item.kind for item in chunk).items():
            counts[count_name(kind)]["created"] += created[kind]
            counts[count_name(kind)]["skipped"] += count - created[kind]
    return counts


def _chunks(source: Iterable[Record]) -> Iterator[list[Item]]:
    """Yield lines of one family, some hundred at a time; a prompt stays with its first version."""
    chunk: list[Item] = []
    size = 0
    failure = None
    try:
        for item in _in_sequence(map(_load, source)):
            is_full = len(chunk) >= _LINES_AT_ONCE or size >= _BYTES_AT_ONCE
            is_first = item.kind == "version" and item.values["number"] == 1
            if chunk and (item.family != chunk[0].family or (is_full and not is_first)):
                yield chunk
                chunk, size = [], 0
            chunk.append(item)
            size += item.size
    except Problem as problem:  # to be told only if there is no fault in the lines before
        failure = problem
    if chunk:
        yield chunk
    if failure:
        raise failure


def _load(line: Record) -> Item:
    values = load_fields(line)
    for place, label in enumerate(values.get("labels", ())):
        try:
            refuse_label(label, f"labels.{place}")
        except Invalid as error:
            raise fault(line.place, error.details or {}) from error
    return Item(line.place, line.kind, values, line.size)


def _in_sequence(items: Iterable[Item]) -> Iterator[Item]:
    """Yield the items, and see to it that the versions of each prompt follow it at once, from 1 on."""
    prompt, number = None, 0
    for item in items:
        if item.kind == "version":
            if prompt is None or item.id != prompt.id:
                raise fault(item.place, {"promptId": ["must be the id of the prompt just before"]})
            number += 1
            if item.values["number"] != number:
                raise fault(item.place, {"version": [f"must be {number}, the next of its prompt"]})
            item.values["updated_at"] = prompt.values["updated_at"]
        else:
            _refuse_empty(prompt, number)
            prompt, number = (item if item.kind == "prompt" else None), 0
        yield item
    _refuse_empty(prompt, number)


def _refuse_empty(prompt: Item | None, number: int) -> None:
    if prompt is not None and number == 0:
        raise fault(prompt.place, {"": ["must be followed by the versions of the prompt"]})


def _examine(chunk: Sequence[Item], owner_id: str, register: SeenKeys | None) -> list[Item]:
    """Return the items that are not there yet. Raises Invalid and Conflict.

    What an item refers to must be in the account, or else in the register, which then notes what the chunk brings.
    """
    with read_snapshot() as reader:
        new = _find_new(reader, chunk, owner_id)
        _refuse_taken_slugs(reader, new, owner_id)
        _refuse_dangling(reader, chunk, owner_id, register)
    if register is not None:
        _note(chunk, set(new), register)
    return new


def _find_new(reader: Session, chunk: Sequence[Item], owner_id: str) -> list[Item]:
    """Return the items that are not there; refuse other people's ids and versions that say something else there."""
    owners = store.get_owners(reader, chunk[0].family, {item.id for item in chunk})
    for item in chunk:
        if owners.get(item.id, owner_id) != owner_id:
            raise Conflict(item.place, "_id", "is the id of something of somebody else's")
    there = {item for item in chunk if item.kind != "version" and item.id in owners}
    versions = {(item.id, item.values["number"]): item for item in chunk if item.kind == "version"}
    there |= _find_kept(reader, {key: item for key, item in versions.items() if item.id in owners})
    return [item for item in chunk if item not in there]


def _find_kept(reader: Session, versions: Mapping[tuple[str, int], Item]) -> set[Item]:
    """Return those of the versions that are there; refuse one that says something else there."""
    if not versions:
        return set()
    ids = {prompt_id for prompt_id, _ in versions}
    numbers = [number for _, number in versions]
    there, conflicts = set(), []
    for prompt_id, number, content, model in store.each_version(reader, ids, min(numbers), max(numbers)):
        item = versions.get((prompt_id, number))
        if item is None:
            continue  # the file has fewer
        there.add(item)
        for field, value in (("content", content), ("model", model)):
            if item.values[field] != value:
                conflicts.append(Conflict(item.place, field, f"is not that of version {number} in the account"))
    if conflicts:  # all have been read, as PostgreSQL's cursors want to be
        raise conflicts[0]
    return there


def _refuse_taken_slugs(reader: Session, new: Sequence[Item], owner_id: str) -> None:
    slugs = {item.values["slug"]: item for item in new if item.kind in ("prompt", "experiment")}
    if slugs:
        kind = next(iter(slugs.values())).kind
        for slug, id in store.get_slugs(reader, kind, owner_id, slugs).items():
            raise Conflict(slugs[slug].place, "slug", f"is that of {id} in the account: {slug}")


def _refuse_dangling(reader: Session, chunk: Sequence[Item], owner_id: str, register: SeenKeys | None) -> None:
    references = [(item, mention) for item in chunk for mention in referred_to_by(item.kind, item.values)]
    beside = {
        ("prompt", item.id) for item in chunk if item.kind == "prompt"
    }  # of versions that come with their prompts
    keys = {mention.key for _, mention in references} - beside
    if register is not None:
        keys -= register.find(keys)
    missing = keys - _find_owned(reader, keys, owner_id)
    for item, mention in references:
        if mention.key in missing:
            raise fault(item.place, {mention.field: ["must be in a line before or in the account"]})


def _find_owned(reader: Session, keys: Collection[Key], owner_id: str) -> set[Key]:
    """Return those of the keys that name something in the account."""
    ids: dict[str, set[str]] = {}
    for kind, id, *_ in keys:
        ids.setdefault(kind, set()).add(id)
    latest = store.get_latest_numbers(reader, owner_id, ids.pop("version", ()))
    variants = store.get_variants(reader, owner_id, ids.pop("variant", ()))
    owners = {kind: store.get_owners(reader, kind, ids[kind]) for kind in ids}
    return {
        key
        for key in keys
        if (key[0] == "version" and int(key[2]) <= latest.get(key[1], 0))
        or (key[0] == "variant" and key[1:] in variants)
        or (key[0] in owners and owners[key[0]].get(key[1]) == owner_id)
    }


def _note(chunk: Sequence[Item], new: Collection[Item], register: SeenKeys) -> None:
    """Note what the items bring along. An experiment that is there keeps the variants it has there."""
    for item in chunk:
        for mention in defined_by(item.kind, item.values):
            if mention.key[0] == "variant" and item not in new:
                continue
            before = register.add(mention.key, item.place)
            if before is not None:
                raise fault(item.place, {mention.field: [f"stands in {before} already"]})


def _store(chunk: Sequence[Item], owner_id: str) -> list[Item]:
    """Store the items that are not there, and return them. Raises Interrupted."""
    for tries_left in reversed(range(_TRIES)):
        try:
            new = _examine(chunk, owner_id, None)
        except Problem as problem:
            raise Interrupted(problem) from problem
        if not new:
            break
        write = _prepare(new, owner_id)
        try:
            with writing():
                write()
        except (IntegrityError, ParentGone):  # something has come or gone since: look again
            if not tries_left:
                raise
        else:
            break
    return new


def _prepare(new: Sequence[Item], owner_id: str) -> Callable[[], None]:
    """Do what need not be done under the write lock, and return what must."""
    rows: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    for item in new:
        rows[item.kind].append(item.values)
    latest = {version["prompt_id"]: version["content"] for version in rows["version"]}
    logs = [prepare(row) for row in rows["log"]]
    texts = [search_columns(row["title"], row["tags"], latest[row["id"]]) for row in rows["prompt"]]

    def write() -> None:
        restore_prompts(owner_id, rows["prompt"], rows["version"], texts)
        restore_experiments(owner_id, rows["experiment"])
        restore_traces(owner_id, rows["trace"])
        restore_all(owner_id, logs)

    return write
