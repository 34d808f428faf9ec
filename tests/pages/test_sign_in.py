"""The page to sign in."""

from flask import Flask

from tests.support.people import Caller, Person, sign_up
from tests.support.visitors import Visitor


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
