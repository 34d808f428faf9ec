"""Files of other tools are imported completely."""

import copy
import json
import sqlite3
from collections import Counter
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from promptcrafter.problems import Invalid
from promptcrafter.transfer import importer
from promptcrafter.transfer.importers import Unreadable, json_server, llm, promptfoo
from promptcrafter.transfer.importers.foreign_ids import ForeignIds
from promptcrafter.transfer.importers.stored_versions import StoredVersion
from promptcrafter.workspaces.principal import at_home, personal_workspace_id
from tests.support import llm_database
from tests.support.databases import only_sqlite
from tests.support.people import Person
from tests.support.transfer import TYPES, export

FIXTURES = Path(__file__).parent / "fixtures"
NOW = "2026-01-02T03:04:05.000Z"


def fixture(name: str) -> Any:
    return json.loads((FIXTURES / name).read_text(encoding="utf-8"))


def take(app: Flask, person: Person, source: Any) -> importer.Counts:
    """Import lines as the command does."""
    with app.app_context(), importer.check(at_home(person.id), source) as checked:
        return importer.store_checked(at_home(person.id), checked)


def created(counts: importer.Counts) -> tuple[int, ...]:
    return tuple(counts[kind]["created"] for kind in TYPES)


def logs_of(person: Person) -> list[dict[str, Any]]:
    """Return an account's logs as they are exported, in the order in which they were imported."""
    lines = [json.loads(line) for line in export(person).splitlines()]
    return [{name: value for name, value in line.items() if name != "type"} for line in lines if line["type"] == "log"]


def test_a_json_server_file_is_imported_with_its_ids(app: Flask, ada: Person) -> None:
    document = fixture("json_server.json")
    assert created(take(app, ada, json_server.read(document, NOW))) == (3, 3, 0, 0, 3)
    assert ada.get("/prompts/prompt104").json == {
        "workspaceId": personal_workspace_id(ada.id),
        "_id": "prompt104",
        "ownerId": ada.id,
        "slug": "prompt104",
        "title": "Explain the Industrial Revolution",
        "content": "Explain the Industrial Revolution to a twelve-year-old.",
        "model": "Claude 3 Sonnet",
        "tags": ["history", "school"],
        "version": 1,
        "labels": [],
        "createdAt": "2024-06-20T13:00:00.000Z",
        "updatedAt": "2024-06-21T08:30:00.000Z",
        **{"description": "", "type": "text", "messages": None, "config": {}},
    }
    assert ada.get("/logs/log104").json == {
        "_id": "log104",
        "promptId": "prompt104",
        "promptVersion": 1,
        "output": "The Industrial Revolution transformed how people lived and worked.",
        "notes": "Clear, accessible explanation for students.",
        "modelUsed": "Claude 3 Sonnet",
        "score": 8,
        "createdAt": "2024-06-20T13:13:00.000Z",
        "updatedAt": "2024-06-20T13:13:00.000Z",
    }
    log = ada.get("/logs/log3").json
    assert (log["modelUsed"], log["metadata"]) == ("Claude", {"temperature": 0.7})
    assert ada.get("/logs/log_9").json["promptId"] == "prompt_7"
    assert ada.get("/prompts/prompt_7").json["createdAt"] == NOW
    left = export(ada)
    assert created(take(app, ada, json_server.read(document, "2027-01-01T00:00:00.000Z"))) == (0, 0, 0, 0, 0)
    assert export(ada) == left
    assert b"not for us" not in left


@only_sqlite
def test_unknown_fields_of_a_json_server_log_are_kept_as_metadata(app: Flask, ada: Person) -> None:
    document = fixture("json_server.json")
    document["logs"][0] |= {"id": 5, "model": "another", "metadata": {"id": 6}}
    document["logs"][1] |= {"temperature": None, "metadata": {"temperature": 1}}
    take(app, ada, json_server.read(document, NOW))
    assert ada.get("/logs/log104").json["metadata"] == {"id": 5, "model": "another", "metadata": {"id": 6}}
    assert ada.get("/logs/log3").json["metadata"] == {"temperature": 1}


@only_sqlite
def test_one_owners_records_can_be_imported_from_json_server(app: Flask, ada: Person) -> None:
    document = fixture("json_server.json")
    assert created(take(app, ada, json_server.read(document, NOW, "user2"))) == (2, 2, 0, 0, 2)
    assert {log["_id"] for log in ada.get("/logs").json} == {"log3", "log_9"}
    assert created(take(app, ada, json_server.read(document, NOW, "nobody"))) == (0, 0, 0, 0, 0)


