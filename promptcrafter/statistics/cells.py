"""What the answers of statistics need of some logs: a mergeable aggregate that can be stored. Pure functions.

A cell has the logs of one prompt, version, model and UTC day. Cells are merged exactly: whatever the order and the
grouping in which logs are added and cells are merged, the result is the same to the last digit. That is why sums are
decimals, and logarithms as whole multiples of 2^-24, which is a relative precision of 6e-8 of a cost or a latency.

The value of a log is the mean of its scores by different raters. Failed calls are counted apart: nothing else of them
is in a cell.
"""

import json
import math
import struct
import sys
import zlib
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal, localcontext
from itertools import chain, compress
from operator import itemgetter
from typing import Any, NamedTuple

from promptcrafter.statistics.samples import Arm, GroupSample, InputScore, LogMoments

LARGEST = 1e100  # larger values are left out of sums: a sum of much larger ones may not be finite
_SMALLEST = 1e-100  # smaller scores count as 0: their squares would not be numbers
_LOG_UNIT = 1 << 24
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SEQ_BITS = 21  # a position is a time in milliseconds, with the last bits of a sequence number below
_LAST_MOMENT = (1 << 63 - _SEQ_BITS) - 1  # in 2109
_MAGIC = b"PC\x01"  # the last byte is the version of the form
_HEADER = struct.Struct("<3sII")  # magic, lengths of the two compressed parts that follow
_LENGTH = struct.Struct("<Q")
_NAN = math.nan
_FLOAT32_MAX = 3.4e38
_EXACT = Context(prec=600)  # digits from the smallest float to sums of LARGEST
_LARGEST_WHOLE = 1 << 53  # up to which floats hold all whole numbers
_UNPAIRED = InputScore(0, 0.0)
_NEVER = 1 << 63  # after all positions


class Row(NamedTuple):
    """What a cell needs of a log. A plain tuple will do: reading many, the names are not needed."""

    created_at: Any
    seq: int
    version: int | None
    model: str | None
    value: float | None
    ratings: int | None
    scored_at: Any  # when the first of the scores was created
    status: str | None
    latency: float | None  # milliseconds
    input_tokens: float | None
    output_tokens: float | None
    cost: float | None
    input_key: int | None
    experiment_id: str | None
    variant_key: str | None


class Sum:
    """The number of values and their sum, exact as decimals: 0.1 and 0.2 are 0.3."""

    __slots__ = ("count", "exact")

    def __init__(self, count: int = 0, exact: str | int = 0) -> None:
        self.count, self.exact = count, Decimal(exact)

    @property
    def total(self) -> float:
        """The sum, rounded once."""
        return float(self.exact)

    def add(self, values: Sequence[float]) -> None:
        """Add values, each of which is at most `LARGEST` in size."""
        self.count += len(values)
        total = sum(map(abs, values))
        with localcontext(_EXACT):
            if total < _LARGEST_WHOLE and all(float(value).is_integer() for value in values):
                self.exact += int(sum(values))  # such as numbers of tokens, faster
            else:
                self.exact = sum(map(Decimal, map(repr, values)), self.exact)

    def merge(self, other: "Sum") -> None:
        """Add the values of another sum."""
        self.count += other.count
        with localcontext(_EXACT):
            self.exact += other.exact

    def dump(self) -> list[Any]:
        """Return the arguments of an equal sum: the same ones for the same sum."""
        with localcontext(_EXACT):
            return [self.count, str(self.exact.normalize())]


class LogSum:
    """The number of positive values, and the sums of their logarithms and of the squares of these, as whole numbers."""

    __slots__ = ("count", "squares", "total")

    def __init__(self, count: int = 0, total: int = 0, squares: int = 0) -> None:
        self.count, self.total, self.squares = count, total, squares

    def add(self, values: Iterable[float]) -> None:
        """Add values. Those that are not positive have no logarithm, and are left out."""
        log = math.log
        logarithms = [round(log(value) * _LOG_UNIT) for value in values if value > 0]
        self.count += len(logarithms)
        self.total += sum(logarithms)
        self.squares += sum([each * each for each in logarithms])

    def merge(self, other: "LogSum") -> None:
        """Add the values of another sum."""
        self.count += other.count
        self.total += other.total
        self.squares += other.squares

    def to_moments(self) -> LogMoments:
        """Return mean and sum of squared deviations of the logarithms."""
        if not self.count:
            return LogMoments()
        squares = self.count * self.squares - self.total * self.total
        return LogMoments(
            self.count, self.total / self.count / _LOG_UNIT, squares / self.count / (_LOG_UNIT * _LOG_UNIT)
        )


