"""The price of a model's name at a time: that of the entry of the price list that the name means, or none.

The prices are those of the operator's PRICES_FILE, and of the genai-prices package. That package matches names by
their beginnings, so that `gemini-1.5-flash-8b` costs what `gemini-1.5-flash` costs. Here a name means an entry only if
it is the entry's own, written in another way at most, or with a date, a version or a region that the list knows
(decision 31). A failure of the package gives no price and one line in the log.
"""

import logging
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from functools import cache, cached_property, lru_cache
from importlib import import_module
from typing import Any, NamedTuple

from flask import Flask, current_app

from config import Config
from promptcrafter.logs import model_names, price_file
from promptcrafter.logs.model_names import hides_reasoning

__all__ = ["Price", "Rates", "Tokens", "clear_caches", "find", "hides_reasoning", "init_app", "is_available", "load"]

_log = logging.getLogger(__name__)

# The newest price of the list that was not announced in advance; the package does not say of when its list is
_LIST_DATES = {"0.2.3": date(2026, 11, 9)}
# Where a name without a provider is looked up: the models that a company sells itself. Open weights are not among them
_MAKERS = {
    "anthropic": "claude",
    "openai": r"(?!gpt-oss)",
    "google": "gemini",
    "mistral": r"(?!deepseek|zai)",
    "deepseek": "deepseek",
    "x-ai": "grok",
    "cohere": r"command|c4ai|embed-",
    "perplexity": r"sonar|r1-1776|pplx-|llama-3\.1-sonar",
    "moonshotai": "kimi|moonshot",
    "zai": "glm",
    "zhipuai": "glm",
    "minimax": "minimax|m2-her",
    "meta": "muse-",
    "voyageai": "voyage-",
    "cursor": "composer-",
    "databricks": r"databricks-|system\.ai\.",
    "arcee": "trinity-",
    "typesafe": "jev-",
}
# The makers whose prices a cloud takes too, for models that the list does not have for the cloud itself
_SAME_PRICES = {"azure": ("openai", "anthropic"), "google": ("anthropic",)}
# Open weights that the list has for the company that published them, which does not sell them
_NOT_SOLD = {"openai": "gpt-oss-", "google": "gemma-2-"}
_MORE_SPELLINGS = {"anthropic/claude-2": ("claude-2.0", "claude-2.1")}
# With thinking, the preview cost 3.50 dollars instead of 0.60
_WRONG_SPELLINGS = {"google/gemini-2.5-flash-preview:thinking", "google/gemini-2.5-flash-preview-05-20:thinking"}
_FINE_TUNED = re.compile(r"(ft:[^:]+):.*|(gpt-[^:]*\.ft-)[0-9a-f]+")


class Tokens(NamedTuple):
    """The tokens of a call: `cached_input` and `cache_write` are parts of `input`, `reasoning` one of `output`."""

    input: float
    output: float
    cached_input: float = 0
    cache_write: float = 0
    reasoning: float = 0


class Tiers(NamedTuple):
    """A price in US dollars per million tokens, and those that replace it if the input has more tokens than a limit."""

    base: Decimal
    higher: tuple[tuple[int, Decimal], ...] = ()  # limit and price, ascending

    def at(self, input_tokens: float) -> Decimal:
        """Return the price for a call with so many tokens of input."""
        return next((price for limit, price in reversed(self.higher) if input_tokens > limit), self.base)


class Rates(NamedTuple):
    """The prices of a model; a kind without one costs what the whole of which it is a part costs."""

    input: Tiers | None = None
    output: Tiers | None = None
    cached_input: Tiers | None = None
    cache_write: Tiers | None = None
    reasoning: Tiers | None = None


@dataclass(frozen=True, slots=True)
class Price:
    """What a call of a model costs, and where that is written."""

    entry: str
    source: str
    list_date: date | None
    valid_from: date | None
    rates: Rates = field(repr=False)
    per_call: Decimal = field(default=Decimal(0), repr=False)

    def cost(self, tokens: Tokens) -> Decimal | None:
        """Return the cost in US dollars, each kind of token at its own price; None if the prices do not cover it.

        Parts that are greater than their whole, and counts that are negative or not finite, have no cost.
        """
        if not all(0 <= count < math.inf for count in tokens):
            return None
        plain_input = tokens.input - tokens.cached_input - tokens.cache_write
        plain_output = tokens.output - tokens.reasoning
        rates = self.rates
        total = Decimal(0)
        for count, rate in (
            (plain_input, rates.input),
            (tokens.cached_input, rates.cached_input or rates.input),
            (tokens.cache_write, rates.cache_write or rates.input),
            (plain_output, rates.output),
            (tokens.reasoning, rates.reasoning or rates.output),
        ):
            if count:
                if count < 0 or rate is None:
                    return None
                total += Decimal(count) * (rate.at(tokens.input) if rate.higher else rate.base)
        return self.per_call + total / 1_000_000


