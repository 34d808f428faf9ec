"""Versions, labels, diff, restore and render."""

from typing import Any
from urllib.parse import unquote

import pytest
from flask import Flask
from sqlalchemy import update

from promptcrafter import clock
from promptcrafter.auth.models import User
from promptcrafter.database.session import session
from promptcrafter.database.transactions import writing
from promptcrafter.prompts.render import find_variables, render_text
from promptcrafter.text import shorten
from tests.support.databases import only_sqlite
from tests.support.members import share
from tests.support.people import Caller, Person
from tests.support.statements import statements

CHAT = ["type", "messages", "config"]  # after what earlier releases have shown


@pytest.fixture
def prompt(ada: Person) -> dict[str, Any]:
    """A prompt with three versions."""
    prompt = ada.prompt(content="one", model="m1")
    path = f"/prompts/{prompt['_id']}"
    ada.patch(path, {"content": "two"})
    return dict(ada.patch(path, {"model": "m3"}).json)


def versions(person: Person, prompt: dict[str, Any]) -> list[tuple[int, str, str, list[str]]]:
    rows = person.get(f"/prompts/{prompt['_id']}/versions").json
    return [(row["version"], row["content"], row["model"], row["labels"]) for row in rows]


def label(person: Person, prompt: dict[str, Any], name: str, version: Any) -> Any:
    return person.open(f"/prompts/{prompt['_id']}/labels/{name}", method="PUT", json={"version": version})


def test_versions_are_listed_newest_first_and_never_change(ada: Person, prompt: dict[str, Any]) -> None:
    rows = ada.get(f"/prompts/{prompt['_id']}/versions").json
    assert list(rows[0]) == ["version", "content", "model", "labels", "createdAt", "createdBy", "author", *CHAT]
    assert {row["createdBy"] for row in rows} == {ada.id}
    assert versions(ada, prompt) == [(3, "two", "m3", []), (2, "two", "m1", []), (1, "one", "m1", [])]
    first = ada.get(f"/prompts/{prompt['_id']}/versions?per_page=2")
    second = ada.get(first.headers["Link"].partition("<http://localhost")[2].partition(">")[0])
    assert first.json + second.json == rows


@pytest.mark.parametrize(("name", "number"), [("1", 1), ("3", 3), ("latest", 3), ("production", 2)])
def test_a_version_is_found_by_number_label_and_latest(
    ada: Person, prompt: dict[str, Any], name: str, number: int
) -> None:
    label(ada, prompt, "production", 2)
    assert ada.get(f"/prompts/{prompt['_id']}/versions/{name}").json["version"] == number


@pytest.mark.parametrize("name", ["0", "4", "01", "-1", "1.0", "staging", "9" * 30, "%00", "Latest"])
def test_an_unknown_or_malformed_version_is_404(ada: Person, prompt: dict[str, Any], name: str) -> None:
    answer = ada.get(f"/prompts/{prompt['_id']}/versions/{name}")
    assert (answer.status_code, answer.json["message"]) == (404, "Version not found")
    reason = f"{shorten(unquote(name))} is neither the number nor a label of a version of this prompt"
    assert answer.json["details"] == {"version": [reason]}


def test_a_label_is_on_one_version_and_can_be_moved(ada: Person, prompt: dict[str, Any]) -> None:
    answer = label(ada, prompt, "production", 1)
    assert answer.status_code == 200
    assert answer.json == {**prompt, "labels": ["production"]}
    assert label(ada, prompt, "beta", 1).json["labels"] == ["beta", "production"]
    assert label(ada, prompt, "production", 2).json["labels"] == ["beta", "production"]
    assert [row[3] for row in versions(ada, prompt)] == [[], ["production"], ["beta"]]
    answer = ada.delete(f"/prompts/{prompt['_id']}/labels/production")
    assert (answer.status_code, answer.data) == (204, b"")
    assert ada.get(f"/prompts/{prompt['_id']}").json["labels"] == ["beta"]
    again = ada.delete(f"/prompts/{prompt['_id']}/labels/production")
    assert (again.status_code, again.json["message"]) == (404, "Label not found")


