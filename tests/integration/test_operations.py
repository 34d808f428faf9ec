"""Readiness, log lines and the graceful stop."""

import json
import re
import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.commands import flask
from tests.support.connection import Connection, sign_up
from tests.support.servers import EXECUTABLE, LiveServer


def test_the_service_is_not_ready_before_its_migrations(start_server: Callable[..., LiveServer]) -> None:
    server = start_server(migrate=False)
    connection = Connection(server)
    assert connection.call("GET", "/healthz").json == {"status": "ok"}
    credentials = {"email": "ada@example.com", "password": "x" * 10}
    for answer in (
        connection.call("GET", "/readyz"),
        connection.call("POST", "/auth/login", credentials),
        connection.call("POST", "/auth/signup", {**credentials, "name": "Ada"}),
    ):
        assert (answer.status, answer.json["code"]) == (503, "database_not_migrated")
        assert "flask --app wsgi db upgrade" in answer.json["message"]
        assert answer.headers["Retry-After"]
    assert flask(server.environment["DATABASE_URL"], "db", "upgrade").returncode == 0
    connection = Connection(server)  # the first may have waited too long
    assert connection.call("GET", "/readyz").json == {"status": "ready"}
    assert connection.call("POST", "/auth/login", credentials).status == 401


def test_an_unavailable_database_is_503(start_server: Callable[..., LiveServer], tmp_path: Path) -> None:
    server = start_server("postgresql://nobody@127.0.0.1:1/nothing", migrate=False)
    connection = Connection(server)
    assert connection.call("GET", "/healthz").status == 200
    for answer in (
        connection.call("GET", "/readyz"),
        connection.call("POST", "/auth/login", {"email": "ada@example.com", "password": "x" * 10}),
    ):
        assert (answer.status, answer.json["code"]) == (503, "database_unavailable")


def test_each_request_writes_one_json_line_without_secrets(start_server: Callable[..., LiveServer]) -> None:
    server = start_server(RATELIMIT_ENABLED="on", LOGIN_FAILURE_RATE="1 per hour", WEB_CONCURRENCY="1")
    token = sign_up(server)
    connection = Connection(server, token)
    prompt = connection.call("POST", "/prompts", {"title": "CANARY", "content": "CANARY", "model": "CANARY"}).json
    connection.call("POST", "/logs", {"promptId": prompt["_id"], "output": "CANARY", "modelUsed": "m"})
    connection.call("GET", "/search?q=CANARY")
    connection.call("POST", "/prompts", b'{"title": "CANARY', Content_Type="application/json")
    connection.call("POST", "/auth/login", {"email": "CANARY@example.com", "password": "CANARY CANARY"})
    connection.call("POST", "/auth/login", {"email": "CANARY@example.com", "password": "CANARY CANARY"})
    Connection(server, "CANARY").call("GET", "/prompts")
    connection.call("GET", "/auth/me", X_Request_Id="my-request-1")
    connection.call("DELETE", f"/prompts/{prompt['_id']}")
    time.sleep(0.2)
    lines = [json.loads(line) for line in server.log.splitlines()]
    requests = [line for line in lines if line["message"] == "request"]
    logged = [(line["method"], line["path"], line["status"]) for line in requests if line["path"] != "/healthz"]
    assert sorted(logged) == sorted(
        [
            ("POST", "/auth/signup", 201),
            ("POST", "/prompts", 201),
            ("POST", "/logs", 201),
            ("GET", "/search", 200),
            ("POST", "/prompts", 400),
            ("POST", "/auth/login", 401),
            ("POST", "/auth/login", 429),
            ("GET", "/prompts", 401),
            ("GET", "/auth/me", 200),
            ("DELETE", f"/prompts/{prompt['_id']}", 204),
        ]
    )
    (me,) = [line for line in requests if line["path"] == "/auth/me"]
    assert set(me) == {"time", "level", "message", "requestId", "method", "path", "status", "userId", "durationMs"}
    assert me["requestId"] == "my-request-1"
    assert me["userId"] == prompt["ownerId"]
    assert me["durationMs"] > 0
    assert "CANARY" not in server.log
    assert token not in server.log
    assert "the password of ada" not in server.log


def test_a_request_cannot_forge_lines_of_the_text_format(start_server: Callable[..., LiveServer]) -> None:
    server = start_server(LOG_FORMAT="text")
    Connection(server).call("GET", "/nope%0A12:00:00%20I%20200%20GET%20/forged")
    time.sleep(0.2)
    assert any(r"404 GET /nope\n12:00:00 I 200 GET /forged" in line for line in server.log.splitlines())


def test_a_running_request_is_finished_when_the_service_stops(
    start_server: Callable[..., LiveServer],
) -> None:
    server = start_server()
    token = sign_up(server)
    body = json.dumps({"title": "In flight", "content": "c", "model": "m"}).encode()
    head = (
        f"POST /prompts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    parts = urlsplit(server.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
        connection.sendall(head.encode() + body[:10])
        time.sleep(0.3)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        connection.sendall(body[10:])
        assert connection.recv(100).startswith(b"HTTP/1.1 201 ")
    started = time.monotonic()
    assert server.process.wait(timeout=12) == 0
    assert time.monotonic() - started < 11


def test_the_memory_of_password_checks_is_returned_to_the_system(
    start_server: Callable[..., LiveServer],
) -> None:
    server = start_server(command=EXECUTABLE, WEB_CONCURRENCY="1")
    (worker,) = server.workers()

    def log_in(number: int) -> int:
        credentials = {"email": f"nobody-{number}@example.com", "password": "x" * 10}
        return Connection(server).call("POST", "/auth/login", credentials).status

    def resident() -> int:
        (kilobytes,) = re.findall(r"^VmRSS:\s+(\d+) kB$", Path(f"/proc/{worker}/status").read_text(), re.MULTILINE)
        return int(kilobytes)

    assert log_in(0) == 401
    before = resident()
    with ThreadPoolExecutor(4) as pool:
        assert 401 in set(pool.map(log_in, range(24))) <= {401, 503}
    assert resident() < before + 19 * 1024, "kB; each of them takes that much while it is checked"
