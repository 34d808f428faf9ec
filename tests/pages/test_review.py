"""The page of the review, without JavaScript, and the calls of its script."""

import re

import pytest
from flask import Flask

from promptcrafter.scores import reviews
from tests.support.people import Person
from tests.support.visitors import Visitor, text_of

_SCRIPT = {"Origin": "http://localhost", "Accept": "application/json"}


def _shown(html: str) -> str:
    found = re.search('data-output="([^"]+)"', html)
    assert found is not None
    return found[1]


def test_a_skipped_output_comes_again_after_all_others(app: Flask, ada: Person) -> None:
    prompt = ada.prompt()
    for _ in range(3):
        ada.log(prompt)
    visitor = Visitor(app, ada)
    address = "/review?raters=1&order=newest"
    page = visitor.get(address)
    skipped = _shown(page.text)
    seen = []
    page = visitor.follow(visitor.submit(address, {"output": skipped, "skip": "1"}))
    for _ in range(3):
        seen.append(_shown(page.text))
        action = re.search('action="([^"]+review[^"]+)"', page.text)
        assert action is not None
        page = visitor.follow(visitor.submit(action[1].replace("&amp;", "&"), {"output": seen[-1], "value": "5"}))
    assert (len(set(seen)), seen[-1]) == (3, skipped)
    assert "Nothing left to review" in text_of(page)


def test_the_last_output_is_shown_with_its_score_and_comment(app: Flask, ada: Person) -> None:
    log = ada.log(ada.prompt())
    visitor = Visitor(app, ada)
    visitor.submit("/review?raters=1", {"output": log["_id"], "value": "8", "comment": "Clear"})
    page = visitor.get(f"/review?raters=1&output={log['_id']}")
    assert re.search('value="8" data-key="8" aria-pressed="true"', page.text)
    assert page.text.count("aria-pressed") == 1
    assert "Clear" in page.text


def test_a_score_that_is_sent_without_a_comment_field_keeps_the_comment(app: Flask, ada: Person) -> None:
    log = ada.log(ada.prompt())
    visitor = Visitor(app, ada)
    visitor.submit("/review?raters=1", {"output": log["_id"], "value": "8", "comment": "Clear"})
    account = ada.get("/scores").json[0]["author"]["userId"]
    sent = {"output": log["_id"], "account": account}
    expected = [("7", None, "Clear"), ("6", "Too long", "Too long"), ("5", "", None)]
    for value, comment, kept in expected:
        fields = {**sent, "value": value} if comment is None else {**sent, "value": value, "comment": comment}
        assert visitor.submit("/review/scores", fields).status_code == 204
        (stored,) = ada.get("/scores").json
        assert (stored["value"], stored["comment"]) == (int(value), kept)


def test_the_buttons_fit_the_configuration_of_the_score(app: Flask, ada: Person) -> None:
    logs = [ada.log(ada.prompt()) for _ in range(2)]
    ada.put("/score-configs/verdict", {"kind": "category", "categories": ["good <b>", "5"]})
    ada.put("/score-configs/fits", {"kind": "boolean"})
    ada.put("/score-configs/stars", {"kind": "number", "min": 1, "max": 5})
    ada.put("/score-configs/share", {"kind": "number", "min": 0, "max": 100, "description": "In percent"})
    visitor = Visitor(app, ada)
    values = {"verdict": "5", "fits": "false", "stars": "4", "share": "87.5"}
    for name, value in values.items():
        answer = visitor.submit(f"/review?raters=1&name={name}", {"output": logs[0]["_id"], "value": value})
        assert answer.status_code == 303, answer.text
    stored = {each["name"]: each["value"] for each in ada.get(f"/logs/{logs[0]['_id']}/scores").json}
    assert stored == {"verdict": "5", "fits": False, "stars": 4, "share": 87.5}
    page = visitor.get("/review?raters=1&name=verdict")
    assert '<button name="value" value="good &lt;b&gt;" data-key="1">' in page.text
    assert re.findall('name="value" value="([^"]+)"', visitor.get("/review?name=stars").text) == [
        "1",
        "2",
        "3",
        "4",
        "5",
    ]
    assert "1 Yes 0 No n Comment" in text_of(visitor.get("/review?name=fits"))
    assert "Keys: v value, j skip" in text_of(visitor.get("/review?name=share"))
    assert "Keys: 0 – 9 score, t ten, j skip" in text_of(visitor.get("/review")).replace("0–9", "0 – 9")
    page = visitor.get(f"/review?name=share&output={logs[0]['_id']}")
    assert 'min="0" max="100" required aria-label="A number from 0 to 100"' in page.text
    assert 'value="87.5"' in page.text
    assert "In percent" in page.text
    refused = visitor.submit("/review?name=stars", {"output": logs[1]["_id"], "value": "6"})
    assert refused.status_code == 400
    assert "at most 5" in text_of(refused)


