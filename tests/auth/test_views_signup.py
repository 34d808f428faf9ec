"""POST /auth/signup."""

import unicodedata
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import insert

from promptcrafter.auth import passwords
from promptcrafter.auth.models import User
from promptcrafter.clock import now
from promptcrafter.database.session import session
from promptcrafter.database.transactions import writing
from promptcrafter.ids import new_id
from tests.support.people import Caller, Person

COMPOSED = "\u00e9v\u00e9@example.com"
DECOMPOSED, MIXED = unicodedata.normalize("NFD", COMPOSED), "\u00e9ve\u0301@example.com"

BODY = {"name": "Ada Lovelace", "email": "Ada@Example.com", "password": "correct horse"}


def test_a_new_account_comes_with_a_token(client: Caller) -> None:
    answer = client.post("/auth/signup", json=BODY)
    assert answer.status_code == 201
    body = answer.json
    assert set(body) == {"message", "token", "user"}
    assert body["message"] == "User account created successfully."
    assert set(body["user"]) == {"_id", "name", "email", "createdAt"}
    assert (body["user"]["name"], body["user"]["email"]) == ("Ada Lovelace", "Ada@Example.com")
    me = client.get("/auth/me", headers={"Authorization": f"Bearer {body['token']}"})
    assert {**body["user"], "defaultWorkspaceId": me.json["defaultWorkspaceId"]} == me.json


@pytest.mark.parametrize("email", ["ada@example.com", "ADA@EXAMPLE.COM"])
def test_addresses_that_differ_in_case_only_are_the_same(client: Caller, email: str) -> None:
    assert client.post("/auth/signup", json=BODY).status_code == 201
    answer = client.post("/auth/signup", json={**BODY, "email": email})
    assert answer.status_code == 409
    assert answer.json["message"] == answer.json["error"] == "Email already in use."


@pytest.mark.parametrize("first", [COMPOSED, DECOMPOSED, MIXED])
def test_addresses_that_differ_in_their_normal_form_only_are_the_same(client: Caller, first: str) -> None:
    body = {"name": "Eve", "password": "the password of eve"}
    created = client.post("/auth/signup", {**body, "email": first})
    assert (created.status_code, created.json["user"]["email"]) == (201, first), "it is shown as it was typed"
    for email in (COMPOSED, DECOMPOSED, MIXED, COMPOSED.upper(), DECOMPOSED.upper()):
        again = client.post("/auth/signup", {**body, "email": email})
        assert (again.status_code, again.json["code"]) == (409, "email_taken")
        login = client.post("/auth/login", {"email": email, "password": body["password"]})
        assert login.json["user"] == created.json["user"]


@pytest.mark.parametrize(
    "character", ["\u200b", "\u200d", "\u00ad", "\u2060", "\ufeff", "\u202e", "\u3164", "\U000e0061"]
)
def test_an_address_with_an_invisible_character_is_refused_by_rule(client: Caller, character: str) -> None:
    for email in (f"a{character}da@example.com", f"ada@example{character}.com", f"ada@example.com{character}"):
        answer = client.post("/auth/signup", {"name": "Ada", "email": email, "password": "the password of ada"})
        assert answer.status_code == 400
        rule = f"must not contain an invisible character (U+{ord(character):04X})"
        assert answer.json["details"] == {"email": [rule]}


def test_accounts_of_earlier_releases_keep_their_addresses(app: Flask, client: Caller) -> None:
    """Twins are each found by their own spelling, and an account alone by all of them."""
    for name, email in {"one": COMPOSED, "two": DECOMPOSED, "invisible": "ze\u200bro@example.com"}.items():
        add_as_before(app, name, email)
    add_as_before(app, "alone", "ALOI\u0308S@example.com")

    def log_in(email: str) -> Any:
        answer = client.post("/auth/login", {"email": email, "password": "the password of all"})
        return answer.json["user"]["name"] if answer.status_code == 200 else answer.json["code"]

    assert [log_in(email) for email in (COMPOSED, DECOMPOSED, MIXED)] == ["one", "two", "one"]
    assert [log_in("ze\u200bro@example.com"), log_in("zero@example.com")] == ["invisible", "wrong_credentials"]
    assert [log_in(email) for email in ("aloi\u0308s@example.com", "ALO\u00cfS@example.com")] == ["alone", "alone"]
    assert log_in("alois@example.com") == "wrong_credentials"
    for email in (COMPOSED, DECOMPOSED, MIXED, "alo\u00efs@example.com"):
        body = {"name": "x", "email": email, "password": "the password of all"}
        assert client.post("/auth/signup", body).json["code"] == "email_taken"


