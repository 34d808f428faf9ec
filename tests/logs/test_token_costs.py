"""Token counts and costs of logs that were sent without them."""

import csv
import io
import logging
import re
import sys
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from promptcrafter.logs import prices, token_costs, token_counts
from tests.support.connection import Connection, create_prompt
from tests.support.connection import sign_up as sign_up_live
from tests.support.databases import only_sqlite
from tests.support.people import Caller, Person, sign_up
from tests.support.servers import EXECUTABLE, LiveServer

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
USAGE = {"prompt_tokens": 7, "completion_tokens": 1}
LOGGERS = {prices.__name__, token_counts.__name__}
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
def test_a_price_is_found_for_a_model_name_as_users_write_it(ada: Person, subtests: pytest.Subtests) -> None:
    for model in FOUND.strip().replace("\n", "|").split("|"):
        with subtests.test(model=model):
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


@pytest.mark.parametrize(
    ("values", "dollars"),
    [
        ({"inputTokens": 2000, "outputTokens": 500, "cachedInputTokens": 1792}, 0.00776),
        ({"inputTokens": 2000, "outputTokens": 500, "cachedInputTokens": 0}, 0.01),
        ({"usage": {"prompt_tokens": 2000, "completion_tokens": 500}}, 0.01),
        (
            {
                "modelUsed": "claude-sonnet-4-5",
                "usage": {  # 3.00, 0.30, 3.75 and 15.00 dollars a million tokens
                    **{"input_tokens": 50, "cache_read_input_tokens": 1800, "cache_creation_input_tokens": 248},
                    "output_tokens": 503,
                },
            },
            0.009165,
        ),
        ({"modelUsed": "o1", "usage": {"prompt_tokens": 10, "completion_tokens": 1000}}, 0.06015),
    ],
)
def test_each_kind_of_token_has_its_own_price(ada: Person, values: dict[str, Any], dollars: float) -> None:
    prompt = ada.prompt()
    log = ada.log(prompt, **{"modelUsed": "gpt-4o", **values})
    assert log["cost"] == pytest.approx(dollars, abs=1e-12)
    assert log["computed"] == ["cost"]
    body = {"promptId": prompt["_id"], "output": "An output", "modelUsed": "gpt-4o", **values}
    (result,) = ada.post("/logs/batch", {"logs": [body]}).json["results"]
    assert ada.get(f"/logs/{result['_id']}").json["cost"] == log["cost"]


@only_sqlite
@pytest.mark.parametrize("model", ["o1", "gpt-5", "openrouter/deepseek/deepseek-r1", "O3 Mini", "azure/o4-mini"])
def test_an_output_without_its_reasoning_is_not_counted(ada: Person, model: str) -> None:
    log = ada.log(ada.prompt(), modelUsed=model, **SENT)
    assert log["computed"] == ["inputTokens"]
    assert not {"outputTokens", "cost", "priced"} & set(log)


@pytest.mark.parametrize(
    ("values", "tokens"),
    [(SENT, "counted"), ({**SENT, "inputTokens": 7}, "partly counted"), ({"usage": USAGE}, "sent")],
)
def test_a_log_says_how_its_cost_came_about(ada: Person, values: dict[str, Any], tokens: str) -> None:
    log = ada.log(ada.prompt(), modelUsed="gpt-4o", **values)
    assert log["priced"] == {
        **{"entry": "openai/gpt-4o", "list": f"genai-prices {version('genai-prices')}"},
        **{"listDate": log["priced"]["listDate"], "tokens": tokens},
    }
    assert date.fromisoformat(log["priced"]["listDate"]) >= date(2026, 11, 1)
    assert ada.get(f"/logs/{log['_id']}").json == log
    assert ada.get("/logs").json[0] == log


@only_sqlite
def test_a_log_says_since_when_its_price_is_valid(ada: Person) -> None:
    assert priced(ada, "o3", endTime="2025-12-01")["priced"]["validFrom"] == "2025-06-10"
    assert "validFrom" not in priced(ada, "o3", endTime="2025-01-01")["priced"]


def test_all_kinds_of_tokens_are_listed_exported_and_imported(ada: Person, ben: Person) -> None:
    tokens = {"inputTokens": 9, "cachedInputTokens": 4, "cacheWriteTokens": 3, "outputTokens": 5, "reasoningTokens": 2}
    log = ada.log(ada.prompt(), modelUsed="gpt-4o", **tokens)
    assert {name: log[name] for name in tokens} == tokens
    (row,) = csv.DictReader(io.StringIO(ada.get("/logs", headers={"Accept": "text/csv"}).text))
    assert {name: float(row[name]) for name in tokens} == tokens
    exported = ada.get("/export").data
    ada.delete(f"/prompts/{log['promptId']}")
    assert ada.get("/logs").json == []
    ada.open("/import", method="POST", data=exported, headers={"Content-Type": "application/x-ndjson"})
    assert ada.get(f"/logs/{log['_id']}").json == log
    assert ada.get("/export").data == exported


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
@pytest.mark.parametrize(("module", "call"), [("toktok", "truncate"), ("genai_prices.data_snapshot", "get_snapshot")])
def test_a_failing_library_leaves_its_values_out_and_logs_one_line(
    ada: Person, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, module: str, call: str
) -> None:

    def fail(*args: Any, **kwargs: Any) -> None:
        raise MemoryError("no")

    monkeypatch.setattr(import_module(module), call, fail)
    for _ in range(2):
        assert "cost" not in ada.log(ada.prompt(), modelUsed="gpt-4.1", **SENT)
    assert len([record for record in caplog.records if record.name in LOGGERS]) == 1


@only_sqlite
def test_counting_can_be_switched_off(with_settings: Callable[..., Caller]) -> None:
    ada = sign_up(with_settings(token_counting=False), "ada")
    assert not {"inputTokens", "outputTokens", "cost", "computed"} & set(ada.log(ada.prompt(), **SENT))
    assert priced(ada, "gpt-4o")["cost"] == pytest.approx(0.0035)


def test_forked_workers_share_the_vocabulary_of_their_parent(start_server: Callable[..., LiveServer]) -> None:
    own_memory = {
        counting: _use(start_server(command=EXECUTABLE, TOKEN_COUNTING=counting), counting)
        for counting in ("on", "off")
    }
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
