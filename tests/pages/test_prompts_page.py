"""The list of prompts: its search, folders and filters, and what its rows say."""

import re

from flask import Flask
from sqlalchemy import update

from promptcrafter import clock
from promptcrafter.database.session import session
from promptcrafter.database.transactions import writing
from promptcrafter.logs.models import Log
from tests.support.members import share
from tests.support.people import Person
from tests.support.visitors import Visitor, home_of, text_of


def test_the_list_is_filtered_by_tags_and_is_the_list_of_the_api_as_a_file(app: Flask, ada: Person) -> None:
    for number in range(55):
        ada.prompt(title=f"Prompt {number}", tags=["even" if number % 2 == 0 else "odd"])
    visitor = Visitor(app, ada)
    page = visitor.get("/prompts")
    assert page.text.count("title-cell") == 50
    following = re.search('href="([^"]+)" rel="next"', page.text)
    assert following is not None
    assert visitor.get(following[1].replace("&amp;", "&")).text.count("title-cell") == 5
    odd = visitor.get("/prompts?tag=odd&q=")
    assert "Prompt 1" in odd.text
    assert "Prompt 2<" not in odd.text
    assert visitor.get("/prompts?as=json&tag=odd").json == ada.get("/prompts?tag=odd").json
    as_csv = ada.get("/prompts?tag=odd", headers={"Accept": "text/csv"})
    assert visitor.get("/prompts?as=csv&tag=odd").data == as_csv.data
    assert visitor.get("/prompts?nonsense=1").status_code == 400


def test_the_search_finds_what_the_api_finds_with_hits_marked(app: Flask, ada: Person) -> None:
    for number in range(55):
        ada.prompt(title=f"Prompt {number}", content="Something about <b>Tides</b> and more.", tags=["sea"])
    ada.prompt(title="The tides", content="Other")
    ada.prompt(title="Unrelated", content="Other")
    visitor = Visitor(app, ada)
    page = visitor.get("/prompts?q=tides")
    assert page.text.count("title-cell") == 50
    assert page.text.index("The <mark>tides</mark>") < page.text.index("<mark>Tides</mark>&lt;/b&gt;")
    assert "Unrelated" not in page.text
    following = re.search('href="([^"]+)" rel="next"', page.text)
    assert following is not None
    assert visitor.get(following[1].replace("&amp;", "&")).text.count("title-cell") == 6
    assert visitor.get("/prompts?as=json&q=tides").json == ada.get("/search?q=tides").json
    assert "Nothing found" in text_of(visitor.get("/prompts?q=nowhere"))
    assert "Unrelated" in visitor.get("/prompts?q=+").text, "no word"
    many = "+".join(f"word{number}" for number in range(40))
    assert visitor.get(f"/prompts?q={many}").status_code == 400
    cursor = re.search("cursor=([0-9-]+)", following[1])
    assert cursor is not None
    assert visitor.get(f"/prompts?cursor={cursor[1]}").status_code == 400
    assert visitor.get(f"/prompts?q=tides&cursor={cursor[1][2:]}").status_code == 400


def test_folders_and_choices_lead_to_what_is_in_them(app: Flask, ada: Person, ben: Person) -> None:
    workspace = share(ada, ben, "editor")
    ada.prompt(title="Short reply", slug="support/reply/short", model="m1")
    ada.prompt(title="Greeting", slug="support/greeting", model="m2")
    own = ben.post("/prompts", {"title": "Bens", "content": "c", "model": "m1", "slug": "bens"}, headers=workspace).json
    ada.put(f"/prompts/{own['_id']}/labels/production", {"version": 1})
    visitor, home = Visitor(app, ada), home_of(ada)
    top = visitor.get(f"{home}/prompts")
    assert "support 2" in text_of(top)
    inside = visitor.get(f"{home}/prompts?folder=support")
    assert "reply 1" in text_of(inside)
    assert "Bens" not in inside.text.partition("<tbody>")[2]
    deeper = visitor.get(f"{home}/prompts?folder=support/reply").text.partition("<tbody>")[2]
    assert ("Short reply" in deeper, "Greeting" in deeper) == (True, False)
    for query, titles in (
        (f"author={ben.id}", ["Bens"]),
        ("label=production", ["Bens"]),
        ("model=m1&label=&author=", ["Bens", "Short reply"]),
        (f"model=m2&author={ben.id}", []),
    ):
        page = visitor.get(f"{home}/prompts?{query}")
        assert re.findall('title-cell"><a [^>]+>([^<]+)', page.text) == titles, query
        assert [each["title"] for each in visitor.get(f"{home}/prompts?as=json&{query}").json] == titles
        assert ("No prompt matches" in text_of(page)) is not bool(titles)
    assert [each["title"] for each in ada.get(f"/prompts?author={ben.id}").json] == ["Bens"]


def test_rows_say_how_many_outputs_came_how_good_they_are_and_who_changed_what(
    app: Flask, ada: Person, ben: Person
) -> None:
    prompt, _ = ada.prompt(title="Used"), ada.prompt(title="Unused")
    workspace = share(ada, ben, "editor")
    ben.patch(f"/prompts/{prompt['_id']}", {"content": "New", "comment": "Shorter"}, headers=workspace)
    for score in (6, 7):
        ada.log(prompt, output="o", score=score)
    old = ada.log(prompt, output="long ago")
    with app.app_context(), writing():
        long_ago = clock.from_text("2020-01-01T00:00:00Z")
        session.execute(update(Log).where(Log.id == old["_id"]).values(created_at=long_ago))
    rows = Visitor(app, ada).get(f"{home_of(ada)}/prompts").text.partition("<tbody>")[2].split("</tr>")
    used = re.findall('class="number[^>]+>(.*?)</td>', next(row for row in rows if "Used" in row))
    unused = re.findall('class="number[^>]+>(.*?)</td>', next(row for row in rows if "Unused" in row))
    assert used == ["2", "2", '<span class="score">6.5</span>']
    assert unused == ["1", '<span class="muted">–</span>', '<span class="muted">–</span>']
    changed = next(row for row in rows if "Used" in row)
    assert f"<bdi>{ben.get('/auth/me').json['name']}</bdi>," in changed
    assert "Shorter" in changed


def test_an_empty_workspace_says_what_a_prompt_is_and_how_to_begin(app: Flask, ada: Person, ben: Person) -> None:
    page = text_of(Visitor(app, ada).get("/prompts"))
    assert "No prompts yet" in page
    assert "Write the first prompt" in page
    assert "curl http://localhost/prompts" in page
    share(ada, ben, "viewer")
    assert "Write the first prompt" not in text_of(Visitor(app, ben).get(f"{home_of(ada)}/prompts"))
