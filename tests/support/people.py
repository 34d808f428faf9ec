"""Clients of the API in this process: anonymous callers, and accounts that are signed in."""

from typing import Any, cast

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse


class Answer(TestResponse):
    """A response whose JSON the tests know the shape of."""

    @property
    def json(self) -> Any:
        return self.get_json()


class Caller:
    """Somebody who makes calls: a stranger, as long as no token is among the headers."""

    def __init__(self, client: FlaskClient, headers: dict[str, str] | None = None) -> None:
        self.client = client
        self.headers = headers or {}

    def open(self, path: str, headers: dict[str, str] | None = None, **kwargs: Any) -> Answer:
        merged = {**self.headers, **(headers or {})}
        return cast(Answer, self.client.open(path, headers=merged, buffered=True, **kwargs))

    def get(self, path: str, **kwargs: Any) -> Answer:
        return self.open(path, method="GET", **kwargs)

    def options(self, path: str, **kwargs: Any) -> Answer:
        return self.open(path, method="OPTIONS", **kwargs)

    def post(self, path: str, json: Any = None, **kwargs: Any) -> Answer:
        return self.open(path, method="POST", json=json, **kwargs)

    def patch(self, path: str, json: Any = None, **kwargs: Any) -> Answer:
        return self.open(path, method="PATCH", json=json, **kwargs)

    def delete(self, path: str, **kwargs: Any) -> Answer:
        return self.open(path, method="DELETE", **kwargs)


class Person(Caller):
    """Somebody who is signed in."""

    def __init__(self, stranger: Caller, id: str, token: str, email: str, password: str) -> None:
        super().__init__(stranger.client, {"Authorization": f"Bearer {token}"})
        self.id = id
        self.token = token
        self.email = email
        self.password = password

    def prompt(self, **values: Any) -> dict[str, Any]:
        """Save a prompt and return it."""
        body = {"title": "A title", "content": "Some content", "model": "gpt-4o", **values}
        return _created(self.post("/prompts", body))

    def log(self, prompt: dict[str, Any], **values: Any) -> dict[str, Any]:
        """Log an output of a prompt and return it."""
        body = {"promptId": prompt["_id"], "output": "An output", "modelUsed": "gpt-4o", **values}
        return _created(self.post("/logs", body))


def _created(answer: Answer) -> dict[str, Any]:
    assert answer.status_code == 201, answer.text
    return dict(answer.json)


@pytest.fixture
def client(app: Flask) -> Caller:
    """A stranger."""
    return Caller(app.test_client())


def sign_up(client: Caller, name: str) -> Person:
    """Create an account of that name."""
    email, password = f"{name}@example.com", f"the password of {name}"
    answer = _created(client.post("/auth/signup", json={"name": name, "email": email, "password": password}))
    return Person(client, answer["user"]["_id"], answer["token"], email, password)


@pytest.fixture
def ada(client: Caller) -> Person:
    """Who owns things."""
    return sign_up(client, "ada")


@pytest.fixture
def ben(client: Caller) -> Person:
    """Who is somebody else."""
    return sign_up(client, "ben")
