"""The commands `backup` and `restore`."""

import shutil
import sqlite3
import stat
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

import pytest
from flask import Flask

from config import Config
from promptcrafter.database import sqlite
from promptcrafter.database.session import get_engine, sqlite_path
from promptcrafter.maintenance.backup import copy_database, open_read_only
from tests.support import programs
from tests.support.commands import done, flask, refused, run
from tests.support.connection import Connection, create_prompt
from tests.support.connection import sign_up as sign_up_live
from tests.support.environment import ROOT, SECRET, bin_path, free_port
from tests.support.people import Caller, Person, sign_up
from tests.support.servers import Launch, LiveServer

IN_USE = "The database is in use: stop the service, and whatever else has it open."


@pytest.fixture
def engine_name() -> str:
    """The database of these commands, unless a test says otherwise."""
    return "sqlite"


def path_of(app: Flask) -> Path:
    with app.app_context():
        path = sqlite_path()
    assert path is not None
    return path


def leave(app: Flask) -> Path:
    """Close the application's connections; return the path of its database."""
    with app.app_context():
        get_engine().dispose()
    return path_of(app)


def rows(path: Path, query: str) -> list[Any]:
    with closing(open_read_only(path)) as connection:
        return connection.execute(query).fetchall()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def copy(app: Flask, ada: Person, tmp_path: Path) -> Path:
    """A backup of a database in which ada has logged something."""
    ada.log(ada.prompt(content="findable"))
    return Path(done(run(app, "backup", str(tmp_path / "copy.db"))).strip())


class Elsewhere(NamedTuple):
    """Another application, with its own database in its own folder."""

    app: Flask
    path: Path
    client: Caller


@pytest.fixture
def elsewhere(make_app: Callable[[Config], Flask], sqlite_template: Path, tmp_path: Path) -> Elsewhere:
    path = tmp_path / "elsewhere" / "other.db"
    path.parent.mkdir()
    shutil.copy(sqlite_template, path)
    app = make_app(Config(database_url=f"sqlite:///{path}", jwt_secret_key=SECRET, ratelimit_enabled=False))
    return Elsewhere(app, path, Caller(app.test_client()))


