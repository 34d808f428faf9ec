"""The migration to scores of traces and to what waits for its span: the step back loses only what waits."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_migrate import downgrade, upgrade
from sqlalchemy import text

from config import Config
from promptcrafter.database.session import get_engine
from tests.support.environment import SECRET
from tests.support.otlp import TRACE, export, export_records, make_record, make_span
from tests.support.people import Caller, sign_up

BEFORE = "f07d3a91c5b2"
CALL = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "gen_ai.response.id": "r1"}
RESULT = {"gen_ai.evaluation.name": "relevance", "gen_ai.evaluation.score.value": 0.5}


@pytest.fixture
def empty_app(make_app: Callable[[Config], Flask], empty_database_url: str, tmp_path: Path) -> Flask:
    config = Config(
        database_url=empty_database_url, jwt_secret_key=SECRET, instance_path=str(tmp_path), ratelimit_enabled=False
    )
    return make_app(config)


def read(statement: str) -> list[Any]:
    with get_engine().connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def test_scores_of_traces_stay_at_their_outputs_and_what_waits_is_lost(empty_app: Flask) -> None:
    with empty_app.app_context():
        upgrade()
    ada = sign_up(Caller(empty_app.test_client()), "ada")
    span = make_span(CALL)
    export(ada, span)
    of_trace = make_record("gen_ai.evaluation.result", attributes=RESULT, trace_id=TRACE)
    of_log = make_record("gen_ai.evaluation.result", attributes=RESULT, span=span)
    waiting = make_record("gen_ai.user.message", body={"content": "Hello?"}, trace_id=TRACE, span_id="ab" * 8)
    assert export_records(ada, of_trace, of_log, waiting).data == b""
    (log,) = ada.get("/logs").json
    with empty_app.app_context():
        assert read("SELECT count(*) FROM early_arrivals") == [(1,)]
        downgrade(revision=BEFORE)
        kept = "SELECT identifier, number, logs.id FROM scores JOIN logs ON logs.seq = log_seq ORDER BY identifier"
        assert read(kept) == [("", 0.5, log["_id"]), ("trace::", 0.5, log["_id"])]
        upgrade()
        assert read("SELECT count(*) FROM early_arrivals") == [(0,)]
    assert len(ada.get(f"/logs/{log['_id']}/scores").json) == 2
    assert len(ada.get(f"/traces/{log['traceId']}/scores").json) == 1
    assert export_records(ada, of_trace, of_log).data == b""
    assert len(ada.get(f"/logs/{log['_id']}/scores").json) == 2
    assert len(ada.get(f"/traces/{log['traceId']}/scores").json) == 1
