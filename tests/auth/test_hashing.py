"""How many requests may hash a password at the same time, and what the others get."""

import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event, Semaphore, get_native_id
from typing import Any

import pytest
from argon2 import PasswordHasher

from promptcrafter.auth import hashing
from tests.support.people import Answer, Caller, Person, sign_up

PLACES = 2  # of a worker with four threads


class Hashes:
    """Hashes of passwords that take as long as the test wants."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._go_on, self._begun = Event(), Semaphore(0)
        self.running = self.most_running = self.made = 0
        self.niceness: list[int] = []
        self._has_slot = Semaphore(0)
        verify, hash_password, run = PasswordHasher.verify, PasswordHasher.hash, hashing.run
        monkeypatch.setattr(PasswordHasher, "verify", lambda *args: self._wait(verify, *args))
        monkeypatch.setattr(PasswordHasher, "hash", lambda *args: self._wait(hash_password, *args))

        def watch_run(*args: Any) -> Any:
            self._has_slot.release()
            return run(*args)

        monkeypatch.setattr(hashing, "run", watch_run)

    def _wait(self, work: Callable[..., Any], *args: Any) -> Any:
        self.running += 1
        self.made += 1
        self.most_running = max(self.most_running, self.running)
        self.niceness.append(os.getpriority(os.PRIO_PROCESS, get_native_id()))
        self._begun.release()
        assert self._go_on.wait(10)
        self.running -= 1
        return work(*args)

    def wait_until_all_slots_are_taken(self) -> None:
        for _ in range(PLACES):
            assert self._has_slot.acquire(timeout=10)
        assert self._begun.acquire(timeout=10)

    def finish(self) -> None:
        self._go_on.set()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Threads for requests that wait."""
    with ThreadPoolExecutor(PLACES) as pool:
        yield pool


def credentials(email: str, password: str = "a wrong password") -> dict[str, str]:
    return {"email": email, "password": password}


def assert_busy(answer: Answer) -> None:
    assert (answer.status_code, answer.json["code"]) == (503, "passwords_busy")
    assert answer.json["message"] == "The server is busy with other passwords. Try again."
    assert answer.headers["Retry-After"] == "1"


def occupy(client: Caller, pool: ThreadPoolExecutor, hashes: Hashes) -> list[Future[Answer]]:
    """Send as many log-ins as there are slots; return when one of them hashes and the others wait."""
    application = client.client.application

    def log_in(number: int) -> Answer:
        return Caller(application.test_client()).post("/auth/login", credentials(f"{number}@example.com"))

    sent = [pool.submit(log_in, number) for number in range(PLACES)]
    hashes.wait_until_all_slots_are_taken()
    return sent


def test_whatever_hashes_is_503_while_the_slots_are_taken_and_all_else_is_answered(
    client: Caller, ada: Person, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = Hashes(monkeypatch)
    sent = occupy(client, pool, hashes)
    try:
        new = {"name": "Eve", "email": "eve@example.com", "password": "the password of eve"}
        change = {"currentPassword": ada.password, "newPassword": "another password"}
        for email in (ada.email, "nobody@example.com"):
            assert_busy(client.post("/auth/login", credentials(email)))
        assert_busy(client.post("/auth/signup", new))
        assert_busy(ada.post("/auth/password", change))
        assert hashes.made == 1, "neither a refused request nor one that waits has hashed"
        assert client.post("/auth/login", {}).status_code == 400, "the fields are checked first"
        assert ada.get("/auth/me").status_code == 200
        assert ada.get("/prompts").status_code == 200
    finally:
        hashes.finish()
    assert [future.result().status_code for future in sent] == [401] * PLACES
    assert hashes.most_running == 1, "one after the other"
    assert client.post("/auth/signup", new).status_code == 201
    assert ada.post("/auth/password", change).status_code == 204


def test_a_refused_log_in_is_no_wrong_password(
    with_settings: Callable[..., Caller], pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = with_settings(ratelimit_enabled=True, login_failure_rate="1 per hour", login_rate="1000 per hour")
    person = sign_up(client, "ada")
    hashes = Hashes(monkeypatch)
    sent = occupy(client, pool, hashes)
    try:
        for _ in range(3):
            assert_busy(client.post("/auth/login", credentials(person.email)))
    finally:
        hashes.finish()
    assert [future.result().status_code for future in sent] == [401] * PLACES
    assert client.post("/auth/login", credentials(person.email, person.password)).status_code == 200


def test_a_throttled_log_in_takes_no_slot_and_hashes_nothing(
    with_settings: Callable[..., Caller], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = with_settings(ratelimit_enabled=True, login_rate="2 per hour")
    hashes = Hashes(monkeypatch)
    hashes.finish()
    answers = [client.post("/auth/login", credentials("ada@example.com")) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [401, 401, 429, 429]
    assert hashes.made == 2


def test_a_slot_is_free_again_after_an_error(client: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> bool:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(PasswordHasher, "verify", fail)
        for _ in range(PLACES + 1):
            assert client.post("/auth/login", credentials("ada@example.com")).status_code == 500
    assert client.post("/auth/login", credentials("ada@example.com")).status_code == 401


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has priorities of threads")
def test_passwords_are_hashed_at_a_lower_priority(client: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = Hashes(monkeypatch)
    hashes.finish()
    assert client.post("/auth/login", credentials("ada@example.com")).status_code == 401
    here = os.getpriority(os.PRIO_PROCESS, get_native_id())
    assert [niceness > here for niceness in hashes.niceness] == [True]
