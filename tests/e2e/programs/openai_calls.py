"""Calls of a model by the package `openai`: a conversation, a stream, an agent, two refusals, a picture.

OPENAI_BASE_URL and OPENAI_API_KEY name the model's server. The caller instruments the package before it calls `run`.
"""

import base64
import json
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from random import Random

from openai import APIStatusError, OpenAI

TOOLS = ("weather", "sights", "trains")
PICTURE = b"\x89PNG\r\n\x1a\n" + Random(1).randbytes(5_000_000)
_MODEL = "gpt-4o-mini"


def run(within: Callable[[str], AbstractContextManager[object]]) -> None:
    """Make the calls, those of each case within one trace that `within` begins under its name."""
    client = OpenAI(max_retries=0)
    with within("conversation"):
        _converse(client)
    with within("stream"):
        _stream(client)
    with within("agent"):
        _act(client)
    for question in ("overload", "break"):
        with within(question):
            _fail(client, question)
    with within("picture"):
        _look(client)
    with within("response"):
        client.responses.create(model=_MODEL, input="Say it in a response", instructions="Be brief.")


def _ask(client: OpenAI, messages: list, **more: object):
    return client.chat.completions.create(model=_MODEL, messages=messages, **more).choices[0].message


def _converse(client: OpenAI) -> None:
    messages = [{"role": "system", "content": "Be brief."}]
    for question in ("What is light?", "Why is it fast?"):
        messages.append({"role": "user", "content": question})
        messages.append({"role": "assistant", "content": _ask(client, messages, temperature=0.2).content})


def _stream(client: OpenAI) -> None:
    messages = [{"role": "user", "content": "Tell me a story"}]
    options = {"stream": True, "stream_options": {"include_usage": True}}
    for _ in client.chat.completions.create(model=_MODEL, messages=messages, **options):
        pass


def _act(client: OpenAI) -> None:
    parameters = {"type": "object", "properties": {"place": {"type": "string"}}}
    tools = [{"type": "function", "function": {"name": name, "parameters": parameters}} for name in TOOLS]
    messages = [{"role": "user", "content": "Plan a day in Paris"}]
    while calls := (answer := _ask(client, messages, tools=tools)).tool_calls:
        messages.append(answer.model_dump(exclude_none=True))
        for call in calls:
            result = json.dumps({call.function.name: json.loads(call.function.arguments)["place"]})
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


def _fail(client: OpenAI, question: str) -> None:
    with suppress(APIStatusError):
        _ask(client, [{"role": "user", "content": question}])


def _look(client: OpenAI) -> None:
    url = f"data:image/png;base64,{base64.b64encode(PICTURE).decode()}"
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": url}}]
    _ask(client, [{"role": "user", "content": parts}])
