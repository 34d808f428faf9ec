"""The matrix: every route × role × credential × scopes answers as its declared permission and the tables say."""

import random
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from flask import Flask
from sqlalchemy import Connection, event

from promptcrafter.database.session import get_engine
from promptcrafter.http.route import Route, route_of
from promptcrafter.permissions import NEVER_OF_BOUND_KEY, OF_ROLE, OF_SCOPE, SCOPES, Permission
from tests.support import otlp
from tests.support.people import Answer, Caller, Person, sign_up
from tests.support.transfer import EMPTY_EXPORT

SEED = 14
ROLES = ("stranger", "viewer", "editor", "owner")
CREDENTIALS = ("token", "unbound key", "key bound here", "key bound elsewhere")
VARIANTS = [{"key": "A", "trafficPercent": 100}]
NEW_PROMPT = {"title": "A title", "content": "c", "model": "m"}
OUTPUT = {"slug": "team-prompt", "output": "o"}
FORBIDDEN_CODES = {"scope_forbids", "role_forbids", "workspace_not_found"}
# What a route is about that does not say so in its rule: something that its query or body names by an id
NAMED_IN_REQUEST = {
    "POST /logs": "prompt",
    "POST /logs/batch": "prompt",
    "POST /scores/batch": "log",
    "GET /scores": "prompt",
    "GET /logs": "prompt",
    "GET /logs-by-prompt": "prompt",
    "GET /compare": "log",
    "GET /reviews/next": "prompt",
    "GET /reviews/progress": "prompt",
    "GET /agreement": "prompt",
}
# Permissions that are about an account or the server, so that the role in a workspace does not count
LANGFUSE_SCORE = {"traceId": "0af7651916cd43dd8448eb211c80319c", "name": "helpfulness", "value": 3}
OF_NO_WORKSPACE = {Permission.SIGNED_IN, Permission.ACCOUNT, Permission.CREDENTIALS}
# These read what they have committed; they change nothing that others need
REALLY_MADE = {"POST /prompts/<prompt_id>/versions/<name>/restore"}
READING_POSTS = {"POST /prompts/<prompt_id>/render", "POST /prompts/by-slug/<slug:slug>/render"}


@dataclass
class World:
    """A shared workspace with one thing of each kind, and the credentials of everybody."""

    people: dict[str, Person]
    ids: dict[str, str]
    queries: dict[str, dict[str, str]]
    bodies: dict[str, Any]
    scores: dict[str, str]  # one of each person's own
    keys: dict[tuple[str, str, str], str] = field(default_factory=dict)  # by role, credential and scope

    def call(self, call: str, role: str, credential: str, scope: str) -> Answer:
        """Make a call as this caller, with a valid body, about what is in the shared workspace."""
        method, rule = call.split(" ")
        person, path = self.people[role], rule
        own = {"<user_id>": person.id, "<not_batch:score_id>": self.scores[role]}
        for name, value in {**self.ids, **own}.items():
            path = path.replace(name, value)
        secret = person.token if credential == "token" else self.keys[role, credential, scope]
        headers = {"Authorization": f"Bearer {secret}"}
        if credential in ("token", "unbound key"):
            headers["X-Workspace"] = self.ids["<workspace>"]
        body = self.bodies.get(call)
        sent = {"data": body, "content_type": "application/x-ndjson"} if isinstance(body, bytes) else {"json": body}
        query = self.queries.get(call.replace("HEAD", "GET"))
        return Caller(person.client, headers).open(path, method=method, query_string=query, **sent)


