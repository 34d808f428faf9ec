"""Prompts as files in YAML: GitHub's `.prompt.yml`, in and out."""

import gzip
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from promptcrafter import jsonio, yamlio
from promptcrafter.prompts.fields import CONFIG_BYTES_MAX
from tests.support.databases import only_sqlite
from tests.support.people import Person

YAML = {"Content-Type": "application/yaml"}
WANTS_YAML = {"Accept": "application/yaml"}
GITHUBS = """\
name: Text Summarizer
description: Summarizes input text concisely
model: openai/gpt-4o-mini
modelParameters:
  temperature: 0.5
responseFormat: json_schema
jsonSchema: |-
  {
    "name": "summary",
    "schema": {"type": "object"}
  }
messages:
  - role: system
    content: You are a text summarizer. Your only job is to summarize text given to you.
  - placeholder: history
  - role: user
    content: |
      Summarize the given text, beginning with "Summary -":
      <text>
      {{input}}
      </text>
slug: text-summarizer
tags:
  - summary
"""
TEXT = """\
name: A text
description: ''
model: gpt-4o
modelParameters: {}
content: |-
  Dear {{name}},

  thank you.
slug: a-text
tags: []
"""


def file_of(ada: Person, prompt: Any) -> str:
    answer = ada.get(f"/prompts/{prompt['_id']}", headers=WANTS_YAML)
    assert (answer.status_code, answer.content_type) == (200, "application/yaml")
    return answer.get_data(as_text=True)


def test_a_file_becomes_a_prompt_and_the_prompt_the_same_file(ada: Person) -> None:
    chat = ada.post("/prompts", data=GITHUBS, headers=YAML)
    assert (chat.status_code, chat.content_type) == (201, "application/json")
    assert "X-Ignored-Fields" not in chat.headers
    assert (chat.json["title"], chat.json["type"], chat.json["model"]) == (
        "Text Summarizer",
        "chat",
        "openai/gpt-4o-mini",
    )
    assert chat.json["config"] == {
        "temperature": 0.5,
        "responseFormat": "json_schema",
        "jsonSchema": '{\n  "name": "summary",\n  "schema": {"type": "object"}\n}',
    }
    assert chat.json["messages"][1] == {"placeholder": "history"}
    assert chat.json["messages"][2]["content"].endswith("<text>\n{{input}}\n</text>\n")
    assert (chat.json["slug"], chat.json["tags"]) == ("text-summarizer", ["summary"])
    assert file_of(ada, chat.json) == GITHUBS
    text = ada.post("/prompts", data=gzip.compress(TEXT.encode()), headers={**YAML, "Content-Encoding": "gzip"})
    assert (text.json["type"], text.json["content"]) == ("text", "Dear {{name}},\n\nthank you.")
    assert file_of(ada, text.json) == TEXT
    for prompt, file in ((chat.json, GITHUBS), (text.json, TEXT)):
        for media_type in ("application/yaml", "application/x-yaml", "text/yaml; charset=utf-8", "text/x-yaml"):
            answer = ada.patch(f"/prompts/{prompt['_id']}", data=file, headers={"Content-Type": media_type})
            assert (answer.status_code, answer.json["version"]) == (200, 1)
        now = ada.get(f"/prompts/{prompt['_id']}").json
        assert {**now, "updatedAt": ""} == {**prompt, "updatedAt": ""}


def test_a_file_changes_what_it_names(ada: Person) -> None:
    prompt = ada.post("/prompts", data=GITHUBS, headers=YAML).json
    path = f"/prompts/{prompt['_id']}"
    for body, number, changed in (
        ("name: Another name", 1, {"title": "Another name"}),
        ("description:\ntags: ~", 1, {"description": "", "tags": []}),
        ("model: null\nslug:", 1, {"model": "openai/gpt-4o-mini", "slug": "text-summarizer"}),
        ("modelParameters: {topP: .5}", 2, {"config": {"topP": 0.5}}),
        ("responseFormat: text", 3, {"config": {"responseFormat": "text"}}),
        ("modelParameters:", 4, {"config": {}}),
        ("content: Now a text\ncomment: Why", 5, {"type": "text", "messages": None, "content": "Now a text"}),
        ("{}", 5, {"content": "Now a text"}),
    ):
        answer = ada.patch(path, data=body, headers=YAML)
        assert (answer.status_code, answer.json["version"]) == (200, number), (body, answer.json)
        assert {name: answer.json[name] for name in changed} == changed
    first = ada.get(f"{path}/versions/1", headers=WANTS_YAML)
    assert (first.content_type, first.headers["Vary"]) == ("application/yaml", "Accept")
    restored = ada.patch(path, data=first.data, headers=YAML).json
    assert (restored["version"], restored["messages"]) == (6, prompt["messages"])
    assert restored["config"] == prompt["config"]
    assert ada.get(f"{path}/versions/1", headers={"Accept": "*/*"}).json["version"] == 1