def test_a_bad_label_or_version_is_named(ada: Person, prompt: dict[str, Any], subtests: pytest.Subtests) -> None:
    for name, version, field in [
        ("latest", 1, "label"),
        ("1", 1, "label"),
        ("no%20blanks", 1, "label"),
        ("x" * 65, 1, "label"),
        ("production", 4, "version"),
        ("production", 0, "version"),
        ("production", "1", "version"),
        ("production", "staging", "version"),
        ("production", "production", "version"),
        ("production", "no label", "version"),
        ("production", True, "version"),
        ("production", 1.5, "version"),
        ("production", None, "version"),
    ]:
        with subtests.test(name=name, version=version):
            answer = label(ada, prompt, name, version)
            assert (answer.status_code, list(answer.json["details"])) == (400, [field])
            assert ada.get(f"/prompts/{prompt['_id']}").json["labels"] == []


def test_a_label_is_set_on_the_version_that_another_label_names(
    ada: Person, ben: Person, prompt: dict[str, Any]
) -> None:
    assert label(ada, prompt, "staging", 2).status_code == 200
    assert label(ada, prompt, "production", "staging").json["labels"] == ["production", "staging"]
    assert label(ada, prompt, "staging", "latest").status_code == 200
    assert [row[3] for row in versions(ada, prompt)] == [["staging"], ["production"], []]
    assert label(ada, prompt, "production", "production").status_code == 200
    assert label(ada, prompt, "beta", 1.0).status_code == 200
    assert [row[3] for row in versions(ada, prompt)] == [["staging"], ["production"], ["beta"]]
    unknown = label(ada, prompt, "beta", "gamma")
    text = "version must be a version of the prompt, which has no label gamma; the latest is 3."
    assert unknown.json["message"] == text
    text = "version must be a whole number from 1 to 2147483647, a label or latest."
    assert [label(ada, prompt, "beta", each).json["message"] for each in ("2", 0)] == [text, text]
    assert label(ben, ben.prompt(), "production", "staging").status_code == 400, "labels of another prompt"
    restored = ada.post(f"/prompts/{prompt['_id']}/versions/beta/restore")
    assert (restored.status_code, restored.json["content"]) == (201, "one")
    diff = ada.get(f"/prompts/{prompt['_id']}/diff?from=beta&to=staging").json
    assert (diff["from"], diff["to"]) == (1, 3)


def test_a_diff_shows_what_changed(ada: Person) -> None:
    prompt = ada.prompt(content="a\nb\nc", model="m1")
    ada.patch(f"/prompts/{prompt['_id']}", {"content": "a\nB\nc", "model": "m2"})
    answer = ada.get(f"/prompts/{prompt['_id']}/diff?from=1&to=latest")
    assert answer.json == {
        "from": 1,
        "to": 2,
        "model": {"from": "m1", "to": "m2"},
        "diff": "--- version 1\n+++ version 2\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c",
        "messages": [],
        "config": [],
    }
    assert ada.get(f"/prompts/{prompt['_id']}/diff?from=2&to=2").json["diff"] == ""
    assert ada.get(f"/prompts/{prompt['_id']}/diff?from=1").json["message"] == "to is required"
    assert ada.get(f"/prompts/{prompt['_id']}/diff?from=1&to=9").status_code == 404


def test_a_diff_of_too_many_lines_says_that_it_is_simplified(ada: Person) -> None:
    prompt = ada.prompt(content="\n".join(["first", *"ab" * 15_000, "last"]))
    ada.patch(f"/prompts/{prompt['_id']}", {"content": "\n".join(["first", *"ba" * 15_000, "last"])})
    answer = ada.get(f"/prompts/{prompt['_id']}/diff?from=1&to=2").json
    header, *lines, last = answer["diff"].splitlines()[2:]
    assert (answer["simplified"], header, lines[0], last) == (True, "@@ -1,30002 +1,30002 @@", " first", " last")
    assert lines[1:] == [*("-a", "-b") * 15_000, *("+b", "+a") * 15_000]


