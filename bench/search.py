"""The search over 100,000 prompts: a page of 20 for a rare, a less rare and a common word."""

from functools import partial
from pathlib import Path

from bench.client import log_in
from bench.databases import Databases
from bench.fill import MIDDLE, RARE, THIRD, fill_prompts
from bench.load import put_under_load, request
from bench.servers import serve_ours
from bench.table import Figure, Goal

_COUNT = 100_000
_FEWEST = 10
_SECONDS = 1.0
_WORDS = (
    (RARE, "in 1 of 10,000", Goal("≤", 25)),
    (MIDDLE, "in 1 of 50", Goal("≤", 25)),
    (THIRD, "in 1 of 3", Goal("≤", 60)),
)


def measure(engine: str, databases: Databases, folder: Path, rounds: int) -> list[Figure]:
    """Return the median latencies."""
    url = databases.keep(engine, f"prompts-{_COUNT}", partial(fill_prompts, folder=folder, count=_COUNT))
    ours: dict[str, list[float]] = {word: [] for word, _, _ in _WORDS}
    with serve_ours(url, folder) as server:
        client = log_in(server.port)
        for _ in range(rounds):
            for word, latencies in ours.items():
                path = f"/search?q={word}&per_page=20"
                if len(client.call("GET", path)) < _FEWEST:
                    raise RuntimeError(f"too few prompts contain {word}")
                requests = [request("GET", path, client.token)]
                latencies.append(put_under_load(server.port, requests, 1, _SECONDS).percentile(50))
    name = f"`GET /search` over {_COUNT:,} prompts, a word"
    return [Figure(f"{name} {where}: p50", engine, "ms", ours[word], goal=goal) for word, where, goal in _WORDS]
