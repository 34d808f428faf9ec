"""What a span is: a call of a model, another step of a run, or nothing that is kept. Pure functions."""

from typing import Any

from promptcrafter.dialects.otlp import names
from promptcrafter.dialects.otlp.attributes import read_object, to_text
from promptcrafter.dialects.otlp.names import GENERATION
from promptcrafter.dialects.otlp.spans import Attributes, Span

_STEP = "span"  # a step that says no more about itself
# A call without a kind has a model and one of these
_RESULTS = (*names.INPUT_TOKENS, *names.OUTPUT_TOKENS, names.USAGE_DETAILS, *names.USAGE)
_OUTPUTS = tuple(name for form, name, *_ in names.OUTPUTS if form in (names.PLAIN, names.QUOTED, names.MESSAGES))
_FLATTENED_OUTPUTS = tuple(name for form, name, *_ in names.OUTPUTS if form == names.FLATTENED)


def kind_of(span: Span) -> str | None:
    """Return `generation` for a call of a model, another word for a step; None for a span that is not kept.

    Of several kinds that a span names, one that is never a call comes first, then a call. Spans that sum up or repeat
    calls, such as those of agents, are never a call: its cost would count twice.
    """
    attributes = span.attributes
    named = _read_kinds(attributes)
    if not named and not _is_of_a_convention(span):
        return None
    if attributes.get(names.PENDING[0]) == names.PENDING[1] or _is_internal(attributes):
        return None
    if (kind := next((kind for kind in named if kind in names.NEVER_CALLS), None)) is not None:
        return kind
    if GENERATION in named:
        return GENERATION
    implied = next((kind for name, kind in names.IMPLIED_KINDS if name in attributes), None)
    if implied is not None:
        return implied
    if set(named) <= {names.UNKNOWN} and _looks_like_a_call(attributes):
        return GENERATION
    return named[0] if named else _STEP


def _read_kinds(attributes: Attributes) -> list[str]:
    """Return the kinds that a span names."""
    found = []
    for name, kinds in names.KINDS.items():
        if name in attributes and (text := to_text(attributes[name])):
            word = text.lower()
            ending = next((kind for ending, kind in names.ENDINGS.items() if word.endswith(ending)), word)
            found.append(kinds.get(word, ending))
    return found


def _is_of_a_convention(span: Span) -> bool:
    """Return whether a span has an attribute of a convention that its SDK does not set on every span."""
    if span.scope.startswith(names.SCOPES):
        return True
    return any(name.startswith(names.PREFIXES) and not name.startswith(names.PROPAGATED) for name in span.attributes)


def _is_internal(attributes: Attributes) -> bool:
    """Return whether a span is a call that an SDK makes to the API of its own service."""
    metadata: Any = attributes.get("basalt.metadata")
    if names.INTERNAL_CALL in attributes:
        return bool(attributes[names.INTERNAL_CALL])
    return (
        isinstance(metadata, str)
        and names.INTERNAL_CALL in metadata
        and bool(read_object(metadata).get(names.INTERNAL_CALL))
    )


def _looks_like_a_call(attributes: Attributes) -> bool:
    if not any(name in attributes for name in names.MODEL):
        return False
    if any(name in attributes for name in _RESULTS) or any(name in attributes for name in _OUTPUTS):
        return True
    return any(name.startswith(_FLATTENED_OUTPUTS) for name in attributes)