ID_RULE = "must be a whole number or a string of 1 to 1,000 characters"


@only_sqlite
@pytest.mark.parametrize("owner", [7, 7.0, "7", "user_7"])
def test_an_owner_of_json_server_may_be_a_number_and_a_null_is_none(app: Flask, ada: Person, owner: Any) -> None:
    prompts = [
        {"id": number, "ownerId": each, "title": "A title", "content": "c", "model": "m"}
        for number, each in enumerate((owner, 8, None, ""), 1)
    ]
    logs = [
        {"id": prompt["id"], "promptId": prompt["id"], "ownerId": None, "output": "o", "model": "m"}
        for prompt in prompts
    ]
    document = {"prompts": prompts, "logs": logs}
    assert created(take(app, ada, json_server.read(document, NOW, "7"))) == (1, 1, 0, 0, 1)
    assert created(take(app, ada, json_server.read(document, NOW, ""))) == (0, 0, 0, 0, 0)
    assert created(take(app, ada, json_server.read(document, NOW))) == (3, 3, 0, 0, 3)


@only_sqlite
@pytest.mark.parametrize(
    ("change", "details"),
    [
        ({"prompts": {0: {"title": "ab"}}}, {"prompts.0.title": ["must have 3 to 100 characters"]}),
        ({"prompts": {1: {"_id": ["x"]}}}, {"prompts.1._id": [ID_RULE]}),
        ({"prompts": {2: {"id": 7.5}}}, {"prompts.2.id": [ID_RULE]}),
        ({"prompts": {2: {"id": True}}}, {"prompts.2.id": [ID_RULE]}),
        ({"prompts": {2: {"id": "x" * 1001}}}, {"prompts.2.id": [ID_RULE]}),
        ({"prompts": {2: {"id": None}}}, {"prompts.2.id": ["is required"]}),
        ({"prompts": {2: {"id": ""}}}, {"prompts.2.id": ["is required"]}),
        ({"prompts": {2: {"id": "prompt104"}}}, {"prompts.2.id": ["stands in prompts.0 already"]}),
        ({"logs": {0: {"score": "8"}}}, {"logs.0.score": ["must be a number from 0 to 10"]}),
        ({"logs": {0: {"promptId": "prompt9"}}}, {"logs.0.promptId": ["must be in a line before or in the workspace"]}),
        ({"logs": {1: {"_id": "log104"}}}, {"logs.1._id": ["stands in logs.0 already"]}),
        ({"logs": {1: {"output": None}}}, {"logs.1.output": ["is required"]}),
    ],
)
def test_an_error_in_a_json_server_file_is_named_by_its_location(
    app: Flask, ada: Person, change: dict[str, dict[int, dict[str, Any]]], details: dict[str, list[str]]
) -> None:
    document = fixture("json_server.json")
    for name, entries in change.items():
        for number, values in entries.items():
            document[name][number] |= values
    with pytest.raises(Invalid) as raised:
        take(app, ada, json_server.read(document, NOW))
    assert {field: raised.value.details[field] for field in details} == details  # type: ignore[index]
    assert logs_of(ada) == []


def json_server_ids(app: Flask, person: Person, document: Any, left_out: Counter[str] | None = None) -> importer.Counts:
    """Import a file of json-server as the command does."""
    find_existing = partial(importer.find_existing, at_home(person.id))
    with app.app_context():
        ids = ForeignIds(json_server.SOURCE, person.email, find_existing)
        source = json_server.read(document, NOW, None, ids, left_out)
        with importer.check(at_home(person.id), source) as checked:
            return importer.store_checked(at_home(person.id), checked)


# As json-server 0.17 and its forks make them, numbers, and what people write
IDS = ["5-Ti0M5", "-DGSsrg", "9f1c2c1e-6f0f-4d8e-9a51-2b1f3c4d5e6f", 12, "13", "a b", "ü:1", "5-TI0M5", 14.0, "-1", -2]


def made_by_json_server(ids: list[Any]) -> dict[str, Any]:
    """Return a file with a prompt and a log for each id."""
    prompt = {"content": "?", "model": "m", "createdAt": "2024-06-20T13:00:00Z"}
    return {
        "prompts": [{**prompt, "id": id, "title": f"Title {id}"} for id in ids],
        "logs": [{"id": id, "promptId": id, "output": f"of {id}", "modelUsed": "m"} for id in ids],
    }


