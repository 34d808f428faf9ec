"""GET /compare: logs side by side, with the differences of their outputs."""

import random
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptcrafter.statistics.word_diff import Change, compare
from tests.support.databases import only_sqlite
from tests.support.people import Person
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


@pytest.fixture
def logs(ada: Person) -> list[dict[str, Any]]:
    prompt = ada.prompt()
    first = ada.log(prompt, output="Things fall down.", score=6.5, latencyMs=1250.5, notes="True, but\nwhy?")
    second = ada.log(ada.prompt(), output="Things fall *because* of gravity.", modelUsed="a|b", cost=0.0001)
    return [first, second, ada.log(prompt, output="Things fall down.")]


def test_logs_are_shown_in_the_order_asked_for_with_their_differences_from_the_first(
    ada: Person, logs: list[dict[str, Any]]
) -> None:
    second, first, third = (log["_id"] for log in logs)
    answer = ada.get(f"/compare?logs={first},{second},{third}")
    assert answer.status_code == 200
    words = [
        {"op": "equal", "text": "Things fall "},
        {"op": "delete", "text": "*because* of gravity"},
        {"op": "insert", "text": "down"},
        {"op": "equal", "text": "."},
    ]
    assert answer.json == {
        "logs": [logs[1], logs[0], logs[2]],
        "differences": [
            {"logId": second, "against": first, "words": words},
            {"logId": third, "against": first, "words": words},
        ],
    }


def test_a_comparison_is_returned_as_markdown_on_request(ada: Person, logs: list[dict[str, Any]]) -> None:
    first, second = (log["_id"] for log in logs[:2])
    answer = ada.get(f"/compare?logs={first},{second}", headers={"Accept": "text/markdown"})
    assert (answer.headers["Content-Type"], answer.headers["Vary"]) == ("text/markdown; charset=utf-8", "Accept")
    assert answer.text == (
        f"|  | {first} | {second} |\n"
        "| --- | --- | --- |\n"
        r"| model | gpt-4o | a\|b |" + "\n"
        "| version | 1 | 1 |\n"
        "| score | 6.5 |  |\n"
        "| latency (ms) | 1250.5 |  |\n"
        "| cost ($) |  | 0.0001 |\n"
        "| notes | True, but<br>why? |  |\n"
        f"\n## {second} against {first}\n\n"
        r"> Things fall <del>down</del><ins>\*because\* of gravity</ins>.  " + "\n"
    )
    assert ada.get(f"/compare?logs={first},{second}", headers={"Accept": "text/html"}).mimetype == "application/json"


@only_sqlite
@pytest.mark.parametrize(
    ("first", "second", "marked"),
    [
        (
            "keep\nold <b>\n\n  gone \nkeep_it",
            "keep\nnew\nkeep_it",
            [r"> keep  ", r"> <del>old \<b></del>  ", ">", r"> <del>  gone </del><ins>new</ins>  ", r"> keep_it  "],
        ),
        ("Things fall down", "Things fall down.", ["> Things fall down<ins>.</ins>  "]),
        ("a  b", "a b", ["> a <del>␣</del>b  "]),
        ("a b", "a\nb", ["> a<del>␣</del><ins>↵</ins>  ", "> b  "]),
        ("# a\n- b\n=", "new", ["> <del># a</del>  ", "> <del>- b</del>  ", "> <del>=</del><ins>new</ins>  "]),
        (
            "# a\n+ b\n-\n12. c\n2) d\n===\n> e\n:-\nf # - 1. >",
            "# a\n+ b\n-\n12. c\n2) d\n===\n> e\n:-\nf # - 1. > new",
            [
                *(rf"> {line}  " for line in (r"\# a", r"\+ b", r"\-", r"12\. c", r"2\) d", r"\===", r"\> e", r"\:-")),
                "> f # - 1. ><ins> new</ins>  ",
            ],
        ),
        ("    a\n\tb \nc", "    a\n\tb \nd", ["> &#32;   a  ", "> &#9;b&#32;  ", "> <del>c</del><ins>d</ins>  "]),
        ("a\r# b\r\nc", "a\r# b\r\nd", ["> a  ", r"> \# b  ", "> <del>c</del><ins>d</ins>  "]),
        (
            "WWW.X.COM //a.b a@b.c xmpp:@b.c 3.5 end.\nx",
            "WWW.X.COM //a.b a@b.c xmpp:@b.c 3.5 end.\ny",
            [
                r"> WWW\.X\.COM \//a\.b a<!-- -->@b\.c xmpp:<!-- -->@b\.c 3.5 end.  ",
                "> <del>x</del><ins>y</ins>  ",
            ],
        ),
        ("http://a.b", "www.a.b or a@b", [r"> <del>http\://</del><ins>www\.</ins>a.<ins>b or a\@</ins>b  "]),
    ],
)
def test_changes_are_marked_within_each_line(ada: Person, first: str, second: str, marked: list[str]) -> None:
    prompt = ada.prompt()
    ids = [ada.log(prompt, output=output)["_id"] for output in (first, second)]
    answer = ada.get(f"/compare?logs={','.join(ids)}", headers={"Accept": "text/markdown; charset=utf-8"})
    assert answer.text.partition(f"against {ids[0]}\n\n")[2].splitlines() == marked


@only_sqlite
@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ("", "logs is required"),
        ("log_1", "logs must have 2 to 5 ids, with commas between them."),
        ("log_1,log_2,log_3,log_4,log_5,log_6", "logs must have 2 to 5 ids, with commas between them."),
        ("log_1,log_2,log_1", "logs must not have log_1 twice."),
        ("log_1,", "logs must have ids of logs only."),
        ("log_1, log_2", "logs must have ids of logs only."),
        ("log_1,prompt_2", "logs must have ids of logs only."),
        ("log_1,log_%00", "logs must not contain the NUL character (U+0000)."),
    ],
)
def test_invalid_ids_are_refused_with_the_name_of_the_parameter(ada: Person, ids: str, message: str) -> None:
    answer = ada.get(f"/compare?logs={ids}")
    assert (answer.status_code, answer.json["message"], list(answer.json["details"])) == (400, message, ["logs"])


def test_an_unknown_or_foreign_log_is_named(ada: Person, ben: Person, logs: list[dict[str, Any]]) -> None:
    own = logs[0]["_id"]
    other = ben.log(ben.prompt())["_id"]
    for ids, status, message in (
        (f"{own},log_1", 404, "Log not found: log_1"),
        (f"{other},{own}", 403, f"You do not own this log: {other}"),
        (f"{own},{other},log_1", 403, f"You do not own this log: {other}"),
    ):
        answer = ada.get(f"/compare?logs={ids}")
        assert (answer.status_code, answer.json["message"]) == (status, message)
        assert ben.prompt()["content"] not in answer.text
