"""Experiments in the database. Call the writing functions inside `transactions.writing()`."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from sqlalchemy import ColumnElement, Result, Select, Text, func, insert, null, select, type_coerce, update
from sqlalchemy.orm import lazyload
from sqlalchemy.orm.attributes import set_committed_value

from promptcrafter import clock
from promptcrafter.database.deletions import delete_or_defer, has_pending, is_deleted, is_present
from promptcrafter.database.errors import translating
from promptcrafter.database.session import request_session, session
from promptcrafter.experiments.models import Experiment, Variant
from promptcrafter.ids import new_id
from promptcrafter.logs.models import DEFAULT_NAME, HUMAN, Log, Score
from promptcrafter.logs.raters import identify_rater
from promptcrafter.problems import DeletionPending, Problem
from promptcrafter.workspaces import audit, quota
from promptcrafter.workspaces.access import find_resources, not_found
from promptcrafter.workspaces.principal import Principal

_ROWS_PER_FETCH = 100
_LARGEST = 1e150  # the mean of larger numbers may not be finite; `results` leaves them out as well
_NO_PROMPT = {"prompt_id": None, "prompt_version": None}


def add_experiment(principal: Principal, values: Mapping[str, Any]) -> Experiment:
    """Insert an experiment with its variants. Raises 409 if the principal has one with this slug."""
    now = clock.now()
    columns = {name: value for name, value in values.items() if name != "variants"}
    experiment = Experiment(
        id=new_id("experiment"),
        workspace_id=principal.workspace_id,
        author_id=principal.user_id,
        created_at=now,
        updated_at=now,
        **columns,
    )
    set_committed_value(experiment, "variants", [])
    session.add(experiment)
    quota.check_growth(experiment.workspace_id)
    with translating({"uq_experiments_workspace_id_slug": lambda: Problem(409, "Slug already in use.", "slug_taken")}):
        session.flush()
    _set_variants(experiment, values.get("variants", ()))
    _note(principal, experiment, "experiment.create")
    return experiment


def restore_experiments(principal: Principal, experiments: Sequence[Mapping[str, Any]]) -> None:
    """Insert experiments of an import and their variants, keeping their ids and times."""
    variants = [
        {**_NO_PROMPT, **variant, "experiment_id": experiment["id"], "position": position}
        for experiment in experiments
        for position, variant in enumerate(experiment["variants"])
    ]
    rows = [
        {"feature_slug": None, **{name: value for name, value in experiment.items() if name != "variants"}}
        for experiment in experiments
    ]
    if rows:
        own = {"workspace_id": principal.workspace_id, "author_id": principal.user_id}
        session.execute(insert(Experiment), [{**row, **own} for row in rows])
        quota.check_growth(principal.workspace_id)
    if variants:
        session.execute(insert(Variant), [{**row, "workspace_id": principal.workspace_id} for row in variants])


def find_experiments(principal: Principal) -> Select[Experiment]:
    """Return a select of the principal's experiments."""
    return find_resources(principal, Experiment)


def get_active_and_completed(principal: Principal, count: int) -> Sequence[Experiment]:
    """Return the newest active experiments, and behind them the newest completed ones; `count` in all."""
    found = find_experiments(principal).where(Experiment.status.in_(("ACTIVE", "COMPLETED")))
    found = found.order_by(Experiment.status, Experiment.created_at.desc(), Experiment.seq.desc())
    return session.scalars(found.options(lazyload(Experiment.variants)).limit(count)).all()


def get_experiment(principal: Principal, slug: str) -> Experiment:
    """Return the principal's experiment with this slug. Raises 404 if the principal has none."""
    return _require(session.scalar(find_experiments(principal).where(Experiment.slug == slug)))


def get_experiment_id(principal: Principal, experiment_id: str) -> str | None:
    """Return the id if the principal has an experiment with it, else None."""
    return session.scalar(
        find_experiments(principal).where(Experiment.id == experiment_id).with_only_columns(Experiment.id)
    )


