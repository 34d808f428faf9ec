"""100,000 logs in one streamed response, and the memory that it takes."""

import re
import time
from http.client import HTTPConnection
from pathlib import Path

from bench.client import log_in
from bench.databases import Databases
from bench.load import put_under_load, request
from bench.page import COUNTS, keep_logs
from bench.servers import Server, serve_both
from bench.table import Figure, Goal

_COUNT = COUNTS[1]
_CONNECTIONS, _SECONDS = 8, 1.0
_PIECE = 256 * 1024
_PIECES_PER_SAMPLE = 20
_TIMEOUT_S = 60
_MB = 1e6


def measure(engine: str, databases: Databases, folder: Path, rounds: int) -> list[Figure]:
    """Return the throughput in rows per second, and the largest growth of the workers' memory."""
    ours: list[float] = []
    raw: list[float] = []
    with serve_both(keep_logs(engine, databases, folder, _COUNT), folder, "gthread") as pair:
        token = log_in(pair.ours.port).token
        # Warm up, so that memory allocated by the first requests does not count as growth
        put_under_load(pair.ours.port, [request("GET", "/logs?per_page=100", token)], _CONNECTIONS, _SECONDS)
        before = largest = _memory_mb(pair.ours)
        for _ in range(rounds):
            rate, memory = _stream(pair.ours, token)
            ours.append(rate)
            largest = max(largest, memory)
            raw.append(_stream(pair.raw, token)[0])
    name = f"`GET /logs`, {_COUNT:,} logs streamed"
    return [
        Figure(name, engine, "rows/s", ours, raw, Goal("≥", 0.4, of_ratio=True)),
        Figure(f"{name}: memory above that before", engine, "MB", [largest - before], goal=Goal("≤", 10)),
    ]


def _stream(server: Server, token: str) -> tuple[float, float]:
    """Return rows per second and the largest memory of the workers in MB that was sampled."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=_TIMEOUT_S)
    started = time.monotonic()
    connection.request("GET", "/logs", headers={"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    rows = pieces = 0
    memory = 0.0
    while piece := answer.read(_PIECE):
        rows += piece.count(b"}")  # one per row: the rows contain no others
        pieces += 1
        if pieces % _PIECES_PER_SAMPLE == 0:
            memory = max(memory, _memory_mb(server))
    took = time.monotonic() - started
    connection.close()
    if rows != _COUNT:
        raise RuntimeError(f"{rows} of {_COUNT} rows came")
    return rows / took, memory


def _memory_mb(server: Server) -> float:
    """Return the workers' proportional set size (PSS), in which shared memory is divided among its processes."""
    texts = (Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii") for pid in server.workers())
    return sum(int(kb) for text in texts for kb in re.findall(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)) * 1024 / _MB
