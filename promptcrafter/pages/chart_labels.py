"""Where the labels of points stand, so that they cover neither each other nor the points nor lines. Pure functions."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

_HEIGHT = 15  # of a label
_GAP = 4  # between a point and its label
_LABELS_MAX = 40  # of more points the first ones have labels, and of very many none: each is compared with all others
_POINTS_MAX = 200

Place = tuple[float, float]


class Label(NamedTuple):
    """The label of a round point; `width` is that of the text."""

    text: str
    x: float
    y: float
    radius: float
    width: float


class Box(NamedTuple):
    """A rectangle."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: "Box") -> bool:
        """Return whether the two have more than an edge in common."""
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )

    def contains(self, other: "Box") -> bool:
        """Return whether the other one is wholly inside."""
        return (
            self.left <= other.left
            and other.right <= self.right
            and self.top <= other.top
            and other.bottom <= self.bottom
        )

    def is_crossed(self, start: Place, end: Place) -> bool:
        """Return whether a line between two places crosses the box (by clipping the line at the four edges)."""
        low, high = 0.0, 1.0
        for begin, change, least, most in (
            (start[0], end[0] - start[0], self.left, self.right),
            (start[1], end[1] - start[1], self.top, self.bottom),
        ):
            if change == 0:
                if not least < begin < most:
                    return False
                continue
            first, last = sorted(((least - begin) / change, (most - begin) / change))
            low, high = max(low, first), min(high, last)
        return low < high


def place_labels(
    labels: Sequence[Label], lines: Sequence[tuple[Place, Place]], plot: Box
) -> Iterator[tuple[Label, Box]]:
    """Yield the labels that have a free place inside the plot, each with it: the first of those around its point."""
    if len(labels) > _POINTS_MAX:
        return
    points = [
        Box(each.x - each.radius, each.y - each.radius, each.x + each.radius, each.y + each.radius) for each in labels
    ]
    taken: list[Box] = []
    for label in labels[:_LABELS_MAX]:
        for place in _each_place(label):
            is_free = (
                plot.contains(place)
                and not any(place.overlaps(other) for other in (*points, *taken))
                and not any(place.is_crossed(*line) for line in lines)
            )
            if is_free:
                taken.append(place)
                yield label, place
                break


def _each_place(label: Label) -> Iterator[Box]:
    """Yield the places beside, above and below a point, then those farther away, nearer ones first."""
    for farther in (0, 8, 16):
        right, left = label.x + label.radius + _GAP + farther, label.x - label.radius - _GAP - farther - label.width
        above, below = label.y - label.radius - _GAP - _HEIGHT - farther, label.y + label.radius + _GAP + farther
        centre, middle = label.x - label.width / 2, label.y - _HEIGHT / 2
        diagonal = label.radius * 0.7
        for x, y in (
            *((right, middle), (left, middle), (centre, above), (centre, below)),
            *((right - diagonal, above + diagonal), (right - diagonal, below - diagonal)),
            *((left + diagonal, above + diagonal), (left + diagonal, below - diagonal)),
        ):
            yield Box(x, y, x + label.width, y + _HEIGHT)
