"""Experiments in the database. What writes here belongs inside `transactions.writing()`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, Select, delete, insert, select
from sqlalchemy.orm.attributes import set_committed_value

from promptcrafter import clock
from promptcrafter.database.errors import translating
from promptcrafter.database.session import session
from promptcrafter.experiments.models import Experiment, Variant
from promptcrafter.ids import new_id
from promptcrafter.logs.models import Log
from promptcrafter.problems import Problem
from promptcrafter.prompts.store import prompt_not_found

_ROWS_AT_ONCE = 1000


def add_experiment(owner_id: str, values: Mapping[str, Any]) -> Experiment:
    """Insert an experiment with its variants. Raises 409 when the owner has one of that slug."""
    now = clock.now()
    columns = {name: value for name, value in values.items() if name != "variants"}
    experiment = Experiment(id=new_id("experiment"), owner_id=owner_id, created_at=now, updated_at=now, **columns)
    set_committed_value(experiment, "variants", [])
    session.add(experiment)
    with translating({"uq_experiments_owner_id_slug": lambda: Problem(409, "Slug already in use.", "slug_taken")}):
        session.flush()
    _set_variants(experiment, values.get("variants", ()))
    return experiment


def restore_experiments(owner_id: str, experiments: Sequence[Mapping[str, Any]]) -> None:
    """Insert experiments as they were elsewhere, with their ids and times and their variants in order."""
    variants = [
        {"prompt_id": None, **variant, "experiment_id": experiment["id"], "position": position}
        for experiment in experiments
        for position, variant in enumerate(experiment["variants"])
    ]
    rows = [
        {"feature_slug": None, **{name: value for name, value in experiment.items() if name != "variants"}}
        for experiment in experiments
    ]
    if rows:
        session.execute(insert(Experiment), [{**row, "owner_id": owner_id} for row in rows])
    if variants:
        session.execute(insert(Variant), variants)


def find_experiments(owner_id: str) -> Select[Experiment]:
    """Return the owner's experiments."""
    return select(Experiment).where(Experiment.owner_id == owner_id)


def get_experiment(slug: str, owner_id: str) -> Experiment:
    """Return the owner's experiment. Raises 404 when there is none, whoever else may have one."""
    return _found(session.scalar(find_experiments(owner_id).where(Experiment.slug == slug)))


def get_experiment_id(experiment_id: str, owner_id: str) -> str | None:
    """Return the id when the owner has such an experiment, else None."""
    return session.scalar(select(Experiment.id).where(Experiment.id == experiment_id, Experiment.owner_id == owner_id))


def lock_experiment(slug: str, owner_id: str) -> Experiment:
    """Return the owner's experiment as `get_experiment` does, and let nobody else change it until the commit."""
    # not for key shares: results that point to it can still be inserted meanwhile
    locked = find_experiments(owner_id).where(Experiment.slug == slug).with_for_update(key_share=True)
    return _found(session.scalar(locked))


def change_experiment(experiment: Experiment, changes: Mapping[str, Any]) -> None:
    """Apply changes. Raises 409 when a variant that has results would go, which leaves the transaction unusable."""
    for name in ("name", "status"):
        if name in changes:
            setattr(experiment, name, changes[name])
    experiment.updated_at = clock.now()
    if "variants" in changes:
        _set_variants(experiment, changes["variants"])
    session.flush()


def remove_experiment(experiment: Experiment) -> None:
    """Delete an experiment; the database's foreign keys take its results along."""
    session.execute(delete(Experiment).where(Experiment.id == experiment.id))


def find_results(experiment: Experiment, filters: Mapping[str, Any]) -> Select[Log]:
    """Return an experiment's results, those of one `variantKey` if the filters say so."""
    found = select(Log).where(Log.experiment_id == experiment.id)
    return found.where(Log.variant_key == filters["variantKey"]) if "variantKey" in filters else found


def each_measurement(experiment: Experiment) -> Iterator[Row[str, Any]]:
    """Yield the variant's key and the metrics of each result that belongs to a variant."""
    found = select(Log.variant_key, Log.metrics).where(Log.experiment_id == experiment.id, Log.variant_key.is_not(None))
    yield from session.execute(found.execution_options(yield_per=_ROWS_AT_ONCE))


def _found(experiment: Experiment | None) -> Experiment:
    if experiment is None:
        raise Problem(404, "Experiment not found", "experiment_not_found")
    return experiment


def _set_variants(experiment: Experiment, variants: Sequence[Mapping[str, Any]]) -> None:
    """Make these the variants, in this order. A row that stays is changed, because its results point to it."""
    there = {variant.key: variant for variant in experiment.variants}
    experiment.variants = [
        _change(there.get(values["key"]) or Variant(key=values["key"]), {"prompt_id": None, **values}, position)
        for position, values in enumerate(variants)
    ]
    # The results come first: on SQLite both names match, and the prompts have been looked up under the write lock
    with translating(
        {
            "fk_logs_experiment_id_variant_key": lambda: Problem(
                409, "A variant that has results cannot be removed.", "variant_has_results"
            ),
            "fk_experiment_variants_prompt_id": prompt_not_found,
        }
    ):
        session.flush()


def _change(variant: Variant, values: Mapping[str, Any], position: int) -> Variant:
    for name, value in {**values, "position": position}.items():
        setattr(variant, name, value)
    return variant
