"""The review in a real browser: scores by keyboard while the network fails, and what the page says meanwhile."""

import json
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.test_pages import Window, call
from tests.support.connection import Connection
from tests.support.servers import LiveServer

_ACCOUNT = {"name": "Grace", "email": "grace@example.com", "password": "correct horse battery"}


@pytest.fixture
def token(live_server: LiveServer) -> str:
    """The token of Grace."""
    token: str = Connection(live_server).call("POST", "/auth/signup", _ACCOUNT).json["token"]
    return token


def _log(server: LiveServer, token: str, count: int) -> None:
    prompt = call(server, token, "POST", "/prompts", {"title": "Explain", "content": "Explain it.", "model": "gpt-4o"})
    sent = {"promptId": prompt["_id"], "modelUsed": "gpt-4o", "input": "Hi"}
    logs = [{**sent, "output": f"Answer number {n}"} for n in range(count)]
    call(server, token, "POST", "/logs/batch", {"logs": logs})


def _open(browser: Browser, server: LiveServer, query: str = "") -> Window:
    opened = Window(browser, server)
    opened.sign_in(_ACCOUNT["email"], _ACCOUNT["password"])
    opened.page.goto(f"{opened.page.url}/review?raters=1&order=newest{query}")
    return opened


def _shown(page: Page) -> str:
    return page.locator(".output-text").inner_text()


def _wait_until_saved(page: Page) -> None:
    for _ in range(200):
        if page.evaluate("Object.keys(localStorage).length") == 0:
            return
        page.wait_for_timeout(50)
    raise AssertionError("a score is still kept in the browser")


def _stored(server: LiveServer, token: str) -> dict[str, Any]:
    scores = call(server, token, "GET", "/scores?per_page=100")
    assert len({score["logId"] for score in scores}) == len(scores)
    outputs = {log["_id"]: log["output"] for log in call(server, token, "GET", "/logs?per_page=100")}
    return {outputs[score["logId"]]: score["value"] for score in scores}


def test_forty_outputs_are_scored_by_keyboard_with_ten_network_cuts_and_nothing_is_lost(
    browser: Browser, live_server: LiveServer, token: str
) -> None:
    _log(live_server, token, 40)
    opened = _open(browser, live_server)
    page, given = opened.page, {}
    for number in range(40):
        if number % 4 == 2:
            page.locator(".output-text").wait_for()  # fetched while there is a network
            opened.context.set_offline(True)
        elif number % 4 == 0:
            opened.context.set_offline(False)
        if not page.locator(".output-text").count():  # what was fetched before the cut is used up
            opened.context.set_offline(False)
        page.locator(".output-text").wait_for()
        shown = _shown(page)
        assert shown not in given
        given[shown] = number % 11
        page.keyboard.press("t" if given[shown] == 10 else str(given[shown]))
        expect(page.locator(f".output-text:text-is('{shown}')")).to_have_count(0)
        if number == 22:  # without a network: what is not saved is sent after the page is opened again
            expect(page.get_by_role("status")).to_contain_text("Not saved yet, trying again")
            opened.context.set_offline(False)
            page.reload()
    opened.context.set_offline(False)
    expect(page.get_by_role("heading", name="Nothing left to review")).to_be_visible()
    assert _stored(live_server, token) == given
    assert page.evaluate("Object.keys(localStorage).length") == 0
    opened.context.close()


def test_a_score_that_the_server_fails_to_store_is_kept_through_a_reload_and_sent_again(
    browser: Browser, live_server: LiveServer, token: str
) -> None:
    _log(live_server, token, 6)
    opened = _open(browser, live_server)
    page = opened.page
    page.route("**/review/scores**", lambda route: route.fulfill(status=503, body="down"))
    first = _shown(page)
    page.keyboard.press("n")
    page.keyboard.type("Too long")
    page.keyboard.press("Enter")
    page.keyboard.press("3")
    expect(page.get_by_role("status")).to_contain_text("Not saved yet, trying again: 1 score")
    page.reload()
    expect(page.get_by_role("status")).to_contain_text("Not saved yet, trying again: 1 score")
    expect(page.locator(f".output-text:text-is('{first}')")).to_have_count(0)
    assert _stored(live_server, token) == {}
    page.unroute("**/review/scores**")
    expect(page.get_by_role("status")).to_have_text("")
    assert _stored(live_server, token) == {first: 3}
    assert call(live_server, token, "GET", "/scores")[0]["comment"] == "Too long"
    opened.context.close()


