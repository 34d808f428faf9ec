"""The list of outputs: its filters as a form, what it shows of each output, and what is done with chosen ones."""

import html
import re
import shlex
from urllib.parse import urlsplit

import pytest
from flask import Flask

from tests.support.members import share
from tests.support.people import Person
from tests.support.visitors import Visitor, home_of, text_of


def test_each_filter_of_the_api_works_on_the_page_and_stays_in_the_form(app: Flask, ada: Person) -> None:
    prompt = ada.prompt(title="Explain", tags=["school"])
    ada.put(f"/prompts/{prompt['_id']}/labels/production", {"version": 1})
    about = {"userId": "u1", "sessionId": "s1", "environment": "live", "metadata": {"customer": "42"}}
    ada.log(prompt, output="The wanted one", notes="Good", score=8, **about)
    ada.log(ada.prompt(title="Other"), output="Another", modelUsed="other")
    filters = {
        "promptId": prompt["_id"],
        "label": "production",
        "tag": "school",
        "minScore": "7",
        "maxScore": "9",
        "scoreName": "score",
        "hasNotes": "true",
        "status": "ok",
        "userId": "u1",
        "sessionId": "s1",
        "environment": "live",
        "since": "1d",
        "until": "2100-01-01",
        "metadata.customer": "42",
        "q": "wanted",
        "in": "output",
        "source": "promptcrafter",
        "sort": "worst",
    }
    visitor = Visitor(app, ada)
    page = visitor.get("/outputs", query_string=filters)
    assert page.status_code == 200, page.text
    assert "1 output" in text_of(page)
    assert "<mark>wanted</mark>" in page.text
    assert "Another" not in page.text
    for name, value in filters.items():
        field = re.search(rf'<(?:input|select)[^>]* name="{re.escape(name)}"[^>]*>(?:(?!</select>).)*', page.text)
        assert field is not None, name
        assert f'value="{value}"' in field[0], name
    assert f'value="{prompt["_id"]}" selected' in page.text


@pytest.mark.parametrize(
    ("query", "field", "reason"),
    [
        ("minScore=11", "minScore", "Must be a number from 0 to 10"),
        ("since=yesterday&q=kept", "since", "Must be an ISO 8601 time"),
        ("promptVersion=1", "promptVersion", "Needs promptId beside it"),
        ("in=notes", "in", "Needs q beside it"),
        ("q=...", "q", "Must have 1 to 32 words"),
        ("where=customer", "where", "Must be a key and a value"),
        ("status=odd", "status", "Must be"),
    ],
)
def test_a_filter_that_is_refused_says_so_beside_its_field_and_the_form_is_kept(
    app: Flask, ada: Person, query: str, field: str, reason: str
) -> None:
    page = Visitor(app, ada).get(f"/outputs?{query}&userId=u7")
    assert page.status_code == 400
    found = re.search(rf'<p class="error" id="{field}-error">([^<]+)</p>', page.text)
    assert found is not None, page.text
    assert html.unescape(found[1]).startswith(reason)
    assert f'aria-describedby="{field}-error"' in page.text
    assert 'value="u7"' in page.text


def test_what_no_field_shows_is_refused_above_the_form(app: Flask, ada: Person) -> None:
    visitor = Visitor(app, ada)
    for query, reason in (
        ("cursor=x", "cursor"),
        ("metadata.a=" + "x" * 501, "metadata"),
        ("column=nonsense", "column"),
        ("nonsense=1", "is not a parameter"),
    ):
        page = visitor.get(f"/outputs?{query}")
        assert page.status_code == 400
        assert reason in text_of(page).lower()
        assert 'role="alert"' in page.text


def test_a_filter_of_metadata_is_added_by_a_field_and_removed_by_a_link(app: Flask, ada: Person) -> None:
    prompt = ada.prompt()
    ada.log(prompt, output="Of customer 42", metadata={"customer": "42", "a=b": "c"})
    ada.log(prompt, output="Of nobody")
    visitor = Visitor(app, ada)
    page = visitor.follow(visitor.get("/outputs?where=customer%3D42&status=ok"))
    assert "Of customer 42" in page.text
    assert "Of nobody" not in page.text
    assert 'type="hidden" name="metadata.customer" value="42"' in page.text
    found = re.search(r'<a href="([^"]+)" aria-label="Without metadata.customer"', page.text)
    assert found is not None
    assert "Of nobody" in visitor.get(html.unescape(found[1])).text


