"""`python -m bench`: run all parts of the benchmark, or those named, and print a table of the figures."""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from bench import (
    batch,
    compression,
    fetch,
    filters,
    footprint,
    machine,
    otlp,
    page,
    pages,
    search,
    stats,
    stream,
    table,
    write,
)
from bench.databases import CACHE, POSTGRESQL, SQLITE, serve_databases

_PARTS = {
    "write": write.measure,
    "batch": batch.measure,
    "otlp": otlp.measure,
    "page": page.measure,
    "pages": pages.measure,
    "filters": filters.measure,
    "fetch": fetch.measure,
    "stream": stream.measure,
    "compression": compression.measure,
    "stats": stats.measure,
    "search": search.measure,
    "footprint": footprint.measure,
}


def main() -> None:
    """Run the parts on both databases and print the table of their figures."""
    arguments = _read_arguments()
    started = time.monotonic()
    CACHE.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=CACHE))  # not in /tmp, which may be in memory
    try:
        with serve_databases(folder) as databases:
            described = machine.describe(folder, databases.version())
            figures = []
            for part in arguments.parts or _PARTS:
                for engine in arguments.database or (SQLITE, POSTGRESQL):
                    print(f"{part} on {engine} …", file=sys.stderr)
                    figures += _PARTS[part](engine, databases, folder, arguments.rounds)
    finally:
        shutil.rmtree(folder)
    print(f"{described}; {arguments.rounds} rounds in {time.monotonic() - started:.0f} s\n\n{table.write(figures)}")


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    # argparse checks an empty list of parts, too, so [] is one of the choices
    parser.add_argument("parts", nargs="*", choices=[[], *_PARTS], metavar="part", help=", ".join(_PARTS))
    parser.add_argument("--database", action="append", choices=[SQLITE, POSTGRESQL], help="only this one")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
