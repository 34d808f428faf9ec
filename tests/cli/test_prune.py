"""The command `prune`."""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from sqlite3 import connect
from threading import Event
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import TimeoutError

from promptcrafter import clock
from promptcrafter.cli import prune
from promptcrafter.database import transactions
from promptcrafter.database.base import Base
from promptcrafter.database.session import database_size, get_engine, sqlite_path
from promptcrafter.logs import store as log_store
from promptcrafter.maintenance import vacuum
from promptcrafter.workspaces.principal import at_home
from tests.support.commands import done, flask, refused, run
from tests.support.connection import Connection, create_prompt, sign_up
from tests.support.databases import only_sqlite
from tests.support.people import Person
from tests.support.servers import LiveServer
from tests.support.statements import executed_by_sqlite, statements
from tests.traces.test_views import trace


@pytest.fixture
def age(app: Flask) -> Callable[..., None]:
    """A function that makes the logs and traces of these ids this many days old."""

    def make_older(days: int, *ids: str) -> None:
        moment = clock.now() - timedelta(days=days)
        with app.app_context(), get_engine().begin() as connection:
            for id in ids:
                table = Base.metadata.tables["logs" if id.startswith("log_") else "traces"]
                connection.execute(table.update().where(table.c.id == id).values(created_at=moment))

    return make_older


def ids(person: Person, path: str) -> set[str]:
    return {row["_id"] for row in person.get(path).json}


def first_line(app: Flask, *arguments: str) -> str:
    """Return what a prune says it deleted, or would."""
    return done(run(app, "prune", "--older-than", *arguments)).splitlines()[0]


def test_logs_older_than_the_age_are_deleted_and_younger_ones_kept(
    app: Flask, ada: Person, ben: Person, age: Callable[..., None]
) -> None:
    old, young, bens = ada.log(ada.prompt()), ada.log(ada.prompt()), ben.log(ben.prompt())
    age(15, old["_id"], bens["_id"])
    age(13, young["_id"])
    assert first_line(app, "15d") == "Deleted 2 logs and 0 traces."
    assert (ids(ada, "/logs"), ids(ben, "/logs")) == ({young["_id"]}, set())
    assert first_line(app, "2w") == "Deleted 0 logs and 0 traces."
    age(366, young["_id"])
    assert first_line(app, "1y") == "Deleted 1 log and 0 traces."


def test_one_account_can_be_pruned_alone(app: Flask, ada: Person, ben: Person, age: Callable[..., None]) -> None:
    adas, bens = ada.log(ada.prompt()), ben.log(ben.prompt())
    age(2, adas["_id"], bens["_id"])
    assert first_line(app, "1d", "--user", "BEN@example.com") == "Deleted 1 log and 0 traces."
    assert (ids(ada, "/logs"), ids(ben, "/logs")) == ({adas["_id"]}, set())
    message = refused(run(app, "prune", "--older-than", "1d", "--user", "nobody@example.com"))
    assert message == "No account has the address nobody@example.com."


def test_one_workspace_can_be_pruned_alone(app: Flask, ada: Person, ben: Person, age: Callable[..., None]) -> None:
    team = ada.post("/workspaces", {"name": "Team"}).json
    shared = ada.post("/prompts", PROMPT, headers={"X-Workspace": "team"}).json
    own, teams, bens = ada.log(ada.prompt()), ada.log(shared), ben.log(ben.prompt())
    age(2, own["_id"], teams["_id"], bens["_id"])
    assert first_line(app, "1d", "--workspace", team["_id"], "--dry-run") == "1 log and 0 traces would go."
    assert first_line(app, "1d", "--workspace", "team") == "Deleted 1 log and 0 traces."
    assert (ids(ada, "/logs"), ids(ben, "/logs")) == ({own["_id"]}, {bens["_id"]})
    assert ada.get("/logs", headers={"X-Workspace": "team"}).json == []
    message = refused(run(app, "prune", "--older-than", "1d", "--workspace", "nowhere"))
    assert message == "No workspace has the id or the slug nowhere."
    both = refused(run(app, "prune", "--older-than", "1d", "--workspace", "team", "--user", ada.email))
    assert both == "--user means the personal workspace of an account: use it or --workspace, not both."
    assert first_line(app, "1d") == "Deleted 2 logs and 0 traces."


