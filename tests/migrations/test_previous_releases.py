"""Releases before this one on the schema of this one: they go on working, or fail and store nothing.

The code of a release is taken from the history of the repository. Without it, as in a shallow clone, only the recorded
statements are tested.
"""

import gzip
import io
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_migrate import downgrade
from sqlalchemy import NullPool, create_engine, select, text
from sqlalchemy.exc import DBAPIError

from promptcrafter.database.base import Base
from tests.support.calls import calls
from tests.support.connection import Answer, Connection
from tests.support.connection import sign_up as connect_account
from tests.support.databases import only_sqlite
from tests.support.environment import ROOT, SECRET
from tests.support.full_account import fill_account
from tests.support.people import Caller, Person, sign_up
from tests.support.servers import LiveServer

FIXTURES = Path(__file__).parent / "fixtures"
NEW = (
    *("/auth/password/reset", "/auth/me", "/workspaces", "/invitations", "/tags", "/scores", "/score-configs"),
    "/api/public/",
)


@dataclass(frozen=True)
class Release:
    """A release before this one: its commit, and whether it must go on working during an upgrade to this one."""

    name: str
    commit: str
    goes_on: bool


# Add each release, with `goes_on` from 0.2.0 on, and remove those from which upgrades are no longer supported
RELEASES = [Release("0.1.0", "d7b458c32ae398d0d9343263522c45ff12b21813", goes_on=False)]
READING = {
    *("POST /prompts/<prompt_id>/render", "POST /prompts/by-slug/<slug:slug>/render"),
    *("POST /experiment/<slug>/assign", "POST /auth/login"),
}

SCHEMA_0_1_0 = "e83c5f17a2d4"
# With one of these begins every call and every command of release 0.1.0 that writes
BEGINNINGS_0_1_0 = (
    "SELECT users.token_epoch FROM users WHERE users.id = 'u' AND users.disabled_at IS NULL",
    "SELECT users.id FROM users JOIN api_keys ON api_keys.user_id = users.id WHERE api_keys.digest = 'd' "
    "AND (api_keys.expires_at IS NULL OR api_keys.expires_at > '2026-01-01T00:00:00.000Z') "
    "AND users.disabled_at IS NULL",
    "SELECT users.seq, users.id, users.name, users.email, users.email_key, users.password_hash, users.token_epoch, "
    "users.created_at, users.disabled_at FROM users WHERE users.email_key = 'a@example.com'",
    "INSERT INTO users (id, name, email, email_key, password_hash, token_epoch, created_at, disabled_at) "
    "VALUES ('u', 'n', 'e', 'e', 'h', 0, '2026-01-01T00:00:00.000Z', NULL)",
)
# Of a request that was signed in before the migration: what adds or changes something reads or writes one of these
OWNED_0_1_0 = (
    "SELECT prompts.owner_id FROM prompts WHERE prompts.id = 'p'",
    "SELECT logs.owner_id FROM logs WHERE logs.id = 'l'",
    "SELECT experiments.owner_id FROM experiments WHERE experiments.slug = 'e'",
    "INSERT INTO prompts (id, owner_id, slug, title, content, model, version, created_at, updated_at) "
    "SELECT 'p', owner_id, 'p', title, content, model, 1, created_at, updated_at FROM prompts WHERE id = 'o'",
    "INSERT INTO prompt_versions (prompt_id, number, content, model, created_at, created_by) "
    "SELECT prompt_id, 2, content, model, created_at, created_by FROM prompt_versions WHERE prompt_id = 'o'",
    "INSERT INTO traces (id, owner_id, source, slug, created_at) "
    "SELECT 't', owner_id, source, slug, created_at FROM traces WHERE id = 'o'",
    "INSERT INTO idempotency_keys (owner_id, key, fingerprint, status, body, created_at) "
    "SELECT owner_id, 'k', fingerprint, status, body, created_at FROM idempotency_keys WHERE key = 'o'",
)
ADDING_LOGS_0_1_0 = {
    "sqlite": (
        "INSERT INTO log_search (docid, seq, words) SELECT ((1 << 21) | (logs.seq & 2097151)), logs.seq, 'w' FROM logs "
        "WHERE logs.id = 'l'",
        "UPDATE log_search SET words = 'w' WHERE log_search.seq = 1",
    ),
    "postgresql": (
        "INSERT INTO log_search (seq, words) SELECT logs.seq, array_to_tsvector(string_to_array('w', ' ')) FROM logs "
        "WHERE logs.id = 'l'",
        "UPDATE log_search SET words = array_to_tsvector(string_to_array('w', ' ')) WHERE log_search.seq = 1",
    ),
}


