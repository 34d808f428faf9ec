"""Workspaces, members and invitations, over HTTP."""

from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from promptcrafter import clock
from tests.support.commands import done, run
from tests.support.people import Answer, Caller, Person, sign_up


@pytest.fixture
def eve(client: Caller) -> Person:
    return sign_up(client, "eve")


def create(person: Person, **values: Any) -> dict[str, Any]:
    answer = person.post("/workspaces", {"name": "Support team", **values})
    assert answer.status_code == 201, answer.text
    return dict(answer.json)


def invite(owner: Person, workspace: dict[str, Any], role: str, **values: Any) -> str:
    answer = owner.post(f"/workspaces/{workspace['_id']}/invitations", {"role": role, **values})
    assert answer.status_code == 201, answer.text
    return str(answer.json["token"])


def join(owner: Person, workspace: dict[str, Any], person: Person, role: str) -> None:
    answer = person.post("/invitations/accept", {"token": invite(owner, workspace, role)})
    assert answer.status_code == 200, answer.text


def code(answer: Answer) -> tuple[int, str]:
    return answer.status_code, answer.json["code"]


def test_an_account_has_a_personal_workspace_and_makes_others(ada: Person) -> None:
    team = create(ada)
    assert team == {
        **{"_id": team["_id"], "slug": "support-team", "name": "Support team", "personal": False, "role": "owner"},
        **{"createdAt": team["createdAt"], "updatedAt": team["createdAt"], "protectedLabels": []},
    }
    personal, listed = ada.get("/workspaces").json
    assert listed == team
    assert (personal["personal"], personal["role"], personal["name"]) == (True, "owner", "ada")
    assert ada.get("/auth/me").json["defaultWorkspaceId"] == personal["_id"]
    assert ada.get("/workspaces/support-team").json == team == ada.get(f"/workspaces/{team['_id']}").json
    assert create(ada)["slug"] == "support-team-2"
    assert code(ada.post("/workspaces", {"name": "x", "slug": "support-team"})) == (409, "slug_taken")


def test_a_workspace_is_changed_by_its_owner_and_deleted_when_its_slug_is_confirmed(ada: Person) -> None:
    create(ada)
    changed = ada.patch("/workspaces/support-team", {"slug": "help", "protectedLabels": ["production"]}).json
    assert (changed["slug"], changed["protectedLabels"], changed["name"]) == ("help", ["production"], "Support team")
    assert code(ada.get("/workspaces/support-team")) == (404, "workspace_not_found")
    prompt = ada.post("/prompts", PROMPT, headers={"X-Workspace": "help"}).json
    unconfirmed = ada.delete("/workspaces/help")
    assert code(unconfirmed) == (400, "missing_fields")
    reason = "confirm is required: as a query parameter, the slug of the workspace"
    assert unconfirmed.json["message"] == reason
    assert code(ada.delete("/workspaces/help?confirm=helm")) == (400, "invalid_fields")
    assert ada.delete("/workspaces/help?confirm=help").status_code == 204
    assert code(ada.get("/workspaces/help")) == (404, "workspace_not_found")
    assert code(ada.get(f"/prompts/{prompt['_id']}")) == (404, "prompt_not_found")
    assert create(ada, slug="help")["slug"] == "help"
    personal = ada.get("/workspaces").json[0]
    answer = ada.delete(f"/workspaces/{personal['_id']}?confirm={personal['slug']}")
    assert code(answer) == (409, "personal_workspace")


PROMPT = {"title": "A title", "content": "Some content", "model": "gpt-4o"}


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/workspaces", {"name": "x", "slugg": "y"}, "slugg"),
        ("/workspaces", {"name": None}, "name"),
        ("/workspaces", {"name": "x", "slug": "Not A Slug"}, "slug"),
        ("/workspaces/support-team/invitations", {"role": "admin"}, "role"),
        ("/workspaces/support-team/invitations", {"role": "viewer", "expiresInDays": 31}, "expiresInDays"),
        ("/workspaces/support-team/invitations", {"role": "viewer", "expires": 1}, "expires"),
        ("/invitations/accept", {"token": "x", "workspace": "y"}, "workspace"),
        ("/auth/keys", {"name": "k", "scopes": []}, "scopes"),
        ("/auth/keys", {"name": "k", "scopes": None}, "scopes"),
        ("/auth/keys", {"name": "k", "scopes": ["reads"]}, "scopes.0"),
        ("/auth/keys", {"name": "k", "workspace": None}, "workspace"),
        ("/auth/keys", {"name": "k", "workspace": "nowhere"}, "workspace"),
        ("/auth/keys", {"name": "k", "scope": ["read"]}, "scope"),
    ],
)
def test_a_misspelt_or_empty_restriction_is_refused(ada: Person, path: str, body: dict[str, Any], field: str) -> None:
    create(ada)
    answer = ada.post(path, body)
    assert (answer.status_code, list(answer.json["details"])) == (400, [field]), answer.text


