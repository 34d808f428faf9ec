"""A `logs.db` that llm itself has written is imported completely, or refused with what is unknown in it."""

import gzip
import os
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from config import Config
from promptcrafter.transfer.importers import Unreadable, llm
from tests.support import llm_database
from tests.support.databases import only_sqlite
from tests.support.people import Person
from tests.support.transfer import export
from tests.transfer.test_importers import FIXTURES, NOW, created, logs_of, take

CREATED = (0, 0, 0, 0, 13)
# The outputs in the order in which llm made them: four of release 0.31.1, nine of release 0.36
OUTPUTS = [
    *("You said: Hello from the past", "You said: And once more", "", "The tool says PELICAN"),
    *("You said: Still there?", "You said: Hello 🦤", "You said: And again", None, "The tool says PELICAN"),
    *("You said: A long text of a book.\nSummarise", "Four.", "You said: Same", "You said: Same"),
]
UPPER = {
    "name": "upper",
    "description": "Return text in capital letters.",
    "inputSchema": {"properties": {"text": {"type": "string"}}, "required": ["text"], "type": "object"},
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that llm 0.31.1 has begun and llm 0.36 has continued (see fixtures/llm_logs.md)."""
    path = tmp_path / "logs.db"
    path.write_bytes(gzip.decompress((FIXTURES / "llm_logs.db.gz").read_bytes()))
    return path


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        for statement in statements:
            database.execute(statement)


def read(path: Path, **options: Any) -> list[dict[str, Any]]:
    """Return the fields of the records, without a database of ours."""
    app = Flask(__name__)
    app.config["MAX_BODY_BYTES"] = Config.max_body_bytes
    with app.app_context():
        return [record.fields for record in llm.read(path, "ada@example.com", NOW, **options)]


def test_the_outputs_of_both_generations_of_llm_become_logs(app: Flask, ada: Person, path: Path) -> None:
    assert created(take(app, ada, llm.read(path, ada.email, NOW))) == CREATED
    logs = logs_of(ada)
    assert [log.get("output") for log in logs] == OUTPUTS
    assert {log["source"] for log in logs} == {"llm"}
    assert all(log["startTime"] == log["createdAt"] for log in logs)
    left = export(ada)
    assert created(take(app, ada, llm.read(path, ada.email, "2027-01-01T00:00:00.000Z"))) == (0, 0, 0, 0, 0)
    assert export(ada) == left


@only_sqlite
def test_a_turn_of_llm_has_what_its_call_had(app: Flask, ada: Person, path: Path) -> None:
    take(app, ada, llm.read(path, ada.email, NOW))
    _, second, called, _, continued, first, again, calls, answers, fragments, thinker, same, twin = logs_of(ada)
    metadata = first["metadata"]
    assert first == {
        **{"_id": first["_id"], "createdAt": first["createdAt"], "updatedAt": first["createdAt"], "source": "llm"},
        **{"modelUsed": "echo-1", "input": "Hello 🦤", "output": "You said: Hello 🦤"},
        **{"startTime": first["createdAt"], "latencyMs": 0, "inputTokens": 11, "outputTokens": 7},
        **{"cachedInputTokens": 4, "reasoningTokens": 3},
        "metadata": {
            "responseId": metadata["responseId"],
            "conversationId": metadata["conversationId"],
            "conversation": [{"name": "Hello 🦤"}],
            "system": "Be new",
            "options": {"temperature": 0.5},
            "resolvedModel": "echo-1-2026",
            "tokenDetails": {
                "prompt_tokens_details": {"cached_tokens": 4},
                "completion_tokens_details": {"reasoning_tokens": 3},
            },
            "responseJson": {"id": "chatcmpl-1", "finish_reason": "stop"},
        },
    }
    assert (again["input"], again["metadata"]["system"]) == ("And again", "Be new")
    assert again["metadata"]["conversationId"] == metadata["conversationId"]
    assert again["metadata"]["replyToId"] == metadata["responseId"]
    # a conversation that the older release began
    assert (continued["input"], continued["metadata"]["system"]) == ("Still there?", "Be old")
    assert continued["metadata"]["conversationId"] == second["metadata"]["conversationId"]
    assert continued["metadata"]["replyToId"] == second["metadata"]["responseId"]
    assert "history" not in continued["metadata"], "it is in the logs of the older release"
    # tools
    for call in (called, calls):
        assert call["metadata"]["tools"] == [UPPER]
        assert call["metadata"]["toolCalls"] == [
            {"name": "upper", "arguments": {"text": "pelican"}, "toolCallId": "call-1"}
        ]
    assert answers["metadata"]["toolResults"] == [{"name": "upper", "output": "PELICAN", "toolCallId": "call-1"}]
    assert answers["metadata"]["replyToId"] == calls["metadata"]["responseId"]
    # fragments, attachments, a schema, reasoning, and a history that the client sent
    assert fragments["input"] == "A long text of a book.\nSummarise"
    assert fragments["metadata"]["fragments"] == [
        {"source": "https://example.com/book", "content": "A long text of a book."}
    ]
    assert fragments["metadata"]["systemFragments"] == [{"source": "style", "content": "Short answers."}]
    assert [found["type"] for found in fragments["metadata"]["attachments"]] == ["image/png"]
    assert "integer" in fragments["metadata"]["schema"][0]["content"]
    assert (thinker["input"], thinker["metadata"]["reasoning"]) == ("2+2?", "Let me think.")
    assert [message["parts"][0]["text"] for message in thinker["metadata"]["history"]] == ["1+1?", "Two."]
    assert same["_id"] != twin["_id"]


@only_sqlite
def test_an_output_in_both_generations_of_tables_is_imported_once(app: Flask, ada: Person, path: Path) -> None:
    old = "INSERT INTO responses (id, model, response, datetime_utc) SELECT id, model, 'old', '2026-01-01' FROM turns"
    change(path, f"{old} WHERE model = 'thinker-1'", "ALTER TABLE turns RENAME TO kept")
    # as it was before llm 0.32 copied it
    before = path.with_name("before.db")
    shutil.copy(path, before)
    change(before, *(f"DROP TABLE {name}" for name in ("kept", "messages", "parts", "threads")))
    change(before, "DELETE FROM _llm_migrations WHERE name > 'm023'")
    assert created(take(app, ada, llm.read(before, ada.email, NOW)))[-1] == 5
    change(path, "ALTER TABLE kept RENAME TO turns")
    assert created(take(app, ada, llm.read(path, ada.email, NOW)))[-1] == 8
    assert created(take(app, ada, llm.read(path, ada.email, NOW)))[-1] == 0


@pytest.mark.parametrize(
    ("statements", "named"),
    [
        (["CREATE TABLE events (id)", "INSERT INTO events VALUES (1)"], "the table events"),
        (["CREATE TABLE 'a\x1b[31m' (id)", "INSERT INTO 'a\x1b[31m' VALUES (1)"], "the table a\ufffd[31m"),
        (["ALTER TABLE turns ADD COLUMN cost", "UPDATE turns SET cost = 1"], "the column turns.cost"),
        (["ALTER TABLE parts ADD COLUMN data", "UPDATE parts SET data = 'x'"], "the column parts.data"),
        (["ALTER TABLE responses ADD COLUMN rating", "UPDATE responses SET rating = 5"], "the column responses.rating"),
        (["INSERT INTO _llm_migrations VALUES ('m028_blobs', '')"], "the migration m028_blobs"),
        (["UPDATE parts SET type = 'video' WHERE id = 3"], "parts of type video"),
        (["UPDATE messages SET role = 'judge' WHERE role = 'tool'"], "the role judge"),
    ],
)
def test_what_a_newer_llm_has_added_is_refused_by_name_unless_it_is_to_be_skipped(
    path: Path, statements: list[str], named: str
) -> None:
    change(path, *statements)
    with pytest.raises(Unreadable) as raised:
        read(path)
    assert str(raised.value) == (
        f"It has what this release does not know and would lose: {named}. --skip-unknown imports all the rest."
    )
    skipped: Counter[str] = Counter()
    assert len(read(path, skipped=skipped, skip_unknown=True)) == 13
    assert next(iter(skipped)).startswith(named[:11])


def test_empty_tables_and_columns_are_no_reason_to_refuse_a_file(path: Path) -> None:
    change(
        path,
        "CREATE TABLE feedback (id)",
        "ALTER TABLE turns ADD COLUMN cost",
        "CREATE VIRTUAL TABLE own USING fts5(text)",
        "INSERT INTO own VALUES ('x')",
        "CREATE TABLE embeddings (id)",
        "INSERT INTO embeddings VALUES (1)",
    )
    assert len(read(path)) == 13


@only_sqlite
@pytest.mark.parametrize(
    ("statements", "message"),
    [
        (["ALTER TABLE turns RENAME TO calls"], "It lacks the table turns, which llm 0.32 and later have"),
        (["ALTER TABLE parts RENAME COLUMN text TO body"], "It lacks the column parts.text"),
        (["DROP TABLE messages", "DROP TABLE threads"], "It lacks the table messages, the table threads"),
        (["DELETE FROM messages WHERE role = 'tool'"], "is not in the file"),
        (["DELETE FROM fragments"], "the payload of a part is not as llm writes it"),
        (["UPDATE parts SET payload = '[1]' WHERE payload IS NOT NULL"], "the payload of a part is not as llm"),
        (["UPDATE parts SET payload = '{' WHERE payload IS NOT NULL"], "the payload of a part is not as llm"),
        (["UPDATE messages SET parent_hash = hash"], "form a circle"),
        (["UPDATE turns SET parent_message_hash = (SELECT max(hash) FROM messages)"], "does not follow its input"),
    ],
)
def test_a_file_without_all_that_its_outputs_consist_of_is_refused(
    app: Flask, ada: Person, path: Path, statements: list[str], message: str
) -> None:
    change(path, *statements)
    with pytest.raises(Unreadable) as raised:
        take(app, ada, llm.read(path, ada.email, NOW))
    assert message in str(raised.value)
    assert logs_of(ada) == []


@only_sqlite
def test_a_database_of_another_program_is_refused(app: Flask, path: Path, tmp_path: Path, database_url: str) -> None:
    own = Path(database_url.removeprefix("sqlite:///"))
    with pytest.raises(Unreadable, match="is not a database of llm"):
        read(own)
    survey = llm_database.make(
        tmp_path / "s.db", "CREATE TABLE responses (id, answer)", responses=[{"id": 1, "answer": 2}]
    )
    with pytest.raises(Unreadable, match=r"the column responses\.answer"):
        read(survey)
    chat = llm_database.make(tmp_path / "c.db", "CREATE TABLE messages (id)", messages=[{"id": 1}])
    with pytest.raises(Unreadable, match="is not a database of llm"):
        read(chat)


def test_messages_that_no_turn_has_made_are_counted(path: Path) -> None:
    change(path, "DELETE FROM turns WHERE model = 'thinker-1'")
    skipped: Counter[str] = Counter()
    assert len(read(path, skipped=skipped)) == 12
    assert skipped == {"messages outside of turns": 2}


def test_a_file_in_wal_mode_is_read_with_its_wal_file_or_without_and_nothing_is_left_beside_it(
    path: Path, tmp_path: Path
) -> None:
    change(path, "PRAGMA journal_mode=WAL")
    assert len(read(path)) == 13
    assert [file.name for file in tmp_path.iterdir()] == ["logs.db"]
    with closing(sqlite3.connect(path, isolation_level=None)) as live:
        live.execute("DELETE FROM turns WHERE model = 'thinker-1'")
        assert len(read(path)) == 12, "while llm has the file open"
        copies = [tmp_path / "with", tmp_path / "without"]
        for folder in copies:
            folder.mkdir()
            shutil.copy(path, folder)
        shutil.copy(f"{path}-wal", copies[0])
    counts = []
    for folder in copies:
        before = {file.name: file.read_bytes() for file in folder.iterdir()}
        os.chmod(folder, 0o500)
        counts.append(len(read(folder / "logs.db")))
        os.chmod(folder, 0o700)
        assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert counts == [12, 13]


def test_a_file_whose_content_is_all_in_the_missing_wal_file_says_so(tmp_path: Path) -> None:
    path, folder = tmp_path / "logs.db", tmp_path / "copy"
    with closing(sqlite3.connect(path, isolation_level=None)) as live:
        live.execute("PRAGMA journal_mode=WAL")
        live.executescript(llm_database.NEWEST)
        folder.mkdir()
        shutil.copy(path, folder)
    with pytest.raises(Unreadable, match="copy the file beside it whose name ends in -wal, too"):
        read(folder / "logs.db")
