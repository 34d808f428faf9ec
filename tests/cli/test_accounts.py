"""The commands `user` and `key`."""

import json
import os
import pty
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask

from config import Config
from promptcrafter.auth import store
from promptcrafter.cli import accounts
from promptcrafter.database.session import sqlite_path
from promptcrafter.database.transactions import writing
from tests.support.commands import done, flask, refusal, refused, run
from tests.support.databases import only_sqlite
from tests.support.disks import limited_files
from tests.support.environment import ROOT, SECRET, bin_path
from tests.support.people import Caller, Person

PASSWORD = "a password for the first day"


def log_in(client: Caller, email: str, password: str) -> tuple[int, str]:
    """Return the status, and the token or the code."""
    answer = client.post("/auth/login", {"email": email, "password": password})
    return answer.status_code, answer.json.get("token") or answer.json["code"]


def status_with(client: Caller, credential: str) -> int:
    return client.get("/prompts", headers={"Authorization": f"Bearer {credential}"}).status_code


def test_an_account_is_added_while_sign_up_is_closed_and_can_log_in(
    make_app: Callable[[Config], Flask], config: Config
) -> None:
    app = make_app(replace(config, signup="closed"))
    added = run(app, "user", "add", "Ada@example.com", "--name", "Ada", "--password-stdin", stdin=PASSWORD + "\n")
    user_id = done(added).strip()
    assert added.stderr == "Added the account of Ada@example.com.\n"
    client = Caller(app.test_client())
    answer = client.post("/auth/login", {"email": "ada@example.com", "password": PASSWORD})
    assert answer.status_code == 200
    shown = {name: answer.json["user"][name] for name in ("_id", "name", "email")}
    assert shown == {"_id": user_id, "name": "Ada", "email": "Ada@example.com"}


@pytest.mark.parametrize(
    ("email", "name", "stdin", "message"),
    [
        ("ada@example.com", "Ada", "too short", "password must have 10 to 128 characters."),
        ("ada@example.com", "Ada", "\n", "password is required"),
        ("ada", "Ada", PASSWORD, "EMAIL must be an e-mail address."),
        ("ada@example.com", " ", PASSWORD, "--name must not be blank."),
        ("ada@example.com", "Ada", b"\xff a latin-1 password", "password must not contain a lone surrogate (U+DCFF)."),
        ("ada\udcff@example.com", "Ada", PASSWORD, "The arguments must be UTF-8."),
    ],
)
@only_sqlite
def test_an_account_that_sign_up_would_refuse_is_refused(
    app: Flask, email: str, name: str, stdin: str | bytes, message: str
) -> None:
    assert refused(run(app, "user", "add", email, "--name", name, "--password-stdin", stdin=stdin)) == message


def test_an_address_has_one_account_only(app: Flask, ada: Person) -> None:
    again = run(app, "user", "add", "ADA@example.com", "--name", "x", "--password-stdin", stdin=PASSWORD)
    assert refused(again) == "Email already in use."


@only_sqlite
def test_without_a_terminal_no_password_is_prompted_for(app: Flask, ada: Person) -> None:
    message = "There is no terminal to ask for the password on: use --password-stdin."
    assert refused(run(app, "user", "add", "x@example.com", "--name", "x", stdin=PASSWORD)) == message
    assert refused(run(app, "user", "reset-password", ada.email, stdin=PASSWORD)) == message


