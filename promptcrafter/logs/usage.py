"""Reads the `usage` object of a model's response, as providers and their libraries spell it.

Two conventions must be told apart. In OpenAI's spelling, cached tokens are a part of `prompt_tokens`, and reasoning is
a part of `completion_tokens`. In Anthropic's and Amazon Bedrock's, cached tokens stand beside `input_tokens`, and in
Google's, thoughts stand beside `candidatesTokenCount`. A log has OpenAI's convention: parts are included in their
whole.

Sources: OpenAI's API reference (chat completions and responses), Anthropic's (Messages), Google's (`UsageMetadata` of
the Gemini API), Amazon's (`TokenUsage` of Converse), and the documentation of LangChain, LiteLLM, DeepSeek, xAI and
Vercel's AI SDK.
"""

from collections.abc import Mapping
from typing import Any

TokenCounts = dict[str, float]  # columns of a log: input_tokens, output_tokens and their parts

INPUT_COUNTS = ("input_tokens", "cached_input_tokens", "cache_write_tokens")
OUTPUT_COUNTS = ("output_tokens", "reasoning_tokens")

_MAX = 2**53  # the largest whole number up to which every one is a float
_SHOWN_MAX = 40  # characters of a value
_DETAILS_READ = 20  # entries of a list of modalities; there are six

# Where a whole stands; the first key that is there counts
_INPUT = ("prompt_tokens", "input_tokens", "promptTokenCount", "prompt_token_count", "inputTokens", "promptTokens")
_OUTPUT = (
    *("completion_tokens", "output_tokens", "candidatesTokenCount", "candidates_token_count"),
    *("outputTokens", "completionTokens"),
)
_TOTAL = ("total_tokens", "totalTokenCount", "total_token_count", "totalTokens")
# Keys of wholes that do not include the tokens under _CACHED_BESIDE and _WRITTEN_BESIDE. LiteLLM sends these keys, too,
# but beside `prompt_tokens`, which includes them
_WITHOUT_CACHE = ("input_tokens", "inputTokens")

_CACHED = (
    *("prompt_tokens_details.cached_tokens", "input_tokens_details.cached_tokens", "prompt_cache_hit_tokens"),
    *("cachedContentTokenCount", "cached_content_token_count", "cachedInputTokens", "input_token_details.cache_read"),
)
_CACHED_BESIDE = ("cache_read_input_tokens", "cacheReadInputTokens")
_WRITTEN = ("prompt_tokens_details.cache_write_tokens", "input_token_details.cache_creation")
_WRITTEN_BESIDE = ("cache_creation_input_tokens", "cacheWriteInputTokens")
_TOOLS_BESIDE = ("toolUsePromptTokenCount", "tool_use_prompt_token_count")
_REASONING = (
    *("completion_tokens_details.reasoning_tokens", "output_tokens_details.reasoning_tokens"),
    *("output_token_details.reasoning", "reasoningTokens"),
)
_REASONING_BESIDE = ("thoughtsTokenCount", "thoughts_token_count")

# Tokens with a price that the fields of a log cannot express: no cost is computed where there are any
_PRICED_APART = {
    "audio": (
        *("prompt_tokens_details.audio_tokens", "completion_tokens_details.audio_tokens"),
        *("input_tokens_details.audio_tokens", "output_tokens_details.audio_tokens"),
        *("input_token_details.audio", "output_token_details.audio"),
    ),
    "image": (
        *("input_tokens_details.image_tokens", "output_tokens_details.image_tokens"),
        "completion_tokens_details.image_tokens",
    ),
    "cache for an hour": ("cache_creation.ephemeral_1h_input_tokens",),
}
# Ways of being served that have prices of their own: the values to which the prices of the list apply
_PRICED_BY_THE_LIST = {
    "service_tier": ("standard", "default", "auto", "on_demand"),
    "speed": ("standard", "normal"),
    "inference_geo": ("global", "not_available"),
    "trafficType": ("on_demand", "traffic_type_unspecified"),
    "traffic_type": ("on_demand", "traffic_type_unspecified"),
}
_MODALITIES_APART = {  # Google's lists of modalities
    "promptTokensDetails": ("AUDIO",),
    "prompt_tokens_details": ("AUDIO",),
    "candidatesTokensDetails": ("AUDIO", "IMAGE", "VIDEO"),
    "candidates_tokens_details": ("AUDIO", "IMAGE", "VIDEO"),
}


class _MalformedError(Exception):
    """A value of the object is not what its key promises."""


def read_usage(usage: Any) -> tuple[TokenCounts, str | None] | None:
    """Return the token counts of a `usage` object, and the kind of tokens in it that is priced apart, if any.

    Counts that the object does not have are absent. Returns None if the object is malformed, contradicts itself or has
    no count in a known spelling.
    """
    if not isinstance(usage, Mapping):
        return None
    try:
        _refuse_contradictions(usage)
        counts = {**_read_input(usage), **_read_output(usage)}
        apart = _find_priced_apart(usage)
        fits_total = _fits_total(usage, counts)
    except _MalformedError:
        return None
    return (counts, apart) if counts and fits_total and find_excess(counts) is None else None