def test_any_ids_that_json_server_has_made_are_imported_with_their_references(
    app: Flask, ada: Person, ben: Person
) -> None:
    document = made_by_json_server(IDS)
    for person in (ada, ben):
        assert created(json_server_ids(app, person, document)) == (11, 11, 0, 0, 11)
        left = export(person)
        assert created(json_server_ids(app, person, document)) == (0, 0, 0, 0, 0)
        assert export(person) == left
        titles = {prompt["_id"]: prompt["title"] for prompt in person.get("/prompts").json}
        assert sorted(log["output"] for log in logs_of(person)) == sorted(f"of {id}" for id in IDS)
        assert all(log["output"].removeprefix("of ") == titles[log["promptId"]][6:] for log in logs_of(person))
    ours, theirs = ({prompt["_id"] for prompt in person.get("/prompts").json} for person in (ada, ben))
    assert ours.isdisjoint(theirs)
    assert {"prompt_12", "prompt_13", "prompt_14"} < ours, "ids that can be ours are kept"


def test_a_later_state_of_a_json_server_file_adds_only_what_is_new(app: Flask, ada: Person) -> None:
    json_server_ids(app, ada, made_by_json_server(IDS[:3]))
    assert created(json_server_ids(app, ada, made_by_json_server(IDS))) == (8, 8, 0, 0, 8)
    only_logs = {"logs": [{"id": "new-1", "promptId": "5-Ti0M5", "output": "x", "modelUsed": "m"}]}
    assert created(json_server_ids(app, ada, only_logs)) == (0, 0, 0, 0, 1)


def test_two_people_import_files_with_the_same_ids(app: Flask, ada: Person, ben: Person) -> None:
    document = fixture("json_server.json")
    # as release 0.1.0 did it: the ids of the file, or with a prefix
    assert created(take(app, ada, json_server.read(document, NOW))) == (3, 3, 0, 0, 3)
    assert created(json_server_ids(app, ada, document)) == (0, 0, 0, 0, 0)
    for _ in range(2):
        json_server_ids(app, ben, document)
        titles = {prompt["_id"]: prompt["title"] for prompt in ben.get("/prompts").json}
        logs = {log["output"]: titles[log["promptId"]] for log in logs_of(ben)}
        assert sorted(titles.values()) == ["Explain the Industrial Revolution", "No dates at all", "Subject line"]
        assert (logs["!"], len(logs)) == ("No dates at all", 3)
    for prompt in ada.get("/prompts").json:
        ada.delete(f"/prompts/{prompt['_id']}")
    assert created(json_server_ids(app, ben, document)) == (0, 0, 0, 0, 0), "although the ids are free now"
    assert created(json_server_ids(app, ada, document)) == (3, 3, 0, 0, 3)


@only_sqlite
def test_unknown_keys_of_a_json_server_file_are_dropped_and_counted(app: Flask, ada: Person) -> None:
    document = fixture("json_server.json")
    for prompt in document["prompts"]:
        prompt |= {"userId": 3, "description": 7, "gone": None, "messages": ["x"], "config": []}
    document["prompts"][0] |= {"id": 9, "versions": []}
    document |= {"comments": [1, 2], "settings": {}}
    left_out: Counter[str] = Counter()
    assert created(json_server_ids(app, ada, document, left_out)) == (3, 3, 0, 0, 3)
    assert left_out == {
        **{"users": 2, "comments": 2, "settings": 1},
        **{"prompts.userId": 3, "prompts.description": 3, "prompts.messages": 3, "prompts.config": 3},
        **{"prompts.id": 1, "prompts.versions": 1},
    }


CHAT_MESSAGES = [{"role": "system", "content": "Be brief."}, {"placeholder": "history"}]


def test_a_chat_prompt_of_json_server_is_kept_as_our_answers_show_it(app: Flask, ada: Person) -> None:
    document = fixture("json_server.json")
    shown = {"messages": CHAT_MESSAGES, "config": {"temperature": 1.0}, "description": "For classes"}
    document["prompts"][0] |= {**shown, "content": "system:\nBe brief.\n\n{{history}}"}
    read = partial(json_server.read, document, NOW, find_versions=importer.find_first_versions)
    with app.app_context():
        assert created(take(app, ada, read())) == (3, 3, 0, 0, 3)
        prompt = ada.get("/prompts/prompt104").json
        assert {name: prompt[name] for name in ("type", "content", *shown)} == {
            "type": "chat",
            "content": document["prompts"][0]["content"],
            **shown,
        }
        assert created(take(app, ada, read())) == (0, 0, 0, 0, 0)


