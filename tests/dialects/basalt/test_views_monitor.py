"""The routes by which Basalt's clients log outputs and traces."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from promptcrafter.dialects.basalt import views_monitor
from promptcrafter.dialects.prompt_references import resolve_all
from promptcrafter.logs.store import ParentDeleted
from promptcrafter.workspaces.principal import Principal
from tests.support.databases import only_sqlite
from tests.support.people import Caller, Person
from tests.support.statements import statements

PAYLOAD = json.loads(Path(__file__).with_name("monitor_log.json").read_text())
LOG, TRACE, EXPERIMENTS = "/monitor/log", "/basalt/monitor/trace", "/basalt/monitor/experiments"


def prompt_with(ada: Person, **labels: int) -> dict[str, Any]:
    """Save a prompt `qa` of two versions, with labels on them."""
    prompt = ada.prompt(slug="qa", title="QA bot", content="Answer {{question}}", model="gpt-4o")
    ada.patch(f"/prompts/{prompt['_id']}", {"content": "Answer {{question}} shortly", "model": "gpt-4.1"})
    for label, version in labels.items():
        ada.open(f"/prompts/{prompt['_id']}/labels/{label}", method="PUT", json={"version": version})
    return prompt


def log_of(ada: Person, answer: Any) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    return dict(ada.get(f"/logs/{answer.json['log']['id']}").json)


@pytest.mark.parametrize("path", [LOG, "/basalt/monitor/log"])
def test_the_documented_call_becomes_a_log_and_a_trace(ada: Person, path: str) -> None:
    prompt = prompt_with(ada)
    answer = ada.post(path, PAYLOAD)
    log = log_of(ada, answer)
    assert answer.json == {"trace": {"id": log["traceId"]}, "log": {"id": log["_id"]}, "warning": None}
    assert log == {
        "_id": log["_id"],
        "promptId": prompt["_id"],
        "promptVersion": 1,
        "promptReference": {"slug": "qa", "version": "1.0.0", "tag": "production"},
        "modelUsed": "gpt-4o",
        "output": "Paris",
        "input": "What is the capital of France?",
        "idealOutput": "Paris",
        "variables": {"question": "What is the capital of France?"},
        "startTime": "2021-01-01T00:00:00.000Z",
        "endTime": "2021-01-01T00:00:00.000Z",
        "inputTokens": 100,
        "outputTokens": 100,
        "cost": 100,
        "metadata": PAYLOAD["metadata"],
        "source": "basalt",
        "notes": None,
        "score": None,
        "traceId": log["traceId"],
        "createdAt": log["createdAt"],
        "updatedAt": log["createdAt"],
    }
    assert ada.get(f"/logs?promptId={prompt['_id']}").json == [log]
    trace = ada.get(f"/traces/{log['traceId']}").json
    assert trace == {
        "_id": log["traceId"],
        "source": "basalt",
        "slug": "qa",
        "name": "qa-chatbot",
        "organization": PAYLOAD["organization"],
        "user": PAYLOAD["user"],
        "startTime": log["startTime"],
        "endTime": log["endTime"],
        "createdAt": trace["createdAt"],
        "durationMs": 0,
        "cost": log["cost"],
        "spans": [],
        "logs": [log],
    }


# sent version and tag, where production sits, the version the log is kept under, its warning
ONE, TWO = "1.0.0", "2.0.0"
NO_NINE, NO_BETA = "There is no version 9.0.0 of the prompt", "No version of the prompt has the tag beta"
KEPT = "The log is kept without a version."
RESOLUTION = [
    (ONE, "staging", 2, 1, None),
    (ONE, None, None, 1, None),
    ("1", "", 2, 1, None),
    ("1.0", None, 2, 1, None),
    (TWO, "beta", 1, 2, None),
    (None, "staging", 1, 2, None),
    (None, "latest", 1, 2, None),
    ("", "staging", 1, 2, None),
    ("9.0.0", None, 1, 1, f"{NO_NINE}: production stands in."),
    ("9.0.0", "staging", 1, 1, f"{NO_NINE}: production stands in."),
    (None, "beta", 1, 1, f"{NO_BETA}: production stands in."),
    ("9.0.0", None, None, None, f"{NO_NINE}, and none has the tag production. {KEPT}"),
    (None, "beta", None, None, f"{NO_BETA}, and none has the tag production. {KEPT}"),
    (None, None, 1, 1, None),
    ("", "", 1, 1, None),
    (None, None, None, None, f"No version has the tag production. {KEPT}"),
    ("latest", None, 1, 1, "There is no version latest of the prompt: production stands in."),
    ("1.1.0", None, 1, 1, "There is no version 1.1.0 of the prompt: production stands in."),
    ("0", None, None, None, f"There is no version 0 of the prompt, and none has the tag production. {KEPT}"),
]


@only_sqlite
@pytest.mark.parametrize(("version", "tag", "production", "kept_under", "warning"), RESOLUTION)
def test_an_output_is_stored_under_the_referenced_version(
    ada: Person,
    version: str | None,
    tag: str | None,
    production: int | None,
    kept_under: int | None,
    warning: str | None,
) -> None:
    labels = {"staging": 2} | ({"production": production} if production else {})
    prompt = prompt_with(ada, **labels)
    named = {"slug": "qa", "version": version, "tag": tag}
    answer = ada.post(LOG, {**named, "output": "Paris"})
    log = log_of(ada, answer)
    assert answer.json["warning"] == warning
    assert (log["promptId"], log["promptVersion"]) == (prompt["_id"], kept_under)
    assert log["modelUsed"] == {1: "gpt-4o", 2: "gpt-4.1", None: None}[kept_under]
    trace = ada.post(TRACE, {"featureSlug": "f", "logs": [{"id": "1", "type": "generation", "prompt": named}]})
    assert trace.json["warning"] == warning
    assert [found["promptVersion"] for found in ada.get(f"/logs?promptId={prompt['_id']}").json] == [kept_under] * 2


def test_a_log_with_an_unknown_slug_is_accepted(ada: Person, ben: Person) -> None:
    prompt_with(ben, production=1)
    answer = ada.post(LOG, {"slug": "qa", "version": "1.0.0", "output": "x"})
    log = log_of(ada, answer)
    warning = "There is no prompt with the slug qa. The log is kept without a prompt."
    assert answer.json["warning"] == warning
    assert (log["promptId"], log["promptVersion"], log["modelUsed"]) == (None, None, None)
    assert log["promptReference"] == {"slug": "qa", "version": "1.0.0"}
    generation = {"id": "1", "type": "generation", "prompt": {"slug": "qa"}}
    assert ada.post(TRACE, {"featureSlug": "f", "logs": [generation] * 2}).json["warning"] == warning
    assert len(ada.get("/logs").json) == 3
    assert ben.get("/logs").json == []


def test_two_equal_requests_create_two_traces(ada: Person) -> None:
    first, second = (ada.post(LOG, PAYLOAD).json for _ in range(2))
    assert first["trace"] != second["trace"]
    assert first["log"] != second["log"]


@pytest.mark.parametrize(
    ("value", "shown", "shape"),
    [
        ({"b": 1.0, "a": ["é"]}, '{"b":1.0,"a":["é"]}', "json"),
        ([], "[]", "json"),
        ("[]", "[]", None),
        (" \n", " \n", None),
    ],
)
def test_values_other_than_text_are_shown_as_compact_json(
    ada: Person, value: Any, shown: str, shape: str | None
) -> None:
    log = log_of(ada, ada.post(LOG, {"slug": "qa", "output": value, "input": value, "idealOutput": value}))
    for name in ("output", "input", "idealOutput"):
        assert (log[name], log.get(f"{name}Format")) == (shown, shape)


def test_null_means_absent_and_unknown_fields_are_ignored(ada: Person) -> None:
    bare = log_of(ada, ada.post(LOG, {"slug": "qa", "output": "x"}))
    nulls = dict.fromkeys(set(PAYLOAD) - {"slug", "output"})
    same = log_of(ada, ada.post(LOG, {"slug": "qa", "output": "x", **nulls, "hyper": {"a": 1}}))
    own = {"_id", "traceId", "createdAt", "updatedAt"}
    assert {k: v for k, v in bare.items() if k not in own} == {k: v for k, v in same.items() if k not in own}
    assert log_of(ada, ada.post(LOG, {"slug": "qa", "output": "x", "organization": {}, "user": {}}))


@only_sqlite
@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("2026-11-22T01:02:03.123456", "2026-11-22T01:02:03.123Z"),
        ("2026-11-22T03:02:03+02:00", "2026-11-22T01:02:03.000Z"),
        (1_700_000_000, "2023-11-14T22:13:20.000Z"),
        (1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
        (100_000_000_000, "1973-03-03T09:46:40.000Z"),
        (99_999_999_999, "5138-11-16T09:46:39.000Z"),
    ],
)
def test_times_may_be_text_or_numbers(ada: Person, sent: Any, kept: str) -> None:
    assert log_of(ada, ada.post(LOG, {"slug": "qa", "output": "x", "endTime": sent}))["endTime"] == kept


def test_tokens_and_cost_are_computed_with_the_model_of_the_version_or_the_metadata(ada: Person) -> None:
    prompt_with(ada, production=2)
    texts = {"output": "Paris", "input": "What is the capital of France?"}
    of_version = log_of(ada, ada.post(LOG, {"slug": "qa", **texts, "metadata": {"model": "gpt-5"}}))
    assert (of_version["modelUsed"], of_version["pricedAs"]) == ("gpt-4.1", "openai/gpt-4.1")
    for metadata in ({"modelName": "GPT-4o", "model": "gpt-5"}, {"modelName": 5, "model": "GPT-4o"}):
        log = log_of(ada, ada.post(LOG, {"slug": "none", **texts, "metadata": metadata}))
        assert (log["modelUsed"], log["pricedAs"]) == ("GPT-4o", "openai/gpt-4o")
        assert log["computed"] == ["inputTokens", "outputTokens", "cost"]
    zero = log_of(ada, ada.post(LOG, {"slug": "qa", **texts, "inputTokens": 0, "outputTokens": 0.5, "cost": 0}))
    assert (zero["inputTokens"], zero["outputTokens"], zero["cost"], "computed" in zero) == (0, 0.5, 0, False)
    unknown = log_of(ada, ada.post(LOG, {"slug": "none", **texts}))
    assert "cost" not in unknown
    assert (
        log_of(ada, ada.post(LOG, {"slug": "none", "output": "x", "metadata": {"model": "m" * 201}}))["modelUsed"]
        is None
    )


@only_sqlite
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"slug": None}, "slug is required"),
        ({"slug": ""}, "slug is required"),
        ({"slug": 5}, "slug must be a string."),
        ({"output": None}, "output is required"),
        ({"output": 5}, "output must be a string, an object or an array."),
        ({"output": "\x00"}, "output must not contain the NUL character (U+0000)."),
        ({"input": True}, "input must be a string, an object or an array."),
        ({"version": 1}, "version must be a string."),
        ({"variables": {"a": "b"}}, "variables must be an array of objects."),
        ({"variables": ["a"]}, "variables.0 must be an object."),
        ({"variables": [{"value": "a"}]}, "variables.0.label is required"),
        ({"variables": [{"label": "a", "value": 5}]}, "variables.0.value must be a string."),
        ({"variables": [{"label": "a"}, {"label": "a"}]}, "variables must not have the label a twice."),
        ({"startTime": "yesterday"}, "startTime must be an ISO 8601 time or a Unix time."),
        ({"inputTokens": -1}, "inputTokens must be a number, at least 0."),
        ({"outputTokens": "5"}, "outputTokens must be a number, at least 0."),
        ({"cost": True}, "cost must be a number, at least 0."),
        ({"user": "me"}, "user must be an object."),
        ({"metadata": []}, "metadata must be an object."),
    ],
)
def test_a_bad_field_is_named_and_nothing_is_stored(ada: Person, change: dict[str, Any], message: str) -> None:
    answer = ada.post(LOG, {"slug": "qa", "output": "x", **change})
    assert (answer.status_code, answer.json["error"]) == (400, message)
    assert ada.get("/logs").json == ada.get("/traces").json == []


def test_a_large_output_is_refused_with_the_limit(ada: Person) -> None:
    answer = ada.post(LOG, {"slug": "qa", "output": ["x" * 2**20]})
    assert (answer.status_code, answer.json["error"][:27]) == (413, "output may have at most 1,0")
    assert ada.get("/traces").json == []


def test_unauthenticated_calls_get_an_error_object(client: Caller) -> None:
    for path in (LOG, TRACE, EXPERIMENTS):
        answer = client.post(path, PAYLOAD)
        assert (answer.status_code, answer.json["error"]) == (401, "Invalid or missing bearer token")


SPANS: list[dict[str, Any]] = [
    {"id": "log-1", "type": "span", "name": "workflow", "startTime": "2026-11-22T01:02:03.123456", "endTime": None},
    {"id": "log-2", "type": "retrieval", "parentId": "log-1", "parent": None, "input": "q", "output": {"hits": [1.5]}},
    {
        "id": "log-3",
        "type": "generation",
        "name": "answer",
        "parentId": "log-2",
        "input": "Answer",
        "output": "Paris",
        "variables": [{"label": "question", "value": None}],
        "prompt": {"slug": "qa", "version": "1.0.0", "tag": ""},
        "inputTokens": 3,
        "metadata": {"k": "v"},
    },
    {"id": "log-3", "type": "generation", "output": None, "idealOutput": "x"},
    {"id": "log-5", "type": "tool", "metadata": {"a": 1}, "evaluators": [{"slug": "e"}], "idealOutput": ["y"]},
]


def test_a_trace_keeps_its_spans_and_its_generations_become_logs(ada: Person) -> None:
    prompt = prompt_with(ada)
    experiment = ada.post(EXPERIMENTS, {"featureSlug": "qa", "name": "Shorter"}).json
    sent = {
        "featureSlug": "qa",
        "name": "a run",
        "input": {"q": 1},
        "output": "Paris",
        "idealOutput": ["Paris"],
        "metadata": {"m": 1},
        "organization": {},
        "user": {"id": "u"},
        "startTime": "2026-11-22T01:02:03",
        "endTime": 1_800_000_000,
        "experiment": {"id": experiment["id"]},
        "evaluators": [{"slug": "e"}],
        "evaluationConfig": {"sample_rate": 0.5},
        "logs": SPANS,
    }
    answer = ada.post(TRACE, sent)
    assert (answer.status_code, answer.json["warning"]) == (200, None)
    trace = ada.get(f"/traces/{answer.json['trace']['id']}").json
    first, second = trace["logs"]
    kept = (
        "name",
        "input",
        "output",
        "idealOutput",
        "metadata",
        "organization",
        "user",
        "evaluators",
        "evaluationConfig",
    )
    assert {name: trace[name] for name in kept} == {name: sent[name] for name in kept}
    assert (trace["slug"], trace["source"], trace["experimentId"]) == ("qa", "basalt", experiment["id"])
    assert (trace["startTime"], trace["endTime"]) == ("2026-11-22T01:02:03.000Z", "2027-01-15T08:00:00.000Z")
    assert trace["spans"] == [
        {"id": "log-1", "type": "span", "name": "workflow", "startTime": "2026-11-22T01:02:03.123Z"},
        {"id": "log-2", "type": "retrieval", "parentId": "log-1", "input": "q", "output": {"hits": [1.5]}},
        {"id": "log-5", "type": "tool", "metadata": {"a": 1}, "evaluators": [{"slug": "e"}], "idealOutput": ["y"]},
    ]
    assert (first["spanId"], first["parentSpanId"], first["name"]) == ("log-3", "log-2", "answer")
    assert (first["promptId"], first["promptVersion"], first["variables"]) == (prompt["_id"], 1, {"question": None})
    assert (first["inputTokens"], first["outputTokens"], first["computed"]) == (3, 1, ["outputTokens", "cost"])
    assert (first["experimentId"], first["metadata"]) == (experiment["id"], {"k": "v"})
    assert (second["spanId"], second["output"], second["promptId"]) == ("log-3", "", None)
    assert ada.get(f"/logs?promptId={prompt['_id']}").json == [first]
    assert [log["_id"] for log in ada.get("/logs").json] == [second["_id"], first["_id"]]


def test_results_of_evaluators_are_scores_by_a_judge(ada: Person) -> None:
    ada.put("/score-configs/tone", {"kind": "category", "categories": ["warm", "cold"]})
    polite = {"slug": "polite", "score": 0.25, "value": 9}
    first = [
        *(
            {"slug": "polite", "score": 1},
            polite,
            {"slug": "factual", "value": False},
            {"slug": "tone", "result": "warm"},
        ),
        *({"slug": "only-named"}, {"slug": "empty", "score": None}, "hallucination", None, {"score": 1}, {"slug": 5}),
    ]
    second = [{"slug": "tone", "result": "hot"}, {"slug": "1st", "score": 1}, {"slug": "long", "result": "x" * 65}]
    body = {
        "featureSlug": "qa",
        "evaluators": [polite],
        "logs": [
            {"id": "1", "type": "tool", "evaluators": [polite]},
            {"id": "2", "type": "generation", "evaluators": first},
            {"id": "3", "type": "generation", "evaluators": [*second, {"slug": "nested", "value": {"a": 1}}]},
            {"id": "4", "type": "generation"},
        ],
    }
    for _ in range(2):  # the second time is a repetition
        answer = ada.post(TRACE, body, headers={"Idempotency-Key": "once"})
    warning = "Results of evaluators that cannot be scores: 4."
    assert (answer.status_code, answer.json["warning"]) == (200, warning)
    trace = ada.get(f"/traces/{answer.json['trace']['id']}").json
    assert (trace["evaluators"], trace["spans"][0]["evaluators"]) == ([polite], [polite])
    logs = {log["spanId"]: log["_id"] for log in trace["logs"]}
    found = ada.get(f"/logs/{logs['2']}/scores").json
    assert [(score["name"], score["identifier"], score["value"]) for score in found[::-1]] == [
        ("polite", "polite", 0.25),
        ("factual", "factual", False),
        ("tone", "tone", "warm"),
    ]
    assert {(score["annotator"], score["author"]["userId"]) for score in found} == {("judge", ada.id)}
    assert ada.get("/scores").json == found
    assert ada.get(f"/logs/{logs['2']}").json["score"] is None

    own = [{"id": "1", "type": "generation", "evaluators": [{"slug": "b", "score": 2}]}]
    of_run = [{"slug": "a", "score": 1}, {"slug": "b", "score": 9}]
    answer = ada.post(TRACE, {"featureSlug": "qa", "evaluators": of_run, "logs": own})
    (only,) = ada.get(f"/traces/{answer.json['trace']['id']}").json["logs"]
    found = ada.get(f"/logs/{only['_id']}/scores").json
    assert {score["name"]: score["value"] for score in found} == {"a": 1, "b": 2}, "those of a trace with one output"

    many = [{"slug": f"judge-{number}", "score": number} for number in range(600)]
    spans = [{"id": str(place), "type": "generation", "evaluators": many} for place in range(2)]
    answer = ada.post(TRACE, {"featureSlug": "qa", "logs": spans})
    assert answer.json["warning"] == warning.replace("4", "200")
    counts = [
        len(ada.get(f"/logs/{log['_id']}/scores").json)
        for log in ada.get(f"/traces/{answer.json['trace']['id']}").json["logs"]
    ]
    assert counts == [600, 400]


@pytest.mark.parametrize("body", [{"chainSlug": "c"}, {"featureSlug": "f", "chainSlug": "c", "logs": None}])
def test_a_trace_needs_only_its_slug(ada: Person, body: dict[str, Any]) -> None:
    answer = ada.post(TRACE, body)
    trace = ada.get(f"/traces/{answer.json['trace']['id']}").json
    assert trace["slug"] == body.get("featureSlug", "c")
    assert (trace["spans"], trace["logs"]) == ([], [])


def test_each_warning_about_a_trace_appears_once(ada: Person, ben: Person) -> None:
    foreign = ben.post(EXPERIMENTS, {"featureSlug": "f", "name": "n"}).json["id"]
    spans = [{"id": "1", "type": "generation", "prompt": {"slug": slug}} for slug in ("a", "b", "a")]
    answer = ada.post(TRACE, {"featureSlug": "f", "experiment": {"id": foreign}, "logs": spans})
    assert answer.json["warning"] == (
        f"There is no experiment with the id {foreign}. "
        "There is no prompt with the slug a. The log is kept without a prompt. "
        "There is no prompt with the slug b. The log is kept without a prompt."
    )
    assert "experimentId" not in ada.get(f"/traces/{answer.json['trace']['id']}").json


@only_sqlite
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "featureSlug is required"),
        ({"featureSlug": "f", "logs": {}}, "logs must be an array of objects."),
        ({"featureSlug": "f", "logs": [5]}, "logs.0 must be an object."),
        ({"featureSlug": "f", "logs": [{"type": "span"}]}, "logs.0.id is required"),
        ({"featureSlug": "f", "logs": [{"id": "1"}]}, "logs.0.type is required"),
        ({"featureSlug": "f", "logs": [{"id": "1", "type": "x"}]}, "logs.0.type must be one of span, function, tool, "),
        ({"featureSlug": "f", "logs": [SPANS[0], {**SPANS[1], "output": 5}]}, "logs.1.output must be a string, an obj"),
        ({"featureSlug": "f", "logs": [{**SPANS[0], "prompt": {}}]}, "logs.0.prompt.slug is required"),
        ({"featureSlug": "f", "experiment": {}}, "experiment.id is required"),
        ({"featureSlug": "f", "experiment": "e"}, "experiment must be an object."),
        ({"featureSlug": "f", "input": 5}, "input must be a string, an object or an array."),
        ({"featureSlug": "f", "evaluators": {}}, "evaluators must be an array."),
        ({"featureSlug": "f", "evaluators": ["\x00"]}, "evaluators must not contain the NUL character (U+0000)."),
    ],
)
def test_a_bad_trace_is_refused_whole(ada: Person, body: dict[str, Any], message: str) -> None:
    good = {"id": "0", "type": "generation", "output": "x"}
    if isinstance(body.get("logs"), list):
        body = {**body, "logs": [*body["logs"], good]}
    answer = ada.post(TRACE, body)
    assert answer.status_code == 400
    assert answer.json["error"].startswith(message)
    assert ada.get("/logs").json == ada.get("/traces").json == []


def test_an_experiment_for_traces_is_listed_among_experiments(ada: Person) -> None:
    answer = ada.post(EXPERIMENTS, {"featureSlug": "qa", "name": "Shorter"})
    assert answer.status_code == 200
    made = answer.json
    assert made == {"id": made["id"], "name": "Shorter", "featureSlug": "qa", "createdAt": made["createdAt"]}
    (experiment,) = ada.get("/experiments").json
    assert (experiment["_id"], experiment["featureSlug"], experiment["variants"]) == (made["id"], "qa", [])
    spans = [{"id": "1", "type": "generation", "output": "x"}]
    ada.post(TRACE, {"featureSlug": "qa", "experiment": {"id": made["id"]}, "logs": spans})
    (result,) = ada.get(f"/experiments/{experiment['slug']}/logs").json
    assert (result["output"], result["variantKey"]) == ("x", None)
    assert ada.get(f"/experiments/{experiment['slug']}/results").json["variants"] == []
    ada.delete(f"/experiments/{experiment['slug']}")
    assert ada.get("/traces").json == ada.get("/logs").json == []
    for body, message in (({"name": "n"}, "featureSlug is required"), ({"featureSlug": "f"}, "name is required")):
        assert ada.post(EXPERIMENTS, body).json["error"] == message


@pytest.mark.parametrize("path", [LOG, TRACE])
def test_a_log_is_accepted_if_its_prompt_is_deleted_between_look_up_and_write(
    ada: Person, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    prompt = prompt_with(ada, production=1)
    delete_after(ada, f"/prompts/{prompt['_id']}", monkeypatch)
    span = {"id": "1", "type": "generation", "prompt": {"slug": "qa"}, "output": "x"}
    answer = ada.post(path, {"slug": "qa", "output": "x"} if path == LOG else {"featureSlug": "f", "logs": [span]})
    assert answer.status_code == 200, answer.text
    assert answer.json["warning"].startswith("There is no prompt with the slug qa.")
    assert [log["promptId"] for log in ada.get("/logs").json] == [None]


def test_a_trace_is_accepted_if_its_experiment_is_deleted_between_look_up_and_write(
    ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment_id = ada.post(EXPERIMENTS, {"featureSlug": "qa", "name": "n"}).json["id"]
    (experiment,) = ada.get("/experiments").json
    delete_after(ada, f"/experiments/{experiment['slug']}", monkeypatch)
    answer = ada.post(TRACE, {"featureSlug": "f", "experiment": {"id": experiment_id}})
    assert answer.status_code == 200, answer.text
    assert answer.json["warning"] == f"There is no experiment with the id {experiment_id}."
    assert len(ada.get("/traces").json) == 1


def delete_after(ada: Person, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have something deleted by another request after the first look."""

    def look_and_delete(principal: Principal, references: Any) -> Any:
        monkeypatch.undo()
        seen = resolve_all(principal, references)
        with ada.client.application.app_context():  # with a separate session
            assert ada.delete(path).status_code == 204
        return seen

    monkeypatch.setattr(views_monitor, "resolve_all", look_and_delete)