def test_a_restored_version_is_a_new_one_and_is_found_again(ada: Person, prompt: dict[str, Any]) -> None:
    path = f"/prompts/{prompt['_id']}"
    answer = ada.post(f"{path}/versions/1/restore")
    assert answer.status_code == 201
    assert (answer.json["version"], answer.json["content"], answer.json["model"]) == (4, "one", "m1")
    assert ada.get(answer.headers["Location"]).json == answer.json
    now = ada.get(path).json
    assert (now["version"], now["content"], now["model"]) == (4, "one", "m1")
    assert ada.get("/search?q=one").json == [now]
    assert ada.get("/search?q=two").json == []
    assert ada.post(f"{path}/versions/9/restore").status_code == 404


def test_a_version_shows_who_made_it(app: Flask, ada: Person, ben: Person) -> None:
    prompt = ada.prompt()
    path = f"/prompts/{prompt['_id']}"
    share(ada, ben, "editor")
    ben.patch(path, {"content": "by ben"})
    ben.post(f"{path}/versions/1/restore")
    authors = [(row["createdBy"], row["author"]) for row in ada.get(f"{path}/versions").json]
    by_ada, by_ben = ((person.id, {"userId": person.id, "name": name}) for person, name in ((ada, "ada"), (ben, "ben")))
    assert authors == [by_ben, by_ben, by_ada]
    assert ada.get(f"{path}/versions/2").json["author"] == by_ben[1]
    table = ada.get(f"{path}/versions?per_page=1", headers={"Accept": "text/csv"}).text.splitlines()
    assert table[0].endswith("createdBy,author.userId,author.name,comment,type,messages,config")
    assert table[1].endswith(f'"{ben.id}","{ben.id}","ben",,"text",,"{{}}"')


@pytest.mark.parametrize(("name", "shown"), [("ben", "ben"), ("", "deleted account")])
def test_a_version_shows_its_author_after_the_account_is_deleted(
    app: Flask, ada: Person, ben: Person, name: str, shown: str
) -> None:
    prompt = ada.prompt()
    path = f"/prompts/{prompt['_id']}"
    share(ada, ben, "editor")
    ben.patch(path, {"content": "by ben"})
    with app.app_context(), writing():
        session.execute(update(User).where(User.id == ben.id).values(name=name, deleted_at=clock.now()))
    assert ada.get(f"{path}/versions/latest").json["author"] == {"userId": ben.id, "name": shown}
    assert ada.get(f"{path}/versions").json[0]["author"]["name"] == shown


def test_a_page_of_versions_is_read_with_its_authors_by_one_query(app: Flask, ada: Person, ben: Person) -> None:
    prompt = ada.prompt()
    share(ada, ben, "editor")
    path = f"/prompts/{prompt['_id']}"
    counts = []
    for number in range(2):
        for person in (ada, ben, ada):
            person.patch(path, {"content": f"{number} by {person.id}"})
        with statements(app) as seen:
            assert ada.get(f"{path}/versions?per_page=50").status_code == 200
        counts.append(len([statement for statement, _ in seen if statement.startswith("SELECT")]))
        assert len([statement for statement, _ in seen if "users.name" in statement]) == 1
    assert counts[0] == counts[1]


def test_a_version_keeps_the_comment_that_comes_with_its_change(ada: Person) -> None:
    path = f"/prompts/{ada.prompt()['_id']}"
    assert "comment" not in ada.get(f"{path}/versions/1").json
    assert "comment" not in ada.patch(path, {"content": "two", "comment": "Shorter"}).json
    assert ada.patch(path, {"model": "m3", "comment": "語" * 1000, "title": "Another"}).status_code == 200
    restored = ada.post(f"{path}/versions/1/restore", {"comment": "Two was\nworse"})
    assert (restored.status_code, restored.json["comment"]) == (201, "Two was\nworse")
    assert list(restored.json)[-5:] == ["author", "comment", *CHAT]
    ada.patch(path, {"content": "five", "comment": None})
    assert ada.post(f"{path}/versions/1/restore", {"comment": None}).status_code == 201
    comments = [row.get("comment") for row in ada.get(f"{path}/versions").json]
    assert comments == [None, None, "Two was\nworse", "語" * 1000, "Shorter", None]


