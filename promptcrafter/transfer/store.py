"""Queries of export and import: all rows of a workspace, and which of the records of an import exist already.

Each function reads with a session from `read_snapshot()`, but `note_export`.
"""

import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, exists, func, or_, select, tuple_, union
from sqlalchemy.orm import defer, lazyload
from sqlalchemy.orm.attributes import set_committed_value

from promptcrafter.database.deletions import PendingDeletion, is_deleted, is_present
from promptcrafter.database.session import FEW_ROWS, STREAM_ROWS, ReadSession, lock_timeout_s
from promptcrafter.database.transactions import write_if_possible
from promptcrafter.experiments.models import Experiment, Variant
from promptcrafter.logs.arriving_scores import count_scores, get_taken
from promptcrafter.logs.models import Log, Score
from promptcrafter.logs.scores import ScoreKey, find_scores
from promptcrafter.prompts.label_store import find_protected_labels
from promptcrafter.prompts.models import LARGE_COLUMNS, VERSIONED, Prompt, Version
from promptcrafter.scores.configs import find_configs
from promptcrafter.scores.models import ScoreConfig
from promptcrafter.traces.models import Span, Trace
from promptcrafter.transfer.form_1 import SOURCES as SOURCES_OF_FIRST_FORM
from promptcrafter.transfer.form_1 import VERSION as FIRST_FORM
from promptcrafter.workspaces import audit
from promptcrafter.workspaces.access import find_resources, in_current_workspace
from promptcrafter.workspaces.principal import Principal, is_owner

_MAX_KEYS = 1000  # in one statement: SQLite allows 32,766 parameters
_MODELS: dict[str, Any] = {"prompt": Prompt, "experiment": Experiment, "trace": Trace, "log": Log, "score": Score}
_OF_SPAN_LINES = "otlp"  # the source of traces whose spans have lines of their own
_T = TypeVar("_T")

_log = logging.getLogger(__name__)


def each_row(
    reader: ReadSession, principal: Principal, form: int, prompt_id: str | None = None
) -> Iterator[tuple[str, Any]]:
    """Yield (type, row) for all rows of the current workspace, oldest first; each comes after what it refers to.

    With the id of a prompt of this workspace: that prompt, its logs with their scores, and the traces and experiments
    of these logs, but no configurations of scores. For the first form without what that cannot have.
    """
    yield from _each_prompt(reader, principal, prompt_id)
    conditions = {} if prompt_id is None else _of_prompt(prompt_id)
    for kind in ("experiment", "trace", "log"):
        model = _MODELS[kind]
        owned = find_resources(principal, model).order_by(model.created_at, model.seq)
        if kind == "log" and form == FIRST_FORM:
            owned = owned.where(Log.status.is_(None))
        if kind != "experiment" and form == FIRST_FORM:
            owned = owned.where(or_(model.source.is_(None), model.source.in_(SOURCES_OF_FIRST_FORM)))
        if kind in conditions:
            owned = owned.where(conditions[kind])
        if kind == "trace":
            yield from _each_trace(reader, owned)
            continue
        for row in _stream(reader, owned):
            if kind == "experiment" and prompt_id is not None:
                _leave_out_prompts(row, prompt_id)
            yield kind, row
    if form == FIRST_FORM:
        return
    if prompt_id is None:
        configs = reader.scalars(find_configs(principal)).all()
        # sorted here: the databases compare texts in different ways
        yield from (("scoreConfig", row) for row in sorted(configs, key=lambda row: (row.created_at, row.name)))
    scores = find_scores(principal, {} if prompt_id is None else {"promptId": prompt_id})
    for row in _stream(reader, scores.order_by(Score.created_at, Score.seq)):
        yield "score", row


def _each_trace(reader: ReadSession, traces: Select[Trace]) -> Iterator[tuple[str, Trace | Span]]:
    """Yield each trace with its spans, and then the spans of those of OpenTelemetry, which may have very many."""
    assert traces.whereclause is not None
    spans = select(Span).join(Trace, Trace.id == Span.trace_id).where(traces.whereclause)
    nested = spans.where(Trace.source != _OF_SPAN_LINES).order_by(Trace.created_at, Trace.seq, Span.seq)
    remaining = _stream(reader, nested)
    span = next(remaining, None)
    for trace in _stream(reader, traces):
        own = []
        while span is not None and span.trace_id == trace.id:
            own.append(span)
            span = next(remaining, None)
        set_committed_value(trace, "spans", own)
        yield "trace", trace
    for span in _stream(reader, spans.where(Trace.source == _OF_SPAN_LINES).order_by(Span.seq)):
        yield "span", span


