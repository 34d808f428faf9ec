"""The page that sets another password instead of a forgotten one."""

from flask import Flask

from tests.support.commands import done, run
from tests.support.people import Person
from tests.support.visitors import Visitor, text_of


def test_a_secret_sets_another_password_once(app: Flask, ada: Person) -> None:
    signed_in = Visitor(app, ada)
    made = run(app, "user", "reset-link", ada.email)
    assert "\n  https://YOUR-SERVER/app/password-reset#THE-SECRET\n" in made.stderr
    secret = done(made).strip()
    stranger = Visitor(app)
    assert "data-from-fragment" in stranger.get("/app/password-reset").text
    short = stranger.submit("/app/password-reset", {"token": secret, "newPassword": "short"})
    assert (short.status_code, 'id="newPassword-error"' in short.text) == (400, True)
    assert f'value="{secret}"' in short.text, "nothing is lost"
    fields = {"token": f" {secret} ", "newPassword": "another long one"}
    page = stranger.follow(stranger.submit("/app/password-reset", fields))
    assert "The password is set. Sign in with it." in text_of(page)
    assert stranger.submit("/app/sign-in", {"email": ada.email, "password": "another long one"}).status_code == 303
    assert signed_in.get("/prompts").status_code == 303
    again = stranger.submit("/app/password-reset", fields)
    assert (again.status_code, 'id="token-error"' in again.text) == (404, True)
