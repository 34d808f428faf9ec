"""The settings: a team is invited, joins and leaves."""

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


def test_owners_see_and_revoke_the_keys_of_members_that_are_bound_to_the_workspace(
    app: Flask, ada: Person, ben: Person
) -> None:
    owner = Visitor(app, ada)
    owner.submit("/workspaces", {"name": "Team"})
    token = ada.post("/workspaces/team/invitations", {"role": "editor"}).json["token"]
    ben.post("/invitations/accept", {"token": token})
    bound = ben.post("/auth/keys", {"name": "of ben", "workspace": "team"}).json
    ben.post("/auth/keys", {"name": "for all of bens"})
    page = owner.get("/app/w/team/settings/team")
    assert ("of ben" in text_of(page), "for all of bens" in text_of(page)) == (True, False)
    guest = Visitor(app, ben)
    target = f"/app/w/team/settings/team/keys/{bound['_id']}/revoke"
    assert target not in guest.get("/app/w/team/settings/team").text
    assert guest.submit(target, {}).status_code == 403
    assert target in page.text
    assert "The key is revoked" in text_of(owner.follow(owner.submit(target, {})))
    assert app.test_client().get("/prompts", headers={"X-Api-Key": bound["key"]}).status_code == 401
    assert owner.submit(target, {}).status_code == 404