def build(client: Caller, ada: Person) -> World:
    people = {"owner": ada, **{name: sign_up(client, name) for name in ("stranger", "viewer", "editor")}}
    team = ada.post("/workspaces", {"name": "Team"}).json
    for role in ("viewer", "editor"):
        invitation = ada.post(f"/workspaces/{team['_id']}/invitations", {"role": role}).json
        assert people[role].post("/invitations/accept", {"token": invitation["token"]}).status_code == 200
    there = Person(client, ada.id, ada.token, ada.email, ada.password)
    there.headers["X-Workspace"] = team["_id"]
    prompt = there.prompt(slug="team-prompt")["_id"]
    there.open(f"/prompts/{prompt}/labels/production", method="PUT", json={"version": 1})
    log, other = (there.log({"_id": prompt})["_id"] for _ in range(2))
    new_score = {"name": "helpfulness", "value": 3}
    assert there.put("/score-configs/helpfulness", {"kind": "number"}).status_code == 200
    members = {role: people[role] for role in ("viewer", "editor", "owner")}
    scores = {role: each.post(f"/logs/{log}/scores", new_score).json["_id"] for role, each in members.items()}
    scores["stranger"] = scores["owner"]
    made = there.post(
        "/experiments", {"slug": "team-experiment", "name": "n", "status": "ACTIVE", "variants": VARIANTS}
    )
    assert made.status_code == 201, made.text
    trace = there.post("/basalt/monitor/trace", {"featureSlug": "f", "logs": []}).json["trace"]["id"]
    key = ada.post("/auth/keys", {"name": "k", "workspace": team["_id"]}).json["_id"]
    invitation = ada.post(f"/workspaces/{team['_id']}/invitations", {"role": "viewer"}).json
    new_log = {"promptId": prompt, "output": "o", "modelUsed": "m"}
    world = World(
        people,
        {
            "<workspace>": team["_id"],
            "<prompt_id>": prompt,
            "<slug:slug>": "team-prompt",
            "<slug>": "team-experiment",
            "<not_batch:log_id>": log,
            "<score_name>": "helpfulness",
            "<trace_id>": trace,
            "<key_id>": key,
            "<invitation_id>": invitation["_id"],
            "<name>": "1",
            "<label>": "production",
            "<versioned:name>": "team-prompt",
            "<number>": "1",
        },
        {
            "GET /logs": {"promptId": prompt},
            "GET /logs-by-prompt": {"promptId": prompt},
            "GET /scores": {"promptId": prompt},
            "GET /compare": {"logs": f"{log},{other}"},
            "GET /search": {"q": "content"},
            "GET /reviews/next": {"promptId": prompt},
            "GET /reviews/progress": {"promptId": prompt},
            "GET /agreement": {"promptId": prompt},
            "GET /prompts/<prompt_id>/diff": {"from": "1", "to": "1"},
            "DELETE /workspaces/<workspace>": {"confirm": team["slug"]},
        },
        {
            "POST /auth/keys": {"name": "nightly"},
            "POST /auth/password": {"currentPassword": "wrong password", "newPassword": "another password"},
            "PATCH /auth/me": {"name": "Renamed"},
            "DELETE /auth/me": {"currentPassword": "wrong password"},
            "POST /prompts": NEW_PROMPT,
            "PATCH /prompts/<prompt_id>": {"content": "another"},
            "PUT /prompts/<prompt_id>/labels/<label>": {"version": 1},
            "POST /prompts/<prompt_id>/render": {"variables": {}},
            "POST /prompts/by-slug/<slug:slug>/render": {"variables": {}},
            "POST /logs": new_log,
            "POST /logs/batch": {"logs": [new_log]},
            "PATCH /logs/<not_batch:log_id>": {"score": 3},
            "POST /logs/<not_batch:log_id>/scores": new_score,
            "POST /scores/batch": {"scores": [{"logId": log, **new_score}]},
            "PATCH /scores/<not_batch:score_id>": {"value": 4},
            "PUT /score-configs/<score_name>": {"kind": "number"},
            "POST /experiments": {"slug": "another", "name": "Another", "variants": VARIANTS},
            "PATCH /experiments/<slug>": {"name": "Renamed"},
            "POST /experiment/<slug>/log": {"variantKey": "A"},
            "POST /experiment/<slug>/assign": {"userId": "u"},
            "POST /monitor/log": OUTPUT,
            "POST /basalt/monitor/log": OUTPUT,
            "POST /basalt/monitor/trace": {"featureSlug": "f", "logs": []},
            "POST /basalt/monitor/experiments": {"featureSlug": "f", "name": "n"},
            "POST /basalt/prompts/<slug:slug>/publish": {"newTag": "t", "version": "1"},
            "POST /api/public/v2/prompts": {"name": "critic", "prompt": "Criticise it."},
            "PATCH /api/public/v2/prompts/<versioned:name>/versions/<number>": {"newLabels": ["staging"]},
            "POST /api/public/scores": LANGFUSE_SCORE,
            "POST /api/public/ingestion": {"batch": [{"type": "score-create", "body": LANGFUSE_SCORE}]},
            "POST /import": EMPTY_EXPORT,
            **{
                f"POST {path}": otlp.to_json([otlp.make_span({"gen_ai.operation.name": "chat"})]) for path in otlp.PATHS
            },
            "POST /workspaces": {"name": "Another"},
            "PATCH /workspaces/<workspace>": {"name": "Renamed"},
            "PATCH /workspaces/<workspace>/members/<user_id>": {"role": "owner"},
            "POST /workspaces/<workspace>/invitations": {"role": "viewer"},
            "POST /invitations/accept": {"token": "inv_unknown"},
        },
        scores,
    )
    for role, person in people.items():
        places = {"unbound key": None, "key bound here": team["_id"]}
        places["key bound elsewhere"] = f"workspace{person.id.removeprefix('user')}"
        for (credential, place), scope in product(places.items(), ("all", *SCOPES)):
            if (role, credential) != ("stranger", "key bound here"):
                body = {"name": "k", **({"workspace": place} if place else {})}
                answer = person.post("/auth/keys", body if scope == "all" else {**body, "scopes": [scope]})
                assert answer.status_code == 201, answer.text
                world.keys[role, credential, scope] = answer.json["key"]
    return world


