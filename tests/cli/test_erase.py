"""`flask erase`, and that deleting means deleting: no byte of a deleted text is left."""

from pathlib import Path
from typing import Any

from flask import Flask

from promptcrafter.maintenance import purge
from tests.support.commands import done, run
from tests.support.databases import only_sqlite
from tests.support.people import Caller, Person, sign_up
from tests.support.transfer import NDJSON_HEADERS, join

CANARY = "zxcanaryxz"


def fill(person: Person, workspace: str | None) -> None:
    """Write the canary into everything that a workspace can have."""
    there = {"X-Workspace": workspace} if workspace else {}

    def post(path: str, body: dict[str, Any], **headers: str) -> Any:
        answer = person.post(path, body, headers={**there, **headers})
        assert answer.status_code in (200, 201), answer.text
        return answer.json

    text = f"The {CANARY} sings"
    body = {"title": text, "content": text, "model": CANARY, "tags": [CANARY]}
    prompt = post("/prompts", body, **{"Idempotency-Key": "k"})
    path = f"/prompts/{prompt['_id']}"
    person.patch(path, {"content": f"{text} again", "comment": text})
    person.put(f"{path}/labels/{CANARY}", {"version": 1})
    log = post("/logs", {"promptId": prompt["_id"], "output": text, "modelUsed": CANARY, "notes": text, "score": 3})
    person.patch(f"/logs/{log['_id']}", {"notes": f"other {CANARY}", "score": 4})
    score = {"name": CANARY, "value": CANARY, "comment": text, "identifier": CANARY}
    post(f"/logs/{log['_id']}/scores", score)
    config = {"kind": "category", "categories": [CANARY], "description": text}
    assert person.put(f"/score-configs/{CANARY}", config, headers=there).status_code == 200
    author = {"annotator": "judge", "author": {"userId": f"user{CANARY}", "name": CANARY}}
    times = dict.fromkeys(("createdAt", "updatedAt"), "2026-01-01T00:00:00.000Z")
    line = {"type": "score", "_id": f"score{log['_id'][4:]}", "logId": log["_id"], **score, **author, **times}
    file = join([{"type": "export", "format": "promptcrafter", "version": 2}, line, {"type": "end"}])
    assert person.post("/import", data=file, headers={**NDJSON_HEADERS, **there}).json["scores"]["created"] == 1
    post("/monitor/log", {"slug": prompt["slug"], "tag": "latest", "output": text, "input": text})
    variants = [{"key": CANARY, "payload": {"a": CANARY}, "trafficPercent": 100}]
    post("/experiments", {"slug": CANARY, "name": text, "status": "ACTIVE", "variants": variants})
    post(f"/experiment/{CANARY}/log", {"variantKey": CANARY, "output": {"a": text}})
    person.post("/auth/keys", {"name": text, **({"workspace": workspace} if workspace else {})})


def read_all(person: Person) -> str:
    """Return everything that an account can read."""
    workspaces = person.get("/workspaces").json
    paths = ["/prompts", "/logs", "/traces", "/experiments", "/tags", "/export", f"/search?q={CANARY}"]
    paths += ["/scores", "/score-configs"]
    paths += [f"/logs?q={CANARY}", "/metrics"]
    texts = [
        person.get(path, headers={"X-Workspace": workspace["_id"]}).text for path in paths for workspace in workspaces
    ]
    texts += [
        person.get(f"/workspaces/{each['_id']}{path}").text
        for each in workspaces
        for path in ("/audit", "/members", "/keys", "")
        if each["role"] == "owner"
    ]
    return "".join(texts)


@only_sqlite
def test_no_byte_of_a_deleted_account_or_workspace_is_left(app: Flask, ada: Person, database_url: str) -> None:
    cleo = sign_up(Caller(ada.client), CANARY)
    shared = ada.post("/workspaces", {"name": "Shared", "slug": "shared"}).json["_id"]
    token = ada.post(f"/workspaces/{shared}/invitations", {"role": "editor"}).json["token"]
    cleo.post("/invitations/accept", {"token": token})
    kept = ada.post("/prompts", {"title": "Kept", "content": "c", "model": "m"}, headers={"X-Workspace": shared}).json
    cleo.patch(f"/prompts/{kept['_id']}", {"content": "Better"})
    fill(cleo, None)
    doomed = ada.post("/workspaces", {"name": f"Team {CANARY}", "slug": "doomed"}).json["_id"]
    fill(ada, doomed)
    assert ada.delete("/workspaces/doomed?confirm=doomed").status_code == 204
    body = {"currentPassword": cleo.password, "anonymise": True}
    assert cleo.delete("/auth/me", json=body).status_code == 204
    assert CANARY not in read_all(ada).lower()
    with app.app_context():
        purge.run()
    assert CANARY not in read_all(ada).lower()
    versions = ada.get(f"/prompts/{kept['_id']}/versions").json
    assert [version["author"]["name"] for version in versions] == ["deleted account", "ada"]
    assert done(run(app, "erase")) == ""
    path = Path(database_url.removeprefix("sqlite:///"))
    for file in path.parent.glob(f"{path.name}*"):
        assert CANARY.encode() not in file.read_bytes().lower(), file
    assert ada.get("/search?q=kept", headers={"X-Workspace": shared}).json[0]["_id"] == kept["_id"]


def test_erasing_keeps_what_is_not_deleted(app: Flask, ada: Person) -> None:
    prompt = ada.prompt(title="Kept", content="findable")
    log = ada.log(prompt, output="findable output")
    ada.delete(f"/logs/{ada.log(prompt)['_id']}")
    assert run(app, "erase").stderr == "What was deleted is erased. Backups from before still have it.\n"
    assert [each["_id"] for each in ada.get("/search?q=findable").json] == [prompt["_id"]]
    assert ada.get("/logs?q=findable").json == [log]