def note_export(principal: Principal, prompt_id: str | None = None) -> None:
    """Add an entry about an export to the audit trail, unless the database cannot be written at the moment.

    It waits for other writers as long as any request: an account must not be able to hide an export by writing much.
    """
    noted = None if prompt_id is None else {"promptId": prompt_id}
    workspace_id = principal.current_id

    def write() -> None:
        audit.note(principal, workspace_id, "export", "workspace", workspace_id, after=noted)

    if not write_if_possible(write, lock_timeout_s()):  # a full disk must not prevent an export
        _log.warning("an export of %s is not in its audit trail: the database could not be written", workspace_id)


def _of_prompt(prompt_id: str) -> dict[str, ColumnElement[bool]]:
    """Return the conditions that rows are logs of a prompt, or that such logs refer to them, by type."""
    logs = select(Log.id).where(Log.prompt_id == prompt_id)
    traces = select(Trace.experiment_id).where(Trace.id.in_(logs.with_only_columns(Log.trace_id)))
    return {
        "experiment": Experiment.id.in_(union(logs.with_only_columns(Log.experiment_id), traces)),
        "trace": Trace.id.in_(logs.with_only_columns(Log.trace_id)),
        "log": Log.prompt_id == prompt_id,
    }


def _leave_out_prompts(experiment: Experiment, prompt_id: str) -> None:
    """Let the variants of a loaded experiment refer to no other prompt; nothing of it is stored."""
    for variant in experiment.variants:
        if variant.prompt_id != prompt_id:
            set_committed_value(variant, "prompt_id", None)
            set_committed_value(variant, "prompt_version", None)


def count_rows(reader: ReadSession, principal: Principal) -> dict[str, int]:
    """Return the numbers of prompts, experiments, traces and logs in the current workspace, by type."""
    return {
        kind: reader.scalars(find_resources(principal, model).with_only_columns(func.count())).one()
        for kind, model in _MODELS.items()
        if model is not Score
    }


def get_workspaces(reader: ReadSession, kind: str, ids: Iterable[str]) -> dict[str, str]:
    """Return the ids of the workspaces of rows of a type, by row id; rows that do not exist are left out."""
    model = _MODELS[kind]
    query = _select(model, model.id, model.workspace_id).where(is_present(_holder_of(model)))
    return {row.id: row.workspace_id for part in _parts(ids) for row in reader.execute(query.where(model.id.in_(part)))}


def get_deleted(reader: ReadSession, kind: str, ids: Iterable[str]) -> set[str]:
    """Return those of the ids of a type whose rows are deleted, but still to be removed by a purge."""
    if not reader.scalar(select(exists(select(PendingDeletion)))):
        return set()
    model = _MODELS[kind]
    query = _select(model, model.id).where(is_deleted(_holder_of(model)))
    return {id for part in _parts(ids) for id in reader.scalars(query.where(model.id.in_(part)))}


def get_taken_scores(reader: ReadSession, keys: Iterable[tuple[str, ...]]) -> set[tuple[str, ...]]:
    """Return those of the keys that `references.get_score_key` makes for which there is a score: see `get_taken`."""
    taken: set[tuple[str, ...]] = set()
    for part in _parts(keys):
        seqs = _get_log_seqs(reader, [log_id for log_id, *_ in part])
        by_key = {ScoreKey(seqs[log_id], *rest): (log_id, *rest) for log_id, *rest in part if log_id in seqs}
        taken |= {by_key[key] for key in get_taken(reader, by_key)} if by_key else set()
    return taken


