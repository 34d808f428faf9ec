"""What stops the start: settings with which the service could not listen or use its database, each in one line."""

import errno
import fcntl
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask
from sqlalchemy import NullPool, create_engine, make_url

from config import Config, ConfigError
from promptcrafter import create_app
from promptcrafter.database import revisions, sqlite
from promptcrafter.database.session import get_engine
from promptcrafter.server import startup
from tests.support import programs
from tests.support.connection import Connection
from tests.support.databases import OTHER_ENCODINGS, create_database, create_database_in, only_sqlite
from tests.support.environment import ROOT, SECRET, bin_path, free_port
from tests.support.people import Person
from tests.support.servers import LiveServer

COMMANDS = {
    "server": ["gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"],
    "migration": ["flask", "--app", "wsgi", "db", "upgrade"],
    "command": ["flask", "--app", "wsgi", "user", "list"],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with what is not a database."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.db").write_text("This is no database. " * 100)
    os.mkfifo(tmp_path / "fifo")
    return tmp_path


def start(**environ: str) -> None:
    """Do what the start does with a configuration, in this process."""
    config = Config.from_env(environ)
    create_app(config)
    startup.check(config)


def run(command: str, folder: Path, prefix: Sequence[str] = (), **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; with a prefix as an executable that the prefix starts."""
    environment = {"PATH": os.environ["PATH"], "INSTANCE_PATH": str(folder / "instance"), "PORT": str(free_port())}
    environment |= {"HOST": "127.0.0.1", **environ}
    program, *arguments = COMMANDS[command]
    if not prefix:
        return programs.run(program, *arguments, environment=environment)
    return subprocess.run(
        [*prefix, bin_path(program), *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


NUMBERS = {
    **{"PORT": 65535, "TOKEN_DAYS": 3650, "WEB_CONCURRENCY": 64, "WEB_THREADS": 64, "CLIENT_TIMEOUT_S": 3600},
    **{"MAX_BODY_BYTES": 1024**3, "MAX_OUTPUT_BYTES": 1024**3, "MAX_IMPORT_BYTES": 1024**4},
    **{"TRUSTED_PROXIES": 10, "DATABASE_TIMEOUT_MS": 600_000},
}
SWITCHES = ("TOKEN_COUNTING", "RATELIMIT_ENABLED", "ALLOW_EPHEMERAL", "METRICS")
RATES = ("SIGNUP_RATE", "LOGIN_RATE", "LOGIN_FAILURE_RATE", "KEY_RATE")
BAD = [
    *(
        (name, bad)
        for name, most in NUMBERS.items()
        for bad in ("x", "-1", "1.5", "1e3", "٣", str(most + 1), "9" * 5000)
    ),
    *((name, bad) for name in SWITCHES for bad in ("maybe", "2", "onn")),
    *((name, bad) for name in RATES for bad in ("often", "20", "-1 per hour", "20 per fortnight", "9" * 5000)),
    ("SIGNUP", "close"),
    ("SQLITE_SYNCHRONOUS", "off"),
    ("LOG_FORMAT", "xml"),
    ("WEB_THREADS", "1"),
    *(("HOST", bad) for bad in ("[::g]", "[::1", "::1]", "[127.0.0.1]", "127.0.0.1:80", "999.1.1.1", "a b", "é", "/x")),
    *(("HOST", bad) for bad in ("http://localhost", "unix:/x", "[::1]:8000", "x" * 300)),
    *(
        ("RATELIMIT_STORAGE_URI", bad)
        for bad in ("memcached://h:1", "foo://", "memory", "memory://x", "mongodb://h", "x")
    ),
    *(("RATELIMIT_STORAGE_URI", bad) for bad in ("redis://h:port", "redis://h:99999", "redis://[::1", "redis://%zz@h")),
    *(
        ("RATELIMIT_STORAGE_URI", bad)
        for bad in ("redis://h/name", "async+memory://", "redis+sentinel://h", "http://h")
    ),
    *(("INSTANCE_PATH", bad) for bad in ("{}/file", "{}/file/x", "{}/fifo", "/proc/nothing", "/dev/null", "x" * 300)),
    *(
        ("DATABASE_URL", bad)
        for bad in ("sqlite:///{}/folder", "sqlite:///{}/file/x.db", "sqlite:////proc/nothing/x.db")
    ),
    *(("DATABASE_URL", bad) for bad in ("sqlite:///{}/text.db", "sqlite:////dev/null", "sqlite:///{}/fifo")),
    *(("DATABASE_URL", bad) for bad in ("sqlite:///{}/" + "x" * 300, "sqlite:", "SQLITE:///x", "mysql://h/d", "x")),
    *(("DATABASE_URL", bad) for bad in ("postgresql://h:port/d", "postgresql://h:99999/d", "postgresql://[::1/d")),
    *(("DATABASE_URL", bad) for bad in ("postgresql+psycopg2://h/d", "postgresql://127.0.0.1:1/d?foo=bar")),
    ("DATABASE_URL", "postgresql://127.0.0.1:1/d?sslmode=maybe"),
    ("JWT_SECRET_KEY", "short"),
    *((f"{name}_FILE", bad) for name in ("JWT_SECRET_KEY", "DATABASE_URL") for bad in ("/nowhere", "{}/folder")),
]


def test_every_bad_setting_stops_the_start_with_a_short_line_that_names_it(
    folder: Path, subtests: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)  # relative paths
    for name, value in BAD:
        with subtests.test(name=name, value=value[:50]):
            good = {"INSTANCE_PATH": str(folder / "instance"), "PORT": str(free_port()), "HOST": "127.0.0.1"}
            with pytest.raises(ConfigError) as raised:
                start(**{**good, name: value.format(folder)})
            line = str(raised.value)
            assert line.startswith(name), line
            assert line.endswith("."), line
            assert "\n" not in line
            assert len(line) < 400


def test_a_file_system_without_locks_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    sqlite.create(tmp_path / "promptcrafter.db")
    config = Config.from_env({"INSTANCE_PATH": str(tmp_path), "PORT": str(free_port()), "HOST": "127.0.0.1"})
    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(ConfigError, match=r"^INSTANCE_PATH names the SQLite .*, which cannot be used: No locks avail"):
        startup.check(config)


def test_other_forms_of_good_values_are_accepted(tmp_path: Path) -> None:
    for name, values in {
        "HOST": ["[::1]", "::1", "::", "localhost", "0.0.0.0", "fe80::1%eth0", "my-host.example.com"],
        "METRICS": ["yes", "on", "TRUE", "1", "no", "Off", "0", "false"],
        "RATELIMIT_STORAGE_URI": ["redis://", "redis://:p%40@h:6379/1", "rediss://u:p@h", "redis+unix:///run/r.sock"],
        "SIGNUP_RATE": ["1/second;20 per hour", "5 per 2 hours"],
    }.items():
        for value in values:
            Config.from_env({"INSTANCE_PATH": str(tmp_path), name: value})
    assert Config.from_env({"INSTANCE_PATH": str(tmp_path), "HOST": "[::1]"}).host == "::1"
    threads = {"DATABASE_URL": "postgresql://h/d", "WEB_THREADS": "1"}
    assert Config.from_env({"INSTANCE_PATH": str(tmp_path), **threads}).web_threads == 1


def test_a_secret_file_without_a_secret_stops_the_start(tmp_path: Path) -> None:
    for content in (b"short", b"\xff" * 40, b"x" * 20 + bytes(20), b"\0" * 40 + b"\xff" * 40):
        (tmp_path / "jwt_secret_key").write_bytes(content)
        with pytest.raises(
            ConfigError, match=r"^INSTANCE_PATH names the folder .*, where the file jwt_secret_key cannot"
        ):
            Config.from_env({"INSTANCE_PATH": str(tmp_path)})


def test_an_address_that_cannot_be_listened_on_names_host_or_port() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            ConfigError,
            match=rf"^PORT is {port}, but 127\.0\.0\.1:{port} cannot be .*: Address already .* PORT=9000\.$",
        ):
            startup.refuse_unusable_address("127.0.0.1", port)
    for host in ("192.0.2.1", "nothing.invalid", "2001:db8::1"):
        with pytest.raises(ConfigError, match=rf"^HOST is '{host}', but "):
            startup.refuse_unusable_address(host, port)
    startup.refuse_unusable_address("127.0.0.1", port)


def test_an_inherited_or_another_address_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["gunicorn", "-c", "gunicorn.conf.py"])
    assert not startup.is_bound_elsewhere()
    for arguments in (["-b", "127.0.0.1:1"], ["--bind=[::1]:1"], ["-b127.0.0.1:1"]):
        monkeypatch.setattr("sys.argv", ["gunicorn", *arguments])
        assert startup.is_bound_elsewhere()
    monkeypatch.setattr("sys.argv", ["gunicorn"])
    for name, value in (("GUNICORN_FD", "3"), ("LISTEN_FDS", "1"), ("GUNICORN_CMD_ARGS", "--bind=0.0.0.0:1")):
        with monkeypatch.context() as context:
            context.setenv(name, value)
            assert startup.is_bound_elsewhere()


# Commands read the settings in one place, before they know which command they are, but use the database on their own
@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "name", "value"),
    [
        *(
            (command, "DATABASE_URL", value)
            for command in COMMANDS
            for value in ("sqlite:///{}/file/x.db", "sqlite:///{}/text.db", "postgresql://127.0.0.1:1/d?foo=bar")
        ),
        *((command, "INSTANCE_PATH", "{}/file/x") for command in ("server", "migration")),
        *((command, "RATELIMIT_STORAGE_URI", "memcached://h:1") for command in ("server", "command")),
        ("server", "WEB_THREADS", "1"),
    ],
)
def test_both_programs_exit_at_once_with_one_line(folder: Path, command: str, name: str, value: str) -> None:
    ended = run(command, folder, **{name: value.format(folder)})
    assert ended.returncode == 1
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert line.removeprefix("Error: ").startswith(name)


@pytest.mark.slow
def test_a_server_on_a_taken_port_exits_at_once_with_one_line(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        ended = run("server", tmp_path, PORT=str(taken.getsockname()[1]))
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("PORT is ")


@pytest.fixture
def has_ipv6() -> Iterator[None]:
    try:
        with closing(socket.create_server(("::1", 0), family=socket.AF_INET6)):
            yield
    except OSError:
        pytest.skip("this machine has no IPv6")


@pytest.mark.usefixtures("has_ipv6")
def test_a_server_without_room_for_its_metrics_exits_at_once_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    limited = ("sh", "-c", 'ulimit -f 400; exec "$@"', "-")  # of 512 or 1024 bytes
    ended = run("server", tmp_path, limited, METRICS="on", WEB_CONCURRENCY="3", TMPDIR=str(tmp_path / "tmp"))
    message = (
        f"METRICS is on and takes 6,291,456 bytes in {tmp_path}/tmp, where they cannot be written: File too large. "
    )
    assert (ended.stdout, ended.stderr) == ("", f"{message}Set TMPDIR to another folder.\n")
    assert ended.returncode == 1
    assert list((tmp_path / "tmp").iterdir()) == []


def test_an_ipv6_host_in_brackets_is_honoured_and_shown_as_a_url(tmp_path: Path) -> None:
    port = str(free_port())
    environment = {"PATH": os.environ["PATH"], "INSTANCE_PATH": str(tmp_path), "PORT": port, "HOST": "[::1]"}
    log = tmp_path / "log"
    with log.open("wb") as file:
        server = subprocess.Popen(
            [bin_path("gunicorn"), *COMMANDS["server"][1:]], cwd=ROOT, env=environment, stderr=file
        )
    try:
        expected = f"PromptCrafter is at http://[::1]:{port} - open it in a browser"
        for _ in range(400):
            if expected in log.read_text():
                break
            assert server.poll() is None, log.read_text()
            with pytest.raises(subprocess.TimeoutExpired):
                server.wait(timeout=0.05)
        with closing(socket.create_connection(("::1", int(port)), timeout=10)):
            pass
    finally:
        server.terminate()
        server.wait(timeout=20)
    assert expected in log.read_text()


def test_a_rejected_connection_stops_the_start_and_an_unreachable_server_does_not(
    migrated_postgresql_url: str,
) -> None:
    config = Config(database_url=migrated_postgresql_url, jwt_secret_key=SECRET)
    startup.check(config)
    url = make_url(config.database_url)
    missing = url.set(database="no_such_database").render_as_string(hide_password=False)
    stranger = url.set(username="nobody_at_all", password="hush").render_as_string(hide_password=False)
    for rejected in (missing, stranger):
        with pytest.raises(ConfigError, match=r"^DATABASE_URL names a database that cannot be used: .*") as raised:
            startup.check(replace(config, database_url=rejected))
        assert "hush" not in str(raised.value)
        assert "\n" not in str(raised.value)
    startup.check(replace(config, database_url="postgresql+psycopg://u@127.0.0.1:1/d"))
    startup.check(replace(config, database_url="postgresql+psycopg://u@nothing.invalid/d"))


@pytest.mark.slow
@pytest.mark.parametrize("encoding", OTHER_ENCODINGS)
def test_a_database_with_another_encoding_than_utf8_stops_migration_and_server(
    postgresql: Any, tmp_path: Path, encoding: str
) -> None:
    url = create_database_in(postgresql, encoding)
    refused = f"DATABASE_URL names a database that cannot be used: its encoding is {encoding}, and must be UTF8."
    for command in ("migration", "server"):
        ended = run(command, tmp_path, DATABASE_URL=url.replace("+psycopg", ""))
        assert (ended.returncode, ended.stdout) == (1, "")
        assert ended.stderr.removeprefix("Error: ") == f"{refused}\n"
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"
        assert connection.execute(tables).fetchone() == (0,)


@pytest.mark.slow
def test_commands_of_a_role_without_permission_say_which_it_lacks(postgresql: Any, tmp_path: Path) -> None:
    url = create_database(postgresql, "not_owned").replace("+psycopg", "")
    role = "only_reader"
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in (
            f"CREATE ROLE {role} LOGIN PASSWORD 'hush'",
            "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        ):
            connection.execute(statement.encode())
    of_role = make_url(url).set(username=role, password="hush").render_as_string(hide_password=False)
    refused = run("migration", tmp_path, DATABASE_URL=of_role)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "Error: PostgreSQL says: permission denied for schema public.\n"
    made = run("migration", tmp_path, DATABASE_URL=url)
    assert made.returncode == 0
    assert made.stderr.startswith("A new database: postgresql+psycopg://")
    refused = run("command", tmp_path, DATABASE_URL=of_role)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "Error: PostgreSQL says: permission denied for table users.\n"


@pytest.mark.slow
def test_a_migration_names_an_unreachable_postgresql(tmp_path: Path) -> None:
    ended = run("migration", tmp_path, DATABASE_URL="postgresql://u:hush@127.0.0.1:1/d")
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("Error: DATABASE_URL names a database that cannot be used: connection failed: ")
    assert line.endswith("Connection refused.")


def test_a_server_serves_without_its_postgresql_and_names_a_misspelt_setting(
    start_server: Callable[..., LiveServer],
) -> None:
    misspelt = {"MAX_OUTPUT_BYTE": "1"}
    server = start_server("postgresql://u@127.0.0.1:1/d", migrate=False, JWT_SECRET_KEY=SECRET, **misspelt)
    told = "The environment has MAX_OUTPUT_BYTE, which is no setting. Is MAX_OUTPUT_BYTES meant?"
    assert server.log.count(told) == 1
    assert "The environment has" not in server.log.replace(told, "")
    probe = Connection(server)
    assert [probe.call("GET", path).status for path in ("/healthz", "/readyz")] == [200, 503]
    assert "Traceback" not in server.log


@pytest.mark.slow
def test_the_log_of_the_start_says_why_the_database_cannot_be_used(
    start_server: Callable[..., LiveServer], tmp_path: Path, url_without_rights: str
) -> None:
    with closing(sqlite3.connect(tmp_path / "new.db")) as connection:
        connection.execute("CREATE TABLE other (id)")
    causes = {
        "postgresql://u:hush@127.0.0.1:1/d": r"database unavailable: .*127\.0\.0\.1.*: Connection refused",
        "postgresql://u:hush@nothing.invalid/d": r"database unavailable: .*nothing\.invalid",
        url_without_rights: r"database unavailable: 42501 \(InsufficientPrivilege\)",
        f"sqlite:///{tmp_path}/new.db": "the database is not migrated: run flask --app wsgi db upgrade",
        f"sqlite:///{tmp_path}/none.db": f"the database file {tmp_path}/none.db did not exist and was created empty: "
        "run flask --app wsgi db upgrade, or correct DATABASE_URL",
    }
    for url, cause in causes.items():
        server = start_server(url, migrate=False, JWT_SECRET_KEY=SECRET, WEB_CONCURRENCY="1")
        before, _, after = server.log.partition("PromptCrafter is at")
        assert re.search(cause, before), server.log
        assert "hush" not in server.log
        assert "Booting worker" in after


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["refused", "rights", "not migrated"])
def test_the_threads_of_a_worker_log_why_they_wait(
    start_server: Callable[..., LiveServer], tmp_path: Path, url_without_rights: str, kind: str
) -> None:
    with closing(sqlite3.connect(tmp_path / "new.db")) as connection:
        connection.execute("CREATE TABLE other (id)")
    url, cause = {
        "refused": ("postgresql://u:hush@127.0.0.1:1/d", r"OperationalError \(.*Connection refused\)"),
        "rights": (url_without_rights, r"42501 \(InsufficientPrivilege\)"),
        "not migrated": (
            f"sqlite:///{tmp_path}/new.db",
            "The database is not migrated: run flask --app wsgi db upgrade",
        ),
    }[kind]
    settings = {"JWT_SECRET_KEY": SECRET, "WEB_CONCURRENCY": "1", "MAX_WORKSPACE_BYTES": "1000000"}
    server = start_server(url, migrate=False, LOG_FORMAT="text", **settings)
    subjects = ("the purge of what was deleted waits", "counting what workspaces store waits")
    waiting = (*subjects, "the aggregates of statistics wait")
    deadline = time.monotonic() + 40
    while not all(re.search(f"{subject}: {cause}", server.log) for subject in waiting):
        assert time.monotonic() < deadline, server.log
        time.sleep(0.1)
    assert "hush" not in server.log


def test_a_damaged_file_stops_the_server_but_not_the_commands_that_could_replace_it(folder: Path) -> None:
    config = Config(database_url=f"sqlite:///{folder}/text.db", jwt_secret_key=SECRET, port=free_port())
    create_app(config)
    with pytest.raises(ConfigError, match="it is not a SQLite database"):
        startup.check(config)


def test_a_database_of_a_newer_release_stops_the_server(database_url: str, config: Config) -> None:
    config = replace(config, port=free_port())
    startup.check(config)

    def check_with(*statements: str) -> None:
        engine = create_engine(database_url, poolclass=NullPool)
        with engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
        startup.check.cache_clear()
        startup.check(config)

    rename = "UPDATE alembic_version SET version_num = '{}'"
    try:
        check_with(rename.format(revisions.OLDER[-1]))  # the service waits for the migration
        with pytest.raises(ConfigError) as raised:
            check_with(rename.format("of a later one"))
        assert str(raised.value) == (
            "DATABASE_URL names a database that was migrated by a newer release than this one: upgrade this one, or "
            "restore a backup from before."
        )
        check_with(f"INSERT INTO schema_writers VALUES ('of a later one', '{revisions.HEAD}')")
    finally:
        check_with(rename.format(revisions.HEAD), "DELETE FROM schema_writers WHERE schema_revision = 'of a later one'")
        startup.check.cache_clear()


@pytest.mark.slow
def test_a_server_on_a_database_of_a_newer_release_ends_with_one_line(tmp_path: Path, sqlite_template: Path) -> None:
    path = shutil.copy(sqlite_template, tmp_path / "newer.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'of a later one'")
        connection.commit()
    ended = run("server", tmp_path, DATABASE_URL=f"sqlite:///{path}")
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("DATABASE_URL names a database that was migrated by a newer release than this one: ")


NOT_INDEXED = "the search index does not have all logs: run flask --app wsgi reindex"


@only_sqlite
def test_a_start_after_an_unclean_stop_looks_for_the_newest_logs_in_the_search_index(
    app: Flask, ada: Person, database_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(database_url.removeprefix("sqlite:///"))
    prompt = ada.prompt()
    for number in range(25):
        ada.log(prompt, output=f"output {number}")
    ada.log(prompt, output="...")

    def is_warned_after(statement: str) -> bool:
        with app.app_context(), get_engine().begin() as connection:
            connection.exec_driver_sql(statement)
        caplog.clear()
        with app.app_context():
            startup.check_search_after_unclean_stop(path)
        return NOT_INDEXED in caplog.text

    monkeypatch.setattr(startup, "_SEARCH_CHECK_S", 60)
    assert not is_warned_after("SELECT 1")
    ada.log(prompt, output="output 26", input="a question")
    monkeypatch.setitem(app.config, "INDEX_INPUT", True)
    assert is_warned_after("SELECT 1"), "inputs are to be indexed now"
    monkeypatch.setitem(app.config, "INDEX_INPUT", False)
    words = "(SELECT docid, words FROM log_search WHERE words = 'output 3')"
    assert is_warned_after(f"INSERT INTO log_words (log_words, rowid, words) SELECT 'delete', * FROM {words}")
    assert not is_warned_after(f"INSERT INTO log_words (rowid, words) SELECT * FROM {words}")
    assert is_warned_after("UPDATE log_search SET words = 'stale' WHERE words = 'output 3'")
    monkeypatch.setattr(startup, "_SEARCH_CHECK_S", 0)
    assert not is_warned_after("SELECT 1"), "it takes no longer than that"
    monkeypatch.setattr(startup, "_SEARCH_CHECK_S", 60)
    assert not is_warned_after("UPDATE alembic_version SET version_num = 'of a later one'")
    with app.app_context():
        get_engine().dispose()  # as a clean stop: SQLite's log is gone
    assert not Path(f"{path}-wal").exists()
    with app.app_context():
        startup.check_search_after_unclean_stop(path)


@pytest.mark.slow
@only_sqlite
def test_a_server_on_a_file_that_was_not_closed_logs_that_logs_are_not_indexed(
    app: Flask, ada: Person, database_url: str, start_server: Callable[..., LiveServer]
) -> None:
    ada.log(ada.prompt())
    with app.app_context(), get_engine().begin() as connection:
        connection.exec_driver_sql("INSERT INTO log_words (log_words) VALUES ('delete-all')")
    assert Path(f"{database_url.removeprefix('sqlite:///')}-wal").stat().st_size, "as after a crash"
    assert NOT_INDEXED in start_server(database_url, migrate=False).log