class Inputs:
    """The scored logs that have an input, as columns: 200,000 of them are no 200,000 objects. NaN is unknown."""

    __slots__ = ("costs", "keys", "latencies", "positions", "values")
    TYPES = "qqdff"

    def __init__(self, columns: Iterable[Iterable[Any]] = ((), (), (), (), ())) -> None:
        arrays = [
            column if isinstance(column, array) else array(code, column)
            for code, column in zip(self.TYPES, columns, strict=True)
        ]
        self.keys, self.positions, self.values, self.costs, self.latencies = arrays

    def columns(self) -> list[Any]:
        """Return the columns."""
        return [self.keys, self.positions, self.values, self.costs, self.latencies]

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[tuple[int, int, float, float, float]]:
        return zip(*self.columns(), strict=True)


class Cell:
    """The aggregate of some logs. `add` and `merge` never add a log twice: the caller sees to that.

    Times are in milliseconds since 1970. The latencies are sorted runs, which are not merged before they are needed;
    so are the inputs, whose stored form is decompressed only when they are compared.
    """

    __slots__ = (
        *("logs", "failed", "ratings", "first_logged", "first_scored", "values", "categories", "best", "worst", "runs"),
        *("cost", "input", "output", "costs", "latencies", "arms", "logged_arms", "raters", "input_parts"),
    )

    def __init__(self) -> None:
        self.logs = 0  # but failed ones
        self.failed = 0
        self.ratings = 0  # scores that the values come from
        self.first_logged: int | None = None
        self.first_scored: int | None = None  # the first score of any of the logs
        self.values: Counter[float] = Counter()  # value -> logs
        self.categories: Counter[str] = Counter()  # category -> scores
        self.best: tuple[float, int] | None = None  # the highest value, and the newest log that has it
        self.worst: tuple[float, int] | None = None
        self.runs: list[array[float]] = []  # latencies, each run sorted
        self.cost, self.input, self.output = Sum(), Sum(), Sum()
        self.costs, self.latencies = LogSum(), LogSum()
        self.arms: Counter[Arm | None] = Counter()  # of logs with a value
        self.logged_arms: Counter[Arm | None] = Counter()
        self.raters: Counter[str] = Counter()  # -> scores
        self.input_parts: list[Inputs | bytes] = []

    @property
    def scored(self) -> int:
        """The number of logs with a value."""
        return self.values.total()

    def add(self, rows: Sequence[Any], to_milliseconds: Callable[[Any], int] = int) -> None:
        """Add logs. Each is a `Row` or a tuple like it; `to_milliseconds` converts its times.

        All at once, because a call for each would take longer than all that is done here.
        """
        if not rows:
            return
        first = to_milliseconds(min([row[0] for row in rows]))
        self.first_logged = first if self.first_logged is None else min(first, self.first_logged)
        kept = [row for row in rows if row[7] != "error"]
        self.failed += len(rows) - len(kept)
        self.logs += len(kept)
        costs = [row[11] for row in kept if row[11] is not None and abs(row[11]) <= LARGEST]
        self.cost.add(costs)
        self.costs.add(costs)
        for sums, index in ((self.input, 9), (self.output, 10)):
            sums.add([row[index] for row in kept if row[index] is not None and abs(row[index]) <= LARGEST])
        latencies = sorted([row[8] for row in kept if row[8] is not None])
        if latencies:
            self.runs.append(array("d", latencies))
            self.latencies.add([each for each in latencies if each <= LARGEST])
        _count_arms(self.logged_arms, kept)
        scored = [row for row in kept if row[4] is not None and abs(row[4]) <= LARGEST]
        if scored:
            self._add_scored(scored, to_milliseconds)

    def _add_scored(self, rows: Sequence[Any], to_milliseconds: Callable[[Any], int]) -> None:
        counts: Counter[float] = Counter()
        for value, count in Counter([row[4] for row in rows]).items():
            counts[_flushed(value)] += count
        self.values.update(counts)
        highest, lowest = max(counts), min(counts)
        self._note_best(highest, max([row[1] for row in rows if _flushed(row[4]) == highest]))
        self._note_worst(lowest, max([row[1] for row in rows if _flushed(row[4]) == lowest]))
        self.ratings += sum([row[5] or 0 for row in rows])
        times = [row[6] for row in rows if row[6] is not None]
        if times:
            first = to_milliseconds(min(times))
            self.first_scored = first if self.first_scored is None else min(first, self.first_scored)
        _count_arms(self.arms, rows)
        paired = [row for row in rows if row[12] is not None]
        if paired:
            moments = [to_milliseconds(row[0] if row[6] is None else row[6]) for row in paired]
            columns = (
                [row[12] for row in paired],
                [_to_position(moment, row[1]) for moment, row in zip(moments, paired, strict=True)],
                [_flushed(row[4]) for row in paired],
                [_to_float32(row[11]) for row in paired],
                [_to_float32(row[8]) for row in paired],
            )
            self.input_parts.append(Inputs(columns))

    def merge(self, other: "Cell") -> None:
        """Add the logs of another cell."""
        self.logs += other.logs
        self.failed += other.failed
        self.ratings += other.ratings
        self.first_logged = _earlier(self.first_logged, other.first_logged)
        self.first_scored = _earlier(self.first_scored, other.first_scored)
        if other.best and other.worst:
            self._note_best(*other.best)
            self._note_worst(*other.worst)
        for own, others in (
            *((self.values, other.values), (self.categories, other.categories), (self.raters, other.raters)),
            *((self.arms, other.arms), (self.logged_arms, other.logged_arms)),
        ):
            _add_counts(own, others)
        for name in ("cost", "input", "output", "costs", "latencies"):
            getattr(self, name).merge(getattr(other, name))
        self.runs += other.runs
        self.input_parts += other.input_parts

    def percentiles(self, fractions: Sequence[float]) -> list[float | None]:
        """Return percentiles of the latencies, of type 7 as those of `intervals.percentile`; None without any."""
        count = sum(map(len, self.runs))
        if not count:
            return [None] * len(fractions)
        below = [math.floor((count - 1) * fraction) for fraction in fractions]
        ranks = {rank for each in below for rank in (each, min(each + 1, count - 1))}
        at = _select(self.runs, ranks)
        return [
            at[rank] + (at[min(rank + 1, count - 1)] - at[rank]) * ((count - 1) * fraction - rank)
            for rank, fraction in zip(below, fractions, strict=True)
        ]

    @property
    def timed(self) -> int:
        """The number of latencies."""
        return sum(map(len, self.runs))

    def each_inputs(self) -> list[Inputs]:
        """Return the scored logs that have an input, in no order."""
        self.input_parts = [_load_inputs(part) if isinstance(part, bytes) else part for part in self.input_parts]
        return self.input_parts  # type: ignore[return-value]

    def _note_best(self, value: float, seq: int) -> None:
        if self.best is None or (value, seq) > self.best:
            self.best = value, seq

    def _note_worst(self, value: float, seq: int) -> None:
        if self.worst is None or (-value, seq) > (-self.worst[0], self.worst[1]):
            self.worst = value, seq

    def dump(self) -> bytes:
        """Return the cell in a form that `load` reads on any machine: equal bytes for equal logs."""
        head = {
            "logs": [self.logs, self.failed, self.ratings, self.first_logged, self.first_scored],
            "values": sorted(self.values.items()),
            "categories": sorted(self.categories.items()),
            "extremes": [self.best, self.worst],
            "sums": [each.dump() for each in (self.cost, self.input, self.output)],
            "logs_of": [[each.count, each.total, each.squares] for each in (self.costs, self.latencies)],
            "arms": _dump_arms(self.arms),
            "logged_arms": _dump_arms(self.logged_arms),
            "raters": sorted(self.raters.items()),
        }
        text = json.dumps(head, separators=(",", ":")).encode()
        latencies = array("d", sorted(chain.from_iterable(self.runs)))
        main = zlib.compress(_LENGTH.pack(len(text)) + text + _to_bytes(latencies), 1)
        rows = sorted(chain.from_iterable(self.each_inputs()), key=_by_position)
        inputs = zlib.compress(b"".join(map(_to_bytes, Inputs(zip(*rows, strict=True)).columns())), 1) if rows else b""
        return _HEADER.pack(_MAGIC, len(main), len(inputs)) + main + inputs

    @classmethod
    def load(cls, stored: bytes) -> "Cell":
        """Return the cell of which `dump` returned this. Raises ValueError for another form."""
        magic, length, inputs_length = _HEADER.unpack_from(stored)
        if magic != _MAGIC or len(stored) != _HEADER.size + length + inputs_length:
            raise ValueError("This is no cell of this form.")
        main = zlib.decompress(stored[_HEADER.size : _HEADER.size + length])
        (text_length,) = _LENGTH.unpack_from(main)
        end = _LENGTH.size + text_length
        head = json.loads(main[_LENGTH.size : end])
        cell = cls()
        cell.logs, cell.failed, cell.ratings, cell.first_logged, cell.first_scored = head["logs"]
        cell.values = Counter(dict(head["values"]))
        cell.categories = Counter(dict(head["categories"]))
        cell.best, cell.worst = (None if each is None else (each[0], each[1]) for each in head["extremes"])
        cell.cost, cell.input, cell.output = (Sum(*each) for each in head["sums"])
        cell.costs, cell.latencies = (LogSum(*each) for each in head["logs_of"])
        cell.arms, cell.logged_arms = (
            Counter({(arm[0], arm[1]) if arm else None: count for *arm, count in head[name]})
            for name in ("arms", "logged_arms")
        )
        cell.raters = Counter(dict(head["raters"]))
        cell.runs = [latencies] if (latencies := _from_bytes("d", main[end:])) else []
        cell.input_parts = [stored[_HEADER.size + length :]] if inputs_length else []
        return cell


