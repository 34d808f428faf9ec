"""Rules that hold for all pages: who may open them, what they send, and what they refuse."""

import re

from flask import Flask
from werkzeug.routing import Rule

from promptcrafter.http.route import route_of
from promptcrafter.permissions import Permission
from tests.support.databases import only_sqlite
from tests.support.members import share
from tests.support.people import Caller, Person
from tests.support.routes import page_rules
from tests.support.visitors import Visitor, home_of, text_of

pytestmark = only_sqlite


def concrete(rule: Rule, person: Person) -> str:
    path = rule.rule.replace("/app/w/<workspace>", home_of(person)).replace("<path:path>", "nonsense")
    return re.sub("<([a-z]+)_id>", r"\1_1", path)


def test_a_page_takes_a_strangers_way_to_the_sign_in_and_no_header_opens_it(app: Flask, ada: Person) -> None:
    key = ada.post("/auth/keys", {"name": "k"}).json["key"]
    for rule in page_rules(app):
        route, path = route_of(app.view_functions[rule.endpoint]), concrete(rule, ada)
        for headers in ({}, {"Authorization": f"Bearer {ada.token}"}, {"X-Api-Key": key}):
            for method in (rule.methods or set()) - {"OPTIONS", "HEAD"}:
                answer = app.test_client().open(path, method=method, headers={**headers, "Origin": "http://localhost"})
                if route.permission is Permission.PUBLIC:
                    assert answer.status_code in (200, 400, 404), path
                else:
                    assert (answer.status_code, "/app/sign-in" in answer.headers["Location"]) == (303, True), path


def test_what_is_no_page_is_not_found_whatever_its_query(app: Flask, ada: Person) -> None:
    visitor = Visitor(app, ada)
    for path in ("/app/nonsense", f"{home_of(ada)}/outputs/", f"{home_of(ada)}/nonsense"):
        for query in ("", "?q=plants&per_page=1", "?q=1&q=2", "?%ff"):
            answer = visitor.client.get(path + query)
            assert (answer.status_code, "There is no such page." in answer.text) == (404, True), path + query


def test_the_cookie_of_a_page_opens_no_call_of_the_api(app: Flask, ada: Person) -> None:
    visitor = Visitor(app, ada)
    assert visitor.get("/prompts").status_code == 200
    for path in ("/auth/me", "/logs", "/workspaces"):
        assert visitor.client.get(path).status_code == 401


def test_what_changes_something_must_come_from_a_page_of_this_server(app: Flask, ada: Person) -> None:
    visitor = Visitor(app, ada)
    foreign: list[dict[str, str]] = [
        {},
        {"Origin": "null"},
        {"Origin": "http://evil.example"},
        *(
            {"Origin": origin}
            for origin in ("http://[", "http://[::1", "//localhost", "localhost", "http://localhost:80x")
        ),
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
        {"Sec-Fetch-Site": "same-site"},
    ]
    for rule in page_rules(app):
        if "POST" in (rule.methods or ()):
            for headers in foreign:
                answer = visitor.submit(concrete(rule, ada), {}, headers=headers)
                assert answer.status_code == 403, rule.rule
                assert "not sent by a page of this server" in text_of(answer)
    assert visitor.get("/prompts").status_code == 200, "still signed in"


def test_every_page_has_the_policy_and_sends_its_own_origin_with_forms(app: Flask, ada: Person) -> None:
    visitor = Visitor(app, ada)
    for rule in page_rules(app):
        if "GET" in (rule.methods or ()):
            answer = visitor.get(concrete(rule, ada))
            if answer.status_code != 303:
                assert "script-src 'self'; style-src 'self'" in answer.headers["Content-Security-Policy"], rule.rule
                assert "unsafe" not in answer.headers["Content-Security-Policy"]
                assert answer.headers["Referrer-Policy"] == "same-origin"
                assert answer.headers["Cache-Control"] == "no-store"
                assert " style=" not in answer.text
                assert "<script>" not in answer.text


def test_a_viewer_is_shown_no_form_that_would_be_refused_and_is_refused_by_hand(
    app: Flask, ada: Person, ben: Person
) -> None:
    prompt, home = ada.prompt(title="Shared", content="Explain {{topic}}."), home_of(ada)
    ada.patch(f"/prompts/{prompt['_id']}", {"content": "Explain {{topic}} simply."})
    log = ada.log(prompt)
    share(ada, ben, "viewer")
    visitor = Visitor(app, ben)
    one = f"prompts/{prompt['_id']}"
    for path in ("prompts", one, f"{one}/restore?version=1", "outputs", f"outputs/{log['_id']}"):
        page = visitor.get(f"{home}/{path}")
        assert page.status_code == 200, page.text
        targets = set(re.findall('<form method="post" action="([^"]+)"', page.text))
        stores_nothing = f"{home}/{one}/render#fill-in"
        assert targets <= {"/app/sign-out", f"{home}/outputs/{log['_id']}/score", stores_nothing}, path
    for path in (f"{one}/edit", f"{one}/restore", f"{one}/labels", f"{one}/delete", "outputs/delete"):
        sent = {"title": "Mine", "model": "m", "content": "c", "version": "1", "label": "production", "log": log["_id"]}
        assert visitor.submit(f"{home}/{path}", sent).status_code == 403, path
    for path in ("prompts/new", f"{one}/edit", f"{one}/delete"):
        assert visitor.get(f"{home}/{path}").status_code == 403, path
    assert ada.get(f"/prompts/{prompt['_id']}").json["title"] == "Shared"
    answer = visitor.submit(f"{home}/review?raters=1", {"output": log["_id"], "value": "7"})
    assert answer.status_code == 303, "a viewer may score"
    assert [score["value"] for score in ada.get(f"/logs/{log['_id']}/scores").json] == [7]


