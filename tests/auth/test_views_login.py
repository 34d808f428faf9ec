"""POST /auth/login."""

from typing import Any

import pytest
from argon2 import Parameters, PasswordHasher, extract_parameters
from flask import Flask

from promptcrafter.auth import store
from promptcrafter.database.transactions import writing
from tests.support.databases import only_sqlite
from tests.support.people import Caller, Person

COMPOSED, DECOMPOSED = "pass\u00e9 compos\u00e9", "passe\u0301 compose\u0301"


def test_right_credentials_give_a_token(client: Caller, ada: Person) -> None:
    answer = client.post("/auth/login", json={"email": "ADA@example.com", "password": ada.password})
    assert answer.status_code == 200
    assert set(answer.json) == {"token", "user"}
    assert answer.json["user"]["_id"] == ada.id
    assert client.get("/auth/me", headers={"Authorization": f"Bearer {answer.json['token']}"}).status_code == 200


@pytest.mark.parametrize(("email", "password"), [("ada@example.com", "wrong"), ("nobody@example.com", "wrong")])
def test_wrong_credentials_get_the_same_error_for_known_and_unknown_addresses(
    client: Caller, ada: Person, email: str, password: str
) -> None:
    answer = client.post("/auth/login", json={"email": email, "password": password})
    assert (answer.status_code, answer.json["message"]) == (401, "Incorrect email or password.")


@only_sqlite
def test_a_log_in_to_an_unknown_address_verifies_an_equally_costly_hash(
    client: Caller, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = PasswordHasher.verify

    def work_for(email: str, wrong: str = "wrong") -> list[Parameters]:
        """Return what each password hash that is checked costs."""
        checked: list[Parameters] = []

        def watch(hasher: PasswordHasher, password_hash: str, password: str) -> Any:
            checked.append(extract_parameters(password_hash))
            return verify(hasher, password_hash, password)

        with monkeypatch.context() as patch:
            patch.setattr(PasswordHasher, "verify", watch)
            assert client.post("/auth/login", json={"email": email, "password": wrong}).status_code == 401
        return checked

    assert len(work_for(ada.email)) == 1
    assert work_for("nobody@example.com") == work_for(ada.email)
    assert len(work_for(ada.email, DECOMPOSED)) == 2, "in normal form, and as it was typed"
    assert work_for("nobody@example.com", DECOMPOSED) == work_for(ada.email, DECOMPOSED)


@pytest.mark.parametrize("body", [{}, {"email": "ada@example.com"}, {"email": 1, "password": ["x"]}])
def test_a_malformed_body_is_refused(client: Caller, body: dict[str, Any]) -> None:
    answer = client.post("/auth/login", json=body)
    assert answer.status_code == 400
    assert answer.json["details"]


def test_a_hash_with_older_parameters_is_renewed_at_log_in(app: Flask, client: Caller, ada: Person) -> None:
    with app.app_context():
        user = store.get_user(ada.id)
        with writing():
            store.set_password_hash(user, PasswordHasher(time_cost=1, memory_cost=8192).hash(ada.password))
    assert client.post("/auth/login", json={"email": ada.email, "password": ada.password}).status_code == 200
    with app.app_context():
        assert store.get_user(ada.id).password_hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert ada.get("/auth/me").status_code == 200, "a renewed hash is no change of password"


@pytest.mark.parametrize(("chosen", "typed"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
def test_a_password_is_the_same_in_each_normal_form(client: Caller, chosen: str, typed: str) -> None:
    body = {"email": "eve@example.com", "password": chosen}
    token = client.post("/auth/signup", {"name": "Eve", **body}).json["token"]
    assert client.post("/auth/login", {**body, "password": typed}).status_code == 200
    headers = {"Authorization": f"Bearer {token}"}
    change = {"currentPassword": typed, "newPassword": f"new {chosen}"}
    assert client.post("/auth/password", change, headers=headers).status_code == 204
    assert client.post("/auth/login", {**body, "password": f"new {typed}"}).status_code == 200
    assert client.post("/auth/login", {**body, "password": "new passe compose"}).status_code == 401


@only_sqlite
def test_compatibility_forms_and_cases_are_other_passwords(client: Caller) -> None:
    body = {"email": "eve@example.com", "password": "ﬁnancial Ａ² ß"}
    client.post("/auth/signup", {"name": "Eve", **body})
    for other in ("financial Ａ² ß", "ﬁnancial A² ß", "ﬁnancial Ａ2 ß", "ﬁnancial Ａ² ss", "ﬁnancial ａ² ß"):
        assert client.post("/auth/login", {**body, "password": other}).status_code == 401
    assert client.post("/auth/login", body).status_code == 200


def test_the_length_of_a_password_is_measured_as_it_is_sent(client: Caller) -> None:
    body = {"name": "Eve", "email": "eve@example.com"}
    assert client.post("/auth/signup", {**body, "password": "\u00e9" * 9}).status_code == 400
    assert client.post("/auth/signup", {**body, "password": "e\u0301" * 65}).status_code == 400
    assert client.post("/auth/signup", {**body, "password": "e\u0301" * 5}).status_code == 201
    assert client.post("/auth/login", {**body, "password": "\u00e9" * 5}).status_code == 200


def test_a_hash_of_what_was_typed_still_opens_and_is_replaced_by_one_of_the_normal_form(
    app: Flask, client: Caller, ada: Person
) -> None:
    with app.app_context(), writing():
        typed_hash = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1).hash(DECOMPOSED)
        store.set_password_hash(store.get_user(ada.id), typed_hash)

    def log_in(password: str) -> int:
        return client.post("/auth/login", {"email": ada.email, "password": password}).status_code

    assert log_in(COMPOSED) == 401, "as in the release that made the hash"
    change = {"currentPassword": DECOMPOSED, "newPassword": "short"}
    assert ada.post("/auth/password", change).status_code == 400, "the current password is not what is wrong"
    assert [log_in(DECOMPOSED), log_in(COMPOSED), log_in(DECOMPOSED)] == [200, 200, 200]
    assert ada.get("/auth/me").status_code == 200


def test_a_renewed_hash_never_undoes_a_password_change(app: Flask, client: Caller, ada: Person) -> None:
    with app.app_context():
        read_before = store.get_user(ada.id)
        changed = ada.post("/auth/password", {"currentPassword": ada.password, "newPassword": "another password"})
        assert changed.status_code == 204
        with writing():
            assert not store.set_password_hash(read_before, PasswordHasher().hash(ada.password))
    assert client.post("/auth/login", json={"email": ada.email, "password": "another password"}).status_code == 200
