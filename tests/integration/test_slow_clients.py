"""Clients that send or read slowly, or not at all, occupy no thread, and each wait for them has an end."""

import json
import re
import resource
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import cast
from urllib.parse import urlsplit

import pytest

from promptcrafter.database import sqlite
from promptcrafter.database.write_queue import write_queue_lock
from tests.support.connection import Connection, create_prompt, sign_up
from tests.support.servers import Launch, LiveServer, running_server, suspended

QUICK_S = 4  # far below what a client waits that is behind slow ones
PATIENCE_S = 30
SLOW_BODY = b'{"email": "x@example.com", "password": "x"}'


pytestmark = pytest.mark.live


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path
) -> Iterator[LiveServer]:
    """A server with one worker, two threads and little patience, which the tests of this module share."""
    url, template = "", cast(Path | None, sqlite_template)
    if request.param == "postgresql":
        url, template = request.getfixturevalue("migrated_postgresql_url").replace("+psycopg", ""), None
    with running_server(
        tmp_path_factory.mktemp("slow_clients"),
        template,
        url,
        WEB_CONCURRENCY="1",
        WEB_THREADS="2",
        CLIENT_TIMEOUT_S="2",
        RATELIMIT_ENABLED="off",
    ) as running:
        yield running


def connect(server: LiveServer) -> socket.socket:
    parts = urlsplit(server.url)
    return socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE_S)


def head(method: str, path: str, *fields: str) -> bytes:
    lines = "".join(f"{field}\r\n" for field in fields)
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode()


def read_to_end(connection: socket.socket) -> bytes:
    """Return what the server sends until it closes."""
    received = b""
    while True:
        try:
            piece = connection.recv(65536)
        except ConnectionResetError:
            return received
        if not piece:
            return received
        received += piece


def assert_quick(connection: Connection, *paths: str) -> None:
    for path in paths:
        started = time.monotonic()
        assert connection.call("GET", path).status == 200
        assert time.monotonic() - started < QUICK_S, path


def test_requests_that_are_sent_byte_by_byte_delay_nobody_and_are_refused_in_time(server: LiveServer) -> None:
    token = sign_up(server, f"user{time.time_ns()}")
    other = Connection(server, token)
    declared = f"Content-Length: {len(SLOW_BODY)}"
    beginnings = [
        b"",
        b"G",
        head("GET", "/prompts")[:-1],
        head("POST", "/auth/login", "Content-Type: application/json", declared) + SLOW_BODY[:5],
        head("POST", "/logs", f"Authorization: Bearer {token}", "Content-Type: application/json", declared),
        head("GET", "/healthz", declared),
        head("POST", "/auth/login", "Content-Type: application/json", "Transfer-Encoding: chunked") + b"5\r\n{",
        head("POST", "/import", f"Authorization: Bearer {token}", "Content-Type: application/x-ndjson", declared),
    ]
    statuses = ["", "408", "408", "408", "408", "408", "408", "408"]
    with ExitStack() as stack:
        slow = [[stack.enter_context(connect(server)) for beginning in beginnings] for _ in range(3)]
        started = time.monotonic()
        for row in slow:
            for connection, beginning in zip(row, beginnings, strict=True):
                connection.sendall(beginning)
        while time.monotonic() - started < 1:
            assert_quick(other, "/healthz", "/prompts")
            for row in slow:
                for connection, beginning in zip(row, beginnings, strict=True):
                    if len(beginning) > 1:
                        connection.sendall(b"1" if beginning.endswith(b"\r") else b" ")
            time.sleep(0.2)
        for row in slow:
            answers = [read_to_end(connection) for connection in row]
            assert [answer[9:12].decode() for answer in answers] == statuses, answers
            error = json.loads(answers[-1].partition(b"\r\n\r\n")[2])
            assert (error["code"], error["message"]) == ("request_timeout", "The request did not arrive in time.")
        assert time.monotonic() - started < 10
    assert "Traceback" not in server.log


