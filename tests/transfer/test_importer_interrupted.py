"""Imports that the database interrupts: what is stored is in the audit trail, and the response says what to do."""

import errno
import fcntl
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from promptcrafter.database.errors import FileUnusable
from promptcrafter.database.session import session, sqlite_path
from promptcrafter.database.transactions import writing
from promptcrafter.transfer import importer
from promptcrafter.workspaces import quota
from tests.support.errors import assert_error
from tests.support.people import Person
from tests.support.transfer import counts, import_file, join
from tests.support.visitors import Visitor, text_of
from tests.transfer.test_importer import prompt_lines
from tests.transfer.test_views_new_ids import import_copy

FILE = join([*prompt_lines("prompt1", ["one"])[:-1], *prompt_lines("prompt2", ["two"], slug="two")[1:]])
STORED = "What stands before line 4 is stored."
Interrupt = Callable[[], Any]


@contextmanager
def without_the_database() -> Iterator[None]:
    """Do what `writing()` does while it cannot succeed: others write on SQLite, PostgreSQL loses the connection."""
    path = sqlite_path()
    if path is None:
        with writing():
            session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        return
    with open(f"{path}-queue", "w", encoding="ascii") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with writing():
            yield


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Callable[[Interrupt], None]:
    """A function that lets the second batch of the next import be written by something else than `writing()`."""

    def replace(instead: Interrupt) -> None:
        batches = iter((writing, instead))
        monkeypatch.setattr(importer, "writing", lambda: next(batches, writing)())

    monkeypatch.setattr(importer, "_BATCH_RECORDS", 2)
    return replace


def imports(person: Person) -> list[tuple[int, int]]:
    """Return how many prompts and versions the entries about imports have, the newest first."""
    entries = person.get(f"/workspaces/{person.get('/workspaces').json[0]['slug']}/audit?action=import").json
    return [(entry["after"]["prompts"], entry["after"]["versions"]) for entry in entries]


def test_an_import_that_loses_the_database_says_what_is_stored_and_is_in_the_audit_trail(
    app: Flask, ada: Person, interrupt: Callable[[Interrupt], None]
) -> None:
    interrupt(without_the_database)
    answer = import_file(ada, FILE)
    message = f"The database is busy or away. {STORED} Importing again is safe."
    assert_error(answer, 503, "import_interrupted", message)
    assert answer.headers["Retry-After"] == "1"
    assert imports(ada) == [(1, 1)]
    assert counts(import_file(ada, FILE), "created") == (1, 1, 0, 0, 0)
    assert imports(ada) == [(1, 1), (1, 1)]


@pytest.mark.parametrize(
    ("key", "advice"),
    [(None, "Importing again makes another copy of it."), ("k", "Importing again with the same key stores the rest.")],
)
def test_a_copy_that_loses_the_database_is_repeated_by_itself_only_if_that_stores_the_rest(
    app: Flask, ada: Person, interrupt: Callable[[Interrupt], None], key: str | None, advice: str
) -> None:
    interrupt(without_the_database)
    answer = import_copy(ada, FILE, key)
    assert_error(answer, 503, "import_interrupted", f"The database is busy or away. {STORED} {advice}")
    assert ("Retry-After" in answer.headers) is (key is not None)
    import_copy(ada, FILE, key)
    assert len(ada.get("/prompts").json) == (3 if key is None else 2)


def test_an_import_of_which_nothing_is_stored_answers_as_any_other_call(
    app: Flask, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importer, "writing", without_the_database)
    answer = import_file(ada, FILE)
    assert_error(answer, 503, "database_unavailable", "The database is busy or away. Try again.")
    assert ada.get("/prompts").json == []
    monkeypatch.setattr(importer, "writing", writing)
    assert imports(ada) == []


def test_the_page_says_that_an_import_stopped_halfway(
    app: Flask, ada: Person, interrupt: Callable[[Interrupt], None]
) -> None:
    interrupt(without_the_database)
    visitor = Visitor(app, ada)
    page = visitor.submit("/settings/import", {"ids": "keep", "file": (io.BytesIO(FILE), "export.ndjson")})
    shown = text_of(page)
    assert page.status_code == 503
    assert f"The import stopped halfway. The database is busy or away. {STORED} Importing again is safe." in shown


def test_the_page_says_that_an_import_stopped_halfway_on_a_full_disk(
    app: Flask, ada: Person, interrupt: Callable[[Interrupt], None]
) -> None:
    @contextmanager
    def on_a_full_disk() -> Iterator[None]:
        with writing():
            yield
            raise OperationalError("", {}, FileUnusable("a lock file", "A lock file.", errno.ENOSPC))

    interrupt(on_a_full_disk)
    page = Visitor(app, ada).submit("/settings/import", {"ids": "keep", "file": (io.BytesIO(FILE), "export.ndjson")})
    shown = text_of(page)
    assert page.status_code == 507
    assert f"The import stopped halfway. The server's disk is full. {STORED} Importing again is safe." in shown


def test_an_import_into_a_workspace_that_becomes_full_does_not_say_that_nothing_is_stored(
    app: Flask, ada: Person, interrupt: Callable[[Interrupt], None]
) -> None:
    @contextmanager
    def until_full() -> Iterator[None]:
        with writing():
            yield
            raise quota.WorkspaceFull(2, 1)

    interrupt(until_full)
    answer = import_file(ada, FILE)
    assert_error(answer, 409, "import_interrupted")
    assert answer.json["message"].endswith("what stands before it is stored. Importing again is safe.")
    assert "Nothing was stored" not in answer.json["message"]
    assert imports(ada) == [(1, 1)]


@pytest.mark.parametrize("engine_name", ["postgresql"])
def test_a_batch_that_is_the_victim_of_a_deadlock_is_stored_again(
    app: Flask, ada: Person, interrupt: Callable[[Interrupt], None]
) -> None:
    @contextmanager
    def in_deadlock() -> Iterator[None]:
        with writing():
            yield
            session.execute(text("DO $$ BEGIN RAISE SQLSTATE '40P01'; END $$"))

    interrupt(in_deadlock)
    assert counts(import_file(ada, FILE), "created") == (2, 2, 0, 0, 0)
    assert imports(ada) == [(2, 2)]
