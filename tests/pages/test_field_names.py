"""Names of fields in the words of the pages, and the page of an error, which has them."""

import pytest
from flask import Flask

from promptcrafter.pages.field_names import list_sentences, to_words
from tests.support.people import Person
from tests.support.visitors import Visitor, text_of


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("promptVersion", "version"),
        ("log", "chosen outputs"),
        ("latencyMs", "latency ms"),
        ("messages.0.content", "messages, 1, content"),
        ("metadata.größe", "metadata, größe"),
        ("score_name", "score name"),
        ("", ""),
        ("…", "…"),
    ],
)
def test_fields_are_named_in_words(field: str, words: str) -> None:
    assert to_words(field) == words


def test_each_field_has_its_sentence() -> None:
    details = {"minScore": ["must be a number", "is twice there"], "": ["the body is empty."]}
    assert list_sentences(details) == ["Score at least must be a number; is twice there.", "The body is empty."]


def test_the_page_of_an_error_says_it_once_and_leads_back(app: Flask, ada: Person) -> None:
    visitor = Visitor(app, ada)
    page = visitor.get("/review?raters=900", headers={"Referer": f"http://localhost{visitor.home}/outputs?q=a&tag=b"})
    assert page.status_code == 400
    assert text_of(page).count("must be a whole number from 1 to 100") == 1
    assert "People per output must be" in text_of(page)
    assert f'href="{visitor.home}/outputs?q=a&amp;tag=b">Go back</a>' in page.text
    assert f'href="{visitor.home}">Go home</a>' in page.text
    for elsewhere in (
        "https://elsewhere.example/app/w/a",
        "http://localhost.elsewhere.example/app/w/a",
        "http://localhost/docs",
        f"http://localhost{visitor.home}/review?raters=900",
        "javascript:alert(1)",
    ):
        assert "Go back" not in visitor.get("/review?raters=900", headers={"Referer": elsewhere}).text, elsewhere