@pytest.mark.parametrize("tool", ["json-server", "promptfoo"])
def test_what_was_imported_as_a_text_stays_one(app: Flask, ada: Person, tool: str) -> None:
    if tool == "json-server":
        document = fixture("json_server.json")
        document["prompts"][0] |= {"messages": CHAT_MESSAGES, "config": {"temperature": 1}}
        before = copy.deepcopy(document)
        del before["prompts"][0]["messages"], before["prompts"][0]["config"]
        old = json_server.read(before, NOW)
        read = partial(json_server.read, document, NOW, find_versions=importer.find_first_versions)
    else:
        document = fixture("promptfoo_v3.json")
        document["config"]["providers"] = [{"id": "openai:gpt-4o", "config": {"temperature": 1}}]
        as_text = StoredVersion(is_text=True, config={})  # which makes the records of an earlier release
        old = promptfoo.read(document, ada.email, NOW, lambda ids: dict.fromkeys(ids, as_text))
        read = partial(promptfoo.read, document, ada.email, NOW, importer.find_first_versions)
    take(app, ada, old)
    left = export(ada)
    assert b'"messages"' not in left
    assert b'"config"' not in left
    with app.app_context():
        assert created(take(app, ada, read())) == (0, 0, 0, 0, 0)
    assert export(ada) == left


RESPONSE = {
    "id": "01h82n0q9crqtnzmf13gkyxawg",
    "model": "gpt-4o",
    "prompt": "Ten names for a pet pelican",
    "system": "You are a pelican. 🦤",
    "prompt_json": '{"messages": [{"role": "user", "content": "…"}]}',
    "options_json": '{"temperature": 0.5}',
    "response": "1. Pete\n2. Pam",
    "response_json": '{"finish_reason": "stop", "n": 1.0}',
    "conversation_id": "01h82n0q9crqtnzmf13gkyxawa",
    "duration_ms": 1234,
    "datetime_utc": "2023-08-17T20:53:58.123456",
}
NEWER = {"input_tokens": 12, "output_tokens": 0, "token_details": '{"cached": 3}', "resolved_model": "gpt-4o-2024"}


def test_the_responses_of_llm_become_logs(app: Flask, ada: Person, tmp_path: Path) -> None:
    path = llm_database.make(
        tmp_path / "it's a #1? 100% log.db",
        llm_database.NEWEST,
        conversations=[{"id": RESPONSE["conversation_id"], "name": "Pets", "model": "gpt-4o"}],
        schemas=[{"id": "s1", "content": '{"type": "object"}'}],
        responses=[
            {**RESPONSE, **NEWER, "schema_id": "s1"},
            {"id": "01h82n0q9crqtnzmf13gkyxawh", "options_json": "{not json"},
        ],
        fragments=[
            {"id": 1, "hash": "h1", "content": "A long text", "source": "https://example.com/a"},
            {"id": 2, "hash": "h2", "content": "Another", "source": None},
        ],
        prompt_fragments=[
            {"response_id": RESPONSE["id"], "fragment_id": 2, "order": 0},
            {"response_id": RESPONSE["id"], "fragment_id": 1, "order": 1},
        ],
        attachments=[{"id": "a1", "type": "image/png", "path": "/tmp/pelican.png", "content": b"\x89PNG"}],
        prompt_attachments=[{"response_id": RESPONSE["id"], "attachment_id": "a1", "order": 0}],
    )
    assert created(take(app, ada, llm.read(path, ada.email, NOW))) == (0, 0, 0, 0, 2)
    full, bare = logs_of(ada)
    assert full == {
        "_id": full["_id"],
        "modelUsed": "gpt-4o",
        "output": "1. Pete\n2. Pam",
        "input": "Ten names for a pet pelican",
        "startTime": "2023-08-17T20:53:58.123Z",
        "latencyMs": 1234,
        "inputTokens": 12,
        "outputTokens": 0,
        "metadata": {
            "responseId": RESPONSE["id"],
            "conversationId": RESPONSE["conversation_id"],
            "system": "You are a pelican. 🦤",
            "options": {"temperature": 0.5},
            "resolvedModel": "gpt-4o-2024",
            "tokenDetails": {"cached": 3},
            "promptJson": {"messages": [{"role": "user", "content": "…"}]},
            "responseJson": {"finish_reason": "stop", "n": 1.0},
            "conversation": [{"name": "Pets", "model": "gpt-4o"}],
            "schema": [{"content": '{"type": "object"}'}],
            "fragments": [
                {"source": None, "content": "Another"},
                {"source": "https://example.com/a", "content": "A long text"},
            ],
            "attachments": [{"id": "a1", "type": "image/png", "path": "/tmp/pelican.png", "url": None}],
        },
        "source": "llm",
        "createdAt": "2023-08-17T20:53:58.123Z",
        "updatedAt": "2023-08-17T20:53:58.123Z",
    }
    assert bare == {
        "_id": bare["_id"],
        "metadata": {"responseId": "01h82n0q9crqtnzmf13gkyxawh", "options": "{not json"},
        "source": "llm",
        "createdAt": NOW,
        "updatedAt": NOW,
    }
    left = export(ada)
    assert created(take(app, ada, llm.read(path, ada.email, "2027-01-01T00:00:00.000Z"))) == (0, 0, 0, 0, 0)
    assert export(ada) == left
    assert [log["_id"] for log in ada.get("/logs?source=llm&sort=createdAt").json] == [full["_id"], bare["_id"]]