def test_an_invitation_makes_one_member_and_is_used_up(ada: Person, ben: Person, eve: Person) -> None:
    team = create(ada)
    made = ada.post(f"/workspaces/{team['_id']}/invitations", {"role": "editor"}).json
    assert made["url"] == f"http://localhost/app/invitation#{made['token']}"
    (listed,) = ada.get(f"/workspaces/{team['_id']}/invitations").json
    assert listed == {name: value for name, value in made.items() if name not in ("token", "url")}
    joined = ben.post("/invitations/accept", {"token": made["token"]})
    assert (joined.status_code, joined.json["role"], joined.json["_id"]) == (200, "editor", team["_id"])
    assert code(eve.post("/invitations/accept", {"token": made["token"]})) == (404, "invitation_not_found")
    members = ben.get(f"/workspaces/{team['_id']}/members").json
    assert [(each["userId"], each["role"]) for each in members] == [(ada.id, "owner"), (ben.id, "editor")]
    again = invite(ada, team, "owner")
    accepted = ben.post("/invitations/accept", {"token": again})
    assert (accepted.status_code, accepted.json["role"]) == (200, "editor"), "a member stays what it is"
    assert eve.post("/invitations/accept", {"token": again}).json["role"] == "owner", "and it stayed unused"


def test_a_revoked_or_expired_invitation_is_unknown(ada: Person, ben: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    team = create(ada)
    made = ada.post(f"/workspaces/{team['_id']}/invitations", {"role": "viewer"}).json
    assert ada.delete(f"/workspaces/{team['_id']}/invitations/{made['_id']}").status_code == 204
    assert code(ben.post("/invitations/accept", {"token": made["token"]})) == (404, "invitation_not_found")
    token = invite(ada, team, "viewer", expiresInDays=1)
    later = clock.now() + timedelta(days=1)
    monkeypatch.setattr(clock, "now", lambda: later)
    assert code(ben.post("/invitations/accept", {"token": token})) == (404, "invitation_not_found")
    assert ada.get(f"/workspaces/{team['_id']}/invitations").json == []


@pytest.mark.parametrize("change", ["removed", "left", "demoted"])
def test_invitations_end_when_their_author_may_no_longer_invite(
    ada: Person, ben: Person, eve: Person, change: str
) -> None:
    team = create(ada)
    join(ada, team, ben, "owner")
    by_ben, by_ada = invite(ben, team, "owner"), invite(ada, team, "viewer")
    elsewhere = invite(ben, create(ben), "viewer")
    member = f"/workspaces/{team['_id']}/members/{ben.id}"
    if change == "demoted":
        assert ada.patch(member, {"role": "editor"}).status_code == 200
    else:
        assert (ada if change == "removed" else ben).delete(member).status_code == 204
    for person in (ben, eve):
        assert code(person.post("/invitations/accept", {"token": by_ben})) == (404, "invitation_not_found")
    (entry,) = ada.get(f"/workspaces/{team['_id']}/audit?object={ben.id}&per_page=1").json
    assert entry["before"] == {"role": "owner", "invitations": 1}
    assert eve.post("/invitations/accept", {"token": by_ada}).json["role"] == "viewer"
    assert eve.post("/invitations/accept", {"token": elsewhere}).status_code == 200


def test_nobody_is_invited_to_a_personal_workspace(ada: Person) -> None:
    personal = ada.get("/workspaces").json[0]["_id"]
    assert code(ada.post(f"/workspaces/{personal}/invitations", {"role": "viewer"})) == (409, "personal_workspace")


def test_a_sign_up_with_an_invitation_makes_a_member_or_nothing(client: Caller, ada: Person) -> None:
    team = create(ada)
    token = invite(ada, team, "viewer")
    body = {"name": "Eve", "email": "eve@example.com", "password": "the password of eve"}
    unknown = client.post("/auth/signup", {**body, "invitation": "inv_wrong"})
    assert code(unknown) == (404, "invitation_not_found")
    assert unknown.json["message"] == "This invitation is used, revoked, expired or unknown."
    taken = client.post("/auth/signup", {**body, "email": ada.email, "invitation": token})
    assert code(taken) == (409, "email_taken")
    assert taken.json["message"] == (
        "Email already in use. Log in with it, and send the invitation's token to POST /invitations/accept."
    )
    made = client.post("/auth/signup", {**body, "invitation": token})
    eve = Caller(client.client, {"Authorization": f"Bearer {made.json['token']}"})
    assert [each["role"] for each in eve.get("/workspaces").json] == ["owner", "viewer"]


def test_the_header_chooses_the_workspace_of_lists_and_of_what_is_created(ada: Person, ben: Person) -> None:
    team = create(ada)
    join(ada, team, ben, "editor")
    there = {"X-Workspace": "support-team"}
    prompt = ben.post("/prompts", PROMPT, headers=there).json
    assert prompt["ownerId"] == ben.id
    assert ben.get("/prompts").json == [] == ada.get("/prompts").json
    assert ada.get("/prompts", headers={"X-Workspace": team["_id"]}).json == [prompt]
    assert ada.get(f"/prompts/{prompt['_id']}").json == prompt, "a thing named by its id is where it lives"
    log = ada.log(prompt)
    assert ben.get("/logs", headers=there).json == [log]
    assert ada.get("/logs").json == []
    for wrong in ("support-team-2", "workspace_unknown", "", "ü"):
        answer = ada.get("/prompts", headers={"X-Workspace": wrong.encode().decode("latin-1")})
        assert code(answer) == (404, "workspace_not_found")


def test_the_default_workspace_is_that_of_tokens_but_not_of_keys(ada: Person, client: Caller) -> None:
    team = create(ada)
    key = ada.post("/auth/keys", {"name": "k"}).json["key"]
    changed = ada.patch("/auth/me", {"defaultWorkspaceId": team["_id"]})
    assert (changed.status_code, changed.json["defaultWorkspaceId"]) == (200, team["_id"])
    prompt = ada.prompt()
    assert ada.get("/prompts", headers={"X-Workspace": team["_id"]}).json == [prompt]
    by_key = Caller(client.client, {"x-api-key": key})
    assert by_key.get("/prompts").json == []
    ada.delete("/workspaces/support-team?confirm=support-team")
    assert ada.get("/auth/me").json["defaultWorkspaceId"] != team["_id"]
    assert ada.get("/prompts").json == []
    assert ada.patch("/auth/me", {"defaultWorkspaceId": None}).status_code == 200
    other = create(ada)
    assert ada.patch("/auth/me", {"defaultWorkspaceId": other["slug"]}).json["defaultWorkspaceId"] == other["_id"]
    unknown = ada.patch("/auth/me", {"defaultWorkspaceId": "nowhere"})
    assert unknown.json["message"] == "defaultWorkspaceId must be the id or the slug of one of your workspaces."


def test_a_viewer_reads_and_an_editor_writes(ada: Person, ben: Person) -> None:
    team = create(ada)
    join(ada, team, ben, "viewer")
    there = {"X-Workspace": team["_id"]}
    prompt = ada.post("/prompts", PROMPT, headers=there).json
    assert ben.get(f"/prompts/{prompt['_id']}").json == prompt
    log = {"promptId": prompt["_id"], "output": "o", "modelUsed": "m"}
    refused = [
        ben.patch(f"/prompts/{prompt['_id']}", {"title": "Another"}),
        ben.delete(f"/prompts/{prompt['_id']}"),
        ben.post("/prompts", PROMPT, headers=there),
        ben.post("/logs", log),
    ]
    assert [code(answer) for answer in refused] == [(403, "role_forbids")] * 4
    assert refused[0].json["message"] == "Your role in this workspace is viewer; this needs editor."
    assert code(ben.patch(f"/workspaces/{team['_id']}", {"name": "x"})) == (403, "role_forbids")
    assert ada.patch(f"/workspaces/{team['_id']}/members/{ben.id}", {"role": "editor"}).json["role"] == "editor"
    assert ben.post("/logs", log).status_code == 201
    assert ben.patch(f"/prompts/{prompt['_id']}", {"title": "Another"}).status_code == 200


def test_a_stranger_gets_the_documented_answers(ada: Person, ben: Person) -> None:
    team = create(ada)
    prompt = ada.post("/prompts", PROMPT, headers={"X-Workspace": team["_id"]}).json
    assert code(ben.get(f"/prompts/{prompt['_id']}")) == (403, "prompt_not_owned")
    for path in ("", "/members", "/keys", "/invitations"):
        assert code(ben.get(f"/workspaces/{team['_id']}{path}")) == (404, "workspace_not_found")


def test_a_member_leaves_or_is_removed_with_the_keys_that_are_bound(client: Caller, ada: Person, ben: Person) -> None:
    team = create(ada)
    join(ada, team, ben, "editor")
    there = {"X-Workspace": team["_id"]}
    prompt = ben.post("/prompts", PROMPT, headers=there).json
    ben.patch("/auth/me", {"defaultWorkspaceId": team["_id"]})
    bound = ben.post("/auth/keys", {"name": "bound", "workspace": team["slug"]}).json
    unbound = ben.post("/auth/keys", {"name": "unbound"}).json["key"]
    (listed,) = ada.get(f"/workspaces/{team['_id']}/keys").json
    assert (listed["_id"], listed["userId"], listed["userName"]) == (bound["_id"], ben.id, "ben")
    assert "key" not in listed
    by_bound, by_unbound = (Caller(client.client, {"x-api-key": key}) for key in (bound["key"], unbound))
    assert by_bound.get("/prompts").json == [prompt]
    assert code(ben.delete(f"/workspaces/{team['_id']}/members/{ada.id}")) == (403, "role_forbids")
    assert ada.delete(f"/workspaces/{team['_id']}/members/{ben.id}").status_code == 204
    assert by_bound.get("/prompts").status_code == 401
    assert by_unbound.get("/prompts").json == [] == ben.get("/prompts").json
    assert code(ben.get(f"/prompts/{prompt['_id']}")) == (403, "prompt_not_owned")
    assert code(ben.get("/prompts", headers=there)) == (404, "workspace_not_found")
    assert ada.get("/prompts", headers=there).json == [prompt], "what they made stays under their name"
    assert code(ada.delete(f"/workspaces/{team['_id']}/members/{ben.id}")) == (404, "member_not_found")


def test_a_workspace_keeps_an_owner(ada: Person, ben: Person) -> None:
    team = create(ada)
    join(ada, team, ben, "editor")
    member = f"/workspaces/{team['_id']}/members/{ada.id}"
    assert code(ada.delete(member)) == (409, "last_owner")
    assert code(ada.patch(member, {"role": "editor"})) == (409, "last_owner")
    ada.patch(f"/workspaces/{team['_id']}/members/{ben.id}", {"role": "owner"})
    assert ada.delete(member).status_code == 204
    assert code(ben.delete(f"/workspaces/{team['_id']}/members/{ben.id}")) == (409, "last_owner")


def test_me_is_the_caller_among_the_members(ada: Person, ben: Person) -> None:
    team = create(ada)
    me = f"/workspaces/{team['_id']}/members/me"
    assert code(ben.delete(me)) == (404, "workspace_not_found")
    join(ada, team, ben, "owner")
    assert ada.patch(me, {"role": "viewer"}).json["userId"] == ada.id
    assert code(ada.patch(me, {"role": "owner"})) == (403, "role_forbids")
    assert ada.delete(me).status_code == 204
    assert [each["userId"] for each in ben.get(f"/workspaces/{team['_id']}/members").json] == [ben.id]
    assert code(ben.delete(me)) == (409, "last_owner")


def test_a_disabled_account_is_no_owner_that_remains(app: Flask, ada: Person, ben: Person) -> None:
    team = create(ada)
    path = f"/workspaces/{team['_id']}/members"
    join(ada, team, ben, "editor")
    assert [each["disabled"] for each in ada.get(path).json] == [False, False]
    done(run(app, "user", "disable", ben.email))
    assert [each["disabled"] for each in ada.get(path).json] == [False, True]
    refused = ada.patch(f"{path}/{ben.id}", {"role": "owner"})
    assert (code(refused), refused.json["message"]) == (
        (400, "invalid_fields"),
        "role must not be owner: the account is disabled.",
    )
    assert run(app, "workspace", "set-role", team["slug"], ben.email, "owner").exit_code == 1
    done(run(app, "user", "enable", ben.email))
    assert ada.patch(f"{path}/{ben.id}", {"role": "owner"}).status_code == 200
    done(run(app, "user", "disable", ben.email))
    for answer in (ada.delete(f"{path}/me"), ada.patch(f"{path}/me", {"role": "viewer"})):
        assert code(answer) == (409, "last_owner")
        assert answer.json["message"] == (
            "The workspace would be left without an owner: make another member an owner first, or delete it. "
            "A disabled account does not count."
        )
    assert code(ada.delete("/auth/me", json={"currentPassword": ada.password})) == (409, "last_owner")
    disabled = run(app, "user", "disable", ada.email)
    assert "It is the only owner of support-team" in disabled.stderr
    done(run(app, "user", "enable", ada.email))
    assert ada.post("/auth/login", {"email": ada.email, "password": ada.password}).status_code == 200


def test_a_bound_key_sees_its_workspace_alone(client: Caller, ada: Person, ben: Person) -> None:
    team = create(ada)
    own, strange = ada.prompt(), ben.prompt()
    shared = ada.post("/prompts", PROMPT, headers={"X-Workspace": team["_id"]}).json
    key = ada.post("/auth/keys", {"name": "CI", "workspace": team["_id"]}).json["key"]
    by_key = Caller(client.client, {"x-api-key": key})
    assert by_key.get("/prompts").json == [shared]
    assert by_key.get("/prompts", headers={"X-Workspace": team["slug"]}).json == [shared]
    personal = ada.get("/workspaces").json[0]
    for elsewhere in (personal["_id"], "nowhere"):
        refused = by_key.get("/prompts", headers={"X-Workspace": elsewhere})
        assert code(refused) == (404, "workspace_not_found")
        text = "Workspace not found. This API key is bound to one workspace and sees no other."
        assert refused.json["message"] == text
    reason = ". This API key is bound to one workspace and reaches nothing outside of it."
    for prompt in (own, strange):
        refused = by_key.get(f"/prompts/{prompt['_id']}")
        assert code(refused) == (403, "prompt_not_owned")
        text = f"You do not own this prompt{reason}"
        assert refused.json["message"] == text, "which does not tell what else is the account's"
    log = ada.log(own)
    refused = by_key.get(f"/compare?logs={log['_id']},{ada.log(own)['_id']}")
    assert refused.json["message"] == f"You do not own this log: {log['_id']}{reason}"
    assert [each["_id"] for each in by_key.get("/workspaces").json] == [team["_id"]]
    for path in ("/auth/me", "/auth/keys"):
        assert code(by_key.get(path)) == (403, "scope_forbids")
    monitored = by_key.post("/monitor/log", {"slug": shared["slug"], "tag": "latest", "output": "o"})
    assert (monitored.status_code, monitored.json["warning"]) == (200, None), "a dialect follows its key"


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [
        (["read"], {"list"}),
        (["ingest"], {"log"}),
        (["write"], {"list", "log", "create"}),
        (["read", "ingest"], {"list", "log"}),
        (["admin"], {"list", "log", "create", "me", "workspace"}),
    ],
)
def test_a_key_does_what_its_scopes_allow(client: Caller, ada: Person, scopes: list[str], allowed: set[str]) -> None:
    prompt = ada.prompt()
    made = ada.post("/auth/keys", {"name": "k", "scopes": scopes}).json
    assert made["scopes"] == scopes
    by_key = Caller(client.client, {"x-api-key": made["key"]})
    answers = {
        "list": by_key.get("/prompts"),
        "log": by_key.post("/logs", {"promptId": prompt["_id"], "output": "o", "modelUsed": "m"}),
        "create": by_key.post("/prompts", PROMPT),
        "me": by_key.get("/auth/me"),
        "workspace": by_key.post("/workspaces", {"name": "x"}),
    }
    assert {name for name, answer in answers.items() if answer.status_code < 300} == allowed
    refused = [answer for name, answer in answers.items() if name not in allowed]
    assert {code(answer) for answer in refused} <= {(403, "scope_forbids")}
    answer = by_key.post("/auth/password", {"currentPassword": "x", "newPassword": "y"})
    assert code(answer) == (403, "scope_forbids")


