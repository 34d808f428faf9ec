"""PRICES_FILE: the operator's own prices, as JSON.

    {"date": "2026-11-01",
     "models": {"my-deployment": {"input": 2.5, "output": 10, "cachedInput": 1.25, "cacheWrite": 3.75},
                "azure/my-gpt": {"input": 2, "output": 8, "reasoning": 8},
                "ollama/llama3.2": {"free": true}}}

Prices are US dollars per million tokens. `date` is that of the prices, and may be left out.
"""

import re
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from config import ConfigError
from promptcrafter import jsonio

MAX_BYTES = 1024 * 1024
MAX_MODELS = 5000
MAX_NAME_LENGTH = 200
MAX_PRICE = 1_000_000
_KINDS = {
    "input": "input",
    "output": "output",
    "cachedInput": "cached_input",
    "cacheWrite": "cache_write",
    "reasoning": "reasoning",
}


class OwnModel(NamedTuple):
    """A model of the file: its name as written there, and its prices by the fields of `prices.Rates`."""

    name: str
    prices: dict[str, Decimal]


class OwnPrices(NamedTuple):
    """The content of the file: its date, and its models by `key(name)`."""

    date: date | None
    models: dict[str, OwnModel]


def key(name: str) -> str:
    """Return a name in the form in which names are compared: lower case, with `-` for blanks and `_`."""
    return re.sub(r"[\s_]+", "-", name.strip().lower())


def read(path: str) -> OwnPrices:
    """Read the file. Raises ConfigError with one line that names the entry and the field at fault."""
    try:
        return _check(_load(path))
    except ValueError as error:
        raise ConfigError(f"PRICES_FILE {path!r} {error}.") from error


def _load(path: str) -> Any:
    """Return the JSON of the file. Raises ValueError with a text that continues a sentence, as the checks do."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise ValueError(f"has more than {MAX_BYTES} bytes")
    try:
        return jsonio.loads(data)
    except jsonio.JsonError as error:
        raise ValueError(f"is not JSON in UTF-8: {str(error).rstrip('.')}") from error


def _check(content: Any) -> OwnPrices:
    if not isinstance(content, dict) or not isinstance(content.get("models"), dict):
        raise ValueError('must be an object with the key "models", an object of models by their names')
    _refuse_unknown_keys(content, {"date", "models"}, "has the unknown key")
    if len(content["models"]) > MAX_MODELS:
        raise ValueError(f"has more than {MAX_MODELS} models")
    models: dict[str, OwnModel] = {}
    for name, prices in content["models"].items():
        if not 1 <= len(name.strip()) <= MAX_NAME_LENGTH:
            raise ValueError(f"has a model whose name is not of 1 to {MAX_NAME_LENGTH} characters: {_short(name)}")
        own = models.setdefault(key(name), OwnModel(name, _check_prices(f"model {_short(name)}", prices)))
        if own.name != name:
            raise ValueError(f"has two models whose names count as the same: {_short(own.name)} and {_short(name)}")
    return OwnPrices(_check_date(content.get("date")), models)


def _check_prices(where: str, prices: Any) -> dict[str, Decimal]:
    if not isinstance(prices, dict):
        raise ValueError(f"{where}: must be an object with its prices")
    _refuse_unknown_keys(prices, {*_KINDS, "free"}, f"{where}: has the unknown key")
    if "free" in prices:
        if prices["free"] is not True or len(prices) > 1:
            raise ValueError(f'{where}: "free" must be true, and the only key')
        return {"input": Decimal(0), "output": Decimal(0)}
    for name in ("input", "output"):
        if name not in prices:
            raise ValueError(f'{where}: the price "{name}" is missing')
    for name, price in prices.items():
        if isinstance(price, bool) or not isinstance(price, int | float) or not 0 <= price <= MAX_PRICE:
            raise ValueError(f'{where}: "{name}" must be a number from 0 to {MAX_PRICE}, dollars per million tokens')
    return {_KINDS[name]: Decimal(str(price)) for name, price in prices.items()}


def _check_date(text: Any) -> date | None:
    if text is None:
        return None
    try:
        if isinstance(text, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise ValueError('has a "date" that is not a day such as "2026-11-01"')


def _refuse_unknown_keys(value: dict[str, Any], known: set[str], message: str) -> None:
    for name in value.keys() - known:
        raise ValueError(f"{message} {_short(name)}; known are {', '.join(sorted(known))}")


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}…")
