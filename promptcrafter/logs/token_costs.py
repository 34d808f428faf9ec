"""Tokens and cost of an output, worked out where the client did not send them; an estimate, offline.

Tokens are counted with OpenAI's vocabulary o200k_base: exact for GPT-4o and its successors, an estimate for every
other model. Prices are those of the genai-prices package at the time of the output. Nothing here ever refuses a log:
what cannot be told, or a library that fails, leaves None.
"""

import logging
import math
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from functools import cache, lru_cache
from importlib import import_module
from typing import Any, NamedTuple

from flask import Flask, current_app

from config import Config
from promptcrafter import clock

_VOCABULARY = "o200k_base"
_ALL = 2**31  # tokens, more than any text has
_COUNTED = {"input_tokens": "input", "output_tokens": "output"}
_WIRE_NAMES = {"input_tokens": "inputTokens", "output_tokens": "outputTokens", "cost": "cost"}
_log = logging.getLogger(__name__)
_Counter = Callable[[str], int | None]


def init_app(app: Flask, config: Config) -> None:
    """Remember whether tokens are to be counted."""
    app.config["TOKEN_COUNTING"] = config.token_counting


def load() -> None:
    """Load the vocabulary (64 MB) and the prices (16 MB) now, so that the processes forked from this one share them.

    Where no tokens are counted, the prices wait for the first log that comes with its own counts.
    """
    if current_app.config["TOKEN_COUNTING"]:
        _counter()
        _prices()


def complete(values: Mapping[str, Any], model: str | None) -> dict[str, Any]:
    """Return the columns of a log with tokens and cost filled in where they are None, and named in `computed`.

    `values` has the texts `input` and `output`, and `end_time`, the moment whose prices hold. Cost is in US dollars
    and stays None unless both counts and the price of the model are known.
    """
    found: dict[str, Any] = {}
    for name, text in _COUNTED.items():
        if values.get(name) is None and values.get(text) is not None:
            found[name] = _count(values[text])
    if values.get("cost") is None and model is not None:
        sent, received = (found.get(name, values.get(name)) for name in _COUNTED)
        if sent is not None and received is not None:
            found["cost"], found["priced_as"] = _price(model, sent, received, values.get("end_time"))
    computed = [wire_name for name, wire_name in _WIRE_NAMES.items() if found.get(name) is not None]
    return {**values, **found, "computed": computed or None}


def _count(text: str) -> float | None:
    counter = _counter() if current_app.config["TOKEN_COUNTING"] else None
    count = None if counter is None else counter(text)
    return None if count is None else float(count)  # as those that are sent: an array of both is of no one type


def _price(
    model: str, input_tokens: float, output_tokens: float, moment: datetime | None
) -> tuple[float | None, str | None]:
    """Return the cost in US dollars and the price list's name of the model; twice None when it has none."""
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
    except Exception:  # whatever it is, the log is worth more than its price
        _warn_once("the price list failed")
        return None, None
    cost = float(total)
    return (cost, rate.priced_as) if math.isfinite(cost) else (None, None)


class _Rate(NamedTuple):
    """What a call and a token of it cost in US dollars; None where that depends on how many there are."""

    priced_as: str
    per_call: Decimal
    per_input: Decimal | None
    per_output: Decimal | None


@lru_cache(maxsize=4096)
def _find_rate(name: str, minute: datetime) -> _Rate:
    """Return what a model's tokens cost at that time: the price list itself takes a tenth of a millisecond a log."""
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
    """Return the first spelling of a model's name that the price list knows."""
    prices = _prices()
    if prices is None:
        return None
    for name in spellings(model):
        try:
            prices.calc_price(prices.Usage(input_tokens=0, output_tokens=0), name)
        except LookupError:
            continue
        except Exception:  # as above
            _warn_once("the price list failed")
            return None
        return name
    return None


def spellings(model: str) -> Iterator[str]:
    """Yield what a model's name, as people type it, may be called in a price list: `Claude 3.5 Sonnet`, `gpt4o`."""
    name = re.sub(r"[\s_]+", "-", model.strip().lower().rpartition("/")[2])
    seen = set()
    for spelling in (name, re.sub(r"^([a-z]+)(\d)", r"\1-\2", name)):
        for dotless in (spelling, spelling.replace(".", "-")):
            swapped = re.sub(r"^claude-([a-z]+)-(\d+(?:-\d{1,2})?)\b", r"claude-\2-\1", dotless)
            if swapped == dotless:
                swapped = re.sub(r"^claude-(\d+(?:-\d{1,2})?)-([a-z]+)\b", r"claude-\2-\1", dotless)
            for found in (dotless, swapped):
                if found and found not in seen:
                    seen.add(found)
                    yield found


@cache
def _counter() -> _Counter | None:
    try:
        toktok = import_module("toktok")
        toktok.truncate("", _ALL, _VOCABULARY)
    except Exception:  # a missing or broken library leaves the counts unknown
        _log.exception("tokens are not counted: toktok-rs failed to load")
        return None

    def count(text: str) -> int | None:
        try:
            # which counts what it cuts; batch_count asks the system for its cores first, at three times the price
            _, tokens = toktok.truncate(text, _ALL, _VOCABULARY)
        except Exception:  # as in _price
            _warn_once("the token counter failed")
            return None
        return int(tokens)

    return count


@cache
def _prices() -> Any:
    try:
        prices = import_module("genai_prices")
        prices.calc_price(prices.Usage(input_tokens=0, output_tokens=0), "gpt-4o")  # the first call loads the list
        return prices
    except Exception:  # as in _counter
        _log.exception("costs are not computed: genai-prices failed to load")
        return None


@cache
def _warn_once(message: str) -> None:
    _log.exception(message)
