"""What clients send, in a real browser: markup is shown as text, and no text makes a page wider than its window."""

import json
from typing import Any

import pytest
from playwright.sync_api import Browser, Dialog

from tests.e2e.test_pages import call, window
from tests.support.connection import Connection
from tests.support.servers import LiveServer

_WORD = "W" * 90
_MARKUP = """<img src=x onerror="alert(1)"><script>alert(2)</script>'"><svg onload=alert(3)>"""
_WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.mark.parametrize("width", [390, 700, 1280])
@pytest.mark.parametrize(
    "text", [_WORD, "😀" * 45, "\u202eevil\u2066\u200b" * 10, _MARKUP], ids=["word", "emoji", "bidi", "markup"]
)
def test_no_text_of_a_client_runs_as_a_program_or_widens_a_page(
    browser: Browser, live_server: LiveServer, width: int, text: str
) -> None:
    person = {"name": text, "email": "grace@example.com", "password": "correct horse battery"}
    token = Connection(live_server).call("POST", "/auth/signup", person).json["token"]

    def post(path: str, body: dict[str, Any]) -> Any:
        return call(live_server, token, "POST", path, body)

    body = {"title": text, "content": f"{text * 3}{{{{name}}}}", "model": text, "tags": [text], "description": text}
    prompt = post("/prompts", {**body, "comment": text})["_id"]
    call(live_server, token, "PATCH", f"/prompts/{prompt}", {"content": f"{text * 9}"})
    call(live_server, token, "PUT", f"/prompts/{prompt}/labels/{'w' * 50}", {"version": 1})
    log = {"promptId": prompt, "input": text * 9, "output": text * 9, "modelUsed": text, "notes": text * 9}
    log |= {"variables": {text: text * 3}, "metadata": {text[:40]: text}, "idealOutput": text * 2}
    logs = [post("/logs", {**log, "score": score})["_id"] for score in (3, 7)]
    post("/logs", {**log, "output": None, "status": "error", "error": text * 9})
    post(f"/logs/{logs[0]}/scores", {"name": "w" * 50, "value": text[:60], "comment": text * 9})
    sizes = [{"key": key, "trafficPercent": 50, "payload": {text: text}} for key in (text[:30], "w" * 30)]
    post("/experiments", {"slug": "w" * 50, "name": text, "status": "ACTIVE", "variants": sizes})
    for number in range(6):
        result = {"variantKey": sizes[number % 2]["key"], "output": {text: text}, "metrics": {text[:40]: number}}
        post(f"/experiment/{'w' * 50}/log", result)
    step = {"id": "1", "type": "generation", "name": text, "input": text * 9, "output": text * 9}
    run = post("/basalt/monitor/trace", {"featureSlug": "f", "name": text, "logs": [step]})["trace"]["id"]
    one, experiment = f"/prompts/{prompt}", f"/experiments/{'w' * 50}"
    paths = ["", "/prompts", one, f"{one}/edit", f"{one}/diff?before=1&after=2", f"{one}/delete", "/outputs"]
    paths += [f"/outputs/{logs[0]}", f"/compare?log={logs[0]}&log={logs[1]}", "/runs", f"/runs/{run}", "/experiments"]
    paths += [experiment, f"{experiment}/edit", f"{experiment}/delete", "/statistics", f"/statistics?promptId={prompt}"]
    paths += ["/review", "/settings/team", "/settings/account", "/settings/audit"]
    with window(browser, live_server, viewport={"width": width, "height": 800}) as opened:
        asked: list[str] = []

        def dismiss(dialog: Dialog) -> None:
            asked.append(dialog.message)
            dialog.dismiss()

        opened.page.on("dialog", dismiss)
        opened.sign_in(person["email"], person["password"])
        home, wide = opened.page.url, {}
        for path in paths:
            response = opened.page.goto(home + path)
            assert response is not None
            assert response.status == 200, path
            opened.page.evaluate("document.querySelectorAll('main details').forEach(each => { each.open = true })")
            if (more := opened.page.evaluate(_WIDER)) > 0:
                wide[path] = more
        assert (wide, asked) == ({}, []), json.dumps(text)
