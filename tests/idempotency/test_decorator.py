"""The Idempotency-Key header."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select

from promptcrafter import clock
from promptcrafter.database import transactions
from promptcrafter.database.session import get_engine, session
from promptcrafter.idempotency.models import IdempotencyRecord
from tests.support import otlp
from tests.support.databases import only_sqlite
from tests.support.people import Person
from tests.support.routes import api_rules
from tests.support.rows import idempotency_row

KEY = {"Idempotency-Key": "3f1c-a"}
# The POST routes that create nothing, or nothing twice; and new API keys, whose text is not stored
OTHERS = {
    "/auth/signup",
    "/auth/password/reset",
    "/auth/login",
    "/auth/logout",
    "/auth/password",
    "/auth/keys",
    "/prompts/<prompt_id>/render",
    "/prompts/by-slug/<slug:slug>/render",
    "/experiment/<slug>/assign",
    "/basalt/prompts/<slug:slug>/publish",
    "/import",
    "/workspaces",
    "/workspaces/<workspace>/invitations",
    "/invitations/accept",
    *otlp.PATHS,  # spans and log records are stored once by their own ids
    *(
        "/api/public/v2/prompts",
        "/api/public/scores",
        "/api/public/ingestion",
    ),  # no such header is sent
}


@pytest.fixture
def place(ada: Person) -> dict[str, str]:
    """The id of a prompt to log to; there is an experiment, too."""
    prompt = ada.prompt(slug="qa")
    variants = [{"key": "A", "trafficPercent": 1}]
    ada.post("/experiments", {"slug": "e", "name": "n", "status": "ACTIVE", "variants": variants})
    return {"prompt": prompt["_id"]}


def creating(prompt: str) -> dict[str, tuple[Any, str]]:
    """Every call that creates, its body, and the list that grows by it."""
    log = {"promptId": prompt, "output": "x", "modelUsed": "m"}
    variants = [{"key": "A", "trafficPercent": 1}]
    return {
        "/prompts": ({"title": "Title", "content": "c", "model": "m"}, "/prompts"),
        f"/prompts/{prompt}/versions/1/restore": (None, f"/prompts/{prompt}/versions"),
        "/logs": (log, "/logs"),
        "/logs/batch": ({"logs": [log, {}]}, "/logs"),
        "/experiments": ({"slug": "f", "name": "n", "variants": variants}, "/experiments"),
        "/experiment/e/log": ({"variantKey": "A"}, "/experiments/e/logs"),
        "/monitor/log": ({"slug": "qa", "output": "x"}, "/logs"),
        "/basalt/monitor/log": ({"slug": "qa", "output": "x"}, "/traces"),
        "/basalt/monitor/trace": ({"featureSlug": "f", "logs": []}, "/traces"),
        "/basalt/monitor/experiments": ({"featureSlug": "f", "name": "n"}, "/experiments"),
    }


def test_a_repeated_request_gets_the_first_response_and_creates_nothing(ada: Person, place: dict[str, str]) -> None:
    for path, (body, listed) in creating(place["prompt"]).items():
        key = {"Idempotency-Key": f'"{path}"'}
        before = len(ada.get(listed).json)
        first = ada.post(path, body, headers=key)
        assert first.status_code in (200, 201), (path, first.text)
        assert "Idempotency-Replayed" not in first.headers, path
        again = ada.post(path, body, headers=key)
        assert (again.status_code, again.data) == (first.status_code, first.data), path
        assert again.headers.get("Location") == first.headers.get("Location"), path
        assert (again.headers["Idempotency-Replayed"], again.mimetype) == ("true", "application/json"), path
        assert len(ada.get(listed).json) == before + 1, path
        assert ada.post(path, body).status_code in (201, 200, 409), f"{path}: without a key it is another request"


def test_every_post_that_creates_takes_a_key(app: Flask) -> None:
    posts = [rule for rule in api_rules(app) if "POST" in (rule.methods or ())]
    views = app.view_functions
    without = {rule.rule for rule in posts if not getattr(views[rule.endpoint], "is_idempotent", False)}
    assert without == OTHERS


def test_the_first_response_is_returned_even_after_the_resource_has_changed(ada: Person, place: dict[str, str]) -> None:
    body = {"promptId": place["prompt"], "output": "x", "modelUsed": "m"}
    first = ada.post("/logs", body, headers=KEY).json
    ada.patch(f"/logs/{first['_id']}", {"score": 5})
    assert ada.post("/logs", body, headers=KEY).json == first
    ada.delete(f"/logs/{first['_id']}")
    assert ada.post("/logs", body, headers=KEY).json == first
    assert ada.get("/logs").json == []


def test_a_key_used_for_another_request_is_422(ada: Person, place: dict[str, str]) -> None:
    body = {"promptId": place["prompt"], "output": "x", "modelUsed": "m"}
    assert ada.post("/logs", body, headers=KEY).status_code == 201
    for path, other in (("/logs", {**body, "output": "y"}), ("/logs/batch", {"logs": []}), ("/prompts", body)):
        answer = ada.post(path, other if path != "/prompts" else ada_prompt(), headers=KEY)
        assert (answer.status_code, answer.json["code"]) == (422, "idempotency_key_reused")
        assert answer.json["message"] == "This Idempotency-Key was used for another request."
    assert len(ada.get("/logs").json) == 1


def ada_prompt() -> dict[str, str]:
    return {"title": "Title", "content": "c", "model": "m"}


def test_callers_with_equal_keys_do_not_affect_each_other(ada: Person, ben: Person) -> None:
    first, other = (person.post("/prompts", ada_prompt(), headers=KEY) for person in (ada, ben))
    assert first.json["_id"] != other.json["_id"]
    assert first.json["ownerId"] == ada.id
    assert other.json["ownerId"] == ben.id


def test_a_refused_request_may_be_repeated_with_the_same_key(ada: Person) -> None:
    taken = ada.prompt(slug="taken")
    body = {**ada_prompt(), "slug": "taken"}
    assert ada.post("/prompts", body, headers=KEY).status_code == 409
    assert ada.post("/prompts", {**body, "model": ""}, headers=KEY).status_code == 400
    ada.delete(f"/prompts/{taken['_id']}")
    made = ada.post("/prompts", body, headers=KEY)
    assert (made.status_code, "Idempotency-Replayed" in made.headers) == (201, False)


def test_a_response_is_stored_for_a_day(app: Flask, ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    start = clock.now()
    first = ada.post("/prompts", ada_prompt(), headers=KEY).json
    for number in range(3):
        ada.post("/prompts", ada_prompt(), headers={"Idempotency-Key": f"old-{number}"})
    monkeypatch.setattr(clock, "now", lambda: start + timedelta(hours=23, minutes=59))
    assert ada.post("/prompts", ada_prompt(), headers=KEY).json == first
    monkeypatch.setattr(clock, "now", lambda: start + timedelta(hours=24, minutes=1))
    assert ada.post("/prompts", {**ada_prompt(), "model": "other"}, headers=KEY).json["model"] == "other"
    with app.app_context(), get_engine().connect() as connection:
        assert connection.scalar(select(func.count()).select_from(IdempotencyRecord)) == 1, "what has expired is gone"


@only_sqlite
@pytest.mark.parametrize("key", ["", "x" * 256, "two words", "é"])
def test_a_malformed_key_is_refused(ada: Person, key: str) -> None:
    answer = ada.post("/prompts", ada_prompt(), headers={"Idempotency-Key": key})
    assert (answer.status_code, answer.json["code"]) == (400, "invalid_idempotency_key")
    assert answer.json["details"] == {"Idempotency-Key": ["must have 1 to 255 visible ASCII characters"]}
    assert ada.get("/prompts").json == []


def write_row(user_id: str) -> None:
    with transactions.writing():
        session.add(IdempotencyRecord(**idempotency_row(user_id)))


def write_twice(user_id: str) -> None:
    with transactions.joined_transaction(lambda: None):
        write_row(user_id)
        write_row(user_id)


def write_and_fail(user_id: str) -> None:
    with transactions.joined_transaction(lambda: None):
        write_row(user_id)
        raise ZeroDivisionError


@pytest.mark.parametrize(("act", "error"), [(write_twice, RuntimeError), (write_and_fail, ZeroDivisionError)])
def test_a_joined_transaction_is_rolled_back_when_its_end_fails(
    app: Flask, ada: Person, act: Callable[[str], None], error: type[Exception]
) -> None:
    with app.app_context():
        with pytest.raises(error):
            act(ada.id)
        assert session.scalar(select(func.count()).select_from(IdempotencyRecord)) == 0
        write_row(ada.id)
        assert session.scalar(select(func.count()).select_from(IdempotencyRecord)) == 1


@pytest.fixture
def team(ada: Person, ben: Person) -> dict[str, str]:
    """A workspace of ada's, in which ben is an editor, with a prompt and an experiment."""
    made = ada.post("/workspaces", {"name": "Team"}).json
    there = {"X-Workspace": made["_id"]}
    invitation = ada.post("/workspaces/team/invitations", {"role": "editor"}).json
    assert ben.post("/invitations/accept", {"token": invitation["token"]}).status_code == 200
    prompt = ada.post("/prompts", {**ada_prompt(), "slug": "qa"}, headers=there).json["_id"]
    variants = [{"key": "A", "trafficPercent": 1}]
    experiment = {"slug": "e", "name": "n", "status": "ACTIVE", "variants": variants}
    assert ada.post("/experiments", experiment, headers=there).status_code == 201
    return {**there, "prompt": prompt}


