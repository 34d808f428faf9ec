"""Langfuse's SDKs 3 to 5, and its integrations."""

import json
from typing import Any

import pytest

from promptcrafter.dialects.otlp.translate import translate
from tests.support.otlp_spans import LIMITS, log_of, pick, step_of, to_span, translated

MESSAGES = [{"role": "user", "content": "Weather in Paris?"}]
GENERATION: dict[str, Any] = {
    "langfuse.observation.type": "generation",
    "langfuse.observation.level": "DEFAULT",
    "langfuse.observation.input": json.dumps(MESSAGES),
    "langfuse.observation.output": json.dumps({"role": "assistant", "content": "Rain."}),
    "langfuse.observation.model.name": "gpt-4o-2024-08-06",
    "langfuse.observation.model.parameters": '{"temperature": 0.2, "max_tokens": 100}',
    "langfuse.observation.prompt.name": "weather",
    "langfuse.observation.prompt.version": 3,
    "langfuse.observation.completion_start_time": '"2025-06-15T15:06:40.250Z"',
    "langfuse.environment": "production",
    "langfuse.release": "1.2.3",
    "user.id": "u7",
    "session.id": "s9",
}


def test_a_generation_becomes_a_log() -> None:
    part = translated({**GENERATION, "langfuse.observation.metadata.plan": "pro"}, scope="langfuse-sdk")
    log = log_of({**GENERATION, "langfuse.observation.metadata.plan": "pro"}, scope="langfuse-sdk")
    expected = {
        "input": MESSAGES,
        "output": "Rain.",
        "model_used": "gpt-4o-2024-08-06",
        "parameters": {"temperature": 0.2, "max_tokens": 100},
        "environment": "production",
        "user_id": "u7",
        "session_id": "s9",
        "meta": {"plan": "pro", "scope": "langfuse-sdk", "timeToFirstTokenMs": 250.0, "release": "1.2.3"},
    }
    assert pick(log, expected) == expected
    assert part.reference == {"slug": "weather", "version": "3"}


USAGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "input and output": ({"input": 97, "output": 52, "total": 149}, {"input_tokens": 97, "output_tokens": 52}),
    "cached tokens beside the input": (
        {"input": 33, "output": 52, "input_cached_tokens": 64, "total": 149},
        {"input_tokens": 97, "cached_input_tokens": 64},
    ),
    "cached tokens in the spelling of Anthropic": (
        {"input": 25, "output": 52, "cache_read_input_tokens": 64, "cache_creation_input_tokens": 8},
        {"input_tokens": 97, "cached_input_tokens": 64, "cache_write_tokens": 8},
    ),
    "cached tokens in the spelling of LangChain": (
        {"input": 33, "output": 40, "input_cache_read": 64, "output_reasoning": 12},
        {"input_tokens": 97, "cached_input_tokens": 64, "output_tokens": 52, "reasoning_tokens": 12},
    ),
    "cached tokens in two spellings": (
        {"input": 33, "output": 52, "input_cached_tokens": 64, "cache_read_input_tokens": 64},
        {"input_tokens": 97, "cached_input_tokens": 64},
    ),
    "the usage of OpenAI": (  # the integration passes it on
        {
            "prompt_tokens": 97,
            "completion_tokens": 52,
            "total_tokens": 149,
            "prompt_tokens_details": {"cached_tokens": 64},
            "completion_tokens_details": {"reasoning_tokens": 12},
        },
        {"input_tokens": 97, "cached_input_tokens": 64, "output_tokens": 52, "reasoning_tokens": 12},
    ),
    "the usage of OpenAI's responses": (
        {"input_tokens": 97, "input_tokens_details": {"cached_tokens": 64}, "output_tokens": 52, "total_tokens": 149},
        {"input_tokens": 97, "cached_input_tokens": 64, "output_tokens": 52},
    ),
    "nothing that is a count": ({"input": "many", "output": -1}, {"input_tokens": None, "output_tokens": None}),
}


def test_cached_tokens_are_a_part_of_the_input(subtests: pytest.Subtests) -> None:
    for name, (usage, expected) in USAGES.items():
        with subtests.test(name):
            log = log_of({**GENERATION, "langfuse.observation.usage_details": json.dumps(usage)})
            assert pick(log, expected) == expected