def lock_experiment(principal: Principal, slug: str) -> Experiment:
    """Return the principal's experiment with this slug, locked until the commit. Raises 404 if there is none."""
    # FOR NO KEY UPDATE: results that refer to it can still be inserted meanwhile
    locked = find_experiments(principal).where(Experiment.slug == slug).with_for_update(key_share=True)
    return _require(session.scalar(locked))


def change_experiment(principal: Principal, experiment: Experiment, changes: Mapping[str, Any]) -> None:
    """Change the name, the status or the variants.

    Raises 409 if a variant that has results would be removed; the transaction must then be rolled back.
    """
    before = {name: getattr(experiment, name) for name in ("name", "status") if name in changes}
    after = {name: changes[name] for name in before}
    if "variants" in changes:
        before["variants"], after["variants"] = (
            [
                _describe_variant(variant.key, variant.traffic_percent, variant.prompt_id, variant.prompt_version)
                for variant in experiment.variants
            ],
            [
                _describe_variant(
                    each["key"], each["traffic_percent"], each.get("prompt_id"), each.get("prompt_version")
                )
                for each in changes["variants"]
            ],
        )
    _note(principal, experiment, "experiment.change", before=before, after=after)
    quota.check_growth(experiment.workspace_id)
    for name in ("name", "status"):
        if name in changes:
            setattr(experiment, name, changes[name])
    experiment.updated_at = clock.now()
    if "variants" in changes:
        _set_variants(experiment, changes["variants"])
    session.flush()


def remove_experiment(principal: Principal, experiment: Experiment) -> None:
    """Delete a locked experiment with its variants, results and traces; many are left to a purge."""
    audit.forget(experiment.id)
    audit.note(principal, experiment.workspace_id, "experiment.delete", "experiment", experiment.id)
    if not delete_or_defer(experiment):
        session.execute(update(Experiment).where(Experiment.id == experiment.id).values(slug=Experiment.id))


def find_results(experiment: Experiment, filters: Mapping[str, Any]) -> Select[Log]:
    """Return a select of an experiment's results, filtered by `variantKey` if it is given."""
    results = select(Log).where(Log.experiment_id == experiment.id, is_present(Log))
    return results.where(Log.variant_key == filters["variantKey"]) if "variantKey" in filters else results


def each_measurement(experiment: Experiment) -> Iterator[tuple[str, Any]]:
    """Yield the variant's key and the metrics of each result that has a variant."""
    for key, metrics, _ in _each_result(experiment, null()):
        yield key, metrics


def each_scored(experiment: Experiment, name: str, annotator: str) -> Iterator[tuple[str, Any]]:
    """Yield what `each_measurement` yields, with the scores of this name as the metric of that name.

    A result with scores by `annotator` has one value: the mean of its raters. A metric that was sent under the same
    name is left out.
    """
    for key, metrics, value in _each_result(experiment, _value_of_scores(experiment, name, annotator)):
        sent = {other: number for other, number in (metrics or {}).items() if other != name}
        yield key, sent if value is None else {**sent, name: value}


def _each_result(experiment: Experiment, value: ColumnElement[Any]) -> Iterator[tuple[str, Any, float | None]]:
    """Yield the variant's key, the metrics and a value of each result that has a variant, the oldest first."""
    # as text, whose size is known before it is parsed
    columns: list[Any] = [Log.variant_key, type_coerce(Log.metrics, Text), value]
    results = select(*columns).where(*_of_variants(experiment)).order_by(Log.created_at, Log.seq)
    rows: Result[Any] = session.execute(results.execution_options(yield_per=_ROWS_PER_FETCH))
    for key, metrics, number in map(tuple, chain.from_iterable(request_session().each_batch(rows, _ROWS_PER_FETCH))):
        yield key, None if metrics is None else json.loads(metrics), number


