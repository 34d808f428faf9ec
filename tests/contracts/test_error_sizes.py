"""Errors stay small whatever was sent: they name the first faults, shortened, and the number of the others."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask

from promptcrafter.http.route import route_of
from tests.support import otlp
from tests.support.databases import only_sqlite
from tests.support.people import Answer, Person
from tests.support.routes import api_rules
from tests.support.transfer import NDJSON_HEADERS, join

pytestmark = only_sqlite
LARGEST = 64 * 1024  # bytes of an error
BODY = 80_000  # bytes of a request, more or less
WIDE = "\U0001f331"  # four bytes
HEADER = {"type": "export", "format": "promptcrafter", "version": 1}


def text_of(size: int) -> str:
    return WIDE * (size // 4)


# Each returns a value of about that many bytes, or of fewer where each entry has an error, which is longer than it
VALUES: dict[str, Callable[[int], Any]] = {
    "text": text_of,
    "invisible text": lambda size: "\u200b" * (size // 3),
    "a number": lambda size: int("9" * 4000),
    "strings": lambda size: [text_of(size // 2_000)] * 2_000,
    "numbers": lambda size: [1] * (size // 6),
    "empty objects": lambda size: [{}] * (size // 4),
    "objects of long names": lambda size: [{text_of(size // 100) + str(n): n} for n in range(100)],
    "objects with short names": lambda size: [{"key": 1, "label": 1, "id": 1, "type": 1}] * (size // 150),
    "twins": lambda size: (
        [{"key": "k", "label": text_of(size // 3), "trafficPercent": 1, "id": "i", "type": "span"}] * 2
    ),
    "an object of many names": lambda size: {f"name{n}": [n] for n in range(size // 16)},
    "surrogates": lambda size: ["\ud800" * (size // 8)],
}


def operations(app: Flask) -> Iterator[tuple[str, str, Any]]:
    """Yield method, path and route of every operation; ids in the path are well-formed and unknown."""
    for rule in api_rules(app):
        path = re.sub(r"<(?:\w+:)?(prompt|log|key|trace)_id>", r"\1_1", rule.rule)
        for method in sorted((rule.methods or set()) - {"OPTIONS", "HEAD"}):
            yield method, re.sub(r"<(?:\w+:)?\w+>", "name", path), route_of(app.view_functions[rule.endpoint])


def assert_small(answer: Answer) -> None:
    assert answer.status_code < 500, answer.text[:500]
    if answer.status_code >= 400:
        assert len(answer.data) < LARGEST, answer.text[:500]
        names = {"message", "code"} if answer.request.path in otlp.PATHS else {"message", "error", "code", "requestId"}
        assert names <= answer.json.keys()


def properties(ada: Person) -> dict[tuple[str, str], list[str]]:
    """Return the names of the fields of each operation's body, by method and path with its parameters replaced."""
    document = ada.get("/openapi.json").json
    found = {}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            content = operation.get("requestBody", {}).get("content", {}) if isinstance(operation, dict) else {}
            reference = content.get("application/json", {}).get("schema", {}).get("$ref")
            if reference:
                schema = document["components"]["schemas"][reference.rpartition("/")[2]]
                concrete = re.sub(r"\{(prompt|log|key|trace)_id\}", r"\1_1", path)
                found[method.upper(), re.sub(r"\{\w+\}", "name", concrete)] = list(schema["properties"])
    return found


