"""The routes under /logs."""

from collections.abc import Mapping
from typing import Any

import pytest
from flask import Flask

from promptcrafter.logs import token_costs
from tests.support.people import Caller, Person

OPTIONAL = {
    "input": "Explain it",
    "idealOutput": "A clear text",
    "variables": {"who": "me", "n": [1, 2.5, None, True]},
    "startTime": "2024-06-20T13:10:00.000Z",
    "endTime": "2024-06-20T13:10:01.500Z",
    "latencyMs": 1500,
    "inputTokens": 0,
    "outputTokens": 12.5,
    "cost": 0.0045,
    "metadata": {"z": 1, "a": {"b": "ü"}},
}


@pytest.fixture
def prompt(ada: Person) -> dict[str, Any]:
    return ada.prompt()


def test_a_log_is_returned_completely(ada: Person, prompt: dict[str, Any]) -> None:
    sent = {
        "promptId": prompt["_id"],
        "output": "It changed.",
        "modelUsed": "Claude 3 Sonnet",
        "notes": "ok",
        "score": 8,
    }
    answer = ada.post("/logs", sent)
    assert answer.status_code == 201
    log = answer.json
    assert log == {
        **sent,
        "_id": log["_id"],
        "promptVersion": 1,
        "outputTokens": 3,
        "computed": ["outputTokens"],
        "createdAt": log["createdAt"],
        "updatedAt": log["createdAt"],
    }
    assert answer.headers["Location"] == f"/logs/{log['_id']}"
    assert ada.get(answer.headers["Location"]).json == log
    assert ada.get("/logs").json == [log]


def test_optional_fields_are_returned_as_sent_and_left_out_when_absent(ada: Person, prompt: dict[str, Any]) -> None:
    log = ada.log(prompt, **OPTIONAL)
    assert {name: log[name] for name in OPTIONAL} == OPTIONAL
    assert list(log["metadata"]) == ["z", "a"]
    plain = ada.log(prompt, **dict.fromkeys(OPTIONAL))
    assert set(plain) == set(log) - set(OPTIONAL) | {"outputTokens", "computed"}
    assert (plain["notes"], plain["score"]) == (None, None)


def test_input_may_be_json_and_is_then_shown_as_text_with_its_format(ada: Person, prompt: dict[str, Any]) -> None:
    log = ada.log(prompt, input={"b": [1.0, "é"]}, idealOutput=[])
    assert (log["input"], log["inputFormat"]) == ('{"b":[1.0,"é"]}', "json")
    assert (log["idealOutput"], log["idealOutputFormat"]) == ("[]", "json")


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("2024-06-20T15:10:00.123456+02:00", "2024-06-20T13:10:00.123Z"),
        ("2024-06-20T13:10:00", "2024-06-20T13:10:00.000Z"),
        ("2024-06-20", "2024-06-20T00:00:00.000Z"),
        ("2024-06-20t13:10:00z", "2024-06-20T13:10:00.000Z"),
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.999Z"),
        ("2024-06-20T13:10:00,5Z", "2024-06-20T13:10:00.500Z"),
        ("20240620T131000Z", "2024-06-20T13:10:00.000Z"),
        (1718889000, "2024-06-20T13:10:00.000Z"),
        (1718889000.5, "2024-06-20T13:10:00.500Z"),
        (1718889000500, "2024-06-20T13:10:00.500Z"),
    ],
)
def test_times_are_stored_in_utc(ada: Person, prompt: dict[str, Any], sent: Any, kept: str) -> None:
    assert ada.log(prompt, startTime=sent)["startTime"] == kept


def test_large_counts_are_returned_as_integers(ada: Person, prompt: dict[str, Any]) -> None:
    log = ada.log(prompt, inputTokens=2**60, outputTokens=1e300)
    text = ada.get(f"/logs/{log['_id']}").text
    assert '"inputTokens":1152921504606846976,"outputTokens":1e+300' in text