@pytest.mark.parametrize(
    ("comment", "reason"),
    [
        ("", "must not be blank"),
        ("x" * 1001, "must have at most 1000 characters"),
        (" \n", "must not be blank"),
        (7, "must be a string"),
        ("\u0000", "must not contain the NUL character (U+0000)"),
    ],
)
def test_a_bad_comment_is_named_and_nothing_is_changed(ada: Person, comment: Any, reason: str) -> None:
    prompt = ada.prompt()
    path = f"/prompts/{prompt['_id']}"
    for answer in (
        ada.patch(path, {"content": "two", "comment": comment}),
        ada.post(f"{path}/versions/1/restore", {"comment": comment}),
    ):
        assert (answer.status_code, answer.json["details"]) == (400, {"comment": [reason]})
    assert ada.get(path).json == prompt


def test_a_comment_comes_with_what_makes_a_new_version(ada: Person) -> None:
    prompt = ada.prompt(content="one")
    path = f"/prompts/{prompt['_id']}"
    for body in ({"comment": "why"}, {"comment": "why", "title": "Another"}, {"comment": "why", "content": None}):
        answer = ada.patch(path, body)
        reason = "is kept with a new version, so content, messages, model or config must come with it"
        assert (answer.status_code, answer.json["details"]) == (400, {"comment": [reason]})
    assert ada.get(path).json == prompt
    change = {"content": "two", "comment": "why"}
    assert "X-Ignored-Fields" not in ada.patch(path, change).headers
    again = ada.patch(path, change)
    assert (again.status_code, again.json["version"], again.headers["X-Ignored-Fields"]) == (200, 2, "comment")
    strict = ada.patch(f"{path}?strict=true", {**change, "title": "Not stored"})
    assert (strict.status_code, list(strict.json["details"])) == (400, ["comment"])
    assert ada.get(path).json == again.json
    assert [row.get("comment") for row in ada.get(f"{path}/versions").json] == ["why", None]


def test_a_restoration_names_the_fields_that_it_ignores(ada: Person) -> None:
    path = f"/prompts/{ada.prompt()['_id']}/versions/1/restore"
    assert ada.post(path, {"coment": "x"}).headers["X-Ignored-Fields"] == "coment"
    strict = ada.post(f"{path}?strict=true", {"coment": "x"})
    assert strict.json["details"] == {"coment": ["is not a field of this call; the nearest is comment"]}
    key = {"Idempotency-Key": "once"}
    first, second = (ada.post(path, {"comment": "x"}, headers=key) for _ in range(2))
    assert (first.text, second.headers["Idempotency-Replayed"]) == (second.text, "true")
    assert ada.post(path, {"comment": "y"}, headers=key).status_code == 422


def test_a_version_is_rendered_with_its_variables(ada: Person) -> None:
    content = 'Dear {{name}}, {{ name }}: {"a": {"b": {c}}} {{{x}}} {{not one}} {{n}} %s $y'
    prompt = ada.prompt(content=content)
    path = f"/prompts/{prompt['_id']}/render"
    answer = ada.post(path, {"variables": {"name": "{{n}} & <Ada>", "n": [1, 2.0, None], "x": "é", "extra": 1}})
    text = 'Dear {{n}} & <Ada>, {{n}} & <Ada>: {"a": {"b": {c}}} {é} {{not one}} [1,2.0,null] %s $y'
    assert answer.json == {"text": text, "model": "gpt-4o", "version": 1, "config": {}}
    missing = ada.post(path, {"variables": {"name": "Ada"}})
    assert missing.status_code == 400
    assert missing.json["details"] == {"variables": ["must have a value for x", "must have a value for n"]}
    ada.patch(f"/prompts/{prompt['_id']}", {"content": "plain"})
    assert ada.post(path, {"variables": {}}).json["text"] == "plain"
    for version in (1, "1"):
        assert ada.post(path, {"variables": {}, "version": version}).status_code == 400
    for name in (2, 2.0, "2", "latest"):
        assert ada.post(path, {"variables": {}, "version": name}).json["version"] == 2
    assert ada.post(path, {"variables": {}, "version": "staging"}).status_code == 404
    assert ada.post(path, {}).json["message"] == "variables is required"


