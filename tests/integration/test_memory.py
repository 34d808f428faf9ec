"""Large requests of many kinds, one after another, through the real Gunicorn: the workers return the memory."""

import gzip
import itertools
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.integration.test_lists import copy_log, memory
from tests.support.connection import Connection, create_prompt, sign_up
from tests.support.servers import LiveServer
from tests.support.transfer import join

KEPT_MAX = 25 * 2**20  # bytes, of all workers together; a connection that is used for the first time keeps 2 MB or more
_WAIT_S = 5
_SIZE = 600_000  # bytes of a body
_LARGE_ROWS = 10  # of a mebibyte
_TIMES = {"createdAt": "2026-01-01T00:00:00.000Z", "updatedAt": "2026-01-01T00:00:00.000Z"}
_NDJSON = {"Content_Type": "application/x-ndjson"}
_VARIANTS = [{"key": "A", "trafficPercent": 100}]
_OPTIONAL: dict[str, Any] = {
    "userInput": "u",
    "score": 3,
    "tags": ["t"],
    "notes": "n",
    "latencyMs": 1,
    "inputTokens": 1,
    "outputTokens": 1,
    "cost": 1,
}


EVERY_CODE = "".join(map(chr, (*range(0x21, 0xD800), *range(0xE000, 0x110000))))


@dataclass(frozen=True)
class Monster:
    """A large request, and the status of its answer."""

    call: str
    body: bytes | None
    status: int
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content_Type": "application/json"})


