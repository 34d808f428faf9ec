"""gzip in both directions through the real Gunicorn, with the workers of SQLite and of PostgreSQL."""

import gzip
import json
import socket
import sqlite3
import time
import zlib
from collections.abc import Iterator
from contextlib import closing
from http.client import IncompleteRead
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.integration.test_bodies import LIMIT, chunks, prompt_of
from tests.integration.test_lists import memory
from tests.support.connection import Connection, create_prompt, send_raw, sign_up
from tests.support.servers import LiveServer, running_server

_MEBIBYTE = 2**20
PACKED = {"Content_Type": "application/json", "Content_Encoding": "gzip"}
LINES = {**PACKED, "Content_Type": "application/x-ndjson"}


@pytest.fixture
def connection(any_live_server: LiveServer) -> Connection:
    return Connection(any_live_server, sign_up(any_live_server))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[LiveServer]:
    """A server with one worker and two threads, which tests of this module share."""
    folder = tmp_path_factory.mktemp("compression")
    with running_server(folder, sqlite_template, WEB_CONCURRENCY="1", WEB_THREADS="2") as running:
        yield running


def pack(size: int) -> bytes:
    """Return the gzip data of that many bytes of spaces, made without holding them."""
    compressor = zlib.compressobj(9, wbits=31)
    packed = b"".join(compressor.compress(b" " * _MEBIBYTE) for _ in range(size // _MEBIBYTE))
    return packed + compressor.compress(b" " * (size % _MEBIBYTE)) + compressor.flush()


def send_chunked(connection: Connection, path: str, data: bytes, size: int = 1000) -> tuple[int, Any]:
    headers = {**connection.headers, "Content-Type": "application/json", "Content-Encoding": "gzip"}
    connection.connection.request("POST", path, chunks(data, size), headers, encode_chunked=True)
    response = connection.connection.getresponse()
    return response.status, json.loads(response.read())


def test_a_compressed_body_of_up_to_the_limit_is_taken_declared_and_chunked(connection: Connection) -> None:
    message = "The decompressed request body may have at most 2,097,152 bytes; it is more."
    for size, status in ((1000, 201), (LIMIT, 201), (LIMIT + 1, 413), (10 * LIMIT, 413)):
        packed = gzip.compress(prompt_of(size))
        answer = connection.call("POST", "/prompts", packed, **PACKED)
        assert (answer.status, answer.json.get("message", message)) == (status, message)
        for chunk_size in (1, 997, 65536) if size <= 1000 else (997,):
            assert send_chunked(connection, "/prompts", packed, chunk_size)[0] == status
    stored = gzip.compress(prompt_of(LIMIT), 0)
    assert connection.call("POST", "/prompts", stored, **PACKED).status == 413
    status, error = send_chunked(connection, "/prompts", stored)
    assert (status, error["message"]) == (
        413,
        "The compressed request body may have at most 2,097,152 bytes; it is more.",
    )
    assert connection.call("GET", "/healthz").status == 200


def test_a_batch_and_an_import_are_taken_compressed(any_live_server: LiveServer, connection: Connection) -> None:
    line = json.dumps({"promptId": create_prompt(connection), "output": "o" * 1000, "modelUsed": "m"}).encode() + b"\n"
    answer = connection.call("POST", "/logs/batch", gzip.compress(line * 1000), **LINES)
    assert {result["status"] for result in answer.json["results"]} == {201}
    exported = connection.call("GET", "/export", Accept_Encoding="gzip")
    plain = connection.call("GET", "/export").body
    assert gzip.decompress(exported.body) == plain
    assert connection.call("POST", "/import", exported.body, **LINES).json["logs"] == {"created": 0, "skipped": 1000}
    cut = connection.call("POST", "/import", exported.body[:-5], **LINES)
    assert (cut.status, cut.json["code"]) == (400, "invalid_gzip")


def test_a_client_may_wait_for_leave_to_send_a_compressed_body(any_live_server: LiveServer) -> None:
    packed = gzip.compress(prompt_of(5000))
    parts = urlsplit(any_live_server.url)
    for coding, status in (("gzip", b"201"), ("br", b"415")):
        head = (
            f"POST /prompts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {sign_up(any_live_server, coding)}\r\n"
            f"Content-Type: application/json\r\nContent-Encoding: {coding}\r\nContent-Length: {len(packed)}\r\n"
            "Expect: 100-continue\r\nConnection: close\r\n\r\n"
        )
        with socket.create_connection((parts.hostname, parts.port), timeout=10) as client:
            client.sendall(head.encode())
            received = client.recv(65536)
            assert received.startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
            client.sendall(packed)
            while piece := client.recv(65536):
                received += piece
        assert received.split()[4] == status, received


def test_damaged_bodies_are_400_and_the_connection_stays_usable(connection: Connection) -> None:
    whole = gzip.compress(prompt_of(200_000), 0)
    for damaged in (whole[:-1], whole[:100_000], whole[:50] + b"x" + whole[51:], whole + b"x" * 100_000, b"{}"):
        answer = connection.call("POST", "/prompts", damaged, **PACKED)
        assert (answer.status, answer.json["code"]) == (400, "invalid_gzip")
        assert send_chunked(connection, "/prompts", damaged)[1]["code"] == "invalid_gzip"
    assert connection.call("GET", "/prompts").json == []


def test_a_compressed_body_that_ends_before_its_length_is_incomplete_and_broken_chunks_are_named(
    any_live_server: LiveServer,
) -> None:
    token = sign_up(any_live_server)
    head = f"POST /prompts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
    head += "Content-Encoding: gzip\r\n"
    packed = gzip.compress(prompt_of(1000))
    parts = urlsplit(any_live_server.url)
    for sent in (packed[:-10], packed):
        with socket.create_connection((parts.hostname, parts.port), timeout=10) as client:
            client.sendall(f"{head}Content-Length: {len(packed) + 5}\r\n\r\n".encode() + sent)
            client.shutdown(socket.SHUT_WR)
            answer = b""
            while not answer.endswith(b"}"):
                answer += client.recv(65536)
        assert b'"code":"incomplete_body"' in answer
    chunk = f"{len(packed):x}\r\n".encode() + packed
    answer = send_raw(any_live_server, f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunk + b"\r\nzz\r\n")
    assert b'"code":"invalid_chunks"' in answer
    assert Connection(any_live_server, token).call("GET", "/prompts").json == []


@pytest.mark.live
def test_bodies_that_decompress_to_much_take_little_memory(server: LiveServer) -> None:
    connection = Connection(server, sign_up(server, f"user{time.time_ns()}"))
    (worker,) = server.workers()
    bomb = pack(500 * _MEBIBYTE)
    assert len(bomb) < 2 * _MEBIBYTE
    for path, headers in (("/prompts", PACKED), ("/logs/batch", LINES)):
        connection.call("POST", path, gzip.compress(b"{}"), **headers)
        before = memory(worker)
        for _ in range(3):
            answer = connection.call("POST", path, bomb, **headers)
            assert (answer.status, "2,097,152 bytes" in answer.json["message"]) == (413, True)
        assert memory(worker) - before < 20 * _MEBIBYTE
    answer = connection.call("POST", "/import", bomb, **LINES)
    assert answer.status in (400, 413)
    assert memory(worker) - before < 40 * _MEBIBYTE


def read_slowly(connection: Connection, path: str) -> Iterator[bytes]:
    connection.connection.request("GET", path, headers={**connection.headers, "Accept-Encoding": "gzip"})
    response = connection.connection.getresponse()
    assert response.getheader("Content-Encoding") == "gzip"
    decompressor = zlib.decompressobj(31)
    while piece := response.read1(4 * _MEBIBYTE):
        yield decompressor.decompress(piece)
    assert decompressor.eof


@pytest.mark.live
def test_a_compressed_list_of_any_length_takes_little_memory_and_begins_at_once(
    server: LiveServer,
) -> None:
    token = sign_up(server, f"user{time.time_ns()}")
    connection = Connection(server, token)
    log = connection.call(
        "POST", "/logs", {"promptId": create_prompt(connection), "output": "x", "modelUsed": "m"}
    ).json
    rows = 30_000
    with closing(sqlite3.connect(server.environment["DATABASE_URL"].removeprefix("sqlite:///"))) as database:
        columns = "workspace_id, author_id, prompt_id, prompt_version, model_used, created_at, updated_at"
        database.execute(
            f"WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) "
            f"INSERT INTO logs (id, output, {columns}) SELECT 'log_' || i, hex(randomblob(1000)), {columns} "
            "FROM logs, n WHERE id = ?",
            [log["_id"]],
        )
        database.commit()
    (worker,) = server.workers()
    Connection(server, token).call("GET", "/logs?per_page=1000", Accept_Encoding="gzip")
    before, most, length, first = memory(worker), 0, 0, 0
    for number, piece in enumerate(read_slowly(Connection(server, token), "/logs")):
        length += len(piece)
        first = first or length
        if number % 50 == 0:
            most = max(most, memory(worker))
            assert connection.call("GET", "/healthz").status == 200
    assert length > rows * 2000
    assert first < 2 * _MEBIBYTE, "the rest was not made yet"
    assert most - before < 20 * _MEBIBYTE, (before, most)


@pytest.mark.live
def test_a_compressed_list_that_fails_halfway_has_no_end(server: LiveServer) -> None:
    connection = Connection(server, sign_up(server, f"user{time.time_ns()}"))
    prompt_id = create_prompt(connection)
    for _ in range(30):
        connection.call("POST", "/logs", {"promptId": prompt_id, "output": "x" * 900_000, "modelUsed": "m"})
    with closing(sqlite3.connect(server.environment["DATABASE_URL"].removeprefix("sqlite:///"))) as database:
        database.execute(
            "UPDATE logs SET metadata = 'no JSON' WHERE seq = (SELECT min(seq) FROM logs WHERE prompt_id = ?)",
            [prompt_id],
        )
        database.commit()
    with pytest.raises(IncompleteRead):
        list(read_slowly(connection, "/logs"))


def test_answers_of_every_size_are_framed_right_on_one_connection(connection: Connection) -> None:
    prompt_id = create_prompt(connection)
    for size in (10, 1500, 200_000, 900_000):
        body = {"promptId": prompt_id, "output": "x" * size, "modelUsed": "m"}
        answer = connection.call("POST", "/logs", body, Accept_Encoding="gzip")
        assert ("Content-Encoding" in answer.headers) is (size > 1000)
        text = gzip.decompress(answer.body) if size > 1000 else answer.body
        assert json.loads(text)["output"] == "x" * size
        head = connection.call("HEAD", "/logs", Accept_Encoding="gzip")
        assert (head.status, head.body) == (200, b"")
        for path in ("/logs", "/logs?per_page=2", "/openapi.json", "/static/swagger-ui/swagger-ui.css", "/docs"):
            plain = connection.call("GET", path)
            packed = connection.call("GET", path, Accept_Encoding="gzip")
            is_packed = packed.headers.get("Content-Encoding") == "gzip"
            assert (gzip.decompress(packed.body) if is_packed else packed.body) == plain.body
            assert ("Content-Length" in packed.headers) is not ("Transfer-Encoding" in packed.headers)
