"""The calls for scores: who gives, replaces, changes, removes and reads which."""

import json
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text, update

from promptcrafter import clock
from promptcrafter.database import cascade, deletions
from promptcrafter.database.session import get_engine, session
from promptcrafter.database.transactions import writing
from promptcrafter.logs import scores, store
from promptcrafter.logs.models import Score
from promptcrafter.maintenance import purge
from promptcrafter.workspaces import quota
from promptcrafter.workspaces.principal import at_home
from tests.support.databases import only_sqlite
from tests.support.errors import assert_error
from tests.support.members import share
from tests.support.people import Caller, Person, sign_up
from tests.support.statements import statements

UNKNOWN = "01jz8x4m5n6p7q8r9s0t1v2w3x"


@pytest.fixture
def log(ada: Person) -> dict[str, Any]:
    return ada.log(ada.prompt())


def give(person: Caller, log: dict[str, Any], name: str = "score", value: Any = 5, **more: Any) -> dict[str, Any]:
    """Give a new score, and return it."""
    answer = person.post(f"/logs/{log['_id']}/scores", {"name": name, "value": value, **more})
    assert answer.status_code == 201, answer.text
    return dict(answer.json)


def shown(person: Caller, log: dict[str, Any]) -> float | None:
    """Return the figure that a log shows."""
    score: float | None = person.get(f"/logs/{log['_id']}").json["score"]
    return score


def kept(person: Caller, log: dict[str, Any]) -> list[Any]:
    """Return the values of the scores of a log, newest first."""
    answer = person.get(f"/logs/{log['_id']}/scores")
    assert answer.status_code == 200
    return [score["value"] for score in answer.json]


def as_key(person: Person, **body: Any) -> Caller:
    return Caller(person.client, {"X-Api-Key": person.post("/auth/keys", {"name": "k", **body}).json["key"]})


def test_a_score_is_created_and_sent_again_with_the_same_keys_is_replaced(ada: Person, log: dict[str, Any]) -> None:
    body = {"name": "helpful", "value": 4, "comment": "Clear", "annotator": "judge", "identifier": "gpt-4o"}
    first = ada.post(f"/logs/{log['_id']}/scores", body)
    score = first.json
    assert (first.status_code, first.headers["Location"]) == (201, f"/scores/{score['_id']}")
    assert score == {
        **{"_id": score["_id"], "logId": log["_id"], "name": "helpful", "kind": "number", "value": 4},
        **{"comment": "Clear", "annotator": "judge", "author": {"userId": ada.id, "name": "ada"}},
        **{"identifier": "gpt-4o", "imported": False},
        **{"createdAt": score["createdAt"], "updatedAt": score["updatedAt"]},
    }
    assert score["_id"].startswith("score_")
    again = ada.post(f"/logs/{log['_id']}/scores", {**body, "value": "good", "comment": None})
    assert (again.status_code, again.headers["Location"]) == (200, first.headers["Location"])
    assert again.json == {
        **{**score, "kind": "category", "value": "good", "comment": None},
        "updatedAt": again.json["updatedAt"],
    }
    for other in ({"name": "Helpful"}, {"annotator": "code"}, {"annotator": "enduser"}, {"identifier": ""}):
        assert ada.post(f"/logs/{log['_id']}/scores", {**body, **other}).status_code == 201
    assert len(kept(ada, log)) == 5
    assert ada.get(f"/scores/{score['_id']}").json == again.json


def test_values_are_numbers_booleans_or_short_texts_and_come_back_as_they_were_sent(
    ada: Person, log: dict[str, Any]
) -> None:
    values = [4, -2.5, 0, 1e300, True, False, "good", "x" * 64]
    for number, value in enumerate(values):
        score = give(ada, log, f"kind {number}", value)
        kind = {bool: "boolean", str: "category"}.get(type(value), "number")
        assert (json.dumps(score["value"]), score["kind"]) == (json.dumps(value), kind)
    assert json.dumps(kept(ada, log)) == json.dumps(values[::-1])
    for value in (None, "", " ", "x" * 65, [1], {"a": 1}, 10**400, "a\0"):
        answer = ada.post(f"/logs/{log['_id']}/scores", {"name": "other", "value": value})
        assert (answer.status_code, answer.json["details"].keys()) == (400, {"value"}), value
    assert len(kept(ada, log)) == len(values)