def test_a_file_with_the_state_of_its_prompt_leaves_even_its_time(ada: Person) -> None:
    for file in (GITHUBS, TEXT):
        created = ada.post("/prompts", data=file, headers=YAML).json
        path = f"/prompts/{created['_id']}"
        other_order = "".join(reversed(re.findall(r"^\w.*\n(?:(?: .*)?\n)*", file, re.MULTILINE)))
        for same in (file, other_order, other_order + "comment: Again\n"):
            assert ada.patch(path, data=same, headers=YAML).json == created
        assert ada.get(f"{path}/versions").json[1:] == []
        changed = ada.patch(path, data=f"{file}comment: Again\n".replace("name: ", "name: New "), headers=YAML).json
        assert changed["title"] == f"New {created['title']}"
        assert changed["updatedAt"] > created["updatedAt"]


def test_the_form_that_a_client_prefers_is_answered_with_a_tag_of_its_own(ada: Person) -> None:
    prompt = ada.post("/prompts", data=GITHUBS, headers=YAML).json
    path = f"/prompts/{prompt['_id']}"
    for accept, content_type in (
        ("*/*", "application/json"),
        ("text/html", "application/json"),
        ("application/json, application/yaml", "application/json"),
        ("application/yaml;q=0.5, application/json;q=0.4", "application/yaml"),
        ("TEXT/YAML; charset=utf-8", "application/yaml"),
    ):
        answer = ada.get(path, headers={"Accept": accept})
        assert (answer.content_type, answer.headers["Vary"]) == (content_type, "Accept"), accept
    by_slug = ada.get("/prompts/by-slug/text-summarizer", headers=WANTS_YAML)
    file, prompt_answer = ada.get(path, headers=WANTS_YAML), ada.get(path)
    assert by_slug.data == file.data == GITHUBS.encode()
    tag = file.headers["ETag"]
    assert tag == f'{prompt_answer.headers["ETag"][:-1]}-yaml"' == by_slug.headers["ETag"]
    for headers, status in (
        ({"If-None-Match": tag, **WANTS_YAML}, 304),
        ({"If-None-Match": tag}, 200),
        ({"If-None-Match": prompt_answer.headers["ETag"], **WANTS_YAML}, 200),
    ):
        assert ada.get(path, headers=headers).status_code == status
    change = "description: Other"
    assert ada.patch(path, data=change, headers={**YAML, "If-Match": tag}).status_code == 200
    assert ada.patch(path, data=change, headers={**YAML, "If-Match": tag}).status_code == 412


def test_a_version_is_a_file_with_the_names_that_its_prompt_has_now(ada: Person) -> None:
    prompt = ada.post("/prompts", data=GITHUBS.replace("text-summarizer", "text/short"), headers=YAML).json
    paths = (f"/prompts/{prompt['_id']}/versions/1", "/prompts/by-slug/text/short/versions/1")
    before = ada.get(paths[0], headers=WANTS_YAML)
    ada.patch(f"/prompts/{prompt['_id']}", data="name: Shorter\nmodel: other", headers=YAML)
    for path in paths:
        answer = ada.get(path, headers=WANTS_YAML)
        assert answer.text == before.text.replace("Text Summarizer", "Shorter")
        tag = answer.headers["ETag"]
        assert tag.endswith('-yaml"')
        assert tag != before.headers["ETag"]
        assert ada.get(path, headers={**WANTS_YAML, "If-None-Match": tag}).status_code == 304
        assert ada.get(path, headers={"If-None-Match": tag}).content_type == "application/json"


