"""The routes that AgentTest's clients call."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from promptcrafter.database.session import get_engine
from promptcrafter.dialects import agenttest
from tests.support.databases import only_sqlite
from tests.support.people import Caller, Person

PAYLOAD = json.loads(Path(__file__).with_name("agenttest_log.json").read_text())
VARIANTS = [
    {"key": "A", "payload": {"prompt": "Hello", "n": [1.5, {}]}, "trafficPercent": 50},
    {"key": "B", "payload": {}, "trafficPercent": 50},
]
EXPERIMENT = {"slug": "greeting", "name": "Which greeting", "status": "ACTIVE", "variants": VARIANTS}
LOG, ASSIGN = "/experiment/greeting/log", "/experiment/greeting/assign"


@pytest.fixture
def experiment(ada: Person) -> dict[str, Any]:
    answer = ada.post("/experiments", EXPERIMENT)
    assert answer.status_code == 201
    return dict(answer.json)


@pytest.fixture
def client_of_ada(ada: Person, client: Caller) -> Caller:
    """A program with one of Ada's API keys."""
    key = ada.post("/auth/keys", {"name": "agenttest"}).json["key"]
    return Caller(client.client, {"x-api-key": key})


def test_the_documented_call_gets_the_documented_answer(client_of_ada: Caller, experiment: dict[str, Any]) -> None:
    answer = client_of_ada.post(LOG, PAYLOAD)
    assert answer.status_code == 200
    assert set(answer.json) == {"success", "logId"}
    assert answer.json["success"] is True
    assert re.fullmatch("log_[0-9a-z]+", answer.json["logId"])


def test_a_result_is_stored_as_a_log(ada: Person, client_of_ada: Caller, experiment: dict[str, Any]) -> None:
    log_id = client_of_ada.post(LOG, PAYLOAD).json["logId"]
    log = ada.get(f"/logs/{log_id}").json
    assert log == {
        "_id": log_id,
        "promptId": None,
        "promptVersion": None,
        "modelUsed": None,
        "notes": None,
        "score": None,
        "source": "agenttest",
        "experimentId": experiment["_id"],
        "variantKey": "A",
        **{name: json.dumps(PAYLOAD[name], separators=(",", ":")) for name in ("input", "output")},
        "inputFormat": "json",
        "outputFormat": "json",
        "metrics": PAYLOAD["metrics"],
        "context": PAYLOAD["context"],
        "createdAt": log["createdAt"],
        "updatedAt": log["createdAt"],
    }
    assert ada.get("/logs").json == [log]
    assert ada.patch(f"/logs/{log_id}", {"score": 7}).json["score"] == 7
    assert ada.delete(f"/logs/{log_id}").status_code == 204
    assert ada.get("/experiments/greeting/logs").json == []


def test_a_result_without_output_is_shown_as_a_log_with_empty_text(ada: Person, experiment: dict[str, Any]) -> None:
    nothing = dict.fromkeys(["input", "output", "metrics", "context"])
    log_id = ada.post(LOG, {"variantKey": "B", **nothing, "unknown": [1]}).json["logId"]
    log = ada.get(f"/logs/{log_id}").json
    assert log["output"] == ""
    assert not {"input", "outputFormat", "metrics", "context", "unknown"} & set(log)


def test_results_of_a_variant_with_a_prompt_belong_to_its_latest_version(ada: Person) -> None:
    prompt = ada.prompt(model="gpt-4o")
    ada.patch(f"/prompts/{prompt['_id']}", {"content": "Other"})
    variants = [{**VARIANTS[0], "promptId": prompt["_id"]}, {**VARIANTS[1], "payload": {"model": "gpt-4.1"}}]
    ada.post("/experiments", {**EXPERIMENT, "variants": variants})
    tied, loose = (ada.post(LOG, {"variantKey": key}).json["logId"] for key in "AB")
    history = ada.get(f"/logs?promptId={prompt['_id']}").json
    assert [(log["_id"], log["promptVersion"], log["modelUsed"]) for log in history] == [(tied, 2, "gpt-4o")]
    assert ada.get(f"/logs/{loose}").json["modelUsed"] == "gpt-4.1"
    ada.delete(f"/prompts/{prompt['_id']}")
    assert ada.get(f"/logs/{tied}").status_code == 404
    assert ada.get("/experiments/greeting").json["variants"][0]["promptId"] is None
    assert ada.post(LOG, {"variantKey": "A"}).status_code == 200


