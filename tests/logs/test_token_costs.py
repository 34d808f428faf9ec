"""Token counts and costs of logs that were sent without them."""

import logging
import re
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from genai_prices import Usage, calc_price
from genai_prices.data_snapshot import get_snapshot

from promptcrafter.logs import token_costs, token_counts
from tests.support.connection import Connection, create_prompt
from tests.support.connection import sign_up as sign_up_live
from tests.support.databases import only_sqlite
from tests.support.people import Caller, Person, sign_up
from tests.support.servers import LiveServer

# From OpenAI's own tokenizer, o200k_base
TOKENS = {"hello world": 2, "Paris": 1, "What is the capital of France?": 7, "<|endoftext|>": 7, "": 0}

FOUND = """
GPT-4o|gpt-4o-2024-08-06|gpt-4.1|GPT-4|gpt-5|o1|o3-mini|claude-3-sonnet|claude-3-sonnet-20240229|claude-sonnet-4-5
claude-sonnet-4-5-20250929|claude-opus-4-1|Claude 3 Sonnet|Claude 3.5 Sonnet|Claude 3.7 Sonnet|Claude Sonnet 4.5
Claude 4.5 Sonnet|Claude Opus 4.1|Claude Haiku 4.5|GPT 4o|gpt4o|GPT-4o |GPT-4o mini|GPT-4.1 nano|GPT-5 mini|O3 Mini
Gemini Pro|Gemini 1.5 Pro|Gemini 2.5 Flash|Mistral Large|Grok 3|DeepSeek R1|openai/gpt-4o|anthropic/claude-3-opus
gpt_4o|o3 mini
"""
UNKNOWN = (
    "Claude|ChatGPT|DALL·E|Llama 3 70B|mistral-8x7B|my-private-model|gpt-4o-but-mine|claude-sonnet-99|3.5-sonnet| "
)
LOGGERS = {token_costs.__name__, token_counts.__name__}
SENT = {"input": "What is the capital of France?", "output": "Paris"}


@pytest.fixture
def cold_caches() -> Iterator[None]:
    """Load the libraries anew in the test, and again after it."""
    token_costs.clear_caches()
    yield
    token_costs.clear_caches()


def priced(ada: Person, model: str, **values: Any) -> dict[str, Any]:
    return ada.log(ada.prompt(), modelUsed=model, **{"inputTokens": 1000, "outputTokens": 100, **values})


def test_absent_values_are_computed_and_marked_as_computed(ada: Person) -> None:
    log = ada.log(ada.prompt(), modelUsed="gpt-4o", **SENT)
    expected = 7 * Decimal("2.5e-6") + 1 * Decimal("10e-6")  # dollars: 2.50 and 10 a million tokens
    assert (log["inputTokens"], log["outputTokens"], log["cost"]) == (7, 1, pytest.approx(float(expected)))
    assert log["computed"] == ["inputTokens", "outputTokens", "cost"]
    assert log["pricedAs"] == "openai/gpt-4o"
    assert ada.get(f"/logs/{log['_id']}").json == log


@pytest.mark.parametrize("name", ["inputTokens", "outputTokens", "cost"])
@pytest.mark.parametrize("value", [0, 0.5, 12])
def test_values_that_are_sent_are_kept_even_zero(ada: Person, name: str, value: float) -> None:
    log = ada.log(ada.prompt(), modelUsed="gpt-4o", **SENT, **{name: value})
    assert log[name] == value
    assert log["computed"] == [other for other in ("inputTokens", "outputTokens", "cost") if other != name]


def test_nothing_is_computed_if_all_values_are_sent(ada: Person) -> None:
    log = ada.log(ada.prompt(), **SENT, inputTokens=0, outputTokens=0, cost=0)
    assert (log["inputTokens"], log["outputTokens"], log["cost"]) == (0, 0, 0)
    assert "computed" not in log
    assert "pricedAs" not in log


def test_values_that_cannot_be_computed_are_left_out(ada: Person) -> None:
    without_input = ada.log(ada.prompt(), modelUsed="gpt-4o", output="Paris")
    assert without_input["computed"] == ["outputTokens"]
    assert not {"inputTokens", "cost", "pricedAs"} & set(without_input)
    without_price = ada.log(ada.prompt(), modelUsed="my-private-model", **SENT)
    assert without_price["computed"] == ["inputTokens", "outputTokens"]
    assert "cost" not in without_price


@only_sqlite
@pytest.mark.parametrize("text", TOKENS)
def test_counts_are_those_of_the_vocabulary(ada: Person, text: str) -> None:
    assert ada.log(ada.prompt(), input=text)["inputTokens"] == TOKENS[text]


@only_sqlite
def test_an_object_counts_as_its_compact_json(ada: Person) -> None:
    as_object = ada.log(ada.prompt(), input={"a": [1, "é"]})
    as_text = ada.log(ada.prompt(), input='{"a":[1,"é"]}')
    assert as_object["inputTokens"] == as_text["inputTokens"] > 1


