"""The input and the output of a call, which each convention writes in another way. Pure functions.

Messages become a list of objects with `role` and `content`; a message of text alone has that text as its content.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from promptcrafter import jsonio
from promptcrafter.dialects.otlp.spans import Span

INDEX_MAX = 1000  # of the numbers in flattened names such as `llm.input_messages.3.message.content`
_Read = Callable[[Span], Any]


def read_json(value: Any) -> Any:
    """Return the object or array that a text holds as JSON; any other value unchanged."""
    if not isinstance(value, str) or value[:1] not in ("{", "["):
        return value
    try:
        parsed = jsonio.loads(value.encode())
    except jsonio.JsonError:
        return value
    return value if jsonio.find_unstorable_text(parsed) else parsed


def read_input(span: Span) -> Any:
    """Return what was sent to the model, as text or JSON; None if it was not captured."""
    return _first(span, _INPUTS)


def read_output(span: Span) -> Any:
    """Return what the model answered, as text or JSON; None if it was not captured."""
    return simplify(_first(span, _OUTPUTS))


def simplify(output: Any) -> Any:
    """Return the text of one message of the assistant that is text alone; anything else unchanged."""
    if isinstance(output, list) and len(output) == 1 and isinstance(output[0], dict):
        (message,) = output
        is_text = isinstance(message.get("content"), str) and set(message) <= {"role", "content", "finish_reason"}
        if is_text and message.get("role", "assistant") == "assistant":
            return message["content"]
    return output


def _first(span: Span, readers: Sequence[_Read]) -> Any:
    for read in readers:
        value = read(span)
        if value not in (None, "", [], {}):
            return value
    return None


def _plain(name: str) -> _Read:
    return lambda span: read_json(span.attributes.get(name))


def _messages(name: str, instructions: str | None = None) -> _Read:
    """Return a reader of the messages of the GenAI conventions: `[{role, parts: [{type, content}]}]`."""

    def read(span: Span) -> Any:
        value = read_json(span.attributes.get(name))
        if not isinstance(value, list):
            return value
        messages = [_to_message(each) for each in value]
        before = None if instructions is None else read_json(span.attributes.get(instructions))
        if before and not any(isinstance(each, dict) and each.get("role") == "system" for each in messages):
            messages.insert(0, {"role": "system", "content": _to_content(before)})
        return messages

    return read


def _flattened(prefix: str, inner: str = "") -> _Read:
    """Return a reader of messages whose parts are attributes of their own: `prefix.0.message.content`."""
    pattern = re.compile(rf"{re.escape(prefix)}\.([0-9]{{1,4}})\.{re.escape(inner)}(.+)", re.DOTALL)

    def read(span: Span) -> Any:
        found: dict[int, dict[str, Any]] = {}
        for name, value in span.attributes.items():
            if name.startswith(prefix) and (match := pattern.fullmatch(name)) and int(match[1]) < INDEX_MAX:
                found.setdefault(int(match[1]), {})[match[2]] = value
        return [found[index] for index in sorted(found)]

    return read


def _to_message(message: Any) -> Any:
    if not isinstance(message, Mapping):
        return message
    rest = {name: value for name, value in message.items() if name not in ("parts", "content")}
    content = message.get("parts", message.get("content"))
    return {**rest, "content": _to_content(content)}


def _to_content(parts: Any) -> Any:
    """Return the text of parts that are text alone; any other parts unchanged."""
    if isinstance(parts, list) and parts and all(_is_text(part) for part in parts):
        return "\n".join(part.get("content", part.get("text")) for part in parts)
    return parts


def _is_text(part: Any) -> bool:
    is_named = isinstance(part, Mapping) and part.get("type") == "text"
    return is_named and isinstance(part.get("content", part.get("text")), str)


_INPUTS: Sequence[_Read] = (
    _plain("langfuse.observation.input"),
    _plain("basalt.span.input"),
    _flattened("llm.input_messages", "message."),
    _messages("gen_ai.input.messages", "gen_ai.system_instructions"),
    _plain("ai.prompt.messages"),
    _flattened("gen_ai.prompt"),
    _plain("gen_ai.prompt"),
    _plain("traceloop.entity.input"),
    _plain("mlflow.spanInputs"),
    _plain("input.value"),
)
_OUTPUTS: Sequence[_Read] = (
    _plain("langfuse.observation.output"),
    _plain("basalt.span.output"),
    _flattened("llm.output_messages", "message."),
    _messages("gen_ai.output.messages"),
    _plain("ai.response.text"),
    _plain("ai.response.object"),
    _flattened("gen_ai.completion"),
    _plain("gen_ai.completion"),
    _plain("traceloop.entity.output"),
    _plain("mlflow.spanOutputs"),
    _plain("output.value"),
)
