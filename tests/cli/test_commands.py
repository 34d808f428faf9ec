"""What all commands do with a SQLite file that is missing or empty: they do not make an empty installation of it."""

import shutil
from pathlib import Path

import pytest

from promptcrafter.database import sqlite
from tests.support.commands import flask, refusal
from tests.support.environment import SECRET
from tests.support.programs import run
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
            f"The database file {path} does not exist. Is DATABASE_URL set as for the service, and the disk mounted? "
            f"{NEW}"
        )
    shown = flask(f"sqlite:///{path}", "version")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert refused(path, "restore", "/nowhere") == "There is no file /nowhere."
    assert list(path.parent.iterdir()) == []


@pytest.mark.slow
def test_a_missing_file_of_the_instance_folder_is_reported_with_that_setting(path: Path) -> None:
    environment = {"INSTANCE_PATH": str(path.parent), "JWT_SECRET_KEY": SECRET}
    ended = run("flask", "--app", "wsgi", "user", "list", environment=environment)
    assert "Is INSTANCE_PATH set as for the service" in refusal(ended.stderr)
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
