"""GET /logs?q=: full-text search over outputs and notes."""

import re
import unicodedata
from itertools import product

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from promptcrafter import clock
from promptcrafter.database.session import get_engine
from promptcrafter.logs import search, store
from promptcrafter.workspaces.principal import at_home
from tests.logs.test_views_list import pages
from tests.support.databases import only_sqlite, vacuum
from tests.support.people import Person
from tests.support.statements import statements

CORPUS = {
    "steam": "Steam, iron & coal: the Industrial Revolution changed how people LIVED.",
    "straße": "Die Straße war naß; ein Café an der Ecke – don’t panic!",
    "greek": "Η ΒΙΟΜΗΧΑΝΙΚΗ επανάσταση άλλαξε τον κόσμο",
    "russian": "Промышленная революция изменила мир",
    "arabic": "غيّرت الثورة الصناعية العالم، هل تعلم؟",
    "hebrew": "המהפכה התעשייתית שינתה את העולם",
    "hindi": "औद्योगिक क्रांति ने दुनिया को बदल दिया।",
    "thai": "การปฏิวัติอุตสาหกรรมเปลี่ยนโลก",
    "japanese": "産業革命は世界を変えた。ＧＰＴ４で生成",
    "chinese": "工业革命改变了世界",
    "korean": "산업 혁명은 세계를 바꾸었다",
    "emoji": "done 🎉👍🏽 100% ❤️ C++ a_b {“key”: 'v'} x*y",
}


@pytest.fixture
def corpus(ada: Person) -> dict[str, str]:
    """The ids of logs of those outputs, by name; the names are their notes."""
    prompt = ada.prompt()
    return {name: ada.log(prompt, output=output, notes=f"note:{name}")["_id"] for name, output in CORPUS.items()}


def found(ada: Person, corpus: dict[str, str], query: str, **filters: str) -> set[str]:
    answer = ada.open("/logs", query_string={"q": query, **filters}, method="GET")
    assert answer.status_code == 200, answer.text
    names = {log_id: name for name, log_id in corpus.items()}
    return {names[log["_id"]] for log in answer.json}


QUERIES: list[tuple[str, set[str]]] = [
    ("revolution", {"steam"}),
    ("lived REVOLUTION", {"steam"}),
    ("revol", set()),
    ("revol*", {"steam"}),
    ("iron revolutions", set()),
    ("iron-coal", {"steam"}),
    ("STRASSE nass", {"straße"}),
    ("café", {"straße"}),
    ("cafe", set()),
    ("cafe\u0301", {"straße"}),
    ("don't", {"straße"}),
    ("βιομηχανικη", {"greek"}),
    ("βιομηχανική", set()),
    ("ΚΌΣΜΟ", {"greek"}),
    ("революция", {"russian"}),
    ("الثورة", {"arabic"}),
    ("العالم", {"arabic"}),
    ("העולם", {"hebrew"}),
    ("दुनिया", {"hindi"}),
    ("दिया", {"hindi"}),
    ("อุตสาหกรรม", {"thai"}),
    ("革命", {"japanese", "chinese"}),
    ("世界", {"japanese", "chinese"}),
    ("界", {"japanese", "chinese"}),
    ("改变了世界", {"chinese"}),
    ("命革", set()),
    ("gpt4", {"japanese"}),
    ("세계*", {"korean"}),
    ("🎉", {"emoji"}),
    ("👍", {"emoji"}),
    ("❤", {"emoji"}),
    ("❤️", {"emoji"}),
    ("key v", {"emoji"}),
    ("x*y", {"emoji"}),
    ("a_b", {"emoji"}),
    ("c++", {"emoji"}),
    ("100%", {"emoji"}),
    ("note", set(CORPUS)),
    ("note greek", {"greek"}),
    ("note greek coal", set()),
    ("n* gre*", {"greek"}),
    ("* note*", set(CORPUS)),
    ('"revolution" AND NOT (coal)', set()),
    ("NEAR(", set()),
    ("output:iron", set()),
]


