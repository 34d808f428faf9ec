"""GET /compare: logs side by side, with the differences of their outputs."""

from typing import Any

import pytest

from tests.support.databases import only_sqlite
from tests.support.people import Person


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