@pytest.mark.slow
@only_sqlite
def test_at_a_terminal_the_password_is_prompted_for_twice_without_echo(app: Flask, client: Caller) -> None:
    controller, terminal = pty.openpty()
    with app.app_context():
        url = f"sqlite:///{sqlite_path()}"
    process = subprocess.Popen(
        [bin_path("flask"), "--app", "wsgi", "user", "add", "ada@example.com", "--name", "Ada"],
        cwd=ROOT,
        env={"DATABASE_URL": url, "JWT_SECRET_KEY": SECRET},
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    shown = b""
    for asked in (b"Password: ", b"Repeat for confirmation: "):
        while not shown.endswith(asked):
            shown += os.read(controller, 1000)
        os.write(controller, PASSWORD.encode() + b"\n")
    written, _ = process.communicate(timeout=30)
    shown += os.read(controller, 1000)
    os.close(controller)
    assert process.returncode == 0, shown
    assert written.startswith(b"user_")
    assert PASSWORD.encode() not in shown
    assert b"Added the account of ada@example.com." in shown
    assert log_in(client, "ada@example.com", PASSWORD)[0] == 200


def test_accounts_are_listed_as_a_table_or_as_json(app: Flask, ada: Person, ben: Person) -> None:
    run(app, "user", "disable", ben.email)
    listed = json.loads(done(run(app, "user", "list", "--json")))
    assert [(row["_id"], row["email"], row["name"]) for row in listed] == [
        (ada.id, ada.email, "ada"),
        (ben.id, ben.email, "ben"),
    ]
    assert set(listed[0]) == {"_id", "name", "email", "createdAt", "disabledAt"}
    assert listed[0]["disabledAt"] is None
    table = [line.split() for line in done(run(app, "user", "list")).splitlines()]
    assert table == [
        ["ID", "EMAIL", "NAME", "CREATED", "DISABLED"],
        [ada.id, ada.email, "ada", listed[0]["createdAt"]],
        [ben.id, ben.email, "ben", listed[1]["createdAt"], listed[1]["disabledAt"]],
    ]


@only_sqlite
def test_control_characters_in_a_name_are_replaced(app: Flask, client: Caller) -> None:
    body = {"name": "\x1b[2Jada\n", "email": "ada@example.com", "password": PASSWORD}
    assert client.post("/auth/signup", body).status_code == 201
    assert "\N{REPLACEMENT CHARACTER}[2Jada\N{REPLACEMENT CHARACTER} " in done(run(app, "user", "list"))


def test_a_password_reset_invalidates_all_tokens_and_no_key(app: Flask, client: Caller, ada: Person) -> None:
    key = ada.post("/auth/keys", {"name": "k"}).json["key"]
    reset = run(app, "user", "reset-password", ada.email, "--password-stdin", stdin=PASSWORD + "\r\n")
    assert done(reset) == ""
    assert ada.get("/prompts").status_code == 401
    assert status_with(client, key) == 200
    assert log_in(client, ada.email, ada.password) == (401, "wrong_credentials")
    status, token = log_in(client, ada.email, PASSWORD)
    assert (status, status_with(client, token)) == (200, 200)
    short = run(app, "user", "reset-password", ada.email, "--password-stdin", stdin="too short")
    assert refused(short) == "password must have 10 to 128 characters."


def test_a_password_is_set_in_each_normal_form(app: Flask, client: Caller, ada: Person) -> None:
    typed = "caf\u0065\u0301 au lait"
    done(run(app, "user", "reset-password", ada.email, "--password-stdin", stdin=f"{typed}\n"))
    assert log_in(client, ada.email, "caf\u00e9 au lait")[0] == 200
    done(run(app, "user", "add", "e\u0301@example.com", "--name", "Eve", "--password-stdin", stdin=f"{typed}\n"))
    assert log_in(client, "\u00e9@example.com", "caf\u00e9 au lait")[0] == 200
    done(run(app, "user", "disable", "\u00c9@example.com"))


def test_columns_of_a_table_are_aligned_whatever_the_script(app: Flask, ada: Person, ben: Person) -> None:
    with app.app_context(), writing():
        store.get_user(ada.id).name = "客服 🙂"
    heading, *lines = done(run(app, "user", "list")).splitlines()
    place = heading.index("CREATED")
    name = next(line for line in lines if ada.id in line)
    other = next(line for line in lines if ben.id in line)
    assert other[place:].startswith("20")
    assert name[place - 3 :].startswith("20"), "three characters of the name take two columns each"


def test_accounts_whose_addresses_look_the_same_are_listed(app: Flask, ada: Person, ben: Person) -> None:
    assert done(run(app, "user", "twins")).split() == ["ID", "EMAIL", "SPELLING", "NAME", "CREATED"]
    with app.app_context(), writing():
        store.get_user(ben.id).email = "A\u200bda@example.com"
    listed = [line.split() for line in done(run(app, "user", "twins")).splitlines()[1:]]
    assert [(line[0], line[2]) for line in listed] == [
        (ada.id, "ada@example.com"),
        (ben.id, "A\\u200bda@example.com"),
    ]
    rows = json.loads(done(run(app, "user", "twins", "--json")))
    assert [(row["_id"], row["spelling"]) for row in rows] == [
        (ada.id, "ada@example.com"),
        (ben.id, "A\\u200bda@example.com"),
    ]


def test_a_disabled_account_has_no_access_until_it_is_enabled(
    app: Flask, client: Caller, ada: Person, ben: Person
) -> None:
    key = ada.post("/auth/keys", {"name": "k"}).json["key"]
    log = ada.log(ada.prompt())
    disabled = run(app, "user", "disable", "ADA@example.com")
    assert (done(disabled), disabled.stderr) == ("", "ada@example.com is disabled.\n")
    refusing = client.post("/auth/login", {"email": ada.email, "password": ada.password})
    assert (refusing.status_code, refusing.json["message"]) == (403, "This account is disabled.")
    assert refusing.json["code"] == "account_disabled"
    assert log_in(client, ada.email, "a wrong password") == (401, "wrong_credentials")
    assert (ada.get("/prompts").status_code, status_with(client, key)) == (401, 401)
    assert ben.get("/prompts").status_code == 200
    assert run(app, "user", "disable", ada.email).stderr == "ada@example.com was disabled already.\n"

    enabled = run(app, "user", "enable", ada.email)
    assert enabled.stderr == "ada@example.com is enabled, and its API keys are good again.\n"
    assert run(app, "user", "enable", ada.email).stderr == "ada@example.com was not disabled.\n"
    assert ada.get("/prompts").status_code == 401, "a token from before never lives again"
    status, token = log_in(client, ada.email, ada.password)
    assert (status, status_with(client, key)) == (200, 200)
    assert client.get("/logs", headers={"Authorization": f"Bearer {token}"}).json == [log]


def test_disabling_twice_keeps_the_time_of_the_first(app: Flask, ada: Person) -> None:
    run(app, "user", "disable", ada.email)
    with app.app_context():
        first = store.get_user(ada.id).disabled_since
    run(app, "user", "disable", ada.email)
    with app.app_context():
        assert store.get_user(ada.id).disabled_since == first is not None


@pytest.mark.parametrize(
    "command",
    [
        *("user disable", "user enable", "user reset-password", "user reset-link", "user delete"),
        *("key list", "key add"),
    ],
)
@only_sqlite
def test_an_address_without_an_account_is_an_error(app: Flask, command: str) -> None:
    arguments = [*command.split(), "nobody@example.com", *(["name"] if command == "key add" else [])]
    assert refused(run(app, *arguments)) == "No account has the address nobody@example.com."


def test_a_key_is_created_listed_and_revoked(app: Flask, client: Caller, ada: Person) -> None:
    made = run(app, "key", "add", ada.email, "nightly evaluation", "--expires", "2099-12-31")
    key = done(made).strip()
    assert status_with(client, key) == 200
    assert "good until 2099-12-31T00:00:00.000Z" in made.stderr
    assert key not in made.stderr
    (listed,) = json.loads(done(run(app, "key", "list", ada.email, "--json")))
    assert [listed] == ada.get("/auth/keys").json
    assert (
        done(run(app, "key", "list", ada.email)).splitlines()[1].startswith(f"{listed['_id']}  nightly evaluation  pc_")
    )
    assert done(run(app, "key", "revoke", listed["_id"])) == ""
    assert status_with(client, key) == 401
    assert refused(run(app, "key", "revoke", listed["_id"])) == "Key not found"
    assert refused(run(app, "key", "revoke", "log_1")) == "The key ID format is invalid."


def create_team(owner: Person) -> str:
    answer = owner.post("/workspaces", {"name": "Team", "slug": "team"})
    assert answer.status_code == 201, answer.text
    return str(answer.json["_id"])


def test_a_key_is_bound_to_a_workspace_and_to_scopes(app: Flask, client: Caller, ada: Person) -> None:
    team = create_team(ada)
    made = run(app, "key", "add", ada.email, "k", "--workspace", "team", "--scope", "read", "--scope", "ingest")
    key = {"X-Api-Key": done(made).strip()}
    assert client.get("/prompts", headers=key).status_code == 200
    assert client.post("/prompts", {}, headers=key).json["code"] == "scope_forbids"
    elsewhere = ada.prompt()["_id"]
    assert client.get(f"/prompts/{elsewhere}", headers=key).status_code == 403
    done(run(app, "key", "add", ada.email, "free"))
    bound, free = json.loads(done(run(app, "key", "list", ada.email, "--json")))
    assert (bound["workspaceId"], bound["scopes"]) == (team, ["read", "ingest"])
    assert bound["lastUsedAt"] is not None
    assert (free["workspaceId"], free["scopes"]) == (None, None)
    heading, first, second = done(run(app, "key", "list", ada.email)).splitlines()
    assert heading.split()[-4:] == ["WORKSPACE", "SCOPES", "LAST", "USED"]
    assert first.split()[-4:] == ["team", "read,", "ingest", bound["lastUsedAt"]]
    assert second.split()[-2:] == ["all", "all"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workspace", ""], "--workspace must be left out, or say which."),
        (["--workspace", "nowhere"], "No workspace has the id or the slug nowhere."),
        (["--workspace", "team"], "ben@example.com is no member of team."),
        (["--scope", "reads"], "--scope must be one of read, ingest, write, admin."),
        (["--scope", "a", "--scope", "b"], "--scope must be one of read, ingest, write, admin."),
        (["--scope", ""], "--scope must be one of read, ingest, write, admin."),
    ],
)
@only_sqlite
def test_a_restriction_of_a_key_that_cannot_be_kept_makes_no_key(
    app: Flask, ada: Person, ben: Person, arguments: list[str], message: str
) -> None:
    create_team(ada)
    assert refused(run(app, "key", "add", ben.email, "k", *arguments)) == message
    assert ben.get("/auth/keys").json == []