def test_words_are_found_in_any_script(ada: Person, corpus: dict[str, str], subtests: pytest.Subtests) -> None:
    for query, expected in QUERIES:
        with subtests.test(query=query):
            assert found(ada, corpus, query) == expected


def test_a_change_and_a_deletion_affect_the_next_search(ada: Person, ben: Person, corpus: dict[str, str]) -> None:
    path = f"/logs/{corpus['steam']}"
    ada.patch(path, {"notes": "Brilliant"})
    assert found(ada, corpus, "brilliant coal") == {"steam"}
    assert found(ada, corpus, "steam note") == set()
    ada.patch(path, {"score": 3})
    assert found(ada, corpus, "brilliant") == {"steam"}
    ada.patch(path, {"notes": None})
    assert found(ada, corpus, "brilliant") == set()
    assert ben.get("/logs?q=coal").json == []
    ada.delete(path)
    assert found(ada, corpus, "coal") == set()


def test_logs_from_every_api_are_found(ada: Person) -> None:
    prompt = ada.prompt(slug="qa")
    ada.post(
        "/experiments", {"slug": "e", "name": "n", "status": "ACTIVE", "variants": [{"key": "A", "trafficPercent": 1}]}
    )
    ada.post("/logs/batch", {"logs": [{"promptId": prompt["_id"], "modelUsed": "m", "output": "needle one"}]})
    ada.post("/monitor/log", {"slug": "qa", "output": "needle two"})
    span = {"id": "1", "type": "generation", "output": {"a": ["needle"]}}
    ada.post("/basalt/monitor/trace", {"featureSlug": "f", "logs": [span]})
    ada.post("/experiment/e/log", {"variantKey": "A", "output": {"needle": "four"}})
    assert [log.get("source") for log in ada.get("/logs?q=needle&sort=createdAt").json] == [
        None,
        "basalt",
        "basalt",
        "agenttest",
    ]
    ada.delete(f"/prompts/{prompt['_id']}")
    assert [log.get("source") for log in ada.get("/logs?q=needle&sort=createdAt").json] == ["basalt", "agenttest"]


def test_a_search_combines_with_every_filter_and_order_in_pages(ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt, other = ada.prompt(), ada.prompt()
    start = clock.now()
    for number in range(20):
        moment = clock.from_number(clock.to_number(start) + 1000 * (number // 3))
        monkeypatch.setattr(clock, "now", lambda moment=moment: moment)
        word = "even" if number % 2 == 0 else "odd"
        ada.log(
            other if number % 5 == 0 else prompt, output=f"{word} word", score=number % 4, modelUsed=f"m{number % 3}"
        )
    since, until = (clock.to_text(clock.from_number(clock.to_number(start) + ms)) for ms in (1000, 6000))
    filters = (
        "",
        f"&promptId={prompt['_id']}",
        f"&promptId={prompt['_id']}&promptVersion=1&model=m1",
        f"&since={since}&until={until}",
        "&minScore=1&maxScore=2&source=promptcrafter",
    )
    for sort, chosen in product(("-createdAt", "createdAt", "-score", "score"), filters):
        query = f"sort={sort}{chosen}"
        everything = ada.get(f"/logs?{query}").json
        expected = [log for log in everything if "even" in log["output"]]
        assert expected, query
        assert ada.get(f"/logs?q=EVEN+wo*&{query}").json == expected, query
        assert pages(ada, f"/logs?q=even&per_page=2&{query}") == expected, query


@only_sqlite
@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("", "must have 1 to 500 characters"),
        ("x" * 501, "must have 1 to 500 characters"),
        ("!? * --", "must have 1 to 32 words, which are letters, digits or symbols"),
        (" ".join(f"w{n}" for n in range(33)), "must have 1 to 32 words, which are letters, digits or symbols"),
        ("a\0b", "must not contain the NUL character (U+0000)"),
    ],
)
def test_a_query_without_words_or_with_too_many_is_refused(ada: Person, query: str, reason: str) -> None:
    answer = ada.open("/logs", query_string={"q": query}, method="GET")
    assert (answer.status_code, answer.json["details"]) == (400, {"q": [reason]})


def test_a_log_with_too_many_words_is_found_by_the_first_ones(ada: Person) -> None:
    prompt = ada.prompt()
    notes = " ".join(f"{n:x}word" for n in range(150_000))
    log = ada.log(prompt, output="beginning " + "z" * 100, notes=notes)
    for query in ("beginning 5word", "z" * 100, "z" * 64):
        assert [found["_id"] for found in ada.get(f"/logs?q={query}").json] == [log["_id"]]
    assert ada.get(f"/logs?q={149_999:x}word").json == []


@pytest.mark.slow
@given(st.text(), st.text())
def test_every_word_of_a_text_finds_it(output: str, notes: str) -> None:
    words = set(search.extract_words(output, notes).split(" ")) - {""}
    assert words == set(search.extract_words(notes, output).split(" ")) - {""}
    for term in search.parse_terms(re.sub("[*＊﹡]", " ", output)):
        assert any(word.startswith(term[:-1]) for word in words) if term.endswith("*") else term in words
    assert not any(unicodedata.category(character)[0] in "PZ" for word in words for character in word)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=st.text(min_size=1, max_size=40, alphabet=st.characters(codec="utf-8", exclude_characters="\0")))
