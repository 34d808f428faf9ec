"""The pages of outputs and the review."""

import re

from flask import Flask

from tests.support.people import Person
from tests.support.visitors import Visitor, text_of


def test_outputs_are_filtered_opened_and_walked_through(app: Flask, ada: Person) -> None:
    prompt = ada.prompt(title="Explain")
    logs = [ada.log(prompt, output=f"Answer number {n}", score=n) for n in range(4)]
    ada.log(ada.prompt(title="Other"), output="Another answer")
    visitor = Visitor(app, ada)
    page = visitor.get(f"/outputs?promptId={prompt['_id']}&q=&model=&scored=true&sort=createdAt")
    assert page.status_code == 200, page.text
    assert "Answer number 3" in page.text
    assert "Another answer" not in page.text
    first = visitor.get(f"/outputs/{logs[0]['_id']}?promptId={prompt['_id']}&sort=createdAt")
    assert 'rel="prev"' not in first.text
    found = re.search('rel="next" href="([^"]+)"', first.text)
    assert found is not None
    second = visitor.get(found[1].replace("&amp;", "&"))
    assert "Answer number 1" in text_of(second)
    assert (
        visitor.get(f"/outputs?promptId={prompt['_id']}&as=json").json
        == ada.get(f"/logs?promptId={prompt['_id']}").json
    )


def test_an_output_is_scored_noted_and_deleted(app: Flask, ada: Person) -> None:
    log = ada.log(ada.prompt())
    visitor = Visitor(app, ada)
    one = f"/outputs/{log['_id']}"
    page = visitor.follow(visitor.submit(one, {"notes": "Good\r\nstart"}))
    assert "Saved." in text_of(page)
    page = visitor.follow(visitor.submit(f"{one}/score", {"value": "8.5", "comment": "Clear"}))
    assert "ada just now Clear 8.5" in text_of(page)
    stored = ada.get(f"/logs/{log['_id']}").json
    assert (stored["score"], stored["notes"]) == (8.5, "Good\nstart")
    refused = visitor.submit(f"{one}/score", {"value": "11", "comment": "Kept"})
    assert refused.status_code == 400
    assert "from 0 to 10" in text_of(refused)
    assert "Kept</textarea>" in refused.text
    assert ada.get(f"/logs/{log['_id']}").json["score"] == 8.5
    visitor.submit(f"{one}/score", {"value": "", "comment": ""})
    assert (ada.get(f"/logs/{log['_id']}").json["score"], ada.get(f"/logs/{log['_id']}/scores").json) == (None, [])
    asked = visitor.get(f"/outputs/delete?log={log['_id']}")
    assert "This cannot be undone" in text_of(asked)
    assert "The output is deleted" in text_of(visitor.follow(visitor.submit("/outputs/delete", {"log": log["_id"]})))
    assert ada.get(f"/logs/{log['_id']}").status_code == 404


