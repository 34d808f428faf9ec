"""Fixtures for every test; each is defined in the module of `tests.support` that its subject names."""

import pytest

pytest.register_assert_rewrite("tests.support")  # before the modules import each other
pytest_plugins = [
    "tests.support.databases",
    "tests.support.apps",
    "tests.support.people",
    "tests.support.servers",
    "tests.support.full_account",
]
