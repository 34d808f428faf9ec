"""The first page of a workspace."""

from flask import Flask

from tests.support.people import Person
from tests.support.visitors import Visitor, text_of


def test_the_first_page_says_what_happened_and_what_waits(app: Flask, ada: Person) -> None:
    visitor = Visitor(app, ada)
    assert "First steps" in text_of(visitor.get(""))
    prompt = ada.prompt(title="Explain")
    for number in range(3):
        ada.log(prompt, **({"score": 5} if number == 0 else {}))
    ada.log(prompt, output=None, status="error", error="timed out")
    shown = text_of(visitor.get(""))
    assert "Waiting for a score 2" in shown
    assert "Explain version 1 by ada" in shown
    assert "First steps" not in shown
