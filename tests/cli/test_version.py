"""The command `version`."""

import pytest
from flask import Flask

from promptcrafter.version import VERSION
from tests.support import programs
from tests.support.commands import done, flask, run
from tests.support.databases import only_sqlite
from tests.support.environment import SECRET


@only_sqlite
def test_version_shows_the_version_of_the_product(app: Flask) -> None:
    assert done(run(app, "version")) == f"PromptCrafter {VERSION}\n"


@pytest.mark.slow
@only_sqlite
def test_the_real_command_needs_no_migrated_database(empty_database_url: str) -> None:
    ended = flask(empty_database_url, "version")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"PromptCrafter {VERSION}\n", "")


@pytest.mark.slow
@only_sqlite
def test_a_misspelt_setting_is_reported_once_by_commands(empty_database_url: str) -> None:
    environment = {"DATABASE_URL": empty_database_url, "JWT_SECRET_KEY": SECRET, "SIGNUPS": "closed"}
    warning = "The environment has SIGNUPS, which is no setting. Is SIGNUP meant?\n"
    for command in (["version"], ["user", "list"], ["db", "upgrade"], ["db", "current"]):
        ended = programs.run("flask", "--app", "wsgi", *command, environment=environment)
        assert ended.stderr.count(warning) == 1
        assert ended.stderr.startswith(warning)
        assert warning not in ended.stdout


@pytest.mark.slow
@only_sqlite
def test_help_and_errors_give_commands_that_can_be_run(empty_database_url: str) -> None:
    assert flask(empty_database_url, "prune", "--help").stdout.startswith("Usage: flask --app wsgi prune [OPTIONS]\n")
    assert "Try 'flask --app wsgi user --help' for help." in flask(empty_database_url, "user", "lis").stderr
