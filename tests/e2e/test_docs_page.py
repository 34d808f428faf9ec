"""The page at /docs, in a real browser: it shows the API, works, and sends no request to other hosts."""

import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect

from tests.support.connection import sign_up
from tests.support.proxy import proxied
from tests.support.servers import Launch, LiveServer


@dataclass
class DocsPage:
    """The page of a server, with what the browser has requested and complained about."""

    page: Page
    hosts: set[str] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)

    def open(self, url: str) -> None:
        self.page.on("request", self._hear_request)
        self.page.on("console", self._hear_message)
        self.page.goto(url)
        expect(self.page.locator("#swagger-ui .info .title")).to_contain_text("PromptCrafter", timeout=60_000)

    def _hear_request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        self.hosts.add(parts.netloc or parts.scheme)
        if request.resource_type == "fetch":
            self.calls.append(f"{request.method} {parts.path}{parts.query and '?'}{parts.query}")

    def _hear_message(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def authorize(self, token: str) -> None:
        self.page.get_by_role("button", name="Authorize").first.click()
        self.page.get_by_role("textbox").first.fill(token)
        self.page.locator(".modal-ux").get_by_role("button", name="Apply credentials").first.click()
        self.page.get_by_role("button", name="Close").first.click()

    def execute(self, operation: str, shows: str = "", **values: str) -> tuple[int, Any]:
        """Execute an operation as the page fills it in, but for these parameters; return the status and the JSON.

        The page must show the status, and `shows` in the body.
        """
        block = self.page.locator(f"#operations-{operation}")
        # events instead of clicks, before each of which the browser would lay out the long page until it is still
        if "is-open" not in (block.get_attribute("class") or ""):
            block.get_by_role("button").first.dispatch_event("click")
            block.get_by_role("button", name="Try it out").dispatch_event("click")
        for name, value in values.items():
            parameter = block.locator(f'tr[data-param-name="{name}"] input')
            parameter.fill(value)
            parameter.blur()  # otherwise the page takes the value a third of a second later
        with self.page.expect_response(lambda response: response.request.resource_type == "fetch") as received:
            block.get_by_role("button", name="Execute").dispatch_event("click")
        status = received.value.status
        shown = block.locator(".live-responses-table")
        expect(shown.locator(".response-col_status").last).to_contain_text(str(status), timeout=60_000)
        expect(shown).to_contain_text(shows)
        return status, received.value.json()


@pytest.fixture
def docs(browser: Browser) -> Iterator[DocsPage]:
    context = browser.new_context()
    context.set_default_timeout(60_000)
    yield DocsPage(context.new_page())
    context.close()


def test_the_page_shows_every_operation_and_calls_one_with_a_token(docs: DocsPage, live_server: LiveServer) -> None:
    token = sign_up(live_server)
    docs.open(f"{live_server.url}/docs")
    with urllib.request.urlopen(f"{live_server.url}/openapi.json", timeout=10) as response:
        paths = json.load(response)["paths"]
    operations = sum(1 for item in paths.values() for method in item if method != "parameters")
    expect(docs.page.locator(".opblock")).to_have_count(operations)

    docs.authorize(token)
    status, me = docs.execute("auth-get_me", shows="ada@example.com")
    assert (status, me["email"]) == (200, "ada@example.com")

    assert docs.hosts <= {urlsplit(live_server.url).netloc, "data"}
    assert docs.complaints == []


def test_what_the_page_fills_in_works_and_a_reload_keeps_the_token(docs: DocsPage, live_server: LiveServer) -> None:
    docs.open(f"{live_server.url}/docs")
    status, account = docs.execute("auth-sign_up")
    assert status == 201
    docs.authorize(account["token"])
    docs.page.reload()
    prompts = [docs.execute("prompts-create_prompt") for _ in range(2)]
    assert [(status, prompt["slug"]) for status, prompt in prompts] == [
        (201, "explain-the-industrial-revolution"),
        (201, "explain-the-industrial-revolution-2"),
    ]
    assert docs.execute("prompts-set_label", prompt_id=prompts[0][1]["_id"])[0] == 200
    status, problem = docs.execute("logs-create_log")
    assert (status, problem["code"]) == (404, "prompt_not_found")  # no prompt has the id of the example
    docs.calls.clear()
    assert docs.execute("logs-list_logs") == (200, [])
    assert docs.calls == ["GET /logs?sort=-createdAt"]
    assert docs.hosts <= {urlsplit(live_server.url).netloc, "data"}
    # the reload of a link to an operation, and the error 404
    expected = ("Deprecated: escaping deep link whitespace", "Failed to load resource")
    assert not [text for text in docs.complaints if not text.startswith(expected)]


@pytest.mark.parametrize("removes", [True, False], ids=["removed", "kept"])
def test_the_page_works_below_a_path_of_a_host(docs: DocsPage, start_server: Launch, removes: bool) -> None:
    server = start_server(TRUSTED_PROXIES="1")
    token = sign_up(server)
    with proxied(server, "/promptcrafter", removes=removes, headers={"X-Forwarded-Prefix": "/promptcrafter"}) as url:
        docs.open(f"{url}/docs")
        docs.authorize(token)
        status, me = docs.execute("auth-get_me")
        assert (status, me["email"]) == (200, "ada@example.com")
        assert docs.calls == ["GET /promptcrafter/openapi.json", "GET /promptcrafter/auth/me"]
        assert docs.hosts <= {urlsplit(url).netloc, "data"}
        assert docs.complaints == []
