"""API keys: shown once, accepted on every route, refused when revoked or expired."""

import hashlib
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from promptcrafter import clock
from promptcrafter.database.session import get_engine
from tests.support.people import Caller, Person, sign_up


def new_key(person: Person, **values: Any) -> dict[str, Any]:
    answer = person.post("/auth/keys", {"name": "nightly", **values})
    assert answer.status_code == 201, answer.text
    return dict(answer.json)


def test_a_key_is_shown_once_and_stored_as_a_digest(app: Flask, ada: Person) -> None:
    key = new_key(ada)
    assert set(key) == {
        *("_id", "name", "prefix", "key", "createdAt", "expiresAt"),
        *("workspaceId", "scopes", "lastUsedAt"),
    }
    assert re.fullmatch(r"pc_[A-Za-z0-9_-]{43}", key["key"])
    assert key["key"].startswith(key["prefix"])
    assert len(key["prefix"]) == 9
    secret = key.pop("key")
    assert ada.get("/auth/keys").json == [key]
    with app.app_context(), get_engine().connect() as connection:
        row = connection.execute(text("SELECT * FROM api_keys")).one()
    assert row.digest == hashlib.sha256(secret.encode()).hexdigest()
    assert secret not in str(row)


@pytest.mark.parametrize("header", ["Authorization", "x-api-key"])
def test_a_key_is_accepted_wherever_a_token_is(client: Caller, ada: Person, header: str) -> None:
    secret = new_key(ada)["key"]
    by_key = Caller(client.client, {header: f"Bearer {secret}" if header == "Authorization" else secret})
    assert by_key.get("/auth/me").json["_id"] == ada.id
    prompt = by_key.post("/prompts", {"title": "By key", "content": "c", "model": "m"}).json
    assert by_key.get(f"/prompts/{prompt['_id']}").json == ada.get(f"/prompts/{prompt['_id']}").json
    assert by_key.delete(f"/prompts/{prompt['_id']}").status_code == 204


def test_a_revoked_key_is_refused_at_once(client: Caller, ada: Person) -> None:
    key, other = new_key(ada), new_key(ada, name="other")
    answer = ada.delete(f"/auth/keys/{key['_id']}")
    assert (answer.status_code, answer.data) == (204, b"")
    assert client.get("/auth/me", headers={"x-api-key": key["key"]}).status_code == 401
    assert client.get("/auth/me", headers={"x-api-key": other["key"]}).status_code == 200
    assert [kept["_id"] for kept in ada.get("/auth/keys").json] == [other["_id"]]
    assert ada.delete(f"/auth/keys/{key['_id']}").status_code == 404


def test_an_expired_key_is_refused(client: Caller, ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    soon = clock.to_text(clock.now() + timedelta(hours=1))
    key = new_key(ada, expiresAt=soon)
    assert key["expiresAt"] == soon
    assert client.get("/auth/me", headers={"x-api-key": key["key"]}).status_code == 200
    later = clock.now() + timedelta(hours=1)
    monkeypatch.setattr(clock, "now", lambda: later)
    assert client.get("/auth/me", headers={"x-api-key": key["key"]}).status_code == 401


def test_a_key_remains_valid_after_a_log_out(client: Caller, ada: Person) -> None:
    key = new_key(ada)
    ada.post("/auth/logout")
    assert client.get("/auth/me", headers={"x-api-key": key["key"]}).status_code == 200


@pytest.mark.parametrize("credential", ["pc_", "pc_" + "a" * 43, "pc_é", "a" * 46, ""])
def test_a_malformed_or_unknown_key_is_refused(client: Caller, ada: Person, credential: str) -> None:
    new_key(ada)
    bearer, of_key = None, {"x-api-key": ["is no API key, or one that is expired or revoked"]}
    for headers, details in (
        ({"x-api-key": credential}, of_key if credential else bearer),
        ({"Authorization": f"Bearer {credential}"}, bearer),
        ({"Authorization": f"Bearer {credential}", "x-api-key": "pc_"}, bearer),
        ({"Authorization": "Basic YTpi", "x-api-key": "pc_"}, of_key),
    ):
        answer = client.get("/auth/me", headers=headers)
        assert (answer.status_code, answer.json["code"]) == (401, "unauthorized")
        assert answer.json["message"] == "Invalid or missing bearer token"
        assert answer.json.get("details") == details
        assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "name is required"),
        ({"name": " "}, "name must not be blank."),
        ({"name": "\u200b"}, "name must not be blank."),
        ({"name": "n", "expiresAt": "2020-01-01T00:00:00Z"}, "expiresAt must be in the future."),
        ({"name": "n", "expiresAt": "soon"}, "expiresAt must be an ISO 8601 time or a Unix time."),
    ],
)
def test_a_bad_field_is_named(ada: Person, body: dict[str, Any], message: str) -> None:
    answer = ada.post("/auth/keys", body)
    assert (answer.status_code, answer.json["message"]) == (400, message)


def test_a_key_can_be_listed_and_revoked_by_its_owner_only(ada: Person, ben: Person) -> None:
    key = new_key(ada)
    assert ben.get("/auth/keys").json == []
    assert (ben.delete(f"/auth/keys/{key['_id']}")).json["message"] == "Key not found"
    malformed = ben.delete("/auth/keys/nonsense")
    assert (malformed.status_code, malformed.json["message"]) == (400, "The key ID format is invalid.")
    assert len(ada.get("/auth/keys").json) == 1


def test_new_keys_are_throttled(with_settings: Callable[..., Caller]) -> None:
    person = sign_up(with_settings(ratelimit_enabled=True, key_rate="2 per hour"), "ada")
    assert [person.post("/auth/keys", {"name": "n"}).status_code for _ in range(3)] == [201, 201, 429]
