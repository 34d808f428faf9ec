"""Nothing of a workspace is shown to who is no member of it, whatever ids and slugs a request names."""

import json
from collections.abc import Iterator
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import insert, update
from sqlalchemy.exc import IntegrityError

from promptcrafter import clock
from promptcrafter.database.base import Base
from promptcrafter.database.session import session
from promptcrafter.database.transactions import writing
from tests.support.commands import done, refused, run
from tests.support.people import Answer, Caller, Person
from tests.support.transfer import NDJSON_HEADERS, export, import_file

CANARY = "zanzibarcanary"
UNKNOWN = "01jz8x4m5n6p7q8r9s0t1v2w3x"
KINDS = ("prompt", "log", "score", "trace")
VARIANT = {"key": "A", "trafficPercent": 100}


@pytest.fixture
def theirs(ada: Person) -> dict[str, Any]:
    """The ids and slugs of a workspace of ada's, in which each text has the canary, and its export."""
    team = ada.post("/workspaces", {"name": CANARY}).json
    there = Person(ada, ada.id, ada.token, ada.email, ada.password)
    there.headers["X-Workspace"] = team["_id"]
    return {"workspace": team["_id"], "slug": team["slug"], **fill(there)}


def fill(there: Person) -> dict[str, Any]:
    """Create something of each kind and return the ids, and an export of it all."""
    prompt = there.prompt(title=CANARY, content=CANARY, slug=CANARY, tags=[CANARY], model=CANARY)["_id"]
    there.open(f"/prompts/{prompt}/labels/production", method="PUT", json={"version": 1})
    logs = [there.log({"_id": prompt}, output=CANARY, notes=CANARY, modelUsed=CANARY)["_id"] for _ in range(2)]
    score = {"name": CANARY, "value": CANARY, "comment": CANARY, "identifier": CANARY}
    score_id = there.post(f"/logs/{logs[0]}/scores", score).json["_id"]
    config = {"kind": "category", "categories": [CANARY], "description": CANARY}
    assert there.put(f"/score-configs/{CANARY}", config).status_code == 200
    variants = [{**VARIANT, "promptId": prompt, "payload": {"text": CANARY}}]
    experiment = {"slug": CANARY, "name": CANARY, "status": "ACTIVE", "variants": variants}
    experiment_id = there.post("/experiments", experiment).json["_id"]
    assert there.post(f"/experiment/{CANARY}/log", {"variantKey": "A", "output": {"a": CANARY}}).status_code == 200
    generation = {"id": "1", "type": "generation", "prompt": {"slug": CANARY}, "output": CANARY}
    trace = {"featureSlug": CANARY, "experiment": {"id": experiment_id}, "logs": [generation], "output": CANARY}
    trace_id = there.post("/basalt/monitor/trace", trace).json["trace"]["id"]
    exported = export(there)
    assert exported.count(CANARY.encode()) > 15
    return {
        **{"prompt": prompt, "log": logs[0], "other log": logs[1], "trace": trace_id, "experiment": experiment_id},
        "score": score_id,
        "export": exported,
    }


def each_request(ids: dict[str, Any]) -> Iterator[tuple[str, str, Any, str]]:
    """Yield a method, a path and a body for each place of the API that takes an id, with the kind of the id."""
    prompt, log, score, trace = (ids[kind] for kind in KINDS)
    for path in ("", "/versions", "/versions/1", "/versions/production", "/diff?from=1&to=1", "/stats"):
        yield "GET", f"/prompts/{prompt}{path}", None, "prompt"
    yield "PATCH", f"/prompts/{prompt}", {"title": "mine"}, "prompt"
    yield "POST", f"/prompts/{prompt}/versions/1/restore", None, "prompt"
    yield "PUT", f"/prompts/{prompt}/labels/mine", {"version": 1}, "prompt"
    yield "DELETE", f"/prompts/{prompt}/labels/production", None, "prompt"
    yield "POST", f"/prompts/{prompt}/render", {"variables": {}}, "prompt"
    yield "DELETE", f"/prompts/{prompt}", None, "prompt"
    for path in ("/logs", "/logs-by-prompt", "/stats"):
        yield "GET", f"{path}?promptId={prompt}", None, "prompt"
    yield "GET", f"/logs?promptId={prompt}&q={CANARY}&promptVersion=production", None, "prompt"
    for path in ("/reviews/next", "/reviews/progress", "/agreement"):
        yield "GET", f"{path}?promptId={prompt}", None, "prompt"
    yield "GET", f"/reviews/next?promptId={prompt}&promptVersion=production", None, "prompt"
    yield "POST", "/logs", {"promptId": prompt, "output": "o", "modelUsed": "m"}, "prompt"
    yield (
        "POST",
        "/logs",
        {"promptId": prompt, "output": "o", "modelUsed": "m", "promptVersion": "production"},
        "prompt",
    )
    experiment = {"slug": "mine", "name": "n", "variants": [{**VARIANT, "promptId": prompt}]}
    yield "POST", "/experiments", experiment, "prompt"
    yield "PATCH", "/experiments/own", {"variants": experiment["variants"]}, "prompt"
    yield "GET", f"/logs/{log}", None, "log"
    yield "PATCH", f"/logs/{log}", {"notes": "mine"}, "log"
    yield "DELETE", f"/logs/{log}", None, "log"
    yield "GET", f"/compare?logs={log},{ids['other log']}", None, "log"
    yield "GET", f"/compare?logs={ids['own log']},{log}", None, "log"
    yield "GET", f"/logs/{log}/scores", None, "log"
    yield "POST", f"/logs/{log}/scores", {"name": "mine", "value": 1}, "log"
    yield "GET", f"/scores?promptId={prompt}", None, "prompt"
    yield "GET", f"/scores/{score}", None, "score"
    yield "PATCH", f"/scores/{score}", {"value": 1}, "score"
    yield "DELETE", f"/scores/{score}", None, "score"
    yield "GET", f"/traces/{trace}", None, "trace"
    yield "GET", f"/traces/{trace}/tree", None, "trace"
    yield "DELETE", f"/traces/{trace}", None, "trace"


