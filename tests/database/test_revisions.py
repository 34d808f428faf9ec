"""A schema of another release: nothing is written to it, by no call and no command, until it is migrated."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from flask import Flask
from flask_migrate import downgrade, upgrade
from sqlalchemy import select, text, update

from promptcrafter.auth.models import User
from promptcrafter.database import revisions
from promptcrafter.database.base import Base
from promptcrafter.database.session import get_engine, session
from promptcrafter.database.transactions import writing
from tests.support.calls import calls, send
from tests.support.commands import refused, run
from tests.support.errors import assert_error
from tests.support.people import Caller, Person, sign_up

NOT_MIGRATED = ("database_not_migrated", "The database is not migrated: run flask --app wsgi db upgrade.")
TOO_NEW = ("database_too_new", "The database was migrated by a newer release than this one: upgrade the service.")
SCHEMAS = [(revisions.OLDER[-1], *NOT_MIGRATED), ("of a later release", *TOO_NEW)]
BEFORE_WORKSPACES = "2f96d0a8b4e3"  # whose logs have columns that this release does not know
READING = {
    *("POST /prompts/<prompt_id>/render", "POST /prompts/by-slug/<slug:slug>/render"),
    *("POST /experiment/<slug>/assign", "POST /auth/login"),
}

BEFORE_WORKSPACES = "2f96d0a8b4e3"  # whose columns this release cannot read


def rows(app: Flask) -> dict[str, list[str]]:
    """Return all rows of the models' tables."""
    with app.app_context(), get_engine().connect() as connection:
        return {
            name: sorted(map(repr, connection.execute(select(table)))) for name, table in Base.metadata.tables.items()
        }


@contextmanager
def claiming(app: Flask, revision: str) -> Iterator[None]:
    """Let the database have this revision inside the block."""

    def set_revision(name: str) -> None:
        with app.app_context(), get_engine().begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = :name"), {"name": name})

    set_revision(revision)
    try:
        yield
    finally:
        set_revision(revisions.HEAD)


def test_no_call_writes_to_the_schema_of_another_release_and_all_work_again_once_it_is_migrated(
    app: Flask, ada: Person, subtests: pytest.Subtests
) -> None:
    prompt = ada.prompt()
    log, key = ada.log(prompt)["_id"], ada.post("/auth/keys", {"name": "k"}).json["_id"]
    removals = (
        *(f"DELETE /logs/{log}", f"DELETE /auth/keys/{key}"),
        *(f"DELETE /prompts/{prompt['_id']}/labels/latest-one", f"DELETE /prompts/{prompt['_id']}"),
    )
    ada.open(f"/prompts/{prompt['_id']}/labels/latest-one", method="PUT", json={"version": 1})
    known = {**calls(ada), **{removal: (removal.partition(" ")[2], None) for removal in removals}}
    before = rows(app)
    for revision, code, message in SCHEMAS:
        with claiming(app, revision):
            for call, (path, body) in known.items():
                with subtests.test(revision=revision, call=call):
                    answer = ada.open(path, method=call.partition(" ")[0], json=body)
                    if call in READING:
                        assert answer.status_code == 200, answer.text
                    else:
                        assert_error(answer, 503, code, message)
                        assert answer.headers["Retry-After"]
            imported = ada.post("/import?ids=new", data=ada.get("/export").data, content_type="application/x-ndjson")
            assert_error(imported, 503, code, message)
            assert_error(ada.get("/readyz"), 503, code, message)
            assert {ada.get(path).status_code for path in ("/logs", "/prompts", "/logs?q=output", "/healthz")} == {200}
            assert rows(app) == before, revision
        ready = ada.get("/readyz")
        assert ready.status_code == 200, ready.text
    for call, (path, body) in known.items():
        assert send(ada, call, path, body).status_code in (200, 201, 204, 207), call


@pytest.mark.parametrize(("revision", "code", "message"), SCHEMAS, ids=["older", "newer"])
def test_no_command_writes_to_the_schema_of_another_release(
    app: Flask, ada: Person, tmp_path: Path, revision: str, code: str, message: str
) -> None:
    ada.log(ada.prompt(), modelUsed="gpt-4o", input="What is the capital of France?", output="Paris")
    key = ada.post("/auth/keys", {"name": "k"}).json["_id"]
    with app.app_context(), get_engine().begin() as connection:
        connection.execute(text("UPDATE logs SET created_at = '2020-01-01T00:00:00.000Z', cost = 99"))
    file = tmp_path / "export.ndjson"
    file.write_bytes(ada.get("/export").data)
    before = rows(app)
    password = "a password of sufficient length"
    with claiming(app, revision):
        for arguments in (
            ["user", "add", "new@example.com", "--name", "New", "--password-stdin"],
            ["user", "reset-password", ada.email, "--password-stdin"],
            ["user", "disable", ada.email],
            ["key", "add", ada.email, "another"],
            ["key", "revoke", key],
            ["import", str(file), "--user", ada.email, "--new-ids"],
            ["prune", "--older-than", "90d"],
            ["costs", "recompute", "--apply"],
        ):
            assert refused(run(app, *arguments, stdin=password)) == message, arguments
    assert rows(app) == before


def test_a_log_in_does_not_fail_because_a_renewed_password_hash_cannot_be_stored(app: Flask, ada: Person) -> None:
    with app.app_context(), writing():
        old = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(ada.password)
        session.execute(update(User).where(User.id == ada.id).values(password_hash=old))
    with claiming(app, "of a later release"):
        assert ada.post("/auth/login", {"email": ada.email, "password": ada.password}).status_code == 200
    with app.app_context():
        assert session.scalars(select(User.password_hash)).one() == old


def test_a_read_that_the_schema_of_another_release_does_not_allow_is_503(migrated_app: Flask) -> None:
    ada = sign_up(Caller(migrated_app.test_client()), "ada")
    with migrated_app.app_context():
        downgrade(revision=BEFORE_WORKSPACES)
    assert_error(ada.get("/logs"), 503, *NOT_MIGRATED)
    with migrated_app.app_context():
        upgrade()
        with get_engine().begin() as connection:
            connection.execute(text("ALTER TABLE logs RENAME COLUMN notes TO remarks"))
            connection.execute(text("UPDATE alembic_version SET version_num = 'of a later release'"))
    assert ada.get("/prompts").status_code == 200
    for path in ("/logs", "/logs?per_page=1", "/export"):
        assert_error(ada.get(path), 503, *TOO_NEW)


def test_the_schema_is_looked_at_without_a_round_trip_of_its_own(app: Flask, ada: Person, engine_name: str) -> None:
    """On PostgreSQL the look is sent with BEGIN; on SQLite it reads one page."""
    with app.app_context(), writing():
        driver: Any = session.connection().connection.driver_connection
        assert (
            driver.info.transaction_status.name == "INTRANS" if engine_name == "postgresql" else driver.in_transaction
        )
    with app.app_context(), get_engine().connect() as connection:
        driver = connection.connection.driver_connection
        if engine_name == "postgresql":
            assert not driver.autocommit, "the next request begins its transaction as before"
