"""Writes through Gunicorn: concurrent ones, with the database locked, and with the service killed."""

import fcntl
import http.client
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from tests.support.connection import Connection, create_prompt, sign_up
from tests.support.servers import LiveServer

CLIENTS, LOGS_EACH = 32, 15


def test_thirty_two_clients_write_at_once_without_an_error(live_server: LiveServer) -> None:
    token = sign_up(live_server)
    prompt_id = create_prompt(Connection(live_server, token))
    together = threading.Barrier(CLIENTS)

    def write(client: int) -> list[str]:
        connection = Connection(live_server, token)
        together.wait()
        ids = []
        for number in range(LOGS_EACH):
            body = {"promptId": prompt_id, "output": f"{client}-{number}", "modelUsed": "m", "score": number % 10}
            answer = connection.call("POST", "/logs", body)
            assert answer.status == 201, answer.body
            ids.append(answer.json["_id"])
            assert connection.call("GET", f"/logs/{ids[-1]}").status == 200, "a 201 can be read at once"
        connection.close()
        return ids

    with ThreadPoolExecutor(CLIENTS) as pool:
        written = [log_id for ids in pool.map(write, range(CLIENTS)) for log_id in ids]
    kept = Connection(live_server, token).call("GET", "/logs").json
    assert sorted(log["_id"] for log in kept) == sorted(written)
    assert [log["createdAt"] for log in kept] == sorted((log["createdAt"] for log in kept), reverse=True)
    assert "locked" not in live_server.log


def test_concurrent_patches_never_create_the_same_version_twice(live_server: LiveServer) -> None:
    token = sign_up(live_server)
    prompt_id = create_prompt(Connection(live_server, token))

    def patch(number: int) -> int:
        answer = Connection(live_server, token).call("PATCH", f"/prompts/{prompt_id}", {"content": f"content {number}"})
        assert answer.status == 200, answer.body
        version: int = answer.json["version"]
        return version

    with ThreadPoolExecutor(12) as pool:
        assert sorted(pool.map(patch, range(24))) == list(range(2, 26))


def test_a_locked_database_is_503_with_retry_after_and_reads_go_on(start_server: Callable[..., LiveServer]) -> None:
    server = start_server(DATABASE_TIMEOUT_MS="300")
    token = sign_up(server)
    connection = Connection(server, token)
    prompt_id = create_prompt(connection)
    body = {"promptId": prompt_id, "output": "x", "modelUsed": "m"}
    blocker = sqlite3.connect(server.environment["DATABASE_URL"].removeprefix("sqlite:///"), isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    started = time.monotonic()
    refused = [
        connection.call("POST", "/logs", body),
        connection.call("PATCH", f"/prompts/{prompt_id}", {"title": "Another"}),
        connection.call("DELETE", f"/prompts/{prompt_id}"),
        connection.call("POST", "/auth/logout"),
    ]
    assert time.monotonic() - started < 8
    for answer in refused:
        assert (answer.status, answer.json["code"]) == (503, "database_unavailable")
        assert answer.headers["Retry-After"] == "1"
    assert connection.call("GET", "/logs").json == []

    def write_in_line(_: int) -> int:
        return Connection(server, token).call("POST", "/logs", body).status

    started = time.monotonic()
    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(write_in_line, range(16))) == {503}
    assert time.monotonic() - started < 4, "those in line do not wait one after the other"
    blocker.execute("ROLLBACK")
    blocker.close()
    assert connection.call("POST", "/logs", body).status == 201


def test_writers_that_wait_for_another_process_are_503_in_time(start_server: Callable[..., LiveServer]) -> None:
    server = start_server(DATABASE_TIMEOUT_MS="1000")
    token = sign_up(server)
    body = {"promptId": create_prompt(Connection(server, token)), "output": "x", "modelUsed": "m"}
    path = server.environment["DATABASE_URL"].removeprefix("sqlite:///")

    def write_in_line(_: int) -> tuple[int, float]:
        started = time.monotonic()
        status = Connection(server, token).call("POST", "/logs", body).status
        return status, time.monotonic() - started

    def write_all(pool: ThreadPoolExecutor) -> list[tuple[int, float]]:
        return list(pool.map(write_in_line, range(4)))  # a worker has as many threads

    key = Connection(server, token).call("POST", "/auth/keys", {"name": "k"}).json["key"]
    queue = os.open(f"{path}-queue", os.O_RDWR)
    blocker = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    with ThreadPoolExecutor(4) as pool:
        fcntl.flock(queue, fcntl.LOCK_EX)
        refused = write_all(pool)
        for credential in (token, key):  # the first use of the key would be noted
            assert Connection(server, credential).call("GET", "/logs").status == 200
        # the place in the queue is free after some time, but SQLite's own lock is not
        blocker.execute("BEGIN IMMEDIATE")
        threading.Timer(0.6, fcntl.flock, (queue, fcntl.LOCK_UN)).start()
        refused += write_all(pool)
        assert {status for status, _ in refused} == {503}
        assert max(seconds for _, seconds in refused) < 2
        blocker.execute("ROLLBACK")
        assert {status for status, _ in write_all(pool)} == {201}
    blocker.close()
    os.close(queue)


def test_what_was_acknowledged_survives_kill_9(start_server: Callable[..., LiveServer]) -> None:
    server = start_server()
    token = sign_up(server)
    prompt_id = create_prompt(Connection(server, token))
    acknowledged: list[str] = []

    def write() -> None:
        connection = Connection(server, token)
        try:
            while True:
                answer = connection.call("POST", "/logs", {"promptId": prompt_id, "output": "x", "modelUsed": "m"})
                acknowledged.append(answer.json["_id"])
        except (OSError, ValueError, http.client.HTTPException):
            return  # the server was killed

    writers = [threading.Thread(target=write) for _ in range(8)]
    for writer in writers:
        writer.start()
    time.sleep(1)
    for process in [server.process.pid, *server.workers()]:
        os.kill(process, signal.SIGKILL)
    for writer in writers:
        writer.join(timeout=20)
    server.process.wait(timeout=10)
    again = start_server(server.environment["DATABASE_URL"], migrate=False)
    kept = {log["_id"] for log in Connection(again, token).call("GET", "/logs").json}
    assert len(acknowledged) > 20
    assert set(acknowledged) <= kept
    with closing(sqlite3.connect(server.environment["DATABASE_URL"].removeprefix("sqlite:///"))) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