@only_sqlite
def test_names_and_the_other_fields_have_rules(ada: Person, log: dict[str, Any]) -> None:
    for name in ("A", "a b_c.d-e", "a" * 64):
        give(ada, log, name)
    rule = "must be a letter and up to 63 letters, digits, blanks, `_`, `.` or `-`"
    for name in ("1a", "_a", " a", "a/b", "é", "a\n", "a" * 65):
        answer = ada.post(f"/logs/{log['_id']}/scores", {"name": name, "value": 1})
        assert (answer.status_code, answer.json["details"]) == (400, {"name": [rule]})
    for field, value in {
        **{"name": 5, "comment": "x" * 10_001, "annotator": "robot", "identifier": "x" * 65},
    }.items():
        answer = ada.post(f"/logs/{log['_id']}/scores", {"name": "a", "value": 1, field: value})
        assert (answer.status_code, answer.json["details"].keys()) == (400, {field})
    assert_error(ada.post(f"/logs/{log['_id']}/scores", {}), 400, "missing_fields")
    for value in (11, -1, "good", True):
        answer = ada.post(f"/logs/{log['_id']}/scores", {"name": "score", "value": value, "annotator": "judge"})
        assert answer.json["details"] == {"value": ["must be a number from 0 to 10 for the name score"]}


def test_a_person_scores_as_a_human_and_a_key_as_code_unless_they_say_otherwise(
    ada: Person, log: dict[str, Any]
) -> None:
    assert give(ada, log)["annotator"] == "human"
    key = as_key(ada, scopes=["ingest"])
    assert give(key, log)["annotator"] == "code"
    assert give(key, log, annotator="enduser")["author"] == {"userId": ada.id, "name": "ada"}
    assert (
        key.post(f"/logs/{log['_id']}/scores", {"name": "score", "value": 6, "annotator": "human"}).status_code == 200
    )
    results = key.post("/scores/batch", {"scores": [{"logId": log["_id"], "name": "b", "value": 1}]}).json["results"]
    assert ada.get(f"/scores/{results[0]['_id']}").json["annotator"] == "code"
    assert shown(ada, log) == 6, "what a person gave last, whatever sent it"


def test_everybody_s_score_is_kept_and_the_log_shows_the_last_one(
    ada: Person, ben: Person, log: dict[str, Any]
) -> None:
    share(ada, ben, "viewer")
    mine, bens = give(ada, log, value=9), give(ben, log, value=4)
    assert (shown(ada, log), kept(ada, log)) == (4, [4, 9])
    for annotator, name in (("judge", "score"), ("code", "score"), ("enduser", "score"), ("human", "helpful")):
        give(ben, log, name, 1, annotator=annotator)
    assert shown(ada, log) == 4, "which people gave, under this name"
    ada.patch(f"/scores/{mine['_id']}", {"value": 8.5})
    assert shown(ada, log) == 8.5
    assert ben.patch(f"/logs/{log['_id']}", {"notes": "mine"}).json["code"] == "role_forbids"
    assert ben.patch(f"/scores/{bens['_id']}", {"comment": "Why"}).json["comment"] == "Why"
    assert shown(ada, log) == 8.5, "a comment is no value"
    for value in (11, "good", True):
        answer = ada.patch(f"/scores/{mine['_id']}", {"value": value})
        assert answer.status_code == 400
        assert answer.json["details"] == {"value": ["must be a number from 0 to 10 for the name score"]}
    assert shown(ada, log) == 8.5
    assert ada.delete(f"/scores/{mine['_id']}").status_code == 204
    assert shown(ada, log) == 4
    assert ben.delete(f"/scores/{bens['_id']}").status_code == 204
    assert shown(ada, log) is None
    assert ada.get(f"/scores/{mine['_id']}").json["code"] == "score_not_found"


