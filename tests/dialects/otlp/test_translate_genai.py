"""The GenAI conventions of OpenTelemetry, in all their generations."""

import json
from typing import Any

import pytest

from promptcrafter.dialects.otlp.translate import translate
from tests.support.otlp_spans import LIMITS, log_of, pick, step_of, to_span, translated

QUESTION = {"role": "user", "content": "Weather in Paris?"}
INSTRUCTION = {"role": "system", "content": "You are brief."}
CALL = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": {"city": "Paris"}}}
CHAT: dict[str, Any] = {  # conventions 1.37 and later
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o-2024-08-06",
    "gen_ai.response.id": "chatcmpl-9",
    "gen_ai.response.finish_reasons": ["stop"],
    "gen_ai.request.temperature": 0.2,
    "gen_ai.request.max_tokens": 100,
    "gen_ai.usage.input_tokens": 97,
    "gen_ai.usage.output_tokens": 52,
    "server.address": "api.openai.com",
}
PARTS = [{"role": "user", "parts": [{"type": "text", "content": "Weather in Paris?"}]}]
ANSWER = [{"role": "assistant", "parts": [{"type": "text", "content": "Rain."}], "finish_reason": "stop"}]

# The generation of the conventions, attributes, events, and the columns that are expected
GENERATIONS: dict[str, tuple[dict[str, Any], list[tuple[str, dict[str, Any]]], dict[str, Any]]] = {
    "attributes with parts": (
        {**CHAT, "gen_ai.input.messages": json.dumps(PARTS), "gen_ai.output.messages": json.dumps(ANSWER)},
        [],
        {"input": [QUESTION], "output": "Rain."},
    ),
    "attributes with arrays and maps instead of JSON": (
        {**CHAT, "gen_ai.input.messages": PARTS, "gen_ai.output.messages": ANSWER},
        [],
        {"input": [QUESTION], "output": "Rain."},
    ),
    "bare content instead of parts": (
        {
            **CHAT,
            "gen_ai.input.messages": json.dumps([QUESTION]),
            "gen_ai.output.messages": json.dumps([{"role": "assistant", "content": "Rain."}]),
        },
        [],
        {"input": [QUESTION], "output": "Rain."},
    ),
    "instructions beside the messages": (
        {
            **CHAT,
            "gen_ai.system_instructions": json.dumps([{"type": "text", "content": "You are brief."}]),
            "gen_ai.input.messages": json.dumps(PARTS),
        },
        [],
        {"input": [INSTRUCTION, QUESTION], "output": None},
    ),
    "instructions beside a system message": (
        {
            **CHAT,
            "gen_ai.system_instructions": json.dumps([{"type": "text", "content": "You are brief."}]),
            "gen_ai.input.messages": json.dumps([{"role": "system", "parts": [{"type": "text", "content": "No."}]}]),
        },
        [],
        {"input": [{"role": "system", "content": "No."}]},
    ),
    "calls of tools and their results": (
        {
            **CHAT,
            "gen_ai.input.messages": json.dumps(
                [
                    *PARTS,
                    {
                        "role": "assistant",
                        "parts": [
                            {"type": "reasoning", "content": "I need the weather."},
                            {
                                "type": "tool_call",
                                "id": "call_1",
                                "name": "get_weather",
                                "arguments": {"city": "Paris"},
                            },
                        ],
                    },
                    {"role": "tool", "parts": [{"type": "tool_call_response", "id": "call_1", "response": "rainy"}]},
                ]
            ),
            "gen_ai.output.messages": json.dumps(
                [
                    {
                        "role": "assistant",
                        "parts": [
                            {
                                "type": "tool_call",
                                "id": "call_1",
                                "name": "get_weather",
                                "arguments": {"city": "Paris"},
                            }
                        ],
                        "finish_reason": "tool_call",
                    }
                ]
            ),
        },
        [],
        {
            "input": [
                QUESTION,
                {
                    "role": "assistant",
                    "content": [{"type": "reasoning", "text": "I need the weather."}],
                    "tool_calls": [CALL],
                },
                {"role": "tool", "tool_call_id": "call_1", "content": "rainy"},
            ],
            "output": [{"role": "assistant", "finish_reason": "tool_call", "tool_calls": [CALL]}],
        },
    ),
    "the event with the details of a call": (
        CHAT,
        [
            (
                "gen_ai.client.inference.operation.details",
                {
                    "gen_ai.system_instructions": [{"type": "text", "content": "You are brief."}],
                    "gen_ai.input.messages": PARTS,
                    "gen_ai.output.messages": json.dumps(ANSWER),
                },
            )
        ],
        {"input": [INSTRUCTION, QUESTION], "output": "Rain."},
    ),
    "an event for each message": (  # conventions 1.28 to 1.36
        {**CHAT, "gen_ai.system": "openai"},
        [
            ("gen_ai.system.message", {"gen_ai.system": "openai", "content": "You are brief."}),
            ("gen_ai.user.message", {"gen_ai.system": "openai", "content": "Weather in Paris?"}),
            (
                "gen_ai.assistant.message",
                {
                    "tool_calls": json.dumps(
                        [
                            {
                                "id": "call_1",
                                "type": "function",
                                "function": {"name": "get_weather", "arguments": {"city": "Paris"}},
                            }
                        ]
                    )
                },
            ),
            ("gen_ai.tool.message", {"id": "call_1", "content": "rainy"}),
            (
                "gen_ai.choice",
                {"index": 0, "finish_reason": "stop", "message": json.dumps({"role": "assistant", "content": "Rain."})},
            ),
        ],
        {
            "input": [
                INSTRUCTION,
                QUESTION,
                {"role": "assistant", "tool_calls": [CALL]},
                {"role": "tool", "content": "rainy", "tool_call_id": "call_1"},
            ],
            "output": "Rain.",
        },
    ),
    "events with the message as JSON": (  # Azure AI Inference
        CHAT,
        [
            ("gen_ai.user.message", {"gen_ai.event.content": json.dumps(QUESTION)}),
            (
                "gen_ai.choice",
                {"gen_ai.event.content": json.dumps({"message": {"content": "Rain."}, "finish_reason": "stop"})},
            ),
        ],
        {"input": [QUESTION], "output": "Rain."},
    ),
    "events whose content is JSON": (  # Strands Agents
        CHAT,
        [
            ("gen_ai.user.message", {"content": json.dumps([{"text": "Weather in Paris?"}])}),
            ("gen_ai.choice", {"finish_reason": "end_turn", "message": json.dumps([{"text": "Rain."}])}),
        ],
        {"input": [QUESTION], "output": "Rain."},
    ),
    "events of prompt and completion": (  # conventions up to 1.27, Spring AI
        {**CHAT, "gen_ai.system": "openai"},
        [
            ("gen_ai.content.prompt", {"gen_ai.prompt": json.dumps([QUESTION])}),
            (
                "gen_ai.content.completion",
                {"gen_ai.completion": json.dumps([{"role": "assistant", "content": "Rain."}])},
            ),
        ],
        {"input": [QUESTION], "output": "Rain."},
    ),
    "attributes of prompt and completion": (  # LangSmith: the request and the response of the API
        {
            **CHAT,
            "gen_ai.prompt": json.dumps({"messages": [QUESTION], "model": "gpt-4o", "seed": 7}),
            "gen_ai.completion": json.dumps(
                {"id": "chatcmpl-9", "choices": [{"index": 0, "message": {"role": "assistant", "content": "Rain."}}]}
            ),
        },
        [],
        {
            "input": [QUESTION],
            "output": "Rain.",
            "parameters": {"seed": 7, "temperature": 0.2, "max_tokens": 100},
        },
    ),
    "plain texts of prompt and completion": (
        {**CHAT, "gen_ai.prompt": "Weather in Paris?", "gen_ai.completion": "Rain."},
        [],
        {"input": "Weather in Paris?", "output": "Rain."},
    ),
    "content that was not captured": (CHAT, [], {"input": None, "output": None, "input_tokens": 97}),
}


