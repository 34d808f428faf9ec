"""The page of statistics: what is better in words, charts, and the same figures as the API."""

import re
from datetime import timedelta

import pytest
from flask import Flask

from promptcrafter import clock
from promptcrafter.pages.formatting import period
from tests.support.members import share
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


def test_the_scores_over_time_have_marks_where_production_moved(
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
        f"version {group['version']}, {period(group['day'])}: {group['score']['mean']:.2f}"
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
    assert "The figures of each group" in text_of(page)


def test_the_best_version_leads_on_to_its_change_and_to_the_label(app: Flask, ada: Person, ben: Person) -> None:
    prompt = ada.prompt(title="Explain")
    for text in ("Another text", "A third text"):
        ada.patch(f"/prompts/{prompt['_id']}", {"content": text})
    visitor = Visitor(app, ada)
    for version, scores in ((1, (1, 2, 3, 4) * 12), (3, (6, 7, 8, 9) * 12)):
        for score in scores:
            ada.log(prompt, promptVersion=version, score=score, input=f"{version}")
    for query in ("groupBy=prompt,version", f"promptId={prompt['_id']}"):
        page = visitor.get(f"/statistics?{query}")
        assert "See what changed from version 1 to 3" in text_of(page)
        assert "Put production on version 3, though it is not settled" in text_of(page)
        links = re.findall('<p class="lead-on"><a href="(.*?)"', page.text)
        assert [link.partition("/diff?")[2] for link in links] == ["before=1&amp;after=3"]
        (target,) = re.findall('href="[^"]*(/prompts/[^"]*)#label"', page.text)
        assert 'id="label"' in visitor.get(target).text
        assert "on version 3" in text_of(visitor.get(target))
    for query in ("groupBy=model", "groupBy=version", f"promptId={prompt['_id']}&groupBy=week,version"):
        assert "See what changed" not in text_of(visitor.get(f"/statistics?{query}"))
    share(ada, ben, "viewer")
    reader = Visitor(app, ben)
    reader.home = visitor.home
    assert "See what changed" in text_of(reader.get(f"/statistics?promptId={prompt['_id']}"))
    assert "Put production" not in text_of(reader.get(f"/statistics?promptId={prompt['_id']}"))
    ada.put(f"/prompts/{prompt['_id']}/labels/production", {"version": 3})
    assert "Put production" not in text_of(visitor.get(f"/statistics?promptId={prompt['_id']}")), "it is there"


def test_versions_that_cannot_be_told_apart_lead_nowhere(app: Flask, ada: Person) -> None:
    prompt = ada.prompt()
    ada.patch(f"/prompts/{prompt['_id']}", {"content": "Another text"})
    for version, score in ((1, 3), (1, 4), (2, 4), (2, 5)):
        ada.log(prompt, promptVersion=version, score=score)
    shown = text_of(Visitor(app, ada).get(f"/statistics?promptId={prompt['_id']}"))
    assert "cannot be told apart" in shown
    assert "See what changed" not in shown


def test_authors_are_called_by_their_names(app: Flask, ada: Person, ben: Person) -> None:
    prompt = ada.prompt()
    share(ada, ben, "editor")
    for _ in range(6):
        ada.log(prompt, score=9)
        ben.log(prompt, score=2)
    visitor = Visitor(app, ada)
    for query in ("groupBy=author", f"groupBy=author&promptId={prompt['_id']}", "groupBy=author,week"):
        page = visitor.get(f"/statistics?{query}")
        assert '<th scope="row">ada' in page.text
        assert '<th scope="row">ben' in page.text
        assert ada.id not in page.text
        assert ben.id not in page.text
    said = text_of(visitor.get("/statistics?groupBy=author"))
    assert re.search("What is better .*(ada|ben) and (ada|ben) cannot be told apart yet", said)
    ben.patch("/auth/me", {"name": "ada"})
    both = text_of(visitor.get("/statistics?groupBy=author"))
    assert f"ada (…{ben.id[-6:]})" in both
    assert f"ada (…{ada.id[-6:]})" in both


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


def test_the_only_prompt_with_outputs_is_compared_by_its_versions(app: Flask, ada: Person) -> None:
    prompt = ada.prompt(title="Explain")
    ada.prompt(title="Not used yet")
    ada.patch(f"/prompts/{prompt['_id']}", {"content": "Another text"})
    for version, score in ((1, 3), (1, 4), (2, 8), (2, 9)):
        ada.log(prompt, promptVersion=version, score=score, modelUsed="gpt-4o")
    visitor = Visitor(app, ada)
    page = visitor.get("/statistics")
    assert '<option value="prompt,version" selected>' in page.text
    assert "All outputs here are of one prompt, Explain" in text_of(page)
    assert "What is better" in text_of(page)
    assert re.search("Version [12] (and|is|scored).* version [12]", text_of(page)), "without the title of the prompt"
    assert visitor.get("/statistics?as=json").json == ada.get("/stats?groupBy=prompt,version").json
    ada.log(ada.prompt(title="Another one"), score=5)
    both = visitor.get("/statistics")
    assert '<option value="prompt" selected>' in both.text
    assert "All outputs here are of one prompt" not in text_of(both)


def test_models_are_compared_where_only_they_differ(app: Flask, ada: Person) -> None:
    prompt = ada.prompt()
    for model, score in (("a", 3), ("a", 4), ("b", 8), ("b", 9)):
        ada.log(prompt, modelUsed=model, score=score)
    for query in ("", f"?promptId={prompt['_id']}"):
        page = Visitor(app, ada).get(f"/statistics{query}")
        assert '<option value="model" selected>' in page.text
        assert "What is better" in text_of(page)


@pytest.mark.parametrize("key", ["prompt", "week", "author"])
def test_a_single_group_leads_to_what_can_be_compared(app: Flask, ada: Person, key: str) -> None:
    prompt = ada.prompt()
    ada.patch(f"/prompts/{prompt['_id']}", {"content": "Another text"})
    for version, model, score in ((1, "a", 3), (1, "a", 4), (2, "b", 8), (2, "b", 9)):
        ada.log(prompt, promptVersion=version, modelUsed=model, score=score)
    visitor = Visitor(app, ada)
    page = visitor.get(f"/statistics?groupBy={key}")
    assert f"All outputs here are of one {key}. Compare them by version or by model" in text_of(page)
    for choice in ("prompt,version", "model"):
        href = next(
            found
            for found in re.findall(r'<a href="[^"]*/statistics(\?[^"]*)">by ', page.text)
            if found.endswith(f"groupBy={choice.replace(',', '%2C')}") or found.endswith(f"groupBy={choice}")
        )
        assert "What is better" in text_of(visitor.get(f"/statistics{href}"))


def test_a_single_group_that_nothing_divides_says_what_to_do(app: Flask, ada: Person) -> None:
    prompt = ada.prompt()
    ada.log(prompt, modelUsed="a", score=5)
    page = Visitor(app, ada).get("/statistics")
    assert "once a second version or another model has outputs: write another version" in text_of(page)
    assert f"/prompts/{prompt['_id']}/edit" in page.text


def test_a_group_that_alone_has_scores_is_named(app: Flask, ada: Person) -> None:
    prompt = ada.prompt()
    ada.patch(f"/prompts/{prompt['_id']}", {"content": "Another text"})
    ada.log(prompt, promptVersion=1, score=5)
    ada.log(prompt, promptVersion=2)
    assert "Only version 1 has scores so far. Review outputs of the others" in text_of(
        Visitor(app, ada).get("/statistics")
    )


def test_the_mean_of_two_people_changes_no_bar_but_its_own(app: Flask, ada: Person, ben: Person) -> None:
    prompt = ada.prompt()
    for score in (7, 8, 8):
        log = ada.log(prompt, score=score)
    visitor = Visitor(app, ada)
    path = f"/statistics?promptId={prompt['_id']}"

    def read() -> list[str]:
        found = re.findall("<title>(.*?), version 1: (.*?)</title>", visitor.get(path).text)
        return [f"{score}: {count}" for score, count in found]

    assert read() == ["7: 1", "8: 2"] * 2, "wide and narrow"
    assert "How many outputs have each score." in text_of(visitor.get(path))
    share(ada, ben, "editor")
    assert ben.patch(f"/logs/{log['_id']}", {"score": 7}).status_code == 200
    assert ada.get(f"/stats?promptId={prompt['_id']}&groupBy=version").json["groups"][0]["score"]["max"] == 8
    assert read() == ["7: 1", "8: 2"] * 2
    assert "each mean score, to the nearest whole number" in text_of(visitor.get(path))


def test_a_mean_says_how_sure_it_is(app: Flask, ada: Person) -> None:
    ada.log(ada.prompt(), score=5)
    page = Visitor(app, ada).get("/statistics")
    assert "<summary>How sure is this?</summary>" in page.text
    assert "for one look" in text_of(page)


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
