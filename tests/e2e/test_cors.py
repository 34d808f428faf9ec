"""A page of another origin uses the API in a real browser, which enforces what the headers allow."""

from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.support.connection import Connection, create_prompt, sign_up
from tests.support.servers import Launch, LiveServer

# Lists prompts, creates a log, reads the entity tag and an error, and changes the prompt only if it is unchanged
PROGRAM = """async ([url, token, promptId]) => {
  const call = async (method, path, body, more = {}) => {
    const headers = { Authorization: `Bearer ${token}`, ...(body && { "Content-Type": "application/json" }), ...more };
    const response = await fetch(url + path, { method, headers, body: body && JSON.stringify(body) });
    return { status: response.status, json: await response.json(), header: (name) => response.headers.get(name) };
  };
  try {
    const page = await call("GET", "/prompts?per_page=1");
    const log = { promptId, output: "From a page", modelUsed: "gpt-4o" };
    const created = await call("POST", "/logs", log, { "Idempotency-Key": "page-1" });
    const prompt = await call("GET", `/prompts/${promptId}`);
    const etag = prompt.header("ETag");
    const changed = await call("PATCH", `/prompts/${promptId}`, { title: "Changed" }, { "If-Match": etag });
    const again = await call("PATCH", `/prompts/${promptId}`, { title: "Again" }, { "If-Match": etag });
    const missing = await call("GET", "/nope");
    return {
      link: page.header("Link"), etag, location: created.header("Location"), requestId: created.header("X-Request-Id"),
      statuses: [page, created, prompt, changed, again, missing].map(({ status }) => status), code: missing.json.code,
    };
  } catch (error) {
    return String(error);
  }
}"""


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def page_url(tmp_path: Path) -> Iterator[str]:
    """The address of an empty page at an origin of its own."""
    folder = tmp_path / "page"
    folder.mkdir()
    (folder / "index.html").write_text("<!doctype html><title>A page</title>")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_QuietHandler, directory=str(folder))) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def run_on_page(browser: Browser, page_url: str, server: LiveServer) -> Any:
    token = sign_up(server)
    connection = Connection(server, token)
    create_prompt(connection)
    prompt_id = create_prompt(connection)
    context = browser.new_context()
    page = context.new_page()
    page.goto(page_url)
    seen = page.evaluate(PROGRAM, [server.url, token, prompt_id])
    context.close()
    return seen


def test_a_page_of_an_allowed_origin_lists_and_creates_and_reads_headers(
    browser: Browser, page_url: str, start_server: Launch
) -> None:
    server = start_server(CORS_ORIGINS=f"https://app.example.com,{page_url}")
    seen = run_on_page(browser, page_url, server)
    assert seen["statuses"] == [200, 201, 200, 200, 412, 404]
    assert seen["link"].endswith('rel="next"')
    assert seen["etag"].startswith('"')
    assert seen["location"].startswith("/logs/log_")
    assert seen["requestId"]
    assert seen["code"] == "route_not_found"


def test_a_page_of_another_origin_reads_nothing(browser: Browser, page_url: str, live_server: LiveServer) -> None:
    assert run_on_page(browser, page_url, live_server) == "TypeError: Failed to fetch"
