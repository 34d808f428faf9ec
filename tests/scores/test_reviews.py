"""What people have still to review, and how far they have come."""

import secrets
from collections.abc import Callable, Generator
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from promptcrafter import clock
from promptcrafter.database.session import get_engine, session
from promptcrafter.database.transactions import writing
from promptcrafter.logs.models import IMPORTED, Log, Score
from promptcrafter.scores import reviews
from tests.support.databases import only_sqlite
from tests.support.many_logs import add_logs, engine_of
from tests.support.members import share
from tests.support.people import Answer, Caller, Person, sign_up
from tests.support.statements import statements

NOT_FOUND = "prompt_01jz8x4m5n6p7q8r9s0t1v2w3x"
Change = Callable[..., None]


@pytest.fixture
def prompt(ada: Person) -> dict[str, Any]:
    return ada.prompt()


@pytest.fixture
def change(app: Flask) -> Change:
    """Return a function that sets columns of a log past the API."""

    def change_log(log_id: str, **columns: Any) -> None:
        with app.app_context(), writing():
            session.execute(update(Log).where(Log.id == log_id).values(columns))

    return change_log


def log_many(person: Caller, prompt: dict[str, Any], count: int, **values: Any) -> list[str]:
    """Log outputs of a prompt; return their ids, the oldest first."""
    items = [{"promptId": prompt["_id"], "output": f"output {n}", "modelUsed": "m", **values} for n in range(count)]
    results = person.post("/logs/batch", {"logs": items}).json["results"]
    return [result["_id"] for result in results]


def score(person: Caller, log_id: str, value: Any = 7, **values: Any) -> None:
    answer = person.post(f"/logs/{log_id}/scores", {"name": "score", "value": value, **values})
    assert answer.status_code in (200, 201), answer.text


def add_imported_score(app: Flask, log_id: str, rater: str, name: str | None = None) -> None:
    """Add a score as an import does."""
    now = clock.now()
    with app.app_context(), writing():
        log = session.scalars(select(Log).where(Log.id == log_id)).one()
        session.add(
            Score(
                id=f"score_{rater}{log.seq:026}",
                **{"workspace_id": log.workspace_id, "author_id": log.author_id, "log_seq": log.seq},
                **{"prompt_id": log.prompt_id, "name": "score", "value_kind": "number", "number": 3.0},
                **{"annotator": "human", "rater": f"{IMPORTED}{rater}", "imported_name": name, "identifier": ""},
                **{"created_at": now, "updated_at": now, "valued_at": now},
            )
        )


def find_next(person: Caller, query: str = "", **kwargs: Any) -> str | None:
    """Return the id of the log to review, None if there is none."""
    answer = person.get(f"/reviews/next?{query}", **kwargs)
    assert answer.status_code in (200, 204), answer.text
    return answer.json["_id"] if answer.status_code == 200 else None


def each_open(person: Caller, query: str = "") -> Generator[str]:
    """Score one log after the other until none is left; yield their ids."""
    while (log_id := find_next(person, query)) is not None:
        yield log_id
        score(person, log_id)


def code(answer: Answer) -> tuple[int, str]:
    return answer.status_code, answer.json["code"]


def test_two_people_review_every_output_one_after_the_other(
    ada: Person, ben: Person, prompt: dict[str, Any], engine_name: str
) -> None:
    logs = log_many(ada, prompt, 60 if engine_name == "sqlite" else 20)
    there = Caller(ben.client, {**ben.headers, **share(ada, ben, "viewer")})
    half = len(logs) // 2
    of_ada, of_ben = each_open(ada), each_open(there, f"promptId={prompt['_id']}&order=newest")
    first = [next(of_ada) for _ in range(half)]
    of_ada.close()
    assert list(of_ben) == logs[::-1]
    rest = list(each_open(ada, f"promptId={prompt['_id']}"))
    assert first[-1] in rest, "the last one was given, but not scored"
    assert sorted({*first, *rest}) == sorted(logs)
    assert len(first) - 1 + len(rest) == len(logs), "none was given twice"
    assert first != sorted(first), "the order is random"
    progress = ada.get("/reviews/progress").json
    assert {name: progress[name] for name in ("name", "logs", "done", "open", "scores")} == {
        **{"name": "score", "logs": len(logs), "done": len(logs), "open": 0, "scores": 2 * len(logs)}
    }


