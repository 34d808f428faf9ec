"""The commands `workspace`."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from flask import Flask

from config import Config
from promptcrafter.cli import workspaces
from tests.support.commands import done, refused, run
from tests.support.databases import only_sqlite
from tests.support.people import Person


def add(app: Flask, owner: Person, *arguments: str) -> str:
    return done(run(app, "workspace", "add", "Support team", "--owner", owner.email, *arguments)).strip()


def roles(app: Flask, reference: str) -> dict[str, str]:
    members = json.loads(done(run(app, "workspace", "members", reference, "--json")))
    return {member["email"]: member["role"] for member in members}


def test_a_workspace_is_added_for_its_owner(app: Flask, ada: Person) -> None:
    made = run(app, "workspace", "add", "Support team", "--owner", "ADA@example.com")
    assert made.stderr == "Added the workspace support-team, whose owner is ada@example.com.\n"
    team = ada.get("/workspaces/support-team").json
    assert (team["_id"], team["name"], team["role"]) == (done(made).strip(), "Support team", "owner")
    add(app, ada, "--slug", "help")
    taken = run(app, "workspace", "add", "x", "--owner", ada.email, "--slug", "help")
    assert refused(taken) == "Slug already in use."


@pytest.mark.parametrize(
    ("name", "email", "slug", "message"),
    [
        ("x", "nobody@example.com", "x", "No account has the address nobody@example.com."),
        (" ", "ada@example.com", "x", "NAME must not be blank."),
        ("x", "ada@example.com", "A b", "--slug must consist of 1 to 64 lower-case letters, digits and hyphens."),
    ],
)
@only_sqlite
def test_a_workspace_that_the_api_would_refuse_is_refused(
    app: Flask, ada: Person, name: str, email: str, slug: str, message: str
) -> None:
    assert refused(run(app, "workspace", "add", name, "--owner", email, "--slug", slug)) == message
    assert len(ada.get("/workspaces").json) == 1


def test_workspaces_are_listed_with_the_number_of_members_and_the_owners(app: Flask, ada: Person, ben: Person) -> None:
    team = add(app, ada)
    done(run(app, "workspace", "set-role", team, ben.email, "viewer"))
    *personal, listed = json.loads(done(run(app, "workspace", "list", "--json")))
    assert listed == {
        **{"_id": team, "slug": "support-team", "name": "Support team", "personal": False},
        **{"members": 2, "owners": [ada.email]},
    }
    assert [(row["personal"], row["members"], row["owners"]) for row in personal] == [
        (True, 1, [ada.email]),
        (True, 1, [ben.email]),
    ]
    heading, *_, last = done(run(app, "workspace", "list")).splitlines()
    assert heading.split() == ["ID", "SLUG", "NAME", "PERSONAL", "MEMBERS", "OWNERS"]
    assert last.split() == [team, "support-team", "Support", "team", "2", ada.email]


def test_members_are_listed_by_the_id_or_the_slug_of_the_workspace(app: Flask, ada: Person, ben: Person) -> None:
    team = add(app, ada)
    done(run(app, "workspace", "set-role", team, ben.email, "viewer"))
    listed = json.loads(done(run(app, "workspace", "members", "support-team", "--json")))
    assert listed == ada.get(f"/workspaces/{team}/members").json
    table = [line.split() for line in done(run(app, "workspace", "members", team)).splitlines()]
    assert table[0] == ["ID", "EMAIL", "NAME", "ROLE", "JOINED", "DISABLED"]
    assert [row[:4] for row in table[1:]] == [
        [ada.id, ada.email, "ada", "owner"],
        [ben.id, ben.email, "ben", "viewer"],
    ]
    assert refused(run(app, "workspace", "members", "nowhere")) == "No workspace has the id or the slug nowhere."


def test_a_role_is_given_to_members_and_others_and_an_owner_stays(app: Flask, ada: Person, ben: Person) -> None:
    team = add(app, ada)
    message = "The workspace would be left without an owner: make another member an owner first, or delete it."
    assert refused(run(app, "workspace", "set-role", team, ada.email, "viewer")) == message
    given = run(app, "workspace", "set-role", "support-team", "BEN@example.com", "editor")
    assert (done(given), given.stderr) == ("", "The role of ben@example.com in support-team is editor.\n")
    done(run(app, "workspace", "set-role", team, ben.email, "owner"))
    done(run(app, "workspace", "set-role", team, ada.email, "viewer"))
    assert roles(app, team) == {ada.email: "viewer", ben.email: "owner"}
    assert refused(run(app, "workspace", "set-role", team, ben.email, "editor")) == message
    assert roles(app, team)[ben.email] == "owner"


def test_a_workspace_whose_only_owner_is_disabled_gets_another_one(app: Flask, ada: Person, ben: Person) -> None:
    team = add(app, ada)
    done(run(app, "user", "disable", ada.email))
    done(run(app, "workspace", "set-role", team, ben.email, "owner"))
    assert ben.patch(f"/workspaces/{team}/members/{ada.id}", {"role": "viewer"}).status_code == 200


def test_nobody_is_added_to_a_personal_workspace_and_it_is_not_deleted(app: Flask, ada: Person, ben: Person) -> None:
    personal = ada.get("/workspaces").json[0]
    message = "A personal workspace has one member, its owner."
    for person in (ada, ben):
        assert refused(run(app, "workspace", "set-role", personal["_id"], person.email, "editor")) == message
    deleted = run(app, "workspace", "delete", personal["_id"], "--confirm", personal["slug"])
    assert refused(deleted) == "A personal workspace is deleted with its account only."
    assert roles(app, personal["slug"]) == {ada.email: "owner"}


def test_a_workspace_is_deleted_when_its_slug_is_confirmed(app: Flask, ada: Person) -> None:
    team = add(app, ada)
    wrong = run(app, "workspace", "delete", team, "--confirm", "support")
    assert refused(wrong) == "confirm must be the slug of the workspace."
    message = "There is no terminal to ask for the slug on: use --confirm SLUG."
    assert refused(run(app, "workspace", "delete", team)) == message
    assert ada.get(f"/workspaces/{team}").status_code == 200
    deleted = run(app, "workspace", "delete", team, "--confirm", "support-team")
    assert (done(deleted), deleted.stderr) == ("", "Deleted the workspace support-team.\n")
    assert ada.get(f"/workspaces/{team}").status_code == 404
    assert refused(run(app, "workspace", "members", team)).startswith("No workspace has the id")


@only_sqlite
def test_at_a_terminal_a_deletion_says_what_it_deletes_and_asks_for_the_slug(
    app: Flask, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    team = add(app, ada)
    body = {"title": "A title", "content": "c", "model": "m"}
    ada.log(ada.post("/prompts", body, headers={"X-Workspace": team}).json)
    monkeypatch.setattr(workspaces, "require_terminal", lambda subject, option: None)
    kept = run(app, "workspace", "delete", team, stdin="nonsense\n")
    assert kept.exit_code == 1
    assert kept.stderr.startswith("This deletes the workspace support-team: 1 prompt, 1 log.\n")
    assert ada.get(f"/workspaces/{team}").status_code == 200
    done(run(app, "workspace", "delete", team, stdin="support-team\n"))
    assert ada.get(f"/workspaces/{team}").status_code == 404


@only_sqlite
def test_what_no_service_has_counted_yet_is_not_shown_as_nothing(
    make_app: Callable[[Config], Flask], config: Config, ada: Person
) -> None:
    app = make_app(replace(config, max_workspace_bytes=1000))
    heading, *rows = done(run(app, "workspace", "list")).splitlines()
    assert heading.endswith("BYTES OF 1,000")
    assert [row.split()[-1] for row in rows] == ["-"]
    assert "usedBytes" not in json.loads(done(run(app, "workspace", "list", "--json")))[0]