def key_of(person: Person, **values: Any) -> dict[str, str]:
    """Return the header of a new API key."""
    secret = person.post("/auth/keys", {"name": "k", **values}).json["key"]
    return {"Authorization": f"Bearer {secret}"}


def test_equal_keys_of_other_credentials_members_and_workspaces_are_separate(
    ada: Person, ben: Person, team: dict[str, str]
) -> None:
    there = {"X-Workspace": team["X-Workspace"], **KEY}
    made = [
        *(ben.post("/prompts", ada_prompt(), headers=headers) for headers in (KEY, there)),
        ada.post("/prompts", ada_prompt(), headers=there),
        *(ben.post("/prompts", ada_prompt(), headers={**key_of(ben), **headers}) for headers in (KEY, there)),
        ben.post("/prompts", ada_prompt(), headers={**key_of(ben, workspace="team"), **KEY}),
    ]
    assert [answer.status_code for answer in made] == [201] * len(made)
    assert len({answer.json["_id"] for answer in made}) == len(made)
    assert ben.post("/prompts", ada_prompt(), headers=there).json == made[1].json


@pytest.mark.parametrize("by", ["token", "unbound key", "bound key"])
def test_a_response_is_not_replayed_once_the_role_does_not_suffice(
    ada: Person, ben: Person, team: dict[str, str], by: str
) -> None:
    credential = {} if by == "bound key" else {"X-Workspace": team["X-Workspace"]}
    if by != "token":
        credential |= key_of(ben, **({"workspace": "team"} if by == "bound key" else {}))

    def send(path: str, body: Any) -> tuple[int, str]:
        answer = ben.post(path, body, headers={"Idempotency-Key": f'"{path}"', **credential})
        if path == "/logs/batch" and answer.status_code == 200 and "code" in answer.json["results"][0]:
            return answer.json["results"][0]["status"], answer.json["results"][0]["code"]
        return answer.status_code, answer.json.get("code", answer.headers.get("Idempotency-Replayed"))

    bodies = {path: body for path, (body, _) in creating(team["prompt"]).items()}
    statuses = {}
    for path, body in bodies.items():
        statuses[path] = send(path, body)[0]
        assert statuses[path] in (200, 201), path
        assert send(path, body) == (statuses[path], "true"), path
    ada.patch(f"/workspaces/team/members/{ben.id}", {"role": "viewer"})
    for path, body in bodies.items():
        assert send(path, body) == (403, "role_forbids"), path
    ada.patch(f"/workspaces/team/members/{ben.id}", {"role": "editor"})
    for path, body in bodies.items():
        assert send(path, body)[0] == statuses[path], path
    ada.delete(f"/workspaces/team/members/{ben.id}")
    for path, body in bodies.items():
        expected = (401, "unauthorized") if by == "bound key" else (404, "workspace_not_found")
        assert send(path, body) == expected, path


@pytest.mark.parametrize("path", ["/logs", "/logs/batch", "/prompts/{prompt}/versions/1/restore"])
def test_a_key_belongs_to_the_workspace_of_the_prompt_that_the_request_names(
    ada: Person, ben: Person, team: dict[str, str], path: str
) -> None:
    body, _ = creating(team["prompt"])[path.format(**team)]

    def send(**headers: str) -> Any:
        answer = ben.post(path.format(**team), body, headers={**KEY, **headers})
        return answer.json["results"][0] if path == "/logs/batch" else answer.json

    first = send()
    assert send() == first == send(**{"X-Workspace": team["X-Workspace"]})
    ada.patch(f"/workspaces/team/members/{ben.id}", {"role": "viewer"})
    assert send()["code"] == "role_forbids"
    ada.delete(f"/workspaces/team/members/{ben.id}")
    assert send()["code"] == "prompt_not_owned"
