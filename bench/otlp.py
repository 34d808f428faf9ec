"""`POST /v1/traces`: one large request, senders beside a client of `POST /logs`, and the disk space of a log."""

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench.client import Client, sign_up
from bench.databases import SQLITE, Databases
from bench.load import Load, put_under_load, request
from bench.servers import Server, serve_ours
from bench.table import Figure, Goal
from bench.texts import Writer
from bench.write import make_requests

_SPANS = 512  # as exporters send by default
_SPANS_OF_A_TRACE = 8
_SENDERS = 8
_SECONDS = 6.0
_START_NS = 1_750_000_000_000_000_000
_TRACE_PREFIX = b"_PREFIX_"  # of all trace ids of a request, replaced before it is sent
_PAYLOAD = 10 * 1024
_FILLING_REQUESTS = 8
_CALLS_A_DAY = (1_000, 10_000, 100_000)


def measure(engine: str, databases: Databases, folder: Path, rounds: int) -> list[Figure]:
    """Return latencies, throughput, and bytes on the disk."""
    single: list[float] = []
    mixed: list[_Mixed] = []
    errors = 0
    with serve_ours(databases.make(engine, "otlp"), folder) as server, ProcessPoolExecutor(1) as other_process:
        client = sign_up(server.port)
        key = _make_key(client)
        large, usual = _make_template(2048, 2048), _make_template(600, 400)
        logs = make_requests(client.create_prompt("OTLP"), client.token)
        for _ in range(rounds):
            load = put_under_load(server.port, _vary(large, key), 1, _SECONDS)
            single.append(load.percentile(50))
            errors += load.errors
            mixed.append(_send_beside_logs(server, logs, usual, key, other_process))
    errors += sum(each.errors for each in mixed)
    kept, of_payload = _measure_disk_space(engine, databases, folder)

    def figure(what: str, unit: str, take: Callable[["_Mixed"], float], goal: Goal | None) -> Figure:
        return Figure(f"{_SENDERS} senders of {_SPANS} spans: {what}", engine, unit, [*map(take, mixed)], goal=goal)

    years = (
        Figure(f"a year of {calls:,} calls a day", engine, "GB", [kept * calls * 365 / 1e9]) for calls in _CALLS_A_DAY
    )
    return [
        Figure(f"one request of {_SPANS} spans of 4 KB: p50", engine, "ms", single, goal=Goal("≤", 250)),
        figure("calls of models", "/s", lambda each: each.spans_per_second, Goal("≥", 4000)),
        figure("p99 of another client's `POST /logs`", "ms", lambda each: each.p99_ms, Goal("≤", 100)),
        Figure("`POST /v1/traces`: errors in all rounds", engine, "", [errors], goal=Goal("≤", 0)),
        Figure(
            "a log of 8 KB of input and 2 KB of output on the disk",
            engine,
            "× its payload",
            [of_payload],
            goal=Goal("≤", 1.6),
        ),
        *years,
    ]


@dataclass(frozen=True)
class _Mixed:
    """Senders of spans, and beside them one client that writes logs."""

    spans_per_second: float
    p99_ms: float
    errors: int


def _send_beside_logs(
    server: Server, logs: list[bytes], template: bytes, key: str, other_process: ProcessPoolExecutor
) -> _Mixed:
    sending = other_process.submit(_send, server.port, template, key)
    beside = put_under_load(server.port, logs, 1, _SECONDS)
    load = sending.result()
    return _Mixed(load.per_second * _SPANS, beside.percentile(99), load.errors + beside.errors)


def _send(port: int, template: bytes, key: str) -> Load:
    return put_under_load(port, _vary(template, key), _SENDERS, _SECONDS)


def _make_key(client: Client) -> str:
    return str(client.call("POST", "/auth/keys", {"name": "traces", "scopes": ["ingest"]})["key"])


def _make_template(input_bytes: int, output_bytes: int) -> bytes:
    """Return the body of a request whose spans are calls of a model, with `_TRACE_PREFIX` in their trace ids."""
    writer = Writer(seed=5)
    message = ExportTraceServiceRequest()
    of_scope = message.resource_spans.add().scope_spans.add()
    for number in range(_SPANS):
        trace, place = divmod(number, _SPANS_OF_A_TRACE)
        span = of_scope.spans.add(
            trace_id=_TRACE_PREFIX + trace.to_bytes(8, "big"),
            span_id=(place + 1).to_bytes(8, "big"),
            name="chat gpt-4o",
            start_time_unix_nano=_START_NS,
            end_time_unix_nano=_START_NS + 1_500_000_000,
        )
        texts = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.response.model": "gpt-4o",
            "gen_ai.input.messages": _make_messages("user", writer.write(input_bytes)),
            "gen_ai.output.messages": _make_messages("assistant", writer.write(output_bytes)),
        }
        for name, text in texts.items():
            span.attributes.add(key=name).value.string_value = text
        for name, count in ("input", 500), ("output", 100):
            span.attributes.add(key=f"gen_ai.usage.{name}_tokens").value.int_value = count
    return bytes(message.SerializeToString())


def _make_messages(role: str, text: str) -> str:
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}])


def _vary(template: bytes, key: str) -> Iterator[bytes]:
    """Return requests without end, each with new traces."""
    while True:
        body = template.replace(_TRACE_PREFIX, os.urandom(len(_TRACE_PREFIX)))
        yield request("POST", "/v1/traces", key, body, content_type="application/x-protobuf")


def _measure_disk_space(engine: str, databases: Databases, folder: Path) -> tuple[float, float]:
    """Return the bytes that a log takes on the disk, and how many times those of its texts they are."""
    url = databases.make(engine, "otlp_space")
    with serve_ours(url, folder) as server:
        key = _make_key(sign_up(server.port))
        before = _used_bytes(engine, url)
        requests = _vary(_make_template(_PAYLOAD * 4 // 5, _PAYLOAD // 5), key)
        for _ in range(_FILLING_REQUESTS):
            assert put_under_load(server.port, requests, 1, 0).errors == 0
    kept = (_used_bytes(engine, url) - before) / (_FILLING_REQUESTS * _SPANS)
    return kept, kept / _PAYLOAD


def _used_bytes(engine: str, url: str) -> int:
    """Return the size of the database without pages that are free."""
    if engine == SQLITE:
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as database:
            size, pages, free = (
                database.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_size", "page_count", "freelist_count")
            )
        return int(size * (pages - free))
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    return int(row[0]) if row else 0