def to_samples(cells: Iterable[tuple[GroupSample, Cell]], inputs_max: int) -> list[GroupSample]:
    """Return the samples of groups, filled in from the cells of these groups.

    A sample comes with its key, weeks, models and versions. Of a group with more inputs, the first `inputs_max` ones
    to be scored are taken: they stay the same ones whatever is scored later. Of inputs that only one group has, nothing
    but their number is compared, and they take no object each.
    """
    samples = [(sample, _first_inputs(cell, inputs_max), cell) for sample, cell in cells]
    seen: set[int] = set()
    shared: set[int] = set()  # keys that at least two groups have
    for _, inputs, _ in samples:
        keys = set(inputs.keys)
        shared |= seen & keys
        seen |= keys
    for sample, inputs, cell in samples:
        sample.first_logged, sample.first_scored = _to_time(cell.first_logged), _to_time(cell.first_scored)
        sample.logs, sample.ratings, sample.values = cell.logs, cell.ratings, dict(cell.values)
        sample.costs, sample.latencies = cell.costs.to_moments(), cell.latencies.to_moments()
        sample.arms, sample.logged_arms = dict(cell.arms), dict(cell.logged_arms)
        sample.raters = dict(cell.raters)
        sample.inputs = _to_scores(inputs, shared)
    return [sample for sample, _, _ in samples]


