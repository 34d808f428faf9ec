"""Scores that clients of other systems report with an output. What cannot be a score is left out, never an error."""

from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import ValidationError

from promptcrafter.scores import configs
from promptcrafter.scores.schemas import BATCH_MAX, ScoreIn

_score_in = ScoreIn()


def fit(workspace_id: str, reported: Sequence[Sequence[Mapping[str, Any]]]) -> list[list[dict[str, Any]]]:
    """Return the columns of the scores that are reported for each of several logs of a workspace.

    A score is reported as the body of `POST /logs/:id/scores`, and must have the `annotator`, which is optional there.
    It is left out if that call would refuse it, or if there are BATCH_MAX before it. Of several with the same keys the
    last one counts.
    """
    left = BATCH_MAX
    loaded = []
    for scores in reported:
        loaded.append(_load(scores[:left]))
        left -= len(scores[:left])
    names = {score["name"] for scores in loaded for score in scores}
    if not names:
        return loaded
    found = configs.get_configs([workspace_id], names)
    return [
        [score for score in scores if configs.find_fault(found.get((workspace_id, score["name"])), score) is None]
        for scores in loaded
    ]


def _load(scores: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    loaded = {}
    for score in scores:
        try:
            columns = _score_in.load(score)
        except ValidationError:
            continue
        loaded[columns["name"], columns["annotator"], columns["identifier"]] = columns
    return list(loaded.values())
