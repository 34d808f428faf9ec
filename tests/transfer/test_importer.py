"""Imports: accounts, conflicts with existing data, limits of size, and interruptions."""

import io
import resource
import sqlite3
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from promptcrafter.database import sqlite
from promptcrafter.database.session import get_engine
from promptcrafter.database.transactions import writing
from promptcrafter.http.formats import NDJSON_TYPES
from promptcrafter.transfer import export_format, importer
from promptcrafter.transfer.batch_file import BatchFile
from promptcrafter.workspaces.principal import at_home
from tests.support.databases import only_sqlite
from tests.support.errors import assert_error
from tests.support.people import Answer, Caller, Person, sign_up
from tests.support.transfer import EMPTY_EXPORT, NDJSON_HEADERS, as_imported, counts, export, import_file, join
from tests.transfer.test_importer_damage import EXPERIMENT, FIRST, GOOD, LOG, PROMPT, change


def check(person: Person, data: bytes) -> BatchFile:
    """Do the first half of an import."""
    return importer.check(at_home(person.id), export_format.read_records(io.BytesIO(data)))


def prompt_lines(id: str, contents: list[str], **values: Any) -> list[dict[str, Any]]:
    """Return the lines of a prompt that has said this and that."""
    versions = [
        {**GOOD[FIRST], "promptId": id, "version": number, "content": content, "labels": [], **values.pop(content, {})}
        for number, content in enumerate(contents, 1)
    ]
    return [GOOD[0], {**GOOD[PROMPT], "_id": id, **values}, *versions, {"type": "end"}]


@only_sqlite
def test_names_that_earlier_releases_took_are_imported_and_their_prompt_can_be_changed(ada: Person) -> None:
    blank = "\u200b" * 3
    lines = [
        GOOD[0],
        {**GOOD[PROMPT], "title": blank, "tags": [blank]},
        {**GOOD[FIRST], "model": blank},
        {**GOOD[EXPERIMENT], "name": blank, "variants": [{"key": blank, "payload": {}, "trafficPercent": 1}]},
        {"type": "end"},
    ]
    assert counts(import_file(ada, lines), "created") == (1, 1, 1, 0, 0)
    assert ada.patch("/prompts/prompt1", {"content": "new"}).json["title"] == blank
    assert ada.patch("/experiments/S", {"status": "ACTIVE"}).json["name"] == blank
    exported = export(ada)
    ada.delete("/prompts/prompt1"), ada.delete("/experiments/S")
    assert counts(import_file(ada, exported), "created") == (1, 2, 1, 0, 0)


@only_sqlite
def test_a_title_of_two_wide_letters_is_imported(ada: Person) -> None:
    assert counts(import_file(ada, change(PROMPT, title="翻译")), "created") == (1, 2, 1, 1, 2)
    assert ada.get("/prompts/prompt1").json["title"] == "翻译"


@only_sqlite
@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/x-ndjson-seq", ""])
def test_the_body_must_be_ndjson_and_say_so(ada: Person, content_type: str) -> None:
    answer = ada.post("/import", data=EMPTY_EXPORT, headers={"Content-Type": content_type})
    assert_error(
        answer, 415, "unsupported_media_type", "Content-Type must be application/x-ndjson or application/octet-stream"
    )


@only_sqlite
@pytest.mark.parametrize("name", [*NDJSON_TYPES, "Application/JSONL; charset=utf-8"])
def test_every_name_of_ndjson_is_taken(ada: Person, name: str) -> None:
    answer = ada.post("/import", data=EMPTY_EXPORT, headers={"Content-Type": name})
    assert counts(answer, "created") == (0, 0, 0, 0, 0)


@only_sqlite
def test_a_file_over_the_limit_is_413_and_one_over_that_of_other_bodies_is_not(
    with_settings: Callable[..., Caller],
) -> None:
    ada = sign_up(with_settings(max_body_bytes=2000, max_import_bytes=20_000), "ada")
    logs = [GOOD[LOG] | {"_id": f"log{number}"} for number in range(60)]
    fits = join([*GOOD[:EXPERIMENT], *logs, {"type": "end"}])
    assert 10_000 < len(fits) < 20_000
    assert counts(import_file(ada, fits), "created") == (1, 2, 0, 0, 60)
    answer = import_file(ada, fits + b"\n" * 20_000)
    assert_error(answer, 413, "too_large")
    assert answer.json["message"] == f"The file may have at most 20,000 bytes; it is {len(fits) + 20_000:,}."