def _first_inputs(cell: Cell, most: int) -> Inputs:
    """Return the scored logs of a cell up to the first score of the `most`-th input, whatever parts it comes in."""
    merged = Inputs()
    if not most:
        return merged
    firsts: dict[int, int] = {}  # input -> position of its first score
    last = None
    for first, part in sorted(((min(part.positions), part) for part in cell.each_inputs()), key=itemgetter(0)):
        if last is not None and first > last:
            break  # most parts are those of later days
        for own, others in zip(merged.columns(), part.columns(), strict=True):
            own.extend(others)
        for key, position in zip(part.keys, part.positions, strict=True):
            if position < firsts.get(key, _NEVER):
                firsts[key] = position
        if len(firsts) > most:
            last = sorted(firsts.values())[most - 1]
    if last is None:
        return merged
    is_taken = [position <= last for position in merged.positions]
    return Inputs(compress(column, is_taken) for column in merged.columns())


def _to_scores(inputs: Inputs, shared: Set[int]) -> dict[int, InputScore]:
    scores = dict.fromkeys(inputs.keys, _UNPAIRED)
    if len(scores) < len(inputs):
        for key, logs in Counter(inputs.keys).items():
            if logs > 1:
                scores[key] = _UNPAIRED._replace(logs=logs)
    paired: dict[int, tuple[int, int, float, float, float]] = {}
    for row in inputs if shared else ():
        key = row[0]
        if key in shared and (key not in paired or row[1:] < paired[key][1:]):
            paired[key] = row
    for key, (_, position, value, cost, latency) in paired.items():
        scores[key] = InputScore(
            position,
            value,
            None if math.isnan(cost) else cost,
            None if math.isnan(latency) else latency,
            scores[key].logs,
        )
    return scores


