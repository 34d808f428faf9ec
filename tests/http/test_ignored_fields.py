"""Fields of a body that a call does not know: named in X-Ignored-Fields, refused with ?strict=true."""

import json
from typing import Any
from urllib.parse import unquote

import pytest
from flask import Flask
from sqlalchemy import select

from promptcrafter.database.base import Base
from promptcrafter.database.session import get_engine
from promptcrafter.logs.schemas import LogIn
from tests.support import otlp
from tests.support.calls import calls, routes, send
from tests.support.databases import only_sqlite
from tests.support.errors import assert_error
from tests.support.people import Answer, Person

HEADER = "X-Ignored-Fields"
SERVER_SET = {"_id": "x", "ownerId": "x", "createdAt": "x", "updatedAt": "x"}
ALWAYS_STRICT = {  # they decide who may do what
    *("POST /auth/keys", "PATCH /auth/me", "POST /workspaces", "PATCH /workspaces/<workspace>"),
    "PATCH /workspaces/<workspace>/members/<user_id>",
    *("POST /workspaces/<workspace>/invitations", "POST /invitations/accept"),
}
LINES = {"Content-Type": "application/x-ndjson"}


def rows(app: Flask) -> dict[str, list[Any]]:
    """Return all rows of the database."""
    with app.app_context(), get_engine().connect() as connection:
        return {
            name: sorted(map(repr, connection.execute(select(table)))) for name, table in Base.metadata.tables.items()
        }


def names(answer: Answer) -> list[str]:
    header = answer.headers.get(HEADER)
    return [] if header is None else [unquote(name) for name in header.split(", ")]


@only_sqlite
def test_every_call_with_a_body_names_an_unknown_field_and_refuses_it_in_strict_mode(app: Flask, ada: Person) -> None:
    known = calls(ada)
    assert {call for call, route in routes(app) if not (route.takes_file or route.raw_types)} == set(known), (
        "each route has a body here"
    )
    for call, (path, body) in known.items():
        if call in ALWAYS_STRICT:
            continue
        with_extra = {**(body or {}), **SERVER_SET, "fooBar": {"a": 1}}
        before = rows(app)
        strict = send(ada, call, f"{path}?strict=true", with_extra)
        assert_error(strict, 400, "unknown_fields")
        assert strict.json["details"].keys() == {"fooBar"}, call
        assert rows(app) == before, call
        named = send(ada, call, path, with_extra)
        assert named.status_code in (200, 201, 204, 207), (call, named.text)
        assert names(named) == ["fooBar"], call


@only_sqlite
def test_a_call_that_decides_who_may_do_what_always_refuses_an_unknown_field(app: Flask, ada: Person) -> None:
    known = calls(ada)
    for call in ALWAYS_STRICT:
        path, body = known[call]
        before = rows(app)
        answer = send(ada, call, path, {**body, "fooBar": 1})
        assert_error(answer, 400, "unknown_fields")
        assert answer.json["details"].keys() == {"fooBar"}, call
        assert rows(app) == before, call


@only_sqlite
def test_a_known_body_is_answered_alike_with_and_without_strict_mode(app: Flask, ada: Person) -> None:
    for call, (path, body) in calls(ada).items():
        sent = {**body, **SERVER_SET} if body else body
        answer = send(ada, call, f"{path}?strict=true", sent)
        assert answer.status_code in (200, 201, 204, 207), (call, answer.text)
        assert HEADER not in answer.headers


def test_a_prompt_that_was_read_can_be_sent_back_with_its_workspace(ada: Person) -> None:
    prompt = ada.prompt()
    sent = {**{name: prompt[name] for name in SERVER_SET}, "version": 1, "workspaceId": prompt["workspaceId"]}
    answer = ada.patch(f"/prompts/{prompt['_id']}?strict=true", {**sent, "title": "Another title"})
    assert (answer.status_code, names(answer), answer.json["title"]) == (200, [], "Another title")
    copied = {**sent, "title": "A copy", "content": "c", "model": "m"}
    assert names(ada.post("/prompts", copied)) == ["workspaceId"], "it does not choose the workspace"
    assert_error(ada.post("/prompts?strict=true", copied), 400, "unknown_fields")


