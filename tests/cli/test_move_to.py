"""The command `move-to`."""

import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask
from flask_migrate import upgrade
from sqlalchemy import Engine, event

from config import Config
from promptcrafter.database import revisions
from promptcrafter.database.session import sqlite_path
from promptcrafter.maintenance.sqlite_to_postgresql.tables import derived_tables, every_table
from tests.support.commands import done, refusal, refused, run
from tests.support.databases import OTHER_ENCODINGS, create_database, create_database_in, empty_database
from tests.support.environment import ROOT, SECRET, bin_path, free_port
from tests.support.full_account import fill_account
from tests.support.people import Caller, Person, sign_up
from tests.support.transfer import export

NO_ADDRESS = "The URL must be one of PostgreSQL: postgresql://user:password@host:5432/name."
TABLES = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
USER = "1, 'user_1', 'n', 'e', 'e', 'h', 0, now()"
NOT_EMPTY = "The database to move to is not empty:"
OTHER = "Create another database and move to that one."
READS = (
    *("/prompts", "/logs", "/traces", "/experiments", "/auth/me", "/auth/keys", "/search?q=gravi", "/search?q=zebra"),
    *("/logs?q=falls", "/logs?q=bet*", "/logs?q=🏳️‍🌈", "/logs?sort=-score&minScore=1", "/prompts?per_page=2"),
    *("/experiments/Greeting~1/results", "/scores", "/scores?name=tone&annotator=enduser"),
)


@pytest.fixture
def engine_name() -> str:
    """The database that is moved, unless a test says otherwise."""
    return "sqlite"


