"""The logs that statistics are about, as cells: see `statistics.cells`.

All statements of an answer see one snapshot. Of a prompt whose logs are selected by nothing but their time, the
covering index `ix_logs_aggregates` alone is read (decision 17), and with raters the unique index of scores beside it:
never the rows, whose outputs may be long. Other filters, and a whole workspace, read the rows that match. Where
aggregates of days are stored (decision 56), they are read instead.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, tzinfo
from functools import lru_cache
from itertools import islice
from operator import itemgetter
from statistics import fmean
from typing import Any

from sqlalchemy import CompoundSelect, Select, SQLColumnExpression, and_, func, literal, select, union_all

from promptcrafter.database.base import Base
from promptcrafter.database.deletions import has_pending, is_present
from promptcrafter.database.json_scalar import TEXT, JsonScalar
from promptcrafter.database.session import ReadSession, is_sqlite, read_snapshot
from promptcrafter.logs.models import DEFAULT_NAME, HUMAN, Log, Score
from promptcrafter.logs.raters import identify_rater
from promptcrafter.logs.scores import VALUE_KINDS
from promptcrafter.logs.store import find_stored_logs
from promptcrafter.problems import Invalid
from promptcrafter.prompts.models import Label, Prompt
from promptcrafter.statistics import day_aggregates
from promptcrafter.statistics.aggregates import Group, Slot, TimeSeries, fill_periods, gather, to_time_series
from promptcrafter.statistics.cells import LARGEST, Cell
from promptcrafter.statistics.day_aggregates import EARLIEST, LATEST, Plan, Scope
from promptcrafter.statistics.keys import METADATA, UNITS
from promptcrafter.statistics.log_rows import each_batch, plain_time, row_columns, split_details, to_milliseconds
from promptcrafter.statistics.periods import count_periods
from promptcrafter.workspaces.principal import Principal

LOGS_MAX = SCORES_MAX = 100_000  # that are read for an answer
CELLS_MAX = 20_000  # of a workspace's details: so many take a second; of more, logs are read, or refused
PERIODS_MAX = 1000
GROUPS_MAX = 2000
_ROWS_AT_ONCE = 20_000
_IDS_AT_ONCE = 10_000
_PARTS_AT_ONCE = 25  # in a statement, which takes some tens of milliseconds to compile the first time; of 100 a second
_ROW_COLUMNS = 15  # columns of a `cells.Row`
_STORED_KEYS = {"model", "day", "week", "month"}
_STORED_DETAILS = {"prompt", "version", "label", "author"}
_STORED_FILTERS = {"promptId", "since", "until"}
_METADATA = Base.metadata.tables["logs"].c.metadata
_NARROW = "narrow it, for example by since or promptId"


@dataclass(frozen=True, kw_only=True)
class StatsRequest:
    """What is to be computed of logs, beside the filters that select them."""

    keys: Sequence[str]  # see `statistics.keys`
    name: str = DEFAULT_NAME  # of the scores
    annotator: str = HUMAN
    zone: tzinfo = UTC  # in which a day begins and ends
    with_raters: bool = False
    is_bounded: bool = True  # whether more than LOGS_MAX logs are refused
    with_time_series: bool = False

    @property
    def others(self) -> list[str]:
        """The keys that only the rows of logs have."""
        return [key for key in self.keys if key == "author" or key.startswith(METADATA)]

    @property
    def is_of_prompts(self) -> bool:
        """Whether it matters to which prompt a log belongs."""
        return any(key in ("prompt", "label") for key in self.keys)

    @property
    def is_default(self) -> bool:
        """Whether the values are those that logs store themselves."""
        return self.name == DEFAULT_NAME and self.annotator == HUMAN


@dataclass(frozen=True)
class Found:
    """The groups of an answer, with the kinds of the scores that were found, and the ids of logs by their numbers."""

    groups: list[Group]
    kind: str  # of the scores that the groups have the aggregates of
    kinds: Mapping[str, int]  # -> number of scores, the most frequent first
    log_ids: Mapping[int, str]
    time_series: TimeSeries | None = None  # if the request asks for it, and there are any logs


def get_groups(principal: Principal, filters: Mapping[str, Any], request: StatsRequest) -> Found:
    """Return the groups of the principal's logs that match `filters`, empty ones for periods without logs included.

    `filters` has the keys that `logs.store.find_logs` takes, and no others. Raises 400 for too many logs, periods or
    groups.
    """
    with read_snapshot() as snapshot:
        is_pending = has_pending(snapshot)  # in the snapshot: a deletion may be committed at any time
        logs = find_stored_logs(principal, filters)
        logs = logs.where(is_present(Log)) if is_pending else logs
        scope = None if is_pending else _find_scope(snapshot, principal, filters, request)
        plan = _plan(snapshot, scope, filters)
        cells = list(_each_stored(snapshot, scope, plan, request, filters.get("promptId")))
        parts = [logs] if plan is None else _find_unstored(principal, filters, plan)
        if request.is_bounded:
            _refuse_many(snapshot, parts)
        scores = _read_scores(snapshot, parts, request)
        if scores.raters is None:  # those of some logs would say that they differ where they do not
            for _, cell in cells:
                cell.raters.clear()
        cells += get_cells(snapshot, parts, request, scores)
        if "promptId" not in filters and "version" not in request.keys and "label" not in request.keys:
            # versions of different prompts have nothing in common
            cells = [(slot._replace(version=None), cell) for slot, cell in cells]
        labels = _get_labels(snapshot, principal, filters) if "label" in request.keys else {}
        groups = gather(cells, request.keys, request.others, labels)
        time_series = (
            to_time_series(cells, request.keys, request.others, labels) if request.with_time_series and cells else None
        )
        groups = _fill(groups, request, {slot.day for slot, _ in cells})
        extremes = [each[1] for group in groups for each in (group.cell.best, group.cell.worst) if each]
        return Found(groups, scores.kind, scores.kinds, _get_ids(snapshot, extremes), time_series)


def _find_scope(
    snapshot: ReadSession, principal: Principal, filters: Mapping[str, Any], request: StatsRequest
) -> Scope | None:
    """Return the scope whose stored aggregates answer the request, or None if only the logs do."""
    if not request.is_default or request.zone is not UTC or not _STORED_FILTERS.issuperset(filters):
        return None
    details = set(request.keys) - _STORED_KEYS
    if not details <= _STORED_DETAILS:
        return None
    if "promptId" not in filters:
        workspace_id = principal.workspace_id
        return Scope.of_details(workspace_id) if details else Scope(workspace_id, workspace_id)
    found = snapshot.scalar(select(Prompt.workspace_id).where(Prompt.id == filters["promptId"])) or ""
    return Scope.of_details(found) if "author" in details else Scope(filters["promptId"], found)


def _plan(snapshot: ReadSession, scope: Scope | None, filters: Mapping[str, Any]) -> Plan | None:
    """Return which part of the logs is read from stored aggregates; None for no part."""
    coverage = None if scope is None else day_aggregates.read_coverage(snapshot, scope.id)
    if scope is None or coverage is None:
        return None
    begin, end = filters.get("since", EARLIEST), filters.get("until", LATEST)
    plan = day_aggregates.plan(coverage, max(begin, EARLIEST), min(end, LATEST))
    if scope.grain != "details":
        return plan
    count = day_aggregates.count_cells(snapshot, scope.id, plan, filters.get("promptId"), CELLS_MAX + 1)
    return plan if count <= CELLS_MAX else None  # there may be fewer logs than are refused


def _each_stored(
    snapshot: ReadSession, scope: Scope | None, plan: Plan | None, request: StatsRequest, prompt_id: str | None
) -> Iterator[tuple[Slot, Cell]]:
    if scope is None or plan is None:
        return
    is_detailed = scope.grain == "details"
    of_prompt = prompt_id if is_detailed else None
    for (day, version, text), cell in day_aggregates.each_cell(snapshot, scope.id, plan, of_prompt):
        prompt, author, model = split_details(text) if is_detailed else (prompt_id, None, text or None)
        others = tuple(author for _ in request.others)  # what is stored has no other key
        yield (
            Slot(
                day_aggregates.start_of(day).date(),
                version or None,
                model,
                prompt if request.is_of_prompts else None,
                others,
            ),
            cell,
        )


def _find_unstored(principal: Principal, filters: Mapping[str, Any], plan: Plan) -> Sequence[Select[Log]]:
    """Return selects of the logs that are not read from stored aggregates."""
    # without the times of the filters, within which the periods are: of two lower bounds, SQLite looks up the first one
    # in the index, and reads all entries from there on
    others = {name: value for name, value in filters.items() if name not in ("since", "until")}
    logs = find_stored_logs(principal, others)
    return [logs.where(Log.created_at >= begin, Log.created_at < end) for begin, end in plan.periods]


@dataclass
class Scores:
    """The scores of the logs, by sequence number, as far as the logs do not store what is asked for."""

    kind: str = VALUE_KINDS[0]  # of the values and categories
    kinds: dict[str, int] = field(default_factory=dict)  # -> number of scores
    values: dict[int, tuple[float, int, Any]] | None = None  # value, number of scores, time of the first; None: stored
    categories: dict[int, list[str]] = field(default_factory=dict)
    raters: dict[int, list[str]] | None = field(default_factory=dict)  # None: there are too many scores to read them


def get_cells(
    snapshot: ReadSession, parts: Sequence[Select[Log]], request: StatsRequest, scores: Scores
) -> Iterator[tuple[Slot, Cell]]:
    """Yield the cells of logs, read from the logs themselves; those of a slot are never split.

    `parts` are selects of logs. The slots have the prompt only if it is needed, else None.
    """
    of_prompts = request.is_of_prompts
    columns = [*row_columns(), *([Log.prompt_id] if of_prompts else []), *map(_other_column, request.others)]
    read_day = _make_day_reader(request.zone)
    readers = [_read_scalar if key.startswith(METADATA) else str for key in request.others]

    def read_others(rest: Sequence[Any]) -> tuple[str | None, ...]:
        values = rest[of_prompts:]
        return tuple(None if value is None else read(value) for read, value in zip(readers, values, strict=True))

    different: set[tuple[str | None, ...]] = set()
    cells: dict[tuple[Any, ...], Cell] = defaultdict(Cell)
    for rows in _each_batch(snapshot, parts, *columns):
        slots: dict[tuple[Any, ...], list[Any]] = defaultdict(list)
        for row in rows:
            slots[read_day(row[0]), row[2], row[3], row[_ROW_COLUMNS:]].append(row)
        # refused before cells are made of them, which take far more time and memory than rows
        different.update(read_others(rest) for _, _, _, rest in slots)
        if len(different) > GROUPS_MAX:
            raise _too_many_groups()
        for key, some in slots.items():
            _add(cells[key], some, scores)
    for (day, version, model, rest), cell in cells.items():
        yield Slot(_to_date(day), version, model, rest[0] if of_prompts else None, read_others(rest)), cell


def _add(cell: Cell, rows: list[Any], scores: Scores) -> None:
    if scores.values is not None:
        unknown = (None, None, None)
        rows = [(*row[:4], *scores.values.get(row[1], unknown), *row[7:_ROW_COLUMNS]) for row in rows]
    cell.add(rows, to_milliseconds)
    seqs = [row[1] for row in rows if row[7] is None]
    if scores.raters:
        cell.raters.update([rater for seq in seqs for rater in scores.raters.get(seq, ())])
    if scores.categories:
        categories = [category for seq in seqs for category in scores.categories.get(seq, ())]
        cell.categories.update(categories)
        cell.ratings += len(categories)


def _each_batch(
    snapshot: ReadSession, parts: Sequence[Select[Any]], *columns: SQLColumnExpression[Any]
) -> Iterator[Sequence[Any]]:
    """Yield the rows that all parts have in these columns."""
    for statement in _unite(parts, *columns):
        yield from each_batch(snapshot, statement)


def _unite(
    parts: Sequence[Select[Any]], *columns: SQLColumnExpression[Any]
) -> Iterator[Select[Any] | CompoundSelect[Any]]:
    """Yield statements that select the columns of many parts at once: each part costs a look-up, but no statement."""
    for start in range(0, len(parts), _PARTS_AT_ONCE):
        selects = [part.with_only_columns(*columns) for part in parts[start : start + _PARTS_AT_ONCE]]
        yield selects[0] if len(selects) == 1 else union_all(*selects)


def _refuse_many(snapshot: ReadSession, parts: Sequence[Select[Log]]) -> None:
    """Raise 400 if the parts together have too many logs."""
    count = 0
    for statement in _unite(parts, literal(1).label("one")):
        some = statement.limit(LOGS_MAX + 1 - count).subquery("limited")
        count += snapshot.scalars(select(func.count()).select_from(some)).one()
        if count > LOGS_MAX:
            raise Invalid({"since": [f"selects more than {LOGS_MAX:,} logs; {_NARROW}"]})


def _read_scores(snapshot: ReadSession, parts: Sequence[Select[Log]], request: StatsRequest) -> Scores:
    """Return what the logs themselves do not have: raters if they are asked for, and values of other scores."""
    if request.is_default and not request.with_raters:
        return Scores()
    of_logs = and_(Score.log_seq == Log.seq, Score.name == request.name, Score.annotator == request.annotator)
    scored = [part.join(Score, of_logs) for part in parts]
    if request.is_default:
        raters = defaultdict(list)
        for rows in _each_batch(snapshot, scored, Score.log_seq, Score.rater):
            for seq, rater in rows:
                raters[seq].append(rater)
            if len(raters) > SCORES_MAX:
                return Scores(raters=None)
        return Scores(raters=raters)
    given: dict[int, list[Any]] = defaultdict(list)
    kinds: Counter[str] = Counter()
    columns = (Score.log_seq, Score.rater, Score.identifier, Score.value_kind, Score.number, Score.category)
    for rows in _each_batch(snapshot, scored, *columns, plain_time(Score.created_at)):
        for row in rows:
            rater = " ".join(identify_rater(request.annotator, row[1], row[2]))
            given[row[0]].append((rater, *row[3:]))
            kinds[row[3]] += 1
        if kinds.total() > SCORES_MAX:
            raise Invalid({"score": [f"has more than {SCORES_MAX:,} scores here; {_NARROW}"]})
    return _take_apart(given, kinds)


def _take_apart(given: Mapping[int, Sequence[Any]], kinds: Mapping[str, int]) -> Scores:
    """Return the scores of the most frequent kind: a stray one of another kind hides nothing."""
    ordered = sorted((each for each in VALUE_KINDS if each in kinds), key=lambda each: -kinds[each])
    kind = next(iter(ordered), VALUE_KINDS[0])
    raters: dict[int, list[str]] = {}
    found = Scores(kind, {each: kinds[each] for each in ordered}, {}, raters=raters)
    for seq, scores in given.items():
        # larger numbers are left out of groups, too, and the mean of two might not be finite
        of_kind = [score for score in scores if score[1] == kind and abs(score[2] or 0) <= LARGEST]
        if not of_kind:
            continue
        raters[seq] = [score[0] for score in of_kind]
        if kind == "category":
            found.categories[seq] = [score[3] for score in of_kind]
            continue
        by_rater = defaultdict(list)
        for rater, _, number, *_ in of_kind:
            by_rater[rater].append(number)
        value = fmean(map(fmean, by_rater.values()))
        found.values[seq] = value, len(of_kind), min(score[4] for score in of_kind)  # type: ignore[index]
    return found


def _get_labels(
    snapshot: ReadSession, principal: Principal, filters: Mapping[str, Any]
) -> dict[tuple[str | None, int | None], list[str]]:
    """Return the names of the labels on each version of the prompts."""
    scope = Prompt.id == filters["promptId"] if "promptId" in filters else Prompt.workspace_id == principal.workspace_id
    labelled = select(Label.prompt_id, Label.version, Label.name).join(Prompt, Prompt.id == Label.prompt_id)
    names: dict[tuple[str | None, int | None], list[str]] = defaultdict(list)
    for prompt_id, version, name in snapshot.execute(labelled.where(scope).order_by(Label.name)):
        names[prompt_id, version].append(name)
    return names


def _fill(groups: list[Group], request: StatsRequest, days: set[date]) -> list[Group]:
    """Return the groups with empty ones for periods without logs. Raises 400 for too many."""
    unit = next((key for key in request.keys if key in UNITS), None)
    if unit is not None and days:
        number = count_periods(unit, min(days), max(days))
        if number > PERIODS_MAX:
            raise Invalid({"groupBy": [f"makes {number:,} groups by {unit}, of {PERIODS_MAX:,} at most; {_NARROW}"]})
        groups = list(islice(fill_periods(groups, request.keys, days), GROUPS_MAX + 1))
    if request.is_bounded and len(groups) > GROUPS_MAX:
        raise _too_many_groups()
    return groups


def _too_many_groups() -> Invalid:
    return Invalid({"groupBy": [f"makes more than {GROUPS_MAX:,} groups; {_NARROW}"]})


def _get_ids(snapshot: ReadSession, seqs: Sequence[int]) -> dict[int, str]:
    ids: dict[int, str] = {}
    ordered = sorted(set(seqs))
    for start in range(0, len(ordered), _IDS_AT_ONCE):
        some = Log.seq.in_(ordered[start : start + _IDS_AT_ONCE])
        ids.update((seq, log_id) for seq, log_id in snapshot.execute(select(Log.seq, Log.id).where(some)))
    return ids


def _other_column(key: str) -> SQLColumnExpression[Any]:
    return Log.author_id if key == "author" else JsonScalar(_METADATA, key.removeprefix(METADATA))


def _read_scalar(scalar: str) -> str | None:
    """Return the text or the JSON of another scalar that a `JsonScalar` is; None for null."""
    return None if scalar == "null" else scalar.removeprefix(TEXT)


def _make_day_reader(zone: tzinfo) -> Callable[[Any], Any]:
    """Return a function from a time, as the database has it, to what stands for its day."""
    if zone is UTC:
        return itemgetter(slice(10)) if is_sqlite() else datetime.date

    @lru_cache(maxsize=100_000)
    def find_local_day(minute: Any) -> date:
        moment = datetime.fromisoformat(f"{minute}Z") if isinstance(minute, str) else minute
        try:
            return moment.astimezone(zone).date()
        except OverflowError:  # in the first or the last hours that there are
            return moment.date()

    if is_sqlite():
        return lambda text: find_local_day(text[:16])
    return lambda moment: find_local_day(moment.replace(second=0, microsecond=0))


def _to_date(day: Any) -> date:
    return date.fromisoformat(day) if isinstance(day, str) else day