@pytest.mark.parametrize("value", ["", "1", "yes", "True", "on"])
def test_strict_is_true_or_false(ada: Person, value: str) -> None:
    answer = ada.post(f"/prompts?strict={value}", {"title": "A title", "content": "c", "model": "m"})
    assert_error(answer, 400, "invalid_parameters", "strict must be true or false.")


def test_strict_mode_is_off_by_default_and_by_false(ada: Person) -> None:
    body = {"title": "A title", "content": "c", "model": "m", "foo": 1}
    for path in ("/prompts", "/prompts?strict=false"):
        answer = ada.post(path, body)
        assert (answer.status_code, names(answer)) == (201, ["foo"])
    assert_error(ada.get("/prompts?strict=true"), 400, "invalid_parameters")


@only_sqlite
@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("permissions", "is not a field of this call; it takes name, expiresAt, workspace, scopes"),
        ("expires_at", "is not a field of this call; the nearest is expiresAt"),
        ("ExpiresAt", "is not a field of this call; the nearest is expiresAt"),
        ("expires-at", "is not a field of this call; the nearest is expiresAt"),
        ("expireAt", "is not a field of this call; the nearest is expiresAt"),
        ("version", None),
        ("_id", None),
    ],
)
def test_a_key_with_an_unknown_field_is_never_made(ada: Person, name: str, rule: str | None) -> None:
    for query in ("", "?strict=false", "?strict=true"):
        answer = ada.post(f"/auth/keys{query}", {"name": "nightly", name: ["read"]})
        if rule is None:
            assert (answer.status_code, names(answer)) == (201, [])
        else:
            assert_error(answer, 400, "unknown_fields", f"{name} {rule}.")
            assert answer.json["details"] == {name: [rule]}
            assert ada.get("/auth/keys").json == []


@only_sqlite
def test_strict_mode_reports_unknown_fields_beside_invalid_and_missing_ones(ada: Person) -> None:
    answer = ada.post("/prompts?strict=true", {"titel": "A title", "content": "", "model": 5, "x": 1})
    assert_error(answer, 400, "missing_fields")
    assert answer.json["details"] == {
        "title": ["is required"],
        "content": ["is required"],
        "model": ["must be a string"],
        "titel": ["is not a field of this call; the nearest is title"],
        "x": [
            "is not a field of this call; it takes title, content, model, messages, config, tags, slug, "
            "description, type"
        ],
    }


@only_sqlite
def test_objects_that_have_a_schema_are_checked_and_free_ones_are_not(ada: Person) -> None:
    free = {"anything": {"goes": 1}}
    variants = [{"key": key, "trafficPercent": 50, "payload": free, "foo": 1} for key in "AB"]
    body = {"slug": "s", "name": "n", "variants": variants}
    strict = ada.post("/experiments?strict=true", body)
    assert strict.json["details"].keys() == {"variants.0.foo", "variants.1.foo"}
    assert names(ada.post("/experiments", body)) == ["variants.foo"]
    spans = [
        {
            **{"id": "1", "type": "generation", "startedAt": 5, "metadata": free, "evaluators": [free]},
            **{"prompt": {"slug": "p", "id": 7}, "variables": [{"label": "l", "value": "v", "type": "string"}]},
        },
        {"id": "2", "type": "span", "startedAt": 5, "prompt": None},
    ]
    trace = {"featureSlug": "f", "logs": spans, "user": free, "experiment": {"id": "e", "name": "n"}}
    assert names(ada.post("/basalt/monitor/trace", trace)) == [
        *("experiment.name", "logs.startedAt", "logs.variables.type", "logs.prompt.id")
    ]
    strict = ada.post("/basalt/monitor/trace?strict=true", trace)
    assert strict.json["details"].keys() == {
        *("experiment.name", "logs.0.startedAt", "logs.0.variables.0.type", "logs.0.prompt.id", "logs.1.startedAt")
    }
    # what is not even an object is an error of its own
    for odd in (5, None, "x", [5], [None]):
        assert ada.post("/experiments?strict=true", {**body, "variants": odd}).status_code == 400


