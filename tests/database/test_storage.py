"""A full disk: 507 from every call that writes, /readyz 503, reads go on, and it recovers without a restart."""

import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from flask import Flask
from sqlalchemy import event, text, update

from config import Config
from promptcrafter.auth.models import User
from promptcrafter.database import sqlite, storage
from promptcrafter.database.session import get_engine, session
from promptcrafter.database.transactions import writing
from tests.support.calls import calls, send
from tests.support.connection import Connection, create_prompt, sign_up
from tests.support.databases import only_sqlite
from tests.support.disks import limited_files
from tests.support.errors import assert_error
from tests.support.people import Answer, Caller, Person
from tests.support.people import sign_up as sign_up_in_process
from tests.support.servers import LiveServer

FULL = "The server's disk is full. Nothing was stored."
READING = {
    *(
        "POST /prompts/<prompt_id>/render",
        "POST /prompts/by-slug/<slug:slug>/render",
        "POST /experiment/<slug>/assign",
        "POST /auth/login",
    ),
    "POST /invitations/accept",  # by somebody who is a member already
}
LARGE = {"title": "A large one", "content": "word " * 8000, "model": "m"}  # 40 KB


def assert_full(answer: Answer) -> None:
    assert_error(answer, 507, "insufficient_storage", FULL)


@only_sqlite
def test_every_call_that_writes_is_507_on_a_full_disk_and_works_again_afterwards(
    ada: Person, caplog: pytest.LogCaptureFixture, subtests: Any
) -> None:
    for call, (path, body) in calls(ada).items():
        with subtests.test(call=call):
            caplog.clear()
            with limited_files():
                full = ada.open(path, method=call.partition(" ")[0], json=body)
                ready = ada.get("/readyz")
                read = [
                    ada.get(known).status_code for known in ("/prompts", "/logs", "/export", "/auth/me", "/healthz")
                ]
            if call in READING:
                assert full.status_code == 200
            else:
                assert_full(full)
                assert "the disk of the database is full: SQLITE_IOERR" in caplog.text
            assert_error(ready, 503, "insufficient_storage", "The server's disk is full.")
            assert read == [200] * 5
            assert ada.get("/readyz").status_code == 200
            assert send(ada, call, path, body).status_code in (200, 201, 204, 207)


@only_sqlite
def test_deletes_and_idempotent_calls_are_507_on_a_full_disk_and_can_be_repeated(ada: Person) -> None:
    prompt = ada.prompt()["_id"]
    log = ada.log({"_id": prompt})["_id"]
    key = ada.post("/auth/keys", {"name": "k"}).json["_id"]
    ada.open(f"/prompts/{prompt}/labels/l", method="PUT", json={"version": 1})
    trace = ada.post("/monitor/log", {"slug": "p", "output": "o"}).json["trace"]["id"]
    ada.post("/experiments", {"slug": "e", "name": "n", "variants": [{"key": "A", "trafficPercent": 1}]})
    for path in (
        *(f"/logs/{log}", f"/traces/{trace}", "/experiments/e", f"/prompts/{prompt}/labels/l", f"/auth/keys/{key}"),
        f"/prompts/{prompt}",
    ):
        with limited_files():
            assert_full(ada.delete(path))
        assert ada.delete(path).status_code == 204
    body, headers = {"title": "A title", "content": "c", "model": "m"}, {"Idempotency-Key": "k"}
    with limited_files():
        assert_full(ada.post("/prompts", body, headers=headers))
    created = ada.post("/prompts", body, headers=headers)
    assert (created.status_code, created.headers.get("Idempotency-Replayed")) == (201, None)
    with limited_files():
        assert ada.post("/prompts", body, headers=headers).data == created.data


@only_sqlite
def test_a_log_in_succeeds_on_a_full_disk_although_its_hash_cannot_be_renewed(app: Flask, ada: Person) -> None:
    old = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(ada.password)
    with app.app_context(), writing():
        session.execute(update(User).where(User.id == ada.id).values(password_hash=old))
    credentials = {"email": ada.email, "password": ada.password}
    with limited_files():
        assert ada.post("/auth/login", credentials).status_code == 200
    assert ada.post("/auth/login", credentials).status_code == 200


