"""The SQLite file, or what is beside it, is taken away, replaced or damaged while the service runs."""

import errno
import fcntl
import gc
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from flask import Flask

from config import Config
from promptcrafter.database.session import get_engine
from tests.support.connection import Connection, create_prompt, sign_up
from tests.support.databases import only_sqlite
from tests.support.errors import assert_error
from tests.support.people import Person
from tests.support.servers import LiveServer

MISSING = "The database file is missing."
BODY = {"title": "A title", "content": "c", "model": "m"}
Act = Callable[[Path], object]


def beside(file: Path, suffix: str) -> Path:
    return file.with_name(file.name + suffix)


def replace_by_copy(file: Path) -> None:
    file.rename(beside(file, ".away"))
    shutil.copy(beside(file, ".away"), file)


def replace_lock(file: Path) -> None:
    """Put a folder in the place of the lock file of writers, which cannot be opened for writing, even by root."""
    beside(file, "-queue").unlink(missing_ok=True)
    beside(file, "-queue").mkdir()


def put_back(file: Path) -> None:
    beside(file, ".away").replace(file)


def restore_folder(file: Path) -> None:
    beside(file.parent, ".away").rename(file.parent)


# What is done, what mends it, the cause in the log, and what clients are told
FAULTS: dict[str, tuple[Act, Act, str, str]] = {
    "file moved away": (lambda file: file.rename(beside(file, ".away")), put_back, "cannot be found", MISSING),
    "file replaced": (
        replace_by_copy,
        put_back,
        "another file has taken the place of",
        "The database file was replaced.",
    ),
    "folder renamed": (
        lambda file: file.parent.rename(beside(file.parent, ".away")),
        restore_folder,
        "unable to use the lock file|cannot be found",
        MISSING,
    ),
    "log moved away": (
        lambda file: beside(file, "-wal").rename(beside(file, "-wal.away")),
        lambda file: put_back(beside(file, "-wal")),
        "-wal has been deleted or replaced",
        "A file beside the database file was deleted or replaced.",
    ),
    "index moved away": (
        lambda file: beside(file, "-shm").rename(beside(file, "-shm.away")),
        lambda file: put_back(beside(file, "-shm")),
        "-shm has been deleted or replaced",
        "A file beside the database file was deleted or replaced.",
    ),
    "lock file unusable": (
        replace_lock,
        lambda file: beside(file, "-queue").rmdir(),
        "unable to use the lock file .*-queue: Is a directory",
        "A lock file of the database cannot be used.",
    ),
}


