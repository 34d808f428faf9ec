"""What one text has that another has not, word by word. Pure functions, whose work has a bound.

Lines that both have are found first, then sentences in the stretches between, then words. A word ends at white space,
which belongs to it, and at ASCII punctuation; in scripts without space between words it is a character.
"""

import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import groupby, islice
from typing import NamedTuple

from promptcrafter.text import EAST_ASIAN_SYMBOLS, SPACELESS_SCRIPTS

_UNSPACED = SPACELESS_SCRIPTS + EAST_ASIAN_SYMBOLS
_SINGLE = rf"!-/:-@\[-`{{-~{_UNSPACED}"
_UNITS = (
    re.compile(r"[^\n]*\n+|[^\n]+"),
    re.compile(r"[^.!?。！？]*[.!?。！？]+\s*|[^.!?。！？]+"),
    re.compile(rf"[^\s{_SINGLE}]+\s*|[{_SINGLE}]\s*|\s+"),
)
_BORDER = re.compile(rf"[\s{_SINGLE}]")
_MOST_PARTS = 40_000  # of a text
_STEPS = 2_000_000  # of finding runs, for one text against all others: less than half a second
_STEPS_AT_LEAST = 100  # for a stretch, however short, and for a run in it
_SHARE = 8  # of what is left of them, how small a part may go into one run


class Change(NamedTuple):
    """A piece of text, and whether both texts have it (`equal`), only the first (`delete`) or the second (`insert`)."""

    op: str
    text: str


@dataclass
class _Budget:
    """How many steps may still be taken."""

    steps: int


def compare(before: str, others: Sequence[str]) -> list[list[Change]]:
    """Return the way from a text to each of the others.

    Equal and deleted pieces make up the first text, equal and inserted ones the other. Where texts are too large, or
    too much alike within themselves, to find their common words in time, a stretch is replaced as a whole.
    """
    return [list(_join(_change(before, after, _UNITS, _Budget(_STEPS // len(others))))) for after in others]


def _change(before: str, after: str, units: Sequence[re.Pattern[str]], budget: _Budget) -> Iterator[Change]:
    """Yield changes, some of them empty: by the first of the units, and between what it finds by the others."""
    budget.steps -= _STEPS_AT_LEAST
    if budget.steps <= 0:
        yield from (Change("delete", before), Change("insert", after))
        return
    head = _count_common(before, after)
    yield Change("equal", before[:head])
    before, after = before[head:], after[head:]
    tail = _count_common(before[::-1], after[::-1])
    rest, before, after = before[len(before) - tail :], before[: len(before) - tail], after[: len(after) - tail]
    parts, other_parts = (_split(text, units[0]) if units else [] for text in (before, after))
    if parts and other_parts:
        pairs = _match(parts, other_parts, budget)
        for piece, other_piece, is_pair in _walk(parts, other_parts, pairs):
            if piece == other_piece:
                yield Change("equal", piece)
            else:  # of a pair, only the white space behind
                yield from _change(piece, other_piece, () if is_pair else units[1:], budget)
    else:
        yield from (Change("delete", before), Change("insert", after))
    yield Change("equal", rest)


def _count_common(one: str, other: str) -> int:
    """Return how many characters two texts begin with in common, up to the end of a word."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[low:middle] == other[low:middle] else (low, middle - 1)
    if all(low == len(text) or _BORDER.match(text, low) for text in (one, other)):
        return low
    border = _BORDER.search(one[:low][::-1])
    return low - border.start() if border else 0


def _split(text: str, unit: re.Pattern[str]) -> list[str]:
    """Return the parts of a text; none when they are too many."""
    parts = [match[0] for match in islice(unit.finditer(text), _MOST_PARTS + 1)]
    return parts if len(parts) <= _MOST_PARTS else []


def _match(before: Sequence[str], after: Sequence[str], budget: _Budget) -> list[tuple[int, int]]:
    """Return the places in both of parts that both have, in their order. White space behind a part is nothing.

    The longest runs of the largest stretches come first. There is none in a stretch when too few steps are left.
    """
    words, other_words = ([part.rstrip() for part in parts] for parts in (before, after))
    stretches = deque([(0, len(words), 0, len(other_words))])
    pairs = []
    while stretches:
        start, end, other_start, other_end = stretches.popleft()
        run = _find_run(words[start:end], other_words[other_start:other_end], budget)
        found = [(start + place, other_start + other) for place, other in run]
        for place, other in found:
            stretches.append((start, place, other_start, other))
            start, other_start = place + 1, other + 1
        if found:
            stretches.append((start, end, other_start, other_end))
            pairs += found
    return sorted(pairs)


def _find_run(words: Sequence[str], other_words: Sequence[str], budget: _Budget) -> list[tuple[int, int]]:
    """Return the places of the longest run; none when too little is left of the budget.

    Words so frequent that they would take a large part of it are passed over, and may stand anywhere in the run.
    """
    if not words or not other_words or len(words) + len(other_words) > budget.steps:
        return []
    counts, other_counts = Counter(words), Counter(other_words)
    cost = Counter({word: counts[word] * other_counts[word] for word in counts.keys() & other_counts.keys()})
    total, limit = cost.total(), budget.steps // _SHARE
    for word, steps in cost.most_common() if total > limit else ():
        del cost[word]
        total -= steps
        if total <= limit:
            break
    budget.steps -= _STEPS_AT_LEAST + len(words) + len(other_words) + total
    places, other_places = ([n for n, word in enumerate(some) if word in cost] for some in (words, other_words))
    sides = [words[n] for n in places], [other_words[n] for n in other_places]
    start, other_start, size = SequenceMatcher(None, *sides, autojunk=False).find_longest_match()
    return list(zip(places[start : start + size], other_places[other_start : other_start + size], strict=True))


def _walk(
    before: Sequence[str], after: Sequence[str], pairs: Iterable[tuple[int, int]]
) -> Iterator[tuple[str, str, bool]]:
    """Yield in their order what stands in both before each pair, and the pair."""
    start = other_start = 0
    for place, other in pairs:
        yield "".join(before[start:place]), "".join(after[other_start:other]), False
        yield before[place], after[other], True
        start, other_start = place + 1, other + 1
    yield "".join(before[start:]), "".join(after[other_start:]), False


def _join(changes: Iterable[Change]) -> Iterator[Change]:
    """Put neighbours together: between two equal pieces at most one that is deleted, then one that is inserted."""
    filled = (change for change in changes if change.text)
    for is_equal, run in groupby(filled, key=lambda change: change.op == "equal"):
        together = list(run)
        for op in ("equal",) if is_equal else ("delete", "insert"):
            text = "".join(change.text for change in together if change.op == op)
            if text:
                yield Change(op, text)
