"""`POST /import?ids=new` makes a copy with ids of its own, and with the references between its records."""

import io
import json
import re
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from promptcrafter.prompts.messages import flatten
from promptcrafter.transfer import export_format, importer
from promptcrafter.transfer.id_policy import NewIds
from promptcrafter.workspaces.principal import at_home
from tests.contracts.test_unicode import ANY_TEXT, JSON_VALUES
from tests.prompts.test_messages import MESSAGES
from tests.support.databases import only_sqlite
from tests.support.errors import assert_error
from tests.support.people import Answer, Person
from tests.support.transfer import EMPTY_EXPORT, NDJSON_HEADERS, as_imported, counts, export, import_file, join
from tests.transfer.test_importer_damage import EXPERIMENT, GOOD, LOG, PROMPT, TRACE
from tests.transfer.test_views_round_trip import ALL

ID = re.compile(r'"((?:prompt|log|score|trace|experiment)_[0-9a-z]{26})"')


def import_copy(person: Person, data: bytes | list[Any], key: str | None = None) -> Answer:
    headers = NDJSON_HEADERS if key is None else {**NDJSON_HEADERS, "Idempotency-Key": key}
    return person.post("/import?ids=new", data=data if isinstance(data, bytes) else join(data), headers=headers)


def numbered(data: bytes) -> tuple[str, list[str]]:
    """Return a file with its ids numbered in the order of their appearance, and the ids."""
    ids: dict[str, str] = {}
    text = ID.sub(lambda found: f'"id {ids.setdefault(found[1], str(len(ids)))}"', data.decode())
    return text, list(ids)


def lines(person: Person, type: str) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, export(person).splitlines()) if line["type"] == type]


def test_an_export_is_imported_into_another_account_of_the_same_server(full_account: Person, ben: Person) -> None:
    left = export(full_account)
    assert_error(import_file(ben, left), 409, "import_conflict")
    assert counts(import_copy(ben, left), "created") == ALL
    (original, ids), (copy, new_ids) = numbered(as_imported(left)), numbered(export(ben))
    assert copy == original, "the same but for the ids"
    assert set(ids).isdisjoint(new_ids)
    assert len(ids) == len(new_ids) > 40
    assert export(full_account) == left
    assert counts(import_file(ben, export(ben)), "skipped") == ALL
    prompt = next(prompt for prompt in ben.get("/prompts").json if prompt["slug"] == "gravity")
    assert len(ben.get(f"/logs?promptId={prompt['_id']}").json) > 0
    assert [found["_id"] for found in ben.get("/search?q=gravity").json if found["slug"] == "gravity"] == [
        prompt["_id"]
    ]
    assert (
        ben.get("/experiments/Greeting~1/results").json["variants"][1]["count"]
        == (full_account.get("/experiments/Greeting~1/results").json["variants"][1]["count"])
    )


@only_sqlite
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(messages=MESSAGES, config=st.dictionaries(ANY_TEXT, JSON_VALUES), description=ANY_TEXT)
def test_any_messages_parameters_and_description_are_kept_and_copied_as_they_were_sent(
    ada: Person, messages: list[dict[str, Any]], config: dict[str, Any], description: str
) -> None:
    sent = {"messages": messages, "config": config, "description": description}
    prompt = ada.prompt(content=None, **sent)
    import_copy(ada, ada.get(f"/export?promptId={prompt['_id']}").data)
    copy, original = ada.get("/prompts?per_page=2").json
    assert original == prompt
    version = ada.get(f"/prompts/{copy['_id']}/versions/1").json
    for kept in (prompt, copy, {**version, "description": description}):
        assert json.dumps({name: kept[name] for name in sent}, sort_keys=True) == json.dumps(sent, sort_keys=True)
        assert (kept["type"], kept["content"]) == ("chat", flatten(messages))
        assert list(kept["config"]) == list(config)


def test_each_import_with_new_ids_makes_another_copy_with_free_slugs(ada: Person) -> None:
    assert counts(import_file(ada, join(GOOD)), "created") == (1, 2, 1, 1, 2)
    for _ in range(2):
        assert counts(import_copy(ada, join(GOOD)), "created") == (1, 2, 1, 1, 2)
    assert sorted(prompt["slug"] for prompt in ada.get("/prompts").json) == ["one", "one-2", "one-3"]
    assert sorted(experiment["slug"] for experiment in ada.get("/experiments").json) == ["S", "S-2", "S-3"]
    by_id = {line["_id"]: line for type in ("prompt", "experiment", "trace") for line in lines(ada, type)}
    for log in lines(ada, "log"):
        if log.get("source") == "agenttest":
            assert by_id[log["traceId"]]["experimentId"] == log["experimentId"]
    for experiment in lines(ada, "experiment"):
        suffix = by_id[experiment["variants"][0]["promptId"]]["slug"].removeprefix("one")
        assert experiment["slug"] == f"S{suffix}", "each experiment refers to the prompt of its own copy"


