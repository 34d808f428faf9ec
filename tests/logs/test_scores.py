"""The `score` of a log: the last one that a member gave, beside everybody's own."""

from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from promptcrafter.database.session import session
from promptcrafter.logs.models import Log
from tests.support.members import share
from tests.support.people import Person
from tests.support.statements import statements


def scores_of(person: Person, log: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Return value, name, annotator and author of the scores of a log, newest first."""
    scores = person.get(f"/logs/{log['_id']}/scores").json
    return [(each["value"], each["name"], each["annotator"], each["author"]["name"]) for each in scores]


def read(app: Flask, log: dict[str, Any]) -> tuple[Any, ...]:
    """Return what statistics read of a log: the mean of its raters, their number, and whether a first time is known."""
    with app.app_context():
        columns = (Log.mean_score, Log.ratings, Log.scored_at)
        mean, ratings, first = session.execute(select(*columns).where(Log.id == log["_id"])).one()
        return mean, ratings, first is not None


@pytest.mark.parametrize("way", ["/logs", "/logs/batch"])
def test_what_one_member_logs_and_another_changes_are_both_kept(app: Flask, ada: Person, ben: Person, way: str) -> None:
    share(ada, ben, "editor")
    body = {"promptId": ada.prompt()["_id"], "output": "o", "modelUsed": "m", "score": 9}
    answer = ada.post(way, body if way == "/logs" else {"logs": [body]})
    log = {"_id": answer.json["_id"] if way == "/logs" else answer.json["results"][0]["_id"]}
    (first,) = ada.get(f"/logs/{log['_id']}/scores").json
    assert first["_id"].startswith("score_")
    assert scores_of(ada, log) == [(9, "score", "human", "ada")]
    assert read(app, log) == (9, 1, True)
    answer = ben.patch(f"/logs/{log['_id']}", {"score": 4})
    assert (answer.status_code, answer.json["score"]) == (200, 4)
    assert ada.get(f"/logs/{log['_id']}").json == answer.json
    assert scores_of(ada, log) == [(4, "score", "human", "ben"), (9, "score", "human", "ada")]
    assert read(app, log) == (6.5, 2, True)
    assert [each["_id"] for each in ada.get("/logs?minScore=5").json] == []
    answer = ben.patch(f"/logs/{log['_id']}", {"score": 6, "notes": "Now better"})
    assert (answer.json["score"], answer.json["notes"], read(app, log)) == (6, "Now better", (7.5, 2, True))
    assert len(scores_of(ada, log)) == 2, "one's own is replaced"


def test_null_clears_the_figure_and_one_s_own_score_only(app: Flask, ada: Person, ben: Person) -> None:
    share(ada, ben, "editor")
    log = ada.log(ada.prompt(), score=9)
    ben.patch(f"/logs/{log['_id']}", {"score": 4})
    ben.post(f"/logs/{log['_id']}/scores", {"name": "tone", "value": "kind"})
    answer = ben.patch(f"/logs/{log['_id']}", {"score": None})
    assert (answer.status_code, answer.json["score"]) == (200, None)
    assert scores_of(ada, log) == [("kind", "tone", "human", "ben"), (9, "score", "human", "ada")]
    assert read(app, log) == (9, 1, True)
    assert ada.patch(f"/logs/{log['_id']}", {"score": None}).json["score"] is None
    assert scores_of(ada, log) == [("kind", "tone", "human", "ben")]
    assert read(app, log) == (None, None, False)
    again = ada.patch(f"/logs/{log['_id']}", {"score": None, "notes": "n"})
    assert (again.status_code, again.json["score"], again.json["notes"]) == (200, None, "n")


def test_the_mean_is_that_of_the_raters_and_statistics_read_it(app: Flask, ada: Person, ben: Person) -> None:
    share(ada, ben, "editor")
    log = ada.log(ada.prompt(), score=2)
    path = f"/logs/{log['_id']}/scores"
    ada.post(path, {"name": "score", "value": 4, "identifier": "second look"})
    ben.post(path, {"name": "score", "value": 9})
    ben.post(path, {"name": "score", "value": 0, "annotator": "judge"})
    assert read(app, log) == (6, 3, True), "two looks of one rater weigh as much as one of another"
    stats = ada.get(f"/prompts/{log['promptId']}/stats").json
    assert stats["groups"][0]["score"]["mean"] == 6
    assert ada.get(f"/logs/{log['_id']}").json["score"] == 9
    ben.delete(f"/scores/{ada.get(f'/scores?author={ben.id}&annotator=human').json[0]['_id']}")
    assert read(app, log) == (3, 2, True)


def test_a_log_without_a_score_takes_no_statement_more(app: Flask, ada: Person) -> None:
    prompt = ada.prompt()

    def count(**values: Any) -> int:
        with statements(app) as seen:
            ada.log(prompt, **values)
        return len([statement for statement, _ in seen if "scores" in statement])

    assert count() == count(notes="n") == 0
    assert count(score=0) <= 1
    log = ada.log(prompt, score=0)
    assert scores_of(ada, log) == [(0, "score", "human", "ada")]
