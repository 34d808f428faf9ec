"""Token counts and cost of an output, computed without network access if the client did not send them.

Prices are those of the genai-prices package at the time of the output. A value that cannot be computed is None, also
when a library is missing or fails, so that no log is rejected for it (decision 11).
"""

import logging
import math
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from functools import cache, lru_cache
from importlib import import_module
from typing import Any, NamedTuple

from flask import Flask, current_app

from config import Config
from promptcrafter import clock
from promptcrafter.logs import token_counts

_TEXTS = {"input_tokens": "input", "output_tokens": "output"}
_WIRE_NAMES = {"input_tokens": "inputTokens", "output_tokens": "outputTokens", "cost": "cost"}
_log = logging.getLogger(__name__)


def init_app(app: Flask, config: Config) -> None:
    """Store the setting for token counting in the app's configuration."""
    app.config["TOKEN_COUNTING"] = config.token_counting


def load() -> None:
    """Load the vocabulary (64 MB) and the prices (16 MB) before forking, so that all workers share their memory.

    If token counting is off, do nothing: prices are loaded for the first log that has token counts of its own.
    """
    if current_app.config["TOKEN_COUNTING"]:
        token_counts.load()
        _prices()


def clear_caches() -> None:
    """Forget the loaded libraries, the prices and the failures already logged; for tests."""
    token_counts.clear_caches()
    for cached in (_prices, _find_priced_name, _find_rate, _warn_once):
        cached.cache_clear()


def with_tokens_and_cost(values: Mapping[str, Any], model: str | None) -> dict[str, Any]:
    """Return the columns of a log with token counts and cost computed if they are None; `computed` lists which.

    `values` has the texts `input` and `output`, and `end_time`, which selects the prices (now if it is None). The cost
    is in US dollars, and None unless both token counts and the price of the model are known.
    """
    computed: dict[str, Any] = {}
    for name, text in _TEXTS.items():
        if values.get(name) is None and values.get(text) is not None:
            computed[name] = _count(values[text])
    if values.get("cost") is None and model is not None and not values.get("priced"):
        input_tokens, output_tokens = (computed.get(name, values.get(name)) for name in _TEXTS)
        if input_tokens is not None and output_tokens is not None:
            computed["cost"], computed["priced_as"] = _price(model, input_tokens, output_tokens, values.get("end_time"))
    names = [wire_name for name, wire_name in _WIRE_NAMES.items() if computed.get(name) is not None]
    return {**values, **computed, "computed": names or None}


def _count(text: str) -> float | None:
    """Return the number of tokens; None if they cannot be counted or counting is off."""
    return token_counts.count(text) if current_app.config["TOKEN_COUNTING"] else None


def _price(
    model: str, input_tokens: float, output_tokens: float, moment: datetime | None
) -> tuple[float | None, str | None]:
    """Return the cost in US dollars and the price list's name of the model; (None, None) if the model has no price."""
    name = _find_priced_name(model)
    if name is None:
        return None, None
    moment = moment or clock.now()
    try:
        rate = _find_rate(name, moment.replace(second=0, microsecond=0))
        total = (
            _calculate(name, input_tokens, output_tokens, moment).total_price
            if rate.per_input is None or rate.per_output is None
            else rate.per_call + Decimal(input_tokens) * rate.per_input + Decimal(output_tokens) * rate.per_output
        )
    except Exception:  # no failure of the price list may reject a log
        _warn_once("the price list failed")
        return None, None
    cost = float(total)
    return (cost, rate.priced_as) if math.isfinite(cost) else (None, None)


class _Rate(NamedTuple):
    """Prices of a model in US dollars, per call and per token; None if the price per token depends on the count."""

    priced_as: str
    per_call: Decimal
    per_input: Decimal | None
    per_output: Decimal | None


@lru_cache(maxsize=4096)
def _find_rate(name: str, minute: datetime) -> _Rate:
    """Return the prices of a model at a time. They are cached, because the price list takes 0.1 ms for each log."""
    priced = _calculate(name, 0, 0, minute)
    per_million = [getattr(priced.model_price, unit) or Decimal(0) for unit in ("input_mtok", "output_mtok")]
    per_token = [price / 1_000_000 if isinstance(price, Decimal) else None for price in per_million]
    return _Rate(f"{priced.provider.id}/{priced.model.id}", priced.total_price, *per_token)


def _calculate(name: str, input_tokens: float, output_tokens: float, moment: datetime) -> Any:
    prices = _prices()
    usage = prices.Usage(input_tokens=input_tokens, output_tokens=output_tokens)
    return prices.calc_price(usage, name, genai_request_timestamp=moment)


@lru_cache(maxsize=1024)
def _find_priced_name(model: str) -> str | None:
    """Return the first spelling of a model's name that the price list knows; None if it knows none."""
    prices = _prices()
    if prices is None:
        return None
    for name in spellings(model):
        try:
            prices.calc_price(prices.Usage(input_tokens=0, output_tokens=0), name)
        except LookupError:
            continue
        except Exception:  # as in _price
            _warn_once("the price list failed")
            return None
        return name
    return None


def spellings(model: str) -> Iterator[str]:
    """Yield possible names in the price list of a model as users write it, such as `Claude 3.5 Sonnet` or `gpt4o`."""
    name = re.sub(r"[\s_]+", "-", model.strip().lower().rpartition("/")[2])
    seen = set()
    for spelling in (name, re.sub(r"^([a-z]+)(\d)", r"\1-\2", name)):
        for dotless in (spelling, spelling.replace(".", "-")):
            swapped = re.sub(r"^claude-([a-z]+)-(\d+(?:-\d{1,2})?)\b", r"claude-\2-\1", dotless)
            if swapped == dotless:
                swapped = re.sub(r"^claude-(\d+(?:-\d{1,2})?)-([a-z]+)\b", r"claude-\2-\1", dotless)
            for candidate in (dotless, swapped):
                if candidate and candidate not in seen:
                    seen.add(candidate)
                    yield candidate


@cache
def _prices() -> Any:
    """Return the module of the price list; None if it cannot be loaded."""
    try:
        prices = import_module("genai_prices")
        prices.calc_price(prices.Usage(input_tokens=0, output_tokens=0), "gpt-4o")  # the first call loads the prices
        return prices
    except Exception:  # without the library, or if it is broken, costs stay None
        _log.exception("costs are not computed: genai-prices failed to load")
        return None


@cache
def _warn_once(message: str) -> None:
    """Log the current exception, once in a process for each message."""
    _log.exception(message)
