"""The page that compares outputs."""

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


def test_scores_are_given_changed_and_removed_in_a_comparison(app: Flask, ada: Person) -> None:
    prompt = ada.prompt()
    logs = [ada.log(prompt, output=f"Answer {n}")["_id"] for n in range(2)]
    visitor = Visitor(app, ada)
    address = f"/compare?log={logs[0]}&log={logs[1]}"
    answer = visitor.submit(address, {"output": logs[1], "value": "6.5"})
    assert answer.headers["Location"].endswith(f"/compare?log={logs[0]}&log={logs[1]}#{logs[1]}")
    assert 'value="6.5"' in visitor.follow(answer).text
    assert [ada.get(f"/logs/{each}").json["score"] for each in logs] == [None, 6.5]
    refused = visitor.submit(address, {"output": logs[0], "value": "12"})
    assert refused.status_code == 400
    assert 'id="value-1-error">Must be a number from 0 to 10' in refused.text
    assert 'value="12"' in refused.text
    visitor.submit(address, {"output": logs[1], "value": ""})
    assert ada.get(f"/logs/{logs[1]}").json["score"] is None
    assert visitor.submit(address, {"output": "log_unknown", "value": "1"}).status_code == 404


def test_the_outputs_of_one_input_are_compared_over_versions(app: Flask, ada: Person) -> None:
    prompt = ada.prompt(title="Explain")
    for number in range(2, 8):
        ada.patch(f"/prompts/{prompt['_id']}", {"content": f"Version {number} of {{{{topic}}}}"})
    logs = [ada.log(prompt, output=f"Of {n}", promptVersion=n, input="The same") for n in range(1, 8)]
    again = ada.log(prompt, output="Of 7 again", promptVersion=7, input="The same")
    ada.log(prompt, output="Elsewhere", promptVersion=2, input="Something else")
    alone = ada.log(prompt, output="Alone", input="Only once")
    visitor = Visitor(app, ada)
    assert f"/compare?input={logs[0]['_id']}" in visitor.get(f"/outputs/{logs[0]['_id']}").text
    shown = text_of(visitor.get(f"/compare?input={logs[0]['_id']}"))
    places = [shown.index(f"Explain, version {number}") for number in (1, 4, 5, 6, 7)]
    assert places == sorted(places)
    assert "version 3" not in shown
    assert "again" in shown
    assert "Elsewhere" not in shown
    assert "The input of all of them The same" in shown
    assert text_of(visitor.get(f"/compare?input={again['_id']}")).count("Explain, version 7") == 1
    single = ada.log(ada.prompt(), input="The same")
    assert "/compare?input" not in visitor.get(f"/outputs/{single['_id']}").text
    assert "No other version" in text_of(visitor.get(f"/compare?input={alone['_id']}"))


def test_outputs_are_scored_under_any_name_that_the_workspace_configures(app: Flask, ada: Person) -> None:
    prompt = ada.prompt()
    logs = [ada.log(prompt, output=f"Answer {n}")["_id"] for n in range(2)]
    ada.put("/score-configs/tone", {"kind": "category", "categories": ["kind", "curt"], "description": "How it sounds"})
    ada.put("/score-configs/length", {"kind": "number", "min": 1, "max": 5})
    visitor = Visitor(app, ada)
    address = f"/compare?log={logs[0]}&log={logs[1]}&name=tone"
    assert "name=tone" in visitor.get(f"/compare?log={logs[0]}&log={logs[1]}").text
    assert 'value="curt">curt</button>' in visitor.get(address).text
    assert all("How it sounds" in visitor.get(page).text for page in (address, f"/outputs/{logs[0]}?name=tone"))
    page = visitor.follow(visitor.submit(address, {"output": logs[1], "value": "curt"}))
    assert 'value="curt" aria-pressed="true">curt</button>' in page.text
    one = f"/outputs/{logs[1]}"
    assert 'value="curt" aria-pressed="true"' in visitor.get(f"{one}?name=tone").text
    visitor.submit(f"{one}/score?name=tone", {"value": "kind", "comment": "Warm"})
    stored = ada.get(f"/logs/{logs[1]}/scores").json
    assert [(score["name"], score["value"], score["comment"]) for score in stored] == [("tone", "kind", "Warm")]
    field = visitor.get(f"{one}?name=length").text
    assert 'min="1" max="5"' in field
    refused = visitor.submit(f"{one}/score?name=length", {"value": "9"})
    assert (refused.status_code, 'id="value-error"' in refused.text) == (400, True)
    visitor.submit(f"{one}/score?name=tone", {"value": ""})
    assert ada.get(f"/logs/{logs[1]}/scores").json == []
    assert ada.get(f"/logs/{logs[1]}").json["score"] is None
    assert visitor.get(f"{one}?name={'x' * 101}").status_code == 400
