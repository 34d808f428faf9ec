"""The parts, such as lines or words, that two sequences have in common, found within a bounded number of steps."""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

MIN_STEPS = 100  # counted for each search for a run, however short
_STEPS_PER_PART = 3  # counted for each part of a section that is searched
_FEW_PARTS = 10  # of a section, both sides together
_DIVISOR = 8  # a search for a run may take at most 1/8 of the remaining steps


@dataclass
class Budget:
    """The number of steps that remain, and whether there were too few of them to match all parts of a section."""

    steps: int
    is_exceeded: bool = False


def count_common_prefix(left: str, right: str) -> int:
    """Return the length of the longest common prefix of two texts, found by bisection: slices are compared fast."""
    low, high = 0, min(len(left), len(right))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if left[low:middle] == right[low:middle] else (low, middle - 1)
    return low


def match(before: Sequence[str], after: Sequence[str], budget: Budget) -> list[tuple[int, int]]:
    """Return the index pairs of parts that both sequences have in common, ascending.

    Like `difflib.SequenceMatcher`, find the longest run of common parts, then the longest ones before and after it, and
    so on. Sections are processed breadth-first, and one for which too few steps remain has no pairs.
    """
    sections = deque([(0, len(before), 0, len(after))])
    pairs = []
    while sections:
        start, end, other_start, other_end = sections.popleft()
        run = _find_run(before[start:end], after[other_start:other_end], budget)
        new_pairs = [(start + index, other_start + other) for index, other in run]
        for index, other in new_pairs:
            sections.append((start, index, other_start, other))
            start, other_start = index + 1, other + 1
        if new_pairs:
            sections.append((start, end, other_start, other_end))
            pairs += new_pairs
    return sorted(pairs)


def _find_run(parts: Sequence[str], other_parts: Sequence[str], budget: Budget) -> list[tuple[int, int]]:
    """Return the index pairs of the longest run of common parts; an empty list if too few steps remain.

    The most frequent parts are ignored if matching them would take too many of the remaining steps. They may then
    interrupt the run.
    """
    if not parts or not other_parts:
        return []
    if len(parts) + len(other_parts) <= _FEW_PARTS and set(parts).isdisjoint(other_parts):
        return []  # without counting steps: all such sections together are no more than the texts
    steps_to_count = MIN_STEPS + _STEPS_PER_PART * (len(parts) + len(other_parts))
    if steps_to_count > budget.steps:
        budget.is_exceeded = True
        return []
    if set(parts).isdisjoint(other_parts):
        budget.steps -= steps_to_count
        return []
    counts, other_counts = Counter(parts), Counter(other_parts)
    cost = Counter({part: counts[part] * other_counts[part] for part in counts if part in other_counts})
    total, limit = cost.total(), budget.steps // _DIVISOR
    for part, steps in cost.most_common() if total > limit else ():
        del cost[part]
        total -= steps
        if total <= limit:
            break
    if not cost:
        budget.is_exceeded = True
    budget.steps -= steps_to_count + total
    indices, other_indices = ([n for n, part in enumerate(side) if part in cost] for side in (parts, other_parts))
    sides = [parts[n] for n in indices], [other_parts[n] for n in other_indices]
    start, other_start, size = SequenceMatcher(None, *sides, autojunk=False).find_longest_match()
    return list(zip(indices[start : start + size], other_indices[other_start : other_start + size], strict=True))
