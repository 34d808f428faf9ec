"""The page to sign in."""

import re
from collections.abc import Callable

from flask import Flask

from tests.support.people import Caller, Person, sign_up
from tests.support.visitors import Visitor, text_of

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
