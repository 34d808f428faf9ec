"""What gzip costs: the same requests with and without `Accept-Encoding: gzip`, in turns, on the service alone."""

from collections.abc import Sequence
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path

from bench.client import Client, sign_up
from bench.databases import Databases
from bench.load import Load, put_under_load, request
from bench.servers import Server, serve_ours
from bench.table import Figure, Goal
from bench.texts import Writer
from bench.write import make_requests

_ACCEPTED = ("", "gzip")
_BATCHES, _ROWS = 12, 1000  # an export of some ten megabytes
_CONNECTIONS = 8
_SECONDS = 1.5
_EXPORTS = 3
_TIMEOUT_S = 60
_MB = 1e6
_Measured = dict[str, list[float]]  # a value for each round, by accepted coding


def measure(engine: str, databases: Databases, folder: Path, rounds: int) -> list[Figure]:
    """Return what logs, pages and exports take with gzip, its ratio to that without, and the bytes of an export."""
    writes, pages, latencies, exports = _nothing(), _nothing(), _nothing(), _nothing()
    sizes: dict[str, float] = {}
    with ExitStack() as stack:
        written, read = (
            stack.enter_context(serve_ours(databases.make(engine, name), folder)) for name in ("gzip_writes", "gzip")
        )
        writer, reader = sign_up(written.port), sign_up(read.port)
        prompt_id = writer.create_prompt("Compression")
        path = f"/logs?promptId={_fill(reader)}&per_page=100"
        for _ in range(rounds):
            for accepted in _ACCEPTED:
                load, cpu_ms = _run(written, make_requests(prompt_id, writer.token, accepted), _CONNECTIONS)
                writes[accepted].append(cpu_ms)
            for accepted in _ACCEPTED:
                load, cpu_ms = _run(read, [request("GET", path, reader.token, accept_encoding=accepted)], 1)
                pages[accepted].append(cpu_ms)
                latencies[accepted].append(load.percentile(50))
            for accepted in _ACCEPTED:
                before = read.cpu_s()
                for _ in range(_EXPORTS):
                    sizes[accepted] = _export(read.port, reader.token, accepted)
                exports[accepted].append((read.cpu_s() - before) * 1000 / _EXPORTS)
    export = f"`GET /export` of {sizes['']:.0f} MB"
    return [
        *_figures("`POST /logs`: workers' CPU a request", engine, writes, 1.1),
        *_figures("page of 100 logs: workers' CPU a request", engine, pages, 1.5),
        *_figures("page of 100 logs: p50", engine, latencies, 1.5),
        *_figures(f"{export}: workers' CPU", engine, exports, 1.5),
        Figure(f"{export}: sent with gzip", engine, "MB", [sizes["gzip"]]),
    ]


def _nothing() -> _Measured:
    return {accepted: [] for accepted in _ACCEPTED}


def _run(server: Server, requests: Sequence[bytes], connections: int) -> tuple[Load, float]:
    """Return the load and the milliseconds of CPU time that the workers took for a request."""
    before = server.cpu_s()
    load = put_under_load(server.port, requests, connections, _SECONDS)
    return load, (server.cpu_s() - before) * 1000 / load.sent


def _figures(name: str, engine: str, measured: _Measured, most: float) -> list[Figure]:
    plain, packed = (measured[accepted] for accepted in _ACCEPTED)
    ratios = [with_gzip / without for with_gzip, without in zip(packed, plain, strict=True)]
    return [
        Figure(f"{name}, without gzip", engine, "ms", plain),
        Figure("the same, with gzip", engine, "ms", packed),
        Figure("the same, with gzip against without", engine, "×", ratios, goal=Goal("≤", most)),
    ]


def _fill(client: Client) -> str:
    """Log outputs of a prompt, and return its id."""
    prompt_id, writer = client.create_prompt("Compression"), Writer(seed=4)
    for _ in range(_BATCHES):
        log = {"promptId": prompt_id, "modelUsed": "gpt-4o", "score": 7}
        client.call("POST", "/logs/batch", {"logs": [{**log, "output": writer.write(600)} for _ in range(_ROWS)]})
    return prompt_id


def _export(port: int, token: str, accepted: str) -> float:
    """Receive an export, without decompressing it, and return its megabytes."""
    connection = HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
    headers = {"Authorization": f"Bearer {token}", "Accept-Encoding": accepted or "identity"}
    connection.request("GET", "/export", headers=headers)
    size = len(connection.getresponse().read())
    connection.close()
    return size / _MB