def _value_of_scores(experiment: Experiment, name: str, annotator: str) -> ColumnElement[Any]:
    """Return the value of a log's scores of this name: the mean of its raters, each of whom counts once.

    Numbers and booleans are never mixed: booleans count, as 0 and 1, if no result has a number. Categories never count.
    """
    if (name, annotator) == (DEFAULT_NAME, HUMAN):
        return Log.mean_score.expression
    named = (Score.name == name) & (Score.annotator == annotator) & (func.abs(Score.number) <= _LARGEST)
    numbers = select(Score.seq).join(Log, Log.seq == Score.log_seq).where(*_of_variants(experiment), named)
    has_numbers = session.scalar(numbers.where(Score.value_kind == "number").limit(1)) is not None
    counted = named & (Score.value_kind == ("number" if has_numbers else "boolean"))
    of_rater = select(func.avg(Score.number).label("mean")).where(Score.log_seq == Log.seq, counted)
    rater = identify_rater(annotator, Score.rater, Score.identifier)
    raters = of_rater.group_by(*rater).correlate(Log).subquery()
    return select(func.avg(raters.c.mean)).scalar_subquery()


def _of_variants(experiment: Experiment) -> tuple[Any, ...]:
    """Return the conditions of the results of an experiment that have a variant."""
    return is_present(Log), Log.experiment_id == experiment.id, Log.variant_key.is_not(None)


def _note(principal: Principal, experiment: Experiment, action: str, **values: Any) -> None:
    audit.note(principal, experiment.workspace_id, action, "experiment", experiment.id, experiment.name, **values)


def _describe_variant(
    key: str, traffic_percent: int, prompt_id: str | None, prompt_version: int | None
) -> dict[str, Any]:
    """Return what the audit trail keeps of a variant: not its payload, which may be large."""
    pinned = {} if prompt_version is None else {"promptId": prompt_id, "promptVersion": prompt_version}
    return {"key": key, "trafficPercent": traffic_percent, **pinned}


def _require(experiment: Experiment | None) -> Experiment:
    if experiment is None:
        raise Problem(404, "Experiment not found", "experiment_not_found")
    return experiment


def _set_variants(experiment: Experiment, variants: Sequence[Mapping[str, Any]]) -> None:
    """Replace the variants, in this order. Rows whose key remains are updated, because results refer to them."""
    existing = {variant.key: variant for variant in experiment.variants}
    _refuse_pending_results(experiment, existing.keys() - {values["key"] for values in variants})
    experiment.variants = [
        _change(existing.get(values["key"]) or Variant(key=values["key"]), {**_NO_PROMPT, **values}, position)
        for position, values in enumerate(variants)
    ]
    # SQLite does not name the constraint, so the first entry counts. It must be that of the results: on SQLite the
    # prompts were checked under the write lock and cannot have been deleted since.
    with translating(
        {
            "fk_logs_experiment_id_variant_key": lambda: Problem(
                409, "A variant that has results cannot be removed.", "variant_has_results"
            ),
            "fk_experiment_variants_workspace_id_prompt_id": lambda: not_found("prompt"),
        }
    ):
        session.flush()


def _refuse_pending_results(experiment: Experiment, removed: Collection[str]) -> None:
    """Raise 409 if variants to be removed have no results but deleted ones, which a purge has still to remove."""
    if not removed or not has_pending():
        return
    results = select(Log.seq).where(Log.experiment_id == experiment.id, Log.variant_key.in_(removed)).limit(1)
    has_deleted, has_others = (
        session.scalar(results.where(condition)) is not None for condition in (is_deleted(Log), is_present(Log))
    )
    if has_deleted and not has_others:
        raise DeletionPending("The results of a variant that is to be removed are")


def _change(variant: Variant, values: Mapping[str, Any], position: int) -> Variant:
    for name, value in {**values, "position": position}.items():
        setattr(variant, name, value)
    return variant