def test_a_backup_is_one_private_file_with_everything_in_it(app: Flask, ada: Person, tmp_path: Path) -> None:
    ada.log(ada.prompt())
    target = tmp_path / "folder" / "copy.db"
    target.parent.mkdir()
    made = run(app, "backup", str(target))
    assert done(made) == f"{target}\n"
    assert made.stderr == "Backed up and checked: 1 user, 1 workspace, 1 prompt, 1 log, 0 experiments, 0 traces.\n"
    assert names(target.parent) == {"copy.db"}
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    with closing(sqlite3.connect(f"file:{target}?mode=ro", uri=True)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert connection.execute("SELECT output FROM logs").fetchall() == [("An output",)]
    assert names(target.parent) == {"copy.db"}


def test_an_existing_file_is_replaced_only_with_force(app: Flask, ada: Person, copy: Path) -> None:
    before = copy.read_bytes()
    assert refused(run(app, "backup", str(copy))) == f"There is a {copy}; --force replaces it."
    assert copy.read_bytes() == before
    ada.log(ada.prompt())
    done(run(app, "backup", str(copy), "--force"))
    assert rows(copy, "SELECT count(*) FROM logs") == [(2,)]


def test_neither_the_database_nor_a_folder_is_ever_replaced(app: Flask, ada: Person, tmp_path: Path) -> None:
    path = path_of(app)
    for own in (path, Path(f"{path}-wal"), Path(f"{path}-queue")):
        assert refused(run(app, "backup", str(own), "--force")) == f"{own} belongs to the database itself."
    assert refused(run(app, "backup", str(tmp_path), "--force")) == f"{tmp_path} is a folder."
    nowhere = tmp_path / "nowhere" / "copy.db"
    assert refused(run(app, "backup", str(nowhere))) == f"No such file or directory: {nowhere.parent}"
    relative = "no-such-folder/copy.db"
    assert refused(run(app, "backup", relative)) == f"No such file or directory: {Path(relative).absolute().parent}"


def test_a_damaged_copy_is_refused(app: Flask, ada: Person, copy: Path) -> None:
    path = leave(app)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2 // 4096 * 4096)
        file.write(b"\xff" * 8 * 4096)
    before = copy.read_bytes()
    assert refused(run(app, "backup", str(copy), "--force")).startswith("No backup was made: it is damaged (")
    assert copy.read_bytes() == before
    assert f"{copy.name}.partial" not in names(copy.parent)


def test_a_backup_with_a_row_whose_parent_is_missing_is_refused(app: Flask, copy: Path) -> None:
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute("DELETE FROM users")
        connection.commit()
    message = f"{copy} cannot be restored: it has rows whose parents are missing."
    leave(app)
    assert refused(run(app, "restore", str(copy))) == message


def test_a_full_disk_is_reported_before_anything_is_written(
    app: Flask, ada: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        free = 5

    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Full)
    message = refused(run(app, "backup", str(tmp_path / "copy.db")))
    assert message.startswith("No backup was made: it takes ")
    assert message.endswith(f" bytes in {tmp_path}, where 5 are free.")
    assert not names(tmp_path) & {"copy.db", "copy.db.partial"}


def test_a_second_backup_at_the_same_time_is_refused_and_a_leftover_file_is_overwritten(app: Flask, copy: Path) -> None:
    partial = copy.with_name(f"{copy.name}.partial")
    partial.write_text("a leftover of one that was killed")
    with sqlite.exclusive_lock(path_of(app), sqlite.BACKUP_LOCK_SUFFIX):
        assert refused(run(app, "backup", str(copy), "--force")) == "Another backup of this database is being made."
    assert partial.exists()
    done(run(app, "backup", str(copy), "--force"))
    assert not partial.exists()


def test_a_killed_backup_is_removed_by_the_next_one_to_its_folder(app: Flask, ada: Person, tmp_path: Path) -> None:
    path, folder = leave(app), tmp_path / "backups"
    folder.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE filler AS SELECT zeroblob(20000000)")  # copying it takes some moments
        connection.commit()
    partial = folder / "killed.db.partial"
    command = [bin_path("flask"), "--app", "wsgi", "backup", str(folder / "killed.db")]
    environment = {"DATABASE_URL": f"sqlite:///{path}", "JWT_SECRET_KEY": SECRET}
    with subprocess.Popen(command, cwd=ROOT, env=environment) as process:
        while not partial.exists() or not partial.stat().st_size:
            assert process.poll() is None, "it was not killed in time"
            time.sleep(0.001)
        process.kill()
    assert names(folder) >= {"killed.db.partial", "killed.db.partial-lock"}
    for other in ("notes.partial", "other.db.partial-journal"):
        (folder / other).touch()
    (folder / "folder.partial-lock").mkdir()
    running = folder / "running.db.partial"
    running.write_text("another database's")
    copy = folder / "next.db"
    with sqlite.exclusive_lock(running, "-lock"):
        message = f"Another backup to {folder}/running.db is being made."
        assert refused(run(app, "backup", str(folder / "running.db"))) == message
        result = run(app, "backup", str(copy))
        assert done(result) == f"{copy}\n"
        assert f"Deleted {partial}, which a backup that was killed has left." in result.stderr.splitlines()
        others = {"notes.partial", "other.db.partial-journal", "folder.partial-lock"}
        assert names(folder) == {"next.db", running.name, f"{running.name}-lock", *others}
    done(run(app, "backup", str(copy), "--force"))
    assert names(folder) == {"next.db", *others}


@pytest.mark.parametrize("engine_name", ["postgresql"])
def test_on_postgresql_the_error_names_its_own_programs(app: Flask, tmp_path: Path) -> None:
    message = "The database is PostgreSQL's: pg_dump copies it, and flask export what one workspace has."
    assert refused(run(app, "backup", str(tmp_path / "copy.db"))) == message
    assert refused(run(app, "restore", str(tmp_path))) == "The database is PostgreSQL's: pg_restore restores it."


def test_a_restored_database_has_what_the_backup_had_and_the_old_one_is_kept(
    ada: Person, copy: Path, elsewhere: Elsewhere
) -> None:
    app, path, client = elsewhere
    ben = sign_up(client, "ben")
    leave(app)
    restored = run(app, "restore", str(copy))
    kept = Path(done(restored).strip())
    assert kept.parent == path.parent
    assert kept.name.startswith("other.db.before-restore-2")
    assert rows(kept, "SELECT id FROM users") == [(ben.id,)]
    assert restored.stderr == (
        f"Restored {copy}: 1 user, 1 workspace, 1 prompt, 1 log, 0 experiments, 0 traces.\n"
        "What was there before is kept in:\n"
    )
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names(path.parent) == {"other.db", kept.name, "other.db-open", "other.db-queue"}
    login = client.post("/auth/login", {"email": ada.email, "password": ada.password})
    headers = {"Authorization": f"Bearer {login.json['token']}"}
    assert client.get("/search?q=findable", headers=headers).json == ada.get("/prompts").json
    assert ben.get("/prompts").status_code == 401
    with app.app_context(), get_engine().connect() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def test_the_replaced_database_can_be_restored_again(copy: Path, elsewhere: Elsewhere) -> None:
    app, path, client = elsewhere
    sign_up(client, "ben")
    leave(app)
    kept = done(run(app, "restore", str(copy))).strip()
    done(run(app, "restore", kept))
    assert rows(path, "SELECT email FROM users") == [("ben@example.com",)]


def test_an_empty_database_is_not_kept(make_app: Callable[[Config], Flask], copy: Path, tmp_path: Path) -> None:
    path = tmp_path / "fresh" / "new.db"
    app = make_app(Config(database_url=f"sqlite:///{path}", jwt_secret_key=SECRET))
    restored = run(app, "restore", str(copy))
    assert (done(restored), restored.stderr.count("\n")) == ("", 1)
    assert names(path.parent) == {"new.db", "new.db-open"}


def test_a_damaged_database_is_kept_as_it_is_with_its_log(copy: Path, elsewhere: Elsewhere) -> None:
    app, path, _ = elsewhere
    path.write_bytes(b"no database at all")
    log = Path(f"{path}-wal")
    log.write_bytes(b"nor its log")
    kept = done(run(app, "restore", str(copy))).strip()
    assert Path(kept).read_bytes() == b"no database at all"
    assert Path(f"{kept}-wal").read_bytes() == b"nor its log"
    assert not log.exists()
    assert rows(path, "SELECT count(*) FROM logs") == [(1,)]


def test_a_log_beside_the_file_is_restored_with_it(
    app: Flask, ada: Person, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    ada.prompt()  # so far in the log alone
    for suffix in ("", "-wal"):
        shutil.copy(f"{path_of(app)}{suffix}", tmp_path / f"raw.db{suffix}")
    done(run(elsewhere.app, "restore", str(tmp_path / "raw.db")))
    assert rows(elsewhere.path, "SELECT author_id FROM prompts") == [(ada.id,)]


def test_a_backup_of_an_older_release_is_restored_and_one_of_a_newer_release_is_refused(
    copy: Path, elsewhere: Elsewhere
) -> None:
    def revise(revision: str) -> None:
        with closing(sqlite3.connect(copy)) as connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", [revision])
            connection.commit()

    revise("5b1e8d37c960")
    message = "It is of an older release. Before the service starts: flask --app wsgi db upgrade\n"
    assert message in run(elsewhere.app, "restore", str(copy)).stderr
    revise("of a later one")
    assert refused(run(elsewhere.app, "restore", str(copy))) == (
        f"{copy} is of a newer release than this one, which does not know its migration of a later one: "
        "restore it with that release."
    )


def test_a_damaged_search_index_is_copied_with_a_warning_and_mended_after_a_restore(
    app: Flask, ada: Person, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    log = ada.log(ada.prompt(), output="findable")
    copy = tmp_path / "copy.db"
    damages = {
        "log_words": "INSERT INTO log_words (log_words) VALUES ('delete-all')",
        "log_search": "DELETE FROM log_search",
        "prompt_search": "DELETE FROM prompt_search",
    }
    for names, damage in damages.items():
        with app.app_context(), get_engine().begin() as connection:
            connection.exec_driver_sql(damage)
        result = run(app, "backup", str(copy), "--force")
        end = f"the search does not find all of them ({names}): flask --app wsgi reindex\n"
        assert f"All data are in the backup, but {end}" in result.stderr
        leave(elsewhere.app)
        assert f"All data are restored, but {end}" in run(elsewhere.app, "restore", str(copy)).stderr
        assert run(elsewhere.app, "check").exit_code == 1
        assert run(elsewhere.app, "reindex").exit_code == 0
        assert run(elsewhere.app, "check").exit_code == 0
        done(run(app, "reindex"))
    assert ada.get("/logs?q=findable").json == [log]


def test_a_backup_without_one_of_the_tables_is_refused(copy: Path, elsewhere: Elsewhere) -> None:
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute("DROP TABLE idempotency_keys")
    message = f"{copy} cannot be restored: it has no table idempotency_keys."
    assert refused(run(elsewhere.app, "restore", str(copy))) == message


def test_a_file_that_is_no_backup_is_refused_and_the_database_is_not_changed(
    elsewhere: Elsewhere, tmp_path: Path
) -> None:
    app, path, client = elsewhere
    ben = sign_up(client, "ben")
    leave(app)
    nothing, text, other = (tmp_path / name for name in ("nothing.db", "text.db", "strange.db"))
    text.write_text("no database" * 1000)
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE users (name)")
    message = "cannot be restored:"
    assert refused(run(app, "restore", str(nothing))) == f"There is no file {nothing}."
    assert refused(run(app, "restore", str(path))) == f"{path} belongs to the database itself."
    assert refused(run(app, "restore", str(text))) == f"{text} {message} file is not a database."
    assert refused(run(app, "restore", str(other))) == (
        f"{other} {message} it is no database of this service, or was never migrated."
    )
    assert rows(path, "SELECT id FROM users") == [(ben.id,)]
    assert names(path.parent) == {"other.db", "other.db-open", "other.db-queue"}


def test_a_database_that_is_open_is_not_replaced(copy: Path, elsewhere: Elsewhere) -> None:
    app, path, client = elsewhere
    sign_up(client, "ben")
    assert refused(run(app, "restore", str(copy))) == IN_USE
    leave(app)
    with closing(sqlite3.connect(path)) as another_program:
        another_program.execute("SELECT * FROM users").fetchall()
        assert refused(run(app, "restore", str(copy))) == IN_USE
    done(run(app, "restore", str(copy)))


@pytest.mark.slow
def test_a_database_cannot_be_opened_while_it_is_restored(elsewhere: Elsewhere, tmp_path: Path) -> None:
    app, path, client = elsewhere
    with sqlite.exclusive_lock(path, sqlite.OPEN_LOCK_SUFFIX):
        answer = client.post("/auth/login", {"email": "ada@example.com", "password": "x"})
        assert (answer.status_code, answer.json["code"]) == (503, "database_unavailable")
        message = "The database is busy or away: Restoring (a restore is under way). Try again."
        assert refused(run(app, "user", "list")) == message
        assert refused(run(app, "backup", str(tmp_path / "copy.db"))) == "SQLite says: a restore is under way."
        environment = {"DATABASE_URL": f"sqlite:///{path}", "JWT_SECRET_KEY": SECRET, "PORT": str(free_port())}
        started = programs.run("gunicorn", "-c", "gunicorn.conf.py", "wsgi:app", environment=environment)
    assert started.returncode == 1
    assert "Error: A restore of the database is under way. Start again when it is done." in started.stderr
    assert client.post("/auth/login", {"email": "ada@example.com", "password": "x"}).status_code == 401


def test_a_backup_under_load_contains_every_acknowledged_log_and_can_be_served(
    live_server: LiveServer, start_server: Launch, make_app: Callable[[Config], Flask], tmp_path: Path
) -> None:
    token = sign_up_live(live_server)
    prompt_id = create_prompt(Connection(live_server, token))
    acknowledged: list[str] = []
    enough = Event()

    def write(_: int) -> None:
        connection = Connection(live_server, token)
        while not enough.is_set():
            answer = connection.call("POST", "/logs", {"promptId": prompt_id, "output": "x" * 600, "modelUsed": "m"})
            assert answer.status == 201, answer.body
            acknowledged.append(answer.json["_id"])
        connection.close()

    copy = tmp_path / "copy.db"
    with ThreadPoolExecutor(6) as pool:
        writers = pool.map(write, range(6))
        try:
            time.sleep(0.3)
            before = set(acknowledged)
            backup = flask(live_server.environment["DATABASE_URL"], "backup", str(copy))
            after = len(acknowledged)
        finally:
            enough.set()
        list(writers)
    assert (backup.returncode, backup.stdout) == (0, f"{copy}\n"), backup.stderr
    assert after > len(before) > 0
    elsewhere = f"sqlite:///{tmp_path}/elsewhere.db"
    app = make_app(Config(database_url=elsewhere, jwt_secret_key=SECRET))
    done(run(app, "restore", str(copy)))
    leave(app)
    server = start_server(elsewhere, migrate=False, JWT_SECRET_KEY=SECRET)
    login = {"email": "ada@example.com", "password": "the password of ada"}
    answer = Connection(server).call("POST", "/auth/login", login)
    kept = {log["_id"] for log in Connection(server, answer.json["token"]).call("GET", "/logs").json}
    assert before <= kept <= set(acknowledged)
    assert refused(run(app, "restore", str(copy))) == IN_USE
    assert Connection(server).call("POST", "/auth/login", login).status == 200


def test_concurrent_writes_do_not_restart_a_copy(app: Flask, ada: Person, tmp_path: Path) -> None:
    ada.prompt(content="x" * 1_000_000)
    path = path_of(app)
    steps: list[int] = []
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as writer,
        closing(sqlite3.connect(path, isolation_level=None)) as reader,
    ):

        def write_more(finished: int, total: int) -> None:
            steps.append(finished)
            assert len(steps) < 100, "it begins again and again"
            writer.execute("UPDATE prompts SET title = ?", [f"title {finished}"])

        copy_database(reader, tmp_path / "copy.db", write_more)
    assert len(steps) > 1
    assert steps == sorted(set(steps))
    assert rows(tmp_path / "copy.db", "SELECT title FROM prompts") == [("A title",)]
