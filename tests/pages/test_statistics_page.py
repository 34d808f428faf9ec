"""The page of statistics: what is better in words, charts, and the same figures as the API."""

import re
from datetime import timedelta

import pytest
from flask import Flask

from promptcrafter import clock
from tests.support.people import Person
from tests.support.visitors import Visitor, text_of


def test_the_page_says_what_the_comparison_says_and_shows_the_figures_of_the_api(app: Flask, ada: Person) -> None:
    prompt = ada.prompt(title="Explain")
    ada.patch(f"/prompts/{prompt['_id']}", {"content": "Another text"})
    for version, scores in ((1, (1, 2, 3, 4) * 12), (2, (6, 7, 8, 9) * 12)):
        for score in scores:
            ada.log(prompt, promptVersion=version, score=score, cost=0.01 * version, latencyMs=100 * version)
    visitor = Visitor(app, ada)
    page = visitor.get(f"/statistics?promptId={prompt['_id']}")
    shown = text_of(page)
    (comparison,) = ada.get(f"/stats?promptId={prompt['_id']}&groupBy=version").json["comparisons"]
    assert (comparison["basis"], comparison["settled"]) == ("observational", None)
    difference = comparison["difference"]
    assert comparison["interval95"][0] > 0
    assert f"Version 2 scored higher than version 1 by {difference:g}" in shown
    assert "better than" not in shown, "it was merely observed"
    assert "Only observed" in shown
    headings = re.findall('<section class="card chart-card"><h2>(.*?)</h2>', page.text)
    assert headings == ["Scores", "Cost against score", "How the scores spread", "Latency"]
    assert page.text.count('<svg class="chart"') == page.text.count('<svg class="chart narrow"') == 4
    assert "7.5" in shown
    assert "$0.02" in shown
    assert "style=" not in page.text


