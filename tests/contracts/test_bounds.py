"""One request takes a bounded time: lengths are checked before contents, and work grows with the size."""

import importlib
import json
import pkgutil
import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from flask import Flask
from marshmallow import Schema, fields, validate

import promptcrafter
from promptcrafter import jsonio
from promptcrafter.http.fields import BoundedList
from promptcrafter.transfer import schemas as transfer
from tests.support.calls import calls
from tests.support.databases import only_sqlite
from tests.support.people import Person
from tests.support.routes import api_rules
from tests.support.transfer import NDJSON_HEADERS, join
from tests.support.work import count_calls

JSON_HEADERS = {"Content-Type": "application/json"}
HEADER = {"type": "export", "format": "promptcrafter", "version": 1}
TIMES = {"createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z"}
LOG = {"type": "log", "_id": "log_1", "source": "basalt", **TIMES}
_OTHER_NAMES = {"/monitor/log"}  # of routes that are walked by another
SIZE = 8000  # bytes of the smaller of two bodies
# Each returns a value of about that many bytes
VALUES: dict[str, Callable[[int], Any]] = {
    "objects": lambda size: [{}] * (size // 3),
    "strings": lambda size: [""] * (size // 3),
    "numbers": lambda size: [1] * (size // 2),
    "names": lambda size: {f"n{number}": number for number in range(size // 14)},
    "different objects": lambda size: [
        {"id": f"{number}", "type": "span", "key": f"{number}", "label": f"{number}"} for number in range(size // 60)
    ],
    "spans with lists": lambda size: [{"variables": [{}] * 20, "prompt": {}}] * (size // 90),
    "braces": lambda size: "{{" * (size // 2),
    "marks": lambda size: "a" + "\u0301" * (size // 2),
    "words": lambda size: " ".join(f"{number:x}" for number in range(size // 6)),
}
# Units of which adversarial texts consist
UNITS = [
    *("a", "0", "-", "_", '"', "\\", ".", "/", "@", "{{", "{{a", "[", "`", "*", "&", "!", "'", "{}", " ", "\n", "\r"),
    *("www.", "a.", "-1", "claude-", "ft:", "data:", "data:a/b", 'data:;a="', "data:;a=b", ";base64,", "{{ ", "a! "),
    *(
        "。",
        "漢",
        "://",
        "us.",
        "arn:aws:bedrock:",
        "models/",
        "\u0301",
        "\u200b",
        '"type"',
        '"type" : "',
        '"images" : ',
    ),
]
STARTS = ["", '"', "data:;a"]


def request_schemas(app: Flask) -> Iterator[Schema]:
    """Yield the schema of every body, query and line of a file."""
    for view in app.view_functions.values():
        for argument in vars(view).get("_apidoc", {}).get("arguments", {}).get("parameters", []):
            yield argument["schema"]
    pending = [transfer.Line]
    while pending:
        line = pending.pop()
        pending += line.__subclasses__()
        yield line()


def each_field(schema: Schema) -> Iterator[tuple[str, fields.Field[Any]]]:
    """Yield the fields of a schema, of the items of its lists and of the schemas in it, each with its path."""
    pending = [(f"{type(schema).__name__}.{name}", field) for name, field in schema.fields.items()]
    while pending:
        path, field = pending.pop()
        yield path, field
        if isinstance(field, fields.List):
            pending.append((f"{path}.0", field.inner))
        if isinstance(field, fields.Nested):
            pending += [(f"{path}.{name}", inner) for name, inner in field.schema.fields.items()]


@only_sqlite
def test_every_list_in_a_request_has_a_maximum_that_is_checked_before_its_items(app: Flask) -> None:
    lists, unbounded = 0, []
    for schema in request_schemas(app):
        for path, field in each_field(schema):
            lists += isinstance(field, fields.List)
            is_unbounded = isinstance(field, fields.List) and not isinstance(field, BoundedList)
            if is_unbounded or isinstance(field, fields.Dict) or getattr(field, "many", False):
                unbounded.append(path)
    assert unbounded == []
    assert lists > 8, "the walk has seen the lists"


@only_sqlite
def test_the_openapi_document_shows_the_maxima(ada: Person) -> None:
    schemas = ada.get("/openapi.json").json["components"]["schemas"]
    maxima = {
        ("LogBatchIn", "logs"): 1000,
        ("TraceIn", "logs"): 5000,
        ("MonitorLogIn", "variables"): 1000,
        ("SpanIn", "variables"): 1000,
        ("ExperimentIn", "variants"): 100,
        ("PromptIn", "tags"): 100,
    }
    assert {(schema, field): schemas[schema]["properties"][field]["maxItems"] for schema, field in maxima} == maxima
    metrics = schemas["ResultIn"]["properties"]["metrics"]
    assert (metrics["maxProperties"], "maxLength" in metrics) == (1000, False)


def count_calls_for(
    person: Person, method: str, path: str, names: Sequence[str], make: Callable[[int], Any], size: int
) -> int:
    """Return how many functions a request calls that has values of about this size in all together."""
    body = json.dumps({name: make(size // len(names)) for name in names}).encode()
    return count_calls(lambda: person.open(path, method=method, data=body, headers=JSON_HEADERS))[1]


@only_sqlite
def test_the_work_for_a_body_grows_no_faster_than_its_size(app: Flask, ada: Person) -> None:
    walked, growing = 0, []
    for call, (path, valid) in calls(ada).items():
        method, _, rule = call.partition(" ")
        if valid is None or rule.startswith("/auth/") or rule in _OTHER_NAMES:
            continue
        walked += 1
        names = names_of(app, method, rule)
        for kind, make in VALUES.items():
            small, large = (count_calls_for(ada, method, path, names, make, size) for size in (SIZE, 2 * SIZE))
            if large > 3 * small + 2000:
                growing.append((call, kind, small, large))
    assert growing == []
    assert walked >= 14, "the walk has seen the routes"


def names_of(app: Flask, method: str, rule: str) -> list[str]:
    """Return the names of the fields of a route's body."""
    for found in api_rules(app):
        if found.rule == rule and method in (found.methods or ()):
            for argument in vars(app.view_functions[found.endpoint])["_apidoc"]["arguments"]["parameters"]:
                if argument["in"] == "json":
                    return [field.data_key or name for name, field in argument["schema"].fields.items()]
    raise AssertionError(rule)


LISTS: list[tuple[str, Any, dict[str, list[str]]]] = [
    ("/logs/batch", {"logs": [1] * 1001}, {"logs": ["must have 0 to 1000 entries"]}),
    ("/scores/batch", {"scores": [1] * 1001}, {"scores": ["must have 0 to 1000 entries"]}),
    ("/experiments", {"slug": "e", "name": "n", "variants": [{}] * 101}, {"variants": ["must have 1 to 100 entries"]}),
    ("/basalt/monitor/trace", {"featureSlug": "f", "logs": [{}] * 5001}, {"logs": ["must have 0 to 5000 entries"]}),
    (
        "/monitor/log",
        {"slug": "p", "output": "o", "variables": [{}] * 1001},
        {"variables": ["must have 0 to 1000 entries"]},
    ),
    (
        "/basalt/monitor/trace",
        {"featureSlug": "f", "logs": [{"id": "1", "type": "span", "variables": [{}] * 1001}]},
        {"logs.0.variables": ["must have 0 to 1000 entries"]},
    ),
    (
        "/prompts",
        {"title": "abc", "content": "c", "model": "m", "tags": [f"{number}" for number in range(101)]},
        {"tags": ["must have at most 100 entries"]},
    ),
    (
        "/experiment/e/log",
        {"variantKey": "A", "metrics": {f"n{number}": "\ud800" for number in range(1001)}},
        {"metrics": ["must have at most 1000 names"]},
    ),
]


@only_sqlite
@pytest.mark.parametrize(("path", "body", "details"), LISTS)
def test_a_list_that_is_too_long_is_refused_for_its_length_alone(
    ada: Person, path: str, body: Any, details: Any
) -> None:
    answer = ada.post(path, data=json.dumps(body).encode(), headers=JSON_HEADERS)
    assert (answer.status_code, answer.json["details"]) == (400, details)


@only_sqlite
def test_loading_a_list_stops_after_a_hundred_faults_and_the_error_says_so(ada: Person) -> None:
    spans = [{"id": "1", "type": "span", "startTime": "x"}] * 4000
    answer = ada.post("/basalt/monitor/trace", {"featureSlug": "f", "logs": spans})
    assert answer.status_code == 400
    details = answer.json["details"]
    assert details.pop("logs") == ["has more faults than are listed"]
    assert len(details) == 99
    assert answer.json["message"].endswith(" And more.")
    hundred = ada.post("/basalt/monitor/trace", {"featureSlug": "f", "logs": spans[:100]}).json
    assert len(hundred["details"]) == 100
    assert "more" not in hundred["message"], "all of them were checked"


@only_sqlite
@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ({**LOG, "computed": ["cost"] * 4}, {"line 2.computed": ["must have at most 3 entries"]}),
        (
            {**LOG, "metrics": dict.fromkeys(map(str, range(1001)), 1)},
            {"line 2.metrics": ["must have at most 1000 names"]},
        ),
        ({"type": "version", "labels": [1] * 10_001}, {"line 2.labels": ["must have at most 10000 entries"]}),
        ({"type": "log", **dict.fromkeys(map(str, range(200)), 1)}, {"line 2": ["must have at most 100 fields"]}),
    ],
)
def test_a_line_of_an_import_is_refused_for_its_length_before_its_content(
    ada: Person, line: Any, reason: dict[str, list[str]]
) -> None:
    answer = ada.post("/import", data=join([HEADER, line]), headers=NDJSON_HEADERS)
    assert answer.status_code == 400
    assert reason.items() <= answer.json["details"].items()


@only_sqlite
def test_a_body_of_lines_is_parsed_up_to_the_maximum_of_lines(
    ada: Person, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
) -> None:
    parsed = []
    loads = jsonio.loads

    def note(data: bytes) -> Any:
        parsed.append(data)
        return loads(data)

    monkeypatch.setattr(jsonio, "loads", note)
    for line in (b"x", b"{}", b"1", b"{", b'"\xff"'):
        with subtests.test(line=line):
            parsed.clear()
            answer = ada.post("/logs/batch", data=b"\n".join([line] * 5000), headers=NDJSON_HEADERS)
            assert (answer.status_code, answer.json["message"]) == (400, "logs must have 0 to 1000 entries.")
            assert len(parsed) == 1001
    for blank in (b"\n", b"\r\n", b" \n", b"\r", b"\x0b\n"):
        with subtests.test(blank=blank):
            assert ada.post("/logs/batch", data=blank * 5000, headers=NDJSON_HEADERS).json == {"results": []}


def patterns(app: Flask) -> Iterator[tuple[str, re.Pattern[str]]]:
    """Yield the compiled regular expressions for text of all modules and request fields, with their names."""
    for module in pkgutil.walk_packages(promptcrafter.__path__, "promptcrafter."):
        for name, value in vars(importlib.import_module(module.name)).items():
            for part in value if isinstance(value, Sequence) and not isinstance(value, str) else (value,):
                if isinstance(part, re.Pattern) and isinstance(part.pattern, str):
                    yield f"{module.name}.{name}", part
    for schema in request_schemas(app):
        for path, field in each_field(schema):
            for check in field.validators:
                if isinstance(check, validate.Regexp) and isinstance(check.regex.pattern, str):
                    yield path, re.compile(rf"\A(?:{check.regex.pattern})")  # the check looks at the beginning only


@only_sqlite
def test_no_regular_expression_takes_quadratic_time(app: Flask) -> None:
    size = 3000  # a quadratic expression takes some hundredths of a second for it, others less than a thousandth
    texts = [start + (unit * size)[:size] for unit in UNITS for start in STARTS]
    different = {pattern: name for name, pattern in patterns(app)}
    for pattern, name in different.items():
        slow = [text[:20] for text in texts if cpu_time(pattern, text) > 0.02 and cpu_time(pattern, text) > 0.02]
        assert (name, slow) == (name, [])
    assert len(different) >= 20, "the walk has seen the expressions"


def cpu_time(pattern: re.Pattern[str], text: str) -> float:
    """Return the seconds that all matches in a text take."""
    before = time.thread_time()
    sum(1 for _ in pattern.finditer(text))
    pattern.fullmatch(text)
    return time.thread_time() - before