def test_an_output_whose_prompt_is_deleted_at_each_attempt_is_stored_without_one(
    ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt_with(ada, production=1)

    def look_in_vain(principal: Principal, references: Any) -> Any:
        raise ParentDeleted

    monkeypatch.setattr(views_monitor, "resolve_all", look_in_vain)
    answer = ada.post(LOG, {"slug": "qa", "output": "x"})
    assert log_of(ada, answer)["promptId"] is None
    assert answer.json["warning"] == "There is no prompt with the slug qa. The log is kept without a prompt."


def test_warnings_and_errors_about_a_large_body_are_shortened(ada: Person) -> None:
    spans = [{"id": "1", "type": "generation", "prompt": {"slug": f"{number:03}" * 300}} for number in range(200)]
    warning = ada.post(TRACE, {"featureSlug": "f", "logs": spans}).json["warning"]
    assert len(warning) < 4000
    assert warning.endswith("And 180 more.")
    refused = ada.post(TRACE, {"featureSlug": "f", "logs": [{}] * 4000})
    assert (refused.status_code, len(refused.json["details"])) == (400, 100)
    assert refused.json["details"]["logs"] == ["has more faults than are listed"]
    assert refused.json["message"].endswith("are required And more.")
    many = ada.post(TRACE, {"featureSlug": "f", "logs": [{"id": "1", "type": "span"}] * 5001})
    assert (many.status_code, many.json["error"]) == (400, "logs must have 0 to 5000 entries.")


def test_each_prompt_of_a_trace_is_looked_up_once(app: Flask, ada: Person) -> None:
    prompt_with(ada, production=1)

    def count(generations: int) -> int:
        named = ({"slug": "qa"}, {"slug": "qa", "tag": "latest"}, {"slug": "qa", "version": "1"}, {"slug": "no"})
        spans = [{"id": "1", "type": "generation", "prompt": named[n % 4]} for n in range(generations)]
        with statements(app) as seen:
            assert ada.post(TRACE, {"featureSlug": "f", "logs": spans}).status_code == 200
        return len(seen)

    assert count(8) == count(400) < 25


def test_all_versions_that_a_trace_names_are_read_at_once(app: Flask, ada: Person) -> None:
    for slug in ("one", "two"):
        prompt = ada.prompt(slug=slug)
        for number in range(2, 11):
            ada.patch(f"/prompts/{prompt['_id']}", {"content": f"Version {number}"})

    def count(versions: int) -> int:
        named = [{"slug": slug, "version": str(number + 1)} for slug in ("one", "two") for number in range(versions)]
        spans = [{"id": "1", "type": "generation", "prompt": each} for each in named]
        with statements(app) as seen:
            answer = ada.post(TRACE, {"featureSlug": "f", "logs": spans})
        assert answer.json["warning"] is None
        logs = ada.get(f"/logs?traceId={answer.json['trace']['id']}").json
        assert sorted(log["promptVersion"] for log in logs) == sorted([*range(1, versions + 1)] * 2)
        return len(seen)

    assert count(1) == count(10)


@only_sqlite
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/monitor/log", 200),
        ("POST", "/monitor/trace", 200),
        ("POST", "/monitor/experiments", 200),
        ("GET", "/prompts", 200),
        ("GET", "/prompts/qa", 200),
        ("GET", "/basalt/prompts/qa", 200),
        ("GET", "/prompts/qa/describe?tag=production", 200),
        ("POST", "/prompts/qa/publish", 201),
        ("GET", "/logs", 404),
        ("GET", "/datasets", 404),
    ],
)
def test_the_header_of_basalts_sdk_makes_all_routes_available_at_the_root(
    ada: Person, method: str, path: str, status: int
) -> None:
    prompt_with(ada, production=1)
    body = {"slug": "qa", "output": "x", "featureSlug": "f", "name": "n", "newTag": "t", "version": "1"}
    headers = {"X-BASALT-SDK-TYPE": "python", "X-BASALT-SDK-VERSION": "0.5.0", "Content-Type": "application/json"}
    answer = ada.open(path, method=method, headers=headers, json=body if method == "POST" else None)
    assert answer.status_code == status, answer.text
    if path == "/prompts":
        assert set(answer.json) == {"prompts", "warning"}
        assert re.match(r"\[", ada.get(path).text), "without the header it is ours"
