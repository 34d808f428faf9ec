"""The settings: a team is invited, keys are made and revoked, a password is changed."""

import re

from flask import Flask

from tests.support.people import Person
from tests.support.visitors import Visitor, text_of


def test_a_team_is_made_and_a_colleague_invited_who_joins_and_leaves(app: Flask, ada: Person, ben: Person) -> None:
    owner = Visitor(app, ada)
    page = owner.follow(owner.submit("/workspaces", {"name": "Support team"}))
    assert "Invite your team" in text_of(page)
    home = "/app/w/support-team"
    page = owner.submit(f"{home}/settings/team/invitations", {"role": "viewer"})
    found = re.search(r"http://localhost/app/invitation#(inv_[\w-]+)<", page.text)
    assert found is not None
    assert found[1] not in owner.get(f"{home}/settings/team").text, "it is shown once"
    assert "You are invited" in text_of(Visitor(app).get("/app/invitation"))
    guest = Visitor(app)
    form = guest.submit("/app/invitation", {"invitation": found[1], "account": "mine"})
    assert f'name="invitation" value="{found[1]}"' in form.text
    fields = {"email": ben.email, "password": ben.password, "invitation": found[1]}
    page = guest.follow(guest.submit("/app/sign-in", fields))
    assert "Support team" in text_of(page)
    assert guest.submit("/app/sign-in", fields).status_code == 404, "it can be accepted once"
    assert "editor" in text_of(owner.get(f"{home}/settings/team"))
    owner.follow(owner.submit(f"{home}/settings/team/{ben.id}", {"role": "editor"}))
    members = ada.get("/workspaces/support-team/members").json
    assert [(member["name"], member["role"]) for member in members] == [("ada", "owner"), ("ben", "editor")]
    assert "member.join" in text_of(owner.get(f"{home}/settings/audit"))
    assert guest.get(f"{home}/settings/audit").status_code == 403
    assert guest.submit(f"{home}/settings/team/{ben.id}/remove", {}).status_code == 303
    assert guest.get(f"{home}/prompts").status_code == 404
    refused = owner.submit(f"{home}/settings/team/{ada.id}/remove", {})
    assert refused.status_code == 409


def test_somebody_new_joins_by_an_invitation(app: Flask, ada: Person) -> None:
    owner = Visitor(app, ada)
    owner.submit("/workspaces", {"name": "Team"})
    page = owner.submit("/app/w/team/settings/team/invitations", {"role": "editor"})
    (token,) = re.findall(r"invitation#(inv_[\w-]+)", page.text)
    stranger = Visitor(app)
    form = stranger.submit("/app/invitation", {"invitation": token, "account": "new"})
    assert f'value="{token}"' in form.text
    fields = {"name": "Cleo", "email": "cleo@example.com", "password": "a long password", "invitation": token}
    assert stranger.submit("/app/sign-up", fields).status_code == 303
    assert stranger.get("/app/w/team/prompts").status_code == 200


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


def test_a_new_password_ends_all_other_sessions_but_not_this_one(app: Flask, ada: Person) -> None:
    here, elsewhere = Visitor(app, ada), Visitor(app, ada)
    wrong = here.submit("/settings/password", {"currentPassword": "not this one", "newPassword": "another long one"})
    assert (wrong.status_code, "not your current password" in text_of(wrong)) == (401, True)
    fields = {"currentPassword": ada.password, "newPassword": "another long one"}
    assert "The password is changed" in text_of(here.follow(here.submit("/settings/password", fields)))
    assert elsewhere.get("/prompts").status_code == 303
    assert "Saved." in text_of(here.follow(here.submit("/settings/account", {"name": "Ada King"})))
    assert "Ada King" in text_of(here.get("/prompts"))
