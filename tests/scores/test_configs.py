"""The configurations of scores: what the scores of a name must be in a workspace."""

from typing import Any

import pytest
from flask import Flask

from promptcrafter.scores import configs
from tests.scores.test_views import give, kept
from tests.support.databases import only_sqlite
from tests.support.errors import assert_error
from tests.support.members import share
from tests.support.people import Person

STARS = {"kind": "number", "min": 1, "max": 5, "direction": "up", "description": "How good it is"}
TONES = {"kind": "category", "categories": ["kind", "curt"]}
WHOLE = {"min": None, "max": None, "categories": None, "direction": "none", "description": ""}


@pytest.fixture
def log(ada: Person) -> dict[str, Any]:
    return ada.log(ada.prompt())


def configure(person: Person, name: str, body: dict[str, Any], headers: dict[str, str] | None = None) -> dict[str, Any]:
    answer = person.put(f"/score-configs/{name}", body, headers=headers)
    assert answer.status_code == 200, answer.text
    return dict(answer.json)


def test_configs_are_put_listed_and_archived_with_entries_in_the_trail(ada: Person, ben: Person) -> None:
    there = share(ada, ben, "editor")
    stars = configure(ben, "stars", STARS, there)
    assert stars == {
        **{"name": "stars", **STARS, "categories": None},
        **{"createdAt": stars["createdAt"], "updatedAt": stars["updatedAt"]},
    }
    tone = configure(ada, "tone of it", TONES)
    assert {**WHOLE, **TONES}.items() <= tone.items()
    changed = configure(ada, "stars", {**STARS, "max": 10})
    assert (changed["max"], changed["createdAt"]) == (10, stars["createdAt"])
    configure(ada, "stars", {**STARS, "max": 10})
    assert ada.get("/score-configs").json == [configure(ada, "stars", {**STARS, "max": 10}), tone]
    assert ben.get("/score-configs").json == []
    assert ada.delete("/score-configs/stars").status_code == 204
    assert ada.get("/score-configs").json == [tone]
    for answer in (ada.delete("/score-configs/stars"), ada.delete("/score-configs/unknown")):
        assert_error(answer, 404, "score_config_not_found")
    assert configure(ada, "stars", {"kind": "boolean"})["kind"] == "boolean"
    trail = ada.get(f"/workspaces/{there['X-Workspace']}/audit").json
    entries = [entry for entry in trail if entry["object"]["type"] == "score_config"]
    assert [(entry["action"], entry["object"]["name"], entry["actor"]["name"]) for entry in entries] == [
        ("score_config.create", "stars", "ada"),
        ("score_config.archive", "stars", "ada"),
        ("score_config.change", "stars", "ada"),
        ("score_config.create", "tone of it", "ada"),
        ("score_config.create", "stars", "ben"),
    ]
    assert (entries[2]["before"], entries[2]["after"]) == (STARS, {**STARS, "max": 10})
    share(ada, ben, "viewer")
    assert ben.get("/score-configs", headers=there).status_code == 200
    assert_error(ben.put("/score-configs/x", {"kind": "number"}, headers=there), 403, "role_forbids")
    assert_error(ben.delete("/score-configs/stars", headers=there), 403, "role_forbids")


def test_a_value_that_breaks_its_config_is_refused_with_the_rule(ada: Person, log: dict[str, Any]) -> None:
    before = give(ada, log, "stars", "old")
    for name, config in (
        ("stars", STARS),
        ("tone", TONES),
        ("safe", {"kind": "boolean"}),
        ("free", {"kind": "number"}),
    ):
        configure(ada, name, config)
    path = f"/logs/{log['_id']}/scores"
    for name, value, rule in (
        ("stars", 0.5, "must be at least 1, as the config of stars says"),
        ("stars", 5.1, "must be at most 5, as the config of stars says"),
        ("stars", "good", "must be a number, as the config of stars says"),
        ("stars", True, "must be a number, as the config of stars says"),
        ("tone", "rude", "must be one of kind, curt, as the config of tone says"),
        ("tone", 1, "must be one of its categories, as the config of tone says"),
        ("safe", 1, "must be true or false, as the config of safe says"),
    ):
        body = {"name": name, "value": value}
        answer = ada.post(path, body)
        assert (answer.status_code, answer.json["details"]) == (400, {"value": [rule]})
        (result,) = ada.post("/scores/batch", {"scores": [{"logId": log["_id"], **body}]}).json["results"]
        assert (result["status"], result["details"]) == (400, {"value": [rule]})
    assert kept(ada, log) == ["old"], "what is stored stays"
    assert_error(ada.patch(f"/scores/{before['_id']}", {"value": 9}), 400, "invalid_fields")
    assert ada.patch(f"/scores/{before['_id']}", {"comment": "still"}).json["value"] == "old"
    for name, value in (("stars", 5), ("tone", "curt"), ("safe", False), ("free", -1e9), ("starz", "a typo")):
        assert ada.post(path, {"name": name, "value": value}).status_code in (200, 201)
    give(ada, log, "starz", 3, identifier="another kind: one typo pins nothing")
    ada.delete("/score-configs/stars")
    assert ada.patch(f"/scores/{before['_id']}", {"value": 9}).status_code == 200


