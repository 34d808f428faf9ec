"""Logs of failed calls, and for whom a call was made."""

from typing import Any

import pytest

from tests.support.databases import only_sqlite
from tests.support.people import Person

ORIGIN = {
    "userId": "customer-17",
    "sessionId": "chat-4",
    "environment": "production",
    "parameters": {"temperature": 0.2, "stop": ["\u2028"]},
}


def test_a_failed_call_needs_no_output(ada: Person) -> None:
    prompt = ada.prompt()
    required = {"promptId": prompt["_id"], "modelUsed": "gpt-4o"}
    for sent in ({}, {"output": ""}, {"output": None}, {"error": "429 Too Many Requests", **ORIGIN}):
        body = {**required, "status": "error", "input": "Explain it", **sent}
        answer = ada.post("/logs", body)
        assert answer.status_code == 201, answer.text
        log = answer.json
        assert log == {
            **required,
            **{name: value for name, value in sent.items() if name != "output"},
            "_id": log["_id"],
            "promptVersion": 1,
            "output": "",
            "notes": None,
            "score": None,
            "status": "error",
            "input": "Explain it",
            "inputTokens": log["inputTokens"],
            "computed": ["inputTokens"],
            "createdAt": log["createdAt"],
            "updatedAt": log["createdAt"],
        }
        assert "X-Ignored-Fields" not in answer.headers
        assert ada.get(f"/logs/{log['_id']}").json == log == ada.get("/logs").json[0]
    paid = ada.post("/logs", {**required, "status": "error", "cost": 0.5, "inputTokens": 10, "outputTokens": 0}).json
    assert (paid["cost"], paid["outputTokens"], "computed" in paid) == (0.5, 0, False)
    counted = ada.post("/logs", {**required, "status": "error", "usage": {"prompt_tokens": 9, "completion_tokens": 0}})
    assert (counted.json["inputTokens"], "cost" in counted.json) == (9, False)


def test_an_output_that_broke_off_is_kept_counted_and_found(ada: Person) -> None:
    log = ada.log(ada.prompt(), status="error", error="The connection was lost.", output="It changed", input="x")
    assert (log["output"], log["status"], log["outputTokens"]) == ("It changed", "error", 2)
    assert log["cost"] > 0
    assert ada.get("/logs?q=changed").json == [log]
    assert ada.get("/logs?q=connection").json == []


def test_the_status_ok_is_the_default_and_not_shown(ada: Person) -> None:
    prompt = ada.prompt()
    for status in ("ok", None):
        log = ada.log(prompt, status=status, **ORIGIN)
        assert "status" not in log
        assert {name: log[name] for name in ORIGIN} == ORIGIN
    plain = ada.log(prompt)
    assert not {*ORIGIN, "status", "error"} & plain.keys()


@only_sqlite
def test_a_failed_call_survives_an_export_and_an_import(ada: Person) -> None:
    prompt = ada.prompt()
    log = ada.log(prompt, status="error", error="e", output=None, **ORIGIN)
    lines = ada.get("/export").data
    ada.delete(f"/prompts/{prompt['_id']}")
    answer = ada.open("/import", method="POST", data=lines, headers={"Content-Type": "application/x-ndjson"})
    assert answer.status_code == 200, answer.text
    assert ada.get(f"/logs/{log['_id']}").json == log
    broken = lines.replace(b'"status":"error",', b"")
    answer = ada.open("/import", method="POST", data=broken, headers={"Content-Type": "application/x-ndjson"})
    assert list(answer.json["details"]) == ["line 4.output"]


@only_sqlite
@pytest.mark.parametrize(
    ("sent", "details"),
    [
        ({}, {"output": ["is required"]}),
        ({"status": "ok"}, {"output": ["is required"]}),
        ({"status": "failed"}, {"output": ["is required"], "status": ["must be one of ok, error"]}),
        ({"output": ""}, {"output": ["is required"]}),
        ({"output": "x", "error": "e"}, {"error": ["needs the status error beside it"]}),
        ({"output": "x", "error": "e", "status": "ok"}, {"error": ["needs the status error beside it"]}),
        ({"status": "error", "error": ""}, {"error": ["must have 1 to 20000 characters"]}),
        ({"status": "error", "error": "x" * 20_001}, {"error": ["must have 1 to 20000 characters"]}),
        ({"status": "error", "output": 5}, {"output": ["must be a string"]}),
        ({"output": "x", "userId": 5}, {"userId": ["must be a string"]}),
        ({"output": "x", "sessionId": "s" * 257}, {"sessionId": ["must have 1 to 256 characters"]}),
        ({"output": "x", "environment": ""}, {"environment": ["must have 1 to 256 characters"]}),
        ({"output": "x", "parameters": [1]}, {"parameters": ["must be an object"]}),
    ],
)
def test_a_wrong_field_is_named_with_its_rule(ada: Person, sent: dict[str, Any], details: dict[str, Any]) -> None:
    body = {"promptId": ada.prompt()["_id"], "modelUsed": "gpt-4o", **sent}
    answer = ada.post("/logs", body)
    assert (answer.status_code, answer.json["details"]) == (400, details)
    (result,) = ada.post("/logs/batch", {"logs": [body]}).json["results"]
    assert (result["status"], result["details"]) == (400, details)
    assert ada.get("/logs").json == []
