"""The pages of experiments: their results in words and on a line that shows zero, started, paused and completed."""

import re
from typing import Any

import pytest
from flask import Flask

from tests.support.members import share
from tests.support.people import Person
from tests.support.visitors import Visitor, text_of


def start(ada: Person, keys: tuple[str, ...] = ("control", "short"), **values: Any) -> None:
    """Make a running experiment "shorter" with these variants."""
    variants: list[dict[str, Any]] = [{"key": key, "trafficPercent": 30, "payload": {}} for key in keys]
    body = {"name": "Shorter", "slug": "shorter", "status": "ACTIVE", "variants": variants, **values}
    answer = ada.post("/experiments", body)
    assert answer.status_code == 201, answer.text


def report(ada: Person, key: str, **metrics: float) -> None:
    """Report a result of the experiment "shorter"."""
    answer = ada.post("/experiment/shorter/log", {"variantKey": key, "metrics": metrics})
    assert answer.status_code == 200, answer.text


def test_an_experiment_is_listed_shown_and_paused(app: Flask, ada: Person) -> None:
    visitor = Visitor(app, ada)
    assert "No experiments yet" in text_of(visitor.get("/experiments"))
    start(ada)
    assert "Nothing to compare yet" in text_of(visitor.get("/experiments/shorter"))
    for number in range(40):
        for key, base in (("control", 3), ("short", 9)):
            report(ada, key, rating=base + number % 2)
    page = visitor.get("/experiments/shorter")
    assert "Short is higher than control by 6" in text_of(page)
    assert "+6" in text_of(page)
    assert "better" not in re.sub("need not be better", "", text_of(page)), "a metric has no direction"
    assert '<svg class="chart"' in page.text
    assert "chart-zero" in page.text
    assert "Shorter" in text_of(visitor.get(""))
    for status, shown in (("PAUSED", "paused"), ("ACTIVE", "running"), ("COMPLETED", "completed")):
        notice = visitor.follow(visitor.submit("/experiments/shorter/status", {"status": status}))
        assert f"The experiment is {shown}." in text_of(notice)
        assert ada.get("/experiments/shorter").json["status"] == status
    assert visitor.submit("/experiments/shorter/status", {"status": "nonsense"}).status_code == 400
    assert visitor.submit("/experiments/shorter/status", {"name": "x"}).status_code == 400


def test_the_growth_of_a_metric_is_drawn_on_request_with_its_table(app: Flask, ada: Person) -> None:
    start(ada, ("control", "short", "long"))
    for number in range(30):
        for key, base in (("control", 3), ("short", 9), ("long", 3)):
            report(ada, key, rating=base + number % 3)
    report(ada, "control", other=1)
    report(ada, "long", other=1)
    visitor = Visitor(app, ada)
    page = visitor.get("/experiments/shorter")
    assert "chart-band" not in page.text
    assert "/experiments/shorter?growth=rating#metric-1" in page.text
    grown = visitor.get("/experiments/shorter?growth=rating")
    assert grown.text.count('<polygon class="chart-band"') == 4, "two differences, each wide and narrow"
    shown = text_of(grown)
    assert "short − control, as results came in" in shown
    assert "Results Difference 95% interval" in shown
    assert re.search(r"92 \+6 \+4\.\d+ to \+7\.\d+", shown), "the last row has all results"
    assert visitor.get("/experiments/shorter?growth=other").status_code == 200
    assert visitor.get("/experiments/shorter?growth=unknown").text.count("Show how this grew") == 2


def test_the_foot_has_the_results_of_the_api(app: Flask, ada: Person) -> None:
    start(ada)
    for number in range(5):
        report(ada, "control", rating=number)
        report(ada, "short", rating=number + 1)
    visitor = Visitor(app, ada)
    page = visitor.get("/experiments/shorter?metric=score")
    assert "http://localhost/experiments/shorter/results?metric=score" in text_of(page)
    file = visitor.get("/experiments/shorter?metric=score&as=json")
    assert file.json == ada.get("/experiments/shorter/results?metric=score").json
    assert file.headers["Content-Disposition"] == 'attachment; filename="shorter.json"'


