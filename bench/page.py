"""A page of the 100 newest logs of a prompt, in databases of 1,000, 100,000 and 1,000,000 logs."""

from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench.client import log_in
from bench.databases import Databases
from bench.fill import fill_logs
from bench.load import put_under_load, request
from bench.servers import serve_both
from bench.table import Figure, Goal

COUNTS = (1_000, 100_000, 1_000_000)
_SECONDS = 0.5


def measure(engine: str, databases: Databases, folder: Path, rounds: int) -> list[Figure]:
    """Return the median latency for each size, and the ratio of the largest size's to the smallest size's."""
    ours: dict[int, list[float]] = {count: [] for count in COUNTS}
    raw: dict[int, list[float]] = {count: [] for count in COUNTS}
    with ExitStack() as stack:
        served = []
        for count in COUNTS:
            url = keep_logs(engine, databases, folder, count)
            pair = stack.enter_context(serve_both(url, folder, "gthread"))
            client = log_in(pair.ours.port)
            path = f"/logs?promptId={client.find_prompt()}&per_page=100"
            served.append((count, pair, [request("GET", path, client.token)]))
        for _ in range(rounds):
            for count, pair, requests in served:
                ours[count].append(put_under_load(pair.ours.port, requests, 1, _SECONDS).percentile(50))
                raw[count].append(put_under_load(pair.raw.port, requests, 1, _SECONDS).percentile(50))
    figures = [
        Figure(f"page of 100 logs among {count:,}: p50", engine, "ms", ours[count], raw[count], Goal("≤", 2.5, True))
        for count in COUNTS
    ]
    growth = [[large / small for small, large in zip(of[COUNTS[0]], of[COUNTS[-1]], strict=True)] for of in (ours, raw)]
    name = f"the same, among {COUNTS[-1]:,} against among {COUNTS[0]:,}"
    return [*figures, Figure(name, engine, "×", growth[0], growth[1], Goal("≤", 1.3))]


def keep_logs(engine: str, databases: Databases, folder: Path, count: int) -> str:
    """Return the URL of a kept database with `count` logs; see `Databases.keep`."""
    return databases.keep(engine, f"logs-{count}", partial(fill_logs, folder=folder, count=count))
