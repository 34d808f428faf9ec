"""Statistics: of a prompt with 200,000 of a million logs, comparisons included, and of all of them by day."""

import time
from pathlib import Path

from bench.client import log_in
from bench.databases import Databases
from bench.load import put_under_load, request
from bench.page import COUNTS, keep_logs
from bench.servers import serve_ours
from bench.table import Figure, Goal

_SECONDS = 2.0
_STORED_WITHIN_S = 300


def measure(engine: str, databases: Databases, folder: Path, rounds: int) -> list[Figure]:
    """Return the median latencies, once the server has stored the aggregates of all days."""
    figures = []
    with serve_ours(keep_logs(engine, databases, folder, COUNTS[-1]), folder) as server:
        client = log_in(server.port)
        cases = {
            "`GET /prompts/:id/stats` of 200,000 logs by version and model": (
                f"/prompts/{client.find_prompt()}/stats?groupBy=version,model",
                100,
            ),
            "`GET /stats` of 1,000,000 logs by day": ("/stats?groupBy=day", 300),
        }
        for name, (path, most) in cases.items():
            requests = [request("GET", path, client.token)]
            wait_for_aggregates(server.port, requests, most)
            ours = [put_under_load(server.port, requests, 1, _SECONDS).percentile(50) for _ in range(rounds)]
            figures.append(Figure(f"{name}: p50", engine, "ms", ours, goal=Goal("≤", most)))
    return figures


def wait_for_aggregates(port: int, requests: list[bytes], most: float) -> None:
    """Wait until a request is answered, and quickly; give up after a while, and let the figure say so."""
    end = time.monotonic() + _STORED_WITHIN_S
    while time.monotonic() < end:
        load = put_under_load(port, requests, 1, _SECONDS)
        if not load.errors and load.percentile(50) <= most:
            return
        time.sleep(_SECONDS)