def test_a_deletion_changes_the_figure_only_if_it_came_from_that_score(
    ada: Person, ben: Person, log: dict[str, Any]
) -> None:
    share(ada, ben, "editor")
    cleo = sign_up(Caller(ada.client), "cleo")
    share(ada, cleo, "editor")
    first, second, third = give(ada, log, value=1), give(ben, log, value=2), give(cleo, log, value=3)
    ben.delete(f"/scores/{second['_id']}")
    assert shown(ada, log) == 3
    ada.patch(f"/logs/{log['_id']}", {"score": None})
    assert (shown(ada, log), kept(ada, log)) == (None, [3])
    assert ada.get(f"/scores/{first['_id']}").status_code == 404
    again = give(ben, log, value=2)
    ben.patch(f"/logs/{log['_id']}", {"score": None})
    assert ada.get(f"/scores/{again['_id']}").status_code == 404
    cleo.delete(f"/scores/{third['_id']}")
    assert (shown(ada, log), kept(ada, log)) == (None, [])
    own = [give(ada, log, value=value, identifier=str(value)) for value in (6, 7)]
    give(ben, log, value=5)
    ada.delete(f"/scores/{own[1]['_id']}")
    assert shown(ada, log) == 5
    ben.patch(f"/logs/{log['_id']}", {"score": None})
    ada.delete(f"/scores/{own[0]['_id']}")
    assert (shown(ada, log), kept(ada, log)) == (None, [])


