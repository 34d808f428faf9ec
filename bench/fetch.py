"""Fetching a prompt that has not changed: `GET /prompts/by-slug/…` with `If-None-Match`, answered by 304."""

from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path

from bench.client import sign_up
from bench.databases import SQLITE, Databases
from bench.load import put_under_load, request
from bench.servers import Server, serve_both
from bench.table import Figure, Goal
from bench.texts import Writer

_CONNECTIONS = (1, 8)
_SECONDS = 0.8
_CONTENT_CHARACTERS = 600
_SLUG = "support/reply"


@dataclass
class _Measured:
    """The responses per second, and the milliseconds of CPU for each, in every round."""

    rates: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)

    def run(self, server: Server, sent: bytes, connections: int) -> None:
        before = server.cpu_s()
        load = put_under_load(server.port, [sent], connections, _SECONDS)
        if load.errors:
            raise RuntimeError(f"{load.errors} of {load.sent} fetches failed")
        self.rates.append(load.per_second)
        self.cpu_ms.append((server.cpu_s() - before) * 1000 / load.sent)


def measure(engine: str, databases: Databases, folder: Path, rounds: int) -> list[Figure]:
    """Return the rate and the workers' CPU time, over one connection and over several.

    The ceiling verifies the token, selects the prompt by its slug and answers it.
    """
    ours, raw = ({connections: _Measured() for connections in _CONNECTIONS} for _ in range(2))
    with serve_both(databases.make(engine, "fetch"), folder, "gthread") as pair:
        client = sign_up(pair.ours.port)
        content = Writer(seed=6).write(_CONTENT_CHARACTERS)
        prompt = {"title": "Reply", "slug": _SLUG, "tags": ["bench"], "content": content, "model": "gpt-4o"}
        client.call("POST", "/prompts", prompt)
        path = f"/prompts/by-slug/{_SLUG}"
        tag = _read_tag(pair.ours.port, path, client.token)
        for _ in range(rounds):
            for connections in _CONNECTIONS:
                known = request("GET", path, client.token, if_none_match=tag)
                ours[connections].run(pair.ours, known, connections)
                raw[connections].run(pair.raw, request("GET", path, client.token), connections)
    figures = []
    for connections in _CONNECTIONS:
        name = f"unchanged prompt (304), {connections} connection{'s' * (connections > 1)}"
        of_ours, of_raw = ours[connections], raw[connections]
        goal = Goal("≥", 0.8, of_ratio=True) if engine == SQLITE else None
        figures += [
            Figure(f"{name}: throughput", engine, "/s", of_ours.rates, of_raw.rates, goal),
            Figure(f"{name}: workers' CPU a request", engine, "ms", of_ours.cpu_ms, of_raw.cpu_ms),
        ]
    return figures


def _read_tag(port: int, path: str, token: str) -> str:
    connection = HTTPConnection("127.0.0.1", port)
    connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return str(answer.headers["ETag"])
