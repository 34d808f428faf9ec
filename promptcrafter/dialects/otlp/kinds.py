"""What a span is: a call of a model, another step of a run, or nothing that is kept. Pure functions."""

from promptcrafter.dialects.otlp import names
from promptcrafter.dialects.otlp.names import GENERATION
from promptcrafter.dialects.otlp.spans import Attributes, Span

_STEP = "span"  # a step that says no more about itself
_CALLS_OF_AI_SDK = ("dogenerate", "dostream")
_RESULTS = (*names.INPUT_TOKENS, *names.OUTPUT_TOKENS, "gen_ai.output.messages", "gen_ai.completion", "output.value")


def kind_of(span: Span) -> str | None:
    """Return `generation` for a call of a model, another word for a step; None for a span of no known convention.

    Spans that repeat or sum up calls, as those of agents do, are steps: their cost would count twice.
    """
    attributes = span.attributes
    for name, kinds in names.KINDS.items():
        value = attributes.get(name)
        if isinstance(value, str) and value:
            word = value.strip('"').lower()
            if name == "ai.operationId":
                return GENERATION if word.endswith(_CALLS_OF_AI_SDK) else word.removeprefix("ai.")
            return kinds.get(word, word)
    if not any(name.startswith(names.PREFIXES) for name in attributes):
        return None
    return GENERATION if _looks_like_a_call(attributes) else _STEP


def _looks_like_a_call(attributes: Attributes) -> bool:
    return any(name in attributes for name in names.MODEL) and any(name in attributes for name in _RESULTS)
