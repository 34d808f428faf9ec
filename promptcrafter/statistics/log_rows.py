"""Logs as `cells.Row`s, read from the covering index `ix_logs_aggregates`, and the cells of their days.

Nothing of a log's own row is read, whose output may be long: of a workspace's logs, rows are read.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Executable,
    Float,
    SQLColumnExpression,
    String,
    case,
    cast,
    extract,
    func,
    select,
    type_coerce,
)
from sqlalchemy.types import NullType

from promptcrafter import clock
from promptcrafter.database.session import ReadSession, is_sqlite
from promptcrafter.logs.models import Log, Score
from promptcrafter.logs.score_columns import is_counted
from promptcrafter.statistics.cells import Cell

# Day in UTC counted from 1970, version of the prompt (0: unknown), model ("": unknown)
CellKey = tuple[int, int, str]
# What the logs of a cell have in common beside their day. Of a prompt: version and model. Of a workspace: the
# model; the version is 0. In detail: prompt, version, author and model; `join_details` makes one text of all but
# the version, which stands for the model in the key
Grain = Literal["prompt", "workspace", "details"]
_SEPARATOR = "\x1f"  # that no id has
_ROWS_AT_ONCE = 20_000
_FIRST_ORDINAL = datetime(1970, 1, 1, tzinfo=UTC).toordinal()


def each_batch(snapshot: ReadSession, statement: Executable) -> Iterator[Sequence[Any]]:
    """Yield the rows of a statement, whose columns need no conversion, as the driver returns them."""
    connection = snapshot.connection().execution_options(stream_results=True)
    with closing(connection.execute(statement)) as result:
        while rows := result.fetchmany(_ROWS_AT_ONCE):
            yield rows


def row_columns() -> list[Any]:
    """Return the columns of a `cells.Row`.

    The latency is the one that was sent, or else the time from start to end if both are known.
    """
    elapsed = cast(_milliseconds_between(Log.start_time, Log.end_time), Float(53))
    return [
        plain_time(Log.created_at),
        *(Log.seq, Log.prompt_version, Log.model_used, Log.mean_score, Log.ratings),
        plain_time(Log.scored_at),
        Log.status,
        func.coalesce(Log.latency_ms, case((Log.end_time >= Log.start_time, elapsed))),
        *(Log.input_tokens, Log.output_tokens, Log.cost, Log.input_key, Log.experiment_id, Log.variant_key),
    ]


def plain_time(column: SQLColumnExpression[Any]) -> ColumnElement[Any]:
    """Return a time as the database has it: converting a text takes longer than the rest of reading a row."""
    return type_coerce(column, String() if is_sqlite() else DateTime(timezone=True))


def to_milliseconds(moment: Any) -> int:
    """Return the milliseconds since 1970 of a time as the database has it."""
    return clock.to_number(datetime.fromisoformat(moment) if isinstance(moment, str) else moment)


def join_details(prompt_id: str | None, author_id: str | None, model: str | None) -> str:
    """Return one text for what a cell of a workspace's details has in common."""
    return _SEPARATOR.join((prompt_id or "", author_id or "", model or ""))


def split_details(text: str) -> tuple[str | None, str | None, str | None]:
    """Return the prompt, the author and the model of which `join_details` made a text; None for an unknown one."""
    prompt_id, author_id, model = text.split(_SEPARATOR, 2)
    return prompt_id or None, author_id or None, model or None


def read_cells(
    reader: ReadSession, scope: ColumnElement[bool], begin: datetime, end: datetime, grain: Grain
) -> dict[CellKey, Cell]:
    """Return the cells of the logs of a scope that were created from `begin` on and before `end`."""
    condition = scope & (Log.created_at >= begin) & (Log.created_at < end)
    cells: dict[CellKey, Cell] = defaultdict(Cell)
    to_day = _make_to_day()
    columns = row_columns()
    further = [Log.prompt_id, Log.author_id] if grain == "details" else []
    for batch in each_batch(reader, select(*columns, *further).where(condition)):
        groups: dict[Any, list[Any]] = defaultdict(list)
        for row in batch:
            groups[to_day(row[0]), row[2], row[3], row[len(columns) :]].append(row)
        for (day, *rest), rows in groups.items():
            cells[_make_key(grain, day, *rest)].add(rows, to_milliseconds)
    _count_raters(reader, condition, cells, to_day, grain)
    return dict(cells)


def _count_raters(
    reader: ReadSession,
    condition: ColumnElement[bool],
    cells: dict[CellKey, Cell],
    to_day: Callable[[Any], int],
    grain: Grain,
) -> None:
    """Count the scores of the logs by who gave them."""
    day = func.substr(Log.created_at, 1, 10) if is_sqlite() else func.date(func.timezone("UTC", Log.created_at))
    further = (Log.prompt_id, Log.author_id) if grain == "details" else ()
    group = (day, Log.prompt_version, Log.model_used, Score.rater, *further)
    scores = select(*(type_coerce(each, NullType()) for each in group), func.count())
    scores = scores.select_from(Log).join(Score, (Score.log_seq == Log.seq) & is_counted(Score))
    scores = scores.where(condition, Log.mean_score.is_not(None), func.coalesce(Log.status, "") != "error")
    for row in reader.connection().execute(scores.group_by(*group)):
        moment, version, model, rater, *rest, count = tuple(row)
        cells[_make_key(grain, to_day(moment), version, model, rest)].raters[rater] += count


def _make_key(grain: Grain, day: int, version: int | None, model: str | None, further: Sequence[Any]) -> CellKey:
    if grain == "details":
        prompt_id, author_id = further
        return day, version or 0, join_details(prompt_id, author_id, model)
    return day, (version or 0) if grain == "prompt" else 0, model or ""


def _milliseconds_between(start: SQLColumnExpression[Any], end: SQLColumnExpression[Any]) -> ColumnElement[Any]:
    if is_sqlite():  # julianday() returns days as a float, exact to a twentieth of a millisecond
        return func.round((func.julianday(end) - func.julianday(start)) * 86_400_000)
    return (extract("epoch", end) - extract("epoch", start)) * 1000


def _make_to_day() -> Callable[[Any], int]:
    """Return the function from a time as the driver returns it to its day."""
    if not is_sqlite():
        return lambda moment: moment.toordinal() - _FIRST_ORDINAL
    days: dict[str, int] = {}

    def to_day(moment: str) -> int:
        date = moment[:10]
        day = days.get(date)
        if day is None:
            day = days[date] = datetime.fromisoformat(date).toordinal() - _FIRST_ORDINAL
        return day

    return to_day
