"""Migrations: upgrades and downgrades, with rows, atomic, and by concurrent processes."""

import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from flask import Flask
from flask_migrate import downgrade, upgrade
from sqlalchemy import NullPool, create_engine, inspect, select, text
from sqlalchemy.exc import DatabaseError, IntegrityError

from promptcrafter.auth import store as accounts
from promptcrafter.database import revisions
from promptcrafter.database.base import Base
from promptcrafter.database.session import get_engine
from promptcrafter.database.transactions import writing
from promptcrafter.logs.models import Log
from promptcrafter.logs.search import parse_terms
from promptcrafter.logs.store import find_logs
from promptcrafter.problems import NewerSchema, NotMigrated
from promptcrafter.prompts.models import SearchText
from promptcrafter.prompts.search import index_matches, search_columns
from promptcrafter.workspaces.principal import at_home
from tests.support.commands import done, flask, run
from tests.support.databases import only_sqlite
from tests.support.environment import ROOT, SECRET
from tests.support.people import Caller, sign_up


def tables() -> set[str]:
    return set(inspect(get_engine()).get_table_names()) - {"alembic_version"}


def test_every_step_goes_up_and_down_and_up_again(empty_app: Flask) -> None:
    with empty_app.app_context():
        assert tables() == set()
        upgrade()
        migrated = tables()
        assert {"users", "prompts", "prompt_versions", "logs"} <= migrated
        assert revisions.find_mismatch() is None
        while tables():
            downgrade(revision="-1")
            assert revisions.find_mismatch() is not None
        upgrade()
        upgrade()
        assert tables() == migrated


def test_a_downgrade_deletes_rows_and_an_upgrade_starts_empty(migrated_app: Flask) -> None:
    ada = sign_up(Caller(migrated_app.test_client()), "ada")
    ada.log(ada.prompt(tags=["a"], content="findable"))
    with migrated_app.app_context():
        downgrade(revision="base")
        assert tables() == set()
        upgrade()
    ada = sign_up(Caller(migrated_app.test_client()), "ada")
    assert ada.get("/search?q=findable").json == []
    prompt = ada.prompt(content="findable")
    assert ada.get("/search?q=findable").json == [prompt]


@pytest.mark.slow
def test_the_migrated_schema_equals_the_models(empty_app: Flask, empty_database_url: str) -> None:
    with empty_app.app_context():
        upgrade()
    checked = flask(empty_database_url, "db", "check")
    assert checked.returncode == 0, checked.stderr
    assert "No new upgrade operations detected" in checked.stdout


def test_a_failed_migration_changes_nothing(empty_app: Flask) -> None:
    with empty_app.app_context():
        with get_engine().begin() as connection:
            connection.execute(text("CREATE TABLE logs (mine INTEGER)"))
        with pytest.raises(DatabaseError, match="logs"):
            upgrade()
        assert tables() == {"logs"}


def test_an_older_schema_needs_a_migration_and_a_newer_one_a_newer_release_unless_it_lets_this_one_write(
    empty_app: Flask,
) -> None:
    def mismatch_with(revision: str) -> type[Exception] | None:
        with get_engine().begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
        problem = revisions.find_mismatch()
        return None if problem is None else type(problem)

    with empty_app.app_context():
        assert isinstance(revisions.find_mismatch(), NotMigrated), "of an empty database"
        upgrade()
        assert mismatch_with(revisions.HEAD) is None
        for older in revisions.OLDER:
            assert mismatch_with(older) is NotMigrated
        assert mismatch_with("a later one") is NewerSchema
        insert_row("schema_writers", {"schema_revision": "a later one", "release_revision": "another release"})
        assert mismatch_with("a later one") is NewerSchema
        insert_row("schema_writers", {"schema_revision": "a later one", "release_revision": revisions.HEAD})
        assert mismatch_with("a later one") is None
        assert mismatch_with("a still later one") is NewerSchema


def test_the_revision_constants_agree_with_alembic() -> None:
    scripts = ScriptDirectory(str(ROOT / "migrations"))
    newest_first = [script.revision for script in scripts.walk_revisions()]
    assert [*revisions.OLDER, revisions.HEAD] == newest_first[::-1]
    known = set(newest_first)
    assert {revision for revision in known if revisions.is_newest(revision)} == set(scripts.get_heads())
    assert {revision for revision in known if revisions.is_older(revision)} == known - set(scripts.get_heads())


