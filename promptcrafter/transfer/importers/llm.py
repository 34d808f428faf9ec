"""The `logs.db` of the command-line tool llm (https://llm.datasette.io/en/stable/logging.html).

Each response becomes a log without a prompt of ours: what is typed once for one answer is no entry of a library, and
the tool records no other prompts. `input` is what was typed; the system prompt, the conversation, the options and what
else was recorded is in the metadata. Tool calls and the content of attachments stay behind.
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
# Releases before 0.5 (July 2023) wrote to the first, and newer ones leave there what is in it
_TABLES = ("logs", "responses")
# As of release 0.27 (migration 22); older databases have fewer
_COLUMNS = (
    *("id", "model", "prompt", "system", "prompt_json", "options_json", "response", "response_json"),
    *("conversation_id", "chat_id", "reply_to_id", "duration_ms", "datetime_utc", "input_tokens", "output_tokens"),
    *("token_details", "schema_id", "resolved_model"),
)
# What is recorded in other tables: which those are, a query and the column of a response that it is asked with
_BESIDE = {
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
    """Yield the lines of the file's responses, with ids of the account's own; `now` dates what has no date.

    The file is opened to be read only, and functions that its schema may call are not trusted. Raises Unreadable and
    Invalid.
    """
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as database:
            database.row_factory = sqlite3.Row
            # what is not UTF-8 is found, and refused, when the lines are checked
            database.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
            database.execute("PRAGMA trusted_schema=OFF")
            yield from _read_tables(database, account, now)
    except sqlite3.Error as error:
        raise Unreadable(f"It cannot be read as a database of llm: {error}.") from error


def _read_tables(database: sqlite3.Connection, account: str, now: str) -> Iterator[Record]:
    found = {str(row["name"]) for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    tables = [name for name in _TABLES if name in found]
    if not tables:
        raise Unreadable("It has no table of responses, so it is not a database of llm.")
    for table in tables:
        there = {str(row["name"]) for row in database.execute(f"PRAGMA table_info({table})")}
        columns = [name for name in _COLUMNS if name in there]
        if "id" not in columns:
            raise Unreadable(f"Its table {table} has no ids, so it is not a database of llm.")
        for row in database.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY rowid"):  # noqa: S608
            response = dict.fromkeys(_COLUMNS) | dict(row)
            beside = _read_beside(database, found, response)
            yield _make_line(f"{table} {response['id']}", [account, SOURCE, table], response, beside, now)


def _read_beside(
    database: sqlite3.Connection, found: set[str], response: Mapping[str, Any]
) -> dict[str, list[dict[str, Any]]]:
    """Return what other tables have of a response, as far as there are such."""
    beside = {}
    for name, (tables, query, column) in _BESIDE.items():
        if found.issuperset(tables) and response[column] is not None:
            beside[name] = [dict(row) for row in database.execute(query, (response[column],))]
    return beside


def _make_line(
    place: str, origin: list[str], response: Mapping[str, Any], beside: Mapping[str, Any], now: str
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
        **beside,
    }
    made = response["datetime_utc"] or now
    fields = {
        # old ids are numbers, which the files of two machines both have
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
        "createdAt": made,
        "updatedAt": made,
    }
    return make_record(place, "log", fields)


def _parse(text: Any) -> Any:
    """Return the value of JSON text, and what is none as it is."""
    try:
        return jsonio.loads(text.encode()) if isinstance(text, str) else text
    except (jsonio.JsonError, UnicodeEncodeError):
        return text
