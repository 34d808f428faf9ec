"""Asking for statistics with the query parameters of the API, which pages have, too."""

from collections.abc import Mapping
from typing import Any

from promptcrafter.logs import queries
from promptcrafter.statistics.answers import answer
from promptcrafter.statistics.schemas import question_fields
from promptcrafter.statistics.store import Question
from promptcrafter.workspaces.principal import Principal

_QUESTION = question_fields().keys()


def ask(
    principal: Principal,
    query: Mapping[str, Any],
    *,
    workspace_id: str,
    is_bounded: bool,
    is_since_fixed: bool,
    with_comparisons: bool,
    with_course: bool = False,
) -> dict[str, Any]:
    """Return a dict in the shape of StatsOut for a loaded StatsQuery or AllStatsQuery.

    The caller must have checked that the prompt `promptId` may be read. `workspace_id` is that of the logs. `answer`
    and `Question` describe the others.
    """
    selecting = {name: value for name, value in query.items() if name not in _QUESTION}
    filters, _ = queries.resolve(principal, selecting)
    question = Question(
        keys=query["groupBy"],
        name=query["score"],
        annotator=query["annotator"],
        zone=query["tz"],
        with_raters=with_comparisons,
        is_bounded=is_bounded,
        with_course=with_course,
    )
    return answer(
        principal,
        {**filters, **{name: selecting[name] for name in ("promptId",) if name in selecting}},
        question,
        workspace_id=workspace_id,
        margin=query.get("margin"),
        is_since_fixed=is_since_fixed,
        with_comparisons=with_comparisons,
    )
