"""`check` names what the search would not find, and `reindex` mends it, also while the service runs."""

import threading
from collections.abc import Sequence

import pytest
from flask import Flask

from promptcrafter.database import revisions
from promptcrafter.database.session import get_engine
from tests.database.test_revisions import claiming
from tests.support.commands import done, refused, run
from tests.support.databases import only_sqlite
from tests.support.full_account import fill_account
from tests.support.people import Person

MISMATCH = "Error: The search indices do not match what is stored. Rebuild them: flask --app wsgi reindex"
NO_WORDS = "DELETE FROM log_search WHERE log_seq IN (SELECT seq FROM logs WHERE output = 'first')"
OTHER_WORDS = {
    "sqlite": "UPDATE log_search SET words = 'strange' WHERE words = 'first'",
    "postgresql": "UPDATE log_search SET words = array_to_tsvector('{strange}') WHERE words @@ 'first'",
}


def damage(app: Flask, *statements: str) -> None:
    with app.app_context(), get_engine().begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def found_by_check(app: Flask) -> Sequence[str]:
    result = run(app, "check")
    assert (result.exit_code, result.stderr) == (1, f"{MISMATCH}\n"), result.output
    return result.stdout.splitlines()


def found(ada: Person, word: str) -> list[str]:
    return [log["output"] for log in ada.get(f"/logs?q={word}").json]


def test_an_index_that_is_right_is_called_right(app: Flask, ada: Person) -> None:
    assert done(run(app, "check")) == "The search finds everything: nothing is stored.\n"
    fill_account(ada)
    logs, prompts = len(ada.get("/logs").json), len(ada.get("/prompts").json)
    assert done(run(app, "check")) == f"The search finds everything: {logs} logs, {prompts} prompts.\n"
    assert run(app, "reindex").stderr == "The search indices are rebuilt; 0 entries changed.\n"


def test_missing_and_wrong_entries_are_counted_and_mended(app: Flask, ada: Person, engine_name: str) -> None:
    prompt = ada.prompt(title="Gravity", content="findable", tags=["b", "a"])
    for output in ("first", "second", "third"):
        ada.log(prompt, output=output)
    ada.prompt(content="other")
    for statement, line in (
        (NO_WORDS, "Not found by any search: 1 log."),
        (OTHER_WORDS[engine_name], "Found by the words of another text: 1 log."),
        ("DELETE FROM prompt_search WHERE content = 'findable'", "Not found by any search: 1 prompt."),
        ("UPDATE prompt_search SET title = 'x'", "Found by the words of another text: 2 prompts."),
    ):
        damage(app, statement)
        assert found_by_check(app) == [line]
        assert run(app, "reindex").exit_code == 0
        assert done(run(app, "check")) == "The search finds everything: 3 logs, 2 prompts.\n"
        assert [found(ada, word) for word in ("first", "second", "strange")] == [["first"], ["second"], []]
        assert ada.get("/search?q=findable").json == [prompt]


@only_sqlite
def test_an_index_that_differs_from_its_table_is_named_and_rebuilt(app: Flask, ada: Person) -> None:
    for output in ("first", "other"):
        ada.log(ada.prompt(), output=output)
    for index in ("log_words", "prompt_trigrams", "prompt_grams"):
        damage(app, f"INSERT INTO {index} ({index}) VALUES ('delete-all')")
    assert found_by_check(app) == ["Indices that differ from their table: log_words, prompt_trigrams, prompt_grams."]
    assert found(ada, "first") == []
    assert run(app, "reindex").stderr == "The search indices are rebuilt; 0 entries changed.\n"
    damage(app, "INSERT INTO log_words (rowid, words) SELECT docid, words FROM log_search")
    assert found_by_check(app) == ["Indices that differ from their table: log_words."]
    damage(app, "PRAGMA foreign_keys=OFF", NO_WORDS.replace("first", "other"))
    assert len(found_by_check(app)) == 2
    assert run(app, "reindex").stderr == "The search indices are rebuilt; 1 entry changed.\n"
    assert done(run(app, "check")) == "The search finds everything: 2 logs, 2 prompts.\n"
    assert [found(ada, output) for output in ("first", "other")] == [["first"], ["other"]]
    ada.delete("/logs/" + ada.get("/logs").json[0]["_id"])
    assert done(run(app, "check")) == "The search finds everything: 1 log, 2 prompts.\n"


