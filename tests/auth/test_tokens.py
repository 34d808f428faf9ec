"""What a token must be: the form, the header and each claim, also where the signature is right."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from promptcrafter.auth.tokens import LEEWAY_S
from promptcrafter.http.route import route_of
from tests.support import otlp
from tests.support.environment import SECRET
from tests.support.people import Answer, Caller, Person
from tests.support.routes import api_rules

HEADER = '{"alg":"HS256","typ":"JWT"}'
BODY = {"message", "error", "code", "requestId"}


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign(payload: str | bytes, header: str = HEADER, key: str = SECRET) -> str:
    """Return a token of this header and payload with a right signature, whatever they are."""
    data = payload.encode("utf-8", "surrogatepass") if isinstance(payload, str) else payload
    signed = f"{encode(header.encode())}.{encode(data)}"
    return f"{signed}.{encode(hmac.new(key.encode(), signed.encode(), hashlib.sha256).digest())}"


def claims_of(person: Person) -> dict[str, Any]:
    """Return the claims of a person's token."""
    part = person.token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=="))
    return claims


def odd_tokens(claims: dict[str, Any]) -> dict[str, str]:
    """Return tokens with a right signature that no release has issued, by what is odd about them."""
    # JSON of values that no claim may have
    odd = [
        "null",
        "[]",
        "{}",
        "true",
        "false",
        '""',
        "-1",
        '"\\u0000"',
        '"\\ud800"',
        "1e400",
        "NaN",
        "[[1]]",
        "9" * 5000,
    ]
    odd_times = [*odd, '"text"', f'"{claims["exp"]}"', f"{claims['exp']}.5", str(10**30), "253402300800", "-Infinity"]
    values = {
        "exp": [*odd_times, "0"],
        "iat": odd_times,
        "nbf": odd_times,
        "sub": [*odd, "1", str(10**30), '{"a":1}', json.dumps([claims["sub"]]), '"user_é"', f'"{claims["sub"]}\\n"'],
        "epoch": [*odd[:8], '"0"', "0.0", str(10**30), "1"],
        "type": [*odd, '"refresh"', '"ACCESS"'],
        "jti": ["null", "[]", "{}", "1"],
    }
    tokens = {
        f"{name} {value[:20]}": sign(json.dumps({**claims, name: "VALUE"}).replace('"VALUE"', value))
        for name, of_name in values.items()
        for value in of_name
    }
    payload = json.dumps(claims)
    tokens |= {f"without {name}": sign(json.dumps({k: v for k, v in claims.items() if k != name})) for name in values}
    tokens |= {
        f"{name} twice": sign(f"{{{json.dumps(name)}:{json.dumps(claims[name])},{payload[1:]}") for name in values
    }
    tokens |= {
        f"payload {odd_payload[:12]!r}": sign(odd_payload)
        for odd_payload in (
            "",
            "[]",
            "1",
            "null",
            '"x"',
            "{",
            "[" * 1500,
            b"\xff\xfe",
            payload.encode("utf-16"),
            payload * 2,
        )
    }
    tokens |= {
        f"header {header[:30]}": sign(payload, header)
        for header in (
            *("[]", "1", "null", '"x"', "{", "{}", "[" * 1500, '{"a":' * 500, '{"alg":' + "9" * 2500 + "}"),
            *(
                f'{{"alg":{alg}}}'
                for alg in ("null", "[]", "{}", "1", '"none"', '"None"', '"HS512"', '"RS256"', '["HS256"]')
            ),
            *(f'{{"alg":"HS256","kid":{kid}}}' for kid in ("1", "null", "[]", "{}")),
            '{"alg":"HS256","alg":"HS256"}',
            '{"alg":"HS256","crit":["x"],"x":1}',
            '{"alg":"HS256","b64":false,"crit":["b64"]}',
        )
    }
    whole = sign(payload)
    return tokens | {
        "with a space inside": whole.replace(".", ". "),
        "with padding": f"{whole}=",
        "four parts": f"{whole}.",
        "five parts": f"{whole}.a.b",
        "two parts": whole.rpartition(".")[0],
        "no signature": whole.rpartition(".")[0] + ".",
        "very long": sign(json.dumps({**claims, "x": "y" * 6000})),
        "twice": f"{whole},{whole}",
        "twice, as headers are joined": f"{whole}, Bearer {whole}",
        "empty parts": "..",
        "not ASCII": "é.ü.ß",
    }


