"""Token counts and cost of an output, computed without network access if the client did not send them.

A value that cannot be computed is None, also when a library is missing or fails, so that no log is rejected for it. So
is one that would be wrong: a wrong figure is worse than none (decisions 11 and 31).
"""

import math
from collections.abc import Mapping
from typing import Any

from flask import Flask, current_app

from config import Config
from promptcrafter import clock
from promptcrafter.logs import prices, token_counts

_TEXTS = {"input_tokens": "input", "output_tokens": "output"}
_WIRE_NAMES = {"input_tokens": "inputTokens", "output_tokens": "outputTokens", "cost": "cost"}
_COST = ("cost", "priced_as", "priced")


def init_app(app: Flask, config: Config) -> None:
    """Store the setting for token counting in the app's configuration."""
    app.config["TOKEN_COUNTING"] = config.token_counting


def load() -> None:
    """Load the vocabulary (64 MB) and the prices (16 MB) before forking, so that all workers share their memory.

    If token counting is off, do nothing: prices are loaded for the first log that has token counts of its own.
    """
    if current_app.config["TOKEN_COUNTING"]:
        token_counts.load()
        prices.load()


def clear_caches() -> None:
    """Forget the loaded libraries, the prices and the failures already logged; for tests."""
    token_counts.clear_caches()
    prices.clear_caches()


def with_tokens_and_cost(values: Mapping[str, Any], model: str | None) -> dict[str, Any]:
    """Return the columns of a log with token counts and cost computed if they are None; `computed` lists which.

    `values` has the texts `input` and `output` with their formats, and `end_time`, which selects the prices (now if it
    is None). The cost is in US dollars, and None unless both token counts and the price of the model are known.
    """
    counted: dict[str, Any] = {}
    if current_app.config["TOKEN_COUNTING"]:
        counted = {name: _count(values, name, model) for name in _TEXTS if values.get(name) is None}
    return _with_cost(values, counted, model)


def recomputed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a stored log whose computed values differ from what would be computed now.

    Values that the client sent stay as they are. Tokens are counted only where they were counted when the log was
    stored: an imported log has no counts but its own. With token counting off, counts stay, too.
    """
    names = values["computed"] or ()
    is_computed = {column: wire_name in names for column, wire_name in _WIRE_NAMES.items()}
    sent = {column: None if is_computed.get(column) else value for column, value in values.items()}
    if sent["cost"] is None:
        sent |= {"priced_as": None, "priced": _keep_unpriced(values["priced"])}
    model = values["model_used"]
    is_counting = current_app.config["TOKEN_COUNTING"]
    counted = {name: _count(sent, name, model) if is_counting else values[name] for name in _TEXTS if is_computed[name]}
    now = _with_cost(sent, counted, model)
    return {name: now.get(name) for name in (*_TEXTS, *_COST, "computed") if now.get(name) != values[name]}


def _count(values: Mapping[str, Any], name: str, model: str | None) -> float | None:
    """Return the tokens of the input or output; None if there is no text or a count of it would be wrong.

    Models bill pictures, sounds and files by other rules, and reasoning that the output does not show.
    """
    text = values.get(_TEXTS[name])
    if text is None or token_counts.holds_media(text, values.get(f"{_TEXTS[name]}_format")):
        return None
    if name == "output_tokens" and model is not None and prices.hides_reasoning(model):
        return None
    return token_counts.count(text)


def _with_cost(values: Mapping[str, Any], counted: dict[str, Any], model: str | None) -> dict[str, Any]:
    """Return the columns with counted tokens, the cost unless it was sent, and the names of what was computed."""
    computed = {**counted}
    tokens = {name: counted[name] if name in counted else values.get(name) for name in _TEXTS}
    is_unpaid = values.get("status") is not None and values.get("output") is None  # providers bill what they generate
    if model is not None and values.get("cost") is None and not (is_unpaid or _keep_unpriced(values.get("priced"))):
        computed |= _price(model, values, tokens, sum(counted.get(name) is not None for name in _TEXTS))
    names = [wire_name for name, wire_name in _WIRE_NAMES.items() if computed.get(name) is not None]
    return {**values, **computed, "computed": names or None}


def _price(
    model: str, values: Mapping[str, Any], tokens: Mapping[str, float | None], number_counted: int
) -> dict[str, Any]:
    """Return the columns of the cost; an empty dict if a count or the price is unknown."""
    received, generated = tokens["input_tokens"], tokens["output_tokens"]
    if received is None or generated is None:
        return {}
    price = prices.find(values.get("provider"), model, values.get("end_time") or clock.now())
    if price is None:
        return {}
    cost = price.cost(
        prices.Tokens(
            input=received,
            output=generated,
            cached_input=values.get("cached_input_tokens") or 0,
            cache_write=values.get("cache_write_tokens") or 0,
            reasoning=values.get("reasoning_tokens") or 0,
        )
    )
    if cost is None or not math.isfinite(float(cost)):
        return {}
    priced = {
        "entry": price.entry,
        "list": price.source,
        "listDate": price.list_date and price.list_date.isoformat(),
        "validFrom": price.valid_from and price.valid_from.isoformat(),
        "tokens": ("sent", "partly counted", "counted")[number_counted],
    }
    return {
        "cost": float(cost),
        "priced_as": price.entry,
        "priced": {key: value for key, value in priced.items() if value is not None},
    }


def _keep_unpriced(priced: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return `priced` if it names tokens that no price is known for: these were in a `usage` object, not stored."""
    return priced if priced and "unpriced" in priced else None
