"""The load generator measures servers that close each connection, and counts their errors."""

import sqlite3
from contextlib import closing
from pathlib import Path

import jwt

from bench.client import Client
from bench.databases import SECRET
from bench.load import put_under_load, request
from bench.servers import serve_bare
from bench.write import make_requests
from tests.support.connection import Connection, sign_up
from tests.support.servers import LiveServer


def test_the_raw_ceiling_stores_every_log_that_it_acknowledges(tmp_path: Path) -> None:
    with serve_bare(f"sqlite:///{tmp_path}/bare.db", tmp_path) as server:
        requests = make_requests("prompt_1", jwt.encode({"sub": "user_1"}, SECRET, "HS256"))
        load = put_under_load(server.port, requests, connections=4, seconds=0.3)
    with closing(sqlite3.connect(tmp_path / "bare.db")) as database:
        (kept,) = database.execute("SELECT count(*) FROM bare_logs").fetchone()
    assert load.errors == 0
    assert 0 < len(load.latencies_ms) <= load.sent == kept


def test_the_raw_ceiling_reads_what_the_service_stores(live_server: LiveServer, tmp_path: Path) -> None:
    token = sign_up(live_server)
    owner = Connection(live_server, token)
    prompt = owner.call("POST", "/prompts", {"title": "Reply", "slug": "reply", "content": "c", "model": "m"}).json
    owner.call("POST", "/logs", {"promptId": prompt["_id"], "output": "Rain.", "modelUsed": "m"})
    path = live_server.environment["DATABASE_URL"].removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as database, closing(sqlite3.connect(tmp_path / "bare.db")) as copy:
        database.backup(copy)  # the ceiling adds a table
    with serve_bare(f"sqlite:///{tmp_path}/bare.db", tmp_path) as server:
        user_id = jwt.decode(token, options={"verify_signature": False})["sub"]
        raw = Client(server.port, jwt.encode({"sub": user_id}, SECRET, "HS256"))
        page = raw.call("GET", f"/logs?promptId={prompt['_id']}&per_page=100")
        streamed = raw.call("GET", "/logs")
        fetched = raw.call("GET", "/prompts/by-slug/reply")
    assert [row["output"] for row in page] == ["Rain."]
    assert streamed == page
    assert fetched["title"] == "Reply"


def test_refused_requests_count_as_errors(live_server: LiveServer) -> None:
    port = int(live_server.url.rpartition(":")[2])
    load = put_under_load(port, [request("POST", "/logs", "no token", b"{}")], connections=2, seconds=0.1)
    assert load.errors > 0
    assert load.latencies_ms == []


def test_answers_that_nothing_has_changed_are_counted(live_server: LiveServer) -> None:
    token = sign_up(live_server)
    owner = Connection(live_server, token)
    owner.call("POST", "/prompts", {"title": "Reply", "slug": "support/reply", "content": "c", "model": "m"})
    path = "/prompts/by-slug/support/reply"
    tag = owner.call("GET", path).headers["ETag"]
    port = int(live_server.url.rpartition(":")[2])
    load = put_under_load(port, [request("GET", path, token, if_none_match=tag)], connections=2, seconds=0.1)
    assert load.errors == 0
    assert load.latencies_ms