def test_a_scope_that_is_sent_twice_is_stored_once(ada: Person) -> None:
    made = ada.post("/auth/keys", {"name": "k", "scopes": ["write", "read", "write"]})
    assert (made.status_code, made.json["scopes"]) == (201, ["write", "read"])


def test_an_account_changes_its_name_and_with_its_password_its_address(ada: Person, ben: Person) -> None:
    assert ada.patch("/auth/me", {"name": "Ada L."}).json["name"] == "Ada L."
    assert code(ada.patch("/auth/me", {"email": "new@example.com"})) == (400, "missing_fields")
    wrong = {"email": "new@example.com", "currentPassword": "not this one"}
    assert code(ada.patch("/auth/me", wrong)) == (401, "wrong_password")
    assert code(ada.patch("/auth/me", {"email": ben.email, "currentPassword": ada.password})) == (409, "email_taken")
    changed = ada.patch("/auth/me", {"email": "new@example.com", "currentPassword": ada.password})
    assert changed.json["email"] == "new@example.com"
    assert ada.post("/auth/login", {"email": "new@example.com", "password": ada.password}).status_code == 200
    misplaced = ada.patch("/auth/me", {"password": "another password"}).json
    hint = "is not changed by this call, but by POST /auth/password with newPassword"
    assert (misplaced["code"], misplaced["details"]) == ("unknown_fields", {"password": [hint]})


