"""POST /logs/batch."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from flask import Flask

from promptcrafter.http.formats import NDJSON_TYPES
from promptcrafter.logs import token_costs
from tests.support.databases import only_sqlite
from tests.support.people import Caller, Person, sign_up
from tests.support.statements import statements

LINES = {"Content-Type": "application/x-ndjson"}


def batch(person: Person, logs: Any) -> Any:
    answer = person.post("/logs/batch", {"logs": logs})
    assert answer.status_code == 200, answer.text
    return answer.json["results"]


def test_a_batch_stores_the_same_as_single_calls(ada: Person) -> None:
    prompt = ada.prompt()
    ada.patch(f"/prompts/{prompt['_id']}", {"content": "another"})
    bodies = [
        {"promptId": prompt["_id"], "output": "one", "modelUsed": "gpt-4o", "input": "q", "score": 9.5},
        {"promptId": prompt["_id"], "output": "two", "model": "m", "promptVersion": 1, "input": {"a": 1}},
    ]
    results = batch(ada, bodies)
    assert [result["status"] for result in results] == [201, 201]
    batched = [ada.get(f"/logs/{result['_id']}").json for result in results]
    single = [ada.post("/logs", body).json for body in bodies]
    own = {"_id", "createdAt", "updatedAt"}
    for one, other in zip(batched, single, strict=True):
        assert {k: v for k, v in one.items() if k not in own} == {k: v for k, v in other.items() if k not in own}
    assert [log["_id"] for log in ada.get("/logs").json][2:] == [result["_id"] for result in results][::-1]


def test_a_batch_may_mix_sent_and_computed_values(ada: Person) -> None:
    log = {"promptId": ada.prompt()["_id"], "output": "one two", "input": "q", "modelUsed": "gpt-4o"}
    sent: dict[str, Any] = {"inputTokens": 1.5, "outputTokens": 3, "cost": 0.25}
    results = batch(ada, [log, {**log, **sent}, {**log, "cost": 0}])
    assert [result["status"] for result in results] == [201, 201, 201]
    kept = [ada.get(f"/logs/{result['_id']}").json for result in results]
    assert [log["computed"] for log in (kept[0], kept[2])] == [
        ["inputTokens", "outputTokens", "cost"],
        ["inputTokens", "outputTokens"],
    ]
    assert [log["outputTokens"] for log in kept] == [2, 3, 2]
    assert {name: kept[1][name] for name in sent} == sent


def test_an_invalid_item_does_not_reject_the_others(ada: Person, ben: Person) -> None:
    prompt, foreign = ada.prompt()["_id"], ben.prompt()["_id"]
    good = {"promptId": prompt, "output": "x", "modelUsed": "m"}
    items = [
        good,
        {**good, "score": 11, "notes": 5},
        {**good, "promptId": foreign},
        {**good, "promptId": "prompt_1"},
        {**good, "promptId": "not an id"},
        {**good, "promptVersion": 2},
        {**good, "output": "x" * (2**20 + 1)},
        5,
        None,
        good,
    ]
    results = batch(ada, items)
    assert [result["status"] for result in results] == [201, 400, 403, 404, 404, 400, 413, 400, 400, 201]
    assert results[1] == {
        "status": 400,
        "message": "notes must be a string; score must be a number from 0 to 10.",
        "error": "notes must be a string; score must be a number from 0 to 10.",
        "code": "invalid_fields",
        "details": {"notes": ["must be a string"], "score": ["must be a number from 0 to 10"]},
    }
    assert [results[place]["message"] for place in (2, 3, 4, 5, 7)] == [
        "You do not own this prompt",
        "Prompt not found",
        "Prompt not found",
        "promptVersion must be a version of the prompt; the latest is 1.",
        "log must be an object.",
    ]
    assert [log["_id"] for log in ada.get("/logs").json] == [results[9]["_id"], results[0]["_id"]]
    assert ben.get("/logs").json == []


def test_a_batch_may_be_sent_as_ndjson(ada: Person) -> None:
    good = json.dumps({"promptId": ada.prompt()["_id"], "output": "é\u2028", "modelUsed": "m"}, ensure_ascii=False)
    lines = ["", good, '{"promptId": ', "  ", good + "\r", '{"a": NaN}', "[]"]
    answer = ada.post("/logs/batch", data="\n".join(lines).encode(), headers=LINES)
    assert [result["status"] for result in answer.json["results"]] == [201, 400, 201, 400, 400]
    assert answer.json["results"][1]["code"] == "invalid_json"
    reasons = ["line 3, column 14: Expecting value.", "line 6, column 7: NaN is not a JSON number."]
    assert [answer.json["results"][place]["message"] for place in (1, 3)] == [
        f"Invalid JSON at {reason}" for reason in reasons
    ]
    assert {log["output"] for log in ada.get("/logs").json} == {"é\u2028"}


@only_sqlite
@pytest.mark.parametrize("name", [*NDJSON_TYPES, "application/jsonl; charset=utf-8", "Application/NDJSON"])
def test_every_name_of_ndjson_is_taken(ada: Person, name: str) -> None:
    line = json.dumps({"promptId": ada.prompt()["_id"], "output": "o", "modelUsed": "m"})
    answer = ada.post("/logs/batch", data=f"{line}\n[]\n{line}", headers={"Content-Type": name})
    assert [result["status"] for result in answer.json["results"]] == [201, 400, 201]


@only_sqlite
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "logs is required"),
        ({"logs": {}}, "logs must be an array of objects."),
        ({"logs": [{}] * 1001}, "logs must have 0 to 1000 entries."),
        ([], "The body must be a JSON object."),
    ],
)
def test_a_body_that_is_no_batch_is_refused(ada: Person, body: Any, message: str) -> None:
    answer = ada.post("/logs/batch", body)
    assert (answer.status_code, answer.json["message"]) == (400, message)


@only_sqlite
def test_ndjson_is_accepted_by_batches_only_and_has_the_same_limits(ada: Person) -> None:
    for name in NDJSON_TYPES:
        assert ada.post("/logs", data="{}", headers={"Content-Type": name}).status_code == 415
    for name in ("application/json-seq", "text/plain", "application/jsonp"):
        assert ada.post("/logs/batch", data="{}", headers={"Content-Type": name}).status_code == 415
    assert ada.post("/logs/batch", data="{}", headers={"Content-Type": "text/csv"}).status_code == 415
    assert ada.post("/logs/batch", data=b"5\n" * 1001, headers=LINES).status_code == 400
    assert ada.post("/logs/batch", data=b"", headers=LINES).json == {"results": []}
    assert batch(ada, []) == []
    refused = ada.post("/logs/batch", data=b"5" * (2 * 2**20 + 1), headers=LINES)
    assert refused.status_code == 413


@only_sqlite
def test_ndjson_may_begin_with_a_byte_order_mark_and_must_not_be_utf_16(ada: Person) -> None:
    prompt = ada.prompt()
    line = json.dumps({"promptId": prompt["_id"], "output": "é", "modelUsed": "m"}, ensure_ascii=False)
    for text in (f"\ufeff{line}\r\n{line}\r\n", f"\ufeff\n{line}\n{line}"):
        answer = ada.post("/logs/batch", data=text.encode(), headers=LINES)
        assert [result["status"] for result in answer.json["results"]] == [201, 201]
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32"):
        for path, headers in (("/logs/batch", LINES), ("/logs", {"Content-Type": "application/json"})):
            answer = ada.post(path, data=f"{line}\n{line}".encode(encoding), headers=headers)
            assert (answer.status_code, answer.json["code"]) == (400, "invalid_utf8"), encoding
            assert "It seems to be UTF-16 or UTF-32." in answer.json["message"]
    assert (
        ada.post("/logs", data=f"\ufeff{line}".encode(), headers={"Content-Type": "application/json"}).status_code
        == 201
    )


def test_a_batch_is_one_transaction_of_few_statements(app: Flask, ada: Person) -> None:
    bodies = [{"promptId": ada.prompt()["_id"], "output": "x", "modelUsed": "m", "notes": None} for _ in range(3)]

    def count(logs: list[Any]) -> int:
        with statements(app) as seen:
            assert {result["status"] for result in batch(ada, logs)} == {201}
        return len(seen)

    assert count(bodies) == count([{**body, "input": "q"} for body in bodies] + bodies * 100) < 8


@pytest.mark.parametrize(("times", "statuses"), [(1, [404, 201]), (2, [404, 404, 201]), (3, None)])
def test_a_prompt_deleted_between_look_up_and_write_fails_its_own_logs_only(
    ada: Person, monkeypatch: pytest.MonkeyPatch, times: int, statuses: list[int] | None
) -> None:
    prompts = [ada.prompt()["_id"] for _ in range(times + 1)]
    *_, kept = prompts
    doomed = iter(prompts[:-1])
    complete = token_costs.with_tokens_and_cost

    def delete_then_complete(values: Mapping[str, Any], model: str | None) -> dict[str, Any]:
        if values["prompt_id"] == kept and (prompt_id := next(doomed, None)):  # once each time the batch is tried
            assert ada.delete(f"/prompts/{prompt_id}").status_code == 204
        return complete(values, model)

    monkeypatch.setattr(token_costs, "with_tokens_and_cost", delete_then_complete)  # it runs after the look-up
    bodies = [{"promptId": prompt_id, "output": "x", "modelUsed": "m"} for prompt_id in prompts]
    answer = ada.post("/logs/batch", {"logs": bodies})
    if statuses is None:
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert ada.get("/logs").json == [], "nothing half-stored"
    else:
        assert [result["status"] for result in answer.json["results"]] == statuses
        assert [log["promptId"] for log in ada.get("/logs").json] == [kept]


def test_token_counting_can_be_switched_off_for_batches_too(with_settings: Callable[..., Caller]) -> None:
    ada = sign_up(with_settings(token_counting=False), "ada")
    (result,) = batch(ada, [{"promptId": ada.prompt()["_id"], "output": "x", "modelUsed": "m"}])
    assert "outputTokens" not in ada.get(f"/logs/{result['_id']}").json
