"""The `logs.db` of the command-line tool llm (https://llm.datasette.io/en/stable/logging.html).

Each response becomes a log without a prompt: llm records no reusable prompts, neither texts nor chats, only what was
typed for one response, which becomes the `input`. The system prompt, the conversation, the options, tool calls and the
rest go to the metadata. The content of attachments is not imported.

Since release 0.32 llm writes to other tables and leaves the older ones as they were, so a file may have outputs in
both. `llm_turns` reads the newer ones as rows of the older table; `llm_shape` finds what a still newer llm has added.
"""

import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from promptcrafter import jsonio
from promptcrafter.logs.usage import read_usage
from promptcrafter.transfer.importers import Unreadable, enumerate_names, stable_id
from promptcrafter.transfer.importers.llm_shape import Shape
from promptcrafter.transfer.importers.llm_turns import Turns
from promptcrafter.transfer.records import Record, make_record

SOURCE = "llm"
# Releases before 0.5 (July 2023) wrote to `logs`, those before 0.32 to `responses`; newer ones keep the older tables
_TABLES = ("logs", "responses")
_COLUMNS = (
    *("id", "model", "prompt", "system", "prompt_json", "options_json", "response", "response_json"),
    *("conversation_id", "chat_id", "reply_to_id", "duration_ms", "datetime_utc", "input_tokens", "output_tokens"),
    *("token_details", "schema_id", "resolved_model", "reasoning"),
)
_TOKENS = {
    "input_tokens": "inputTokens",
    "output_tokens": "outputTokens",
    "cached_input_tokens": "cachedInputTokens",
    "cache_write_tokens": "cacheWriteTokens",
    "reasoning_tokens": "reasoningTokens",
}
# Metadata from other tables, by name: the tables, a query, and the column of a response that is its parameter
_Related = Mapping[str, tuple[tuple[str, ...], str, str]]
_SCHEMA = (("schemas",), "SELECT content FROM schemas WHERE id = ?", "schema_id")
_FRAGMENTS = (
    'SELECT source, content FROM {} JOIN fragments ON fragments.id = fragment_id WHERE {} = ? {} ORDER BY "order"'
)
_ATTACHMENTS = (
    "SELECT attachments.id, type, path, url FROM {} JOIN attachments ON attachments.id = attachment_id "
    'WHERE response_id = ? ORDER BY "order"'
)
_TOOLS = "SELECT name, description, input_schema FROM {} JOIN tools ON tools.id = tool_id WHERE {} = ? ORDER BY tool_id"
_RESULTS = "tool_results JOIN tool_results_attachments ON tool_result_id = tool_results.id"
_OF_RESPONSES: _Related = {
    "conversation": (("conversations",), "SELECT name, model FROM conversations WHERE id = ?", "conversation_id"),
    "schema": _SCHEMA,
    "fragments": (
        ("prompt_fragments", "fragments"),
        _FRAGMENTS.format("prompt_fragments", "response_id", ""),
        "id",
    ),
    "systemFragments": (
        ("system_fragments", "fragments"),
        _FRAGMENTS.format("system_fragments", "response_id", ""),
        "id",
    ),
    "attachments": (("prompt_attachments", "attachments"), _ATTACHMENTS.format("prompt_attachments"), "id"),
    "tools": (("tool_responses", "tools"), _TOOLS.format("tool_responses", "response_id"), "id"),
    "toolCalls": (("tool_calls",), "SELECT * FROM tool_calls WHERE response_id = ? ORDER BY id", "id"),
    "toolResults": (("tool_results",), "SELECT * FROM tool_results WHERE response_id = ? ORDER BY id", "id"),
    "toolResultAttachments": (
        ("tool_results", "tool_results_attachments", "attachments"),
        _ATTACHMENTS.format(_RESULTS),
        "id",
    ),
}
_OF_TURNS: _Related = {
    "conversation": (("threads",), "SELECT name FROM threads WHERE id = ?", "conversation_id"),
    "schema": _SCHEMA,
    "fragments": (
        ("turn_fragments", "fragments"),
        _FRAGMENTS.format("turn_fragments", "turn_id", "AND kind = 'prompt'"),
        "id",
    ),
    "systemFragments": (
        ("turn_fragments", "fragments"),
        _FRAGMENTS.format("turn_fragments", "turn_id", "AND kind = 'system'"),
        "id",
    ),
    "tools": (("turn_tools", "tools"), _TOOLS.format("turn_tools", "turn_id"), "id"),
}
# In rows about tools: fields that are JSON, and the names of fields in the metadata
_TOOL_JSON = ("arguments", "input_schema")
_TOOL_NAMES = {
    **{name: name for name in ("name", "description", "arguments", "output")},
    **{"input_schema": "inputSchema", "tool_call_id": "toolCallId", "exception": "error"},
}
# Tables without an index by response
_UNINDEXED = ("tool_responses", "tool_calls", "tool_results")
_WAL_MODE = 2  # in bytes 18 and 19 of a file