def test_a_config_counts_in_the_workspace_of_the_log(ada: Person, ben: Person, log: dict[str, Any]) -> None:
    there = share(ada, ben, "editor")
    configure(ben, "stars", {"kind": "boolean"})
    assert give(ben, log, "stars", 3)["value"] == 3
    configure(ben, "stars", STARS, there)
    give(ben, ben.log(ben.prompt()), "stars", True)
    assert_error(ben.post(f"/logs/{log['_id']}/scores", {"name": "stars", "value": True}), 400, "invalid_fields")


@only_sqlite
def test_configs_have_rules(ada: Person) -> None:
    for body, details in (
        ({}, {"kind": ["is required"]}),
        ({"kind": "text"}, {"kind": ["must be one of number, boolean, category"]}),
        ({"kind": "number", "min": 5, "max": 1}, {"max": ["must not be less than min"]}),
        ({"kind": "boolean", "min": 0}, {"min": ["is for numbers only"]}),
        ({"kind": "category", "categories": ["a"], "max": 0}, {"max": ["is for numbers only"]}),
        ({"kind": "number", "categories": ["a"]}, {"categories": ["is for the kind category only"]}),
        ({"kind": "category"}, {"categories": ["is required: the texts that a score may be"]}),
        ({"kind": "category", "categories": []}, {"categories": ["must have 1 to 100 entries"]}),
        ({"kind": "category", "categories": ["a", "a"]}, {"categories": ["must not have a text twice"]}),
        ({**TONES, "direction": "up"}, {"direction": ["must be none for categories, which have no order"]}),
        ({"kind": "number", "direction": "left"}, {"direction": ["must be one of up, down, none"]}),
        ({"kind": "number", "description": "x" * 1001}, {"description": ["must have at most 1000 characters"]}),
    ):
        answer = ada.put("/score-configs/tone", body)
        assert (answer.status_code, answer.json["details"]) == (400, details), body
    rule = "must be a letter and up to 63 letters, digits, blanks, `_`, `.` or `-`"
    for name in ("1", "%C3%A9", "a" * 65, "a%0A"):
        for answer in (ada.put(f"/score-configs/{name}", STARS), ada.delete(f"/score-configs/{name}")):
            assert (answer.status_code, answer.json["details"]) == (400, {"name": [rule]})
    assert ada.get("/score-configs").json == []


def test_the_scale_of_the_score_of_a_log_is_fixed(ada: Person) -> None:
    fixed = {"kind": "number", "min": 0, "max": 10, "direction": "up"}
    rule = "of the name score is fixed: a number from 0 to 10, with the direction up"
    for change in ({"min": 1}, {"max": 5}, {"direction": "down"}, {"max": None}):
        answer = ada.put("/score-configs/score", {**fixed, **change})
        assert (answer.status_code, answer.json["details"]) == (400, {next(iter(change)): [rule]})
    assert ada.put("/score-configs/score", {"kind": "boolean", "direction": "up"}).json["details"].keys() == {
        *("kind", "min", "max")
    }
    assert configure(ada, "score", {**fixed, "description": "Ours"})["description"] == "Ours"


def test_a_workspace_has_a_bounded_number_of_configs(app: Flask, ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    assert configs.CONFIGS_MAX == 500
    monkeypatch.setattr(configs, "CONFIGS_MAX", 2)
    configure(ada, "a", STARS), configure(ada, "b", STARS)
    ada.delete("/score-configs/a")
    answer = ada.put("/score-configs/c", STARS)
    message = "A workspace may have at most 2 configs of scores, archived ones included."
    assert_error(answer, 409, "too_many_score_configs", message)
    configure(ada, "a", STARS), configure(ada, "b", TONES)
