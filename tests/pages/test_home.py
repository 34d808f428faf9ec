"""The first page of a workspace."""

import re

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
    assert "Not scored yet 2" in shown
    assert "Outputs 4 " in shown
    assert "Failed 1 show them" in shown
    assert "Mean score 5 of 1 scored by people" in shown
    assert re.search("Explain .* version 1 by ada", shown)
    assert "First steps" not in shown


def test_the_personal_workspace_leads_to_those_of_teams_and_the_logo_stays_in_each(app: Flask, ada: Person) -> None:
    visitor = Visitor(app, ada)
    assert "Make a workspace for the team" in text_of(visitor.get(""))
    for name in ("Alpha", "Beta", "Gamma"):
        ada.post("/workspaces", {"name": name})
    page = visitor.get("")
    assert "You share prompts and outputs in Alpha , Beta and Gamma ." in text_of(page)
    assert "Make a workspace for the team" not in text_of(page)
    assert 'class="brand" href="/app/w/beta"' in visitor.get("/app/w/beta/prompts").text


def test_a_cost_that_nobody_knows_is_not_zero(app: Flask, ada: Person) -> None:
    log = {"output": "Hello", "modelUsed": "a-model-without-a-price"}
    prompt = ada.prompt()
    ada.log(prompt, **log)
    assert "Outputs 1 cost unknown" in text_of(Visitor(app, ada).get(""))
    ada.log(prompt, **log, cost=0.5)
    assert "Outputs 2 $0.500 in all" in text_of(Visitor(app, ada).get(""))


def test_the_first_steps_have_a_call_to_copy_with_the_address_of_the_server(app: Flask, ada: Person) -> None:
    visitor = Visitor(app, ada)
    assert "curl http://localhost/logs \\" in text_of(visitor.get(""))
    prompt = ada.prompt()
    shown = text_of(visitor.get(""))
    assert "First steps" not in shown
    assert f'"promptId": "{prompt["_id"]}"' in shown
    assert "API key : make one in the settings" in shown


def test_the_first_page_lists_running_and_completed_experiments(app: Flask, ada: Person) -> None:
    for slug, status in (("old", "COMPLETED"), ("now", "ACTIVE"), ("later", "DRAFT")):
        ada.post("/experiments", {"slug": slug, "name": f"Of {slug}", "variants": [{"key": "A", "trafficPercent": 1}]})
        ada.patch(f"/experiments/{slug}", {"status": "ACTIVE"} if status != "DRAFT" else {})
        ada.patch(f"/experiments/{slug}", {"status": status})
    shown = text_of(Visitor(app, ada).get(""))
    assert "Experiments Of now running Of old completed" in shown
    assert "Of later" not in shown


def test_the_way_to_the_review_is_there_for_whoever_has_not_scored_what_another_has(app: Flask, ada: Person) -> None:
    ada.log(ada.prompt(), score=8)
    page = Visitor(app, ada).get("")
    assert "Not scored yet 0 Review" in text_of(page)
    assert "each has a score" not in page.text
