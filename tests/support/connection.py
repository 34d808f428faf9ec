"""An HTTP client for live servers, with keep-alive."""

import http.client
import json
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.support.servers import LiveServer

_REOPENED_AFTER_S = 1


@dataclass
class Answer:
    """A response with its whole body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """One connection to a server, kept open between calls, and opened anew after a pause.

    The server closes a connection that is idle for some seconds, and on a busy machine a test may be idle that long.
    """

    def __init__(self, server: LiveServer, token: str = "") -> None:
        self.connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._last_used = time.monotonic()

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Send a request and return the response. A body that is not bytes is sent as JSON."""
        sent = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        if time.monotonic() - self._last_used > _REOPENED_AFTER_S:
            self.close()
        with suppress(BrokenPipeError):  # the server has answered before it has read all of a large body
            self.connection.request(method, path, body, sent)
        response = self.connection.getresponse()
        answer = Answer(response.status, dict(response.getheaders()), response.read())
        self._last_used = time.monotonic()
        return answer

    def close(self) -> None:
        self.connection.close()

    def __del__(self) -> None:
        self.close()


def sign_up(server: LiveServer, name: str = "ada") -> str:
    """Create an account and return its token."""
    body = {"name": name, "email": f"{name}@example.com", "password": f"the password of {name}"}
    answer = Connection(server).call("POST", "/auth/signup", body)
    assert answer.status == 201, answer.body
    token: str = answer.json["token"]
    return token


def create_prompt(connection: Connection) -> str:
    """Create a prompt and return its id."""
    answer = connection.call("POST", "/prompts", {"title": "A title", "content": "content", "model": "m"})
    assert answer.status == 201, answer.body
    prompt_id: str = answer.json["_id"]
    return prompt_id


def send_raw(server: LiveServer, data: bytes) -> bytes:
    """Send raw bytes; return what arrives until the server closes the connection or sends nothing for 2 s."""
    parts = urlsplit(server.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
        connection.sendall(data)
        connection.settimeout(2)
        received = b""
        try:
            while chunk := connection.recv(65536):
                received += chunk
        except TimeoutError:
            pass
        return received