def each_search() -> Iterator[str]:
    """Yield the requests that find things by their texts or slugs, and those that show everything."""
    yield from ("/prompts", f"/prompts?tag={CANARY}", f"/prompts?model={CANARY}", "/logs", f"/logs?q={CANARY}")
    yield from ("/reviews/next", f"/reviews/next?model={CANARY}", "/reviews/progress", "/agreement")
    yield from (f"/logs?model={CANARY}", "/traces", "/experiments", "/export", "/workspaces", "/auth/keys")
    yield from ("/scores", f"/scores?name={CANARY}", "/score-configs")
    yield from (
        "/tags",
        f"/search?q={CANARY}",
        "/search?q=ca",
        f"/basalt/prompts?featureSlug={CANARY}",
        "/basalt/prompts",
    )


def each_slug_request() -> Iterator[tuple[str, str, Any]]:
    """Yield the requests that name a prompt or an experiment by its slug, and must find none."""
    yield "GET", f"/prompts/by-slug/{CANARY}", None
    yield "GET", f"/prompts/by-slug/{CANARY}/versions/production", None
    yield "POST", f"/prompts/by-slug/{CANARY}/render", {"variables": {}}
    for path in ("", "/logs", "/results"):
        yield "GET", f"/experiments/{CANARY}{path}", None
    yield "PATCH", f"/experiments/{CANARY}", {"name": "mine"}
    yield "DELETE", f"/experiments/{CANARY}", None
    yield "POST", f"/experiment/{CANARY}/assign", {"userId": "u"}
    yield "POST", f"/experiment/{CANARY}/log", {"variantKey": "A"}
    for path in ("", "/describe"):
        yield "GET", f"/basalt/prompts/{CANARY}{path}?tag=production", None
    yield "POST", f"/basalt/prompts/{CANARY}/publish", {"newTag": "mine", "version": "1"}


def each_workspace_request(workspace: str, prompt: str) -> Iterator[tuple[str, str, Any]]:
    yield "GET", f"/workspaces/{workspace}", None
    yield "PATCH", f"/workspaces/{workspace}", {"name": "mine"}
    yield "DELETE", f"/workspaces/{workspace}?confirm={CANARY}", None
    for part in ("members", "keys", "invitations", "audit", f"audit?object={prompt}&action=prompt.create"):
        yield "GET", f"/workspaces/{workspace}/{part}", None
    yield "POST", f"/workspaces/{workspace}/invitations", {"role": "viewer"}
    for part, kind in (("members", "user"), ("invitations", "invitation"), ("keys", "key")):
        yield "DELETE", f"/workspaces/{workspace}/{part}/{kind}_{UNKNOWN}", None
    yield "PATCH", f"/workspaces/{workspace}/members/user_{UNKNOWN}", {"role": "viewer"}


def each_caller(ben: Person) -> Iterator[Caller]:
    """Yield ben, and his keys: one for all that is his, one for another shared workspace of his."""
    yield ben
    assert ben.post("/workspaces", {"name": "Ben's team"}).status_code == 201
    for restriction in ({}, {"workspace": "ben-s-team"}):
        secret = ben.post("/auth/keys", {"name": "k", **restriction}).json["key"]
        yield Caller(ben.client, {"Authorization": f"Bearer {secret}"})


