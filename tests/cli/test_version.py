"""The command `version`."""

import pytest
from flask import Flask

from promptcrafter.version import VERSION
from tests.support.commands import done, flask, run
from tests.support.databases import only_sqlite


@only_sqlite
def test_version_shows_the_version_of_the_product(app: Flask) -> None:
    assert done(run(app, "version")) == f"PromptCrafter {VERSION}\n"


@pytest.mark.slow
@only_sqlite
def test_the_real_command_needs_no_migrated_database(empty_database_url: str) -> None:
    ended = flask(empty_database_url, "version")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"PromptCrafter {VERSION}\n", "")
