"""Damaged and made-up requests are decoded and translated, or refused: no bytes make an unexpected error.

The bodies are made by a seed. PROMPTCRAFTER_FUZZ_SECONDS (default 3) says how long this goes on, and
PROMPTCRAFTER_FUZZ_SEED where it begins; a longer run is described in CONTRIBUTING.md.
"""

import gzip
import json
import os
import random
import time
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from promptcrafter.dialects.otlp.decode_json import JsonDecoder
from promptcrafter.dialects.otlp.decode_protobuf import ProtobufDecoder
from promptcrafter.dialects.otlp.decoding import Decoder
from promptcrafter.dialects.otlp.records import read_contents, sort_records
from promptcrafter.dialects.otlp.signals import JSON, LOGS, PREFIXES, PROTOBUF, SIGNALS, TRACES, Signal
from promptcrafter.dialects.otlp.translate import Limits, translate
from promptcrafter.jsonio import dumps, find_unstorable_text
from promptcrafter.problems import Problem
from tests.support.otlp import encode, encode_records, make_record, make_span, records_to_json, to_json
from tests.support.people import Person

SECONDS = float(os.environ.get("PROMPTCRAFTER_FUZZ_SECONDS", "3"))
SEED = int(os.environ.get("PROMPTCRAFTER_FUZZ_SEED", "17"))
SLOWEST_S = 5  # of processor time, for a body of some kilobytes
LIMITS = Limits(output_bytes=1000)
MESSAGES = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "Why?"}]}])
# Names whose values are read in different ways, and values of each kind
NAMES = (
    *("gen_ai.operation.name", "gen_ai.request.model", "gen_ai.usage.input_tokens", "gen_ai.input.messages"),
    *("gen_ai.output.messages", "gen_ai.system_instructions", "gen_ai.prompt.0.content", "gen_ai.completion.0.role"),
    *("llm.input_messages.0.message.content", "llm.input_messages.999999999.message.content", "llm.token_count.prompt"),
    *("llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments", "llm.invocation_parameters"),
    *("langfuse.observation.type", "langfuse.observation.input", "langfuse.observation.usage_details", "user.id"),
    *("langfuse.observation.cost_details", "langfuse.observation.level", "langfuse.prompt.name", "metadata"),
    *("basalt.span.kind", "basalt.prompt.variables", "basalt.metadata", "openinference.span.kind", "input.value"),
    *("ai.operationId", "ai.prompt.messages", "ai.response.toolCalls", "ai.usage.promptTokens", "mlflow.spanType"),
    *("mlflow.spanInputs", "traceloop.span.kind", "traceloop.entity.output", "logfire.msg_template", "http.method"),
)
TEXTS = (
    *("", "chat", "generation", "LLM", "ai.generateText.doGenerate", "gpt-4o", "5", "-1", "1e400", "NaN", "[" * 200),
    *(MESSAGES, "[]", "{}", "null", '"', "[1,", '{"input": 5}', "\0", "🌱" * 300, "Ä", "x" * 2000, "0" * 5000),
)
EVALUATIONS: tuple[dict[str, Any], ...] = (
    {},
    {"gen_ai.evaluation.name": "relevance", "gen_ai.evaluation.score.value": 0.5, "gen_ai.response.id": "r"},
    {"gen_ai.evaluation.name": "x" * 300, "gen_ai.evaluation.score.label": "\0", "gen_ai.evaluation.explanation": "y"},
    {"event.name": "gen_ai.evaluation.result", "gen_ai.evaluation.name": 5, "gen_ai.evaluation.score.value": "NaN"},
)
COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "identity": bytes,
}
Random = random.Random