def test_a_log_is_given_while_fewer_people_than_asked_for_have_scored_it(
    app: Flask, ada: Person, ben: Person, prompt: dict[str, Any]
) -> None:
    (log,) = log_many(ada, prompt, 1)
    there = share(ada, ben, "editor")
    secret = ada.post("/auth/keys", {"name": "k"}).json["key"]
    key = Caller(ada.client, {"x-api-key": secret})
    for annotator in ("enduser", "judge", "code"):
        score(ada, log, annotator=annotator)
    score(key, log)
    assert find_next(ada) == find_next(key) == find_next(ben, headers=there) == log
    score(ada, log)
    score(ada, log, identifier="again")
    assert (find_next(ada), find_next(key)) == (None, None), "a key is its account"
    assert find_next(ada, "name=helpfulness") == log
    assert find_next(ben, "raters=1", headers=there) is None
    assert find_next(ben, headers=there) == log
    add_imported_score(app, log, "carla")
    assert find_next(ben, headers=there) is None
    assert find_next(ben, "raters=3", headers=there) == log
    progress = ada.get("/reviews/progress").json
    assert (progress["done"], progress["open"], progress["scores"]) == (1, 0, 3)
    assert ada.get("/reviews/progress?raters=3").json["open"] == 1


def test_a_blind_review_shows_what_a_rater_needs_and_nothing_else(ada: Person, prompt: dict[str, Any]) -> None:
    call = {"latencyMs": 12, "inputTokens": 3, "outputTokens": 4, "cost": 0.1, "metadata": {"model": "gpt-4o"}}
    review = {"notes": "Version 2 is better", "score": 9}
    shown = {"input": [{"role": "user"}], "idealOutput": "b", "variables": {"age": 7}}
    log = ada.log(prompt, **shown, **call, **review)
    plain = ada.get("/reviews/next?name=clarity").json
    assert plain == ada.get(f"/logs/{log['_id']}").json
    blind = ada.get("/reviews/next?name=clarity&blind=true").json
    assert blind == {
        **{"_id": log["_id"], "promptId": prompt["_id"], "output": "An output", "variables": {"age": 7}},
        **{"input": '[{"role":"user"}]', "inputFormat": "json", "idealOutput": "b"},
    }
    assert ada.get("/reviews/next?name=clarity&blind=false").json == plain