def test_hits_are_marked_around_the_first_one_and_nothing_hostile_runs(app: Flask, ada: Person) -> None:
    prompt = ada.prompt()
    ada.log(prompt, output=f"{'filler ' * 200}<b>needle</b> <script>alert(1)</script>", notes="A needle <i>there</i>")
    page = Visitor(app, ada).get("/outputs?q=needle")
    assert "&lt;b&gt;<mark>needle</mark>&lt;/b&gt; &lt;script&gt;" in page.text
    assert "A <mark>needle</mark> &lt;i&gt;" in page.text


def test_columns_are_chosen_and_kept_in_links(app: Flask, ada: Person) -> None:
    ada.log(ada.prompt(), output="Hello", userId="user-7", environment="live", cost=0.5)
    visitor = Visitor(app, ada)
    assert "$0.50" in visitor.get("/outputs").text
    page = visitor.get("/outputs?column=user&column=environment&sort=createdAt")
    assert "user-7" in text_of(page)
    assert "$0.50" not in page.text
    found = re.search(r'href="([^"]+/outputs/log_[^"]+)"', page.text)
    assert found is not None
    one = visitor.get(html.unescape(found[1]))
    assert one.status_code == 200
    assert "column=user&amp;column=environment" in one.text


def test_many_outputs_are_counted_on_request(app: Flask, ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = ada.prompt()
    logs = [{"promptId": prompt["_id"], "output": f"Answer {n} word", "modelUsed": "m"} for n in range(60)]
    ada.post("/logs/batch", {"logs": logs})
    visitor = Visitor(app, ada)
    first = visitor.get("/outputs?q=word")
    assert "The first 50 outputs · count all" in text_of(first)
    assert "60 outputs" in text_of(visitor.get("/outputs?q=word&count=true"))
    assert "60 outputs" in text_of(visitor.get('/outputs?q="word"+-nothing&count=true'))
    monkeypatch.setattr("promptcrafter.pages.outputs._COUNTED_MAX", 55)
    assert "55+ outputs" in text_of(visitor.get("/outputs?count=true"))


@pytest.mark.parametrize("query", ["q=word", 'q="a+word"', "sort=best", "sort=score&scored=true", "minScore=3"])
def test_the_neighbours_of_an_output_are_those_of_its_list(app: Flask, ada: Person, query: str) -> None:
    prompt = ada.prompt()
    for number in range(6):
        ada.log(prompt, output=f"a word {number}" if number != 2 else "else", score=number)
    visitor = Visitor(app, ada)
    page = visitor.get(f"/outputs?{query}")
    listed = re.findall(r'name="log" value="([^"]+)"', page.text)
    found = re.search(r'href="([^"]+/outputs/log_[^"]+)"', page.text)
    walked: list[str] = []
    while found is not None:
        address = html.unescape(found[1])
        walked.append(urlsplit(address).path.rpartition("/")[2])
        one = visitor.get(address)
        back = re.search('rel="prev" href="([^"]+)"', one.text)
        before = back and urlsplit(back[1]).path.rpartition("/")[2]
        assert before == (walked[-2] if len(walked) > 1 else None)
        found = re.search('rel="next" href="([^"]+)"', one.text)
    assert walked == listed
    assert len(walked) > 2


def test_chosen_outputs_are_exported_and_deleted_all_or_none(app: Flask, ada: Person, ben: Person) -> None:
    prompt = ada.prompt()
    kept, *chosen = [ada.log(prompt, output=f"Answer {n}")["_id"] for n in range(4)]
    visitor = Visitor(app, ada)
    query = "&".join(f"log={each}" for each in chosen)
    exported = visitor.get(f"/outputs/chosen?as=json&{query}")
    assert exported.json == [ada.get(f"/logs/{each}").json for each in reversed(chosen)]
    assert visitor.get(f"/outputs/chosen?as=csv&{query}").text.count("Answer") == 3
    asked = visitor.get(f"/outputs/delete?{query}")
    assert "Delete 3 outputs?" in text_of(asked)
    assert len(ada.get("/logs").json) == 4
    foreign = ben.log(ben.prompt())["_id"]
    assert visitor.submit("/outputs/delete", {"log": [*chosen, foreign]}).status_code == 404
    assert visitor.submit("/outputs/delete", {"log": [*chosen, "log_unknown"]}).status_code == 404
    assert visitor.submit("/outputs/delete", {"log": [chosen[0]] * 51}).status_code == 400
    assert visitor.submit("/outputs/delete", {}).status_code == 400
    assert len(ada.get("/logs").json) == 4
    assert "are deleted" in text_of(visitor.follow(visitor.submit("/outputs/delete", {"log": chosen})))
    assert [log["_id"] for log in ada.get("/logs").json] == [kept]


def test_a_viewer_scores_with_a_comment_and_is_shown_neither_notes_field_nor_deletion(
    app: Flask, ada: Person, ben: Person
) -> None:
    log = ada.log(ada.prompt(), notes="A note")
    share(ada, ben, "viewer")
    visitor, home = Visitor(app, ben), home_of(ada)
    assert "Delete" not in text_of(visitor.get(f"{home}/outputs"))
    page = visitor.get(f"{home}/outputs/{log['_id']}")
    assert "A note" in text_of(page)
    assert "<textarea" in page.text
    assert 'name="notes"' not in page.text
    assert "Delete" not in text_of(page)
    one = f"{home}/outputs/{log['_id']}"
    shown = visitor.follow(visitor.submit(f"{one}/score?sort=worst", {"value": "7", "comment": "Fine"}))
    assert "Fine</textarea>" in shown.text
    (score,) = ada.get(f"/logs/{log['_id']}/scores").json
    assert (score["value"], score["comment"], score["author"]["name"]) == (7, "Fine", "ben")
    assert visitor.submit(one, {"notes": "Mine"}).status_code == 403
    assert visitor.get(f"{home}/outputs/delete?log={log['_id']}").status_code == 403
    assert visitor.submit(f"{home}/outputs/delete", {"log": log["_id"]}).status_code == 403


@pytest.mark.parametrize(
    "path", ["outputs?q=hello+%24%28id%29&sort=createdAt&column=user&metadata.a=1&per_page=1", "prompts", "runs"]
)
@pytest.mark.parametrize("is_guest", [False, True], ids=["own", "of others"])
def test_the_curl_line_answers_with_the_same_list_as_the_download(
    app: Flask, ada: Person, ben: Person, path: str, is_guest: bool
) -> None:
    prompt = ada.prompt()
    for number in range(3):
        ada.log(prompt, output=f"Hello $(id) {number}", metadata={"a": 1})
    share(ada, ben, "editor")
    caller = ben if is_guest else ada
    visitor = Visitor(app, caller)
    page = visitor.get(f"{home_of(ada)}/{path}")
    if path == "runs":  # without any run it shows no foot
        ada.post("/monitor/trace", {"name": "t"})
    found = re.search('<pre [^>]*id="curl-line"[^>]*>([^<]+)</pre>', page.text)
    if found is None:
        assert path == "runs"
        return
    line = html.unescape(found[1])
    assert not set("$`\\!") & set(line.replace("$KEY", ""))
    key = caller.post("/auth/keys", {"name": "mine"}).json["key"]
    program, *arguments = shlex.split(line.replace("$KEY", key))
    assert program == "curl"
    headers = dict(arguments[place + 1].split(": ", 1) for place, each in enumerate(arguments) if each == "-H")
    answer = app.test_client().get(arguments[-1], headers=headers)
    joint = "&" if "?" in path else "?"
    download = visitor.get(f"{home_of(ada)}/{path}{joint}as=json")
    assert answer.status_code == download.status_code == 200
    assert answer.json == download.json
    assert len(download.json) == (1 if path == "prompts" else 3)


def test_an_output_that_several_people_have_scored_shows_their_mean_as_statistics_do(
    app: Flask, ada: Person, ben: Person
) -> None:
    prompt = ada.prompt(title="Soap")
    logs = [ada.log(prompt, output=f"Answer {number}", score=5) for number in range(2)]
    ben.headers |= share(ada, ben, "editor")
    assert ben.patch(f"/logs/{logs[0]['_id']}", {"score": 2}).status_code == 200
    visitor = Visitor(app, ada)
    for page in (visitor.get("/outputs?promptId=" + prompt["_id"]), visitor.get(f"/prompts/{prompt['_id']}")):
        text = text_of(page)
        assert "3.5 of 2 scores" in text
        assert text.count("of 2 scores") == 1, "a score alone is said without a number of people"
    compared = text_of(visitor.get(f"/compare?log={logs[0]['_id']}&log={logs[1]['_id']}"))
    assert "score 3.5 (mean of 2)" in compared
    assert "score 5 " in compared
    assert ada.get(f"/logs/{logs[0]['_id']}").json["score"] == 2, "the API keeps the last one"


def test_variables_are_a_column_and_a_search_leaves_the_choice_of_columns_closed(app: Flask, ada: Person) -> None:
    prompt = ada.prompt(content="Answer {{complaint}}")
    ada.log(prompt, output="Sorry.", variables={"complaint": "Tea smells of soap", "tries": [1, 2]})
    visitor = Visitor(app, ada)
    page = visitor.get("/outputs?column=model&column=variables")
    assert "complaint Tea smells of soap tries [1, 2]" in text_of(page)
    searched = visitor.get("/outputs?q=sorry&column=model&column=score&column=cost&column=time&column=when")
    assert "<details><summary>Columns</summary>" in searched.text
    assert '<details><summary>Columns <span class="badge">2</span></summary>' in page.text