def send(caller: Caller, method: str, path: str, body: Any = None) -> Answer:
    """Make a request, and see that the answer repeats no more of the canary than the request has."""
    answer = caller.open(path, method=method, json=body)
    if answer.status_code >= 400 or CANARY not in f"{path}{body}":
        assert CANARY.encode() not in answer.data.replace(f"the slug {CANARY}".encode(), b""), (method, path)
    assert not any(CANARY in value for name, value in answer.headers if name != "Link"), (method, path)
    return answer


def code(answer: Answer) -> tuple[int, str]:
    return answer.status_code, answer.json["code"]


def test_ids_of_another_workspace_are_refused_and_unknown_ones_are_not_found(
    ben: Person, theirs: dict[str, Any]
) -> None:
    unknown = {**theirs, **{kind: f"{kind}_{UNKNOWN}" for kind in KINDS}, "other log": f"log_{UNKNOWN[::-1]}"}
    for caller in each_caller(ben):
        made = caller.post("/prompts", {"title": "A title", "content": "c", "model": "m"}).json["_id"]
        own = caller.post("/logs", {"promptId": made, "output": "o", "modelUsed": "m"}).json["_id"]
        assert caller.post("/experiments", {"slug": "own", "name": "n", "variants": [VARIANT]}).status_code in (
            201,
            409,
        )
        for method, path, body, kind in each_request({**theirs, "own log": own}):
            assert code(send(caller, method, path, body)) == (403, f"{kind}_not_owned"), (method, path)
        for method, path, body, kind in each_request({**unknown, "own log": own}):
            assert code(send(caller, method, path, body)) == (404, f"{kind}_not_found"), (method, path)
        items = [{"promptId": ids["prompt"], "output": "o", "modelUsed": "m"} for ids in (theirs, unknown)]
        results = send(caller, "POST", "/logs/batch", {"logs": items}).json["results"]
        assert [each["code"] for each in results] == ["prompt_not_owned", "prompt_not_found"]
        scores = [{"logId": ids["log"], "name": CANARY, "value": CANARY} for ids in (theirs, unknown)]
        results = send(caller, "POST", "/scores/batch", {"scores": scores}).json["results"]
        assert [each["code"] for each in results] == ["log_not_owned", "log_not_found"]


def test_searches_slugs_and_dialects_find_nothing_of_another_workspace(ben: Person, theirs: dict[str, Any]) -> None:
    callers = list(each_caller(ben))
    for caller, path in product(callers, each_search()):
        answer = caller.get(path)
        is_allowed = (answer.status_code, path) != (403, "/auth/keys")  # for a key that is bound to a workspace
        assert not is_allowed or (answer.status_code in (200, 204) and CANARY.encode() not in answer.data), path
    for caller in callers:
        for method, path, body in each_slug_request():
            answer = send(caller, method, path, body)
            assert code(answer) in {(404, "prompt_not_found"), (404, "experiment_not_found")}, (method, path)
        for prefix, kind in product(("", "/basalt"), ("log",)):
            answer = send(caller, "POST", f"{prefix}/monitor/{kind}", {"slug": CANARY, "output": "o"})
            assert (answer.status_code, "There is no prompt" in answer.json["warning"]) == (200, True)
        for workspace in (theirs["workspace"], theirs["slug"], f"workspace_{UNKNOWN}"):
            for method, path, body in each_workspace_request(workspace, theirs["prompt"]):
                assert code(send(caller, method, path, body)) == (404, "workspace_not_found"), (method, path)
            answer = caller.get("/prompts", headers={"X-Workspace": workspace})
            assert code(answer) == (404, "workspace_not_found")
            answer = send(caller, "POST", "/auth/keys", {"name": "k", "workspace": workspace})
            assert code(answer) in {(400, "invalid_fields"), (403, "scope_forbids")}, answer.text


def test_the_audit_trail_of_one_workspace_tells_nothing_of_another(
    ada: Person, ben: Person, theirs: dict[str, Any]
) -> None:
    for caller in list(each_caller(ben)):
        own = "/workspaces/ben-s-team/audit"
        assert send(caller, "GET", own).json != []
        for named in (theirs["workspace"], theirs["prompt"], theirs["experiment"], theirs["log"], f"prompt_{UNKNOWN}"):
            assert send(caller, "GET", f"{own}?object={named}").json == []
        assert send(caller, "GET", f"{own}?actor={ada.id}").json == []


