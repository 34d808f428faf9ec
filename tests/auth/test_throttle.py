"""Rate limits of sign-up, log-in and password change: by what they count, and what they answer."""

from collections.abc import Callable
from typing import Any

import pytest
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from tests.support.people import Answer, Caller, sign_up

MakeClient = Callable[..., Caller]
# Of one place each, as a proxy or the socket may write them
PLACES = {
    "an IPv4 address": ["192.0.2.7", "::ffff:192.0.2.7", "192.0.2.7:1234", "64:ff9b::c000:207"],
    "an IPv6 network": ["2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::", "[2001:db8::3]:99"],
}


def log_in(client: Caller, email: str, password: str, address: str = "10.0.0.1") -> Answer:
    body = {"email": email, "password": password}
    return client.post("/auth/login", json=body, environ_base={"REMOTE_ADDR": address})


def test_sign_up_is_throttled_by_address(with_settings: MakeClient) -> None:
    client = with_settings(ratelimit_enabled=True, signup_rate="2 per hour")
    for name in ("one", "two"):
        sign_up(client, name)
    body = {"name": "Ada Lovelace", "email": "ada@example.com", "password": "correct horse"}
    answer = client.post("/auth/signup", json=body)
    assert (answer.status_code, answer.json["code"]) == (429, "too_many_requests")
    assert 3500 < int(answer.headers["Retry-After"]) <= 3600
    assert client.post("/auth/signup", json=body, environ_base={"REMOTE_ADDR": "10.0.0.2"}).status_code == 201


def test_a_new_address_counts_as_a_sign_up_since_it_tells_which_are_in_use(with_settings: MakeClient) -> None:
    client = with_settings(ratelimit_enabled=True, signup_rate="3 per hour")
    person = sign_up(client, "ada")
    sign_up(client, "ben")
    change = {"email": "ben@example.com", "currentPassword": person.password}
    assert [person.patch("/auth/me", change).status_code for _ in range(2)] == [409, 429]
    assert person.patch("/auth/me", {"name": "Ada King"}).status_code == 200


def test_attempts_from_one_address_are_throttled(with_settings: MakeClient) -> None:
    client = with_settings(ratelimit_enabled=True, login_rate="3 per minute")
    answers = [log_in(client, f"{n}@x.org", "x") for n in range(4)]
    assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
    assert 0 < int(answers[3].headers["Retry-After"]) <= 60


@pytest.mark.parametrize("addresses", PLACES.values(), ids=PLACES.keys())
@pytest.mark.parametrize("path", ["/auth/signup", "/auth/login"])
def test_one_place_has_one_count_however_its_address_is_written(
    with_settings: MakeClient, path: str, addresses: list[str]
) -> None:
    client = with_settings(ratelimit_enabled=True, login_rate="4 per minute", signup_rate="4 per minute")

    def call(address: str) -> int:
        return client.post(path, json={}, environ_base={"REMOTE_ADDR": address}).status_code

    assert [call(address) for address in [*addresses, addresses[0]]] == [400, 400, 400, 400, 429]
    assert [call("2001:db8:0:1::1"), call("192.0.2.8")] == [400, 400], "of another network"


def test_wrong_passwords_lock_out_their_sender_and_not_the_owner(with_settings: MakeClient) -> None:
    client = with_settings(ratelimit_enabled=True, login_failure_rate="2 per hour")
    person = sign_up(client, "ada")
    attacker, owner = "2001:db8::bad", "2001:db8:1::1"
    assert [log_in(client, person.email, "wrong", attacker).status_code for _ in range(3)] == [401, 401, 429]
    assert log_in(client, person.email, person.password, attacker).status_code == 429
    assert log_in(client, person.email.upper(), "wrong", "2001:db8::bad:2").status_code == 429, (
        "nor by another spelling"
    )
    assert log_in(client, person.email, person.password, owner).status_code == 200
    assert log_in(client, "ben@example.com", "wrong", attacker).status_code == 401, "of another account"


def test_wrong_passwords_from_many_addresses_are_throttled_by_account(with_settings: MakeClient) -> None:
    client = with_settings(
        ratelimit_enabled=True, login_failure_rate="2 per hour", login_failure_total_rate="3 per hour"
    )
    person = sign_up(client, "ada")
    assert log_in(client, person.email, person.password).status_code == 200, "a right password does not count"
    statuses = [log_in(client, person.email, "wrong", f"10.0.{n}.1").status_code for n in range(5)]
    assert statuses == [401, 401, 401, 429, 429]
    answer = log_in(client, person.email, person.password, "10.1.1.1")
    assert (answer.status_code, answer.json["code"]) == (429, "too_many_requests")
    assert 3500 < int(answer.headers["Retry-After"]) <= 3600


def test_the_owner_gets_in_beside_many_wrong_passwords(
    with_settings: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = with_settings(ratelimit_enabled=True, login_rate="10000 per minute")
    person = sign_up(client, "ada")
    monkeypatch.setattr(PasswordHasher, "verify", refuse_wrong)
    attackers = [f"203.0.113.{n}" for n in range(6)]
    statuses = [log_in(client, person.email, "wrong", address).status_code for address in attackers for _ in range(21)]
    assert (statuses.count(401), statuses.count(429)) == (6 * 20, 6)
    assert log_in(client, person.email, person.password, "198.51.100.1").status_code == 200


def refuse_wrong(hasher: Any, password_hash: str, password: str) -> bool:
    """Stand in for the verification of a password, without the time that it takes."""
    if password == "wrong":
        raise VerifyMismatchError
    return True


def test_guessing_the_current_password_is_throttled(with_settings: MakeClient) -> None:
    person = sign_up(with_settings(ratelimit_enabled=True, login_failure_rate="2 per hour"), "ada")
    body = {"currentPassword": "wrong", "newPassword": "another password"}

    def change(address: str) -> int:
        return person.post("/auth/password", body, environ_base={"REMOTE_ADDR": address}).status_code

    assert [change("10.0.0.1") for _ in range(3)] == [401, 401, 429]
    assert change("10.0.0.2") == 401, "a thief of a token does not keep its owner from changing the password"


def test_a_forged_address_counts_only_behind_a_trusted_proxy(with_settings: MakeClient) -> None:
    def statuses(client: Caller) -> list[int]:
        return [
            client.post("/auth/login", json={}, headers={"X-Forwarded-For": f"198.51.100.{n}"}).status_code
            for n in range(3)
        ]

    settings = {"ratelimit_enabled": True, "login_rate": "2 per minute"}
    assert statuses(with_settings(**settings)) == [400, 400, 429]
    assert statuses(with_settings(**settings, trusted_proxies=1)) == [400, 400, 400]


def test_a_proxy_counts_the_last_address_and_not_those_that_the_client_has_made_up(with_settings: MakeClient) -> None:
    client = with_settings(ratelimit_enabled=True, login_rate="2 per minute", trusted_proxies=1)
    forged = [{"X-Forwarded-For": f"198.51.100.{n}, 192.0.2.7"} for n in range(3)]
    assert [client.post("/auth/login", json={}, headers=headers).status_code for headers in forged] == [400, 400, 429]


def test_new_keys_are_throttled_by_account_from_all_addresses(with_settings: MakeClient) -> None:
    person = sign_up(with_settings(ratelimit_enabled=True, key_rate="2 per hour"), "eve")
    statuses = [
        person.post("/auth/keys", {"name": "k"}, environ_base={"REMOTE_ADDR": f"10.0.0.{n}"}).status_code
        for n in range(3)
    ]
    assert statuses == [201, 201, 429]
