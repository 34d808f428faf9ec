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
    **dict.fromkeys(("status=error", "userId=nobody", "sessionId=none", "environment=none", "hasNotes=true"), _FLAT),
    **dict.fromkeys(("sort=worst", "sort=best", "minScore=3&maxScore=8&sort=best"), _FLAT),
    # many logs match
    **dict.fromkeys(("status=ok", "since=9999w&scored=true", "minScore=3&maxScore=8", "model=model-1*"), _FLAT),
    **dict.fromkeys(("scoreName=score", "scoreName=score&minScore=9"), _FLAT),
    # none matches: each reads all logs
    **dict.fromkeys(("tag=none", "label=none", "startedSince=9999w", "scoreName=none", "metadata.nothing=1"), None),
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