def test_a_trace_of_basalt_is_in_no_experiment_of_another_workspace(
    ada: Person, ben: Person, theirs: dict[str, Any]
) -> None:
    for caller in (*each_caller(ben), ada):
        for experiment_id in (theirs["experiment"], f"experiment_{UNKNOWN}"):
            body = {"featureSlug": "f", "experiment": {"id": experiment_id}, "logs": []}
            answer = caller.post("/basalt/monitor/trace", body)
            assert answer.json["warning"] == f"There is no experiment with the id {experiment_id}."
            assert CANARY not in answer.text


def lines_of(theirs: dict[str, Any]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in theirs["export"].splitlines()]


def wrap(*records: dict[str, Any]) -> list[Any]:
    """Return records as the lines of an export."""
    counts = {f"{name}s": 0 for name in ("prompt", "version", "experiment", "trace", "log")}
    for record in records:
        counts[f"{record['type']}s"] += 1
    return [{"type": "export", "format": "promptcrafter", "version": 1}, *records, {"type": "end", **counts}]


def test_an_import_neither_touches_nor_tells_what_another_workspace_has(
    ada: Person, ben: Person, theirs: dict[str, Any]
) -> None:
    blank = [
        {name: "plain" if value == CANARY else value for name, value in line.items()}
        for line in json.loads(json.dumps(lines_of(theirs)).replace(f'["{CANARY}"]', "[]"))
    ]
    prompt, version, experiment = blank[1:4]
    trace = next(line for line in blank if line["type"] == "trace")
    log = next(line for line in blank if line["type"] == "log")
    experiment = {**experiment, "variants": [VARIANT | {"payload": {}}]}
    trace.pop("experimentId")
    for caller in (ben, ada):  # ada is a member there, but imports into her personal workspace
        own = caller.post("/prompts", {"title": "A title", "content": "c", "model": "m"}).json["_id"]
        for records in ([prompt, version], [experiment], [trace], [{**log, "promptId": own}]):
            answer = import_file(caller, wrap(*records))
            assert code(answer) == (409, "import_conflict"), answer.text
            assert "exists elsewhere on this server; ids=new imports a copy" in answer.json["message"]
            assert CANARY not in answer.text
    assert export_of(ada, theirs) == theirs["export"]


def export_of(ada: Person, theirs: dict[str, Any]) -> bytes:
    return bytes(ada.get("/export", headers={"X-Workspace": theirs["workspace"]}).data)


@pytest.mark.parametrize("ids", ["keep", "new"])
def test_an_import_refers_to_nothing_in_another_workspace(
    ada: Person, ben: Person, theirs: dict[str, Any], ids: str
) -> None:
    lines = lines_of(theirs)
    log, trace, experiment = (
        next(line for line in lines if line["type"] == kind) for kind in ("log", "trace", "experiment")
    )
    fresh = {kind: f"{kind}_{UNKNOWN}" for kind in (*KINDS, "experiment")}
    plain = {name: "x" if value == CANARY else value for name, value in log.items() if not name.endswith("Id")}
    basalt = {**plain, "source": "basalt", "_id": fresh["log"]}
    basalt.pop("promptVersion", None)
    records = [
        (f"line 2.{field}", {**basalt, field: theirs[kind]})
        for kind, field in (("prompt", "promptId"), ("trace", "traceId"), ("experiment", "experimentId"))
    ]
    records.append(("line 2.experimentId", {**trace, "_id": fresh["trace"]}))
    records.append(("line 2.variants.0.promptId", {**experiment, "_id": fresh["experiment"], "slug": "mine"}))
    query = "?ids=new" if ids == "new" else ""
    for caller, (field, record) in product((ben, ada), records):
        data = b"".join(json.dumps(line).encode() + b"\n" for line in wrap(record))
        answer = caller.post(f"/import{query}", data=data, headers=NDJSON_HEADERS)
        assert code(answer) == (400, "invalid_fields"), answer.text
        assert answer.json["details"] == {field: ["must be in a line before or in the workspace"]}
        assert CANARY not in answer.text


def test_a_member_of_two_workspaces_cannot_let_a_variant_refer_from_one_to_the_other(
    ada: Person, theirs: dict[str, Any]
) -> None:
    body = {"slug": "mine", "name": "n", "variants": [{**VARIANT, "promptId": theirs["prompt"]}]}
    assert code(ada.post("/experiments", body)) == (404, "prompt_not_found")
    assert ada.post("/experiments", {**body, "variants": [VARIANT]}).status_code == 201
    assert code(ada.patch("/experiments/mine", {"variants": body["variants"]})) == (404, "prompt_not_found")
    log = {"variantKey": "A"}
    assert ada.post("/experiment/mine/log", log).status_code == 200
    assert code(ada.patch("/experiments/mine", {"variants": body["variants"]})) == (404, "prompt_not_found")


