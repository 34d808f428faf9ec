"""Basalt's SDK 1.1.10."""

import json
from typing import Any

import pytest

from promptcrafter.dialects.otlp.translate import translate
from tests.support.otlp_spans import LIMITS, log_of, pick, step_of, to_span, translated

IN_TRACE = {
    "basalt.in_trace": True,
    "basalt.span.feature_slug": "weather",
    "basalt.user.id": "u7",
    "basalt.user.name": "Ada",
    "basalt.organization.id": "o1",
    "basalt.organization.name": "Acme",
    "basalt.experiment.id": "e1",
}
GENERATION: dict[str, Any] = {
    **IN_TRACE,
    "basalt.span.kind": "generation",
    "basalt.span.input": "Weather in Paris?",
    "basalt.span.output": "Rain.",
    "basalt.prompt.slug": "weather",
    "basalt.prompt.version": "2.0.0",
    "basalt.prompt.tag": "production",
    "basalt.prompt.model.provider": "open-ai",
    "basalt.prompt.model.model": "gpt-4o",
    "basalt.prompt.variables": '{"city": "Paris"}',
    "basalt.prompt.from_cache": False,
    "basalt.metadata": '{"plan": "pro"}',
    "basalt.meta.request_id": "r1",
    "gen_ai.usage.input_tokens": 97,
    "gen_ai.usage.output_tokens": 52,
}


def test_a_generation_becomes_a_log() -> None:
    log = log_of(GENERATION)
    expected = {
        "input": "Weather in Paris?",
        "output": "Rain.",
        "model_used": "gpt-4o",
        "provider": "open-ai",
        "variables": {"city": "Paris"},
        "input_tokens": 97,
        "output_tokens": 52,
        "user_id": "u7",
        "meta": {
            "plan": "pro",
            "request_id": "r1",
            "attributes": {"basalt.experiment.id": "e1", "basalt.prompt.from_cache": False},
        },
    }
    assert pick(log, expected) == expected
    assert translated(GENERATION).reference == {"slug": "weather", "version": "2.0.0", "tag": "production"}


def test_a_trace_has_the_slug_of_the_feature_with_user_and_organization() -> None:
    of_trace = translated(GENERATION, parent_id=None, name="answer", resource={"service.name": "shop"}).of_trace
    expected = {
        "slug": "weather",
        "root_name": "answer",
        "user": {"id": "u7", "name": "Ada"},
        "organization": {"id": "o1", "name": "Acme"},
        "user_id": "u7",
        "input": "Weather in Paris?",
        "output": "Rain.",
        "root_span_id": "00f067aa0ba902b7",
    }
    assert pick(of_trace, expected) == expected


def test_calls_of_the_sdk_to_its_own_api_are_dropped() -> None:
    internal = {
        "basalt.api.client": "prompts",
        "basalt.api.operation": "get",
        "basalt.internal.api": True,
        "http.method": "GET",
        "basalt.prompt.slug": "weather",
    }
    call = {
        **IN_TRACE,
        "basalt.span.kind": "span",
        "basalt.span.input": '{"method": "GET"}',
        "basalt.metadata": json.dumps(internal),
    }
    assert translate(to_span(call, name="basalt.sdk.prompts.get"), LIMITS) is None
    assert translate(to_span({"basalt.span.kind": "span", "basalt.internal.api": True}), LIMITS) is None
    mentioned = {**GENERATION, "basalt.metadata": '{"note": "basalt.internal.api", "basalt.internal.api": false}'}
    assert log_of(mentioned)["meta"]["note"] == "basalt.internal.api"


@pytest.mark.parametrize(
    ("kind", "expected"), [("span", "span"), ("retrieval", "retriever"), ("function", "function"), ("tool", "tool")]
)
def test_another_kind_is_a_step(kind: str, expected: str) -> None:
    step = step_of({**GENERATION, "basalt.span.kind": kind})
    assert (step["type"], step["input"], step["output"]) == (expected, "Weather in Paris?", "Rain.")


def test_a_request_inside_of_a_trace_is_no_step() -> None:
    assert translate(to_span({**IN_TRACE, "http.method": "POST"}), LIMITS) is None


def test_an_embedding_that_the_sdk_calls_a_generation_is_a_step() -> None:
    embedding = {**IN_TRACE, "basalt.span.kind": "generation", "llm.request.type": "embedding"}
    assert step_of({**embedding, "gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 4})["type"] == "embedding"


def test_an_instrumented_call_inside_of_a_prompt_is_named_after_it() -> None:
    part = translated(
        {
            **IN_TRACE,
            "basalt.span.kind": "generation",
            "basalt.prompt.slug": "weather",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.response.model": "gpt-4o-2024-08-06",
            "gen_ai.prompt.0.role": "user",
            "gen_ai.prompt.0.content": "Weather in Paris?",
            "gen_ai.completion.0.content": "Rain.",
        }
    )
    assert part.reference == {"slug": "weather"}
    assert (part.columns["model_used"], part.columns["output"]) == ("gpt-4o-2024-08-06", "Rain.")
