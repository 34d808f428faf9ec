"""The token counts and the cost that a span reports, in the convention of logs: parts are included in their whole.

Conventions differ in what they include. In the GenAI conventions and in OpenInference the input includes what was
cached, but not all instrumentations comply; Langfuse's `usage_details` never includes it. Pure functions.
"""

from collections.abc import Mapping
from typing import Any

from promptcrafter.dialects.otlp import names
from promptcrafter.dialects.otlp.attributes import (
    first_count,
    first_number,
    first_text,
    read_json,
    read_object,
    to_count,
    to_number,
)
from promptcrafter.dialects.otlp.spans import Attributes
from promptcrafter.logs.usage import TokenCounts, find_excess, read_usage

_TOTAL = "total"
_TIER_MAX = 100  # characters


def read_tokens(attributes: Attributes) -> dict[str, Any]:
    """Return the columns of a log for tokens and cost that a span reports; a column without a value is left out.

    If some tokens have a price of their own, which the columns cannot express, `priced` names what they are, and no
    cost is computed.
    """
    counts, apart = _read_counts(attributes)
    columns: dict[str, Any] = {**counts}
    cost = _read_cost(attributes)
    if cost is not None:
        columns["cost"] = cost
    elif apart is not None:
        columns["priced"] = {"unpriced": apart}
    return columns


def _read_counts(attributes: Attributes) -> tuple[TokenCounts, str | None]:
    """Return the counts, and the kind of tokens among them that is priced apart, if any."""
    apart = _find_priced_apart(attributes)
    details = read_json(attributes.get(names.USAGE_DETAILS))
    if isinstance(details, dict) and (found := _read_details(details))[0]:
        return found[0], found[1] or apart
    for name in names.USAGE:
        usage = read_usage(read_json(attributes[name])) if name in attributes else None
        if usage is not None:
            return usage[0], usage[1] or apart
    counts = {
        "input_tokens": first_count(attributes, names.INPUT_TOKENS),
        "output_tokens": first_count(attributes, names.OUTPUT_TOKENS),
        "cached_input_tokens": first_count(attributes, names.CACHED_INPUT_TOKENS),
        "cache_write_tokens": first_count(attributes, names.CACHE_WRITE_TOKENS),
        "reasoning_tokens": first_count(attributes, names.REASONING_TOKENS),
    }
    return _include_parts(counts, first_count(attributes, names.TOTAL_TOKENS)), apart


def _find_priced_apart(attributes: Attributes) -> str | None:
    if any(to_count(attributes[name]) for name in names.AUDIO_TOKENS if name in attributes):
        return "audio"
    tier = first_text(attributes, names.SERVICE_TIER, _TIER_MAX)
    found = None if tier is None else read_usage({"prompt_tokens": 0, "service_tier": tier})
    return None if found is None else found[1]


def _include_parts(counts: Mapping[str, float | None], total: float | None) -> TokenCounts:
    """Return counts whose wholes include their parts. A part that exceeds its whole shows that the sender left it out.

    So does a total that has the cached tokens besides. A part without a whole is left out.
    """
    known = {name: count for name, count in counts.items() if count is not None}
    received, generated = known.get("input_tokens"), known.get("output_tokens")
    cached = known.get("cached_input_tokens", 0) + known.get("cache_write_tokens", 0)
    reasoning = known.get("reasoning_tokens", 0)
    if received is not None and cached:
        is_beside = total is not None and total == received + cached + (generated or 0)
        known["input_tokens"] += cached if cached > received or is_beside else 0
    if generated is not None and reasoning > generated:
        known["output_tokens"] += reasoning
    while (excess := find_excess(known)) is not None:
        del known[excess]
    return known


def _read_details(details: Mapping[str, Any]) -> tuple[TokenCounts, str | None]:
    """Return what `read_usage` returns, for Langfuse's `usage_details`.

    It has `input` and `output`, and keys for parts beside them. Like Langfuse, take the sum over all keys that name the
    input. A usage object of a provider, which its integrations pass on, is read as such.
    """
    if "input" not in details and "output" not in details and (found := read_usage(details)) is not None:
        return found
    counts = {key.lower(): count for key, value in details.items() if (count := to_count(value)) is not None}
    received = {key: count for key, count in counts.items() if "input" in key or "cache" in key}
    generated = {key: count for key, count in counts.items() if "output" in key or "reasoning" in key}
    written = {key: count for key, count in received.items() if "cache" in key and ("creat" in key or "writ" in key)}
    cached = {key: count for key, count in received.items() if "cache" in key and key not in written}
    reasoning = {key: count for key, count in generated.items() if "reasoning" in key}
    # of two spellings of a part one counts
    parts = {"cached_input_tokens": cached, "cache_write_tokens": written, "reasoning_tokens": reasoning}
    largest = {name: max(part.values()) for name, part in parts.items() if part}
    known: TokenCounts = dict(largest)
    if received:
        plain = sum(count for key, count in received.items() if key not in cached and key not in written)
        known["input_tokens"] = plain + largest.get("cached_input_tokens", 0) + largest.get("cache_write_tokens", 0)
    if generated:
        plain = sum(count for key, count in generated.items() if key not in reasoning)
        known["output_tokens"] = plain + largest.get("reasoning_tokens", 0)
    return known, "audio" if any("audio" in key for key in counts if counts[key]) else None


def _read_cost(attributes: Attributes) -> float | None:
    """Return the cost in US dollars; None if the sender does not know it."""
    details = read_json(attributes.get(names.COST_DETAILS))
    if isinstance(details, dict):
        costs = {key: cost for key, value in details.items() if (cost := to_number(value)) is not None}
        if costs:
            return costs[_TOTAL] if _TOTAL in costs else sum(costs.values())
    for name, key in names.COST_OBJECTS:
        if name in attributes and (cost := to_number(read_object(attributes[name]).get(key))) is not None:
            return cost
    return first_number(attributes, names.COST)