def init_app(app: Flask, config: Config) -> None:
    """Read PRICES_FILE. Raises ConfigError if it cannot be read or breaks a rule."""
    app.extensions["own_prices"] = _read_own_prices(config.prices_file) if config.prices_file else {}


def load() -> None:
    """Load the price list (16 MB) before forking, so that all workers share its memory."""
    _index()


def is_available() -> bool:
    """Return whether the price list can be loaded, which is done if it has not been."""
    return _index() is not None


def clear_caches() -> None:
    """Forget the price list and the failures already logged; for tests."""
    for cached in (_index, _find_entry, _price_in, _warn_once):
        cached.cache_clear()


def find(provider: str | None, model: str, moment: datetime) -> Price | None:
    """Return the price of a model at a time; None if it is not known, or if the model runs on the user's own machine.

    With a provider, beside the name or in it, only the prices of that provider count; otherwise those of the maker.
    """
    if len(model) > model_names.MAX_LENGTH:
        return None
    own = current_app.extensions["own_prices"] if current_app else None
    if own and (price := _find_own(own, provider, model)) is not None:
        return price
    try:
        entry = _find_entry(provider, model)
        return None if entry is None else entry.price_at(moment)
    except Exception:  # no failure of the price list may reject a log
        _warn_once("the price list failed")
        return None


def _read_own_prices(path: str) -> dict[str, Price]:
    own = price_file.read(path)
    prices = {}
    for key, model in own.models.items():
        rates = Rates(**{kind: Tiers(price) for kind, price in model.prices.items()})
        prices[key] = Price(model.name, "PRICES_FILE", own.date, None, rates)
    return prices


def _find_own(own: Mapping[str, Price], provider: str | None, model: str) -> Price | None:
    """Return the operator's price of `provider/model` or of `model`, written as in the file."""
    name = price_file.key(model)
    if provider and (price := own.get(f"{price_file.key(provider)}/{name}")) is not None:
        return price
    return own.get(name)


class _Dated(NamedTuple):
    """A price of an entry, with the condition under which it is valid."""

    constraint: Any  # the package's; None if the price is always valid
    regime: Any  # the constraint of the date since which a price by the time of day is valid
    price: Price | None


class _Entry:
    """An entry of the price list: a model at a provider."""

    def __init__(self, provider: str, model: Any, origin: tuple[str, date | None]) -> None:
        self.provider = provider
        self.id = f"{provider}/{model.id}"
        self.model = model
        self._origin = origin

    @cached_property
    def prices(self) -> tuple[_Dated, ...]:
        """The prices in the order of the list, of which the last one that is valid counts."""
        return tuple(self._dated_prices())

    def price_at(self, moment: datetime) -> Price | None:
        """Return the price at a time, as the package selects it; None if it has none."""
        if len(self.prices) == 1:
            return self.prices[0].price
        return _price_in(self, moment.replace(second=0, microsecond=0))

    def _dated_prices(self) -> Iterator[_Dated]:
        if not isinstance(self.model.prices, list):
            yield _Dated(None, None, self._price(self.model.prices, None))
            return
        regime, valid_from = None, None
        for conditional in self.model.prices:
            # A price by the time of day is listed behind the dated price that it varies, and began with it
            since = getattr(conditional.constraint, "start_date", None)
            if since is not None:
                regime, valid_from = conditional.constraint, since
            yield _Dated(conditional.constraint, regime, self._price(conditional.prices, valid_from))

    def _price(self, prices: Any, valid_from: date | None) -> Price | None:
        listed = {name: value for name, value in vars(prices).items() if value is not None}
        per_thousand_calls = listed.pop("requests_kcount", Decimal(0))
        rates = _rates(listed, self.model.id)
        return None if rates is None else Price(self.id, *self._origin, valid_from, rates, per_thousand_calls / 1000)


