"""The settings of a workspace: its name, slug, protected labels and storage, another one, and its end."""

import pytest
from flask import Flask

from promptcrafter.workspaces import quota
from tests.support.members import share
from tests.support.people import Person
from tests.support.visitors import Visitor, home_of, text_of


def test_owners_change_name_slug_and_protected_labels(app: Flask, ada: Person) -> None:
    visitor = Visitor(app, ada)
    page = visitor.follow(visitor.submit("/workspaces", {"name": "Team", "slug": "team-a"}))
    assert "Invite your team" in text_of(page)
    home = "/app/w/team-a"
    fields = {"name": "The team", "slug": "the-team", "protectedLabels": "production\r\nstaging, production"}
    page = visitor.follow(visitor.submit(f"{home}/settings/workspace", fields))
    assert "production\nstaging</textarea>" in page.text
    workspace = ada.get("/workspaces/the-team").json
    assert (workspace["name"], workspace["protectedLabels"]) == ("The team", ["production", "staging"])
    assert visitor.get(f"{home}/settings/workspace").status_code == 404
    home = "/app/w/the-team"
    for wrong, field in (
        ({"slug": "Not A Slug"}, "slug"),
        ({"name": " "}, "name"),
        ({"protectedLabels": "9lives latest"}, "protectedLabels"),
    ):
        refused = visitor.submit(f"{home}/settings/workspace", {**fields, **wrong})
        assert (refused.status_code, f'id="{field}-error"' in refused.text) == (400, True), wrong
    visitor.submit("/workspaces", {"name": "Other"})
    taken = visitor.submit(f"{home}/settings/workspace", {**fields, "slug": "other"})
    assert (taken.status_code, "Slug already in use" in text_of(taken)) == (409, True)
    visitor.submit(f"{home}/settings/workspace", {**fields, "protectedLabels": ""})
    assert ada.get("/workspaces/the-team").json["protectedLabels"] == []


def test_a_workspace_that_cannot_be_made_is_asked_for_again(app: Flask, ada: Person) -> None:
    visitor = Visitor(app, ada)
    assert "New workspace" in text_of(visitor.get("/prompts"))
    assert "Make the workspace" in text_of(visitor.get("/workspaces/new"))
    refused = visitor.submit("/workspaces", {"name": "", "slug": "team"})
    assert (refused.status_code, 'value="team"' in refused.text) == (400, True)
    visitor.submit("/workspaces", {"name": "Team"})
    taken = visitor.submit("/workspaces", {"name": "Team two", "slug": "team"})
    assert (taken.status_code, 'id="slug-error"' in taken.text) == (409, True)


def test_a_new_workspace_opens_first_if_the_form_says_so(app: Flask, ada: Person) -> None:
    visitor = Visitor(app, ada)
    assert 'name="opensFirst" value="true" checked' in visitor.get("/workspaces/new").text
    refused = visitor.submit("/workspaces", {"name": "", "slug": "team"})
    assert 'name="opensFirst" value="true" checked' not in refused.text
    visitor.submit("/workspaces", {"name": "Later"})
    assert visitor.get("/app").headers["Location"] == visitor.home
    visitor.submit("/workspaces", {"name": "Team", "opensFirst": "true"})
    assert visitor.get("/app").headers["Location"] == "/app/w/team"


def test_a_workspace_is_deleted_with_its_slug_typed_in(app: Flask, ada: Person) -> None:
    visitor = Visitor(app, ada)
    visitor.submit("/workspaces", {"name": "Team"})
    target = "/app/w/team/settings/workspace/delete"
    assert "type its slug: team" in text_of(visitor.get(target))
    for wrong in ("", "Team", "other"):
        refused = visitor.submit(target, {"confirm": wrong})
        assert (refused.status_code, 'id="confirm-error"' in refused.text) == (400, True), wrong
    assert visitor.submit(target, {"confirm": "team"}).status_code == 303
    assert "The workspace is deleted" in text_of(visitor.get("/prompts"))
    assert visitor.get("/app/w/team/prompts").status_code == 404
    assert "deleted with your account" in text_of(visitor.get("/settings/workspace"))
    assert visitor.submit("/settings/workspace/delete", {"confirm": "x"}).status_code == 409


def test_members_see_the_settings_and_only_owners_change_them(app: Flask, ada: Person, ben: Person) -> None:
    for role in ("viewer", "editor"):
        share(ada, ben, role)
        visitor, home = Visitor(app, ben), home_of(ada)
        page = visitor.get(f"{home}/settings/workspace")
        assert (f"Your role {role}" in text_of(page), "protectedLabels" in page.text) == (True, False)
        assert "/settings/workspace/delete" not in page.text
        assert visitor.submit(f"{home}/settings/workspace", {"name": "x", "slug": "x"}).status_code == 403
        assert visitor.get(f"{home}/settings/workspace/delete").status_code == 403
        assert visitor.submit(f"{home}/settings/workspace/delete", {"confirm": "x"}).status_code == 403


def test_a_member_leaves(app: Flask, ada: Person, ben: Person) -> None:
    ada.post("/workspaces", {"name": "Team"})
    token = ada.post("/workspaces/team/invitations", {"role": "viewer"}).json["token"]
    ben.post("/invitations/accept", {"token": token})
    visitor = Visitor(app, ben)
    assert f"/settings/team/{ben.id}/remove" in visitor.get("/app/w/team/settings/workspace").text
    assert visitor.submit(f"/app/w/team/settings/team/{ben.id}/remove", {}).status_code == 303
    assert visitor.get("/app/w/team/prompts").status_code == 404


def test_owners_see_what_is_stored_where_there_is_a_limit(
    app: Flask, ada: Person, ben: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor = Visitor(app, ada)
    assert "Storage" not in text_of(visitor.get("/settings/workspace"))
    monkeypatch.setattr(quota, "describe", lambda workspace_id: {"used_bytes": 1_234_567, "max_bytes": 2_000_000})
    page = visitor.get("/settings/workspace")
    assert "1.23 MB of 2 MB used" in text_of(page)
    assert '<progress max="2000000" value="1234567"' in page.text
    share(ada, ben, "editor")
    assert "Storage" not in text_of(Visitor(app, ben).get(f"{home_of(ada)}/settings/workspace"))


def test_a_workspace_can_be_made_the_one_that_opens_first(app: Flask, ada: Person) -> None:
    visitor = Visitor(app, ada)
    assert "opens first" not in text_of(visitor.get("/settings/workspace")), "there is only one"
    visitor.submit("/workspaces", {"name": "Team"})
    assert "This workspace opens first." in text_of(visitor.get("/settings/workspace"))
    page = visitor.get("/app/w/team/settings/workspace")
    assert "Another workspace opens first." in text_of(page)
    saved = visitor.follow(visitor.submit("/app/w/team/settings/workspace/first", {}))
    assert "This workspace opens first from now on." in text_of(saved)
    assert visitor.get("/app").headers["Location"] == "/app/w/team"
    assert Visitor(app, ada).home == "/app/w/team"
