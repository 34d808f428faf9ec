"""Deletions of many rows through Gunicorn, on both databases: others go on, and a purge survives a kill."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from tests.support.connection import Connection, create_prompt, sign_up
from tests.support.many_logs import add_logs, engine_of
from tests.support.servers import LiveServer

MANY = {"sqlite": 6_000, "postgresql": 40_000}  # which take some seconds to remove


@contextmanager
def database_of(server: LiveServer) -> Iterator[Engine]:
    engine = engine_of(server.environment["DATABASE_URL"])
    try:
        yield engine
    finally:
        engine.dispose()


def count(engine: Engine, table: str) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0)


def wait_for_purge(engine: Engine, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while count(engine, "pending_deletions"):
        assert time.monotonic() < deadline, "the purge takes too long"
        time.sleep(0.1)


def owner_of(connection: Connection) -> str:
    return str(connection.call("GET", "/auth/me").json["_id"])


def test_others_write_and_read_while_a_prompt_with_many_logs_is_deleted(
    any_live_server: LiveServer, engine_name: str
) -> None:
    server, many = any_live_server, MANY[engine_name]
    token = sign_up(server)
    connection = Connection(server, token)
    large, kept = create_prompt(connection), create_prompt(connection)
    body = {"promptId": kept, "output": "kept", "modelUsed": "m"}
    done = threading.Event()
    statuses: list[int] = []
    slowest = 0.0

    def call_others() -> None:
        nonlocal slowest
        other = Connection(server, token)
        while not done.is_set():
            for method, path, sent in (("POST", "/logs", body), ("GET", "/logs?per_page=3", None)):
                started = time.monotonic()
                answer = other.call(method, path, sent)
                slowest = max(slowest, time.monotonic() - started)
                statuses.append(answer.status)
                if method == "GET":
                    assert {log["output"] for log in answer.json} == {"kept"}
        other.close()

    with database_of(server) as engine, ThreadPoolExecutor(4) as pool:
        add_logs(engine, owner_of(connection), many, prompt_id=large)
        connection.call("POST", "/logs", body)
        deletions = [
            pool.submit(lambda: Connection(server, token).call("DELETE", f"/prompts/{large}").status) for _ in range(2)
        ]
        assert sorted(deletion.result() for deletion in deletions) == [204, 404]
        assert count(engine, "logs") > many / 2
        others = pool.submit(call_others)
        try:
            assert connection.call("GET", f"/prompts/{large}").status == 404
            late = {"promptId": large, "output": "too late", "modelUsed": "m"}
            assert connection.call("POST", "/logs", late).status == 404
            wait_for_purge(engine)
        finally:
            done.set()
        others.result()
        written = 1 + len(statuses) // 2
        assert set(statuses) == {201, 200}
        assert len(statuses) > 10
        assert slowest < 5, "no call waits for the whole purge"
        assert [count(engine, table) for table in ("logs", "log_search", "prompts")] == [written, written, 1]
    assert "Traceback" not in server.log


def test_logs_that_arrive_while_their_prompt_is_deleted_do_not_stay(any_live_server: LiveServer) -> None:
    server = any_live_server
    token = sign_up(server)
    connection = Connection(server, token)
    large = create_prompt(connection)
    body = {"promptId": large, "output": "x", "modelUsed": "m"}

    def write() -> set[int]:
        other = Connection(server, token)
        statuses = set()
        while 404 not in statuses:
            statuses.add(other.call("POST", "/logs", body).status)
        other.close()
        return statuses

    with database_of(server) as engine, ThreadPoolExecutor(3) as pool:
        add_logs(engine, owner_of(connection), 5_000, prompt_id=large)
        writers = [pool.submit(write) for _ in range(3)]
        time.sleep(0.3)
        assert connection.call("DELETE", f"/prompts/{large}").status == 204
        assert all(writer.result() == {201, 404} for writer in writers)
        wait_for_purge(engine)
        assert [count(engine, table) for table in ("logs", "log_search", "prompts")] == [0, 0, 0]


@pytest.fixture
def empty_url(engine_name: str, request: pytest.FixtureRequest) -> str:
    """The URL of a database for a server of its own; empty for a new SQLite file."""
    if engine_name == "sqlite":
        return ""
    url: str = request.getfixturevalue("database_url")
    return url.replace("+psycopg", "")


def test_a_killed_purge_goes_on_at_the_next_start(
    start_server: Callable[..., LiveServer], empty_url: str, engine_name: str
) -> None:
    server = start_server(empty_url, METRICS="on")
    token = sign_up(server)
    connection = Connection(server, token)
    large = create_prompt(connection)

    def scrape() -> dict[str, float]:
        lines = Connection(server, token).call("GET", "/metrics").body.decode().splitlines()
        samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}

    with database_of(server) as engine:
        add_logs(engine, owner_of(connection), MANY[engine_name], prompt_id=large)
        assert connection.call("DELETE", f"/prompts/{large}").status == 204
        assert scrape()['promptcrafter_pending_deletions{kind="prompt"}'] == 1
        deadline = time.monotonic() + 30
        while count(engine, "logs") > MANY[engine_name] * 0.8:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        for process in [server.process.pid, *server.workers()]:
            os.kill(process, signal.SIGKILL)
        server.process.wait(timeout=20)
        left = count(engine, "logs")
        assert left > 0
        server = start_server(server.environment["DATABASE_URL"], METRICS="on")
        deadline = time.monotonic() + 30
        wait_for_purge(engine)
        assert [count(engine, table) for table in ("logs", "log_search", "prompts")] == [0, 0, 0]
        while (metrics := scrape())["promptcrafter_purged_rows_total"] < left:  # they are counted after they are gone
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert metrics['promptcrafter_pending_deletions{kind="prompt"}'] == 0
        if engine_name == "sqlite":
            with engine.connect() as database:
                assert database.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
                database.exec_driver_sql("INSERT INTO log_words (log_words, rank) VALUES ('integrity-check', 1)")


def test_a_worker_that_stops_ends_its_purge_and_the_next_one_goes_on(start_server: Callable[..., LiveServer]) -> None:
    server = start_server(WEB_CONCURRENCY="1")
    connection = Connection(server, sign_up(server))
    large = create_prompt(connection)
    with database_of(server) as engine:
        add_logs(engine, owner_of(connection), MANY["sqlite"], prompt_id=large)
        assert connection.call("DELETE", f"/prompts/{large}").status == 204
        started = time.monotonic()
        server.process.send_signal(signal.SIGHUP)  # new workers
        while len(server.workers()) < 2:
            assert time.monotonic() - started < 10
            time.sleep(0.05)
        wait_for_purge(engine)
        assert count(engine, "logs") == 0
    path = Path(server.environment["DATABASE_URL"].removeprefix("sqlite:///"))
    server.process.terminate()
    assert server.process.wait(timeout=20) == 0
    assert not Path(f"{path}-wal").exists()
    assert "Traceback" not in server.log
