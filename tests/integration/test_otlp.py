"""OTLP through the real Gunicorn, with the workers of SQLite and of PostgreSQL: large bodies, and many at once."""

import gzip
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from promptcrafter.dialects.otlp.signals import JSON, PROTOBUF
from tests.integration.test_bodies import chunks
from tests.support import otlp_hostile
from tests.support.connection import Connection, sign_up
from tests.support.otlp import encode, make_span
from tests.support.servers import Launch, LiveServer

LIMIT = 20 * 1024**2
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}


@pytest.fixture
def connection(any_live_server: LiveServer) -> Connection:
    return Connection(any_live_server, sign_up(any_live_server))


def test_bodies_of_up_to_20_mib_are_stored_compressed_and_not(connection: Connection) -> None:
    body = encode([make_span({**CHAT, "output.value": "x" * 1_000_000}) for _ in range(20)])
    assert LIMIT - 2 * 1024**2 < len(body) < LIMIT
    for data, headers in (
        (body, {}),
        (gzip.compress(body, 1), {"Content_Encoding": "gzip"}),
        (zlib.compress(body, 1), {"Content_Encoding": "deflate"}),
    ):
        answer = connection.call("POST", "/v1/traces", data, Content_Type=PROTOBUF, **headers)
        assert (answer.status, answer.body) == (200, b"")
    assert len(connection.call("GET", "/logs").json) == 20, "the same spans, sent again, are the same logs"


def test_a_chunked_body_is_read(connection: Connection) -> None:
    headers = {**connection.headers, "Content-Type": PROTOBUF}
    body = encode([make_span({**CHAT, "output.value": "x" * 500_000}) for _ in range(6)])
    connection.connection.request("POST", "/v1/traces", chunks(body, 10_000), headers, encode_chunked=True)
    response = connection.connection.getresponse()
    assert (response.status, response.read()) == (200, b"")
    assert len(connection.call("GET", "/logs").json) == 6


@pytest.mark.parametrize("media", [PROTOBUF, JSON])
def test_larger_bodies_and_bombs_are_413_in_the_encoding_of_the_request(connection: Connection, media: str) -> None:
    answer = connection.call("POST", "/v1/traces", bytes(LIMIT + 1), Content_Type=media)
    assert (answer.status, answer.headers["Content-Type"]) == (413, media)
    assert b"The request body may have at most 20,971,520 bytes; it is 20,971,521." in answer.body
    compressor = zlib.compressobj(1, wbits=31)
    bomb = b"".join(compressor.compress(bytes(1024**2)) for _ in range(200)) + compressor.flush()
    answer = connection.call("POST", "/v1/traces", bomb, Content_Type=media, Content_Encoding="gzip")
    assert (answer.status, answer.headers["Content-Type"]) == (413, media)
    assert b"The decompressed request body may have at most 20,971,520 bytes; it is more." in answer.body


def test_of_many_large_bodies_at_once_some_are_503_with_the_time_to_wait(any_live_server: LiveServer) -> None:
    token = sign_up(any_live_server)
    body = encode([make_span({**CHAT, "output.value": "x" * 900_000}) for _ in range(4)])

    def send(_: int) -> int:
        connection = Connection(any_live_server, token)
        answer = connection.call("POST", "/v1/traces", body, Content_Type=PROTOBUF)
        if answer.status == 503:
            assert answer.headers["Retry-After"] == "1"
        return answer.status

    with ThreadPoolExecutor(24) as pool:
        assert set(pool.map(send, range(48))) <= {200, 503}
    assert len(Connection(any_live_server, token).call("GET", "/logs").json) == 4


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="it measures memory as Linux reports it")
def test_a_worker_does_not_grow_by_hostile_bodies(start_server: Launch) -> None:
    server = start_server(WEB_CONCURRENCY="1")
    connection = Connection(server, sign_up(server))
    connection.call("POST", "/v1/traces", encode([make_span(CHAT)]), Content_Type=PROTOBUF)
    (worker,) = server.workers()
    status = Path(f"/proc/{worker}/status")

    def peak() -> int:
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))

    before = peak()
    for media, bodies in ((PROTOBUF, otlp_hostile.PROTOBUF), (JSON, otlp_hostile.JSON)):
        for name, make in bodies.items():
            packed = gzip.compress(make(), 1)
            answer = connection.call("POST", "/v1/traces", packed, Content_Type=media, Content_Encoding="gzip")
            assert answer.status in (200, 400, 413), (media, name, answer.body)
    assert (peak() - before) / 1024 < 100, "mebibytes"
