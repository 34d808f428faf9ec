"""Write transactions that wait for each other, and for other programs."""

import fcntl
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from argon2 import PasswordHasher
from flask import Flask
from sqlalchemy import select, text, update

from config import Config
from promptcrafter import clock
from promptcrafter.auth.models import User
from promptcrafter.database.session import read_snapshot, session
from promptcrafter.database.transactions import (
    autocommit_connection,
    joined_transaction,
    write_if_possible,
    writing,
    writing_in_background,
    writing_in_bulk,
)
from tests.support.databases import only_sqlite
from tests.support.otlp import encode, make_span
from tests.support.people import Caller, Person

TIMEOUT_S = 0.6


@contextmanager
def busy_queue(config: Config) -> Iterator[None]:
    """Let no other writer have its turn inside the block."""
    with open(f"{config.database_url.removeprefix('sqlite:///')}-queue", "w", encoding="ascii") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        yield


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


@only_sqlite
def test_calls_that_only_read_succeed_while_others_write(
    ada: Person,
    make_app: Callable[[Config], Flask],
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = make_app(replace(config, database_timeout_ms=200))
    key = ada.post("/auth/keys", {"name": "k"}).json["key"]
    by_key = Caller(app.test_client(), {"x-api-key": key})
    old_hash = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(ada.password)
    with app.app_context(), writing():
        session.execute(update(User).where(User.id == ada.id).values(password_hash=old_hash))
    with busy_queue(config):
        assert by_key.get("/prompts").status_code == 200
        assert by_key.get("/prompts").status_code == 200
        log_in = Caller(app.test_client()).post("/auth/login", {"email": ada.email, "password": ada.password})
        assert log_in.status_code == 200
        export = Caller(app.test_client(), ada.headers).get("/export")
        assert export.status_code == 200
        assert by_key.post("/prompts", {"title": "A title", "content": "c", "model": "m"}).status_code == 503
    assert f"an export of {ada.get('/workspaces').json[0]['_id']} is not in its audit trail" in caplog.text
    # the use of the key is noted when it is next used, and not an hour later
    assert ada.get("/auth/keys").json[0]["lastUsedAt"] is None
    later = clock.now() + timedelta(minutes=2)
    monkeypatch.setattr(clock, "now", lambda: later)
    assert by_key.get("/prompts").status_code == 200
    assert ada.get("/auth/keys").json[0]["lastUsedAt"] == clock.to_text(later)


def test_a_write_that_may_be_left_out_waits_for_a_short_time_and_others_as_before(app: Flask) -> None:
    waits: list[str] = []

    def note_wait() -> None:
        is_sqlite = session.get_bind().dialect.name == "sqlite"
        waits.append(session.scalar(text("SELECT 'none'" if is_sqlite else "SHOW lock_timeout")))

    with app.app_context():
        assert write_if_possible(note_wait)
        with writing():
            note_wait()
    assert waits in (["none", "none"], ["250ms", "2s"])


def rename(person: Person, name: str) -> None:
    session.execute(update(User).where(User.id == person.id).values(name=name))


@pytest.mark.parametrize("is_joined", [False, True])
def test_a_write_whose_session_is_closed_before_the_commit_does_not_pass_for_stored(
    app: Flask, ada: Person, is_joined: bool
) -> None:
    def read_between_writes() -> None:
        with joined_transaction(lambda: None) if is_joined else nullcontext(), writing():
            rename(ada, "Late")
            with read_snapshot() as reader:
                assert reader.scalar(select(User.name).where(User.id == ada.id)) == "ada"
            rename(ada, "Later")

    with app.app_context(), pytest.raises(RuntimeError, match="the session was closed inside of"):
        read_between_writes()
    assert ada.get("/auth/me").json["name"] == "ada"


@pytest.mark.parametrize(
    "write", [writing, writing_in_bulk, writing_in_background, autocommit_connection, lambda: write_if_possible(int)]
)
def test_a_write_transaction_inside_another_one_is_refused_at_once(
    app: Flask, ada: Person, write: Callable[[], Any]
) -> None:
    def write_twice(outer: AbstractContextManager[None]) -> None:
        with outer, writing():
            rename(ada, "Late")
            with write():
                raise AssertionError

    for outer in (nullcontext(), joined_transaction(lambda: None)):
        with app.app_context(), pytest.raises(RuntimeError, match="a write transaction inside another one"):
            write_twice(outer)
        assert ada.get("/auth/me").json["name"] == "ada"
    with app.app_context():
        with writing():
            rename(ada, "Ada")
        with writing():  # and one after the other is as before
            rename(ada, "Augusta")
    assert ada.get("/auth/me").json["name"] == "Augusta"