def test_a_long_name_of_a_variant_is_cut_in_the_chart_and_whole_in_title_and_table(app: Flask, ada: Person) -> None:
    long = "x" * 90
    start(ada, ("control", long))
    for number in range(5):
        report(ada, "control", rating=number)
        report(ada, long, rating=number + 1)
    page = Visitor(app, ada).get("/experiments/shorter")
    labels = re.findall('<text class="chart-label"[^>]*>(.*?)</text>', page.text)
    assert labels
    assert all(len(label) <= 45 and label.endswith("…") for label in labels)
    assert f"<title>{long} − control:" in page.text
    assert f'<th scope="row">{long} − control</th>' in page.text


FORM: dict[str, Any] = {
    **{"name": "Polite, or short?", "key": ["polite", "short"], "share": ["60", "40"]},
    **{"prompt": ["", ""], "version": ["", ""], "payload": ['{"tone": "polite"}', ""]},
}


def test_an_experiment_is_made_edited_started_and_deleted_by_page(app: Flask, ada: Person) -> None:
    prompt = ada.prompt(title="Greeting")
    visitor = Visitor(app, ada)
    assert "New experiment" in text_of(visitor.get("/experiments"))
    assert "Greeting" in text_of(visitor.get("/experiment/new"))
    made = visitor.submit("/experiment/new", {**FORM, "prompt": [prompt["_id"], ""], "version": ["latest", ""]})
    page = visitor.follow(made)
    assert "The experiment is there, as a draft" in text_of(page)
    stored = ada.get("/experiments/polite-or-short").json
    assert stored["status"] == "DRAFT"
    assert [(each["key"], each["trafficPercent"]) for each in stored["variants"]] == [("polite", 60), ("short", 40)]
    assert stored["variants"][0]["payload"] == {"tone": "polite"}
    assert (stored["variants"][0]["promptId"], stored["variants"][0]["promptVersion"]) == (prompt["_id"], 1)
    assert "Start" in text_of(page)

    edit = visitor.get("/experiments/polite-or-short/edit")
    assert 'value="polite"' in edit.text
    (seen,) = re.findall('name="seen" value="(.*?)"', edit.text)
    changed = {**FORM, "name": "Renamed", "share": ["50", "50"], "seen": seen}
    assert visitor.submit("/experiments/polite-or-short/edit", changed).status_code == 303
    stored = ada.get("/experiments/polite-or-short").json
    assert (stored["name"], [each["trafficPercent"] for each in stored["variants"]]) == ("Renamed", [50, 50])
    late = visitor.submit("/experiments/polite-or-short/edit", {**changed, "name": "Too late"})
    assert late.status_code == 409
    assert "Too late" in late.text, "nothing that was written is lost"
    assert ada.get("/experiments/polite-or-short").json["name"] == "Renamed"

    assert visitor.submit("/experiments/polite-or-short/status", {"status": "ACTIVE"}).status_code == 303
    running = visitor.get("/experiments/polite-or-short/edit")
    assert "Keys, shares and versions stay as they are" in text_of(running)
    assert 'name="key"' not in running.text
    assert visitor.submit("/experiments/polite-or-short/edit", {**FORM, "name": "Again"}).status_code == 303
    stored = ada.get("/experiments/polite-or-short").json
    assert (stored["name"], stored["variants"][0]["trafficPercent"]) == ("Again", 50)

    assert "cannot be undone" in text_of(visitor.get("/experiments/polite-or-short/delete"))
    gone = visitor.follow(visitor.submit("/experiments/polite-or-short/delete", {}))
    assert "The experiment is deleted" in text_of(gone)
    assert ada.get("/experiments/polite-or-short").status_code == 404


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"name": ""}, "name", "is required"),
        ({"share": ["60", "much"]}, "share-1", "must be"),
        ({"key": ["same", "same"]}, "variants", "same"),
        ({"key": ["", "short"]}, "key-0", "is required"),
        ({"payload": ["{", ""]}, "payload-0", ""),
        ({"payload": ["[1]", ""]}, "payload-0", "must be"),
        ({"slug": "Not A Slug"}, "slug", "must"),
        ({"version": ["", "7"]}, "version-1", ""),
        ({"prompt": ["prompt_unknown", ""]}, "", "not found"),
    ],
)
def test_a_form_that_is_refused_shows_what_was_written_with_the_reason_beside_its_field(
    app: Flask, ada: Person, changes: dict[str, Any], field: str, reason: str
) -> None:
    visitor = Visitor(app, ada)
    page = visitor.submit("/experiment/new", {**FORM, **changes})
    assert page.status_code in (400, 404), text_of(page)
    if field:
        (shown,) = re.findall(f'id="{field}-error">(.*?)</p>', page.text)
        assert reason in shown.lower()
    else:
        assert reason in text_of(page)
    assert "short" in page.text
    assert "tone" in page.text or "payload" in changes
    assert ada.get("/experiments").json == []


