"""The threads of InlineWorker: one answers all requests while they are short; others take over while it is busy."""

import socket
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.connection import Connection, create_prompt, sign_up
from tests.support.otlp import encode, make_span
from tests.support.servers import LiveServer, running_server

pytestmark = pytest.mark.live
PATIENCE_S = 30


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[LiveServer]:
    """A server with one worker, which the tests of this module share."""
    with running_server(tmp_path_factory.mktemp("worker"), sqlite_template, WEB_CONCURRENCY="1") as running:
        yield running


@pytest.fixture
def token(server: LiveServer) -> str:
    """The token of an account of this test."""
    return sign_up(server, f"user{time.time_ns()}")


def connect(server: LiveServer) -> socket.socket:
    parts = urlsplit(server.url)
    return socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE_S)


def head(method: str, path: str, **headers: object) -> bytes:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode()


def read_statuses(connection: socket.socket, count: int) -> list[bytes]:
    """Return the statuses of the next answers, which have no status line's beginning in their bodies."""
    received = b""
    while received.count(b"HTTP/1.1 ") < count or not received.endswith(b"}"):
        piece = connection.recv(65536)
        if not piece:
            break
        received += piece
    return [part[:3] for part in received.split(b"HTTP/1.1 ")[1:]]


def test_a_thousand_requests_sent_at_once_over_one_connection_are_answered(server: LiveServer) -> None:
    with connect(server) as connection:
        connection.sendall(head("GET", "/healthz") * 1000)
        assert read_statuses(connection, 1000) == [b"200"] * 1000
        connection.sendall(head("GET", "/healthz"))
        assert read_statuses(connection, 1) == [b"200"]


def test_silent_connections_do_not_delay_requests(server: LiveServer) -> None:
    with ExitStack() as stack:
        silent = [stack.enter_context(connect(server)) for _ in range(40)]
        connection = Connection(server)
        assert {connection.call("GET", "/healthz").status for _ in range(50)} == {200}
        silent[-1].sendall(head("GET", "/healthz"))
        assert read_statuses(silent[-1], 1) == [b"200"]


def test_slow_and_quick_clients_are_all_answered(server: LiveServer, token: str) -> None:
    path = f"/logs?promptId={create_prompt(Connection(server, token))}"
    body = b'{"title": "title", "model": "m", "content": "c"}'
    sent = {"Authorization": f"Bearer {token}", "Content_Type": "application/json", "Content_Length": len(body)}

    def send_slowly(number: int) -> list[bytes]:
        statuses = []
        with connect(server) as connection:
            for turn in range(8):
                connection.sendall(head("POST", "/prompts", **sent) + body[:9])
                time.sleep(0.04 + 0.02 * ((number + turn) % 6))  # on both sides of what counts as long
                connection.sendall(body[9:])
                statuses += read_statuses(connection, 1)
        return statuses

    def send_quickly(_: int) -> set[int]:
        connection = Connection(server, token)
        return {connection.call("GET", path).status for _ in range(60)}

    with ThreadPoolExecutor(9) as pool:
        slow = [pool.submit(send_slowly, number) for number in range(3)]
        quick = [pool.submit(send_quickly, number) for number in range(6)]
        assert [each.result(PATIENCE_S) for each in slow] == [[b"201"] * 8] * 3
        assert [each.result(PATIENCE_S) for each in quick] == [{200}] * 6


def test_requests_that_arrive_with_a_slow_one_do_not_wait_for_it(server: LiveServer, token: str) -> None:
    with ExitStack() as stack:
        others = [Connection(server, token) for _ in range(12)]
        for other in others:
            assert other.call("GET", "/prompts").status == 200
        slow = [stack.enter_context(connect(server)) for _ in range(3)]  # of four threads
        with ThreadPoolExecutor(15) as pool:
            sent = [pool.submit(begin_slowly, connection) for connection in slow]
            answers = [pool.submit(other.call, "GET", "/prompts") for other in others]
            assert {answer.result(PATIENCE_S).status for answer in answers} == {200}
            for each in sent:
                each.result()
        assert not any(map(has_answer, slow))


def test_a_client_that_does_not_close_after_its_last_response_delays_no_others(server: LiveServer) -> None:
    last = {head("GET", "/healthz", Connection="close"): b"200", b"BROKEN\r\n\r\n": b"400"}
    with ExitStack() as stack:
        staying = [(stack.enter_context(connect(server)), request) for request in last for _ in range(20)]
        for connection, request in staying:
            connection.sendall(request)
            assert read_statuses(connection, 1) == [last[request]]
        assert Connection(server).call("GET", "/healthz").status == 200
        for connection, _ in staying:
            assert connection.recv(1) == b"", "it is ended in the end"


def test_silent_connections_do_not_delay_requests_while_another_is_slow(server: LiveServer) -> None:
    with ExitStack() as stack:
        slow = begin_slowly(stack.enter_context(connect(server)))
        for _ in range(40):
            stack.enter_context(connect(server))
        assert Connection(server).call("GET", "/healthz").status == 200
        assert not has_answer(slow)


BEGIN, REST = b'{"email": "x@example.com", "password": "x"}', 100


def begin_slowly(connection: socket.socket) -> socket.socket:
    """Send a request but for the rest of its body."""
    length = len(BEGIN) + REST
    connection.sendall(head("POST", "/auth/login", Content_Type="application/json", Content_Length=length) + BEGIN)
    return connection


def has_answer(connection: socket.socket) -> bool:
    connection.settimeout(0.01)
    try:
        return bool(connection.recv(1, socket.MSG_PEEK))
    except TimeoutError:
        return False
    finally:
        connection.settimeout(PATIENCE_S)


def test_exports_that_wait_for_each_other_occupy_one_thread(server: LiveServer, token: str) -> None:
    path = server.environment["DATABASE_URL"].removeprefix("sqlite:///")
    with ThreadPoolExecutor(6) as clients, closing(sqlite3.connect(path)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        bodies = [encode([make_span({"gen_ai.operation.name": "chat"}, trace_id=f"{n:032x}")]) for n in range(1, 7)]
        exports = [clients.submit(export, server, token, body) for body in bodies]
        # Six would occupy all four threads until the end of the other program's transaction
        assert Connection(server, token).call("GET", "/prompts").status == 200
        assert not any(each.done() for each in exports)
        writer.rollback()
        assert [each.result() for each in exports] == [200] * 6
    assert len(Connection(server, token).call("GET", "/logs").json) == 6


def export(server: LiveServer, token: str, body: bytes) -> int:
    headers = {"Content_Type": "application/x-protobuf"}
    return Connection(server, token).call("POST", "/v1/traces", body, **headers).status
