"""PostgreSQL that does not answer: no request waits for it longer than DATABASE_TIMEOUT_MS and a second."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from config import Config
from promptcrafter.database import postgresql
from promptcrafter.database.session import get_engine, open_postgresql
from tests.support.errors import assert_error
from tests.support.people import Answer, Caller, Person
from tests.support.tcp_proxy import TcpProxy, proxied_postgresql

TIMEOUT_S = 1.0  # in which a busy machine opens a connection
MANY = 10_000
pytestmark = pytest.mark.parametrize("engine_name", ["postgresql"])


@pytest.fixture
def proxy(postgresql: Any, database_url: str) -> Iterator[TcpProxy]:
    """A proxy in front of the test's database."""
    with proxied_postgresql(postgresql) as proxy:
        yield proxy


@pytest.fixture
def service(proxy: TcpProxy, make_app: Callable[[Config], Flask], config: Config) -> Flask:
    """An application whose database is behind the proxy."""
    return make_app(
        replace(config, database_url=proxy.url, database_timeout_ms=round(TIMEOUT_S * 1000), token_counting=False)
    )


@contextmanager
def within_the_timeout(waits: int = 1) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < waits * TIMEOUT_S + 1


def wait_until_answered(caller: Caller, path: str = "/readyz") -> None:
    """Call the service until the database answers it, which it may do late on a busy machine."""
    deadline = time.monotonic() + 10
    while caller.get(path).status_code != 200:
        assert time.monotonic() < deadline, "it does not answer"


def person(app: Flask, known: Person) -> Person:
    """Return a client of another application with the account's token."""
    return Person(Caller(app.test_client()), known.id, known.token, known.email, known.password)


def test_no_call_waits_longer_for_a_silent_server_and_health_checks_do_not_wait(
    service: Flask, proxy: TcpProxy, ada: Person, caplog: pytest.LogCaptureFixture
) -> None:
    caller = person(service, ada)
    prompt = ada.prompt()
    calls: list[tuple[str, str, Any]] = [
        ("POST", "/logs", {"promptId": prompt["_id"], "output": "o", "modelUsed": "m"}),
        ("POST", "/prompts", {"title": "A title", "content": "c", "model": "m"}),
        ("POST", "/auth/login", {"email": ada.email, "password": ada.password}),
        *(("GET", path, None) for path in ("/logs", "/prompts", "/export", "/readyz", "/search?q=title", "/auth/me")),
    ]

    def call(method: str, path: str, body: Any) -> Any:
        with within_the_timeout():
            return person(service, ada).open(path, method=method, json=body)

    wait_until_answered(caller, "/prompts")
    proxy.is_silent = True
    with ThreadPoolExecutor(len(calls)) as threads:
        answers = [threads.submit(call, *arguments) for arguments in calls]
        with within_the_timeout():
            assert caller.get("/healthz").status_code == 200
        for answer in answers:
            assert_error(answer.result(), 503, "database_unavailable")
    started = time.monotonic()
    assert_error(caller.get("/prompts"), 503, "database_unavailable")
    assert time.monotonic() - started < TIMEOUT_S, "the next ones are refused earlier, so that they occupy no threads"
    assert "the server does not answer" in caplog.text
    proxy.is_silent = False
    wait_until_answered(caller, "/prompts")


def test_whichever_answer_is_lost_a_log_is_503_in_time_and_stored_once_by_its_repetition(
    service: Flask, proxy: TcpProxy, ada: Person
) -> None:
    caller = person(service, ada)
    prompt = ada.prompt()

    def log(name: object, answers: int) -> tuple[Answer, int]:
        """Log an output while what the database says after `answers` is lost; return how many there were, too."""
        body = {"promptId": prompt["_id"], "output": f"output {name}", "modelUsed": "m"}
        wait_until_answered(caller)
        proxy.answers_until_silence = answers
        with within_the_timeout():
            answer = caller.post("/logs", body, headers={"Idempotency-Key": f"key-{name}"})
        count = answers - proxy.answers_until_silence
        proxy.answers_until_silence, proxy.is_silent = None, False
        return answer, count

    created, count = log("first", MANY)
    assert created.status_code == 201
    lost = sorted({*range(0, count, 3), count - 2, count - 1})  # from the test of the connection to the commit
    assert len(lost) > 4
    for number in lost:
        refused, _ = log(number, number)
        assert refused.status_code in (201, 503), refused.text  # the answer to the last rollback is not needed
        if refused.status_code == 503:
            assert log(number, MANY)[0].status_code == 201, number
    outputs = sorted(log["output"] for log in ada.get("/logs").json)
    assert outputs == sorted(f"output {name}" for name in ("first", *lost))


def test_a_locked_table_is_503_in_time_and_calls_that_do_not_need_it_go_on(
    service: Flask, ada: Person, database_url: str
) -> None:
    caller = person(service, ada)
    prompt = ada.prompt()
    with psycopg.connect(database_url.replace("+psycopg", "")) as other:
        other.execute("LOCK TABLE logs, traces")
        for path, body in (
            ("/logs", {"promptId": prompt["_id"], "output": "o", "modelUsed": "m"}),
            ("/monitor/log", {"slug": "s", "output": "o"}),
        ):
            with within_the_timeout():
                assert_error(caller.post(path, body), 503, "database_unavailable")
        with within_the_timeout():
            assert_error(caller.get("/logs"), 503, "database_unavailable")
        wait_until_answered(caller, "/prompts")
    wait_until_answered(caller, "/logs")


def test_a_statement_that_the_server_executes_may_take_longer(service: Flask) -> None:
    with service.test_request_context(), get_engine().connect() as connection:
        service.preprocess_request()
        assert connection.execute(text("SELECT 1 FROM pg_sleep(:seconds)"), {"seconds": 2.5 * TIMEOUT_S}).scalar() == 1


def test_a_command_waits_for_a_working_server_and_not_for_a_silent_one(proxy: TcpProxy) -> None:
    with open_postgresql(proxy.url, round(TIMEOUT_S * 1000)) as engine, engine.connect() as connection:
        assert connection.execute(text("SELECT 1 FROM pg_sleep(:seconds)"), {"seconds": 2.5 * TIMEOUT_S}).scalar() == 1
        proxy.is_silent = True
        with within_the_timeout(waits=2), pytest.raises(OperationalError):  # the second one for the question
            connection.execute(text("SELECT 1"))


def test_a_command_on_a_busy_machine_has_longer_to_learn_that_the_server_works(
    service: Flask, proxy: TcpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with service.test_request_context():
        service.preprocess_request()
    postgresql.leave_request()
    monkeypatch.setattr(postgresql, "_PROBE_S", 0)  # so that any delay is too long for a request
    with open_postgresql(proxy.url, 1_500) as engine, engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        proxy.delay_s = 0.15
        assert connection.execute(text("SELECT 1 FROM pg_sleep(2.5)")).scalar() == 1


def test_an_answer_that_arrives_while_the_server_is_asked_is_read(service: Flask, proxy: TcpProxy) -> None:
    with service.test_request_context(), get_engine().connect() as connection:
        service.preprocess_request()
        connection.execute(text("SELECT 1"))
        proxy.is_slow = True
        assert connection.execute(text("SELECT 'late'")).scalar() == "late"
        assert not proxy.is_slow
