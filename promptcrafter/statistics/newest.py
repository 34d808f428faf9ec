"""What the newest outputs of prompts and versions are like, for pages that show many of them.

Only so many outputs are read that it is fast for each request, and only from the covering index `ix_logs_aggregates`.
Statistics of all outputs are in `store`.
"""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Select, func, literal, select

from promptcrafter.database.deletions import has_pending, is_present
from promptcrafter.database.session import session
from promptcrafter.logs.models import Log
from promptcrafter.prompts.models import Prompt

COUNTED_MAX = 1000  # outputs of a prompt
PROMPTS_MAX = 200  # the newest of a workspace, that are looked through for outputs
SCORES_OF_PROMPT = 500  # outputs whose scores make the mean of a prompt
SCORES_OF_VERSIONS = 2000  # of a prompt, whose scores make the means of its versions


class PromptSummary(NamedTuple):
    """The number of outputs since a time, `COUNTED_MAX` + 1 for more, and the mean score of the newest ones."""

    outputs: int
    mean: float | None


class VersionSummary(NamedTuple):
    """How many of the newest outputs a version has, how many of these are scored, and their mean score."""

    outputs: int
    scored: int
    mean: float | None


def summarize_prompts(prompt_ids: Collection[str], since: datetime) -> dict[str, PromptSummary]:
    """Return a summary of each prompt by its id; the caller must have checked that the prompts may be read."""
    present = _find_present()
    of_prompt = present.where(Log.prompt_id == Prompt.id).correlate(Prompt)
    recent = of_prompt.with_only_columns(literal(1).label("one")).where(Log.created_at >= since)
    count = select(func.count()).select_from(recent.limit(COUNTED_MAX + 1).subquery("recent"))
    newest = of_prompt.with_only_columns(Log.mean_score).order_by(Log.created_at.desc(), Log.seq.desc())
    scores = newest.limit(SCORES_OF_PROMPT).subquery("newest")
    statement = select(Prompt.id, count.scalar_subquery(), select(func.avg(scores.c.mean_score)).scalar_subquery())
    rows = session.execute(statement.where(Prompt.id.in_(prompt_ids)))
    return {prompt_id: PromptSummary(number, mean) for prompt_id, number, mean in rows}


def summarize_versions(prompt_id: str) -> dict[int, VersionSummary]:
    """Return a summary of each version that is among the newest outputs of a prompt, by its number."""
    newest = _find_present().where(Log.prompt_id == prompt_id).with_only_columns(Log.prompt_version, Log.mean_score)
    newest = newest.order_by(Log.created_at.desc(), Log.seq.desc()).limit(SCORES_OF_VERSIONS)
    read = newest.subquery("newest")
    scores = read.c.mean_score
    grouped = select(read.c.prompt_version, func.count(), func.count(scores), func.avg(scores))
    rows = session.execute(grouped.group_by(read.c.prompt_version))
    return {number: VersionSummary(*rest) for number, *rest in rows if number is not None}


def get_prompts_with_outputs(workspace_id: str, most: int) -> list[str]:
    """Return the ids of up to `most` prompts of a workspace that have outputs, among its `PROMPTS_MAX` newest ones.

    Outputs whose deletion is pending count, too, as in `get_differing_keys`: both are for suggestions.
    """
    newest = select(Prompt.id).where(Prompt.workspace_id == workspace_id)
    newest = newest.order_by(Prompt.created_at.desc(), Prompt.seq.desc()).limit(PROMPTS_MAX)
    read = newest.subquery("newest")
    has_outputs = select(Log.seq).where(Log.prompt_id == read.c.id).exists()
    return list(session.scalars(select(read.c.id).where(has_outputs).limit(most)))


def get_differing_keys(prompt_id: str) -> set[str]:
    """Return which of "version" and "model" differ among the `COUNTED_MAX` newest outputs of a prompt."""
    newest = select(Log.prompt_version, Log.model_used).where(Log.prompt_id == prompt_id)
    read = newest.order_by(Log.created_at.desc(), Log.seq.desc()).limit(COUNTED_MAX).subquery("newest")
    columns = {"version": read.c.prompt_version, "model": read.c.model_used}
    row = session.execute(select(*(func.max(each) != func.min(each) for each in columns.values()))).one()
    return {key for key, differs in zip(columns, row, strict=True) if differs}


def _find_present() -> Select[Log]:
    logs = select(Log)
    # the condition needs columns that the covering index does not have
    return logs.where(is_present(Log)) if has_pending() else logs
