"""Cells: merging the cells of parts gives that of the whole, and a stored cell is the same again."""

import math
import random
import statistics
from datetime import UTC, datetime
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptcrafter.statistics.cells import Cell, Row, to_samples
from promptcrafter.statistics.intervals import percentile
from promptcrafter.statistics.samples import GroupSample, InputScore

NUMBERS = st.none() | st.floats(0, 1e12) | st.sampled_from([0.1, 0.2, 0.3, 1e100, 1e300])
LOGS = st.lists(
    st.builds(
        Row,
        created_at=st.integers(0, 10**13),
        seq=st.integers(1, 10**9),
        version=st.just(1),
        model=st.just("m"),
        value=st.none() | st.sampled_from([0.0, 1e-300, 7.5, 8.0, 10.0, 1e200]),
        ratings=st.integers(1, 3),
        scored_at=st.none() | st.integers(0, 10**13),
        status=st.sampled_from([None, None, "error"]),
        latency=NUMBERS,
        input_tokens=NUMBERS,
        output_tokens=NUMBERS,
        cost=NUMBERS,
        input_key=st.none() | st.integers(-2, 2) | st.integers(-(2**63), 2**63 - 1),
        experiment_id=st.sampled_from([None, "exp_1"]),
        variant_key=st.sampled_from(["a", "b"]),
    ),
    max_size=25,
    unique_by=lambda row: row.seq,
)


def cell_of(rows: list[Row]) -> Cell:
    cell = Cell()
    cell.add(rows)
    return cell


def a_row(seq: int, **values: object) -> Row:
    unknown = dict.fromkeys(Row._fields)
    return Row(**{**unknown, "created_at": seq, "seq": seq, **values})  # type: ignore[arg-type]


@given(LOGS, st.lists(st.integers(0, 4), min_size=25, max_size=25), st.randoms(use_true_random=False))
def test_parts_in_any_order_give_the_whole_to_the_last_digit(
    rows: list[Row], parts: list[int], shuffling: random.Random
) -> None:
    cells = [cell_of([row for row, each in zip(rows, parts, strict=False) if each == part]) for part in range(5)]
    shuffling.shuffle(cells)
    merged = Cell()
    for cell in cells:
        merged.merge(Cell.load(cell.dump()) if shuffling.random() < 0.5 else cell)
    whole = cell_of(rows)
    assert merged.dump() == whole.dump()
    assert merged.percentiles([0.5, 0.95]) == whole.percentiles([0.5, 0.95])


@given(LOGS)
def test_a_stored_cell_is_the_same_again(rows: list[Row]) -> None:
    stored = cell_of(rows).dump()
    assert Cell.load(stored).dump() == stored
    with pytest.raises(ValueError):
        Cell.load(b"PC\x00" + stored[3:])


@given(LOGS)
def test_a_cell_has_the_figures_of_its_logs(rows: list[Row]) -> None:
    cell = cell_of(rows)
    kept = [row for row in rows if row.status is None]
    costs = [row.cost for row in kept if row.cost is not None and row.cost <= 1e100]
    latencies = sorted(row.latency for row in kept if row.latency is not None)
    values = [0.0 if row.value < 1e-100 else row.value for row in kept if row.value is not None and row.value <= 1e100]
    assert (cell.logs, cell.failed, cell.timed) == (len(kept), len(rows) - len(kept), len(latencies))
    assert (cell.cost.count, cell.cost.total) == (len(costs), float(sum(map(Fraction, map(repr, costs)))))
    assert sorted(cell.values.elements()) == sorted(values)
    assert (cell.best and cell.best[0]) == max(values, default=None)
    assert (cell.worst and cell.worst[0]) == min(values, default=None)
    if latencies:
        assert cell.percentiles([0.5, 0.95]) == [percentile(latencies, 0.5), percentile(latencies, 0.95)]
    logarithms = [math.log(cost) for cost in costs if cost > 0]
    moments = cell.costs.to_moments()
    assert moments.count == len(logarithms)
    if len(logarithms) > 1:
        assert moments.mean == pytest.approx(statistics.fmean(logarithms), abs=1e-7)
        assert moments.variance == pytest.approx(statistics.variance(logarithms), rel=1e-5, abs=1e-6)


def test_percentiles_of_long_runs_are_exact() -> None:
    chance = random.Random(1)
    runs = [[chance.choice((0.0, -0.0, 1.0, chance.lognormvariate(5, 3))) for _ in range(1000)] for _ in range(3)]
    cell = Cell()
    for run in runs:
        cell.merge(cell_of([a_row(seq, latency=each) for seq, each in enumerate(run)]))
    together = sorted(each for run in runs for each in run)
    fractions = [0.0, 0.1, 0.5, 0.95, 1.0]
    assert cell.percentiles(fractions) == [percentile(together, fraction) for fraction in fractions]


def test_equal_costs_do_not_vary() -> None:
    cell = cell_of([a_row(seq, cost=0.0123) for seq in range(1000)])
    assert cell.costs.to_moments().variance == 0


def test_inputs_that_two_groups_have_are_compared_by_their_first_scored_log() -> None:
    both, first_only = 5, 6
    a = cell_of(
        [
            a_row(1, value=3.0, scored_at=200, input_key=both, cost=0.5),
            a_row(2, value=4.0, scored_at=100, input_key=both, latency=250.0),
            a_row(3, value=9.0, scored_at=300, input_key=first_only),
        ]
    )
    b = cell_of([a_row(4, value=7.0, scored_at=400, input_key=both), a_row(5, input_key=both)])
    of_a, of_b = to_samples([(GroupSample({"version": 1}), a), (GroupSample({"version": 2}), b)], 20_000)
    assert of_a.inputs[both] == InputScore((100 << 21) | 2, 4.0, None, 250.0, 2)
    assert of_b.inputs == {both: InputScore((400 << 21) | 4, 7.0)}
    assert len(of_a.inputs) == 2
    assert of_a.inputs[first_only].logs == 1
    assert (of_a.first_scored, of_a.logs, of_a.scored) == (datetime(1970, 1, 1, 0, 0, 0, 100_000, UTC), 3, 3)


def test_of_too_many_inputs_those_scored_first_are_compared() -> None:
    cells = [cell_of([a_row(seq, value=5.0, scored_at=100 - seq, input_key=seq) for seq in range(50)])] * 2
    samples = to_samples(zip((GroupSample({}), GroupSample({})), cells, strict=True), 20)
    assert [sorted(sample.inputs) for sample in samples] == [list(range(30, 50))] * 2
    in_parts = Cell()
    for seq in (49, 3, 31, 30, 29, *range(32, 49), 31):
        in_parts.merge(cell_of([a_row(seq, value=5.0, scored_at=100 - seq, input_key=seq)]))
    (sample,) = to_samples([(GroupSample({}), in_parts)], 20)
    assert {key: score.logs for key, score in sample.inputs.items()} == {**dict.fromkeys(range(30, 50), 1), 31: 2}