PROMPT = {"title": "A title", "content": "Some content", "model": "gpt-4o"}


def test_reviewed_logs_can_be_kept(app: Flask, ada: Person, age: Callable[..., None]) -> None:
    prompt = ada.prompt()
    judged = [ada.log(prompt, score=0), ada.log(prompt, notes="Too long."), ada.log(prompt, score=5, notes="")]
    others = [ada.log(prompt), ada.log(prompt, notes="")]
    age(2, *(log["_id"] for log in judged + others))
    assert first_line(app, "1d", "--keep-scored", "--dry-run") == "2 logs and 0 traces would go."
    assert first_line(app, "1d", "--keep-scored") == "Deleted 2 logs and 0 traces."
    assert ids(ada, "/logs") == {log["_id"] for log in judged}
    assert first_line(app, "1d") == "Deleted 3 logs and 0 traces."


def test_old_traces_without_remaining_logs_are_deleted(app: Flask, ada: Person, age: Callable[..., None]) -> None:
    def logs_in(trace_id: str) -> list[str]:
        return [log["_id"] for log in ada.get(f"/traces/{trace_id}").json["logs"]]

    emptied, scored, late, young = (trace(ada) for _ in range(4))
    steps_only = trace(ada, logs=[{"id": "1", "type": "span"}])
    ada.patch(f"/logs/{logs_in(scored)[0]}", {"score": 9})
    age(2, emptied, scored, late, steps_only, *logs_in(emptied), *logs_in(scored))
    counted = "1 log and 2 traces"
    assert first_line(app, "1d", "--keep-scored", "--dry-run") == f"{counted} would go."
    assert ids(ada, "/traces") == {emptied, scored, late, young, steps_only}
    assert first_line(app, "1d", "--keep-scored") == f"Deleted {counted}."
    assert ids(ada, "/traces") == {scored, late, young}
    assert first_line(app, "1d") == "Deleted 1 log and 1 trace."
    assert ids(ada, "/traces") == {late, young}
    assert len(ids(ada, "/logs")) == 2


@only_sqlite
@pytest.mark.parametrize("nonsense", ["90", "0d", "-1d", "1m", "d", "1.5y", "90 d", "", "1000000d", "999999y", "٣d"])
def test_a_malformed_age_is_refused(app: Flask, nonsense: str) -> None:
    message = "--older-than takes days, weeks or years, at least one, such as 90d, 12w or 2y."
    assert refused(run(app, "prune", "--older-than", nonsense)) == message


def test_rows_are_deleted_in_small_transactions_and_found_by_an_index(
    app: Flask, ada: Person, age: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prune, "_ROWS_AT_ONCE", 2)
    prompt = ada.prompt()
    age(2, *(ada.log(prompt, score=n % 2 or None)["_id"] for n in range(10)), trace(ada))
    with statements(app) as seen:
        assert first_line(app, "1d", "--keep-scored") == "Deleted 5 logs and 0 traces."
    assert len([statement for statement, _ in seen if statement.startswith("DELETE")]) == 3
    assert len(ids(ada, "/logs")) == 6
    with app.app_context(), get_engine().connect() as connection:
        if connection.dialect.name == "sqlite":
            for statement, parameters in seen:
                if (
                    statement.startswith(("SELECT", "DELETE"))
                    and "users" not in statement
                    and "pragma" not in statement
                ):
                    plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
                    steps = [row[3] for row in plan]
                    # almost always empty, one row, and few: the workspaces, and what has stored aggregates
                    harmless = (
                        "SCAN pending_deletions",
                        "SCAN CONSTANT ROW",
                        "SCAN workspaces",
                        "SCAN aggregate_scopes",
                    )
                    steps = [step for step in steps if not step.startswith(harmless)]
                    assert not [step for step in steps if "SCAN" in step or "TEMP B-TREE" in step], steps


