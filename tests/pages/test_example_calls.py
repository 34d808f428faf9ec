"""The call that logs an output, which the pages show to copy."""

import html
import json
import re
import shlex

import pytest
from flask import Flask

from tests.support.people import Answer, Person
from tests.support.visitors import Visitor


def _call(page: Answer) -> list[str]:
    """Return the words of the command that a page shows, as a shell reads them."""
    found = re.search('<pre[^>]*id="first-call"[^>]*>(.*?)</pre>', page.text, re.DOTALL)
    assert found is not None
    return shlex.split(html.unescape(found[1]).replace("\\\n", ""))


@pytest.mark.parametrize("path", ["", "/outputs", "/prompts/{prompt}", "/prompts/{prompt}?version=1"])
def test_pages_show_the_call_with_the_version_and_its_variables(app: Flask, ada: Person, path: str) -> None:
    prompt = ada.prompt(content="Tell {{who}} of {{it.all}}", model="it's-a-model")
    if "version" not in path:
        ada.patch(f"/prompts/{prompt['_id']}", {"content": "Tell {{who}} of {{it.all}} again"})
    call = _call(Visitor(app, ada).get(path.format(prompt=prompt["_id"])))
    assert call[:4] == ["curl", "http://localhost/logs", "-H", "x-api-key: $KEY"]
    assert json.loads(call[-1]) == {
        **{"promptId": prompt["_id"], "promptVersion": 1 if "version" in path else 2},
        **{"variables": {"who": "…", "it.all": "…"}, "output": "What the model answered", "modelUsed": "it's-a-model"},
    }
    log = ada.post("/logs", json.loads(call[-1]))
    assert log.status_code == 201
    assert log.json["promptVersion"] == json.loads(call[-1])["promptVersion"]


def test_a_new_key_comes_with_the_call_that_uses_it(app: Flask, ada: Person) -> None:
    visitor = Visitor(app, ada)
    new = {"name": "mine", "scopes": "ingest"}
    assert json.loads(_call(visitor.submit("/settings/keys", new))[-1])["promptId"] == "prompt_…"
    messages = [{"role": "system", "content": "Be kind"}, {"placeholder": "history"}]
    prompt = ada.post("/prompts", {"title": "Chat", "type": "chat", "messages": messages, "model": "m"}).json
    page = visitor.submit("/settings/keys", new)
    secret = re.findall('id="secret"[^>]*>([^<]+)<', page.text)[0]
    call = _call(page)
    assert f"x-api-key: {secret}" in call
    assert json.loads(call[-1])["promptId"] == prompt["_id"]
    assert json.loads(call[-1])["variables"] == {"history": "…"}


def test_the_call_has_the_input_of_a_prompt_without_variables(app: Flask, ada: Person) -> None:
    ada.prompt(content="Say hello")
    assert json.loads(_call(Visitor(app, ada).get(""))[-1])["input"] == "What the model was asked"


def test_the_review_shows_the_variables_of_an_output(app: Flask, ada: Person) -> None:
    ada.log(ada.prompt(), variables={"who": "<b>Ada</b>", "age": 7})
    page = Visitor(app, ada).get("/review?blind=true")
    assert '<mark class="variable">who</mark></dt><dd class="text">&lt;b&gt;Ada&lt;/b&gt;</dd>' in page.text
    assert '<dd class="text">7</dd>' in page.text