@contextmanager
def nothing_committed(app: Flask) -> Iterator[None]:
    """Roll back what is about to be committed, so that a call that is allowed does not change what the next meets."""

    def roll_back(connection: Connection) -> None:
        connection.connection.rollback()

    with app.app_context():
        engine = get_engine()
    event.listen(engine, "commit", roll_back)
    try:
        yield
    finally:
        event.remove(engine, "commit", roll_back)


def each_call(app: Flask) -> Iterator[tuple[str, Route]]:
    """Yield the method and rule, and the declaration, of every route that is not public."""
    for rule in app.url_map.iter_rules():
        route = route_of(app.view_functions[rule.endpoint])
        if not route.is_public:
            for method in sorted((rule.methods or set()) - {"OPTIONS"}):
                yield f"{method} {rule.rule}", route


def each_caller(call: str, random_: random.Random, *, is_whole: bool) -> Iterator[tuple[str, str, str]]:
    """Yield role, credential and scope: each role with each credential, and each scope with some of them.

    Fewer if it need not be the whole: the other database decides nothing here.
    """
    pairs = [pair for pair in product(ROLES, CREDENTIALS) if pair != ("stranger", "key bound here")]
    if call.startswith("HEAD") or not is_whole:  # the view of GET answers HEAD
        pairs = random_.sample(pairs, 3)
    scopes = ("all", *SCOPES)
    yield from ((*pair, "" if pair[1] == "token" else random_.choice(scopes)) for pair in pairs)
    with_keys = [pair for pair in pairs if pair[1] != "token"]
    if is_whole:
        yield from ((*random_.choice(with_keys), scope) for scope in scopes if with_keys)


def expect(call: str, permission: Permission, role: str, credential: str, scope: str) -> tuple[int, str] | None:
    """Return status and code of the refusal that the declaration and the tables prescribe; None if it is allowed."""
    is_bound = credential.startswith("key bound")
    if credential != "token":
        granted = OF_SCOPE["admin" if scope == "all" else scope]
        if permission not in granted or (is_bound and permission in NEVER_OF_BOUND_KEY):
            return 403, "scope_forbids"
    if not is_bound and role == "stranger":
        return 404, "workspace_not_found"  # by the header, whatever the route
    if permission in OF_NO_WORKSPACE:
        return None
    if credential == "key bound elsewhere":
        return find_refusal_outside(call)
    return None if permission in OF_ROLE[role] else (403, "role_forbids")


