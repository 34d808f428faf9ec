"""Everything an account owns, in the order in which it leaves; and what account and server have of what comes in.

Each call reads with a session from `db.snapshot()`.
"""

from collections.abc import Collection, Iterable, Iterator
from itertools import chain, islice
from typing import Any, TypeVar

from sqlalchemy import Row, Select, select, tuple_
from sqlalchemy.orm import Session, defer, lazyload

from promptcrafter.experiments.models import Experiment, Variant
from promptcrafter.logs.models import Log
from promptcrafter.prompts.models import Prompt, Version
from promptcrafter.traces.models import Trace
from promptcrafter.transfer.mentions import Key, variant_key, version_key

_ROWS_AT_ONCE = 20  # each may hold a mebibyte of text
_KEYS_AT_ONCE = 1000  # a statement takes no more than 32,766 parameters
_MODELS: dict[str, Any] = {"prompt": Prompt, "experiment": Experiment, "trace": Trace, "log": Log}
_T = TypeVar("_T")


def each_row(reader: Session, owner_id: str) -> Iterator[tuple[str, Any]]:
    """Yield all that the owner has, each with its type: what is referred to before what refers, the oldest first."""
    yield from _each_prompt(reader, owner_id)
    for kind in ("experiment", "trace", "log"):
        model = _MODELS[kind]
        found = select(model).where(model.owner_id == owner_id).order_by(model.created_at, model.seq)
        for row in _stream(reader, found):
            yield kind, row


def get_owners(reader: Session, kind: str, ids: Iterable[str]) -> dict[str, str]:
    """Return the owners of those that exist, by id."""
    model = _MODELS[kind]
    found = select(model.id, model.owner_id)
    return {row.id: row.owner_id for some in _parts(ids) for row in reader.execute(found.where(model.id.in_(some)))}


def get_slugs(reader: Session, kind: str, owner_id: str, slugs: Iterable[str]) -> dict[str, str]:
    """Return which of the slugs the owner's prompts or experiments have, with their ids."""
    model = _MODELS[kind]
    found = select(model.slug, model.id).where(model.owner_id == owner_id)
    return {slug: id for some in _parts(slugs) for slug, id in reader.execute(found.where(model.slug.in_(some)))}


def each_version(reader: Session, numbers: Iterable[tuple[str, int]]) -> Iterator[Row[str, int, str, str]]:
    """Yield those that exist of versions named by prompt and number."""
    found = select(Version.prompt_id, Version.number, Version.content, Version.model)
    for some in _parts(numbers):
        named = tuple_(Version.prompt_id, Version.number).in_(some)
        yield from reader.execute(found.where(named).execution_options(yield_per=_ROWS_AT_ONCE))


def find_keys(reader: Session, owner_id: str, keys: Collection[Key]) -> set[Key]:
    """Return those of the keys that name something of the owner's."""
    names: dict[str, set[str]] = {}
    for kind, name in keys:
        names.setdefault(kind, set()).add(name)
    found: set[Key] = set()
    for kind in names.keys() & _MODELS.keys():
        owners = get_owners(reader, kind, names[kind])
        found |= {(kind, id) for id, owner in owners.items() if owner == owner_id}
    if "version" in names:
        found |= _find_versions(reader, owner_id, names["version"])
    if "variant" in names:
        found |= _find_variants(reader, owner_id, names["variant"])
    return found


def _find_versions(reader: Session, owner_id: str, names: Iterable[str]) -> set[Key]:
    numbers: dict[str, list[int]] = {}
    for prompt_id, number in map(str.split, names):
        numbers.setdefault(prompt_id, []).append(int(number))
    latest = select(Prompt.id, Prompt.version).where(Prompt.owner_id == owner_id)
    return {
        version_key(prompt_id, number)
        for some in _parts(numbers)
        for prompt_id, last in reader.execute(latest.where(Prompt.id.in_(some)))
        for number in numbers[prompt_id]
        if number <= last
    }


def _find_variants(reader: Session, owner_id: str, names: Iterable[str]) -> set[Key]:
    named = select(Variant.experiment_id, Variant.key).join(Experiment, Experiment.id == Variant.experiment_id)
    owned = named.where(Experiment.owner_id == owner_id)
    ids = {name.partition(" ")[0] for name in names}
    return {
        variant_key(*row) for some in _parts(ids) for row in reader.execute(owned.where(Experiment.id.in_(some)))
    } & {("variant", name) for name in names}


def _each_prompt(reader: Session, owner_id: str) -> Iterator[tuple[str, Any]]:
    """Yield each prompt, its versions behind it."""
    order = (Prompt.created_at, Prompt.seq)
    # what a prompt says and its labels are in its versions
    aside = (defer(Prompt.content), lazyload(Prompt.label_rows))
    owned = select(Prompt).where(Prompt.owner_id == owner_id).options(*aside).order_by(*order)
    versions = select(Version).join(Prompt, Prompt.id == Version.prompt_id).where(Prompt.owner_id == owner_id)
    following = _stream(reader, versions.order_by(*order, Version.number))
    version = next(following, None)
    for prompt in _stream(reader, owned):
        yield "prompt", prompt
        while version is not None and version.prompt_id == prompt.id:
            yield "version", version
            version = next(following, None)


def _stream(reader: Session, found: Select[_T]) -> Iterator[_T]:
    partitions = reader.scalars(found.execution_options(yield_per=_ROWS_AT_ONCE)).partitions()
    return chain.from_iterable(partitions)


def _parts(values: Iterable[_T]) -> Iterator[list[_T]]:
    rest = iter(values)
    while some := list(islice(rest, _KEYS_AT_ONCE)):
        yield some
