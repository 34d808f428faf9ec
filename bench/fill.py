"""Contents of the kept databases: logs that SQL generates, and prompts that the service imports.

`bench.databases` fills kept databases again when this file changes.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, text

from bench.client import EMAIL, sign_up
from bench.databases import ROOT, SECRET, bin_path
from bench.servers import serve_ours
from bench.texts import Writer
from promptcrafter.workspaces.principal import personal_workspace_id

PROMPTS = 5  # the logs belong to them in turn
# Words that are not in the vocabulary, but have letters as common as its words; one in so many prompts contains each
RARE, MIDDLE, THIRD = "sedlintora", "hortanesim", "rinolateks"
_ONE_IN = {RARE: 10_000, MIDDLE: 50, THIRD: 3}
_OUTPUT_CHARACTERS, _CONTENT_CHARACTERS = 600, 580
_TEXT_CHARACTERS = 12_000
_COLUMNS = (
    "id, workspace_id, author_id, prompt_id, prompt_version, model_used, output, score, latency_ms, input_tokens, "
    "output_tokens, cost, mean_score, ratings, input_key, scored_at, created_at, updated_at"
)
# Each prompt has an output of each model for each input
_GENERATED = (
    "1, 'model-' || (n / 5 % 3), substr(:text, CAST(1 + n * 7919 % 11000 AS INTEGER), :length), n % 11, "
    "500 + n * 7919 % 3000, 20, 150, 0.001, n % 11, 1, n / 15"
)
_FILL_SQLITE = f"""
    INSERT INTO logs ({_COLUMNS})
    WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < :count),
    moments (n, moment) AS (SELECT n, strftime('%Y-%m-%dT%H:%M:%fZ', 1700000000 + n, 'unixepoch') FROM numbers)
    SELECT printf('log_%026d', n), :workspace, :owner, json_extract(:prompts, '$[' || (n % {PROMPTS}) || ']'),
    {_GENERATED}, moment, moment, moment FROM moments
"""
_FILL_POSTGRESQL = f"""
    INSERT INTO logs ({_COLUMNS})
    SELECT 'log_' || lpad(CAST(n AS text), 26, '0'), :workspace, :owner,
    CAST(:prompts AS json) ->> CAST(n % {PROMPTS} AS INTEGER), {_GENERATED},
    to_timestamp(1700000000 + n), to_timestamp(1700000000 + n), to_timestamp(1700000000 + n)
    FROM generate_series(CAST(0 AS BIGINT), :count - 1) AS n
"""
_FILL_SCORES = """
    INSERT INTO scores (id, workspace_id, author_id, log_seq, prompt_id, name, value_kind, number, annotator, rater,
    identifier, created_at, updated_at, valued_at)
    SELECT 'score' || substr(id, 4), workspace_id, author_id, seq, prompt_id, 'score', 'number', score, 'human',
    author_id, '', created_at, created_at, created_at FROM logs
"""


def fill_logs(url: str, folder: Path, count: int) -> None:
    """Fill a database with logs of five prompts in turn, one per second. They are not added to the word index."""
    with serve_ours(url, folder) as server:
        client = sign_up(server.port)
        prompts = [client.create_prompt(f"Prompt {number}") for number in range(PROMPTS)]
        owner = client.call("GET", f"/prompts/{prompts[0]}")["ownerId"]
    values = {
        "text": Writer(seed=4).write(_TEXT_CHARACTERS),
        "length": _OUTPUT_CHARACTERS,
        "count": count,
        "owner": owner,
        "workspace": personal_workspace_id(owner),
        "prompts": json.dumps(prompts),
    }
    with _connect(url) as connection:
        is_sqlite = connection.dialect.name == "sqlite"
        connection.execute(text(_FILL_SQLITE if is_sqlite else _FILL_POSTGRESQL), values)
        connection.execute(text(_FILL_SCORES))
    _settle(url)


def fill_prompts(url: str, folder: Path, count: int) -> None:
    """Fill a database with prompts by the command `flask import`."""
    with serve_ours(url, folder) as server:
        sign_up(server.port)
    file = folder / "prompts.ndjson"
    writer = Writer(seed=5)
    with file.open("w", encoding="utf-8") as lines:
        print(json.dumps({"type": "export", "format": "promptcrafter", "version": 1}), file=lines)
        for number in range(count):
            for line in _make_prompt(number, writer):
                print(json.dumps(line), file=lines)
        print(json.dumps({"type": "end"}), file=lines)
    environment = {**os.environ, "DATABASE_URL": url, "JWT_SECRET_KEY": SECRET}
    command = [bin_path("flask"), "--app", "wsgi", "import", str(file), "--user", EMAIL]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    file.unlink()
    _settle(url)


@contextmanager
def _connect(url: str) -> Iterator[Connection]:
    """Open a connection in autocommit mode."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def _settle(url: str) -> None:
    """Vacuum and analyse a PostgreSQL database, which autovacuum would do within minutes."""
    if not url.startswith("sqlite"):
        with _connect(url) as connection:
            connection.execute(text("VACUUM ANALYZE"))


def _make_prompt(number: int, writer: Writer) -> list[dict[str, Any]]:
    words = [word for word, one_in in _ONE_IN.items() if number % one_in == 0]
    moment = "2026-01-01T00:00:00.000Z"
    prompt = {"_id": f"prompt{number}", "slug": f"prompt-{number}", "title": writer.write(40), "tags": ["bench"]}
    content = " ".join([writer.write(_CONTENT_CHARACTERS), *words])
    version = {"promptId": f"prompt{number}", "version": 1, "content": content, "model": "gpt-4o", "labels": []}
    return [
        {"type": "prompt", **prompt, "createdAt": moment, "updatedAt": moment},
        {"type": "version", **version, "createdAt": moment},
    ]
