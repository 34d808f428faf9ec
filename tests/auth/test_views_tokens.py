"""Which tokens are accepted, and when they expire or are revoked."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest

from tests.support.environment import SECRET
from tests.support.people import Caller, Person, sign_up


def claims_of(token: str, **changes: Any) -> dict[str, Any]:
    claims: dict[str, Any] = {**jwt.decode(token, SECRET, algorithms=["HS256"]), **changes}
    return {name: value for name, value in claims.items() if value is not None}


def unsigned(token: str) -> str:
    head = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    return f"{head}.{token.split('.')[1]}."


FORGERIES: dict[str, Callable[[str], str]] = {
    "alg none": unsigned,
    "foreign key": lambda token: jwt.encode(claims_of(token), "b" * 40, "HS256"),
    "another algorithm": lambda token: jwt.encode(claims_of(token), SECRET * 2, "HS512"),
    "right key, another algorithm": lambda token: jwt.encode(claims_of(token), SECRET * 2, "HS384"),
    "expired": lambda token: jwt.encode(claims_of(token, exp=int(time.time()) - 61), SECRET, "HS256"),
    "not valid yet": lambda token: jwt.encode(claims_of(token, nbf=int(time.time()) + 600), SECRET, "HS256"),
    "no expiry": lambda token: jwt.encode(claims_of(token, exp=None), SECRET, "HS256"),
    "no subject": lambda token: jwt.encode(claims_of(token, sub=None), SECRET, "HS256"),
    "nobody": lambda token: jwt.encode(claims_of(token, sub="user_nobody"), SECRET, "HS256"),
    "no epoch": lambda token: jwt.encode(claims_of(token, epoch=None), SECRET, "HS256"),
    "epoch true": lambda token: jwt.encode(claims_of(token, epoch=False), SECRET, "HS256"),
    "later epoch": lambda token: jwt.encode(claims_of(token, epoch=1), SECRET, "HS256"),
    "cut short": lambda token: token[:-2],
    "payload changed": lambda token: ".".join(
        [
            token.split(".")[0],
            base64.urlsafe_b64encode(json.dumps({"sub": "user_x", "epoch": 0}).encode()).rstrip(b"=").decode(),
            token.split(".")[2],
        ]
    ),
    "not a token": lambda token: "é",
    "empty": lambda token: "",
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES.keys())
def test_a_forged_token_is_refused(client: Caller, ada: Person, forge: Callable[[str], str]) -> None:
    answer = client.get("/auth/me", headers={"Authorization": f"Bearer {forge(ada.token)}"})
    assert answer.status_code == 401
    assert answer.json["message"] == "Invalid or missing bearer token"
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("authorization", ["", "Basic YTpi", "{token}", "Token {token}", "Bearer"])
def test_another_scheme_is_refused(client: Caller, ada: Person, authorization: str) -> None:
    answer = client.get("/auth/me", headers={"Authorization": authorization.format(token=ada.token)})
    assert answer.status_code == 401


def test_the_case_of_the_scheme_is_ignored(client: Caller, ada: Person) -> None:
    assert client.get("/auth/me", headers={"Authorization": f"bearer {ada.token}"}).status_code == 200


def test_a_token_expires_after_the_configured_time(with_settings: Callable[..., Caller]) -> None:
    claims = claims_of(sign_up(with_settings(token_days=3), "ada").token)
    assert claims["exp"] - claims["iat"] == 3 * 24 * 3600


def test_a_log_out_invalidates_all_tokens_of_the_caller_only(client: Caller, ada: Person, ben: Person) -> None:
    other = client.post("/auth/login", json={"email": ada.email, "password": ada.password}).json["token"]
    answer = ada.post("/auth/logout")
    assert (answer.status_code, answer.data) == (204, b"")
    assert ada.get("/auth/me").status_code == 401
    assert client.get("/auth/me", headers={"Authorization": f"Bearer {other}"}).status_code == 401
    assert ben.get("/auth/me").status_code == 200
    again = client.post("/auth/login", json={"email": ada.email, "password": ada.password}).json["token"]
    assert client.get("/auth/me", headers={"Authorization": f"Bearer {again}"}).status_code == 200


def test_a_password_change_invalidates_all_tokens(client: Caller, ada: Person) -> None:
    answer = ada.post("/auth/password", {"currentPassword": ada.password, "newPassword": "another password"})
    assert (answer.status_code, answer.data) == (204, b"")
    assert ada.get("/auth/me").status_code == 401
    old = client.post("/auth/login", json={"email": ada.email, "password": ada.password})
    new = client.post("/auth/login", json={"email": ada.email, "password": "another password"})
    assert (old.status_code, new.status_code) == (401, 200)


def test_a_password_change_needs_the_current_password(ada: Person) -> None:
    answer = ada.post("/auth/password", {"currentPassword": "wrong", "newPassword": "another password"})
    assert (answer.status_code, answer.json["code"]) == (401, "wrong_password")
    assert ada.get("/auth/me").status_code == 200
    answer = ada.post("/auth/password", {"currentPassword": ada.password, "newPassword": "short"})
    assert (answer.status_code, answer.json["details"]) == (400, {"newPassword": ["must have 10 to 128 characters"]})
