"""Request bodies over a socket: declared, chunked, too large, malformed; and requests that Gunicorn refuses."""

import copy
import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.connection import Connection, create_prompt, send_raw, sign_up
from tests.support.servers import Launch, LiveServer

LIMIT = 2 * 1024 * 1024


def prompt_of(size: int) -> bytes:
    head, tail = b'{"title": "title", "model": "m", "content": "', b'"}'
    return head + b"x" * (size - len(head) - len(tail)) + tail


def chunks(data: bytes, size: int = 65536) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.fixture
def connection(live_server: LiveServer) -> Connection:
    return Connection(live_server, sign_up(live_server))


def test_a_declared_body_up_to_the_limit_is_accepted_and_one_byte_more_is_413(connection: Connection) -> None:
    assert connection.call("POST", "/prompts", prompt_of(LIMIT), Content_Type="application/json").status == 201
    answer = connection.call("POST", "/prompts", prompt_of(LIMIT + 1), Content_Type="application/json")
    assert answer.status == 413
    assert answer.json["message"] == "The request body may have at most 2,097,152 bytes; it is 2,097,153."
    answer = connection.call("POST", "/prompts", prompt_of(20 * LIMIT), Content_Type="application/json")
    assert answer.json["message"].endswith("it is 41,943,040.")
    assert len(connection.call("GET", "/prompts").json) == 1


def test_a_chunked_body_up_to_the_limit_is_accepted_and_one_byte_more_is_413(connection: Connection) -> None:
    def post(size: int) -> tuple[int, str]:
        http = connection.connection
        headers = {**connection.headers, "Content-Type": "application/json"}
        with suppress(BrokenPipeError):
            http.request("POST", "/prompts", chunks(prompt_of(size)), headers, encode_chunked=True)
        response = http.getresponse()
        return response.status, json.loads(response.read()).get("message", "")

    assert post(LIMIT) == (201, "")
    assert post(LIMIT + 1) == (413, "The request body may have at most 2,097,152 bytes; it is more.")
    assert post(10 * LIMIT)[0] == 413
    assert post(1000) == (201, "")


def test_an_optional_body_in_chunks_is_read_as_a_declared_one(connection: Connection) -> None:
    prompt = create_prompt(connection)
    path, media = f"/prompts/{prompt}/versions/1/restore", {"Content-Type": "application/json"}

    def post(body: bytes) -> tuple[int, Any]:
        connection.connection.request("POST", path, chunks(body), {**connection.headers, **media}, encode_chunked=True)
        response = connection.connection.getresponse()
        return response.status, json.loads(response.read())

    status, version = post(b'{"comment": "Two was worse"}')
    assert (status, version["comment"]) == (201, "Two was worse")
    status, error = post(b'{"comment": 7}')
    assert (status, error["details"]) == (400, {"comment": ["must be a string"]})
    for body in (b"", b"[1]", b"{"):
        assert post(body)[0] == 201
    large = b'{"comment": "x"' + b" " * LIMIT + b"}"
    assert post(large)[0] == 413
    assert connection.call("POST", path, large, **{"Content_Type": "application/json"}).status == 413
    assert len(connection.call("GET", f"/prompts/{prompt}/versions").json) == 5


def test_fields_of_a_body_in_chunks_that_a_call_does_not_read_are_named(connection: Connection) -> None:
    headers = {**connection.headers, "Content-Type": "application/json"}

    def post(body: bytes, query: str = "") -> tuple[int, str | None]:
        connection.connection.request("POST", f"/auth/logout{query}", chunks(body), headers, encode_chunked=True)
        response = connection.connection.getresponse()
        response.read()
        return response.status, response.headers["X-Ignored-Fields"]

    assert post(b'{"everywhere": true}', "?strict=true") == (400, None)
    assert post(b'{"everywhere": true, "x": "' + b" " * LIMIT + b'"}', "?strict=true")[0] == 204


def test_a_refused_body_of_any_size_gets_its_response_and_a_small_one_keeps_the_connection(
    connection: Connection,
) -> None:
    strangers = copy.copy(connection)
    strangers.headers = {}
    for size in (300_000, 8_000_000):
        for path, content_type, status in (("/logs", "application/json", 401), ("/nope", "text/plain", 404)):
            answer = strangers.call("POST", path, b"x" * size, Content_Type=content_type)
            assert answer.status == status
            assert answer.json["code"]
            assert answer.headers["Connection"] == ("keep-alive" if size < LIMIT else "close")
        assert connection.call("POST", "/prompts", b"x" * size, Content_Type="text/plain").status == 415
        assert connection.call("GET", "/healthz").status == 200


def test_forwarded_headers_are_not_trusted_by_gunicorn(live_server: LiveServer) -> None:
    for header in (b"SCRIPT_NAME: /healthz", b"X-Forwarded-Proto: https", b"Script-Name: /x"):
        answer = send_raw(
            live_server, b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + header + b"\r\n\r\n"
        )
        assert b"Strict-Transport-Security" not in answer
        assert answer.split()[1] in (b"200", b"400"), answer


