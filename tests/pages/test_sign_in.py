"""The page to sign in."""

import re
from collections.abc import Callable

from flask import Flask

from tests.support.people import Caller, Person, sign_up
from tests.support.visitors import Visitor, fields_of, text_of

MakeClient = Callable[..., Caller]


def test_the_page_to_sign_in_leads_those_who_are_signed_in_to_where_it_would(app: Flask, ada: Person) -> None:
    visitor = Visitor(app, ada)
    for query, expected in (
        ("", "/app"),
        ("?next=/app/w/x/outputs%3Fq=a", "/app/w/x/outputs?q=a"),
        ("?next=//evil.example/app/", "/app"),
    ):
        answer = visitor.get(f"/app/sign-in{query}")
        assert (answer.status_code, answer.headers["Location"]) == (303, expected), query
    ended = Visitor(app, ada)
    visitor.submit("/app/sign-out", {})
    assert ended.get("/app/sign-in").status_code == 200, "its session has ended with the others"
    assert Visitor(app).get("/app/sign-in").status_code == 200


def test_any_address_that_the_api_takes_can_be_typed_into_the_form(app: Flask, client: Caller) -> None:
    strange = sign_up(client, "<script>")  # and so is the address
    page = Visitor(app).get("/app/sign-in").text
    assert 'name="email" type="text"' in page
    assert 'inputmode="email"' in page
    assert Visitor(app, strange).get("/prompts").status_code == 200


def test_a_page_that_is_throttled_says_after_how_long_to_try_again(with_settings: MakeClient) -> None:
    client = with_settings(ratelimit_enabled=True, login_rate="1 per minute", signup_rate="1 per hour")
    own, wrong = {"Origin": "http://localhost"}, {"email": "a@example.com", "password": "wrong password"}
    signed_up = {**wrong, "name": "Ada"}
    for path, fields, longest in (("/app/sign-in", wrong, 60), ("/app/sign-up", signed_up, 3600)):
        client.post(path, data=fields, headers=own)
        answer = client.post(path, data=fields, headers=own)
        assert answer.status_code == 429, path
        assert 0 < int(answer.headers["Retry-After"]) <= longest


def test_a_sign_in_leads_to_no_path_that_is_longer_than_those_of_links(app: Flask, ada: Person) -> None:
    sent = {"email": ada.email, "password": ada.password}
    for length, leads in ((2000, True), (2001, False), (900_000, False)):
        path = "/app/".ljust(length, "x")
        answer = Visitor(app).submit("/app/sign-in", {**sent, "next": path})
        assert (answer.headers["Location"] == path) == leads, length


def test_the_pages_say_what_to_do_about_a_forgotten_password_and_write_e_mail_in_one_way(
    app: Flask, ada: Person, ben: Person
) -> None:
    page = Visitor(app).get("/app/sign-in")
    assert "Forgotten password?" in text_of(page)
    assert "/app/password-reset" in page.text
    wrong = Visitor(app).submit("/app/sign-in", {"email": ada.email, "password": "wrong password"})
    assert (wrong.status_code, "The e-mail or the password is wrong." in text_of(wrong)) == (401, True)
    taken = Visitor(app).submit("/app/sign-up", {"name": "Ada", "email": ada.email, "password": "a long password"})
    assert (taken.status_code, "Somebody has an account with this e-mail." in text_of(taken)) == (409, True)
    fields = {"email": ben.email, "currentPassword": ada.password}
    changed = Visitor(app, ada).submit("/settings/email", fields)
    assert (changed.status_code, "Somebody has an account with this e-mail" in text_of(changed)) == (409, True)
    for shown in (page, wrong, taken, changed):
        assert not re.search(r"\bemails?\b", text_of(shown), re.IGNORECASE)


def test_a_sign_up_with_a_known_address_leads_to_the_sign_in_with_it(app: Flask, ada: Person, ben: Person) -> None:
    fields = {"name": "Ben", "email": ben.email, "password": "a long password"}
    taken = Visitor(app).submit("/app/sign-up", fields)
    assert "If it is yours, sign in ." in text_of(taken)
    assert '<button class="link small" form="known" name="show"' in taken.text
    shown = Visitor(app).submit("/app/sign-in", {"email": ben.email, "show": "1"})
    assert (shown.status_code, fields_of(shown)) == (200, {"email": ben.email, "password": ""})
    ada.post("/workspaces", {"name": "Team", "slug": "team"})
    token = ada.post("/workspaces/team/invitations", {"role": "viewer"}).json["token"]
    taken = Visitor(app).submit("/app/sign-up", {**fields, "invitation": token})
    assert "If it is yours, sign in to join ." in text_of(taken)
    shown = Visitor(app).submit("/app/sign-in", {"email": ben.email, "invitation": token, "show": "1"})
    assert "invites you to Team" in text_of(shown)
    assert fields_of(shown)["email"] == ben.email


def test_a_sign_up_that_is_sent_twice_asks_for_no_invitation(app: Flask, ada: Person) -> None:
    ada.post("/workspaces", {"name": "Team", "slug": "team"})
    token = ada.post("/workspaces/team/invitations", {"role": "viewer"}).json["token"]
    fields = {"name": "Cleo", "email": "cleo@example.com", "password": "a long password", "invitation": token}
    assert Visitor(app).submit("/app/sign-up", fields).status_code == 303
    again = Visitor(app).submit("/app/sign-up", fields)
    assert (again.status_code, "If it is yours, sign in ." in text_of(again)) == (409, True)
    assert "ask a colleague" not in text_of(again)
    assert '<input type="hidden" name="invitation"' in again.text
    assert 'for="invitation"' not in again.text


def test_somebody_who_has_used_an_invitation_is_led_to_their_workspaces(app: Flask, ada: Person, ben: Person) -> None:
    ada.post("/workspaces", {"name": "Team", "slug": "team"})
    token = ada.post("/workspaces/team/invitations", {"role": "viewer"}).json["token"]
    guest = Visitor(app, ben)
    guest.submit("/app/invitation/accept", {"invitation": token})
    again = guest.submit("/app/invitation", {"invitation": token})
    assert "you are in already: go on to your workspaces" in text_of(again)
    assert "your workspaces" not in text_of(Visitor(app).submit("/app/invitation", {"invitation": token}))
    assert "Team" not in text_of(Visitor(app).submit("/app/invitation", {"invitation": token}))
