"""Basalt's newest SDK reads prompts; it has the name of the older one, so it lives in a folder of its own.

It exports traces by gRPC, whose C library resolves and connects past Python's sockets, so an audit hook of Python does
not see it. A local proxy does: gRPC and Python's HTTP clients ask it for every host that is not on loopback.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.integration.test_basalt_sdk import run_program, set_stage
from tests.support.environment import ROOT
from tests.support.servers import LiveServer

SDK = Path(sys.prefix) / "basalt-sdk-1"
PROGRAMS = ROOT / "tests" / "dialects" / "basalt" / "programs"


@dataclass
class Outside:
    """A local server in place of all other hosts: a proxy that refuses every CONNECT, and a collector of traces."""

    url: str
    connects: list[str] = field(default_factory=list)
    posts: list[tuple[str | None, bytes]] = field(default_factory=list)

    def environment(self) -> dict[str, str]:
        """Return the proxy settings that send every connection here, except those to loopback."""
        proxies = dict.fromkeys(["grpc_proxy", "https_proxy", "http_proxy", "all_proxy"], self.url)
        return {**proxies, "no_proxy": "127.0.0.1", "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}


@pytest.fixture
def outside() -> Iterator[Outside]:
    class Handler(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            seen.connects.append(self.path)
            self.send_error(403)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.posts.append((self.headers["Authorization"], body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        seen = Outside(f"http://127.0.0.1:{server.server_port}")
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
        yield seen
        server.shutdown()


def documented_settings(service_url: str) -> dict[str, str]:
    """Return the environment that the README gives for the SDK 1.x, with the address of the service."""
    row = re.search(r"^\| 1\.x \|([^|]*)\|", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert row
    settings = dict(re.findall(r"`(\w+)=([^`]*)`", row[1]))
    assert settings["BASALT_API_URL"] == "https://your-service"
    return {name: value.replace("https://your-service", service_url) for name, value in settings.items()}


def trace_generation(key: str, addresses: Path, **environment: str) -> set[str]:
    """Run a program that traces a generation, and return the addresses that Python's sockets resolved or reached."""
    arguments = [str(PROGRAMS / "basalt_sdk_1_trace.py"), key, str(addresses)]
    assert run_program(arguments, PYTHONPATH=str(SDK), **environment) == {"output": "A secret answer"}
    return set(addresses.read_text().splitlines())


def test_sdk_1_reads_and_publishes_prompts(live_server: LiveServer) -> None:
    assert (SDK / "basalt").is_dir(), "make e2e installs it"
    _, key = set_stage(live_server)
    program = PROGRAMS / "basalt_sdk_1.py"
    seen = run_program([str(program), key], BASALT_API_URL=live_server.url, PYTHONPATH=str(SDK))
    assert seen == {
        "prompts": [
            ["support", "Support", "draft", ["1.0.0"], ["latest"]],
            ["bots/qa", "QA bot", "live", ["1.0.0", "2.0.0"], ["production", "latest"]],
        ],
        "described": [{"label": "question", "type": "string", "description": ""}],
        "prompt": ["Answer Why?", "1.0.0", "production", "open-ai", "gpt-4o"],
        "first": "Answer {{question}}",
        "chat": ["For tickets", "Help Ada", "Why?", 0, 99, "json_object"],
        "published": "canary",
        "asynchronous": 2,
        "experiment": "qa-flow",
        "unknown": seen["unknown"],
        "stranger": seen["stranger"],
    }
    assert "Prompt not found" in seen["unknown"]
    assert "Invalid or missing bearer token" in seen["stranger"]


@pytest.mark.parametrize("engine_name", ["sqlite"])
def test_sdk_1_connects_only_to_the_service_with_the_documented_settings(
    live_server: LiveServer, outside: Outside, tmp_path: Path, engine_name: str
) -> None:
    owner, key = set_stage(live_server)
    settings = documented_settings(live_server.url)
    addresses = trace_generation(key, tmp_path / "addresses", **settings, **outside.environment())
    assert addresses == {urlsplit(live_server.url).netloc}
    assert (outside.connects, outside.posts) == ([], [])
    (log,) = owner.call("GET", "/logs").json
    assert (log["output"], log["source"]) == ("A secret answer", "otlp")
    described = (ROOT / "docs" / "api" / "basalt.md").read_text(encoding="utf-8")
    del settings["BASALT_API_URL"]
    assert settings
    assert all(f"`{name}`" in described for name in settings)


