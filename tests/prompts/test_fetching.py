"""Fetching at run time: one statement, an entity tag that follows every change, and 304."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from promptcrafter.http import etags
from tests.support.members import share
from tests.support.people import Person
from tests.support.statements import executed_by_sqlite, statements

MESSAGES = [{"role": "system", "content": "Be ü"}, {"placeholder": "history"}]


@pytest.fixture
def prompt(ada: Person) -> dict[str, Any]:
    """A prompt of two versions with a label and tags, in a folder."""
    made = ada.prompt(slug="support/reply", tags=["z", "a,b", "ü"], content="one {{x}}")
    path = f"/prompts/{made['_id']}"
    ada.patch(path, {"content": "two {{x}}", "comment": "Why"})
    for name in ("production", "beta", "Alpha"):
        answer = ada.put(f"{path}/labels/{name}", {"version": 1})
    return dict(answer.json)


def fetched(prompt: dict[str, Any]) -> list[str]:
    """Return the paths of the calls that fetch the prompt or a version."""
    by_id, by_slug = f"/prompts/{prompt['_id']}", f"/prompts/by-slug/{prompt['slug']}"
    versions = [f"{path}/versions/{name}" for path in (by_id, by_slug) for name in ("1", "2", "production", "latest")]
    return [by_id, by_slug, *versions]


def test_each_fetch_executes_one_statement_besides_the_authentication(
    app: Flask, ada: Person, prompt: dict[str, Any], engine_name: str
) -> None:
    seen: list[Any]
    for path in fetched(prompt):
        tag = ada.get(path).headers["ETag"]
        for method, headers, status in (("GET", {}, 200), ("HEAD", {}, 200), ("GET", {"If-None-Match": tag}, 304)):
            if engine_name == "sqlite":
                with executed_by_sqlite(app) as seen:
                    assert ada.open(path, method=method, headers=headers).status_code == status
                assert [statement.split()[0] for statement in seen] == ["SELECT", "SELECT"]
            else:
                with statements(app) as seen:
                    assert ada.open(path, method=method, headers=headers).status_code == status
                assert [statement.split()[0] for statement, _ in seen] == ["SELECT", "SELECT"]


def test_a_fetch_shows_what_the_lists_show(ada: Person, prompt: dict[str, Any]) -> None:
    chat = ada.prompt(title="A chat", messages=MESSAGES, content=None, config={"b": 1.0, "a": [None]}, description="ü")
    plain = ada.prompt()
    for listed in ada.get("/prompts").json:
        assert listed["_id"] in (chat["_id"], plain["_id"], prompt["_id"])
        versions = ada.get(f"/prompts/{listed['_id']}/versions").json
        for path in (f"/prompts/{listed['_id']}", f"/prompts/by-slug/{listed['slug']}"):
            answer = ada.get(path)
            assert json.dumps(answer.json) == json.dumps(listed)
            assert answer.headers["Cache-Control"] == "private, no-cache"
            for version in versions:
                assert json.dumps(ada.get(f"{path}/versions/{version['version']}").json) == json.dumps(version)


def test_a_tag_changes_with_everything_that_is_shown_and_with_nothing_else(
    ada: Person, ben: Person, prompt: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = share(ada, ben, "editor")
    path = f"/prompts/{prompt['_id']}"
    paths = [path, f"{path}/versions/1", f"{path}/versions/2", f"{path}/versions/production"]
    shown = dict.fromkeys(paths, ("", ""))

    def look() -> list[str]:
        """Return for which paths the answer has changed, and see that exactly their tags have."""
        changed = []
        for each in paths:
            tag, text = shown[each]
            again = ada.get(each, headers={"If-None-Match": f'"other", {tag}'} if tag else {})
            answer = ada.get(each)
            assert (again.status_code == 304) == (answer.headers["ETag"] == tag)
            assert ada.open(each, method="HEAD").headers["ETag"] == answer.headers["ETag"]
            if answer.headers["ETag"] != tag:
                changed.append(each.removeprefix(path))
            else:
                assert answer.text == text
            shown[each] = answer.headers["ETag"], answer.text
        return changed

    def patch(**changes: Any) -> Callable[[], Any]:
        return lambda: ada.patch(path, changes)

    def put(name: str, version: int) -> Callable[[], Any]:
        return lambda: ada.put(f"{path}/labels/{name}", {"version": version})

    leaving = {"currentPassword": ben.password}
    new_version = ["", "/versions/latest"]
    assert len(look()) == 4
    paths.append(f"{path}/versions/latest")
    shown[paths[-1]] = shown[paths[2]]
    changes: list[tuple[Callable[[], Any], list[str]]] = [
        (lambda: ada.get("/prompts"), []),
        (lambda: ada.post("/logs", {"promptId": prompt["_id"], "output": "o", "modelUsed": "m"}), []),
        (patch(title="Another title"), [""]),
        (patch(description="Another"), [""]),
        (patch(slug="moved"), [""]),
        (patch(tags=["a,b", "z"]), [""]),
        (patch(tags=["z", "a,b"]), [""]),
        (put("production", 2), ["", "/versions/1", "/versions/2", "/versions/production", "/versions/latest"]),
        (put("production", 2), []),
        (put("gamma", 1), ["", "/versions/1"]),
        (lambda: ada.delete(f"{path}/labels/gamma"), ["", "/versions/1"]),
        (patch(content="three"), new_version),
        (patch(model="another"), new_version),
        (patch(config={"temperature": 1}), new_version),
        (patch(config={"temperature": 1.0}), new_version),
        (patch(messages=MESSAGES), new_version),
        (patch(messages=[*MESSAGES[1:], {"role": "user", "content": "x"}]), new_version),
        (lambda: ada.post(f"{path}/versions/1/restore"), new_version),
        (lambda: ben.patch(path, {"content": "by ben"}, headers=headers), new_version),
        (lambda: ben.patch("/auth/me", {"name": "Benedict"}), ["/versions/latest"]),
        (lambda: ben.delete("/auth/me", json={**leaving, "anonymise": True}), ["/versions/latest"]),
        (lambda: monkeypatch.setattr(etags, "VERSION", "next"), [each.removeprefix(path) for each in paths]),
    ]
    for number, (change, expected) in enumerate(changes):
        done = change()
        assert done is None or done.status_code < 300, (number, done.text)
        assert look() == expected, number
    assert ada.get(f"{path}/versions/latest").json["author"]["name"] == "deleted account"


def test_every_change_accepts_the_tag_that_a_fetch_or_a_change_has_answered(
    ada: Person, prompt: dict[str, Any]
) -> None:
    path = f"/prompts/{prompt['_id']}"
    answer = ada.open(f"/prompts/by-slug/{prompt['slug']}", method="HEAD")
    for method, url, body in (
        ("PATCH", path, {"title": "Another", "tags": ["b", "a"], "content": "c", "messages": None}),
        ("PATCH", path, {}),
        ("PUT", f"{path}/labels/gamma", {"version": 1}),
        ("PATCH", path, {"messages": MESSAGES, "config": {"a": 1e2}}),
    ):
        answer = ada.open(url, method=method, json=body, headers={"If-Match": answer.headers["ETag"]})
        assert answer.status_code == 200, answer.text
        assert ada.get(path).headers["ETag"] == answer.headers["ETag"]
        assert ada.get(path).json == answer.json
