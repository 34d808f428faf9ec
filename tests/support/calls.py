"""A valid call of every route that creates or changes something, for tests that walk the routes."""

from collections.abc import Iterator
from typing import Any

from flask import Flask

from promptcrafter.auth import store as accounts
from promptcrafter.database.transactions import writing
from promptcrafter.http.route import Route, route_of
from tests.support.people import Answer, Person
from tests.support.routes import api_rules

_VARIANTS = [{"key": "A", "trafficPercent": 100}]


def calls(ada: Person) -> dict[str, tuple[str, Any]]:
    """Return a path and a valid body for every route that has a body, by the method and rule of the route."""
    prompt = ada.prompt(slug="p")["_id"]
    log = ada.log({"_id": prompt})["_id"]
    ada.post("/experiments", {"slug": "exp", "name": "Exp", "status": "ACTIVE", "variants": _VARIANTS})
    ada.post("/workspaces", {"name": "Team", "slug": "team"})
    invited = ada.post("/workspaces/team/invitations", {"role": "viewer"})
    new_log = {"promptId": prompt, "output": "o", "modelUsed": "m"}
    new_score = {"name": "helpfulness", "value": 3}
    new_langfuse_score = {"traceId": "0" * 31 + "1", **new_score}
    score = ada.post(f"/logs/{log}/scores", {"name": "score", "value": 3}).json["_id"]
    credentials = {"email": ada.email, "password": ada.password}
    output = {"slug": "p", "output": "o"}
    with ada.client.application.app_context(), writing():
        reset, _ = accounts.add_reset(ada.id)
    bodies: dict[str, Any] = {
        "POST /auth/signup": {"name": "Cleo", "email": "cleo@example.com", "password": "0123456789"},
        "POST /auth/login": credentials,
        "POST /auth/keys": {"name": "nightly"},
        "PATCH /auth/me": {"name": "Ada"},
        "POST /workspaces": {"name": "Another", "slug": "another"},
        "PATCH /workspaces/<workspace>": {"name": "Renamed"},
        "PATCH /workspaces/<workspace>/members/<user_id>": {"role": "owner"},
        "POST /workspaces/<workspace>/invitations": {"role": "viewer"},
        "POST /invitations/accept": {"token": invited.json["token"]},
        "POST /prompts": {"title": "A title", "content": "c", "model": "m"},
        "PATCH /prompts/<prompt_id>": {"content": "another"},
        "POST /prompts/<prompt_id>/versions/<name>/restore": None,
        "PUT /prompts/<prompt_id>/labels/<label>": {"version": 1},
        "POST /prompts/<prompt_id>/render": {"variables": {"free": 1}},
        "POST /prompts/by-slug/<slug:slug>/render": {"variables": {"free": 1}},
        "POST /logs": new_log,
        "POST /logs/batch": {"logs": [new_log]},
        "PATCH /logs/<not_batch:log_id>": {"score": 3},
        "POST /logs/<not_batch:log_id>/scores": new_score,
        "POST /scores/batch": {"scores": [{"logId": log, **new_score}]},
        "PATCH /scores/<not_batch:score_id>": {"value": 4},
        "PUT /score-configs/<score_name>": {"kind": "number"},
        "POST /experiments": {"slug": "another", "name": "Another", "variants": _VARIANTS},
        "PATCH /experiments/<slug>": {"name": "Renamed"},
        "POST /experiment/<slug>/log": {"variantKey": "A", "metrics": {"free": 1}},
        "POST /experiment/<slug>/assign": {"userId": "u"},
        "POST /monitor/log": output,
        "POST /basalt/monitor/log": output,
        "POST /basalt/monitor/trace": {"featureSlug": "f", "logs": [{"id": "1", "type": "span"}]},
        "POST /basalt/monitor/experiments": {"featureSlug": "f", "name": "n"},
        "POST /basalt/prompts/<slug:slug>/publish": {"newTag": "t", "version": "1"},
        "POST /api/public/v2/prompts": {"name": "p", "prompt": "Hello"},
        "PATCH /api/public/v2/prompts/<versioned:name>/versions/<number>": {"newLabels": ["l"]},
        "POST /api/public/scores": new_langfuse_score,
        "POST /api/public/ingestion": {"batch": [{"id": "e", "type": "score-create", "body": new_langfuse_score}]},
        "POST /auth/password/reset": {"token": reset, "newPassword": ada.password},
        "POST /auth/password": {"currentPassword": ada.password, "newPassword": "another password"},
        "POST /auth/logout": None,
    }
    values = {"<prompt_id>": prompt, "<not_batch:log_id>": log, "<name>": "1", "<label>": "l", "<workspace>": "team"}
    values |= {"<not_batch:score_id>": score, "<score_name>": "helpfulness"}
    values |= {"<versioned:name>": "p", "<number>": "1"}
    values |= {"<user_id>": ada.id, "<slug:slug>": "p", "<slug>": "exp"}
    found = {}
    for call, body in bodies.items():
        path = call.partition(" ")[2]
        for part, value in values.items():
            path = path.replace(part, value)
        found[call] = path, body
    return found


def routes(app: Flask) -> Iterator[tuple[str, Route]]:
    """Yield the method and rule, and the declaration, of every route that creates or changes something."""
    for rule in api_rules(app):
        for method in (rule.methods or set()) & {"POST", "PUT", "PATCH"}:
            yield f"{method} {rule.rule}", route_of(app.view_functions[rule.endpoint])


def send(ada: Person, call: str, path: str, body: Any, headers: dict[str, str] | None = None) -> Answer:
    """Make a call of `calls`; log in again where it has ended the token."""
    answer = ada.open(path, method=call.partition(" ")[0], json=body, headers=headers)
    if answer.status_code == 204:  # the token has ended
        ada.password = (body or {}).get("newPassword", ada.password)
        login = ada.post("/auth/login", {"email": ada.email, "password": ada.password})
        ada.headers["Authorization"] = f"Bearer {login.json['token']}"
    return answer