@pytest.mark.parametrize("engine_name", ["sqlite"])
def test_sdk_1_sends_no_traces_without_telemetry(
    live_server: LiveServer, outside: Outside, tmp_path: Path, engine_name: str
) -> None:
    owner, key = set_stage(live_server)
    settings = {"BASALT_API_URL": live_server.url, "BASALT_TELEMETRY_ENABLED": "false"}
    trace_generation(key, tmp_path / "addresses", **settings, **outside.environment())
    assert (outside.connects, outside.posts) == ([], [])
    assert owner.call("GET", "/logs").json == []


@pytest.mark.parametrize("engine_name", ["sqlite"])
@pytest.mark.parametrize("settings", [{}, {"BASALT_OTEL_EXPORTER_OTLP_ENDPOINT": ""}], ids=["default", "empty"])
def test_sdk_1_calls_basalts_collector_without_them(
    live_server: LiveServer, outside: Outside, tmp_path: Path, settings: dict[str, str], engine_name: str
) -> None:
    """The control for the test above: the proxy notices an attempt to leave."""
    _, key = set_stage(live_server)
    settings = {"BASALT_API_URL": live_server.url, **settings}
    trace_generation(key, tmp_path / "addresses", **settings, **outside.environment())
    assert set(outside.connects) == {"grpc.otel.getbasalt.ai:443"}


@pytest.mark.parametrize("engine_name", ["sqlite"])
def test_sdk_1_sends_a_collector_content_and_api_key(
    live_server: LiveServer, outside: Outside, tmp_path: Path, engine_name: str
) -> None:
    _, key = set_stage(live_server)
    settings = {"BASALT_API_URL": live_server.url, "BASALT_OTEL_EXPORTER_OTLP_ENDPOINT": outside.url}
    addresses = trace_generation(key, tmp_path / "addresses", **settings, **outside.environment())
    assert addresses == {urlsplit(live_server.url).netloc, urlsplit(outside.url).netloc}
    ((authorization, body),) = outside.posts
    assert authorization == f"Bearer {key}"
    assert b"Answer Why?" in body
    assert b"A secret answer" in body


@pytest.mark.parametrize("engine_name", ["sqlite"])
def test_the_program_of_the_guide_reads_a_prompt_and_connects_to_nothing_else(
    live_server: LiveServer, outside: Outside, tmp_path: Path, engine_name: str
) -> None:
    guide = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"^```py\n([^`]*from basalt import.*?)^```", guide, re.MULTILINE | re.DOTALL)
    (block,) = re.findall(r"^```sh\n(export BASALT[^`]*CLIENT_KEY\n[^`]*)^```", guide, re.MULTILINE)
    settings = dict(re.findall(r"(BASALT_\w+)=(\S+)", block.replace("http://127.0.0.1:8000", live_server.url)))
    assert len(settings) == 2
    owner, key = set_stage(live_server)
    body = {"title": "Explain photosynthesis", "content": "Explain photosynthesis to a child of {{age}}.", "model": "m"}
    path = f"/prompts/{owner.call('POST', '/prompts', body).json['_id']}"
    owner.call("PUT", f"{path}/labels/production", {"version": 1})
    (tmp_path / "ask.py").write_text(program, encoding="utf-8")
    environment = {**settings, "CLIENT_KEY": key, "PYTHONPATH": str(SDK)}
    ran = subprocess.run(
        [sys.executable, str(tmp_path / "ask.py")],
        env={**os.environ, **environment, **outside.environment()},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ran.stdout == "Explain photosynthesis to a child of 7.\n"
    assert (outside.connects, outside.posts) == ([], [])
