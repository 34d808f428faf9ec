"""The migration to workspaces: what is large, what is killed, and the step back from what people share."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from flask_migrate import downgrade, upgrade
from sqlalchemy import inspect, text

from config import Config
from promptcrafter import clock
from promptcrafter.auth.models import ApiKey, User
from promptcrafter.database.deletions import PendingDeletion
from promptcrafter.database.session import get_engine, session
from promptcrafter.database.transactions import writing
from promptcrafter.idempotency.models import IdempotencyRecord
from promptcrafter.workspaces.models import Invitation, Member, Workspace
from tests.migrations.test_release_0_1_0 import RELEASE, assert_exports, read_rows, read_schema, restored_app
from tests.support.databases import only_sqlite
from tests.support.environment import ROOT, SECRET
from tests.support.people import Caller, Person, sign_up
from tests.support.rows import idempotency_row

__all__ = ["restored_app"]

BEFORE = "2f96d0a8b4e3"
LOGS = 60_000


def execute(*statements: str) -> None:
    with get_engine().begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def read(statement: str) -> list[Any]:
    with get_engine().connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


@pytest.mark.slow
@only_sqlite
def test_a_large_table_is_copied_with_its_progress_however_far_apart_its_rows_are(
    empty_app: Flask, capfd: pytest.CaptureFixture[str]
) -> None:
    with empty_app.app_context():
        upgrade(revision=BEFORE)
        execute(
            "INSERT INTO users (id, name, email, email_key, password_hash, token_epoch, created_at) "
            "VALUES ('user_1', 'a', 'a', 'a', 'x', 0, 't')",
            "WITH RECURSIVE numbers (n) AS "
            f"(SELECT -1 UNION ALL SELECT n + 1 FROM numbers WHERE n + 2 < {LOGS}) "
            "INSERT INTO logs (seq, id, owner_id, output, created_at, updated_at) "
            "SELECT n * 100000000000000, 'log_' || n, 'user_1', n, 't', 't' FROM numbers",
            "INSERT INTO log_search (docid, log_seq, words) SELECT seq, seq, output FROM logs",
        )
        logs = read("SELECT seq, id, output, rank, created_at FROM logs ORDER BY seq")
        capfd.readouterr()
        upgrade()
        shown = capfd.readouterr().err
        assert read("SELECT seq, id, output, rank, created_at FROM logs ORDER BY seq") == logs
        assert read("SELECT DISTINCT workspace_id, author_id FROM logs") == [("workspace_1", "user_1")]
    assert [line for line in shown.splitlines() if line.startswith("Copying")] == [
        "Copying logs: 33 %",
        "Copying logs: 66 %",
        "Copying logs: 100 %",
    ]


@only_sqlite
def test_an_upgrade_needs_free_space_for_the_copies_of_the_tables_if_they_have_rows(
    restored_app: Flask,
    empty_database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    make_app: Callable[[Config], Flask],
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1_000_000))
    before = read_rows(empty_database_url)
    with restored_app.app_context(), pytest.raises(SystemExit):
        upgrade()
    assert f"The folder {tmp_path} has 1 MB free, but the migration needs 2 MB there. Nothing was" in caplog.text
    assert read_rows(empty_database_url) == before
    config = Config(database_url=f"sqlite:///{tmp_path}/new.db", jwt_secret_key=SECRET, instance_path=str(tmp_path))
    with make_app(config).app_context():
        upgrade()


@pytest.mark.slow
def test_an_upgrade_that_is_killed_leaves_the_schema_before_and_succeeds_when_it_is_run_again(
    restored_app: Flask, engine_name: str, empty_database_url: str, request: pytest.FixtureRequest
) -> None:
    before = read_rows(empty_database_url)
    moments = {
        "sqlite": ["INSERT INTO copy_of_prompts", "DROP TABLE logs", "INSERT INTO schema_writers"],
        "postgresql": ["UPDATE experiment_variants", "CREATE INDEX ix_logs_workspace_id", "INSERT INTO schema_writers"],
    }[engine_name]
    killed = subprocess.run(
        [sys.executable, "-m", "tests.migrations.migrate_killed", *moments],
        cwd=ROOT,
        env={"DATABASE_URL": empty_database_url.replace("+psycopg", ""), "JWT_SECRET_KEY": SECRET},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert json.loads(killed.stdout) == [[-9, RELEASE]] * len(moments), killed.stderr
    assert read_rows(empty_database_url) == before
    with restored_app.app_context():
        upgrade()
        if engine_name == "sqlite":
            assert read("PRAGMA integrity_check") == [("ok",)]
            assert read("PRAGMA foreign_key_check") == []
            fresh_url = f"sqlite:///{request.getfixturevalue('sqlite_template')}"
        else:
            fresh_url = request.getfixturevalue("migrated_postgresql_url")
    assert read_schema(empty_database_url) == read_schema(fresh_url)
    assert_exports(restored_app)


def add_workspace(slug: str, **roles: str) -> str:
    """Add a workspace with the members of these ids, who joined one after another; return its id."""
    workspace_id, now = f"workspace_{slug}", clock.now()
    with writing():
        session.add(
            Workspace(id=workspace_id, slug=slug, name=slug, protected_labels=[], created_at=now, updated_at=now)
        )
        session.flush()
        for user_id, role in roles.items():
            session.add(
                Member(workspace_id=workspace_id, user_id=user_id, role=role, is_default=False, created_at=clock.now())
            )
            session.flush()
    return workspace_id


def add_experiment(person: Caller, **values: Any) -> dict[str, Any]:
    body = {"slug": "trial", "name": "n", "variants": [{"key": "A", "trafficPercent": 100, **values}]}
    answer = person.post("/experiments", body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json)


def test_a_step_back_gives_what_a_workspace_has_to_its_oldest_owner(migrated_app: Flask) -> None:
    client = Caller(migrated_app.test_client())
    ada, ben, cy = (sign_up(client, name) for name in ("ada", "ben", "cy"))
    with migrated_app.app_context():
        team = add_workspace("team", **{cy.id: "editor", ada.id: "owner", ben.id: "owner"})
        gone = add_workspace("gone", **{ben.id: "owner"})

    def within(person: Person, workspace_id: str) -> Person:
        headers = {**person.headers, "X-Workspace": workspace_id}
        inside = Person(client, person.id, person.token, person.email, person.password)
        inside.headers = headers
        return inside

    of_team = [within(person, team) for person in (ada, ben, cy)]
    own = ada.prompt(slug="same", title="Ada's own")
    bens = ben.prompt(slug="same", title="Ben's own")
    long = "x" * 120
    ada.prompt(slug=long)
    shared = of_team[1].prompt(slug="same", title="The team's", content="shared")
    second = of_team[2].prompt(slug="same-2", title="Another of the team's")
    longest = of_team[1].prompt(slug=long)
    ada.patch(f"/prompts/{shared['_id']}", {"content": "changed"})
    logs = {person.log(shared, output=f"by {person.email}")["_id"] for person in (ada, ben, cy)}
    bens_log = ben.log(bens)
    experiments = [add_experiment(ada), add_experiment(of_team[1], promptId=shared["_id"])]
    trace = of_team[2].post("/basalt/monitor/trace", {"featureSlug": "f", "logs": [{"id": "1", "type": "span"}]})
    assert trace.status_code in (200, 201), trace.text
    keys = [ben.post("/auth/keys", {"name": name}).json["_id"] for name in ("plain", "bound", "scoped")]
    lost = within(ben, gone)
    lost.log(lost.prompt(slug="lost", tags=["t"]), output="lost")
    now = clock.now()
    with migrated_app.app_context(), writing():
        session.get_one(ApiKey, 2).workspace_id = team
        session.get_one(ApiKey, 3).scopes = ["read"]
        session.add_all(
            [
                IdempotencyRecord(**idempotency_row(ben.id, key="twice", body="later", api_key_id=keys[0])),
                IdempotencyRecord(
                    **{
                        **idempotency_row(ben.id, key="twice", body="first", workspace_id=team),
                        "created_at": clock.now().replace(year=2025),
                    }
                ),
                IdempotencyRecord(**idempotency_row(ben.id, key="gone", workspace_id=gone)),
                PendingDeletion(target_id=gone, kind="workspace", created_at=now),
                Invitation(
                    id="invitation_1",
                    workspace_id=team,
                    role="viewer",
                    digest="d",
                    author_id=ada.id,
                    created_at=now,
                    expires_at=now,
                ),
            ]
        )
        session.execute(text("DELETE FROM members WHERE user_id = :id"), {"id": cy.id})
        session.get_one(User, 3).deleted_at = now
    with migrated_app.app_context():
        versions = read("SELECT prompt_id, number, content, author_id FROM prompt_versions ORDER BY 1, 2")
        downgrade(revision=BEFORE)
        assert not {"workspaces", "members", "invitations"} & set(inspect(get_engine()).get_table_names())
        owners = dict(read("SELECT id, owner_id FROM prompts"))
        assert owners.pop(bens["_id"]) == ben.id
        assert len(owners) == 5
        assert set(owners.values()) == {ada.id}
        slugs = dict(read("SELECT id, slug FROM prompts"))
        assert [slugs[prompt["_id"]] for prompt in (own, shared, second, bens)] == ["same", "same-3", "same-2", "same"]
        assert slugs[longest["_id"]] == f"{'x' * 118}-2"
        kept = [row for row in versions if row[0] in slugs]
        assert len(kept) == len(versions) - 1
        assert read("SELECT prompt_id, number, content, created_by FROM prompt_versions ORDER BY 1, 2") == kept
        logged = dict(read("SELECT id, owner_id FROM logs WHERE trace_id IS NULL"))
        assert logged == {**dict.fromkeys(logs, ada.id), bens_log["_id"]: ben.id}
        assert read("SELECT DISTINCT owner_id FROM traces") == [(ada.id,)]
        assert read("SELECT owner_id, slug FROM experiments ORDER BY seq") == [(ada.id, "trial"), (ada.id, "trial-2")]
        assert read("SELECT prompt_id FROM experiment_variants WHERE prompt_id IS NOT NULL") == [(shared["_id"],)]
        assert read("SELECT id FROM api_keys") == [(keys[0],)]
        assert read('SELECT "key", body FROM idempotency_keys ORDER BY 1') == [("twice", "first")]
        assert [disabled is None for (disabled,) in read("SELECT disabled_since FROM users ORDER BY seq")] == [
            *(True, True, False)
        ]
        assert read("SELECT count(*) FROM log_search") == read("SELECT count(*) FROM logs")
        assert read("SELECT count(*) FROM prompt_search") == [(6,)]
        upgrade()
        assert read("SELECT slug FROM workspaces WHERE personal_user_id IS NULL") == []
    assert {prompt["_id"] for prompt in ada.get("/prompts").json} == set(owners)
    assert {log["_id"] for log in ada.get("/logs").json} >= logs
    assert [prompt["_id"] for prompt in ben.get("/prompts").json] == [bens["_id"]]
    assert ben.get(f"/prompts/{shared['_id']}").status_code == 403
    assert [experiment["_id"] for experiment in ada.get("/experiments").json][::-1] == [
        experiment["_id"] for experiment in experiments
    ]
    assert cy.get("/prompts").status_code == 401
