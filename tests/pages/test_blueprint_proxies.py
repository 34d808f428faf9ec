"""The pages below a path of a host, behind a proxy that ends TLS, and with sessions that are no longer valid."""

import re
from collections.abc import Callable
from datetime import timedelta
from http.cookies import SimpleCookie
from typing import Any

import pytest
from flask import Flask
from flask_jwt_extended import create_access_token

from promptcrafter.auth.tokens import EPOCH
from tests.pages.test_rendering_html import find_faults
from tests.support.databases import only_sqlite
from tests.support.members import share
from tests.support.people import Answer, Caller, Person, sign_up
from tests.support.visitors import Visitor, home_of, text_of

pytestmark = only_sqlite
_PREFIX = "/promptcrafter"
_LINK = re.compile('(?:href|src|action|hx-get|hx-post)="([^"]*)"')
_SECURE = {"X-Forwarded-Proto": "https", "Host": "prompts.example"}


def _links(answer: Answer) -> list[str]:
    return [link.replace("&amp;", "&") for link in _LINK.findall(answer.text) if not link.startswith("#")]


@pytest.mark.parametrize(
    ("settings", "headers", "is_stripped"),
    [
        ({"script_name": _PREFIX}, {}, False),
        ({"script_name": _PREFIX}, {}, True),
        ({"trusted_proxies": 1}, {"X-Forwarded-Prefix": _PREFIX}, False),
        ({"trusted_proxies": 1}, {"X-Forwarded-Prefix": _PREFIX}, True),
    ],
)
def test_below_a_path_of_a_host_all_links_forms_and_redirects_begin_with_it(
    with_settings: Callable[..., Caller], settings: dict[str, Any], headers: dict[str, str], is_stripped: bool
) -> None:
    ada = sign_up(with_settings(**settings), "ada")
    log = ada.log(ada.prompt(title="Explain"), score=3)
    client = ada.client.application.test_client()

    def send(method: str, path: str, fields: Any = None) -> Any:
        assert path.startswith(_PREFIX + "/"), path
        sent = path.removeprefix(_PREFIX) if is_stripped else path
        origin = {"Origin": "http://localhost"}
        return client.open(sent, method=method, data=fields, headers={**headers, **origin}, buffered=True)

    home = _PREFIX + home_of(ada)
    wanted = f"{home}/outputs?scored=true"
    to_sign_in = send("GET", wanted)
    assert to_sign_in.headers["Location"].startswith(f"{_PREFIX}/app/sign-in?next={_PREFIX}/app/")
    page = send("GET", to_sign_in.headers["Location"])
    assert f'action="{_PREFIX}/app/sign-in"' in page.text
    found = re.search('name="next" value="([^"]+)"', page.text)
    assert found is not None
    fields = {"email": ada.email, "password": ada.password, "next": found[1]}
    back = send("POST", f"{_PREFIX}/app/sign-in", fields)
    assert (back.status_code, back.headers["Location"]) == (303, wanted)
    assert "Path=/" in back.headers["Set-Cookie"]
    assert send("GET", f"{_PREFIX}/app").headers["Location"].startswith(f"{_PREFIX}/app/w/")
    for path in ("", "/prompts", "/outputs?per_page=1", f"/outputs/{log['_id']}", "/review?raters=1", "/settings/team"):
        page = send("GET", home + path)
        assert page.status_code == 200, page.text
        assert page.text.count('aria-current="page"') >= 1, path
        for link in set(_links(page)):
            assert link.startswith(f"{_PREFIX}/"), (path, link)
            if "/static/" in link:
                assert send("GET", link).status_code == 200
    scored = send("POST", f"{home}/outputs/{log['_id']}/score", {"value": "9", "comment": ""})
    assert scored.headers["Location"] == f"{home}/outputs/{log['_id']}"
    assert send("GET", f"{home}/settings/keys").status_code == 200
    assert send("POST", f"{_PREFIX}/app/sign-out", {}).headers["Location"] == f"{_PREFIX}/app/sign-in"


def test_behind_tls_the_cookie_is_bound_to_the_host_and_forms_must_come_over_tls(
    with_settings: Callable[..., Caller],
) -> None:
    ada = sign_up(with_settings(trusted_proxies=1), "ada")
    visitor = Visitor(ada.client.application)
    fields = {"email": ada.email, "password": ada.password}
    for origin in ("http://prompts.example", "https://evil.example", "https://prompts.example:8443", "null"):
        answer = visitor.submit("/app/sign-in", fields, headers={**_SECURE, "Origin": origin})
        assert answer.status_code == 403, origin
    own = {**_SECURE, "Origin": "https://prompts.example"}
    answer = visitor.submit("/app/sign-in", fields, headers=own)
    assert answer.status_code == 303
    cookie = SimpleCookie(answer.headers["Set-Cookie"])["__Host-session"]
    assert (cookie["path"], cookie["domain"], bool(cookie["secure"]), bool(cookie["httponly"])) == ("/", "", True, True)
    assert cookie["samesite"] == "Lax"
    visitor.client = ada.client.application.test_client(use_cookies=False)
    sent = {"Cookie": f"__Host-session={cookie.value}"}
    home = home_of(ada)
    assert visitor.get(f"{home}/prompts", headers={**_SECURE, **sent}).status_code == 200
    plain = {"Cookie": f"session={cookie.value}"}
    assert visitor.get(f"{home}/prompts", headers={**_SECURE, **plain}).status_code == 303, "one set over plain HTTP"
    ended = visitor.submit("/app/sign-out", {}, headers={**own, **sent})
    assert "__Host-session=;" in ended.headers["Set-Cookie"]
    assert "Secure" in ended.headers["Set-Cookie"]


