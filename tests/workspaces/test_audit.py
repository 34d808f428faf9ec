"""The audit trail: who changed what, written with the change, without the texts of what is deleted."""

import re
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import update

from promptcrafter import clock
from promptcrafter.database import deletions
from promptcrafter.database.session import session
from promptcrafter.database.transactions import writing
from promptcrafter.logs.models import Log
from promptcrafter.maintenance import purge
from promptcrafter.workspaces import key_store
from promptcrafter.workspaces.schemas import ACTIONS
from tests.support.commands import done, run
from tests.support.environment import ROOT
from tests.support.full_account import fill_account
from tests.support.people import Caller, Person
from tests.support.transfer import export, import_file
from tests.workspaces.test_views import PROMPT, create, invite, join


def trail(person: Person, workspace: dict[str, Any], query: str = "") -> list[dict[str, Any]]:
    answer = person.get(f"/workspaces/{workspace['_id']}/audit{query}")
    assert answer.status_code == 200, answer.text
    return list(answer.json)


def personal(person: Person) -> dict[str, Any]:
    return dict(person.get("/workspaces").json[0])


def test_changes_of_a_workspace_and_its_members_are_told_newest_first(ada: Person, ben: Person) -> None:
    team = create(ada)
    join(ada, team, ben, "viewer")
    ada.patch(f"/workspaces/{team['_id']}/members/{ben.id}", {"role": "editor"}, headers={"X-Request-Id": "the-one"})
    ada.patch(f"/workspaces/{team['_id']}", {"name": "Help"})
    ben.delete(f"/workspaces/{team['_id']}/members/{ben.id}")
    entries = trail(ada, team)
    assert [(entry["action"], entry["actor"]["name"]) for entry in entries] == [
        ("member.leave", "ben"),
        ("workspace.change", "ada"),
        ("member.change", "ada"),
        ("member.join", "ben"),
        ("invitation.create", "ada"),
        ("workspace.create", "ada"),
    ]
    changed = entries[2]
    assert changed == {
        **{"_id": changed["_id"], "at": changed["at"], "requestId": "the-one", "action": "member.change"},
        "actor": {"kind": "user", "id": ada.id, "name": "ada", "userId": ada.id},
        "object": {"type": "member", "id": ben.id, "name": "ben"},
        "before": {"role": "viewer"},
        "after": {"role": "editor"},
    }
    assert (entries[1]["before"], entries[1]["after"]) == ({"name": "Support team"}, {"name": "Help"})


def test_the_trail_is_filtered_paged_and_sent_as_lines(ada: Person, ben: Person) -> None:
    team = create(ada)
    join(ada, team, ben, "editor")
    assert [entry["action"] for entry in trail(ada, team, f"?actor={ben.id}")] == ["member.join"]
    assert [entry["action"] for entry in trail(ada, team, "?action=workspace.create")] == ["workspace.create"]
    assert [entry["action"] for entry in trail(ada, team, f"?object={ben.id}")] == ["member.join"]
    assert trail(ada, team, "?until=2024-06-20T13:10:00Z") == []
    for query, reason in {
        "action=label.sett": "action must be one of the actions; the nearest is label.set.",
        "action=x": f"action must be one of the actions; it takes {', '.join(ACTIONS)}.",
        "actor=ben": "actor must be the id of an account or of an API key.",
        f"actor={team['_id']}": "actor must be the id of an account or of an API key.",
        "object=production": "object must be an id, such as that of a prompt.",
    }.items():
        answer = ada.get(f"/workspaces/{team['_id']}/audit?{query}")
        assert (answer.status_code, answer.json["message"]) == (400, reason)
    page = ada.get(f"/workspaces/{team['_id']}/audit?per_page=2")
    assert (len(page.json), 'rel="next"' in page.headers["Link"]) == (2, True)
    lines = ada.get(f"/workspaces/{team['_id']}/audit", headers={"Accept": "text/csv"}).text.splitlines()
    actor = "actor.kind,actor.id,actor.name,actor.userId"
    assert lines[0] == f"_id,at,{actor},action,object.type,object.id,object.name,before,after,requestId"
    assert ben.get(f"/workspaces/{team['_id']}/audit").json["code"] == "role_forbids"


