"""The quota of workspaces: what is counted, what is refused, what never is, and who sees it."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest
from flask import Flask
from flask_migrate import downgrade, upgrade
from sqlalchemy import inspect, text

from config import Config
from promptcrafter.database import usage
from promptcrafter.database.session import get_engine, request_connection, session
from promptcrafter.database.transactions import writing
from promptcrafter.maintenance import usage_counters
from promptcrafter.workspaces import quota
from promptcrafter.workspaces.principal import personal_workspace_id
from tests.support.calls import calls
from tests.support.commands import done, refused, run
from tests.support.databases import only_sqlite
from tests.support.errors import assert_error
from tests.support.members import share
from tests.support.people import Caller, Person, sign_up
from tests.support.transfer import counts, export, import_file, join
from tests.transfer.test_importer_damage import GOOD

SetLimit = Callable[[int], None]
STORES_NOTHING = {
    *("POST /prompts/<prompt_id>/render", "POST /prompts/by-slug/<slug:slug>/render"),
    "POST /experiment/<slug>/assign",
}
ABOUT_PEOPLE = ("/auth/", "/workspaces", "/invitations/")


@pytest.fixture
def set_limit(app: Flask) -> Iterator[SetLimit]:
    """A function that sets the limit, and lets the database count, as a worker does at its start."""

    def change(most: int) -> None:
        app.config["MAX_WORKSPACE_BYTES"] = most
        with app.app_context():
            assert usage_counters.prepare()

    yield change
    change(0)
    with app.app_context(), writing():  # other tests compare the schema of this database with that of a new one
        request_connection().execute(text(f"DROP TABLE IF EXISTS {usage.NAME}"))
    app.extensions.pop("promptcrafter-usage", None)


def used(person: Person) -> int:
    return int(person.get(f"/workspaces/{personal_workspace_id(person.id)}").json["usedBytes"])


def count_anew(app: Flask) -> dict[str, int]:
    """Return the counts of everything that is stored, as a first start makes them."""
    with app.app_context(), writing():
        usage.drop_counters(request_connection())
    with app.app_context():
        assert usage_counters.prepare()
        return {place: size for place, size in usage.list_bytes().items() if size}


def read_counts(app: Flask) -> dict[str, int]:
    with app.app_context():
        return {place: size for place, size in usage.list_bytes().items() if size}


def assert_full(answer: Any, message: str | None = None) -> None:
    assert_error(answer, 507, "workspace_full", message)


def test_every_call_that_stores_content_is_refused_in_a_full_workspace_and_stores_nothing(
    ada: Person, set_limit: SetLimit, subtests: Any
) -> None:
    found = calls(ada)
    set_limit(1)
    exported = export(ada)
    before = used(ada)
    for call, (path, body) in found.items():
        if any(part in path for part in ABOUT_PEOPLE):
            continue
        with subtests.test(call=call):
            answer = ada.open(path, method=call.partition(" ")[0], json=body)
            if call in STORES_NOTHING:
                assert answer.status_code == 200
            else:
                assert_full(answer)
                assert "may store 1. Nothing was stored. Delete what is no longer needed" in answer.json["message"]
            assert used(ada) == before
    assert export(ada) == exported


def test_a_write_is_refused_that_would_pass_the_limit_and_deleting_makes_room(ada: Person, set_limit: SetLimit) -> None:
    prompt = ada.prompt()
    set_limit(10**6)
    start = used(ada)
    set_limit(start + 2000)
    log = ada.log(prompt, output="é" * 500, notes="n")
    size = used(ada) - start
    assert 1000 + quota.ROW_BYTES < size < 1000 + quota.ROW_BYTES + 100
    body, key = {"promptId": prompt["_id"], "output": "o" * 1000, "modelUsed": "gpt-4o"}, {"Idempotency-Key": "k"}
    full = ada.post("/logs", body, headers=key)
    assert_full(full)
    assert f"{start + 2000:,}" in full.json["message"]
    one_of_three = ada.post("/logs/batch", {"logs": [{**body, "output": "small"}, {}, body]})
    assert_full(one_of_three)
    assert_full(ada.patch(f"/logs/{log['_id']}", {"notes": "n" * 2000}))
    assert ada.get(f"/logs/{log['_id']}").json["notes"] == "n"
    assert [each["_id"] for each in ada.get("/logs").json] == [log["_id"]]
    assert ada.patch(f"/logs/{log['_id']}", {"score": 3}).status_code == 200
    assert used(ada) == start + size + quota.ROW_BYTES, "a score is a row"
    assert ada.delete(f"/logs/{log['_id']}").status_code == 204
    assert used(ada) < start + size - 800  # the audit trail tells of the deletion
    repeated = ada.post("/logs", body, headers=key)
    assert (repeated.status_code, repeated.headers.get("Idempotency-Replayed")) == (201, None)
    set_limit(1)
    assert ada.delete(f"/logs/{repeated.json['_id']}").status_code == 204
    assert ada.delete(f"/prompts/{prompt['_id']}").status_code == 204
    assert_full(ada.post("/prompts", {"title": "A title", "content": "c", "model": "m"}))


def test_the_counts_are_those_of_what_is_stored_whatever_was_done(
    app: Flask, ada: Person, ben: Person, set_limit: SetLimit
) -> None:
    set_limit(10**6)
    assert counts(import_file(ada, join(GOOD)), "created") == (1, 2, 1, 1, 2)
    ben.log(ben.prompt())
    for call, (path, body) in calls(ada).items():
        if not any(part in path for part in ABOUT_PEOPLE):
            ada.open(path, method=call.partition(" ")[0], json=body)
    whole = read_counts(app)
    assert len(whole) >= 2
    assert count_anew(app) == whole
    log = ada.get("/logs").json[0]
    ada.patch(f"/logs/{log['_id']}", {"score": 1, "notes": "a note"})
    ada.patch(f"/logs/{log['_id']}", {"score": 2, "notes": "another"})
    ada.delete(f"/logs/{log['_id']}")
    ada.delete("/experiments/exp")
    ada.delete(f"/traces/{ada.get('/traces').json[0]['_id']}")
    ada.delete(f"/prompts/{ada.get('/prompts').json[0]['_id']}")
    with app.app_context(), writing():
        for table in ("logs", "traces"):
            session.execute(text(f"UPDATE {table} SET created_at = '2020-01-01T00:00:00.000Z'"))
    done(run(app, "prune", "--older-than", "1d", "--user", ada.email))
    rest = read_counts(app)
    assert rest[personal_workspace_id(ada.id)] < whole[personal_workspace_id(ada.id)]
    assert count_anew(app) == rest
    ada.delete("/workspaces/team?confirm=team")
    ben.delete("/auth/me", json={"currentPassword": ben.password})
    rest = read_counts(app)
    assert personal_workspace_id(ben.id) not in rest
    assert count_anew(app) == rest


def test_an_import_that_would_pass_the_limit_is_refused_before_anything_is_stored(
    app: Flask, ada: Person, set_limit: SetLimit, tmp_path: Any
) -> None:
    set_limit(10**6)
    file = join(GOOD)
    set_limit(used(ada) + len(file) // 2)
    before = used(ada)
    assert_full(import_file(ada, file))
    path = tmp_path / "export.ndjson"
    path.write_bytes(file)
    message = refused(run(app, "import", str(path), "--user", ada.email))
    assert message.startswith("The workspace is full: with this it would store ")
    assert used(ada) == before
    assert ada.get("/prompts").json == ada.get("/experiments").json == []
    set_limit(10**6)
    assert counts(import_file(ada, file), "created") == (1, 2, 1, 1, 2)
    set_limit(1)
    assert counts(import_file(ada, file), "skipped") == (1, 2, 1, 1, 2)


def test_the_text_of_messages_counts_in_an_import_before_anything_is_stored(
    app: Flask, ada: Person, set_limit: SetLimit
) -> None:
    set_limit(10**6)
    prompt = ada.prompt(content=None, messages=[{"role": "user", "content": "x" * 50_000}])
    size, file = used(ada), export(ada)
    assert size > 100_000
    ada.delete(f"/prompts/{prompt['_id']}")
    set_limit(used(ada) + size - 10_000)
    assert_full(import_file(ada, file))
    set_limit(10**6)
    assert counts(import_file(ada, file), "created") == (1, 1, 0, 0, 0)
    assert count_anew(app) == read_counts(app)


def test_owners_alone_see_the_use_and_only_where_there_is_a_limit(
    app: Flask, ada: Person, ben: Person, set_limit: SetLimit
) -> None:
    home = f"/workspaces/{personal_workspace_id(ada.id)}"
    assert not {"usedBytes", "maxBytes"} & set(ada.get(home).json)
    listed = json.loads(done(run(app, "workspace", "list", "--json")))
    assert "usedBytes" not in listed[0]
    ada.prompt()
    set_limit(12345)
    shown = ada.get(home).json
    assert (shown["usedBytes"] > 400, shown["maxBytes"]) == (True, 12345)
    assert "usedBytes" not in ada.get("/workspaces").json[0]
    share(ada, ben, "editor")
    assert "usedBytes" not in ben.get(home).json
    key = ada.post("/auth/keys", {"name": "k", "scopes": ["read"]}).json["key"]
    assert "usedBytes" not in Caller(ada.client, {"x-api-key": key}).get(home).json
    rows = json.loads(done(run(app, "workspace", "list", "--json")))
    assert (rows[0]["usedBytes"], rows[0]["maxBytes"]) == (used(ada), 12345)
    heading, first, *_ = done(run(app, "workspace", "list")).splitlines()
    assert heading.endswith("BYTES OF 12,345")
    assert first.split()[-1] == f"{used(ada):,}"


@pytest.mark.parametrize("engine_name", ["postgresql"])
def test_writers_in_one_workspace_do_not_wait_for_each_other(app: Flask, ada: Person, set_limit: SetLimit) -> None:
    prompt = ada.prompt()
    set_limit(10**6)
    ada.log(prompt)
    start = used(ada)
    written, may_end = Event(), Event()

    def hold() -> None:
        with app.app_context(), writing():
            session.execute(text("UPDATE logs SET notes = 'a note'"))
            written.set()
            assert may_end.wait(10)

    with ThreadPoolExecutor() as threads:
        holding = threads.submit(hold)
        assert written.wait(10)
        ada.log(prompt)  # 503 after two seconds if it had to wait
        meanwhile = used(ada)
        may_end.set()
        holding.result()
    assert meanwhile > start
    assert used(ada) == meanwhile + len("a note")
    assert count_anew(app) == read_counts(app)


def test_a_migration_drops_the_counters_and_the_next_start_counts_anew(
    make_app: Callable[[Config], Flask], config: Config, own_database_url: str
) -> None:
    app = make_app(Config(database_url=own_database_url, jwt_secret_key=config.jwt_secret_key, max_workspace_bytes=9))
    app.config["MAX_WORKSPACE_BYTES"] = 10**6
    with app.app_context():
        assert usage_counters.prepare()
    ada = sign_up(Caller(app.test_client()), "ada")
    ada.prompt()
    counted = used(ada)
    with app.app_context():
        upgrade()  # nothing to do
        assert usage.list_counters(request_connection())
        session.close()
        downgrade(revision="-1")
        assert not usage.list_counters(request_connection())
        session.close()
        upgrade()
    ada.prompt()
    assert used(ada) == counted
    with app.app_context():
        assert usage_counters.prepare()
    assert used(ada) > counted
    with app.app_context():
        downgrade(revision="base")
        assert usage.NAME not in inspect(get_engine()).get_table_names()


@only_sqlite
def test_nothing_is_counted_or_refused_before_the_service_has_prepared_it(app: Flask, ada: Person) -> None:
    app.extensions.pop("promptcrafter-usage", None)
    app.config["MAX_WORKSPACE_BYTES"] = 1
    assert ada.prompt()
    assert "usedBytes" not in ada.get(f"/workspaces/{personal_workspace_id(ada.id)}").json
