"""`POST /logs` with one log per request, by 32 and by 8 connections. Every log is on disk before its 201."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.client import sign_up
from bench.databases import SQLITE, Databases
from bench.load import Load, put_under_load, request
from bench.servers import Server, serve_both
from bench.table import Figure, Goal
from bench.texts import Writer

_OUTPUT_CHARACTERS = 600
_REQUESTS = 256
_MANY, _FEW = 32, 8
_SECONDS = {_MANY: 2.0, _FEW: 1.2}


def measure(engine: str, databases: Databases, folder: Path, rounds: int) -> list[Figure]:
    """Return throughput, latencies, CPU time of the workers and errors."""
    ours: dict[int, list[_Round]] = {connections: [] for connections in _SECONDS}
    raw: dict[int, list[_Round]] = {connections: [] for connections in _SECONDS}
    with serve_both(databases.make(engine, "write"), folder) as pair:
        client = sign_up(pair.ours.port)
        requests = make_requests(client.create_prompt("Write"), client.token)
        for _ in range(rounds):
            for connections in _SECONDS:
                for server, measured in ((pair.ours, ours), (pair.raw, raw)):
                    measured[connections].append(_run(server, requests, connections))

    def figure(what: str, unit: str, take: Callable[[_Round], float], connections: int, goal: Goal | None) -> Figure:
        of_ours, of_raw = ([take(run) for run in measured[connections]] for measured in (ours, raw))
        goal = goal if engine == SQLITE else None  # on PostgreSQL several round trips determine the time of a request
        return Figure(f"`POST /logs`, {connections} connections: {what}", engine, unit, of_ours, of_raw, goal)

    errors = [sum(run.load.errors for runs in measured.values() for run in runs) for measured in (ours, raw)]
    return [
        figure("throughput", "/s", lambda run: run.load.per_second, _MANY, Goal("≥", 0.6, of_ratio=True)),
        figure("p50", "ms", lambda run: run.load.percentile(50), _MANY, None),
        figure("p99", "ms", lambda run: run.load.percentile(99), _MANY, Goal("≤", 60)),
        figure("workers' CPU a request", "ms", lambda run: run.cpu_ms, _MANY, None),
        figure("throughput", "/s", lambda run: run.load.per_second, _FEW, None),
        figure("p99", "ms", lambda run: run.load.percentile(99), _FEW, Goal("≤", 20)),
        Figure("`POST /logs`: errors in all rounds", engine, "", errors[:1], errors[1:], Goal("≤", 0)),
    ]


@dataclass(frozen=True)
class _Round:
    load: Load
    cpu_ms: float  # of all workers, per request: the figure that other processes on the machine change least


def _run(server: Server, requests: Sequence[bytes], connections: int) -> _Round:
    before = server.cpu_s()
    load = put_under_load(server.port, requests, connections, _SECONDS[connections])
    return _Round(load, (server.cpu_s() - before) * 1000 / load.sent)


def make_requests(prompt_id: str, token: str, accept_encoding: str = "") -> list[bytes]:
    """Return requests to log different outputs of a prompt."""
    writer = Writer(seed=2)
    logs = (
        {"promptId": prompt_id, "output": writer.write(_OUTPUT_CHARACTERS), "modelUsed": "gpt-4o", "score": 7}
        for _ in range(_REQUESTS)
    )
    return [request("POST", "/logs", token, json.dumps(log).encode(), accept_encoding) for log in logs]
