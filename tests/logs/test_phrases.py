"""Phrases and exclusions in queries, and the texts of a log that a query is about."""

from typing import Any

import pytest
from flask import Flask

from promptcrafter.logs import phrases, queries
from promptcrafter.logs.questions import find_question
from tests.logs.test_search import CORPUS
from tests.logs.test_views_list import pages
from tests.support.databases import only_sqlite
from tests.support.people import Person

TEXTS = {
    **CORPUS,
    "first": "Refunds are final. We cannot refund, sorry.",
    "second": "We are sorry: refunds\nare final!",
    "third": "Final refunds; are we sorry?",
    "long": f"{'z' * 70} end",
    "mixed": "GPT東京都庁 x京",
}
QUERIES: list[tuple[str, set[str]]] = [
    ('"refunds are final"', {"first", "second"}),
    ("“Refunds, are FINAL”", {"first", "second"}),
    ('"are final" sorry', {"first", "second"}),
    ('"final refunds"', {"third"}),
    ('"refunds are fin"', set()),
    ('"refunds are fin*"', {"first", "second"}),
    ('"efunds are"', set()),
    ("refunds -cannot", {"second", "third"}),
    ('refunds -"are final"', {"third"}),
    ("refunds -cann*", {"second", "third"}),
    ("refunds -cann", {"first", "second", "third"}),
    ("refunds - cannot", {"first"}),
    ("refunds -second -third", {"first"}),
    ("refunds -note", {"second"}),
    ("iron-coal", {"steam"}),
    ("iron -coal", set()),
    ('"iron coal the', {"steam"}),
    ('"STRASSE war naß"', {"straße"}),
    ('"café an der"', {"straße"}),
    ('"cafe an der"', set()),
    ('"産業革命は世界"', {"japanese"}),
    ('"世界革命"', set()),
    ("世界 -産業革命", {"chinese"}),
    ('"世界を変えた gpt4で"', {"japanese"}),
    ('"東京都"', {"mixed"}),
    ('"gpt東京"', {"mixed"}),
    ('"京都 庁"', set()),
    ('"c++ a_b"', {"emoji"}),
    ('"🎉 👍"', {"emoji"}),
    ('"note first"', {"first"}),
    ('"sorry note"', set()),
    ("z" * 64, {"long"}),
    (f'"{"z" * 70} end"', {"long"}),
    (f'"{"z" * 69} end"', set()),
    ('"refunds"', {"first", "second", "third"}),
    ('refunds "" -!!', {"first", "second", "third"}),
]


@pytest.fixture
def corpus(ada: Person) -> dict[str, str]:
    """The ids of logs of those outputs, by name; the names are their notes."""
    prompt = ada.prompt()
    named = {name: f"note: {name}" if len(name) == 5 else name for name in TEXTS}
    body = [
        {"promptId": prompt["_id"], "modelUsed": "m", "output": text, "notes": named[name], "score": place % 11}
        for place, (name, text) in enumerate(TEXTS.items())
    ]
    results = ada.post("/logs/batch", {"logs": body}).json["results"]
    return {result["_id"]: name for result, name in zip(results, TEXTS, strict=True)}


def search(ada: Person, query: str, **filters: str) -> Any:
    return ada.open("/logs", query_string={"q": query, **filters}, method="GET")


def test_phrases_follow_each_other_and_what_is_excluded_is_absent(ada: Person, corpus: dict[str, str]) -> None:
    for query, expected in QUERIES:
        answer = search(ada, query)
        assert answer.status_code == 200, (query, answer.text)
        assert {corpus[log["_id"]] for log in answer.json} == expected, query


def test_a_search_may_be_in_the_output_or_in_the_notes_alone(ada: Person, corpus: dict[str, str]) -> None:
    for query, texts, expected in (
        ("first", "notes", {"first"}),
        ("first", "output", set()),
        ("sorry -note", "output", {"first", "second", "third"}),
        ("sorry", "notes", set()),
        ("sorry first", "output,notes", {"first"}),
        ("sorry first", "notes", set()),
        ("fir*", "notes", {"first"}),
        ("irst", "notes", set()),
        ("z" * 64, "output", {"long"}),
        ("世界", "output", {"japanese", "chinese"}),
        ("京", "output", {"mixed"}),
        ("gpt", "output", {"mixed"}),
    ):
        answer = search(ada, query, **{"in": texts})
        assert {corpus[log["_id"]] for log in answer.json} == expected, (query, texts)


def test_pages_of_a_phrase_are_the_list_in_every_order(ada: Person, corpus: dict[str, str]) -> None:
    for sort in ("createdAt", "-createdAt", "score", "-score", "best", "worst"):
        for query in ("re* -coal", '"refunds are*"'):
            path = f"/logs?q={query.replace(chr(34), '%22').replace(' ', '+')}&sort={sort}"
            whole = ada.get(path).json
            assert pages(ada, f"{path}&per_page=1") == pages(ada, f"{path}&per_page=5") == whole
            assert len(whole) >= 2
            assert ada.get(f"{path}&per_page=1&minScore=11").status_code == 400
            assert ada.get(f"{path}&model=other").json == []