@pytest.mark.parametrize("name", ["label", "tag"])
def test_a_label_is_rendered_under_no_other_name_than_version(ada: Person, prompt: dict[str, Any], name: str) -> None:
    path, hint = f"/prompts/{prompt['_id']}/render", "is not a field of this call; send the label as version"
    body = {"variables": {"age": 7}, name: "production"}
    for query in ("", "?strict=true"):
        answer = ada.post(path + query, json=body)
        assert (answer.status_code, answer.json["details"]) == (400, {name: [hint]})
    answer = ada.post(path, json={**body, name: None, "other": 1})
    assert (answer.status_code, answer.headers["X-Ignored-Fields"]) == (200, f"{name}, other")


def test_a_rendered_text_has_at_most_as_many_bytes_as_an_output(app: Flask, ada: Person) -> None:
    app.config["MAX_OUTPUT_BYTES"] = 1000
    prompt = ada.prompt(content="{{a}}é{{ a }}\n" * 50)  # 4 bytes of each line are its own
    path = f"/prompts/{prompt['_id']}/render"
    for value, size in (
        ("", 200),
        ("x" * 8, 1000),
        ("é" * 4, 1000),
        ("\x1f" * 2, 1400),
        ('"\\\n\t', 1000),
        ("😀" * 2, 1000),
        ("{{a}}", 700),
        ([1, 2.5, None], 1400),
        ({"a": "\n"}, 1700),
        (True, 600),
        ("x" * 1000, 100_200),
    ):
        answer = ada.post(path, {"variables": {"a": value}})
        if size <= 1000:
            assert len(answer.get_data().partition(b'"text":"')[2].partition(b'","model"')[0]) == size
        else:
            message = f"The rendered text may have at most 1,000 bytes; it is {size:,}."
            assert (answer.status_code, answer.json["message"]) == (413, message)


@only_sqlite
def test_a_great_many_variables_without_a_value_are_counted(ada: Person) -> None:
    prompt = ada.prompt(content="".join(f"{{{{a{number}}}}}" for number in range(100_000)))
    missing = ada.post(f"/prompts/{prompt['_id']}/render", {"variables": {"a0": 1}})
    assert (missing.status_code, len(missing.json["details"]["variables"])) == (400, 100)
    assert missing.json["message"].endswith("variables must have a value for a100. And 99899 more.")
    assert ada.post(f"/prompts/{prompt['_id']}/render", {"variables": {}}).status_code == 400


def test_rendering_is_one_pass_over_the_names_between_double_braces() -> None:
    assert find_variables("{{b}} {{a}} {{b}} {{имя}} {{ x-1.y }} {c} {{}} {{a b}}") == ["b", "a", "имя", "x-1.y"]
    assert render_text("{{a}}{{b}}", {"a": "{{b}}", "b": r"\1\g<0>"}, 100) == r"{{b}}\1\g<0>"


def test_versions_of_another_account_are_403(client: Caller, ada: Person, ben: Person, prompt: dict[str, Any]) -> None:
    path = f"/prompts/{prompt['_id']}"
    calls: list[tuple[str, str, Any]] = [
        ("GET", f"{path}/versions", None),
        ("GET", f"{path}/versions/1", None),
        ("POST", f"{path}/versions/1/restore", None),
        ("PUT", f"{path}/labels/production", {"version": 1}),
        ("DELETE", f"{path}/labels/production", None),
        ("GET", f"{path}/diff?from=1&to=2", None),
        ("POST", f"{path}/render", {"variables": {}}),
    ]
    for method, url, body in calls:
        assert client.open(url, method=method, json=body).status_code == 401
        assert ben.open(url, method=method, json=body).json["message"] == "You do not own this prompt"
        unknown = ada.open(url.replace(prompt["_id"], "prompt_1"), method=method, json=body)
        assert unknown.json["message"] == "Prompt not found"
    assert versions(ada, prompt) == [(3, "two", "m3", []), (2, "two", "m1", []), (1, "one", "m1", [])]


def test_deleting_a_prompt_deletes_its_versions_and_labels(ada: Person, prompt: dict[str, Any]) -> None:
    label(ada, prompt, "production", 2)
    ada.log(prompt, promptVersion=2)
    assert ada.delete(f"/prompts/{prompt['_id']}").status_code == 204
    assert ada.get(f"/prompts/{prompt['_id']}/versions").status_code == 404
    assert ada.get("/logs").json == []