def find_excess(counts: Mapping[str, Any]) -> str | None:
    """Return the first column whose tokens exceed the whole of which they are a part, or lack it; else None."""
    cached, written = counts.get("cached_input_tokens"), counts.get("cache_write_tokens")
    parts = {
        "cached_input_tokens": (cached, "input_tokens"),
        "cache_write_tokens": (None if written is None else written + (cached or 0), "input_tokens"),
        "reasoning_tokens": (counts.get("reasoning_tokens"), "output_tokens"),
    }
    for name, (part, whole) in parts.items():
        if part is not None and (counts.get(whole) is None or part > counts[whole]):
            return name
    return None


def _read_input(usage: Mapping[str, Any]) -> TokenCounts:
    key, whole = _first(usage, _INPUT)
    cached, written = _first(usage, _CACHED)[1], _first(usage, _WRITTEN)[1]
    cached_beside, written_beside = _first(usage, _CACHED_BESIDE)[1], _first(usage, _WRITTEN_BESIDE)[1]
    if whole is not None:
        beside = (cached_beside or 0) + (written_beside or 0)
        # a total without them shows that the whole includes them, if it can
        is_included = beside <= whole and _read_total(usage) == whole + (_first(usage, _OUTPUT)[1] or 0)
        if key in _WITHOUT_CACHE and cached is None and not is_included:
            whole += beside
        whole += _first(usage, _TOOLS_BESIDE)[1] or 0
    return _known(
        input_tokens=whole,
        cached_input_tokens=cached_beside if cached is None else cached,
        cache_write_tokens=written_beside if written is None else written,
    )


def _read_output(usage: Mapping[str, Any]) -> TokenCounts:
    whole, reasoning, beside = (_first(usage, keys)[1] for keys in (_OUTPUT, _REASONING, _REASONING_BESIDE))
    total, received = _read_total(usage), _first(usage, _INPUT)[1]
    if beside is not None:
        is_included = whole is not None and beside <= whole and total == (received or 0) + whole
        # a response that was cut off while the model thought has thoughts and no candidates
        return _known(output_tokens=(whole or 0) + (0 if is_included else beside), reasoning_tokens=beside)
    if reasoning and whole is not None and total is not None and total == (received or 0) + whole + reasoning:
        whole += reasoning  # xAI's total shows that its completion_tokens do not include reasoning
    return _known(output_tokens=whole, reasoning_tokens=reasoning)


def _read_total(usage: Mapping[str, Any]) -> float | None:
    return _first(usage, _TOTAL)[1]


def _fits_total(usage: Mapping[str, Any], counts: TokenCounts) -> bool:
    """Return whether the total, if there is one, is not smaller than the counts that make it up.

    It may be greater, by tokens that no key names. A total of Amazon Bedrock may lack what stands beside the input.
    """
    total = _read_total(usage)
    named = (_first(usage, _INPUT)[1] or 0) + (_first(usage, _OUTPUT)[1] or 0)
    return total is None or total == named or total >= counts.get("input_tokens", 0) + counts.get("output_tokens", 0)


def _refuse_contradictions(usage: Mapping[str, Any]) -> None:
    """Raise _MalformedError for two values of one whole, of which a gateway may have left one at 0, or of its parts."""
    for keys in (_INPUT, _OUTPUT, _TOTAL):
        if len({_read(usage, key) for key in keys} - {None, 0}) > 1:
            raise _MalformedError
    hit, miss = _read(usage, "prompt_cache_hit_tokens"), _read(usage, "prompt_cache_miss_tokens")
    if hit is not None and miss is not None and hit + miss != _first(usage, _INPUT)[1]:
        raise _MalformedError
    lifetimes = [_read(usage, f"cache_creation.ephemeral_{lifetime}_input_tokens") for lifetime in ("5m", "1h")]
    written = _read(usage, "cache_creation_input_tokens")
    if written is not None and None not in lifetimes and written != sum(count or 0 for count in lifetimes):
        raise _MalformedError


def _find_priced_apart(usage: Mapping[str, Any]) -> str | None:
    for kind, paths in _PRICED_APART.items():
        if any(_read(usage, path) for path in paths):
            return kind
    for key, listed in _PRICED_BY_THE_LIST.items():
        value = usage.get(key)
        if isinstance(value, str) and value.lower() not in listed:
            return f"{key} {value[:_SHOWN_MAX]}"
    for key, modalities in _MODALITIES_APART.items():
        details = usage.get(key)
        for entry in details[:_DETAILS_READ] if isinstance(details, list) else ():
            if isinstance(entry, Mapping) and entry.get("modality") in modalities:
                return str(entry["modality"]).lower()
    return None


def _first(usage: Mapping[str, Any], paths: tuple[str, ...]) -> tuple[str, float | None]:
    """Return the first of the paths with a value, and that value; `("", None)` without any."""
    for path in paths:
        value = _read(usage, path)
        if value is not None:
            return path, value
    return "", None


def _read(usage: Mapping[str, Any], path: str) -> float | None:
    """Return the count under a key, or under `details.key`; None if it is absent or null. Raises _MalformedError."""
    outer, _, inner = path.partition(".")
    value = usage.get(outer)
    if inner:
        if value is None or (isinstance(value, list) and "prompt_token_count" in usage):
            return None  # Google has a list under a key of OpenAI's
        if not isinstance(value, Mapping):
            raise _MalformedError
        value = value.get(inner)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MAX or value != int(value):
        raise _MalformedError
    return float(value)


def _known(**counts: float | None) -> TokenCounts:
    return {name: count for name, count in counts.items() if count is not None}
