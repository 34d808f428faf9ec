"""Pictures and sounds in messages: what is kept of them."""

import base64
import hashlib
import json
from typing import Any

import pytest

from promptcrafter.dialects.otlp.media import MEDIA_MAX, describe_media
from promptcrafter.dialects.otlp.translate import Limits
from tests.support.otlp import export, make_span
from tests.support.otlp_spans import log_of, step_of
from tests.support.people import Person

PICTURE = bytes(range(256)) * 20
BASE64 = base64.b64encode(PICTURE).decode()
SHA256 = hashlib.sha256(PICTURE).hexdigest()
DESCRIBED = {"mediaType": "image/png", "bytes": len(PICTURE), "sha256": SHA256}
OF_SOUND = {**DESCRIBED, "mediaType": "audio/wav"}
URL = f"data:image/png;base64,{BASE64}"

FORMS: dict[str, tuple[Any, Any]] = {
    "a data URL of OpenAI": (
        {"type": "image_url", "image_url": {"url": URL, "detail": "low"}},
        {"type": "image_url", "image_url": {"url": DESCRIBED, "detail": "low"}},
    ),
    "a data URL of OpenAI's responses": (
        {"type": "input_image", "image_url": URL},
        {"type": "input_image", "image_url": DESCRIBED},
    ),
    "sound of OpenAI": (
        {"type": "input_audio", "input_audio": {"data": BASE64, "format": "wav"}},
        {"type": "input_audio", "input_audio": {"data": OF_SOUND, "format": "wav"}},
    ),
    "a source of Anthropic": (
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": BASE64}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DESCRIBED}},
    ),
    "inline data of Google": (
        {"inline_data": {"mime_type": "image/png", "data": BASE64}},
        {"inline_data": {"mime_type": "image/png", "data": DESCRIBED}},
    ),
    "inline data in camel case": (
        {"inlineData": {"mimeType": "image/png", "data": BASE64}},
        {"inlineData": {"mimeType": "image/png", "data": DESCRIBED}},
    ),
    "a blob of the GenAI conventions": (
        {"type": "blob", "modality": "image", "mime_type": "image/png", "content": BASE64},
        {"type": "blob", "modality": "image", "mime_type": "image/png", "content": DESCRIBED},
    ),
    "a file of the AI SDK": (
        {"type": "file", "mediaType": "image/png", "data": BASE64},
        {"type": "file", "mediaType": "image/png", "data": DESCRIBED},
    ),
    "an image without a media type": (
        {"type": "image", "image": BASE64},
        {"type": "image", "image": {"bytes": len(PICTURE), "sha256": SHA256}},
    ),
    "the URL-safe alphabet, without padding": (
        {"type": "blob", "mime_type": "image/png", "content": BASE64.replace("+", "-").replace("/", "_").rstrip("=")},
        {"type": "blob", "mime_type": "image/png", "content": DESCRIBED},
    ),
    "base64 in lines": (
        {"type": "blob", "mime_type": "image/png", "content": base64.encodebytes(PICTURE).decode()},
        {"type": "blob", "mime_type": "image/png", "content": DESCRIBED},
    ),
    "a result of a tool": (
        {"content": [{"type": "media", "mediaType": "image/png", "data": BASE64}]},
        {"content": [{"type": "media", "mediaType": "image/png", "data": DESCRIBED}]},
    ),
    "a URL in a text": (
        {"type": "text", "text": f"See ![cat]({URL}) and ![dog]({URL})."},
        {
            "type": "text",
            "text": f"See ![cat]({json.dumps(DESCRIBED, separators=(',', ':'))}) and "
            f"![dog]({json.dumps(DESCRIBED, separators=(',', ':'))}).",
        },
    ),
}
UNTOUCHED: dict[str, Any] = {
    "short base64": {"type": "blob", "mime_type": "image/png", "content": BASE64[:MEDIA_MAX]},
    "a text of letters": {"type": "text", "text": "x" * 5000},
    "a long word outside of messages": "x" * 5000,
    "a text of words in a file": {"type": "file", "content": "some words " * 1000},
    "a text that mentions base64": "data: and ;base64," + "x" * 5000 + " data:;base64,!",
    "what is no base64": {"type": "image", "image": "é" * 5000},
    "a signature": {"type": "reasoning", "signature": BASE64},
    "other values": {"type": "image", "a": None, "b": 1, "c": True, "d": 1.5, "e": [], "f": {}},
}


def test_base64_becomes_what_it_is_in_every_form(subtests: pytest.Subtests) -> None:
    for name, (sent, expected) in FORMS.items():
        with subtests.test(name):
            assert describe_media([{"role": "user", "content": [sent]}]) == [{"role": "user", "content": [expected]}]


def test_what_is_no_picture_stays(subtests: pytest.Subtests) -> None:
    for name, sent in UNTOUCHED.items():
        with subtests.test(name):
            assert describe_media(sent) == sent


def _messages(url: str) -> str:
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": url}}]
    return json.dumps([{"role": "user", "content": parts}])


def test_pictures_are_described_in_logs_and_in_steps_and_kept_if_that_is_set() -> None:
    attributes = {"langfuse.observation.type": "generation", "langfuse.observation.input": _messages(URL)}
    (message,) = log_of(attributes)["input"]
    assert message["content"][1]["image_url"]["url"] == DESCRIBED
    (message,) = step_of({**attributes, "langfuse.observation.type": "agent"})["input"]
    assert message["content"][1]["image_url"]["url"] == DESCRIBED
    (message,) = log_of(attributes, limits=Limits(1024 * 1024, keeps_media=True))["input"]
    assert message["content"][1]["image_url"]["url"] == URL


def test_a_run_with_a_picture_of_5_mb_keeps_its_text_and_little_more(ada: Person) -> None:
    picture = base64.b64encode(bytes(5_000_000)).decode()
    sent = _messages(f"data:image/png;base64,{picture}")
    agent = make_span({"openinference.span.kind": "AGENT", "input.value": sent}, name="agent")
    flattened = {
        "openinference.span.kind": "LLM",
        "llm.model_name": "gpt-4o",
        "llm.input_messages.0.message.role": "user",
        "llm.input_messages.0.message.contents.0.message_content.type": "text",
        "llm.input_messages.0.message.contents.0.message_content.text": "What is this?",
        "llm.input_messages.0.message.contents.1.message_content.type": "image",
        "llm.input_messages.0.message.contents.1.message_content.image.image.url": f"data:image/png;base64,{picture}",
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.content": "A cat.",
    }
    assert export(ada, agent, make_span(flattened, parent_id=agent["span_id"])).status_code == 200
    (log,) = ada.get("/logs").json
    assert "What is this?" in log["input"]
    assert '"bytes":5000000' in log["input"]
    assert log["output"] == "A cat."
    (trace,) = ada.get("/traces").json
    kept = ada.get(f"/traces/{trace['_id']}").get_data()
    assert len(kept) < 20_000
    assert b"What is this?" in kept