def test_every_field_of_a_number_has_its_limits_as_browsers_read_them(app: Flask, ada: Person) -> None:
    logs = [ada.log(ada.prompt())["_id"] for _ in range(2)]
    ada.put("/score-configs/mood", {"kind": "number", "min": -1234.5, "max": 0.30000000000000004})
    ada.put("/score-configs/tilt", {"kind": "number", "min": -2, "max": 2})
    visitor = Visitor(app, ada)
    compared = f"/compare?log={logs[0]}&log={logs[1]}"
    limits = 'type="number" step="any" min="-1234.5" max="0.30000000000000004"'
    for page in ("/review?raters=1&", f"/outputs/{logs[0]}?", f"{compared}&"):
        assert limits in visitor.get(f"{page}name=mood").text
        assert re.search('name="value" value="-2"|min="-2" max="2"', visitor.get(f"{page}name=tilt").text)
    settings = visitor.get("/settings/scores?edit=mood")
    assert 'value="-1234.5"' in settings.text
    assert 'value="0.30000000000000004"' in settings.text
    assert "from −1,234.5 to 0.3" in text_of(settings)
    assert "A number from −1234.5 to" in text_of(visitor.get("/review?raters=1&name=mood"))


def test_a_text_that_is_both_input_and_variable_is_shown_once(app: Flask, ada: Person) -> None:
    prompt = ada.prompt(content="Answer {{message}} of {{customer}}")
    alone = ada.log(prompt, input="Where is my tea?", variables={"message": "Where is my tea?"})["_id"]
    both = ada.log(prompt, input="It broke", variables={"message": "It broke", "customer": "Eva", "vip": True})["_id"]
    visitor = Visitor(app, ada)
    text = text_of(visitor.get(f"/review?raters=1&output={alone}"))
    assert (text.count("Where is my tea?"), "Variables" in text) == (1, False)
    for page in (f"/review?raters=1&output={both}", f"/outputs/{both}"):
        text = text_of(visitor.get(page))
        assert "Variables message the whole input customer Eva vip true" in text
        assert text.count("It broke") == 1
    compared = text_of(visitor.get(f"/compare?log={alone}&log={both}"))
    assert compared.count("It broke") == 1, "the inputs differ, and so are not shown"


def test_at_the_end_the_agreement_of_two_raters_is_said_in_words(app: Flask, ada: Person, ben: Person) -> None:
    workspace = ada.post("/workspaces", {"name": "Team"}).json
    member = {"X-Workspace": workspace["_id"]}
    invitation = ada.post("/workspaces/{}/invitations".format(workspace["_id"]), {"role": "viewer"}).json
    assert ben.post("/invitations/accept", {"token": invitation["token"]}).status_code < 300
    body = {"title": "Explain", "content": "Explain it", "model": "m"}
    prompt = ada.post("/prompts", body, headers=member).json
    ada_there, ben_there = Visitor(app, ada), Visitor(app, ben)
    home = f"/app/w/{workspace['slug']}"
    ids = []
    for number in range(10):
        log = ada.post("/logs", {"promptId": prompt["_id"], "output": f"{number}", "modelUsed": "m"}, headers=member)
        ids.append(log.json["_id"])
    for number, each in enumerate(ids):
        ada_there.submit(f"{home}/review", {"output": each, "value": str(number)})
        ben_there.submit(f"{home}/review", {"output": each, "value": str(min(10, number + number % 2))})
    text = text_of(ada_there.get(f"{home}/review"))
    assert "They agree well" in text
    assert "2 people scored the same 10 outputs, and gave 50 % of them the same score." in text
    assert "differ by 0.5 on average, over 10 outputs." in text


def test_a_blind_page_names_nobody_who_has_scored(app: Flask, ada: Person) -> None:
    prompt = ada.prompt()
    log = ada.log(prompt, output="First")
    ada.log(prompt, output="Second")
    ada.post(f"/logs/{log['_id']}/scores", {"name": "score", "value": 3})
    visitor = Visitor(app, ada)
    assert "<td>ada" in visitor.get("/review?raters=1").text
    blind = visitor.get("/review?raters=1&blind=true")
    assert "<td>ada" not in blind.text
    assert "1 of 2 outputs scored" in text_of(blind)


