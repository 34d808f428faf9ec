"""Visitors of the pages in this process: a client with cookies that opens pages and sends their forms."""

from html.parser import HTMLParser
from typing import Any, cast

from flask import Flask
from flask.testing import FlaskClient

from promptcrafter.workspaces.principal import personal_workspace_id
from tests.support.people import Answer, Person

_OWN = {"Origin": "http://localhost"}


class Visitor:
    """A browser without JavaScript."""

    def __init__(self, app: Flask, person: Person | None = None) -> None:
        self.client: FlaskClient = app.test_client()
        self.home = ""
        if person is not None:
            answer = self.submit("/app/sign-in", {"email": person.email, "password": person.password})
            assert answer.status_code == 303, answer.text
            self.home = self.get("/app").headers["Location"]

    def get(self, path: str, **options: Any) -> Answer:
        return cast(Answer, self.client.get(self._whole(path), buffered=True, **options))

    def submit(self, path: str, fields: Any, headers: dict[str, str] | None = None) -> Answer:
        """Send a form as a page of this server does."""
        return cast(
            Answer,
            self.client.post(
                self._whole(path), data=fields, headers=_OWN if headers is None else headers, buffered=True
            ),
        )

    def follow(self, answer: Answer) -> Answer:
        """Return the page that a form leads to."""
        assert answer.status_code == 303, answer.text
        return self.get(answer.headers["Location"])

    def _whole(self, path: str) -> str:
        return path if path.startswith(("/app", "http")) else self.home + path


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []

    def handle_data(self, data: str) -> None:
        self.parts.append(data)


def text_of(answer: Answer) -> str:
    """Return the text that a page shows, with single spaces."""
    parser = _Text()
    parser.feed(answer.text)
    return " ".join(" ".join(parser.parts).split())


class _Fields(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.inside: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        name = given.get("name")
        if name and tag == "input" and (given.get("type") not in ("radio", "checkbox") or "checked" in given):
            self.fields[name] = given.get("value") or ""
        elif name and tag == "textarea":
            self.inside = name
            self.fields[name] = ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self.inside = None

    def handle_data(self, data: str) -> None:
        if self.inside is not None:
            self.fields[self.inside] += data


def fields_of(answer: Answer) -> dict[str, str]:
    """Return the inputs and text areas of a page with their values, as its form sends them."""
    parser = _Fields()
    parser.feed(answer.text)
    return {name: value.removeprefix("\n") for name, value in parser.fields.items()}


def home_of(person: Person) -> str:
    """Return the path of the personal workspace of an account, by its id."""
    return f"/app/w/{personal_workspace_id(person.id)}"
