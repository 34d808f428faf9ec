"""The migration of the spans of traces to rows: calls answer the same after it and after a step back."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Flask
from flask_migrate import downgrade, upgrade
from sqlalchemy import text

from config import Config
from promptcrafter.database.session import get_engine
from tests.support.environment import SECRET
from tests.support.otlp import export, make_span
from tests.support.people import Caller, sign_up

BEFORE = "e90c3b57a124"
TIME = {"startTime": "2026-01-01T00:00:00.000Z", "endTime": "2026-01-01T00:00:01.250Z"}
SPANS: list[list[dict[str, Any]]] = [
    [],
    [{"id": "same", "type": "retrieval", "name": "first"}, {"id": "same", "type": "tool", "name": "second"}],
    [
        {
            **{"id": "z", "type": "span", "parentId": "none", "name": "é\u2028😀", **TIME, "input": "text"},
            **{"output": [1, 2.5, None, {"b": 1, "a": "x"}], "idealOutput": {"z": [], "a": {}}},
            **{"metadata": {"z": 1e300, "a": True}, "evaluators": [{"slug": "e"}]},
        },
        {"id": "a", "type": "span", "input": "", "output": "[1,2]", "startTime": "2025-12-31T23:59:59.999Z"},
    ],
]


def read(statement: str) -> list[Any]:
    with get_engine().connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def test_spans_become_rows_and_the_same_json_again(
    make_app: Callable[[Config], Flask], empty_database_url: str, tmp_path: Path
) -> None:
    config = Config(
        database_url=empty_database_url, jwt_secret_key=SECRET, instance_path=str(tmp_path), ratelimit_enabled=False
    )
    app = make_app(config)
    with app.app_context():
        upgrade()
    ada = sign_up(Caller(app.test_client()), "ada")
    call = {"id": "call", "type": "generation", "output": "x", "cost": 0.75, "parentId": "same"}
    for number, spans in enumerate(SPANS):
        body = {"featureSlug": "f", "name": str(number), "logs": [*spans, call], **(TIME if number else {})}
        assert ada.post("/basalt/monitor/trace", body).status_code == 200
    paths = [f"/traces/{trace['_id']}" for trace in ada.get("/traces").json]
    answers = {path: ada.get(path).text for path in paths}
    assert [len(json.loads(answer)["spans"]) for answer in answers.values()] == [2, 2, 0]
    assert {json.loads(answer).get("durationMs") for answer in answers.values()} == {None, 1250}
    with app.app_context():
        downgrade(revision=BEFORE)
        stored = read("SELECT id, spans FROM traces ORDER BY seq")
        assert [None if spans is None else json.loads(spans) for _, spans in stored] == [None, *SPANS[1:]]
        upgrade()
        assert {path: ada.get(path).text for path in paths} == answers
        downgrade(revision=BEFORE)
        assert read("SELECT id, spans FROM traces ORDER BY seq") == stored
        upgrade()


def test_a_step_back_keeps_the_steps_of_traces_from_outside(
    make_app: Callable[[Config], Flask], empty_database_url: str, tmp_path: Path
) -> None:
    config = Config(
        database_url=empty_database_url, jwt_secret_key=SECRET, instance_path=str(tmp_path), ratelimit_enabled=False
    )
    app = make_app(config)
    with app.app_context():
        upgrade()
    ada = sign_up(Caller(app.test_client()), "ada")
    step = make_span({"gen_ai.operation.name": "execute_tool", "input.value": "Hello?"}, name="look up")
    assert export(ada, step, make_span({"gen_ai.operation.name": "chat"}, parent_id=step["span_id"])).status_code == 200
    with app.app_context():
        downgrade(revision=BEFORE)
        ((spans,),) = read("SELECT spans FROM traces")
        (kept,) = json.loads(spans)
        assert (kept["id"], kept["name"], kept["input"]) == (step["span_id"], "look up", "Hello?")
        upgrade()
        assert len(ada.get("/logs").json) == 1
        assert len(read("SELECT seq FROM spans")) == 1
