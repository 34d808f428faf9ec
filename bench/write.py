"""One log a request: `POST /logs` by 32 and by 8 connections, every 201 on the disk."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.client import sign_up
from bench.databases import Databases
from bench.load import Load, put_under_load, request
from bench.servers import serve_both
from bench.table import Figure, Goal
from bench.texts import Writer

_OUTPUT_CHARACTERS = 600
_REQUESTS = 256
_MANY, _FEW = 32, 8
_SECONDS = {_MANY: 3.0, _FEW: 1.5}


def measure(engine: str, databases: Databases, folder: Path, rounds: int) -> list[Figure]:
    """Return throughput, latencies and errors."""
    loads: dict[tuple[str, int], list[Load]] = {}
    with serve_both(databases.make(engine, "write"), folder) as pair:
        client = sign_up(pair.ours.port)
        requests = make_requests(client.create_prompt("Write"), client.token)
        for _ in range(rounds):
            for connections, seconds in _SECONDS.items():
                for name, server in (("ours", pair.ours), ("raw", pair.raw)):
                    load = put_under_load(server.port, requests, connections, seconds)
                    loads.setdefault((name, connections), []).append(load)

    errors = [sum(load.errors for run in loads if run[0] == name for load in loads[run]) for name in ("ours", "raw")]

    def figure(what: str, unit: str, take: Callable[[Load], float], connections: int, goal: Goal | None) -> Figure:
        ours, raw = (_take(take, loads[name, connections]) for name in ("ours", "raw"))
        return Figure(f"`POST /logs`, {connections} connections: {what}", engine, unit, ours, raw, goal)

    return [
        figure("throughput", "/s", lambda load: load.per_second, _MANY, Goal("≥", 0.6, of_ratio=True)),
        figure("p50", "ms", lambda load: load.percentile(50), _MANY, None),
        figure("p99", "ms", lambda load: load.percentile(99), _MANY, Goal("≤", 60)),
        figure("throughput", "/s", lambda load: load.per_second, _FEW, None),
        figure("p99", "ms", lambda load: load.percentile(99), _FEW, Goal("≤", 20)),
        Figure("`POST /logs`: errors in all rounds", engine, "", errors[:1], errors[1:], Goal("≤", 0)),
    ]


def make_requests(prompt_id: str, token: str) -> list[bytes]:
    """Return requests that log different outputs of a prompt."""
    writer = Writer(seed=2)
    logs = (
        {"promptId": prompt_id, "output": writer.write(_OUTPUT_CHARACTERS), "modelUsed": "gpt-4o", "score": 7}
        for _ in range(_REQUESTS)
    )
    return [request("POST", "/logs", token, json.dumps(log).encode()) for log in logs]


def _take(take: Callable[[Load], float], loads: Sequence[Load]) -> list[float]:
    return [take(load) for load in loads]
