"""The tree of a trace: which step is inside of which, however little of it there is."""

from datetime import UTC, datetime, timedelta

from promptcrafter.traces.tree import Link, arrange

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def link(seq: int, span_id: str | None, parent_id: str | None, second: int | None = None) -> Link:
    start = None if second is None else BEGIN + timedelta(seconds=second)
    return Link(False, seq, span_id, parent_id, start)


def places(*links: Link) -> list[tuple[int, int]]:
    return [(place.seq, place.depth) for place in arrange(links)]


def test_each_node_stands_before_those_inside_of_it_in_the_order_in_which_they_began() -> None:
    found = places(link(1, "c", "a", 3), link(2, "b", "a", 1), link(3, "a", None, 0), link(4, "d", "b"))
    assert found == [(3, 0), (2, 1), (4, 2), (1, 1)]


def test_nodes_without_a_time_come_last_in_the_order_of_their_arrival() -> None:
    assert places(link(1, "a", None), link(2, "b", None), link(3, "c", None, 5)) == [(3, 0), (1, 0), (2, 0)]


def test_a_node_whose_parent_is_missing_is_at_the_top() -> None:
    assert places(link(1, "b", "a"), link(2, "c", "b")) == [(1, 0), (2, 1)]


def test_nodes_that_are_their_own_parent_or_in_a_circle_are_shown_once() -> None:
    assert places(link(1, "a", "a")) == [(1, 0)]
    assert places(link(1, "a", "c"), link(2, "b", "a"), link(3, "c", "b"), link(4, "d", "b")) == [
        (1, 0),
        (2, 1),
        (3, 2),
        (4, 2),
    ]


def test_of_nodes_with_one_id_the_first_is_the_parent() -> None:
    assert places(link(1, "a", None), link(2, "a", None), link(3, "b", "a")) == [(1, 0), (3, 1), (2, 0)]
    assert places(link(1, None, None), link(2, None, "")) == [(1, 0), (2, 0)]


def test_a_tree_may_be_deep_and_wide() -> None:
    deep = places(*(link(number, str(number), str(number - 1)) for number in range(10_000)))
    assert deep[-1] == (9_999, 9_999)
    assert len(places(*(link(number, str(number), "0") for number in range(100_000)))) == 100_000