def test_a_request_whose_body_arrives_steadily_is_answered_however_long_it_takes(server: LiveServer) -> None:
    token = sign_up(server, f"user{time.time_ns()}")
    body = json.dumps({"title": "title", "content": "c" * 9_000, "model": "m"}).encode()
    fields = f"Authorization: Bearer {token}", "Content-Type: application/json", f"Content-Length: {len(body)}"
    with connect(server) as connection:
        connection.sendall(head("POST", "/prompts", *fields))
        for at in range(0, len(body), 1500):
            connection.sendall(body[at : at + 1500])
            time.sleep(0.5)
        assert connection.recv(12) == b"HTTP/1.1 201"


def fill(server: LiveServer, token: str, megabytes: int) -> str:
    writer = Connection(server, token)
    prompt_id = create_prompt(writer)
    lines = json.dumps({"promptId": prompt_id, "modelUsed": "m", "output": "x" * 999_000}).encode() + b"\n"
    for _ in range(megabytes):
        assert writer.call("POST", "/logs/batch", lines, Content_Type="application/x-ndjson").status == 200
    return prompt_id


def test_answers_that_nobody_reads_delay_nobody_and_are_ended(server: LiveServer) -> None:
    token = sign_up(server, f"user{time.time_ns()}")
    fill(server, token, 8)
    other = Connection(server, token)
    with ExitStack() as stack:
        silent = [stack.enter_context(connect(server)) for _ in range(8)]
        for connection, path in zip(
            silent, ["/logs", "/export", "/logs?per_page=100", "/openapi.json"] * 2, strict=True
        ):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(head("GET", path, f"Authorization: Bearer {token}"))
        assert other.call("GET", "/prompts").status == 200, "answered after those before it have been made"
        started = time.monotonic()
        while time.monotonic() - started < 2:
            assert_quick(other, "/healthz", "/prompts", "/logs?per_page=1")
            time.sleep(0.2)
        time.sleep(3)
        for connection in silent[:3]:
            assert not read_to_end(connection).endswith(b"0\r\n\r\n")
    assert "Traceback" not in server.log


def test_a_slow_reader_gets_all_of_its_answer(server: LiveServer) -> None:
    token = sign_up(server, f"user{time.time_ns()}")
    fill(server, token, 9)
    with connect(server) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.sendall(head("GET", "/logs", f"Authorization: Bearer {token}", "Connection: close"))
        received = bytearray()
        while piece := connection.recv(200_000):
            received += piece
            time.sleep(0.01)
    assert received.endswith(b"]\r\n0\r\n\r\n")
    assert received.count(b"x" * 999_000 + b'"') + len(re.findall(rb"[0-9a-f]\r\n", received)) >= 9


@contextmanager
def waiting_writers(server: LiveServer, token: str, prompt_id: str, count: int) -> Iterator[list[socket.socket]]:
    """Have so many requests wait for their turn to write."""
    path = sqlite.path_of(server.environment["DATABASE_URL"])
    body = json.dumps({"promptId": prompt_id, "modelUsed": "m", "output": "x"}).encode()
    fields = f"Authorization: Bearer {token}", "Content-Type: application/json", f"Content-Length: {len(body)}"
    with ExitStack() as stack:
        connections = [stack.enter_context(connect(server)) for _ in range(count)]
        with write_queue_lock(path, 5):
            for connection in connections:
                connection.sendall(head("POST", "/logs", *fields) + body)
            time.sleep(0.3)
            yield connections
        assert [connection.recv(65536)[9:12] for connection in connections] == [b"201"] * count


def test_health_is_reported_while_all_threads_are_busy_and_others_are_answered_afterwards(start_server: Launch) -> None:
    server = start_server(WEB_CONCURRENCY="1", WEB_THREADS="2")
    token = sign_up(server, f"user{time.time_ns()}")
    prompt_id = create_prompt(Connection(server, token))
    with ExitStack() as stack:
        waiting = [stack.enter_context(connect(server)) for _ in range(3)]
        with waiting_writers(server, token, prompt_id, 4):
            for connection in waiting:
                connection.sendall(head("GET", "/prompts", f"Authorization: Bearer {token}"))
            assert_quick(Connection(server), "/healthz", "/healthz")
            for connection in waiting:
                connection.settimeout(0.05)
                with pytest.raises(TimeoutError):
                    connection.recv(1)
        for connection in waiting:
            connection.settimeout(PATIENCE_S)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")


