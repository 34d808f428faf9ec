"""Bodies of OTLP requests that are made to cost much memory or time, each at most 20 MiB.

As a program, decode and translate each of them, and print what came of it, the seconds of processor time, and the
mebibytes by which the process has grown.
"""

import ctypes
import gc
import json
import time
from collections.abc import Callable

from promptcrafter.dialects.otlp.decode_json import JsonDecoder
from promptcrafter.dialects.otlp.decoding import Decoder
from promptcrafter.dialects.otlp.translate import Limits, translate
from promptcrafter.problems import Problem

LARGEST = 20 * 1024**2
IDS = b"\x0a\x10" + b"\x11" * 16 + b"\x12\x08" + b"\x22" * 8
JSON_IDS = '"traceId":"' + "11" * 16 + '","spanId":"' + "22" * 8 + '"'


def field(number: int, content: bytes) -> bytes:
    """Return a field of protobuf that holds bytes or a message."""
    size, digits = len(content), []
    while size > 127:
        digits.append(size & 127 | 128)
        size >>= 7
    return bytes([number << 3 | 2, *digits, size]) + content


def request(*spans: bytes, resource_: bytes = b"", scope: bytes = b"") -> bytes:
    """Return a request in protobuf with these spans, already encoded, and attributes of the resource and the scope."""
    fields = b"".join(field(2, span) for span in spans)
    return field(1, field(1, resource_) + field(2, field(1, scope) + fields))


def attribute(key: bytes, value: bytes) -> bytes:
    """Return an attribute of a span with an encoded AnyValue."""
    return field(9, field(1, key) + field(2, value))


def nested(levels: int, number: int) -> bytes:
    """Return an AnyValue of arrays (field 5) or maps (field 6) inside each other."""
    value = b""
    for _ in range(levels):
        value = field(5, field(1, value)) if number == 5 else field(6, field(1, field(2, value)))
    return value


def json_request(span: str) -> bytes:
    """Return a request in JSON with the members of a span."""
    return ('{"resourceSpans":[{"scopeSpans":[{"spans":[{' + span + "}]}]}]}").encode()


