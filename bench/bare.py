"""The raw ceiling: a minimal application with the libraries that the service uses, served by Gunicorn.

Flask, json and PyJWT over sqlite3 or psycopg: it verifies a token, parses JSON, executes a statement and writes JSON.
It has no validation, ownership, search index, token counts or ORM. It writes to its own table, which has no index, and
reads the service's tables.
"""

import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import jwt
import psycopg
from flask import Flask, Response, request

_URL = os.environ["DATABASE_URL"]
_SECRET = os.environ["JWT_SECRET_KEY"]
_IS_SQLITE = _URL.startswith("sqlite")
_ROWS_AT_ONCE = 100
_CREATE_TABLE = (
    "CREATE TABLE IF NOT EXISTS bare_logs "
    "(prompt_id TEXT, owner_id TEXT, output TEXT, model_used TEXT, score FLOAT, created_at TEXT)"
)
_INSERT = "INSERT INTO bare_logs VALUES (?, ?, ?, ?, ?, ?)"
_INSERTED = ("promptId", "ownerId", "output", "modelUsed", "score", "createdAt")
_COLUMNS = (
    "id, prompt_id, prompt_version, output, notes, model_used, score, latency_ms, input_tokens, output_tokens, cost, "
    "created_at, updated_at"
)
_NAMES = _COLUMNS.split(", ")
_PAGE = f"SELECT {_COLUMNS} FROM logs WHERE prompt_id = ? ORDER BY created_at DESC, seq DESC LIMIT ?"
_WORKSPACE = "SELECT workspace_id FROM members WHERE user_id = ?"  # of the measurements: there is one
_ALL = f"SELECT {_COLUMNS} FROM logs WHERE workspace_id = ({_WORKSPACE}) ORDER BY created_at DESC, seq DESC"
_PROMPT_COLUMNS = (
    "id, author_id, slug, title, content, model, version, created_at, updated_at, workspace_id, description, messages, "
    "config"
)
_PROMPT_NAMES = _PROMPT_COLUMNS.split(", ")
_PROMPT = f"SELECT {_PROMPT_COLUMNS} FROM prompts WHERE slug = ?"
_local = threading.local()
app = Flask(__name__)


def prepare() -> None:
    """Create the table that is written to. Gunicorn calls this before it starts workers."""
    connection = _connect()
    connection.execute(_CREATE_TABLE)
    connection.close()


@app.get("/healthz")
def check_health() -> str:
    """Return 200 when the server is up."""
    return "ok"


@app.post("/logs")
def create_log() -> tuple[Response, int]:
    """Insert one log, and commit before the response."""
    row = _row(_user_id(), json.loads(request.get_data()))
    _database().execute(_sql(_INSERT), row)
    return _answer(dict(zip(_INSERTED, row, strict=True))), 201


@app.post("/logs/batch")
def create_logs() -> Response:
    """Insert many logs in one transaction."""
    user_id = _user_id()
    rows = [_row(user_id, log) for log in json.loads(request.get_data())["logs"]]
    if _IS_SQLITE:
        _database().execute("BEGIN IMMEDIATE")
        _database().executemany(_INSERT, rows)
        _database().execute("COMMIT")
    else:
        with _database().transaction(), _database().cursor() as cursor:
            cursor.executemany(_sql(_INSERT), rows)
    return _answer({"results": [{"status": 201} for _ in rows]})


@app.get("/logs")
def list_logs() -> Response:
    """Return a page of a prompt's logs, or stream all logs of the caller."""
    user_id = _user_id()
    if "promptId" in request.args:
        rows = _database().execute(_sql(_PAGE), (request.args["promptId"], int(request.args["per_page"])))
        return _answer([dict(zip(_NAMES, row, strict=True)) for row in rows])
    return Response(_stream(user_id), mimetype="application/json")


@app.get("/prompts/by-slug/<path:slug>")
def get_prompt(slug: str) -> Response:
    """Return a prompt."""
    _user_id()
    row = _database().execute(_sql(_PROMPT), (slug,)).fetchone()
    return _answer(dict(zip(_PROMPT_NAMES, row, strict=True)))


def _stream(user_id: str) -> Iterator[str]:
    separator = "["
    with _database().transaction() if not _IS_SQLITE else _database():
        cursor = _database().cursor() if _IS_SQLITE else _database().cursor("stream")
        cursor.execute(_sql(_ALL), (user_id,))
        while rows := cursor.fetchmany(_ROWS_AT_ONCE):
            yield separator + ",".join(_write(dict(zip(_NAMES, row, strict=True))) for row in rows)
            separator = ","
    yield "]"


def _user_id() -> str:
    token = request.headers["Authorization"].removeprefix("Bearer ")
    user_id: str = jwt.decode(token, _SECRET, ["HS256"])["sub"]
    return user_id


def _row(user_id: str, log: dict[str, Any]) -> tuple[Any, ...]:
    now = datetime.now(UTC).isoformat()
    return log["promptId"], user_id, log["output"], log["modelUsed"], log["score"], now


def _answer(value: Any) -> Response:
    return Response(_write(value), mimetype="application/json")


def _write(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def _sql(statement: str) -> str:
    return statement if _IS_SQLITE else statement.replace("?", "%s")


def _database() -> Any:
    """Return the connection of this thread, which is in autocommit mode."""
    if not hasattr(_local, "connection"):
        _local.connection = _connect()
    return _local.connection


def _connect() -> Any:
    if not _IS_SQLITE:
        return psycopg.connect(_URL, autocommit=True)
    connection = sqlite3.connect(_URL.removeprefix("sqlite:///"), timeout=30, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    return connection
