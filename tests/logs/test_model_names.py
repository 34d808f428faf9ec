"""What a model's name alone tells: whether the model bills reasoning that its output does not show."""

import pytest
from genai_prices.data_snapshot import get_snapshot

from promptcrafter.logs.model_names import MAX_LENGTH, hides_reasoning, readings

HIDING = """
o1|o1-2024-12-17|o1-mini|o1-preview|o1-pro|o3|o3-mini-high|o3-pro|o4-mini|o4-mini-2025-04-16|o3-deep-research|O3 Mini
gpt-5|GPT-5 mini|gpt5|gpt-5-nano-2025-08-07|gpt-5-codex|gpt-5.1|gpt-5.2-pro|gpt-5-pro|gpt-6-sol|codex-mini-latest
openai/o1|openai:o1|openai:chat:gpt-5|openai/responses/o1-pro|azure/o1|azure/o_series/o3-mini|openrouter/openai/gpt-5
litellm/openai/o3|gateway/openai:gpt-5-mini|ft:o4-mini-2025-04-16:acme::B1|openai/ft:o4-mini-2025-04-16:acme::B1
gpt-oss-120b|gpt-oss:20b|groq/openai/gpt-oss-20b|openai.gpt-oss-120b-1:0|ollama/gpt-oss:20b
gemini-2.5-pro|gemini-2.5-flash|Gemini 2.5 Flash|gemini-2-5-pro|gemini-2.5-pro-preview-05-06|gemini-3-pro-preview
models/gemini-2.5-flash|publishers/google/models/gemini-2.5-pro|vertex_ai/gemini-3-flash-preview|google-gla:gemini-2.5-pro
gemini-2.0-flash-thinking-exp|gemini-flash-latest|google/gemini-2.5-flash-preview:thinking
deepseek-reasoner|deepseek-r1|DeepSeek R1|deepseek/deepseek-r1:free|openrouter/deepseek/deepseek-r1|deepseek-r1:1.5b
ollama/deepseek-r1|deepseek-r1-0528|deepseek-ai/DeepSeek-R1|groq/deepseek-r1-distill-llama-70b|us.deepseek.r1-v1:0
deepseek-r1:latest|lmstudio/deepseek-r1-distill-qwen-7b|DeepSeek-R1-Distill-Qwen-7B-Q4_K_M.gguf|deepseek-v4-flash
grok-4|xai/grok-4-0709|x-ai/grok-4-fast|grok-4-1-fast-reasoning|grok-3-mini|grok-code-fast-1
magistral-medium-2506|mistral/magistral-small-latest|qwq|qwq:32b|qwen/qwq-32b|qwen3:8b|Qwen/Qwen3-32B
qwen3-235b-a22b-thinking-2507|kimi-k2-thinking|kimi-k2.5|glm-4.6|zai/glm-5|minimax/minimax-m2
claude-3-7-sonnet-thinking|claude-3-7-sonnet-20250219-thinking|anthropic/claude-3.7-sonnet:thinking
claude-opus-4-1-20250805-thinking|sonar-reasoning|perplexity/sonar-reasoning-pro|sonar-deep-research|r1-1776
phi-4-reasoning|phi4-reasoning:14b|command-a-reasoning-08-2025|nemotron-nano-9b-v2|marco-o1|exaone-deep:7.8b
"""
SHOWING = """
gpt-4o|gpt-4o-mini|GPT 4o|gpt-4.1|gpt-4-turbo|gpt-4.5-preview|gpt-3.5-turbo|gpt-35-turbo|chatgpt-4o-latest
gpt-5-chat|gpt-5-chat-latest|openai/gpt-5-chat|openai:chat:gpt-4o|gpt-5.1-chat-latest|GPT-5 Chat|azure/gpt-5-chat
ft:gpt-4o-2024-08-06:acme::B1|gemini-1.5-pro|gemini-2.0-flash|gemini-2.0-flash-001|gemini-pro|gemini-1.5-flash-002
gemini-2.5-flash-preview-tts|gemini-embedding-001|gemini-2.5-flash-image
claude-3-5-sonnet-20241022|claude-3-7-sonnet-20250219|claude-sonnet-4-5|claude-opus-4-1|Claude 3.5 Sonnet
us.anthropic.claude-3-5-sonnet-20240620-v1:0|anthropic/claude-3-opus
deepseek-chat|deepseek/deepseek-chat-v3-0324|deepseek-v3.2|deepseek-coder|deepseek-prover-v2|deepseek-v3
grok-2-latest|grok-3|grok-3-beta|grok-4-fast-non-reasoning|xai/grok-4-1-fast-non-reasoning
mistral-large-latest|codestral-latest|ministral-8b-2410|mistral:7b|command-r-plus|command-a-03-2025|sonar|sonar-pro
llama3.2:1b|llama-3.3-70b-versatile|Llama 3 70B|ollama/llama3|phi-4|phi4:14b|gemma3:27b|qwen2.5:7b|qwen-max
qwen3-30b-a3b-instruct-2507|qwen3-coder:30b|qwen3-max|Qwen/Qwen3-Embedding-8B|kimi-k2|glm-4-air|amazon.nova-pro-v1:0
whisper-1|text-embedding-3-small|text-davinci-003|my-private-model|pro1|turbo3|gpt-4o1||
"""


def names(lines: str) -> list[str]:
    return lines.strip().replace("\n", "|").split("|")


@pytest.mark.parametrize("name", names(HIDING))
def test_models_that_reason_out_of_sight_are_known_under_every_spelling(name: str) -> None:
    assert hides_reasoning(name)
    assert hides_reasoning(f"  {name.upper()} ")


@pytest.mark.parametrize("name", names(SHOWING))
def test_models_that_show_all_that_they_bill_are_not_mistaken_for_others(name: str) -> None:
    assert not hides_reasoning(name)


def test_every_provider_of_the_price_list_is_known_by_its_own_id() -> None:
    for provider in get_snapshot().providers:
        assert [reading.provider for reading in readings(provider.id, "some-model")] == [provider.id]


def test_hostile_names_are_read_within_few_steps() -> None:
    for part in ("models/", "bedrock/", "litellm/", "openai:chat:", "a/", ":thinking", "-20240101", "1-1", "x "):
        name = (part * MAX_LENGTH)[:MAX_LENGTH]
        assert len(list(readings(None, name))) < 200
        assert list(readings(None, name + "a")) == []
