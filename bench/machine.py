"""A description of the machine on which the figures were measured."""

import os
import platform
import sqlite3
import statistics
import time
from pathlib import Path

_SYNCS = 200
_BLOCK = b"x" * 4096


def describe(folder: Path, postgresql_version: str) -> str:
    """Return a line about the hardware and software; the disk is the one of `folder`."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    parts = [
        _cpu_model(),
        f"{len(os.sched_getaffinity(0))} cores",
        f"{memory:.0f} GiB",
        f"Python {platform.python_version()}",
        f"SQLite {sqlite3.sqlite_version}",
        f"PostgreSQL {postgresql_version}",
        f"fdatasync {measure_sync_ms(folder):.2f} ms (median)",
    ]
    return ", ".join(parts)


def measure_sync_ms(folder: Path) -> float:
    """Return the median time in milliseconds to write 4 KiB and fdatasync it."""
    path = folder / "fdatasync"
    took = []
    file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        for _ in range(_SYNCS):
            os.write(file, _BLOCK)
            started = time.perf_counter()
            os.fdatasync(file)
            took.append(time.perf_counter() - started)
    finally:
        os.close(file)
        path.unlink()
    return statistics.median(took) * 1000


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())
