"""OpenInference, as openinference-instrumentation-openai and -langchain send it: flattened messages."""

import json
from typing import Any

import pytest

from tests.support.otlp_spans import log_of, pick, step_of, translated

CALL: dict[str, Any] = {
    "openinference.span.kind": "LLM",
    "llm.system": "openai",
    "llm.provider": "openai",
    "llm.model_name": "gpt-4o-2024-08-06",
    "llm.invocation_parameters": '{"model": "gpt-4o", "temperature": 0.2, "stream": false}',
    "llm.token_count.prompt": 97,
    "llm.token_count.completion": 52,
    "llm.token_count.total": 149,
    "llm.token_count.prompt_details.cache_read": 64,
    "llm.token_count.completion_details.reasoning": 12,
    "input.value": '{"messages": [{"role": "user", "content": "Weather in Paris?"}], "model": "gpt-4o"}',
    "input.mime_type": "application/json",
    "output.value": '{"id": "chatcmpl-9", "choices": []}',
    "output.mime_type": "application/json",
    "llm.input_messages.0.message.role": "system",
    "llm.input_messages.0.message.content": "You are brief.",
    "llm.input_messages.1.message.role": "user",
    "llm.input_messages.1.message.content": "Weather in Paris?",
    "llm.output_messages.0.message.role": "assistant",
    "llm.output_messages.0.message.content": "Rain.",
}
TOOL_CALL = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'}}


def test_a_call_becomes_a_log() -> None:
    log = log_of({**CALL, "session.id": "s9", "user.id": "u7", "metadata": '{"team": "weather"}', "tag.tags": ["eu"]})
    expected = {
        "input": [
            {"role": "system", "content": "You are brief."},
            {"role": "user", "content": "Weather in Paris?"},
        ],
        "output": "Rain.",
        "model_used": "gpt-4o-2024-08-06",
        "provider": "openai",
        "input_tokens": 97,
        "output_tokens": 52,
        "cached_input_tokens": 64,
        "reasoning_tokens": 12,
        "parameters": {"temperature": 0.2, "stream": False},
        "session_id": "s9",
        "user_id": "u7",
        "meta": {"team": "weather", "tags": ["eu"]},
    }
    assert pick(log, expected) == expected


def test_calls_of_tools_become_nested() -> None:
    log = log_of(
        {
            **{name: value for name, value in CALL.items() if not name.startswith("llm.output_messages")},
            "llm.input_messages.2.message.role": "assistant",
            "llm.input_messages.2.message.tool_calls.0.tool_call.id": "call_1",
            "llm.input_messages.2.message.tool_calls.0.tool_call.function.name": "get_weather",
            "llm.input_messages.2.message.tool_calls.0.tool_call.function.arguments": '{"city":"Paris"}',
            "llm.input_messages.3.message.role": "tool",
            "llm.input_messages.3.message.tool_call_id": "call_1",
            "llm.input_messages.3.message.content": "rainy",
            "llm.output_messages.0.message.role": "assistant",
            "llm.output_messages.0.message.tool_calls.0.tool_call.id": "call_1",
            "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "get_weather",
            "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": '{"city":"Paris"}',
            "llm.tools.0.tool.json_schema": '{"type": "function", "function": {"name": "get_weather"}}',
        }
    )
    assert log["input"][2:] == [
        {"role": "assistant", "tool_calls": [TOOL_CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "rainy"},
    ]
    assert log["output"] == [{"role": "assistant", "tool_calls": [TOOL_CALL]}]
    assert log["parameters"]["tools"] == [{"type": "function", "function": {"name": "get_weather"}}]


def test_contents_of_several_parts() -> None:
    log = log_of(
        {
            "openinference.span.kind": "LLM",
            "llm.input_messages.0.message.role": "user",
            "llm.input_messages.0.message.contents.0.message_content.type": "text",
            "llm.input_messages.0.message.contents.0.message_content.text": "What is this?",
            "llm.input_messages.0.message.contents.1.message_content.type": "image",
            "llm.input_messages.0.message.contents.1.message_content.image.image.url": "https://example.org/cat.png",
            "llm.output_messages.0.message.role": "assistant",
            "llm.output_messages.0.message.contents.0.message_content.type": "text",
            "llm.output_messages.0.message.contents.0.message_content.text": "A cat.",
        }
    )
    assert log["input"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": "https://example.org/cat.png"}},
            ],
        }
    ]
    assert log["output"] == "A cat."


