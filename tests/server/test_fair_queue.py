"""Who waits for a thread waits behind one request of each other client at most."""

from types import SimpleNamespace
from typing import Any

from promptcrafter.server.fair_queue import FairQueue


def waiting(name: str) -> Any:
    return SimpleNamespace(client=name[0], name=name)


def test_clients_take_turns_and_each_keeps_its_order() -> None:
    queue = FairQueue()
    for name in ("a1", "a2", "a3", "a4", "b1", "c1", "b2"):
        queue.append(waiting(name))
    assert len(queue) == 7
    taken: list[Any] = [queue.pop() for _ in range(7)]
    assert [each.name for each in taken] == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]
    assert len(queue) == 0
    assert queue.pop() is None


def test_a_connection_that_waits_can_be_removed_once() -> None:
    queue = FairQueue()
    first, second, other = map(waiting, ("a1", "a2", "b1"))
    for each in (first, second):
        queue.append(each)
    assert not queue.discard(other)
    assert queue.discard(first)
    assert not queue.discard(first)
    assert len(queue) == 1
    assert queue.discard(second)
    assert (len(queue), queue.pop()) == (0, None)