def test_a_command_for_one_workspace_neither_shows_nor_changes_another(
    app: Flask, ada: Person, ben: Person, theirs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    list(each_caller(ben))
    body = {"title": "A title", "content": "c", "model": "m"}
    ben.log(ben.post("/prompts", body, headers={"X-Workspace": "ben-s-team"}).json)
    trail = ada.get(f"/workspaces/{CANARY}/audit").json
    file = theirs["export"].decode()
    no_member = f"{ben.email} is no member of {CANARY}."
    assert refused(run(app, "key", "add", ben.email, "k", "--workspace", CANARY)) == no_member
    assert refused(run(app, "import", "-", "--user", ben.email, "--workspace", CANARY, stdin=file)) == no_member
    conflict = refused(run(app, "import", "-", "--user", ben.email, "--workspace", "ben-s-team", stdin=file))
    assert "exists elsewhere on this server" in conflict
    two_days_later = clock.now() + timedelta(days=2)
    monkeypatch.setattr(clock, "now", lambda: two_days_later)
    shown = [
        conflict,
        done(run(app, "export", "-", "--workspace", "ben-s-team")),
        done(run(app, "workspace", "members", "ben-s-team")),
        done(run(app, "prune", "--older-than", "1d", "--workspace", "ben-s-team")),
        done(run(app, "prune", "--older-than", "1d", "--audit", "--workspace", "ben-s-team")),
        done(run(app, "workspace", "delete", "ben-s-team", "--confirm", "ben-s-team")),
    ]
    assert "Deleted 1 log" in shown[3]
    assert "Deleted 0" not in shown[4]
    assert not [text for text in shown if CANARY in text]
    assert ada.get(f"/workspaces/{CANARY}/audit").json == trail
    assert export_of(ada, theirs) == theirs["export"]


REFERENCES = [
    ("logs", "prompt_id", "prompt"),
    ("logs", "trace_id", "trace"),
    ("logs", "experiment_id", "experiment"),
    ("traces", "experiment_id", "experiment"),
    ("experiment_variants", "prompt_id", "prompt"),
    ("spans", "trace_id", "trace"),
]


def test_every_reference_between_contents_is_tried() -> None:
    places = {table.name for table in Base.metadata.sorted_tables if "workspace_id" in table.columns}
    contents = places - {"members", "invitations", "api_keys", "idempotency_keys"}
    found = {
        (table.name, [column.name for column in key.columns][-1], key.referred_table.name.removesuffix("s"))
        for table in Base.metadata.sorted_tables
        for key in table.foreign_key_constraints
        if table.name in contents and key.referred_table.name in contents and "workspace_id" in key.columns
    }
    assert found == {*REFERENCES, ("experiment_variants", "experiment_id", "experiment")}


def test_the_database_refuses_references_that_leave_the_workspace(
    app: Flask, ada: Person, theirs: dict[str, Any], subtests: pytest.Subtests
) -> None:
    own = ada.prompt()
    ada.post("/experiments", {"slug": "mine", "name": "n", "status": "ACTIVE", "variants": [VARIANT]})
    ada.post("/experiment/mine/log", {"variantKey": "A"})
    ada.post("/basalt/monitor/trace", {"featureSlug": "f", "logs": [{"id": "1", "type": "span"}]})
    ada.log(own)
    home = f"workspace{ada.id.removeprefix('user')}"
    for table_name, column, kind in REFERENCES:
        table = Base.metadata.tables[table_name]
        changed = update(table).where(table.c.workspace_id == home)
        if table_name == "logs":
            changed = changed.where(table.c.experiment_id.is_(None))
        with subtests.test(table=table_name, column=column), app.app_context():
            with pytest.raises(IntegrityError), writing():
                session.execute(changed.values({column: theirs[kind]}))
            with writing():
                kept = changed.values({column: table.c[column]}).returning(table.c.workspace_id)
                assert session.scalars(kept).all() != [], "there is such a row"


def test_the_database_refuses_a_variant_in_another_workspace_than_its_experiment(
    app: Flask, ada: Person, theirs: dict[str, Any]
) -> None:
    table = Base.metadata.tables["experiment_variants"]
    row = {"workspace_id": f"workspace{ada.id.removeprefix('user')}", "experiment_id": theirs["experiment"]}
    rest = {"key": "B", "position": 1, "traffic_percent": 1, "payload": {}}
    with app.app_context(), pytest.raises(IntegrityError), writing():
        session.execute(insert(table).values({**row, **rest}))