@only_sqlite
def test_the_length_of_a_line_is_limited(with_settings: Callable[..., Caller]) -> None:
    ada = sign_up(with_settings(max_body_bytes=2000), "ada")
    assert import_file(ada, change(LOG, output="x" * 9_500)).status_code == 200
    answer = import_file(ada, change(LOG, output="x" * 10_000))
    assert (answer.status_code, answer.json["details"]) == (400, {"line 7": ["must have at most 10,000 bytes"]})


@only_sqlite
def test_an_output_over_the_limit_is_refused_in_every_kind_of_line(with_settings: Callable[..., Caller]) -> None:
    ada = sign_up(with_settings(max_output_bytes=10), "ada")
    rule = ["may have at most 10 bytes; it is 11"]
    span = {"id": "1", "type": "span", "output": "é" * 5 + "x"}
    assert import_file(ada, change(LOG, output="x" * 11)).json["details"] == {"line 7.output": rule}
    assert import_file(ada, change(5, output={"a": "12345"})).json["details"] == {
        "line 6.output": ["may have at most 10 bytes; it is 13"]
    }
    assert import_file(ada, change(5, spans=[span])).json["details"] == {"line 6.spans.0.output": rule}


def test_an_import_cannot_overwrite_resources_of_another_account(ada: Person, ben: Person) -> None:
    import_file(ada, join(GOOD))
    left = export(ada)
    for foreign in (GOOD[PROMPT:EXPERIMENT], [GOOD[EXPERIMENT]], [GOOD[5]], [GOOD[LOG]]):
        answer = import_file(ben, [GOOD[0], *foreign, {"type": "end"}])
        assert_error(
            answer, 409, "import_conflict", "line 2._id exists elsewhere on this server; ids=new imports a copy."
        )
        assert answer.json["details"] == {"line 2._id": ["exists elsewhere on this server; ids=new imports a copy"]}
    assert export(ben) == EMPTY_EXPORT
    assert export(ada) == left


def test_an_import_cannot_refer_to_resources_of_another_account(ada: Person, ben: Person) -> None:
    import_file(ada, join(GOOD))
    foreign = [
        ({**GOOD[LOG], "_id": "log9"}, ["promptId", "promptVersion"]),
        ({**GOOD[LOG + 1], "_id": "log9"}, ["experimentId", "traceId", "variantKey"]),
        ({**GOOD[5], "_id": "trace9"}, ["experimentId"]),
        ({**GOOD[EXPERIMENT], "_id": "experiment9"}, ["variants.0.promptId"]),
    ]
    for line, fields in foreign:
        answer = import_file(ben, [GOOD[0], line, {"type": "end"}])
        assert answer.status_code == 400
        assert set(answer.json["details"]) <= {f"line 2.{field}" for field in fields}
    assert export(ben) == EMPTY_EXPORT


def test_lines_may_refer_to_resources_that_are_only_in_the_account(ada: Person) -> None:
    import_file(ada, join(GOOD))
    more = [
        {**GOOD[EXPERIMENT], "_id": "experiment2", "slug": "T"},
        {**GOOD[5], "_id": "trace2"},
        {**GOOD[LOG], "_id": "log3"},
        {**GOOD[LOG + 1], "_id": "log4"},
    ]
    assert counts(import_file(ada, [GOOD[0], *more, {"type": "end"}]), "created") == (0, 0, 1, 1, 2)
    assert len(ada.get("/logs?promptId=prompt1").json) == 2
    answer = import_file(ada, [GOOD[0], {**GOOD[LOG], "_id": "log5", "promptVersion": 3}, {"type": "end"}])
    assert answer.json["details"] == {"line 2.promptVersion": ["must be in a line before or in the workspace"]}


def test_missing_versions_are_restored_with_their_labels(ada: Person) -> None:
    whole = prompt_lines("prompt1", ["one", "two", "three"], updatedAt="2024-07-01T00:00:00.000Z")
    whole[3]["labels"], whole[4]["labels"] = ["production"], ["production-next", "staging"]
    assert counts(import_file(ada, [*whole[:3], {"type": "end"}]), "created") == (1, 1, 0, 0, 0)
    ada.open("/prompts/prompt1/labels/staging", method="PUT", json={"version": 1})
    answer = import_file(ada, whole)
    assert (counts(answer, "created"), counts(answer, "skipped")) == ((0, 2, 0, 0, 0), (1, 1, 0, 0, 0))
    prompt = ada.get("/prompts/prompt1").json
    assert (prompt["version"], prompt["content"]) == (3, "three")
    assert prompt["updatedAt"] == "2024-07-01T00:00:00.000Z"
    assert {version["version"]: version["labels"] for version in ada.get("/prompts/prompt1/versions").json} == {
        1: ["staging"],
        2: ["production"],
        3: ["production-next"],
    }
    assert [found["_id"] for found in ada.get("/search?q=three").json] == ["prompt1"]
    assert ada.get("/search?q=one").json == []