@pytest.fixture
def target(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A migrated, empty PostgreSQL database."""
    return empty_database("postgresql", request, tmp_path)


@pytest.fixture
def bare_target(postgresql: Any) -> str:
    """A PostgreSQL database without any table."""
    return create_database(postgresql, f"bare_{time.monotonic_ns()}")


def connect(url: str) -> psycopg.Connection[Any]:
    return psycopg.connect(url.replace("+psycopg", ""), autocommit=True)


def ask(url: str, query: str) -> list[Any]:
    with connect(url) as connection:
        return connection.execute(query.encode()).fetchall()


def rows(url: str) -> dict[str, int]:
    return {table.name: ask(url, f"SELECT count(*) FROM {table.name}")[0][0] for table in every_table()}


def change_file(app: Flask, statement: str) -> None:
    """Change the SQLite file as another program would, which checks no foreign keys."""
    with app.app_context(), closing(sqlite3.connect(str(sqlite_path()))) as connection:
        connection.execute(statement)
        connection.commit()


@contextmanager
def triggered(url: str, table: str, body: str) -> Iterator[None]:
    """Let PostgreSQL do something before each row that is inserted into a table."""
    with connect(url) as connection:
        connection.execute(
            f"CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {body} END$$".encode()
        )
        connection.execute(
            f"CREATE TRIGGER meddle BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION meddle()".encode()
        )
        try:
            yield
        finally:
            connection.execute("DROP FUNCTION meddle CASCADE")


def refused_move(app: Flask, url: str) -> str:
    """Return why a move was refused, without the warning before it if the (tests') database is in use."""
    ended = run(app, "move-to", url)
    assert (ended.exit_code, ended.stdout) == (1, ""), ended.output
    *warnings, line = ended.stderr.splitlines()
    assert all(warning.startswith("The database is in use") for warning in warnings)
    return refusal(line)


def test_everything_moves_and_calls_answer_as_before(
    app: Flask, ada: Person, ben: Person, bare_target: str, make_app: Callable[[Config], Flask], config: Config
) -> None:
    fill_account(ada)
    key = ada.post("/auth/keys", {"name": "k", "expiresAt": "2099-01-01"}).json["key"]
    assert ada.client.get("/limits", headers={"X-Api-Key": key}).status_code == 200  # notes its last use
    once: dict[str, Any] = {"json": {"title": "Once", "content": "c", "model": "m"}}
    once["headers"] = {"Idempotency-Key": "once-and-no-more"}
    first = ada.post("/prompts", **once)
    assert first.status_code == 201
    ben.log(ben.prompt())
    ben.post("/auth/logout")
    moved = run(app, "move-to", bare_target.replace("+psycopg", ""))
    assert done(moved) == ""
    assert moved.stderr.splitlines()[1].startswith("A new database: ")
    assert moved.stderr.splitlines()[2:] == [
        "Moved and compared: 2 users, 2 workspaces, 5 prompts, 38 logs, 2 experiments, 3 traces.",
        "Now set DATABASE_URL to that address and start the service with it. JWT_SECRET_KEY must stay what it is.",
    ]
    target = "SELECT attstattarget FROM pg_attribute WHERE attrelid = 'ix_prompt_search_content_trigrams'::regclass"
    assert ask(bare_target, target) == [(0,)]
    there = Caller(make_app(replace(config, database_url=bare_target)).test_client())
    prompts = [f"/prompts/{prompt['_id']}{rest}" for prompt in ada.get("/prompts").json for rest in ("", "/versions")]
    for path in (*READS, *prompts):
        here = ada.get(path)
        assert here.status_code == 200
        assert len(here.data) > 2, path
        assert there.get(path, headers=ada.headers).text == here.text, path
        assert there.get(path, headers={"X-Api-Key": key}).text == here.text, path
    moved_ada = Person(there, ada.id, ada.token, ada.email, ada.password)
    assert export(moved_ada) == export(ada)
    assert there.get("/prompts", headers=ben.headers).status_code == 401
    assert there.post("/auth/login", {"email": ben.email, "password": ben.password}).status_code == 200
    again = moved_ada.post("/prompts", **once)
    assert (again.status_code, again.json) == (201, first.json)
    assert rows(bare_target)["prompts"] == 5


@pytest.mark.slow
def test_rows_added_after_the_move_get_new_sequence_numbers(
    app: Flask, ada: Person, target: str, make_app: Callable[[Config], Flask], config: Config
) -> None:
    fill_account(ada)
    ada.post("/auth/keys", {"name": "k"})
    last = ada.get("/logs?per_page=1").json[0]["_id"]
    done(run(app, "move-to", target))
    there = Caller(make_app(replace(config, database_url=target)).test_client())
    moved = Person(there, ada.id, ada.token, ada.email, ada.password)
    log = moved.log(moved.prompt(title="New"), output="entirely new")
    assert ask(target, "SELECT id FROM logs ORDER BY seq DESC LIMIT 2") == [(log["_id"],), (last,)]
    assert moved.get("/logs?q=entirely").json == [log]
    assert moved.post("/auth/keys", {"name": "another"}).status_code == 201
    assert moved.post("/basalt/monitor/experiments", {"featureSlug": "new", "name": "n"}).status_code < 300
    assert moved.post("/basalt/monitor/trace", {"featureSlug": "new", "logs": []}).status_code < 300
    sign_up(there, "carla")


def test_every_table_is_moved_and_the_target_has_all_its_indices(app: Flask, ada: Person, target: str) -> None:
    indices = "SELECT indexdef FROM pg_indexes ORDER BY indexname"
    before = ask(target, indices)
    done(run(app, "move-to", target))
    assert {name for (name,) in ask(target, TABLES)} == {
        *(table.name for table in every_table()),
        *derived_tables(),
        *revisions.BOOKKEEPING_TABLES,
    }
    assert ask(target, indices) == before


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ("CREATE TABLE users (mine INTEGER)", f"{NOT_EMPTY} it has a table users, which is not ours. {OTHER}"),
        (
            "CREATE TABLE alembic_version (version_num TEXT); INSERT INTO alembic_version VALUES ('theirs')",
            "The database to move to is of a newer release than this one, or of another program.",
        ),
    ],
)
def test_a_target_with_tables_of_others_is_refused_and_not_changed(
    app: Flask, ada: Person, bare_target: str, made: str, message: str
) -> None:
    with connect(bare_target) as connection:
        connection.execute(made.encode())
    before = ask(bare_target, TABLES)
    assert refused_move(app, bare_target) == message
    assert ask(bare_target, TABLES) == before


def test_a_target_with_rows_is_refused_and_not_changed(app: Flask, ada: Person, target: str) -> None:
    done(run(app, "move-to", target))
    ada.prompt()
    assert refused_move(app, target) == f"{NOT_EMPTY} there are rows in its table members. {OTHER}"
    assert rows(target)["prompts"] == 0
    with connect(target) as connection:
        connection.execute("DELETE FROM workspaces")
        connection.execute("DELETE FROM users")
        connection.execute("CREATE TABLE theirs (id INTEGER)")
        try:
            assert refused_move(app, target) == f"{NOT_EMPTY} it has a table theirs, which is not ours. {OTHER}"
        finally:
            connection.execute("DROP TABLE theirs")