@only_sqlite
@pytest.mark.parametrize(
    ("details", "expected"),
    [
        # what is left of OpenAI's and of Anthropic's usage when llm has taken the wholes
        (
            '{"prompt_tokens_details": {"cached_tokens": 8}, "completion_tokens_details": {"reasoning_tokens": 4}}',
            {"inputTokens": 12, "cachedInputTokens": 8, "outputTokens": 5, "reasoningTokens": 4},
        ),
        (
            '{"cache_creation_input_tokens": 3, "cache_read_input_tokens": 100}',
            {"inputTokens": 115, "cachedInputTokens": 100, "cacheWriteTokens": 3, "outputTokens": 5},
        ),
        ('{"completion_tokens_details": {"reasoning_tokens": 6}}', {"inputTokens": 12, "outputTokens": 5}),
        ("[]", {"inputTokens": 12, "outputTokens": 5}),
    ],
)
def test_cached_and_reasoning_tokens_of_llm_are_read(
    app: Flask, ada: Person, tmp_path: Path, details: str, expected: dict[str, Any]
) -> None:
    counts = {"input_tokens": 12, "output_tokens": 5, "token_details": details}
    path = llm_database.make(tmp_path / "logs.db", llm_database.NEWEST, responses=[{**RESPONSE, **counts}])
    take(app, ada, llm.read(path, ada.email, NOW))
    (log,) = logs_of(ada)
    assert {name: value for name, value in log.items() if name.endswith("Tokens")} == expected


def test_two_people_import_the_same_file_of_llm(app: Flask, ada: Person, ben: Person, tmp_path: Path) -> None:
    path = llm_database.make(tmp_path / "logs.db", llm_database.NEWEST, responses=[{**RESPONSE, **NEWER}])
    for person in (ada, ben):
        assert created(take(app, person, llm.read(path, person.email, NOW))) == (0, 0, 0, 0, 1)
    assert logs_of(ada)[0]["_id"] != logs_of(ben)[0]["_id"]


@only_sqlite
def test_a_database_of_an_older_llm_is_read_without_the_missing_columns(
    app: Flask, ada: Person, tmp_path: Path
) -> None:
    old = {"id": 5, "model": "gpt-3.5-turbo", "prompt": "p", "response": "r", "chat_id": 4, "reply_to_id": 3}
    path = llm_database.make(
        tmp_path / "logs.db",
        llm_database.OLDEST,
        responses=[RESPONSE],
        logs=[{**old, "datetime_utc": "2023-06-17 20:53:58.5"}],
    )
    assert created(take(app, ada, llm.read(path, ada.email, NOW))) == (0, 0, 0, 0, 2)
    oldest, newer = logs_of(ada)
    assert oldest["metadata"] == {"responseId": 5, "conversationId": 4, "replyToId": 3}
    assert (oldest["createdAt"], oldest["output"]) == ("2023-06-17T20:53:58.500Z", "r")
    assert newer["metadata"]["conversationId"] == RESPONSE["conversation_id"]


ENDLESS = "CREATE VIEW responses AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id FROM n) SELECT id FROM n"