def test_the_older_form_of_a_call_of_a_function() -> None:
    log = log_of(
        {
            "openinference.span.kind": "LLM",
            "llm.output_messages.0.message.role": "assistant",
            "llm.output_messages.0.message.function_call_name": "get_weather",
            "llm.output_messages.0.message.function_call_arguments_json": "{}",
        }
    )
    assert log["output"] == [
        {
            "role": "assistant",
            "tool_calls": [{"type": "function", "function": {"name": "get_weather", "arguments": "{}"}}],
        }
    ]


def test_the_texts_of_a_completion() -> None:
    log = log_of(
        {
            "openinference.span.kind": "LLM",
            "llm.prompts.0.prompt.text": "Once upon",
            "llm.choices.0.completion.text": " a time",
        }
    )
    assert (log["input"], log["output"]) == ("Once upon", " a time")


def test_a_refused_call_names_its_model_among_the_parameters() -> None:
    log = log_of(
        {
            "openinference.span.kind": "LLM",
            "llm.invocation_parameters": '{"model": "gpt-4o", "temperature": 0.2}',
            "input.value": '{"messages": [{"role": "user", "content": "Hi"}], "model": "gpt-4o"}',
        },
        status=2,
        status_message="AuthenticationError: Incorrect API key",
        events=[("exception", {"exception.type": "AuthenticationError", "exception.message": "Incorrect API key"})],
    )
    expected = {
        "model_used": "gpt-4o",
        "input": [{"role": "user", "content": "Hi"}],
        "output": None,
        "status": "error",
        "error": "AuthenticationError: Incorrect API key",
        "parameters": {"temperature": 0.2},
    }
    assert pick(log, expected) == expected


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("AGENT", "agent"),
        ("CHAIN", "chain"),
        ("TOOL", "tool"),
        ("RETRIEVER", "retriever"),
        ("EMBEDDING", "embedding"),
        ("RERANKER", "reranker"),
        ("GUARDRAIL", "guardrail"),
        ("EVALUATOR", "evaluator"),
    ],
)
def test_another_kind_is_a_step(kind: str, expected: str) -> None:
    step = step_of({**CALL, "openinference.span.kind": kind})
    assert (step["type"], step["output"]) == (expected, "Rain.")


def test_the_documents_of_a_retriever_are_its_output() -> None:
    step = step_of(
        {
            "openinference.span.kind": "RETRIEVER",
            "input.value": "weather",
            "retrieval.documents.0.document.content": "It rains.",
            "retrieval.documents.0.document.score": 0.9,
        }
    )
    assert (step["input"], step["output"]) == ("weather", [{"content": "It rains.", "score": 0.9}])


def test_a_cost_that_is_sent_counts_and_tokens_of_sound_prevent_a_computed_one() -> None:
    sound = {"llm.token_count.prompt_details.audio": 20}
    assert log_of({**CALL, **sound})["priced"] == {"unpriced": "audio"}
    log = log_of({**CALL, **sound, "llm.cost.total": 0.5, "llm.cost.prompt": 0.3})
    assert (log["cost"], log.get("priced")) == (0.5, None)


def test_variables_of_a_template_and_the_time_to_the_first_token() -> None:
    part = translated(
        {**CALL, "llm.prompt_template.variables": json.dumps({"city": "Paris"}), "prompt.id": "weather"},
        events=[("First Token Stream Event", {})],
    )
    assert part.columns["variables"] == {"city": "Paris"}
    assert part.columns["meta"]["timeToFirstTokenMs"] == 750
    assert part.reference == {"slug": "weather"}