def test_the_course_of_the_scores_has_marks_where_production_moved(
    app: Flask, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt, start = ada.prompt(), clock.now()
    for days, version in ((0, 1), (7, 1), (14, 2), (21, 2)):
        monkeypatch.setattr(clock, "now", lambda days=days: start + timedelta(days=days))
        if days == 14:
            ada.patch(f"/prompts/{prompt['_id']}", {"content": "Another text"})
            for label, labelled in (("production", 2), ("staging", 1)):
                answer = ada.put(f"/prompts/{prompt['_id']}/labels/{label}", {"version": labelled})
                assert answer.status_code == 200, answer.text
        ada.log(prompt, promptVersion=version, score=4 + version)
    page = Visitor(app, ada).get(f"/statistics?promptId={prompt['_id']}")
    assert "Scores over time" in page.text
    marks = re.findall('<line class="chart-event"[^>]*><title>(.*?)</title>', page.text)
    assert [mark.partition(",")[0] for mark in marks] == ["production moved to version 2"] * 2, "wide and narrow"
    assert "The upright lines are where production moved" in text_of(page)
    assert "chart-event" not in Visitor(app, ada).get("/statistics?groupBy=model").text
    by_day = ada.get(f"/stats?promptId={prompt['_id']}&groupBy=day,version").json["groups"]
    expected = {
        f"version {group['version']}, {group['day']}: {group['score']['mean']:.2f}"
        for group in by_day
        if group["count"]
    }
    assert len(expected) == 4
    assert expected == set(re.findall("<title>(version [0-9], .*?)</title>", page.text))


def test_the_foot_has_the_answer_of_the_api_as_files_and_as_a_command(app: Flask, ada: Person) -> None:
    prompt = ada.prompt()
    for version, score in ((1, 3), (1, 4), (1, 8)):
        ada.log(prompt, promptVersion=version, score=score, cost=0.5)
    visitor, of_prompt = Visitor(app, ada), f"promptId={prompt['_id']}"
    page = visitor.get(f"/statistics?{of_prompt}")
    assert f"{of_prompt}&amp;groupBy=version" in page.text, "the page's own choice is named for the API"
    asked = ada.get(f"/stats?{of_prompt}&groupBy=version")
    answer = visitor.get(f"/statistics?{of_prompt}&as=json")
    assert answer.json == asked.json
    assert "values" not in answer.json["groups"][0]
    assert answer.headers["Content-Disposition"] == 'attachment; filename="statistics.json"'
    sheet = visitor.get(f"/statistics?{of_prompt}&as=csv")
    assert sheet.text == ada.get(f"/stats?{of_prompt}&groupBy=version", headers={"Accept": "text/csv"}).text
    assert visitor.get(f"/statistics?{of_prompt}&as=xml").status_code == 400


def test_many_pairs_are_grouped_and_those_that_are_open_are_folded(app: Flask, ada: Person) -> None:
    prompt = ada.prompt()
    for model in ("a", "b", "c", "d"):
        for score in (1, 9):
            ada.log(prompt, modelUsed=model, score=score)
    page = Visitor(app, ada).get("/statistics?groupBy=model")
    assert "Cannot be told apart yet 6" in text_of(page)
    assert "Show the 6 pairs" in text_of(page)
    assert "What may explain" not in text_of(page)


def test_a_score_of_another_scale_has_its_own_axis_and_bars(app: Flask, ada: Person) -> None:
    prompt = ada.prompt()
    ada.put("/score-configs/tone", {"kind": "number", "min": 0, "max": 1})
    for value in (0.25, 0.5, 0.75, 1):
        log = ada.log(prompt)
        assert ada.post(f"/logs/{log['_id']}/scores", {"name": "tone", "value": value}).status_code == 201
    shown = text_of(Visitor(app, ada).get(f"/statistics?promptId={prompt['_id']}&score=tone"))
    assert "0.9–1" in shown
    assert "0.63" in shown or "0.62" in shown


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
    assert "Groups must be" in text_of(answer)


def test_two_keys_are_chosen_in_any_order_and_empty_groups_of_them_have_no_row(
    app: Flask, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt, begin = ada.prompt(), clock.now()
    for weeks, model in ((0, "a"), (2, "b")):
        monkeypatch.setattr(clock, "now", lambda weeks=weeks: begin + timedelta(weeks=weeks))
        ada.log(prompt, modelUsed=model, score=5)
        ada.log(prompt, modelUsed=model, promptVersion=1, score=5)
    visitor = Visitor(app, ada)
    page = visitor.get(f"/statistics?promptId={prompt['_id']}&groupBy=week,version")
    assert '<option value="week,version" selected>' in page.text
    assert page.text.count('<th scope="row">version 1 ·') == 2, "the week between has no output"
    assert visitor.get("/statistics?groupBy=week").text.count('<th scope="row">20') == 3


def test_scores_over_time_and_their_spread_have_tables(app: Flask, ada: Person) -> None:
    prompt = ada.prompt()
    for model, scores in (("a", (3, 4, 4)), ("b", (4,))):
        for score in scores:
            ada.log(prompt, modelUsed=model, score=score)
    shown = text_of(Visitor(app, ada).get("/statistics?groupBy=model"))
    assert "As a table Score b a" in shown or "As a table Score a b" in shown
    assert "3 0 1 4 1 2 5 0 0" in shown or "3 1 0 4 2 1 5 0 0" in shown


@pytest.mark.parametrize("value", [5e-324, 1e-310, 1.7e308])
def test_the_smallest_and_the_largest_numbers_that_clients_send_can_be_shown(
    app: Flask, ada: Person, value: float
) -> None:
    prompt = ada.prompt()
    for model in ("one", "two"):
        for sign in (1, -1):
            log = ada.log(prompt, modelUsed=model, score=5, latencyMs=value, cost=value, inputTokens=value)
            body = {"name": "wild", "value": sign * value}
            assert ada.post(f"/logs/{log['_id']}/scores", body).status_code == 201
    visitor = Visitor(app, ada)
    for query in ("", "?groupBy=day", "?groupBy=model", "?score=wild&groupBy=model", "?score=wild&groupBy=day"):
        assert visitor.get(f"/statistics{query}").status_code == 200, query
    for path in ("", "/outputs", f"/outputs/{log['_id']}", "/prompts"):
        page = visitor.get(path)
        assert page.status_code == 200, path
        assert "0" * 30 not in text_of(page).replace(",", ""), "no number has hundreds of digits"


def test_a_scale_whose_ends_floats_can_hardly_tell_apart_can_be_shown(app: Flask, ada: Person) -> None:
    prompt = ada.prompt()
    assert ada.put("/score-configs/near", {"kind": "number", "min": 1e17, "max": 1e17 + 16}).status_code == 200
    for value in (1e17, 1e17 + 16):
        log = ada.log(prompt)
        assert ada.post(f"/logs/{log['_id']}/scores", {"name": "near", "value": value}).status_code == 201
    visitor = Visitor(app, ada)
    for grouped in ("model", "day"):
        assert visitor.get(f"/statistics?score=near&groupBy={grouped}").status_code == 200
