"""Which tables and columns of llm's logs.db the importer knows, and the check that a file has no others.

A newer llm may keep outputs where this release does not look. The import of such a file would lose them, so it is
refused with the names of what is unknown.
"""

import sqlite3

from promptcrafter.transfer.importers import Unreadable, enumerate_names

# The migrations of llm up to release 0.36, as its table `_llm_migrations` names them
_MIGRATIONS = frozenset(
    (
        *("m001_initial", "m002_id_primary_key", "m003_chat_id_foreign_key", "m004_column_order", "m004_drop_provider"),
        *("m005_debug", "m006_new_logs_table", "m007_finish_logs_table", "m008_reply_to_id_foreign_key"),
        *("m008_fix_column_order_in_logs", "m009_delete_logs_table_if_empty", "m010_create_new_log_tables"),
        *("m011_fts_for_responses", "m012_attachments_tables", "m013_usage", "m014_schemas", "m015_fragments_tables"),
        *("m016_fragments_table_pks", "m017_tools_tables", "m017_tools_plugin", "m018_tool_instances"),
        *("m019_resolved_model", "m020_tool_results_attachments", "m021_tool_results_exception"),
        *("m022_response_reasoning", "m023_message_store", "m024_tool_instance_references"),
        *("m025_turn_tools_instance_backfill", "m026_message_tree_view", "m027_turns_response_json"),
    )
)
_RESPONSE = "id model prompt system prompt_json options_json response response_json duration_ms datetime_utc"
# The columns of each table after all migrations. The first two, and `log`, are of releases before 0.5
_COLUMNS = {
    table: frozenset(columns.split())
    for table, columns in {
        "logs": f"{_RESPONSE} reply_to_id chat_id",
        "responses": f"{_RESPONSE} conversation_id input_tokens output_tokens token_details schema_id resolved_model"
        " reasoning",
        "conversations": "id name model",
        "attachments": "id type path url content",
        "prompt_attachments": "response_id attachment_id order",
        "schemas": "id content",
        "fragments": "id hash content datetime_utc source",
        "fragment_aliases": "alias fragment_id",
        "prompt_fragments": "response_id fragment_id order",
        "system_fragments": "response_id fragment_id order",
        "tools": "id hash name description input_schema plugin",
        "tool_responses": "tool_id response_id",
        "tool_calls": "id response_id tool_id name arguments tool_call_id",
        "tool_results": "id response_id tool_id name output tool_call_id instance_id exception",
        "tool_instances": "id plugin name arguments",
        "tool_results_attachments": "tool_result_id attachment_id order",
        "messages": "hash parent_hash role provider_metadata",
        "parts": "id message_hash position type tool_name text payload",
        "part_attachments": "part_id attachment_id order",
        "part_fragments": "part_id fragment_id order",
        "threads": "id name tip_message_hash forked_from datetime_utc",
        "turns": "id thread_id parent_message_hash tip_message_hash model resolved_model options_json schema_id"
        " input_tokens output_tokens token_details duration_ms datetime_utc response_json",
        "turn_tools": "turn_id tool_id instance_id",
        "turn_fragments": "turn_id fragment_id order kind",
        "turn_search": "id turn_id prompt response",
        "tool_instantiations": "turn_id tool_call_id name plugin arguments instance_id",
    }.items()
}
# Tables without outputs: what migrations have run, SQLite's own, and llm's embeddings, if they are in the same file
_WITHOUT_OUTPUTS = ("_llm_migrations", "_sqlite_migrations", "collections", "embeddings")
# What the outputs of release 0.32 and later cannot be read without
_REQUIRED = {
    "turns": ("id", "thread_id", "parent_message_hash", "tip_message_hash"),
    "messages": ("hash", "parent_hash", "role"),
    "parts": ("message_hash", "position", "type", "text", "payload"),
    "threads": ("id", "name"),
}
_MESSAGE_STORE = "m023_message_store"
_OLDEST_REQUIRED = {"id", "model", "prompt", "response"}  # tells llm's `logs` from a table of another program
ROLES = ("system", "user", "assistant", "tool")
PART_TYPES = ("text", "reasoning", "tool_call", "tool_result", "attachment")


