"""What holds for the translation of every span: bounds, the price of a provider, and any attributes whatever."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from promptcrafter.dialects.otlp import names
from promptcrafter.dialects.otlp.attributes import INDEX_MAX, nest
from promptcrafter.dialects.otlp.calls import to_step
from promptcrafter.dialects.otlp.metadata import OBJECT_MAX, OMITTED_MAX
from promptcrafter.dialects.otlp.sorting import sort
from promptcrafter.dialects.otlp.translate import Limits, Part, translate
from promptcrafter.jsonio import MAX_DEPTH, count_levels, dumps, find_unstorable_text
from promptcrafter.logs import prices
from promptcrafter.logs.questions import find_question
from promptcrafter.logs.usage import find_excess
from tests.support.otlp import export, make_span
from tests.support.otlp_spans import LIMITS, columns_of, log_of, pick, to_span, translated
from tests.support.people import Person

CALL: dict[str, Any] = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}


def test_a_dialects_own_name_counts_before_that_of_genai_and_an_empty_value_does_not() -> None:
    both = {
        **CALL,
        "langfuse.observation.type": "generation",
        "langfuse.observation.model.name": "mine",
        "langfuse.observation.input": "own",
        "langfuse.observation.output": "",
        "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"theirs"}]}]',
        "gen_ai.completion": "theirs",
    }
    assert pick(log_of(both), {"input": 0, "output": 0, "model_used": 0}) == {
        "input": "own",
        "output": "theirs",
        "model_used": "mine",
    }


def test_user_session_and_environment_may_be_those_of_the_resource() -> None:
    resource = {"enduser.id": "u7", "session.id": "s9", "deployment.environment": "eu"}
    expected = {"user_id": "u7", "session_id": "s9", "environment": "eu"}
    assert pick(log_of(CALL, resource=resource), expected) == expected
    assert log_of({**CALL, "user.id": "u8"}, resource=resource)["user_id"] == "u8"


def test_a_program_without_a_name_names_neither_log_nor_trace() -> None:
    part = translated(CALL, resource={"service.name": "unknown_service:python"})
    assert ("meta" in part.columns, "slug" in part.of_trace) == (False, False)
    part = translated(CALL, resource={"service.name": "shop"})
    assert (part.columns["meta"], part.of_trace["slug"]) == ({"service": "shop"}, "shop")


KINDS: dict[str, tuple[dict[str, str], str]] = {
    "a chain around a call": ({"openinference.span.kind": "CHAIN", "gen_ai.operation.name": "chat"}, "generation"),
    "an agent that says chat": ({"openinference.span.kind": "AGENT", "gen_ai.operation.name": "chat"}, "agent"),
    "an outer span of the AI SDK": ({"ai.operationId": "ai.generateText", "gen_ai.operation.name": "chat"}, "agent"),
    "an embedding": ({"basalt.span.kind": "generation", "gen_ai.operation.name": "embeddings"}, "embedding"),
}


def test_what_is_never_a_call_comes_before_what_is_one(subtests: pytest.Subtests) -> None:
    for name, (attributes, expected) in KINDS.items():
        with subtests.test(name):
            part = translated(attributes)
            assert ("generation" if part.is_call else part.columns["type"]) == expected


TOKENS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a part of the input": (
        {"gen_ai.usage.input_tokens": 97, "gen_ai.usage.cache_read.input_tokens": 64},
        {"input_tokens": 97, "cached_input_tokens": 64},
    ),
    "more than the input": (
        {"gen_ai.usage.input_tokens": 33, "gen_ai.usage.cache_read.input_tokens": 64},
        {"input_tokens": 97, "cached_input_tokens": 64},
    ),
    "in two spellings": (
        {
            "gen_ai.usage.input_tokens": 33,
            "gen_ai.usage.cache_read.input_tokens": 64,
            "gen_ai.usage.cache_read_input_tokens": 64,
            "llm.token_count.prompt_details.cache_read": 64,
        },
        {"input_tokens": 97, "cached_input_tokens": 64},
    ),
    "read and written": (
        {
            "gen_ai.usage.input_tokens": 25,
            "gen_ai.usage.cache_read.input_tokens": 64,
            "gen_ai.usage.cache_write.input_tokens": 8,
        },
        {"input_tokens": 97, "cached_input_tokens": 64, "cache_write_tokens": 8},
    ),
    "beside the input, as the total shows": (
        {
            "gen_ai.usage.input_tokens": 90,
            "gen_ai.usage.output_tokens": 10,
            "gen_ai.usage.cache_read.input_tokens": 50,
            "gen_ai.usage.total_tokens": 150,
        },
        {"input_tokens": 140, "cached_input_tokens": 50},
    ),
    "reasoning beside the output": (
        {"gen_ai.usage.output_tokens": 10, "gen_ai.usage.reasoning_tokens": 64},
        {"output_tokens": 74, "reasoning_tokens": 64},
    ),
    "parts without a whole": (
        {"gen_ai.usage.cache_read.input_tokens": 64, "gen_ai.usage.reasoning_tokens": 64},
        {"input_tokens": None, "cached_input_tokens": None, "reasoning_tokens": None},
    ),
    "texts of numbers": ({"gen_ai.usage.input_tokens": "97"}, {"input_tokens": 97}),
    "no numbers": (
        {"gen_ai.usage.input_tokens": "NaN", "gen_ai.usage.prompt_tokens": -1, "llm.token_count.prompt": 9},
        {"input_tokens": 9},
    ),
    "no tokens at all": ({"gen_ai.usage.input_tokens": 0}, {"input_tokens": 0}),
}


def test_cached_tokens_are_a_part_of_the_input_however_they_arrive(subtests: pytest.Subtests) -> None:
    for name, (attributes, expected) in TOKENS.items():
        with subtests.test(name):
            log = log_of({**CALL, **attributes})
            assert pick(log, expected) == expected


def test_the_question_of_a_chat_is_found_in_the_form_of_every_convention() -> None:
    flattened = {
        "llm.input_messages.0.message.role": "system",
        "llm.input_messages.0.message.content": "You are brief.",
        "llm.input_messages.1.message.role": "user",
        "llm.input_messages.1.message.contents.0.message_content.type": "text",
        "llm.input_messages.1.message.contents.0.message_content.text": "What is this?",
        "llm.input_messages.1.message.contents.1.message_content.type": "image",
        "llm.input_messages.1.message.contents.1.message_content.image.image.url": "https://example.org/cat.png",
        "llm.input_messages.2.message.role": "tool",
        "llm.input_messages.2.message.content": "rainy",
    }
    parts = json.dumps(
        [
            {"role": "user", "parts": [{"type": "text", "content": "What is this?"}]},
            {"role": "user", "parts": [{"type": "tool_call_response", "id": "c", "response": "rainy"}]},
        ]
    )
    for attributes in (flattened, {"gen_ai.input.messages": parts}):
        columns = translated({**CALL, **attributes}).columns
        assert find_question(columns["input"], columns["input_format"]) == "What is this?"


# The provider and the model as senders write them, and the entry of the price list
PRICES = """
    openai               gpt-4o-2024-08-06                           openai/gpt-4o
    openai.chat          gpt-4o                                      openai/gpt-4o
    openai.responses     gpt-4o                                      openai/gpt-4o
    OpenAI               gpt-4o                                      openai/gpt-4o
    azure.ai.openai      gpt-4o                                      openai/gpt-4o
    az.ai.inference      gpt-4o                                      openai/gpt-4o
    aws.bedrock anthropic.claude-3-5-sonnet-20240620-v1:0 aws/regional.anthropic.claude-3-5-sonnet-20240620-v1:0
    gcp.vertex_ai        claude-3-5-sonnet@20240620                  google/claude-3-5-sonnet
    vertex_ai            gemini-1.5-flash                            google/gemini-1.5-flash
    gcp.gemini           gemini-1.5-flash                            google/gemini-1.5-flash
    gcp.gen_ai           gemini-1.5-flash                            google/gemini-1.5-flash
    google.generative-ai gemini-1.5-flash                            google/gemini-1.5-flash
    anthropic.messages   claude-3-5-sonnet-20240620                  anthropic/claude-3-5-sonnet
    x_ai                 grok-3                                      x-ai/grok-3
    mistral_ai           mistral-large-latest                        mistral/mistral-large
    groq.chat            llama-3.3-70b-versatile                     groq/llama-3.3-70b-versatile
    fireworks.chat       gpt-4o                                      none
    function             gpt-4o                                      openai/gpt-4o
    langchain            gpt-4o                                      openai/gpt-4o
    acme                 gpt-4o                                      openai/gpt-4o
    acme.chat            claude-3-5-sonnet-20240620                  anthropic/claude-3-5-sonnet
    acme                 deepseek-chat                               none
    deepinfra.chat       deepseek-chat                               none
    ollama               gpt-4o                                      none
    snowflake            claude-3-5-sonnet-20240620                  none
    function             function:reply:                             none
