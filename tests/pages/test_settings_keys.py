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
