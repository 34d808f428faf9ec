"""A server on loopback that answers as OpenAI's API does: chat completions and responses, whole or streamed.

What it answers depends on the request alone. With tools, it calls the first two at once, then the third, then answers.
A message that contains "overload" gets a 429, one that contains "break" a 500.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

MODEL = "gpt-4o-mini-2024-07-18"  # which answers, whichever alias is asked
# Of every answer. Cached tokens are a part of the input, tokens of reasoning one of the output
USAGE = {"inputTokens": 1200, "outputTokens": 40, "cachedInputTokens": 1000, "reasoningTokens": 8}
ERRORS = {"overload": (429, "rate_limit_exceeded"), "break": (500, "server_error")}
_AT_ONCE = 2  # tools called by the first answer


@contextmanager
def running_model_server() -> Iterator[str]:
    """Start the server; the value is the base address for clients of OpenAI."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        is_chat = self.path == "/v1/chat/completions"
        messages = request["messages"] if is_chat else request["input"]
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        question = _question(messages)
        for word, (status, code) in ERRORS.items():
            if word in question:
                error = {"message": f"The model cannot answer: {code}", "type": code, "code": code}
                return self._send(status, "application/json", json.dumps({"error": error}).encode())
        names = [tool["function"]["name"] if is_chat else tool["name"] for tool in request.get("tools") or ()]
        calls = _next_calls(names, sum(_is_result(message) for message in messages))
        text = "" if calls else f"Answer to: {question}"
        answer = _chat_completion(text, calls) if is_chat else _response(request, text, calls)
        if not request.get("stream"):
            return self._send(200, "application/json", json.dumps(answer).encode())
        events = _chat_chunks(answer) if is_chat else _response_events(answer)
        lines = [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events if "type" in event]
        lines += [f"data: {json.dumps(event)}\n\n" for event in events if "type" not in event]
        self._send(200, "text/event-stream", "".join([*lines, "data: [DONE]\n\n"]).encode())

    def _send(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def _question(messages: list[dict[str, Any]]) -> str:
    """Return the text of the last message of the user."""
    content = [message["content"] for message in messages if message.get("role") == "user"][-1]
    if isinstance(content, str):
        return content
    return " ".join(part["text"] for part in content if "text" in part)


def _is_result(message: dict[str, Any]) -> bool:
    return message.get("role") == "tool" or message.get("type") == "function_call_output"


def _next_calls(tools: list[str], results: int) -> list[dict[str, str]]:
    """Return the calls of tools that an answer has, after so many results."""
    names = tools[results : results + (1 if results else _AT_ONCE)]
    return [{"id": f"call_{name}", "name": name, "arguments": '{"place": "Paris"}'} for name in names]


def _chat_completion(text: str, calls: list[dict[str, str]]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": text or None}
    if calls:
        message["tool_calls"] = [
            {"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": call["arguments"]}}
            for call in calls
        ]
    finish = "tool_calls" if calls else "stop"
    return {
        **{"id": "chatcmpl-1", "object": "chat.completion", "created": 1_750_000_000, "model": MODEL},
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {
            **{"prompt_tokens": USAGE["inputTokens"], "completion_tokens": USAGE["outputTokens"]},
            "total_tokens": USAGE["inputTokens"] + USAGE["outputTokens"],
            "prompt_tokens_details": {"cached_tokens": USAGE["cachedInputTokens"]},
            "completion_tokens_details": {"reasoning_tokens": USAGE["reasoningTokens"]},
        },
    }


def _chat_chunks(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the parts of a streamed chat completion: word by word, the usage last."""
    (choice,) = answer["choices"]
    message = choice["message"]
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": word} for word in (message["content"] or "").split(" ") if word]
    for delta in deltas[2:]:
        delta["content"] = " " + delta["content"]
    deltas += [{"tool_calls": [{"index": n, **call}]} for n, call in enumerate(message.get("tool_calls", ()))]
    same = {name: answer[name] for name in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    ends = {"delta": {}, "finish_reason": choice["finish_reason"]}
    choices = [*({"delta": delta, "finish_reason": None} for delta in deltas), ends]
    chunks = [{**same, "choices": [{"index": 0, **choice}]} for choice in choices]
    return [*chunks, {**same, "choices": [], "usage": answer["usage"]}]


def _response(request: dict[str, Any], text: str, calls: list[dict[str, str]]) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    message = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": content}
    output: list[dict[str, Any]] = [
        {"type": "function_call", "id": f"fc_{call['name']}", "call_id": call["id"], "status": "completed", **named}
        for call in calls
        for named in [{"name": call["name"], "arguments": call["arguments"]}]
    ]
    return {
        **{"id": "resp_1", "object": "response", "created_at": 1_750_000_000, "status": "completed", "model": MODEL},
        **{"output": output or [message], "parallel_tool_calls": True, "tool_choice": "auto", "error": None},
        **{"tools": request.get("tools") or [], "incomplete_details": None, "instructions": None, "metadata": {}},
        "usage": {
            **{"input_tokens": USAGE["inputTokens"], "output_tokens": USAGE["outputTokens"]},
            "total_tokens": USAGE["inputTokens"] + USAGE["outputTokens"],
            "input_tokens_details": {"cached_tokens": USAGE["cachedInputTokens"]},
            "output_tokens_details": {"reasoning_tokens": USAGE["reasoningTokens"]},
        },
    }


def _response_events(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the events of a streamed response, as far as clients need them."""
    begun = {**answer, "status": "in_progress", "output": [], "usage": None}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
    ]
    for index, item in enumerate(answer["output"]):
        place: dict[str, Any] = {"item_id": item["id"], "output_index": index}
        added: dict[str, Any] = {"content": []} if item["type"] == "message" else {"arguments": ""}
        events.append({"type": "response.output_item.added", **place, "item": {**item, **added}})
        if item["type"] == "message":
            (part,) = item["content"]
            place["content_index"] = 0
            events.append({"type": "response.content_part.added", **place, "part": {**part, "text": ""}})
            text = {"type": "response.output_text.delta", **place, "delta": part["text"], "logprobs": []}
            events.append(text)
            events.append({"type": "response.output_text.done", **place, "text": part["text"], "logprobs": []})
            events.append({"type": "response.content_part.done", **place, "part": part})
        else:
            arguments = item["arguments"]
            events.append({"type": "response.function_call_arguments.delta", **place, "delta": arguments})
            done = {"type": "response.function_call_arguments.done", **place, "arguments": arguments}
            events.append({**done, "name": item["name"]})
        events.append({"type": "response.output_item.done", "output_index": index, "item": item})
    events.append({"type": "response.completed", "response": answer})
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]
