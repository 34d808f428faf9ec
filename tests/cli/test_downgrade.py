"""The command `db downgrade`."""

import os
import pty
import subprocess

import pytest
from click.testing import Result
from flask import Flask
from sqlalchemy import update

from promptcrafter import clock
from promptcrafter.database import revisions
from promptcrafter.database.session import get_engine, session
from promptcrafter.database.transactions import writing
from promptcrafter.logs.models import Log
from promptcrafter.workspaces.models import Member, Workspace
from tests.support.commands import done, flask, refusal, refused, run
from tests.support.databases import only_sqlite
from tests.support.environment import ROOT, SECRET, bin_path
from tests.support.people import Caller, sign_up
from tests.support.servers import Launch

BEFORE_WORKSPACES = "2f96d0a8b4e3"
LOSSES = (
    "The downgrade removes 1 shared workspace and 1 membership. What a shared workspace has becomes that of its oldest "
    "owner, and a slug that this owner has already gets a number."
)


def add_team(app: Flask) -> None:
    ada = sign_up(Caller(app.test_client()), "ada")
    now = clock.now()
    with app.app_context(), writing():
        session.add(
            Workspace(id="workspace_1", slug="t", name="t", protected_labels=[], created_at=now, updated_at=now)
        )
        session.flush()
        session.add(Member(workspace_id="workspace_1", user_id=ada.id, role="owner", is_default=False, created_at=now))


def applied(app: Flask) -> set[str]:
    with app.app_context(), get_engine().connect() as connection:
        return revisions.applied_to(connection)


@pytest.mark.parametrize("target", [BEFORE_WORKSPACES, "base", "5e0c83a1d7f6-1"])
def test_without_a_terminal_a_downgrade_that_loses_something_is_refused(migrated_app: Flask, target: str) -> None:
    add_team(migrated_app)
    result = run(migrated_app, "db", "downgrade", target)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"{LOSSES}\nError: There is no terminal to ask for a confirmation on: use --yes.\n"
    assert applied(migrated_app) == {revisions.HEAD}


def test_yes_confirms_what_a_downgrade_loses(migrated_app: Flask) -> None:
    add_team(migrated_app)
    result = run(migrated_app, "db", "downgrade", "--yes", BEFORE_WORKSPACES)
    assert done(result) == ""
    assert result.stderr.splitlines()[0] == LOSSES
    assert applied(migrated_app) == {BEFORE_WORKSPACES}


def test_what_later_steps_added_is_lost_with_them(migrated_app: Flask) -> None:
    ada = sign_up(Caller(migrated_app.test_client()), "ada")
    path = f"/prompts/{ada.prompt(description='For classes')['_id']}"
    ada.patch(path, {"messages": [{"role": "user", "content": "another"}], "comment": "why"})
    ada.patch(path, {"config": {"temperature": 1}})
    ada.patch(path, {"content": "a text"})
    chats = "2 message lists, 2 configs"
    for target, lost in (
        ("c94e17d0b382", f"{chats} and 1 prompt description"),
        ("8c3f5a9e1b72", f"{chats}, 1 prompt description and the audit trail (4)"),
        ("5e0c83a1d7f6", f"1 version comment, {chats}, 1 prompt description and the audit trail (4)"),
    ):
        losses = first_line(run(migrated_app, "db", "downgrade", target))
        assert losses == f"The downgrade removes {lost}. The text of messages remains."
        assert applied(migrated_app) == {revisions.HEAD}
    done(run(migrated_app, "db", "downgrade", "--yes", "8c3f5a9e1b72"))
    assert first_line(run(migrated_app, "db", "downgrade", "--", "-1")) == "The downgrade removes 1 version comment."


@only_sqlite
def test_a_downgrade_that_loses_nothing_does_not_ask(migrated_app: Flask) -> None:
    sign_up(Caller(migrated_app.test_client()), "ada")
    done(run(migrated_app, "db", "downgrade", BEFORE_WORKSPACES))
    assert applied(migrated_app) == {BEFORE_WORKSPACES}
    done(run(migrated_app, "db", "downgrade"))


@only_sqlite
def test_a_downgrade_to_a_schema_with_workspaces_or_to_an_unknown_one_does_not_ask(migrated_app: Flask) -> None:
    add_team(migrated_app)
    done(run(migrated_app, "db", "downgrade", revisions.HEAD))
    for unknown, fault in (
        ("unknown", "No such revision or branch 'unknown'."),
        ("-99", "Relative revision -99 didn't produce 99 migrations."),
    ):
        assert refused(run(migrated_app, "db", "downgrade", "--yes", "--", unknown)) == fault
        assert applied(migrated_app) == {revisions.HEAD}