def test_a_workspace_of_others_is_not_found_and_an_unknown_page_neither(app: Flask, ada: Person, ben: Person) -> None:
    visitor = Visitor(app, ada)
    for path in (f"{home_of(ben)}/prompts", "/app/w/nowhere/prompts", f"{visitor.home}/nonsense", "/app/nonsense"):
        answer = visitor.get(path)
        assert (answer.status_code, "Not found" in text_of(answer)) == (404, True), path


def test_hostile_texts_are_shown_and_never_run(app: Flask, ada: Person) -> None:
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{7*7}}</textarea>"
    prompt = ada.prompt(title=evil[:150], content=evil, model=evil[:90], tags=[evil[:40]], description=evil)
    ada.patch(f"/prompts/{prompt['_id']}", {"content": evil + "2", "comment": evil})
    log = ada.log(prompt, output=evil, input=evil, notes=evil, idealOutput=evil + "x", modelUsed=evil[:90], score=3)
    visitor = Visitor(app, ada)
    one = f"/prompts/{prompt['_id']}"
    for path in ("/prompts", one, f"{one}/edit", f"{one}/diff?before=1&after=2", f"{one}/delete", "/outputs"):
        page = visitor.get(path)
        assert page.status_code == 200, page.text
        assert "alert(1)" in page.text, path
        assert not re.search('<script>|<img|</textarea>"', page.text), path
    for path in (f"/outputs/{log['_id']}", "/review?raters=2&output=" + log["_id"]):
        page = visitor.get(path)
        assert page.status_code == 200, page.text
        assert "alert(1)" in page.text
        assert not re.search("<script>|<img", page.text), path


def test_a_sign_in_leads_back_to_pages_of_this_server_only(app: Flask, client: Caller, ada: Person) -> None:
    for target, expected in (
        ("/app/w/x/outputs?q=a", "/app/w/x/outputs?q=a"),
        ("https://evil.example/app/", "/app"),
        ("//evil.example/app/", "/app"),
        ("/app\\@evil.example", "/app"),
        ("/apparently", "/app"),
        ("/logs", "/app"),
        ("javascript:alert(1)//app/", "/app"),
        *((malformed, "/app") for malformed in ("http://[", "//[", "/app/\r\nSet-Cookie: session=x", "/app/\u2028")),
    ):
        answer = Visitor(app).submit("/app/sign-in", {"email": ada.email, "password": ada.password, "next": target})
        assert (answer.status_code, answer.headers["Location"]) == (303, expected), target
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Path=/" in cookie


def test_a_sign_out_and_a_change_of_the_password_end_the_session(app: Flask, ada: Person) -> None:
    first, second = Visitor(app, ada), Visitor(app, ada)
    assert first.submit("/app/sign-out", {}).headers["Location"] == "/app/sign-in"
    for visitor in (first, second):
        answer = visitor.get(f"{home_of(ada)}/prompts")
        assert (answer.status_code, answer.headers["Location"][:12]) == (303, "/app/sign-in")


BROWSERS = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
    "application/signed-exchange;v=b3;q=0.7",  # Chrome
    "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",  # Firefox and Safari
    "text/html",
)
PROGRAMS = ("*/*", "application/json, text/plain, */*", "application/json", "text/html, application/json", "text/plain")


def test_the_root_leads_browsers_to_the_pages_and_answers_programs_as_before(client: Caller) -> None:
    for accept in BROWSERS:
        answer = client.get("/", headers={"Accept": accept})
        assert (answer.status_code, answer.headers["Location"]) == (303, "/app"), accept
    for headers in [{"Accept": accept} for accept in PROGRAMS] + [{}]:
        answer = client.get("/", headers=headers)
        assert (answer.status_code, answer.json["name"]) == (200, "PromptCrafter"), headers


def test_the_icon_is_where_browsers_ask_for_it(client: Caller) -> None:
    answer = client.get("/favicon.ico")
    assert (answer.status_code, answer.mimetype) == (200, "image/svg+xml")
