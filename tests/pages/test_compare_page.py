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


def test_texts_with_little_in_common_stand_beside_each_other_as_they_are(app: Flask, ada: Person) -> None:
    prompt = ada.prompt(title="Explain")
    texts = ("Water and light become sugar in leaves.", "Once upon a time there lived an old king.")
    known = {"score": 8, "inputTokens": 40, "outputTokens": 2, "cost": 0.5, "latencyMs": 900}
    first, second = (ada.log(prompt, output=texts[0], **known), ada.log(prompt, output=texts[1], modelUsed="gpt-4o"))
    visitor = Visitor(app, ada)
    address = f"/compare?log={first['_id']}&log={second['_id']}"
    page = visitor.get(address)
    assert all(f'<div class="text">{text}</div>' in page.text for text in texts)
    assert 'aria-current="true">Side by side' in page.text
    words = visitor.get(f"{address}&view=words")
    assert "<ins>" in words.text
    assert 'aria-current="true">Differences' in words.text
    assert "score 8 42 tokens $0.5000 900 ms" in text_of(page)
    assert "–" not in text_of(page).partition("gpt-4o")[2], "what is not known is left out"
    alike = [ada.log(prompt, output=f"The cat sat on the {seat}.")["_id"] for seat in ("mat", "sofa")]
    assert "<ins>" not in visitor.get(f"/compare?log={alike[0]}&log={alike[1]}&view=texts").text
    assert visitor.get(f"{address}&view=other").status_code == 400


def test_too_few_or_too_many_chosen_outputs_lead_back_to_the_list_which_says_so(app: Flask, ada: Person) -> None:
    prompt = ada.prompt()
    logs = [ada.log(prompt)["_id"] for _ in range(6)]
    visitor = Visitor(app, ada)
    came_from = {"Referer": f"http://localhost{visitor.home}/outputs?model=gpt*"}
    for chosen in ([], logs[:1], logs[:1] * 2, logs):
        sent = visitor.get("/compare?" + "&".join(f"log={each}" for each in chosen), headers=came_from)
        assert sent.headers["Location"] == f"{visitor.home}/outputs?model=gpt*"
        page = visitor.follow(sent)
        assert "data-refused>Tick 2 to 5 outputs in the list; then compare them.</p>" in page.text
        assert 'role="status">Tick' not in page.text, "it is said once"
    for action in ("/outputs/chosen?as=csv", "/outputs/delete"):
        sent = visitor.get(action, headers={"Referer": "https://elsewhere.example/app/outputs"})
        assert sent.headers["Location"] == f"{visitor.home}/outputs"
        assert "Tick one output or more in the list first." in text_of(visitor.follow(sent))
    assert visitor.submit(f"/compare?log={logs[0]}", {"output": logs[0], "value": "1"}).status_code == 400


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


def test_a_score_given_in_a_comparison_keeps_the_comment_that_the_person_gave_before(app: Flask, ada: Person) -> None:
    prompt = ada.prompt()
    logs = [ada.log(prompt, output=f"Answer {n}")["_id"] for n in range(2)]
    ada.put("/score-configs/tone", {"kind": "category", "categories": ["kind", "curt"]})
    visitor = Visitor(app, ada)
    for name, before, after in (("score", "6", "4"), ("tone", "kind", "curt")):
        visitor.submit(f"/outputs/{logs[1]}/score?name={name}", {"value": before, "comment": "Ends too early"})
        visitor.submit(f"/compare?log={logs[0]}&log={logs[1]}&name={name}", {"output": logs[1], "value": after})
        (stored,) = ada.get(f"/scores?name={name}").json
        assert (str(stored["value"]), stored["comment"]) == (after, "Ends too early")
    visitor.submit(f"/outputs/{logs[1]}/score", {"value": "4", "comment": " "})
    assert ada.get("/scores?name=score").json[0]["comment"] is None, "an empty field removes it"


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


def test_the_variables_are_shown_once_if_all_outputs_have_the_same_and_else_with_each(app: Flask, ada: Person) -> None:
    prompt = ada.prompt(content="Answer {{complaint}}")
    same, other = {"complaint": "Tea smells of soap", "tries": 2}, {"complaint": "The cup is broken"}
    logs = [ada.log(prompt, output="Sorry.", variables=each)["_id"] for each in (same, same, other)]
    visitor = Visitor(app, ada)
    alike = text_of(visitor.get(f"/compare?log={logs[0]}&log={logs[1]}"))
    assert "The variables of all of them complaint Tea smells of soap tries 2" in alike
    assert alike.count("Tea smells of soap") == 1
    differing = text_of(visitor.get(f"/compare?log={logs[0]}&log={logs[2]}"))
    assert "of all of them" not in differing
    assert differing.index("Tea smells of soap") < differing.index("The cup is broken")


def test_an_output_leads_to_what_other_versions_answered_to_its_input(app: Flask, ada: Person) -> None:
    prompt = ada.prompt()
    ada.patch(f"/prompts/{prompt['_id']}", {"content": "Another wording"})
    log = ada.log(prompt, input="The same", promptVersion=1)
    text = text_of(Visitor(app, ada).get(f"/outputs/{log['_id']}"))
    assert "Compare with what other versions answered to this input" in text
