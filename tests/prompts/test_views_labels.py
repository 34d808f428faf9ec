"""Labels that are protected: only the owners of a workspace set, move and remove them."""

from typing import Any

import pytest
from flask import Flask

from tests.support.databases import only_sqlite
from tests.support.members import protect, share
from tests.support.people import Answer, Person
from tests.support.statements import statements


@pytest.fixture
def prompt(ada: Person, ben: Person) -> dict[str, Any]:
    """A prompt of Ada's workspace with two versions, the first with the protected label; Ben is an editor there."""
    prompt = ada.prompt(slug="greeting")
    ada.patch(f"/prompts/{prompt['_id']}", {"content": "two"})
    ada.open(f"/prompts/{prompt['_id']}/labels/production", method="PUT", json={"version": 1})
    protect(ada, "live", "production")
    share(ada, ben, "editor")
    return dict(ada.get(f"/prompts/{prompt['_id']}").json)


def put(person: Person, prompt: dict[str, Any], label: str, version: int) -> Answer:
    return person.open(f"/prompts/{prompt['_id']}/labels/{label}", method="PUT", json={"version": version})


def publish(person: Person, tag: str, headers: dict[str, str]) -> Answer:
    body = {"newTag": tag, "version": "2"}
    return person.post("/basalt/prompts/greeting/publish", body, headers=headers)


def test_an_editor_neither_sets_nor_moves_nor_removes_a_protected_label(
    ada: Person, ben: Person, prompt: dict[str, Any]
) -> None:
    path = f"/prompts/{prompt['_id']}"
    before = ada.get(path)
    home = share(ada, ben, "editor")
    for label, answer in (
        ("production", put(ben, prompt, "production", 2)),
        ("production", put(ben, prompt, "production", 1)),
        ("live", put(ben, prompt, "live", 1)),
        ("production", ben.delete(f"{path}/labels/production")),
        ("live", ben.delete(f"{path}/labels/live")),
        ("production", ben.delete(path)),
        ("production", ben.patch(path, {"slug": "another", "title": "Another"})),
        ("production", publish(ben, "production", home)),
    ):
        message = f"Your role in this workspace is editor; the protected label {label} needs owner."
        assert (answer.status_code, answer.json["code"], answer.json["message"]) == (403, "role_forbids", message)
    after = ada.get(path)
    assert (after.text, after.headers["ETag"]) == (before.text, before.headers["ETag"])


def test_an_editor_moves_all_other_labels_and_restores_versions(
    ada: Person, ben: Person, prompt: dict[str, Any]
) -> None:
    path = f"/prompts/{prompt['_id']}"
    home = share(ada, ben, "editor")
    assert put(ben, prompt, "Production", 2).json["labels"] == ["Production", "production"]
    assert publish(ben, "beta", home).status_code == 201
    assert ben.post(f"{path}/versions/production/restore").json["labels"] == []
    assert ben.patch(path, {"title": "Another"}).status_code == 200
    for label in ("Production", "beta"):
        assert ben.delete(f"{path}/labels/{label}").status_code == 204
    other = ada.prompt()
    put(ada, other, "beta", 1)
    assert ben.delete(f"/prompts/{other['_id']}").status_code == 204


def test_an_owner_moves_protected_labels(ada: Person, ben: Person, prompt: dict[str, Any]) -> None:
    path = f"/prompts/{prompt['_id']}"
    home = share(ada, ben, "owner")
    assert put(ben, prompt, "production", 2).status_code == 200
    assert publish(ada, "live", {}).status_code == 201
    assert ben.delete(f"{path}/labels/production").status_code == 204
    assert publish(ben, "production", home).status_code == 201
    assert ben.delete(path).status_code == 204


def test_the_labels_of_the_prompts_workspace_count_and_not_those_of_the_current_one(
    ada: Person, ben: Person, prompt: dict[str, Any]
) -> None:
    protect(ada, "live")
    protect(ben, "production")
    assert put(ben, prompt, "production", 2).status_code == 200
    assert put(ben, prompt, "live", 2).status_code == 403
    assert put(ben, ben.prompt(), "production", 1).status_code == 200


def test_a_viewer_is_refused_by_the_role_whatever_the_label(ada: Person, ben: Person, prompt: dict[str, Any]) -> None:
    share(ada, ben, "viewer")
    answer = put(ben, prompt, "production", 2)
    assert answer.json["message"] == "Your role in this workspace is viewer; this needs editor."


@only_sqlite
def test_protection_costs_an_owner_no_query_and_an_editor_one(
    app: Flask, ada: Person, ben: Person, prompt: dict[str, Any]
) -> None:
    def count(person: Person) -> int:
        with statements(app) as seen:
            assert put(person, prompt, "beta", 2).status_code == 200
        return len([statement for statement, _ in seen if "protected_labels" in statement])

    assert (count(ada), count(ben)) == (0, 1)
