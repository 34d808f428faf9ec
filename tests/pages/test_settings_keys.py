"""The settings: keys are made, used and revoked."""

import re

from flask import Flask

from tests.support.people import Person
from tests.support.visitors import Visitor, text_of


def test_a_key_is_shown_once_works_and_is_revoked(app: Flask, ada: Person) -> None:
    visitor = Visitor(app, ada)
    page = visitor.submit("/settings/keys", {"name": "nightly", "scopes": ["ingest", "read"], "workspace": ""})
    (key,) = re.findall(r'id="secret"[^>]*>(pc_[\w-]+)<', page.text)
    headers = {"X-Api-Key": key}
    assert app.test_client().get("/prompts", headers=headers).status_code == 200
    shown = visitor.get("/settings/keys")
    assert key not in shown.text
    assert "ingest, read" in text_of(shown)
    (target,) = re.findall(r'action="([^"]+/revoke)"', shown.text)
    assert "The key is revoked" in text_of(visitor.follow(visitor.submit(target, {})))
    assert app.test_client().get("/prompts", headers=headers).status_code == 401
    refused = visitor.submit("/settings/keys", {"name": ""})
    assert (refused.status_code, 'id="name-error"' in refused.text) == (400, True)


def test_a_new_key_expires_if_wanted_and_its_line_logs_an_output(app: Flask, ada: Person) -> None:
    prompt = ada.prompt(title="Greeting")
    visitor = Visitor(app, ada)
    fields = {"name": "nightly", "scopes": ["ingest"], "workspace": "", "expiresAt": "2099-12-31"}
    page = visitor.submit("/settings/keys", fields)
    line = re.sub("&#34;|&#39;", lambda found: '"' if "34" in found[0] else "'", page.text)
    found = re.search(r"curl (\S+) \\\n +-H \"x-api-key: (\S+)\" [^']* -d '({.*})'", line, re.DOTALL)
    assert found is not None
    assert (found[1], prompt["_id"] in found[3]) == ("http://localhost/logs", True)
    headers = {"X-Api-Key": found[2], "Content-Type": "application/json"}
    assert app.test_client().post("/logs", data=found[3], headers=headers).status_code == 201
    assert ada.get("/auth/keys").json[0]["expiresAt"] == "2099-12-31T00:00:00.000Z"
    read = visitor.submit("/settings/keys", {"name": "reader", "scopes": ["read"], "workspace": ""})
    assert "http://localhost/prompts -H" in read.text
    shown = text_of(visitor.get("/settings/keys"))
    assert ("31 Dec 2099" in shown, "never" in shown) == (True, True)
    for wrong in ("2020-01-01", "soon"):
        refused = visitor.submit("/settings/keys", {**fields, "expiresAt": wrong, "scopes": ["read"]})
        assert (refused.status_code, 'id="expiresAt-error"' in refused.text) == (400, True), wrong
        assert 'value="read" checked' in refused.text, "nothing is lost"


def test_a_key_may_do_what_is_ticked_and_nothing_ticked_is_refused(app: Flask, ada: Person) -> None:
    visitor = Visitor(app, ada)
    assert 'value="ingest" checked' in visitor.get("/settings/keys").text
    refused = visitor.submit("/settings/keys", {"name": "nightly", "workspace": ""})
    assert (refused.status_code, "Choose what the key may do" in text_of(refused)) == (400, True)
    assert (" checked" in refused.text, '<option value="" selected' in refused.text) == (False, True), "nothing is lost"
    assert ada.get("/auth/keys").json == []
    visitor.submit("/settings/keys", {"name": "all", "workspace": "", "scopes": ["admin"]})
    assert [key["scopes"] for key in ada.get("/auth/keys").json] == [["admin"]]
