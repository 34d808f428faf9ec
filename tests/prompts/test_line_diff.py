"""The unified diff of two texts, line by line."""

import random
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptcrafter.prompts.line_diff import Diff, unified_diff
from tests.support.work import count_calls

RANGE = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
# few lines, so that much of one text is in the other
ALIKE = st.lists(st.sampled_from(["a", "b", "\n", "\n\n", "c\n", "\r", "\u2028", "-", "@@"]), max_size=40).map("".join)


def diff(before: str, after: str) -> Diff:
    return unified_diff(before, after, "1", "2")


def patch(before: str, text: str) -> str:
    """Apply a unified diff; check the numbers of its hunks."""
    if not text:
        return before
    old, new, shown = before.split("\n"), [], 0
    names, lines = text.split("\n")[:2], iter(text.split("\n")[2:])
    assert names == ["--- 1", "+++ 2"]
    for header in lines:
        match = RANGE.fullmatch(header)
        assert match
        start, count, other_start, other_count = (int(number or 1) for number in match.groups())
        new += old[shown : start - bool(count)]
        shown = start - bool(count)
        assert len(new) == other_start - bool(other_count)
        while count or other_count:
            line = next(lines)
            is_old, is_new = line[0] in " -", line[0] in " +"
            assert not is_old or old[shown] == line[1:]
            new += [line[1:]] * is_new
            shown, count, other_count = shown + is_old, count - is_old, other_count - is_new
    return "\n".join(new + old[shown:])


@given(before=ALIKE | st.text(), after=ALIKE | st.text())
def test_a_diff_makes_one_text_of_the_other(before: str, after: str) -> None:
    assert patch(before, diff(before, after).text) == after


@pytest.mark.parametrize(("before", "after"), [("a", "a\n"), ("a\nb", "a\r\nb"), ("a", "a "), ("", "\n"), ("a", "")])
def test_an_invisible_difference_is_in_the_diff(before: str, after: str) -> None:
    assert diff(before, before).text == ""
    assert diff(before, after).text != ""


def test_three_lines_are_shown_around_each_change() -> None:
    before = [f"line {number}" for number in range(1, 31)]
    after = [*before[:9], "new", *before[10:16], *before[17:]]
    assert diff("\n".join(before), "\n".join(after)).text == "\n".join(
        [
            "--- 1",
            "+++ 2",
            "@@ -7,14 +7,13 @@",
            *(f" line {number}" for number in (7, 8, 9)),
            "-line 10",
            "+new",
            *(f" line {number}" for number in range(11, 17)),
            "-line 17",
            *(f" line {number}" for number in (18, 19, 20)),
        ]
    )
    after = ["line 0", *before[:-1]]
    assert diff("\n".join(before), "\n".join(after)).text.split("\n")[2:] == [
        "@@ -1,3 +1,4 @@",
        "+line 0",
        *(f" line {number}" for number in (1, 2, 3)),
        "@@ -27,4 +28,3 @@",
        *(f" line {number}" for number in (27, 28, 29)),
        "-line 30",
    ]


def test_lines_that_a_text_has_once_are_found_after_the_last_step() -> None:
    before = [text for number in range(9000) for text in (f"line {number}", f"old {number}", "")]
    after = [text.replace("old", "new") for text in before[:1000]] + before[4000:]
    result = diff("\n".join(before), "\n".join(after))
    assert patch("\n".join(before), result.text) == "\n".join(after)
    signs = [line[0] for line in result.text.split("\n")[2:]]
    assert signs.count("+") < 400 < 3000 < signs.count("-") < 3400


def some(kinds: int, count: int, seed: int) -> str:
    return "\n".join(f"{number}" for number in random.Random(seed).choices(range(kinds), k=count))


def shuffled(count: int, seed: int) -> str:
    return "\n".join(random.Random(seed).sample([f"line {number}" for number in range(count)], count))


HOSTILE: dict[str, Callable[[], tuple[str, str]]] = {
    "a hundred lines, shuffled": lambda: (some(100, 20_000, 1), some(100, 20_000, 2)),
    "a hundred lines, many times": lambda: (some(100, 500_000, 1), some(100, 500_000, 2)),
    "two lines": lambda: (some(2, 24_000, 1), some(2, 24_000, 2)),
    "many lines, shuffled": lambda: (shuffled(24_000, 1), shuffled(24_000, 2)),
    "every other line": lambda: ("a\n" * 24_000, "a\nb\n" * 12_000),
    "blank lines": lambda: ("\n" * 1_000_000, "\n \n" * 500_000),
    "one line": lambda: ("a" * 2_000_000, "b" * 2_000_000),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_pair_of_texts_takes_long(name: str) -> None:
    before, after = HOSTILE[name]()
    result, calls = count_calls(lambda: diff(before, after))
    assert calls < 1_000_000, "a quarter of a second's work; unlike time, the same on every machine"
    assert len(result.text) < 2.5 * (len(before) + len(after)) + 100
    assert result.text.count("\n") > 100_000 or patch(before, result.text) == after
