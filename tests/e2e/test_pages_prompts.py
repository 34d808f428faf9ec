"""The pages of prompts in a browser: the search while typing, variables, and two windows that change one prompt."""

from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.test_pages import call, window
from tests.support.connection import Connection
from tests.support.servers import LiveServer

ACCOUNT = {"name": "Grace", "email": "grace@example.com", "password": "correct horse battery"}


@pytest.fixture
def prompt(live_server: LiveServer) -> Any:
    token = Connection(live_server).call("POST", "/auth/signup", ACCOUNT).json["token"]
    call(live_server, token, "POST", "/prompts", {"title": "Other", "content": "Nothing.", "model": "m"})
    body = {"title": "Explain", "content": "Explain {{topic}} well.", "model": "gpt-4o"}
    return call(live_server, token, "POST", "/prompts", body)


@pytest.mark.parametrize("has_javascript", [True, False])
def test_prompts_are_searched_and_their_variables_filled_in(
    browser: Browser, live_server: LiveServer, prompt: Any, has_javascript: bool
) -> None:
    with window(browser, live_server, java_script_enabled=has_javascript) as opened:
        page = opened.page
        opened.sign_in(ACCOUNT["email"], ACCOUNT["password"])
        page.get_by_role("link", name="Prompts", exact=True).click()
        expect(page.get_by_role("row")).to_have_count(3)
        field = page.get_by_label("Search all prompts")
        if has_javascript:
            field.press_sequentially("topi")
        else:
            field.fill("topi")
            page.get_by_role("button", name="Search").click()
        expect(page.get_by_role("row")).to_have_count(2)
        expect(page.locator("mark")).to_have_text("topi")
        if has_javascript:
            expect(field).to_be_focused()
        page.get_by_role("link", name="Explain", exact=True).click()
        page.get_by_label("topic").fill("tides")
        page.get_by_role("button", name="Show the text").click()
        expect(page.get_by_text("Explain tides well.")).to_be_visible()


def test_a_part_of_a_page_stays_as_it_is_if_something_else_answers_in_place_of_the_server(
    browser: Browser, live_server: LiveServer, prompt: Any
) -> None:
    with window(browser, live_server) as opened:
        page = opened.page
        opened.sign_in(ACCOUNT["email"], ACCOUNT["password"])
        page.get_by_role("link", name="Prompts", exact=True).click()
        listed = page.url
        page.route("**/prompts?q=*", lambda route: route.fulfill(content_type="text/html", body="<h1>Hotel</h1>"))
        page.get_by_label("Search all prompts").press_sequentially("topi")
        note = page.get_by_text("That could not be fetched")
        expect(note).to_be_visible()
        expect(page.get_by_role("row")).to_have_count(3)
        assert page.url == listed
        page.unroute("**/prompts?q=*")
        page.get_by_label("Search all prompts").press_sequentially("c")
        expect(page.get_by_role("row")).to_have_count(2)
        expect(note).to_have_count(0)
        page.get_by_role("link", name="Explain", exact=True).click()
        page.route("**/render", lambda route: route.fulfill(content_type="text/html", body="<h1>Hotel</h1>"))
        page.get_by_label("topic").fill("tides")
        page.get_by_role("button", name="Show the text").click()
        expect(note).to_be_visible()
        expect(page.get_by_label("topic")).to_have_value("tides")


def test_a_text_is_the_message_of_the_user_while_the_prompt_is_a_chat(
    browser: Browser, live_server: LiveServer, prompt: Any
) -> None:
    with window(browser, live_server) as opened:
        page = opened.page
        opened.sign_in(ACCOUNT["email"], ACCOUNT["password"])
        page.goto(f"{page.url}/prompts/new")
        page.get_by_label("Text", exact=True).fill("Explain {{topic}}")
        page.get_by_label("Messages with roles").check()
        message = page.get_by_label("Text of message 2")
        expect(message).to_have_value("Explain {{topic}}")
        message.fill("Explain {{topic}} well")
        page.get_by_label("One text").check()
        expect(page.get_by_label("Text", exact=True)).to_have_value("Explain {{topic}} well")
        page.get_by_label("Messages with roles").check()
        page.get_by_role("button", name="Move message 2 up").click()
        expect(page.get_by_label("Text of message 1")).to_have_value("Explain {{topic}} well")
        page.get_by_label("Title").fill("Chat")
        page.get_by_label("Model", exact=True).fill("gpt-4o")
        page.get_by_label("Title").press("Enter")  # saves, as the button below does
        expect(page.get_by_role("heading", name="Chat", exact=True)).to_be_visible()


def test_of_two_windows_that_change_a_prompt_the_second_one_is_shown_both(
    browser: Browser, live_server: LiveServer, prompt: Any
) -> None:
    with window(browser, live_server, java_script_enabled=False) as opened:
        first = opened.page
        opened.sign_in(ACCOUNT["email"], ACCOUNT["password"])
        edit = f"{first.url}/prompts/{prompt['_id']}/edit"
        first.goto(edit)
        second = first.context.new_page()
        second.goto(edit)
        second.locator("textarea#content").fill("Explain {{topic}} briefly.")
        second.get_by_role("button", name="Save").click()
        expect(second.get_by_role("heading", name="Version 2")).to_be_visible()
        mine = "Explain {{topic}} kindly."
        first.locator("textarea#content").fill(mine)
        first.get_by_role("button", name="Save").click()
        expect(first.get_by_role("alert")).to_contain_text("saved version 2")
        expect(first.locator("textarea#content")).to_have_value(mine)
        first.get_by_role("button", name="Save").click()
        expect(first.get_by_role("heading", name="Version 3")).to_be_visible()
        opened.complaints[:] = [each for each in opened.complaints if "409 (CONFLICT)" not in each]
