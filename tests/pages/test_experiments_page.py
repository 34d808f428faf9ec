"""The pages of experiments: their results in words and on a line that shows zero, started, paused and completed."""

import json
import os
import re
import subprocess
from html import unescape
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from promptcrafter.jsonio import dumps
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
    assert "No results yet" in text_of(visitor.get("/experiments/shorter"))
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


def test_a_page_says_how_many_metrics_are_left_out(app: Flask, ada: Person) -> None:
    start(ada)
    for number in range(3):
        report(ada, "control", **{f"latency_{number}_{each}": each for each in range(100)})
    page = text_of(Visitor(app, ada).get("/experiments/shorter"))
    assert "more metrics than are evaluated: 100 that came later are left out" in page


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


def run(app: Flask, ada: Person, page: str, directory: Path, *names: str) -> list[Any]:
    """Run commands that a page shows, in one shell and with Ada's key; return the JSON that the API answered to each.

    `curl` is a function that writes down what it is called with, and prints what the API has answered.
    """
    commands = []
    for name in names:
        (shown,) = re.findall(f'<pre class="code unwrapped" id="{name}"[^>]*>(.*?)</pre>', page, re.DOTALL)
        commands.append(unescape(shown))
    key = ada.post("/auth/keys", {"name": "k", "scopes": ["ingest"]}).json["key"]
    answers: list[Any] = []
    for number in range(len(names)):
        called, answered = directory / f"called-{number}", directory / f"answered-{number}"
        commands[number] = f"""curl() {{ printf '%s\\0' "$@" > {called}; cat {answered}; }}\n{commands[number]}"""
        answered.write_text('{"variant": ""}')
        script = "\n".join(commands[: number + 1])
        subprocess.run(["bash", "-c", script], check=True, env={**os.environ, "KEY": key}, capture_output=True)
        silent, url, *options, empty = called.read_text().split("\0")
        assert (silent, options[-2], empty) == ("-sS", "-d", "")
        headers = [option.split(": ") for flag, option in pairwise(options) if flag == "-H"]
        answer = app.test_client().post(url, headers=headers, data=options[-1])
        assert answer.status_code == 200, answer.text
        answered.write_text(answer.text)
        answers.append(answer.json)
    return answers


@pytest.mark.parametrize("key", ["short", 'it\'s "short" & <b>\n$HOME'])
def test_the_calls_of_a_running_experiment_work_as_they_are_shown(
    app: Flask, ada: Person, tmp_path: Path, key: str
) -> None:
    variants = [
        {"key": "control", "trafficPercent": 0},
        {"key": key, "trafficPercent": 10, "payload": {"tone": "dry"}},
    ]
    start(ada, variants=variants)
    visitor = Visitor(app, ada)
    page = visitor.get("/experiments/shorter")
    assert "/settings/keys" in page.text
    assigned, _ = run(app, ada, page.text, tmp_path, "assign-call", "report-call")
    assert assigned == {"variant": key, "payload": {"tone": "dry"}}
    assert dumps({"variant": key, "payload": {"tone": "dry"}}) in unescape(page.text), "the answer that is shown"
    (result,) = ada.get("/experiments/shorter/logs").json
    assert (result["variantKey"], result["metrics"]) == (key, {"rating": 5})
    assert result["output"] == {"text": "What the model answered"}, "nothing that looks like a real answer"
    assert result["context"] == {"userId": "user-42"}
    assert "1 result so far" in text_of(visitor.get("/experiments/shorter"))


def test_the_result_that_is_reported_is_that_of_the_variant_which_the_user_got(
    app: Flask, ada: Person, tmp_path: Path
) -> None:
    start(ada, ("first", "second", "third", "fourth"), slug="trial")
    page = Visitor(app, ada).get("/experiments/trial")
    # as another user gets another variant than the one of the sample
    text = page.text.replace("user-42", "user-45")
    assigned, _ = run(app, ada, text, tmp_path, "assign-call", "report-call")
    assert assigned["variant"] != "first"
    (result,) = ada.get("/experiments/trial/logs").json
    assert result["variantKey"] == assigned["variant"]