class Shape:
    """The tables of a file with their columns, as far as the importer knows them."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        rows = database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
        self._found = {str(name): _get_columns(database, str(name)) for name, sql in rows if not _is_virtual(sql)}
        # a virtual table, such as an index for searching, keeps its data in tables whose names begin with its own
        derived = ("sqlite_", *(f"{name}_" for name, sql in rows if _is_virtual(sql)))
        self._others = [
            name for name in self._found if name not in (*_COLUMNS, *_WITHOUT_OUTPUTS) and not name.startswith(derived)
        ]
        if "logs" in self._found and not _OLDEST_REQUIRED.issubset(self._found["logs"]):
            self._others.append("logs")
        self.columns = {
            table: [name for name in columns if name in _COLUMNS[table]]
            for table, columns in self._found.items()
            if table in _COLUMNS and table not in self._others
        }

    def has(self, *tables: str) -> bool:
        """Return whether the file has all these tables."""
        return self.columns.keys() >= set(tables)

    def refuse_incomplete(self) -> None:
        """Raise Unreadable if the file has outputs of release 0.32 or later, but not all that they consist of."""
        if not self.has("turns") and not self.has("messages", "parts") and _MESSAGE_STORE not in self._migrations():
            return
        missing = [f"the table {table}" for table in _REQUIRED if table not in self.columns]
        missing += [
            f"the column {table}.{name}"
            for table, names in _REQUIRED.items()
            for name in names
            if table in self.columns and name not in self.columns[table]
        ]
        if missing:
            explained = f"It lacks {enumerate_names(missing)}, which llm 0.32 and later have."
            raise Unreadable(f"{explained}{self._describe_others()}")

    def find_unknown(self) -> list[str]:
        """Return the names of what the file has and the importer does not know. Empty tables and columns are left out.

        Unlike a table or a column, a migration counts even if nothing else is unknown: it may have changed the meaning
        of what is known.
        """
        unknown = [f"the migration {name}" for name in self._migrations() if name not in _MIGRATIONS]
        unknown += [f"the table {name}" for name in self._others if self._exists(f"FROM {_quote(name)}")]
        for table in self.columns:
            for name in self._found[table]:
                if name not in _COLUMNS[table] and self._exists(f"FROM {table} WHERE {_quote(name)} IS NOT NULL"):
                    unknown.append(f"the column {table}.{name}")
        if self.has("messages", "parts"):
            unknown += [f"the role {name}" for name in self._distinct("messages", "role") if name not in ROLES]
            unknown += [f"parts of type {name}" for name in self._distinct("parts", "type") if name not in PART_TYPES]
        return unknown

    def _describe_others(self) -> str:
        return f" This release does not know the tables {enumerate_names(self._others)}." if self._others else ""

    def _migrations(self) -> list[str]:
        if "name" not in self._found.get("_llm_migrations", ()):
            return []
        return self._distinct("_llm_migrations", "name")

    def _distinct(self, table: str, column: str) -> list[str]:
        rows = self._database.execute(f"SELECT DISTINCT {column} FROM {table} ORDER BY 1 LIMIT 1000")  # noqa: S608
        return [str(value) for (value,) in rows]

    def _exists(self, source: str) -> bool:
        return self._database.execute(f"SELECT 1 {source} LIMIT 1").fetchone() is not None


def _get_columns(database: sqlite3.Connection, table: str) -> list[str]:
    return [str(row[1]) for row in database.execute(f"PRAGMA table_info({_quote(table)})")]


def _is_virtual(sql: str | None) -> bool:
    return (sql or "").upper().startswith("CREATE VIRTUAL")


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