def test_a_prompt_with_newer_versions_is_not_changed(ada: Person) -> None:
    whole = prompt_lines("prompt1", ["one", "two"])
    import_file(ada, whole)
    ada.patch("/prompts/prompt1", {"content": "three"})
    assert counts(import_file(ada, whole), "skipped") == (1, 2, 0, 0, 0)
    assert ada.get("/prompts/prompt1").json["content"] == "three"


def test_versions_with_another_content_or_model_are_a_conflict(ada: Person) -> None:
    import_file(ada, prompt_lines("prompt1", ["one", "two"]))
    left = export(ada)
    answer = import_file(ada, prompt_lines("prompt1", ["one", "other", "three"]))
    assert_error(answer, 409, "import_conflict", "line 4.content is not that of version 2 in the workspace.")
    assert answer.json["details"] == {"line 4.content": ["is not that of version 2 in the workspace"]}
    other_model = prompt_lines("prompt1", ["one"])
    other_model[2]["model"] = "other"
    assert import_file(ada, other_model).json["details"] == {
        "line 3.model": ["is not that of version 1 in the workspace"]
    }
    assert export(ada) == left


def test_versions_with_other_messages_or_parameters_are_a_conflict(ada: Person) -> None:
    lines = prompt_lines("prompt1", ["one"])
    chat = {name: value for name, value in lines[2].items() if name != "content"}
    chat |= {"messages": [{"role": "user", "content": "one"}], "config": {"a": 1, "b": [1.0]}}
    flattened = "user:\none"
    import_file(ada, [*lines[:2], chat, lines[3]])
    left = export(ada)
    same = chat | {"config": {"b": [1.0], "a": 1}, "messages": [{"content": "one", "role": "user", "name": None}]}
    assert counts(import_file(ada, [*lines[:2], same, lines[3]]), "skipped") == (1, 1, 0, 0, 0)
    text = {name: value for name, value in chat.items() if name != "messages"} | {"content": flattened}
    for version, field in (
        (chat | {"messages": [{"role": "user", "content": "two"}]}, "messages"),
        (chat | {"messages": [*chat["messages"], {"placeholder": "p"}]}, "messages"),
        (chat | {"config": {}}, "config"),
        (chat | {"config": {"a": True, "b": [1.0]}}, "config"),
        (text, "messages"),
    ):
        answer = import_file(ada, [*lines[:2], version, lines[3]])
        assert_error(answer, 409, "import_conflict", f"line 3.{field} is not that of version 1 in the workspace.")
    assert export(ada) == left


def test_a_slug_that_another_prompt_has_is_a_conflict(ada: Person, ben: Person) -> None:
    prompt = ada.prompt(slug="one")
    ben.prompt(slug="one")
    answer = import_file(ada, join(GOOD))
    assert_error(answer, 409, "import_conflict", f"line 2.slug is that of {prompt['_id']} in the workspace: one.")
    ada.patch(f"/prompts/{prompt['_id']}", {"slug": "two"})
    ada.post("/experiments", {"slug": "S", "name": "n", "variants": [{"key": "A", "trafficPercent": 1}]})
    answer = import_file(ada, join(GOOD))
    assert (answer.status_code, list(answer.json["details"])) == (409, ["line 5.slug"])
    assert counts(import_file(ada, [*GOOD[:EXPERIMENT], {"type": "end"}]), "created") == (1, 2, 0, 0, 0)


def test_an_existing_experiment_keeps_its_variants(ada: Person) -> None:
    import_file(ada, join(GOOD))
    two = [*GOOD[EXPERIMENT]["variants"], {"key": "B", "payload": {}, "trafficPercent": 1}]
    result = {**GOOD[LOG + 1], "_id": "log3", "variantKey": "B"}
    file = [*GOOD[:EXPERIMENT], {**GOOD[EXPERIMENT], "variants": two}, GOOD[5], result, {"type": "end"}]
    answer = import_file(ada, file)
    assert answer.json["details"] == {"line 7.variantKey": ["must be in a line before or in the workspace"]}