def monsters(prompt: str, size: int = _SIZE) -> dict[str, Monster]:
    """Return large requests by what is large in them. `prompt` is the id of a prompt with the slug `p`."""

    def json_of(value: Any) -> bytes:
        return json.dumps(value, ensure_ascii=False).encode()

    def repeat(before: str, item: str, after: str) -> bytes:
        return f"{before}{','.join([item] * ((size - 200) // (len(item) + 1)))}{after}".encode()

    names = ",".join(f'"{number:x}":0' for number in range(size // 10))
    log = {"promptId": prompt, "output": "o", "modelUsed": "m"}
    log_start = json.dumps(log)[:-1]
    words = " ".join(f"{number:x}" for number in range(size // 14))
    subsets = [
        {**log, **dict(chosen)} for number in range(9) for chosen in itertools.combinations(_OPTIONAL.items(), number)
    ]
    line = {"type": "log", "source": "basalt", "output": "o" * 500, **_TIMES}
    lines = [{**line, "_id": f"log_{number}"} for number in range(size // 1500)]
    header = {"type": "export", "format": "promptcrafter", "version": 1}
    found = {
        "lines that are not JSON": Monster("POST /logs/batch", b"x\n" * (size // 2), 400, _NDJSON),
        "lines that are no logs": Monster("POST /logs/batch", b"{}\n" * (size // 3), 400, _NDJSON),
        "blank lines": Monster("POST /logs/batch", b"\n" * size, 200, _NDJSON),
        "spans": Monster("POST /basalt/monitor/trace", repeat('{"featureSlug":"f","logs":[', "{}", "]}"), 400),
        "variants": Monster("POST /experiments", repeat('{"slug":"e","name":"n","variants":[', '{"x":"y"}', "]}"), 400),
        "variables": Monster(
            "POST /monitor/log", repeat('{"slug":"p","output":"o","variables":[', '{"label":1}', "]}"), 400
        ),
        "metrics": Monster("POST /experiment/e/log", f'{{"variantKey":"A","metrics":{{{names}}}}}'.encode(), 400),
        "unknown fields": Monster("POST /logs", f"{log_start},{names}}}".encode(), 201),
        "unknown fields of a strict call": Monster("POST /logs?strict=true", f"{log_start},{names}}}".encode(), 400),
        "tags": Monster("POST /prompts", repeat('{"title":"abc","content":"c","model":"m","tags":[', '""', "]}"), 400),
        "arrays": Monster("POST /logs", repeat(f'{log_start},"metadata":{{"a":[', "[[[]]]", "]}}"), 400),
        "numbers": Monster("POST /logs", repeat(f'{log_start},"metadata":{{"a":[', "1.5", "]}}"), 201),
        "brackets": Monster("POST /logs", b"[" * size, 400),
        "NaN behind a string": Monster("POST /logs", b'["' + b'\\"' * (size // 2 - 10) + b'", NaN]', 400),
        "cut off JSON": Monster("POST /logs", repeat('{"metadata":[', '{"a":{"b":"c"}}', ""), 400),
        "words": Monster("POST /logs", json_of({**log, "output": words}), 201),
        "a prompt of many characters": Monster(
            "POST /prompts", json_of({"title": "abc", "content": EVERY_CODE[: size // 12], "model": "m"}), 201
        ),
        "gzip": Monster(
            "POST /basalt/monitor/trace",
            gzip.compress(repeat('{"featureSlug":"f","logs":[', "{}", "]}")),
            400,
            {"Content_Type": "application/json", "Content_Encoding": "gzip"},
        ),
        "a batch of different fields": Monster("POST /logs/batch", json_of({"logs": subsets}), 200),
        "a batch of long logs": Monster(
            "POST /logs/batch", json_of({"logs": [{**log, "output": "a b " * 450}] * 1000}), 200
        ),
        "a batch of invalid logs": Monster(
            "POST /logs/batch", json_of({"logs": [{**log, "tags": [1] * 200, "score": "x" * 500}] * 1000}), 200
        ),
        "an import": Monster(
            "POST /import",
            join([header, *lines, {"type": "end", "prompts": 0, "versions": 0, "logs": len(lines)}]),
            200,
            _NDJSON,
        ),
        "an import of lines that are not JSON": Monster(
            "POST /import", json_of(header) + b"\n" + b"x\n" * size, 400, _NDJSON
        ),
        "an import of one line": Monster("POST /import", json_of(header) + b"\n" + b"x" * 4 * size, 400, _NDJSON),
        "a password": Monster(
            "POST /auth/login", json_of({"email": "a@example.com", "password": "x" * (size - 200)}), 400
        ),
        "a rendered prompt": Monster(
            f"POST /prompts/{prompt}/render", json_of({"variables": {"a": "x" * (size - 200)}}), 413
        ),
        "a list": Monster("GET /logs", None, 200),
        "a page": Monster("GET /logs?per_page=1000", None, 200),
        "an export": Monster("GET /export", None, 200),
        "a search": Monster("GET /logs?q=x&per_page=100", None, 200),
    }
    for number in range(6):
        output = EVERY_CODE[number * len(EVERY_CODE) // 6 : (number + 1) * len(EVERY_CODE) // 6]
        found[f"all characters, {number}"] = Monster("POST /logs", json_of({**log, "output": output}), 201)
    return found


def test_the_memory_of_large_requests_is_returned(any_live_server: LiveServer, engine_name: str) -> None:
    server = any_live_server
    connection = Connection(server, sign_up(server))
    prompt = create_prompt(connection)
    body = {"promptId": prompt, "output": "x y " * 2**18, "modelUsed": "m"}
    copy_log(server, connection.call("POST", "/logs", body).json["_id"], _LARGE_ROWS)
    connection.call("PATCH", f"/prompts/{prompt}", {"content": "{{a}}" * 400, "slug": "p"})
    connection.call("POST", "/experiments", {"slug": "e", "name": "n", "status": "ACTIVE", "variants": _VARIANTS})
    kept = {}
    for name, monster in monsters(prompt).items():
        if monster.status >= 400 and engine_name != "sqlite":
            continue  # refused before the database is asked
        before = used(server)
        method, _, path = monster.call.partition(" ")
        answer = connection.call(method, path, monster.body, **monster.headers)
        assert (name, answer.status) == (name, monster.status), answer.body[:500]
        assert len(answer.body) < 2**20 or method == "GET", name
        del answer
        deadline = time.monotonic() + _WAIT_S
        while (more := used(server) - before) > KEPT_MAX and time.monotonic() < deadline:
            time.sleep(0.1)
        kept[name] = more
    assert {name: more for name, more in kept.items() if more > KEPT_MAX} == {}


def used(server: LiveServer) -> int:
    """Return the bytes that all workers have for themselves."""
    return sum(map(memory, server.workers()))