def test_the_script_gets_the_next_output_without_those_that_it_has_and_nothing_at_the_end(
    app: Flask, ada: Person
) -> None:
    prompt = ada.prompt(model="secret-model")
    logs = [ada.log(prompt, modelUsed="secret-model")["_id"] for _ in range(3)]
    visitor = Visitor(app, ada)
    address = "/review/next?raters=1&order=newest&blind=true"
    part = visitor.get(f"{address}&exclude={logs[2]}&skipped={logs[1]}")
    assert _shown(part.text) == logs[0]
    assert "<html" not in part.text
    assert "secret" not in part.text
    assert _shown(visitor.get(f"{address}&exclude={logs[2]}&exclude={logs[0]}&skipped={logs[1]}").text) == logs[1]
    assert visitor.get(address + "".join(f"&exclude={each}" for each in logs)).status_code == 204
    many = visitor.get(address + "".join(f"&exclude=log_{n}" for n in range(61)), headers=_SCRIPT)
    assert many.status_code == 400
    assert many.json["details"] == {"exclude": ["may be given at most 60 times"]}


def test_the_script_stores_a_score_once_however_often_it_sends_it(app: Flask, ada: Person) -> None:
    log = ada.log(ada.prompt())
    visitor = Visitor(app, ada)
    sent = {"output": log["_id"], "value": "7", "comment": "Good", "account": ada.id}
    for _ in range(2):
        assert visitor.submit("/review/scores", sent, headers=_SCRIPT).status_code == 204
    (score,) = ada.get(f"/logs/{log['_id']}/scores").json
    assert (score["value"], score["comment"]) == (7, "Good")


def test_the_script_is_told_in_json_why_a_score_is_refused(app: Flask, ada: Person, ben: Person) -> None:
    log = ada.log(ada.prompt())
    sent = {"output": log["_id"], "value": "7", "account": ada.id}
    visitor = Visitor(app, ben)
    other = visitor.submit("/review/scores", sent, headers=_SCRIPT)
    assert (other.status_code, other.json["code"]) == (409, "other_account")
    assert visitor.submit("/review/scores", sent | {"account": ben.id}, headers=_SCRIPT).status_code == 404
    gone = Visitor(app, ada).submit("/review/scores", sent | {"output": "log_0"}, headers=_SCRIPT)
    assert (gone.status_code, gone.json["message"]) == (404, "Log not found")
    assert visitor.submit("/review/scores", sent, headers={"Accept": "application/json"}).status_code == 403
    visitor.client = app.test_client()
    assert visitor.submit("/review/scores", sent, headers=_SCRIPT).status_code == 401
    assert ada.get(f"/logs/{log['_id']}/scores").json == []


