"""Many logs, inserted by SQL within seconds."""

from typing import Any

from sqlalchemy import Engine, create_engine, text

from promptcrafter.workspaces.principal import personal_workspace_id
from tests.support.databases import vacuum

_MILLISECONDS = 1_700_000_000_000  # the time of the first log; each next one is a millisecond younger
_ROWS = {
    "sqlite": "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < :count - 1)",
    "postgresql": "WITH n (i) AS (SELECT generate_series(0, :count - 1))",
}
_ID = {
    "sqlite": "'log_fill' || :mark || printf('%020d', i)",
    "postgresql": "'log_fill' || :mark || lpad(i::text, 20, '0')",
}
_TIME = {
    "sqlite": "strftime('%Y-%m-%dT%H:%M:%S', (:start + i) / 1000, 'unixepoch') "
    "|| printf('.%03dZ', (:start + i) % 1000)",
    "postgresql": "to_timestamp((:start + i) / 1000.0)",
}
_WORDS = {"sqlite": "'filled w' || i % 5000", "postgresql": "('filled w' || i % 5000)"}
_SEARCH = {
    "sqlite": """INSERT INTO log_search (docid, log_seq, words)
        SELECT ((:start + substr(id, 10) + 0) << 21) | (seq & 2097151), seq, output FROM logs WHERE id LIKE :ids""",
    "postgresql": """INSERT INTO log_search (log_seq, words)
        SELECT seq, array_to_tsvector(string_to_array(output, ' ')) FROM logs WHERE id LIKE :ids""",
}
_INDEX = """INSERT INTO log_words (rowid, words)
    SELECT docid, words FROM log_search JOIN logs ON logs.seq = log_search.log_seq WHERE id LIKE :ids"""


def engine_of(database_url: str) -> Engine:
    """Return an engine for a database, beside the application's."""
    return create_engine(database_url.replace("postgresql://", "postgresql+psycopg://"))


def add_logs(engine: Engine, author_id: str, count: int, mark: str = "0", **columns: Any) -> None:
    """Add logs to an account's own workspace, with ids of their own for each `mark`, a digit, and with these columns.

    With a prompt they have its version 1. All of them are found by the word `filled`.
    """
    dialect = engine.dialect.name
    columns = {"workspace_id": personal_workspace_id(author_id), "author_id": author_id, "model_used": "m", **columns}
    if "prompt_id" in columns:
        columns["prompt_version"] = 1
    values = {**columns, "count": count, "start": _MILLISECONDS, "mark": mark}
    names = ", ".join(columns)
    rows = ", ".join(f":{name}" for name in columns)
    insert = (
        f"INSERT INTO logs (id, output, created_at, updated_at, {names}) {_ROWS[dialect]} "
        f"SELECT {_ID[dialect]}, {_WORDS[dialect]}, {_TIME[dialect]}, {_TIME[dialect]}, {rows} FROM n"
    )
    ids = {"ids": f"log_fill{mark}%"}
    with engine.begin() as connection:
        connection.execute(text(insert), values)
        connection.execute(text(_SEARCH[dialect]), {"start": _MILLISECONDS, **ids} if dialect == "sqlite" else ids)
        if dialect == "sqlite":
            connection.execute(text(_INDEX), ids)
    if dialect == "postgresql":
        vacuum(engine, "logs", "log_search", "prompts")