def test_a_large_file_is_asked_for_only_after_its_sender_is_known(start_server: Launch) -> None:
    server = start_server(WEB_CONCURRENCY="1", WEB_THREADS="2", MAX_BODY_BYTES="2000", CLIENT_TIMEOUT_S="2")
    token = sign_up(server, f"user{time.time_ns()}")
    other = Connection(server, token)
    for number in range(40):
        assert (
            other.call("POST", "/prompts", {"title": f"title {number}", "content": "c" * 500, "model": "m"}).status
            == 201
        )
    file = other.call("GET", "/export").body
    fields = "Content-Type: application/x-ndjson", f"Content-Length: {len(file)}"
    assert len(file) > 20_000
    with connect(server) as connection:
        connection.sendall(head("POST", "/import", *fields, "Expect: 100-continue"))
        assert connection.recv(65536).startswith(b"HTTP/1.1 401")
    newcomer = sign_up(server, "eve")
    with ExitStack() as stack:
        slow = [stack.enter_context(connect(server)) for _ in range(6)]
        for connection in slow:
            connection.sendall(head("POST", "/import", *fields, f"Authorization: Bearer {newcomer}") + file[:1000])
        assert_quick(other, "/healthz", "/prompts")
        answers = [read_to_end(connection)[9:12] for connection in slow]
        assert sorted(answers) == [b"408"] * 4 + [b"503"] * 2
    with connect(server) as connection:
        connection.sendall(
            head("POST", "/import", *fields, f"Authorization: Bearer {newcomer}", "Expect: 100-continue")
        )
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(file + head("GET", "/healthz"))
        received = b""
        while received.count(b"HTTP/1.1 ") < 2:
            received += connection.recv(65536)
    assert received.startswith(b"HTTP/1.1 409")  # the ids are another account's: the file was read
    assert b"HTTP/1.1 200" not in received or b"409" in received


@pytest.mark.skipif(sys.platform != "linux", reason="what the server has not read yet is in /proc")
def test_a_client_that_goes_when_its_unfinished_request_is_refused_takes_no_other_with_it(start_server: Launch) -> None:
    size, step, held_max = 8_000_000, 100_000, 64 * 1024 * 1024
    server = start_server(WEB_CONCURRENCY="1", WEB_THREADS="2", MAX_BODY_BYTES=str(size), CLIENT_TIMEOUT_S="60")
    with ExitStack() as stack:
        oldest, *others, last = [stack.enter_context(connect(server)) for _ in range(9)]
        sent = held_max - 8 * (size - step) - step // 2  # the next step is too much
        for connection in (oldest, *others, last):
            connection.sendall(head("POST", "/prompts", "Content-Type: application/json", f"Content-Length: {size}"))
            connection.sendall(bytes(sent if connection is last else size - step))
            wait_until_read(server)
        (worker,) = server.workers()
        with suspended(worker):
            last.sendall(bytes(step))
            oldest.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            oldest.close()
        last.sendall(bytes(size - sent - step))
        assert last.recv(12) == b"HTTP/1.1 401"
        for connection in others:
            connection.sendall(bytes(step))
            assert connection.recv(12) == b"HTTP/1.1 401"
    assert "Traceback" not in server.log


def wait_until_read(server: LiveServer) -> None:
    """Wait until the server has read all that was sent to it."""
    port = f":{urlsplit(server.url).port:04X}"
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
        if {queues for _, own, other, _, queues, *_ in lines if port in own + other} == {"00000000:00000000"}:
            return
        time.sleep(0.01)
    raise AssertionError("The server does not read.")


def test_a_refused_request_is_answered_while_its_sender_goes_on_and_then_ended(server: LiveServer) -> None:
    with connect(server) as connection:
        connection.sendall(head("POST", "/logs", "Content-Type: application/json", "Content-Length: 100000000"))
        connection.sendall(b"x" * 500_000)
        received = b""
        while not received.endswith(b"}"):
            received += connection.recv(65536)
        assert received[9:12] == b"401"
        assert b"\r\nConnection: close\r\n" in received
        started = time.monotonic()
        connection.settimeout(0.5)
        with suppress(OSError):
            while time.monotonic() - started < 10:
                connection.sendall(b"x" * 65536)
        assert time.monotonic() - started < 8
    assert_quick(Connection(server), "/healthz")


