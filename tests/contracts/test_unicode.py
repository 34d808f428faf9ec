"""Text is stored unchanged: a client reads the same characters that it wrote, or gets an error with the reason."""

import json
import re
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from promptcrafter import jsonio
from tests.support.databases import only_sqlite
from tests.support.people import Person

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1)
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")),
    lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner),
    max_leaves=10,
)
SLOW = settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.slow
@SLOW
@given(text=ANY_TEXT, ascii_only=st.booleans())
def test_any_unicode_text_is_returned_unchanged(ada: Person, text: str, ascii_only: bool) -> None:
    def send(path: str, body: dict[str, Any]) -> dict[str, Any]:
        data = json.dumps(body, ensure_ascii=ascii_only)
        answer = ada.post(path, data=data.encode(), headers={"Content-Type": "application/json"})
        assert answer.status_code == 201, answer.text
        assert json.dumps(text, ensure_ascii=False).encode() in answer.data
        created: dict[str, Any] = answer.json
        return created

    prompt = send("/prompts", {"title": "title", "content": text, "model": "m"})
    log = send("/logs", {"promptId": prompt["_id"], "output": text, "modelUsed": "m", "notes": text, "input": text})
    again = ada.get(f"/logs/{log['_id']}").json
    assert (again["output"], again["notes"], again["input"]) == (text, text, text)
    assert ada.get(f"/prompts/{prompt['_id']}").json["content"] == text


@pytest.mark.slow
@SLOW
@given(value=st.dictionaries(ANY_TEXT, JSON_VALUES))
def test_any_json_is_returned_unchanged(ada: Person, value: dict[str, Any]) -> None:
    log = ada.log(ada.prompt(), metadata=value, input=value)
    assert json.dumps(ada.get(f"/logs/{log['_id']}").json["metadata"]) == json.dumps(value)
    assert json.loads(log["input"]) == value


