"""The settings: a team is invited, joins and leaves."""

import re
from collections.abc import Callable
from dataclasses import replace

from flask import Flask

from config import Config
from tests.support.people import Caller, Person
from tests.support.visitors import Visitor, text_of

MakeApp = Callable[[Config], Flask]


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
    page = guest.submit("/app/invitation", {"invitation": found[1]})
    assert "ada invites you to Support team as viewer" in text_of(page)
    form = guest.submit("/app/invitation", {"invitation": found[1], "account": "mine"})
    assert f'name="invitation" value="{found[1]}"' in form.text
    fields = {"email": ben.email, "password": ben.password, "invitation": found[1]}
    answer = guest.submit("/app/sign-in", fields)
    assert answer.headers["Location"] == home
    assert "You are now a member of Support team as viewer." in text_of(guest.follow(answer))
    assert guest.submit("/app/sign-in", fields).status_code == 404, "it can be accepted once"
    assert "editor" in text_of(owner.get(f"{home}/settings/team"))
    owner.follow(owner.submit(f"{home}/settings/team/{ben.id}", {"role": "editor"}))
    members = ada.get("/workspaces/support-team/members").json
    assert [(member["name"], member["role"]) for member in members] == [("ada", "owner"), ("ben", "editor")]
    assert "ben joined ben role viewer" in text_of(owner.get(f"{home}/settings/audit"))
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
    assert "ada invites you to Team as editor" in text_of(form)
    fields = {"name": "Cleo", "email": "cleo@example.com", "password": "a long password", "invitation": token}
    refused = stranger.submit("/app/sign-up", {**fields, "password": "short"})
    assert "ada invites you to Team as editor" in text_of(refused), "nothing is lost"
    refused = stranger.submit("/app/sign-up", {**fields, "email": ada.email})
    assert (refused.status_code, "sign in to join" in text_of(refused)) == (409, True)
    answer = stranger.submit("/app/sign-up", fields)
    assert answer.headers["Location"] == "/app/w/team"
    assert "You are now a member of Team as editor." in text_of(stranger.follow(answer))
    assert stranger.get("/app").headers["Location"] == "/app/w/team", "it is the default workspace of the new account"


def test_a_sign_up_by_the_api_leaves_the_default_workspace_of_an_invited_account_as_it_is(
    client: Caller, ada: Person
) -> None:
    ada.post("/workspaces", {"name": "Team"})
    token = ada.post("/workspaces/team/invitations", {"role": "editor"}).json["token"]
    body = {"name": "Cleo", "email": "cleo@example.com", "password": "a long password", "invitation": token}
    signed_up = client.post("/auth/signup", json=body).json
    me = client.get("/auth/me", headers={"Authorization": f"Bearer {signed_up['token']}"}).json
    assert me["defaultWorkspaceId"] == me["_id"].replace("user", "workspace")


def test_who_is_signed_in_joins_with_that_account_or_with_another_one(app: Flask, ada: Person, ben: Person) -> None:
    ada.post("/workspaces", {"name": "Team"})
    token = ada.post("/workspaces/team/invitations", {"role": "viewer"}).json["token"]
    guest = Visitor(app, ben)
    page = text_of(guest.submit("/app/invitation", {"invitation": token}))
    assert ("Join as ben" in page, "Join with another account" in page) == (True, True)
    answer = guest.submit("/app/invitation/accept", {"invitation": token})
    assert answer.headers["Location"] == "/app/w/team"
    assert "You are now a member of Team as viewer." in text_of(guest.follow(answer))
    assert guest.get("/app").headers["Location"] == guest.home, "its default stays"
    refused = guest.submit("/app/invitation/accept", {"invitation": token})
    assert (refused.status_code, "used, revoked, expired or unknown" in text_of(refused)) == (404, True)
    assert Visitor(app).submit("/app/invitation/accept", {"invitation": token}).headers["Location"] == "/app/sign-in"


def test_an_invitation_that_is_good_no_more_says_so_and_tells_nothing_else(app: Flask, ada: Person) -> None:
    ada.post("/workspaces", {"name": "Secret team"})
    invitation = ada.post("/workspaces/secret-team/invitations", {"role": "viewer"}).json
    ada.delete(f"/workspaces/secret-team/invitations/{invitation['_id']}")
    for token in (invitation["token"], "inv_unknown", "", "x" * 10_000, "\N{PILE OF POO}"):
        for chosen in ({}, {"account": "mine"}, {"account": "new"}):
            page = Visitor(app).submit("/app/invitation", {"invitation": token, **chosen})
            assert (page.status_code, "Secret team" in page.text) == (404, False), token
            assert "used, revoked, expired or unknown" in text_of(page)
            assert "Ask who sent it" in text_of(page)
    fields = {"name": "Cleo", "email": "cleo@example.com", "password": "a long password"}
    page = Visitor(app).submit("/app/sign-up", {**fields, "invitation": "inv_unknown"})
    assert (page.status_code, "Ask who sent it" in text_of(page)) == (404, True)
    fields = {"email": ada.email, "password": ada.password, "invitation": "inv_unknown"}
    page = Visitor(app).submit("/app/sign-in", fields)
    assert (page.status_code, "You can sign in without it" in text_of(page)) == (404, True)
    assert "inv_unknown" not in page.text, "so the form as it stands signs in"


def test_on_a_server_that_takes_no_sign_ups_an_invitation_leads_to_the_sign_in(
    make_app: MakeApp, config: Config, ada: Person
) -> None:
    ada.post("/workspaces", {"name": "Team"})
    token = ada.post("/workspaces/team/invitations", {"role": "viewer"}).json["token"]
    guest = Visitor(make_app(replace(config, signup="closed")))
    page = text_of(guest.submit("/app/invitation", {"invitation": token}))
    assert ("I have an account" in page, "Make an account" in page) == (True, False)


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


def test_a_personal_workspace_says_that_it_is_alone_and_how_what_it_has_comes_along(app: Flask, ada: Person) -> None:
    visitor = Visitor(app, ada)
    assert "Working with others? Make a workspace for the team first." in text_of(visitor.get(visitor.home))
    page = visitor.get("/settings/team")
    assert "This workspace is yours alone" in text_of(page)
    assert ("Make an invitation" in page.text, f"{visitor.home}/settings/transfer" in page.text) == (False, True)
    visitor.submit("/workspaces", {"name": "Shop team"})
    page = visitor.get("/settings/team")
    assert "import into Shop team" in text_of(page)
    assert "/app/w/shop-team/settings/transfer" in page.text
    home = text_of(visitor.get("/app/w/shop-team"))
    assert ("Working with others?" in home, "import a copy here" in home) == (False, True)


def test_an_open_invitation_says_by_whom_and_until_when(app: Flask, ada: Person) -> None:
    visitor = Visitor(app, ada)
    visitor.submit("/workspaces", {"name": "Team"})
    visitor.submit("/app/w/team/settings/team/invitations", {"role": "viewer"})
    page = text_of(visitor.get("/app/w/team/settings/team"))
    assert "viewer made just now by ada , ends in " in page, page
