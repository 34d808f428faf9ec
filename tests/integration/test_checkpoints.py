"""SQLite's write-ahead log: merged at a clean stop, and small again after a long reader."""

import os
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.commands import flask
from tests.support.connection import Connection, create_prompt, sign_up
from tests.support.servers import LiveServer


def path_of(server: LiveServer) -> Path:
    return Path(server.environment["DATABASE_URL"].removeprefix("sqlite:///"))


def logs_in(path: Path) -> list[str]:
    """Return the ids of the logs in the file alone, without SQLite's files beside it."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as database:
        return [log_id for (log_id,) in database.execute("SELECT id FROM logs ORDER BY id")]


def has_log(path: Path) -> bool:
    return any(Path(f"{path}{suffix}").exists() for suffix in ("-wal", "-shm"))


def write_logs(server: LiveServer, token: str, count: int, output: str = "x") -> list[str]:
    connection = Connection(server, token)
    prompt_id = create_prompt(connection)
    body = {"promptId": prompt_id, "output": output, "modelUsed": "m"}
    ids = [connection.call("POST", "/logs", body).json["_id"] for _ in range(count)]
    connection.close()
    return sorted(ids)


@pytest.mark.parametrize("stop", ["SIGTERM", "SIGINT", "SIGINT to all, as by Ctrl-C", "SIGQUIT"])
def test_after_a_clean_stop_the_file_alone_has_everything(start_server: Callable[..., LiveServer], stop: str) -> None:
    server = start_server()
    written = write_logs(server, sign_up(server), 5)
    path = path_of(server)
    assert has_log(path)
    name, _, _ = stop.partition(" ")
    processes = server.workers() if "all" in stop else []
    for process in [*processes, server.process.pid]:
        os.kill(process, getattr(signal, name))
    server.process.wait(timeout=20)
    assert not has_log(path)
    assert logs_in(path) == written
    assert "Traceback" not in server.log


def test_a_stop_waits_for_no_other_program_and_kill_9_loses_nothing(start_server: Callable[..., LiveServer]) -> None:
    server = start_server()
    written = write_logs(server, sign_up(server), 3)
    path = path_of(server)
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM logs").fetchone()
        started = time.monotonic()
        server.process.terminate()
        assert server.process.wait(timeout=20) == 0
        assert time.monotonic() - started < 8
    assert "Traceback" not in server.log
    again = start_server(server.environment["DATABASE_URL"], migrate=False)
    for process in [again.process.pid, *again.workers()]:
        os.kill(process, signal.SIGKILL)
    again.process.wait(timeout=20)
    with closing(sqlite3.connect(path)) as database:
        assert [row[0] for row in database.execute("SELECT id FROM logs ORDER BY id")] == written


def test_a_command_leaves_no_log_behind_when_the_service_is_stopped(start_server: Callable[..., LiveServer]) -> None:
    server = start_server()
    server.process.terminate()
    server.process.wait(timeout=20)
    path, url = path_of(server), server.environment["DATABASE_URL"]
    added = flask(
        url, "user", "add", "ben@example.com", "--name", "Ben", "--password-stdin", stdin="correct horse battery"
    )
    assert added.returncode == 0, added.stderr
    assert not has_log(path)
    assert flask(url, "db", "upgrade").returncode == 0
    assert not has_log(path)


def test_a_log_that_grew_during_an_export_shrinks_when_it_ends(
    start_server: Callable[..., LiveServer], tmp_path: Path
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    server = start_server(TMPDIR=str(temporary))
    token = sign_up(server)
    path = path_of(server)
    write_logs(server, token, 20)
    temporary.rmdir()  # otherwise the worker completes the export in a file there, while the client does not read it

    def write_notes(character: str) -> None:
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("UPDATE logs SET notes = ?", [character * 1_000_000])

    write_notes("a")  # more than fits into the buffers of a connection
    exporting = Connection(server, token)
    exporting.connection.request("GET", "/export", headers=exporting.headers)
    response = exporting.connection.getresponse()
    response.read(1000)
    write_notes("b")
    assert Path(f"{path}-wal").stat().st_size > 18_000_000, "the export needs the old pages"
    response.read()
    deadline = time.monotonic() + 10
    while Path(f"{path}-wal").stat().st_size:
        assert time.monotonic() < deadline
        time.sleep(0.05)
