"""Load the fixtures, which the modules of `tests.support` define, and mark tests that start servers."""

import pytest

pytest.register_assert_rewrite("tests.support")  # before the modules import each other
pytest_plugins = [
    "tests.support.databases",
    "tests.support.apps",
    "tests.support.people",
    "tests.support.servers",
    "tests.support.full_account",
]

# Fixtures that start a server, by the marker of the tests that use them, directly or through other fixtures
STARTS = {
    "live": {"start_server", "shared_server", "any_live_server"},
    "postgresql": {"postgresql", "migrated_postgresql_url", "other_server"},
}


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