def _fill(piece: bytes) -> bytes:
    return piece * ((LARGEST - 200) // len(piece))


_PAIR = b"\x4a\x0a\x0a\x01a\x12\x05\x0a\x03abc"
_SMALL = 250 * 1024  # below the size from which the fields of a message are counted first
PROTOBUF: dict[str, Callable[[], bytes]] = {
    "a million attributes": lambda: request(IDS + _PAIR * 1_000_000),
    "empty attributes": lambda: request(IDS + _fill(b"\x4a\x00")),
    "empty events": lambda: request(IDS + _fill(b"\x5a\x00")),
    "empty links": lambda: request(IDS + _fill(b"\x6a\x00")),
    "an array of nothing": lambda: request(IDS + attribute(b"a", field(5, _fill(b"\x0a\x00")))),
    "a map of nothing": lambda: request(IDS + attribute(b"a", field(6, _fill(b"\x0a\x00")))),
    "unknown fields": lambda: request(IDS + _fill(b"\xa0\x06\x00")),
    "many spans with many attributes": lambda: request(*[IDS + b"\x4a\x00" * (_SMALL // 2)] * (LARGEST // _SMALL - 1)),
    "many spans with many links": lambda: request(*[IDS + b"\x6a\x00" * (_SMALL // 2)] * (LARGEST // _SMALL - 1)),
    "many spans with 10,000 attributes": lambda: request(*[IDS + b"\x4a\x00" * 10_000] * 1000),
    "many large spans": lambda: request(*[IDS + b"\x4a\x00" * (300 * 512)] * 68),
    "empty spans": lambda: field(1, field(2, _fill(b"\x12\x00"))),
    "empty scopes": lambda: field(1, _fill(b"\x12\x00")),
    "empty resources": lambda: _fill(b"\x0a\x00"),
    "numbers at the top": lambda: _fill(b"\x10\x00"),
    "a resource of nothing": lambda: request(IDS, resource_=_fill(b"\x0a\x00")),
    "deep maps": lambda: request(IDS + attribute(b"a", nested(1000, 6))),
    "deep arrays": lambda: request(IDS + attribute(b"a", nested(1000, 5))),
    "very deep maps": lambda: request(IDS + attribute(b"a", b"\x32\x80\x80\x80\x04\x0a\x80\x80\x80\x04" * 1_000_000)),
    "a name of 1 MB": lambda: request(IDS + attribute(b"n" * 1_000_000, b"\x0a\x01a")),
    "a name of 19 MB": lambda: request(IDS + attribute(b"n" * 19_000_000, b"\x0a\x01a")),
    "a lying length of a span": lambda: field(1, b"\x12\xff\xff\xff\xff\x0f" + bytes(100)),
    "a lying length in a span": lambda: request(IDS + b"\x4a\xff\xff\xff\x7f" + b"a" * 1_000_000),
    "lengths of 10 bytes": lambda: b"\x0a" + b"\xff" * 1_000_000,
    "groups": lambda: request(IDS + _fill(b"\x0b\x0c")),
    "texts that are not UTF-8": lambda: request(IDS + attribute(b"a", field(1, b"\xff" * 19_000_000))),
    "indices of a thousand million": lambda: request(
        IDS
        + b"".join(
            attribute(b"llm.input_messages.%d.message.content" % (999_990_000 + n), b"\x0a\x01a") for n in range(9_000)
        )
    ),
}
JSON: dict[str, Callable[[], bytes]] = {
    "a million attributes": lambda: json_request(
        JSON_IDS + ',"attributes":[' + ",".join(['{"key":"a"}'] * 1_000_000) + "]"
    ),
    "brackets": lambda: b"[" * LARGEST,
    "arrays of nothing": lambda: b"[" + _fill(b"[],") + b"[]]",
    "numbers": lambda: b'{"a":[' + _fill(b"1,") + b"1]}",
    "texts": lambda: b'{"a":[' + _fill(b'"ab",') + b'""]}',
    "quotation marks": lambda: _fill(b'"'),
    "backslashes": lambda: b'["' + _fill(b"\\"),
    "escapes": lambda: b'["' + _fill(b"\\n"),
    "names": lambda: b'{"a":{' + _fill(b'"":0,') + b'"b":0}}',
    "deep maps": lambda: json_request(
        JSON_IDS + ',"attributes":[{"key":"a","value":' + '{"kvlistValue":{"values":[{"value":' * 1000
    ),
    "spaces": lambda: _fill(b" "),
    "zeros": lambda: bytes(LARGEST),
    "a name of 1 MB": lambda: json_request(JSON_IDS + ',"attributes":[{"key":"' + "n" * 1_000_000 + '"}]'),
    "a name of 19 MB": lambda: json_request(JSON_IDS + ',"attributes":[{"key":"' + "n" * 19_000_000 + '"}]'),
    "ids of 19 MB": lambda: json_request('"traceId":"' + "1" * 19_000_000 + '"'),
    "a number of 19 MB": lambda: json_request(JSON_IDS + ',"startTimeUnixNano":' + "1" * 19_000_000),
    "a text of digits of 19 MB": lambda: json_request(JSON_IDS + ',"startTimeUnixNano":"' + "1" * 19_000_000 + '"'),
    "empty spans": lambda: json_request("},{".join([""] * 200_000)),
    "no end": lambda: b'{"resourceSpans":[{"a":"' + _fill(b"x"),
}


def decode(decoder: Decoder) -> str:
    """Decode and translate the spans of a request, and return what came of it, in short."""
    try:
        batch = decoder.read_spans()
    except Problem as problem:
        return f"{problem.status} {problem.message[:100]}"
    parts = [part for span in batch.items if (part := translate(span, Limits(1024**2)))]
    return f"{len(batch.items)} spans, {len(parts)} kept, {json.dumps(batch.rejections)}"


def measure(decoder_type: type[Decoder], body: bytes) -> tuple[str, float, float]:
    """Decode a body; return what came of it, the seconds it took, and the mebibytes by which the process has grown."""
    assert len(body) <= LARGEST
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # resets the peak
    before, started = peak(), time.process_time()
    outcome = decode(decoder_type(body))
    return outcome, time.process_time() - started, peak() - before


def peak() -> float:
    """Return the largest size that the process has had, in mebibytes."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024


def main() -> None:
    """Measure all bodies, each as a line of JSON."""
    from promptcrafter.dialects.otlp.decode_protobuf import ProtobufDecoder

    decode(ProtobufDecoder(request(IDS)))  # what is loaded at the first request is not counted
    for decoder_type, bodies in ((ProtobufDecoder, PROTOBUF), (JsonDecoder, JSON)):
        for name, make in bodies.items():
            print(json.dumps([decoder_type.__name__, name, *measure(decoder_type, make())]), flush=True)


if __name__ == "__main__":
    main()
