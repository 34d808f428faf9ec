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
