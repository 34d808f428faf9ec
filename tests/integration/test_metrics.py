"""Metrics of several workers: each scrape has the sums over all of them, including those that have exited."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from promptcrafter.database import sqlite
from promptcrafter.database.write_queue import write_queue_lock
from tests.server.test_metrics import IN_PROGRESS, REQUESTS, WRITTEN, read
from tests.support.connection import Connection, create_prompt, sign_up
from tests.support.servers import LiveServer, suspended

LISTED = f'{REQUESTS}{{method="GET",route="/prompts",status="200"}}'
NATIVE = f'{WRITTEN}{{source="native"}}'
KINDS = ("counter", "histogram", "gauge_livesum")


@contextmanager
def begun_request(server: LiveServer, token: str) -> Iterator[None]:
    """Send a request that waits for its turn to write; `write_queue_lock` must be held."""
    parts = urlsplit(server.url)
    body = b'{"title": "A title", "content": "c", "model": "m"}'
    head = f"POST /prompts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        yield


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_every_worker_reports_the_sums_over_all_workers_even_exited_ones(
    start_server: Callable[..., LiveServer], tmp_path: Path
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    server = start_server(METRICS="on", WEB_CONCURRENCY="2", TMPDIR=str(folder))
    token = sign_up(server)
    prompt_id = create_prompt(Connection(server, token))

    def call(method: str, path: str, body: object = None) -> None:
        assert Connection(server, token).call(method, path, body).status < 400

    def scrape() -> dict[str, float]:
        return read(Connection(server, token).call("GET", "/metrics").body.decode())

    def told_by_each() -> list[tuple[float, float]]:
        totals = []
        for worker in server.workers()[-2:]:
            with suspended(worker):
                samples = scrape()
            totals.append((samples[LISTED], samples[NATIVE]))
        return totals

    wait_until(lambda: len(server.workers()) == 2)
    first, second = server.workers()
    for idle, requests in ((second, 5), (first, 7)):
        with suspended(idle):
            for _ in range(requests):
                call("GET", "/prompts")
            call("POST", "/logs", {"promptId": prompt_id, "output": "x", "modelUsed": "m"})
    wait_until(lambda: scrape()[LISTED] == 12)  # a request is counted just after its response was sent
    assert told_by_each() == [(12, 2)] * 2

    path = sqlite.path_of(server.environment["DATABASE_URL"])
    held = write_queue_lock(path, 5)
    with suspended(second), held, begun_request(server, token), begun_request(server, token):
        wait_until(lambda: scrape()[IN_PROGRESS] >= 3)
        os.kill(first, signal.SIGKILL)
    wait_until(lambda: len(server.workers()) == 3)
    wait_until(lambda: scrape()[IN_PROGRESS] == 1)
    assert told_by_each() == [(12, 2)] * 2
    with suspended(second):
        call("GET", "/prompts")  # the new one counts on from where the dead one stopped
    wait_until(lambda: scrape()[LISTED] == 13)
    assert told_by_each() == [(13, 2)] * 2

    (files,) = folder.iterdir()
    assert {path.name for path in files.glob("*_[0-9].db")} == {f"{kind}_{n}.db" for kind in KINDS for n in (0, 1)}
    assert {path.stat().st_size for path in files.glob("*_[0-9].db")} == {512 * 1024}, "they need not grow"
    server.process.terminate()
    server.process.wait(timeout=20)
    assert list(folder.iterdir()) == []
