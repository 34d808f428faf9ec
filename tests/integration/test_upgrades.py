"""`flask db upgrade` of a later release while this one serves: nothing is written that the migration has not seen."""

import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from flask import Flask
from flask_migrate import downgrade, upgrade
from sqlalchemy import NullPool, create_engine

from config import Config
from promptcrafter.database import revisions
from tests.support.connection import Connection, create_prompt, sign_up
from tests.support.environment import ROOT, SECRET
from tests.support.servers import LiveServer

CLIENTS = 4
SECONDS = 1  # that the migration takes
LATER = f'''
"""A migration of a later release: slow, and it notes how many logs it has seen at its end."""

import time

from alembic import op

revision = "of_a_later_one"
down_revision = "{revisions.HEAD}"


def upgrade() -> None:
    op.execute("CREATE TABLE seen AS SELECT count(*) AS logs FROM logs")
    time.sleep({SECONDS})
    op.execute("UPDATE seen SET logs = (SELECT count(*) FROM logs)")


def downgrade() -> None:
    op.execute("DROP TABLE seen")
'''


def wait_for_more(answers: Counter[str]) -> None:
    """Wait until all clients have got answers to requests that they have sent since the call."""
    enough, deadline = answers.total() + 3 * CLIENTS, time.monotonic() + 60
    while answers.total() < enough:
        assert time.monotonic() < deadline, answers
        time.sleep(0.01)


class Writers:
    """Clients that log one output after another, and note the status and the code of each answer."""

    def __init__(self, server: LiveServer) -> None:
        self._server, self._token = server, sign_up(server)
        self._log = {"promptId": create_prompt(Connection(server, self._token)), "output": "o", "modelUsed": "m"}
        self.stored = 0

    @contextmanager
    def writing(self) -> Iterator[Counter[str]]:
        """Let them write during the block; count the answers."""
        answers: Counter[str] = Counter()
        ended = threading.Event()

        def write() -> None:
            connection = Connection(self._server, self._token)
            while not ended.is_set():
                answers[self.post(connection)] += 1

        threads = [threading.Thread(target=write) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            wait_for_more(answers)
            yield answers
            wait_for_more(answers)
        finally:
            ended.set()
            for thread in threads:
                thread.join()
            self.stored += answers["201"]

    def post(self, connection: Connection) -> str:
        """Log an output; return the status and, of an error, the code."""
        answer = connection.call("POST", "/logs", self._log)
        time.sleep(0.02)
        return f"{answer.status} {answer.json['code']}" if answer.status >= 400 else str(answer.status)


def test_writes_of_this_release_wait_for_a_migration_of_a_later_one_and_then_stop_or_go_on_as_it_declares(
    engine_name: str,
    empty_database_url: str,
    start_server: Callable[..., LiveServer],
    make_app: Callable[[Config], Flask],
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path}/live.db" if engine_name == "sqlite" else empty_database_url
    server = start_server("" if engine_name == "sqlite" else url.replace("+psycopg", ""), DATABASE_TIMEOUT_MS="30000")
    engine = create_engine(url, poolclass=NullPool)
    app = make_app(Config(database_url=url, jwt_secret_key=SECRET))
    folder = tmp_path / "migrations"
    shutil.copytree(ROOT / "migrations", folder, ignore=shutil.ignore_patterns("__pycache__"))
    later = folder / "versions" / "later.py"

    def migrate(command: Callable[..., None]) -> None:
        with app.app_context():
            command(directory=str(folder))

    def count(table: str) -> int:
        with engine.connect() as connection:
            query = "SELECT logs FROM seen" if table == "seen" else "SELECT count(*) FROM logs"
            return int(connection.exec_driver_sql(query).scalar_one())

    later.write_text(LATER, "utf-8")
    writers = Writers(server)
    with writers.writing() as answers:
        migrate(upgrade)
        migrated_at = count("logs")
    assert set(answers) == {"201", "503 database_too_new"}, answers
    assert answers["201"] >= CLIENTS, "they wrote before it"
    assert count("seen") == migrated_at == count("logs") == writers.stored
    assert Connection(server).call("GET", "/readyz").json["code"] == "database_too_new"

    migrate(downgrade)
    assert Connection(server).call("GET", "/readyz").status == 200
    later.write_text(f"{LATER}\n\nprevious_release_may_write = True\n", "utf-8")
    with writers.writing() as answers:
        migrate(upgrade)
        seen = count("seen")
    assert set(answers) == {"201"}, answers
    assert seen < count("logs") == writers.stored
    assert Connection(server).call("GET", "/readyz").status == 200
    assert server.process.poll() is None