def test_metrics_that_rate_the_output_are_scores_by_code_too(
    ada: Person, client_of_ada: Caller, experiment: dict[str, Any]
) -> None:
    ada.put("/score-configs/csat", {"kind": "number", "max": 5})
    ratings = {
        **{
            "user_rating": 5,
            "thumbs_up": True,
            "answer thumb.down": 0,
            "qualityScore": 0.5,
            "Score-v2-FEEDBACK": -1e300,
        },
        **{"nps": 7, "score": 10, "stars": False},
    }
    others: dict[str, Any] = {
        **{"latency_ms": 123, "rating_count": 3, "up": 1, "underscore": 4, "": 1},
        **{"user_feedback": "fine", "csat": 6, "vote": None, "5 stars": 5, "note_é_score": 1, "r" * 60 + "_score": 1},
    }
    body = {"variantKey": "A", "metrics": {**ratings, **others}}
    answer = client_of_ada.post(LOG, body)
    log = ada.get(f"/logs/{answer.json['logId']}").json
    assert (answer.status_code, log["metrics"], log["score"]) == (200, body["metrics"], None)
    found = ada.get(f"/logs/{log['_id']}/scores").json
    assert {score["name"]: score["value"] for score in found} == ratings
    assert {(score["annotator"], score["identifier"], score["kind"]) for score in found} == {
        ("code", "", "number"),
        ("code", "", "boolean"),
    }
    assert {score["author"]["userId"] for score in found} == {ada.id}
    evaluated = ada.get("/experiments/greeting/results?metric=user_rating&annotator=code").json["variants"][0]
    assert evaluated["metrics"]["user_rating"]["mean"] == 5

    client_of_ada.post(
        LOG, {"variantKey": "A", "metrics": {**dict.fromkeys(map("rating{}_score".format, range(1000)), 1)}}
    )
    assert len(ada.get(f"/logs/{ada.get('/logs').json[0]['_id']}/scores").json) == 1000
    client_of_ada.post(LOG, {"variantKey": "A", "metrics": others})
    assert ada.get(f"/logs/{ada.get('/logs').json[0]['_id']}/scores").json == []


@pytest.mark.parametrize("status", ["DRAFT", "ACTIVE", "PAUSED", "COMPLETED"])
def test_results_are_accepted_in_every_status_and_users_assigned_only_while_active(ada: Person, status: str) -> None:
    ada.post("/experiments", {**EXPERIMENT, "status": status})
    assert ada.post(LOG, PAYLOAD).status_code == 200
    assigned = ada.post(ASSIGN, {"userId": "user-1", "context": {"a": 1}})
    if status == "ACTIVE":
        variant = next(variant for variant in VARIANTS if variant["key"] == assigned.json["variant"])
        assert (assigned.status_code, assigned.json["payload"]) == (200, variant["payload"])
    else:
        assert (assigned.status_code, assigned.json["error"]) == (404, "Experiment is not active")


def test_users_keep_their_variant_and_are_distributed_by_the_shares(ada: Person, experiment: dict[str, Any]) -> None:
    first = [ada.post(ASSIGN, {"userId": f"u{number}"}).json["variant"] for number in range(30)]
    assert [ada.post(ASSIGN, {"userId": f"u{number}"}).json["variant"] for number in range(30)] == first
    assert set(first) == {"A", "B"}
    variants = [{**VARIANTS[0], "trafficPercent": 0}, {**VARIANTS[1], "trafficPercent": 1}]
    ada.patch("/experiments/greeting", {"variants": variants})
    assert {ada.post(ASSIGN, {"userId": f"u{number}"}).json["variant"] for number in range(30)} == {"B"}
    ada.patch("/experiments/greeting", {"variants": [{**variant, "trafficPercent": 0} for variant in variants]})
    assert ada.post(ASSIGN, {"userId": "u1"}).status_code == 404


