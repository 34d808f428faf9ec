"""`POST /auth/password/reset`: another password instead of a forgotten one."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask

from promptcrafter import clock
from promptcrafter.auth import store
from promptcrafter.database.base import Base
from promptcrafter.database.session import get_engine
from promptcrafter.database.transactions import writing
from tests.support.people import Answer, Caller, Person, sign_up

MakeClient = Callable[..., Caller]
PASSWORD = "a password to remember"
UNKNOWN = {
    "message": "This reset of a password is used, expired or unknown.",
    "error": "This reset of a password is used, expired or unknown.",
    "code": "reset_not_found",
}


def add_reset(app: Flask, person: Person) -> str:
    with app.app_context(), writing():
        return store.add_reset(person.id)[0]


def reset(client: Caller, token: str, password: str = PASSWORD) -> Answer:
    return client.post("/auth/password/reset", {"token": token, "newPassword": password})


def log_in(client: Caller, person: Person, password: str) -> int:
    return client.post("/auth/login", {"email": person.email, "password": password}).status_code


def assert_unknown(answer: Answer) -> None:
    assert answer.status_code == 404
    assert {name: answer.json[name] for name in UNKNOWN} == UNKNOWN


def test_a_reset_sets_another_password_once_and_ends_all_tokens_but_no_key(
    app: Flask, client: Caller, ada: Person, ben: Person
) -> None:
    key = ada.post("/auth/keys", {"name": "k"}).json["key"]
    token = add_reset(app, ada)
    assert ada.get("/prompts").status_code == 200, "it is not used yet"
    answer = reset(client, token)
    assert (answer.status_code, answer.text) == (204, "")
    assert ada.get("/prompts").status_code == 401
    assert client.get("/prompts", headers={"X-Api-Key": key}).status_code == 200
    assert (log_in(client, ada, ada.password), log_in(client, ada, PASSWORD)) == (401, 200)
    assert_unknown(reset(client, token, "yet another password"))
    assert (log_in(client, ada, PASSWORD), log_in(client, ben, ben.password)) == (200, 200)


def test_a_new_reset_replaces_the_one_before(app: Flask, client: Caller, ada: Person, ben: Person) -> None:
    first, second, bens = add_reset(app, ada), add_reset(app, ada), add_reset(app, ben)
    assert_unknown(reset(client, first))
    assert [reset(client, token).status_code for token in (second, bens)] == [204, 204]


def test_a_reset_is_valid_for_a_day(app: Flask, client: Caller, ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    token, made = add_reset(app, ada), clock.now()
    monkeypatch.setattr(clock, "now", lambda: made + timedelta(hours=24))
    assert_unknown(reset(client, token))
    monkeypatch.setattr(clock, "now", lambda: made + timedelta(hours=23, minutes=59))
    assert reset(client, token).status_code == 204


def test_only_the_digest_of_a_reset_is_stored(app: Flask, ada: Person) -> None:
    token = add_reset(app, ada)
    with app.app_context(), get_engine().connect() as connection:
        (row,) = connection.execute(Base.metadata.tables["password_resets"].select()).all()
    assert row.digest == store.digest(token)
    assert token not in str(row)


def test_what_changes_the_password_or_ends_the_account_ends_the_reset(
    app: Flask, client: Caller, ada: Person, ben: Person
) -> None:
    adas, bens = add_reset(app, ada), add_reset(app, ben)
    changed = ada.post("/auth/password", {"currentPassword": ada.password, "newPassword": PASSWORD})
    assert changed.status_code == 204
    assert ben.delete("/auth/me", json={"currentPassword": ben.password}).status_code == 204
    for token in (adas, bens):
        assert_unknown(reset(client, token, "yet another password"))
    assert log_in(client, ada, PASSWORD) == 200


def test_another_address_ends_the_reset_and_another_name_does_not(app: Flask, client: Caller, ada: Person) -> None:
    token = add_reset(app, ada)
    taken = ada.patch("/auth/me", {"email": "not an address", "currentPassword": ada.password})
    assert (taken.status_code, ada.patch("/auth/me", {"name": "Ada King"}).status_code) == (400, 200)
    with app.app_context():
        store.refuse_unknown_reset(token)
    answer = ada.patch("/auth/me", {"email": "king@example.com", "currentPassword": ada.password})
    assert answer.status_code == 200
    assert_unknown(reset(client, token))


def test_a_disabled_account_gets_no_other_password(app: Flask, client: Caller, ada: Person) -> None:
    token = add_reset(app, ada)
    with app.app_context(), writing():
        store.disable(ada.id)
    assert_unknown(reset(client, token))
    with app.app_context(), writing():
        store.enable(ada.id)
    assert log_in(client, ada, ada.password) == 200


def test_a_password_that_sign_up_would_refuse_leaves_the_reset_unused(app: Flask, client: Caller, ada: Person) -> None:
    token = add_reset(app, ada)
    short = reset(client, token, "too short")
    assert (short.status_code, short.json["details"]) == (400, {"newPassword": ["must have 10 to 128 characters"]})
    missing = client.post("/auth/password/reset", {})
    assert (missing.status_code, set(missing.json["details"])) == (400, {"token", "newPassword"})
    assert reset(client, token).status_code == 204


def test_resets_are_throttled_as_log_ins_are(with_settings: MakeClient) -> None:
    client = with_settings(ratelimit_enabled=True, login_rate="2 per minute")
    person = sign_up(client, "eve")
    assert [reset(client, "reset_unknown").status_code for _ in range(2)] == [404, 404]
    assert log_in(client, person, person.password) == 429
    assert reset(client, "reset_unknown").status_code == 429