def test_the_same_idempotency_key_makes_no_second_copy(ada: Person, ben: Person) -> None:
    assert counts(import_copy(ada, join(GOOD), "once"), "created") == (1, 2, 1, 1, 2)
    left = export(ada)
    again = import_copy(ada, join(GOOD), "once")
    assert (counts(again, "created"), counts(again, "skipped")) == ((0, 0, 0, 0, 0), (1, 2, 1, 1, 2))
    assert export(ada) == left
    assert counts(import_copy(ada, join(GOOD), "twice"), "created") == (1, 2, 1, 1, 2)
    assert counts(import_copy(ben, join(GOOD), "once"), "created") == (1, 2, 1, 1, 2), "a key is the account's own"


@only_sqlite
def test_a_malformed_idempotency_key_is_refused_where_it_counts(ada: Person) -> None:
    for key in ("", "a b", "é", "x" * 256):
        assert_error(import_copy(ada, join(GOOD), key), 400, "invalid_idempotency_key")
    assert export(ada) == EMPTY_EXPORT
    headers = {**NDJSON_HEADERS, "Idempotency-Key": "a b"}
    assert counts(ada.post("/import", data=join(GOOD), headers=headers), "created") == (1, 2, 1, 1, 2)


@only_sqlite
@pytest.mark.parametrize("query", ["ids=", "ids=old", "ids=NEW", "ids=new&ids=new", "ids=1", "id=new"])
def test_other_values_of_ids_are_refused(ada: Person, query: str) -> None:
    answer = ada.post(f"/import?{query}", data=join(GOOD), headers=NDJSON_HEADERS)
    assert answer.status_code == 400
    assert "id" in answer.json["message"]
    assert export(ada) == EMPTY_EXPORT


@only_sqlite
def test_the_ids_of_the_file_are_kept_by_default_and_on_request(ada: Person) -> None:
    answer = ada.post("/import?ids=keep", data=join(GOOD), headers=NDJSON_HEADERS)
    assert counts(answer, "created") == (1, 2, 1, 1, 2)
    assert counts(import_file(ada, join(GOOD)), "skipped") == (1, 2, 1, 1, 2)


def test_a_copy_may_refer_to_what_only_the_account_has(ada: Person, ben: Person) -> None:
    import_file(ada, join(GOOD))
    more = [GOOD[EXPERIMENT], GOOD[TRACE], GOOD[LOG], GOOD[LOG + 1]]
    assert counts(import_copy(ada, [GOOD[0], *more, {"type": "end"}]), "created") == (0, 0, 1, 1, 2)
    assert len(ada.get("/logs?promptId=prompt1").json) == 2
    answer = import_copy(ben, [GOOD[0], *more, {"type": "end"}])
    assert answer.json["details"] == {"line 2.variants.0.promptId": ["must be in a line before or in the workspace"]}
    assert export(ben) == EMPTY_EXPORT


@only_sqlite
def test_a_damaged_file_is_refused_with_new_ids_too(ada: Person) -> None:
    twice = import_copy(ada, [*GOOD[:EXPERIMENT], *GOOD[PROMPT:EXPERIMENT], {"type": "end"}])
    assert twice.json["details"] == {"line 5._id": ["stands in line 2 already"]}
    slugs = import_copy(
        ada,
        [
            *GOOD[:EXPERIMENT],
            {**GOOD[PROMPT], "_id": "prompt2"},
            *[{**line, "promptId": "prompt2"} for line in GOOD[PROMPT + 1 : EXPERIMENT]],
            {"type": "end"},
        ],
    )
    assert slugs.json["details"] == {"line 5.slug": ["stands in line 2 already"]}
    malformed = import_copy(ada, [GOOD[0], {**GOOD[PROMPT], "_id": "7"}, {"type": "end"}])
    assert list(malformed.json["details"]) == ["line 2._id"]
    assert export(ada) == EMPTY_EXPORT