@only_sqlite
def test_a_reset_link_has_the_path_below_which_the_service_is_served(
    make_app: Callable[[Config], Flask], config: Config, ada: Person
) -> None:
    made = run(make_app(replace(config, script_name="/prompts")), "user", "reset-link", ada.email)
    assert "\n  https://YOUR-SERVER/prompts/app/password-reset#THE-SECRET\n" in made.stderr
    assert "\n  curl https://YOUR-SERVER/prompts/auth/password/reset " in made.stderr


@only_sqlite
def test_a_full_disk_is_named_by_its_folder(app: Flask, ada: Person, database_url: str) -> None:
    folder = Path(database_url.removeprefix("sqlite:///")).parent
    with limited_files():
        link = refused(run(app, "user", "reset-link", ada.email))
        erased = refused(run(app, "erase"))
    assert link == f"The disk of {folder} is full. Nothing was stored."
    assert erased == f"The disk of {folder} is full. Nothing was erased."


def test_a_reset_link_is_written_once_and_sets_another_password(app: Flask, client: Caller, ada: Person) -> None:
    first = done(run(app, "user", "reset-link", "ADA@example.com")).strip()
    made = run(app, "user", "reset-link", ada.email)
    token = done(made).strip()
    assert "\n  curl https://YOUR-SERVER/auth/password/reset -H 'Content-Type: application/json' \\\n" in made.stderr
    assert token not in made.stderr
    body = {"newPassword": PASSWORD}
    assert client.post("/auth/password/reset", {**body, "token": first}).json["code"] == "reset_not_found"
    assert client.post("/auth/password/reset", {**body, "token": token}).status_code == 204
    assert log_in(client, ada.email, PASSWORD)[0] == 200
    run(app, "user", "disable", ada.email)
    assert refused(run(app, "user", "reset-link", ada.email)) == "ada@example.com is disabled: see user enable."