def test_a_resource_deleted_between_check_and_storing_interrupts_the_import(app: Flask, ada: Person) -> None:
    import_file(ada, join([*GOOD[:EXPERIMENT], {"type": "end"}]))
    log = {**GOOD[LOG], "_id": "log3"}
    with app.app_context(), check(ada, join([GOOD[0], log, {"type": "end"}])) as checked:
        ada.delete("/prompts/prompt1")
        with pytest.raises(importer.ImportInterrupted) as raised:
            importer.store_checked(at_home(ada.id), checked)
    assert raised.value.message == (
        "line 2.promptId must be in a line before or in the workspace. It was not so when the import began: what "
        "stands before it is stored. Importing again is safe."
    )
    assert export(ada) == EMPTY_EXPORT


@only_sqlite
def test_a_resource_deleted_during_storing_interrupts_the_import(
    app: Flask, ada: Person, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_file(ada, join([*GOOD[:EXPERIMENT], {"type": "end"}]))
    with app.app_context():
        dialect = get_engine().dialect
    begin = dialect.do_begin

    def delete_and_begin(connection: Any) -> None:
        if connection.dbapi_connection.begin_statement == sqlite.BEGIN_AS_WRITER:
            with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"), isolation_level=None)) as other:
                other.execute("PRAGMA foreign_keys=ON")
                other.execute("DELETE FROM prompts")
        begin(connection)

    monkeypatch.setattr(dialect, "do_begin", delete_and_begin)
    answer = import_file(ada, [GOOD[0], {**GOOD[LOG], "_id": "log3"}, {"type": "end"}])
    assert_error(answer, 409, "import_interrupted")
    assert list(answer.json["details"]) == ["line 2.promptId"]


@pytest.mark.parametrize(
    ("meanwhile", "refusal"),
    [
        ("removed", (404, "workspace_not_found")),
        ("demoted", (403, "role_forbids")),
        ("key revoked", (401, "unauthorized")),
        ("account deleted", (401, "unauthorized")),
        ("workspace deleted", (404, "workspace_not_found")),
        ("label protected", (403, "role_forbids")),
    ],
)
def test_an_import_ends_when_its_author_may_no_longer_import(
    app: Flask, ada: Person, ben: Person, monkeypatch: pytest.MonkeyPatch, meanwhile: str, refusal: tuple[int, str]
) -> None:
    ada.post("/workspaces", {"name": "Team"})
    invitation = ada.post("/workspaces/team/invitations", {"role": "editor"}).json["token"]
    assert ben.post("/invitations/accept", {"token": invitation}).status_code == 200
    key = ben.post("/auth/keys", {"name": "k"}).json
    member = f"/workspaces/team/members/{ben.id}"
    changes: dict[str, Callable[[], Answer]] = {
        "removed": lambda: ada.delete(member),
        "demoted": lambda: ada.patch(member, {"role": "viewer"}),
        "key revoked": lambda: ben.delete(f"/auth/keys/{key['_id']}"),
        "account deleted": lambda: ben.delete("/auth/me", json={"currentPassword": ben.password}),
        "workspace deleted": lambda: ada.delete("/workspaces/team?confirm=team"),
        "label protected": lambda: ada.patch("/workspaces/team", {"protectedLabels": ["live"]}),
    }
    lines = [*prompt_lines("prompt1", ["one"])[:-1], *prompt_lines("prompt2", ["two"], slug="two")[1:]]
    lines[-2]["labels"] = ["live"]
    begun = 0

    def change_before_the_second_batch() -> AbstractContextManager[None]:
        nonlocal begun
        begun += 1
        if begun == 2:
            with ThreadPoolExecutor(1) as other:  # another request, with a session of its own
                assert other.submit(changes[meanwhile]).result().status_code in (200, 204)
        return writing()

    monkeypatch.setattr(importer, "_BATCH_RECORDS", 2)
    monkeypatch.setattr(importer, "writing", change_before_the_second_batch)
    answer = import_file(Caller(ben.client, {"X-Api-Key": key["key"], "X-Workspace": "team"}), lines)
    assert (answer.status_code, answer.json["code"]) == refusal
    assert answer.json["message"].endswith("It was not so when the import began: what was stored before stays.")
    if meanwhile != "workspace deleted":
        assert [each["_id"] for each in ada.get("/prompts", headers={"X-Workspace": "team"}).json] == ["prompt1"]
        (told,) = ada.get("/workspaces/team/audit?action=import").json
        assert (told["after"]["prompts"], told["after"]["versions"]) == (1, 1)


def test_a_killed_import_is_completed_by_importing_again(
    app: Flask, full_account: Person, other_account: Person
) -> None:
    left = export(full_account)

    def killed(chunks: Any) -> Iterator[Any]:
        for number, chunk in enumerate(chunks):
            if number == 2:
                raise KeyboardInterrupt
            yield chunk

    with (
        other_account.client.application.app_context(),
        check(other_account, left) as checked,
        pytest.raises(KeyboardInterrupt),
    ):
        importer.store_checked(at_home(other_account.id), killed(checked))
    partial = export(other_account)
    assert EMPTY_EXPORT != partial != left
    assert counts(import_file(other_account, left), "created")[-1] == 37
    assert export(other_account) == as_imported(left)


def test_a_long_history_is_stored_in_batches_and_is_consistent_after_each(app: Flask, ada: Person) -> None:
    whole = prompt_lines("prompt1", [f"content {number}" for number in range(1, 1101)])
    with app.app_context(), check(ada, join(whole)) as checked:
        latest = []
        for chunk in checked:
            importer.store_checked(at_home(ada.id), [chunk])
            prompt = ada.get("/prompts/prompt1").json
            latest.append((prompt["version"], prompt["content"]))
    assert latest == [(499, "content 499"), (999, "content 999"), (1100, "content 1100")]
    assert [found["version"] for found in ada.get("/search?q=content+1100").json] == [1100]
    assert export(ada).count(b'"type":"version"') == 1100


def test_a_prompt_deleted_between_batches_of_its_history_interrupts_the_import(app: Flask, ada: Person) -> None:
    whole = prompt_lines("prompt1", [f"content {number}" for number in range(1, 601)])
    with app.app_context(), check(ada, join(whole)) as checked:
        first, second = checked
        importer.store_checked(at_home(ada.id), [first])
        ada.delete("/prompts/prompt1")
        with pytest.raises(
            importer.ImportInterrupted, match=r"^line 502\.promptId must be in a line before or in the workspace"
        ):
            importer.store_checked(at_home(ada.id), [second])
    assert export(ada) == EMPTY_EXPORT
    assert counts(import_file(ada, whole), "created") == (1, 600, 0, 0, 0)


def test_two_imports_of_one_file_at_once_store_it_once(app: Flask, ada: Person) -> None:
    with app.app_context(), check(ada, join(GOOD)) as one, check(ada, join(GOOD)) as other:
        assert importer.store_checked(at_home(ada.id), one)["logs"] == {"created": 2, "skipped": 0}
        assert importer.store_checked(at_home(ada.id), other)["logs"] == {"created": 0, "skipped": 2}
    assert export(ada).count(b"\n") == len(GOOD)


@only_sqlite
def test_a_full_disk_is_507_and_nothing_is_stored(ada: Person) -> None:
    file = change(LOG, output="x" * 1_000_000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, before[1]))
    try:
        answer = import_file(ada, file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert_error(answer, 507, "insufficient_storage", "The server has no room to take the file in.")
    assert export(ada) == EMPTY_EXPORT
    assert counts(import_file(ada, file), "created") == (1, 2, 1, 1, 2)


@pytest.mark.slow
@only_sqlite
def test_memory_does_not_grow_with_the_file(ada: Person, tmp_path: Path) -> None:
    path = tmp_path / "large.ndjson"
    with path.open("wb") as file:
        file.write(join(GOOD[:EXPERIMENT]))
        for number in range(150):
            file.write(join([{**GOOD[LOG], "_id": f"log{number}", "output": f"{number}" + "x" * 400_000}]))
        file.write(join([{"type": "end"}]))
    tracemalloc.start()
    try:
        with path.open("rb") as file:
            answer = ada.open(
                "/import", method="POST", input_stream=file, content_length=path.stat().st_size, headers=NDJSON_HEADERS
            )
        assert counts(answer, "created") == (1, 2, 0, 0, 150)
        _, peak_in = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        size = 0
        streamed = ada.client.get("/export", headers=ada.headers)
        for piece in streamed.response:
            size += len(piece)
        streamed.close()
        _, peak_out = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size > 60_000_000
    assert peak_in < 30_000_000
    assert peak_out < 30_000_000