@pytest.mark.parametrize("score", [0, 9, 9.5, 10, 7.25, 0.1, 1e-9])
def test_a_score_is_returned_unchanged(ada: Person, prompt: dict[str, Any], score: float) -> None:
    log = ada.log(prompt, score=score)
    text = ada.get(f"/logs/{log['_id']}").text
    assert f'"score":{score}' in text


def test_a_whole_score_is_returned_without_a_fraction(ada: Person, prompt: dict[str, Any]) -> None:
    body = f'{{"promptId":"{prompt["_id"]}","output":"x","modelUsed":"m","score":9.0}}'
    answer = ada.post("/logs", data=body, headers={"Content-Type": "application/json"})
    assert '"score":9,' in answer.text


BAD_FIELDS: list[tuple[dict[str, Any], str]] = [
    ({"score": -0.1}, "score must be a number from 0 to 10."),
    ({"score": 10.5}, "score must be a number from 0 to 10."),
    ({"score": True}, "score must be a number from 0 to 10."),
    ({"score": "9"}, "score must be a number from 0 to 10."),
    ({"score": 10**400}, "score must be a number from 0 to 10."),
    ({"output": ""}, "output is required"),
    ({"output": 5}, "output must be a string."),
    ({"output": {"a": 1}}, "output must be a string."),
    ({"modelUsed": None}, "modelUsed is required"),
    ({"modelUsed": "x" * 201}, "modelUsed must have 1 to 200 characters."),
    ({"notes": 1}, "notes must be a string."),
    ({"promptId": None}, "promptId is required"),
    ({"promptId": ""}, "promptId is required"),
    ({"promptId": 5}, "promptId must be a string."),
    ({"promptVersion": 2}, "promptVersion must be a version of the prompt; the latest is 1."),
    (
        {"promptVersion": "staging"},
        "promptVersion must be a version of the prompt, which has no label staging; the latest is 1.",
    ),
    ({"promptVersion": "no label"}, "promptVersion must be a whole number from 1 to 2147483647, a label or latest."),
    ({"promptVersion": True}, "promptVersion must be a whole number from 1 to 2147483647, a label or latest."),
    ({"promptVersion": 0}, "promptVersion must be a whole number from 1 to 2147483647, a label or latest."),
    ({"promptVersion": "1"}, "promptVersion must be a whole number from 1 to 2147483647, a label or latest."),
    ({"startTime": "yesterday"}, "startTime must be an ISO 8601 time or a Unix time."),
    ({"startTime": "2024-06-20T24:00:00Z"}, "startTime must be an ISO 8601 time or a Unix time."),
    ({"startTime": "2024-06-20T13:10:00 02:00"}, "startTime must be an ISO 8601 time or a Unix time."),
    ({"startTime": "1969-12-31"}, "startTime must be an ISO 8601 time or a Unix time."),
    ({"startTime": "2024-02-30"}, "startTime must be an ISO 8601 time or a Unix time."),
    ({"startTime": -1}, "startTime must be an ISO 8601 time or a Unix time."),
    ({"startTime": 1e300}, "startTime must be an ISO 8601 time or a Unix time."),
    ({"startTime": "0001-01-01T00:00:00+14:00"}, "startTime must be an ISO 8601 time or a Unix time."),
    ({"endTime": False}, "endTime must be an ISO 8601 time or a Unix time."),
    ({"latencyMs": -1}, "latencyMs must be a number, at least 0."),
    ({"cost": "0.1"}, "cost must be a number, at least 0."),
    ({"variables": ["a"]}, "variables must be an object."),
    ({"metadata": "a"}, "metadata must be an object."),
    ({"input": 5}, "input must be a string, an object or an array."),
]


def test_a_bad_field_is_named_with_its_rule(ada: Person, prompt: dict[str, Any], subtests: pytest.Subtests) -> None:
    for change, message in BAD_FIELDS:
        with subtests.test(message=message, change=str(change)[:50]):
            answer = ada.post("/logs", {"promptId": prompt["_id"], "output": "x", "modelUsed": "m", **change})
            assert (answer.status_code, answer.json["message"]) == (400, message)
            assert list(answer.json["details"]) == list(change)
            assert ada.get("/logs").json == []