def test_an_experiment_says_in_words_which_version_each_variant_is(app: Flask, ada: Person) -> None:
    prompt = ada.prompt(title="Answer a complaint")
    variants = [
        {"key": "apology", "trafficPercent": 1, "promptId": prompt["_id"], "promptVersion": 1},
        {"key": "new", "trafficPercent": 1, "promptId": prompt["_id"], "payload": {"tone": "dry"}},
        {"key": "dry", "trafficPercent": 1, "payload": {"tone": "dry"}},
        {"key": "none", "trafficPercent": 1},
    ]
    start(ada, variants=variants)
    page = Visitor(app, ada).get("/experiments/shorter")
    shown = text_of(page)
    assert "apology is version 1 of Answer a complaint" in shown
    assert "new is the newest version of Answer a complaint and the settings of its payload" in shown
    assert "dry is what its payload says" in shown
    assert "none is what your program does under this key" in shown
    (path,) = re.findall("<code>(/prompts/.*?)</code>", page.text)
    assert ada.get(path).json["version"] == 1
    many = [{"key": f"v{number}", "trafficPercent": 1} for number in range(14)]
    start(ada, variants=many, slug="many")
    assert "And 2 more, which the table below has" in text_of(Visitor(app, ada).get("/experiments/many"))


def test_an_experiment_says_in_each_state_what_to_do_next(app: Flask, ada: Person) -> None:
    prompt = ada.prompt(title="Greeting")
    variants = [
        {"key": "control", "trafficPercent": 1, "promptId": prompt["_id"], "promptVersion": 1},
        {"key": "short", "trafficPercent": 1},
    ]
    start(ada, variants=variants, status="DRAFT")
    visitor = Visitor(app, ada)

    def read() -> str:
        return text_of(visitor.get("/experiments/shorter"))

    draft = read()
    assert "Next: start it" in draft
    assert "/assign" in draft
    assert "Scores as a metric" not in draft, "there is nothing that it would change"
    ada.patch("/experiments/shorter", {"status": "ACTIVE"})
    assert "No results yet" in read()
    report(ada, "control")
    assert "None has a metric" in read()
    report(ada, "control", rating=1)
    assert "Differences appear when two variants have results with the same metric" in read()
    report(ada, "short", rating=9)
    assert "3 results so far. A variant needs about 15 results" in read()
    for number in range(30):
        for key, base in (("control", 1), ("short", 8)):
            report(ada, key, rating=base + number % 3)
    settled = read()
    assert "There is a real difference in rating" in settled
    assert "put the label on it that your program asks for" in settled
    ada.patch("/experiments/shorter", {"status": "PAUSED"})
    assert "Paused: resume or complete it" in read()
    ada.patch("/experiments/shorter", {"status": "COMPLETED"})
    assert "give everybody the variant that you have chosen" in read()


def test_a_draft_says_which_variants_do_not_differ(app: Flask, ada: Person) -> None:
    prompt = ada.prompt()
    same = {"trafficPercent": 25, "promptId": prompt["_id"], "promptVersion": 1}
    variants = [
        {"key": "a", **same},
        {"key": "b", **same, "payload": {"tone": "dry"}},
        {"key": "c", "trafficPercent": 25},
        {"key": "d", "trafficPercent": 25},
    ]
    start(ada, variants=variants, status="DRAFT")
    visitor = Visitor(app, ada)
    assert "do not differ" not in text_of(visitor.get("/experiments/shorter")), "c and d differ in the program"
    variants[0]["payload"] = {"tone": "dry"}
    ada.patch("/experiments/shorter", {"variants": variants})
    assert "a, b do not differ: they have the same version" in text_of(visitor.get("/experiments/shorter"))
    ada.patch("/experiments/shorter", {"status": "ACTIVE"})
    assert "do not differ" not in text_of(visitor.get("/experiments/shorter")), "it cannot be changed any more"


def test_shares_that_do_not_add_up_to_100_are_shown_with_what_they_come_to(app: Flask, ada: Person) -> None:
    visitor = Visitor(app, ada)
    made = visitor.follow(visitor.submit("/experiment/new", {**FORM, "share": ["60", "50"]}))
    assert "The shares add up to 110" in text_of(made)
    assert "60 of 110 = 55%" in text_of(made)
    assert "50 of 110 = 45%" in text_of(made)
    edit = text_of(visitor.get("/experiments/polite-or-short/edit"))
    assert "polite gets 60 of 110 = 55%, short gets 50 of 110 = 45%" in edit
    visitor.submit("/experiments/polite-or-short/edit", FORM)
    assert " of 100" not in text_of(visitor.get("/experiments/polite-or-short"))
    assert "add up to" not in text_of(visitor.get("/experiments/polite-or-short"))
    for shares in (["0", "0"], ["", "50"], ["much", "9999"]):
        assert visitor.submit("/experiment/new", {**FORM, "share": shares, "add-variant": "1"}).status_code == 200


