"""The unified diff of two texts, line by line. Pure functions with a bounded running time.

What both texts begin and end with is set aside, then common lines are matched by `matching.match`. If that takes too
many steps, those lines are matched that both texts have once, and the equal lines next to them. In texts of very many
lines, everything between their common beginning and their common end is replaced.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from promptcrafter.matching import Budget, count_common_prefix, match

_MAX_STEPS = 300_000
_MAX_LINES = 50_000  # of both texts together, without those at their beginnings and ends that are equal
_CONTEXT = 3  # equal lines that are shown before and after a change

_Pairs = list[tuple[int, int]]


class Diff(NamedTuple):
    """A unified diff, empty if the texts are equal, and whether lines in it may be removed and added needlessly."""

    text: str
    is_simplified: bool


class _Block(NamedTuple):
    """Lines of a hunk with the same sign in front of them, without the line break at the end."""

    sign: str
    length: int
    text: str


class _Change(NamedTuple):
    """The lines from `start` to before `end` are replaced by those from `other_start` to before `other_end`."""

    start: int
    end: int
    other_start: int
    other_end: int


def unified_diff(before: str, after: str, before_name: str, after_name: str) -> Diff:
    """Return the unified diff of two texts by lines, which end at line feeds only."""
    if before == after:
        return Diff("", False)
    head, old, new, tail = _split_off_common(f"{before}\n", f"{after}\n")
    leading, trailing = _lines(head)[-_CONTEXT:], _lines(tail)[:_CONTEXT]
    start = head.count("\n") - len(leading)
    count, other_count = old.count("\n"), new.count("\n")
    if count + other_count > _MAX_LINES:
        changed = _Block("-", count, old[:-1]), _Block("+", other_count, new[:-1])
        hunks = [_write_hunk(start, start, [_block(" ", leading), *changed, _block(" ", trailing)])]
        is_simplified = min(count, other_count) > 0
    else:
        lines, other_lines = _lines(old), _lines(new)
        pairs, is_simplified = _match(lines, other_lines)
        changes = list(_invert(pairs, count, other_count, len(leading)))
        lines, other_lines = ([*leading, *side, *trailing] for side in (lines, other_lines))
        hunks = list(_write_hunks(lines, other_lines, changes, start))
    return Diff("\n".join([f"--- {before_name}", f"+++ {after_name}", *hunks]), is_simplified)


def _lines(text: str) -> list[str]:
    """Return the lines of a text that is empty or ends with a line break."""
    return text[:-1].split("\n") if text else []


def _split_off_common(before: str, after: str) -> tuple[str, str, str, str]:
    """Return the lines that both texts begin with, what each text has after them, and the lines that both end with.

    Each line, the last one as well, ends with a line break.
    """
    head = before.rfind("\n", 0, count_common_prefix(before, after)) + 1
    before, after, common = before[head:], after[head:], before[:head]
    tail = count_common_prefix(before[::-1], after[::-1])
    # where a common end begins within a line, it is cut at the end of that line
    end = len(before) - tail
    if tail and any(len(side) > tail and side[-tail - 1] != "\n" for side in (before, after)):
        end = before.index("\n", end) + 1
    return common, before[:end], after[: len(after) - len(before) + end], before[end:]


def _match(before: Sequence[str], after: Sequence[str]) -> tuple[_Pairs, bool]:
    """Return the index pairs of common lines, ascending, and whether some may be missing."""
    budget = Budget(_MAX_STEPS)
    pairs = match(before, after, budget)
    if budget.is_exceeded:
        pairs = max(pairs, _extend(_match_unique(before, after), before, after), key=len)
    return pairs, budget.is_exceeded


def _match_unique(before: Sequence[str], after: Sequence[str]) -> _Pairs:
    """Return as many index pairs as possible, in ascending order, of lines that each side has once.

    They are a longest increasing subsequence, found by patience sorting.
    """
    counts, other_counts = Counter(before), Counter(after)
    positions = {line: other for other, line in enumerate(after) if other_counts[line] == counts[line] == 1}
    candidates = [(index, positions[line]) for index, line in enumerate(before) if line in positions]
    ends: list[int] = []  # the smallest `other` that a subsequence of each length ends with
    chosen: list[int] = []  # the candidates that end these
    previous: list[int | None] = []  # the candidate before each one
    for number, (_, other) in enumerate(candidates):
        length = bisect_left(ends, other)
        previous.append(chosen[length - 1] if length else None)
        if length == len(ends):
            ends.append(other)
            chosen.append(number)
        else:
            ends[length], chosen[length] = other, number
    pairs = []
    last = chosen[-1] if chosen else None
    while last is not None:
        pairs.append(candidates[last])
        last = previous[last]
    return pairs[::-1]


def _extend(anchors: _Pairs, before: Sequence[str], after: Sequence[str]) -> _Pairs:
    """Add to index pairs the pairs of equal lines right after each of them, and then those right before the next."""
    pairs: _Pairs = []
    start = other_start = 0
    for end, other_end in (*anchors, (len(before), len(after))):
        while start < end and other_start < other_end and before[start] == after[other_start]:
            pairs.append((start, other_start))
            start, other_start = start + 1, other_start + 1
        size = 0
        while (
            start < end - size
            and other_start < other_end - size
            and before[end - size - 1] == after[other_end - size - 1]
        ):
            size += 1
        pairs += zip(range(end - size, end + 1), range(other_end - size, other_end + 1), strict=True)
        start, other_start = end + 1, other_end + 1
    return pairs[:-1]  # without the ends of both sides


def _invert(pairs: _Pairs, count: int, other_count: int, offset: int) -> Iterator[_Change]:
    """Yield the changes between the pairs, with `offset` added to all their numbers."""
    start = other_start = 0
    for end, other_end in (*pairs, (count, other_count)):
        if start < end or other_start < other_end:
            yield _Change(start + offset, end + offset, other_start + offset, other_end + offset)
        start, other_start = end + 1, other_end + 1


def _write_hunks(before: Sequence[str], after: Sequence[str], changes: Sequence[_Change], offset: int) -> Iterator[str]:
    """Yield the hunks of changes; `offset` is the number of lines of both texts before those that are given."""
    for group in _group(changes):
        start = max(group[0].start - _CONTEXT, 0)
        other_start = max(group[0].other_start - _CONTEXT, 0)
        shown, blocks = start, []
        for change in group:
            blocks += [
                _block(" ", before[shown : change.start]),
                _block("-", before[change.start : change.end]),
                _block("+", after[change.other_start : change.other_end]),
            ]
            shown = change.end
        blocks.append(_block(" ", before[shown : shown + _CONTEXT]))
        yield _write_hunk(start + offset, other_start + offset, blocks)


def _group(changes: Sequence[_Change]) -> Iterator[list[_Change]]:
    """Yield the changes of each hunk: those between which all lines are shown."""
    group: list[_Change] = []
    for change in changes:
        if group and change.start - group[-1].end > 2 * _CONTEXT:
            yield group
            group = []
        group.append(change)
    yield group


def _write_hunk(start: int, other_start: int, blocks: Sequence[_Block]) -> str:
    """Return a hunk that begins at these lines, counted from 0."""
    count, other_count = (sum(block.length for block in blocks if block.sign != other) for other in "+-")
    header = f"@@ -{_write_range(start, count)} +{_write_range(other_start, other_count)} @@"
    return "\n".join([header, *(_write_block(block) for block in blocks if block.length)])


def _block(sign: str, lines: Sequence[str]) -> _Block:
    return _Block(sign, len(lines), "\n".join(lines))


def _write_block(block: _Block) -> str:
    return block.sign + block.text.replace("\n", f"\n{block.sign}")


def _write_range(start: int, count: int) -> str:
    """Return lines as a hunk names them: counted from 1; without any, the line before them."""
    return str(start + 1) if count == 1 else f"{start + (count > 0)},{count}"