@pytest.mark.parametrize(
    ("usage", "apart"),
    [
        ({"input": 9, "output": 3, "input_audio_tokens": 4}, "audio"),
        ({"prompt_tokens": 9, "completion_tokens": 3, "service_tier": "priority"}, "service_tier priority"),
        ({"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"audio_tokens": 4}}, "audio"),
    ],
)
def test_tokens_with_a_price_of_their_own_prevent_a_computed_cost(usage: dict[str, Any], apart: str) -> None:
    log = log_of({**GENERATION, "langfuse.observation.usage_details": json.dumps(usage)})
    assert log["priced"] == {"unpriced": apart}


@pytest.mark.parametrize(
    ("details", "cost"),
    [
        ({"input": 0.1, "output": 0.2, "total": 0.3}, 0.3),
        ({"input": 0.25, "output": 0.5}, 0.75),
        ({"total": 0}, 0.0),
        ({"total": "unknown"}, None),
        ({}, None),
    ],
)
def test_a_cost_is_the_total_or_the_sum(details: dict[str, Any], cost: float | None) -> None:
    log = log_of({**GENERATION, "langfuse.observation.cost_details": json.dumps(details)})
    assert log.get("cost") == cost


def test_a_level_of_error_is_a_failure() -> None:
    failed = {"langfuse.observation.level": "ERROR", "langfuse.observation.status_message": "slow down"}
    log = log_of({**GENERATION, **failed})
    assert (log["status"], log["error"], log["meta"]["level"]) == ("error", "slow down", "ERROR")
    assert "status" not in log_of({**GENERATION, "langfuse.observation.level": "WARNING"})


def test_metadata_of_version_5_is_json_text_by_text_and_that_of_version_3_is_not() -> None:
    metadata = {
        "langfuse.observation.metadata.number": '"123"',
        "langfuse.observation.metadata.object": '{"a":1}',
        "langfuse.observation.metadata.text": "plain",
        "langfuse.trace.metadata.team": '"weather"',
    }
    meta = log_of({**GENERATION, **metadata})["meta"]
    assert pick(meta, {"number": 0, "object": 0, "text": 0, "team": 0}) == {
        "number": "123",
        "object": {"a": 1},
        "text": "plain",
        "team": "weather",
    }
    assert log_of({**GENERATION, "langfuse.observation.metadata": '"one"'})["meta"]["metadata"] == "one"
    assert log_of({**GENERATION, "langfuse.observation.metadata": '{"a": 1}'})["meta"]["a"] == 1


@pytest.mark.parametrize("kind", ["span", "agent", "tool", "chain", "retriever", "embedding", "evaluator", "event"])
def test_another_observation_is_a_step(kind: str) -> None:
    step = step_of(
        {
            "langfuse.observation.type": kind,
            "langfuse.observation.input": "in",
            "langfuse.observation.output": "out",
            "langfuse.observation.model.name": "gpt-4o",
            "langfuse.observation.usage_details": '{"input": 4}',
        }
    )
    assert (step["type"], step["input"], step["output"]) == (kind, "in", "out")


def test_a_trace_is_described_by_any_of_its_spans() -> None:
    of_trace = translated(
        {
            "langfuse.observation.type": "span",
            "langfuse.trace.name": "weather report",
            "langfuse.trace.input": '{"city": "Paris"}',
            "langfuse.trace.output": "Rain.",
            "langfuse.trace.tags": ["eu"],
            "langfuse.trace.metadata.team": '"weather"',
            "langfuse.environment": "production",
            "user.id": "u7",
            "session.id": "s9",
        },
        resource={"service.name": "shop"},
    ).of_trace
    expected = {
        "name": "weather report",
        "slug": "shop",
        "input": {"city": "Paris"},
        "output": "Rain.",
        "meta": {"tags": ["eu"], "environment": "production", "team": "weather"},
        "user_id": "u7",
        "session_id": "s9",
    }
    assert pick(of_trace, expected) == expected


def test_the_environment_may_be_that_of_the_resource() -> None:
    attributes = {name: value for name, value in GENERATION.items() if name != "langfuse.environment"}
    assert log_of(attributes, resource={"langfuse.environment": "staging"})["environment"] == "staging"


def test_what_is_propagated_to_every_span_makes_no_step_of_a_request() -> None:
    attributes = {"http.method": "POST", "langfuse.trace.name": "t", "langfuse.environment": "e", "user.id": "u7"}
    assert translate(to_span(attributes), LIMITS) is None


def test_the_output_of_a_response_of_openai_is_its_text() -> None:
    output = [
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Rain.", "annotations": []}],
        }
    ]
    assert log_of({**GENERATION, "langfuse.observation.output": json.dumps(output)})["output"] == "Rain."


def test_an_output_that_calls_tools_is_a_message() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    output = {"role": "assistant", "tool_calls": [call], "content": None}
    log = log_of({**GENERATION, "langfuse.observation.output": json.dumps(output)})
    assert log["output"] == [{"role": "assistant", "tool_calls": [call]}]


def test_an_input_that_is_no_chat_stays_as_it_is() -> None:
    for sent in ("Weather?", {"city": "Paris"}, [1, 2]):
        text = sent if isinstance(sent, str) else json.dumps(sent)
        assert log_of({**GENERATION, "langfuse.observation.input": text})["input"] == sent