@only_sqlite
@pytest.mark.parametrize(
    ("schema", "rows", "message"),
    [
        ("CREATE TABLE others (id)", [], "no table of responses"),
        (ENDLESS, [], "no table of responses"),
        ("CREATE TABLE responses (model)", [], "has no ids"),
        ("CREATE TABLE responses (id PRIMARY KEY) WITHOUT ROWID", [], "no such column: rowid"),
        ("CREATE TABLE responses (id, response)", [{"response": b"\x00"}], "responses 1 must consist of text"),
        ("CREATE TABLE responses (id, response)", [{"response": 5}], "responses 1.output must be a string"),
        ("CREATE TABLE responses (id, duration_ms)", [{"duration_ms": -1}], "responses 1.latencyMs must be a number"),
        ("CREATE TABLE responses (id, duration_ms)", [{"duration_ms": 9e999}], "Infinity is not a JSON number"),
        ("CREATE TABLE responses (id, datetime_utc)", [{"datetime_utc": "x"}], "responses 1.createdAt must be"),
        ("CREATE TABLE responses (id, prompt)", [{"prompt": "a\x00"}], "responses 1.input must not contain the NUL"),
        ("CREATE TABLE responses (id)", [{}, {}], "responses 1._id stands in responses 1 already"),
    ],
)
def test_a_hostile_database_is_refused_with_the_reason(
    app: Flask, ada: Person, tmp_path: Path, schema: str, rows: list[dict[str, Any]], message: str
) -> None:
    path = llm_database.make(tmp_path / "logs.db", schema, responses=[{"id": 1, **row} for row in rows])
    with pytest.raises((Unreadable, Invalid)) as error:
        take(app, ada, llm.read(path, ada.email, NOW))
    assert message in str(error.value)
    assert logs_of(ada) == []


@only_sqlite
def test_text_of_llm_that_is_not_utf_8_is_refused(app: Flask, ada: Person, tmp_path: Path) -> None:
    path = llm_database.make(tmp_path / "logs.db", "CREATE TABLE responses (id, response TEXT)")
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("INSERT INTO responses VALUES (1, CAST(x'61ff' AS TEXT))")
    with pytest.raises(Invalid, match=r"responses 1\.output must not contain a lone surrogate"):
        take(app, ada, llm.read(path, ada.email, NOW))


@pytest.mark.parametrize("content", [b"", b"not a database at all", b"SQLite format 3\x00" + b"\xff" * 4096])
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "logs.db"
    path.write_bytes(content)
    with pytest.raises(Unreadable):
        list(llm.read(path, "a", NOW))
    with pytest.raises(Unreadable, match="unable to open"):
        list(llm.read(tmp_path / "none.db", "a", NOW))
    assert not (tmp_path / "none.db").exists()


def test_the_results_of_promptfoo_become_prompts_and_logs(app: Flask, ada: Person) -> None:
    document = fixture("promptfoo_v3.json")
    assert created(take(app, ada, promptfoo.read(document, ada.email, NOW))) == (2, 2, 0, 0, 3)
    chat, say = sorted(ada.get("/prompts").json, key=lambda prompt: prompt["title"] != "chat")
    assert (say["title"], say["content"]) == ("Say {{word}} in French.", "Say {{word}} in French.")
    assert (say["model"], say["tags"], say["slug"][:-8]) == ("openai:gpt-4o", ["promptfoo"], "say-word-in-french-")
    assert (chat["type"], chat["messages"]) == ("chat", [{"role": "user", "content": "{{word}}?"}])
    good, failed, cached = logs_of(ada)
    result = copy.deepcopy(document["results"]["results"][0])
    del result["vars"], result["response"]["output"], result["prompt"]["raw"]
    assert good == {
        "_id": good["_id"],
        "promptId": say["_id"],
        "promptVersion": 1,
        "modelUsed": "openai:gpt-4o",
        "output": "Du pain",
        "notes": "Similar enough",
        "score": 5.7,
        "input": "Say bread in French.",
        "variables": {"word": "bread"},
        "latencyMs": 420,
        "inputTokens": 12,
        "outputTokens": 5,
        "cost": 0.00021,
        "metadata": {**result, "evalId": document["evalId"]},
        "source": "promptfoo",
        "createdAt": "2025-08-04T05:00:00.123Z",
        "updatedAt": "2025-08-04T05:00:00.123Z",
    }
    assert failed.keys() & {"output", "score", "inputTokens", "cost", "notes"} == set()
    assert (failed["promptId"], failed["modelUsed"], failed["metadata"]["score"]) == (say["_id"], "echo", 0)
    assert failed["metadata"]["response"] == {"error": "HTTP 500"}
    assert (cached["output"], cached["score"], cached["cost"]) == ({"answer": "vin", "sure": 1.0}, 10, 0)
    assert (cached["promptId"], cached["notes"]) == (chat["_id"], "By hand: good")
    left = export(ada)
    assert created(take(app, ada, promptfoo.read(document, ada.email, "2027-01-01T00:00:00.000Z"))) == (0, 0, 0, 0, 0)
    assert export(ada) == left
    later = copy.deepcopy(document)
    later["evalId"], later["results"]["timestamp"] = "eval-Zz9", "2025-09-01T00:00:00.000Z"
    assert created(take(app, ada, promptfoo.read(later, ada.email, NOW))) == (0, 0, 0, 0, 3)