def read(
    path: Path, account: str, now: str, skipped: Counter[str] | None = None, skip_unknown: bool = False
) -> Iterator[Record]:
    """Yield a record for each response in the database.

    `account` is part of each derived id, so that two workspaces may import one file; see `foreign_ids`. `now` is the
    time, in RFC 3339, of responses without one. What is not imported is counted by name in `skipped`. With
    `skip_unknown`, tables and columns of a newer llm are left out instead of refused.

    The file is not changed, and SQL functions in its schema must be safe ones (`trusted_schema`). Raises Unreadable and
    Invalid.
    """
    try:
        with _open(path) as database:
            database.row_factory = sqlite3.Row
            # text that is not UTF-8 is kept as surrogates, which the check of the records refuses
            database.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
            database.execute("PRAGMA trusted_schema=OFF")
            if _is_wal_mode(path) and not database.execute("SELECT 1 FROM sqlite_master").fetchone():
                raise Unreadable("It is empty, and in WAL mode: copy the file beside it whose name ends in -wal, too.")
            yield from _read_tables(database, account, now, Counter() if skipped is None else skipped, skip_unknown)
    except sqlite3.Error as error:
        raise Unreadable(f"It cannot be read as a database of llm: {error}.") from error


@contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database for reading, without a change to its folder.

    In WAL mode SQLite creates files beside the database, even to read it. Without a -wal file there is nothing to read
    but the database (`immutable`). With one that no running program uses, or one that cannot be used where it is, a
    copy is read.
    """
    wal, shared = (path.with_name(f"{path.name}{end}") for end in ("-wal", "-shm"))
    has_wal = wal.is_file() and wal.stat().st_size > 0
    if _is_wal_mode(path) and not has_wal and not shared.exists():
        yield from _connect(path, "mode=ro&immutable=1")
    elif has_wal and (not shared.exists() or not _is_readable(path)):
        with tempfile.TemporaryDirectory() as folder:
            for file in (path, wal):
                shutil.copyfile(file, Path(folder, file.name))
            yield from _connect(Path(folder, path.name), "mode=rw")
    else:
        yield from _connect(path, "mode=ro")


def _connect(path: Path, parameters: str) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"file:{quote(str(path))}?{parameters}", uri=True)) as database:
        yield database


def _is_wal_mode(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(20)[18:] == bytes((_WAL_MODE, _WAL_MODE))
    except OSError:
        return False  # SQLite reports it


def _is_readable(path: Path) -> bool:
    try:
        for database in _connect(path, "mode=ro"):
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        return False
    return True


def _read_tables(
    database: sqlite3.Connection, account: str, now: str, skipped: Counter[str], skip_unknown: bool
) -> Iterator[Record]:
    shape = Shape(database)
    tables = [name for name in _TABLES if shape.has(name)]
    shape.refuse_incomplete()
    if not tables and not shape.has("turns"):
        raise Unreadable("It has no table of responses, so it is not a database of llm.")
    for table in tables:
        if "id" not in shape.columns[table]:
            raise Unreadable(f"Its table {table} has no ids, so it is not a database of llm.")
    if unknown := shape.find_unknown():
        if not skip_unknown:
            raise Unreadable(
                "It has what this release does not know and would lose: "
                f"{enumerate_names(unknown)}. --skip-unknown imports all the rest."
            )
        skipped.update(unknown)
    for table in _UNINDEXED:
        if shape.has(table):  # a temporary table of the same name comes first
            database.execute(f"CREATE TEMP TABLE {table} AS SELECT * FROM main.{table}")  # noqa: S608
            database.execute(f"CREATE INDEX temp.{table}_response ON {table} (response_id)")
    for table in tables:
        yield from _read_responses(database, shape, table, account, now)
    if shape.has("turns"):
        yield from _read_turns(database, shape, account, now, skipped)


def _read_responses(database: sqlite3.Connection, shape: Shape, table: str, account: str, now: str) -> Iterator[Record]:
    columns = [name for name in _COLUMNS if name in shape.columns[table]]
    # what is in both generations of tables is read from the newer one, which has more of it
    others = "WHERE id NOT IN (SELECT id FROM turns)" if table == "responses" and shape.has("turns") else ""
    for row in database.execute(f"SELECT {', '.join(columns)} FROM {table} {others} ORDER BY rowid"):  # noqa: S608
        response = dict.fromkeys(_COLUMNS) | dict(row)
        related = _read_related(database, shape, _OF_RESPONSES, response)
        yield _to_log(f"{table} {response['id']}", _get_id(account, table, response), response, related, now)


def _read_turns(
    database: sqlite3.Connection, shape: Shape, account: str, now: str, skipped: Counter[str]
) -> Iterator[Record]:
    turns = Turns(database, shape)
    for row, more in turns.each():
        response = dict.fromkeys(_COLUMNS) | row
        related = _read_related(database, shape, _OF_TURNS, response) | more
        yield _to_log(
            f"turns {response['id']}", _get_turn_id(database, shape, account, response), response, related, now
        )
    if others := turns.count_others():
        skipped["messages outside of turns"] += others


def _get_id(account: str, table: str, response: Mapping[str, Any]) -> str:
    # with the time, because ids in `logs` are row numbers: two databases have the same ones
    return stable_id("log", account, SOURCE, table, str(response["id"]), str(response["datetime_utc"]))


def _get_turn_id(database: sqlite3.Connection, shape: Shape, account: str, turn: Mapping[str, Any]) -> str:
    """Return the id of the log, which is that of the response with this id, so that neither is imported twice."""
    older = None
    if {"id", "datetime_utc"}.issubset(shape.columns.get("responses", ())):
        older = database.execute("SELECT id, datetime_utc FROM responses WHERE id = ?", (turn["id"],)).fetchone()
    return _get_id(account, "responses", dict(older) if older else turn)


def _read_related(
    database: sqlite3.Connection, shape: Shape, queries: _Related, response: Mapping[str, Any]
) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of other tables that belong to a response, for those tables that exist."""
    related = {}
    for name, (tables, query, column) in queries.items():
        if shape.has(*tables) and response[column] is not None:
            rows = [dict(row) for row in database.execute(query, (response[column],))]
            is_tool = name in ("tools", "toolCalls", "toolResults")
            related[name] = [_describe_tool(row) for row in rows] if is_tool else rows
    return related