def test_what_a_colleague_wrote_is_kept_whole_until_the_log_is_deleted(ada: Person, ben: Person) -> None:
    team = create(ada)
    join(ada, team, ben, "editor")
    prompt = ada.post("/prompts", PROMPT, headers={"X-Workspace": team["_id"]}).json
    log = ada.log(prompt, notes="n" * 5000, score=7)
    ben.patch(f"/logs/{log['_id']}", {"notes": "better", "score": 3})
    ben.patch(f"/logs/{log['_id']}", {"score": 3})
    (entry,) = trail(ada, team, "?action=log.change")
    assert (entry["actor"]["id"], entry["before"]) == (ben.id, {"notes": "n" * 5000, "score": 7.0})
    assert entry["after"] == {"notes": "better", "score": 3.0}
    assert len(trail(ada, team, f"?object={prompt['_id']}&action=log.change")) == 1
    ben.delete(f"/logs/{log['_id']}")
    entries = trail(ada, team, f"?object={log['_id']}")
    assert [(entry["action"], entry["before"]) for entry in entries] == [("log.delete", None), ("log.change", None)]


def test_no_text_is_kept_about_an_imported_score_that_its_rater_gives_again(ada: Person) -> None:
    path = f"/logs/{ada.log(ada.prompt(), score=9)['_id']}"
    mine = export(ada)
    ada.delete(path)
    import_file(ada, mine)
    (imported,) = ada.get(f"{path}/scores").json
    assert ada.patch(f"/scores/{imported['_id']}", {"comment": "private"}).status_code == 200
    (entry,) = trail(ada, personal(ada), "?action=score.change")
    assert entry["after"] == {"comment": "private"}
    assert ada.patch(path, {"score": 3}).status_code == 200
    (entry,) = trail(ada, personal(ada), "?action=score.change")
    assert (entry["before"], entry["after"]) == (None, None)


