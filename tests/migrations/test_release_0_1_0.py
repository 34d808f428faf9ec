"""Data of release 0.1.0, migrated to the newest revision: nothing is lost and every call answers the same.

Each migration that is added later is tested here without a change to this file. Answers may gain fields and exports
may gain fields and types of line; what release 0.1.0 answered must be there, unchanged and in the same order.
"""

import gzip
import json
from collections.abc import Callable, Set
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.script import ScriptDirectory
from flask import Flask
from flask_migrate import downgrade, upgrade
from sqlalchemy import NullPool, create_engine, inspect, text

from config import Config
from promptcrafter import clock
from tests.support.commands import done, run
from tests.support.environment import ROOT
from tests.support.people import Caller

FIXTURES = Path(__file__).parent / "fixtures"
RELEASE = "e83c5f17a2d4"  # the newest migration of release 0.1.0
SAVED = json.loads((FIXTURES / "release_0_1_0.answers.json").read_text(encoding="utf-8"))
# Their values are the clients' own: a later release adds nothing inside them
CLIENT_VALUES = {
    *("input", "output", "idealOutput", "variables", "metadata", "metrics", "context", "payload", "promptReference"),
    *("organization", "user", "evaluators", "evaluationConfig"),
}
# Without the casts and brackets of constraints: PostgreSQL writes others once it has read its own text
POSTGRESQL_SCHEMA = r"""
SELECT attrelid::regclass::text, attname, format_type(atttypid, atttypmod), attnotnull, attidentity, attgenerated,
  attstattarget, pg_get_expr(adbin, adrelid)
FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE relnamespace = 'public'::regnamespace AND attnum > 0 AND NOT attisdropped;
SELECT conrelid::regclass::text, conname, regexp_replace(pg_get_constraintdef(oid), '::[a-z ]+(\[\])?|[()]', '', 'g')
FROM pg_constraint WHERE connamespace = 'public'::regnamespace;
SELECT pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
WHERE relnamespace = 'public'::regnamespace;
SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace;
SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
"""


