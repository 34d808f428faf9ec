"""The page of statistics: what is better in words, charts, and the same figures as the API."""

import re

import pytest
from flask import Flask

from tests.support.people import Person
from tests.support.visitors import Visitor, text_of


def test_the_page_says_what_the_comparison_says_and_shows_the_figures_of_the_api(app: Flask, ada: Person) -> None:
    prompt = ada.prompt(title="Explain")
    ada.patch(f"/prompts/{prompt['_id']}", {"content": "Another text"})
    for version, scores in ((1, (2, 3, 2, 3)), (2, (8, 9, 8, 9))):
        for score in scores:
            ada.log(prompt, promptVersion=version, score=score, cost=0.01 * version, latencyMs=100 * version)
    visitor = Visitor(app, ada)
    page = visitor.get(f"/statistics?promptId={prompt['_id']}")
    shown = text_of(page)
    (comparison,) = ada.get(f"/stats?promptId={prompt['_id']}&groupBy=version").json["comparisons"]
    assert (comparison["basis"], comparison["settled"]) == ("observational", None)
    assert "version 2 scored higher than version 1 by 6" in shown or "cannot be told apart" in shown
    assert "better than" not in shown, "it was merely observed"
    assert page.text.count('<svg class="chart"') == 2
    assert "8.5" in shown
    assert "$0.02" in shown


@pytest.mark.parametrize(
    "query", ["", "groupBy=model", "groupBy=day", "groupBy=week,prompt", "groupBy=author&since=7d"]
)
def test_every_grouping_is_shown_with_and_without_outputs(app: Flask, ada: Person, query: str) -> None:
    visitor = Visitor(app, ada)
    assert "No outputs" in text_of(visitor.get(f"/statistics?{query}"))
    ada.log(ada.prompt(), score=5)
    page = visitor.get(f"/statistics?{query}")
    assert page.status_code == 200
    assert re.search("<table>", page.text)


def test_what_the_api_refuses_the_page_refuses(app: Flask, ada: Person) -> None:
    answer = Visitor(app, ada).get("/statistics?groupBy=nonsense")
    assert answer.status_code == 400
    assert "groupBy" in text_of(answer)
