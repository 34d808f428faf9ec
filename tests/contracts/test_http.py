"""What all routes have in common: authentication, methods, headers, and the error body."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from werkzeug.routing import Rule

from promptcrafter.http.route import route_of
from tests.support import otlp
from tests.support.databases import only_sqlite
from tests.support.errors import assert_error
from tests.support.people import Caller, Person, sign_up
from tests.support.routes import api_rules

pytestmark = only_sqlite
PUBLIC = {
    "/",
    "/auth/signup",
    "/auth/password/reset",
    "/auth/login",
    "/docs",
    "/healthz",
    "/readyz",
    "/api/public/health",
    "/openapi.json",
    "/static/<path:name>",
    "/favicon.ico",
}


def operations(app: Flask) -> Iterator[tuple[Rule, str]]:
    for rule in api_rules(app):
        for method in sorted((rule.methods or set()) - {"OPTIONS"}):
            yield rule, method


def concrete(rule: Rule) -> str:
    return re.sub(r"<(?:item:)?(prompt|log|key|trace)_id>", r"\1_1", rule.rule).replace("<path:name>", "docs.js")


def test_every_route_but_the_public_ones_requires_authentication(app: Flask, client: Caller) -> None:
    refused = set()
    for rule, method in operations(app):
        if rule.rule in PUBLIC:
            assert route_of(app.view_functions[rule.endpoint]).is_public
            continue
        answer = client.open(concrete(rule), method=method, data="not json", query_string={"nonsense": "1"})
        assert answer.status_code == 401, f"{method} {rule.rule}"
        is_otlp = rule.rule in otlp.PATHS
        takes_basic = route_of(app.view_functions[rule.endpoint]).takes_basic
        basic = ', Basic realm="PromptCrafter", charset="UTF-8"' if takes_basic else ""
        assert answer.headers["WWW-Authenticate"] == f"Bearer{basic}"
        if is_otlp:
            otlp.assert_status(answer, 401, "Invalid or missing bearer token")
        elif method != "HEAD":
            is_agenttest = rule.rule.startswith("/experiment/")
            text = "Unauthorized" if is_agenttest else "Invalid or missing bearer token"
            assert_error(answer, 401, "unauthorized", text)
        refused.add((method, rule.rule))
    assert len(refused) >= 40, "the walk has seen the routes"


def test_every_route_answers_options_with_what_it_allows(app: Flask, client: Caller) -> None:
    allowed: dict[str, set[str]] = {}
    for rule in api_rules(app):
        allowed.setdefault(rule.rule, set()).update(rule.methods or ())
    for rule in api_rules(app):
        answer = client.options(concrete(rule))
        assert answer.status_code == 200
        assert set(answer.headers["Allow"].split(", ")) == allowed[rule.rule]


def test_every_wrong_method_is_405_with_allow(app: Flask, ada: Person) -> None:
    for path in sorted({concrete(rule) for rule in api_rules(app)}):
        allow = ada.client.options(path).headers["Allow"]
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"} - set(allow.split(", ")):
            answer = ada.open(path, method=method)
            if path in otlp.PATHS:
                otlp.assert_status(answer, 405, "Method not allowed")
            else:
                assert_error(answer, 405, "method_not_allowed")
            assert set(answer.headers["Allow"].split(", ")) == set(allow.split(", "))


def test_head_is_get_without_its_body(app: Flask, ada: Person) -> None:
    log = ada.log(ada.prompt())
    for path in ("/prompts", "/logs", f"/prompts/{log['promptId']}", f"/logs/{log['_id']}", "/auth/me", "/", "/docs"):
        head, get = ada.open(path, method="HEAD"), ada.get(path)
        assert (head.status_code, head.data) == (200, b"")
        assert head.headers["Content-Type"] == get.headers["Content-Type"]
        assert head.headers.get("ETag") == get.headers.get("ETag")


@pytest.mark.parametrize(
    "path",
    [
        "/nope",
        "/prompts/",
        "/logs/",
        "/auth",
        "/auth/login/",
        "/prompts/a/b",
        "/Prompts",
        "/%ff",
        "/v1/profiles",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_route_is_404_and_never_a_redirect(client: Caller, path: str, method: str) -> None:
    assert_error(client.open(path, method=method), 404, "route_not_found", "Route not found")


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 201),
        ("application/json; charset=utf-8", 201),
        ("Application/JSON;charset=UTF-8", 201),
        ("application/merge-patch+json", 201),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/jsonp", 415),
        ("", 415),
        (None, 415),
    ],
)
def test_a_body_must_be_json_and_say_so(ada: Person, content_type: str | None, status: int) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    body = '{"title": "title", "content": "c", "model": "m"}'
    answer = ada.post("/prompts", data=body, headers=headers)
    assert answer.status_code == status
    if status == 415:
        assert_error(answer, 415, "unsupported_media_type", "Content-Type must be application/json")


@pytest.mark.parametrize(
    ("host", "link"),
    [
        ("xn--e1afmkfd.xn--p1ai", "http://xn--e1afmkfd.xn--p1ai/prompts?"),
        ("localhost:9000", "http://localhost:9000/prompts?"),
        ("a,b", "/prompts?"),
    ],
)
def test_the_next_page_is_at_the_host_that_was_called(ada: Person, host: str, link: str) -> None:
    ada.prompt(), ada.prompt()
    answer = ada.get("/prompts?per_page=1", headers={"Host": host})
    assert answer.headers["Link"].startswith(f"<{link}")


def test_a_query_string_must_be_utf_8(ada: Person) -> None:
    assert_error(ada.get("/prompts?tag=%ff"), 400, "invalid_utf8", "The query string is not UTF-8.")


def test_requests_are_checked_in_a_fixed_order(client: Caller, ada: Person, ben: Person) -> None:
    path = f"/prompts/{ada.prompt()['_id']}"
    json_type = {"Content-Type": "application/json"}
    assert client.patch(path, data="{", headers={"Content-Type": "text/plain"}).status_code == 401
    assert ben.patch(f"{path}?x=1", data="{", headers={"Content-Type": "text/plain"}).status_code == 415
    assert ben.patch(path, data="{", headers=json_type).status_code == 400
    assert ben.patch(path, data='{"title": "x"}', headers=json_type).status_code == 400
    assert ben.patch(path, data='{"title": "Another"}', headers=json_type).status_code == 403
    assert ben.patch("/prompts/prompt_1", data='{"title": "Another"}', headers=json_type).status_code == 404


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/search?limit=5", "limit is not a parameter of this call; it takes per_page, cursor, bom, q."),
        ("/logs?promptid=prompt_1", "promptid is not a parameter of this call; the nearest is promptId."),
        ("/prompts?tags=x", "tags is not a parameter of this call; the nearest is tag."),
        ("/prompts?perpage=5", "perpage is not a parameter of this call; the nearest is per_page."),
        ("/prompts?model=a&model=b", "model must be given once."),
        ("/auth/me?x=1", "x is not a parameter of this call; this call takes none."),
    ],
)
def test_a_parameter_that_a_call_does_not_take_is_named(ada: Person, path: str, message: str) -> None:
    assert_error(ada.get(path), 400, "invalid_parameters", message)


def test_a_body_over_the_limit_is_413_with_limit_and_size(with_settings: Callable[..., Caller]) -> None:
    ada = sign_up(with_settings(max_body_bytes=2000), "ada")
    answer = ada.post("/prompts", {"title": "title", "content": "x" * 3000, "model": "m"})
    assert_error(answer, 413, "too_large")
    assert answer.json["message"].startswith("The request body may have at most 2,000 bytes; it is 3,0")
    login = Caller(ada.client).post("/auth/login", json={"email": "x" * 3000, "password": "x"})
    assert_error(login, 413, "too_large")


def test_a_well_formed_request_id_is_echoed(client: Caller) -> None:
    for sent, echoed in (("abc-123", True), ("x" * 128, True), ("x" * 129, False), ("a b", False), ("é", False)):
        answer = client.get("/healthz", headers={"X-Request-Id": sent})
        assert (answer.headers["X-Request-Id"] == sent) is echoed
        assert answer.headers["X-Request-Id"]


def test_an_unexpected_exception_is_a_500_without_details(
    app: Flask, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    from promptcrafter.prompts import list_store

    def fail(*args: Any) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(list_store, "find_prompts", fail)
    answer = ada.get("/prompts")
    assert_error(answer, 500, "internal_error", "Unexpected server error")
    assert "secret" not in answer.text


def test_every_answer_has_the_security_headers(client: Caller, ada: Person) -> None:
    for answer in (client.get("/nope"), client.get("/healthz"), ada.get("/prompts"), client.get("/docs")):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "Strict-Transport-Security" not in answer.headers
    assert ada.get("/auth/me").headers["Cache-Control"] == "no-store"
    secure = client.get("/healthz", base_url="https://localhost")
    assert secure.headers["Strict-Transport-Security"] == "max-age=31536000"


def test_forwarded_headers_count_only_behind_a_trusted_proxy_and_never_choose_the_host(with_settings: Any) -> None:
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example", "X-Forwarded-Prefix": "//evil.example"}
    for trusted, scheme in ((0, "http"), (1, "https")):
        person = sign_up(with_settings(trusted_proxies=trusted), f"p{trusted}")
        person.prompt(), person.prompt()
        answer = person.get("/prompts?per_page=1", headers=headers)
        assert answer.headers["Link"].startswith(f"<{scheme}://localhost/prompts?")
        assert "evil" not in person.get("/docs", headers=headers).text


def test_a_short_list_has_a_content_length_and_a_long_one_arrives_complete(ada: Person) -> None:
    assert ada.get("/prompts").headers["Content-Length"] == "2"
    prompts = [ada.prompt(content=letter * 100_000) for letter in "abc"]
    for path, expected in (("/prompts", prompts[::-1]), ("/prompts?per_page=1", prompts[2:])):
        answer = ada.get(path)
        assert answer.json == expected
        assert ("Content-Length" in answer.headers) is (len(expected) == 1)
