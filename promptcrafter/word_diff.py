"""The differences between texts, word by word. Pure functions with a bounded running time.

Lines that both texts have in common are found first, then common sentences in the sections between them, then common
words. A word ends with the white space after it, or before ASCII punctuation; in scripts that put no spaces between
words, each character is a word.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from promptcrafter.matching import MIN_STEPS, Budget, count_common_prefix, match
from promptcrafter.text import EAST_ASIAN_SYMBOLS, SPACELESS_SCRIPTS

_SINGLE = rf"!-/:-@\[-`{{-~{SPACELESS_SCRIPTS}{EAST_ASIAN_SYMBOLS}"  # characters that are words on their own
_UNITS = (  # lines, sentences, words
    re.compile(r"[^\n]*\n+|[^\n]+"),
    re.compile(r"[^.!?。！？]*[.!?。！？]+\s*|[^.!?。！？]+"),
    re.compile(rf"[^\s{_SINGLE}]+\s*|[{_SINGLE}]\s*|\s+"),
)
_WORD_BOUNDARY = re.compile(rf"[\s{_SINGLE}]")
_MAX_PARTS = 40_000  # per text; a text with more is not split
_MAX_STEPS = 1_000_000  # to find runs, per call of `compare`: about half a second


class Change(NamedTuple):
    """A piece of text; `op` is `equal` (in both texts), `delete` (in the first one) or `insert` (in the second one)."""

    op: str
    text: str


def compare(before: str, others: Sequence[str], *, share: int = 1) -> list[list[Change]]:
    """Return the changes from `before` to each of the other texts.

    `share` is the number of calls that one answer makes: they divide the steps.

    The equal and deleted pieces make up `before`, the equal and inserted ones the other text. Where texts are too large
    or too repetitive to find common words within the bound of steps, a section is replaced as a whole.
    """
    return [
        list(_join(_change(before, after, _UNITS, Budget(_MAX_STEPS // (len(others) * share))))) for after in others
    ]


def find_equal_share(changes: Iterable[Change]) -> float:
    """Return which share of the words of the longer text both texts have in common, from 0 to 1."""
    counts = {"equal": 0, "delete": 0, "insert": 0}
    for change in changes:
        counts[change.op] += len(change.text.split())
    longest = counts["equal"] + max(counts["delete"], counts["insert"])
    return counts["equal"] / longest if longest else 1.0


def _change(before: str, after: str, units: Sequence[re.Pattern[str]], budget: Budget) -> Iterator[Change]:
    """Yield changes, some with empty texts.

    Parts are matched by the first of the units, and the texts between them by the remaining units.
    """
    budget.steps -= MIN_STEPS
    if budget.steps <= 0:
        yield from (Change("delete", before), Change("insert", after))
        return
    head = _count_common_words(before, after)
    yield Change("equal", before[:head])
    before, after = before[head:], after[head:]
    tail = _count_common_words(before[::-1], after[::-1])
    suffix, before, after = before[len(before) - tail :], before[: len(before) - tail], after[: len(after) - tail]
    parts, other_parts = (_split(text, units[0]) if units else [] for text in (before, after))
    if parts and other_parts:
        # trailing white space is ignored
        words, other_words = ([part.rstrip() for part in side] for side in (parts, other_parts))
        pairs = match(words, other_words, budget)
        for piece, other_piece, is_pair in _iterate(parts, other_parts, pairs):
            if piece == other_piece:
                yield Change("equal", piece)
            else:  # the parts of a pair differ only in the white space at their end
                yield from _change(piece, other_piece, () if is_pair else units[1:], budget)
    else:
        yield from (Change("delete", before), Change("insert", after))
    yield Change("equal", suffix)


def _count_common_words(left: str, right: str) -> int:
    """Return the length of the longest common prefix of two texts that ends at a word boundary."""
    count = count_common_prefix(left, right)
    if all(count == len(text) or _WORD_BOUNDARY.match(text, count) for text in (left, right)):
        return count
    boundary = _WORD_BOUNDARY.search(left[:count][::-1])
    return count - boundary.start() if boundary else 0


def _split(text: str, unit: re.Pattern[str]) -> list[str]:
    """Return the parts of a text; an empty list if there are more than the limit."""
    parts = [match[0] for match in islice(unit.finditer(text), _MAX_PARTS + 1)]
    return parts if len(parts) <= _MAX_PARTS else []


def _iterate(
    before: Sequence[str], after: Sequence[str], pairs: Iterable[tuple[int, int]]
) -> Iterator[tuple[str, str, bool]]:
    """Yield, for each pair, the texts of both sides before it, with False, and the texts of the pair, with True."""
    start = other_start = 0
    for index, other in pairs:
        yield "".join(before[start:index]), "".join(after[other_start:other]), False
        yield before[index], after[other], True
        start, other_start = index + 1, other + 1
    yield "".join(before[start:]), "".join(after[other_start:]), False


def _join(changes: Iterable[Change]) -> Iterator[Change]:
    """Merge adjacent changes: two equal pieces have at most one deleted and then one inserted piece between them."""
    pieces: dict[str, list[str]] = {"equal": [], "delete": [], "insert": []}
    was_equal = False
    for op, text in changes:
        if not text:
            continue
        if (op == "equal") is not was_equal:
            yield from _take(pieces)
            was_equal = not was_equal
        pieces[op].append(text)
    yield from _take(pieces)


def _take(pieces: dict[str, list[str]]) -> Iterator[Change]:
    """Yield one change for each operation that has pieces of text, and remove these."""
    for op, texts in pieces.items():
        if texts:
            yield Change(op, "".join(texts))
            texts.clear()
