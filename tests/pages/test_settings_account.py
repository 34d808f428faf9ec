"""The settings: what a visitor changes about the account."""

from flask import Flask

from tests.support.people import Person
from tests.support.visitors import Visitor, text_of


def test_a_new_password_ends_all_other_sessions_but_not_this_one(app: Flask, ada: Person) -> None:
    here, elsewhere = Visitor(app, ada), Visitor(app, ada)
    wrong = here.submit("/settings/password", {"currentPassword": "not this one", "newPassword": "another long one"})
    assert (wrong.status_code, "not your current password" in text_of(wrong)) == (401, True)
    fields = {"currentPassword": ada.password, "newPassword": "another long one"}
    assert "The password is changed" in text_of(here.follow(here.submit("/settings/password", fields)))
    assert elsewhere.get("/prompts").status_code == 303
    assert "Saved." in text_of(here.follow(here.submit("/settings/account", {"name": "Ada King"})))
    assert "Ada King" in text_of(here.get("/prompts"))


def test_another_address_takes_the_password_and_signs_in_from_then_on(app: Flask, ada: Person, ben: Person) -> None:
    visitor = Visitor(app, ada)
    wrong = visitor.submit("/settings/email", {"email": "new@example.com", "currentPassword": "not this one"})
    assert (wrong.status_code, "not your current password" in text_of(wrong)) == (401, True)
    assert 'id="email-password-error"' in wrong.text
    assert 'value="new@example.com"' in wrong.text, "nothing is lost"
    without = visitor.submit("/settings/email", {"email": "new@example.com"})
    assert (without.status_code, "Is required" in without.text) == (400, True)
    taken = visitor.submit("/settings/email", {"email": ben.email, "currentPassword": ada.password})
    assert (taken.status_code, 'id="email-error"' in taken.text) == (409, True)
    fields = {"email": "new@example.com", "currentPassword": ada.password}
    assert "The e-mail is changed" in text_of(visitor.follow(visitor.submit("/settings/email", fields)))
    assert ada.get("/auth/me").json["email"] == "new@example.com"


def test_the_default_workspace_is_where_the_sign_in_leads(app: Flask, ada: Person) -> None:
    visitor = Visitor(app, ada)
    assert "Default workspace" not in text_of(visitor.get("/settings/account")), "there is one only"
    workspace = ada.post("/workspaces", {"name": "Team"}).json
    assert "Default workspace" in text_of(visitor.get("/settings/account"))
    visitor.follow(visitor.submit("/settings/account", {"name": "Ada", "defaultWorkspaceId": workspace["_id"]}))
    assert ada.get("/auth/me").json["defaultWorkspaceId"] == workspace["_id"]
    assert Visitor(app, ada).home == "/app/w/team"
    refused = visitor.submit("/settings/account", {"defaultWorkspaceId": "nonsense"})
    assert refused.status_code == 400


def test_an_account_is_deleted_with_its_password_and_the_page_says_what_goes(
    app: Flask, ada: Person, ben: Person
) -> None:
    owner, guest = Visitor(app, ada), Visitor(app, ben)
    owner.submit("/workspaces", {"name": "Team"})
    owner.submit("/workspaces", {"name": "Alone"})
    token = ada.post("/workspaces/team/invitations", {"role": "editor"}).json["token"]
    ben.post("/invitations/accept", {"token": token})
    assert "you are the only owner of Team" in text_of(owner.get("/settings/account/delete"))
    refused = owner.submit("/settings/account/delete", {"currentPassword": ada.password})
    assert (refused.status_code, "You are the only owner of team" in text_of(refused)) == (409, True)
    ada.patch(f"/workspaces/team/members/{ben.id}", {"role": "owner"})
    page = text_of(owner.get("/settings/account/delete"))
    assert "The workspace Alone with all its prompts" in page
    assert "The workspace Team" not in page
    wrong = owner.submit("/settings/account/delete", {"currentPassword": "not this one", "anonymise": "true"})
    assert (wrong.status_code, 'value="true" checked' in wrong.text) == (401, True)
    assert owner.submit("/settings/account/delete", {}).status_code == 400
    fields = {"currentPassword": ada.password, "anonymise": "true"}
    assert "The account is deleted" in text_of(owner.follow(owner.submit("/settings/account/delete", fields)))
    assert ada.get("/auth/me").status_code == 401
    names = {entry["actor"]["name"] for entry in ben.get("/workspaces/team/audit").json}
    assert names == {"deleted account", "ben"}
    assert guest.get("/app/w/team/settings/team").status_code == 200


def test_signing_out_everywhere_ends_all_sessions_and_tokens(app: Flask, ada: Person) -> None:
    here, elsewhere = Visitor(app, ada), Visitor(app, ada)
    assert "Sign out everywhere" in text_of(here.get("/settings/account"))
    here.submit("/app/sign-out", {})
    assert elsewhere.get("/prompts").status_code == 303
    assert ada.get("/prompts").status_code == 401
