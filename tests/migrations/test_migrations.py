"""Migrations: up, down, with rows, all or nothing, and by many at once."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_migrate import downgrade, upgrade
from sqlalchemy import inspect, text
from sqlalchemy.exc import DatabaseError

from config import Config
from promptcrafter import db
from tests.conftest import ROOT, SECRET, Caller, bin_path, only_sqlite, sign_up


@pytest.fixture
def empty_app(make_app: Callable[[Config], Flask], empty_database_url: str, tmp_path: Path) -> Flask:
    config = Config(
        database_url=empty_database_url, jwt_secret_key=SECRET, instance_path=str(tmp_path), ratelimit_enabled=False
    )
    return make_app(config)


def tables() -> set[str]:
    return set(inspect(db.engine()).get_table_names()) - {"alembic_version"}


def command(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"DATABASE_URL": url.replace("+psycopg", ""), "JWT_SECRET_KEY": SECRET}
    return subprocess.run(
        [bin_path("flask"), "--app", "wsgi", "db", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_every_step_goes_up_and_down_and_up_again(empty_app: Flask) -> None:
    with empty_app.app_context():
        assert tables() == set()
        upgrade()
        migrated = tables()
        assert {"users", "prompts", "prompt_versions", "logs"} <= migrated
        assert db.is_migrated()
        while tables():
            downgrade(revision="-1")
            assert not db.is_migrated()
        upgrade()
        upgrade()
        assert tables() == migrated


def test_a_downgrade_with_rows_takes_them_and_an_upgrade_begins_anew(empty_app: Flask) -> None:
    with empty_app.app_context():
        upgrade()
    ada = sign_up(Caller(empty_app.test_client()), "ada")
    ada.log(ada.prompt(tags=["a"], content="findable"))
    with empty_app.app_context():
        downgrade(revision="base")
        assert tables() == set()
        upgrade()
    ada = sign_up(Caller(empty_app.test_client()), "ada")
    assert ada.get("/search?q=findable").json == []
    prompt = ada.prompt(content="findable")
    assert ada.get("/search?q=findable").json == [prompt]


def test_the_models_are_what_the_migrations_made(empty_app: Flask, empty_database_url: str) -> None:
    with empty_app.app_context():
        upgrade()
    checked = command(empty_database_url, "check")
    assert checked.returncode == 0, checked.stderr
    assert "No new upgrade operations detected" in checked.stdout


def test_a_migration_that_fails_leaves_nothing_behind(empty_app: Flask) -> None:
    with empty_app.app_context():
        with db.engine().begin() as connection:
            connection.execute(text("CREATE TABLE logs (mine INTEGER)"))
        with pytest.raises(DatabaseError, match="logs"):
            upgrade()
        assert tables() == {"logs"}


def test_a_database_of_a_newer_release_counts_as_migrated_and_an_older_one_does_not(empty_app: Flask) -> None:
    with empty_app.app_context():
        upgrade()
        with db.engine().begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = 'of a later release'"))
        assert db.is_migrated()
        with db.engine().begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '9416f7a20451'"))
        assert not db.is_migrated()


def test_eight_processes_that_migrate_at_once_apply_it_once(empty_database_url: str, empty_app: Flask) -> None:
    started = [
        subprocess.Popen(
            [bin_path("flask"), "--app", "wsgi", "db", "upgrade"],
            cwd=ROOT,
            env={"DATABASE_URL": empty_database_url.replace("+psycopg", ""), "JWT_SECRET_KEY": SECRET},
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]
    errors = [process.communicate(timeout=60)[1] for process in started]
    assert [process.returncode for process in started] == [0] * 8, errors
    with empty_app.app_context():
        assert db.is_migrated()


@only_sqlite
def test_a_row_whose_parent_a_migration_lost_stops_it(empty_app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    with empty_app.app_context():
        upgrade()
        with db.engine().connect() as connection:
            driver: Any = connection.connection.dbapi_connection
            driver.execute("PRAGMA foreign_keys=OFF")
            driver.execute("INSERT INTO prompt_tags VALUES ('prompt_lost', 0, 'tag')")
            connection.detach()
        with pytest.raises(SystemExit):
            upgrade()
    assert "A migration left rows whose parents are gone; nothing was changed." in caplog.text


@only_sqlite
def test_connections_keep_foreign_keys_on_after_a_migration(empty_app: Flask) -> None:
    with empty_app.app_context():
        upgrade()
        with db.engine().connect() as connection:
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