def test_a_score_that_no_result_has_is_said_to_be_missing(app: Flask, ada: Person) -> None:
    start(ada)
    for key in ("control", "short"):
        report(ada, key, rating=1)
    visitor = Visitor(app, ada)
    assert "have the score" not in text_of(visitor.get("/experiments/shorter"))
    assert "No results have the score “warmth” by people yet" in text_of(
        visitor.get("/experiments/shorter?metric=warmth")
    )
    judged = text_of(visitor.get("/experiments/shorter?metric=warmth&annotator=judge"))
    assert "No results have the score “warmth” by judges yet" in judged
    for key in ("control", "short"):
        (log,) = ada.get(f"/experiments/shorter/logs?variantKey={key}").json
        ada.post(f"/logs/{log['_id']}/scores", {"name": "warmth", "value": 3})
        shown = text_of(visitor.get("/experiments/shorter?metric=warmth"))
        assert ("Only results of control have the score “warmth” so far" in shown) == (key == "control")
    assert "have the score" not in shown


def test_the_links_to_the_calls_lead_to_operations_of_the_api(app: Flask, ada: Person) -> None:
    visitor = Visitor(app, ada)
    empty = visitor.get("/experiments")
    variants = [{"key": "new", "trafficPercent": 1, "promptId": ada.prompt()["_id"]}]
    start(ada, variants=variants)
    page = visitor.get("/experiments/shorter")
    description = json.loads(app.test_client().get("/openapi.json").text)
    operations = [each for path in description["paths"].values() for each in path.values() if "operationId" in each]
    known = {f"/{each['tags'][0]}/{each['operationId']}" for each in operations}
    calls = {"/agenttest/assign_variant", "/agenttest/log_result"}
    for shown, expected in ((empty, calls), (page, {*calls, "/prompts/get_version"})):
        anchors = set(re.findall('href="/docs#(.*?)"', shown.text))
        assert anchors == expected
        assert anchors <= known


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


def versions_of(page: str) -> list[list[str]]:
    """Return the values of the options of each choice of a version."""
    choices = re.findall('<select id="version-[0-9]+".*?</select>', page, re.DOTALL)
    return [re.findall('<option value="(.*?)"', choice) for choice in choices]


def test_the_version_of_a_variant_is_chosen_from_those_of_its_prompt(app: Flask, ada: Person) -> None:
    first, second = ada.prompt(title="Greeting"), ada.prompt(title="Farewell")
    for number in (2, 3):
        ada.patch(f"/prompts/{first['_id']}", {"content": f"Text {number}", "comment": f"Change {number}"})
    ada.put(f"/prompts/{first['_id']}/labels/production", {"version": 2})
    visitor = Visitor(app, ada)
    assert versions_of(visitor.get("/experiment/new").text) == [], "there are none without a prompt"
    sent = {**FORM, "prompt": [first["_id"], ""], "of": ["", ""]}
    shown = visitor.submit("/experiment/new", {**sent, "show-versions": "1"})
    assert shown.status_code == 200
    assert versions_of(shown.text) == [["", "3", "2", "1"]]
    assert "2 (production) – Change 2" in text_of(shown)
    assert ada.get("/experiments").json == [], "nothing is stored yet"

    chosen = {**sent, "of": [first["_id"], ""], "version": ["3", ""]}
    other = visitor.submit("/experiment/new", {**chosen, "prompt": [second["_id"], ""]})
    assert other.status_code == 400, "the number is that of a version of the other prompt"
    assert "Choose a version of this prompt" in text_of(other)
    assert versions_of(other.text) == [["", "1"]]

    assert visitor.submit("/experiment/new", chosen).status_code == 303
    assert ada.get("/experiments/polite-or-short").json["variants"][0]["promptVersion"] == 3
    edit = visitor.get("/experiments/polite-or-short/edit")
    assert '<option value="3" selected>' in edit.text


def test_a_version_of_very_many_is_typed_with_the_newest_suggested(app: Flask, ada: Person) -> None:
    prompt = ada.prompt()
    for number in range(51):
        ada.patch(f"/prompts/{prompt['_id']}", {"content": f"Text {number}"})
    sent = {**FORM, "prompt": [prompt["_id"], ""], "of": ["", ""], "version": ["1", ""]}
    page = Visitor(app, ada).submit("/experiment/new", {**sent, "show-versions": "1"})
    assert versions_of(page.text) == []
    (suggested,) = re.findall('<datalist id="versions-0">(.*?)</datalist>', page.text, re.DOTALL)
    assert re.findall('value="([0-9]+)"', suggested) == [str(number) for number in range(52, 2, -1)]
    assert re.search('<input id="version-0"[^>]*value="1"', page.text)


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
