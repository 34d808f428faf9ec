"""`POST /logs/batch` with 1,000 logs per request by four clients, including the search index and token counts."""

import json
import secrets
from pathlib import Path
from typing import Any

from bench.client import Client, sign_up
from bench.databases import POSTGRESQL, SQLITE, Databases
from bench.load import put_under_load, request
from bench.servers import serve_both
from bench.table import Figure, Goal
from bench.texts import Writer

ROWS = 1000
_BODIES = 6
_CLIENTS = 4
_SECONDS, _RAW_SECONDS = 3.0, 1.0
_GOALS = {SQLITE: Goal("≥", 10_000), POSTGRESQL: Goal("≥", 8_000)}


def measure(engine: str, databases: Databases, folder: Path, rounds: int) -> list[Figure]:
    """Return the throughput in rows per second.

    Raises RuntimeError if a batch is refused, or if its rows cannot be found immediately or lack token counts.
    """
    ours: list[float] = []
    raw: list[float] = []
    with serve_both(databases.make(engine, "batch"), folder) as pair:
        client = sign_up(pair.ours.port)
        prompt_id = client.create_prompt("Batch")
        writer = Writer(seed=3)
        bodies = [json.dumps(_make_batch(prompt_id, writer)).encode() for _ in range(_BODIES)]
        requests = [request("POST", "/logs/batch", client.token, body) for body in bodies]
        for _ in range(rounds):
            for server, rates, seconds in ((pair.ours, ours, _SECONDS), (pair.raw, raw, _RAW_SECONDS)):
                load = put_under_load(server.port, requests, _CLIENTS, seconds)
                if load.errors:
                    raise RuntimeError(f"{load.errors} batches were refused")
                rates.append(load.per_second * ROWS)
            _check_findable(client, prompt_id, writer)
    name = f"`POST /logs/batch` of {ROWS:,}, {_CLIENTS} clients"
    return [Figure(name, engine, "rows/s", ours, raw, _GOALS[engine])]


def _make_batch(prompt_id: str, writer: Writer, first_word: str = "") -> dict[str, Any]:
    outputs = (f"{first_word} {writer.write(600)}".strip() for _ in range(ROWS))
    return {"logs": [{"promptId": prompt_id, "output": text, "modelUsed": "gpt-4o", "score": 7} for text in outputs]}


def _check_findable(client: Client, prompt_id: str, writer: Writer) -> None:
    """Send a batch whose logs have a unique word, and check that the next request finds all of them by it."""
    word = f"needle{secrets.token_hex(8)}"
    client.call("POST", "/logs/batch", _make_batch(prompt_id, writer, word))
    logs = client.call("GET", f"/logs?promptId={prompt_id}&q={word}&per_page={ROWS}")
    if len(logs) != ROWS or not all(log["outputTokens"] for log in logs):
        raise RuntimeError(f"{len(logs)} of {ROWS} rows were found")