def test_over_plain_http_any_host_name_works_also_where_a_proxy_does_not_say_that_it_ended_tls(
    app: Flask, ada: Person
) -> None:
    fields = {"email": ada.email, "password": ada.password}
    for host, origin in (
        ("10.0.0.5:8000", "http://10.0.0.5:8000"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("team.example", "https://team.example"),
    ):
        answer = Visitor(app).submit("/app/sign-in", fields, headers={"Host": host, "Origin": origin})
        assert answer.status_code == 303, host
        assert answer.headers["Set-Cookie"].startswith("session=")
        assert "Secure" not in answer.headers["Set-Cookie"]


def test_a_session_that_has_expired_or_whose_account_is_gone_leads_to_the_sign_in(app: Flask, ada: Person) -> None:
    visitor = Visitor(app, ada)
    path = f"{home_of(ada)}/prompts"
    with app.app_context():
        expired = create_access_token(ada.id, expires_delta=timedelta(hours=-1), additional_claims={EPOCH: 0})
    key = ada.post("/auth/keys", {"name": "k"}).json["key"]
    for value in (expired, key, "nonsense", ""):
        stranger, sent = app.test_client(use_cookies=False), {"Cookie": f"session={value}"}
        answer = stranger.get(path, headers=sent)
        assert (answer.status_code, answer.headers["Location"]) == (303, f"/app/sign-in?next={path}"), value
        assert stranger.get("/app/sign-in", headers=sent).status_code == 200
    assert visitor.get(path).status_code == 200
    assert ada.delete("/auth/me", json={"currentPassword": ada.password}).status_code == 204
    assert visitor.get(path).status_code == 303
    fragment = visitor.get(path, headers={"HX-Request": "true"})
    assert fragment.headers["HX-Redirect"].startswith("/app/sign-in")


def test_a_form_of_one_account_does_not_change_the_other_that_another_tab_has_signed_in(
    app: Flask, ada: Person, ben: Person
) -> None:
    share(ada, ben, "editor")
    visitor = Visitor(app, ada)
    form = visitor.get(f"{home_of(ada)}/settings/account").text
    sent = dict(re.findall('name="(name|account)" [^>]*value="([^"]*)"', form))
    answer = visitor.submit("/app/sign-in", {"email": ben.email, "password": ben.password})
    assert answer.status_code == 303
    answer = visitor.submit(f"{home_of(ada)}/settings/account", {**sent, "name": "Ada"})
    assert answer.status_code == 409
    assert "signed in as ben" in text_of(answer)
    assert ben.get("/auth/me").json["name"] == "ben"
    share(ada, carla := sign_up(Caller(app.test_client()), "carla"), "viewer")
    assert visitor.submit("/app/sign-in", {"email": carla.email, "password": carla.password}).status_code == 303
    assert visitor.submit(f"{home_of(ben)}/prompts", {"title": "Mine"}).status_code == 404, (
        "the path names the workspace"
    )


def test_methods_and_sizes_that_a_page_does_not_take_are_refused_by_a_page(app: Flask, ada: Person) -> None:
    visitor, home = Visitor(app, ada), home_of(ada)
    refused = {
        405: visitor.submit("/app/nothing", {}),
        404: visitor.get(f"{home}/prompts/"),
        413: visitor.submit(f"{home}/prompts", {"content": "x" * (app.config["MAX_BODY_BYTES"] + 1)}),
        400: visitor.get(f"{home}/outputs?q=a&q=b"),
    }
    for status, answer in refused.items():
        assert (answer.status_code, answer.mimetype) == (status, "text/html")
        assert find_faults(answer) == []
        assert answer.headers["Cache-Control"] == "no-store"
    assert "GET" in refused[405].headers["Allow"]
    assert app.test_client().post("/healthz").mimetype == "application/json", "the API's error stays JSON"
    head = visitor.client.head(f"{home}/prompts")
    assert (head.status_code, head.data) == (200, b"")
    assert int(head.headers["Content-Length"]) == len(visitor.get(f"{home}/prompts").data)


@pytest.mark.parametrize("value", ["nan", "inf", "1e999", "-1", "ten"])
def test_a_score_that_is_no_number_of_the_scale_is_refused(app: Flask, ada: Person, value: str) -> None:
    log = ada.log(ada.prompt(), score=5)
    visitor = Visitor(app, ada)
    assert visitor.submit(f"/outputs/{log['_id']}/score", {"value": value, "comment": ""}).status_code == 400
    assert visitor.submit("/review?raters=1", {"output": log["_id"], "value": value}).status_code == 400
    assert ada.get(f"/logs/{log['_id']}").json["score"] == 5


def test_saving_notes_leaves_a_score_with_many_digits_as_it_is(app: Flask, ada: Person) -> None:
    log = ada.log(ada.prompt(), score=7.123456)
    answer = Visitor(app, ada).submit(f"/outputs/{log['_id']}", {"notes": "Good"})
    assert answer.status_code == 303
    assert ada.get(f"/logs/{log['_id']}").json["score"] == 7.123456
