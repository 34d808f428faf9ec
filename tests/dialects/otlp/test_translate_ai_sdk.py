"""The Vercel AI SDK: `ai.*` of the versions 4 to 6, and the GenAI conventions of version 7."""

import json
from typing import Any

import pytest

from tests.support.otlp_spans import log_of, pick, step_of, translated

PROMPT = [
    {"role": "system", "content": "You are brief."},
    {"role": "user", "content": [{"type": "text", "text": "Weather in Paris?"}]},
]
MESSAGES = [{"role": "system", "content": "You are brief."}, {"role": "user", "content": "Weather in Paris?"}]
REQUEST: dict[str, Any] = {
    "operation.name": "ai.generateText.doGenerate weather",
    "resource.name": "weather",
    "ai.operationId": "ai.generateText.doGenerate",
    "ai.telemetry.functionId": "weather",
    "ai.telemetry.metadata.userId": "u7",
    "ai.telemetry.metadata.sessionId": "s9",
    "ai.telemetry.metadata.plan": "pro",
    "ai.model.provider": "openai.chat",
    "ai.model.id": "gpt-4o",
    "ai.settings.maxRetries": 2,
    "ai.request.headers.user-agent": "ai/6",
    "ai.prompt.messages": json.dumps(PROMPT),
    "ai.prompt.toolChoice": '{"type":"auto"}',
    "ai.prompt.tools": ['{"type":"function","name":"get_weather"}'],
    "gen_ai.system": "openai.chat",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.request.temperature": 0.2,
    "ai.response.finishReason": "stop",
    "ai.response.text": "Rain.",
    "ai.response.id": "chatcmpl-9",
    "ai.response.model": "gpt-4o-2024-08-06",
    "ai.response.timestamp": "2025-06-15T15:06:40.000Z",
    "gen_ai.response.finish_reasons": ["stop"],
    "gen_ai.response.id": "chatcmpl-9",
    "gen_ai.response.model": "gpt-4o-2024-08-06",
    "gen_ai.usage.input_tokens": 97,
    "gen_ai.usage.output_tokens": 52,
}
VERSIONS: dict[str, dict[str, Any]] = {
    "3": {"ai.result.text": "Rain.", "ai.response.text": "", "ai.usage.promptTokens": 97},
    "4": {"ai.usage.promptTokens": 97, "ai.usage.completionTokens": 52},
    "5": {"ai.usage.inputTokens": 97, "ai.usage.outputTokens": 52, "ai.usage.totalTokens": 149},
    "6": {
        "ai.usage.inputTokens": 97,
        "ai.usage.inputTokenDetails.noCacheTokens": 97,
        "ai.usage.outputTokens": 52,
        "ai.usage.outputTokenDetails.textTokens": 52,
        "ai.usage.totalTokens": 149,
    },
}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_call_becomes_a_log(version: str) -> None:
    log = log_of({**REQUEST, **VERSIONS[version]}, name="ai.generateText.doGenerate", scope="ai")
    expected = {
        "input": MESSAGES,
        "output": "Rain.",
        "model_used": "gpt-4o-2024-08-06",
        "provider": "openai.chat",
        "input_tokens": 97,
        "output_tokens": 52,
        "user_id": "u7",
        "session_id": "s9",
        "parameters": {
            "temperature": 0.2,
            "tool_choice": {"type": "auto"},
            "tools": [{"type": "function", "name": "get_weather"}],
        },
        "meta": {
            "plan": "pro",
            "finishReasons": ["stop"],
            "responseId": "chatcmpl-9",
            "scope": "ai",
            "functionId": "weather",
            "attributes": {"ai.settings.maxRetries": 2, "ai.request.headers.user-agent": "ai/6"},
        },
    }
    assert pick(log, expected) == expected


def test_cached_and_reasoning_tokens_count_once_although_they_arrive_twice() -> None:
    log = log_of(
        {
            **REQUEST,
            "ai.usage.inputTokens": 97,
            "ai.usage.inputTokenDetails.cacheReadTokens": 64,
            "ai.usage.inputTokenDetails.cacheWriteTokens": 8,
            "ai.usage.cachedInputTokens": 64,
            "ai.usage.outputTokenDetails.reasoningTokens": 12,
            "ai.usage.reasoningTokens": 12,
        }
    )
    expected = {
        "input_tokens": 97,
        "cached_input_tokens": 64,
        "cache_write_tokens": 8,
        "output_tokens": 52,
        "reasoning_tokens": 12,
    }
    assert pick(log, expected) == expected


OUTPUTS: dict[str, tuple[dict[str, Any], Any]] = {
    "calls of tools": (
        {"ai.response.toolCalls": '[{"toolCallId":"c1","toolName":"get_weather","input":{"city":"Paris"}}]'},
        [
            {
                "role": "assistant",
                "tool_calls": [
                    {
                        "id": "c1",
                        "type": "function",
                        "function": {"name": "get_weather", "arguments": {"city": "Paris"}},
                    }
                ],
            }
        ],
    ),
    "calls of tools in version 4": (
        {
            "ai.response.text": "I look.",
            "ai.response.toolCalls": '[{"toolCallId":"c1","toolName":"get_weather","args":"{}"}]',
        },
        [
            {
                "role": "assistant",
                "content": "I look.",
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
                ],
            }
        ],
    ),
    "text and no calls": ({"ai.response.text": "Rain.", "ai.response.toolCalls": "[]"}, "Rain."),
    "text that is JSON": ({"ai.response.text": '{"a": 1}'}, '{"a": 1}'),
    "reasoning": (
        {"ai.response.text": "Rain.", "ai.response.reasoning": "Hm."},
        [
            {
                "role": "assistant",
                "content": [{"type": "reasoning", "text": "Hm."}, {"type": "text", "text": "Rain."}],
            }
        ],
    ),
    "an object": ({"ai.response.object": '{"weather": "rain"}'}, {"weather": "rain"}),
    "an object in version 3": ({"ai.result.object": '{"weather": "rain"}'}, {"weather": "rain"}),
}


