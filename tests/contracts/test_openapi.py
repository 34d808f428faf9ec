"""The OpenAPI document is valid and describes exactly the routes."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from promptcrafter.http.route import route_of
from tests.support import otlp
from tests.support.databases import only_sqlite
from tests.support.people import Caller, Person
from tests.support.routes import api_rules

pytestmark = only_sqlite
METHODS = ("get", "post", "patch", "delete", "put")
ERROR = {"$ref": "#/components/schemas/ErrorOut"}
STATUS = {"type": "object", "properties": {"code": {"type": "integer"}, "message": {"type": "string"}}}
UNDESCRIBED = {"/openapi.json", "/docs", "/static/{name}", "/favicon.ico"}  # they serve the description itself


@pytest.fixture
def document(client: Caller) -> dict[str, Any]:
    answer = client.get("/openapi.json")
    assert answer.status_code == 200
    return dict(answer.json)


def test_the_description_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    validate(document)


def test_every_route_is_described_and_every_description_is_a_route(app: Flask, document: dict[str, Any]) -> None:
    routes = {
        (method.lower(), re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in api_rules(app)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    described = {
        (method, path) for path, item in document["paths"].items() for method in item if method != "parameters"
    }
    assert {route for route in routes if route[1] not in UNDESCRIBED} == described


def test_every_operation_declares_its_name_security_and_errors(app: Flask, document: dict[str, Any]) -> None:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method not in METHODS:
                continue
            endpoint = next(r.endpoint for r in api_rules(app) if _is(r, path, method))
            route = route_of(app.view_functions[endpoint])
            is_public = route.is_public
            assert operation["operationId"] == endpoint.rpartition(".")[2]
            assert operation["summary"].endswith(".")
            basic: list[dict[str, list[str]]] = [{"basic": []}] if route.takes_basic else []
            assert operation["security"] == ([] if is_public else [{"bearer": []}, {"apiKey": []}, *basic])
            assert ("401" in operation["responses"]) is (not is_public or path == "/auth/login")
            refusals = [response for status, response in operation["responses"].items() if int(status) >= 400]
            error = STATUS if path in otlp.PATHS else ERROR
            assert all(response["content"]["application/json"]["schema"] == error for response in refusals)


def _is(rule: Any, path: str, method: str) -> bool:
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule) == path and method.upper() in rule.methods


def test_no_schema_is_registered_twice(document: dict[str, Any]) -> None:
    assert not [name for name in document["components"]["schemas"] if re.search(r"\d$", name)]


def each_schema(document: Any) -> Iterator[dict[str, Any]]:
    """Yield every schema of the document, those inside others included."""
    if isinstance(document, dict):
        if isinstance(document.get("type"), str | list) and "in" not in document:
            yield document
        for part in document.values():
            yield from each_schema(part)
    elif isinstance(document, list):
        for part in document:
            yield from each_schema(part)


def test_every_schema_says_what_arrays_and_objects_hold(document: dict[str, Any]) -> None:
    """Generators of clients leave out calls with arrays of nothing, and let no key into objects of nothing."""
    schemas = list(each_schema([document["paths"], document["components"]["schemas"]]))
    for schema in schemas:
        kinds = schema["type"] if isinstance(schema.get("type"), list) else [schema.get("type")]
        assert "array" not in kinds or "items" in schema, schema
        assert "object" not in kinds or {"properties", "additionalProperties"} & schema.keys(), schema
        assert "nullable" not in schema, "OpenAPI 3.1 has the type null"
    assert len(schemas) > 500, "the walk has seen the schemas"


def test_the_description_says_which_bodies_are_prompts(ada: Person, document: dict[str, Any]) -> None:
    message, placeholder = {"role": "user", "content": "Why?"}, {"placeholder": "history"}
    bodies: list[tuple[dict[str, Any], bool]] = [
        ({"content": "c"}, True),
        ({"content": "c", "messages": None, "config": {"a": [1]}, "type": "text"}, True),
        ({"messages": [message, placeholder]}, True),
        ({"messages": [message], "content": None, "type": "chat"}, True),
        ({}, False),
        ({"content": None, "messages": None}, False),
        ({"content": "c", "messages": [message]}, False),
        ({"messages": []}, False),
        ({"messages": [{**message, **placeholder}]}, False),
        ({"messages": [{**message, "role": "bot"}]}, False),
        ({"messages": [{**message, "weight": 1}]}, False),
    ]
    described = {"$ref": "#/components/schemas/PromptIn", "components": document["components"]}
    for body, is_right in bodies:
        whole = {"title": "A title", "model": "m", **body}
        assert Draft202012Validator(described).is_valid(whole) is is_right, body
        assert ada.post("/prompts", whole).status_code == (201 if is_right else 400), body
    assert not Draft202012Validator(described).is_valid({"content": "c"})


def test_operation_names_are_unique_and_fit_every_language(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for item in document["paths"].values() for operation in operations_of(item)]
    assert len({name.replace("_", "").lower() for name in names}) == len(names)
    assert all(re.fullmatch("[a-z]+(_[a-z]+)*", name) for name in names)
    schemas = document["components"]["schemas"]
    assert len({name.lower() for name in schemas}) == len(schemas)


def operations_of(item: dict[str, Any]) -> list[dict[str, Any]]:
    return [item[method] for method in METHODS if method in item]