@only_sqlite
@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        (LOG, {}, "variantKey is required"),
        (LOG, {"variantKey": None}, "variantKey is required"),
        (LOG, {"variantKey": ""}, "variantKey is required"),
        (LOG, {"variantKey": 1}, "variantKey must be a string."),
        (LOG, {"variantKey": "a"}, "variantKey must be a variant of the experiment, which has A, B."),
        (LOG, {"variantKey": "A", "input": "text"}, "input must be an object."),
        (LOG, {"variantKey": "A", "output": []}, "output must be an object."),
        (LOG, {"variantKey": "A", "metrics": 5}, "metrics must be an object."),
        (LOG, {"variantKey": "A", "context": "\x00"}, "context must be an object."),
        (LOG, {"variantKey": "A", "metrics": {"a": "\x00"}}, "metrics must not contain the NUL character (U+0000)."),
        (LOG, [], "The body must be a JSON object."),
        (ASSIGN, {}, "userId is required"),
        (ASSIGN, {"userId": ""}, "userId is required"),
        (ASSIGN, {"userId": 5}, "userId must be a string."),
        (ASSIGN, {"userId": "u", "context": "x"}, "context must be an object."),
    ],
)
def test_bad_input_is_named_and_nothing_is_stored(
    ada: Person, experiment: dict[str, Any], path: str, body: Any, message: str
) -> None:
    answer = ada.post(path, body)
    assert (answer.status_code, answer.json["error"]) == (400, message)
    assert ada.get("/logs").json == []


def test_malformed_json_is_400(ada: Person, experiment: dict[str, Any]) -> None:
    answer = ada.post(LOG, data='{"variantKey": ', headers={"Content-Type": "application/json"})
    assert answer.status_code == 400


def test_a_large_output_is_refused_with_the_limit(ada: Person, experiment: dict[str, Any]) -> None:
    answer = ada.post(LOG, {"variantKey": "A", "output": {"text": "x" * 2**20}})
    assert (answer.status_code, answer.json["message"][:27]) == (413, "output may have at most 1,0")


@only_sqlite
@pytest.mark.parametrize("headers", [{}, {"x-api-key": "pc_wrong"}, {"Authorization": "Bearer nonsense"}])
@pytest.mark.parametrize("path", [LOG, ASSIGN, "/experiment/unknown/log", "/experiment/unknown/assign"])
def test_the_key_is_checked_before_slug_and_body(
    client: Caller, experiment: dict[str, Any], path: str, headers: dict[str, str]
) -> None:
    answer = client.post(path, data="{", headers=headers)
    assert (answer.status_code, answer.json["error"]) == (401, "Unauthorized")


@pytest.mark.parametrize("path", ["/experiment/unknown/log", "/experiment/unknown/assign"])
def test_an_unknown_slug_is_404(ada: Person, path: str) -> None:
    answer = ada.post(path, {"variantKey": "A", "userId": "u"})
    assert (answer.status_code, answer.json["error"]) == (404, "Experiment not found")


def test_a_result_is_accepted_if_its_prompt_is_deleted_between_look_up_and_write(
    app: Flask, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = ada.prompt()
    ada.post("/experiments", {**EXPERIMENT, "variants": [{**VARIANTS[0], "promptId": prompt["_id"]}]})
    translate = agenttest.translate

    def delete_first(*args: Any) -> dict[str, Any]:
        columns = translate(*args)
        if columns["prompt_id"]:
            # by another connection, as another worker would; inside the write this one would wait for itself
            monkeypatch.undo()
            columns["prompt_id"] = "prompt_gone"
        return columns

    monkeypatch.setattr(agenttest, "translate", delete_first)
    answer = ada.post(LOG, {"variantKey": "A"})
    assert answer.status_code == 200
    with app.app_context(), get_engine().connect() as connection:
        assert connection.execute(text("SELECT prompt_id FROM logs")).scalar() == prompt["_id"]
