"""An account with data of every kind, and a second service on the other kind of database, to export and import."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask

from config import Config
from tests.support.databases import empty_database
from tests.support.people import Caller, Person, sign_up


@pytest.fixture
def full_account(ada: Person) -> Person:
    """Ada's account with data of every kind."""
    fill_account(ada)
    return ada


def fill_account(ada: Person) -> None:
    """Create prompts with versions and labels, logs, scores, experiments with results, and traces for the account."""
    explain = ada.prompt(title="Explain gravity", slug="gravity", tags=["zebra", "apple", "東京"])
    path = f"/prompts/{explain['_id']}"
    ada.patch(path, {"content": "Explain gravity 🌍 to {{who}}", "tags": ["zebra", "ape", "apple"]})
    ada.patch(path, {"model": "claude-3-sonnet", "comment": "Cheaper,\n\u2028 and 語"})
    for label, version in {"production": 2, "Staging": 2, "staging": 1, "a-b": 2, "a_b": 2}.items():
        ada.open(f"{path}/labels/{label}", method="PUT", json={"version": version})
    gone = ada.prompt(title="Gone")
    other = ada.prompt(title="Explain gravity", content="\n\tspace \u2028 and\r\n{braces}", tags=[])
    everything = {
        "promptVersion": 1,
        "output": "It falls\n\u0001\\u0000 🏳️‍🌈",
        "notes": "",
        "score": 0,
        "input": [{"role": "user", "content": "Why?", "n": [1.0, 1e22, -0.0, 2**70, None, True]}],
        "idealOutput": "It is curved",
        "variables": {"who": "a child", "b": 1, "a": 2},
        "startTime": "1970-01-01T00:00:00+05:00",
        "endTime": 1718889001250,
        "latencyMs": 12.25,
        "inputTokens": 0,
        "cost": 0,
        "metadata": {"z": {"y": []}, "a": ""},
    }
    full = ada.log(explain, **everything)
    ada.patch(f"/logs/{full['_id']}", {"score": 8.25, "notes": "Better than I thought"})
    for score in (
        {"name": "helpful", "value": True, "comment": "For\n\u2028 whom? 🌍"},
        {"name": "tone", "value": "dry 🏜", "annotator": "enduser"},
        {"name": "score", "value": 3.25, "annotator": "judge", "identifier": "gpt\n1"},
        {"name": "length", "value": -1e22, "annotator": "code"},
    ):
        ada.post(f"/logs/{full['_id']}/scores", score)
    ada.log(gone)
    ada.post("/logs/batch", {"logs": [{"promptId": other["_id"], "output": f"{n}", "model": "m"} for n in range(30)]})
    _make_results(ada, explain["_id"])
    ada.delete(f"/prompts/{gone['_id']}")
    _make_chat(ada)


def _make_chat(ada: Person) -> None:
    """Create a prompt that begins as a text and becomes a chat, with parameters whose JSON is easily changed."""
    messages = [
        {"role": "system", "content": "Answer {{who}} 🏳️‍🌈\n\nuser:\n\u2028"},
        {"placeholder": "history"},
        {"role": "tool", "content": "", "name": "look-up"},
    ]
    config = {"temperature": 1.0, "z": {"b": [True, 1, None, 1e22, 2**70], "a": -0.0, "": ""}, "a": "\u0001é"}
    chat = ada.prompt(title="Talk of gravity", description=" For classes,\n with a 🌍 ", config={"top_p": 1})
    path = f"/prompts/{chat['_id']}"
    ada.patch(path, {"content": None, "messages": messages[1:], "comment": "Now a chat"})
    assert ada.patch(path, {"messages": messages, "config": config}).json["version"] == 3


def _make_results(ada: Person, prompt_id: str) -> None:
    variants = [
        {"key": "with tags", "trafficPercent": 70, "payload": {"prompt": {"b": 1, "a": 2}}},
        {"key": "A", "trafficPercent": 30, "promptId": prompt_id},
    ]
    ada.post("/experiments", {"slug": "Greeting~1", "name": "Which", "status": "ACTIVE", "variants": variants})
    result = {"variantKey": "A", "input": {"q": "?"}, "output": {}, "metrics": {"ms": 0, "s": "x"}, "context": {}}
    ada.post("/experiment/Greeting~1/log", result)
    ada.post("/experiment/Greeting~1/log", {"variantKey": "with tags"})
    made = ada.post("/basalt/monitor/experiments", {"featureSlug": "physics", "name": "Shorter"}).json
    ada.post("/monitor/log", {"slug": "gravity", "tag": "nope", "version": "9", "output": "", "name": "n", "user": {}})
    ada.post("/monitor/log", {"slug": "unknown", "output": ["x"], "variables": [{"label": "l", "value": None}]})
    spans = [
        {"id": "1", "type": "retrieval", "startTime": 5, "output": [{"page": 1}], "metadata": {}, "evaluators": []},
        {"id": "2", "type": "generation", "parentId": "1", "prompt": {"slug": "gravity"}, "output": {"a": 1.0}},
        {"id": "3", "type": "generation"},
        {"id": "4", "type": "span", "parentId": "1", "input": "i", "idealOutput": {}, "endTime": "2024-01-01"},
    ]
    trace = {"featureSlug": "physics", "experiment": {"id": made["id"]}, "logs": spans, "input": {"q": 1}}
    rest = {"output": "o", "evaluationConfig": {"sample_rate": 0.5}, "organization": {}}
    ada.post("/basalt/monitor/trace", {**trace, **rest})


@pytest.fixture
def other_server(
    engine_name: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    make_app: Callable[[Config], Flask],
    config: Config,
) -> Caller:
    """An anonymous client of a second service, empty, on PostgreSQL where the test runs on SQLite and vice versa."""
    other = {"sqlite": "postgresql", "postgresql": "sqlite"}[engine_name]
    url = empty_database(other, request, tmp_path / "other.db")
    return Caller(make_app(replace(config, database_url=url)).test_client())


@pytest.fixture
def other_account(other_server: Caller) -> Person:
    """An account on the second service."""
    return sign_up(other_server, "carla")
