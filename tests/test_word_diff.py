"""The differences between texts, word by word."""

import random
from collections.abc import Callable, Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptcrafter.word_diff import Change, compare
from tests.support.work import count_calls

MEBIBYTE = 1024 * 1024
# few words, white space and marks, so that much of one text is in the other
ALIKE = st.lists(st.sampled_from(["a", "b", "the ", "fox", " ", "\n", "\n\n", ". ", "!", "-", "東", "\t", "é"])).map(
    "".join
)
FOLLOWING = {
    ("equal", "delete"),
    ("equal", "insert"),
    ("delete", "insert"),
    ("delete", "equal"),
    ("insert", "equal"),
}
TEXTS = st.one_of(ALIKE, st.text())


def before_and_after(changes: list[Change]) -> tuple[str, str]:
    before = "".join(change.text for change in changes if change.op != "insert")
    return before, "".join(change.text for change in changes if change.op != "delete")


@given(before=TEXTS, others=st.lists(TEXTS, min_size=1, max_size=4))
def test_changes_make_up_both_texts(before: str, others: list[str]) -> None:
    compared = compare(before, others)
    assert [before_and_after(changes) for changes in compared] == [(before, after) for after in others]
    for changes in compared:
        assert all(change.text for change in changes)
        assert {(one.op, other.op) for one, other in pairwise(changes)} <= FOLLOWING


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("", "", []),
        ("same", "same", [("equal", "same")]),
        ("", "new", [("insert", "new")]),
        ("old", "", [("delete", "old")]),
        (
            "The quick brown fox jumps.",
            "The quick red fox, leaps!",
            [
                ("equal", "The quick "),
                ("delete", "brown"),
                ("insert", "red"),
                ("equal", " fox"),
                ("delete", " jumps."),
                ("insert", ", leaps!"),
            ],
        ),
        ("a foo", "a foo bar", [("equal", "a foo"), ("insert", " bar")]),
        ("one\ntwo", "one two", [("equal", "one"), ("delete", "\n"), ("insert", " "), ("equal", "two")]),
        ("walk", "walked", [("delete", "walk"), ("insert", "walked")]),
        (
            "東京は首都です。",
            "東京は首都でした。",
            [("equal", "東京は首都で"), ("delete", "す"), ("insert", "した"), ("equal", "。")],
        ),
    ],
)
def test_words_are_compared_as_wholes(before: str, after: str, expected: list[tuple[str, str]]) -> None:
    assert compare(before, [after]) == [expected]


def test_single_words_are_found_in_a_long_text_without_lines_or_sentences() -> None:
    chance = random.Random(1)
    words = [chance.choice(["the", "of", "and", f"w{n}"]) for n in range(15_000)]
    changed = list(words)
    places = sorted(chance.sample(range(15_000), 100))
    for place in places:
        changed[place] = "changed"
    (changes,) = compare(" ".join(words), [" ".join(changed)])
    assert "".join(change.text for change in changes if change.op == "insert").count("changed") == 100
    assert sum(len(change.text) for change in changes if change.op == "equal") > 0.98 * len(" ".join(words))


def some(parts: list[str], count: int, seed: int) -> str:
    return "".join(random.Random(seed).choices(parts, k=count))


def counted(numbers: Iterable[int]) -> str:
    return "".join(f"w{number} " for number in numbers)


def changed(pattern: str) -> str:
    return "".join(pattern.format(number) for number in range(20_000))


def twice(parts: list[str], count: int) -> tuple[str, str]:
    return some(parts, count, 1), some(parts, count, 2)


HOSTILE: dict[str, Callable[[], tuple[str, str]]] = {
    "two words": lambda: ("a b " * (MEBIBYTE // 4), "b a " * (MEBIBYTE // 4)),
    "two marks, many": lambda: twice(["!", "?"], MEBIBYTE),
    "two marks, as many as are looked at": lambda: twice(["!", "?"], 39_000),
    "a thousand words": lambda: twice([f"w{n} " for n in range(1000)], 39_000),
    "words backwards": lambda: (counted(range(39_000)), counted(range(39_000, 0, -1))),
    "few lines, many times": lambda: twice(["a\n", "b\n", "\n"], MEBIBYTE // 2),
    "changes in every other line": lambda: (changed("a{0}\na{0} x\n"), changed("a{0}\nb{0} y\n")),
    "white space that differs everywhere": lambda: (changed("a{0} b{0} "), changed("a{0}  b{0}  ")),
    "one word": lambda: ("a" * MEBIBYTE, "b" * MEBIBYTE),
    "a long end in common": lambda: ("a" + "x" * MEBIBYTE, "b" + "x" * MEBIBYTE),
    "sentences": lambda: twice([f"{n} is it. " for n in range(100)], MEBIBYTE // 10),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_no_pair_of_texts_takes_long(name: str) -> None:
    before, after = HOSTILE[name]()
    (changes,), calls = count_calls(lambda: compare(before, [after]))
    assert calls < 4_000_000, "half a second's work; unlike time, the same on every machine"
    assert before_and_after(changes) == (before, after)


def test_the_work_is_bounded_for_all_texts_together() -> None:
    before, after = twice([f"w{n} " for n in range(300)], 15_000)
    alone, together = compare(before, [after]), compare(before, [after] * 4)
    assert len(together[0]) < len(alone[0]), "each has a part of the steps"