def test_missing_fields_are_named_as_documented(ada: Person) -> None:
    answer = ada.post("/logs", {})
    assert answer.json["message"] == answer.json["error"] == "promptId, output, and modelUsed are required"
    assert answer.json["code"] == "missing_fields"
    assert answer.json["details"] == {name: ["is required"] for name in ("promptId", "output", "modelUsed")}
    assert ada.post("/logs", {"promptId": "p"}).json["message"] == "output and modelUsed are required"


def test_model_is_another_name_for_model_used(ada: Person, prompt: dict[str, Any]) -> None:
    body = {"promptId": prompt["_id"], "output": "x"}
    assert ada.post("/logs", {**body, "model": "o3"}).json["modelUsed"] == "o3"
    assert ada.post("/logs", {**body, "model": "o3", "modelUsed": "gpt-5"}).json["modelUsed"] == "gpt-5"
    assert "model" not in ada.get("/logs").json[0]


@pytest.mark.parametrize("prompt_id", ["prompt104", "prompt_01jz8x4m5n6p7q8r9s0t1v2w3x", "nonsense", "☕", "prompt_\0"])
def test_an_unknown_prompt_is_404_even_when_its_id_is_malformed(ada: Person, prompt_id: str) -> None:
    answer = ada.post("/logs", {"promptId": prompt_id, "output": "x", "modelUsed": "m"})
    assert (answer.status_code, answer.json["message"]) == (404, "Prompt not found")


def test_another_persons_prompt_cannot_be_logged_to_or_listed(ben: Person, prompt: dict[str, Any]) -> None:
    for answer in (
        ben.post("/logs", {"promptId": prompt["_id"], "output": "x", "modelUsed": "m"}),
        ben.get(f"/logs?promptId={prompt['_id']}"),
        ben.get(f"/logs-by-prompt?promptId={prompt['_id']}"),
    ):
        assert (answer.status_code, answer.json["message"]) == (403, "You do not own this prompt")


def test_a_log_is_pinned_to_the_version_it_was_made_with(ada: Person, prompt: dict[str, Any]) -> None:
    first = ada.log(prompt)
    ada.patch(f"/prompts/{prompt['_id']}", {"content": "New"})
    assert ada.log(prompt)["promptVersion"] == 2
    assert ada.log(prompt, promptVersion=1)["promptVersion"] == 1
    assert ada.get(f"/logs/{first['_id']}").json["promptVersion"] == 1


def test_a_version_may_be_named_by_its_label(ada: Person, ben: Person) -> None:
    prompt, other = ada.prompt(), ben.prompt()
    ada.patch(f"/prompts/{prompt['_id']}", {"content": "two"})
    ada.open(f"/prompts/{prompt['_id']}/labels/production", method="PUT", json={"version": 1})
    ben.open(f"/prompts/{other['_id']}/labels/hers", method="PUT", json={"version": 1})
    assert [ada.log(prompt, promptVersion=name)["promptVersion"] for name in ("production", "latest", 2.0)] == [1, 2, 2]
    body = {"promptId": prompt["_id"], "output": "x", "modelUsed": "m"}
    sent = [{**body, "promptVersion": name} for name in ("production", "hers", "latest", 1)]
    sent.append({**body, "promptId": other["_id"], "promptVersion": "hers"})
    sent.append({**body, "promptId": "prompt_1", "promptVersion": "hers"})
    results = ada.post("/logs/batch", {"logs": sent}).json["results"]
    assert [result["status"] for result in results] == [201, 400, 201, 201, 403, 404]
    text = "promptVersion must be a version of the prompt, which has no label hers; the latest is 2."
    assert results[1]["message"] == text
    assert [log["promptVersion"] for log in ada.get("/logs?per_page=3").json] == [1, 2, 1]
    ada.open(f"/prompts/{prompt['_id']}/labels/production", method="PUT", json={"version": 2})
    assert [log["promptVersion"] for log in ada.get("/logs?sort=createdAt").json][:2] == [1, 2], (
        "logs stay where they are"
    )


