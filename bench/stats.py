"""The statistics of a prompt with 200,000 of a million logs."""

from pathlib import Path

from bench.client import log_in
from bench.databases import Databases
from bench.load import put_under_load, request
from bench.page import COUNTS, keep_logs
from bench.servers import serve_ours
from bench.table import Figure, Goal

_SECONDS = 2.0


def measure(engine: str, databases: Databases, folder: Path, rounds: int) -> list[Figure]:
    """Return the median latency."""
    with serve_ours(keep_logs(engine, databases, folder, COUNTS[-1]), folder) as server:
        client = log_in(server.port)
        requests = [request("GET", f"/prompts/{client.find_prompt()}/stats", client.token)]
        ours = [put_under_load(server.port, requests, 1, _SECONDS).percentile(50) for _ in range(rounds)]
    return [Figure("`GET /prompts/:id/stats` of 200,000 logs: p50", engine, "ms", ours, goal=Goal("≤", 100))]
