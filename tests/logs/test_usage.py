"""The spellings of a `usage` object, and what is taken from one that is sent with a log."""

from typing import Any

import pytest

from promptcrafter.logs.usage import read_usage
from tests.support.people import Person

Counts = tuple[float | None, float | None, float | None, float | None, float | None]
COLUMNS = ("inputTokens", "cachedInputTokens", "cacheWriteTokens", "outputTokens", "reasoningTokens")

# As the responses of these providers and libraries have it: input, cached, written to a cache, output, reasoning
SPELLINGS: dict[str, tuple[dict[str, Any], Counts]] = {
    "OpenAI, chat completions": (
        {
            **{"prompt_tokens": 2006, "completion_tokens": 300, "total_tokens": 2306},
            "prompt_tokens_details": {"cached_tokens": 1920, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 256, "audio_tokens": 0, "accepted_prediction_tokens": 0},
        },
        (2006, 1920, None, 300, 256),
    ),
    "OpenAI, responses": (
        {
            **{"input_tokens": 36, "output_tokens": 87, "total_tokens": 123},
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 64},
        },
        (36, 0, None, 87, 64),
    ),
    "OpenAI, embeddings": ({"prompt_tokens": 8, "total_tokens": 8}, (8, None, None, None, None)),
    "Anthropic": (
        {
            **{"input_tokens": 50, "cache_creation_input_tokens": 248, "cache_read_input_tokens": 1800},
            **{"output_tokens": 503, "service_tier": "standard", "server_tool_use": None},
            "cache_creation": {"ephemeral_5m_input_tokens": 248, "ephemeral_1h_input_tokens": 0},
        },
        (2098, 1800, 248, 503, None),
    ),
    "Anthropic, without a cache": (
        {"input_tokens": 12, "output_tokens": 6, "cache_read_input_tokens": 0, "cache_creation_input_tokens": None},
        (12, 0, None, 6, None),
    ),
    "Google, JSON": (
        {
            **{"promptTokenCount": 100, "candidatesTokenCount": 20, "thoughtsTokenCount": 80, "totalTokenCount": 210},
            **{"cachedContentTokenCount": 64, "toolUsePromptTokenCount": 10},
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 100}],
        },
        (110, 64, None, 100, 80),
    ),
    "Google, Python": (
        {
            **{"prompt_token_count": 9, "candidates_token_count": 4, "total_token_count": 13},
            **{"cached_content_token_count": None, "thoughts_token_count": None, "prompt_tokens_details": []},
        },
        (9, None, None, 4, None),
    ),
    "Google, cut off while it thought": (
        {"promptTokenCount": 9, "thoughtsTokenCount": 50, "totalTokenCount": 59},
        (9, None, None, 50, 50),
    ),
    "DeepSeek": (
        {
            **{"prompt_tokens": 16, "completion_tokens": 10, "total_tokens": 26},
            **{"prompt_cache_hit_tokens": 6, "prompt_cache_miss_tokens": 10},
        },
        (16, 6, None, 10, None),
    ),
    "xAI, whose completion_tokens lack reasoning": (
        {
            **{"prompt_tokens": 32, "completion_tokens": 9, "total_tokens": 135},
            "completion_tokens_details": {"reasoning_tokens": 94},
        },
        (32, None, None, 103, 94),
    ),
    "Amazon Bedrock": (
        {
            "inputTokens": 5,
            "outputTokens": 7,
            "totalTokens": 112,
            "cacheReadInputTokens": 60,
            "cacheWriteInputTokens": 40,
        },
        (105, 60, 40, 7, None),
    ),
    "LiteLLM with Anthropic": (
        {
            **{"prompt_tokens": 2098, "completion_tokens": 503, "total_tokens": 2601},
            **{"cache_creation_input_tokens": 248, "cache_read_input_tokens": 1800},
        },
        (2098, 1800, 248, 503, None),
    ),
    "LangChain": (
        {
            **{"input_tokens": 350, "output_tokens": 240, "total_tokens": 590},
            "input_token_details": {"cache_creation": 200, "cache_read": 100},
            "output_token_details": {"reasoning": 200},
        },
        (350, 100, 200, 240, 200),
    ),
    "Vercel's AI SDK": (
        {"inputTokens": 100, "outputTokens": 50, "totalTokens": 150, "reasoningTokens": 30, "cachedInputTokens": 90},
        (100, 90, None, 50, 30),
    ),
    "Amazon Bedrock, whose total shows that the input includes the cache": (
        {"inputTokens": 1000, "outputTokens": 100, "totalTokens": 1100, "cacheReadInputTokens": 500},
        (1000, 500, None, 100, None),
    ),
    "Google, whose total shows that the candidates include thoughts": (
        {"promptTokenCount": 1000, "candidatesTokenCount": 100, "thoughtsTokenCount": 50, "totalTokenCount": 1100},
        (1000, None, None, 100, 50),
    ),
    "a gateway that leaves another spelling at 0": (
        {"prompt_tokens": 16, "completion_tokens": 34, "input_tokens": 0, "output_tokens": 0},
        (16, None, None, 34, None),
    ),
    "Mistral": ({"prompt_tokens": 16, "completion_tokens": 34, "total_tokens": 50}, (16, None, None, 34, None)),
    "zeros are counts": ({"prompt_tokens": 0, "completion_tokens": 0}, (0, None, None, 0, None)),
}