def labelled(*providers: dict[str, Any], columns: list[str] | None = None) -> dict[str, Any]:
    """Return results of one prompt, a column for each provider."""
    names = columns or [provider.get("label") or provider["id"] for provider in providers]
    template = {"raw": "Say {{word}}", "label": "Say {{word}}"}
    results = [
        {"id": f"r{index}", "promptIdx": index, "provider": provider, "score": index / 10, "cost": 0.5}
        | {"response": {"output": "x", "tokenUsage": {"total": 3, "prompt": 1, "completion": 2}}}
        for index, provider in enumerate(providers)
    ]
    prompts = [{**template, "provider": name} for name in names]
    return {"evalId": "e", "results": {"version": 3, "timestamp": NOW, "prompts": prompts, "results": results}}


@only_sqlite
@pytest.mark.parametrize(
    ("document", "models"),
    [
        (labelled({"id": "openai:gpt-4o", "label": "cold"}, {"id": "openai:gpt-4o", "label": "hot"}), ["cold", "hot"]),
        (labelled({"id": "openai:gpt-4o", "label": ""}, {"id": "echo", "label": "echo"}), ["openai:gpt-4o", "echo"]),
        # results without labels, whose columns have them
        (labelled({"id": "a:b"}, {"id": "a:b"}, columns=["cold", "hot"]), ["cold", "hot"]),
        # one label for two providers, and a label that is the id of another one
        (labelled({"id": "a", "label": "x"}, {"id": "b", "label": "x"}), ["x (a)", "x (b)"]),
        (labelled({"id": "a"}, {"id": "b", "label": "a"}), ["a", "a (b)"]),
        # labels that cannot be names
        (
            labelled(
                {"id": "a", "label": " "},
                {"id": "b", "label": "x" * 1000},
                {"id": "c", "label": 5},
                columns=["", "", ""],
            ),
            ["a", "b", "c"],
        ),
    ],
)
def test_the_model_of_a_promptfoo_result_is_the_label_of_its_provider(
    app: Flask, ada: Person, document: dict[str, Any], models: list[str]
) -> None:
    take(app, ada, promptfoo.read(document, ada.email, NOW))
    logs = logs_of(ada)
    assert [log["modelUsed"] for log in logs] == models
    assert {log["cost"] for log in logs} == {0.5}, "the cost of the file"
    assert {log["inputTokens"] for log in logs} == {1}
    assert [log["metadata"]["provider"] for log in logs] == [
        result["provider"] for result in document["results"]["results"]
    ]


OPENAI = {"id": "openai:gpt-4o", "config": {"temperature": 0.5, "max_tokens": None, "apiKey": "a secret", "tools": []}}


@only_sqlite
@pytest.mark.parametrize(
    ("providers", "expected"),
    [
        (["openai:gpt-4o", OPENAI, {"id": "echo", "config": {"temperature": 1}}], {"temperature": 0.5, "tools": []}),
        ([{**OPENAI, "label": "short"}], {"temperature": 0.5, "tools": []}),
        ([{**OPENAI, "label": "openai:gpt-4o", "config": {"seed": 1}}, {**OPENAI, "label": "b"}], {"seed": 1}),
        ([OPENAI, OPENAI], {}),
        ([{**OPENAI, "config": {"tools": "x" * 70_000}}, 5], {}),
        ([{**OPENAI, "config": [1]}], {}),
        ("openai:gpt-4o", {}),
    ],
)
def test_the_parameters_of_a_provider_of_promptfoo_become_the_config(
    app: Flask, ada: Person, providers: Any, expected: dict[str, Any]
) -> None:
    document = fixture("promptfoo_v3.json")
    document["config"]["providers"] = providers
    read = partial(promptfoo.read, document, ada.email, NOW, importer.find_first_versions)
    with app.app_context():
        take(app, ada, read())
        assert [prompt["config"] for prompt in ada.get("/prompts").json] == [expected] * 2
        assert b"a secret" not in export(ada)
        document["config"]["providers"] = []  # as of an evaluation with other parameters
        assert created(take(app, ada, read())) == (0, 0, 0, 0, 0)


@only_sqlite
@pytest.mark.parametrize(
    "raw",
    [
        '[{"role": "user", "content": [{"type": "image_url"}]}]',
        '[{"role": "function", "content": "x"}]',
        '[{"role": "user", "content": {{ x | dump }}}]',
        "[]",
        "[1] is a reference",
    ],
)
def test_a_prompt_of_promptfoo_that_is_no_list_of_texts_stays_a_text(app: Flask, ada: Person, raw: str) -> None:
    document = fixture("promptfoo_v3.json")
    document["results"]["prompts"][2]["raw"] = raw
    take(app, ada, promptfoo.read(document, ada.email, NOW))
    assert ("text", raw) in [(prompt["type"], prompt["content"]) for prompt in ada.get("/prompts").json]


