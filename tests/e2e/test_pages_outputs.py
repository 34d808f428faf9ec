"""The pages of outputs in a real browser: keys, ways to show a text, chosen outputs, and what axe finds there."""

import re
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.test_pages import AXE, RULES, call, window
from tests.support.connection import Connection
from tests.support.servers import LiveServer

# The examples of empty fields that are wider than their field
_FIND_CUT = """() => {
    const drawing = document.createElement("canvas").getContext("2d");
    return [...document.querySelectorAll("input[placeholder]")].filter((field) => {
        const style = getComputedStyle(field), {fontSize, fontFamily} = getComputedStyle(field, "::placeholder");
        drawing.font = `${fontSize} ${fontFamily}`;
        const room = field.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
        return field.clientWidth && drawing.measureText(field.placeholder).width > room + 0.5;
    }).map((field) => field.placeholder);
}"""
_HOSTILE = """# Hello

<script>document.title = "run"</script> <img src=x onerror="document.title='run'"> ![x](http://evil.example/x.png)
[link](javascript:document.title='run') **bold**"""
_CHAT = [
    {"role": "user", "content": "What is it?"},
    {"role": "assistant", "tool_calls": [{"function": {"name": "find", "arguments": "{}"}}]},
]


@pytest.fixture
def account(live_server: LiveServer) -> tuple[dict[str, str], str, list[str]]:
    """An account, its token, and the ids of its outputs, the newest first."""
    person = {"name": "Grace", "email": "grace@example.com", "password": "correct horse battery"}
    token = Connection(live_server).call("POST", "/auth/signup", person).json["token"]
    body = {"title": "Explain", "content": "Explain {{topic}}.", "model": "gpt-4o"}
    prompt = call(live_server, token, "POST", "/prompts", body)
    call(live_server, token, "PATCH", f"/prompts/{prompt['_id']}", {"content": "Explain {{topic}} well."})
    logs = [{"promptId": prompt["_id"], "output": f"Answer {n}", "modelUsed": "gpt-4o"} for n in range(60)]
    texts: list[dict[str, Any]] = [
        {"promptVersion": 1, "output": '{"a": [1, {"b": [2, 3]}]}'},
        {"promptVersion": 2, "output": _HOSTILE},
    ]
    logs += [{"promptId": prompt["_id"], "modelUsed": "gpt-4o", "input": _CHAT, **values} for values in texts]
    results = call(live_server, token, "POST", "/logs/batch", {"logs": logs})["results"]
    return person, token, [result["_id"] for result in reversed(results)]


def test_outputs_are_walked_by_keys_counted_chosen_and_deleted(
    browser: Browser, live_server: LiveServer, account: tuple[dict[str, str], str, list[str]]
) -> None:
    person, token, logs = account
    with window(browser, live_server) as opened:
        page = opened.page
        opened.sign_in(person["email"], person["password"])
        home = page.url
        page.goto(f"{home}/outputs?q=answer")
        page.get_by_role("link", name="count all").click()
        expect(page.locator("#total")).to_have_text("60 outputs")
        expect(page.get_by_role("row")).to_have_count(51)
        page.get_by_role("link", name="Answer 59").click()
        for key, shown in (("j", "Answer 58"), ("j", "Answer 57"), ("k", "Answer 58")):
            page.keyboard.press(key)
            expect(page.locator("#output-text")).to_have_text(shown)
        page.keyboard.press("s")
        page.keyboard.type("7")
        page.get_by_role("button", name="Save the score").click()
        expect(page.get_by_role("status")).to_have_text("Saved.")
        expect(page.get_by_role("link", name="Previous")).to_have_attribute("href", re.compile(r"q=answer"))

        page.goto(f"{home}/outputs/{logs[0]}?view=markdown")
        expect(page.locator(".markdown strong")).to_have_text("bold")
        assert page.title().startswith("Output")

        page.goto(f"{home}/outputs")
        page.get_by_label("Choose output 1", exact=True).check()
        page.get_by_role("button", name="Compare 2 to 5").click()
        expect(page.get_by_role("status")).to_contain_text("Tick 2 to 5 outputs")
        expect(page.get_by_label("Choose output 1", exact=True)).to_be_checked()  # no other page was opened
        page.get_by_label("Choose output 2", exact=True).check()
        page.get_by_role("button", name="Delete").click()
        page.get_by_role("button", name="Delete them").click()
        expect(page.get_by_role("status")).to_contain_text("are deleted")
    assert len(call(live_server, token, "GET", "/logs")) == 60


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 320])
def test_axe_finds_nothing_on_the_pages_of_outputs(
    browser: Browser,
    live_server: LiveServer,
    account: tuple[dict[str, str], str, list[str]],
    scheme: Any,
    width: int,
) -> None:
    person, _, (hostile, folded, *_) = account
    with window(browser, live_server, color_scheme=scheme, viewport={"width": width, "height": 800}) as opened:
        opened.sign_in(person["email"], person["password"])
        home = opened.page.url
        paths = [f"outputs/{hostile}", f"outputs/{hostile}?view=markdown", f"outputs/{folded}?view=json"]
        paths += [f"compare?input={hostile}", f"outputs/delete?log={folded}", "outputs?column=user&q=answer&status=ok"]
        for path in paths:
            opened.page.goto(f"{home}/{path}")
            for summary in opened.page.locator("main details:not([open]) > summary").all():
                if summary.is_visible():
                    summary.click()
            opened.page.evaluate(AXE.read_text("utf-8"))
            found = opened.page.evaluate("rules => axe.run(document, {runOnly: {type: 'tag', values: rules}})", RULES)
            assert [(each["id"], each["nodes"][0]["html"][:200]) for each in found["violations"]] == [], path
            wide = opened.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide <= 0, path
            assert opened.page.evaluate(_FIND_CUT) == [], path