PRICED_APART = {
    "service_tier priority": {"input_tokens": 90, "output_tokens": 5, "service_tier": "priority"},
    "speed fast": {"input_tokens": 90, "output_tokens": 5, "speed": "fast"},
    "inference_geo us": {"input_tokens": 90, "output_tokens": 5, "inference_geo": "us"},
    "trafficType PROVISIONED_THROUGHPUT": {
        **{"promptTokenCount": 90, "candidatesTokenCount": 5, "trafficType": "PROVISIONED_THROUGHPUT"},
    },
    "audio": {"prompt_tokens": 90, "completion_tokens": 5, "prompt_tokens_details": {"audio_tokens": 80}},
    "image": {"input_tokens": 90, "output_tokens": 5, "output_tokens_details": {"image_tokens": 5}},
    "cache for an hour": {
        **{"input_tokens": 5, "output_tokens": 5, "cache_creation_input_tokens": 9, "service_tier": "standard"},
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 9},
    },
}
GOOGLE_SOUND = {
    **{"promptTokenCount": 9, "candidatesTokenCount": 4},
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 1}, {"modality": "AUDIO", "tokenCount": 8}],
}

USAGE = {"prompt_tokens": 7, "completion_tokens": 1}
MALFORMED: list[Any] = [
    *("2000", 2000, True, [], {}, [{"prompt_tokens": 1}], {"tokens": 1}, {"total_tokens": 9}),
    *({"prompt_tokens": value} for value in ("2000", True, -1, 1e300, [1], {"count": 1})),
    {"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": 3},
    {"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 11}},
    {"prompt_tokens": 10, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 6}},
    {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 5},
    {"prompt_tokens": 10, "completion_tokens": 5, "input_tokens": 9},
    {"prompt_tokens": 10, "completion_tokens": 5, "prompt_cache_hit_tokens": 6, "prompt_cache_miss_tokens": 7},
    {"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": []},
    {"prompt_tokens": 1.5, "completion_tokens": 5},
    {
        **{"input_tokens": 10, "output_tokens": 5, "cache_creation_input_tokens": 2},
        "cache_creation": {"ephemeral_5m_input_tokens": 9, "ephemeral_1h_input_tokens": 0},
    },
    {"completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 1}},
    {"cache_read_input_tokens": 5},
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_counts_are_read_in_the_spelling_of_each_provider(spelling: str) -> None:
    usage, expected = SPELLINGS[spelling]
    found = read_usage(usage)
    assert found is not None
    counts, apart = found
    columns = ("input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
    assert tuple(counts.get(column) for column in columns) == expected
    assert apart is None


@pytest.mark.parametrize("usage", MALFORMED)
def test_a_malformed_object_has_no_counts(usage: Any) -> None:
    assert read_usage(usage) is None


def test_a_log_takes_the_counts_that_it_lacks(ada: Person, subtests: pytest.Subtests) -> None:
    prompt = ada.prompt()
    for spelling, (usage, expected) in SPELLINGS.items():
        with subtests.test(spelling=spelling):
            name = "usageMetadata" if spelling.startswith("Google") else "usage"
            log = ada.log(prompt, modelUsed="house-model", output="Paris.", **{name: usage})
            counted = log.get("computed", [])
            assert tuple(None if column in counted else log.get(column) for column in COLUMNS) == expected
            assert not {"usage", "usageMetadata"} & set(log)
            assert ada.get(f"/logs/{log['_id']}").json == log


def test_counts_that_are_sent_as_fields_take_precedence_over_all_of_their_side(ada: Person) -> None:
    usage = SPELLINGS["OpenAI, chat completions"][0]
    log = ada.log(ada.prompt(), modelUsed="gpt-4o", inputTokens=0, usage=usage)
    assert {name: log.get(name) for name in COLUMNS} == {
        **{"inputTokens": 0, "cachedInputTokens": None, "cacheWriteTokens": None},
        **{"outputTokens": 300, "reasoningTokens": 256},
    }


def test_a_malformed_object_is_ignored_and_named_or_refused_in_strict_mode(
    ada: Person, subtests: pytest.Subtests
) -> None:
    prompt_id = ada.prompt()["_id"]
    for usage in MALFORMED:
        with subtests.test(usage=str(usage)[:50]):
            text = {"input": "What is the capital of France?", "output": "Paris"}
            body = {"promptId": prompt_id, "modelUsed": "gpt-4o", **text, "usage": usage}
            answers = {
                name: ada.post(path, body) for name, path in (("lenient", "/logs"), ("strict", "/logs?strict=true"))
            }
            log = answers["lenient"].json
            assert (log["inputTokens"], log["outputTokens"]) == (7, 1)
            assert log["computed"] == ["inputTokens", "outputTokens", "cost"]
            assert answers["lenient"].headers["X-Ignored-Fields"] == "usage"
            assert (answers["strict"].status_code, list(answers["strict"].json["details"])) == (400, ["usage"])
            batch = ada.post("/logs/batch", {"logs": [{**body, "usage": USAGE}, body]})
            assert [result["status"] for result in batch.json["results"]] == [201, 201]
            assert batch.headers["X-Ignored-Fields"] == "usage"


@pytest.mark.parametrize(
    ("values", "ignored"),
    [
        ({"inputTokens": 5, "outputTokens": 5, "usage": USAGE}, "usage"),
        ({"usage": USAGE, "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 9}}, "usageMetadata"),
        ({"inputTokens": 7, "outputTokens": 1, "usage": USAGE}, None),
        ({"inputTokens": 5, "usage": USAGE}, None),
    ],
)
def test_an_object_without_effect_is_named(ada: Person, values: dict[str, Any], ignored: str | None) -> None:
    body = {"promptId": ada.prompt()["_id"], "modelUsed": "gpt-4o", "output": "Paris", **values}
    answer = ada.post("/logs", body)
    assert (answer.status_code, answer.headers.get("X-Ignored-Fields")) == (201, ignored)
    assert ada.post("/logs?strict=true", body).status_code == (400 if ignored else 201)


@pytest.mark.parametrize("kind", [*PRICED_APART, "google"])
def test_no_cost_is_computed_for_tokens_with_a_price_of_their_own(ada: Person, kind: str) -> None:
    usage = PRICED_APART.get(kind, GOOGLE_SOUND)
    log = ada.log(ada.prompt(), modelUsed="gpt-4o", usage=usage)
    assert not {"cost", "computed", "pricedAs"} & set(log)
    assert log["priced"] == {"unpriced": "audio" if kind == "google" else kind}
    assert ada.log(ada.prompt(), modelUsed="gpt-4o", usage=usage, cost=0.5).get("priced") is None


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"inputTokens": 10, "cachedInputTokens": 11}, "cachedInputTokens"),
        ({"cachedInputTokens": 1}, "cachedInputTokens"),
        ({"inputTokens": 10, "cachedInputTokens": 6, "cacheWriteTokens": 5}, "cacheWriteTokens"),
        ({"outputTokens": 10, "reasoningTokens": 10.5}, "reasoningTokens"),
        ({"reasoningTokens": 1, "usage": {"prompt_tokens": 9, "completion_tokens": 9}}, "reasoningTokens"),
        ({"inputTokens": 10, "cachedInputTokens": -1}, "cachedInputTokens"),
    ],
)
def test_a_part_that_exceeds_its_whole_is_refused(ada: Person, values: dict[str, Any], field: str) -> None:
    prompt = ada.prompt()
    body = {"promptId": prompt["_id"], "modelUsed": "gpt-4o", "output": "Paris", **values}
    response = ada.post("/logs", body)
    assert response.status_code == 400
    assert list(response.json["details"]) == [field]
    (result,) = ada.post("/logs/batch", {"logs": [body]}).json["results"]
    assert (result["status"], list(result["details"])) == (400, [field])
    assert ada.get("/logs").json == []
