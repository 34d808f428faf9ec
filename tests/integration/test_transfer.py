"""Export and import over a socket: large files, chunked bodies, broken connections."""

import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from tests.support.connection import Connection, create_prompt, sign_up
from tests.support.servers import LiveServer

LINES = "application/x-ndjson"


def filled(connection: Connection, logs: int) -> bytes:
    """Log outputs of some hundred kilobytes and return everything."""
    log = {"promptId": create_prompt(connection), "modelUsed": "m", "output": "é" * 250_000}
    for _ in range(logs):
        assert connection.call("POST", "/logs", log).status == 201
    answer = connection.call("GET", "/export")
    assert answer.status == 200
    return answer.body


def pieces(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), 65536):
        yield data[start : start + 65536]


def moved(answer: Any) -> int:
    assert answer.status == 200, answer.body
    return int(answer.json["logs"]["created"])


def test_a_file_larger_than_other_bodies_is_exported_and_imported(live_server: LiveServer) -> None:
    connection = Connection(live_server, sign_up(live_server))
    left = filled(connection, 8)
    assert len(left) > 4_000_000
    (prompt,) = connection.call("GET", "/prompts").json
    for _ in range(2):  # declared, and in chunks
        connection.call("DELETE", f"/prompts/{prompt['_id']}")
        assert moved(connection.call("POST", "/import", left, Content_Type=LINES)) == 8
        assert connection.call("GET", "/export").body == left
        connection.call("DELETE", f"/prompts/{prompt['_id']}")
        headers = {**connection.headers, "Content-Type": LINES}
        connection.connection.request("POST", "/import", pieces(left), headers, encode_chunked=True)
        response = connection.connection.getresponse()
        assert json.loads(response.read())["logs"]["created"] == 8
    assert connection.call("GET", "/export").body == left


def test_a_refused_file_gets_its_response_and_the_connection_stays_usable(live_server: LiveServer) -> None:
    connection = Connection(live_server, sign_up(live_server))
    left = filled(connection, 2)
    damaged = left.replace(b'"type":"version"', b'"type":"rest"') + b"\n" * 8_000_000
    answer = connection.call("POST", "/import", damaged, Content_Type=LINES)
    assert (answer.status, list(answer.json["details"])) == (400, ["line 3.type"])
    assert connection.call("POST", "/import", b"", Content_Type=LINES).status == 400
    assert connection.call("POST", "/import", left, Content_Type="text/plain").status == 415
    assert connection.call("GET", "/healthz").status == 200


def test_nothing_is_stored_of_a_truncated_file(live_server: LiveServer) -> None:
    token = sign_up(live_server)
    connection = Connection(live_server, token)
    left = filled(connection, 2)
    (prompt,) = connection.call("GET", "/prompts").json
    connection.call("DELETE", f"/prompts/{prompt['_id']}")
    parts = urlsplit(live_server.url)
    head = (
        f"POST /import HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: {LINES}\r\n"
        f"Content-Length: {len(left)}\r\n\r\n"
    ).encode()
    for cut in (left.rindex(b'{"type":"end"'), len(left) // 2):
        with socket.create_connection((parts.hostname, parts.port), timeout=10) as broken:
            broken.sendall(head + left[:cut])
            broken.shutdown(socket.SHUT_WR)
            answer = b""
            while piece := broken.recv(65536):
                answer += piece
        assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert connection.call("GET", "/prompts").json == []