def test_every_error_about_a_large_body_is_small(app: Flask, ada: Person, subtests: pytest.Subtests) -> None:
    names = properties(ada)
    walked = 0
    for method, path, route in operations(app):
        if not route.takes_json:
            continue
        walked += 1
        fields = names[method, path]
        for kind, make in VALUES.items():
            with subtests.test(method=method, path=path, kind=kind):
                body = {name: make(BODY // len(fields)) for name in fields}
                data = json.dumps(body, ensure_ascii=kind == "surrogates").encode()
                assert_small(ada.open(path, method=method, data=data, headers={"Content-Type": "application/json"}))
        name = text_of(BODY // 2)
        twice = f'{{"{name}": 1, "{name}": 2}}'.encode()
        assert_small(ada.open(path, method=method, data=twice, headers={"Content-Type": "application/json"}))
    assert walked >= 18, "the walk has seen the routes"


def test_every_error_about_a_long_query_is_small(app: Flask, ada: Person, subtests: pytest.Subtests) -> None:
    many = "&".join(f"n{n}=%F0%9F%8C%B1" for n in range(450))
    for method, path, route in operations(app):
        long = "%F0%9F%8C%B1" * 650
        queries = [many, f"{long}=1", *(f"{name}={long}" for name in route.query_parameters)]
        for query in queries:
            with subtests.test(method=method, path=path, query=query[:30]):
                body: Any = {} if route.takes_json else None
                assert_small(ada.open(f"{path}?{query}", method=method, json=body))


def test_every_error_about_a_long_path_or_header_is_small(app: Flask, ada: Person) -> None:
    for rule in api_rules(app):
        path = re.sub(r"<[^>]+>", "%F0%9F%8C%B1" * 300, rule.rule)
        for method in sorted((rule.methods or set()) - {"OPTIONS", "HEAD"}):
            headers = dict.fromkeys(("Idempotency-Key", "If-Match", "X-Request-Id", "Accept"), "x" * 8000)
            assert_small(ada.open(path, method=method, headers=headers))
            assert_small(ada.open(path, method=method, headers={"Content-Type": "x/" + "y" * 8000}, data="{}"))


def test_missing_variables_are_named_up_to_a_hundred_with_the_number_of_the_others(ada: Person) -> None:
    def render(names: list[str]) -> Any:
        prompt = ada.prompt(content="".join(f"{{{{{name}}}}}" for name in names))
        answer = ada.post(f"/prompts/{prompt['_id']}/render", {"variables": {}})
        assert answer.status_code == 400
        assert_small(answer)
        return answer.json

    body = render([f"name{number}" for number in range(20_000)])
    assert body["details"] == {"variables": [f"must have a value for name{number}" for number in range(100)]}
    assert body["message"].startswith("variables must have a value for name0; variables must have a value for name1;")
    assert body["message"].endswith(" And 19900 more.")
    assert render(["a", "b"])["message"] == "variables must have a value for a; variables must have a value for b."
    long = render(["x" * 500_000])
    assert long["details"] == {"variables": [f"must have a value for {'x' * 100}…"]}
    wide = render([f"{number:03}" + "译" * 2000 for number in range(200)])
    shown = len(wide["details"]["variables"])
    assert 30 <= shown < 100
    assert wide["message"].endswith(f" And {200 - shown} more.")


def test_an_unknown_variant_is_answered_with_the_first_keys(ada: Person) -> None:
    variants = [{"key": f"{number:03}" + WIDE * 197, "trafficPercent": 1} for number in range(100)]
    assert ada.post("/experiments", {"slug": "e", "name": "n", "variants": variants}).status_code == 201
    answer = ada.post("/experiment/e/log", {"variantKey": "x"})
    assert_small(answer)
    assert answer.json["message"].endswith("… and 80 more.")


@pytest.mark.parametrize("character", ["x", WIDE, "\\u0001", "\\ud800"])
def test_errors_about_the_lines_of_a_file_are_small(ada: Person, character: str) -> None:
    name = character * (BODY // 6)
    lines = [
        f'{{"type": "prompt", "{name}": 1}}',
        f'{{"type": "{name}"}}',
        f'{{"{name}": 1, "{name}": 2}}',
        f'{{"type": "log", "_id": "{name}", "metadata": {{"{name}": 1}}}}',
        '{"type": "log", ' + ", ".join(f'"{character}{number}": 1' for number in range(10_000)) + "}",
        '{"type": "trace", "_id": "trace1", "spans": [' + ", ".join(["{}"] * 10_000) + "]}",
    ]
    for line in lines:
        answer = ada.post("/import", data=join([HEADER]) + line.encode() + b"\n", headers=NDJSON_HEADERS)
        assert answer.status_code == 400
        assert_small(answer)
