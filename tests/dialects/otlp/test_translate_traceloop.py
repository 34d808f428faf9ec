"""OpenLLMetry (Traceloop), before and after its move to the GenAI conventions."""

import json
from typing import Any

import pytest

from promptcrafter.dialects.otlp.translate import translate
from tests.support.otlp_spans import LIMITS, log_of, pick, step_of, to_span, translated

OLDER: dict[str, Any] = {  # opentelemetry-instrumentation-openai 0.40
    "llm.request.type": "chat",
    "gen_ai.system": "OpenAI",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.request.max_tokens": 100,
    "llm.headers": "None",
    "llm.is_streaming": False,
    "gen_ai.openai.api_base": "https://api.openai.com/v1/",
    "gen_ai.prompt.0.role": "system",
    "gen_ai.prompt.0.content": "You are brief.",
    "gen_ai.prompt.1.role": "user",
    "gen_ai.prompt.1.content": json.dumps([{"type": "text", "text": "Weather in Paris?"}]),
    "gen_ai.response.model": "gpt-4o-2024-08-06",
    "gen_ai.response.id": "chatcmpl-9",
    "llm.usage.total_tokens": 149,
    "gen_ai.usage.prompt_tokens": 97,
    "gen_ai.usage.completion_tokens": 52,
    "gen_ai.usage.cache_read_input_tokens": 64,
    "gen_ai.completion.0.finish_reason": "stop",
    "gen_ai.completion.0.role": "assistant",
    "gen_ai.completion.0.content": "Rain.",
}
NEWER: dict[str, Any] = {  # opentelemetry-instrumentation-openai 0.62
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.request.max_tokens": 100,
    "gen_ai.is_streaming": False,
    "gen_ai.input.messages": json.dumps(
        [
            {"role": "system", "parts": [{"type": "text", "content": "You are brief."}]},
            {"role": "user", "parts": [{"type": "text", "content": "Weather in Paris?"}]},
        ]
    ),
    "gen_ai.output.messages": json.dumps(
        [{"role": "assistant", "parts": [{"type": "text", "content": "Rain."}], "finish_reason": "stop"}]
    ),
    "gen_ai.response.model": "gpt-4o-2024-08-06",
    "gen_ai.response.id": "chatcmpl-9",
    "gen_ai.usage.total_tokens": 149,
    "gen_ai.usage.input_tokens": 97,
    "gen_ai.usage.output_tokens": 52,
    "gen_ai.usage.cache_read.input_tokens": 64,
}


@pytest.mark.parametrize("attributes", [OLDER, NEWER], ids=["older", "newer"])
def test_a_call_becomes_a_log(attributes: dict[str, Any]) -> None:
    log = log_of(attributes, name="openai.chat")
    expected = {
        "input": [
            {"role": "system", "content": "You are brief."},
            {"role": "user", "content": "Weather in Paris?"},
        ],
        "output": "Rain.",
        "model_used": "gpt-4o-2024-08-06",
        "input_tokens": 97,
        "output_tokens": 52,
        "cached_input_tokens": 64,
        "parameters": {"max_tokens": 100, "stream": False},
    }
    assert pick(log, expected) == expected
    assert log["provider"].lower() == "openai"
    assert log["meta"]["responseId"] == "chatcmpl-9"


def test_calls_of_tools_in_flattened_names() -> None:
    log = log_of(
        {
            **{name: value for name, value in OLDER.items() if not name.startswith("gen_ai.completion")},
            "llm.request.functions.0.name": "get_weather",
            "llm.request.functions.0.parameters": '{"type": "object"}',
            "gen_ai.completion.0.role": "assistant",
            "gen_ai.completion.0.finish_reason": "tool_calls",
            "gen_ai.completion.0.tool_calls.0.id": "call_1",
            "gen_ai.completion.0.tool_calls.0.name": "get_weather",
            "gen_ai.completion.0.tool_calls.0.arguments": '{"city":"Paris"}',
        }
    )
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'}}
    assert log["output"] == [{"role": "assistant", "finish_reason": "tool_calls", "tool_calls": [call]}]
    assert log["parameters"]["tools"] == [{"name": "get_weather", "parameters": '{"type": "object"}'}]


def test_an_embedding_is_a_step() -> None:
    step = step_of({**OLDER, "llm.request.type": "embedding"})
    assert step["type"] == "embedding"


@pytest.mark.parametrize("kind", ["workflow", "task", "agent", "tool"])
def test_the_entities_of_a_workflow_are_steps(kind: str) -> None:
    part = translated(
        {
            "traceloop.span.kind": kind,
            "traceloop.workflow.name": "joke_creation",
            "traceloop.entity.name": "create_joke",
            "traceloop.entity.input": '{"args": [], "kwargs": {"topic": "rain"}}',
            "traceloop.entity.output": '"A joke"',
            "traceloop.association.properties.user_id": "u7",
            "traceloop.association.properties.plan": "pro",
        },
        name=f"create_joke.{kind}",
    )
    assert not part.is_call
    assert part.columns["type"] == kind
    assert part.columns["input"] == {"args": [], "kwargs": {"topic": "rain"}}
    assert part.columns["meta"]["plan"] == "pro"
    assert part.of_trace["name"] == "joke_creation"
    assert part.of_trace["user_id"] == "u7"


def test_what_the_sdk_sets_on_every_span_makes_no_step_of_a_request() -> None:
    attributes = {
        "http.method": "POST",
        "traceloop.workflow.name": "joke_creation",
        "traceloop.entity.path": "create_joke",
        "traceloop.association.properties.user_id": "u7",
    }
    assert translate(to_span(attributes), LIMITS) is None


def test_a_managed_prompt_is_named_with_its_variables() -> None:
    managed = {
        **OLDER,
        "traceloop.prompt.managed": True,
        "traceloop.prompt.key": "joke",
        "traceloop.prompt.version": 4,
        "traceloop.prompt.template_variables.topic": "rain",
    }
    part = translated(managed)
    assert part.reference == {"slug": "joke", "version": "4"}
    assert part.columns["variables"] == {"topic": "rain"}
    whole = {**OLDER, "traceloop.prompt.template_variables": '{"topic": "rain"}'}
    assert translated(whole).columns["variables"] == {"topic": "rain"}
