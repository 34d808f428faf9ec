"""Texts that hold pictures, sounds, films or files: their tokens are not those of the text."""

import json
from itertools import product
from typing import Any

import pytest

from tests.support.databases import only_sqlite
from tests.support.people import Person

PICTURE = "data:image/png;base64," + "iVBORw0KGgo" * 27_000  # 300 KB
ASKED = {"type": "text", "text": "What is this?"}

WITH_MEDIA: dict[str, Any] = {
    "OpenAI": [ASKED, {"type": "image_url", "image_url": {"url": PICTURE}}],
    "OpenAI, by address": [ASKED, {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}],
    "OpenAI, responses": [{"type": "input_text", "text": "?"}, {"type": "input_image", "image_url": PICTURE}],
    "OpenAI, file": [ASKED, {"type": "file", "file": {"file_id": "file-6F2ksmvXxt4VdoqmHRw6kL"}}],
    "OpenAI, sound": [ASKED, {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}],
    "Anthropic": [ASKED, {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}}],
    "Anthropic, PDF": [{"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}}],
    "Google": [{"text": "?"}, {"inlineData": {"mimeType": "image/png", "data": "iVBO"}}],
    "Google, Python": [{"text": "?"}, {"inline_data": {"mime_type": "audio/wav", "data": "UklG"}}],
    "Google, file": [{"text": "?"}, {"fileData": {"mimeType": "video/mp4", "fileUri": "gs://bucket/film.mp4"}}],
    "Amazon Bedrock": [{"text": "?"}, {"image": {"format": "png", "source": {"bytes": "iVBO"}}}],
    "Ollama": [{"role": "user", "content": "?", "images": ["iVBORw0KGgo"]}],
    "LangChain": [{"type": "image", "source_type": "base64", "data": "iVBO", "mime_type": "image/png"}],
    "LiteLLM, film": [{"type": "video_url", "video_url": {"url": "https://example.com/film.mp4"}}],
    "in a text": f"Look: ![a cat]({PICTURE})",
    "with a parameter": "data:text/plain;charset=utf-8;base64,aGVsbG8=",
    "in capitals": f"DATA:image/png;BASE64,{'iVBO' * 30}",
    "without a type": f"data:;base64,{'iVBO' * 30}",
    "with a quoted parameter": f'data:image/png;name="a b.png";base64,{"iVBO" * 30}',
    "JSON as text": json.dumps([{"role": "user", "content": [{"type": "image", "source": {}}]}], indent=1),
}
WITHOUT_MEDIA: dict[str, Any] = {
    "messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": [ASKED]}],
    "tools": [{"type": "function", "function": {"name": "show_image", "parameters": {"type": "object"}}}],
    "prose about messages": 'Send {"type": "image", "source": …} as a part of the message.',
    "JSON in a message": [{"role": "user", "content": '{"type": "image"}'}],
    "prose about addresses": "A data: address may have ;base64, in it.",
    "a word of base64": "iVBORw0KGgo" * 10,
}


@only_sqlite
def test_neither_tokens_nor_cost_are_computed_from_media(ada: Person, subtests: pytest.Subtests) -> None:
    prompt = ada.prompt()
    for case, name in product(WITH_MEDIA, ("input", "output")):
        with subtests.test(case=case, name=name):
            value = WITH_MEDIA[case]
            if name == "output":
                value = value if isinstance(value, str) else json.dumps(value)
            log = ada.log(prompt, **{"input": "What is this?", "output": "A cat.", "modelUsed": "gpt-4o", name: value})
            assert not {f"{name}Tokens", "cost", "priced"} & set(log)
            assert len(log["computed"]) == 1, "the other text is counted"


@only_sqlite
@pytest.mark.parametrize("case", WITHOUT_MEDIA)
def test_text_about_media_is_counted(ada: Person, case: str) -> None:
    log = ada.log(ada.prompt(), modelUsed="gpt-4o", input=WITHOUT_MEDIA[case])
    assert log["computed"] == ["inputTokens", "outputTokens", "cost"]


@only_sqlite
def test_counts_that_are_sent_with_media_are_priced(ada: Person) -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 100}
    log = ada.log(ada.prompt(), modelUsed="gpt-4o", input=WITH_MEDIA["OpenAI"], usage=usage)
    assert (log["inputTokens"], log["cost"], log["computed"]) == (1000, pytest.approx(0.0035), ["cost"])


@only_sqlite
@pytest.mark.parametrize("size", [100_000, 900_000])
@pytest.mark.parametrize("piece", ["data:", '"type":', ";base64,", "[{", '"image"', " ", "data:a/b;c=d;"])
def test_a_long_text_of_any_piece_is_searched_and_counted(ada: Person, piece: str, size: int) -> None:
    log = ada.log(ada.prompt(), modelUsed="gpt-4o", input="[" + piece * (size // len(piece)))
    assert "inputTokens" in log