@only_sqlite
def test_reasoning_tokens_of_promptfoo_are_read(app: Flask, ada: Person) -> None:
    document = labelled({"id": "openai:o1"})
    usage = {"total": 30, "prompt": 10, "completion": 20, "cached": 0, "completionDetails": {"reasoning": 16}}
    document["results"]["results"][0]["response"]["tokenUsage"] = usage
    take(app, ada, promptfoo.read(document, ada.email, NOW))
    (log,) = logs_of(ada)
    assert (log["inputTokens"], log["outputTokens"], log["reasoningTokens"]) == (10, 20, 16)


@only_sqlite
def test_providers_of_one_id_are_compared_by_their_labels(app: Flask, ada: Person) -> None:
    document = labelled(*({"id": "openai:gpt-4o", "label": label} for label in ("cold", "hot")))
    take(app, ada, promptfoo.read(document, ada.email, NOW))
    (prompt,) = ada.get("/prompts").json
    groups = ada.get(f"/prompts/{prompt['_id']}/stats").json["groups"]
    assert {group["model"]: group["score"]["mean"] for group in groups} == {"cold": 0, "hot": 1}


@only_sqlite
@pytest.mark.parametrize("wrapped", [False, True])
def test_version_2_of_promptfoo_is_read_too(app: Flask, ada: Person, wrapped: bool) -> None:
    summary = fixture("promptfoo_v2.json")
    document = {"version": 4, "createdAt": "2024-01-15", "results": summary, "config": {}} if wrapped else summary
    assert created(take(app, ada, promptfoo.read(document, ada.email, NOW))) == (1, 1, 0, 0, 2)
    (prompt,) = ada.get("/prompts").json
    assert (prompt["title"], prompt["content"]) == ("greet", "Greet {{name}}")
    greeted, unheard = logs_of(ada)
    assert (greeted["promptId"], greeted["score"], greeted["input"]) == (prompt["_id"], 10, "Greet Bob")
    assert "promptId" not in unheard
    assert (unheard["output"], unheard.get("score"), unheard["metadata"]["score"]) == ("42", None, 1.5)


@only_sqlite
@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "has no results"),
        ({"results": {}}, "has no results"),
        ({"results": {"results": {}}}, "has no results"),
        ({"results": [], "version": 5}, "of version 5"),
        ({"results": {"results": [], "version": "3"}}, "of version 3"),
        ({"results": [1]}, "results.0 must be an object"),
        ({"results": {"results": [], "prompts": 5}}, "prompts must be an array"),
        ({"results": {"results": [], "table": {"head": {"prompts": "p"}}}}, "prompts must be an array"),
        ({"results": {"results": [], "table": [1], "timestamp": []}, "prompts": True}, "prompts must be an array"),
        ({"results": [{}], "timestamp": 5e300}, "results.0.createdAt must be an ISO 8601 time"),
        ({"results": [{"response": {"output": "\ud83d"}}]}, "results.0.output must not contain a lone surrogate"),
        ({"results": [{"provider": {"id": 7}, "prompt": 5, "vars": "v", "score": True, "response": []}]}, ""),
    ],
)
def test_a_hostile_file_of_promptfoo_is_refused_with_the_reason(
    app: Flask, ada: Person, document: Any, message: str
) -> None:
    source = promptfoo.read(document, ada.email, NOW)
    if message:
        with pytest.raises((Unreadable, Invalid)) as error:
            take(app, ada, source)
        assert message in str(error.value)
    else:
        assert created(take(app, ada, source)) == (0, 0, 0, 0, 1)
        assert logs_of(ada)[0]["metadata"] == {**document["results"][0], "response": [], "prompt": 5}


@only_sqlite
def test_a_file_of_promptfoo_without_an_id_and_a_time_is_imported_once(app: Flask, ada: Person) -> None:
    document = fixture("promptfoo_v3.json")
    for holder, name in ((document, "evalId"), (document["results"], "timestamp"), (document, "createdAt")):
        holder.pop(name, None)
    for result in document["results"]["results"]:
        result.pop("id", None)
    assert created(take(app, ada, promptfoo.read(document, ada.email, NOW))) == (2, 2, 0, 0, 3)
    later = "2027-01-01T00:00:00.000Z"
    assert created(take(app, ada, promptfoo.read(document, ada.email, later))) == (0, 0, 0, 0, 0)
