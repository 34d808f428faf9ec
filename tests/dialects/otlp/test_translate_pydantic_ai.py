"""pydantic-ai, in the versions 1 to 5 of its instrumentation, and Logfire."""

import json
from typing import Any

import pytest

from promptcrafter.dialects.otlp.translate import translate
from tests.support.otlp_spans import LIMITS, log_of, pick, step_of, to_span

CALL: dict[str, Any] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.system": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o-2024-08-06",
    "gen_ai.agent.name": "weather",
    "gen_ai.conversation.id": "c1",
    "gen_ai.request.temperature": 0.2,
    "server.address": "api.openai.com",
    "model_request_parameters": '{"function_tools": [{"name": "get_weather"}], "output_mode": "text"}',
    "logfire.json_schema": "{}",
    "gen_ai.usage.input_tokens": 97,
    "gen_ai.usage.output_tokens": 52,
    "gen_ai.usage.cache_read.input_tokens": 64,
    "gen_ai.usage.details.cache_read_tokens": 64,
    "gen_ai.usage.details.reasoning_tokens": 12,
    "operation.cost": 0.0005,
}
EVENTS = [
    {"content": "You are brief.", "role": "system", "gen_ai.message.index": 0, "event.name": "gen_ai.system.message"},
    {"content": "Weather in Paris?", "role": "user", "gen_ai.message.index": 0, "event.name": "gen_ai.user.message"},
]
CHOICE: dict[str, Any] = {
    "index": 0,
    "message": {
        "role": "assistant",
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": {"city": "Paris"}}}
        ],
    },
    "event.name": "gen_ai.choice",
}
PARTS = [
    {"role": "system", "parts": [{"type": "text", "content": "You are brief."}]},
    {"role": "user", "parts": [{"type": "text", "content": "Weather in Paris?"}]},
]
ANSWER = [
    {
        "role": "assistant",
        "parts": [{"type": "tool_call", "id": "c1", "name": "get_weather", "arguments": {"city": "Paris"}}],
        "finish_reason": "tool_call",
    }
]
VERSIONS = {
    "1": {"events": json.dumps([*EVENTS, CHOICE])},
    "2": {"gen_ai.input.messages": json.dumps(PARTS), "gen_ai.output.messages": json.dumps(ANSWER)},
}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_call_becomes_a_log(version: str) -> None:
    log = log_of({**CALL, **VERSIONS[version]}, name="chat gpt-4o", scope="pydantic-ai")
    expected = {
        "input": [
            {"role": "system", "content": "You are brief."},
            {"role": "user", "content": "Weather in Paris?"},
        ],
        "model_used": "gpt-4o-2024-08-06",
        "input_tokens": 97,
        "cached_input_tokens": 64,
        "reasoning_tokens": 12,
        "cost": 0.0005,
        "session_id": "c1",
        "parameters": {
            "temperature": 0.2,
            "model_request_parameters": {"function_tools": [{"name": "get_weather"}], "output_mode": "text"},
        },
    }
    assert pick(log, expected) == expected
    assert log["output"][0]["tool_calls"] == CHOICE["message"]["tool_calls"]


RUNS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "version 1": (
        {
            "model_name": "gpt-4o",
            "agent_name": "weather",
            "gen_ai.usage.input_tokens": 194,
            "all_messages_events": json.dumps(EVENTS),
            "final_result": "Rain.",
        },
        {"type": "agent", "output": "Rain."},
    ),
    "version 2": (
        {
            "model_name": "gpt-4o",
            "agent_name": "weather",
            "gen_ai.agent.name": "weather",
            "pydantic_ai.all_messages": json.dumps(PARTS),
            "gen_ai.usage.input_tokens": 194,
            "gen_ai.response.model": "gpt-4o",
        },
        {
            "type": "agent",
            "output": [
                {"role": "system", "content": "You are brief."},
                {"role": "user", "content": "Weather in Paris?"},
            ],
        },
    ),
    "version 3": ({**CALL, "gen_ai.operation.name": "invoke_agent", "final_result": "Rain."}, {"type": "agent"}),
}


def test_the_run_of_an_agent_is_a_step_although_it_has_the_sum_of_the_tokens(subtests: pytest.Subtests) -> None:
    for name, (attributes, expected) in RUNS.items():
        with subtests.test(name):
            step = step_of(attributes, name="agent run", scope="pydantic-ai")
            assert pick(step, expected) == expected


def test_tools_are_steps_with_those_around_them() -> None:
    tool = step_of(
        {"gen_ai.tool.name": "get_weather", "tool_arguments": '{"city":"Paris"}', "tool_response": "rainy"},
        name="running tool",
    )
    assert (tool["type"], tool["input"], tool["output"]) == ("tool", {"city": "Paris"}, "rainy")
    around = step_of({"tools": ["get_weather"]}, name="running 1 tool", scope="pydantic-ai")
    assert (around["type"], around["name"]) == ("span", "running 1 tool")


def test_a_span_of_logfire_that_has_only_begun_is_dropped() -> None:
    assert translate(to_span({**CALL, "logfire.span_type": "pending_span"}), LIMITS) is None
    assert translate(to_span({**CALL, "logfire.span_type": "span"}), LIMITS) is not None


def test_an_older_span_of_logfire_has_request_and_response() -> None:
    log = log_of(
        {
            "request_data": '{"messages":[{"role":"user","content":"Hi"}],"model":"gpt-4o","temperature":0}',
            "response_data": '{"message":{"content":"Hello.","role":"assistant","tool_calls":null}}',
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.response.model": "gpt-4o-2024-08-06",
            "gen_ai.usage.input_tokens": 9,
        }
    )
    assert (log["input"], log["output"], log["parameters"]) == (
        [{"role": "user", "content": "Hi"}],
        "Hello.",
        {"temperature": 0},
    )


def test_a_test_model_is_no_provider_with_prices() -> None:
    log = log_of({**CALL, "gen_ai.provider.name": "function", "gen_ai.request.model": "function:reply:"})
    assert log["provider"] == "function"
