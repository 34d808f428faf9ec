"""Pages of the origins in CORS_ORIGINS may call the API; others may not, and without the setting nothing changes."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from config import Config
from promptcrafter.http.formats import WRITERS
from promptcrafter.prompts import list_store
from tests.support.databases import only_sqlite
from tests.support.people import Answer, Caller, Person

pytestmark = only_sqlite
APP, OTHER = "https://app.example.com", "http://127.0.0.1:5173"
PREFLIGHT = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization,if-match"}
SAFELISTED = {"cache-control", "content-language", "content-length", "content-type", "expires", "last-modified"}
# What browsers act on and no program reads
FOR_BROWSERS = {
    *("vary", "content-security-policy", "referrer-policy", "x-content-type-options", "x-frame-options"),
    *("strict-transport-security", "access-control-allow-origin", "access-control-expose-headers"),
}


@pytest.fixture
def config(config: Config) -> Config:
    """The settings of a service that two origins may call."""
    return replace(config, cors_origins=f"{APP},{OTHER}", max_body_bytes=2000)


def names(value: str) -> set[str]:
    return {name.strip().lower() for name in value.split(",")}


def cors_headers(answer: Answer) -> set[str]:
    return {name for name, _ in answer.headers if name.startswith("Access-Control-")}


@pytest.mark.parametrize("path", ["/prompts", "/logs/log_1", "/auth/login", "/openapi.json", "/nope"])
def test_a_preflight_is_answered_without_a_token_for_every_path(client: Caller, path: str) -> None:
    answer = client.options(path, headers={"Origin": APP, **PREFLIGHT})
    assert (answer.status_code, answer.data) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == APP
    assert names(answer.headers["Access-Control-Allow-Methods"]) >= {"get", "post", "put", "patch", "delete", "head"}
    assert names(answer.headers["Access-Control-Allow-Headers"]) >= {
        *("authorization", "content-type", "x-api-key", "if-match", "if-none-match", "idempotency-key"),
        *("accept", "content-encoding", "x-request-id"),
    }
    assert int(answer.headers["Access-Control-Max-Age"]) > 0
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert answer.headers["Vary"] == "Origin"
    assert answer.headers["X-Request-Id"]


def test_the_api_allows_the_headers_that_it_documents(client: Caller) -> None:
    answer = client.options("/logs", headers={"Origin": APP, **PREFLIGHT})
    documented = {
        parameter["name"].lower()
        for item in client.get("/openapi.json").json["paths"].values()
        for operation in item.values()
        if isinstance(operation, dict)
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "header"
    }
    assert documented
    assert documented <= names(answer.headers["Access-Control-Allow-Headers"])


@pytest.mark.parametrize("origin", [APP, OTHER])
def test_an_allowed_origin_reads_the_response_and_the_headers_of_the_api(ada: Person, origin: str) -> None:
    prompt = ada.prompt()
    ada.prompt()
    log = {"promptId": prompt["_id"], "output": "x", "modelUsed": "m"}
    headers = {"Origin": origin}
    answers = [
        ada.get("/prompts?per_page=1", headers=headers),
        ada.get(f"/prompts/{prompt['_id']}", headers=headers),
        ada.post("/logs", log, headers={**headers, "Idempotency-Key": "k"}),
        ada.post("/logs", log, headers={**headers, "Idempotency-Key": "k"}),
        ada.get("/export", headers=headers),
        *(ada.get("/logs", headers={**headers, "Accept": media_type}) for media_type in WRITERS),
    ]
    seen = set()
    for answer in answers:
        assert answer.status_code < 300
        assert answer.headers["Access-Control-Allow-Origin"] == origin
        assert "Origin" in answer.vary
        exposed = names(answer.headers["Access-Control-Expose-Headers"])
        sent = names(",".join(answer.headers.keys())) - SAFELISTED - FOR_BROWSERS
        assert sent <= exposed
        seen |= sent
    assert seen >= {"link", "etag", "location", "x-request-id", "idempotency-replayed"}
    assert exposed >= {"retry-after", "x-ignored-fields", "x-total-count", "x-truncated", "content-disposition"}
    assert answers[-1].vary.as_set() == {"accept", "origin"}


def errors(ada: Person, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, Answer]]:
    """Yield errors of many kinds, each with its status."""

    def fail(*args: Any) -> None:
        raise RuntimeError

    headers, text = {"Origin": APP}, {"Origin": APP, "Content-Type": "text/plain"}
    yield 400, ada.post("/prompts", {}, headers=headers)
    yield 401, ada.get("/prompts", headers={**headers, "Authorization": ""})
    yield 404, ada.get("/nope", headers=headers)
    yield 404, ada.get("/prompts/prompt_1", headers=headers)
    yield 405, ada.delete("/prompts", headers=headers)
    yield 413, ada.post("/prompts", {"title": "title", "content": "x" * 3000, "model": "m"}, headers=headers)
    yield 415, ada.post("/prompts", data="x", headers=text)
    monkeypatch.setattr(list_store, "find_prompts", fail)
    yield 500, ada.get("/prompts", headers=headers)


def test_an_allowed_origin_reads_errors_too(ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    for status, answer in errors(ada, monkeypatch):
        assert answer.status_code == status
        assert answer.headers["Access-Control-Allow-Origin"] == APP, status
        assert names(answer.headers["Access-Control-Expose-Headers"]) >= {"x-request-id", "retry-after", "allow"}
        assert answer.json["code"]


def test_a_refusal_for_too_many_attempts_names_the_origin(with_settings: Callable[..., Caller]) -> None:
    caller = with_settings(cors_origins=APP, ratelimit_enabled=True, login_rate="1 per hour")
    body = {"email": "a@example.com", "password": "wrong"}
    statuses = [caller.post("/auth/login", body, headers={"Origin": APP}) for _ in range(2)]
    assert [answer.status_code for answer in statuses] == [401, 429]
    assert all(answer.headers["Access-Control-Allow-Origin"] == APP for answer in statuses)
    assert statuses[1].headers["Retry-After"]


def test_other_origins_get_no_headers(ada: Person) -> None:
    for origin in (
        *("null", "", "https://evil.example", "http://app.example.com", "https://app.example.com:444", "https://app"),
        *("https://app.example.com.evil.example", "https://evil-app.example.com", "https://x.app.example.com"),
        *(f"{APP}/", f"{APP},{OTHER}", "https://appxexample.com", "*", APP.upper()),
    ):
        headers = {"Origin": origin}
        for answer in (ada.get("/prompts", headers=headers), ada.options("/prompts", headers={**headers, **PREFLIGHT})):
            assert answer.status_code == 200, origin
            assert not cors_headers(answer), origin
            assert "Origin" in answer.vary, f"{origin}: a cache must not give this response to an allowed origin"
        assert not cors_headers(ada.get("/nope", headers=headers)), origin


def test_a_request_without_an_origin_gets_no_headers(ada: Person) -> None:
    for answer in (ada.get("/prompts"), ada.options("/prompts", headers=PREFLIGHT)):
        assert answer.status_code == 200
        assert not cors_headers(answer)


def test_all_origins_may_call_with_an_asterisk(with_settings: Callable[..., Caller]) -> None:
    caller = with_settings(cors_origins="*")
    for origin in (APP, "https://any.example"):
        preflight = caller.options("/prompts", headers={"Origin": origin, **PREFLIGHT})
        assert (preflight.status_code, preflight.headers["Access-Control-Allow-Origin"]) == (204, "*")
        answer = caller.get("/prompts", headers={"Origin": origin})
        assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (401, "*")
        assert "Access-Control-Allow-Credentials" not in answer.headers
        assert "Origin" not in answer.vary


def test_options_other_than_preflights_answer_as_before(client: Caller) -> None:
    answer = client.options("/prompts", headers={"Origin": APP})
    assert answer.status_code == 200
    assert names(answer.headers["Allow"]) == {"get", "head", "options", "post"}
    assert answer.headers["Access-Control-Allow-Origin"] == APP


def test_without_the_setting_no_response_has_headers_for_other_origins(with_settings: Callable[..., Caller]) -> None:
    client = with_settings(cors_origins="")
    for answer in (client.get("/", headers={"Origin": APP}), client.options("/", headers={"Origin": APP, **PREFLIGHT})):
        assert answer.status_code == 200
        assert not cors_headers(answer)
        assert "Origin" not in answer.vary
