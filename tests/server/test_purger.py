"""The thread that removes what was deleted: it is replaced when it has ended."""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import pytest
from flask import Flask

from config import Config
from promptcrafter.database import deletions
from promptcrafter.database.session import get_engine
from promptcrafter.maintenance import purge
from promptcrafter.server import purger
from tests.support.many_logs import add_logs
from tests.support.people import Caller, sign_up

WAIT_S = 30


def test_the_next_deletion_replaces_a_thread_that_a_bug_has_ended(
    make_app: Callable[[Config], Flask], config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app(config)
    eve = sign_up(Caller(app.test_client()), "eve")
    prompt = eve.prompt()
    with app.app_context():
        add_logs(get_engine(), eve.id, 120, prompt_id=prompt["_id"])
    ended: SimpleQueue[Any] = SimpleQueue()
    monkeypatch.setattr(threading, "excepthook", ended.put)

    def fail(stop: threading.Event) -> purge.Outcome:
        raise LookupError("a bug")

    with monkeypatch.context() as patched:
        patched.setattr(purge, "run", fail)
        purger.start(app)
        assert ended.get(timeout=WAIT_S).exc_type is LookupError
    purged: SimpleQueue[bool] = SimpleQueue()

    def note(_: object, rows: int) -> None:
        purged.put(True)

    deletions.purged.connect(note)
    try:
        monkeypatch.setattr(deletions, "_IN_REQUEST_S", 0)
        assert eve.delete(f"/prompts/{prompt['_id']}").status_code == 204
        assert purged.get(timeout=WAIT_S)
    finally:
        deletions.purged.disconnect(note)
        purger.stop(app)


def test_a_thread_that_the_system_refused_is_started_the_next_time(
    make_app: Callable[[Config], Flask], config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app(config)

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            purger.start(app)
    ran = threading.Event()

    def succeed(stop: threading.Event) -> purge.Outcome:
        ran.set()
        return purge.Outcome.DONE

    monkeypatch.setattr(purge, "run", succeed)
    purger.start(app)
    assert ran.wait(WAIT_S)
    purger.stop(app)
