"""Long lists, through the real Gunicorn."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg

from tests.support.connection import Connection, create_prompt, sign_up
from tests.support.servers import EXECUTABLE, LiveServer

ROWS = 30_000
LARGE_ROWS = 50  # of a mebibyte
_MEBIBYTE = 2**20


def memory(pid: int) -> int:
    """Return the bytes that a process has for itself."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


def copy_log(server: LiveServer, log_id: str, rows: int) -> None:
    """Insert copies of a log past the service, which takes much longer, until there are so many rows of it."""
    columns = "workspace_id, author_id, prompt_id, prompt_version, model_used, output, created_at, updated_at"
    numbers = f"WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) "
    copies = f"INSERT INTO logs (id, {columns}) SELECT 'log_' || i, {columns} FROM logs, n WHERE id = '{log_id}'"
    url = server.environment["DATABASE_URL"]
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as database:
            database.execute(numbers + copies)
            database.commit()
    else:
        with psycopg.connect(url) as connection:
            connection.execute((numbers + copies).encode())


def test_a_list_of_any_length_takes_little_memory_and_others_are_served_meanwhile(
    start_server: Callable[..., LiveServer],
) -> None:
    server = start_server(command=EXECUTABLE, WEB_CONCURRENCY="1", WEB_THREADS="2")
    token = sign_up(server)
    connection = Connection(server, token)
    prompt_id = create_prompt(connection)
    body = {"promptId": prompt_id, "output": "x" * 2000, "modelUsed": "m"}
    log = connection.call("POST", "/logs", body).json
    copy_log(server, log["_id"], ROWS)
    (worker,) = server.workers()
    Connection(server, token).call("GET", "/logs?per_page=1000")
    before = memory(worker)
    reader = Connection(server, token)
    reader.connection.request("GET", "/logs", headers=connection.headers)
    response = reader.connection.getresponse()
    length, most = 0, 0
    while piece := response.read(4 * _MEBIBYTE):
        length += len(piece)
        most = max(most, memory(worker))
        assert connection.call("POST", "/logs", body).status == 201
    assert length > ROWS * 2000
    assert most - before < 20 * _MEBIBYTE, (before, most)


def test_large_rows_take_little_memory_which_is_returned(any_live_server: LiveServer) -> None:
    token = sign_up(any_live_server)
    connection = Connection(any_live_server, token)
    body = {"promptId": create_prompt(connection), "output": "x y " * (_MEBIBYTE // 4), "modelUsed": "m"}
    copy_log(any_live_server, connection.call("POST", "/logs", body).json["_id"], LARGE_ROWS)

    def used() -> int:
        return sum(memory(pid) for pid in any_live_server.workers())

    for path in ("/logs", "/logs?per_page=100", "/export"):
        before = used()
        reader = Connection(any_live_server, token)
        reader.connection.request("GET", path, headers=connection.headers)
        response = reader.connection.getresponse()
        assert response.status == 200
        length, most = 0, 0
        while piece := response.read(2 * _MEBIBYTE):
            length += len(piece)
            most = max(most, used())
        assert length > LARGE_ROWS * _MEBIBYTE
        assert most - before < 35 * _MEBIBYTE, (path, before, most)
        assert used() - before < 20 * _MEBIBYTE, (path, before, used())
