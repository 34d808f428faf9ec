"""Write transactions that wait for each other, and for other programs."""

import fcntl
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import pytest
from flask import Flask

from config import Config
from tests.support.databases import only_sqlite
from tests.support.otlp import encode, make_span
from tests.support.people import Person

TIMEOUT_S = 0.6


@only_sqlite
def test_all_waits_for_a_program_that_holds_the_write_lock_have_one_timeout(
    ada: Person, make_app: Callable[[Config], Flask], config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(replace(config, database_timeout_ms=round(TIMEOUT_S * 1000)))

    def create_after(pause_s: float) -> tuple[int, float]:
        time.sleep(pause_s)
        started = time.monotonic()
        body = {"title": "A title", "content": "c", "model": "m"}
        answer = app.test_client().post("/prompts", json=body, headers=ada.headers)
        return answer.status_code, time.monotonic() - started

    with closing(sqlite3.connect(config.database_url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor(3) as threads:  # the second has its turn when most of its time is over
            results = list(threads.map(create_after, (0, 0.1, 0.2)))
        assert ada.get("/prompts").json == []
        other.execute("ROLLBACK")
    assert [status for status, _ in results] == [503] * 3
    assert max(seconds for _, seconds in results) < TIMEOUT_S + 1
    assert "database unavailable: SQLITE_BUSY (database is locked)" in caplog.text
    assert create_after(0)[0] == 201


@only_sqlite
def test_exporters_wait_for_a_long_writer_before_the_queue_in_which_other_clients_write(
    ada: Person, make_app: Callable[[Config], Flask], config: Config
) -> None:
    client = make_app(replace(config, database_timeout_ms=200)).test_client()
    spans = encode([make_span({"gen_ai.operation.name": "chat"})])
    log = {"promptId": ada.prompt()["_id"], "output": "x", "modelUsed": "m"}
    media = {"Content-Type": "application/x-protobuf"}
    with open(f"{config.database_url.removeprefix('sqlite:///')}-bulk", "w", encoding="ascii") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        refused = client.post("/v1/traces", data=spans, headers={**ada.headers, **media})
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        assert client.post("/logs", json=log, headers=ada.headers).status_code == 201
    assert client.post("/v1/traces", data=spans, headers={**ada.headers, **media}).status_code == 200
