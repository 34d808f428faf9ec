"""MLflow, LiteLLM, LangSmith and Google's ADK."""

import json
from typing import Any

import pytest

from tests.support.otlp_spans import log_of, pick, step_of

MLFLOW: dict[str, Any] = {  # every value is JSON
    "mlflow.traceRequestId": '"tr-1"',
    "mlflow.spanType": '"CHAT_MODEL"',
    "mlflow.message.format": '"openai"',
    "mlflow.llm.model": '"gpt-4o-2024-08-06"',
    "mlflow.llm.provider": '"openai"',
    "mlflow.spanInputs": json.dumps(
        {"messages": [{"role": "user", "content": "Weather in Paris?"}], "model": "gpt-4o", "temperature": 0.2}
    ),
    "mlflow.spanOutputs": json.dumps(
        {
            "id": "chatcmpl-9",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Rain.", "tool_calls": None}}],
        }
    ),
    "mlflow.chat.tokenUsage": '{"input_tokens": 97, "output_tokens": 52, "total_tokens": 149, '
    '"cache_read_input_tokens": 64}',
    "mlflow.chat.tools": '[{"type": "function", "function": {"name": "get_weather"}}]',
    "mlflow.llm.cost": '{"input_cost": 0.1, "output_cost": 0.2, "total_cost": 0.3}',
}


def test_a_call_of_mlflow_becomes_a_log() -> None:
    log = log_of(MLFLOW)
    expected = {
        "input": [{"role": "user", "content": "Weather in Paris?"}],
        "output": "Rain.",
        "model_used": "gpt-4o-2024-08-06",
        "provider": "openai",
        "input_tokens": 97,
        "output_tokens": 52,
        "cached_input_tokens": 64,
        "cost": 0.3,
        "parameters": {"temperature": 0.2, "tools": [{"type": "function", "function": {"name": "get_weather"}}]},
    }
    assert pick(log, expected) == expected


def test_texts_of_mlflow_are_quoted() -> None:
    log = log_of({"mlflow.spanType": '"LLM"', "mlflow.spanInputs": '"Weather?"', "mlflow.spanOutputs": '"Rain."'})
    assert (log["input"], log["output"]) == ("Weather?", "Rain.")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("CHAIN", "chain"), ("AGENT", "agent"), ("TOOL", "tool"), ("RETRIEVER", "retriever"), ("UNKNOWN", "unknown")],
)
def test_another_type_of_mlflow_is_a_step(kind: str, expected: str) -> None:
    step = step_of({"mlflow.spanType": f'"{kind}"', "mlflow.spanInputs": '{"a": 1}', "mlflow.spanOutputs": '"b"'})
    assert (step["type"], step["input"], step["output"]) == (expected, {"a": 1}, "b")


LITELLM: dict[str, Any] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.framework": "litellm",
    "gen_ai.system": "anthropic",
    "gen_ai.request.model": "claude-3-5-sonnet-20240620",
    "llm.request.type": "chat",
    "llm.is_streaming": "False",
    "gen_ai.prompt.0.role": "user",
    "gen_ai.prompt.0.content": "Weather in Paris?",
    "gen_ai.completion.0.role": "assistant",
    "gen_ai.completion.0.content": "Rain.",
    "gen_ai.completion.0.finish_reason": "stop",
    "gen_ai.usage.prompt_tokens": 97,
    "gen_ai.usage.completion_tokens": 52,
    "gen_ai.usage.input_tokens": 97,
    "gen_ai.usage.output_tokens": 52,
    "gen_ai.cost.total_cost": 0.01,
    "metadata.user_api_key_team_alias": "weather",
    "litellm.end_user.id": "u7",
}


def test_a_call_of_litellm_becomes_a_log() -> None:
    log = log_of(LITELLM, name="litellm_request")
    expected = {
        "input": [{"role": "user", "content": "Weather in Paris?"}],
        "output": "Rain.",
        "input_tokens": 97,
        "cost": 0.01,
        "user_id": "u7",
        "meta": {"user_api_key_team_alias": "weather", "attributes": {"gen_ai.framework": "litellm"}},
    }
    assert pick(log, expected) == expected


def test_a_call_of_langsmith_becomes_a_log() -> None:
    log = log_of(
        {
            "langsmith.span.kind": "llm",
            "langsmith.trace.name": "weather",
            "langsmith.span.tags": "eu, beta",
            "langsmith.metadata.ls_provider": "openai",
            "langsmith.metadata.thread_id": "s9",
            "gen_ai.operation.name": "chat",
            "gen_ai.system": "openai",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.prompt": json.dumps({"messages": [{"role": "user", "content": "Weather in Paris?"}]}),
            "gen_ai.completion": json.dumps({"choices": [{"message": {"role": "assistant", "content": "Rain."}}]}),
            "gen_ai.usage.input_tokens": 97,
            "gen_ai.usage.output_tokens": 52,
        }
    )
    expected = {
        "input": [{"role": "user", "content": "Weather in Paris?"}],
        "output": "Rain.",
        "session_id": "s9",
        "meta": {"ls_provider": "openai", "tags": ["eu, beta"]},
    }
    assert pick(log, expected) == expected
    assert step_of({"langsmith.span.kind": "chain", "gen_ai.prompt": "in"})["type"] == "chain"


def test_a_call_of_googles_adk_becomes_a_log() -> None:
    log = log_of(
        {
            "gen_ai.system": "gcp.vertex.agent",
            "gen_ai.request.model": "gemini-2.5-flash",
            "gcp.vertex.agent.llm_request": '{"contents": [{"role": "user", "parts": [{"text": "Weather?"}]}]}',
            "gcp.vertex.agent.llm_response": '{"content": {"parts": [{"text": "Rain."}], "role": "model"}}',
            "gen_ai.usage.input_tokens": 9,
            "gen_ai.usage.output_tokens": 3,
        },
        name="call_llm",
    )
    assert (log["input"], log["output"]) == ([{"role": "user", "content": "Weather?"}], "Rain.")