@only_sqlite
@pytest.mark.parametrize("model", FOUND.strip().replace("\n", "|").split("|"))
def test_a_price_is_found_for_a_model_name_as_users_write_it(ada: Person, model: str) -> None:
    log = priced(ada, model)
    assert log["cost"] > 0
    assert log["computed"] == ["cost"]
    assert log["modelUsed"] == model


@only_sqlite
@pytest.mark.parametrize("model", UNKNOWN.split("|"))
def test_a_model_without_a_price_has_no_cost(ada: Person, model: str) -> None:
    assert not {"cost", "computed", "pricedAs"} & set(priced(ada, model))


@only_sqlite
def test_the_price_is_the_one_valid_at_the_time_of_the_log(ada: Person) -> None:
    # o3 became cheaper in June 2025
    assert priced(ada, "o3", endTime="2025-01-01")["cost"] == pytest.approx(0.014)
    assert priced(ada, "o3", endTime="2025-12-01")["cost"] == pytest.approx(0.0028)


def test_every_price_is_the_one_of_the_list() -> None:
    moment = datetime(2025, 3, 1, 17, 0, 30, tzinfo=UTC)
    compared = 0
    for model in {model.id.lower() for provider in get_snapshot().providers for model in provider.models}:
        for sent, received in ((0, 0), (123, 4567), (300_000, 5)):
            try:
                priced = calc_price(
                    Usage(input_tokens=sent, output_tokens=received), model, genai_request_timestamp=moment
                )
            except LookupError:
                continue
            spelling = next(token_costs.spellings(model), None)
            if spelling == model:
                values = {"input_tokens": sent, "output_tokens": received, "end_time": moment}
                found = token_costs.with_tokens_and_cost(values, model)
                assert found["cost"] == float(priced.total_price)
                assert found["priced_as"] == f"{priced.provider.id}/{priced.model.id}"
                compared += 1
    assert compared > 1000


@only_sqlite
@pytest.mark.usefixtures("cold_caches")
@pytest.mark.parametrize(("library", "lost"), [("toktok", {"inputTokens", "outputTokens"}), ("genai_prices", set())])
def test_a_missing_library_leaves_its_values_out_and_logs_one_line(
    ada: Person, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, library: str, lost: set[str]
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    for _ in range(2):
        log = ada.log(ada.prompt(), modelUsed="gpt-4o", **SENT)
        assert not ({"cost", "pricedAs"} | lost) & set(log)
    assert [record.levelno for record in caplog.records if record.name in LOGGERS] == [logging.ERROR]


@only_sqlite
@pytest.mark.usefixtures("cold_caches")
@pytest.mark.parametrize(("library", "call"), [("toktok", "truncate"), ("genai_prices", "calc_price")])
def test_a_failing_library_leaves_its_values_out_and_logs_one_line(
    ada: Person, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, library: str, call: str
) -> None:
    ada.log(ada.prompt(), modelUsed="gpt-4o", **SENT)  # loads the library, and caches the price of this model alone

    def fail(*args: Any, **kwargs: Any) -> None:
        raise MemoryError("no")

    monkeypatch.setattr(sys.modules[library], call, fail)
    for _ in range(2):
        assert "cost" not in ada.log(ada.prompt(), modelUsed="gpt-4.1", **SENT)
    assert len([record for record in caplog.records if record.name in LOGGERS]) == 1


@only_sqlite
def test_counting_can_be_switched_off(with_settings: Callable[..., Caller]) -> None:
    ada = sign_up(with_settings(token_counting=False), "ada")
    assert not {"inputTokens", "outputTokens", "cost", "computed"} & set(ada.log(ada.prompt(), **SENT))
    assert priced(ada, "gpt-4o")["cost"] == pytest.approx(0.0035)


def test_forked_workers_share_the_vocabulary_of_their_parent(start_server: Callable[..., LiveServer]) -> None:
    own_memory = {counting: _use(start_server(TOKEN_COUNTING=counting), counting) for counting in ("on", "off")}
    assert own_memory["on"] < own_memory["off"] + 32_000, "kB; the vocabulary takes 64,000"


def _use(server: LiveServer, counting: str) -> int:
    """Log from several connections, so that every worker is used; return the largest private memory of a worker."""
    token = sign_up_live(server, f"ada-{counting}")
    prompt_id = create_prompt(Connection(server, token))
    expected = ["inputTokens", "outputTokens", "cost"] if counting == "on" else None
    for _ in range(8):
        body = {"promptId": prompt_id, "modelUsed": "gpt-4o", **SENT}
        assert Connection(server, token).call("POST", "/logs", body).json.get("computed") == expected
    usages = [Path(f"/proc/{worker}/smaps_rollup").read_text() for worker in server.workers()]
    return max(sum(map(int, re.findall(r"^Private_\w+: +(\d+) kB$", text, re.MULTILINE))) for text in usages)
