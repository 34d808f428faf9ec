"""The conditions of the filters of logs, which lists, statistics and commands share."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sqlalchemy import ColumnElement, and_, case, false, func, literal, or_, select, true

from promptcrafter.database.base import Base
from promptcrafter.database.json_scalar import TEXT, JsonScalar, scalars_equal_to
from promptcrafter.database.session import is_sqlite
from promptcrafter.jsonio import dumps
from promptcrafter.logs.models import Log
from promptcrafter.logs.score_columns import has_score_of_person
from promptcrafter.prompts.models import Label, Tag

_SCORES = Base.metadata.tables["scores"]
_METADATA = Base.metadata.tables["logs"].c.metadata
_HAS_NOTES = Log.notes != ""
_UNSCORED = -1  # the rank of a log without a score
_IS_REVIEWED = or_(Log.score.is_not(None), func.coalesce(Log.notes, "") != "", has_score_of_person())
_OF_SCORES = ("scored", "minScore", "maxScore")  # of the log's own score, or of those that `scoreName` names


def _often(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return an equal condition of which PostgreSQL expects that it holds for half of all logs.

    It believes that very few fulfil what it has no statistics of. For a page it would then read and sort all logs of a
    prompt or workspace, instead of looking for matches in the order of the list.
    """
    return condition if is_sqlite() else case((condition, true()), else_=false())


def _is_model(name: str) -> ColumnElement[bool]:
    """Return the condition for a model's name, or for the beginning of one before `*`."""
    if not name.endswith("*"):
        return Log.model_used == name
    beginning = name.removesuffix("*")
    return func.substr(Log.model_used, 1, len(beginning)) == beginning


def _has_tags(names: list[str]) -> ColumnElement[bool]:
    """Return the condition that the log's prompt has all of the tags.

    They are counted, since PostgreSQL plans a join for each EXISTS.
    """
    is_one = and_(Tag.prompt_id == Log.prompt_id, Tag.name.in_(names))
    number = select(func.count()).select_from(Tag).where(is_one).correlate(Log).scalar_subquery()
    return number == len(set(names))


def _has_label(name: str) -> ColumnElement[bool]:
    """Return the condition that a label of the log's prompt is on the log's version."""
    is_here = and_(Label.prompt_id == Log.prompt_id, Label.version == Log.prompt_version, Label.name == name)
    return _often(select(literal(1)).select_from(Label).where(is_here).correlate(Log).exists())


def _has_metadata(pairs: list[tuple[str, str]]) -> ColumnElement[bool]:
    return _often(and_(*(_has_member(name, text) for name, text in pairs)))


def _has_member(name: str, text: str) -> ColumnElement[bool]:
    """Return the condition that the metadata have this name with this text, or with the scalar whose JSON it is.

    The stored text must contain both as they are stored, which is faster to see than what is in the object.
    """
    scalars = scalars_equal_to(text)
    written = [dumps(scalar.removeprefix(TEXT)) if scalar.startswith(TEXT) else scalar for scalar in scalars]
    place = func.instr if is_sqlite() else func.strpos
    contains = or_(*(place(_METADATA, f"{dumps(name)}:{value}") > 0 for value in written))
    return and_(contains, JsonScalar(_METADATA, name).in_(scalars))


_FILTERS: dict[str, Callable[[Any], ColumnElement[bool]]] = {
    "promptVersion": lambda number: Log.prompt_version == number,
    "model": _is_model,
    "minScore": lambda score: Log.score >= score,
    "maxScore": lambda score: Log.score <= score,
    "scored": lambda is_scored: Log.score.is_not(None) if is_scored else Log.score.is_(None),
    "hasNotes": lambda has_notes: _HAS_NOTES if has_notes else func.coalesce(Log.notes, "") == "",
    "tags": _has_tags,
    "label": _has_label,
    "since": lambda moment: Log.created_at >= moment,
    "until": lambda moment: Log.created_at < moment,
    "startedSince": lambda moment: Log.start_time >= moment,
    "startedUntil": lambda moment: Log.start_time < moment,
    "source": lambda name: Log.source == name,  # None selects the logs of the native API
    "status": lambda status: Log.status == status if status else Log.status.is_(None),  # None selects successful calls
    "userId": lambda name: Log.user_id == name,
    "sessionId": lambda name: Log.session_id == name,
    "environment": lambda name: Log.environment == name,
    "traceId": lambda trace_id: Log.trace_id == trace_id,
    "metadata": _has_metadata,
    "is_reviewed": lambda is_reviewed: _IS_REVIEWED if is_reviewed else ~_IS_REVIEWED,
}


def conditions(filters: Mapping[str, Any]) -> list[ColumnElement[bool]]:
    """Return the conditions of all filters but `promptId`, `q` and `found`; keys that are no filters are ignored."""
    named = "scoreName" in filters
    plain = {name: value for name, value in filters.items() if not (named and name in _OF_SCORES)}
    found = [_FILTERS[name](value) for name, value in plain.items() if name in _FILTERS]
    return [*found, _has_score(filters)] if named else [*found, *_limit_ranks(filters)]


def find_scored_part(filters: Mapping[str, Any]) -> tuple[float, bool | None]:
    """Return the least score of the logs that match the filters, and whether all of them have one or none of them has.

    The second is None if both may match.
    """
    if "scoreName" in filters:
        return 0, None
    has_score = True if "minScore" in filters or "maxScore" in filters else filters.get("scored")
    return filters.get("minScore", 0), has_score


def _limit_ranks(filters: Mapping[str, Any]) -> Iterator[ColumnElement[bool]]:
    """Yield what the filters of scores mean for ranks, where these are the order: the ends of a range of the index.

    With a cursor, which is the beginning of the range, there is only the other end: of two conditions about one end
    SQLite takes any. `orders.UnscoredLast` has a beginning of its own.
    """
    sort = filters.get("sort") or ""
    if not sort.endswith("score") and sort not in ("best", "worst"):
        return
    is_ascending = sort in ("score", "worst")
    least, has_score = find_scored_part(filters)
    most = filters.get("maxScore", _UNSCORED if has_score is False else None)
    begins = "cursor" not in filters and sort != "worst"
    if has_score and (begins or not is_ascending):
        yield Log.rank >= least
    if most is not None and (begins or is_ascending) and not (sort == "worst" and has_score is False):
        yield Log.rank <= most


def _has_score(filters: Mapping[str, Any]) -> ColumnElement[bool]:
    """Return the condition that a log has a score of the name, and in the range, or with `scored=false` none."""
    scores = select(literal(1)).where(_SCORES.c.log_seq == Log.seq, _SCORES.c.name == filters["scoreName"])
    if "minScore" in filters:
        scores = scores.where(_SCORES.c.number >= filters["minScore"])
    if "maxScore" in filters:
        scores = scores.where(_SCORES.c.number <= filters["maxScore"])
    found = scores.correlate(Log).exists()
    return found if filters.get("scored", True) else ~found