def test_a_downgrade_and_an_upgrade_say_from_where_to_where_they_went(migrated_app: Flask) -> None:
    before = revisions.OLDER[-1]
    for arguments, said in (
        (("downgrade", before), f"Migrated from {revisions.HEAD} to {before}."),
        (("downgrade", before), f"The database has the revision {before} already."),
        (("upgrade",), f"Migrated from {before} to {revisions.HEAD}."),
        (("upgrade",), "The database is up to date."),
        (("downgrade", "base"), f"Migrated from {revisions.HEAD} to base."),
    ):
        result = run(migrated_app, "db", *arguments)
        assert done(result) == ""
        assert result.stderr.splitlines() == [said]


@only_sqlite
def test_a_downgrade_is_refused_while_the_service_runs(own_database_url: str, start_server: Launch) -> None:
    server = start_server(own_database_url, migrate=False, JWT_SECRET_KEY=SECRET)
    ended = flask(own_database_url, "db", "downgrade", "--yes", "--", "-1")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert refusal(ended.stderr) == "The database is in use: stop the service, and whatever else has it open."
    server.process.terminate()
    server.process.wait(timeout=20)
    ended = flask(own_database_url, "db", "downgrade", "--yes", "--", "-1")
    assert (ended.returncode, ended.stdout) == (0, "")
    assert ended.stderr == f"Migrated from {revisions.HEAD} to {revisions.OLDER[-1]}.\n"


def test_a_downgrade_says_what_it_loses_of_an_account_that_is_alone(migrated_app: Flask) -> None:
    ada = sign_up(Caller(migrated_app.test_client()), "ada")
    prompt = ada.prompt()
    ada.patch(f"/prompts/{prompt['_id']}", {"content": "Shorter", "comment": "Why"})
    for target, lost in (
        ("c41a9e6d07b8", "the audit trail (2)"),
        (BEFORE_WORKSPACES, "1 version comment and the audit trail (2)"),
    ):
        assert first_line(run(migrated_app, "db", "downgrade", target)) == f"The downgrade removes {lost}."
        assert applied(migrated_app) == {revisions.HEAD}
    done(run(migrated_app, "db", "downgrade", "--yes", "8c3f5a9e1b72"))
    left = first_line(run(migrated_app, "db", "downgrade", BEFORE_WORKSPACES))
    assert left == "The downgrade removes 1 version comment."


def test_a_downgrade_says_how_many_scores_it_loses_beside_those_that_logs_show(migrated_app: Flask) -> None:
    ada = sign_up(Caller(migrated_app.test_client()), "ada")
    log = ada.log(ada.prompt(), score=9)
    lost = "The downgrade removes "
    for name, annotator in (("score", "judge"), ("tone", "human")):
        ada.post(f"/logs/{log['_id']}/scores", {"name": name, "value": 1, "annotator": annotator})
    ada.put("/score-configs/tone", {"kind": "number"})
    with migrated_app.app_context(), writing():
        session.execute(update(Log).values(status="error", error="timeout"))
    details = "status, error, user, session, environment and parameters of 1 log"
    losses = first_line(run(migrated_app, "db", "downgrade", "a6f3c8d15e29"))
    assert losses == f"{lost}2 scores, 1 score config and {details}."
    done(run(migrated_app, "db", "downgrade", "--yes", "a6f3c8d15e29"))
    done(run(migrated_app, "db", "upgrade"))
    ada.patch(f"/logs/{log['_id']}", {"score": 8})
    done(run(migrated_app, "db", "downgrade", "a6f3c8d15e29"))


def first_line(result: Result) -> str:
    """Return the first line that a command wrote to standard error."""
    return result.stderr.splitlines()[0]


@pytest.mark.slow
@only_sqlite
@pytest.mark.parametrize(("answer", "revision"), [("n", revisions.HEAD), ("y", BEFORE_WORKSPACES)])
def test_in_a_terminal_a_downgrade_asks(migrated_app: Flask, own_database_url: str, answer: str, revision: str) -> None:
    add_team(migrated_app)
    with migrated_app.app_context():
        get_engine().dispose()  # this process would have the database open
    ours, terminal = pty.openpty()
    os.write(ours, f"{answer}\n".encode())
    result = subprocess.run(
        [bin_path("flask"), "--app", "wsgi", "db", "downgrade", BEFORE_WORKSPACES],
        cwd=ROOT,
        env={"DATABASE_URL": own_database_url, "JWT_SECRET_KEY": SECRET},
        stdin=terminal,
        capture_output=True,
        text=True,
        timeout=60,
    )
    os.close(ours)
    os.close(terminal)
    assert f"{LOSSES}\nGo on? [y/N]: " in result.stderr
    assert ("Nothing was changed." in result.stderr) == (answer == "n")
    assert result.returncode == (1 if answer == "n" else 0)
    assert applied(migrated_app) == {revision}