def test_an_output_of_one_mebibyte_is_stored_and_one_byte_more_is_413(connection: Connection) -> None:
    prompt = connection.call("POST", "/prompts", {"title": "title", "content": "c", "model": "m"}).json
    output = "😀" * (1024 * 1024 // 4)
    body = {"promptId": prompt["_id"], "modelUsed": "m", "output": output}
    sent = json.dumps(body, ensure_ascii=False).encode()
    answer = connection.call("POST", "/logs", sent, Content_Type="application/json")
    assert answer.status == 201
    assert output.encode() in answer.body
    sent = json.dumps({**body, "output": output + "x"}, ensure_ascii=False).encode()
    answer = connection.call("POST", "/logs", sent, Content_Type="application/json")
    assert (answer.status, answer.json["message"]) == (
        413,
        "output may have at most 1,048,576 bytes; it is 1,048,577.",
    )


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\nBad Header: secret-token\r\n\r\n", 400),
        (b"nonsense secret-token\r\n\r\n", 400),
        (b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/9.9 secret-token\r\nHost: x\r\n\r\n", 400),
    ],
)
def test_requests_that_gunicorn_refuses_get_the_error_body_and_are_not_quoted_in_the_log(
    live_server: LiveServer, request_: bytes, status: int
) -> None:
    head, _, body = send_raw(live_server, request_).partition(b"\r\n\r\n")
    assert int(head.split()[1]) == status
    assert b"content-type: application/json" in head.lower()
    error = json.loads(body)
    assert error["message"] == error["error"]
    assert error["code"]
    assert error["requestId"]
    assert "secret-token" not in live_server.log


@pytest.mark.parametrize(
    ("path", "media"),
    [("/prompts", "application/json"), ("/logs/batch", "application/x-ndjson"), ("/import", "application/x-ndjson")],
)
def test_broken_chunks_are_400(live_server: LiveServer, path: str, media: str) -> None:
    answer = send_raw(live_server, broken_chunks(path, media, f"Authorization: Bearer {sign_up(live_server)}\r\n"))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    error = json.loads(body)
    assert (error["code"], error["message"]) == (
        "invalid_chunks",
        "The request body is not valid chunked transfer coding.",
    )
    assert "unexpected" not in live_server.log


