"""What all commands have in common: no empty installation where a file is missing, and the database that they name."""

import os
import pty
import shutil
import subprocess
from pathlib import Path

import pytest

from promptcrafter.database import sqlite
from tests.support.commands import flask, refusal
from tests.support.environment import ROOT, SECRET, bin_path
from tests.support.servers import Launch

COMMANDS = (
    *(("user", "list"), ("user", "disable", "ada@example.com"), ("check",), ("reindex",), ("erase",)),
    *(("export", "all.ndjson", "--user", "ada@example.com"), ("prune", "--older-than", "90d", "--dry-run")),
    *(("backup", "copy.db"), ("move-to", "postgresql://u@127.0.0.1:1/d"), ("db", "current"), ("db", "downgrade")),
)
NEW = "For a new installation run flask --app wsgi db upgrade."


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a SQLite file that does not exist, in an empty folder, as where a disk is not mounted."""
    folder = tmp_path / "data"
    folder.mkdir()
    return folder / "promptcrafter.db"


def refused(path: Path, *arguments: str) -> str:
    """Run a command on a file; return the one line of error with which it fails."""
    ended = flask(f"sqlite:///{path}", *arguments)
    assert (ended.returncode, ended.stdout) == (1, "")
    return refusal(ended.stderr)


@pytest.mark.slow
def test_no_command_creates_a_database_that_does_not_exist(path: Path) -> None:
    for arguments in COMMANDS:
        assert refused(path, *arguments) == (
            f"The database file {path} does not exist. Are DATABASE_URL and INSTANCE_PATH set as for the service, and "
            f"is the disk mounted? {NEW}"
        )
    shown = flask(f"sqlite:///{path}", "version")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert refused(path, "restore", "/nowhere") == "There is no file /nowhere."
    assert list(path.parent.iterdir()) == []


@pytest.mark.slow
def test_no_command_makes_a_database_of_an_empty_file(path: Path) -> None:
    path.touch()
    for arguments in COMMANDS[:3]:
        assert refused(path, *arguments) == (
            f"The database file {path} is empty. Restore a backup with flask --app wsgi restore FILE. {NEW}"
        )
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert flask(f"sqlite:///{path}", "db", "upgrade").returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(("content", "found"), [(None, "does not exist"), (b"", "is empty")])
@pytest.mark.parametrize("suffix", ["-wal", "-journal", sqlite.WRITE_QUEUE_SUFFIX])
def test_neither_upgrade_nor_server_begins_anew_where_a_database_was(
    path: Path, content: bytes | None, found: str, suffix: str, start_server: Launch, sqlite_template: Path
) -> None:
    left = Path(f"{path}{suffix}")
    left.touch()
    if content is not None:
        path.write_bytes(content)
    expected = (
        f"DATABASE_URL names the SQLite file '{path}', which cannot be used: it {found}, but there was a database, "
        f"which has left {left.name}. Put the file back, or restore a backup with flask --app wsgi restore FILE. To "
        "begin with an empty database, remove what was left."
    )
    assert refused(path, "db", "upgrade") == expected
    with pytest.raises(AssertionError, match="there was a database"):
        start_server(f"sqlite:///{path}", migrate=False)
    assert path.exists() == (content is not None)
    assert left.exists()
    restored = flask(f"sqlite:///{path}", "restore", str(sqlite_template))
    assert restored.returncode == 0, restored.stderr
    assert flask(f"sqlite:///{path}", "user", "list").returncode == 0


@pytest.mark.slow
def test_upgrade_begins_anew_on_purpose_and_goes_on_where_only_the_lock_of_readers_was_left(path: Path) -> None:
    Path(f"{path}-wal").touch()
    refused(path, "db", "upgrade")
    Path(f"{path}-wal").unlink()
    Path(f"{path}{sqlite.OPEN_LOCK_SUFFIX}").touch()
    assert flask(f"sqlite:///{path}", "db", "upgrade").returncode == 0
    assert flask(f"sqlite:///{path}", "user", "list").returncode == 0


@pytest.mark.slow
def test_a_log_that_was_left_without_its_file_does_not_damage_what_is_restored(
    path: Path, sqlite_template: Path, start_server: Launch
) -> None:
    shutil.copy(sqlite_template, path)
    server = start_server(f"sqlite:///{path}", migrate=False)
    flask(f"sqlite:///{path}", "user", "add", "ada@example.com", "--name", "Ada", "--password-stdin", stdin="p" * 20)
    log = Path(f"{path}-wal").read_bytes()
    assert log
    server.process.terminate()
    server.process.wait(timeout=20)
    path.unlink()
    Path(f"{path}-wal").write_bytes(log)
    assert "does not exist, but there was a database" in refused(path, "db", "upgrade")
    assert flask(f"sqlite:///{path}", "restore", str(sqlite_template)).returncode == 0
    assert flask(f"sqlite:///{path}", "db", "upgrade").returncode == 0
    assert flask(f"sqlite:///{path}", "user", "list").returncode == 0


def run_in_terminal(url: str, *arguments: str) -> str:
    """Return what a command shows on a terminal, whose lines end with CR LF."""
    ours, terminal = pty.openpty()
    program = subprocess.Popen(
        [bin_path("flask"), "--app", "wsgi", *arguments],
        cwd=ROOT,
        env={"DATABASE_URL": url, "JWT_SECRET_KEY": SECRET},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=terminal,
    )
    program.wait(timeout=60)
    os.close(terminal)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    return shown


@pytest.mark.slow
@pytest.mark.parametrize("engine_name", ["sqlite", "postgresql"])
def test_on_a_terminal_a_command_names_its_database_without_a_password(own_database_url: str, engine_name: str) -> None:
    url = own_database_url.replace("+psycopg", "")
    if engine_name == "postgresql":
        url = url.replace("postgres:", "postgres:hush").replace("postgres@", "postgres:hush@") + "&sslpassword=hush"
    shown = run_in_terminal(url, "user", "disable", "nobody@example.com")
    first = shown.splitlines()[0]
    if engine_name == "sqlite":
        assert first == f"Database: {url}"
    else:
        assert first.startswith("Database: postgresql+psycopg://postgres:***@/own_")
    assert "hush" not in shown
    assert "Error: " in shown.splitlines()[1]
    ended = flask(own_database_url, "user", "disable", "nobody@example.com")
    assert "Database: " not in ended.stderr


ALL_CHARACTERS = 'postgresql://u:$HOME`id`\\"#;~*%27@h/d?sslmode=disable&connect_timeout=3'


def test_what_single_quotes_keep_of_a_value_is_what_the_documented_command_reads(tmp_path: Path) -> None:
    """As the documents say: in the template of the settings every value has single quotes, and a shell reads them."""
    document = (ROOT / "docs" / "self-hosting.md").read_text()
    template = document.split("/etc/promptcrafter.env >/dev/null <<END\n")[1].split("\nEND\n")[0]
    wrapper = document.split("/usr/local/bin/promptcrafter >/dev/null <<'END'\n")[1].split("END\n")[0]
    settings = subprocess.run(
        ["sh", "-c", f"cat <<END\n{template}\nEND\n"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    values = dict(line.split("=", 1) for line in settings)
    assert all(value[0] == value[-1] == "'" and value.count("'") == 2 for value in values.values()), settings
    assert len(values["JWT_SECRET_KEY"]) > len("''") + 32
    values["DATABASE_URL"] = f"'{ALL_CHARACTERS}'"
    (tmp_path / "env").write_text("".join(f"{name}={value}\n" for name, value in values.items()))
    reading = wrapper.split("cd /opt")[0].replace("/etc/promptcrafter.env", str(tmp_path / "env"))
    read = subprocess.run(
        ["sh", "-c", f"{reading}exec printenv DATABASE_URL"],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (read.stdout, read.stderr) == (f"{ALL_CHARACTERS}\n", "")