@only_sqlite
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_file_is_503_with_a_cause_in_the_log_until_it_is_mended(
    ada: Person, config: Config, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    file = Path(config.database_url.removeprefix("sqlite:///"))
    cause, mend, text, told = FAULTS[fault]
    prompt = ada.prompt()
    cause(file)
    try:
        writes = [("/prompts", BODY), ("/auth/keys", {"name": "n"}), ("/monitor/log", {"slug": "s", "output": "o"})]
        message = f"{told} The operator of the server has to mend that."
        for path, body in writes:
            assert_error(ada.post(path, body), 503, "database_unavailable", message)
        assert_error(ada.delete(f"/prompts/{prompt['_id']}"), 503, "database_unavailable", message)
        assert_error(ada.get("/readyz"), 503, "database_unavailable", message)
        assert ada.get("/healthz").status_code == 200
    finally:
        mend(file)
    lines = [record.message for record in caplog.records if record.message.startswith("database unavailable: ")]
    assert len(lines) == 5
    assert all(re.search(text, line) for line in lines), lines
    assert ada.get("/readyz").status_code == 200
    assert ada.post("/prompts", BODY).status_code == 201
    assert len(ada.get("/prompts").json) == 2


@only_sqlite
@pytest.mark.parametrize("suffix", ["-queue", "-open"])
def test_a_lock_that_the_file_system_refuses_is_503_and_keeps_no_descriptor_open(
    ada: Person,
    app: Flask,
    config: Config,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    suffix: str,
) -> None:
    lock, flock = f"{config.database_url.removeprefix('sqlite:///')}{suffix}", fcntl.flock
    ada.prompt()

    def refuse(file: int, operation: int) -> None:
        if os.path.samestat(os.fstat(file), os.stat(lock)):
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
        flock(file, operation)

    def write() -> int:
        with app.app_context():
            get_engine().dispose()  # each new connection takes the lock for the open file
        message = "A lock file of the database cannot be used. The operator of the server has to mend that."
        for answer in (ada.post("/prompts", BODY), ada.get("/readyz")):
            assert_error(answer, 503, "database_unavailable", message)
        gc.collect()  # a connection that nobody uses any more closes its file
        return sum(map(is_lock, os.listdir("/dev/fd")))

    def is_lock(descriptor: str) -> bool:
        with suppress(OSError):  # that of the folder, which is closed by now
            return os.path.samestat(os.fstat(int(descriptor)), os.stat(lock))
        return False

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", refuse)
        assert {write() for _ in range(5)} == {0}
    assert f"unable to use the lock file {lock}: No locks available" in caplog.text
    assert ada.post("/prompts", BODY).status_code == 201


@only_sqlite
def test_a_file_that_is_emptied_is_503(ada: Person, config: Config, caplog: pytest.LogCaptureFixture) -> None:
    ada.prompt()
    os.truncate(config.database_url.removeprefix("sqlite:///"), 0)
    assert_error(ada.post("/prompts", BODY), 503, "database_unavailable")
    assert_error(ada.get("/prompts"), 503, "database_unavailable")
    assert_error(ada.get("/readyz"), 503, "database_unavailable")
    assert "has been emptied" in caplog.text


@only_sqlite
def test_a_file_that_is_gone_is_not_made_anew(ada: Person, config: Config) -> None:
    file = Path(config.database_url.removeprefix("sqlite:///"))
    ada.prompt()
    file.unlink()
    for _ in range(3):
        assert_error(ada.post("/prompts", BODY), 503, "database_unavailable")
    assert not file.exists()


@pytest.fixture
def without_privileges() -> list[str]:
    """A command that runs a program for which permissions count, although it may be root's."""
    if os.geteuid() != 0:
        return []
    command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    try:
        subprocess.run([*command, sys.executable, "-c", ""], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this machine has no setpriv")
    return command


def test_every_worker_notices_a_fault_and_names_it_in_the_log(
    start_server: Callable[..., LiveServer], without_privileges: list[str]
) -> None:
    server = start_server(command=without_privileges)
    token = sign_up(server)
    log = {"promptId": create_prompt(Connection(server, token)), "output": "o", "modelUsed": "m"}
    file = Path(server.environment["DATABASE_URL"].removeprefix("sqlite:///"))
    queue = beside(file, "-queue")

    def statuses(method: str, path: str, body: object = None) -> set[int]:
        return {Connection(server, token).call(method, path, body).status for _ in range(8)}

    assert statuses("POST", "/logs", log) == {201}
    faults: list[tuple[Act, Act, str]] = [
        (replace_by_copy, put_back, "another file has taken the place of"),
        (lambda file: queue.chmod(0), lambda file: queue.chmod(0o600), "-queue: Permission denied"),
        (
            lambda file: file.parent.chmod(0),
            lambda file: file.parent.chmod(0o700),
            "be found: Permission denied",
        ),
    ]
    for cause, mend, text in faults:
        cause(file)
        try:
            assert (statuses("POST", "/logs", log), statuses("GET", "/readyz")) == ({503}, {503})
        finally:
            mend(file)
        assert text in server.log
        assert (statuses("POST", "/logs", log), statuses("GET", "/readyz")) == ({201}, {200})
    assert len(Connection(server, token).call("GET", "/logs").json) == 32
