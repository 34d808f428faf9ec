"""A column that is added to a log, a score, a trace or a prompt is shown by the API and is part of an export."""

from typing import Any

import pytest
from marshmallow import Schema
from sqlalchemy import inspect

from promptcrafter.experiments.models import Experiment, Variant
from promptcrafter.logs.models import Log, Score
from promptcrafter.logs.schemas import LogOut
from promptcrafter.prompts.models import VERSIONED, Prompt, Version
from promptcrafter.prompts.schemas import PromptOut, VersionOut
from promptcrafter.scores.schemas import ScoreOut
from promptcrafter.traces.models import Span, Trace
from promptcrafter.traces.schemas import TraceWhole
from promptcrafter.transfer.schemas import (
    ExperimentLine,
    LogLine,
    PromptLine,
    ScoreLine,
    SpanRecordLine,
    TraceLine,
    VariantLine,
    VersionLine,
)

INTERNAL = {"seq", "rank", "label_names", "author_name"}  # the last two make up `labels` and `author`
OF_SCORES = {"mean_score", "ratings", "scored_at"}  # of a log, computed from its scores
KEYS = {"input_key", "response_key"}  # of a log, computed from what it has
OF_GROWTH = {"said_by", "duration_rank", "cost_rank"}  # of a trace, for the server alone
IN_VERSIONS = {*VERSIONED, "version"}  # of a prompt: its latest version has them
AS_VALUE, AS_AUTHOR = {"number", "category"}, {"rater", "rater_id", "imported_name"}  # what a score shows them as
OWN = {"workspace_id", "author_id"}


def columns(model: Any) -> set[str]:
    return {attribute.key for attribute in inspect(model).column_attrs} - INTERNAL


@pytest.mark.parametrize(
    ("model", "schema", "left_out"),
    [
        (Log, LogOut, {*OWN, *OF_SCORES, *KEYS}),
        (Score, ScoreOut, {*OWN, "log_seq", "prompt_id", *AS_VALUE, *AS_AUTHOR, "identifier", "valued_at"}),
        (Trace, TraceWhole, {*OWN, *OF_GROWTH}),
        (Prompt, PromptOut, set()),
        (Version, VersionOut, {"prompt_id"}),
    ],
)
def test_the_api_shows_every_column(model: Any, schema: type[Schema], left_out: set[str]) -> None:
    assert columns(model) - schema().fields.keys() == left_out


@pytest.mark.parametrize(
    ("model", "schema", "left_out"),
    [
        (Log, LogLine, {*OWN, *OF_SCORES, *KEYS, "output_format", "input_format", "ideal_output_format"}),
        (Trace, TraceLine, {*OWN, *OF_GROWTH, "duration_ms", "cost"}),
        (Span, SpanRecordLine, {"workspace_id", "ordinal"}),
        (Prompt, PromptLine, {*OWN, *IN_VERSIONS}),
        (Version, VersionLine, {"author_id"}),
        (Experiment, ExperimentLine, OWN),
        (Variant, VariantLine, {"workspace_id", "experiment_id", "position"}),
        (Score, ScoreLine, {*OWN, *AS_VALUE, *AS_AUTHOR, "value_kind", "log_seq", "prompt_id", "trace_id"}),
    ],
)
def test_an_export_has_every_column(model: Any, schema: type[Schema], left_out: set[str]) -> None:
    assert columns(model) - schema().fields.keys() == left_out