def url_of(app: Flask) -> str:
    return str(app.config["SQLALCHEMY_DATABASE_URI"])


def rows(app: Flask) -> dict[str, list[str]]:
    with create_engine(url_of(app), poolclass=NullPool).connect() as connection:
        return {
            name: sorted(map(repr, connection.execute(select(table)))) for name, table in Base.metadata.tables.items()
        }


def extract(release: Release, folder: Path) -> Path:
    """Extract the code of a release into a folder. Skip the test if the history has been left out."""
    archive = subprocess.run(["git", "archive", release.commit], cwd=ROOT, capture_output=True)
    if archive.returncode:
        pytest.skip(f"the repository has no history back to release {release.name}")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
def test_a_release_before_this_one_goes_on_working_or_stores_nothing(
    release: Release, migrated_app: Flask, start_server: Callable[..., LiveServer], tmp_path: Path
) -> None:
    ada = sign_up(Caller(migrated_app.test_client()), "ada")
    log = ada.log(ada.prompt(), output="of this release")["_id"]
    known: dict[str, tuple[str, Any]] = {**calls(ada), f"DELETE /logs/{log}": (f"/logs/{log}", None)}
    # which releases before 0.2.0 do not have
    known = {
        name: call
        for name, call in known.items()
        if not name.partition(" ")[2].startswith(NEW) and not name.endswith("/scores")
    }
    key = ada.post("/auth/keys", {"name": "k"}).json["key"]
    before = rows(migrated_app)
    code = extract(release, tmp_path / "code")
    url = url_of(migrated_app).replace("+psycopg", "")
    old = start_server(url, migrate=False, code=code, JWT_SECRET_KEY=SECRET)
    clients = [Connection(old, ada.token), Connection(old, key)]

    def call(client: Connection, call: str) -> Answer:
        path, body = known[call]
        return client.call(call.partition(" ")[0], path, body)

    if release.goes_on:
        assert clients[0].call("GET", "/readyz").status == 200
        for name in known:
            assert call(clients[0], name).status in (200, 201, 204), name
        return
    for client in clients:
        for name in known:
            assert call(client, name).status >= 500 or name in READING, name
    assert rows(migrated_app) == before


@only_sqlite
@pytest.mark.slow
def test_release_0_1_0_imports_what_this_one_exports_for_it(
    app: Flask, ada: Person, start_server: Callable[..., LiveServer], tmp_path: Path
) -> None:
    fill_account(ada)
    exported = ada.get("/export?form=1").data
    old_file = tmp_path / "old.db"
    old_file.write_bytes(gzip.decompress((FIXTURES / "release_0_1_0.sqlite.gz").read_bytes()))
    code = extract(RELEASES[0], tmp_path / "code")
    old = start_server(f"sqlite:///{old_file}", migrate=False, code=code, JWT_SECRET_KEY=SECRET)
    dora = Connection(old, connect_account(old, "dora"))
    answer = dora.call("POST", "/import", exported, Content_Type="application/x-ndjson")
    assert (answer.status, answer.json["logs"]["created"]) == (200, 37), answer.body
    assert dora.call("GET", "/export").body == exported
    refused = dora.call("POST", "/import", ada.get("/export").data, Content_Type="application/x-ndjson")
    message = "line 1.version must be 1, which is what this release reads."
    assert (refused.status, refused.json["message"]) == (400, message)


def test_the_statements_of_release_0_1_0_fail_until_a_downgrade_to_its_schema(
    migrated_app: Flask, engine_name: str, subtests: pytest.Subtests
) -> None:
    ada = sign_up(Caller(migrated_app.test_client()), "ada")
    ada.log(ada.prompt())
    engine = create_engine(url_of(migrated_app), poolclass=NullPool)
    statements = (*BEGINNINGS_0_1_0, *OWNED_0_1_0, *ADDING_LOGS_0_1_0[engine_name])
    for statement in statements:
        with (
            subtests.test(statement=statement),
            engine.connect() as connection,
            pytest.raises(DBAPIError, match=r"disabled_at|seq|owner_id|created_by"),
        ):
            connection.execute(text(statement))
    with migrated_app.app_context():
        downgrade(revision=SCHEMA_0_1_0)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