@contextmanager
def flood(server: LiveServer, count: int) -> Iterator[None]:
    """Send one request after another on so many connections from another address, so that none waits for its client."""
    address, enough = (urlsplit(server.url).hostname, urlsplit(server.url).port), Event()

    def connect_from_elsewhere() -> socket.socket:
        connection = socket.create_connection(cast("tuple[str, int]", address), 10, ("127.0.0.9", 0))
        connection.setblocking(False)
        return connection

    def send() -> None:
        connections = [connect_from_elsewhere() for _ in range(count)]
        while not enough.is_set():
            for index, connection in enumerate(connections):
                try:
                    with suppress(BlockingIOError):
                        connection.recv(10_000)
                    with suppress(BlockingIOError):
                        connection.send(head("GET", "/healthz"))
                except OSError:
                    connection.close()
                    connections[index] = connect_from_elsewhere()
        for connection in connections:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(send)
        try:
            yield
        finally:
            enough.set()
        sending.result()


def test_more_connections_than_descriptors_displace_each_other_and_nobody_else(
    start_server: Launch,
) -> None:
    server = start_server(
        command=["sh", "-c", 'ulimit -n 80; exec "$@"', "sh"],
        WEB_CONCURRENCY="1",
        WEB_THREADS="2",
        CLIENT_TIMEOUT_S="20",
    )
    token = sign_up(server, f"user{time.time_ns()}")
    with ExitStack() as stack:
        for number in range(150):
            connection = stack.enter_context(connect(server))
            if number % 2:
                connection.sendall(b"GET / HT")
        assert_quick(Connection(server, token), "/healthz", "/prompts")
    assert_quick(Connection(server, token), "/healthz", "/prompts")
    with flood(server, 150):
        for _ in range(20):
            assert_quick(Connection(server, token), "/healthz", "/prompts")
    assert len(server.workers()) == 1
    assert "Traceback" not in server.log


def test_addresses_that_a_client_makes_up_before_that_of_the_proxy_do_not_protect_its_connections(
    start_server: Launch,
) -> None:
    server = start_server(
        command=["sh", "-c", 'ulimit -n 80; exec "$@"', "sh"],
        WEB_CONCURRENCY="1",
        WEB_THREADS="2",
        CLIENT_TIMEOUT_S="60",
        TRUSTED_PROXIES="1",
    )
    with ExitStack() as stack:
        other = stack.enter_context(connect(server))
        other.sendall(head("GET", "/healthz", "X-Forwarded-For: 192.0.2.1"))
        assert other.recv(65536).startswith(b"HTTP/1.1 200")
        other.sendall(head("GET", "/healthz", "X-Forwarded-For: 192.0.2.1")[:-2])
        for number in range(80):
            connection = stack.enter_context(connect(server))
            made_up = f"X-Forwarded-For: 198.51.100.{number}"
            connection.sendall(head("GET", "/healthz", made_up, "X-Forwarded-For: 192.0.2.2"))
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        other.sendall(b"\r\n")
        assert other.recv(65536).startswith(b"HTTP/1.1 200")


def test_as_few_descriptors_as_a_worker_needs_do_not_end_it(start_server: Launch) -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft > 200, "for the connections of this test"
    server = start_server(command=["sh", "-c", 'ulimit -n 36; exec "$@"', "sh"], WEB_CONCURRENCY="1", WEB_THREADS="2")
    with ExitStack() as stack:
        for _ in range(60):
            stack.enter_context(connect(server))
        assert_quick(Connection(server), "/healthz")
    assert_quick(Connection(server), "/healthz")
    assert len(server.workers()) == 1


def test_the_other_worker_serves_as_well(start_server: Callable[..., LiveServer]) -> None:
    server = start_server(WORKER="gthread", WEB_CONCURRENCY="1")
    token = sign_up(server, f"user{time.time_ns()}")
    connection = Connection(server, token)
    create_prompt(connection)
    assert len(connection.call("GET", "/prompts").json) == 1
    assert connection.call("POST", "/prompts", b"x" * 3_000_000, Content_Type="application/json").status == 413
