"""The pages in a real browser, with JavaScript and without: a person's whole task, and what axe finds on each page.

The browser opens the server by a host name that is not localhost, over plain HTTP, as on a team's own network.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect

from tests.support.connection import Connection, sign_up
from tests.support.servers import LiveServer

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
HOST = "team.example"  # see conftest.py
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_HAS_WIDE_LIST = """[...document.querySelectorAll("main table.rows")].some(
    list => list.parentElement.scrollWidth > list.parentElement.clientWidth)"""


class Window:
    """A browser's window, with what it has complained about and the hosts that it has asked."""

    def __init__(self, browser: Browser, server: LiveServer, **options: Any) -> None:
        self.origin = f"http://{HOST}:{urlsplit(server.url).port}"
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(30_000)
        self.complaints: list[str] = []
        self.hosts: set[str] = set()
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.hosts.add(urlsplit(request.url).hostname or ""))

    def _hear(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def open(self, path: str) -> None:
        self.page.goto(self.origin + path)

    def sign_in(self, email: str, password: str) -> None:
        self.open("/app")
        self.page.get_by_label("E-mail").fill(email)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Sign in").click()
        expect(self.page.get_by_role("navigation", name="Main")).to_be_visible()


@contextmanager
def window(browser: Browser, server: LiveServer, **options: Any) -> Iterator[Window]:
    """Open a window; at its end it must have had nothing to complain about, and have asked no other server."""
    opened = Window(browser, server, **options)
    yield opened
    opened.context.close()
    assert [each for each in opened.complaints if "404 (NOT FOUND)" not in each] == []
    assert opened.hosts == {HOST}


@pytest.fixture
def token(live_server: LiveServer) -> str:
    """The token of an account."""
    return sign_up(live_server)


def call(server: LiveServer, token: str, method: str, path: str, body: Any = None) -> Any:
    answer = Connection(server, token).call(method, path, body)
    assert answer.status < 300, answer.body
    return answer.json if answer.body else None


@pytest.mark.parametrize("has_javascript", [True, False], ids=["with JavaScript", "without JavaScript"])
def test_a_person_writes_a_prompt_sees_outputs_come_in_reviews_them_and_moves_production(
    browser: Browser, live_server: LiveServer, has_javascript: bool
) -> None:
    with window(browser, live_server, java_script_enabled=has_javascript) as opened:
        page = opened.page
        opened.open("/app/sign-up")
        page.get_by_label("Name").fill("Grace")
        page.get_by_label("E-mail").fill("grace@example.com")
        page.get_by_label("Password").fill("correct horse battery")
        page.get_by_role("button", name="Make the account").click()
        page.get_by_role("link", name="Write a prompt").click()
        page.get_by_label("Title").fill("Explain a topic")
        page.get_by_label("Messages with roles").check()
        page.get_by_label("Text of message 1").fill("You explain things to children.")
        page.get_by_role("button", name="Add a message").click()
        page.get_by_label("Text of message 2").fill("Explain {{topic}}.")
        page.get_by_label("Model").fill("gpt-4o")
        page.get_by_role("button", name="Create the prompt").click()
        expect(page.get_by_role("status")).to_contain_text("The prompt is there")
        address = page.url
        prompt_id = address.rpartition("/")[2]

        page.get_by_role("link", name="Edit").click()
        page.get_by_label("Text of message 2").fill("Explain {{topic}} in one sentence.")
        page.get_by_label("What did you change, and why?").fill("Answers were long")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("heading", name="Version 2")).to_be_visible()

        key = Connection(live_server).call(
            "POST", "/auth/login", {"email": "grace@example.com", "password": "correct horse battery"}
        )
        logs = [
            {"promptId": prompt_id, "promptVersion": n % 2 + 1, "output": f"Answer {n}", "modelUsed": "gpt-4o"}
            for n in range(10)
        ]
        call(live_server, key.json["token"], "POST", "/logs/batch", {"logs": logs})
        page.get_by_label("Prompt", exact=True).get_by_role("link", name="Outputs").click()
        expect(page.get_by_role("row")).to_have_count(11)

        page.get_by_role("link", name="Review").first.click()
        page.locator("summary", has_text="per output").click()
        page.get_by_label("People per output").fill("1")
        page.get_by_role("button", name="Show").click()
        for number in range(10):
            shown = page.locator(".output-text").inner_text()
            if has_javascript:
                page.keyboard.press(str(number))
            else:
                page.get_by_role("button", name=str(number), exact=True).click()
            expect(page.locator(f".output-text:text-is('{shown}')")).to_have_count(0)
        expect(page.get_by_role("heading", name="Nothing left to review")).to_be_visible()
        scores = call(live_server, key.json["token"], "GET", f"/logs?promptId={prompt_id}")
        assert sorted(log["score"] for log in scores) == list(range(10))

        page.goto(address)
        page.get_by_label("Put the label").fill("production")
        page.get_by_role("button", name="on version 2").click()
        expect(page.get_by_role("status")).to_contain_text("production is now on version 2")
        labelled = call(live_server, key.json["token"], "GET", f"/prompts/{prompt_id}/versions/production")
        assert labelled["version"] == 2
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 320])
def test_axe_finds_nothing_on_any_page_and_no_page_or_list_is_wider_than_the_window(
    browser: Browser, live_server: LiveServer, scheme: Any, width: int
) -> None:
    account = {"name": "Grace", "email": "grace@example.com", "password": "correct horse battery"}
    answer = Connection(live_server).call("POST", "/auth/signup", account)
    token = answer.json["token"]
    body = {"title": "Explain", "content": "Explain {{topic}}.", "model": "gpt-4o", "tags": ["school"]}
    prompt = call(live_server, token, "POST", "/prompts", body)
    one = f"/prompts/{prompt['_id']}"
    call(live_server, token, "PATCH", one, {"content": "Explain {{topic}} well.", "comment": "Better"})
    call(live_server, token, "PUT", f"{one}/labels/production", {"version": 1})
    output = {"promptId": prompt["_id"], "output": "An answer " * 60, "modelUsed": "gpt-4o", "score": 7, "input": "Hi"}
    log = call(live_server, token, "POST", "/logs", output)
    other = call(live_server, token, "POST", "/logs", {**output, "score": None, "notes": "Long", "promptVersion": 1})
    call(live_server, token, "PUT", "/score-configs/tone", {"kind": "category", "categories": ["kind", "curt"]})
    call(live_server, token, "POST", "/workspaces", {"name": "Team"})
    call(live_server, token, "POST", "/auth/keys", {"name": "nightly", "workspace": "team"})
    with window(browser, live_server, color_scheme=scheme, viewport={"width": width, "height": 800}) as opened:
        opened.open("/app/sign-up")
        pages = [opened.page.url]
        opened.sign_in(account["email"], account["password"])
        home = opened.page.url
        pages += [home + path for path in ("/prompts", "/prompts/new", one, f"{one}/edit", f"{one}/delete")]
        pages += [home + path for path in (f"{one}/diff?before=1&after=2", "/outputs", f"/outputs/{log['_id']}")]
        pages += [home + path for path in ("/prompts?q=explain", f"{one}/restore?version=1")]
        pages += [home + path for path in ("/review", "/review?raters=1&name=tone", "/outputs?q=nothing", "")]
        pages += [home + path for path in ("/statistics", f"/statistics?promptId={prompt['_id']}", "/experiments")]
        pages += [home + path for path in ("/runs", "/settings/team", "/settings/keys", "/settings/account")]
        pages += [home + path for path in ("/settings/workspace", "/settings/scores", "/settings/transfer")]
        pages += [home + path for path in ("/settings/account/delete", "/workspaces/new", "/settings/audit?since=7d")]
        pages += [f"{opened.origin}/app/w/team{path}" for path in ("/settings/workspace/delete", "/settings/team")]
        pages += [f"{opened.origin}/app/password-reset"]
        compared = f"/compare?logs={log['_id']},{other['_id']}"
        pages += [home + path for path in ("/settings/audit", compared, f"{compared}&name=tone", "/nothing")]
        pages += [f"{home}/outputs/{log['_id']}?name=tone"]
        faults: dict[str, list[Any]] = {}
        for url in pages:
            opened.page.goto(url)
            opened.page.evaluate(AXE.read_text("utf-8"))
            found = opened.page.evaluate("rules => axe.run(document, {runOnly: {type: 'tag', values: rules}})", RULES)
            for violation in found["violations"]:
                nodes = [node["html"][:120] for node in violation["nodes"][:3]]
                faults.setdefault(url.rpartition("/app")[2], []).append((violation["id"], nodes))
            wide = opened.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            if wide > 0:
                faults.setdefault(url.rpartition("/app")[2], []).append(("wider than the window", [wide]))
            if opened.page.evaluate(_HAS_WIDE_LIST):
                faults.setdefault(url.rpartition("/app")[2], []).append(("a list that is cut off", []))
        assert faults == {}
