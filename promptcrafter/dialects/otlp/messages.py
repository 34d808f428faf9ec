"""The one form in which the messages of all conventions are stored. Pure functions.

It is that of OpenAI's chat API, which most programs send and every tool can read. A message is an object with

- `role`: `system`, `user`, `assistant`, `tool` or what else was sent;
- `content`: a text, or an array of parts: `{"type": "text", "text"}`, `{"type": "reasoning", "text"}`,
  `{"type": "image_url", "image_url": {"url"}}`, and parts of other types as they were sent;
- `tool_calls`: an array of `{"id", "type": "function", "function": {"name", "arguments"}}`, with the arguments as they
  were sent: JSON, or the text of it;
- `tool_call_id` of a message with the role `tool`, whose content is the result;
- what else was sent, such as `name` and `finish_reason`. What is null or empty is left out.

`logs.questions.find_question` finds in such a chat what was asked.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from promptcrafter.dialects.otlp.attributes import EMPTY, is_empty, read_json

Message = dict[str, Any]

_TEXTS = frozenset(("text", "output_text", "input_text"))
_REASONING = frozenset(("reasoning", "thinking"))
_CALLS = frozenset(("tool_call", "tool-call", "tool_use"))  # of the GenAI conventions, the AI SDK and Anthropic
_RESULTS = frozenset(("tool_call_response", "tool-result", "tool_result"))
_RESULT_KEYS = ("response", "result", "output", "content")
# What a message of the assistant may have and be text alone
_PLAIN = frozenset(("role", "content", "finish_reason", "id", "type", "status", "name", "index", "phase", "object"))
_ASSISTANTS = ("assistant", "model", "ai")


def is_chat(value: Any) -> bool:
    """Return whether a value is an array of messages."""
    return isinstance(value, list) and bool(value) and all(_is_message(each) for each in value)


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("role"), str)


def to_messages(sent: Iterable[Any]) -> list[Any]:
    """Return messages in their one form. Results of tools become messages of their own; what is no object stays."""
    return [message for each in sent for message in (_split(each) if isinstance(each, dict) else [each])]


def text_of(content: Any) -> Any:
    """Return the content of parts, or of instructions, as a text if it is text alone; else as it is."""
    if not isinstance(content, list):
        return content
    texts = [_read_text(part) for part in content]
    return "\n".join(filter(None, texts)) if texts and None not in texts else content


def simplify(output: Any) -> Any:
    """Return the text of one message of the assistant that is text alone; anything else unchanged."""
    if isinstance(output, list) and len(output) == 1 and isinstance(output[0], dict):
        (message,) = output
        is_text = isinstance(message.get("content"), str) and _PLAIN.issuperset(message)
        if is_text and message.get("role", "assistant") in _ASSISTANTS:
            return message["content"]
    return output


def to_tool_call(call_id: Any, name: Any, arguments: Any) -> Message:
    """Return a call of a tool in the one form."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    return {**({} if call_id is None else {"id": call_id}), "type": "function", "function": function}


def unflatten(messages: Sequence[Any], role: str) -> list[Any]:
    """Return messages that flattened names were nested to, by OpenInference or OpenLLMetry, as others send them.

    A message without a role gets `role`.
    """
    return [{"role": role, **_unwrap(each)} if isinstance(each, dict) else each for each in messages]


def _unwrap(flattened: Mapping[str, Any]) -> Message:
    """Return a message without the objects that OpenInference puts around its parts and calls."""
    inner = flattened.get("message")
    message = {**flattened, **inner} if isinstance(inner, dict) else {**flattened}
    message.pop("message", None)
    content = message.get("content")
    if isinstance(content, str) and content.startswith("[{"):
        parts = read_json(content)
        if isinstance(parts, list) and all(isinstance(part, dict) and "type" in part for part in parts):
            message["content"] = parts
    contents = message.pop("contents", None)
    if isinstance(contents, list):
        message["content"] = [_unwrap_part(part) for part in contents]
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        message["tool_calls"] = [_unwrap_call(call) for call in calls]
    if (name := message.pop("function_call_name", None)) is not None:
        arguments = message.pop("function_call_arguments_json", None)
        message["tool_calls"] = [*(message.get("tool_calls") or []), to_tool_call(None, name, arguments)]
    return message


def _unwrap_part(part: Any) -> Any:
    inner = part.get("message_content") if isinstance(part, dict) else None
    if not isinstance(inner, dict):
        return part
    image = inner.get("image")
    if isinstance(image, dict) and isinstance(image.get("image"), dict):
        return {"type": "image_url", "image_url": image["image"]}
    return dict(inner)


def _unwrap_call(call: Any) -> Any:
    inner = call.get("tool_call", call) if isinstance(call, dict) else call
    if not isinstance(inner, dict):
        return call
    function = inner.get("function")
    named = function if isinstance(function, dict) else inner
    return to_tool_call(inner.get("id"), named.get("name"), named.get("arguments"))


def _split(sent: Mapping[str, Any]) -> list[Message]:
    """Return the messages that one with parts stands for: itself without results of tools, and one for each result."""
    content = sent["parts"] if "parts" in sent else sent.get("content")
    rest = {key: value for key, value in sent.items() if key not in ("parts", "content") and value not in EMPTY}
    if not isinstance(content, list):
        return [rest if is_empty(content) else _in_order(rest, content)]
    kept, calls, results = [], [], []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if not isinstance(kind, str):
            kept.append(part)
        elif kind in _CALLS:
            calls.append(_to_call(part))
        elif kind in _RESULTS:
            results.append(_to_result(part))
        else:
            kept.append(_to_part(part, kind))
    if calls:
        former = rest.get("tool_calls")
        rest["tool_calls"] = [*former, *calls] if isinstance(former, list) else calls
    if kept:
        return [*results, _in_order(rest, text_of(kept))]
    return results or [rest]


def _in_order(rest: Message, content: Any) -> Message:
    """Return a message with its content where a reader looks for it: behind the role."""
    role = {"role": rest.pop("role")} if "role" in rest else {}
    return {**role, "content": content, **rest}


def _to_part(part: Mapping[str, Any], kind: str) -> Any:
    text = part.get("content", part.get("text", part.get("thinking")))
    if kind in _TEXTS and isinstance(text, str):
        return {"type": "text", "text": text}
    if kind in _REASONING and isinstance(text, str):
        return {"type": "reasoning", "text": text}
    return part


def _to_call(part: Mapping[str, Any]) -> Message:
    arguments = next((part[key] for key in ("arguments", "input", "args") if key in part), None)
    return to_tool_call(part.get("id", part.get("toolCallId")), part.get("name", part.get("toolName")), arguments)


def _to_result(part: Mapping[str, Any]) -> Message:
    result = next((part[key] for key in _RESULT_KEYS if key in part), None)
    if isinstance(result, dict) and set(result) == {"type", "value"}:
        result = result["value"]  # as the AI SDK wraps it
    call_id = next((part[key] for key in ("id", "toolCallId", "tool_use_id") if key in part), None)
    message = {"role": "tool", "tool_call_id": call_id, "name": part.get("name", part.get("toolName"))}
    known = {key: value for key, value in message.items() if value is not None}
    return {**known, "content": text_of(result)}


def _read_text(part: Any) -> str | None:
    """Return the text of a part that is text alone, else None."""
    if isinstance(part, str):
        return part
    kind = part.get("type", "text") if isinstance(part, dict) else None
    if not isinstance(kind, str) or kind not in _TEXTS:
        return None
    text = part.get("content", part.get("text"))
    return text if isinstance(text, str) else None