def get(client: Caller, token: str, path: str = "/auth/me") -> Answer:
    return client.get(path, headers={"Authorization": f"Bearer {token}"})


def assert_unauthorized(answer: Answer) -> None:
    assert (answer.status_code, answer.json["code"], set(answer.json)) == (401, "unauthorized", BODY)
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_the_tokens_below_differ_from_a_valid_one_only_in_what_is_odd(client: Caller, ada: Person) -> None:
    assert get(client, sign(json.dumps(claims_of(ada)))).status_code == 200
    assert get(client, sign(json.dumps({**claims_of(ada), "x": 1, "y": [None]}))).status_code == 200


def test_a_rightly_signed_token_with_an_odd_claim_or_header_is_401(client: Caller, ada: Person) -> None:
    for odd, token in odd_tokens(claims_of(ada)).items():
        answer = get(client, token)
        assert answer.status_code == 401, odd
        assert_unauthorized(answer)
        assert client.get("/auth/me", headers={"X-Api-Key": token}).status_code == 401, odd
    assert ada.get("/auth/me").status_code == 200


def test_every_route_refuses_them_alike(app: Flask, client: Caller, ada: Person) -> None:
    claims = claims_of(ada)
    odd = [
        sign(json.dumps({**claims, "exp": str(claims["exp"])})),
        sign(json.dumps({**claims, "sub": {"a": 1}})),
        sign(json.dumps(claims), "[" * 1500),
    ]
    seen = 0
    for rule in api_rules(app):
        if not route_of(app.view_functions[rule.endpoint]).is_public:
            path = rule.rule.replace("<", "").replace(">", "").replace(":", "")
            for method in (rule.methods or set()) - {"OPTIONS", "HEAD"}:
                for token in odd:
                    answer = client.open(path, method=method, headers={"Authorization": f"Bearer {token}"})
                    assert answer.status_code == 401, (method, path)
                    assert answer.json["code"] == (16 if path in otlp.PATHS else "unauthorized")
                    seen += 1
    assert seen > 100


@pytest.mark.parametrize(
    ("seconds", "status"),
    [(0, 200), (-1, 200), (2 - LEEWAY_S, 200), (-LEEWAY_S - 2, 401), (-600, 401)],
)
def test_a_clock_may_be_a_minute_slow(
    client: Caller, ada: Person, monkeypatch: pytest.MonkeyPatch, seconds: int, status: int
) -> None:
    issued_at = claims_of(ada)["iat"]
    monkeypatch.setattr("time.time", lambda: float(issued_at + seconds))
    assert ada.get("/auth/me").status_code == status


@pytest.mark.parametrize(("seconds", "status"), [(-1, 200), (LEEWAY_S - 2, 200), (LEEWAY_S, 401), (600, 401)])
def test_a_clock_may_be_a_minute_fast(
    client: Caller, ada: Person, monkeypatch: pytest.MonkeyPatch, seconds: int, status: int
) -> None:
    expires_at = claims_of(ada)["exp"]
    monkeypatch.setattr("time.time", lambda: float(expires_at + seconds))
    assert ada.get("/auth/me").status_code == status


@pytest.mark.parametrize("name", ["iat", "nbf"])
def test_a_token_of_the_future_is_refused_beyond_the_leeway(client: Caller, ada: Person, name: str) -> None:
    def token(seconds: int) -> str:
        return sign(json.dumps({**claims_of(ada), name: int(time.time()) + seconds}))

    assert get(client, token(LEEWAY_S - 5)).status_code == 200
    assert get(client, token(LEEWAY_S + 5)).status_code == 401


@pytest.mark.parametrize("revoke", ["log-out", "password change"])
def test_the_leeway_gives_no_revoked_token_more_time(
    client: Caller, ada: Person, monkeypatch: pytest.MonkeyPatch, revoke: str
) -> None:
    """Tokens are revoked by the account's epoch, so clocks do not matter, not even of the host that revoked them."""
    calls: dict[str, Callable[[], Answer]] = {
        "log-out": lambda: ada.post("/auth/logout"),
        "password change": lambda: ada.post(
            "/auth/password", {"currentPassword": ada.password, "newPassword": "another password"}
        ),
    }
    assert calls[revoke]().status_code == 204
    now = time.time()
    for seconds in (-LEEWAY_S + 5, 0, LEEWAY_S):
        monkeypatch.setattr("time.time", lambda: now + seconds)  # noqa: B023 - called at once
        assert ada.get("/auth/me").status_code == 401
