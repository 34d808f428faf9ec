"""Where the conventions have the input and the output of a span, and how each of them writes it. Pure functions.

`names.INPUTS` and `names.OUTPUTS` list the places in the order in which they count. Each place has a form, and each
form a reader here, which returns what stands in the place, an empty value if nothing does.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from promptcrafter.dialects.otlp import messages, names
from promptcrafter.dialects.otlp.attributes import is_empty, nest, read_json, read_quoted, to_text
from promptcrafter.dialects.otlp.messages import Message
from promptcrafter.dialects.otlp.sorting import Sorted
from promptcrafter.dialects.otlp.spans import Attributes, Event, Span
from promptcrafter.prompts.messages import INSTRUCTING_ROLES

_CHATS = ("messages", "input", "contents")  # where requests have the messages: chat and responses of OpenAI, Google
_MESSAGE_FIELDS = ("role", "content", "tool_calls", "id", "name", "message", "finish_reason", "tool_call_id")


def read_input(span: Span, of_span: Sorted) -> tuple[Any, dict[str, Any]]:
    """Return what was sent to the model, as text or JSON, None if it was not captured; and the request's other fields.

    Where a sender has the whole request of a chat API, the input is its messages.
    """
    sent, request = _first(names.INPUTS, span, of_span), {}
    if isinstance(sent, dict):
        key = next((key for key in _CHATS if messages.is_chat(sent.get(key))), None)
        if key is not None:
            request = {name: value for name, value in sent.items() if name != key and not is_empty(value)}
            sent = sent[key]
    return (messages.to_messages(sent) if messages.is_chat(sent) else sent), request


def read_output(span: Span, of_span: Sorted) -> Any:
    """Return what the model answered, as text or JSON, None if it was not captured.

    Of the response of a chat API that is its messages, and of a single message that is text alone its text.
    """
    sent = _first(names.OUTPUTS, span, of_span)
    if isinstance(sent, dict):
        sent = _messages_of_response(sent)
    return messages.simplify(messages.to_messages(sent)) if messages.is_chat(sent) else sent


def _messages_of_response(sent: Mapping[str, Any]) -> Any:
    """Return the messages in the response of a chat API, or the one that an object is; another object unchanged."""
    choices = sent.get("choices")
    if isinstance(choices, list) and choices and all(isinstance(choice, dict) for choice in choices):
        found = [choice.get("message") for choice in choices]
    elif (key := next((key for key in ("message", "content") if isinstance(sent.get(key), dict)), None)) is not None:
        found = [sent[key]]
    else:
        is_message = sent.get("role") == "assistant" and ("content" in sent or "tool_calls" in sent)
        found = [sent] if is_message else []
    return found if messages.is_chat(found) else sent


def _first(places: Iterable[Sequence[str]], span: Span, of_span: Sorted) -> Any:
    for form, name, *more in places:
        is_there = name in span.attributes or name in of_span.families or form in _SPREAD
        value = _READERS[form](span, of_span, name, *more) if is_there else None
        if not is_empty(value):
            return value
    return None


def read_events(events: Iterable[Event], event_names: Sequence[str]) -> list[Any]:
    """Return the messages in those events that have one of the names."""
    return [_to_message(event) for event in events if event.name in event_names]


def _to_message(event: Event) -> Message:
    body = next((read_json(event.attributes[name]) for name in names.EVENT_BODIES if name in event.attributes), None)
    fields = event.attributes if body is None else body if isinstance(body, dict) else {"content": body}
    message = {name: fields[name] for name in _MESSAGE_FIELDS if not is_empty(fields.get(name))}
    inner = read_json(message.pop("message", None))  # of a choice
    if isinstance(inner, dict):
        message |= inner
    elif inner is not None:
        message["content"] = inner
    for name in ("content", "tool_calls"):
        value = read_json(message.get(name))
        if isinstance(value, list) and all(isinstance(item, dict) for item in value):
            message[name] = value
    role = names.EVENT_ROLES[event.name]
    if role == "tool" and "id" in message:
        message.setdefault("tool_call_id", message.pop("id"))
    return {"role": role, **message}


def _plain(span: Span, _: Sorted, name: str) -> Any:
    return read_json(span.attributes.get(name))


def _quoted(span: Span, _: Sorted, name: str) -> Any:
    return read_quoted(span.attributes.get(name))


def _in_attribute(span: Span, _: Sorted, name: str, instructions: str = "") -> Any:
    return _with_instructions(span.attributes, name, instructions)


def _in_details(span: Span, _: Sorted, name: str, instructions: str = "") -> Any:
    found = (event.attributes for event in span.events if event.name == names.DETAILS_EVENT)
    read = (_with_instructions(attributes, name, instructions) for attributes in found)
    return next((value for value in read if not is_empty(value)), None)


def _with_instructions(attributes: Attributes, name: str, instructions: str) -> Any:
    """Return messages, with the instructions as the first of them unless one of them instructs."""
    sent = read_json(attributes.get(name))
    if not isinstance(sent, list) or instructions not in attributes:
        return sent
    before = messages.text_of(read_json(attributes[instructions]))
    has_system = any(isinstance(each, dict) and each.get("role") in INSTRUCTING_ROLES for each in sent)
    return sent if is_empty(before) or has_system else [{"role": "system", "content": before}, *sent]


def _instructions(span: Span, _: Sorted, name: str) -> Any:
    before = messages.text_of(read_json(span.attributes.get(name)))
    return None if is_empty(before) else [{"role": "system", "content": before}]


def _events(span: Span, _: Sorted, *event_names: str) -> Any:
    return read_events(span.events, event_names)


def _listed_events(span: Span, _: Sorted, name: str, *event_names: str) -> Any:
    listed = read_json(span.attributes.get(name))
    if not isinstance(listed, list):
        return None
    named = (each for each in listed if isinstance(each, dict) and isinstance(each.get("event.name"), str))
    return read_events((Event(each["event.name"], 0, each) for each in named), event_names)


def _in_event(span: Span, _: Sorted, event_name: str, name: str) -> Any:
    return next((read_json(event.attributes.get(name)) for event in span.events if event.name == event_name), None)


def _flattened(_: Span, of_span: Sorted, prefix: str, role: str = "user") -> Any:
    family = of_span.families.get(prefix)
    nested = None if family is None else nest(family)
    return messages.unflatten(nested, role) if isinstance(nested, list) else nested


def _items(_: Span, of_span: Sorted, prefix: str, *keys: str) -> Any:
    family = of_span.families.get(prefix)
    items = None if family is None else nest(family)
    if not isinstance(items, list):
        return items
    for key in keys:
        items = [item.get(key, item) if isinstance(item, dict) else item for item in items]
    return items[0] if len(items) == 1 and isinstance(items[0], str) else items


def _response(span: Span, _: Sorted, prefix: str) -> Any:
    attributes = span.attributes
    text, reasoning, calls, response = (attributes.get(f"{prefix}{part}") for part in names.RESPONSE_PARTS)
    if calls is None and reasoning is None:
        return to_text(text) or read_json(response)
    listed = read_json(calls)
    parts = [{"type": "reasoning", "text": to_text(reasoning)}, {"type": "text", "text": to_text(text)}]
    parts = [part for part in parts if not is_empty(part["text"])]
    if isinstance(listed, list):
        parts += [{**call, "type": "tool-call"} for call in listed if isinstance(call, dict)]
    return [{"role": "assistant", "parts": parts}] if parts else None


# The forms whose places are neither an attribute nor a family of attributes with the first of the names
_SPREAD = (names.DETAILS, names.EVENTS, names.IN_EVENT, names.RESPONSE)
_READERS: dict[str, Callable[..., Any]] = {
    names.PLAIN: _plain,
    names.QUOTED: _quoted,
    names.MESSAGES: _in_attribute,
    names.DETAILS: _in_details,
    names.INSTRUCTIONS: _instructions,
    names.EVENTS: _events,
    names.LISTED_EVENTS: _listed_events,
    names.IN_EVENT: _in_event,
    names.FLATTENED: _flattened,
    names.ITEMS: _items,
    names.RESPONSE: _response,
}
