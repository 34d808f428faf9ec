"""Gunicorn processes of the service with its own configuration, and of the raw ceiling."""

import http.client
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.databases import ROOT, SECRET, bin_path

_TIMEOUT_S = 30


@dataclass(frozen=True)
class Server:
    """A running server."""

    port: int
    pid: int
    started_in_s: float  # seconds until the first 200

    def workers(self) -> list[int]:
        """Return the process ids of its workers."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii")
        return [int(pid) for pid in children.split()]

    def cpu_s(self) -> float:
        """Return the CPU seconds that its workers have used so far."""
        stats = (Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2] for pid in self.workers())
        return sum(int(ticks) for stat in stats for ticks in stat.split()[11:13]) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Pair:
    """The service and the raw ceiling with the same database."""

    ours: Server
    raw: Server


@contextmanager
def serve_both(database_url: str, folder: Path, bare_worker: str = "sync") -> Iterator[Pair]:
    """Start the service with its default settings and the raw ceiling, both with one database."""
    with ExitStack() as stack:
        ours = stack.enter_context(serve_ours(database_url, folder))
        yield Pair(ours, stack.enter_context(serve_bare(database_url, folder, bare_worker)))


@contextmanager
def serve_ours(database_url: str, folder: Path, **settings: str) -> Iterator[Server]:
    """Start the service with a migrated database, by the command of the Procfile."""
    with _serve(["gunicorn.conf.py", "wsgi:app"], database_url, folder, settings) as server:
        yield server


@contextmanager
def serve_bare(database_url: str, folder: Path, worker: str = "sync") -> Iterator[Server]:
    """Start the raw ceiling with Gunicorn workers of this class."""
    with _serve(
        ["bench/bare_gunicorn.py", "bench.bare:app"], database_url, folder, {"BARE_WORKER_CLASS": worker}
    ) as server:
        yield server


@contextmanager
def _serve(arguments: list[str], database_url: str, folder: Path, settings: dict[str, str]) -> Iterator[Server]:
    port = _free_port()
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": database_url,
        "JWT_SECRET_KEY": SECRET,
        "INSTANCE_PATH": str(folder / "instance"),
        "HOST": "127.0.0.1",
        "PORT": str(port),
        **settings,
    }
    started = time.monotonic()
    with (folder / f"server-{port}.log").open("wb") as log:
        command = [bin_path("gunicorn"), "-c", *arguments]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        _wait_until_up(port, process, Path(log.name))
        yield Server(port, process.pid, time.monotonic() - started)
    finally:
        process.terminate()
        process.wait(timeout=_TIMEOUT_S)


def _wait_until_up(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
        try:
            connection.request("GET", "/healthz")
            if connection.getresponse().status == 200:
                return
        except ConnectionError:
            time.sleep(0.01)
        finally:
            connection.close()
    raise RuntimeError(f"The server did not come up: {log.read_text(encoding='utf-8')}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
