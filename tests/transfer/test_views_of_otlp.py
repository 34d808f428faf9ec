"""Traces of OpenTelemetry in exports and imports: each of their steps has a line of its own."""

import json
from typing import Any

import pytest

from tests.support.otlp import export as send
from tests.support.otlp import make_span
from tests.support.people import Person
from tests.support.transfer import export, import_file, join

CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.provider.name": "openai",
    "gen_ai.usage.input_tokens": 20,
    "gen_ai.usage.output_tokens": 5,
    "user.id": "u1",
    "session.id": "s1",
}
TOOL = {"gen_ai.operation.name": "execute_tool", "input.value": json.dumps({"z": 1, "a": [2.5]})}


@pytest.fixture
def lines(ada: Person) -> list[dict[str, Any]]:
    """The export of an account with a run: a failed step, and a call inside another call that names a prompt."""
    prompt = ada.prompt(slug="greet")
    root = make_span({"gen_ai.operation.name": "invoke_agent"}, name="run")
    tool = make_span(TOOL, parent_id=root["span_id"], status=2, message="broken")
    outer = make_span({**CHAT, "gen_ai.prompt.name": "greet", "gen_ai.prompt.version": "1"}, parent_id=root["span_id"])
    inner = make_span(CHAT, parent_id=outer["span_id"], name="inner")
    assert send(ada, root, tool, outer, inner).status_code == 200
    ada.post("/basalt/monitor/trace", {"featureSlug": "f", "logs": [{"id": "1", "type": "span"}]})
    found = [json.loads(line) for line in export(ada).splitlines()]
    assert [line["type"] for line in found[3:-1]] == ["trace", "trace", "span", "span", "span", "log"]
    assert found[-1]["spans"] == 3
    assert found[7]["call"]["promptId"] == prompt["_id"]
    return found


def test_a_trace_with_its_steps_is_imported_to_the_same_bytes(
    ada: Person, other_account: Person, lines: list[dict[str, Any]]
) -> None:
    left = export(ada)
    for outcome in ("created", "skipped"):
        answer = import_file(other_account, left).json
        assert {name: answer[name][outcome] for name in ("traces", "spans", "logs")} == {
            "traces": 2,
            "spans": 3,
            "logs": 1,
        }
    assert export(other_account) == left
    here, there = (person.get("/traces").json for person in (ada, other_account))
    assert here == there
    for trace in here:
        for path in (f"/traces/{trace['_id']}", f"/traces/{trace['_id']}/tree"):
            assert ada.get(path).text == other_account.get(path).text


@pytest.mark.parametrize(("sent", "kept"), [(42, "42"), (-1.5, "-1.5"), (False, "false"), (0, "0")])
def test_a_number_or_a_boolean_is_a_text_and_imported_as_such(
    ada: Person, other_account: Person, sent: Any, kept: str
) -> None:
    values = {"input.value": sent, "output.value": sent}
    root = make_span({"gen_ai.operation.name": "execute_tool", **values})
    assert send(ada, root, make_span({**CHAT, **values}, parent_id=root["span_id"])).status_code == 200
    trace = ada.get(f"/traces/{ada.get('/traces').json[0]['_id']}").json
    for each in (trace, *trace["spans"], *trace["logs"]):
        assert (each["input"], each["output"]) == (kept, kept)
    left = export(ada)
    assert import_file(other_account, left).status_code == 200
    assert export(other_account) == left


def test_an_imported_trace_grows_on_and_a_copy_does_not(ada: Person, lines: list[dict[str, Any]]) -> None:
    left = export(ada)
    copied = ada.post("/import?ids=new", data=left, headers={"Content-Type": "application/x-ndjson"})
    assert (copied.status_code, copied.json["spans"]["created"]) == (200, 3)
    traces = ada.get("/traces?source=otlp").json
    assert ["externalId" in trace for trace in traces] == [False, True]
    span = make_span(CHAT, parent_id=lines[5]["id"], name="late")
    assert send(ada, span).status_code == 200
    assert [len(ada.get(f"/traces/{trace['_id']}").json["logs"]) for trace in traces] == [1, 2]
    for trace in traces:
        ada.delete(f"/traces/{trace['_id']}")
    assert import_file(ada, left).json["spans"]["created"] == 3
    (again,) = ada.get("/traces?source=otlp").json
    assert send(ada, span, {**span, "name": "late"}).status_code == 200
    assert len(ada.get(f"/traces/{again['_id']}").json["logs"]) == 2


def test_the_first_form_has_no_traces_of_opentelemetry(ada: Person, lines: list[dict[str, Any]]) -> None:
    found = [json.loads(line) for line in ada.get("/export?form=1").data.splitlines()]
    assert [line["type"] for line in found] == ["export", "prompt", "version", "trace", "end"]
    assert found[3]["source"] == "basalt"
    assert "spans" not in found[-1]


@pytest.mark.parametrize(
    ("change", "details"),
    [
        ({"traceId": "trace_1"}, {"line 6.traceId": ["must be in a line before or in the workspace"]}),
        ({"durationMs": -1}, {"line 6.durationMs": ["must be a number, at least 0"]}),
        ({"status": "bad"}, {"line 6.status": ["must be one of error"]}),
        ({"call": {"cost": "much"}}, {"line 6.call.cost": ["must be a number, at least 0"]}),
        ({"call": {"score": 1}}, {"line 6.call.score": ["is not a field of such a line"]}),
    ],
)
def test_a_line_of_a_span_is_checked(
    other_account: Person, lines: list[dict[str, Any]], change: dict[str, Any], details: dict[str, Any]
) -> None:
    lines[5] |= change
    answer = import_file(other_account, join(lines))
    assert (answer.status_code, answer.json["details"]) == (400, details)


def test_one_span_stands_in_a_file_only_once(other_account: Person, lines: list[dict[str, Any]]) -> None:
    lines[6]["id"] = lines[5]["id"]
    answer = import_file(other_account, join(lines))
    assert (answer.status_code, answer.json["details"]) == (400, {"line 7.id": ["stands in line 6 already"]})


def test_a_second_log_of_one_span_is_kept_without_its_id(other_account: Person, lines: list[dict[str, Any]]) -> None:
    log = lines[8]
    lines[9] = {"type": "log", **log, "_id": f"{log['_id']}2"}
    lines.append({"type": "end"})
    assert import_file(other_account, join(lines)).status_code == 200
    found = other_account.get("/logs?sort=createdAt").json
    assert [each.get("spanId") for each in found] == [log["spanId"], None]


def test_one_prompt_is_exported_with_the_steps_of_its_traces(ada: Person, lines: list[dict[str, Any]]) -> None:
    left = ada.get(f"/export?promptId={lines[1]['_id']}").data.splitlines()
    assert [json.loads(line)["type"] for line in left[1:-1]] == ["prompt", "version", "trace", *["span"] * 3, "log"]