@pytest.mark.slow
def test_a_killed_move_leaves_no_rows_and_can_be_repeated(app: Flask, ada: Person, target: str) -> None:
    fill_account(ada)
    last = ada.get("/logs?per_page=1").json[0]["_id"]
    body = f"IF NEW.id = '{last}' THEN PERFORM pg_advisory_xact_lock_shared(18); END IF; RETURN NEW;"
    with triggered(target, "logs", body), connect(target) as connection:
        connection.execute("SELECT pg_advisory_lock(18)")
        with start_moving(app, target) as moving:
            wait_until(target, "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
            moving.kill()
        assert moving.returncode == -signal.SIGKILL
        connection.execute("SELECT pg_advisory_unlock(18)")
        assert set(rows(target).values()) == {0}
        with start_moving(app, target) as moving:
            assert moving.wait(60) == 0
    assert rows(target)["logs"] == 37


@contextmanager
def start_moving(app: Flask, url: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [bin_path("flask"), "--app", "wsgi", "move-to", "-"],
        cwd=ROOT,
        env={"DATABASE_URL": app.config["SQLALCHEMY_DATABASE_URI"], "JWT_SECRET_KEY": SECRET},
        stdin=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(url.replace("postgresql+psycopg", "postgres").encode())
    process.stdin.close()
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_until(url: str, query: str) -> None:
    deadline = time.monotonic() + 60
    while not ask(url, query):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def when_copying(call: Callable[[], Any]) -> Iterator[None]:
    """Call this as soon as a copy begins, before it has locked the target."""

    def listen(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if statement.startswith("LOCK TABLE") and "alembic_version" not in statement:
            call()

    event.listen(Engine, "before_cursor_execute", listen)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", listen)


def test_concurrent_writes_make_the_move_fail_without_live(app: Flask, ada: Person, target: str) -> None:
    ada.prompt()
    with when_copying(lambda: ada.prompt(title="Too late")):
        assert refused_move(app, target) == (
            "Somebody has written to the SQLite file meanwhile, and PostgreSQL would be without that. Nothing was "
            "moved: stop the service and move again, or leave that behind with --live."
        )
        assert set(rows(target).values()) == {0}
        moved = run(app, "move-to", target, "--live")
    assert done(moved) == ""
    assert "Moved and compared: 1 user, 1 workspace, 2 prompts, 0 logs" in moved.stderr
    assert "Somebody has written to the SQLite file meanwhile. That is not in PostgreSQL.\n" in moved.stderr
    assert len(ada.get("/prompts").json) == 3


def test_a_target_that_gets_rows_before_it_is_locked_is_refused(app: Flask, ada: Person, target: str) -> None:
    with when_copying(lambda: ask(target, f"INSERT INTO users VALUES ({USER}) RETURNING id")):
        assert refused_move(app, target) == f"{NOT_EMPTY} there are rows in its table users. {OTHER}"
    assert ask(target, "SELECT id FROM users") == [("user_1",)]


CHANGED = "did not arrive as they were. Nothing was moved."


@pytest.mark.parametrize(
    ("table", "meddling", "message"),
    [
        ("logs", "NEW.notes := '';", f"The rows of logs {CHANGED}"),
        ("logs", "NEW.created_at := NEW.created_at + interval '1 ms';", f"The rows of logs {CHANGED}"),
        ("logs", "NEW.score := NEW.score + 1e-15;", f"The rows of logs {CHANGED}"),
        ("logs", "NEW.metadata := replace(NEW.metadata, ',', ', ');", f"The rows of logs {CHANGED}"),
        ("log_search", "NEW.words := ts_delete(NEW.words, 'output');", f"The rows of log_search {CHANGED}"),
        ("log_search", "RETURN NULL;", "Of 1 rows of log_search, 0 arrived. Nothing was moved."),
    ],
)
def test_a_copy_that_differs_from_its_source_is_refused(
    app: Flask, ada: Person, target: str, table: str, meddling: str, message: str
) -> None:
    ada.log(ada.prompt(), score=0.5, metadata={"a": 1, "b": 2})
    with triggered(target, table, f"{meddling} RETURN NEW;"):
        assert refused_move(app, target) == message
    assert set(rows(target).values()) == {0}


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (
            "UPDATE logs SET source = 'longer than it may be' WHERE seq = 2",
            "PostgreSQL says: value too long for type character varying(16). That is about the row of logs with seq 2.",
        ),
        (
            "UPDATE prompt_versions SET content = 'a' || char(0)",
            "That is about the row of prompt_versions with prompt_id prompt_x, number 1.",
        ),
        (
            "DELETE FROM users",
            'violates foreign key constraint "fk_workspaces_personal_user_id" (Key (personal_user_id)=(user_x) is not '
            'present in table "users").',
        ),
    ],
)
def test_a_row_that_postgresql_refuses_is_named(
    app: Flask, ada: Person, target: str, statement: str, message: str
) -> None:
    prompt = ada.prompt()
    for _ in range(3):
        ada.log(prompt)
    change_file(app, statement)
    found = refused_move(app, target).replace(prompt["_id"], "prompt_x").replace(ada.id, "user_x")
    assert found.endswith(message)
    assert set(rows(target).values()) == {0}


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("postgres://ada:secret@h:port/d", "it must look like postgresql://user:password@host:5432/database"),
        ("postgres://ada:s@cret@h/d", "characters such as @, / and : in the password must be percent-encoded"),
    ],
)
def test_a_malformed_url_is_refused_with_the_reason_and_not_quoted(app: Flask, url: str, fault: str) -> None:
    assert refused(run(app, "move-to", url)) == f"The URL is malformed: {fault}."
    assert refused(run(app, "move-to", "-", stdin=f"{url}\n")) == f"The URL is malformed: {fault}."