@only_sqlite
def test_a_long_slug_is_cut_for_its_number_and_taken_numbers_are_passed_over(ada: Person) -> None:
    def prompt(number: int, slug: str) -> list[dict[str, Any]]:
        id = f"prompt{number}"
        version = {**GOOD[PROMPT + 1], "promptId": id, "labels": []}
        return [{**GOOD[PROMPT], "_id": id, "slug": slug}, version]

    slugs = ["x" * 120, "one", *(f"one-{number}" for number in range(2, 40))]
    file = [GOOD[0], *(line for number, slug in enumerate(slugs) for line in prompt(number, slug)), {"type": "end"}]
    assert counts(import_file(ada, file), "created") == (40, 40, 0, 0, 0)
    copy = [GOOD[0], *prompt(1, "x" * 120), *prompt(2, "one"), {"type": "end"}]
    for _ in range(2):
        assert counts(import_copy(ada, copy), "created") == (2, 2, 0, 0, 0)
    found = {line["slug"] for line in ada.get("/prompts").json} - set(slugs)
    assert found == {"x" * 118 + "-2", "x" * 118 + "-3", "one-40", "one-41"}


@only_sqlite
@pytest.mark.parametrize(("key", "advice"), [(None, "makes another copy"), ("k", "with the same key stores the rest")])
def test_an_interrupted_copy_says_what_importing_again_does(
    app: Flask, ada: Person, key: str | None, advice: str
) -> None:
    import_file(ada, join([*GOOD[:EXPERIMENT], {"type": "end"}]))
    principal = at_home(ada.id)
    file = join([GOOD[0], GOOD[LOG], {"type": "end"}])
    with (
        app.app_context(),
        NewIds(principal, key) as ids,
        importer.check(principal, export_format.read_records(io.BytesIO(file)), ids) as checked,
    ):
        ada.delete("/prompts/prompt1")
        with pytest.raises(importer.ImportInterrupted, match=advice):
            importer.store_checked(principal, checked, ids)


def test_a_key_makes_a_copy_of_its_own_in_each_workspace(ada: Person) -> None:
    ada.prompt(slug="p")
    data = export(ada)
    assert ada.post("/workspaces", {"name": "Team"}).status_code == 201
    headers = {**NDJSON_HEADERS, "Idempotency-Key": "copy"}
    for place in ({"X-Workspace": "team"}, {}):
        answers = [ada.post("/import?ids=new", data=data, headers={**headers, **place}) for _ in range(2)]
        assert [answer.json["prompts"] for answer in answers] == [
            {"created": 1, "skipped": 0},
            {"created": 0, "skipped": 1},
        ]


def test_one_prompt_with_its_logs_is_copied_into_a_workspace(ada: Person) -> None:
    ada.post("/workspaces", {"name": "Team", "slug": "team"})
    prompt, other = ada.prompt(title="Moved"), ada.prompt(title="Stays")
    variants = [{"key": "A", "trafficPercent": 50, "promptId": prompt["_id"]}]
    variants += [{"key": "B", "trafficPercent": 50, "promptId": other["_id"]}]
    ada.post("/experiments", {"slug": "hi", "name": "Hi", "status": "ACTIVE", "variants": variants})
    ada.post("/experiments", {"slug": "unused", "name": "Unused", "variants": variants})
    ada.post("/experiment/hi/log", {"variantKey": "A", "output": {"a": 1}})
    ada.post("/monitor/log", {"slug": prompt["slug"], "tag": "latest", "output": "traced"})
    ada.log(prompt)
    ada.log(other)
    exported = ada.get(f"/export?promptId={prompt['_id']}").data
    answer = ada.post(
        "/import?ids=new",
        data=exported,
        headers={"Content-Type": "application/x-ndjson", "X-Workspace": "team"},
    )
    created = {kind: count["created"] for kind, count in answer.json.items()}
    assert created == {
        **{"prompts": 1, "versions": 1, "experiments": 1, "traces": 1, "logs": 3},
        **{"scoreConfigs": 0, "scores": 0, "spans": 0},
    }
    there = {"X-Workspace": "team"}
    (copied,) = ada.get("/prompts", headers=there).json
    assert (copied["title"], copied["_id"] == prompt["_id"]) == ("Moved", False)
    assert {log["promptId"] for log in ada.get("/logs", headers=there).json} == {copied["_id"]}
    (experiment,) = ada.get("/experiments", headers=there).json
    assert [variant.get("promptId") for variant in experiment["variants"]] == [copied["_id"], None]
    assert ada.get("/export?promptId=prompt_unknown").status_code == 404