@only_sqlite
@pytest.mark.parametrize("is_ndjson", [False, True])
def test_a_batch_names_the_fields_of_all_items_and_strict_mode_refuses_the_items_alone(
    ada: Person, is_ndjson: bool
) -> None:
    log = {"promptId": ada.prompt()["_id"], "output": "o", "modelUsed": "m"}
    items = [
        {**log, "pricing": {}, "tags": []},
        log,
        {**log, "pricing": 1, "Notes": "n"},
        {**log, "score": 11, "skore": 1},
    ]
    sent: dict[str, Any] = {"json": {"logs": items}}
    if is_ndjson:
        sent = {"data": "\n".join(map(json.dumps, items)), "headers": LINES}
    answer = ada.post("/logs/batch", **sent)
    assert [result["status"] for result in answer.json["results"]] == [201, 201, 201, 400]
    assert names(answer) == ["pricing", "tags", "Notes", "skore"]
    before = len(ada.get("/logs").json)
    answer = ada.post("/logs/batch?strict=true", **sent)
    results = answer.json["results"]
    assert [result["status"] for result in results] == [400, 201, 400, 400]
    assert results[2]["details"]["Notes"] == ["is not a field of this call; the nearest is notes"]
    assert results[3]["details"] == {
        "score": ["must be a number from 0 to 10"],
        "skore": ["is not a field of this call; the nearest is score"],
    }
    assert HEADER not in answer.headers
    assert len(ada.get("/logs").json) == before + 1


def test_a_field_beside_the_items_of_a_batch_is_named_and_refused_with_the_whole_batch(ada: Person) -> None:
    body = {"logs": [{"promptId": ada.prompt()["_id"], "output": "o", "modelUsed": "m"}], "promptId": "x"}
    assert_error(ada.post("/logs/batch?strict=true", body), 400, "unknown_fields")
    answer = ada.post("/logs/batch", body)
    assert (answer.status_code, names(answer)) == (200, ["promptId"])


