"""Applications over the database of a test."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from config import Config
from promptcrafter import create_app
from promptcrafter.database import revisions
from promptcrafter.database.session import get_engine
from tests.support.environment import SECRET
from tests.support.people import Caller


@pytest.fixture
def config(database_url: str, sqlite_folder: Path) -> Config:
    """The settings of the test's application. Rate limits are off, except in tests of them."""
    return Config(
        database_url=database_url,
        jwt_secret_key=SECRET,
        instance_path=str(sqlite_folder.parent / "instance"),
        ratelimit_enabled=False,
        database_timeout_ms=2000,
        sqlite_synchronous="normal",  # no test cuts the power
    )


@pytest.fixture
def make_app() -> Iterator[Callable[[Config], Flask]]:
    """A factory of applications, whose connections are closed after the test."""
    apps = []

    def make(config: Config) -> Flask:
        apps.append(create_app(config))
        revisions.add_commands(apps[-1])  # the `db` commands, as the `flask` program has them
        return apps[-1]

    yield make
    for app in apps:
        with app.app_context():
            get_engine().dispose()


@pytest.fixture
def migrated_app(make_app: Callable[[Config], Flask], own_database_url: str, tmp_path: Path) -> Flask:
    """An application on a migrated, empty database whose schema the test may change."""
    return make_app(_config_of_own(own_database_url, tmp_path))


@pytest.fixture
def empty_app(make_app: Callable[[Config], Flask], empty_database_url: str, tmp_path: Path) -> Flask:
    """An application on a database without tables."""
    return make_app(_config_of_own(empty_database_url, tmp_path))


def _config_of_own(url: str, folder: Path) -> Config:
    return Config(database_url=url, jwt_secret_key=SECRET, instance_path=str(folder), ratelimit_enabled=False)


@pytest.fixture(scope="session")
def shared_apps() -> Iterator[dict[Config, tuple[Flask, dict[str, Any]]]]:
    """Applications by their settings, with a copy of `app.config`; creating one takes as long as ten requests."""
    apps: dict[Config, tuple[Flask, dict[str, Any]]] = {}
    yield apps
    for app, _ in apps.values():
        with app.app_context():
            get_engine().dispose()


@pytest.fixture
def app(shared_apps: dict[Config, tuple[Flask, dict[str, Any]]], config: Config, engine_name: str) -> Iterator[Flask]:
    """The application, which tests use one after another; what a test changes in `app.config` is restored."""
    if config not in shared_apps:
        made = create_app(config)
        shared_apps[config] = made, dict(made.config)
    app, settings = shared_apps[config]
    yield app
    app.config.clear()
    app.config.update(settings)
    if engine_name == "sqlite":  # the file is deleted; connections to PostgreSQL are used by the next test
        with app.app_context():
            get_engine().dispose()


@pytest.fixture
def with_settings(make_app: Callable[[Config], Flask], config: Config) -> Callable[..., Caller]:
    """A factory of anonymous clients of an application with changed settings."""
    return lambda **settings: Caller(make_app(replace(config, **settings)).test_client())
