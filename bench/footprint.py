"""The resources of the service: seconds until its first response, memory, packages and disk space."""

import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from bench.client import sign_up
from bench.databases import ROOT, SQLITE, Databases
from bench.load import put_under_load
from bench.servers import serve_bare, serve_ours
from bench.table import Figure, Goal
from bench.write import make_requests

_CONNECTIONS = 8
_SECONDS = 2.0
_MB = 1e6


def measure(engine: str, databases: Databases, folder: Path, rounds: int) -> list[Figure]:
    """Return start time, memory after load, packages and their size, on SQLite only: PostgreSQL changes them little."""
    if engine != SQLITE:
        return []
    url = databases.make(engine, "footprint")
    ours, raw = [], []
    for _ in range(rounds):
        with serve_ours(url, folder) as server:
            ours.append(server.started_in_s)
        with serve_bare(url, folder) as server:
            raw.append(server.started_in_s)
    with serve_ours(url, folder, TOKEN_COUNTING="off") as server:
        client = sign_up(server.port)
        requests = make_requests(client.create_prompt("Footprint"), client.token)
        put_under_load(server.port, requests, _CONNECTIONS, _SECONDS)
        memory = max(_resident_mb(pid) for pid in server.workers())
    return [
        Figure("cold start to the first 200", engine, "s", ours, raw, Goal("≤", 1.5)),
        Figure("RSS of a worker after load, `TOKEN_COUNTING=off`", engine, "MB", [memory], goal=Goal("≤", 70)),
        *_measure_installation(),
    ]


def _measure_installation() -> list[Figure]:
    names = re.findall(r"^[\w-]+", (ROOT / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE)
    megabytes = sum(_installed_bytes(name) for name in [*names, "psycopg-binary"]) / _MB
    return [
        Figure("packages in requirements.txt", "–", "", [len(names)], goal=Goal("≤", 45)),
        Figure("their size when installed", "–", "MB", [megabytes], goal=Goal("≤", 120)),
    ]


def _installed_bytes(name: str) -> int:
    """Return the size of a distribution's files in bytes, compiled Python files included."""
    try:
        files = distribution(name).files or []
    except PackageNotFoundError:  # an extra without a wheel for this platform
        return 0
    paths = (Path(str(file.locate())) for file in files)
    return sum(path.stat().st_size for path in paths if path.exists())


def _resident_mb(pid: int) -> float:
    (kilobytes,) = re.findall(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(kilobytes) * 1024 / _MB
