"""The real SDK of Basalt, unmodified, against the live server; what it sent is read back through the native API."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.connection import Connection, sign_up
from tests.support.databases import only_sqlite
from tests.support.environment import ROOT
from tests.support.servers import LiveServer

PROGRAM = ROOT / "tests" / "dialects" / "basalt" / "programs" / "basalt_sdk_0.py"


def set_stage(server: LiveServer) -> tuple[Connection, str]:
    """Save a text of two versions, the first in production, and a chat for support; return a caller and an API key."""
    owner = Connection(server, sign_up(server))
    body = {"title": "QA bot", "slug": "bots/qa", "content": "Answer {{question}}", "model": "gpt-4o"}
    path = f"/prompts/{owner.call('POST', '/prompts', body).json['_id']}"
    owner.call("PATCH", path, {"content": "Answer {{question}} shortly"})
    owner.call("PUT", f"{path}/labels/production", {"version": 1})
    support: dict[str, Any] = {
        "title": "Support",
        "model": "Claude 3 Sonnet",
        "tags": ["support"],
        "description": "For tickets",
    }
    support["messages"] = [{"role": "system", "content": "Help {{name}}"}, {"role": "user", "content": "{{question}}"}]
    support["config"] = {"temperature": 0, "max_tokens": 99, "response_format": {"type": "json_object"}}
    assert owner.call("POST", "/prompts", support).status == 201
    return owner, owner.call("POST", "/auth/keys", {"name": "basalt"}).json["key"]


def run_program(arguments: list[str], **environment: str) -> dict[str, Any]:
    """Run a program with the SDK and return what it printed last."""
    ran = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Failed to flush" not in ran.stdout + ran.stderr
    seen: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return seen


@only_sqlite  # tests/dialects/basalt makes the same calls on both databases
def test_sdk_0_5_reads_publishes_and_logs(start_server: Callable[..., LiveServer], database_url: str) -> None:
    server = start_server(database_url.replace("+psycopg", ""), migrate=False, TOKEN_COUNTING="on")
    owner, key = set_stage(server)
    seen = run_program([str(PROGRAM), server.url, key], BASALT_BUILD="development")
    assert seen == {
        "prompts": [
            ["support", "draft", ["1.0.0"], ["latest"]],
            ["bots/qa", "live", ["1.0.0", "2.0.0"], ["production", "latest"]],
        ],
        "of feature": ["support"],
        "described": ["QA bot", [{"label": "question", "type": "string", "description": ""}]],
        "published": "canary",
        "prompt": ["Answer Why?", "1.0.0", "production", "open-ai", "gpt-4o"],
        "canary": ["2.0.0", "canary"],
        "chat": ["Help Ada", "Why?", 0, 99, "json_object"],
        "unknown": ["NotFound", "Prompt not found"],
        "experiment": [seen["experiment"][0], "Shorter answers", "qa-flow"],
        "asynchronous": 2,
    }
    single, run, later = owner.call("GET", "/traces").json[::-1]
    assert [trace["slug"] for trace in (single, run, later)] == ["bots/qa", "qa-flow", "async-flow"]

    single = owner.call("GET", f"/traces/{single['_id']}").json
    (log,) = single["logs"]
    assert (single["input"], single["output"], single["spans"]) == ("Answer Why?", "Because.", [])
    assert (log["input"], log["output"], log["variables"]) == ("Answer Why?", "Because.", {"question": "Why?"})
    assert log["promptReference"] == {"slug": "bots/qa", "version": "1.0.0", "tag": "production"}
    assert (log["modelUsed"], log["computed"]) == ("gpt-4o", ["inputTokens", "outputTokens", "cost"])

    run = owner.call("GET", f"/traces/{run['_id']}").json
    assert (run["name"], run["input"], run["output"]) == ("a run", {"question": "Where?"}, "Paris")
    assert (run["user"], run["organization"], run["metadata"]) == ({"id": "u1", "name": "John"}, {}, {"session": 5})
    assert (run["evaluators"], run["evaluationConfig"]) == ([{"slug": "polite"}], {"sample_rate": 0.5})
    assert run["experimentId"] == seen["experiment"][0]
    assert run["startTime"] <= run["endTime"]
    outer, inner = run["spans"]
    assert (outer["type"], outer["name"], "parentId" in outer) == ("span", "workflow", False)
    assert (inner["type"], inner["parentId"], inner["input"]) == ("retrieval", outer["id"], "Where?")
    assert json.loads(inner["output"]) == ["Paris", "London"], "the SDK itself makes text of it"
    draft, final = run["logs"]
    assert (draft["name"], draft["parentSpanId"], draft["output"]) == ("draft", inner["id"], "In Paris")
    assert (draft["promptVersion"], draft["variables"]) == (1, {"question": "Where?"})
    assert (final["name"], "parentSpanId" in final, json.loads(final["output"])) == (
        "final",
        False,
        {"answer": "Paris"},
    )
    assert (final["promptVersion"], final["idealOutput"]) == (2, "Paris")
    assert (final["inputTokens"], final["outputTokens"], final["cost"], "computed" in final) == (0, 7, 0, False)

    (only,) = owner.call("GET", f"/traces/{later['_id']}").json["logs"]
    (score,) = owner.call("GET", "/scores").json
    assert (score["logId"], score["name"], score["value"]) == (only["_id"], "concise", 0.75)
    assert (score["annotator"], score["identifier"]) == ("judge", "concise")

    history = owner.call("GET", f"/logs?promptId={log['promptId']}").json
    assert [entry["_id"] for entry in history] == [final["_id"], draft["_id"], log["_id"]]
    assert {entry["source"] for entry in history} == {"basalt"}
    (experiment,) = owner.call("GET", "/experiments").json
    results = owner.call("GET", f"/experiments/{experiment['slug']}/logs").json
    assert [result["_id"] for result in results] == [final["_id"], draft["_id"]]


@pytest.mark.parametrize("engine_name", ["sqlite"])
def test_sdk_0_5_reports_an_invalid_key(live_server: LiveServer, engine_name: str) -> None:
    ran = subprocess.run(
        [sys.executable, str(PROGRAM), live_server.url, "pc_wrong"],
        env={**os.environ, "BASALT_BUILD": "development"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 1
    assert "Invalid or missing bearer token" in ran.stderr
