"""The page that compares outputs, and the first page of a workspace."""

from flask import Flask

from tests.support.people import Person
from tests.support.visitors import Visitor, text_of


def test_outputs_are_compared_word_by_word(app: Flask, ada: Person) -> None:
    prompt = ada.prompt(title="Explain")
    logs = [ada.log(prompt, output=f"The cat sat on the {seat}.") for seat in ("mat", "sofa", "roof")]
    visitor = Visitor(app, ada)
    chosen = "&".join(f"log={log['_id']}" for log in logs)
    page = visitor.get(f"/compare?{chosen}")
    assert "<ins>sofa</ins>" in page.text
    assert "<ins>roof</ins>" in page.text
    assert visitor.get(f"/compare?logs={logs[0]['_id']},{logs[1]['_id']}").status_code == 200
    one = visitor.get(f"/compare?log={logs[0]['_id']}")
    assert (one.status_code, "choose 2 to 5 outputs" in text_of(one)) == (400, True)


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