@pytest.mark.slow
def test_a_server_does_not_load_alembic(empty_database_url: str) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", "import sys, wsgi; print('alembic' in sys.modules)"],
        cwd=ROOT,
        env={"DATABASE_URL": empty_database_url.replace("+psycopg", ""), "JWT_SECRET_KEY": SECRET},
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout == "False\n"


@pytest.mark.slow
def test_eight_processes_that_migrate_concurrently_apply_each_migration_once(
    empty_database_url: str, empty_app: Flask
) -> None:
    with ThreadPoolExecutor(8) as pool:
        ended = list(pool.map(lambda _: flask(empty_database_url, "db", "upgrade"), range(8)))
    (first, *others) = sorted(ended, key=lambda program: program.stderr)
    assert first.stderr.startswith("A new database: "), "the one that has waited for no other"
    up_to_date = (0, "The database is up to date.\n")
    assert [(program.returncode, program.stderr) for program in others] == [up_to_date] * 7
    with empty_app.app_context():
        assert revisions.find_mismatch() is None


@only_sqlite
def test_a_migration_that_leaves_a_row_without_its_parent_fails(
    migrated_app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    with migrated_app.app_context():
        with get_engine().connect() as connection:
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
        with get_engine().connect() as connection:
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


BEFORE_DIALECTS, DIALECTS = "c2f0d18a7b64", "5b1e8d37c960"
OLD_ROWS: dict[str, dict[str, Any]] = {
    "users": {"seq": 1, "id": "user_1", "name": "a", "email": "a@b.co", "email_key": "a@b.co", "password_hash": "x"},
    "prompts": {"seq": 1, "id": "prompt_1", "owner_id": "user_1", "slug": "s", "title": "t", "content": "c"},
    "prompt_versions": {"prompt_id": "prompt_1", "number": 1, "content": "c", "created_by": "user_1"},
    "prompt_labels": {"prompt_id": "prompt_1", "name": "production", "version": 1},
    "logs": {"seq": 7, "id": "log_1", "owner_id": "user_1", "prompt_id": "prompt_1", "prompt_version": 1},
}
OLD_REST: dict[str, dict[str, Any]] = {
    "users": {"token_epoch": 0},
    "prompts": {"model": "m", "version": 1},
    "prompt_versions": {"model": "m"},
    "logs": {"model_used": "m", "output": "o", "score": 8.5, "metadata": '{"a":1}'},
}


def insert_row(table: str, row: dict[str, Any]) -> None:
    insert_rows(table, [row])


def insert_rows(table: str, rows: list[dict[str, Any]]) -> None:
    """Insert rows of the same columns, in one transaction."""
    with get_engine().begin() as connection:
        names = ", ".join(rows[0])
        values = ", ".join(f":{name}" for name in rows[0])
        connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({values})"), rows)


def insert_old_rows() -> None:
    moment = "2024-06-20T13:10:00.000Z"
    times = {"users": ("created_at",), "prompt_versions": ("created_at",), "prompt_labels": ()}
    for table, row in OLD_ROWS.items():
        stamps = dict.fromkeys(times.get(table, ("created_at", "updated_at")), moment)
        insert_row(table, {**row, **OLD_REST.get(table, {}), **stamps})


def read_rows(table: str, columns: str) -> list[Any]:
    with get_engine().connect() as connection:
        return [tuple(row) for row in connection.execute(text(f"SELECT {columns} FROM {table} ORDER BY 1"))]


def test_logs_survive_the_migration_that_allows_logs_without_a_prompt_and_its_downgrade(empty_app: Flask) -> None:
    columns = "seq, id, owner_id, prompt_id, prompt_version, model_used, output, score, metadata, created_at"
    with empty_app.app_context():
        upgrade(revision=BEFORE_DIALECTS)
        insert_old_rows()
        logs, labels = read_rows("logs", columns), read_rows("prompt_labels", "*")
        upgrade(revision=DIALECTS)
        assert (read_rows("logs", columns), read_rows("prompt_labels", "*")) == (logs, labels)
        moment = {"created_at": "2024-06-20T13:10:00.000Z"}
        insert_row(
            "traces", {"seq": 1, "id": "trace_1", "owner_id": "user_1", "source": "basalt", "slug": "s", **moment}
        )
        stranger = {"id": "log_2", "owner_id": "user_1", "trace_id": "trace_1", "updated_at": moment["created_at"]}
        insert_row("logs", {"seq": 8, **stranger, **moment})
        for score, refused in ((11, True), (10, False)):
            change = f"UPDATE logs SET score = {score} WHERE seq = 7"
            with pytest.raises(IntegrityError) if refused else nullcontext(), get_engine().begin() as connection:
                connection.execute(text(change))
        downgrade(revision=BEFORE_DIALECTS)
        assert [row[0] for row in read_rows("logs", columns)] == [7], "what an older release cannot hold is gone"
        assert read_rows("prompt_labels", "*") == labels
        with pytest.raises(IntegrityError), get_engine().begin() as connection:
            connection.execute(text("UPDATE logs SET score = 11 WHERE seq = 7"))
        upgrade()
        assert read_rows("logs", "seq") == [(7,)]


def constraints() -> dict[str, set[str]]:
    """Return the names of the check and foreign key constraints by table."""
    found = inspect(get_engine())
    return {
        table: {
            str(constraint["name"])
            for constraint in [*found.get_check_constraints(table), *found.get_foreign_keys(table)]
        }
        for table in tables()
    }


def test_constraints_have_the_names_that_the_code_uses_and_are_restored_by_a_downgrade(
    empty_app: Flask,
) -> None:
    landed = {"ck_prompts_ck_prompts_version", "ck_logs_ck_logs_score"}  # the first release named these twice
    with empty_app.app_context():
        upgrade(revision=BEFORE_DIALECTS)
        before = constraints()
        upgrade()
        for table, names in constraints().items():
            if table in Base.metadata.tables:
                known = {str(constraint.name) for constraint in Base.metadata.tables[table].constraints}
                assert names - landed <= known, table
        downgrade(revision=BEFORE_DIALECTS)
        assert constraints() == before


def test_deleting_a_parent_deletes_its_logs_and_nothing_else(empty_app: Flask) -> None:
    with empty_app.app_context():
        upgrade(revision=BEFORE_DIALECTS)
        insert_old_rows()
        upgrade()
        with get_engine().begin() as connection:
            connection.execute(text("DELETE FROM prompts"))
        assert read_rows("logs", "seq") == []
        assert read_rows("users", "seq") == [(1,)]


OLD_LOG = {
    "owner_id": "user_1",
    "prompt_id": "prompt_1",
    "prompt_version": 1,
    "notes": "Ünder way",
    "created_at": "2024-06-20T13:10:00.000Z",
    "updated_at": "2024-06-20T13:10:00.000Z",
}


def insert_old_logs(numbers: range) -> None:
    logs = ({"seq": number, "id": f"log_{number}", "output": f"output {number}"} for number in numbers)
    insert_rows("logs", [{**log, **OLD_LOG} for log in logs])


def test_logs_from_before_the_full_text_index_are_found(empty_app: Flask) -> None:
    with empty_app.app_context():
        upgrade(revision=BEFORE_DIALECTS)
        insert_old_rows()
        upgrade(revision="e07c45a1b2f8")
        insert_old_logs(range(8, 600))
        upgrade()
        assert found("o") == [7]
        assert found("ünder 599") == [599]
        assert len(found("output")) == 592
        downgrade(revision="e07c45a1b2f8")
        assert len(read_rows("logs", "seq")) == 593
        upgrade()
        assert found("8 output") == [8]


def found(query: str) -> list[int]:
    """Return the sequence of the logs that the full text finds."""
    statement = find_logs(at_home("user_1"), {"q": parse_terms(query)}).with_only_columns(Log.seq)
    with get_engine().connect() as connection:
        return list(connection.scalars(statement))


BEFORE_DISABLED, DISABLED = "b84e2c5d1a97", "3f9c61d2ab47"


def test_accounts_survive_the_migration_for_disabling_and_its_downgrade_keeps_disabled_ones_out(
    migrated_app: Flask,
) -> None:
    columns = "id, email, password_hash, created_at"
    client = Caller(migrated_app.test_client())
    ada, ben = sign_up(client, "ada"), sign_up(client, "ben")
    keys = [person.post("/auth/keys", {"name": "k"}).json["key"] for person in (ada, ben)]
    with migrated_app.app_context():
        before = read_rows("users", columns)
        with get_engine().begin() as connection:
            connection.execute(
                text("UPDATE users SET disabled_since = :now WHERE id = :id"),
                {"id": ben.id, "now": "2026-11-22T04:40:00.000Z"},
            )
        downgrade(revision=BEFORE_DISABLED)
        after = read_rows("users", columns)
        assert "disabled_at" not in {column["name"] for column in inspect(get_engine()).get_columns("users")}
        assert after[0] == before[0]
        assert (after[1][:2], after[1][3]) == (before[1][:2], before[1][3])
        upgrade(revision=DISABLED)
        assert read_rows("users", "id, disabled_at") == [(ada.id, None), (ben.id, None)]
        upgrade()
    statuses = [
        client.post("/auth/login", {"email": person.email, "password": person.password}).status_code
        for person in (ada, ben)
    ]
    assert statuses == [200, 401]
    assert [client.get("/prompts", headers={"X-Api-Key": key}).status_code for key in keys] == [200, 401]


BEFORE_FIGURES, FIGURES = "3f9c61d2ab47", "7c40b9e2f6a1"


def indices_of_prompts() -> dict[str, list[str | None]]:
    """Return the columns of the indices of logs that begin with their prompt and the time."""
    found = {str(index["name"]): index["column_names"] for index in inspect(get_engine()).get_indexes("logs")}
    return {name: columns for name, columns in found.items() if columns[:3] == ["prompt_id", "created_at", "seq"]}


def test_logs_survive_the_migration_of_the_statistics_index_and_its_downgrade(empty_app: Flask) -> None:
    narrow = {"ix_logs_prompt_id_created_at_seq": ["prompt_id", "created_at", "seq"]}
    with empty_app.app_context():
        upgrade(revision=BEFORE_DIALECTS)
        insert_old_rows()
        upgrade(revision=BEFORE_FIGURES)
        logs = read_rows("logs", "*")
        assert indices_of_prompts() == narrow
        upgrade(revision=FIGURES)
        assert read_rows("logs", "*") == logs
        assert list(indices_of_prompts()) == ["ix_logs_figures"]
        downgrade(revision=BEFORE_FIGURES)
        assert read_rows("logs", "*") == logs
        assert indices_of_prompts() == narrow


BEFORE_TRIGRAMS = "7c40b9e2f6a1"


@pytest.mark.parametrize("engine_name", ["postgresql"])
def test_prompts_from_before_the_trigram_index_are_indexed_and_survive_its_downgrade(
    empty_app: Flask,
) -> None:
    def found(word: str) -> list[int]:
        with get_engine().begin() as connection:
            connection.execute(text("SET LOCAL enable_seqscan = off"))
            return list(connection.scalars(select(SearchText.seq).where(index_matches([word], ["content"], "OR"))))

    contents = {1: "findable 東京都", 2: "", 3: "ab", 4: "line\nline \U0001f331" * 9}
    with empty_app.app_context():
        upgrade(revision=BEFORE_TRIGRAMS)
        insert_old_rows()
        insert_row("prompt_search", {"seq": 1, **search_columns("t", [], contents[1])})
        for seq in (2, 3, 4):
            prompt = {**OLD_ROWS["prompts"], **OLD_REST["prompts"], "seq": seq, "id": f"prompt_{seq}", "slug": f"{seq}"}
            moment = "2024-06-20T13:10:00.000Z"
            insert_row("prompts", {**prompt, "created_at": moment, "updated_at": moment})
            insert_row("prompt_search", {"seq": seq, **search_columns("t", [], contents[seq])})
        upgrade()
        searched = ("findable", "東京都", "東京", "ne \U0001f331", "ab", "abc")
        assert [found(word) for word in searched] == [[1], [1], [1], [4], [1, 3], []]
        rows = read_rows("prompt_search", "*")
        downgrade(revision=BEFORE_TRIGRAMS)
        assert read_rows("prompt_search", "*") == rows
        upgrade()
        assert found("findable") == [1]


BEFORE_IDENTITY, IDENTITY = "1d7b90e4c2a6", "4d81b6e0c93f"


def test_accounts_survive_the_migration_to_one_address_whatever_its_normal_form(empty_app: Flask) -> None:
    # NFC, NFD, and neither: each alone, as twins, and as twins of which none is in NFC; a compatibility ideograph
    keys = [
        "a@b.co",
        "\u00e9@b.co",
        "e\u0301@b.co",
        "o\u0308@b.co",
        "u\u0308\u00e9@b.co",
        "u\u0308e\u0301@b.co",
        "\uf900@b.co",
    ]
    identities = ["a@b.co", "\u00e9@b.co", None, "\u00f6@b.co", "\u00fc\u00e9@b.co", None, "\u8c48@b.co"]
    client = Caller(empty_app.test_client())

    def find(email: str) -> int | None:
        user = accounts.get_by_email_or_none(email)
        return user.seq if user else None

    with empty_app.app_context():
        upgrade(revision=BEFORE_IDENTITY)
        for seq, key in enumerate(keys, 1):
            moment = {"created_at": "2024-06-20T13:10:00.000Z"}
            row = {**OLD_ROWS["users"], **OLD_REST["users"], "seq": seq, "id": f"user_{seq}", "email_key": key}
            insert_row("users", {**row, "email": key, **moment})
        columns = "seq, id, name, email, email_key, password_hash, token_epoch, created_at, disabled_at"
        before = read_rows("users", columns)
        upgrade(revision=IDENTITY)
        assert read_rows("users", columns) == before
        upgrade()
        assert [row[1] for row in read_rows("users", "seq, email_identity")] == identities
        assert [find(key) for key in keys] == [1, 2, 3, 4, 5, 6, 7]
        assert [find(key) for key in identities if key] == [1, 2, 4, 5, 7]
    body = {"name": "x", "password": "a long password"}
    for email in (*keys, *filter(None, identities)):
        assert client.post("/auth/signup", {**body, "email": email}).status_code == 409
    with empty_app.app_context():
        downgrade(revision=BEFORE_IDENTITY)
        assert read_rows("users", columns) == before
        upgrade()
        assert [row[1] for row in read_rows("users", "seq, email_identity")] == identities


BEFORE_INDEXED_BY_SERVICE = "a95d07c3e1f4"


@only_sqlite
def test_logs_are_found_before_and_after_the_migration_to_words_indexed_by_the_service(migrated_app: Flask) -> None:
    def found(word: str) -> list[str]:
        return [log["output"] for log in ada.get(f"/logs?q={word}").json]

    def in_the_index(words: str) -> int:
        with get_engine().begin() as connection:
            connection.exec_driver_sql("INSERT INTO log_words (log_words, rank) VALUES ('integrity-check', 1)")
            statement = text("SELECT count(*) FROM log_words WHERE log_words MATCH :words")
            return connection.scalar(statement, {"words": words}) or 0

    ada = sign_up(Caller(migrated_app.test_client()), "ada")
    prompt = ada.prompt()
    first, other = ada.log(prompt, output="first"), ada.log(prompt, output="other")
    assert found("first") == ["first"]
    with migrated_app.app_context():
        downgrade(revision=BEFORE_INDEXED_BY_SERVICE)
        with get_engine().begin() as connection:  # as the service of that time would
            connection.exec_driver_sql("UPDATE log_search SET words = 'changed' WHERE words = 'first'")
            connection.exec_driver_sql("DELETE FROM log_search WHERE words = 'other'")
            connection.exec_driver_sql(
                "INSERT INTO log_search SELECT 9, seq, 'second' FROM logs WHERE output = 'other'"
            )
        assert [in_the_index(word) for word in ("first", "changed", "other", "second")] == [0, 1, 0, 1]
        upgrade()
        assert [in_the_index(word) for word in ("first", "changed", "other", "second")] == [0, 1, 0, 1]
    ada.patch(f"/logs/{first['_id']}", {"notes": "noted"})
    ada.delete(f"/logs/{other['_id']}")
    ada.log(prompt, output="third")
    assert [found(word) for word in ("changed", "first", "noted", "third")] == [[], ["first"], ["first"], ["third"]]
    with migrated_app.app_context():
        assert [in_the_index(word) for word in ("second", "third")] == [0, 1]


BEFORE_TOKEN_KINDS, TOKEN_KINDS = "e83c5f17a2d4", "1d7b90e4c2a6"


def test_logs_survive_the_migration_of_token_kinds_and_its_downgrade(empty_app: Flask) -> None:
    added = ("cached_input_tokens", "cache_write_tokens", "reasoning_tokens", "priced")
    with empty_app.app_context():
        upgrade(revision=BEFORE_DIALECTS)
        insert_old_rows()
        upgrade(revision=BEFORE_TOKEN_KINDS)
        logs = read_rows("logs", "*")
        upgrade(revision=TOKEN_KINDS)
        assert [row[:-4] for row in read_rows("logs", "*")] == logs
        assert read_rows("logs", ", ".join(added)) == [(None,) * 4] * len(logs)
        with get_engine().begin() as connection:
            connection.execute(text("UPDATE logs SET cached_input_tokens = 1.5, priced = '{}'"))
        assert read_rows("logs", ", ".join(added)) == [(1.5, None, None, "{}")] * len(logs)
        downgrade(revision=BEFORE_TOKEN_KINDS)
        assert read_rows("logs", "*") == logs


def test_a_step_back_removes_what_is_deleted_and_keeps_the_rest(migrated_app: Flask) -> None:
    ada = sign_up(Caller(migrated_app.test_client()), "ada")
    deleted, kept = ada.prompt(title="Deleted", tags=["a"]), ada.prompt(title="Kept")
    variants = [{"key": "A", "trafficPercent": 1}]
    experiments = [
        ada.post("/experiments", {"slug": slug, "name": "n", "variants": variants}).json["_id"]
        for slug in ("gone", "stays")
    ]
    span = {"id": "1", "type": "generation", "output": "traced"}

    def add_trace(experiment_id: str) -> str:
        body = {"featureSlug": "f", "logs": [span], "experiment": {"id": experiment_id}}
        return str(ada.post("/basalt/monitor/trace", body).json["trace"]["id"])

    of_gone, lost, stays = add_trace(experiments[0]), add_trace(experiments[1]), add_trace(experiments[1])
    ada.log(deleted)
    log = ada.log(kept)
    pending = {deleted["_id"]: "prompt", lost: "trace", experiments[0]: "experiment"}
    with migrated_app.app_context():
        for target, kind in pending.items():
            insert_row(
                "pending_deletions", {"target_id": target, "kind": kind, "created_at": "2026-11-30T04:00:00.000Z"}
            )
        downgrade(revision=WRITERS)
        assert "pending_deletions" not in tables()
        upgrade()
        for table, count in {"log_search": 2, "prompt_search": 1, "prompt_versions": 1, "prompt_tags": 0}.items():
            assert read_rows(table, "count(*)") == [(count,)]
        if get_engine().dialect.name == "sqlite":
            with get_engine().connect() as connection:
                connection.exec_driver_sql("INSERT INTO log_words (log_words, rank) VALUES ('integrity-check', 1)")
    assert [prompt["_id"] for prompt in ada.get("/prompts").json] == [kept["_id"]]
    assert [experiment["_id"] for experiment in ada.get("/experiments").json] == experiments[1:]
    assert [trace["_id"] for trace in ada.get("/traces").json] == [stays]
    assert {found.get("traceId", found["_id"]) for found in ada.get("/logs").json} == {stays, log["_id"]}
    assert of_gone not in ada.get("/export").text


BEFORE_WRITERS, WRITERS = "4d81b6e0c93f", "b7e41c9d5a20"


def test_accounts_and_logs_survive_the_migration_that_stops_releases_before_it_and_its_downgrade(
    migrated_app: Flask,
) -> None:
    client = Caller(migrated_app.test_client())
    ada, ben = sign_up(client, "ada"), sign_up(client, "ben")
    ada.log(ada.prompt(), output="findable")
    done(run(migrated_app, "user", "disable", ben.email))
    with migrated_app.app_context():
        accounts_before, words_before = read_rows("users", "*"), read_rows("log_search", "*")
        assert set(read_rows("schema_writers", "schema_revision")) == {(revisions.HEAD,)}
        downgrade(revision=BEFORE_WRITERS)
        assert "schema_writers" not in tables()
        assert [disabled is None for _, disabled in read_rows("users", "seq, disabled_at")] == [True, False]
        assert [found for (found,) in read_rows("log_search", "seq")] == [1]
        upgrade()
        assert (read_rows("users", "*"), read_rows("log_search", "*")) == (accounts_before, words_before)
    assert [log["output"] for log in ada.get("/logs?q=findable").json] == ["findable"]
    assert ben.get("/logs").status_code == 401


BEFORE_RESETS, RESETS = "5e0c83a1d7f6", "c41a9e6d07b8"


def test_accounts_survive_the_migration_of_resets_whose_downgrade_makes_them_invalid(migrated_app: Flask) -> None:
    client = Caller(migrated_app.test_client())
    ada = sign_up(client, "ada")
    with migrated_app.app_context():
        with writing():
            token, _ = accounts.add_reset(ada.id)
        before = read_rows("users", "*")
        downgrade(revision=BEFORE_RESETS)
        assert "password_resets" not in tables()
        assert read_rows("users", "*") == before
        upgrade(revision=RESETS)
        writers = read_rows("schema_writers", "release_revision")
        assert {(BEFORE_RESETS,), (RESETS,)} <= set(writers), "the release before goes on"
        upgrade()
        assert (read_rows("users", "*"), read_rows("password_resets", "user_id")) == (before, [])
    assert client.post("/auth/password/reset", {"token": token, "newPassword": "0123456789"}).status_code == 404
    assert ada.get("/prompts").status_code == 200


def is_intact(index: str) -> bool:
    try:
        with get_engine().begin() as connection:
            connection.exec_driver_sql(f"INSERT INTO {index} ({index}, rank) VALUES ('integrity-check', 1)")
    except DatabaseError:
        return False
    return True


# what each of them leaves behind in the words of the logs "first" and "other"
DAMAGES = {
    "a release with a trigger of its own on a schema without": [
        "INSERT INTO log_words (log_words, rowid, words) SELECT 'delete', docid, words FROM log_search"
    ],
    "a release that inserts words on a schema with a trigger": [
        "INSERT INTO log_words (rowid, words) SELECT docid, words FROM log_search"
    ],
    "the same, after a deletion": [
        "INSERT INTO log_words (rowid, words) SELECT docid, words FROM log_search WHERE words = 'first'",
        "INSERT INTO log_words (log_words, rowid, words) "
        "SELECT 'delete', docid, words FROM log_search WHERE words = 'first'",
    ],
    "a release without words": ["DELETE FROM log_search WHERE words = 'first'"],
}


@only_sqlite
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_word_index_that_another_release_has_damaged_is_repaired(migrated_app: Flask, damage: list[str]) -> None:
    ada = sign_up(Caller(migrated_app.test_client()), "ada")
    for output in ("first", "other"):
        ada.log(ada.prompt(content="findable"), output=output)
    with migrated_app.app_context():
        downgrade(revision=BEFORE_WRITERS)
        with get_engine().begin() as connection:
            for statement in damage:
                connection.exec_driver_sql(statement)
            connection.exec_driver_sql("INSERT INTO prompt_trigrams (prompt_trigrams) VALUES ('delete-all')")
        upgrade()
        assert [is_intact(index) for index in ("log_words", "prompt_trigrams", "prompt_grams")] == [True] * 3
    for output in ("first", "other"):
        assert [log["output"] for log in ada.get(f"/logs?q={output}").json] == [output]
    assert len(ada.get("/search?q=findable").json) == 2
    ada.delete("/logs/" + ada.get("/logs?q=first").json[0]["_id"])
    assert ada.get("/logs?q=first").json == []


def test_logs_that_a_release_without_words_has_added_are_found(empty_app: Flask) -> None:
    with empty_app.app_context():
        upgrade(revision=BEFORE_DIALECTS)
        insert_old_rows()
        upgrade(revision=BEFORE_WRITERS)
        insert_old_logs(range(8, 600))
        upgrade()
        assert (found("o"), found("ünder 599"), len(found("output"))) == ([7], [599], 592)


@pytest.mark.parametrize("engine_name", ["postgresql"])
def test_a_migration_that_postgresql_ends_for_a_deadlock_begins_again(
    empty_app: Flask, empty_database_url: str
) -> None:
    with empty_app.app_context():
        upgrade(revision=BEFORE_WRITERS)
    waiting = text("SELECT count(*) FROM pg_locks WHERE relation = 'users'::regclass AND NOT granted")
    other = create_engine(empty_database_url, poolclass=NullPool)

    def wait_for(count: int, migrated: Future[None]) -> None:
        with other.connect() as observer:
            while observer.scalar(waiting) < count and not migrated.done():
                time.sleep(0.01)

    with other.connect() as earlier, other.connect() as request, ThreadPoolExecutor(2) as pool:
        earlier.execute(text("SELECT 1 FROM users"))
        request.execute(text("SELECT 1 FROM log_search"))  # the migration locks users first
        # Of two that block each other, the one that looks first is ended: the request never looks.
        request.execute(text("SET deadlock_timeout = '1h'"))
        request.execute(text("SET lock_timeout = '1min'"))
        migrated = pool.submit(migrate_in, empty_app)
        wait_for(1, migrated)
        asked = pool.submit(request.execute, text("SELECT 1 FROM users"))
        wait_for(2, migrated)
        earlier.rollback()  # the migration has users now, and waits for log_search
        asked.result()
        request.rollback()
        migrated.result()
    with empty_app.app_context():
        assert revisions.find_mismatch() is None


def migrate_in(app: Flask) -> None:
    with app.app_context():
        revisions.migrate()


BEFORE_COMMENTS = "5e0c83a1d7f6"


def test_versions_survive_the_migration_of_their_comments_and_its_downgrade_loses_nothing_else(
    migrated_app: Flask,
) -> None:
    ada = sign_up(Caller(migrated_app.test_client()), "ada")
    path = f"/prompts/{ada.prompt()['_id']}"
    ada.patch(path, {"content": "two", "comment": "why"})
    ada.open(f"{path}/labels/production", method="PUT", json={"version": 2})
    shown = ada.get(f"{path}/versions").json
    plain = "prompt_id, number, content, model, created_at, author_id"
    with migrated_app.app_context():
        before, labels = read_rows("prompt_versions", plain), read_rows("prompt_labels", "*")
        assert sorted(read_rows("prompt_versions", "number, comment")) == [(1, None), (2, "why")]
        downgrade(revision=BEFORE_COMMENTS)
        assert (read_rows("prompt_versions", "*"), read_rows("prompt_labels", "*")) == (before, labels)
        with get_engine().begin() as connection:  # as the release before would add a version
            connection.execute(
                text(f"INSERT INTO prompt_versions SELECT {plain.replace('number', 'number + 2')} FROM prompt_versions")
            )
        upgrade()
        assert read_rows("prompt_versions", "comment") == [(None,)] * 4
    assert ada.get(f"{path}/versions/1").json == shown[1]
    assert ada.get(f"{path}/versions/2").json == {key: shown[0][key] for key in shown[0] if key != "comment"}


BEFORE_KEY_OWNERS, KEY_OWNERS = "7b2d91f4c6e0", "a6f3c8d15e29"


def test_entries_of_the_trail_get_the_accounts_of_keys_and_lose_nothing_else_by_the_downgrade(
    migrated_app: Flask,
) -> None:
    columns = "seq, id, actor_kind, actor_id, actor_name, action, object_id, before, after"
    client = Caller(migrated_app.test_client())
    ada = sign_up(client, "ada")
    keys = [ada.post("/auth/keys", {"name": name}).json for name in ("kept", "revoked")]
    for key in keys:
        by_key = Caller(client.client, {"x-api-key": key["key"]})
        assert by_key.post("/prompts", {"title": "title", "content": "c", "model": "m"}).status_code == 201
    ada.delete(f"/auth/keys/{keys[1]['_id']}")
    done(run(migrated_app, "key", "add", ada.email, "by command"))
    (workspace,) = ada.get("/workspaces").json
    shown = ada.get(f"/workspaces/{workspace['_id']}/audit").json[::-1]
    with migrated_app.app_context():
        before = read_rows("audit_entries", columns)
        downgrade(revision=BEFORE_KEY_OWNERS)
        assert read_rows("audit_entries", columns) == before
        assert "actor_user_id" not in {column["name"] for column in inspect(get_engine()).get_columns("audit_entries")}
        upgrade(revision=KEY_OWNERS)
        assert {(BEFORE_KEY_OWNERS,), (KEY_OWNERS,)} <= set(read_rows("schema_writers", "release_revision"))
        upgrade()
        assert read_rows("audit_entries", columns) == before
    after = ada.get(f"/workspaces/{workspace['_id']}/audit").json[::-1]
    owners = [entry["actor"]["userId"] for entry in after]
    assert [entry["actor"]["userId"] for entry in shown] == [ada.id] * 5 + [None]
    assert owners == [ada.id, ada.id, ada.id, None, ada.id, None], "a key that is gone has no account"
    with migrated_app.app_context(), get_engine().begin() as connection:
        connection.execute(text("UPDATE audit_entries SET actor_user_id = NULL"))  # as the release before adds them
    again = ada.get(f"/workspaces/{workspace['_id']}/audit?actor={ada.id}").json
    assert {(entry["actor"]["kind"], entry["actor"]["userId"]) for entry in again} == {("user", ada.id)}
