"""Load the fixtures, which the modules of `tests.support` define, and mark tests that start servers."""

import fcntl
import gc
import sys
from collections.abc import Generator
from pathlib import Path

import hypothesis
import pytest

gc.disable()  # until the tests are collected: what is loaded is no garbage, and looking for some takes half of the time
pytest.register_assert_rewrite("tests.support")  # before the modules import each other
pytest_plugins = [
    "tests.support.databases",
    "tests.support.apps",
    "tests.support.people",
    "tests.support.servers",
    "tests.support.full_account",
]

# No test fails because the machine is slow
hypothesis.settings.register_profile("no deadline", parent=hypothesis.settings(), deadline=None)
hypothesis.settings.load_profile("no deadline")

GARBAGE_MAX = 50_000  # objects that have been made and not been freed since the last collection of garbage

# Fixtures that start a server, by the marker of the tests that use them, directly or through other fixtures
STARTS = {
    "live": {"start_server", "shared_server", "any_live_server"},
    "postgresql": {"postgresql", "migrated_postgresql_url", "other_server"},
}


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Let the processes of a new clone collect one after another: the first one compiles the tests for all."""
    last = Path(__file__).parent / "workspaces" / "__pycache__"
    with Path(__file__).open() as lock:
        if hasattr(session.config, "workerinput") and not sys.dont_write_bytecode and not last.exists():
            fcntl.flock(lock, fcntl.LOCK_EX)
        return (yield)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that `make test-quick` leaves out."""
    for item in items:
        assert isinstance(item, pytest.Function)
        used = set(item.fixturenames)
        if hasattr(item, "callspec"):
            used.add(str(item.callspec.params.get("engine_name")))
        for marker, fixtures in STARTS.items():
            if used & fixtures:
                item.add_marker(marker)


def pytest_collection_finish() -> None:
    """Collect garbage from now on, without what is loaded: each collection would go through all of it again.

    And seldom: with the default threshold, collections take a tenth of the time of all tests.
    """
    gc.freeze()
    gc.set_threshold(GARBAGE_MAX)
    gc.enable()
