"""Requests that prepare a measurement or check that it was correct."""

import json
from http.client import HTTPConnection
from typing import Any

EMAIL = "bench@example.com"
PASSWORD = "the password of the measurements"
_TIMEOUT_S = 60


class Client:
    """A client of the service with an access token."""

    def __init__(self, port: int, token: str = "") -> None:
        self.token = token
        self._port = port

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Return the parsed JSON of the response, None for an empty one. Raises RuntimeError unless it is 2xx."""
        connection = HTTPConnection("127.0.0.1", self._port, timeout=_TIMEOUT_S)
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"}
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if not 200 <= answer.status < 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {text.decode()}")
        return json.loads(text) if text else None

    def create_prompt(self, title: str) -> str:
        """Create a prompt and return its id."""
        prompt = self.call("POST", "/prompts", {"title": title, "content": "Answer {question}.", "model": "gpt-4o"})
        return str(prompt["_id"])

    def find_prompt(self) -> str:
        """Return the id of the newest prompt."""
        return str(self.call("GET", "/prompts?per_page=1")[0]["_id"])


def sign_up(port: int) -> Client:
    """Create the benchmark's account and return a client for it."""
    answer = Client(port).call("POST", "/auth/signup", {"name": "Bench", "email": EMAIL, "password": PASSWORD})
    return Client(port, answer["token"])


def log_in(port: int) -> Client:
    """Log in to the benchmark's account and return a client for it."""
    return Client(port, Client(port).call("POST", "/auth/login", {"email": EMAIL, "password": PASSWORD})["token"])