def test_input_and_output_are_read_in_every_generation_of_the_conventions(subtests: pytest.Subtests) -> None:
    for name, (attributes, events, expected) in GENERATIONS.items():
        with subtests.test(name):
            log = log_of(attributes, events=events)
            assert pick(log, expected) == expected
            assert (log["model_used"], log["provider"]) == ("gpt-4o-2024-08-06", "openai")


def test_the_columns_of_a_call() -> None:
    log = log_of({**CHAT, "user.id": "u7", "gen_ai.conversation.id": "c1"}, resource={"service.name": "shop"})
    expected = {
        "source": "otlp",
        "name": "chat",
        "latency_ms": 1500.0,
        "input_tokens": 97,
        "output_tokens": 52,
        "user_id": "u7",
        "session_id": "c1",
        "parameters": {"temperature": 0.2, "max_tokens": 100},
        "meta": {
            "finishReasons": ["stop"],
            "responseId": "chatcmpl-9",
            "service": "shop",
            "attributes": {"server.address": "api.openai.com"},
        },
    }
    assert pick(log, expected) == expected


NAMES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {  # what was renamed: older and newer names
    "the provider": ({"gen_ai.system": "openai"}, {"provider": "openai"}),
    "the newer name of the provider": (
        {"gen_ai.system": "old", "gen_ai.provider.name": "azure.ai.openai"},
        {"provider": "azure.ai.openai"},
    ),
    "prompt_tokens": (
        {"gen_ai.usage.prompt_tokens": 9, "gen_ai.usage.completion_tokens": 3},
        {"input_tokens": 9, "output_tokens": 3},
    ),
    "cache_read": (
        {"gen_ai.usage.input_tokens": 9, "gen_ai.usage.cache_read.input_tokens": 4},
        {"input_tokens": 9, "cached_input_tokens": 4},
    ),
    "cache_read_input_tokens": (
        {"gen_ai.usage.input_tokens": 9, "gen_ai.usage.cache_read_input_tokens": 4},
        {"input_tokens": 9, "cached_input_tokens": 4},
    ),
    "cache_creation": (
        {"gen_ai.usage.input_tokens": 9, "gen_ai.usage.cache_creation.input_tokens": 4},
        {"cache_write_tokens": 4},
    ),
    "cache_write": (
        {"gen_ai.usage.input_tokens": 9, "gen_ai.usage.cache_write.input_tokens": 4},
        {"cache_write_tokens": 4},
    ),
    "reasoning": (
        {"gen_ai.usage.output_tokens": 9, "gen_ai.usage.reasoning.output_tokens": 4},
        {"output_tokens": 9, "reasoning_tokens": 4},
    ),
    "reasoning_tokens": (
        {"gen_ai.usage.output_tokens": 9, "gen_ai.usage.reasoning_tokens": 4},
        {"output_tokens": 9, "reasoning_tokens": 4},
    ),
    "llm.usage.reasoning_tokens": (
        {"gen_ai.usage.output_tokens": 9, "llm.usage.reasoning_tokens": 4},
        {"output_tokens": 9, "reasoning_tokens": 4},
    ),
    "cost": ({"gen_ai.usage.cost": 0.25}, {"cost": 0.25}),
    "the environment": ({"deployment.environment": "eu"}, {"environment": "eu"}),
    "the newer name of the environment": (
        {"deployment.environment": "old", "deployment.environment.name": "eu"},
        {"environment": "eu"},
    ),
    "the user": ({"enduser.id": "u7"}, {"user_id": "u7"}),
}