def test_the_last_score_is_shown_and_changed_and_skipped_outputs_come_after_all_others(
    browser: Browser, live_server: LiveServer, token: str
) -> None:
    _log(live_server, token, 5)
    opened = _open(browser, live_server)
    page = opened.page
    skipped = _shown(page)
    page.keyboard.press("j")
    expect(page.locator(f".output-text:text-is('{skipped}')")).to_have_count(0)
    second = _shown(page)
    page.keyboard.press("2")
    expect(page.locator(f".output-text:text-is('{second}')")).to_have_count(0)
    progress = page.locator(".review-progress")
    expect(progress).to_contain_text("1 of 5 outputs scored")
    expect(progress.locator("progress")).to_have_js_property("value", 1)
    page.keyboard.press("u")
    assert _shown(page) == second
    expect(page.get_by_role("button", name="2", exact=True)).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("7")
    _wait_until_saved(page)
    expect(progress).to_contain_text("1 of 5 outputs scored")  # the same output
    page.keyboard.press("k")
    page.keyboard.press("k")
    assert _shown(page) == skipped
    page.keyboard.press("j")
    page.keyboard.press("j")
    seen = []
    for _ in range(4):
        page.locator(".output-text").wait_for()
        shown = _shown(page)
        seen.append(shown)
        page.keyboard.press("5")
        expect(page.locator(f".output-text:text-is('{shown}')")).to_have_count(0)
    assert seen[-1] == skipped
    expect(page.get_by_role("heading", name="Nothing left to review")).to_be_visible()
    page.keyboard.press("u")
    expect(page.get_by_role("button", name="5", exact=True)).to_have_attribute("aria-pressed", "true")
    assert _shown(page) == skipped
    stored = _stored(live_server, token)
    assert (len(stored), stored[second]) == (5, 7)
    opened.context.close()


def test_a_deleted_output_and_an_ended_session_are_said_and_do_not_block_the_rest(
    browser: Browser, live_server: LiveServer, token: str
) -> None:
    _log(live_server, token, 8)
    opened = _open(browser, live_server)
    page = opened.page
    removed = page.locator("article").get_attribute("data-output")
    call(live_server, token, "DELETE", f"/logs/{removed}")
    page.keyboard.press("9")
    expect(page.get_by_role("status")).to_contain_text("was not saved. Log not found")
    second = _shown(page)
    page.keyboard.press("6")
    expect(page.locator(f".output-text:text-is('{second}')")).to_have_count(0)
    _wait_until_saved(page)
    assert _stored(live_server, token) == {second: 6}
    cookies = opened.context.cookies()
    opened.context.clear_cookies()
    third = _shown(page)
    page.keyboard.press("4")
    expect(page.get_by_role("status")).to_contain_text("Your session has ended. Not saved yet: 1 score")
    opened.context.add_cookies(json.loads(json.dumps(cookies)))
    expect(page.get_by_role("status")).not_to_contain_text("Your session has ended")
    assert _stored(live_server, token) == {second: 6, third: 4}
    opened.context.close()


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        (200, "text/html", "<h1>Welcome to the network</h1>"),
        (200, "application/json", '{"message": "Sign in", "code": "sso"}'),
        (403, "text/html", "<h1>Blocked</h1>"),
        (404, "application/json", '{"message": "no Route matched with those values"}'),
    ],
)
def test_what_the_sign_in_page_of_a_network_or_a_proxy_answers_is_no_answer_of_the_server(
    browser: Browser, live_server: LiveServer, token: str, status: int, kind: str, body: str
) -> None:
    _log(live_server, token, 3)
    opened = _open(browser, live_server)
    page = opened.page
    patterns = ("**/review/scores**", "**/review/next**")
    for pattern in patterns:
        page.route(pattern, lambda route: route.fulfill(status=status, content_type=kind, body=body))
    page.reload()  # without the outputs that were fetched ahead
    given = {_shown(page): 6}
    page.keyboard.press("6")
    expect(page.get_by_role("status")).to_contain_text("Something else answered in place of the server")
    expect(page.locator("#review-slot")).to_contain_text("No connection to the server")
    page.reload()
    expect(page.get_by_role("status")).to_contain_text("Not saved yet, trying again: 1 score. It is kept")
    assert _stored(live_server, token) == {}
    for pattern in patterns:
        page.unroute(pattern)
    _wait_until_saved(page)
    assert _stored(live_server, token) == given
    expect(page.get_by_role("status")).to_have_text("")
    page.locator(".output-text").wait_for()
    assert [each for each in opened.complaints if f"status of {status}" not in each] == []
    opened.context.close()


