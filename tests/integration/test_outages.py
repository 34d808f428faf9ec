"""PostgreSQL goes away under load: restarted, and lost for good with a standby in its place.

The service is not restarted meanwhile. Clients follow docs/api: they send again under the same
Idempotency-Key until the answer is a 201.
"""

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from flask import Flask

from config import Config
from tests.integration.postgresql import PostgreSQL
from tests.support.connection import Connection, create_prompt, sign_up
from tests.support.databases import DELETE_ALL
from tests.support.environment import SECRET
from tests.support.people import Caller
from tests.support.servers import LiveServer

CLIENTS = 6
Copy = Callable[..., PostgreSQL]


@pytest.fixture
def copy(postgresql: Any, migrated_postgresql_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copy]:
    """A factory of servers that begin as a copy of another one, without accounts."""
    copies: list[PostgreSQL] = []
    with psycopg.connect(migrated_postgresql_url.replace("+psycopg", ""), autocommit=True) as connection:
        for statement in DELETE_ALL:
            connection.execute(statement)

    def make(*options: str, of: PostgreSQL | None = None) -> PostgreSQL:
        folder = tmp_path_factory.mktemp("copy")
        if postgresql.system_user:
            shutil.chown(folder, postgresql.system_user)
        copies.append(PostgreSQL(folder, postgresql, of.uri if of else postgresql.get_uri("postgres"), *options))
        return copies[-1]

    yield make
    for server in copies:
        if server.is_running:
            server.kill()
        shutil.rmtree(server.data)


class Load:
    """Clients who log one output after another, each until it is acknowledged."""

    def __init__(self, server: LiveServer, token: str) -> None:
        self.acknowledged: dict[str, str] = {}  # the ids by outputs
        self.refused: list[tuple[int, str, str | None]] = []  # status, code, Retry-After
        self.replayed = 0
        self._ended = threading.Event()
        self._prompt_id = create_prompt(Connection(server, token))
        self._threads = [
            threading.Thread(target=self._log, args=(Connection(server, token), client)) for client in range(CLIENTS)
        ]

    def _log(self, connection: Connection, client: int) -> None:
        number = 0
        while not self._ended.is_set():
            output = f"{client}-{number}"
            body = {"promptId": self._prompt_id, "output": output, "modelUsed": "m"}
            answer = connection.call("POST", "/logs", body, Idempotency_Key=output)
            if answer.status == 201:
                self.acknowledged[output] = answer.json["_id"]
                self.replayed += "Idempotency-Replayed" in answer.headers
                number += 1
            else:
                self.refused.append((answer.status, answer.json["code"], answer.headers.get("Retry-After")))
            self._ended.wait(0.05)  # leave the processors to the databases, which start meanwhile

    @contextmanager
    def running(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._ended.set()
            for thread in self._threads:
                thread.join(timeout=60)

    def has_more(self, seen: list[Any] | dict[str, Any], more: int) -> None:
        """Wait until this many more logs are acknowledged, or refused."""
        until = len(seen) + more
        wait_for(lambda: len(seen) >= until)


def wait_for(come: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not come():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


def stranger_to(make_app: Callable[[Config], Flask], uri: str) -> Caller:
    """Return an anonymous client of a service on that database only."""
    url = uri.replace("postgresql://", "postgresql+psycopg://")
    return Caller(make_app(Config(database_url=url, jwt_secret_key=SECRET, ratelimit_enabled=False)).test_client())


def assert_nothing_lost_and_nothing_twice(load: Load, server: LiveServer, token: str) -> None:
    kept = Connection(server, token).call("GET", "/logs").json
    assert len(kept) == len(load.acknowledged)
    assert {log["output"]: log["_id"] for log in kept} == load.acknowledged
    assert set(load.refused) == {(503, "database_unavailable", "1")}


def test_a_restart_of_postgresql_is_503_for_a_while_and_nothing_is_lost_or_duplicated(
    copy: Copy, start_server: Callable[..., LiveServer]
) -> None:
    database = copy()
    database.start()
    server = start_server(database.uri, migrate=False)
    token = sign_up(server)
    load = Load(server, token)
    with load.running():
        load.has_more(load.acknowledged, 50)
        database.kill()
        load.has_more(load.refused, CLIENTS)
        probe = Connection(server)
        assert [probe.call("GET", path).status for path in ("/healthz", "/readyz")] == [200, 503]
        database.start()
        load.has_more(load.acknowledged, 50)
    assert_nothing_lost_and_nothing_twice(load, server, token)


def lose_after_commit(primary: PostgreSQL, standby: PostgreSQL) -> None:
    """Kill the primary while it waits for its standby, which has received commits that no client knows of yet."""
    with psycopg.connect(standby.uri) as connection:
        ((receiver,),) = connection.execute("SELECT pid FROM pg_stat_wal_receiver").fetchall()
    with psycopg.connect(primary.uri, autocommit=True) as connection:
        waiting = "SELECT count(*) > 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        sent = "SELECT sync_state = 'sync' AND sent_lsn >= pg_current_wal_flush_lsn() FROM pg_stat_replication"
        os.kill(receiver, signal.SIGSTOP)
        wait_for(lambda: connection.execute(f"SELECT ({waiting}) AND ({sent})".encode()).fetchone() == (True,))
    primary.kill()
    os.kill(receiver, signal.SIGCONT)


def test_a_promoted_standby_takes_over_and_nothing_is_lost_or_duplicated(
    copy: Copy, start_server: Callable[..., LiveServer], make_app: Callable[[Config], Flask]
) -> None:
    primary = copy()
    primary.start("-c synchronous_standby_names=*")
    standby = copy("--write-recovery-conf", of=primary)
    standby.start()
    hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
    server = start_server(f"postgresql://postgres@{hosts}/tests", migrate=False)
    by_mistake = stranger_to(make_app, standby.uri)
    token = sign_up(server)
    load = Load(server, token)
    with load.running():
        load.has_more(load.acknowledged, 50)
        lose_after_commit(primary, standby)
        load.has_more(load.refused, CLIENTS)
        asked = by_mistake.post("/auth/login", {"email": "ada@example.com", "password": "the password of ada"})
        assert asked.status_code == 200, "a standby can be read"
        refused = by_mistake.post("/auth/signup", {"name": "Ben", "email": "ben@example.com", "password": "x" * 10})
        assert (refused.status_code, refused.json["code"]) == (503, "database_unavailable")
        assert refused.headers["Retry-After"] == "1"
        standby.promote()
        load.has_more(load.acknowledged, 50)
    assert_nothing_lost_and_nothing_twice(load, server, token)
    assert load.replayed, "what was stored without being acknowledged was answered from what was kept"
