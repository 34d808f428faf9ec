"""The pages in a real browser: two people in two browsers, and hostile texts of which nothing runs."""

import re
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.test_pages import Window, call, window
from tests.support.connection import Connection
from tests.support.servers import LiveServer

_PASSWORD = "correct horse battery"
_EVIL = [
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "</textarea></title></style><svg onload=alert(1)>",
    "javascript:alert(1)",
    "{{7*7}}${7*7}<%= 7*7 %>",
    "[x](javascript:alert(1)) ![x](https://evil.example/x.png) <https://evil.example>",
    '<a href="https://evil.example" hx-get="https://evil.example" hx-trigger="load">x</a>',
    '<iframe src="https://evil.example"></iframe><link rel=stylesheet href="//evil.example/x.css">',
    '" autofocus onfocus="alert(1)" x="',
    "\u202egpj.exe\u2028\u0000".replace("\u0000", ""),
]
_EVERYTHING = "\n".join(_EVIL)


def _sign_up(server: LiveServer, name: str, email: str) -> str:
    account = {"name": name, "email": email, "password": _PASSWORD}
    return str(Connection(server).call("POST", "/auth/signup", account).json["token"])


@pytest.mark.parametrize("has_javascript", [True, False], ids=["with JavaScript", "without JavaScript"])
def test_a_second_person_joins_by_a_link_and_scores_and_the_first_one_sees_both_scores(
    browser: Browser, live_server: LiveServer, has_javascript: bool
) -> None:
    options = {"java_script_enabled": has_javascript}
    token = _sign_up(live_server, "Grace", "grace@example.com")
    with window(browser, live_server, **options) as first, window(browser, live_server, **options) as second:
        first.sign_in("grace@example.com", _PASSWORD)
        page = first.page
        page.get_by_role("link", name="Settings").click()
        page.get_by_role("link", name="Team", exact=True).click()
        page.get_by_role("link", name="New workspace for a team").click()
        page.get_by_label("Name", exact=True).fill("Support")
        page.get_by_role("button", name="Make the workspace").click()
        expect(page.get_by_role("status")).to_contain_text("The workspace is there")
        slug = page.url.partition("/app/w/")[2].partition("/")[0]
        body = {"title": "Reply", "content": "Answer {{question}}.", "model": "gpt-4o"}
        answer = Connection(live_server, token).call("POST", "/prompts", body, X_Workspace=slug)
        output = {"promptId": answer.json["_id"], "output": "A kind answer", "modelUsed": "gpt-4o"}
        log = call(live_server, token, "POST", "/logs", output)["_id"]
        page.get_by_role("button", name="Make an invitation").click()
        link = page.locator("#link").inner_text()
        assert re.fullmatch(r"http://team\.example:\d+/app/invitation#inv_\S+", link)

        other = second.page
        other.goto(link)
        if not has_javascript:
            other.get_by_label("Invitation").fill(link.partition("#")[2])
            other.get_by_role("button", name="Go on").click()
        expect(other.get_by_text("Grace invites you to Support as editor.")).to_be_visible()
        assert link.partition("#")[2] not in other.url
        other.get_by_role("button", name="Make an account").click()
        other.get_by_label("Name").fill("Ben")
        other.get_by_label("E-mail").fill("ben@example.com")
        other.get_by_label("Password").fill(_PASSWORD)
        other.get_by_role("button", name="Make the account").click()
        expect(other.get_by_role("status")).to_have_text("You are now a member of Support as editor.")
        _score(second, f"/app/w/{slug}/review?raters=2", "9")
        _score(first, f"/app/w/{slug}/review?raters=2", "6")

        first.open(f"/app/w/{slug}/outputs/{log}")
        scores = page.get_by_role("heading", name="Scores").locator("xpath=..")
        expect(scores).to_contain_text("Ben")
        expect(scores).to_contain_text("Grace")
        assert scores.locator(".score").all_inner_texts() == ["6", "9"]
        first.open(f"/app/w/{slug}/settings/team")
        expect(page.get_by_role("row").filter(has_text="ben@example.com")).to_have_count(1)


def _score(opened: Window, path: str, value: str) -> None:
    opened.open(path)
    expect(opened.page.locator(".output-text")).to_have_text("A kind answer")
    opened.page.get_by_role("button", name=value, exact=True).click()
    expect(opened.page.get_by_role("heading", name="Nothing left to review")).to_be_visible()