def add_as_before(app: Flask, name: str, email: str) -> None:
    """Insert an account as release 0.1 does that runs beside this one during an upgrade."""
    with app.app_context(), writing():
        values = {"id": new_id("user"), "name": name, "email": email, "email_key": email.lower(), "created_at": now()}
        hashed = passwords.hash_password("the password of all")
        session.execute(insert(User).values(**values, password_hash=hashed, token_epoch=0))


def test_all_invalid_fields_are_reported_at_once(client: Caller) -> None:
    answer = client.post("/auth/signup", json={"name": "\t ", "email": "nobody", "password": "short"})
    assert answer.status_code == 400
    assert answer.json["details"] == {
        "name": ["must not be blank"],
        "email": ["must be an e-mail address"],
        "password": ["must have 10 to 128 characters"],
    }
    assert answer.json["message"].startswith("name must not be blank; email must be an e-mail address; password must")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "name, email, and password are required"),
        ({"name": "Ada", "email": None, "password": ""}, "email and password are required"),
        ({"name": "", "email": "a@example.com", "password": "x" * 10}, "name is required"),
    ],
)
def test_missing_fields_are_named(client: Caller, body: dict[str, Any], message: str) -> None:
    answer = client.post("/auth/signup", json=body)
    assert (answer.status_code, answer.json["message"]) == (400, message)


def test_an_invisible_name_is_blank(client: Caller) -> None:
    body = {"name": "\u115f\u200e", "email": "eve@example.com", "password": "the password of eve"}
    assert client.post("/auth/signup", body).json["message"] == "name must not be blank."


def test_a_client_cannot_choose_the_id_or_creation_time(client: Caller) -> None:
    answer = client.post("/auth/signup", json={**BODY, "_id": "user_1", "createdAt": "1999-01-01T00:00:00Z"})
    assert answer.status_code == 201
    assert answer.json["user"]["_id"] != "user_1"
    assert not answer.json["user"]["createdAt"].startswith("1999")


def test_sign_up_can_be_closed(with_settings: Callable[..., Caller]) -> None:
    answer = with_settings(signup="closed").post("/auth/signup", json=BODY)
    assert (answer.status_code, answer.json["code"]) == (403, "signup_closed")


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        ({}, ""),
        ({"invitaton": "inv_x"}, "; invitaton is not a field of this call; the nearest is invitation"),
        (
            {"token": "inv_x"},
            "; token is not a field of this call; it takes name, email, password, invitation",
        ),
    ],
)
def test_a_sign_up_that_lacks_the_invitation_names_the_field(
    with_settings: Callable[..., Caller], sent: dict[str, str], reason: str
) -> None:
    answer = with_settings(signup="invited").post("/auth/signup", json={**BODY, **sent})
    assert (answer.status_code, answer.json["code"]) == (403, "invitation_required")
    text = f"Sign-up on this server takes an invitation: invitation is required{reason}."
    assert (answer.json["message"], list(answer.json["details"])) == (text, ["invitation", *sent])


def test_many_unknown_fields_of_a_refused_sign_up_are_named_in_part(with_settings: Callable[..., Caller]) -> None:
    answer = with_settings(signup="invited").post("/auth/signup", json={**BODY, **{f"f{n}": n for n in range(5000)}})
    assert (answer.status_code, len(answer.json["details"])) == (403, 11)


def test_the_password_is_stored_as_an_argon2_hash_only(ada: Person, app: Any) -> None:
    from promptcrafter.auth import store

    with app.app_context():
        kept = store.get_user(ada.id).password_hash
    assert kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert ada.password not in kept