@only_sqlite
def test_other_writers_proceed_between_the_transactions(
    app: Flask, ada: Person, age: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prune, "_ROWS_AT_ONCE", 2)
    prompt = ada.prompt()
    age(2, *(ada.log(prompt)["_id"] for _ in range(5)))
    with executed_by_sqlite(app) as seen:
        assert first_line(app, "1d") == "Deleted 5 logs and 0 traces."
    assert seen.count("BEGIN IMMEDIATE") == seen.count("COMMIT") == 3


def test_what_a_prune_has_deleted_is_in_the_audit_trail_although_it_is_interrupted(
    app: Flask, ada: Person, age: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prune, "_ROWS_AT_ONCE", 2)
    prompt = ada.prompt()
    age(2, *(ada.log(prompt)["_id"] for _ in range(5)))
    remove, calls = log_store.remove_expired, iter(range(3))

    def remove_twice(*arguments: Any) -> int:
        if next(calls) == 2:
            raise TimeoutError("no turn to write")
        return remove(*arguments)

    monkeypatch.setattr(log_store, "remove_expired", remove_twice)
    cause = "no turn to write, or no free connection, within DATABASE_TIMEOUT_MS"
    assert refused(run(app, "prune", "--older-than", "1d")) == f"The database is busy or away: {cause}. Try again."
    assert len(ada.get("/logs").json) == 1
    slug = ada.get("/workspaces").json[0]["slug"]
    (entry,) = ada.get(f"/workspaces/{slug}/audit?action=prune").json
    assert entry["after"] == {"logs": 4, "traces": 0}


def test_a_log_that_is_scored_just_before_its_deletion_is_kept(
    app: Flask, ada: Person, age: Callable[..., None]
) -> None:
    log = ada.log(ada.prompt())
    age(2, log["_id"])
    filters = {"until": clock.now() - timedelta(days=1), "is_reviewed": False}
    with app.app_context():
        (rows,) = log_store.each_expired(at_home(ada.id), filters, 500)
        ada.patch(f"/logs/{log['_id']}", {"score": 1})
        with transactions.writing():
            assert log_store.remove_expired(at_home(ada.id), filters, rows) == 0
    assert ids(ada, "/logs") == {log["_id"]}


def size_of(app: Flask) -> int:
    with app.app_context():
        return database_size()


@pytest.mark.parametrize("before_incremental", ["as it is made", "as it was made before"])
@only_sqlite
def test_a_sqlite_file_shrinks(app: Flask, ada: Person, age: Callable[..., None], before_incremental: str) -> None:
    if before_incremental == "as it was made before":
        make_as_before(app)
    prompt = ada.prompt()
    kept, *old = [ada.log(prompt, output="x" * 200_000)["_id"] for _ in range(11)]
    age(2, *old)
    before = size_of(app)
    deleted, gave_back = done(run(app, "prune", "--older-than", "1d")).splitlines()
    assert deleted == "Deleted 10 logs and 0 traces."
    assert gave_back == f"The database takes {before - size_of(app):,} bytes less on the disk."
    assert before - size_of(app) > 2_000_000
    assert ada.get(f"/logs/{kept}").json["output"] == "x" * 200_000
    with app.app_context(), get_engine().connect() as connection:
        for pragma, value in (("auto_vacuum", 2), ("freelist_count", 0), ("busy_timeout", 2000)):
            assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"


def make_as_before(app: Flask) -> None:
    """Let the database's file be one that cannot give back pages."""
    with app.app_context():
        get_engine().dispose()
        with closing(connect(str(sqlite_path()), isolation_level=None)) as connection:
            connection.execute("PRAGMA auto_vacuum=NONE")
            connection.execute("VACUUM")
            assert connection.execute("PRAGMA auto_vacuum").fetchone() == (0,)