@lru_cache(maxsize=4096)
def _price_in(entry: _Entry, minute: datetime) -> Price | None:
    """Return the last price that is valid in a minute, otherwise the first. Without the cache it takes up to 20 µs."""
    for dated in entry.prices[::-1]:
        if all(each is None or each.active(minute) for each in (dated.constraint, dated.regime)):
            return dated.price
    return entry.prices[0].price


# The package's names of prices that are understood, and those of tools and of long-lived caches, which are not counted
_KINDS = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cached_input",
    "cache_write_mtok": "cache_write",
    "output_reasoning_mtok": "reasoning",
}
_IGNORED = {"cache_write_1h_mtok", "web_searches_kcount", "storage_searches_kcount"}
# Other kinds of input, at other prices, of models that are used with text first
_OTHER_INPUT = {"input_audio_mtok", "cache_audio_read_mtok", "input_image_mtok", "input_video_mtok"}


def _rates(listed: dict[str, Any], model_id: str) -> Rates | None:
    """Return the prices of an entry for tokens of text; None if it has none, or is billed by more than those."""
    if not listed:
        return Rates(Tiers(Decimal(0)), Tiers(Decimal(0))) if model_id.endswith(":free") else None
    if not model_names.is_text_only(model_id) or not set(listed) <= {*_KINDS, *_IGNORED, *_OTHER_INPUT}:
        return None
    rates = Rates(**{kind: _tiers(listed[name]) for name, kind in _KINDS.items() if name in listed})
    return rates if rates.input is not None or rates.output is not None else None


def _tiers(price: Any) -> Tiers:
    if isinstance(price, Decimal):
        return Tiers(price)
    return Tiers(
        price.base, tuple((tier.start, tier.price) for tier in sorted(price.tiers, key=lambda tier: tier.start))
    )


class _Index:
    """The entries of the price list by the ways in which each provider writes their names.

    The key None has the models that companies sell themselves, in which a name without a provider is looked up.
    """

    def __init__(self, providers: Any, version: str) -> None:
        self._models = {provider.id: provider.models for provider in providers}
        self._names: dict[str | None, dict[str, _Entry]] = {}
        self._bedrock: dict[str, list[tuple[frozenset[str], _Entry]]] = {}
        origin = f"genai-prices {version}", _LIST_DATES.get(version)
        for provider in providers:
            entries = [_Entry(provider.id, model, origin) for model in provider.models]
            self._names[provider.id] = _names(entries)
            if provider.id == "aws":
                for entry in entries:
                    for core, regions in _bedrock_names(entry.model):
                        self._bedrock.setdefault(core, []).append((regions, entry))
        self._names[None] = self._names_of_makers()

    def _names_of_makers(self) -> dict[str, _Entry]:
        """Return the models that their makers sell, without those that two of them sell at two prices (GLM)."""
        found: dict[str, list[_Entry]] = {}
        for maker, families in _MAKERS.items():
            for name, entry in self._names.get(maker, {}).items():
                if re.match(families, entry.model.id.lower()):
                    found.setdefault(name, []).append(entry)
        return {
            name: sold[0] for name, sold in found.items() if all(e.model.prices == sold[0].model.prices for e in sold)
        }

    def find(self, reading: model_names.Reading) -> _Entry | None:
        """Return the entry that a reading of a name means, as it is written rather than without a tag."""
        if not model_names.is_text_only(reading.model):
            return None
        spellings = list(model_names.spellings(reading.model))
        same = _SAME_PRICES.get(reading.provider, ()) if reading.provider is not None else ()
        for provider in (reading.provider, *same):
            for find in (self._find_exact, self._find_fine_tuned, self._find_tagged, self._find_at_bedrock):
                for spelling in spellings if provider in self._names else ():
                    if (entry := find(provider, spelling)) is not None:
                        return None if entry.model.id.startswith(_NOT_SOLD.get(entry.provider, "\0")) else entry
        return None

    def _find_exact(self, provider: str | None, name: str) -> _Entry | None:
        return self._names[provider].get(name)

    def _find_tagged(self, provider: str | None, spelling: str) -> _Entry | None:
        """Return the entry of a name behind which stand tags that the list knows, or that never change the price."""
        name, is_safe = spelling, True
        while (tagged := model_names.without_tag(name, provider)) is not None:
            name, is_safe = tagged.name, is_safe and tagged.is_safe
            if (entry := self._find_exact(provider, name)) is not None:
                models = self._models[entry.provider]
                listed = next((model for model in models if model.is_match(spelling)), None)
                return entry if listed is entry.model or (listed is None and is_safe) else None
        return None

    def _find_fine_tuned(self, provider: str | None, name: str) -> _Entry | None:
        """Return the entry for the fine-tunes of a model, of which `ft:gpt-4o-mini-2024-07-18:acme::B1` is one."""
        found = _FINE_TUNED.fullmatch(name) if provider in (None, "openai") else None
        if found is None:
            return None
        names, base = self._names["openai"], found[1] or found[2]
        tagged = model_names.without_tag(base, "openai")
        bare = base if tagged is None else tagged.name
        return names.get(base) or names.get(bare) or names.get(f"{bare}-")

    def _find_at_bedrock(self, provider: str | None, name: str) -> _Entry | None:
        if provider != "aws":
            return None
        region, core = model_names.bedrock_name(name)
        tagged = model_names.without_tag(core, "aws")
        for bare in (core, tagged.name if tagged is not None and tagged.is_safe else core):
            for regions, entry in self._bedrock.get(bare, []):
                if region in regions:
                    return entry
        return None