def test_variants_are_added_and_removed_without_a_script(app: Flask, ada: Person) -> None:
    visitor = Visitor(app, ada)
    more = visitor.submit("/experiment/new", {**FORM, "add-variant": "1"})
    assert more.status_code == 200
    assert more.text.count('name="key"') == 3
    assert 'value="polite"' in more.text
    fewer = visitor.submit("/experiment/new", {**FORM, "remove-variant": "0"})
    assert fewer.text.count('name="key"') == 1
    assert 'value="polite"' not in fewer.text
    assert ada.get("/experiments").json == [], "nothing is stored yet"


def test_a_form_with_more_variants_than_an_experiment_has_is_not_shown_again(app: Flask, ada: Person) -> None:
    visitor = Visitor(app, ada)
    for path in ("/experiment/new", "/experiments/shorter/edit"):
        if "shorter" in path:
            start(ada, status="DRAFT")
        sent = {"name": "Shorter", "slug": "shorter", "key": ["k"] * 101}
        for button in ({}, {"add-variant": "1"}, {"remove-variant": "0"}):
            answer = visitor.submit(path, {**sent, **button})
            assert answer.status_code == 400, (path, button)
            assert "Variants must have at most 100 entries" in text_of(answer)
            assert len(answer.data) < 20_000
        full = visitor.submit(path, {**sent, "key": ["k"] * 100, "add-variant": "1"})
        assert full.text.count('name="key"') == 100


def test_a_taken_slug_is_said_beside_it(app: Flask, ada: Person) -> None:
    start(ada)
    page = Visitor(app, ada).submit("/experiment/new", {**FORM, "slug": "shorter"})
    assert page.status_code == 409
    assert "Is that of another experiment" in text_of(page)


def test_a_viewer_sees_no_button_and_is_refused_by_hand(app: Flask, ada: Person, ben: Person) -> None:
    start(ada)
    share(ada, ben, "viewer")
    visitor = Visitor(app, ben)
    visitor.home = Visitor(app, ada).home
    assert "New experiment" not in text_of(visitor.get("/experiments"))
    page = visitor.get("/experiments/shorter")
    assert page.status_code == 200
    for word in ("Pause", "Complete", "Edit", "Delete"):
        assert f">{word}<" not in page.text
    for path in ("/experiment/new", "/experiments/shorter/edit", "/experiments/shorter/delete"):
        assert visitor.get(path).status_code == 403
        assert visitor.submit(path, FORM).status_code == 403
    assert visitor.submit("/experiments/shorter/status", {"status": "PAUSED"}).status_code == 403
    assert ada.get("/experiments/shorter").json["status"] == "ACTIVE"