def test_an_ended_session_is_said_with_the_number_of_scores_that_wait(
    browser: Browser, live_server: LiveServer, token: str
) -> None:
    _log(live_server, token, 12)
    opened = _open(browser, live_server)
    page, status = opened.page, opened.page.get_by_role("status")
    cookies = json.loads(json.dumps(opened.context.cookies()))
    fetched: list[str] = []
    page.on("response", lambda response: fetched.append(response.url) if "/review/next" in response.url else None)
    page.reload()
    for _ in range(200):
        if len(fetched) == 3:
            break
        page.wait_for_timeout(50)
    skipped = _shown(page)
    opened.context.clear_cookies()
    page.keyboard.press("j")  # another output is fetched
    expect(status).to_have_text("Your session has ended. Sign in")
    given = {}
    for count, words in ((1, "1 score. It is kept"), (2, "2 scores. They are kept")):
        shown = _shown(page)
        given[shown] = 4
        assert shown != skipped
        page.keyboard.press("4")
        expect(status).to_have_text(f"Your session has ended. Not saved yet: {words} in this browser. Sign in")
        assert len(given) == count
    expect(status.get_by_role("link", name="Sign in")).to_have_attribute("href", f"/app/sign-in?next={_path(page)}")
    opened.context.add_cookies(cookies)
    expect(status).to_have_text("")
    _wait_until_saved(page)
    assert _stored(live_server, token) == given
    opened.context.close()


def _path(page: Page) -> str:
    path: str = page.evaluate("encodeURIComponent(location.pathname + location.search)")
    return path


def test_a_second_window_does_not_overwrite_a_newer_score_nor_remove_its_comment(
    browser: Browser, live_server: LiveServer, token: str
) -> None:
    _log(live_server, token, 6)
    opened = _open(browser, live_server)
    page, pattern = opened.page, "**/review/scores**"
    page.route(pattern, lambda route: route.fulfill(status=503, body="down"))
    output, shown = page.locator("article").get_attribute("data-output"), _shown(page)
    page.keyboard.press("n")
    page.keyboard.type("Too long")
    page.keyboard.press("Enter")
    page.keyboard.press("3")
    expect(page.get_by_role("status")).to_contain_text("Not saved yet, trying again: 1 score")
    second = opened.context.new_page()
    second.route(pattern, lambda route: route.fulfill(status=503, body="down"))
    second.goto(f"{page.url}&output={output}")
    expect(second.get_by_role("button", name="3", exact=True)).to_have_attribute("aria-pressed", "true")
    second.keyboard.press("9")
    second.unroute(pattern)
    _wait_until_saved(second)
    expect(page.get_by_role("status")).to_have_text("")
    page.unroute(pattern)
    other = _shown(page)
    page.keyboard.press("5")  # what waited before it would be sent first
    expect(page.locator(f".output-text:text-is('{other}')")).to_have_count(0)
    _wait_until_saved(page)
    assert _stored(live_server, token) == {shown: 9, other: 5}
    comments = {each["logId"]: each["comment"] for each in call(live_server, token, "GET", "/scores")}
    assert comments[output] == "Too long"
    opened.context.close()


def test_a_held_key_scores_once_and_keys_do_nothing_behind_the_list_of_keys(
    browser: Browser, live_server: LiveServer, token: str
) -> None:
    _log(live_server, token, 6)
    opened = _open(browser, live_server)
    page = opened.page
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("8")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()
    page.keyboard.down("3")
    page.keyboard.down("3")
    page.keyboard.down("3")
    page.keyboard.up("3")
    _wait_until_saved(page)
    assert list(_stored(live_server, token).values()) == [3]
    opened.context.close()