def test_an_account_is_deleted_with_its_personal_workspace_and_leaves_what_it_made_elsewhere(
    app: Flask, client: Caller, ada: Person, ben: Person
) -> None:
    create_team(ben)
    done(run(app, "workspace", "set-role", "team", ada.email, "editor"))
    ada.log(ada.prompt())
    shared = ada.post(
        "/prompts", {"title": "A title", "content": "c", "model": "m"}, headers={"X-Workspace": "team"}
    ).json["_id"]
    personal = ada.get("/workspaces").json[0]["slug"]
    ada.post("/workspaces", {"name": "Alone"})
    deleted = run(app, "user", "delete", "ADA@example.com", "--yes", "--anonymise")
    told = f"Deleted the account of ada@example.com and all that was in {personal}, alone: 1 prompt, 1 log.\n"
    assert (done(deleted), deleted.stderr) == ("", told)
    assert ada.get("/prompts").status_code == 401
    assert ben.get(f"/prompts/{shared}").status_code == 200
    listed = json.loads(done(run(app, "workspace", "list", "--json")))
    assert [row["owners"] for row in listed] == [[ben.email], [ben.email]]
    for address in (ada.email, ada.id):
        assert refused(run(app, "user", "enable", address)) == f"No account has the address {address}."


def test_the_only_owner_of_a_shared_workspace_is_not_deleted(app: Flask, ada: Person, ben: Person) -> None:
    create_team(ada)
    done(run(app, "workspace", "set-role", "team", ben.email, "editor"))
    message = "ada@example.com is the only owner of team: make another member one by workspace set-role."
    assert refused(run(app, "user", "delete", ada.email, "--yes")) == message
    assert ada.get("/prompts").status_code == 200
    done(run(app, "workspace", "set-role", "team", ben.email, "owner"))
    done(run(app, "user", "delete", ada.email, "--yes"))