@pytest.mark.parametrize("path", ["/logs", "/logs/batch"])
def test_a_replayed_response_names_the_same_fields(ada: Person, path: str) -> None:
    log = {"promptId": ada.prompt()["_id"], "output": "o", "modelUsed": "m", "model": "other", "foo": 1}
    body = log if path == "/logs" else {"logs": [log, {**log, "bar": 2}]}
    answers = [ada.post(path, body, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert answers[1].headers["Idempotency-Replayed"] == "true"
    assert answers[0].data == answers[1].data
    assert names(answers[0]) == names(answers[1])
    assert set(names(answers[0])) >= {"foo", "model"}


@only_sqlite
def test_an_error_names_the_ignored_fields_too(ada: Person) -> None:
    answer = ada.post("/logs", {"promtpId": "prompt_1", "output": "o", "modelUsed": "m"})
    assert_error(answer, 400, "missing_fields", "promptId is required")
    assert names(answer) == ["promtpId"]


@only_sqlite
def test_a_second_name_of_a_field_is_known_and_named_only_where_it_has_no_effect(ada: Person) -> None:
    log = {"promptId": ada.prompt()["_id"], "output": "o"}
    for models in ({"model": "m"}, {"modelUsed": "m", "model": "m"}, {"modelUsed": "m", "model": None}):
        answer = ada.post("/logs?strict=true", {**log, **models})
        assert (answer.status_code, names(answer)) == (201, [])
    both = {**log, "modelUsed": "m", "model": "n"}
    assert names(ada.post("/logs", both)) == ["model"]
    assert_error(ada.post("/logs?strict=true", both), 400, "invalid_fields")
    trace = {"featureSlug": "f", "chainSlug": "c"}
    assert names(ada.post("/basalt/monitor/trace", trace)) == ["chainSlug"]
    assert_error(ada.post("/basalt/monitor/trace?strict=true", trace), 400, "invalid_fields")


@only_sqlite
def test_the_header_is_ascii_and_bounded_whatever_the_names_are(ada: Person) -> None:
    body = {"title": "A title", "content": "c", "model": "m"}
    names_sent = ["é, +1", "", "\ud800", "\x00\r\n", "+2", "x" * 500_000, "y" * 900, "z" * 90]
    data = json.dumps({**body, **dict.fromkeys(names_sent, 1)})
    for query, status in (("", 201), ("?strict=true", 400)):
        answer = ada.post(f"/prompts{query}", data=data, headers={"Content-Type": "application/json"})
        assert answer.status_code == status, answer.text
        assert len(answer.text) < 10_000
        if not query:
            assert answer.headers[HEADER] == f"%C3%A9%2C%20%2B1, %3F, %00%0D%0A, %2B2, {'y' * 900}, +3"
    many = {**body, **{f"field{number}": 1 for number in range(100_000)}}
    answer = ada.post("/prompts", many)
    shown = answer.headers[HEADER].split(", ")
    assert shown == [*(f"field{number}" for number in range(20)), "+99980"]
    assert len(answer.headers[HEADER]) <= 1024
    refused = ada.post("/prompts?strict=true", many)
    assert refused.status_code == 400
    assert len(refused.json["details"]) == 100
    assert refused.json["message"].endswith("And 99900 more.")


@only_sqlite
def test_a_batch_of_many_unknown_names_is_refused_in_bounded_work(ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    import difflib

    compared = []
    original = difflib.get_close_matches

    def count(name: str, *args: Any, **kwargs: Any) -> list[str]:
        compared.append(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(difflib, "get_close_matches", count)
    log = {"promptId": ada.prompt()["_id"], "output": "o", "modelUsed": "m"}
    items = [{**log, **{f"promptIe{item}-{number}": 1 for number in range(70)}} for item in range(1000)]
    answer = ada.post("/logs/batch?strict=true", {"logs": items})
    assert {result["status"] for result in answer.json["results"]} == {400}
    assert all(result["details"] for result in answer.json["results"])
    assert len(compared) <= 100
    assert len(answer.data) < 1_000_000


@only_sqlite
def test_an_unread_body_that_is_no_json_object_is_ignored(ada: Person) -> None:
    path = f"/prompts/{ada.prompt()['_id']}/versions/1/restore?strict=true"
    for data, kind in (("{", "application/json"), ("[1]", "application/json"), ('{"a": 1}', "text/plain"), ("{}", "")):
        assert ada.post(path, data=data, headers={"Content-Type": kind}).status_code == 201


@only_sqlite
def test_an_import_refuses_unknown_fields_in_any_mode(ada: Person) -> None:
    ada.prompt()
    head, prompt, *rest = ada.get("/export").text.splitlines()
    data = "\n".join([head, json.dumps({**json.loads(prompt), "foo": 1}), *rest])
    for query in ("", "?strict=true", "?strict=false"):
        answer = ada.post(f"/import{query}", data=data, headers=LINES)
        assert answer.status_code == 400
        assert "foo" in answer.text


@only_sqlite
def test_the_description_has_the_parameter_and_the_header(app: Flask, ada: Person) -> None:
    document = ada.get("/openapi.json").json
    described = set()
    for path, item in document["paths"].items():
        for method in item.keys() & {"post", "put", "patch"}:
            operation = item[method]
            if path in otlp.PATHS:
                continue
            assert [p["schema"]["type"] for p in operation["parameters"] if p.get("name") == "strict"] == ["boolean"]
            headers = [r.get("headers", {}) for status, r in operation["responses"].items() if status[0] == "2"]
            assert headers
            assert all((HEADER in found) is (path != "/import") for found in headers)
            described.add((method, path))
    assert len(described) == len([call for call, route in routes(app) if not route.raw_types])


def test_a_schema_knows_the_names_of_its_fields_their_other_names_and_what_the_server_sets() -> None:
    sent = (*SERVER_SET, "version", "model", "promptId", "prompt_id", "pricing")
    unknown = LogIn().find_unknown(dict.fromkeys(sent, 1))
    assert [(fields.path, fields.names) for fields in unknown] == [((), ["prompt_id", "pricing"])]


def test_the_description_says_which_bodies_have_no_further_fields(ada: Person) -> None:
    document = ada.get("/openapi.json").json
    closed = set()
    for path, item in document["paths"].items():
        for method in item.keys() & {"post", "put", "patch", "delete"}:
            content = item[method].get("requestBody", {}).get("content", {}).get("application/json")
            if content is None or path in otlp.PATHS:
                continue
            schema = document["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
            if schema.get("additionalProperties") is False:
                closed.add(f"{method.upper()} {path.replace('{', '<').replace('}', '>')}")
    assert closed == ALWAYS_STRICT | {"DELETE /auth/me"}