@pytest.mark.parametrize("sent", [b"fff\r\n[1, 2", b"ffffffffffffffff\r\n", b"5\n[1]  \n0\n\n", b"5\r\n[1]  \r\n"])
def test_a_body_whose_chunks_are_cut_off_has_the_error_of_broken_chunks(live_server: LiveServer, sent: bytes) -> None:
    head = f"POST /prompts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {sign_up(live_server)}\r\n"
    head += "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    parts = urlsplit(live_server.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as cut:
        cut.sendall(head.encode() + sent)
        cut.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := cut.recv(65536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"code":"invalid_chunks"' in answer


def test_broken_chunks_of_a_form_are_a_page_with_400(live_server: LiveServer) -> None:
    form, header = "application/x-www-form-urlencoded", "Sec-Fetch-Site: same-origin\r\n"
    answer = send_raw(live_server, broken_chunks("/app/sign-in", form, header))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"The request body is not valid chunked transfer coding." in answer
    assert "unexpected" not in live_server.log


def test_a_request_refused_for_another_reason_keeps_its_answer_when_its_chunks_are_broken(
    live_server: LiveServer,
) -> None:
    answer = send_raw(live_server, broken_chunks("/prompts", "application/json"))
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert "unexpected" not in live_server.log


def test_broken_chunks_are_400_with_the_worker_that_postgresql_has(start_server: Callable[..., LiveServer]) -> None:
    server = start_server("postgresql://nobody@127.0.0.1:1/nothing", migrate=False)
    answer = send_raw(server, broken_chunks("/auth/login", "application/json"))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"code":"invalid_chunks"' in answer


def broken_chunks(path: str, media: str, header: str = "") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {media}\r\n{header}Transfer-Encoding: chunked\r\n\r\n"
    return head.encode() + b"1\r\n{\r\nzz\r\nnot a chunk\r\n"


def test_half_sent_requests_do_not_block_the_service(start_server: Callable[..., LiveServer]) -> None:
    server = start_server(WEB_CONCURRENCY="1", WEB_THREADS="2", CLIENT_TIMEOUT_S="1")
    parts = urlsplit(server.url)
    silent = [socket.create_connection((parts.hostname, parts.port)) for _ in range(6)]
    for connection in silent:
        connection.sendall(b"GET / HTTP/1.1\r\nHos")
    time.sleep(0.5)
    assert Connection(server).call("GET", "/healthz").status == 200
    for connection in silent:
        connection.close()


def test_two_slashes_in_a_path_do_not_redirect(live_server: LiveServer) -> None:
    answer = send_raw(live_server, b"GET //prompts HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 4")


def test_a_slow_reader_of_a_long_list_does_not_block_other_clients(
    start_server: Callable[..., LiveServer],
) -> None:
    server = start_server(WEB_CONCURRENCY="1", WEB_THREADS="2")
    token = sign_up(server)
    writer = Connection(server, token)
    prompt = writer.call("POST", "/prompts", {"title": "title", "content": "c", "model": "m"}).json
    body = {"promptId": prompt["_id"], "modelUsed": "m", "output": "x" * 1_000_000}
    for _ in range(12):
        assert writer.call("POST", "/logs", body).status == 201
    slow = Connection(server, token)
    slow.connection.request("GET", "/logs", headers=slow.headers)
    response = slow.connection.getresponse()
    assert response.read(10) == b'[{"_id":"l'
    for _ in range(5):
        assert writer.call("GET", f"/prompts/{prompt['_id']}").status == 200
        assert writer.call("POST", "/logs", {**body, "output": "written meanwhile"}).status == 201
    rest = response.read()
    assert len(json.loads(b'[{"_id":"l' + rest)) == 12


@pytest.mark.parametrize("path", ["/logs", "/logs/batch"])
def test_nothing_is_stored_of_an_incomplete_body_and_it_may_be_sent_again(
    live_server: LiveServer, connection: Connection, path: str
) -> None:
    log = json.dumps({"promptId": create_prompt(connection), "output": "o", "modelUsed": "m"}).encode()
    media = "application/x-ndjson" if path.endswith("batch") else "application/json"
    body = (log + b"\n") * (10 if path.endswith("batch") else 1)
    headers = {**connection.headers, "Host": "localhost", "Content-Type": media, "Idempotency-Key": "k"}
    parts = urlsplit(live_server.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as cut:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        kept = body[: len(body) // 2] if path.endswith("batch") else body
        cut.sendall(f"POST {path} HTTP/1.1\r\n{lines}Content-Length: {len(kept) + 50}\r\n\r\n".encode() + kept)
        cut.shutdown(socket.SHUT_WR)
        answer = b""
        while not answer.endswith(b"}"):
            answer += cut.recv(65536)
        assert b'"code":"incomplete_body"' in answer
    assert connection.call("GET", "/logs").json == []
    again = connection.call("POST", path, body, Content_Type=media, Idempotency_Key="k")
    assert again.status in (200, 201)
    assert len(connection.call("GET", "/logs").json) == body.count(b"\n")


@pytest.mark.parametrize("path", ["/app/w/ada/prompts", "/import"])
def test_nothing_is_stored_of_a_form_or_a_file_that_is_cut_off_where_it_seems_whole(
    live_server: LiveServer, connection: Connection, path: str
) -> None:
    slug = connection.call("GET", "/workspaces").json[0]["slug"]
    host = urlsplit(live_server.url).netloc
    login = b"email=ada%40example.com&password=the+password+of+ada"
    form = "application/x-www-form-urlencoded"
    signed_in = connection.call("POST", "/app/sign-in", login, Content_Type=form, Origin=f"http://{host}")
    headers = {**connection.headers, "Host": host, "Origin": f"http://{host}"}
    headers["Cookie"] = signed_in.headers["Set-Cookie"].partition(";")[0]
    file = b'{"type": "export", "format": "promptcrafter", "version": 2}\n'
    file += b'{"type": "scoreConfig", "name": "tone", "kind": "boolean", "direction": "up", '
    file += b'"createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z"}\n{"type": "end"}\n'
    if path == "/import":
        media, body = "application/x-ndjson", file
    else:
        media, body = form, b"title=A+title&model=m&content=Half+of"
    lines = "".join(f"{name}: {value}\r\n" for name, value in {**headers, "Content-Type": media}.items())
    head = f"POST {path.replace('/ada/', f'/{slug}/')} HTTP/1.1\r\n{lines}"
    parts = urlsplit(live_server.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as cut:
        cut.sendall(f"{head}Content-Length: {len(body) + 50}\r\n\r\n".encode() + body)
        cut.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := cut.recv(65536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert b"The body ended before its Content-Length." in answer
    assert connection.call("GET", "/prompts").json == connection.call("GET", "/score-configs").json == []
    whole = send_raw(live_server, f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
    assert whole.split()[1] in (b"200", b"303"), whole
    assert connection.call("GET", "/prompts").json or connection.call("GET", "/score-configs").json


@pytest.mark.parametrize(
    ("origins", "allowed"),
    [("https://app.example.com", "https://app.example.com"), ("*", "*"), ("https://a.example,https://b.example", None)],
)
def test_what_gunicorn_refuses_may_be_read_by_the_one_origin_that_may_call(
    start_server: Launch, origins: str, allowed: str | None
) -> None:
    server = start_server(CORS_ORIGINS=origins)
    answer = send_raw(server, b"GET /logs?q=" + b"x" * 9000 + b" HTTP/1.1\r\nOrigin: https://app.example.com\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert json.loads(body)["requestId"]
    found = re.findall(rb"^Access-Control-Allow-Origin: (.*)\r$", head, re.MULTILINE)
    assert found == ([allowed.encode()] if allowed else [])