def make_value(rng: Random, depth: int = 0) -> Any:
    kind = rng.randrange(8 if depth < 3 else 6)
    if kind < 3:
        return rng.choice(TEXTS)
    if kind == 3:
        return rng.choice((0, 1, -1, 2**53, 2**63 - 1, -(2**63)))
    if kind == 4:
        return rng.choice((0.0, -0.5, 1e308, 5e-324, True, False))
    if kind == 5:
        return rng.randbytes(rng.randrange(20))
    items = [make_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return items if kind == 6 else dict(zip(rng.sample(NAMES, len(items)), items, strict=True))


def make_attributes(rng: Random) -> dict[str, Any]:
    return {name: make_value(rng) for name in rng.sample(NAMES, rng.randrange(8))}


def make_spans(rng: Random) -> list[dict[str, Any]]:
    return [
        make_span(
            make_attributes(rng),
            trace_id=f"{rng.randrange(1, 5):032x}",
            span_id=f"{rng.randrange(1, 50):016x}",
            parent_id=rng.choice((None, f"{rng.randrange(50):016x}")),
            name=rng.choice(TEXTS),
            start_ns=rng.choice((0, 1, 1_750_000_000_000_000_000, 2**64 - 1)),
            end_ns=rng.choice((0, 1_750_000_000_500_000_000, 2**63, 2**64 - 1)),
            status=rng.choice((0, 1, 2, 7)),
            message=rng.choice(TEXTS),
            events=[(rng.choice((*NAMES, "exception", "gen_ai.choice")), make_attributes(rng)) for _ in range(2)],
        )
        for _ in range(rng.randrange(4))
    ]


def make_records(rng: Random) -> list[dict[str, Any]]:
    return [
        make_record(
            rng.choice(("", "gen_ai.evaluation.result", "gen_ai.choice", "gen_ai.user.message", *NAMES)),
            trace_id=rng.choice(("", f"{rng.randrange(1, 5):032x}")),
            span_id=rng.choice(("", f"{rng.randrange(1, 50):016x}")),
            time_ns=rng.choice((0, 1_750_000_000_000_000_000, 2**64 - 1)),
            attributes={**make_attributes(rng), **rng.choice(EVALUATIONS)},
            body=rng.choice((None, make_value(rng))),
        )
        for _ in range(rng.randrange(4))
    ]


def cut_short(rng: Random, body: bytearray) -> None:
    del body[rng.randrange(len(body) + 1) :]


def flip_bits(rng: Random, body: bytearray) -> None:
    for _ in range(rng.randrange(1, 8)):
        body[rng.randrange(len(body))] ^= 1 << rng.randrange(8)


def overwrite(rng: Random, body: bytearray) -> None:
    start = rng.randrange(len(body))
    body[start : start + rng.randrange(1, 8)] = rng.randbytes(rng.randrange(8))


def repeat(rng: Random, body: bytearray) -> None:
    start, end = sorted(rng.randrange(len(body) + 1) for _ in range(2))
    body[start:start] = body[start:end] * rng.randrange(1, 4)


def lie_about_a_length(rng: Random, body: bytearray) -> None:
    at = rng.randrange(len(body))
    body[at : at + 1] = rng.choice((b"\xff\xff\xff\xff\x0f", b"\x80" * 9 + b"\x01", b"\x00", b"\x7f", b"\x80"))


def swap_characters(rng: Random, body: bytearray) -> None:
    at = rng.randrange(len(body))
    body[at : at + 1] = rng.choice((b'"', b"{", b"}", b"[", b"]", b",", b"null", b"1e999", b"\\", b"\\ud800", b"NaN"))


MUTATIONS: tuple[Callable[[Random, bytearray], None], ...] = (
    *(cut_short, flip_bits, overwrite, repeat, lie_about_a_length, swap_characters),
)


def make_request(rng: Random, media: str, signal: Signal) -> bytes:
    """Return a request of some spans or log records."""
    if signal is LOGS:
        records = make_records(rng)
        return encode_records(records) if media == PROTOBUF else json.dumps(records_to_json(records)).encode()
    spans = make_spans(rng)
    return encode(spans) if media == PROTOBUF else json.dumps(to_json(spans)).encode()


def make_body(rng: Random, media: str, signal: Signal) -> bytes:
    """Return a request, most often damaged, or random bytes."""
    if rng.randrange(20) == 0:
        return rng.randbytes(rng.randrange(300))
    body = bytearray(make_request(rng, media, signal))
    for _ in range(rng.choice((0, 1, 1, 1, 2, 5))):
        if body:
            rng.choice(MUTATIONS)(rng, body)
    return bytes(body)


def compress(rng: Random, body: bytes) -> tuple[bytes, dict[str, str]]:
    """Return the body, compressed or not, and damaged or not, and the header that says so."""
    coding = rng.choice(sorted(COMPRESSORS))
    packed = bytearray(COMPRESSORS[coding](body))
    if packed and rng.randrange(2):
        rng.choice((cut_short, flip_bits, repeat))(rng, packed)
    return bytes(packed), {"Content-Encoding": coding}


def check(decoder: Decoder, signal: Signal) -> bool:
    """Decode and translate; return whether it was a request. What is kept can be stored."""
    try:
        kept = translate_records(decoder) if signal is LOGS else translate_spans(decoder)
    except Problem as problem:
        if problem.status not in (400, 413):
            raise
        return False
    for values in kept:
        texts = {name: value for name, value in values.items() if not name.endswith("_time")}
        assert find_unstorable_text(texts) is None
        dumps(texts)
    return True


def translate_spans(decoder: Decoder) -> list[Mapping[str, Any]]:
    """Return what the spans of a request become."""
    parts = [part for span in decoder.read_spans().items if (part := translate(span, LIMITS))]
    return [values for part in parts for values in (part.columns, part.of_trace, *part.scores)]


def translate_records(decoder: Decoder) -> list[Mapping[str, Any]]:
    """Return what the log records of a request become."""
    found = sort_records(decoder.read_records().items, LIMITS)
    events = [event for _, _, event in found.events]
    contents = [read_contents(events, LIMITS, is_call=is_call) for is_call in (True, False)]
    return [*found.scores, *(event.attributes for event in events), *contents]


@pytest.mark.parametrize("signal", [TRACES, LOGS])
@pytest.mark.parametrize(("media", "decoder_type"), [(PROTOBUF, ProtobufDecoder), (JSON, JsonDecoder)])
def test_any_bytes_are_decoded_and_translated_or_refused(
    media: str, decoder_type: type[Decoder], signal: Signal
) -> None:
    count = readable = 0
    end = time.monotonic() + SECONDS / 4
    while count < 100 or time.monotonic() < end:
        seed = f"{SEED}/{signal.name}/{media}/{count}"
        body = make_body(Random(seed), media, signal)
        started = time.process_time()
        try:
            readable += check(decoder_type(body), signal)
        except Exception as error:
            error.add_note(f"of the body of {seed}")
            raise
        assert time.process_time() - started < SLOWEST_S, seed
        count += 1
    assert 0.1 * count < readable < count, "some are damaged, and some are not"
    print(f"{count} bodies, of which {readable} were requests")


@pytest.mark.parametrize("media", [PROTOBUF, JSON])
def test_any_bytes_are_answered_with_200_or_400_over_http(ada: Person, media: str) -> None:
    seen = set()
    for number in range(150):
        rng = Random(f"{SEED}/http/{media}/{number}")
        signal = rng.choice(SIGNALS)
        data, headers = compress(rng, make_body(rng, media, signal))
        path = rng.choice(PREFIXES) + signal.path
        answer = ada.post(path, data=data, headers={**headers, "Content-Type": media})
        assert answer.status_code in (200, 400), (number, answer.text)
        assert answer.mimetype == media
        seen.add(answer.status_code)
    assert seen == {200, 400}