@only_sqlite
def test_a_full_database_is_507_and_readyz_recovers(
    config: Config,
    make_app: Callable[[Config], Flask],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = make_app(config)
    pages = {"max": 2**31 - 2}
    with app.app_context():
        engine = get_engine()

        @event.listens_for(engine, "connect")
        def limit_pages(connection: Any, record: Any) -> None:
            connection.execute(f"PRAGMA max_page_count={pages['max']}")  # or the present size, if that is larger

    ada = sign_up_in_process(Caller(app.test_client()), "ada")
    pages["max"] = 1
    engine.dispose()
    assert_full(ada.post("/prompts", LARGE))
    assert "the disk of the database is full: SQLITE_FULL" in caplog.text
    assert ada.get("/prompts").json == []
    assert_error(ada.get("/readyz"), 503, "insufficient_storage")
    pages["max"] = 2**31 - 2
    engine.dispose()
    assert ada.post("/prompts", LARGE).status_code == 201
    monkeypatch.setattr(storage, "_REMEMBERED_S", 0)
    assert ada.get("/readyz").status_code == 200


@only_sqlite
def test_other_errors_of_the_disk_are_503_as_before(app: Flask, ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    ada.get("/prompts")
    monkeypatch.setattr(sqlite, "largest_file", lambda path: 0)  # so that the limit is not seen: as on a broken disk
    monkeypatch.setattr(storage, "_PROBE_BYTES", 1)
    with limited_files():
        assert_error(ada.post("/prompts", LARGE), 503, "database_unavailable")


@only_sqlite
def test_a_folder_that_cannot_be_written_is_not_ready(ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    assert_error(ada.get("/readyz"), 503, "database_unavailable", "The database cannot be written.")


@pytest.mark.parametrize("engine_name", ["postgresql"])
def test_postgresql_reports_a_full_disk(app: Flask, ada: Person, caplog: pytest.LogCaptureFixture) -> None:
    prompt = ada.prompt()
    run = """CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$"""
    with app.app_context(), get_engine().begin() as connection:
        connection.execute(text(run))
        connection.execute(text("CREATE TRIGGER fill BEFORE INSERT ON prompts FOR EACH ROW EXECUTE FUNCTION fill()"))
    try:
        assert_full(ada.post("/prompts", LARGE))
        assert "the disk of the database is full: 53100" in caplog.text
        assert_error(ada.get("/readyz"), 503, "insufficient_storage")
        assert ada.get("/prompts").json == [prompt]
    finally:
        with app.app_context(), get_engine().begin() as connection:
            connection.execute(text("DROP TRIGGER fill ON prompts"))
            connection.execute(text("DROP FUNCTION fill"))
        storage.init_app(app)  # what it remembers is not for the tests after this one
    assert ada.post("/prompts", LARGE).status_code == 201


@pytest.fixture
def small_disk(tmp_path: Path, sqlite_template: Path) -> tuple[list[str], str, Path]:
    """A command that runs a program with a disk of its own, of 12 MB, and a URL and the path of a database on it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    shutil.copy(sqlite_template, tmp_path / "template.db")
    script = f'mount -t tmpfs -o size=12m none {folder} && cp {tmp_path}/template.db {folder}/live.db && exec "$@"'
    command = ["unshare", "-rm", "sh", "-c", script, "sh"]
    try:
        subprocess.run([*command, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this machine lets no user mount a file system of his own")
    return command, f"sqlite:///{folder}/live.db", folder


@pytest.mark.slow
def test_a_real_full_disk_is_507_not_ready_and_recovers_without_a_restart(
    small_disk: tuple[list[str], str, Path], start_server: Callable[..., LiveServer]
) -> None:
    command, url, folder = small_disk
    server = start_server(url, migrate=False, command=command)
    token = sign_up(server)
    connection = Connection(server, token)
    prompt = create_prompt(connection)
    log = {"promptId": prompt, "output": "o", "modelUsed": "m"}
    # the disk as the server sees it; it is full when not one more page fits
    filler = Path(f"/proc/{server.process.pid}/root") / str(folder / "filler").lstrip("/")
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    statuses = [connection.call("POST", "/prompts", LARGE).status for _ in range(20)]
    assert set(statuses) <= {201, 507}  # the log written so far has room to be written again
    assert statuses[-1] == 507
    refused = connection.call("POST", "/prompts", LARGE)
    assert (refused.status, refused.json["code"]) == (507, "insufficient_storage")
    assert connection.call("POST", "/logs", {**log, "output": "x" * 100_000}).status == 507
    assert connection.call("GET", "/readyz").status == 503
    assert connection.call("GET", "/healthz").status == 200
    assert connection.call("GET", "/prompts?per_page=1").status == 200
    assert connection.call("GET", f"/prompts/{prompt}").status == 200
    assert "the disk of the database is full" in server.log
    filler.unlink()
    assert connection.call("POST", "/prompts", LARGE).status == 201
    assert connection.call("POST", "/logs", log).status == 201