def test_no_query_fails(app: Flask, query: str) -> None:
    with app.app_context(), get_engine().connect() as connection:
        terms = search.parse_terms(query)
        if terms:
            connection.execute(store.find_logs(at_home("user_x"), {"q": terms}))


@only_sqlite
def test_the_index_agrees_with_its_words_after_every_kind_of_change(
    app: Flask, ada: Person, corpus: dict[str, str]
) -> None:
    ada.patch(f"/logs/{corpus['thai']}", {"notes": "other"})
    ada.delete(f"/logs/{corpus['greek']}")
    ada.delete(f"/prompts/{ada.get('/prompts').json[0]['_id']}")
    kept = ada.log(ada.prompt())
    assert [log["_id"] for log in ada.get("/logs?q=output").json] == [kept["_id"]]
    with app.app_context(), get_engine().connect() as connection:
        connection.exec_driver_sql("INSERT INTO log_words (log_words, rank) VALUES ('integrity-check', 1)")
        assert connection.exec_driver_sql("SELECT count(*) FROM log_search").scalar() == 1


@only_sqlite
def test_sqlite_reads_a_page_of_matches_from_the_index_end(app: Flask, ada: Person) -> None:
    prompt = ada.prompt()
    for _ in range(3):
        ada.log(prompt)
    with statements(app) as seen:
        ada.get(f"/logs?q=output&per_page=1&promptId={prompt['_id']}&cursor=99999999999999-9")
    statement, parameters = next((s, p) for s, p in seen if "MATCH" in s)
    with app.app_context(), get_engine().connect() as connection:
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    assert plan[0].startswith("SCAN log_words VIRTUAL TABLE")
    # what is deleted is looked up in a table that is almost always empty
    harmless = re.compile(r"SEARCH|(SCALAR|LIST) SUBQUERY|.*pending_deletions")
    assert [step for step in plan[1:] if not harmless.match(step)] == []


@pytest.mark.parametrize("engine_name", ["postgresql"])
def test_postgresql_finds_a_rare_word_by_its_index(app: Flask, ada: Person) -> None:
    prompt = ada.prompt()
    more = " ".join(f"word{n}" for n in range(200))
    log = {"promptId": prompt["_id"], "modelUsed": "m", "notes": more}
    for tenth in range(3):
        ada.post("/logs/batch", {"logs": [{**log, "output": f"common {tenth}n{n}"} for n in range(1000)]})
    with app.app_context():
        vacuum(get_engine(), "log_search", "logs")
    with statements(app) as seen:
        assert [found["output"] for found in ada.get("/logs?q=common+2n500").json] == ["common 2n500"]
    statement, parameters = next((s, p) for s, p in seen if "@@" in s)
    with app.app_context(), get_engine().connect() as connection:
        plan = "\n".join(row[0] for row in connection.exec_driver_sql(f"EXPLAIN {statement}", parameters))
    assert "ix_log_search_words" in plan