"""


def test_a_provider_is_a_hint_for_the_price_and_never_a_wrong_one(subtests: pytest.Subtests) -> None:
    for line in PRICES.strip().splitlines():
        provider, model, entry = line.split()
        with subtests.test(provider=provider, model=model):
            log = log_of({**CALL, "gen_ai.provider.name": provider, "gen_ai.response.model": model})
            assert provider in (log.get("provider"), log["meta"].get("provider") if "meta" in log else None)
            price = prices.find(log.get("provider"), model, datetime(2026, 11, 29, tzinfo=UTC))
            assert (price.entry if price else "none") == entry


def test_cached_tokens_cost_their_own_price_and_a_cost_that_is_sent_counts(ada: Person) -> None:
    call = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.usage.input_tokens": 97,
        "gen_ai.usage.cache_read.input_tokens": 64,
        "gen_ai.usage.output_tokens": 52,
        "gen_ai.completion": "Rain.",
    }
    assert export(ada, make_span(call), make_span({**call, "gen_ai.usage.cost": 0.5})).status_code == 200
    sent, computed = sorted(ada.get("/logs").json, key=lambda log: "computed" in log)
    assert (sent["cost"], sent.get("computed")) == (0.5, None)
    assert computed["cost"] == pytest.approx((33 * 2.5 + 64 * 1.25 + 52 * 10) / 1_000_000)
    assert computed["computed"] == ["cost"]


# ── Bounds ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_text_that_is_too_long_is_cut_and_named() -> None:
    limits = Limits(output_bytes=1000)
    attributes = {**CALL, "gen_ai.prompt": "é" * 501, "gen_ai.completion": "é" * 500}
    log = log_of(attributes, limits=limits)
    assert (log["input"], log["output"], log["meta"]["truncated"]) == ("é" * 500, "é" * 500, ["input"])
    step = translated({**attributes, "gen_ai.operation.name": "plan"}, limits=limits).columns
    assert (step["input"], step["meta"]["truncated"]) == ("é" * 500, ["input"])
    chat = json.dumps([{"role": "user", "content": "x" * 2000}])
    log = translated({**CALL, "gen_ai.prompt": chat}, limits=limits).columns
    assert (len(log["input"]), log.get("input_format"), log["meta"]["truncated"]) == (1000, None, ["input"])


def test_unknown_attributes_are_kept_up_to_64_kib_without_the_largest() -> None:
    many = {f"my.{number}": "y" * 1000 for number in range(60)}
    meta = log_of({**CALL, **many, "my.largest": "x" * 60_000, "my.large": "x" * 50_000})["meta"]
    assert meta["omitted"] == ["my.largest", "my.large"]
    assert meta["attributes"] == many
    assert len(dumps(meta["attributes"])) <= OBJECT_MAX


def test_the_senders_metadata_and_parameters_are_bounded_too() -> None:
    large = {f"key {number}": "x" * 10_000 for number in range(100)}
    log = log_of({**CALL, "metadata": json.dumps(large), "llm.invocation_parameters": json.dumps(large)})
    assert len(dumps(log["parameters"])) <= OBJECT_MAX
    assert len(dumps(log["meta"])) <= 2 * OBJECT_MAX
    assert len(log["meta"]["omitted"]) == OMITTED_MAX
    assert len(log["meta"]["omitted"]) <= 100


def test_names_are_cut() -> None:
    part = translated({**CALL, "user.id": "u" * 1000, "session.id": "s" * 1000}, name="n" * 5000)
    lengths = {name: len(part.columns[name]) for name in ("name", "user_id", "session_id")}
    assert lengths == {"name": 1000, "user_id": 256, "session_id": 256}


def test_the_indices_of_flattened_names_are_bounded() -> None:
    assert nest({"0.a": 1, f"{INDEX_MAX}.a": 2, "999999999999.a": 3, f"{INDEX_MAX - 1}.a": 4}) == [{"a": 1}, {"a": 4}]
    log = log_of(
        {
            "openinference.span.kind": "LLM",
            "llm.input_messages.999999999.message.content": "far",
            "llm.input_messages.1.message.content": "near",
            "llm.input_messages.1.message.role": "user",
        }
    )
    assert log["input"] == [{"role": "user", "content": "near"}]


def test_flattened_names_become_nested_json() -> None:
    assert nest({"a.b.0": 1, "a.b.1": 2, "a.c": {"d": 3}}) == {"a": {"b": [1, 2], "c": {"d": 3}}}
    assert nest({"a": 1, "a.b": 2}) == {"a": 1}
    assert nest({"a.b": 2, "a": 1}) == {"a": {"b": 2}}
    assert nest({"": 1, ".": 2, "..": 3}) == {"": 1}
    assert count_levels(nest({".".join("a" * 10_000): 1})) < 20
    assert nest({"²": 1, "٣": 2}) == {"²": 1, "٣": 2}


@pytest.mark.parametrize(
    "hostile",
    [
        {f"llm.input_messages.{number * 7919}.message.{'x.' * (number % 50)}content": "x" for number in range(10_000)},
        {f"gen_ai.prompt.{number}.tool_calls.{number}.arguments": "x" for number in range(10_000)},
        {f"llm.tools.0.{'0.' * number}": number for number in range(1_000)},
        {f"unknown.{number}": number for number in range(100_000)},
        {"gen_ai.input.messages": "[" * 100_000},
        {"gen_ai.input.messages": '[{"role":' * 50_000},
        {"gen_ai.input.messages": "[" + "{}," * 200_000 + "{}]"},
        {"gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text"}] * 10_000}] * 10)},
        {"gen_ai.prompt": "[" * 99 + "]" * 99},
        {"gen_ai.prompt": "data:image/png;base64," * 50_000},
        {"gen_ai.prompt": ";base64,A" * 100_000},
        {"metadata": json.dumps({str(number): "x" for number in range(50_000)})},
        {"gen_ai.prompt": "1" * 1_000_000},
        {"gen_ai.prompt": '{"a":' + "1" * 5_000 + "}"},
        {"x" * 1_000_000: "y" * 1_000_000},
    ],
    ids=lambda hostile: next(iter(hostile))[:25],
)
def test_hostile_attributes_are_translated_within_the_bounds(hostile: dict[str, Any]) -> None:
    _check(translate(to_span({**CALL, **hostile}), LIMITS))


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
ESCAPES = st.sampled_from(["\0", "\ud800", "\udfff x", "plain"]).map(lambda text: json.dumps([{"role": text}]))
NUMBERS = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False))
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS, ESCAPES)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(TEXTS, st.sampled_from(["role", "content", "parts", "type", "messages"])), inner),
    ),
    max_leaves=8,
)
# What looks like messages, but has values of any type under their keys
MESSAGE_KEYS = st.sampled_from(
    [
        *("role", "content", "parts", "type", "text", "tool_calls", "function", "id", "name", "arguments", "response"),
        *("result", "output", "value", "source", "data", "mime_type", "format", "image_url", "message", "choices"),
        *("messages", "event.name", "contents", "message_content", "tool_call", "function_call_name", "toolCallId"),
    ]
)
WORDS = st.sampled_from(
    [
        *("user", "assistant", "tool", "text", "tool_call", "tool_result", "tool-call", "reasoning", "image", "blob"),
        *("gen_ai.choice", "gen_ai.tool.message", "", "A" * 5000, "data:image/png;base64," + "A" * 5000),
    ]
)
MESSAGES = st.recursive(
    st.one_of(WORDS, LEAVES),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(MESSAGE_KEYS, inner, max_size=4)),
    max_leaves=15,
)
PLACES = sorted({name for form, name, *_ in (*names.INPUTS, *names.OUTPUTS) if form not in (names.FLATTENED,)})
KNOWN_NAMES = sorted(
    {
        value
        for table in vars(names).values()
        if isinstance(table, tuple | dict | frozenset)
        for row in table
        for value in ((row,) if isinstance(row, str) else row)
    }
)
MESSAGE_NAMES = st.builds(
    lambda prefix, index, rest: f"{prefix}{index}.{rest}",
    st.sampled_from(["llm.input_messages.", "llm.output_messages.", "gen_ai.prompt.", "gen_ai.completion."]),
    st.integers(0, 3),
    st.sampled_from(["message.role", "message.content", "role", "content", "tool_calls.0", "message.contents", "0"]),
)
ATTRIBUTES = st.dictionaries(
    st.one_of(st.sampled_from(KNOWN_NAMES), MESSAGE_NAMES, TEXTS),
    st.one_of(VALUES, VALUES.map(json.dumps)),
    max_size=12,
)
KIND = st.sampled_from([{}, {"langfuse.observation.type": "generation"}, {"openinference.span.kind": "TOOL"}, CALL])
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(
            ["exception", "gen_ai.choice", "gen_ai.user.message", "gen_ai.evaluation.result", names.DETAILS_EVENT]
        ),
        ATTRIBUTES,
    ),
    max_size=3,
)


@settings(max_examples=75, suppress_health_check=[HealthCheck.too_slow])
@given(ATTRIBUTES, KIND, EVENTS, st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_any_attributes_become_something_that_can_be_stored_or_nothing(
    attributes: dict[str, Any], kind: dict[str, Any], events: list[Any], start_ns: int, end_ns: int
) -> None:
    span = to_span({**attributes, **kind}, events=events, start_ns=start_ns, end_ns=end_ns, parent_id=None)
    part = translate(span, Limits(output_bytes=2000))
    _check(part, output_bytes=2000)
    assert part is not None or not kind or "basalt.internal.api" in str(attributes) or "pending" in str(attributes)


@settings(max_examples=300)
@given(
    st.sampled_from(PLACES), MESSAGES, st.sampled_from(["gen_ai.choice", "gen_ai.tool.message", names.DETAILS_EVENT])
)
def test_anything_may_stand_where_messages_are_expected(place: str, sent: Any, event: str) -> None:
    attributes = {**CALL, place: sent, "ai.response.toolCalls": sent, "gen_ai.system_instructions": sent}
    _check(translate(to_span(attributes, events=[(event, {"message": sent, "gen_ai.input.messages": sent})]), LIMITS))
    listed = {**CALL, "llm.input_messages.0.message.contents": sent, "llm.output_messages.0.message.tool_calls": sent}
    _check(translate(to_span(listed), LIMITS))
    _check(translate(to_span({**CALL, place: json.dumps(sent), "events": [sent]}), LIMITS))


def _check(part: Part | None, output_bytes: int = LIMITS.output_bytes) -> None:
    """Check that a log, a step or a trace can be stored as it is."""
    if part is None:
        return
    columns = [part.columns, part.of_trace]
    if part.is_call:
        columns.append(to_step(part.columns))
        assert find_excess(part.columns) is None
        assert {type(part.columns.get(name)) for name in ("input", "output")} <= {str, type(None)}
        columns_of(part)
    for each in columns:
        written = {name: str(value) if isinstance(value, datetime) else value for name, value in each.items()}
        assert count_levels(written) < MAX_DEPTH
        assert find_unstorable_text(written) is None
        for name in ("input", "output"):
            if written.get(name) is not None:
                assert isinstance(written[name], str | list | dict)
                text = written[name] if isinstance(written[name], str) else dumps(written[name])
                assert len(text.encode()) <= output_bytes
    assert part.reference is None or part.reference["slug"]


def test_every_name_of_a_table_is_known_and_not_kept_as_an_attribute() -> None:
    rows = (*names.MODEL, *names.INPUT_TOKENS, *names.COST, *names.VARIABLES, *names.TRACE_NAME, *names.TAGS)
    assert sort(dict.fromkeys(rows, "x")).unknown == {}