def test_older_and_newer_names_mean_the_same(subtests: pytest.Subtests) -> None:
    for name, (attributes, expected) in NAMES.items():
        with subtests.test(name):
            log = log_of({"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", **attributes})
            assert pick(log, expected) == expected


@pytest.mark.parametrize("operation", ["chat", "text_completion", "completion", "generate_content", "generate"])
def test_a_call_is_named_by_its_operation(operation: str) -> None:
    assert log_of({"gen_ai.operation.name": operation})["source"] == "otlp"


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ("invoke_agent", "agent"),
        ("create_agent", "agent"),
        ("invoke_workflow", "workflow"),
        ("execute_tool", "tool"),
        ("embeddings", "embedding"),
        ("retrieval", "retriever"),
        ("agent_step", "agent_step"),
        ("plan", "plan"),
    ],
)
def test_another_operation_is_a_step_whatever_it_cost(operation: str, kind: str) -> None:
    step = step_of({**CHAT, "gen_ai.operation.name": operation, "gen_ai.output.messages": json.dumps(ANSWER)})
    assert (step["type"], step["output"], step["parent_id"]) == (kind, "Rain.", "53995c3f42cd8ad8")
    assert step["duration_ms"] == 1500
    assert "input_tokens" not in step


def test_a_span_that_names_no_operation_is_a_call_if_it_has_a_model_and_tokens_or_output() -> None:
    assert log_of({"gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 3})["input_tokens"] == 3
    assert log_of({"gen_ai.request.model": "m", "gen_ai.completion.0.content": "Hi."})["output"] == "Hi."
    assert step_of({"gen_ai.request.model": "m"})["type"] == "span"
    assert step_of({"gen_ai.usage.input_tokens": 3})["type"] == "span"


def test_spans_of_http_and_sql_become_nothing() -> None:
    for attributes in ({}, {"http.method": "POST"}, {"db.system": "postgresql", "user.id": "u7"}):
        assert translate(to_span(attributes), LIMITS) is None


def test_a_tool_has_arguments_and_a_result() -> None:
    step = step_of(
        {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "get_weather",
            "gen_ai.tool.call.arguments": '{"city":"Paris"}',
            "gen_ai.tool.call.result": "rainy",
        },
        name="execute_tool get_weather",
    )
    assert (step["type"], step["input"], step["output"]) == ("tool", {"city": "Paris"}, "rainy")
    assert step["meta"] == {"attributes": {"gen_ai.tool.name": "get_weather"}}


FAILURES: dict[str, tuple[dict[str, Any], str | None]] = {
    "status": ({"status": 2, "status_message": "RateLimitError: slow down"}, "RateLimitError: slow down"),
    "error.type": ({"attributes": {"error.type": "timeout"}}, "timeout"),
    "exception": ({"events": [("exception", {"exception.type": "E", "exception.message": "boom"})]}, "boom"),
    "exception without a message": ({"status": 2, "events": [("exception", {"exception.type": "E"})]}, "E"),
    "nothing more": ({"status": 2}, None),
}


def test_a_call_that_failed_says_why(subtests: pytest.Subtests) -> None:
    for name, (more, error) in FAILURES.items():
        with subtests.test(name):
            log = log_of({**CHAT, **more.get("attributes", {})}, **{k: v for k, v in more.items() if k != "attributes"})
            assert (log["status"], log.get("error")) == ("error", error)
    assert "status" not in log_of(CHAT, status=1, events=[("exception", {"exception.message": "handled"})])
    assert "status" not in log_of(CHAT, status=1)


def test_times_are_those_of_the_span_and_0_is_absent() -> None:
    log = log_of(CHAT, start_ns=1_750_000_000_123_456_789, end_ns=1_750_000_000_124_000_000)
    assert log["start_time"].isoformat() == "2025-06-15T15:06:40.123000+00:00"
    assert log["latency_ms"] == pytest.approx(0.543211)
    unfinished = log_of(CHAT, end_ns=0)
    assert {"end_time", "latency_ms"}.isdisjoint(unfinished)
    assert {"start_time", "end_time", "latency_ms"}.isdisjoint(log_of(CHAT, start_ns=0, end_ns=0))
    assert "latency_ms" not in log_of(CHAT, start_ns=2_000_000_000, end_ns=1_000_000_000)


def test_the_time_to_the_first_token_is_in_milliseconds() -> None:
    assert log_of({**CHAT, "gen_ai.response.time_to_first_chunk": 0.25})["meta"]["timeToFirstTokenMs"] == 250
    event: tuple[str, dict[str, Any]] = ("gen_ai.content.completion.chunk", {})
    assert log_of(CHAT, events=[event])["meta"]["timeToFirstTokenMs"] == 750


def test_the_results_of_evaluations_become_scores_of_a_judge() -> None:
    part = translated(
        CHAT,
        events=[
            (
                "gen_ai.evaluation.result",
                {
                    "gen_ai.evaluation.name": "Relevance",
                    "gen_ai.evaluation.score.value": 0.8,
                    "gen_ai.evaluation.score.label": "relevant",
                    "gen_ai.evaluation.explanation": "On topic.",
                },
            ),
            ("gen_ai.evaluation.result", {"gen_ai.evaluation.name": "tone", "gen_ai.evaluation.score.label": "kind"}),
            ("gen_ai.evaluation.result", {"gen_ai.evaluation.name": "nothing"}),
        ],
    )
    assert part.scores == [
        {"name": "Relevance", "value": 0.8, "annotator": "judge", "comment": "relevant: On topic."},
        {"name": "tone", "value": "kind", "annotator": "judge", "comment": None},
    ]


def test_a_prompt_is_named_and_the_version_belongs_to_its_own_convention() -> None:
    assert translated({**CHAT, "gen_ai.prompt.name": "greet", "gen_ai.prompt.version": 3}).reference == {
        "slug": "greet",
        "version": "3",
    }
    mixed = {**CHAT, "gen_ai.prompt.name": "greet", "traceloop.prompt.version": 9, "prompt.id": "other"}
    assert translated(mixed).reference == {"slug": "greet"}
    assert translated({**CHAT, "prompt.id": "other"}).reference == {"slug": "other"}
    assert translated(CHAT).reference is None


def test_a_tier_with_prices_of_its_own_prevents_a_computed_cost() -> None:
    tier = "gen_ai.openai.response.service_tier"
    assert log_of({**CHAT, tier: "priority"})["priced"] == {"unpriced": "service_tier priority"}
    assert "priced" not in log_of({**CHAT, tier: "default"})


def test_the_definitions_of_tools_are_parameters() -> None:
    tools = [{"type": "function", "name": "get_weather"}]
    assert log_of({**CHAT, "gen_ai.tool.definitions": json.dumps(tools)})["parameters"]["tools"] == tools