def test_the_tag_of_a_compressed_file_matches_too(ada: Person) -> None:
    prompt = ada.post("/prompts", {"title": "Long", "model": "m", "content": "Word " * 1000}).json
    path = f"/prompts/{prompt['_id']}"
    headers = {**WANTS_YAML, "Accept-Encoding": "gzip"}
    answer = ada.get(path, headers=headers)
    tag = answer.headers["ETag"]
    assert tag.endswith('-yaml-gzip"')
    assert b"Word" in gzip.decompress(answer.data)
    assert ada.get(path, headers={**headers, "If-None-Match": tag}).status_code == 304
    assert ada.delete(path, headers={"If-Match": tag}).status_code == 204


def test_an_idempotency_key_holds_for_files(ada: Person) -> None:
    headers = {**YAML, "Idempotency-Key": "k1"}
    first, again = (ada.post("/prompts", data=TEXT, headers=headers) for _ in range(2))
    assert (first.json["_id"], again.headers["Idempotency-Replayed"]) == (again.json["_id"], "true")
    assert ada.post("/prompts", data=TEXT + "\n", headers=headers).status_code == 422


@pytest.mark.parametrize(
    ("change", "details"),
    [
        ({"name": None}, {"name": ["is required"]}),
        ({"name": "x"}, {"name": ["must have 3 to 100 characters"]}),
        ({"modelParameters": ["a"]}, {"modelParameters": ["must be an object"]}),
        ({"responseFormat": {"type": "text"}}, {"responseFormat": ["must be a string"]}),
        (
            {"responseFormat": "text", "modelParameters": {"responseFormat": "text"}},
            {"responseFormat": ["must not be in modelParameters, too"]},
        ),
        ({"tags": "a"}, {"tags": ["must be an array of strings"]}),
        ({"messages": [{"role": "user", "content": True}]}, {"messages.0.content": ["must be a string"]}),
        ({"content": "x"}, {"messages": ["must not come with content: a prompt has the one or the other"]}),
        ({"description": "a\x00"}, {"description": ["must not contain the NUL character (U+0000)"]}),
    ],
)
def test_an_error_names_the_key_of_the_file(ada: Person, change: dict[str, Any], details: dict[str, Any]) -> None:
    file = {**yamlio.loads(GITHUBS.encode()), **change}
    answer = ada.post("/prompts", data=yamlio.dumps(file), headers=YAML)
    assert (answer.status_code, answer.json["details"]) == (400, details)
    assert ada.get("/prompts").json == []


def test_parameters_are_bounded_with_what_stands_beside_them(ada: Person) -> None:
    file = f"name: Large\nmodel: m\ncontent: x\nmodelParameters: {{a: {'x' * 40_000}}}\njsonSchema: {'y' * 40_000}\n"
    answer = ada.post("/prompts", data=file, headers=YAML)
    assert answer.status_code == 400
    assert answer.json["details"]["modelParameters"][0].startswith(f"must have at most {CONFIG_BYTES_MAX:,} bytes")


def test_other_keys_are_named_and_refused_in_strict_mode(ada: Person) -> None:
    file = GITHUBS + "testData:\n  - input: a\nevaluators: []\ntitle: T\nconfig: {}\n"
    answer = ada.post("/prompts", data=file, headers=YAML)
    assert (answer.status_code, answer.headers["X-Ignored-Fields"]) == (201, "testData, evaluators, title, config")
    strict = ada.post("/prompts?strict=true", data=file, headers=YAML)
    assert (strict.status_code, strict.json["code"]) == (400, "unknown_fields")
    assert strict.json["details"].keys() == {"testData", "evaluators", "title", "config"}