def test_filters_are_shown_if_none_of_the_outputs_that_are_looked_at_is_left(
    app: Flask, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = ada.prompt(title="Explain")
    logs = [ada.log(prompt) for _ in range(4)]
    for log in logs[1:]:
        ada.post(f"/logs/{log['_id']}/scores", {"name": "score", "value": 5})
    monkeypatch.setattr(reviews, "LOGS_MAX", 3)
    visitor = Visitor(app, ada)
    page = visitor.get("/review?raters=1&order=newest")
    assert page.status_code == 200
    assert "Too many outputs match Of the 3 that were looked at, none is left to review" in text_of(page)
    for field in ("promptId", "model", "since", "until"):
        assert f'name="{field}"' in page.text
    assert '<details class="asked" open>' in page.text
    assert visitor.get("/review/next?raters=1&order=newest").status_code == 204, "the script opens this page then"


def test_one_person_reviews_alone_and_several_do_so_in_pairs(app: Flask, ada: Person, ben: Person) -> None:
    logs = [ada.log(ada.prompt()) for _ in range(2)]
    visitor = Visitor(app, ada)
    page = visitor.get("/review")
    assert "one person per output" in text_of(page)
    assert "raters=1" in re.findall('data-next="([^"]+)"', page.text)[0], "the script asks for the same"
    visitor.submit("/review", {"output": logs[0]["_id"], "value": "7"})
    assert "1 of 2 outputs scored" in text_of(visitor.get("/review"))
    visitor.submit("/review", {"output": logs[1]["_id"], "value": "7"})
    page = visitor.get("/review")
    assert "All 2 outputs are scored ." in text_of(page)
    assert "Every output is scored." in text_of(page)
    assert re.search('id="review-bar" max="2" value="2"', page.text)
    team = ada.post("/workspaces", {"name": "Team"}).json
    invitation = ada.post(f"/workspaces/{team['_id']}/invitations", {"role": "viewer"}).json
    home, member = f"/app/w/{team['slug']}", {"X-Workspace": team["_id"]}
    assert "one person per output" in text_of(visitor.get(f"{home}/review"))
    ben.post("/invitations/accept", {"token": invitation["token"]})
    prompt = ada.post("/prompts", {"title": "Explain", "content": "Explain it", "model": "m"}, headers=member).json
    log = ada.post("/logs", {"promptId": prompt["_id"], "output": "o", "modelUsed": "m"}, headers=member).json
    assert "0 of 2 scores given (2 people for each of 1 output)" in text_of(visitor.get(f"{home}/review"))
    visitor.submit(f"{home}/review", {"output": log["_id"], "value": "7"})
    page = visitor.get(f"{home}/review")
    assert "1 of 2 scores given" in text_of(page)
    assert "1 output still needs the score of somebody else." in text_of(page)
    assert visitor.get(f"{home}/review/next").status_code == 204
    Visitor(app, ben).submit(f"{home}/review", {"output": log["_id"], "value": "6"})
    assert "The output is scored by 2 people" in text_of(visitor.get(f"{home}/review"))


def test_model_and_version_are_hidden_with_one_click(app: Flask, ada: Person) -> None:
    ada.log(ada.prompt(title="Explain"), modelUsed="secret-model")
    visitor = Visitor(app, ada)
    page = visitor.get("/review?promptId=")
    assert "secret-model" in page.text
    hide = re.search('href="([^"]+)">Hide model and version', page.text)
    assert hide is not None
    blind = visitor.get(hide[1].replace("&amp;", "&"))
    assert "secret-model" not in blind.text
    assert "Show model and version" in blind.text
    assert '<input type="hidden" name="blind" value="true">' in blind.text, "changing other choices keeps it"


def test_markdown_is_rendered_if_the_reader_wants_it_and_stays_chosen(app: Flask, ada: Person) -> None:
    prompt = ada.prompt()
    logs = [ada.log(prompt, output=f"**Bold** <b>{n}</b>")["_id"] for n in range(2)]
    visitor = Visitor(app, ada)
    page = visitor.get("/review")
    assert "**Bold** &lt;b&gt;" in page.text
    link = re.search('href="([^"]+view=markdown[^"]*)"[^>]*>Markdown', page.text)
    assert link is not None
    assert f"output={_shown(page.text)}" in link[1], "the same output"
    chosen = visitor.get(link[1].replace("&amp;", "&"))
    assert "<strong>Bold</strong> &lt;b&gt;" in chosen.text
    assert "<strong>Bold" in visitor.get(f"/review/next?view=markdown&exclude={logs[0]}").text
    sent = visitor.submit("/review?view=markdown", {"output": logs[0], "value": "5"})
    assert "<strong>Bold" in visitor.follow(sent).text
    assert visitor.get("/review?view=json").status_code == 400


def test_outputs_and_review_of_a_prompt_keep_its_title_and_tabs(app: Flask, ada: Person) -> None:
    prompt = ada.prompt(title="Answer a complaint")
    ada.log(prompt)
    visitor = Visitor(app, ada)
    for path, tab in (("outputs", "Outputs"), ("review", "Review"), ("statistics", "Statistics")):
        page = visitor.get(f"/{path}?promptId={prompt['_id']}")
        assert "<h1>Answer a complaint</h1>" in page.text
        assert f'aria-current="page">{tab}</a>' in page.text
        assert f"<h1>{tab}</h1>" in visitor.get(f"/{path}").text


def test_the_end_of_a_review_leads_to_the_statistics_of_what_was_reviewed(app: Flask, ada: Person) -> None:
    prompt = ada.prompt()
    visitor = Visitor(app, ada)
    assert "See the statistics" not in visitor.get(f"/review?promptId={prompt['_id']}").text, "there are none"
    log = ada.log(prompt)
    visitor.submit(f"/review?promptId={prompt['_id']}", {"output": log["_id"], "value": "8"})
    for query in (f"?promptId={prompt['_id']}", ""):
        page = visitor.get(f"/review{query}")
        assert f'class="button primary" href="{visitor.home}/statistics{query}">See the statistics</a>' in page.text