@only_sqlite
def test_a_disk_too_full_to_rewrite_an_older_file_is_reported(
    app: Flask, ada: Person, age: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_as_before(app)
    age(2, ada.log(ada.prompt())["_id"])

    class Full:
        free = 5

    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Full)
    pruned = run(app, "prune", "--older-than", "1d")
    assert done(pruned).splitlines()[0] == "Deleted 1 log and 0 traces."
    assert pruned.stderr.startswith(
        "The file keeps its size, which what comes next will use: to write it anew, it takes"
    )
    assert pruned.stderr.endswith("where 5 are free.\n")


@only_sqlite
def test_a_reader_of_an_older_snapshot_blocks_nothing(
    app: Flask, ada: Person, age: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vacuum, "_ATTEMPTS", 1)
    age(2, ada.log(ada.prompt(), output="x" * 100_000)["_id"])
    with app.app_context(), closing(connect(str(sqlite_path()), isolation_level=None)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM logs").fetchone() == (1,)
        assert first_line(app, "1d") == "Deleted 1 log and 0 traces."
        assert reader.execute("SELECT length(output) FROM logs").fetchone() == (100_000,)
        assert ada.prompt()


@pytest.mark.parametrize("engine_name", ["postgresql"])
def test_postgresql_tables_are_vacuumed(app: Flask, ada: Person, age: Callable[..., None]) -> None:
    age(2, ada.log(ada.prompt())["_id"])
    with statements(app) as seen:
        pruned = run(app, "prune", "--older-than", "1d")
    assert done(pruned).splitlines()[0] == "Deleted 1 log and 0 traces."
    assert pruned.stderr == "PostgreSQL keeps the rest of the room for what comes next.\n"
    (vacuum,) = [statement for statement, _ in seen if statement.startswith("VACUUM")]
    assert "log_search" in vacuum, "which no model has"
    assert " logs" in vacuum
    with app.app_context(), get_engine().begin() as connection:
        connection.execute(text("SELECT 1"))  # in a transaction again
        assert connection.get_isolation_level() == "READ COMMITTED"


def test_other_writers_proceed_while_a_live_database_is_pruned(live_server: LiveServer) -> None:
    url = live_server.environment["DATABASE_URL"]
    path = Path(url.removeprefix("sqlite:///"))
    token = sign_up(live_server)
    connection = Connection(live_server, token)
    body: dict[str, Any] = {"promptId": create_prompt(connection), "output": "x" * 2000, "modelUsed": "m"}
    batch = {"logs": [body] * 500}
    for _ in range(4):
        assert connection.call("POST", "/logs/batch", batch).status == 200
    with closing(connect(path)) as database:
        database.execute("UPDATE logs SET created_at = '2020-01-01T00:00:00.000Z'")
        database.commit()
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before, written, enough = path.stat().st_size, [], Event()

    def write(_: int) -> None:
        connection = Connection(live_server, token)
        while not enough.is_set():
            answer = connection.call("POST", "/logs", {**body, "output": "new"})
            assert answer.status == 201, answer.body
            written.append(answer.json["_id"])
        connection.close()

    with ThreadPoolExecutor(4) as pool:
        writers = pool.map(write, range(4))
        try:
            pruned = flask(url, "prune", "--older-than", "1y")
        finally:
            enough.set()
        list(writers)
    assert (pruned.returncode, pruned.stderr) == (0, "")
    assert pruned.stdout.startswith("Deleted 2,000 logs and 0 traces.\nThe database takes ")
    kept = Connection(live_server, token).call("GET", "/logs").json  # the first may have waited too long
    assert sorted(log["_id"] for log in kept) == sorted(written)
    assert written
    assert path.stat().st_size < before / 2