@pytest.mark.parametrize("url", ["sqlite:////tmp/x.db", "mysql://h/d", "promptcrafter", ""])
def test_a_url_that_is_not_postgresqls_is_refused_and_not_quoted(app: Flask, url: str) -> None:
    assert refused(run(app, "move-to", url)) == NO_ADDRESS
    assert refused(run(app, "move-to", "-", stdin=f"{url}\n")) == NO_ADDRESS


def test_an_unreachable_server_is_reported_without_the_password(app: Flask, ada: Person) -> None:
    message = refused_move(app, f"postgres://ada:secret@127.0.0.1:{free_port()}/d")
    assert message.startswith("The database to move to cannot be used: connection failed: ")
    assert "secret" not in message


def test_a_server_that_goes_away_is_reported(app: Flask, ada: Person, target: str) -> None:
    ada.log(ada.prompt())
    with triggered(target, "logs", "PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW;"):
        message = refused_move(app, target)
    assert message == "PostgreSQL says: terminating connection due to administrator command."
    assert set(rows(target).values()) == {0}


@pytest.mark.parametrize("encoding", OTHER_ENCODINGS)
def test_a_target_with_another_encoding_than_utf8_is_refused(
    app: Flask, ada: Person, postgresql: Any, encoding: str
) -> None:
    url = create_database_in(postgresql, encoding)
    fault = f"its encoding is {encoding}, and must be UTF8."
    assert refused_move(app, url) == f"The database to move to cannot be used: {fault}"


def test_a_target_of_an_older_release_is_migrated_if_it_is_empty_and_otherwise_not_changed(
    app: Flask, ada: Person, bare_target: str, make_app: Callable[[Config], Flask], config: Config
) -> None:
    there = make_app(replace(config, database_url=bare_target))
    older = "3f9c61d2ab47"
    with there.app_context():
        upgrade(revision=older)
    with connect(bare_target) as connection:
        connection.execute(f"INSERT INTO users VALUES ({USER})".encode())
        assert refused_move(app, bare_target) == f"{NOT_EMPTY} there are rows in its table users. {OTHER}"
        assert ask(bare_target, "SELECT version_num FROM alembic_version") == [(older,)]
        connection.execute("DELETE FROM users")
    done(run(app, "move-to", bare_target))
    assert ask(bare_target, "SELECT id FROM users") == [(ada.id,)]
    with there.app_context():
        assert revisions.find_mismatch() is None


@pytest.mark.parametrize(
    ("revision", "message"),
    [
        ("3f9c61d2ab47", "The database is not up to date. Before it is moved: flask --app wsgi db upgrade"),
        ("of a later one", "The database is of a newer release than this one: move it with that release."),
    ],
)
def test_a_database_of_another_release_is_not_moved(
    app: Flask, ada: Person, bare_target: str, revision: str, message: str
) -> None:
    change_file(app, f"UPDATE alembic_version SET version_num = '{revision}'")
    assert refused_move(app, bare_target) == message
    assert ask(bare_target, TABLES) == []


@pytest.mark.parametrize("engine_name", ["postgresql"])
def test_a_database_of_postgresql_is_not_moved(app: Flask) -> None:
    message = "The database is PostgreSQL's already: pg_dump and pg_restore move it."
    assert refused(run(app, "move-to", "postgresql://h/d")) == message