def test_what_is_no_mapping_in_yaml_is_refused_with_its_place(ada: Person) -> None:
    for body, code, place in (
        ("- a", "not_an_object", "mapping"),
        ("", "not_an_object", "mapping"),
        ("a: [b\nc: d", "invalid_yaml", "line 2, column 2"),
        ("name: A name\nname: Another", "duplicate_key", "line 2, column 1"),
        ("name: A name\nmodel: !!str m", "invalid_yaml", "line 2, column 8"),
    ):
        answer = ada.post("/prompts", data=body, headers=YAML)
        assert (answer.status_code, answer.json["code"]) == (400, code), answer.json
        assert place in answer.json["message"]
    large = ada.post("/prompts", data="#" * (2 * 1024 * 1024 + 1), headers=YAML)
    assert (large.status_code, large.json["code"]) == (413, "too_large")


def test_calls_without_a_form_in_yaml_refuse_it(ada: Person) -> None:
    prompt = ada.post("/prompts", data=TEXT, headers=YAML).json
    answer = ada.post(f"/prompts/{prompt['_id']}/render", data="variables: {}", headers=YAML)
    assert (answer.status_code, answer.json["message"]) == (415, "Content-Type must be application/json")
    other = ada.post("/prompts", data=TEXT, headers={"Content-Type": "application/yml"})
    assert other.status_code == 415
    assert other.json["message"] == "Content-Type must be application/json or application/yaml"


@only_sqlite
def test_the_description_has_the_forms_in_yaml_behind_those_in_json(ada: Person) -> None:
    paths = ada.get("/openapi.json").json["paths"]
    one, all_prompts = paths["/prompts/{prompt_id}"], paths["/prompts"]
    by_slug = paths["/prompts/by-slug/{slug}"]
    for described in (
        all_prompts["post"]["requestBody"],
        one["patch"]["requestBody"],
        *(item["get"]["responses"]["200"] for item in (one, by_slug, paths["/prompts/{prompt_id}/versions/{name}"])),
    ):
        assert list(described["content"]) == ["application/json", "application/yaml"]
    assert list(all_prompts["post"]["responses"]["201"]["content"]) == ["application/json"]


_TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00")
    | st.sampled_from(" \n\t:#-'\"|>{}\r\x85\u2028"),
    max_size=30,
)
_NAME = st.from_regex(r"[a-zA-Z0-9_.-]{1,10}", fullmatch=True)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(_TEXT, values, max_size=3),
    max_leaves=8,
)
_MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(("system", "developer", "user", "assistant", "tool")), "content": _TEXT},
    optional={"name": _NAME},
) | st.fixed_dictionaries({"placeholder": _NAME})
_PROMPT = st.fixed_dictionaries(
    {
        "title": st.builds("Name {}".format, _NAME) | st.just("no: #1"),
        "model": _NAME | st.sampled_from(("1.0", "null", "no", "a: b", "#")),
        "description": _TEXT,
        "config": st.dictionaries(_TEXT | st.sampled_from(("responseFormat", "jsonSchema")), _JSON, max_size=3),
        "tags": st.lists(_NAME, max_size=3),
    }
)
_CONTENT = st.fixed_dictionaries({"content": _TEXT.filter(str.strip)}) | st.fixed_dictionaries(
    {"messages": st.lists(_MESSAGE, min_size=1, max_size=4)}
)


@only_sqlite
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_PROMPT, _CONTENT)
@example({"title": "Abc", "model": "m", "description": "", "config": {}, "tags": []}, {"content": " a\n\n \n"})
def test_any_prompt_comes_out_as_a_file_that_is_the_same_prompt(
    ada: Person, shared: dict[str, Any], either: dict[str, Any]
) -> None:
    made = ada.post("/prompts", {**shared, **either})
    assert made.status_code == 201, made.json
    prompt = made.json
    file = file_of(ada, prompt)
    again = ada.patch(f"/prompts/{prompt['_id']}?strict=true", data=file.encode(), headers=YAML)
    assert (again.status_code, again.json["version"]) == (200, 1), again.json
    assert jsonio.is_same({**again.json, "updatedAt": ""}, {**prompt, "updatedAt": ""})
    assert ada.delete(f"/prompts/{prompt['_id']}").status_code == 204
    copy = ada.post("/prompts", data=file.encode(), headers=YAML).json
    own = {"_id": "", "createdAt": "", "updatedAt": ""}
    assert jsonio.is_same({**copy, **own}, {**prompt, **own})
    assert file_of(ada, copy) == file
