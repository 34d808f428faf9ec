"""Long lists, through the real Gunicorn."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from tests.support.connection import Connection, create_prompt, sign_up
from tests.support.servers import LiveServer

ROWS = 30_000
_MEBIBYTE = 2**20


def memory(pid: int) -> int:
    """Return the bytes that a process has for itself."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


def test_a_list_of_any_length_takes_little_memory_and_others_are_served_meanwhile(
    start_server: Callable[..., LiveServer],
) -> None:
    server = start_server(WEB_CONCURRENCY="1", WEB_THREADS="2")
    token = sign_up(server)
    connection = Connection(server, token)
    prompt_id = create_prompt(connection)
    body = {"promptId": prompt_id, "output": "x" * 2000, "modelUsed": "m"}
    log = connection.call("POST", "/logs", body).json
    with closing(sqlite3.connect(server.environment["DATABASE_URL"].removeprefix("sqlite:///"))) as database:
        columns = "owner_id, prompt_id, prompt_version, model_used, output, created_at, updated_at"
        database.execute(
            f"WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS}) "
            f"INSERT INTO logs (id, {columns}) SELECT 'log_' || i, {columns} FROM logs, n WHERE id = ?",
            [log["_id"]],
        )
        database.commit()
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
