"""The page at /docs, in a real browser: it shows the API, works, and sends no request to other hosts."""

import json
import shutil
import urllib.request
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, expect, sync_playwright

from tests.support.connection import sign_up
from tests.support.servers import LiveServer


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium: .ci/install-debian.sh installs it."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert chromium, "this test needs Chromium: .ci/install-debian.sh installs it"
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=quiet)
        yield browser
        browser.close()


def test_the_page_shows_every_operation_and_calls_one_with_a_token(browser: Browser, live_server: LiveServer) -> None:
    token = sign_up(live_server)
    page = browser.new_page()
    hosts: set[str] = set()
    complaints: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc or urlsplit(request.url).scheme))
    page.on("console", listen)
    page.goto(f"{live_server.url}/docs")
    expect(page.locator("#swagger-ui .info .title")).to_contain_text("PromptCrafter")
    with urllib.request.urlopen(f"{live_server.url}/openapi.json", timeout=10) as response:
        paths = json.load(response)["paths"]
    operations = sum(1 for item in paths.values() for method in item if method != "parameters")
    expect(page.locator(".opblock")).to_have_count(operations)

    page.get_by_role("button", name="Authorize").first.click()
    page.get_by_role("textbox").first.fill(token)
    page.locator(".modal-ux").get_by_role("button", name="Apply credentials").first.click()
    page.get_by_role("button", name="Close").first.click()
    me = page.locator("#operations-auth-get_me")
    me.get_by_role("button").first.click()
    me.get_by_role("button", name="Try it out").click()
    me.get_by_role("button", name="Execute").click()
    expect(me.locator(".live-responses-table .response-col_status").last).to_contain_text("200")
    expect(me.locator(".live-responses-table")).to_contain_text("ada@example.com")

    assert hosts <= {urlsplit(live_server.url).netloc, "data"}
    assert complaints == []
    page.close()