def test_a_query_that_has_to_look_into_too_many_texts_is_refused(
    ada: Person, corpus: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "CANDIDATES_MAX", 2)
    answer = search(ada, "refunds -nothing")
    assert answer.status_code == 400
    assert answer.json["message"].startswith("q needs a look at the texts of more than 2 logs")
    page = search(ada, "refunds -nothing", per_page="1")
    assert (page.status_code, len(page.json)) == (200, 1), "a page reads no more than it needs"
    assert len(pages(ada, "/logs?q=refunds+-nothing&per_page=1")) == 3
    assert search(ada, "refunds -cannot -sorry", per_page="1").status_code == 400
    assert len(search(ada, "refunds").json) == 3, "the index alone answers it"
    monkeypatch.setattr(queries, "CANDIDATES_MAX", 10_000)
    monkeypatch.setattr(queries, "_CHARACTERS_MAX", 50)
    assert search(ada, "refunds -nothing").status_code == 400


CHATS: list[tuple[Any, str | None]] = [
    ("What is it?", "What is it?"),
    ({"question": "why"}, '{"question":"why"}'),
    (
        [{"role": "system", "content": "s"}, {"role": "user", "content": "one"}, {"role": "user", "content": "two"}],
        "two",
    ),
    (
        [
            {
                "role": "user",
                "content": [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {}}, "at"],
            },
            {"role": "assistant", "content": "no"},
        ],
        "look\nat",
    ),
    ([{"role": "user", "parts": [{"text": "gemini"}]}], "gemini"),
    ('[{"role": "user", "content": "as text"}]', "as text"),
    ([{"role": "assistant", "content": "x"}], ""),
    ([{"role": "user", "content": None}], ""),
    ([1, 2], "[1,2]"),
    ("[broken", "[broken"),
    ([], "[]"),
]


@only_sqlite
def test_of_a_chat_only_what_was_asked_last_is_indexed(ada: Person) -> None:
    prompt = ada.prompt()
    for sent, expected in CHATS:
        log = ada.log(prompt, input=sent)
        assert find_question(log["input"], log.get("inputFormat")) == expected


def test_inputs_are_searched_where_they_are_indexed(
    app: Flask, ada: Person, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
) -> None:
    prompt = ada.prompt()
    asked = [{"role": "user", "content": "first question"}, {"role": "user", "content": "Refund my order"}]
    before = ada.log(prompt, input="unindexed refund", output="before", notes="n")
    monkeypatch.setitem(app.config, "INDEX_INPUT", True)
    chat = ada.log(prompt, input=asked, output="chat", notes="order")
    ada.patch(f"/logs/{chat['_id']}", {"notes": "noted order"})
    plain = ada.log(prompt, input="▸ order 京都", output="refund plain")
    names = {log["_id"]: log["output"] for log in (before, chat, plain)}

    def found(query: str, texts: str | None) -> set[str]:
        answer = search(ada, query, **({"in": texts} if texts else {}))
        assert answer.status_code == 200, answer.text
        return {names[log["_id"]] for log in answer.json}

    for query, texts, expected in (
        ("refund", None, {"refund plain"}),
        ("refund", "input", {"chat"}),
        ("refund", "input,output", {"chat", "refund plain"}),
        ("refund", "output,notes,input", {"chat", "refund plain"}),
        ("first", "input", set()),
        ("ord*", "input", {"chat", "refund plain"}),
        ("order", "output", set()),
        ("order", "output,input", {"chat", "refund plain"}),
        ("order", "notes", {"chat"}),
        ("noted refund", "notes,input", {"chat"}),
        ("noted refund", "input", set()),
        ('"my order"', "input", {"chat"}),
        ('"my order"', None, set()),
        ("order -refund", "input", {"refund plain"}),
        ("京", "input", {"refund plain"}),
        ("▸", "input", {"refund plain"}),
        ("▸*", None, set()),
        ("▸refund", None, set()),
    ):
        with subtests.test(query=query, texts=texts):
            assert found(query, texts) == expected
    with app.app_context():
        from promptcrafter.maintenance import search_index

        assert search_index.compare(lambda *_: None).stale == {"log": 1}, "the log from before"
        assert search_index.reindex(lambda *_: None) == 1
        assert search_index.compare(lambda *_: None).is_right
    assert found("unindexed", "input") == {"before"}
    monkeypatch.setitem(app.config, "INDEX_INPUT", False)
    assert search(ada, "order", **{"in": "input"}).status_code == 400
    assert found("order", None) == {"chat"}
    with app.app_context():
        assert search_index.reindex(lambda *_: None) == 3


def test_a_query_is_parsed_in_linear_time() -> None:
    for query in ('"' * 499, '-"' * 250, "-" * 500, '" -' * 166, "*" * 500, '-"a' * 166):
        assert phrases.parse(query).size <= 500