@pytest.mark.parametrize("way", ["log", "trace", "experiment", "purge", "prune"])
def test_no_text_is_kept_about_a_log_whatever_takes_it(
    app: Flask, ada: Person, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    prompt = ada.prompt(title="gravity")
    experiment = ada.post("/basalt/monitor/experiments", {"featureSlug": "physics", "name": "Shorter"}).json
    span = {"id": "1", "type": "generation", "prompt": {"slug": "gravity"}, "output": "o"}
    for ident in (None, experiment["id"]):
        body = {"featureSlug": "physics", "logs": [span]}
        ada.post("/basalt/monitor/trace", body if ident is None else {**body, "experiment": {"id": ident}})
    for log in ada.get("/logs").json:
        assert log["promptId"] == prompt["_id"]
        for notes in ("What I think", "What I think now"):
            assert ada.patch(f"/logs/{log['_id']}", {"notes": notes}).status_code == 200
    alone, in_experiment = sorted(ada.get("/traces").json, key=lambda each: "experimentId" in each)
    (log_alone,) = ada.get(f"/traces/{alone['_id']}").json["logs"]
    (log_of_experiment,) = ada.get(f"/traces/{in_experiment['_id']}").json["logs"]
    gone = {log_alone["_id"]} if way in ("log", "trace") else {log_of_experiment["_id"]}
    if way == "log":
        ada.delete(f"/logs/{log_alone['_id']}")
    elif way == "trace":
        ada.delete(f"/traces/{alone['_id']}")
    elif way == "prune":
        gone |= {log_alone["_id"]}
        later = clock.now() + timedelta(days=3)
        monkeypatch.setattr(clock, "now", lambda: later)
        done(run(app, "prune", "--older-than", "1d"))
    else:
        if way == "purge":
            monkeypatch.setattr(deletions, "_IN_REQUEST_S", 0)
        (listed,) = ada.get("/experiments").json
        assert ada.delete(f"/experiments/{listed['slug']}").status_code == 204
        with app.app_context():
            purge.run()
    told = trail(ada, personal(ada), "?action=log.change")
    assert len(told) == 2
    assert {entry["object"]["id"] for entry in told if entry["before"] is None and entry["after"] is None} == gone


def test_keys_act_under_their_own_name_and_commands_as_the_command_line(
    app: Flask, client: Caller, ada: Person
) -> None:
    team = create(ada)
    key = ada.post("/auth/keys", {"name": "CI", "workspace": team["_id"]}).json
    by_key = Caller(client.client, {"x-api-key": key["key"]})
    by_key.post("/experiments", {"slug": "hi", "name": "Hi", "variants": [{"key": "A", "trafficPercent": 1}]})
    done(run(app, "key", "revoke", key["_id"]))
    entries = trail(ada, team)
    assert [(entry["action"], entry["actor"]["kind"], entry["actor"]["name"]) for entry in entries[:-1]] == [
        ("key.revoke", "cli", "command line"),
        ("experiment.create", "key", "CI"),
        ("key.create", "user", "ada"),
    ]


def test_an_entry_by_a_key_names_its_account_by_which_it_is_found(client: Caller, ada: Person, ben: Person) -> None:
    team = create(ada)
    join(ada, team, ben, "editor")
    key = ben.post("/auth/keys", {"name": "of Ben", "workspace": team["_id"]}).json
    by_key = Caller(client.client, {"x-api-key": key["key"]})
    prompt = by_key.post("/prompts", PROMPT).json
    by_key.delete(f"/prompts/{prompt['_id']}")
    found = trail(ada, team, f"?actor={ben.id}")
    assert [entry["action"] for entry in found] == ["prompt.delete", "prompt.create", "key.create", "member.join"]
    assert found[0]["actor"] == {"kind": "key", "id": key["_id"], "name": "of Ben", "userId": ben.id}
    assert trail(ada, team, f"?actor={key['_id']}") == found[:2]
    # also when the key is gone by then, its name is removed with that of the account
    assert ada.delete(f"/workspaces/{team['_id']}/keys/{key['_id']}").status_code == 204
    assert ben.delete("/auth/me", json={"currentPassword": ben.password, "anonymise": True}).status_code == 204
    text = ada.get(f"/workspaces/{team['_id']}/audit").text
    assert "of Ben" not in text
    assert '"name":"ben"' not in text.replace(" ", "")
    assert len(trail(ada, team, f"?actor={ben.id}")) == 5, "the ids stay"


@pytest.mark.parametrize("end", ["removed", "left", "account deleted", "account deleted by command"])
def test_keys_that_end_with_a_membership_are_told_one_by_one_or_many_together(
    app: Flask, ada: Person, ben: Person, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_store, "_NOTED", 2)
    monkeypatch.setattr(key_store, "_IDS_NOTED", 3)
    few, many = create(ada), create(ada)
    keys: dict[str, list[dict[str, Any]]] = {}
    for team, number in ((few, 2), (many, 4)):
        join(ada, team, ben, "editor")
        restricted = {"workspace": team["_id"], "scopes": ["read"]}
        keys[team["_id"]] = [ben.post("/auth/keys", {"name": f"k{n}", **restricted}).json for n in range(number)]
    ben.post("/auth/keys", {"name": "unbound"})
    for team in (few, many):
        if end == "removed":
            ada.delete(f"/workspaces/{team['_id']}/members/{ben.id}")
        elif end == "left":
            ben.delete(f"/workspaces/{team['_id']}/members/{ben.id}")
    if end == "account deleted":
        ben.delete("/auth/me", json={"currentPassword": ben.password})
    elif end == "account deleted by command":
        done(run(app, "user", "delete", ben.email, "--yes"))
    actor = {"removed": ("user", ada.id), "account deleted by command": ("cli", "")}.get(end, ("user", ben.id))
    ended = trail(ada, few, "?action=key.revoke")
    assert [(entry["object"], entry["before"]) for entry in ended[::-1]] == [
        ({"type": "key", "id": key["_id"], "name": key["name"]}, {"scopes": ["read"], "userId": ben.id})
        for key in keys[few["_id"]]
    ]
    (together,) = trail(ada, many, "?action=key.revoke")
    assert together["object"] == {"type": "member", "id": ben.id, "name": "ben"}
    assert together["before"] == {"keys": 4, "keyIds": [key["_id"] for key in keys[many["_id"]][:3]]}
    assert {(entry["actor"]["kind"], entry["actor"]["id"]) for entry in (*ended, together)} == {actor}
    assert ada.get(f"/workspaces/{many['_id']}/keys").json == []


def test_what_the_command_line_does_is_of_no_account_whomever_it_is_for(app: Flask, ada: Person) -> None:
    team = create(ada)
    done(run(app, "key", "add", ada.email, "CI", "--workspace", team["slug"]))
    done(run(app, "workspace", "add", "Another", "--owner", ada.email))
    another = ada.get("/workspaces/another").json
    for entry in (trail(ada, team)[0], trail(ada, another)[-1]):
        assert entry["actor"] == {"kind": "cli", "id": "", "name": "command line", "userId": None}


def test_exports_and_imports_are_told_with_their_counts(ada: Person) -> None:
    ada.log(ada.prompt())
    exported = ada.get("/export").data
    ada.post("/import?ids=new", data=exported, headers={"Content-Type": "application/x-ndjson"})
    told = [(entry["action"], entry["after"]) for entry in trail(ada, personal(ada)) if "port" in entry["action"]]
    counts = {"prompts": 1, "versions": 1, "experiments": 0, "traces": 0, "logs": 1}
    counts |= {"scoreConfigs": 0, "scores": 0, "spans": 0}
    assert told == [("import", counts), ("export", None)]


def test_every_action_is_told_with_the_names_that_the_api_has_and_is_documented(
    app: Flask, ada: Person, ben: Person
) -> None:
    team = create(ada)
    path = f"/workspaces/{team['_id']}"
    made = ada.post(f"{path}/invitations", {"role": "editor"}).json
    ada.delete(f"{path}/invitations/{ada.post(f'{path}/invitations', {'role': 'viewer'}).json['_id']}")
    ben.post("/invitations/accept", {"token": made["token"]})
    (joined,) = trail(ada, team, "?action=member.join")
    assert joined["after"] == {"role": "editor", "invitationId": made["_id"]}
    ada.patch(path, {"slug": "team", "protectedLabels": ["staging"], "name": "Team"})
    ada.patch(f"{path}/members/{ben.id}", {"role": "viewer"})
    ben.post("/auth/keys", {"name": "k", "workspace": team["_id"]})
    ben.delete(f"{path}/members/{ben.id}")
    join(ada, team, ben, "viewer")
    ada.delete(f"{path}/members/{ben.id}")
    join(ada, team, ben, "viewer")
    there = Person(ada, ada.id, ada.token, ada.email, ada.password)
    there.headers["X-Workspace"] = team["_id"]
    fill_account(there)
    prompt = there.prompt(messages=[{"role": "user", "content": "Hi"}], content=None, config={"temperature": 1})
    there.patch(f"/prompts/{prompt['_id']}", {"config": {"maxTokens": 5}, "tags": ["a"], "description": "d"})
    there.post(f"/prompts/{prompt['_id']}/versions/1/restore")
    there.put(f"/prompts/{prompt['_id']}/labels/a", {"version": 1})
    there.delete(f"/prompts/{prompt['_id']}/labels/a")
    variants = [{"key": "A", "trafficPercent": 1}, {"key": "with tags", "trafficPercent": 99}]
    changed = there.patch("/experiments/Greeting~1", {"variants": variants, "status": "PAUSED"})
    assert changed.status_code == 200, changed.text
    there.delete("/experiments/Greeting~1")
    log = there.log(prompt, score=3)
    there.patch(f"/logs/{log['_id']}", {"score": 4})
    scored = ben.post(f"/logs/{log['_id']}/scores", {"name": "tone", "value": "kind"}).json
    there.patch(f"/scores/{scored['_id']}", {"value": "curt"})
    there.delete(f"/scores/{scored['_id']}")
    for body in ({"kind": "number", "min": 1}, {"kind": "boolean"}):
        there.put("/score-configs/tone", body)
    there.delete("/score-configs/tone")
    there.delete(f"/logs/{log['_id']}")
    for trace in there.get("/traces").json:
        there.delete(f"/traces/{trace['_id']}")
    import_file(there, export(there))
    done(run(app, "prune", "--older-than", "1d", "--workspace", "team"))
    there.log(prompt)
    with app.app_context(), writing():
        session.execute(update(Log).values(created_at=clock.from_text("2020-01-01T00:00:00Z")))
    done(run(app, "prune", "--older-than", "1d", "--workspace", "team"))
    entries = trail(ada, team)
    assert {entry["action"] for entry in entries} == set(ACTIONS)
    for entry in entries:
        for values in filter(None, (entry["before"], entry["after"])):
            assert not any("_" in name for name in names_in(values)), entry
    (changed_workspace,) = trail(ada, team, "?action=workspace.change")
    assert changed_workspace["after"] == {"slug": "team", "protectedLabels": ["staging"], "name": "Team"}
    rows = re.findall(r"^\| `([a-z._]+)` \|", (ROOT / "docs/api/workspaces.md").read_text(), re.MULTILINE)
    assert [name for name in rows if name in ACTIONS] == list(ACTIONS)


def names_in(value: Any) -> list[str]:
    """Return the names of all fields of a JSON value, without those that a client chooses in `config`."""
    if isinstance(value, list):
        return [name for each in value for name in names_in(each)]
    if not isinstance(value, dict):
        return []
    return [*value, *(inner for name, each in value.items() if name != "config" for inner in names_in(each))]


def test_no_secret_is_in_the_trail(ada: Person) -> None:
    team = create(ada)
    token = invite(ada, team, "viewer")
    key = ada.post("/auth/keys", {"name": "CI", "workspace": team["_id"]}).json["key"]
    text = ada.get(f"/workspaces/{team['_id']}/audit").text
    assert token not in text
    assert key not in text


def test_an_anonymised_account_leaves_no_name_in_the_trail(ada: Person, ben: Person) -> None:
    team = create(ada)
    join(ada, team, ben, "editor")
    ben.delete("/auth/me", json={"currentPassword": ben.password, "anonymise": True})
    (left,) = trail(ada, team, "?action=member.leave")
    gone = "deleted account"
    assert (left["actor"]["id"], left["actor"]["name"], left["object"]["name"]) == (ben.id, gone, gone)
    (joined,) = trail(ada, team, "?action=member.join")
    assert joined["actor"] == {"kind": "user", "id": ben.id, "name": gone, "userId": ben.id}
    assert joined["object"] == {"type": "member", "id": ben.id, "name": gone}
    lines = ada.get(f"/workspaces/{team['_id']}/audit?actor={ben.id}", headers={"Accept": "text/csv"}).text
    assert lines.replace('"', "").count(f",user,{ben.id},deleted account,{ben.id},") == 2


def test_an_anonymised_account_leaves_no_name_of_a_key_that_was_revoked_before(
    app: Flask, ada: Person, ben: Person
) -> None:
    team = create(ada)
    join(ada, team, ben, "editor")
    done(run(app, "key", "add", ben.email, "Laptop by the operator", "--workspace", team["slug"]))
    ben.post("/auth/keys", {"name": "Laptop of mine", "workspace": team["slug"]})
    for key in ada.get(f"/workspaces/{team['_id']}/keys").json:
        assert ada.delete(f"/workspaces/{team['_id']}/keys/{key['_id']}").status_code == 204
    named = ada.get(f"/workspaces/{team['_id']}/audit").text
    assert named.count("Laptop") == 4
    ben.delete("/auth/me", json={"currentPassword": ben.password, "anonymise": True})
    assert "Laptop" not in ada.get(f"/workspaces/{team['_id']}/audit").text


def test_changes_of_a_prompt_and_its_labels_are_told_until_it_is_deleted(ada: Person) -> None:
    prompt = ada.prompt(title="A title")
    path = f"/prompts/{prompt['_id']}"
    ada.patch(path, {"content": "Canary " * 300, "title": "A title"})
    ada.post(f"{path}/versions/1/restore")
    for version in (1, 2):
        ada.put(f"{path}/labels/production", {"version": version})
    ada.delete(f"{path}/labels/production")
    ada.log(prompt, notes="canary note")
    (log,) = ada.get(f"/logs?promptId={prompt['_id']}").json
    ada.patch(f"/logs/{log['_id']}", {"notes": "other"})
    told = [(entry["action"], entry["before"], entry["after"]) for entry in trail(ada, personal(ada))][::-1]
    assert told[0] == ("prompt.create", None, None)
    (action, before, after) = told[1]
    assert (action, before, list(after)) == ("prompt.change", {"content": "Some content"}, ["content"])
    assert len(after["content"]) == 1001
    assert told[2:] == [
        ("prompt.restore", {"version": 1}, {"version": 3}),
        ("label.set", None, {"version": 1}),
        ("label.set", {"version": 1}, {"version": 2}),
        ("label.remove", {"version": 2}, None),
        ("log.change", {"notes": "canary note"}, {"notes": "other"}),
    ]
    assert ada.delete(path).status_code == 204
    text = ada.get(f"/workspaces/{personal(ada)['_id']}/audit").text
    assert "canary" not in text.lower()
    assert "A title" not in text
    assert next(entry["action"] for entry in trail(ada, personal(ada))) == "prompt.delete"