def test_text_calls_of_tools_and_objects_are_outputs(subtests: pytest.Subtests) -> None:
    request = {name: value for name, value in REQUEST.items() if name != "ai.response.text"}
    for name, (response, expected) in OUTPUTS.items():
        with subtests.test(name):
            assert log_of({**request, **response})["output"] == expected


def test_results_of_tools_in_a_prompt_are_messages_of_the_tool() -> None:
    prompt = [
        *PROMPT,
        {
            "role": "assistant",
            "content": [{"type": "tool-call", "toolCallId": "c1", "toolName": "get_weather", "input": {}}],
        },
        {
            "role": "tool",
            "content": [
                {
                    "type": "tool-result",
                    "toolCallId": "c1",
                    "toolName": "get_weather",
                    "output": {"type": "json", "value": {"sky": "grey"}},
                }
            ],
        },
    ]
    assert log_of({**REQUEST, "ai.prompt.messages": json.dumps(prompt)})["input"][2:] == [
        {
            "role": "assistant",
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": {}}}],
        },
        {"role": "tool", "tool_call_id": "c1", "name": "get_weather", "content": {"sky": "grey"}},
    ]


@pytest.mark.parametrize("operation", ["generateText", "streamText", "generateObject", "streamObject"])
def test_the_outer_span_is_a_step_although_it_has_a_model_and_the_sum_of_the_tokens(operation: str) -> None:
    step = step_of(
        {
            "ai.operationId": f"ai.{operation}",
            "ai.model.id": "gpt-4o",
            "ai.prompt": '{"messages":[{"role":"user","content":"Weather in Paris?"}]}',
            "ai.response.text": "Rain.",
            "ai.usage.inputTokens": 194,
        }
    )
    assert (step["type"], step["output"]) == ("agent", "Rain.")
    assert step["input"] == [{"role": "user", "content": "Weather in Paris?"}]
    for inner in ("doGenerate", "doStream"):
        assert log_of({"ai.operationId": f"ai.{operation}.{inner}"})["source"] == "otlp"


STEPS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "tool": (
        {
            "ai.operationId": "ai.toolCall",
            "ai.toolCall.name": "get_weather",
            "ai.toolCall.args": '{"city":"Paris"}',
            "ai.toolCall.result": '"rainy"',
        },
        {"type": "tool", "input": {"city": "Paris"}, "output": "rainy"},
    ),
    "embedding": (
        {"ai.operationId": "ai.embed", "ai.model.id": "m", "ai.value": '"sun"', "ai.usage.tokens": 4},
        {"type": "embedding", "input": "sun"},
    ),
    "the inner embedding": (
        {
            "ai.operationId": "ai.embedMany.doEmbed",
            "ai.model.id": "m",
            "ai.values": ['"sun"', '"rain"'],
            "ai.embeddings": ["[0.1]"],
            "gen_ai.usage.input_tokens": 4,
        },
        {"type": "embedding", "input": ['"sun"', '"rain"'], "output": None},
    ),
}


def test_tools_and_embeddings_are_steps(subtests: pytest.Subtests) -> None:
    for name, (attributes, expected) in STEPS.items():
        with subtests.test(name):
            assert pick(step_of(attributes), expected) == expected


@pytest.mark.parametrize("name", ["ai.response.msToFirstChunk", "ai.stream.msToFirstChunk"])
def test_the_time_to_the_first_chunk(name: str) -> None:
    assert log_of({**REQUEST, "ai.operationId": "ai.streamText.doStream", name: 412.5})["meta"][
        "timeToFirstTokenMs"
    ] == pytest.approx(412.5)


def test_a_prompt_of_langfuse_in_the_metadata_is_named() -> None:
    prompt = {"name": "weather", "version": 3, "prompt": "…", "isFallback": False, "labels": ["production"]}
    with_prompt = {**REQUEST, "ai.telemetry.metadata.langfusePrompt": json.dumps(prompt)}
    assert translated(with_prompt).reference == {"slug": "weather", "version": "3"}
    fallback = {**REQUEST, "ai.telemetry.metadata.langfusePrompt": json.dumps({**prompt, "isFallback": True})}
    assert translated(fallback).reference is None


def test_version_7_sends_the_genai_conventions() -> None:
    parts = [{"role": "user", "parts": [{"type": "text", "content": "Weather in Paris?"}]}]
    answer = [{"role": "assistant", "parts": [{"type": "text", "content": "Rain."}], "finish_reason": "stop"}]
    call = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.system_instructions": '[{"type":"text","content":"You are brief."}]',
        "gen_ai.input.messages": json.dumps(parts),
        "gen_ai.output.messages": json.dumps(answer),
        "gen_ai.usage.input_tokens": 97,
        "gen_ai.usage.output_tokens": 52,
    }
    log = log_of(call, name="chat gpt-4o")
    assert (log["input"], log["output"]) == (MESSAGES, "Rain.")
    for outer in ("invoke_agent", "agent_step"):
        assert step_of({**call, "gen_ai.operation.name": outer})["output"] == "Rain."