def test_of_hostile_texts_on_any_page_nothing_runs_and_nothing_is_asked_of_another_server(
    browser: Browser, live_server: LiveServer
) -> None:
    email = "<script>alert(1)</script>@example.com"
    token = _sign_up(live_server, _EVIL[1], email)
    paths = _fill(live_server, token)
    with window(browser, live_server) as opened:
        opened.page.add_init_script(
            "window.ran = []; for (const name of ['alert', 'confirm', 'prompt'])"
            " window[name] = (...values) => { window.ran.push([name, ...values]); return false; };"
            "document.addEventListener('securitypolicyviolation', (event) => window.ran.push(event.blockedURI));"
        )
        # the field of the form takes no such e-mail, but the call to sign up does
        opened.context.add_cookies([{"name": "session", "value": token, "url": opened.origin}])
        opened.open("/app")
        home = opened.page.url
        for path in paths:
            answer = opened.page.goto(home + path, wait_until="networkidle")
            assert answer is not None
            assert answer.status == (404 if path.startswith("/nothing") else 200), path
            assert _find_traces(opened.page) == [], path
    assert len(paths) > 20


def _find_traces(page: Page) -> Any:
    """Return what of the hostile texts has become a part of the page, or has run."""
    return page.evaluate(
        """() => [...window.ran, ...[...document.querySelectorAll("*")].filter((each) =>
            ["IMG", "IFRAME", "OBJECT", "EMBED", "BASE"].includes(each.tagName) ||
            [...each.attributes].some((a) => a.name.startsWith("on") || a.name === "style" ||
                /^(javascript|data|https?:..evil|..evil)/i.test(a.value) && ["href", "src", "action"].includes(a.name))
        ).map((each) => each.outerHTML.slice(0, 200))]"""
    )


def _fill(server: LiveServer, token: str) -> list[str]:
    """Store hostile texts wherever a page shows some; return the paths of pages below the workspace's."""
    evil = _EVERYTHING
    body = {"title": evil[:100], "content": evil + "{{x}}", "model": _EVIL[1], "tags": [each[:40] for each in _EVIL]}
    prompt = call(server, token, "POST", "/prompts", {**body, "description": evil[:400]})["_id"]
    messages = [{"role": "system", "content": evil}, {"role": "user", "content": "{{x}}" + evil}]
    chat = call(server, token, "POST", "/prompts", {**body, "content": None, "type": "chat", "messages": messages})
    one = f"/prompts/{prompt}"
    call(server, token, "PATCH", one, {"content": evil + "2", "comment": evil[:400]})
    log = {"promptId": prompt, "output": evil, "input": evil, "notes": evil, "idealOutput": evil + "x", "score": 3}
    log |= {"modelUsed": _EVIL[0], "userId": _EVIL[1], "sessionId": _EVIL[2], "environment": "<b>x</b>"}
    log |= {"metadata": {_EVIL[0]: _EVIL}, "variables": {_EVIL[1]: evil}, "name": _EVIL[0]}
    logs = [
        call(server, token, "POST", "/logs", each)["_id"]
        for each in (log, {**log, "output": evil + " other", "score": 8})
    ]
    call(server, token, "POST", "/logs", {**log, "status": "error", "error": evil, "output": None})
    score = {"name": "tone", "value": _EVIL[0], "annotator": "judge", "identifier": _EVIL[1], "comment": evil[:900]}
    call(server, token, "POST", f"/logs/{logs[0]}/scores", score)
    variants = [{"key": _EVIL[4][:20], "trafficPercent": 50}, {"key": "B", "trafficPercent": 50}]
    trial = {"slug": "trial", "name": evil[:100], "status": "ACTIVE", "variants": variants}
    call(server, token, "POST", "/experiments", trial)
    span = {"id": "1", "type": "generation", "name": _EVIL[1], "input": evil, "output": evil}
    call(server, token, "POST", "/basalt/monitor/trace", {"featureSlug": "x", "name": _EVIL[0], "logs": [span]})
    call(server, token, "POST", "/auth/keys", {"name": _EVIL[1][:60]})
    runs = call(server, token, "GET", "/traces")
    query = quote(_EVIL[1])
    paths = ["", "/prompts", f"/prompts?tag={query}", "/prompts/new", one, f"{one}/edit"]
    paths += [
        f"{one}/delete",
        f"{one}/diff?before=1&after=2",
        f"/prompts/{chat['_id']}",
        f"/prompts/{chat['_id']}/edit",
    ]
    paths += ["/outputs", f"/outputs?q={query}", f"/outputs?model={query}", *(f"/outputs/{each}" for each in logs)]
    paths += ["/review?raters=3", f"/compare?logs={','.join(logs)}", "/statistics", f"/statistics?promptId={prompt}"]
    paths += [
        "/statistics?groupBy=model",
        "/experiments",
        "/experiments/trial",
        "/experiments/trial/edit",
        "/runs",
        f"/nothing{query}",
    ]
    paths += [f"/runs/{each['_id']}" for each in runs[:3]]
    return [*paths, "/settings/account", "/settings/keys", "/settings/team", "/settings/audit"]
