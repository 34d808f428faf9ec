"""The results of an experiment so far, which the API and the pages show."""

from collections.abc import Mapping
from typing import Any

from promptcrafter.experiments import results, store
from promptcrafter.experiments.models import Experiment
from promptcrafter.logs.models import HUMAN


def evaluate_experiment(
    experiment: Experiment, query: Mapping[str, Any], *, with_growth: bool = False
) -> dict[str, Any]:
    """Return a dict in the shape of ResultsOut for a loaded ResultsQuery; for `with_growth` see `results.evaluate`."""
    shares = [(variant.key, variant.traffic_percent) for variant in experiment.variants]
    score = {"name": query["metric"], "annotator": query.get("annotator", HUMAN)} if "metric" in query else None
    measurements = store.each_scored(experiment, **score) if score else store.each_measurement(experiment)
    found = results.evaluate(shares, measurements, kept_metric=query.get("metric"), with_growth=with_growth)
    shown = {"slug": experiment.slug, "name": experiment.name, "status": experiment.status}
    return {**shown, **({"score_metric": score} if score else {}), **found}