def _names(entries: list[_Entry]) -> dict[str, _Entry]:
    """Return entries by the lower-case names that the list has for them: their ids, and those in matching rules."""
    names = {entry.model.id.lower(): entry for entry in entries}
    for entry in entries:
        for kind, text in _clauses(entry.model.match):
            # at Bedrock, what stands before the text is the region, which changes the price
            is_name = _is_whole_name(kind, text) and (kind == "equals" or entry.provider != "aws")
            if is_name and f"{entry.provider}/{text}" not in _WRONG_SPELLINGS:
                names.setdefault(text.lower(), entry)
        for name in _MORE_SPELLINGS.get(entry.id, ()):
            names.setdefault(name, entry)
    return names


def _clauses(match: Any) -> Iterator[tuple[str, str]]:
    """Yield kind and text of the alternatives of a matching rule; those of a conjunction are alternatives, too."""
    for kind, value in vars(match).items():
        if isinstance(value, list):
            for clause in value:
                yield from _clauses(clause)
        else:
            yield kind, value


def _is_whole_name(kind: str, text: str) -> bool:
    """Return whether the text of a clause is a name, not only the beginning of names or a pattern."""
    return kind == "equals" or (kind != "regex" and text[-1:].isalnum() and not re.search(r"-20\d\d$|^ft:", text))


_ALL_REGIONS = frozenset(("", "regional", "us", "eu", "apac", "ap", "jp", "au", "ca", "sa"))


def _bedrock_names(model: Any) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield the names of a model at Bedrock without version, each with the regions in which it has the listed price."""
    own = model_names.bedrock_name(model.id)
    names = [model_names.bedrock_name(text.lstrip("/")) for kind, text in _clauses(model.match) if kind != "regex"]
    named = {name.region for name in names}
    if own.region == "regional":
        regions = frozenset({*named, "regional", ""}) if named - {""} else _ALL_REGIONS
    else:
        regions = frozenset({own.region}) if own.region else frozenset({"", "us"})  # others cost more
    for core in {own.core, *(name.core for name in names)}:
        yield core, regions


@lru_cache(maxsize=4096)
def _find_entry(provider: str | None, model: str) -> _Entry | None:
    """Return the entry of the price list that a name means. The cache answers within a microsecond."""
    index = _index()
    if index is None:
        return None
    return next(filter(None, map(index.find, model_names.readings(provider, model))), None)


@cache
def _index() -> _Index | None:
    """Return the price list; None if it cannot be loaded."""
    try:
        version = import_module("genai_prices").__version__
        return _Index(import_module("genai_prices.data_snapshot").get_snapshot().providers, version)
    except Exception:  # without the package, or if it is broken, no cost is computed
        _log.exception("costs are not computed: genai-prices failed to load")
        return None


@cache
def _warn_once(message: str) -> None:
    """Log the current exception, once in a process for each message."""
    _log.exception(message)
