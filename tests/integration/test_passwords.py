"""Log-ins on a real server with two workers: what they may take from everybody else, and from the owner."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from tests.support.connection import Answer, Connection, sign_up
from tests.support.servers import LiveServer


@pytest.fixture(scope="module")
def engine_name() -> str:
    """The database of these tests; log-ins use no other part of it than reads."""
    return "sqlite"


@pytest.fixture
def server(start_server: Callable[..., LiveServer]) -> LiveServer:
    """A server behind a proxy, which names the addresses of clients."""
    return start_server(
        RATELIMIT_ENABLED="on", LOGIN_RATE="1000 per minute", LOGIN_FAILURE_RATE="6 per hour", TRUSTED_PROXIES="1"
    )


def log_in(server: LiveServer, password: str, address: str, email: str = "ada@example.com") -> Answer:
    body = {"email": email, "password": password}
    return Connection(server).call("POST", "/auth/login", body, X_Forwarded_For=address)


def test_workers_count_together_and_share_their_time(server: LiveServer) -> None:
    token = sign_up(server)
    wrong = [log_in(server, "wrong", f"2001:db8::{n}").status for n in range(10)]
    assert wrong == [401] * 6 + [429] * 4, "however the connections are spread over the workers"
    assert log_in(server, "the password of ada", "2001:db8::99").status == 429
    assert log_in(server, "the password of ada", "192.0.2.1").status == 200, "the owner gets in"

    over, seen = Event(), list[int]()

    def read() -> None:
        connection = Connection(server, token)
        while not over.is_set():
            seen.append(connection.call("GET", "/prompts").status)

    def guess(number: int) -> Answer:
        return log_in(server, "wrong", f"198.51.100.{number}", f"{number}@example.com")

    with ThreadPoolExecutor(18) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        answers = list(pool.map(guess, range(24)))
        over.set()
        for reader in readers:
            reader.result()
    statuses = Counter(answer.status for answer in answers)
    assert set(statuses) == {401, 503}, statuses
    refused = [answer for answer in answers if answer.status == 503]
    assert {(answer.json["code"], answer.headers["Retry-After"]) for answer in refused} == {("passwords_busy", "1")}
    assert set(seen) == {200}
    assert log_in(server, "the password of ada", "192.0.2.1").status == 200
    assert "Traceback" not in server.log