@pytest.mark.parametrize("anonymise", [False, True])
def test_an_account_that_is_deleted_leaves_what_it_made_for_the_team(
    client: Caller, ada: Person, ben: Person, anonymise: bool
) -> None:
    team = create(ada)
    join(ada, team, ben, "editor")
    there = {"X-Workspace": team["_id"]}
    shared = ada.post("/prompts", PROMPT, headers=there).json
    ben.patch(f"/prompts/{shared['_id']}", {"content": "Better"})
    log = ada.log(shared)
    own = ben.prompt()
    key = ben.post("/auth/keys", {"name": "k"}).json["key"]
    assert code(ada.delete("/auth/me", json={"currentPassword": ada.password})) == (409, "last_owner")
    assert code(ben.delete("/auth/me", json={"currentPassword": "wrong"})) == (401, "wrong_password")
    answer = ben.delete("/auth/me", json={"currentPassword": ben.password, "anonymise": anonymise})
    assert answer.status_code == 204, answer.text
    assert ben.get("/prompts").status_code == 401
    assert Caller(client.client, {"x-api-key": key}).get("/prompts").status_code == 401
    assert code(ada.get(f"/prompts/{own['_id']}")) == (404, "prompt_not_found")
    versions = ada.get(f"/prompts/{shared['_id']}/versions").json
    assert [version["createdBy"] for version in versions] == [ben.id, ada.id]
    assert ada.get("/logs", headers=there).json == [log]
    assert [each["userId"] for each in ada.get(f"/workspaces/{team['_id']}/members").json] == [ada.id]
    again = {"name": "ben", "email": ben.email, "password": "another password"}
    assert client.post("/auth/signup", again).status_code == 201, "the address is free again"


