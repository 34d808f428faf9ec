"""The settings in a real browser: files are downloaded and sent, and a secret comes from behind the `#` of a link."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route, expect

from tests.e2e.test_pages import call, window
from tests.support.connection import Connection
from tests.support.servers import LiveServer

ACCOUNT = {"name": "Grace", "email": "grace@example.com", "password": "correct horse battery"}


@pytest.mark.parametrize("has_javascript", [True, False], ids=["with JavaScript", "without JavaScript"])
def test_a_person_downloads_an_export_and_imports_it_as_a_copy(
    browser: Browser, live_server: LiveServer, tmp_path: Path, has_javascript: bool
) -> None:
    token = Connection(live_server).call("POST", "/auth/signup", ACCOUNT).json["token"]
    prompt = call(live_server, token, "POST", "/prompts", {"title": "Greeting", "content": "Greet.", "model": "gpt-4o"})
    output = {"promptId": prompt["_id"], "output": "An answer " * 1000, "modelUsed": "gpt-4o"}
    call(live_server, token, "POST", "/logs/batch", {"logs": [output] * 200})
    with window(browser, live_server, java_script_enabled=has_javascript) as opened:
        page = opened.page
        opened.sign_in(ACCOUNT["email"], ACCOUNT["password"])
        page.get_by_role("link", name="Settings").click()
        page.get_by_role("link", name="Import and export").click()
        with page.expect_download() as download:
            page.get_by_role("link", name="Download the export").click()
        file = tmp_path / download.value.suggested_filename
        download.value.save_as(file)
        assert file.stat().st_size > 2_000_000
        page.get_by_label("Make a copy").check()
        page.get_by_label("The file of an export").set_input_files(file)
        page.get_by_role("button", name="Import the file").click()
        expect(page.get_by_role("status")).to_contain_text("Imported: 1 prompt, 1 version, 200 outputs")
        file.write_text(file.read_text("utf-8").replace('"title":"Greeting"', '"title":7'), "utf-8")
        page.get_by_label("The file of an export").set_input_files(file)
        page.get_by_role("button", name="Import the file").click()
        expect(page.get_by_role("alert")).to_contain_text("line 2")
        opened.complaints = [each for each in opened.complaints if "400 (BAD REQUEST)" not in each]
    assert len(call(live_server, token, "GET", "/prompts")) == 2


def test_the_page_of_a_reset_link_has_its_secret(browser: Browser, live_server: LiveServer) -> None:
    with window(browser, live_server) as opened:
        opened.open("/app/password-reset#reset_secret")
        expect(opened.page.get_by_label("Secret")).to_have_value("reset_secret")


def test_two_enters_make_one_key_and_the_form_can_be_sent_again_after_going_back(
    browser: Browser, live_server: LiveServer
) -> None:
    token = Connection(live_server).call("POST", "/auth/signup", ACCOUNT).json["token"]
    with window(browser, live_server) as opened:
        page = opened.page
        opened.sign_in(ACCOUNT["email"], ACCOUNT["password"])
        page.goto(f"{page.url}/settings/keys")
        held: list[Route] = []
        sent: list[str] = []

        def hold_first(route: Route) -> None:
            if route.request.method == "POST":
                sent.append(route.request.url)
            if route.request.method == "POST" and not held:
                held.append(route)
            else:
                route.continue_()

        page.route("**/settings/keys", hold_first)
        for sendings in (1, 2):
            page.get_by_label("What it is for").fill(f"Key {sendings}")
            page.keyboard.press("Enter")
            while not held:
                page.wait_for_timeout(10)
            page.keyboard.press("Enter")
            held.pop().continue_()
            page.locator("#secret").wait_for()
            assert len(sent) == sendings
            assert len(call(live_server, token, "GET", "/auth/keys")) == sendings
            page.go_back()