def find_refusal_outside(call: str) -> tuple[int, str] | None:
    """Return how a call is answered that names something of a workspace that the caller cannot access."""
    if "<workspace>" in call:
        return 404, "workspace_not_found"
    named = NAMED_IN_REQUEST.get(call.replace("HEAD", "GET"), "")
    kinds = [kind for kind in ("prompt", "log", "score", "trace") if kind == named or f"{kind}_id>" in call]
    return (403, f"{kinds[0]}_not_owned") if kinds else None


def observe(call: str, answer: Answer) -> tuple[int, str]:
    """Return status and code; of a batch, those of its one item."""
    if call in ("POST /logs/batch", "POST /scores/batch") and answer.status_code == 200:
        (result,) = answer.json["results"]
        return result["status"], result.get("code", "")
    has_code = answer.status_code >= 400 and answer.is_json and not call.startswith("HEAD") and not is_of_otlp(call)
    return answer.status_code, answer.json["code"] if has_code else ""


def is_of_otlp(call: str) -> bool:
    """Return whether the errors of the call have no code of ours."""
    return call.partition(" ")[2] in otlp.PATHS


def is_as_expected(call: str, credential: str, expected: tuple[int, str] | None, observed: tuple[int, str]) -> bool:
    status, code = observed
    if expected is not None:
        return observed == ((expected[0], "") if call.startswith("HEAD") or is_of_otlp(call) else expected)
    if credential == "key bound elsewhere":  # it is about the caller's own workspace, which has no such slug
        return status < 400 or (status == 404 and code not in FORBIDDEN_CODES)
    return status < 400 or observed in ALLOWED_REFUSALS.get(call, ())


# What the calls that are allowed answer here, if they do not succeed
ALLOWED_REFUSALS: dict[str, set[tuple[int, str]]] = {
    "POST /auth/password": {(401, "wrong_password")},
    "DELETE /auth/me": {(401, "wrong_password")},
    "DELETE /auth/keys/<key_id>": {(404, "key_not_found")},  # it is the owner's
    "POST /invitations/accept": {(404, "invitation_not_found")},
    "DELETE /workspaces/<workspace>/members/<user_id>": {(409, "last_owner")},
}


def test_every_route_answers_each_caller_as_its_permission_says(
    app: Flask, client: Caller, ada: Person, engine_name: str
) -> None:
    world, wrong, seen, random_ = build(client, ada), [], 0, random.Random(SEED)
    for call, route in each_call(app):
        with nullcontext() if call in REALLY_MADE else nothing_committed(app):
            for role, credential, scope in each_caller(call, random_, is_whole=engine_name == "sqlite"):
                observed = observe(call, world.call(call, role, credential, scope))
                expected = expect(call, route.permission, role, credential, scope)
                seen += 1
                if not is_as_expected(call, credential, expected, observed):
                    wrong.append(f"{call} as {role} with {credential} {scope}: {observed}, not {expected}")
    assert wrong == [], "\n".join(wrong)
    assert seen > (1000 if engine_name == "sqlite" else 200), "the walk has seen the routes"


def test_no_route_answers_without_a_credential(app: Flask, client: Caller, ada: Person) -> None:
    for call, _ in each_call(app):
        method, rule = call.split(" ")
        answer = client.open(rule.replace("<", "").replace(">", ""), method=method)
        assert answer.status_code == 401, call


def test_a_route_that_changes_something_takes_more_than_reading(app: Flask) -> None:
    reading = {
        call
        for call, route in each_call(app)
        if route.permission is Permission.READ and call.partition(" ")[0] not in ("GET", "HEAD")
    }
    assert reading == READING_POSTS
