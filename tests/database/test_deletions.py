"""What is deleted with many rows: gone at once for all readers, and its rows removed by the purge."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select

from promptcrafter.database import cascade, deletions
from promptcrafter.database.base import Base
from promptcrafter.database.deletions import count_pending
from promptcrafter.database.session import get_engine
from promptcrafter.maintenance import purge
from tests.support.commands import done, run
from tests.support.many_logs import add_logs
from tests.support.people import Person
from tests.traces.test_views import trace

MANY = 120


@pytest.fixture
def deferring(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave to a purge what one statement does not remove, and let no purge run inside the block."""
    monkeypatch.setattr(deletions, "_IN_REQUEST_S", 0)
    with app.app_context(), purge.only_purge() as is_locked:
        assert is_locked
        yield


@contextmanager
def statements_of_one_row(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patched:
        for name in ("_LEAST_ROWS", "_MOST_ROWS"):
            patched.setattr(cascade, name, 1)
        yield


def fill(app: Flask, owner: Person, mark: str = "0", count: int = MANY, **columns: Any) -> None:
    with app.app_context():
        add_logs(get_engine(), owner.id, count, mark, **columns)


OF_ACCOUNTS = ("users", "api_keys", "workspaces", "members", "audit_entries")


def count_rows(app: Flask) -> dict[str, int]:
    with app.app_context(), get_engine().connect() as connection:
        tables = {name: table for name, table in Base.metadata.tables.items() if name not in OF_ACCOUNTS}
        counts = {name: connection.scalar(select(func.count()).select_from(table)) for name, table in tables.items()}
        return {name: count for name, count in counts.items() if count}


def run_purge(app: Flask) -> purge.Outcome:
    with app.app_context():
        return purge.run()


@pytest.fixture
def prompt(app: Flask, ada: Person) -> dict[str, Any]:
    """A prompt with everything that refers to it, and many logs."""
    prompt = ada.prompt(title="Explain gravity", content="Unique words", tags=["physics"])
    ada.patch(f"/prompts/{prompt['_id']}", {"content": "Unique words again"})
    ada.open(f"/prompts/{prompt['_id']}/labels/production", method="PUT", json={"version": 2})
    log = ada.log(prompt, score=7)
    ada.post(f"/logs/{log['_id']}/scores", {"name": "tone", "value": "dry"})
    fill(app, ada, prompt_id=prompt["_id"])
    return prompt


def test_a_deleted_prompt_is_gone_at_once_for_all_readers(
    app: Flask, ada: Person, prompt: dict[str, Any], request: pytest.FixtureRequest, subtests: pytest.Subtests
) -> None:
    path, other = f"/prompts/{prompt['_id']}", ada.prompt(title="Another")
    variants = [{"key": "A", "trafficPercent": 100, "promptId": prompt["_id"]}]
    ada.post("/experiments", {"slug": "greeting", "name": "n", "status": "ACTIVE", "variants": variants})
    ada.post("/experiment/greeting/log", {"variantKey": "A", "metrics": {"m": 1}})
    span = {"id": "1", "type": "generation", "prompt": {"slug": "explain-gravity"}, "output": "unique"}
    trace_id = trace(ada, logs=[span])
    kept, log = ada.log(other), ada.log(prompt)
    body = {"promptId": prompt["_id"], "output": "x", "modelUsed": "m"}
    before = ada.get("/export").data
    request.getfixturevalue("deferring")
    assert ada.delete(path).status_code == 204
    assert count_rows(app)["pending_deletions"] == 1
    assert count_rows(app)["logs"] > 50

    for method, gone in [
        ("GET", path),
        ("PATCH", path),
        ("DELETE", path),
        ("GET", "/prompts/by-slug/explain-gravity"),
        ("GET", f"{path}/versions"),
        ("GET", f"{path}/versions/production"),
        ("GET", f"{path}/stats"),
        ("GET", f"/logs?promptId={prompt['_id']}"),
        ("GET", f"/logs?promptId={prompt['_id']}&promptVersion=production"),
        ("GET", f"/logs-by-prompt?promptId={prompt['_id']}"),
        ("GET", f"/logs/{log['_id']}"),
        ("DELETE", f"/logs/{log['_id']}"),
        ("GET", f"/compare?logs={log['_id']},{kept['_id']}"),
        ("GET", "/basalt/prompts/explain-gravity"),
    ]:
        with subtests.test(method=method, path=gone):
            assert ada.open(gone, method=method, json={} if method == "PATCH" else None).status_code == 404
    with subtests.test("lists"):
        assert [found["_id"] for found in ada.get("/prompts").json] == [other["_id"]]
        assert [found["_id"] for found in ada.get("/logs").json] == [kept["_id"]]
        assert [found["_id"] for found in ada.get("/logs?per_page=5&sort=-score").json] == [kept["_id"]]
        assert ada.get("/scores").json == []
        for query in ("/logs?q=filled", "/search?q=unique", "/search?q=physics&per_page=3"):
            assert ada.get(query).json == []
        assert [found["slug"] for found in ada.get("/basalt/prompts").json["prompts"]] == ["another"]
    with subtests.test("what referred to it"):
        assert ada.get(f"/traces/{trace_id}").json["logs"] == []
        assert ada.get("/experiments/greeting").json["variants"][0]["promptId"] is None
        assert ada.get("/experiments/greeting/logs").json == []
        assert [variant["count"] for variant in ada.get("/experiments/greeting/results").json["variants"]] == [0]
    with subtests.test("writes"):
        assert ada.post("/logs", body).status_code == 404
        assert [result["status"] for result in ada.post("/logs/batch", {"logs": [body]}).json["results"]] == [404]
        variant = {"key": "A", "trafficPercent": 1, "promptId": prompt["_id"]}
        assert ada.post("/experiments", {"slug": "e", "name": "n", "variants": [variant]}).status_code == 404
    with subtests.test("its slug is free"):
        assert ada.prompt(title="Explain gravity")["slug"] == "explain-gravity"
    with subtests.test("export and import"):
        left = ada.get("/export").data
        assert prompt["_id"].encode() not in left
        assert b'"scores":0}' in left
        header, *_, score, end = before.splitlines(keepends=True)
        for lines in (before, b"".join((header, score, b'{"type": "end"}'))):
            refused = ada.post("/import", data=lines, headers={"Content-Type": "application/x-ndjson"})
            assert (refused.status_code, refused.json["code"]) == (409, "deletion_pending"), refused.text
            assert int(refused.headers["Retry-After"]) > 0
        assert b'"scores":2}' in end
    with subtests.test("commands"):
        assert done(run(app, "prune", "--older-than", "1d", "--dry-run")) == "0 logs and 0 traces would go.\n"
        assert done(run(app, "costs", "recompute")).startswith("0 of ")
        assert done(run(app, "check")).endswith(": 1 log, 2 prompts.\n")
        assert run(app, "reindex").stderr == "The search indices are rebuilt; 0 entries changed.\n"
        assert ada.get("/search?q=unique").json == []


def test_the_purge_removes_every_row_and_what_was_deleted_can_be_imported_again(
    app: Flask, ada: Person, prompt: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    exported, before = ada.get("/export").data, count_rows(app)
    monkeypatch.setattr(deletions, "_IN_REQUEST_S", 0)
    with app.app_context(), purge.only_purge():
        assert ada.delete(f"/prompts/{prompt['_id']}").status_code == 204
        assert run_purge(app) is purge.Outcome.BUSY
    assert run_purge(app) is purge.Outcome.DONE
    assert count_rows(app) == {}
    if app.config["SQLALCHEMY_DATABASE_URI"].startswith("sqlite"):
        with app.app_context(), get_engine().connect() as connection:
            connection.exec_driver_sql("INSERT INTO log_words (log_words, rank) VALUES ('integrity-check', 1)")
    imported = ada.post("/import", data=exported, headers={"Content-Type": "application/x-ndjson"})
    assert imported.status_code == 200, imported.text
    assert count_rows(app) == before


@pytest.mark.parametrize("kind", ["trace", "experiment"])
def test_deleted_traces_and_experiments_are_gone_at_once_with_their_logs(
    app: Flask, ada: Person, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = ada.prompt()
    variant = {"key": "A", "trafficPercent": 100}
    experiment = ada.post("/experiments", {"slug": "greeting", "name": "n", "variants": [variant]}).json
    trace_id = trace(ada, experiment={"id": experiment["_id"]})
    assert ada.get(f"/traces/{trace_id}").json["experimentId"] == experiment["_id"]
    columns = {"trace_id": trace_id} if kind == "trace" else {"experiment_id": experiment["_id"], "variant_key": "A"}
    fill(app, ada, prompt_id=prompt["_id"], **columns)
    fill(app, ada, "1", 60, trace_id=trace_id)  # of an experiment by their trace alone
    kept = ada.log(prompt)
    exported = ada.get("/export").data
    path = f"/traces/{trace_id}" if kind == "trace" else "/experiments/greeting"
    monkeypatch.setattr(deletions, "_IN_REQUEST_S", 0)
    with app.app_context(), purge.only_purge():
        assert ada.delete(path).status_code == 204
        assert count_rows(app)["logs"] > 50
        assert [ada.open(path, method=method).status_code for method in ("GET", "DELETE")] == [404, 404]
        assert ada.get("/traces").json == []
        assert ada.get(f"/traces/{trace_id}").status_code == 404
        assert [log["_id"] for log in ada.get("/logs").json] == [kept["_id"]]
        assert [log["_id"] for log in ada.get(f"/logs?promptId={prompt['_id']}").json] == [kept["_id"]]
        assert ada.get("/logs?q=filled").json == []
        assert [group["count"] for group in ada.get(f"/prompts/{prompt['_id']}/stats").json["groups"]] == [1]
        refused = ada.post("/import", data=exported, headers={"Content-Type": "application/x-ndjson"})
        assert (refused.status_code, refused.json["code"]) == (409, "deletion_pending"), refused.text
        if kind == "experiment":
            assert ada.get("/experiments").json == []
            again = ada.post("/experiments", {"slug": "greeting", "name": "n", "variants": [variant]})
            assert again.status_code == 201, again.text
            assert ada.delete("/experiments/greeting").status_code == 204
    assert run_purge(app) is purge.Outcome.DONE
    left = count_rows(app)
    assert (left["logs"], left.get("traces"), left.get("pending_deletions")) == (1, None, None)
    assert left.get("experiments") == (1 if kind == "trace" else None)


def test_a_variant_whose_results_are_being_deleted_is_removed_later(
    app: Flask, ada: Person, prompt: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    variants = [{"key": key, "trafficPercent": 50} for key in "AB"]
    experiment = ada.post("/experiments", {"slug": "greeting", "name": "n", "variants": variants}).json
    of_variant = {"experiment_id": experiment["_id"], "variant_key": "A"}
    fill(app, ada, "1", prompt_id=prompt["_id"], **of_variant)
    monkeypatch.setattr(deletions, "_IN_REQUEST_S", 0)
    without = {"variants": variants[1:]}
    assert ada.patch("/experiments/greeting", without).json["code"] == "variant_has_results"
    with app.app_context(), purge.only_purge():
        ada.delete(f"/prompts/{prompt['_id']}")
        answer = ada.patch("/experiments/greeting", without)
        assert (answer.status_code, answer.json["code"]) == (409, "deletion_pending")
    run_purge(app)
    assert ada.patch("/experiments/greeting", without).status_code == 200


def test_what_is_small_is_removed_by_the_request_itself(app: Flask, ada: Person) -> None:
    prompt = ada.prompt()
    for _ in range(3):
        ada.log(prompt)
    with app.app_context(), purge.only_purge():
        assert ada.delete(f"/prompts/{prompt['_id']}").status_code == 204
    assert count_rows(app) == {}


def test_rows_are_removed_in_steps_and_a_purge_goes_on_where_another_one_has_ended(
    app: Flask, ada: Person, prompt: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletions, "_IN_REQUEST_S", 0)
    removed: list[int] = []

    def note(_: object, rows: int) -> None:
        removed.append(rows)
        if len(removed) == 2:
            raise KeyboardInterrupt

    with app.app_context():
        with purge.only_purge():
            ada.delete(f"/prompts/{prompt['_id']}")
            add_logs(get_engine(), ada.id, 10, "1", prompt_id=prompt["_id"])  # by a request that began before
        monkeypatch.setattr(purge, "transaction_s", lambda: 0)
        with deletions.purged.connected_to(note), pytest.raises(KeyboardInterrupt):
            purge.run()
        assert count_pending() == {"prompt": 1}
        with deletions.purged.connected_to(note):
            assert purge.run() is purge.Outcome.DONE
        assert count_pending() == {}
    assert len(removed) >= 3
    assert count_rows(app) == {}


def test_a_prompt_with_many_versions_is_removed_in_steps(
    app: Flask, ada: Person, prompt: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        ada.patch(f"/prompts/{prompt['_id']}", {"content": f"content {number}"})
    monkeypatch.setattr(deletions, "_IN_REQUEST_S", 0)
    with app.app_context():
        with purge.only_purge():
            ada.delete(f"/prompts/{prompt['_id']}")
        monkeypatch.setattr(purge, "transaction_s", lambda: 0)
        with statements_of_one_row(monkeypatch):
            assert purge.run() is purge.Outcome.DONE
    assert count_rows(app) == {}
