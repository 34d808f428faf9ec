"""What an import does with the ids in the file: keep them, or replace them by new ones.

With the ids of the file, importing it twice changes nothing, and an id or a slug that is taken is a conflict. With new
ids, each import makes a copy beside everything that exists, with the references between its records.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, cast

from promptcrafter.database.session import ReadSession
from promptcrafter.ids import Kind, new_id
from promptcrafter.problems import Problem
from promptcrafter.slugs import SLUG_MAX
from promptcrafter.transfer import store
from promptcrafter.transfer.batch_file import InsufficientStorage
from promptcrafter.transfer.importers import stable_id
from promptcrafter.transfer.records import LoadedRecord, add_location
from promptcrafter.workspaces.principal import Principal

_FIRST_SUFFIXES = 20  # `-2` to `-21` are tried at first, then ten times as many


class ImportConflict(Problem):
    """409: a record contradicts what the workspace or another one has. `advice` says what a client can do instead."""

    def __init__(self, location: str, field: str, reason: str, advice: str = "") -> None:
        self.without_advice = f"{location}.{field} {reason}."  # for a command, whose options have other names
        full_reason = f"{reason}; {advice}" if advice else reason
        details = add_location(location, {field: [full_reason]})
        super().__init__(409, f"{location}.{field} {full_reason}.", "import_conflict", details=details)


class ExistsElsewhere(ImportConflict):
    """409: a record has the id of something in another workspace of this server. `location` is its line."""

    def __init__(self, location: str) -> None:
        super().__init__(location, "_id", "exists elsewhere on this server", "ids=new imports a copy")
        self.location = location


class IdPolicy(Protocol):
    """What an import does with the ids in the file."""

    retry_advice: str  # a sentence about importing the file again after an interruption
    is_repeatable: bool  # whether that stores the rest only

    def assign(self, record: LoadedRecord) -> None:
        """Set the ids of a record and of what it refers to. Called for each record, in the order of the file."""

    def check_slugs(self, reader: ReadSession, new: Sequence[LoadedRecord], principal: Principal) -> None:
        """Raise ImportConflict if records of one group that are to be stored have slugs that they cannot have."""

    def settle_slugs(self, reader: ReadSession, new: Sequence[LoadedRecord], principal: Principal) -> None:
        """Do the same just before the records are stored. May change the slugs instead."""


class KeptIds:
    """The ids and slugs of the file."""

    retry_advice = "Importing again is safe."
    is_repeatable = True

    def assign(self, record: LoadedRecord) -> None:
        """Leave the record as it is."""

    def check_slugs(self, reader: ReadSession, new: Sequence[LoadedRecord], principal: Principal) -> None:
        """Raise ImportConflict if the workspace has one of the slugs."""
        slugs = _find_slugs(new)
        for slug, id in _get_taken(reader, new, principal, list(slugs)).items():
            raise ImportConflict(slugs[slug].location, "slug", f"is that of {id} in the workspace: {slug}")

    settle_slugs = check_slugs


class NewIds:
    """New ids, and a slug with `-2`, `-3` … at its end where the workspace has that of the file.

    What a record refers to has a new id if an earlier record of the file defines it; else it must be in the workspace.
    With a `key`, the new ids are derived from it: importing the same file with the same key again changes nothing.
    Which new id belongs to which one is kept in a temporary SQLite database until `close()`.
    """

    def __init__(self, principal: Principal, key: str | None = None) -> None:
        self._make_id = _make_id if key is None else _derive_from(principal, key)
        self.retry_advice = (
            "Importing again makes another copy of it."
            if key is None
            else "Importing again with the same key stores the rest."
        )
        self.is_repeatable = key is not None
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute("CREATE TABLE ids (old PRIMARY KEY, new) WITHOUT ROWID")
        self._db.execute("BEGIN")  # never committed: no other connection reads it

    def assign(self, record: LoadedRecord) -> None:
        """Set the ids of a record and of what it refers to. Raises InsufficientStorage."""
        values = record.values
        if "id" in values:
            values["id"] = self._get_or_make(cast(Kind, record.kind), values["id"])
        for holder in (values, *values.get("variants", ()), values.get("call", {})):
            for name in ("prompt_id", "experiment_id", "trace_id", "log_id"):
                if name in holder:
                    holder[name] = self._get(holder[name]) or holder[name]

    def check_slugs(self, reader: ReadSession, new: Sequence[LoadedRecord], principal: Principal) -> None:
        """Accept all slugs: they are settled when the records are stored."""

    def settle_slugs(self, reader: ReadSession, new: Sequence[LoadedRecord], principal: Principal) -> None:
        """Replace the slugs that the workspace has by ones that neither it nor these records have."""
        slugs = _find_slugs(new)
        used = set(slugs)
        pending = [slugs[slug] for slug in _get_taken(reader, new, principal, list(slugs))]
        first, count = 2, _FIRST_SUFFIXES
        while pending:
            numbers = range(first, first + count)
            candidates = {
                record: [_add_suffix(record.values["slug"], number) for number in numbers] for record in pending
            }
            taken = _get_taken(reader, new, principal, [slug for own in candidates.values() for slug in own])
            pending = []
            for record, own in candidates.items():
                free = next((slug for slug in own if slug not in taken and slug not in used), None)
                if free is None:
                    pending.append(record)
                else:
                    record.values["slug"] = free
                    used.add(free)
            first, count = first + count, count * 10

    def close(self) -> None:
        """Close and thereby delete the database."""
        self._db.close()

    def __enter__(self) -> "NewIds":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _get_or_make(self, kind: Kind, old: str) -> str:
        new = self._get(old)
        if new is None:
            new = self._make_id(kind, old)
            try:
                self._db.execute("INSERT INTO ids VALUES (?, ?)", (old, new))
            except sqlite3.OperationalError as error:
                raise InsufficientStorage from error
        return new

    def _get(self, old: str) -> str | None:
        row = self._db.execute("SELECT new FROM ids WHERE old = ?", (old,)).fetchone()
        return row and str(row[0])


KEPT_IDS = KeptIds()


def _make_id(kind: Kind, old: str) -> str:
    return new_id(kind)


def _derive_from(principal: Principal, key: str) -> Callable[[Kind, str], str]:
    scope = (principal.user_id, principal.api_key_id, principal.workspace_id)  # as of any Idempotency-Key
    return lambda kind, old: stable_id(kind, *scope, "new ids", key, old)


def _find_slugs(records: Sequence[LoadedRecord]) -> Mapping[str, LoadedRecord]:
    """Return the records that have a slug, by slug."""
    return {record.values["slug"]: record for record in records if record.kind in ("prompt", "experiment")}


def _get_taken(
    reader: ReadSession, records: Sequence[LoadedRecord], principal: Principal, slugs: Sequence[str]
) -> dict[str, str]:
    """Return the ids of what has one of these slugs in the workspace, of the kind of the records, by slug."""
    return store.get_slugs(reader, records[0].group, principal, slugs) if slugs else {}


def _add_suffix(slug: str, number: int) -> str:
    """Return a slug with the number at its end. Those of experiments have the same maximum length."""
    suffix = f"-{number}"
    return slug[: SLUG_MAX - len(suffix)] + suffix
