"""The tree of a trace: which step is inside of which, and in what order they began. Pure functions.

Clients send steps in any order, and perhaps not all of them. So a tree is shown as far as it has come: a step whose
parent is not there is at the top, and so is the first of steps that claim to be inside of each other.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

SHOWN_MAX = 10_000  # nodes of a response
READ_MAX = 100_000  # nodes that are arranged; of larger traces spans come before logs, see `store.get_links`


class Link(NamedTuple):
    """A node of a tree: a log or another step. `seq` is the sequence number of its row, `parent_id` a client's id."""

    is_log: bool
    seq: int
    span_id: str | None
    parent_id: str | None
    start: datetime | None


class Place(NamedTuple):
    """Where a node is in its tree: in how many others it is."""

    is_log: bool
    seq: int
    depth: int


def arrange(links: Sequence[Link]) -> list[Place]:
    """Return the places of all nodes, in the order in which a tree is read: each before those inside of it.

    Nodes inside of the same one are in the order in which they began, those without a time last. If several have one
    id, the first of them is the parent that this id names.
    """
    by_id: dict[str, int] = {}
    for number, link in enumerate(links):
        if link.span_id is not None:
            by_id.setdefault(link.span_id, number)
    tops: list[int] = []
    inside: dict[int, list[int]] = {}
    for number in sorted(range(len(links)), key=lambda number: _begin(links[number])):
        parent = by_id.get(links[number].parent_id or "")
        if parent is None or parent == number:
            tops.append(number)
        else:
            inside.setdefault(parent, []).append(number)
    places: list[Place] = []
    seen: set[int] = set()
    for top in (*tops, *range(len(links))):  # after the tops, only cycles and what is inside of them are left
        pending = [(top, 0)]
        while pending:
            number, depth = pending.pop()
            if number not in seen:
                seen.add(number)
                places.append(Place(links[number].is_log, links[number].seq, depth))
                pending += [(child, depth + 1) for child in reversed(inside.get(number, ()))]
    return places


def _begin(link: Link) -> tuple[bool, datetime | None]:
    return (link.start is None, link.start)