def get_taken_spans(reader: ReadSession, keys: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return those of the keys, each the ids of a trace and of a span in it, for which there is a span."""
    key = tuple_(Span.trace_id, Span.span_id)
    found = select(Span.trace_id, Span.span_id).where(Span.ordinal == 0)
    return {(row.trace_id, row.span_id) for part in _parts(keys) for row in reader.execute(found.where(key.in_(part)))}


def get_score_counts(reader: ReadSession, log_ids: Iterable[str]) -> dict[str, int]:
    """Return how many scores logs have, by their ids; logs that do not exist are left out."""
    counts: dict[str, int] = {}
    for part in _parts(log_ids):
        seqs = _get_log_seqs(reader, part)
        by_seq = count_scores(reader, list(seqs.values()))
        counts |= {log_id: by_seq.get(seq, 0) for log_id, seq in seqs.items()}
    return counts


def get_config_names(reader: ReadSession, principal: Principal) -> set[str]:
    """Return the names of all configurations of scores in the current workspace, archived ones included."""
    return set(reader.scalars(find_configs(principal).with_only_columns(ScoreConfig.name)))


def get_slugs(reader: ReadSession, kind: str, principal: Principal, slugs: Iterable[str]) -> dict[str, str]:
    """Return the ids of the principal's prompts or experiments that have one of the slugs, by slug."""
    model = _MODELS[kind]
    query = select(model.slug, model.id).where(in_current_workspace(principal, model))
    return {slug: id for part in _parts(slugs) for slug, id in reader.execute(query.where(model.slug.in_(part)))}


def get_latest_numbers(reader: ReadSession, principal: Principal, prompt_ids: Iterable[str]) -> dict[str, int]:
    """Return the latest version number by prompt id, without prompts of other workspaces."""
    # compare the workspace in Python: with it in the condition the database might choose the wrong index
    query = select(Prompt.id, Prompt.workspace_id, Prompt.version).where(is_present(Prompt))
    rows = (row for part in _parts(prompt_ids) for row in reader.execute(query.where(Prompt.id.in_(part))))
    return {row.id: row.version for row in rows if row.workspace_id == principal.workspace_id}


def get_protected_labels(reader: ReadSession, principal: Principal) -> Collection[str]:
    """Return the labels of the current workspace that only its owners may set; none if the principal is one."""
    if is_owner(principal, principal.workspace_id):
        return ()
    return reader.scalar(find_protected_labels(principal.workspace_id)) or ()


def get_variants(reader: ReadSession, principal: Principal, experiment_ids: Iterable[str]) -> set[tuple[str, str]]:
    """Return the variants of these experiments, as (experiment id, key), without those of other workspaces."""
    query = select(Variant.experiment_id, Variant.key, Experiment.workspace_id).join_from(Variant, Experiment)
    query = query.where(is_present(Experiment))
    rows = (row for part in _parts(experiment_ids) for row in reader.execute(query.where(Experiment.id.in_(part))))
    return {(row.experiment_id, row.key) for row in rows if row.workspace_id == principal.workspace_id}


def each_version(reader: ReadSession, prompt_ids: Iterable[str], first: int, last: int) -> Iterator[Sequence[Any]]:
    """Yield prompt id, number and the values of VERSIONED for versions `first` to `last` of these prompts."""
    query = select(Version.prompt_id, Version.number, *(getattr(Version, name) for name in VERSIONED))
    for part in _parts(prompt_ids):
        versions = query.where(Version.prompt_id.in_(part), Version.number.between(first, last))
        yield from chain.from_iterable(
            reader.each_batch(reader.execute(versions.execution_options(yield_per=STREAM_ROWS)))
        )


def _each_prompt(reader: ReadSession, principal: Principal, prompt_id: str | None) -> Iterator[tuple[str, Any]]:
    """Yield each prompt, followed by its versions."""
    # content and labels are exported with the versions
    deferred = (*map(defer, LARGE_COLUMNS), lazyload(Prompt.label_rows))
    owned = find_resources(principal, Prompt).options(*deferred).order_by(Prompt.created_at, Prompt.seq)
    if prompt_id is not None:
        owned = owned.where(Prompt.id == prompt_id)
    versions = _each_version_of(reader, principal, prompt_id)
    version = next(versions, None)
    for prompt in _stream(reader, owned):
        yield "prompt", prompt
        while version is not None and version.prompt_id == prompt.id:
            yield "version", version
            version = next(versions, None)


def _each_version_of(reader: ReadSession, principal: Principal, prompt_id: str | None) -> Iterator[Version]:
    """Yield every version of the principal's prompts, in the order of the prompts."""
    owned = select(Version).join(Prompt, Prompt.id == Version.prompt_id)
    owned = owned.where(in_current_workspace(principal, Prompt), is_present(Prompt))
    if prompt_id is not None:
        owned = owned.where(Version.prompt_id == prompt_id)
    return _stream(reader, owned.order_by(Prompt.created_at, Prompt.seq, Version.number))


def _get_log_seqs(reader: ReadSession, log_ids: Iterable[str]) -> dict[str, int]:
    return dict(reader.execute(select(Log.id, Log.seq).where(Log.id.in_(set(log_ids)))).all())


def _select(model: Any, *columns: Any) -> Select[Any]:
    """Return a select of columns of a model, joined with what its rows belong to: a score is there as its log is."""
    query = select(*columns)
    return query.join(Log, Log.seq == Score.log_seq) if model is Score else query


def _holder_of(model: Any) -> Any:
    return Log if model is Score else model


def _stream(reader: ReadSession, query: Select[_T]) -> Iterator[_T]:
    """Yield the objects of a query. The first batch has few, because each may have a text of a mebibyte."""
    result = reader.execute(query.execution_options(yield_per=STREAM_ROWS))
    batches = reader.each_batch(result, first=FEW_ROWS)
    return (row[0] for row in chain.from_iterable(batches))


def _parts(values: Iterable[_T]) -> Iterator[list[_T]]:
    """Yield the values in lists that are short enough for one statement."""
    remaining = iter(values)
    while part := list(islice(remaining, _MAX_KEYS)):
        yield part
