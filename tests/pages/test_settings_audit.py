"""The audit trail as a page: its filters and downloads are those of the API."""

from flask import Flask

from tests.support.members import share
from tests.support.people import Person
from tests.support.visitors import Visitor, home_of, text_of


def test_the_filters_are_those_of_the_api_in_a_personal_workspace_as_well(app: Flask, ada: Person) -> None:
    prompt = ada.prompt(title="One")
    ada.patch(f"/prompts/{prompt['_id']}", {"content": "Another", "comment": "why"})
    ada.prompt(title="Other")
    visitor = Visitor(app, ada)
    page = text_of(visitor.get("/settings/audit"))
    assert ("ada wrote a prompt Other" in page, "ada changed a prompt One" in page) == (True, True)
    rows = visitor.get(f"/settings/audit?action=prompt.change&object=&actor={ada.id}&since=7d&until=").text
    assert (rows.count("<td>changed a prompt</td>"), rows.count("<td>wrote a prompt</td>")) == (1, 0)
    assert '<option value="prompt.change" selected>changed a prompt</option>' in rows
    assert 'name="object"' not in rows, "nobody types an id"
    of_one = visitor.get(f"/settings/audit?object={prompt['_id']}").text
    assert "Other" not in of_one
    assert f'<option value="{prompt["_id"]}" selected>One</option>' in of_one
    assert "Nothing matches" in text_of(visitor.get("/settings/audit?until=2020-01-01"))
    assert visitor.get("/settings/audit?actor=nonsense").status_code == 400
    assert visitor.get("/settings/audit?action=nonsense").status_code == 400


def test_the_downloads_are_the_answers_of_the_api(app: Flask, ada: Person) -> None:
    for number in range(60):
        ada.prompt(title=f"Prompt {number}")
    visitor = Visitor(app, ada)
    slug = visitor.home.rpartition("/")[2]
    for kind, media_type in (("json", "application/json"), ("csv", "text/csv"), ("ndjson", "application/x-ndjson")):
        page = visitor.get(f"/settings/audit?action=prompt.create&as={kind}")
        own = ada.get(f"/workspaces/{slug}/audit?action=prompt.create", headers={"Accept": media_type})
        assert (page.mimetype, page.data) == (media_type, own.data)
        assert page.headers["Content-Disposition"] == f'attachment; filename="audit.{kind}"'


def test_it_is_for_owners(app: Flask, ada: Person, ben: Person) -> None:
    for role in ("viewer", "editor"):
        share(ada, ben, role)
        visitor, home = Visitor(app, ben), home_of(ada)
        assert "/settings/audit" not in visitor.get(f"{home}/settings/team").text
        assert visitor.get(f"{home}/settings/audit?as=csv").status_code == 403


def test_actions_and_values_are_in_the_words_of_the_pages(app: Flask, ada: Person) -> None:
    visitor = Visitor(app, ada)
    slug = visitor.home.rpartition("/")[2]
    key = ada.post("/auth/keys", {"name": "CI", "workspace": slug, "scopes": ["ingest", "write"]}).json["key"]
    ada.post("/auth/keys", {"name": "all", "workspace": slug})
    variants = [{"key": each, "name": each, "trafficPercent": 50} for each in ("a", "b")]
    body = {"name": "Tone", "slug": "tone", "variants": variants}
    ada.post("/experiments", body)
    ada.patch("/experiments/tone", {"status": "ACTIVE", "name": "Tone"})
    ada.delete(f"/logs/{ada.log(ada.prompt())['_id']}")
    app.test_client().post(
        "/prompts", json={"title": "By key", "content": "c", "model": "m"}, headers={"X-Api-Key": key}
    )
    page = text_of(visitor.get("/settings/audit"))
    for expected in (
        "made an API key CI may do ingest, write",
        "made an API key all may do everything",
        "changed an experiment Tone status draft running",
        "deleted an output output …",
        "CI API key wrote a prompt By key",
    ):
        assert expected in page, page
    assert ada.id not in page, "whose key it is goes without saying"
    assert ("log.delete" in page, "ACTIVE" in page, '["ingest"' in page) == (False, False, False)


def test_a_label_is_that_of_a_prompt(app: Flask, ada: Person) -> None:
    for title in ("Reply & close", "Classify"):
        ada.put(f"/prompts/{ada.prompt(title=title)['_id']}/labels/production", {"version": 1})
    page = text_of(Visitor(app, ada).get("/settings/audit"))
    for title in ("Reply & close", "Classify"):
        assert f"put a label production of {title} version 1" in page