def test_a_deletion_says_what_it_deletes_and_asks(app: Flask, ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    create_team(ada)
    prompt = ada.prompt()
    for _ in range(2):
        ada.log(prompt)
    message = "There is no terminal to ask for a confirmation on: use --yes."
    assert refused(run(app, "user", "delete", ada.email)) == message
    monkeypatch.setattr(accounts, "require_terminal", lambda subject, option: None)
    kept = run(app, "user", "delete", ada.email, stdin="n\n")
    assert kept.exit_code == 1
    personal = ada.get("/workspaces").json[0]["slug"]
    begin = f"This deletes the account of ada@example.com and all that is in {personal}, team: 1 prompt, 2 logs.\n"
    assert kept.stderr.startswith(begin)
    assert ada.get("/prompts").json == [prompt]
    done(run(app, "user", "delete", ada.email, stdin="y\n"))
    assert ada.get("/prompts").status_code == 401


@pytest.mark.parametrize(
    ("expires", "message"),
    [
        ("2020-01-01", "--expires must be in the future."),
        ("tomorrow", "--expires must be an ISO 8601 time or a Unix time."),
    ],
)
@only_sqlite
def test_a_key_that_would_be_expired_is_not_created(app: Flask, ada: Person, expires: str, message: str) -> None:
    assert refused(run(app, "key", "add", ada.email, "k", "--expires", expires)) == message
    assert ada.get("/auth/keys").json == []


@pytest.mark.slow
@only_sqlite
def test_the_flask_program_runs_the_commands_or_exits_with_the_reason(
    client: Caller, ada: Person, database_url: str
) -> None:
    made = flask(database_url, "key", "add", ada.email, "k")
    assert (made.returncode, status_with(client, made.stdout.strip())) == (0, 200)
    revoked = flask(database_url, "key", "revoke", "key_1")
    assert (revoked.returncode, refusal(revoked.stderr)) == (1, "Key not found")


def test_a_database_without_tables_is_reported_in_one_line(
    make_app: Callable[[Config], Flask], empty_database_url: str
) -> None:
    app = make_app(Config(database_url=empty_database_url, jwt_secret_key=SECRET))
    message = "The database is not migrated: run flask --app wsgi db upgrade."
    assert refused(run(app, "user", "list")) == message


def test_an_unavailable_database_is_reported_in_one_line_with_the_cause(make_app: Callable[[Config], Flask]) -> None:
    url = "postgresql+psycopg://nobody:hush@127.0.0.1:1/nothing"
    app = make_app(Config(database_url=url, jwt_secret_key=SECRET, database_timeout_ms=100))
    commands = (["user", "list"], ["key", "list", "a@b.example"], ["workspace", "list"], ["check"], ["erase"])
    for command in (*commands, ["prune", "--older-than", "1d"]):
        line = refused(run(app, *command))
        assert line.startswith("The database is busy or away: ")
        assert '"127.0.0.1", port 1 failed: Connection refused' in line
        assert line.endswith("). Try again.")
        assert "hush" not in line


@only_sqlite
def test_a_database_that_another_program_has_locked_is_reported_with_the_cause(
    make_app: Callable[[Config], Flask], config: Config, ada: Person, database_url: str
) -> None:
    app = make_app(replace(config, database_timeout_ms=50))
    with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"), isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        line = refused(run(app, "user", "disable", ada.email))
    assert line == "The database is busy or away: SQLITE_BUSY (database is locked). Try again."


def test_a_role_without_rights_is_reported_with_the_cause(
    make_app: Callable[[Config], Flask], config: Config, url_without_rights: str
) -> None:
    app = make_app(replace(config, database_url=url_without_rights.replace("postgresql://", "postgresql+psycopg://")))
    assert refused(run(app, "user", "list")) == "PostgreSQL says: permission denied for table users."