def _select(runs: Sequence[Sequence[float]], ranks: set[int]) -> dict[int, float]:
    """Return the values at ranks, counted from 0, of sorted runs of numbers that are not negative.

    Such floats have the same order as the whole numbers with the same bits, and so one of them is found by halving: in
    64 steps, each of which looks up its rank in every run. Of many short runs, sorting all values takes less.
    """
    count = sum(map(len, runs))
    if len(runs) == 1:
        return {rank: runs[0][rank] for rank in ranks}
    if len(runs) * 64 * len(ranks) > count:
        merged = sorted(chain.from_iterable(runs))
        return {rank: merged[rank] for rank in ranks}
    return {rank: _find_rank(runs, rank) for rank in ranks}


def _find_rank(runs: Sequence[Sequence[float]], rank: int) -> float:
    low, high = _to_bits(min(run[0] for run in runs)), _to_bits(max(run[-1] for run in runs))
    while low < high:  # the smallest value that more than `rank` values do not exceed
        middle = (low + high) // 2
        value = _from_bits(middle)
        if sum([bisect_right(run, value) for run in runs]) > rank:
            high = middle
        else:
            low = middle + 1
    return _from_bits(low)


def _to_bits(value: float) -> int:
    bits: int = struct.unpack("<q", struct.pack("<d", value + 0.0))[0]  # + 0.0: of a negative zero, the positive one
    return bits


def _from_bits(bits: int) -> float:
    value: float = struct.unpack("<d", struct.pack("<q", bits))[0]
    return value


def _flushed(value: float) -> float:
    return value if abs(value) >= _SMALLEST else 0.0


def _to_position(moment: int, seq: int) -> int:
    return min(max(moment, 0), _LAST_MOMENT) << _SEQ_BITS | seq & (1 << _SEQ_BITS) - 1


def _to_float32(value: float | None) -> float:
    return _NAN if value is None or not 0 < value < _FLOAT32_MAX else value


def _count_arms(counts: Counter[Arm | None], rows: Sequence[Any]) -> None:
    for (experiment_id, variant_key), count in Counter([(row[13], row[14]) for row in rows]).items():
        counts[(experiment_id, variant_key) if experiment_id and variant_key else None] += count


def _dump_arms(counts: Counter[Arm | None]) -> list[list[Any]]:
    return [[*(arm or ()), count] for arm, count in sorted(counts.items(), key=lambda item: item[0] or ())]


def _add_counts(own: Counter[Any], others: Counter[Any]) -> None:
    for key, count in others.items():  # Counter.update takes longer for few keys
        own[key] += count


def _earlier(first: int | None, second: int | None) -> int | None:
    if first is None or second is None:
        return second if first is None else first
    return min(first, second)


def _by_position(row: tuple[int, int, float, float, float]) -> tuple[int, int, float]:
    return row[1], row[0], row[2]


def _to_time(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else _EPOCH + timedelta(milliseconds=milliseconds)


def _to_bytes(values: "array[Any]") -> bytes:
    if sys.byteorder == "big":
        values = values[:]
        values.byteswap()
    return values.tobytes()


def _from_bytes(code: str, stored: bytes) -> "array[Any]":
    values = array(code, stored)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def _load_inputs(stored: bytes) -> Inputs:
    content = zlib.decompress(stored)
    sizes = [array(code).itemsize for code in Inputs.TYPES]
    count, columns, start = len(content) // sum(sizes), [], 0
    for code, size in zip(Inputs.TYPES, sizes, strict=True):
        columns.append(_from_bytes(code, content[start : start + count * size]))
        start += count * size
    return Inputs(columns)
