"""An export has all data of an account, and an import restores it to the same bytes on either database."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from promptcrafter.database.session import get_engine
from tests.contracts.test_unicode import ANY_TEXT, JSON_VALUES
from tests.support.databases import only_sqlite
from tests.support.members import protect, share
from tests.support.people import Caller, Person, sign_up
from tests.support.statements import statements
from tests.support.transfer import (
    EMPTY_EXPORT,
    NDJSON_HEADERS,
    TYPES,
    as_imported,
    counts,
    export,
    import_file,
    join,
    remove_all,
)

RELEASE_0_1_0 = Path(__file__).parent.parent / "migrations" / "fixtures"
ALL = (3, 7, 2, 3, 37)
READS = ("/prompts", "/logs", "/traces", "/experiments", "/search?q=gravity", "/experiments/Greeting~1/logs")


def test_the_export_of_an_empty_account_has_two_lines(ada: Person) -> None:
    assert export(ada) == EMPTY_EXPORT
    assert counts(import_file(ada, EMPTY_EXPORT), "created") == (0, 0, 0, 0, 0)


def test_an_account_imported_on_another_server_and_back_exports_to_the_same_bytes(
    full_account: Person, other_account: Person, client: Caller
) -> None:
    left = export(full_account)
    assert counts(import_file(other_account, left), "created") == ALL
    assert left.count(b'{"type":"score"') == 5
    assert export(other_account) == as_imported(left) != left
    remove_all(full_account)
    ben = sign_up(client, "ben")
    assert counts(import_file(ben, export(other_account)), "created") == ALL
    assert export(ben) == as_imported(left)


def test_imported_data_gives_the_same_responses(full_account: Person, other_account: Person) -> None:
    import_file(other_account, export(full_account))
    ids = [thing["_id"] for thing in full_account.get("/prompts").json]
    trace_ids = [trace["_id"] for trace in full_account.get("/traces").json]
    paths = [*READS, *(f"/prompts/{id}/versions" for id in ids), *(f"/traces/{id}" for id in trace_ids)]
    for path in paths:
        here, there = full_account.get(path), other_account.get(path)
        assert here.status_code == 200
        # an account and its personal workspace differ in the beginnings of their ids alone
        there_id, here_id = (person.id.removeprefix("user") for person in (other_account, full_account))
        text = there.text.replace(there_id, here_id).replace('"name":"carla"', '"name":"ada"')
        assert text == here.text, path


def test_importing_twice_changes_nothing(full_account: Person) -> None:
    left = export(full_account)
    again = import_file(full_account, left)
    assert counts(again, "created") == (0, 0, 0, 0, 0)
    assert counts(again, "skipped") == ALL
    assert export(full_account) == left


def test_existing_resources_are_not_changed_and_missing_ones_are_restored(full_account: Person) -> None:
    left = export(full_account)
    prompt, *_ = full_account.get("/prompts").json
    log, *_ = full_account.get("/logs").json
    full_account.patch(f"/prompts/{prompt['_id']}", {"title": "Renamed meanwhile", "slug": "renamed"})
    full_account.delete(f"/logs/{log['_id']}")
    assert counts(import_file(full_account, left), "created") == (0, 0, 0, 0, 1)
    assert full_account.get(f"/prompts/{prompt['_id']}").json["slug"] == "renamed"
    assert full_account.get(f"/logs/{log['_id']}").json == log


def test_an_export_has_no_account_data_but_authors_of_scores_and_no_keys(full_account: Person) -> None:
    key = full_account.post("/auth/keys", {"name": "a key of ada's"}).json
    left = export(full_account).decode()
    assert left.count(full_account.id) == left.count(f'"author":{{"userId":"{full_account.id}","name":"ada"}}') == 5
    for secret in (
        full_account.email,
        full_account.password,
        key["key"],
        key["prefix"],
        "a key of ada's",
    ):
        assert secret not in left


def test_an_export_has_only_resources_of_the_caller(full_account: Person, ben: Person) -> None:
    ben.log(ben.prompt(title="Of ben's"))
    assert b"Of ben's" not in export(full_account)
    assert [line["type"] for line in map(json.loads, export(ben).splitlines())] == [
        *("export", "prompt", "version", "log", "end")
    ]


def test_lines_have_no_fields_without_a_value(ada: Person) -> None:
    prompt = ada.prompt(tags=["b", "a"])
    log = ada.log(prompt, score=0, notes="")
    (score,) = ada.get(f"/logs/{log['_id']}/scores").json
    lines = [json.loads(line) for line in export(ada).splitlines()]
    assert lines == [
        {"type": "export", "format": "promptcrafter", "version": 2},
        {
            "type": "prompt",
            "_id": prompt["_id"],
            "slug": "a-title",
            "title": "A title",
            "tags": ["b", "a"],
            "createdAt": prompt["createdAt"],
            "updatedAt": prompt["updatedAt"],
        },
        {
            "type": "version",
            "promptId": prompt["_id"],
            "version": 1,
            "content": "Some content",
            "model": "gpt-4o",
            "labels": [],
            "createdAt": prompt["createdAt"],
        },
        {
            "type": "log",
            "_id": log["_id"],
            "promptId": prompt["_id"],
            "promptVersion": 1,
            "modelUsed": "gpt-4o",
            "output": "An output",
            "notes": "",
            "score": 0,
            "outputTokens": log["outputTokens"],
            "computed": ["outputTokens"],
            "createdAt": log["createdAt"],
            "updatedAt": log["updatedAt"],
        },
        {
            "type": "score",
            "_id": score["_id"],
            "logId": log["_id"],
            "name": "score",
            "value": 0,
            "annotator": "human",
            "author": {"userId": ada.id, "name": "ada"},
            "createdAt": log["updatedAt"],
            "updatedAt": log["updatedAt"],
        },
        {
            "type": "end",
            "prompts": 1,
            "versions": 1,
            "experiments": 0,
            "traces": 0,
            "logs": 1,
            "scoreConfigs": 0,
            "scores": 1,
        },
    ]


def test_a_line_has_messages_instead_of_a_content_and_what_is_not_empty(ada: Person) -> None:
    messages = [{"role": "user", "content": "Why?", "name": "Ada"}, {"placeholder": "rest"}]
    ada.prompt(content=None, messages=messages, config={"b": 1, "a": 2.0}, description="For classes")
    _, prompt, version, _ = map(json.loads, export(ada).splitlines())
    assert list(prompt.items())[-1] == ("description", "For classes")
    assert list(version) == ["type", "promptId", "version", "model", "messages", "config", "labels", "createdAt"]
    assert (version["messages"], json.dumps(version["config"])) == (messages, '{"b": 1, "a": 2.0}')


def test_a_file_of_release_0_1_0_is_read_and_its_versions_are_texts(ada: Person, ben: Person) -> None:
    for person, name in ((ada, "ada"), (ben, "ben")):
        data = (RELEASE_0_1_0 / f"release_0_1_0.{name}.ndjson").read_bytes()
        answer = import_file(person, data)
        end = json.loads(data.splitlines()[-1])
        assert counts(answer, "created") == tuple(end[kind] for kind in TYPES)
        assert person.get("/export?form=1").data == data
        assert counts(import_file(person, export(person)), "skipped") == tuple(end[kind] for kind in TYPES)
        shown = list(person.get("/prompts").json)
        shown += [row for prompt in shown for row in person.get(f"/prompts/{prompt['_id']}/versions").json]
        assert {(row["type"], row["messages"], json.dumps(row["config"])) for row in shown} == {("text", None, "{}")}


def test_an_export_is_a_snapshot_despite_concurrent_writes(app: Flask, ada: Person) -> None:
    prompt = ada.prompt(content="x" * 70_000)
    before = export(ada)
    streamed = app.test_client().get("/export", headers=ada.headers)
    pieces = cast(Iterator[bytes], iter(streamed.response))
    first = next(pieces)  # the prompt; no logs have been read yet
    ada.log(prompt)
    ada.patch(f"/prompts/{prompt['_id']}", {"content": "another"})
    assert first + b"".join(pieces) == before
    streamed.close()
    assert export(ada).count(b"\n") == before.count(b"\n") + 2


def test_the_number_of_statements_does_not_grow_with_every_prompt(app: Flask, ada: Person) -> None:
    def count() -> int:
        with statements(app) as seen:
            export(ada)
        return len(seen)

    ada.prompt(tags=["a"])
    few = count()
    for number in range(15):
        ada.log(ada.prompt(title=f"Title {number}", tags=["a", "b"]))
    assert count() <= few + 2, "one for each batch of prompts"


@only_sqlite
def test_an_import_looks_rows_up_by_indices(app: Flask, full_account: Person) -> None:
    left = export(full_account)
    with statements(app) as seen:
        import_file(full_account, left)
        import_file(full_account, left.replace(b'"_id":"score_', b'"_id":"score_9'))  # each is there under another id
    selects = [(statement, parameters) for statement, parameters in seen if statement.startswith("SELECT")]
    assert len(selects) > 10
    with app.app_context(), get_engine().connect() as connection:
        for statement, parameters in selects:
            plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            scans = [step for step in plan if step.startswith("SCAN")]
            # a table that is almost always empty, and the one row of `SELECT EXISTS (…)`
            harmless = ("SCAN pending_deletions", "SCAN CONSTANT ROW")
            read = [step for step in scans if not step.startswith(harmless) and not step.endswith("CONSTANT ROWS")]
            assert not read, (statement, plan)


@only_sqlite  # and so to PostgreSQL
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.tuples(*[ANY_TEXT] * 6), value=st.dictionaries(ANY_TEXT, JSON_VALUES))
def test_any_text_and_any_json_survive_export_and_import(
    ada: Person, other_account: Person, texts: tuple[str, ...], value: dict[str, Any]
) -> None:
    visible = "x" + texts[0][:90]
    made = {"createdAt": "2024-06-20T13:10:00.000Z"}
    times = {**made, "updatedAt": "2024-06-21T13:10:00.000Z"}
    variant = {"key": visible, "payload": value, "trafficPercent": 1, "promptId": "prompt1"}
    named = {"source": "basalt", "name": texts[1], "experimentId": "experiment1"}
    lines = [
        {"type": "export", "format": "promptcrafter", "version": 2},
        {"type": "prompt", "_id": "prompt1", "slug": "s", "title": f"xxx{visible}"[:100], "tags": [visible], **times},
        {"type": "version", "promptId": "prompt1", "version": 1, "content": texts[1], "model": visible, "labels": []}
        | made,
        {"type": "experiment", "_id": "experiment1", "slug": "S", "name": visible, "status": "DRAFT"}
        | {"featureSlug": texts[2], "variants": [variant], **times},
        {"type": "trace", "_id": "trace1", "slug": texts[3], "input": texts[4], "output": value, "metadata": value}
        | {"spans": [{"id": texts[5], "type": "span", "name": texts[1], "output": texts[2], "input": value}]}
        | named
        | made,
        {"type": "log", "_id": "log1", "promptId": "prompt1", "promptVersion": 1, "modelUsed": visible}
        | {"output": texts[2], "notes": texts[3], "input": value, "idealOutput": texts[4], "variables": value}
        | {"metadata": value, "promptReference": {"slug": texts[5]}, "traceId": "trace1", "spanId": texts[1]}
        | {"parentSpanId": texts[2], "variantKey": visible, "metrics": value, "context": value, **named, **times},
        {
            "type": "end",
            "prompts": 1,
            "versions": 1,
            "experiments": 1,
            "traces": 1,
            "logs": 1,
            "scoreConfigs": 0,
            "scores": 0,
        },
    ]
    assert counts(import_file(ada, lines), "created") == (1, 1, 1, 1, 1)
    left = export(ada)
    assert list(map(json.loads, left.split(b"\n")[:-1])) == lines
    assert import_file(other_account, left).status_code == 200
    assert export(other_account) == left
    remove_all(ada)
    remove_all(other_account)


def test_head_returns_the_media_type_of_an_export_without_creating_it(ada: Person) -> None:
    answer = ada.open("/export", method="HEAD")
    assert (answer.status_code, answer.data, answer.mimetype) == (200, b"", NDJSON_HEADERS["Content-Type"])


def test_lines_may_be_blank_and_end_as_on_windows(ada: Person, other_account: Person) -> None:
    ada.log(ada.prompt())
    left = export(ada)
    spaced = b"\xef\xbb\xbf" + left.replace(b"\n", b"\r\n\r\n \n").rstrip()
    assert counts(import_file(other_account, spaced), "created") == (1, 1, 0, 0, 1)
    assert export(other_account) == left


def test_the_end_line_need_not_have_counts(ada: Person) -> None:
    assert import_file(ada, join([{"type": "export", "format": "promptcrafter", "version": 1}, {"type": "end"}])).json


def test_versions_are_imported_with_their_comments_and_by_the_importer(
    ada: Person, ben: Person, other_account: Person
) -> None:
    prompt = ada.prompt()
    path = f"/prompts/{prompt['_id']}"
    share(ada, ben, "editor")
    ben.patch(path, {"content": "two", "comment": "by ben"})
    left = export(ada)
    assert ben.id.encode() not in left
    import_file(other_account, left)
    rows = other_account.get(f"{path}/versions").json
    assert [row.get("comment") for row in rows] == ["by ben", None]
    assert {row["author"]["userId"] for row in rows} == {other_account.id}


def test_an_import_refuses_a_comment_that_no_call_would_store(ada: Person) -> None:
    ada.prompt()
    head, prompt, version, *rest = map(json.loads, export(ada).splitlines())
    for comment in ("x" * 1001, " ", 7):
        answer = import_file(ada, [head, prompt, {**version, "comment": comment}, *rest])
        assert (answer.status_code, list(answer.json["details"])) == (400, ["line 3.comment"])


def test_an_import_of_a_protected_label_needs_an_owner_and_names_its_line(
    ada: Person, ben: Person, other_account: Person
) -> None:
    for label in ("beta", "live"):
        prompt = other_account.prompt()
        other_account.open(f"/prompts/{prompt['_id']}/labels/{label}", method="PUT", json={"version": 1})
    left = export(other_account)
    protect(ada, "live")
    headers = {**NDJSON_HEADERS, **share(ada, ben, "editor")}
    for query in ("", "?ids=new"):
        answer = ben.post(f"/import{query}", data=left, headers=headers)
        message = "Your role in this workspace is editor; the protected label live in line 5 needs owner."
        assert (answer.status_code, answer.json["code"], answer.json["message"]) == (403, "role_forbids", message)
        assert answer.json["details"] == {"line 5.labels.0": ["may be set by owners only"]}
    assert ada.get("/prompts").json == []
    assert counts(import_file(ada, left), "created")[:2] == (2, 2)
    again = ben.post("/import", data=left, headers=headers)
    assert counts(again, "skipped")[:2] == (2, 2), "what is there already is not labelled"
