"""The routes of OpenTelemetry: what is stored of the spans that exporters send."""

import json
from typing import Any

from tests.support.otlp import TRACE, export, make_span
from tests.support.people import Person

CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o-2024-08-06",
    "gen_ai.request.temperature": 0.2,
    "gen_ai.usage.input_tokens": 20,
    "gen_ai.usage.output_tokens": 5,
    "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": "Hello?"}]}]),
    "gen_ai.output.messages": json.dumps(
        [{"role": "assistant", "parts": [{"type": "text", "content": "Hi."}], "finish_reason": "stop"}]
    ),
}


def logs_of(person: Person) -> list[dict[str, Any]]:
    return list(person.get("/logs").json)


def test_a_call_of_a_model_becomes_a_log_of_a_trace(ada: Person) -> None:
    span = make_span({**CHAT, "user.id": "u7", "session.id": "s9"}, name="chat gpt-4o")
    answer = export(ada, span, resource={"service.name": "shop", "deployment.environment": "production"})
    assert (answer.status_code, answer.data, answer.mimetype) == (200, b"", "application/x-protobuf")
    (log,) = logs_of(ada)
    assert {name: log.get(name) for name in ("output", "modelUsed", "provider", "inputTokens", "outputTokens")} == {
        "output": "Hi.",
        "modelUsed": "gpt-4o-2024-08-06",
        "provider": "openai",
        "inputTokens": 20,
        "outputTokens": 5,
    }
    assert json.loads(log["input"]) == [{"role": "user", "content": "Hello?"}]
    assert (log["latencyMs"], log["userId"], log["sessionId"]) == (1500, "u7", "s9")
    assert (log["environment"], log["parameters"]) == ("production", {"temperature": 0.2})
    assert (log["source"], log["spanId"], log["startTime"]) == ("otlp", span["span_id"], "2025-06-15T15:06:40.000Z")
    assert log["cost"] > 0
    (trace,) = ada.get("/traces").json
    assert (trace["_id"], trace["name"], trace["slug"]) == (log["traceId"], "chat gpt-4o", "shop")


def test_an_agents_run_of_12_spans_with_3_calls_makes_3_logs_however_it_arrives(ada: Person) -> None:
    agent = make_span({"gen_ai.operation.name": "invoke_agent", "gen_ai.request.model": "gpt-4o"}, name="agent")
    calls = [make_span(CHAT, parent_id=agent["span_id"], name=f"call {number}") for number in range(3)]
    tools = [
        make_span({"gen_ai.operation.name": "execute_tool"}, parent_id=agent["span_id"], name=f"tool {number}")
        for number in range(3)
    ]
    requests = [make_span({"http.method": "POST"}, parent_id=tool["span_id"], name="POST") for tool in tools]
    doubles = [make_span(CHAT, parent_id=call["span_id"], name="inner") for call in calls[:2]]
    spans = [agent, *calls, *tools, *requests, *doubles]
    assert len(spans) == 12
    assert export(ada, *spans).status_code == 200
    assert export(ada, *spans).status_code == 200
    for span in reversed(spans):
        assert export(ada, {**span, "trace_id": TRACE[::-1]}).status_code == 200
    logs = logs_of(ada)
    assert sorted(log["name"] for log in logs) == ["call 2", "call 2", "inner", "inner", "inner", "inner"]
    for trace in ada.get("/traces").json:
        steps = ada.get(f"/traces/{trace['_id']}").json["spans"]
        assert sorted(step["name"] for step in steps) == ["agent", "call 0", "call 1", "tool 0", "tool 1", "tool 2"]
        assert trace["name"] == "agent"


def test_a_bad_span_beside_good_ones_costs_only_itself(ada: Person) -> None:
    answer = export(ada, make_span(CHAT), make_span(CHAT, trace_id="00" * 16), make_span(CHAT))
    assert answer.status_code == 200
    assert b"trace_id must have 16 bytes that are not all 0" in answer.data
    assert len(logs_of(ada)) == 2