def _describe_tool(row: Mapping[str, Any]) -> dict[str, Any]:
    values = {name: _parse(value) if name in _TOOL_JSON else value for name, value in row.items()}
    return {_TOOL_NAMES[name]: value for name, value in values.items() if name in _TOOL_NAMES and value is not None}


def _read_tokens(response: Mapping[str, Any]) -> dict[str, Any]:
    """Return the token counts. llm stores the wholes, and the rest of the provider's `usage` in `token_details`."""
    wholes = {"input_tokens": response["input_tokens"], "output_tokens": response["output_tokens"]}
    details = _parse(response["token_details"])
    found = read_usage({**details, **wholes}) if isinstance(details, dict) else None
    counts = found[0] if found is not None else wholes
    return {name: counts.get(column) for column, name in _TOKENS.items()}


def _to_log(location: str, id: str, response: Mapping[str, Any], related: Mapping[str, Any], now: str) -> Record:
    metadata = {
        "responseId": response["id"],
        "conversationId": response["conversation_id"] or response["chat_id"],
        "replyToId": response["reply_to_id"],
        "system": response["system"],
        "reasoning": response["reasoning"] or None,
        "options": _parse(response["options_json"]),
        "resolvedModel": response["resolved_model"],
        "tokenDetails": _parse(response["token_details"]),
        "promptJson": _parse(response["prompt_json"]),
        "responseJson": _parse(response["response_json"]),
        **related,
    }
    created_at = response["datetime_utc"] or now
    fields = {
        "_id": id,
        "modelUsed": response["model"] or None,
        "output": response["response"],
        "input": response["prompt"],
        "startTime": response["datetime_utc"] or None,
        "latencyMs": response["duration_ms"],
        **_read_tokens(response),
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