@pytest.fixture
def restored_app(
    engine_name: str,
    empty_database_url: str,
    make_app: Callable[[Config], Flask],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Flask:
    """The application on a database as release 0.1.0 left it, at the moment at which it did; not migrated yet."""
    if engine_name == "sqlite":
        data = gzip.decompress((FIXTURES / "release_0_1_0.sqlite.gz").read_bytes())
        Path(empty_database_url.removeprefix("sqlite:///")).write_bytes(data)
    else:
        with psycopg.connect(empty_database_url.replace("+psycopg", "")) as connection:
            connection.execute((FIXTURES / "release_0_1_0.postgresql.sql").read_bytes())
    moment = datetime.fromisoformat(SAVED["moment"])
    monkeypatch.setattr(clock, "now", lambda: moment)
    return make_app(
        Config(
            database_url=empty_database_url,
            jwt_secret_key=SAVED["secret"],
            instance_path=str(tmp_path),
            ratelimit_enabled=False,
        )
    )


def without_additions(value: Any, expected: Any, of_clients: Set[str] = CLIENT_VALUES) -> Any:
    """Return `value` without the keys of objects that `expected` does not have in their place."""
    if isinstance(value, dict) and isinstance(expected, dict):
        return {
            name: inner if name in of_clients else without_additions(inner, expected[name], of_clients)
            for name, inner in value.items()
            if name in expected
        }
    if isinstance(value, list) and isinstance(expected, list) and len(value) == len(expected):
        return [without_additions(*pair, of_clients) for pair in zip(value, expected, strict=True)]
    return value


def dumps(value: Any) -> str:
    """Return compact JSON, in which 1 and 1.0 and the order of keys differ."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def assert_exports(app: Flask) -> None:
    """Hold the export of each account, in the form that release 0.1.0 wrote, against the one that it wrote."""
    for account in ("ada", "ben"):
        expected = (FIXTURES / f"release_0_1_0.{account}.ndjson").read_bytes().decode().removesuffix("\n").split("\n")
        types = {json.loads(line)["type"] for line in expected}
        exported = Caller(app.test_client(), SAVED["headers"][account]).get("/export?form=1").get_data(as_text=True)
        records = [json.loads(line) for line in exported.removesuffix("\n").split("\n")]
        known = [record for record in records if record["type"] in types]
        assert len(known) == len(expected)
        shared = [dumps(without_additions(*pair)) for pair in zip(known, map(json.loads, expected), strict=True)]
        assert shared == expected


def assert_answers(app: Flask) -> None:
    """Repeat the calls that release 0.1.0 answered, with its tokens, keys, passwords and idempotency keys."""
    for call in SAVED["calls"]:
        caller = Caller(app.test_client(), SAVED["headers"][call["caller"]])
        sent: dict[str, Any] = {"method": call["method"], "headers": call["headers"]}
        if "body" in call:
            body = json.dumps(call["body"], ensure_ascii=False).encode()  # by the byte: idempotency compares digests
            sent |= {"data": body, "content_type": "application/json"}
        answer = caller.open(call["path"], **sent)
        asked = f"{call['caller']}: {call['method']} {call['path']}"
        assert answer.status_code == call["status"], (asked, answer.text)
        # the metrics in the results of an experiment are what the service says about them
        of_clients = CLIENT_VALUES - {"metrics"} if call["path"].endswith("/results") else CLIENT_VALUES
        assert dumps(without_additions(answer.json, call["answer"], of_clients)) == dumps(call["answer"]), asked
        if "Idempotency-Key" in call["headers"] and answer.status_code < 400:
            assert answer.headers["Idempotency-Replayed"] == "true", asked


def read_rows(url: str) -> dict[str, list[Any]]:
    """Return the rows of each table as sorted pairs of column and value, without the inside of SQLite's FTS5."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        names = set(inspect(connection).get_table_names()) - {"alembic_version"}
        if engine.dialect.name == "sqlite":
            virtual = "SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL TABLE%'"
            indices = connection.scalars(text(virtual)).all()
            names = {
                name for name in names if not any(name == index or name.startswith(f"{index}_") for index in indices)
            }
        return {
            name: sorted(
                (sorted(row.items()) for row in connection.execute(text(f'SELECT * FROM "{name}"')).mappings()),
                key=repr,
            )
            for name in names
        }


def read_schema(url: str) -> list[Any]:
    """Return all that a database consists of, as its engine describes it."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            # Alembic writes the constraints of a table that it rebuilds in any order
            statements = connection.exec_driver_sql("SELECT name, coalesce(sql, '') FROM sqlite_master")
            return sorted((name, sorted(line.strip(" ,") for line in sql.splitlines())) for name, sql in statements)
        return sorted(
            repr(row) for statement in POSTGRESQL_SCHEMA.split(";") for row in connection.exec_driver_sql(statement)
        )


def test_data_of_release_0_1_0_is_exported_unchanged(restored_app: Flask) -> None:
    with restored_app.app_context():
        upgrade()
    assert_exports(restored_app)


def test_the_search_finds_all_data_of_release_0_1_0(restored_app: Flask) -> None:
    with restored_app.app_context():
        upgrade()
    assert done(run(restored_app, "check")).startswith("The search finds everything: ")


def test_calls_on_data_of_release_0_1_0_get_the_same_responses(restored_app: Flask) -> None:
    with restored_app.app_context():
        upgrade()
    assert_answers(restored_app)


def test_a_database_of_release_0_1_0_gets_the_schema_of_a_new_one(
    restored_app: Flask, engine_name: str, empty_database_url: str, request: pytest.FixtureRequest
) -> None:
    with restored_app.app_context():
        upgrade()
    if engine_name == "sqlite":
        fresh_url = f"sqlite:///{request.getfixturevalue('sqlite_template')}"
    else:
        fresh_url = request.getfixturevalue("migrated_postgresql_url")
    assert read_schema(empty_database_url) == read_schema(fresh_url)


@pytest.mark.slow
def test_each_migration_since_release_0_1_0_keeps_its_rows_on_the_way_up_and_down(
    restored_app: Flask, empty_database_url: str
) -> None:
    newer = [
        script.revision for script in ScriptDirectory(str(ROOT / "migrations")).iterate_revisions("heads", RELEASE)
    ]
    states = [read_rows(empty_database_url)]
    assert all(states[0].values()), "a table is empty"
    with restored_app.app_context():
        for revision in reversed(newer):
            upgrade(revision=revision)
            states.append(read_rows(empty_database_url))
        for revision in [*newer[1:], RELEASE][: len(newer)]:
            states.pop()
            downgrade(revision=revision)
            assert read_rows(empty_database_url) == states[-1], f"after the downgrade to {revision}"
        upgrade()
    assert_exports(restored_app)
    assert_answers(restored_app)
