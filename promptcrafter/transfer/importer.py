"""Import records into a workspace, in two steps.

`check` validates all records without writing. `store_checked` then stores them in batches of some hundred, each in a
transaction of its own, so that other writers wait for the lock of a batch only. If the import stops halfway, importing
the file again stores the rest: what the workspace already has is skipped. The import has one entry in the audit trail,
which each batch brings up to date in its transaction: whatever ends the import, it has what is stored.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

from sqlalchemy.exc import DBAPIError, IntegrityError, TimeoutError

from promptcrafter import jsonio
from promptcrafter.database.errors import is_deadlock
from promptcrafter.database.session import ReadSession, read_snapshot, request_session
from promptcrafter.database.transactions import writing
from promptcrafter.experiments.store import restore_experiments
from promptcrafter.http import error_handlers
from promptcrafter.logs.arriving_scores import ScoresChanged, restore_scores
from promptcrafter.logs.scores import SCORES_MAX
from promptcrafter.logs.store import ParentDeleted, prepare, restore_all, restore_scored
from promptcrafter.problems import DeletionPending, Invalid, Problem, Unavailable
from promptcrafter.prompts.label_store import label_protected
from promptcrafter.prompts.models import VERSIONED
from promptcrafter.prompts.restore import restore_prompts
from promptcrafter.prompts.search import search_columns
from promptcrafter.prompts.version_names import refuse_label
from promptcrafter.scores.configs import CONFIGS_MAX, refuse_other_default, restore_configs
from promptcrafter.traces.store import restore_spans, restore_traces
from promptcrafter.transfer import form_1, store
from promptcrafter.transfer.batch_file import BatchFile
from promptcrafter.transfer.id_policy import KEPT_IDS, ExistsElsewhere, IdPolicy, ImportConflict
from promptcrafter.transfer.importers.stored_versions import StoredVersion
from promptcrafter.transfer.records import (
    CONFIG,
    KINDS,
    LoadedRecord,
    Record,
    add_location,
    invalid_record,
    load_values,
    plural,
)
from promptcrafter.transfer.references import Key, defined_keys, get_score_key, get_span_key, referenced_keys
from promptcrafter.transfer.seen_keys import SeenKeys
from promptcrafter.workspaces import audit, quota
from promptcrafter.workspaces.access import lock_current_workspace
from promptcrafter.workspaces.principal import Principal

Counts = dict[str, dict[str, int]]

_BATCH_RECORDS = 500
_BATCH_BYTES = 4 * 1024 * 1024
_MAX_ATTEMPTS = 3
# What is wrong with a key that is defined twice, by its kind
_TWICE = {"score of": "has a score of this name, annotator, author and identifier in {} already"}


class ImportInterrupted(Problem):
    """409: what the remaining records need has changed since the check. `advice` is about importing the file again."""

    def __init__(self, problem: Problem, advice: str) -> None:
        explanation = f"It was not so when the import began: what stands before it is stored. {advice}"
        super().__init__(409, f"{problem.message} {explanation}", "import_interrupted", details=problem.details)


class ImportSuspended(Problem):
    """503 or 507: the database cannot be used at the moment. At least what stands before `location` is stored.

    There is a `Retry-After` only if importing the file again stores the rest.
    """

    def __init__(self, problem: Problem, location: str, ids: IdPolicy) -> None:
        reason = problem.message
        for sentence in (" Try again.", " Nothing was stored."):
            reason = reason.removesuffix(sentence)
        message = f"{reason} What stands before {location} is stored. {ids.retry_advice}"
        headers = problem.headers if ids.is_repeatable else {}
        super().__init__(problem.status, message, "import_interrupted", headers=headers)


class ImportRefused(Problem):
    """401, 403 or 404: the caller may no longer import, or not with these labels."""

    def __init__(self, problem: Problem) -> None:
        explanation = "It was not so when the import began: what was stored before stays."
        message = f"{problem.message.removesuffix('.')}. {explanation}"
        super().__init__(problem.status, message, problem.code, details=problem.details)


def check(principal: Principal, source: Iterable[Record], ids: IdPolicy = KEPT_IDS) -> BatchFile:
    """Return the records in batches, to be closed by the caller, if all of them can be stored in the workspace.

    The records have the ids that `ids` assigns. Raises Invalid, ImportConflict, InsufficientStorage and WorkspaceFull,
    and what `source` raises.
    """
    checked = BatchFile()
    size = 0
    try:
        with closing(SeenKeys()) as seen_keys:
            for batch in _each_batch(source, ids):
                size += sum(map(_most_bytes, _check_batch(batch, principal, ids, seen_keys)))
                checked.add(batch)
        quota.refuse_growth_by(principal.workspace_id, size)
    except BaseException:
        checked.close()
        raise
    return checked


def store_checked(principal: Principal, checked: Iterable[Sequence[LoadedRecord]], ids: IdPolicy = KEPT_IDS) -> Counts:
    """Store the records that the workspace does not have yet.

    `ids` is what the records were checked with. Returns for each type, such as `logs`, the number `created` and the
    number `skipped`. Raises ImportInterrupted, ImportRefused and, if the database fails, ImportSuspended when something
    is stored, and else what `writing()` raises.
    """
    read: Counter[str] = Counter()
    entry = audit.CountingEntry(principal, "import", map(plural, KINDS))
    for batch in checked:
        with _reporting_what_is_stored(batch[0].location, entry, ids):
            _store_batch(batch, principal, ids, entry)
        read += _count(batch)
    if not any(entry.counts.values()):
        with writing():
            entry.add({})
    return {name: {"created": created, "skipped": read[name] - created} for name, created in entry.counts.items()}


def _count(records: Iterable[LoadedRecord]) -> Counter[str]:
    """Return how many records there are of each type, such as `logs`."""
    return Counter(plural(record.kind) for record in records)


@contextmanager
def _reporting_what_is_stored(location: str, entry: audit.CountingEntry, ids: IdPolicy) -> Iterator[None]:
    """Raise ImportSuspended if the database fails in the block, and an earlier batch is stored."""
    try:
        yield
    except Unavailable as problem:
        if not any(entry.counts.values()):
            raise
        raise ImportSuspended(problem, location, ids) from problem
    except (DBAPIError, TimeoutError) as error:
        if not any(entry.counts.values()) or isinstance(error, IntegrityError):
            raise
        reported = error_handlers.report(error)
        if reported is None:
            raise
        raise ImportSuspended(reported, location, ids) from error


def find_existing(principal: Principal, kind: str, ids: Collection[str]) -> dict[str, bool]:
    """Return which of the ids of a type exist on the server, and whether in the current workspace, by id."""
    with read_snapshot() as reader:
        return {id: found == principal.workspace_id for id, found in store.get_workspaces(reader, kind, ids).items()}


def find_first_versions(prompt_ids: Collection[str]) -> dict[str, StoredVersion]:
    """Return the first versions of those of the prompts that exist on the server, by prompt id."""
    with read_snapshot() as reader:
        versions = store.each_version(reader, prompt_ids, 1, 1)
        found = {prompt_id: dict(zip(VERSIONED, values, strict=True)) for prompt_id, _, *values in versions}
    return {id: StoredVersion(values["messages"] is None, values["config"]) for id, values in found.items()}


def _each_batch(source: Iterable[Record], ids: IdPolicy) -> Iterator[list[LoadedRecord]]:
    """Load the records and yield them in batches of one group, a prompt with its first version in the same batch."""
    batch: list[LoadedRecord] = []
    size = 0
    failure = None
    try:
        for record in _check_version_order(_load_record(record, ids) for record in source):
            is_full = len(batch) >= _BATCH_RECORDS or size >= _BATCH_BYTES
            is_first = record.kind == "version" and record.values["number"] == 1
            if batch and (record.group != batch[0].group or (is_full and not is_first)):
                yield batch
                batch, size = [], 0
            batch.append(record)
            size += record.size
    except Problem as problem:  # raised below, so that an error in an earlier record is reported first
        failure = problem
    if batch:
        yield batch
    if failure:
        try:
            raise failure
        finally:
            del failure  # whose traceback refers to this frame, which has the batch


def _load_record(record: Record, ids: IdPolicy) -> LoadedRecord:
    values = load_values(record)
    try:
        for index, label in enumerate(values.get("labels", ())):
            refuse_label(label, f"labels.{index}")
        if record.kind == CONFIG:
            refuse_other_default(values["name"], values)
    except Invalid as error:
        raise invalid_record(record.location, error.details or {}) from error
    loaded = LoadedRecord(record.location, record.kind, values, record.size, record.form)
    ids.assign(loaded)
    return loaded


def _most_bytes(record: LoadedRecord) -> int:
    """Return at least how many bytes a record will be counted with: its texts are longest in the file."""
    parts = (record.values.get(name, ()) for name in ("variants", "spans"))
    rows = 1 + sum(map(len, parts)) + _has_lone_score(record)
    # which the file does not have beside messages
    flattened = record.values["content"] if record.values.get("messages") else ""
    return record.size + len(flattened.encode()) + rows * quota.ROW_BYTES


def _has_lone_score(record: LoadedRecord) -> bool:
    """Return whether a record of a log stands for a score, too: its file has no records of scores."""
    return record.kind == "log" and record.form == form_1.VERSION and record.values.get("score") is not None


def _check_version_order(records: Iterable[LoadedRecord]) -> Iterator[LoadedRecord]:
    """Yield the records. Raise Invalid unless each prompt is followed by its versions, numbered from 1.

    A version gets the `updated_at` of its prompt, because `restore_prompts` needs it there.
    """
    prompt, number = None, 0
    for record in records:
        if record.kind == "version":
            if prompt is None or record.id != prompt.id:
                raise invalid_record(record.location, {"promptId": ["must be the id of the prompt just before"]})
            number += 1
            if record.values["number"] != number:
                raise invalid_record(record.location, {"version": [f"must be {number}, the next of its prompt"]})
            record.values["updated_at"] = prompt.values["updated_at"]
        else:
            _refuse_without_version(prompt, number)
            prompt, number = (record if record.kind == "prompt" else None), 0
        yield record
    _refuse_without_version(prompt, number)


def _refuse_without_version(prompt: LoadedRecord | None, number: int) -> None:
    if prompt is not None and number == 0:
        raise invalid_record(prompt.location, {"": ["must be followed by the versions of the prompt"]})


def _check_batch(
    batch: Sequence[LoadedRecord], principal: Principal, ids: IdPolicy, seen_keys: SeenKeys | None
) -> list[LoadedRecord]:
    """Return the records that the workspace does not have yet.

    Raises Invalid and ImportConflict, and during the check 403 for a version to store that has a label which only
    owners may set: `_refuse_revoked` asks for that while storing.

    What a record refers to must be in the workspace or, during the check, in `seen_keys`, to which the keys of the
    batch are then added. While storing, `seen_keys` is None: the records before the batch are in the workspace.
    """
    with read_snapshot() as reader:
        if batch[0].kind == CONFIG:
            new = _find_new_configs(reader, batch, principal, seen_keys)
        else:
            new = _find_new(reader, batch, principal)
        (ids.settle_slugs if seen_keys is None else ids.check_slugs)(reader, new, principal)
        _refuse_missing_references(reader, batch, principal, seen_keys)
        _refuse_many_scores(reader, new, seen_keys)
        if seen_keys is not None:
            _refuse_protected_labels(reader, new, principal)
    if seen_keys is not None:
        _add_keys(batch, set(new), seen_keys)
    return new


def _find_new(reader: ReadSession, batch: Sequence[LoadedRecord], principal: Principal) -> list[LoadedRecord]:
    """Return the records that are not in the database yet.

    Raises ImportConflict for an id of another workspace, and for a version that is not the stored one;
    DeletionPending for an id of what was deleted and is still to be removed.
    """
    if batch[0].kind == "span":
        keys_of_spans = {get_span_key(record.values) for record in batch}
        taken = store.get_taken_spans(reader, keys_of_spans)
        return [record for record in batch if get_span_key(record.values) not in taken]
    ids = {record.id for record in batch}
    workspaces = store.get_workspaces(reader, batch[0].group, ids)
    if deleted := store.get_deleted(reader, batch[0].group, ids - workspaces.keys()):
        location = next(record.location for record in batch if record.id in deleted)
        raise DeletionPending(
            f"What had the id in {location} is", add_location(location, {"_id": ["is being deleted"]})
        )
    for record in batch:
        if workspaces.get(record.id, principal.workspace_id) != principal.workspace_id:
            raise ExistsElsewhere(record.location)
    stored = {record for record in batch if record.kind != "version" and record.id in workspaces}
    versions = {(record.id, record.values["number"]): record for record in batch if record.kind == "version"}
    stored |= _find_stored_versions(
        reader, {key: record for key, record in versions.items() if record.id in workspaces}
    )
    if batch[0].kind == "score":
        keys = {get_score_key(record.values): record for record in batch if record not in stored}
        stored |= {keys[key] for key in store.get_taken_scores(reader, keys)}
    return [record for record in batch if record not in stored]


def _find_new_configs(
    reader: ReadSession, batch: Sequence[LoadedRecord], principal: Principal, seen_keys: SeenKeys | None
) -> list[LoadedRecord]:
    """Return the configurations of scores for whose names there are none. Raises Invalid for too many of them."""
    names = store.get_config_names(reader, principal)
    new = [record for record in batch if record.id not in names]
    for number, record in enumerate(new, start=1):
        more = number if seen_keys is None else seen_keys.count((plural(CONFIG),))
        if len(names) + more > CONFIGS_MAX:
            rule = f"must be of a workspace with at most {CONFIGS_MAX} of them, archived ones included"
            raise invalid_record(record.location, {"name": [rule]})
    return new


def _find_stored_versions(reader: ReadSession, versions: Mapping[tuple[str, int], LoadedRecord]) -> set[LoadedRecord]:
    """Return those of the versions that are stored. Raises ImportConflict if the stored one differs."""
    if not versions:
        return set()
    ids = {prompt_id for prompt_id, _ in versions}
    numbers = [number for _, number in versions]
    stored, conflicts = set(), []
    for prompt_id, number, *values in store.each_version(reader, ids, min(numbers), max(numbers)):
        record = versions.get((prompt_id, number))
        if record is None:
            continue  # the workspace has more versions than the batch
        stored.add(record)
        for field, value in zip(VERSIONED, values, strict=True):
            if not jsonio.is_same(record.values[field], value):
                conflicts.append(
                    ImportConflict(record.location, field, f"is not that of version {number} in the workspace")
                )
    if conflicts:  # raised only after all rows are read: a PostgreSQL cursor must be read to its end
        raise conflicts[0]
    return stored


def _refuse_missing_references(
    reader: ReadSession, batch: Sequence[LoadedRecord], principal: Principal, seen_keys: SeenKeys | None
) -> None:
    references = [(record, reference) for record in batch for reference in referenced_keys(record.kind, record.values)]
    # prompts in the same batch as their versions
    own_prompts = {("prompt", record.id) for record in batch if record.kind == "prompt"}
    keys = {reference.key for _, reference in references} - own_prompts
    if seen_keys is not None:
        keys -= seen_keys.find(keys)
    missing = keys - _find_owned(reader, keys, principal)
    for record, reference in references:
        if reference.key in missing:
            raise invalid_record(record.location, {reference.field: ["must be in a line before or in the workspace"]})


def _find_owned(reader: ReadSession, keys: Collection[Key], principal: Principal) -> set[Key]:
    """Return those of the keys that exist in the workspace."""
    ids: dict[str, set[str]] = {}
    for kind, id, *_ in keys:
        ids.setdefault(kind, set()).add(id)
    latest = store.get_latest_numbers(reader, principal, ids.pop("version", ()))
    variants = store.get_variants(reader, principal, ids.pop("variant", ()))
    workspaces = {kind: store.get_workspaces(reader, kind, ids[kind]) for kind in ids}
    return {
        key
        for key in keys
        if (key[0] == "version" and int(key[2]) <= latest.get(key[1], 0))
        or (key[0] == "variant" and key[1:] in variants)
        or (key[0] in workspaces and workspaces[key[0]].get(key[1]) == principal.workspace_id)
    }


def _refuse_many_scores(reader: ReadSession, new: Sequence[LoadedRecord], seen_keys: SeenKeys | None) -> None:
    """Raise Invalid if a log would have more scores than it may, during the check with those of the lines before."""
    scores = [record for record in new if record.kind == "score"]
    if not scores:
        return
    counts = store.get_score_counts(reader, {record.values["log_id"] for record in scores})
    batch: Counter[str] = Counter()
    for record in scores:
        log_id = record.values["log_id"]
        batch[log_id] += 1
        more = batch[log_id] if seen_keys is None else seen_keys.count(("scores of", log_id))
        if counts.get(log_id, 0) + more > SCORES_MAX:
            raise invalid_record(record.location, {"logId": [f"must be of a log with at most {SCORES_MAX:,} scores"]})


def _refuse_protected_labels(reader: ReadSession, new: Sequence[LoadedRecord], principal: Principal) -> None:
    """Raise 403 if a version to store has a label that is protected from the principal."""
    labelled = [record for record in new if record.values.get("labels")]
    protected = store.get_protected_labels(reader, principal) if labelled else ()
    for record in labelled:
        for index, label in enumerate(record.values["labels"]):
            if label in protected:
                problem = label_protected(principal, principal.workspace_id, f"{label} in {record.location}")
                problem.details = add_location(record.location, {f"labels.{index}": ["may be set by owners only"]})
                raise problem


def _add_keys(batch: Sequence[LoadedRecord], new: Collection[LoadedRecord], seen_keys: SeenKeys) -> None:
    """Add the keys that the records define. Raises Invalid if one is defined twice in the file.

    Variants of an experiment that is stored are left out: the stored experiment keeps its own.
    """
    for record in batch:
        for reference in defined_keys(record.kind, record.values):
            if reference.key[0] == "variant" and record not in new:
                continue
            before = seen_keys.add(reference.key, record.location)
            if before is not None:
                reason = _TWICE.get(reference.key[0], "stands in {} already").format(before)
                raise invalid_record(record.location, {reference.field: [reason]})


def _store_batch(
    batch: Sequence[LoadedRecord], principal: Principal, ids: IdPolicy, entry: audit.CountingEntry
) -> None:
    """Store the records that the workspace does not have yet, and note them in the audit trail.

    Raises ImportInterrupted, ImportRefused, and what `writing()` raises.
    """
    for attempts_left in reversed(range(_MAX_ATTEMPTS)):
        try:
            new = _check_batch(batch, principal, ids, None)
        except Problem as problem:
            raise ImportInterrupted(problem, ids.retry_advice) from problem
        if not new:
            return
        write = _prepare_write(new, principal)
        try:
            with writing():
                _refuse_revoked(principal, new)
                write()
                entry.add(_count(new))
        except quota.WorkspaceFull as problem:
            full = quota.WorkspaceFull(problem.size, problem.limit, "Not all of the file was stored.")
            raise ImportInterrupted(full, ids.retry_advice) from problem
        # another transaction has added or deleted rows since the check, or waits for ours as ours for it
        except (ParentDeleted, ScoresChanged) as problem:
            if not attempts_left:
                raise ImportInterrupted(problem, ids.retry_advice) from problem
        except DBAPIError as error:
            if not attempts_left or not (isinstance(error, IntegrityError) or is_deadlock(error)):
                raise
        else:
            return


def _refuse_revoked(principal: Principal, new: Sequence[LoadedRecord]) -> None:
    """Lock the current workspace until the commit. Raises ImportRefused if the caller may no longer store these."""
    try:
        current = lock_current_workspace(principal)
        _refuse_protected_labels(request_session(), new, current)
    except Problem as problem:
        raise ImportRefused(problem) from problem


def _prepare_write(new: Sequence[LoadedRecord], principal: Principal) -> Callable[[], None]:
    """Prepare the rows outside the write lock, and return the function that inserts them."""
    rows: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    for record in new:
        rows[record.kind].append(record.values)
    latest = {version["prompt_id"]: version["content"] for version in rows["version"]}
    is_first_form = new[0].form == form_1.VERSION  # as all records of a file
    restore_logs = restore_scored if is_first_form else restore_all
    logs = [prepare(row) for row in rows["log"]]
    texts = [search_columns(row["title"], row["tags"], latest[row["id"]]) for row in rows["prompt"]]

    def write() -> None:
        restore_prompts(principal, rows["prompt"], rows["version"], texts)
        restore_experiments(principal, rows["experiment"])
        restore_traces(principal, rows["trace"])
        restore_logs(principal, logs)
        restore_configs(principal, rows[CONFIG])
        restore_scores(principal, rows["score"])
        restore_spans(principal, rows["span"])

    return write