def test_the_newest_of_scores_in_one_millisecond_is_the_one_written_last(
    ada: Person, ben: Person, log: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = clock.now()
    monkeypatch.setattr(clock, "now", lambda: moment)
    share(ada, ben, "viewer")
    mine, bens = give(ada, log, value=1), give(ben, log, value=2)
    ada.patch(f"/scores/{mine['_id']}", {"value": 3})
    ben.delete(f"/scores/{bens['_id']}")
    assert shown(ada, log) == 3
    other = give(ben, log, value=4)
    ada.post(f"/logs/{log['_id']}/scores", {"name": "score", "value": 5})
    ada.delete(f"/scores/{mine['_id']}")
    assert shown(ada, log) == other["value"]


def test_one_changes_one_s_own_scores_and_an_owner_any_with_an_entry_in_the_trail(
    app: Flask, ada: Person, ben: Person, log: dict[str, Any]
) -> None:
    there = share(ada, ben, "editor")
    bens, mine = give(ben, log, "tone", "rude", comment="Look"), give(ada, log, "tone", "kind")
    own = ben.patch(f"/scores/{bens['_id']}", {"value": "curt"})
    assert (own.status_code, own.json["value"], own.json["comment"]) == (200, "curt", "Look")
    for method, body in (("PATCH", {"value": 1}), ("DELETE", None)):
        answer = ben.open(f"/scores/{mine['_id']}", method=method, json=body)
        assert_error(answer, 403, "role_forbids")
        assert "a score of somebody else needs owner" in answer.json["message"]
    narrow = as_key(ada, scopes=["write"]).patch(f"/scores/{bens['_id']}", {"value": "x"})
    assert_error(narrow, 403, "scope_forbids")
    path = f"/workspaces/{there['X-Workspace']}/audit"
    assert ada.patch(f"/scores/{bens['_id']}", {}).json["value"] == "curt"
    assert ada.patch(f"/scores/{bens['_id']}", {"comment": None}).status_code == 200
    assert ada.patch(f"/scores/{bens['_id']}", {"value": True}).json["author"]["userId"] == ben.id
    entries = ada.get(f"{path}?object={bens['_id']}").json
    assert [(entry["action"], entry["before"], entry["after"]) for entry in entries] == [
        ("score.change", {"value": "curt"}, {"value": True}),
        ("score.change", {"comment": "Look"}, {"comment": None}),
    ]
    assert entries[0]["object"] == {"type": "score", "id": bens["_id"], "name": "tone"}
    assert ada.get(f"{path}?object={log['_id']}").json == entries
    assert ada.delete(f"/scores/{bens['_id']}").status_code == 204
    entries = ada.get(f"{path}?object={bens['_id']}").json
    assert [(entry["action"], entry["before"], entry["after"], entry["object"]["name"]) for entry in entries] == [
        (action, None, None, None) for action in ("score.delete", "score.change", "score.change")
    ]
    bad: list[tuple[Any, str]] = [({"value": None}, "value"), ({"comment": 1}, "comment"), ([], "")]
    for body, reason in bad:
        answer = ada.patch(f"/scores/{mine['_id']}", body)
        assert (answer.status_code, reason in answer.json["message"]) == (400, True)


@pytest.mark.parametrize("way", ["log", "prompt", "null", "self"])
def test_no_text_is_kept_of_a_score_whatever_takes_it(ada: Person, ben: Person, log: dict[str, Any], way: str) -> None:
    there = share(ada, ben, "editor")
    bens = give(ben, log, value=2, comment="private")
    ada.patch(f"/scores/{bens['_id']}", {"value": 3, "comment": "changed"})
    path = f"/workspaces/{there['X-Workspace']}/audit?object={bens['_id']}"
    assert ada.get(path).json[0]["before"] == {"value": 2, "comment": "private"}
    done = {
        "log": lambda: ada.delete(f"/logs/{log['_id']}"),
        "prompt": lambda: ada.delete(f"/prompts/{log['promptId']}"),
        "null": lambda: ben.patch(f"/logs/{log['_id']}", {"score": None}),
        "self": lambda: ben.delete(f"/scores/{bens['_id']}"),
    }[way]()
    assert done.status_code in (200, 204)
    (entry,) = ada.get(path).json
    assert (entry["before"], entry["after"], entry["object"]["name"]) == (None, None, None)


def test_a_batch_has_a_result_for_each_score(ada: Person, ben: Person, log: dict[str, Any]) -> None:
    other, bens = ada.log({"_id": log["promptId"]}), ben.log(ben.prompt())
    score = {"logId": log["_id"], "name": "score", "value": 7}
    sent = [
        *(score, {**score, "value": 8}, {**score, "logId": other["_id"], "value": 1}, {**score, "value": 11}),
        *({**score, "logId": f"log_{UNKNOWN}"}, {**score, "logId": bens["_id"]}, {**score, "logId": "x"}, {}, 5),
        *({**score, "name": "tone", "value": "kind"}, {**score, "name": "tone", "value": "rude", "identifier": "2"}),
    ]
    answer = ada.post("/scores/batch", {"scores": sent})
    assert answer.status_code == 200
    results = answer.json["results"]
    assert [(result["status"], result.get("code")) for result in results] == [
        *((201, None), (200, None), (201, None), (400, "invalid_fields")),
        *((404, "log_not_found"), (403, "log_not_owned"), (404, "log_not_found")),
        *((400, "missing_fields"), (400, "invalid_fields"), (201, None), (201, None)),
    ]
    assert results[0]["_id"] == results[1]["_id"]
    assert (shown(ada, log), shown(ada, other), shown(ben, bens)) == (8, 1, None)
    assert kept(ada, log) == ["rude", "kind", 8]
    lines = b"".join(json.dumps(line).encode() + b"\n" for line in (score, {**score, "name": "x"})) + b"{\n"
    answer = ada.post("/scores/batch", data=lines, content_type="application/x-ndjson")
    assert [result["status"] for result in answer.json["results"]] == [200, 201, 400]
    assert answer.json["results"][2]["message"].startswith("Invalid JSON at line 3, column 2: ")
    answer = ada.post("/scores/batch", {"scores": [score] * 1001})
    assert (answer.status_code, answer.json["details"]) == (400, {"scores": ["must have 0 to 1000 entries"]})


def test_a_request_that_is_repeated_with_its_key_gives_no_other_score(
    ada: Person, ben: Person, log: dict[str, Any]
) -> None:
    there, key = share(ada, ben, "viewer"), {"Idempotency-Key": "one"}
    body = {"name": "score", "value": 3}
    for person, path, sent in (
        (ada, f"/logs/{log['_id']}/scores", body),
        (ben, "/scores/batch", {"scores": [{"logId": log["_id"], **body}]}),
    ):
        first = person.post(path, sent, headers={**key, **there})
        give(ada, log, value=5, identifier=path)
        again = person.post(path, sent, headers={**key, **there})
        assert (again.status_code, again.json) == (first.status_code, first.json)
        assert again.headers["Idempotency-Replayed"] == "true"
        assert shown(ada, log) == 5
    reused = ada.post(f"/logs/{log['_id']}/scores", {**body, "value": 4}, headers={**key, **there})
    assert_error(reused, 422, "idempotency_key_reused")


def test_a_log_takes_at_most_a_thousand_scores(
    ada: Person, log: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert scores.SCORES_MAX == 1000
    monkeypatch.setattr(scores, "SCORES_MAX", 3)
    give(ada, log), give(ada, log, "a")
    sent = [{"logId": log["_id"], "name": name, "value": 2} for name in ("b", "c", "a", "b")]
    results = ada.post("/scores/batch", {"scores": sent}).json["results"]
    assert [result["status"] for result in results] == [201, 409, 200, 200]
    answer = ada.post(f"/logs/{log['_id']}/scores", {"name": "c", "value": 1})
    assert_error(answer, 409, "too_many_scores", "A log may have at most 3 scores.")
    assert ada.patch(f"/logs/{log['_id']}", {"score": 1}).status_code == 200


def test_lists_are_filtered_and_paged_and_have_every_format(
    ada: Person, ben: Person, log: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = share(ada, ben, "viewer")
    other = ada.log(ada.prompt(title="Another"))
    start = clock.now()
    given: list[tuple[Person, dict[str, Any], dict[str, Any]]] = [
        (ada, log, {"name": "score", "value": 1}),
        (ben, log, {"name": "score", "value": 2, "comment": "a, b"}),
        (ada, log, {"name": "tone", "value": "kind", "annotator": "judge"}),
        (ben, other, {"name": "tone", "value": True}),
    ]
    for number, (person, which, body) in enumerate(given):
        moment = start + timedelta(seconds=number)
        monkeypatch.setattr(clock, "now", lambda moment=moment: moment)
        give(person, which, **body)

    def values(query: str) -> list[Any]:
        answer = ada.get(f"/scores?{query}")
        assert answer.status_code == 200, answer.text
        return [score["value"] for score in answer.json]

    middle = clock.to_text(start + timedelta(seconds=2))
    assert values("") == [True, "kind", 2, 1]
    assert values("name=score") == [2, 1]
    assert values("annotator=judge") == ["kind"]
    assert values(f"author={ben.id}") == [True, 2]
    assert values(f"author={ben.id}&name=score") == [2]
    assert values(f"author=user_{UNKNOWN}") == values("name=Score") == []
    for malformed in ("nobody", log["_id"], "%00"):
        assert_error(ada.get(f"/scores?author={malformed}"), 400, "invalid_user_id")
    assert values(f"promptId={log['promptId']}") == ["kind", 2, 1]
    assert values(f"promptId={log['promptId']}&name=score&author={ada.id}&annotator=human") == [1]
    assert (values(f"since={middle}"), values(f"until={middle}")) == ([True, "kind"], [2, 1])
    assert ben.get("/scores").json == []
    assert len(ben.get("/scores", headers=there).json) == 4
    page = ada.get("/scores?per_page=3")
    assert [score["value"] for score in page.json] == [True, "kind", 2]
    following = page.headers["Link"].partition(">")[0].removeprefix("<")
    assert [score["value"] for score in ada.get(following).json] == [1]
    page = ada.get(f"/logs/{log['_id']}/scores?per_page=2")
    assert ([score["value"] for score in page.json], 'rel="next"' in page.headers["Link"]) == (["kind", 2], True)
    rows = ada.get("/scores", headers={"Accept": "text/csv"}).text.splitlines()
    assert rows[0] == (
        "_id,logId,name,kind,value,comment,annotator,author.userId,author.name,identifier,imported,createdAt,updatedAt,"
        "traceId,spanId"
    )
    assert f',"score","number","2","a, b","human","{ben.id}","ben","","false",' in rows[3]
    lines = ada.get("/scores", headers={"Accept": "application/x-ndjson"}).text.splitlines()
    assert list(map(json.loads, lines)) == ada.get("/scores").json
    for query in ("name=1", "annotator=x", "since=soon", "promptId=x", "value=1", "per_page=0"):
        assert ada.get(f"/scores?{query}").status_code == 400, query


@pytest.mark.parametrize("what", ["prompts", "logs", "traces"])
def test_the_scores_of_what_is_deleted_are_gone_at_once(
    app: Flask, ada: Person, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    prompt = ada.prompt(slug="p")
    generation = {"id": "1", "type": "generation", "prompt": {"slug": "p"}, "output": "x"}
    trace = ada.post("/basalt/monitor/trace", {"featureSlug": "f", "logs": [generation]}).json["trace"]["id"]
    (log,) = ada.get("/logs").json
    score = give(ada, log)
    path = {"prompts": f"/prompts/{prompt['_id']}", "logs": f"/logs/{log['_id']}", "traces": f"/traces/{trace}"}[what]

    def assert_gone() -> None:
        assert ada.get("/scores").json == ada.get("/scores?name=score").json == []
        for method, body in (("GET", None), ("PATCH", {"value": 1}), ("DELETE", None)):
            assert_error(ada.open(f"/scores/{score['_id']}", method=method, json=body), 404, "score_not_found")
        assert_error(ada.get(f"/logs/{log['_id']}/scores"), 404, "log_not_found")
        assert_error(ada.post(f"/logs/{log['_id']}/scores", {"name": "a", "value": 1}), 404, "log_not_found")
        (result,) = ada.post("/scores/batch", {"scores": [{"logId": log["_id"], "name": "a", "value": 1}]}).json[
            "results"
        ]
        assert result["code"] == "log_not_found"

    with app.app_context(), purge.only_purge(), monkeypatch.context() as patched:
        patched.setattr(cascade, "remove_some", lambda *_: False)
        assert ada.delete(path).status_code == 204
        assert deletions.has_pending() == (what != "logs")
        session.close()
        assert_gone()
    with app.app_context():
        purge.run()
        assert session.scalar(text("SELECT count(*) FROM scores")) == 0
    assert_gone()


def test_the_scores_of_a_deleted_workspace_are_gone_and_purged(app: Flask, ada: Person) -> None:
    ada.post("/workspaces", {"name": "Team", "slug": "team"})
    there = Person(ada, ada.id, ada.token, ada.email, ada.password)
    there.headers["X-Workspace"] = "team"
    score = give(there, there.log(there.prompt()))
    assert there.put("/score-configs/tone", {"kind": "boolean"}).status_code == 200
    assert ada.delete("/workspaces/team?confirm=team").status_code == 204
    assert ada.get(f"/scores/{score['_id']}").status_code == 404
    with app.app_context():
        purge.run()
        for table in ("scores", "score_configs"):
            assert session.scalar(text(f"SELECT count(*) FROM {table}")) == 0


def test_the_scores_of_a_deleted_account_stay_without_its_name(ada: Person, ben: Person, log: dict[str, Any]) -> None:
    share(ada, ben, "editor")
    score = give(ben, log, value=2)
    assert ben.delete("/auth/me", json={"currentPassword": ben.password, "anonymise": True}).status_code == 204
    left = ada.get(f"/scores/{score['_id']}").json
    assert left["author"] == {"userId": ben.id, "name": "deleted account"}
    assert ada.patch(f"/scores/{score['_id']}", {"value": 3}).status_code == 200


def test_the_author_of_an_imported_score_is_a_text_and_no_account(
    app: Flask, ada: Person, ben: Person, log: dict[str, Any]
) -> None:
    share(ada, ben, "editor")
    ids = [give(ada, log, name)["_id"] for name in ("known", "unknown")]
    with app.app_context(), writing():
        for score_id, rater, name in zip(ids, (f"imported:{ben.id}", "imported:"), ("Ben", None), strict=True):
            session.execute(update(Score).where(Score.id == score_id).values(rater=rater, imported_name=name))
    known, unknown = (ada.get(f"/scores/{score_id}").json for score_id in ids)
    assert (known["imported"], known["author"]) == (True, {"userId": ben.id, "name": "Ben"})
    assert (unknown["imported"], unknown["author"]) == (True, None)
    assert [score["name"] for score in ada.get(f"/scores?author={ben.id}").json] == ["known"]
    assert_error(ben.patch(f"/scores/{ids[0]}", {"value": 1}), 403, "role_forbids")
    assert ada.patch(f"/scores/{ids[0]}", {"value": 1}).json["author"] == known["author"]
    assert give(ben, log, "known")["_id"] not in ids
    assert ada.get(f"/scores/{ids[0]}").status_code == 404, "nobody counts twice: it is replaced"


def test_a_score_of_a_foreign_or_unknown_log_is_refused_also_where_a_workspace_is_full(
    app: Flask, ada: Person, ben: Person, log: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []
    monkeypatch.setattr(quota, "check_growth", checked.append)
    for path, code in (
        (f"/logs/{log['_id']}/scores", (403, "log_not_owned")),
        (f"/logs/log_{UNKNOWN}/scores", (404, "log_not_found")),
        ("/logs/nonsense!/scores", (400, "invalid_log_id")),
    ):
        for answer in (ben.post(path, {"name": "a", "value": 1}), ben.get(path)):
            assert_error(answer, *code)
    assert checked == []
    assert_error(ben.get("/scores/nonsense!"), 400, "invalid_score_id")


PLANS = {
    "": "ix_scores_workspace_id_created_at_seq",
    "name=score": "ix_scores_workspace_id_name_created_at_seq",
    "author={author}": "ix_scores_workspace_id_rater_id_created_at_seq",
    "promptId={prompt}": "ix_scores_prompt_id_created_at_seq",
    "annotator=human&since=2024-01-01": "ix_scores_workspace_id_created_at_seq",
}


def test_every_list_is_a_range_of_an_index(
    app: Flask, ada: Person, ben: Person, log: dict[str, Any], engine_name: str, subtests: pytest.Subtests
) -> None:
    for number in range(10):
        give(ada, log, f"s{number % 3}", number, identifier=str(number))
    # Most scores of the workspace are of another author and prompt, so that the planner's best index is certain
    home, others_log = share(ada, ben, "editor"), ada.log(ada.prompt())
    others = [{"logId": others_log["_id"], "name": "other", "value": 1, "identifier": str(n)} for n in range(200)]
    assert ben.post("/scores/batch", {"scores": others}, headers=home).status_code in (200, 201, 207)
    with app.app_context(), get_engine().connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("ANALYZE scores")
    for query, index in PLANS.items():
        filters = query.format(author=ada.id, prompt=log["promptId"])
        with subtests.test(query=query), statements(app) as seen:
            answer = ada.get(f"/scores?{filters}&per_page=2&cursor=99999999999999-9")
            assert answer.status_code == 200, answer.text
            ((statement, parameters),) = [pair for pair in seen if "FROM scores" in pair[0]]
            with app.app_context(), get_engine().connect() as connection:
                if engine_name == "postgresql":
                    for setting in ("enable_seqscan", "enable_bitmapscan", "enable_sort"):
                        connection.exec_driver_sql(f"SET {setting} = off")
                explain = {"sqlite": "EXPLAIN QUERY PLAN", "postgresql": "EXPLAIN"}[engine_name]
                plan = [str(row[-1]) for row in connection.exec_driver_sql(f"{explain} {statement}", parameters)]
            assert any(index in step for step in plan), plan
            assert not any("Sort" in step or "TEMP B-TREE" in step for step in plan), plan


def test_prune_keeps_a_log_that_a_person_has_scored_under_any_name(app: Flask, ada: Person) -> None:
    logs = [ada.log(ada.prompt()) for _ in range(4)]
    for log, annotator in zip(logs, ("human", "enduser", "judge"), strict=False):
        give(ada, log, "tone", "kind", annotator=annotator)
    filters = {"until": clock.now() + timedelta(days=1), "is_reviewed": False}
    with app.app_context():
        assert store.count_expired(at_home(ada.id), filters) == 2