def test_random_order_begins_at_any_log_and_newest_at_the_end(
    ada: Person, prompt: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = log_many(ada, prompt, 6)

    def begin_at(position: int) -> str | None:
        monkeypatch.setattr(secrets, "randbelow", lambda count: position if count == 6 else None)
        return find_next(ada)

    assert [begin_at(position) for position in range(6)] == logs
    for log_id in logs[3:]:
        score(ada, log_id)
    assert [begin_at(position) for position in range(6)] == [*logs[:3], *[logs[0]] * 3], "it goes on at the oldest"
    assert find_next(ada, "order=newest") == logs[2]


def test_filters_choose_the_logs_and_failed_calls_are_never_given(
    ada: Person, prompt: dict[str, Any], change: Change
) -> None:
    other = ada.prompt()
    ada.patch(f"/prompts/{prompt['_id']}", {"content": "Another"})
    ada.put(f"/prompts/{prompt['_id']}/labels/production", {"version": 1})
    old = ada.log(prompt, promptVersion=1, modelUsed="a")["_id"]
    new = ada.log(prompt, modelUsed="b")["_id"]
    elsewhere = ada.log(other, modelUsed="a")["_id"]
    failed, empty = log_many(ada, other, 2)
    change(failed, status="error")
    change(empty, output=None)
    change(old, created_at=clock.now() - timedelta(days=9))
    of_prompt, day = f"promptId={prompt['_id']}", (clock.now() - timedelta(days=1)).date()
    expected = {
        "": {old, new, elsewhere},
        of_prompt: {old, new},
        f"{of_prompt}&promptVersion=1": {old},
        f"{of_prompt}&promptVersion=production": {old},
        f"{of_prompt}&promptVersion=latest": {new},
        f"{of_prompt}&promptVersion=9": set(),
        "model=a": {old, elsewhere},
        f"{of_prompt}&model=a": {old},
        f"{of_prompt}&promptVersion=2&model=a": set(),
        f"since={day}": {new, elsewhere},
        f"{of_prompt}&until={day}": {old},
        "model=c": set(),
    }
    for number, (query, logs) in enumerate(expected.items()):
        name = f"name=n{number}"
        assert ada.get(f"/reviews/progress?{query}&{name}").json["logs"] == len(logs), query
        for order in ("random", "newest"):
            found = {find_next(ada, f"{query}&{name}&order={order}") for _ in range(3)}
            assert found <= (logs or {None}), query
        given = []
        while (log_id := find_next(ada, f"{query}&{name}")) is not None:
            given.append(log_id)
            score(ada, log_id, name=f"n{number}")
        assert (set(given), len(given)) == (logs, len(logs)), query


def test_the_progress_lists_who_has_scored_how_much(
    app: Flask, ada: Person, ben: Person, prompt: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = log_many(ada, prompt, 4)
    there = Caller(ben.client, {**ben.headers, **share(ada, ben, "viewer")})
    assert ada.get("/reviews/progress?name=clarity").json == {
        **{"name": "clarity", "logs": 4, "done": 0, "open": 4, "given": 0, "wanted": 8, "scores": 0},
        **{"raters": [], "otherRaters": 0},
    }
    score(ada, logs[0])
    for log_id in logs[:3]:
        score(there, log_id)
    score(there, logs[0], identifier="again")
    score(there, logs[0], annotator="judge")
    add_imported_score(app, logs[3], "carla", "Carla")
    add_imported_score(app, logs[3], "")
    answer = there.get(f"/reviews/progress?promptId={prompt['_id']}").json
    times = [rater.pop("last") for rater in answer["raters"]]
    raters = {
        ben.id: {"author": {"userId": ben.id, "name": "ben"}, "imported": False, "scores": 4, "logs": 3},
        "": {"author": None, "imported": True, "scores": 1, "logs": 1},
        "carla": {"author": {"userId": "carla", "name": "Carla"}, "imported": True, "scores": 1, "logs": 1},
        ada.id: {"author": {"userId": ada.id, "name": "ada"}, "imported": False, "scores": 1, "logs": 1},
    }
    assert answer["raters"] == list(raters.values())
    assert times[0] == max(each["updatedAt"] for each in ada.get(f"/scores?author={ben.id}&annotator=human").json)
    assert {name: answer[name] for name in ("logs", "done", "open", "given", "wanted", "scores", "otherRaters")} == {
        **{"logs": 4, "done": 2, "open": 2, "given": 6, "wanted": 8, "scores": 7, "otherRaters": 0}
    }
    monkeypatch.setattr(reviews, "RATERS_MAX", 1)
    short = ada.get("/reviews/progress").json
    assert ([rater["author"]["name"] for rater in short["raters"]], short["otherRaters"]) == (["ben"], 3)
    monkeypatch.setattr(reviews, "SCORES_MAX", 6)
    refused = ada.get("/reviews/progress")
    assert code(refused) == (400, "too_many_to_review")
    assert refused.json["message"] == (
        "The logs that match have more than 6 scores. Narrow it by promptId, model, since or until."
    )


@pytest.mark.parametrize("first_look", [1, 2, 100])
def test_the_newest_log_to_review_is_found_wherever_it_is(
    ada: Person, prompt: dict[str, Any], monkeypatch: pytest.MonkeyPatch, first_look: int
) -> None:
    monkeypatch.setattr(reviews, "_FIRST_LOOK", first_look)
    logs = log_many(ada, prompt, 5)
    for log_id in reversed(logs):
        assert find_next(ada, "order=newest") == log_id
        score(ada, log_id)
    assert find_next(ada, "order=newest") is None


def test_of_too_many_logs_some_are_looked_at_and_204_is_only_for_all(
    ada: Person, prompt: dict[str, Any], monkeypatch: pytest.MonkeyPatch, change: Change
) -> None:
    logs = log_many(ada, prompt, 9)
    begin = clock.now().replace(microsecond=0) - timedelta(days=1)
    for hour, log_id in enumerate(logs):
        change(log_id, created_at=begin + timedelta(hours=hour))
    monkeypatch.setattr(reviews, "LOGS_MAX", 3)
    refused = ada.get(f"/reviews/progress?promptId={prompt['_id']}")
    assert code(refused) == (400, "too_many_to_review")
    assert refused.json["message"] == "More than 3 logs match. Narrow it by promptId, model, since or until."
    since = f"since={clock.to_text(begin + timedelta(hours=6))}"
    assert ada.get(f"/reviews/progress?{since}").json["logs"] == 3
    found = set()
    for numbers in [[hour * 3_600_000, position] for hour in range(9) for position in range(3)]:
        monkeypatch.setattr(secrets, "randbelow", lambda count, numbers=numbers: numbers.pop(0))
        found.add(find_next(ada))
    assert found == set(logs), "the windows reach every log"
    monkeypatch.undo()
    monkeypatch.setattr(reviews, "LOGS_MAX", 3)
    assert find_next(ada, "order=newest") == logs[-1]
    for log_id in logs[-3:]:
        score(ada, log_id)
    refused = ada.get("/reviews/next?order=newest")
    assert code(refused) == (400, "too_many_to_review")
    assert refused.json["message"] == (
        "None of the 3 logs that were looked at is to be reviewed. Narrow it by promptId, model, since or until."
    )
    assert find_next(ada, since) is None, "all that match were looked at"
    assert find_next(ada, f"order=newest&until={since[6:]}") == logs[5]
    for log_id in logs:
        score(ada, log_id)
    assert code(ada.get("/reviews/next")) == (400, "too_many_to_review")


@only_sqlite
def test_viewers_review_and_what_is_elsewhere_is_refused(client: Caller, ada: Person, ben: Person) -> None:
    prompt = ada.prompt()
    log = ada.log(prompt)["_id"]
    carla = sign_up(client, "carla")
    there = share(ada, ben, "viewer")
    calls = ("/reviews/next", "/reviews/progress", "/agreement")
    for call in calls:
        assert client.get(call).status_code == 401
        assert code(carla.get(call, headers=there)) == (404, "workspace_not_found")
        assert code(carla.get(f"{call}?promptId={prompt['_id']}")) == (403, "prompt_not_owned")
        assert code(ben.get(f"{call}?promptId={NOT_FOUND}")) == (404, "prompt_not_found")
        assert code(ben.get(f"{call}?promptId=explain")) == (400, "invalid_prompt_id")
        assert ben.get(call, headers=there).status_code == 200
        assert ben.get(f"{call}?promptId={prompt['_id']}").status_code == 200, "the id says where"
        for query in ("name=1", "name=", "raters=0", "raters=101", "order=oldest", "blind=1", "kind=text", "since=x"):
            assert ben.get(f"{call}?{query}").status_code == 400, query
    assert find_next(ben) is None
    assert find_next(carla) is None
    assert ben.get("/reviews/next?promptVersion=1").json["details"] == {"promptVersion": ["needs promptId beside it"]}
    for scope, status in (("read", 200), ("ingest", 403), ("write", 200)):
        secret = ben.post("/auth/keys", {"name": "k", "scopes": [scope]}).json["key"]
        for call in calls:
            answer = client.get(call, headers={"x-api-key": secret, **there})
            assert answer.status_code == status, (call, scope)
    ben.post(f"/logs/{log}/scores", {"name": "score", "value": 3})
    assert find_next(ben, headers=there) is None


def test_the_logs_and_their_scores_are_read_by_indices(
    app: Flask,
    ada: Person,
    prompt: dict[str, Any],
    database_url: str,
    engine_name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if engine_name == "postgresql":  # which reads the table instead if all of it matches and may be read
        monkeypatch.setattr(reviews, "LOGS_MAX", 100)
    engine = engine_of(database_url)
    add_logs(engine, ada.id, 20 if engine_name == "sqlite" else 5000, prompt_id=prompt["_id"])
    engine.dispose()
    of_prompt = f"promptId={prompt['_id']}"
    queries = ("", "model=m", "since=2023-01-01", of_prompt, f"{of_prompt}&promptVersion=1", f"{of_prompt}&model=m")
    paths = [f"/reviews/{call}?{query}" for call in ("next", "progress") for query in queries]
    paths += [f"/reviews/next?order=newest&{of_prompt}", "/agreement?name=x", f"/agreement?{of_prompt}"]
    bad = ("SCAN logs", "SCAN scores", "TEMP B-TREE FOR ORDER BY") if engine_name == "sqlite" else ("Seq Scan on logs",)
    explain = "EXPLAIN QUERY PLAN" if engine_name == "sqlite" else "EXPLAIN"
    for path in paths:
        with statements(app) as seen:
            assert ada.get(path).status_code in (200, 400)
        read = [pair for pair in seen if "FROM logs" in pair[0] or "FROM scores" in pair[0]]
        assert read, path
        with app.app_context(), get_engine().connect() as connection:
            for statement, parameters in read:
                rows = connection.exec_driver_sql(f"{explain} {statement}", parameters)
                plan = [str(row[-1]) for row in rows]
                sorting_scores = "GROUP BY" in statement  # of a bounded number, to count what raters gave
                assert not [step for step in plan for each in bad if each in step and not sorting_scores], (path, plan)