def test_lists_have_the_callers_logs_newest_first(ada: Person, ben: Person, prompt: dict[str, Any]) -> None:
    other = ada.prompt()
    first, second, third = ada.log(prompt), ada.log(other), ada.log(prompt)
    ben.log(ben.prompt())
    assert ada.get("/logs").json == [third, second, first]
    assert ada.get(f"/logs?promptId={prompt['_id']}").json == [third, first]
    assert ada.get(f"/logs-by-prompt?promptId={prompt['_id']}").json == [third, first]
    assert ada.get(f"/logs?promptId={ada.prompt()['_id']}").json == []


@pytest.mark.parametrize("path", ["/logs", "/logs-by-prompt"])
def test_lists_of_an_unknown_or_malformed_prompt_are_refused(ada: Person, path: str) -> None:
    unknown = ada.get(f"{path}?promptId=prompt104")
    assert (unknown.status_code, unknown.json["message"]) == (404, "Prompt not found")
    assert ada.get(f"{path}?promptId=prompt_1%00").json["message"] == "The prompt ID format is invalid."
    malformed = ada.get(f"{path}?promptId=xyz")
    assert (malformed.status_code, malformed.json["message"]) == (400, "The prompt ID format is invalid.")
    assert ada.get(f"{path}?promptId=").status_code == 400


def test_logs_by_prompt_needs_its_prompt(ada: Person) -> None:
    answer = ada.get("/logs-by-prompt")
    assert (answer.status_code, answer.json["message"]) == (400, "promptId is required")