def test_the_service_may_write_meanwhile(app: Flask, ada: Person) -> None:
    prompt = ada.prompt()
    for number in range(120):
        ada.log(prompt, output=f"earlier {number}")
    damage(
        app, "DELETE FROM log_search" if app.config["SQLALCHEMY_DATABASE_URI"].startswith("postgresql") else NO_WORDS
    )
    statuses: set[int] = set()
    ended = threading.Event()

    def write() -> None:
        person = Person(ada, ada.id, ada.token, ada.email, ada.password)
        while not ended.is_set():
            log = person.post("/logs", {"promptId": prompt["_id"], "output": "meanwhile", "modelUsed": "m"})
            statuses.update((log.status_code, person.patch(f"/logs/{log.json['_id']}", {"notes": "noted"}).status_code))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert run(app, "reindex").exit_code == 0
    finally:
        ended.set()
        writer.join()
    assert statuses == {201, 200}
    assert run(app, "check").exit_code == 0
    assert len(found(ada, "earlier")) == 120


def test_a_schema_of_another_release_is_not_compared_and_not_indexed(app: Flask, ada: Person) -> None:
    message = "The database is not migrated: run flask --app wsgi db upgrade."
    with claiming(app, revisions.OLDER[-1]):
        assert [refused(run(app, name)) for name in ("check", "reindex")] == [message] * 2


def test_what_logs_keep_of_their_scores_is_compared_and_set_anew(app: Flask, ada: Person) -> None:
    prompt = ada.prompt()
    logs = [ada.log(prompt, **scored) for scored in ({"score": 9}, {"score": 2}, {"score": 5}, {}, {"score": 1})]
    ada.post(f"/logs/{logs[3]['_id']}/scores", {"name": "score", "value": 3, "annotator": "judge"})
    before = ada.get("/logs").json
    assert run(app, "check").exit_code == 0
    one, two, three, four, five = (f"WHERE id = '{log['_id']}'" for log in logs)
    damage(
        app,
        f"UPDATE logs SET mean_score = 8, score = 8 {one}",
        f"UPDATE logs SET ratings = NULL, mean_score = NULL, scored_at = NULL {two}",
        f"UPDATE logs SET scored_at = updated_at, score = NULL {three}",  # as is right
        f"UPDATE logs SET ratings = 1, mean_score = 3 {four}",
        f"DELETE FROM scores WHERE log_seq = (SELECT seq FROM logs {five})",  # which an import may leave
    )
    result = run(app, "check")
    assert (result.exit_code, result.stdout.splitlines()) == (
        1,
        [
            "Mean or number of scores is not that of the scores: 4 logs.",
            "Shows a score that it does not have: 1 log.",
        ],
    )
    assert result.stderr == (
        "Error: What logs keep of their scores does not match these. Set it anew: flask --app wsgi reindex\n"
    )
    assert "What 4 logs kept of their scores is set anew.\n" in run(app, "reindex").stderr
    assert done(run(app, "check")) == "The search finds everything: 5 logs, 1 prompt.\n"
    damage(app, f"UPDATE logs SET score = 5 {three}")
    assert ada.get("/logs").json == before
    ratings = "SELECT score, mean_score, ratings FROM logs ORDER BY seq"
    with app.app_context(), get_engine().connect() as connection:
        assert connection.exec_driver_sql(ratings).all() == [
            *((9, 9, 1), (2, 2, 1), (5, 5, 1), (None, None, None)),
            (1, None, None),
        ]


@pytest.mark.parametrize("engine_name", ["postgresql"])
def test_entries_of_logs_that_are_gone_are_counted_and_removed(app: Flask, ada: Person) -> None:
    log = ada.log(ada.prompt())
    damage(
        app, "ALTER TABLE log_search DISABLE TRIGGER ALL", "ALTER TABLE logs DISABLE TRIGGER ALL", "DELETE FROM logs"
    )
    damage(app, "ALTER TABLE log_search ENABLE TRIGGER ALL", "ALTER TABLE logs ENABLE TRIGGER ALL")
    assert log
    assert found_by_check(app) == ["Entries of logs that are gone: 1."]
    assert run(app, "reindex").stderr == "The search indices are rebuilt; 1 entry changed.\n"
    assert run(app, "check").exit_code == 0
