"""Pages of filtered logs, in databases of 1,000 and 1,000,000 logs: how much does a page depend on their number?"""

from contextlib import ExitStack
from pathlib import Path

from bench.client import log_in
from bench.databases import Databases
from bench.load import put_under_load, request
from bench.page import keep_logs
from bench.servers import serve_ours
from bench.table import Figure, Goal

COUNTS = (1_000, 1_000_000)
_SECONDS = 0.5
_FLAT = Goal("≤", 1.5)
_QUERIES = {
    "status=error": _FLAT,
    "userId=nobody": _FLAT,
    "hasNotes=true": _FLAT,
    "sort=worst": _FLAT,
    "sort=best": _FLAT,
    "since=9999w&scored=true": _FLAT,
    "model=model-1*": _FLAT,
    "scoreName=score": None,  # nobody has given one: each reads all logs
    "metadata.nothing=1": None,
}


def measure(engine: str, databases: Databases, folder: Path, rounds: int) -> list[Figure]:
    """Return, for each filter, the median latency of a page among many logs and its ratio to that among few."""
    measured: dict[tuple[str, int], list[float]] = {(query, count): [] for query in _QUERIES for count in COUNTS}
    with ExitStack() as stack:
        served = []
        for count in COUNTS:
            server = stack.enter_context(serve_ours(keep_logs(engine, databases, folder, count), folder))
            served.append((count, server.port, log_in(server.port).token))
        for _ in range(rounds):
            for query in _QUERIES:
                for count, port, token in served:
                    requests = [request("GET", f"/logs?{query}&per_page=100", token)]
                    measured[query, count].append(put_under_load(port, requests, 1, _SECONDS).percentile(50))
    figures = []
    for query, goal in _QUERIES.items():
        few, many = (measured[query, count] for count in COUNTS)
        name = f"`GET /logs?{query}`, a page of 100"
        growth = [large / small for small, large in zip(few, many, strict=True)]
        figures += [Figure(f"{name} among {COUNTS[-1]:,}: p50", engine, "ms", many)]
        figures += [Figure(f"the same, against among {COUNTS[0]:,}", engine, "×", growth, goal=goal)]
    return figures
