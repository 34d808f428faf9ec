"""Sorts the attributes of a span once, so that no reader has to walk through all of them. Pure functions."""

from dataclasses import dataclass, field
from typing import Any

from promptcrafter.dialects.otlp import names
from promptcrafter.dialects.otlp.spans import Attributes


@dataclass(slots=True)
class Sorted:
    """The attributes of a span other than those that are read by their names.

    `families` has those with one of the beginnings in `names`, by that beginning and without it. `unknown` has the
    others.
    """

    families: dict[str, dict[str, Any]] = field(default_factory=dict)
    unknown: dict[str, Any] = field(default_factory=dict)


def sort(attributes: Attributes) -> Sorted:
    """Sort attributes."""
    result = Sorted()
    for name, value in attributes.items():
        if name in _KNOWN:
            continue
        if not name.startswith(_PREFIXES):
            result.unknown[name] = value
            continue
        prefix = next(prefix for prefix in _PREFIXES if name.startswith(prefix))
        result.families.setdefault(prefix, {})[name[len(prefix) :]] = value
    return result


def _names_of_places() -> list[str]:
    """Return the names in the places of inputs and outputs that are whole names of attributes."""
    found = []
    for form, name, *more in (*names.INPUTS, *names.OUTPUTS):
        if form in (names.PLAIN, names.QUOTED, names.LISTED_EVENTS, names.INSTRUCTIONS):
            found.append(name)
        elif form == names.MESSAGES:
            found += [name, *more]
        elif form == names.RESPONSE:
            found += [f"{name}{part}" for part in names.RESPONSE_PARTS]
    return found


_KNOWN = frozenset(
    (
        *names.KINDS,
        *_names_of_places(),
        *names.REDUNDANT,
        *(*names.MODEL, *names.PROVIDER, *names.USER_ID, *names.SESSION_ID, *names.ENVIRONMENT),
        *(names.ERROR_TYPE, names.LEVEL, names.STATUS_MESSAGE),
        *(*names.INPUT_TOKENS, *names.OUTPUT_TOKENS, *names.TOTAL_TOKENS, *names.CACHED_INPUT_TOKENS),
        *(*names.CACHE_WRITE_TOKENS, *names.REASONING_TOKENS, *names.AUDIO_TOKENS, *names.USAGE),
        *(names.USAGE_DETAILS, names.COST_DETAILS, *names.COST, *(name for name, _ in names.COST_OBJECTS)),
        *(*names.FIRST_TOKEN_S, *names.FIRST_TOKEN_MS, names.COMPLETION_START),
        *(name for prompt in names.PROMPTS for name in prompt),
        *(names.PROMPT_OBJECT, names.PROMPT_ID, *names.VARIABLES),
        *(*names.PARAMETER_OBJECTS, *names.TOOLS, *(name for _, name in names.PARAMETERS)),
        *(*names.METADATA_OBJECTS, *names.TAGS, *names.FINISH_REASONS, *names.RESPONSE_ID),
        *(name for _, name in names.METADATA),
        *(*names.TRACE_NAME, names.TRACE_INPUT, names.TRACE_OUTPUT, names.SLUG, *names.USER, *names.ORGANIZATION),
    )
)
_PREFIXES = (
    *(name for form, name, *_ in (*names.INPUTS, *names.OUTPUTS) if form in (names.FLATTENED, names.ITEMS)),
    *(names.VARIABLE_PREFIX, *names.PARAMETER_PREFIXES, *names.TOOL_PREFIXES, *names.METADATA_PREFIXES),
    *names.REDUNDANT_PREFIXES,
)
