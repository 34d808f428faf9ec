"""The `logs.db` of the command-line tool llm (https://llm.datasette.io/en/stable/logging.html).

Each response becomes a log without a prompt: llm records no reusable prompts, only what was typed for one response,
which becomes the `input`. The system prompt, the conversation, the options and the rest go to the metadata. Tool calls
and the content of attachments are not imported.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from promptcrafter import jsonio
from promptcrafter.transfer.importers import Unreadable, stable_id
from promptcrafter.transfer.records import Record, make_record

SOURCE = "llm"
# Releases before 0.5 (July 2023) wrote to `logs`; newer ones write to `responses` and keep the old table
_TABLES = ("logs", "responses")
# As of release 0.27 (migration 22); older databases have fewer
_COLUMNS = (
    *("id", "model", "prompt", "system", "prompt_json", "options_json", "response", "response_json"),
    *("conversation_id", "chat_id", "reply_to_id", "duration_ms", "datetime_utc", "input_tokens", "output_tokens"),
    *("token_details", "schema_id", "resolved_model"),
)
# Metadata from other tables, by name: the tables, a query, and the column of a response that is its parameter
_RELATED = {
    "conversation": (("conversations",), "SELECT name, model FROM conversations WHERE id = ?", "conversation_id"),
    "schema": (("schemas",), "SELECT content FROM schemas WHERE id = ?", "schema_id"),
    "fragments": (
        ("prompt_fragments", "fragments"),
        "SELECT source, content FROM prompt_fragments JOIN fragments ON fragments.id = fragment_id "
        'WHERE response_id = ? ORDER BY "order"',
        "id",
    ),
    "systemFragments": (
        ("system_fragments", "fragments"),
        "SELECT source, content FROM system_fragments JOIN fragments ON fragments.id = fragment_id "
        'WHERE response_id = ? ORDER BY "order"',
        "id",
    ),
    "attachments": (
        ("prompt_attachments", "attachments"),
        "SELECT id, type, path, url FROM prompt_attachments JOIN attachments ON attachments.id = attachment_id "
        'WHERE response_id = ? ORDER BY "order"',
        "id",
    ),
}


def read(path: Path, account: str, now: str) -> Iterator[Record]:
    """Yield a record for each response in the database.

    `account` identifies the account and is part of each derived id: two accounts may import the same file. `now` is the
    time, in RFC 3339, of responses without one. The file is opened read-only, and SQL functions in its schema must be
    safe ones (`trusted_schema`). Raises Unreadable and Invalid.
    """
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as database:
            database.row_factory = sqlite3.Row
            # text that is not UTF-8 is kept as surrogates, which the check of the records refuses
            database.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
            database.execute("PRAGMA trusted_schema=OFF")
            yield from _read_tables(database, account, now)
    except sqlite3.Error as error:
        raise Unreadable(f"It cannot be read as a database of llm: {error}.") from error


def _read_tables(database: sqlite3.Connection, account: str, now: str) -> Iterator[Record]:
    existing = {str(row["name"]) for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    tables = [name for name in _TABLES if name in existing]
    if not tables:
        raise Unreadable("It has no table of responses, so it is not a database of llm.")
    for table in tables:
        present = {str(row["name"]) for row in database.execute(f"PRAGMA table_info({table})")}
        columns = [name for name in _COLUMNS if name in present]
        if "id" not in columns:
            raise Unreadable(f"Its table {table} has no ids, so it is not a database of llm.")
        for row in database.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY rowid"):  # noqa: S608
            response = dict.fromkeys(_COLUMNS) | dict(row)
            related = _read_related(database, existing, response)
            yield _to_log(f"{table} {response['id']}", [account, SOURCE, table], response, related, now)


def _read_related(
    database: sqlite3.Connection, existing: set[str], response: Mapping[str, Any]
) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of other tables that belong to a response, for those tables that exist."""
    related = {}
    for name, (tables, query, column) in _RELATED.items():
        if existing.issuperset(tables) and response[column] is not None:
            related[name] = [dict(row) for row in database.execute(query, (response[column],))]
    return related


def _to_log(
    location: str, origin: list[str], response: Mapping[str, Any], related: Mapping[str, Any], now: str
) -> Record:
    metadata = {
        "responseId": response["id"],
        "conversationId": response["conversation_id"] or response["chat_id"],
        "replyToId": response["reply_to_id"],
        "system": response["system"],
        "options": _parse(response["options_json"]),
        "resolvedModel": response["resolved_model"],
        "tokenDetails": _parse(response["token_details"]),
        "promptJson": _parse(response["prompt_json"]),
        "responseJson": _parse(response["response_json"]),
        **related,
    }
    created_at = response["datetime_utc"] or now
    fields = {
        # with the time, because ids in `logs` are row numbers: two databases have the same ones
        "_id": stable_id("log", *origin, str(response["id"]), str(response["datetime_utc"])),
        "modelUsed": response["model"] or None,
        "output": response["response"],
        "input": response["prompt"],
        "startTime": response["datetime_utc"] or None,
        "latencyMs": response["duration_ms"],
        "inputTokens": response["input_tokens"],
        "outputTokens": response["output_tokens"],
        "metadata": {name: value for name, value in metadata.items() if value not in (None, [])},
        "source": SOURCE,
        "createdAt": created_at,
        "updatedAt": created_at,
    }
    return make_record(location, "log", fields)


def _parse(text: Any) -> Any:
    """Return the value of JSON text, or the argument itself if it is not JSON text."""
    try:
        return jsonio.loads(text.encode()) if isinstance(text, str) else text
    except (jsonio.JsonError, UnicodeEncodeError):
        return text