def test_pages_of_any_size_add_up_to_the_whole_list(ada: Person, prompt: dict[str, Any]) -> None:
    for n in range(7):
        ada.log(prompt, output=f"Output {n}")
    whole = ada.get("/logs").json
    for size in (1, 2, 3, 6, 7, 8, 1000):
        path, pages = f"/logs?promptId={prompt['_id']}&per_page={size}", []
        while path:
            answer = ada.get(path)
            pages.append(answer.json)
            path = answer.headers.get("Link", "").partition("<http://localhost")[2].partition('>; rel="next"')[0]
        assert [log for page in pages for log in page] == whole
        assert len(pages) == -(-7 // size)


def test_a_page_is_not_shifted_by_logs_added_meanwhile(ada: Person, prompt: dict[str, Any]) -> None:
    logs = [ada.log(prompt) for _ in range(4)][::-1]
    link = ada.get("/logs?per_page=2").headers["Link"]
    ada.log(prompt)
    ada.delete(f"/logs/{logs[1]['_id']}")
    assert ada.get(link.partition("<http://localhost")[2].partition(">")[0]).json == logs[2:]


@pytest.mark.parametrize(
    "query",
    ["per_page=0", "per_page=1001", "per_page=x", "per_page=1.5", "per_page=", "per_page=%D9%A3", "per_page=9" * 30],
)
def test_a_bad_page_size_is_refused(ada: Person, query: str) -> None:
    answer = ada.get(f"/logs?{query}")
    assert answer.status_code == 400
    assert list(answer.json["details"]) == ["per_page"]


@pytest.mark.parametrize(
    "cursor", ["x", "", "1", "1-2-3", "-1-2", "1.5-2", "%D9%A3-1", "1-" + "9" * 19, "9" * 15 + "-1", "1-2%0A"]
)
def test_a_malformed_cursor_is_refused(ada: Person, cursor: str) -> None:
    answer = ada.get(f"/logs?per_page=2&cursor={cursor}")
    assert (answer.status_code, list(answer.json["details"])) == (400, ["cursor"])


def test_a_cursor_alone_takes_the_usual_page_size(ada: Person, prompt: dict[str, Any]) -> None:
    logs = [ada.log(prompt) for _ in range(3)]
    link = ada.get("/logs?per_page=1").headers["Link"]
    cursor = link.partition("cursor=")[2].partition(">")[0]
    assert ada.get(f"/logs?cursor={cursor}").json == [logs[1], logs[0]]


def test_score_and_notes_can_be_set_changed_and_cleared(ada: Person, prompt: dict[str, Any]) -> None:
    log = ada.log(prompt, notes="first", score=3)
    path = f"/logs/{log['_id']}"
    assert ada.patch(path, {}).json == log
    changed = ada.patch(path, {"score": 9.5}).json
    assert changed == {**log, "score": 9.5, "updatedAt": changed["updatedAt"]}
    cleared = ada.patch(path, {"notes": None, "score": None}).json
    assert (cleared["notes"], cleared["score"]) == (None, None)
    sent = {"output": "forged", "_id": "log_1", "promptId": "prompt_1", "createdAt": "1999-01-01", "notes": "last"}
    last = ada.patch(path, sent).json
    assert last == {**cleared, "notes": "last", "updatedAt": last["updatedAt"]}
    assert ada.get(path).json == last
    for bad in ({"score": 11}, {"notes": 5}, {"score": "1"}):
        assert ada.patch(path, bad).status_code == 400
    assert ada.get(path).json == last


def test_a_deleted_log_is_gone(ada: Person, prompt: dict[str, Any]) -> None:
    log = ada.log(prompt)
    answer = ada.delete(f"/logs/{log['_id']}")
    assert (answer.status_code, answer.data) == (204, b"")
    assert ada.get("/logs").json == []
    assert ada.delete(f"/logs/{log['_id']}").status_code == 404


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_unknown_malformed_and_foreign_ids_of_logs_are_refused(
    ada: Person, ben: Person, prompt: dict[str, Any], method: str
) -> None:
    def call(person: Person, log_id: str) -> tuple[int, str]:
        answer = person.open(f"/logs/{log_id}", method=method, json={"score": 1} if method == "PATCH" else None)
        return answer.status_code, answer.json["message"]

    assert call(ada, "log104") == (404, "Log not found")
    assert call(ada, "prompt_1") == (400, "The log ID format is invalid.")
    assert call(ben, ada.log(prompt)["_id"]) == (403, "You do not own this log")
    assert ada.get("/logs").json[0]["score"] is None


def test_the_error_for_a_large_output_has_limit_and_size(ada: Person, prompt: dict[str, Any], app: Flask) -> None:
    app.config["MAX_OUTPUT_BYTES"] = 6
    body = {"promptId": prompt["_id"], "modelUsed": "m"}
    assert ada.post("/logs", {**body, "output": "äöü"}).status_code == 201
    answer = ada.post("/logs", {**body, "output": "äöüä"})
    assert (answer.status_code, answer.json["message"]) == (413, "output may have at most 6 bytes; it is 8.")


def test_a_prompt_deleted_between_look_up_and_write_is_404(
    ada: Person, prompt: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    complete = token_costs.with_tokens_and_cost

    def delete_then_complete(values: Mapping[str, Any], model: str | None) -> dict[str, Any]:
        ada.delete(f"/prompts/{prompt['_id']}")
        return complete(values, model)

    monkeypatch.setattr(token_costs, "with_tokens_and_cost", delete_then_complete)  # it runs after the look-up
    answer = ada.post("/logs", {"promptId": prompt["_id"], "output": "x", "modelUsed": "m"})
    assert (answer.status_code, answer.json["message"]) == (404, "Prompt not found")


def test_unauthenticated_calls_are_refused(client: Caller) -> None:
    for method, path in (("GET", "/logs"), ("POST", "/logs"), ("PATCH", "/logs/log_1"), ("DELETE", "/logs/nonsense")):
        assert client.open(path, method=method, data="not json").status_code == 401