def test_a_key_shows_the_hour_of_its_last_use(client: Caller, ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    made = ada.post("/auth/keys", {"name": "k"}).json
    by_key = Caller(client.client, {"x-api-key": made["key"]})
    begun = clock.now()
    for minutes, noted in ((0, 0), (59, 0), (61, 61)):
        moment = begun + timedelta(minutes=minutes)
        monkeypatch.setattr(clock, "now", lambda moment=moment: moment)
        assert by_key.get("/prompts").status_code == 200
        (listed,) = ada.get("/auth/keys").json
        assert listed["lastUsedAt"] == clock.to_text(begun + timedelta(minutes=noted))


def test_protected_labels_are_kept_once(ada: Person) -> None:
    create(ada)
    changed = ada.patch("/workspaces/support-team", {"protectedLabels": ["production", "a", "production"]})
    assert changed.json["protectedLabels"] == ["production", "a"]
    refused = ada.patch("/workspaces/support-team", {"protectedLabels": ["latest"]}).json
    reason = "must not be latest, which is the newest version and not set"
    assert refused["details"] == {"protectedLabels.0": [reason]}


@pytest.mark.parametrize("labels", [[""], ["{"], ["1st"], ["a" * 65], ["latest version"], [None], "production", None])
def test_what_is_no_list_of_labels_is_refused(ada: Person, labels: Any) -> None:
    create(ada)
    answer = ada.patch("/workspaces/support-team", {"protectedLabels": labels})
    assert (answer.status_code, answer.json["code"][:7]) in ((400, "invalid"), (400, "missing")), answer.text