def test_an_output_is_shown_as_text_markdown_or_json(app: Flask, ada: Person) -> None:
    prompt = ada.prompt()
    hostile = "# Hello\n\n<script>alert(1)</script> **bold** ![x](http://evil.example/x.png) [j](javascript:alert(1))"
    chat = [
        {"role": "user", "content": "<i>Hi</i>"},
        {"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]},
    ]
    log = ada.log(prompt, output=hostile, input=chat)
    visitor = Visitor(app, ada)
    one = f"/outputs/{log['_id']}"
    for view, expected in (("text", "**bold**"), ("markdown", "<strong>bold</strong>"), ("json", "This is not JSON.")):
        page = visitor.get(f"{one}?view={view}")
        assert expected in page.text
        assert "<script>alert" not in page.text
        assert "<img" not in page.text
        assert 'href="javascript' not in page.text
    assert "&lt;i&gt;Hi&lt;/i&gt;" in page.text
    assert "calls f" in text_of(visitor.get(one))
    assert visitor.get(f"{one}?view=html").status_code == 400
    folded = ada.log(prompt, output='{"a": {"b": "<b>"}}')
    page = visitor.get(f"/outputs/{folded['_id']}?view=json")
    assert '<details class="json" open>' in page.text
    assert "&lt;b&gt;" in page.text


def test_an_output_says_what_it_cost_and_how_that_is_known(app: Flask, ada: Person) -> None:
    prompt = ada.prompt(content="Say {{x}}")
    usage = {
        "prompt_tokens": 1420,
        "completion_tokens": 180,
        "prompt_tokens_details": {"cached_tokens": 256},
        "completion_tokens_details": {"reasoning_tokens": 64},
    }
    visitor = Visitor(app, ada)

    def show(**values: object) -> str:
        log = ada.log(prompt, **values)
        return text_of(visitor.get(f"/outputs/{log['_id']}"))

    computed = show(modelUsed="gpt-4o", usage=usage)
    assert "1,420 (256 from a cache) in, 180 (64 reasoning) out" in computed
    assert "computed with the price of openai/gpt-4o in genai-prices" in computed
    assert "What version 1 says Say {{x}}" in computed
    assert "$0.125 as sent" in show(cost=0.125)
    assert "neither sent nor computed" in show(modelUsed="unknown-model-of-mine")
    audio = {"prompt_tokens": 5, "completion_tokens": 5, "prompt_tokens_details": {"audio_tokens": 3}}
    assert "no price for its audio tokens" in show(modelUsed="gpt-4o", usage=audio)


def test_the_time_of_an_output_is_the_latency_that_was_sent_or_else_measured_from_start_to_end(
    app: Flask, ada: Person
) -> None:
    prompt = ada.prompt()
    times = {"startTime": "2026-06-20T10:00:00.000Z", "endTime": "2026-06-20T10:00:02.500Z"}
    both = ada.log(prompt, **times, latencyMs=900)["_id"]
    measured = ada.log(prompt, **times)["_id"]
    turned = ada.log(prompt, startTime=times["endTime"], endTime=times["startTime"])["_id"]
    statistics = ada.get(f"/prompts/{prompt['_id']}/stats").json
    assert statistics["groups"][0]["latencyMs"]["count"] == 2
    visitor = Visitor(app, ada)
    expected = {both: "Time 900 ms Tokens", measured: "Time 2.50 s from start to end Tokens", turned: "Time – Tokens"}
    for log_id, shown in expected.items():
        assert shown in text_of(visitor.get(f"/outputs/{log_id}"))
    listed = visitor.get("/outputs?column=time").text
    assert re.findall('<td class="number small nowrap[^>]*>([^<]*)</td>', listed) == ["–", "2.50 s", "900 ms"]
    compared = text_of(visitor.get(f"/compare?log={measured}&log={turned}"))
    assert compared.count("2.50 s") == 1


def test_what_was_sent_as_json_is_shown_as_it_was_sent(app: Flask, ada: Person) -> None:
    sent = {"note": "it’s <b> & 'so'", "tries": 2, "ok": True}
    log = ada.log(ada.prompt(), metadata=sent, parameters={"stop": ["</s>"]}, variables={"list": [1, None]})
    visitor = Visitor(app, ada)
    page = visitor.get(f"/outputs/{log['_id']}")
    text = text_of(page)
    assert '{ "note": "it’s <b> & \'so\'", "tries": 2, "ok": true }' in text
    assert "&lt;b&gt;" in page.text
    assert "<b>" not in page.text
    assert '"stop": [ "</s>" ]' in text
    assert "list [1, null]" in text
    assert "list [1, null]" in text_of(visitor.get("/outputs?column=variables"))


def test_refused_notes_are_kept_in_the_form(app: Flask, ada: Person) -> None:
    log = ada.log(ada.prompt())
    answer = Visitor(app, ada).submit(f"/outputs/{log['_id']}", {"notes": "Kept\0"})
    assert answer.status_code == 400
    assert 'id="notes-error"' in answer.text
    assert "Kept" in answer.text


def test_outputs_are_reviewed_one_after_the_other_and_the_last_one_can_be_changed(app: Flask, ada: Person) -> None:
    prompt = ada.prompt()
    logs = {ada.log(prompt, output=f"Answer {n}")["_id"] for n in range(3)}
    visitor = Visitor(app, ada)
    address = f"/review?promptId={prompt['_id']}&raters=1&order=newest"
    page, seen = visitor.get(address), []
    for value in (0, 5, 10):
        found = re.search('name="output" value="([^"]+)"', page.text)
        assert found is not None
        seen.append(found[1])
        page = visitor.follow(visitor.submit(address, {"output": found[1], "value": str(value), "comment": "Why"}))
    assert set(seen) == logs
    assert "Nothing left to review" in text_of(page)
    assert "All 3 outputs are scored" in text_of(page)
    assert [ada.get(f"/logs/{each}").json["score"] for each in seen] == [0, 5, 10]
    visitor.submit(address, {"output": seen[-1], "value": "4"})
    (score,) = ada.get(f"/logs/{seen[-1]}/scores").json
    assert score["value"] == 4
    assert visitor.submit(address, {"output": seen[0], "value": "12"}).status_code == 400


def test_only_numbers_as_people_write_them_are_scores(app: Flask, ada: Person) -> None:
    log, visitor = ada.log(ada.prompt()), Visitor(app, ada)
    for value in ("1_0", "\u0661", "nan", "1e999", "0x1", "1,5", "--1", ".", "1e", "\u00bd"):
        answer = visitor.submit(f"/outputs/{log['_id']}/score", {"value": value})
        assert answer.status_code == 400, value
    for value, number in (("7", 7), ("7.5", 7.5), ("+3", 3), (".5", 0.5), ("2.", 2), ("1e0", 1)):
        assert visitor.submit(f"/outputs/{log['_id']}/score", {"value": value}).status_code == 303, value
        assert ada.get(f"/logs/{log['_id']}").json["score"] == number


def test_a_blind_review_shows_neither_model_nor_version_nor_other_scores(app: Flask, ada: Person) -> None:
    log = ada.log(ada.prompt(model="secret-model"), modelUsed="secret-model", notes="A secret note", output="Hello")
    ada.post(f"/logs/{log['_id']}/scores", {"name": "tone", "value": 3, "annotator": "judge"})
    page = Visitor(app, ada).get("/review?blind=true&raters=1")
    assert "Hello" in page.text
    assert "secret" not in page.text
    assert "version 1" not in page.text