@pytest.mark.parametrize(
    "text",
    [
        "\n\t  leading and trailing blanks  \r\n",
        "{{braces}} {x} %s $y \\n </script>",
        "🏳️‍🌈👩‍🔬" * 20,
        "\u202eright to left\u202c שלום مرحبا",
        "a\u0301 is not \u00e1",
        "\ufeff\u200b\u2028\u0085\x1f\x7f",
        "😀" * (1024 * 1024 // 4),
        "x" * (1024 * 1024),
    ],
    ids=lambda text: f"{text[:10]!r} x {len(text)}",
)
def test_unusual_text_is_returned_unchanged(ada: Person, text: str) -> None:
    data = json.dumps({"promptId": ada.prompt()["_id"], "output": text, "modelUsed": "m"}, ensure_ascii=False).encode()
    answer = ada.post("/logs", data=data, headers={"Content-Type": "application/json"})
    assert answer.json["output"] == text
    assert ada.get("/logs").json[0]["output"] == text


BAD = {
    "empty": (b"", "invalid_json", "line 1, column 1"),
    "cut short": (b'{"title":\n  "abc', "invalid_json", "line 2, column 3"),
    "trailing comma": (b'{"a": 1,}', "invalid_json", "line 1, column"),
    "trailing bytes": (b"{} {}", "invalid_json", "line 1, column 4"),
    "single quotes": (b"{'a': 1}", "invalid_json", "line 1, column 2"),
    "NaN": (b'{"a": "NaN",\n "score": NaN}', "invalid_json", "line 2, column 11: NaN is not a JSON number"),
    "Infinity": (b'{"a": -Infinity}', "invalid_json", "line 1, column 7: -Infinity is not"),
    "infinite by exponent": (b'{"a": 1e999}', "number_out_of_range", "1e999"),
    "endless digits": (b'{"a": ' + b"9" * 5000 + b"}", "number_out_of_range", "digits"),
    "duplicate key": (b'{"a": {"b": 1, "b": 2}}', "duplicate_key", '"b"'),
    "invalid UTF-8": (b'{"a": "\xff"}', "invalid_utf8", "byte 8"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "invalid_utf8", "byte 1"),
    "a control character": (b'{"a": "\n"}', "invalid_json", "control character"),
    "too deep": (b"[" * 10_000 + b"]" * 10_000, "nested_too_deeply", "100 levels"),
    "just too deep": (b'{"a":' + b"[" * 100 + b"]" * 100 + b"}", "nested_too_deeply", "100 levels"),
    "an array": (b"[]", "not_an_object", "must be a JSON object"),
    "a string": (b'"title"', "not_an_object", "must be a JSON object"),
    "null": (b"null", "not_an_object", "must be a JSON object"),
}


@only_sqlite
@pytest.mark.parametrize(("data", "code", "message"), BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("path", ["/prompts", "/auth/login"])
def test_a_body_that_is_not_json_is_refused_with_the_reason(
    ada: Person, path: str, data: bytes, code: str, message: str
) -> None:
    answer = ada.post(path, data=data, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json["code"]) == (400, code), answer.text
    assert message in answer.json["message"]


@pytest.mark.parametrize(
    ("body", "details"),
    [
        ('{"content": "a\\u0000b"}', {"content": ["must not contain the NUL character (U+0000)"]}),
        ('{"content": "\\ud83d"}', {"content": ["must not contain a lone surrogate (U+D83D)"]}),
        (
            '{"title": "\\ude00\\ud83d!", "tags": ["\\u0000"]}',
            {
                "title": ["must not contain a lone surrogate (U+DE00)"],
                "tags": ["must not contain the NUL character (U+0000)"],
            },
        ),
    ],
)
def test_text_that_a_database_cannot_store_is_refused_by_field(ada: Person, body: str, details: dict[str, Any]) -> None:
    prompt = ada.prompt()
    answer = ada.patch(f"/prompts/{prompt['_id']}", data=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json["details"]) == (400, details)
    assert ada.get(f"/prompts/{prompt['_id']}").json == prompt


@pytest.mark.parametrize("value", ['{"a": ["\\u0000"]}', '{"\\u0000": 1}', '{"a": {"b": "\\udfff"}}'])
@pytest.mark.parametrize("field", ["metadata", "variables", "input", "idealOutput"])
def test_text_that_a_database_cannot_store_is_refused_inside_json_values(ada: Person, field: str, value: str) -> None:
    body = f'{{"promptId": "{ada.prompt()["_id"]}", "output": "x", "modelUsed": "m", "{field}": {value}}}'
    answer = ada.post("/logs", data=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, list(answer.json["details"])) == (400, [field])


def test_an_escape_sequence_within_text_is_stored_as_text(ada: Person) -> None:
    assert ada.prompt(content="\\u0000 and \\ud83d")["content"] == "\\u0000 and \\ud83d"


def test_json_nested_up_to_the_limit_is_stored(ada: Person) -> None:
    value: Any = {"leaf": 1}
    for _ in range(97):
        value = [value]
    log = ada.log(ada.prompt(), metadata={"deep": value})
    assert ada.get(f"/logs/{log['_id']}").json["metadata"] == {"deep": value}


def test_a_byte_order_mark_is_ignored(ada: Person) -> None:
    body = json.dumps({"title": "title", "content": "c", "model": "m"}).encode()
    assert (
        ada.post("/prompts", data=b"\xef\xbb\xbf" + body, headers={"Content-Type": "application/json"}).status_code
        == 201
    )


@given(data=st.binary(max_size=60))
def test_any_bytes_are_accepted_or_refused_with_400(data: bytes) -> None:
    try:
        value = jsonio.loads(data)
    except jsonio.JsonError:
        return
    assert jsonio.loads(jsonio.dumps(value).encode()) == value


@pytest.mark.parametrize("path", ["/experiments/a%00b", "/basalt/prompts/a%00b"])
def test_a_slug_that_no_database_can_store_is_404(ada: Person, path: str) -> None:
    answer = ada.get(path)
    assert (answer.status_code, answer.json["code"]) == (404, "route_not_found")


def test_no_route_fails_because_of_a_nul_in_its_path_or_query(app: Flask, ada: Person) -> None:
    ada.post("/workspaces", {"name": "Team"})
    prompt = ada.prompt(slug="title")
    ada.post("/experiments", {"slug": "title", "name": "n"})
    known = {"workspace": "team", "prompt_id": prompt["_id"], "slug": "title"}
    failed: set[tuple[str, str]] = set()
    bodies: list[dict[str, Any]] = [{}, {"role": "viewer"}, {"version": 1}]
    for path, methods in ada.get("/openapi.json").json["paths"].items():
        names = re.findall("{([^}]+)}", path)
        urls = {
            path.format(**{**dict.fromkeys(names, "x"), **known, name: f"{begin}%00"})
            for name in names
            for begin in ("", "key_a")
        }
        for method, operation in methods.items():
            if method == "parameters":
                continue
            plain = path.format(**{**dict.fromkeys(names, "x"), **known})
            queries = [each["name"] for each in operation.get("parameters", ()) if each.get("in") == "query"]
            for url in (*urls, *(f"{plain}?{name}=%00" for name in queries)):
                for body in bodies if method in ("post", "put", "patch") else [None]:
                    answer = ada.open(url, method=method.upper(), json=body)
                    failed |= {(method, url)} if answer.status_code >= 500 else set()
    assert failed == set()
