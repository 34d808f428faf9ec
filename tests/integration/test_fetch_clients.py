"""The Python client of the guide follows a label, goes on while the server is away, and fills in variables."""

import copy
import runpy
import sys
import threading
from collections.abc import Callable
from http.client import InvalidURL
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.fetch_clients import AGE_S, FALLBACK, LABEL, follow_a_label, render_examples, save_client
from tests.support.servers import LiveServer

PROGRAM = f"""
import json, sys
from fetch_prompt import fetch
for line in sys.stdin:
    try:
        version = fetch(line.strip(), {LABEL!r}, {FALLBACK!r}, age={AGE_S})
        print(json.dumps(version), flush=True)
        version.clear()
    except Exception as error:
        print(json.dumps(str(error)), flush=True)
"""


def test_the_python_client_follows_a_label_and_goes_on_while_the_server_is_away(
    start_server: Callable[..., LiveServer], sqlite_template: Path, tmp_path: Path
) -> None:
    save_client("python", tmp_path)
    (tmp_path / "program.py").write_text(PROGRAM)
    follow_a_label(start_server, [sys.executable, "program.py"], tmp_path, sqlite_template)


def test_the_python_client_fills_in_variables_as_the_server_does(live_server: LiveServer, tmp_path: Path) -> None:
    fill = runpy.run_path(str(tmp_path / save_client("python", tmp_path)))["fill"]
    examples, rendered = render_examples(live_server)
    before = copy.deepcopy(examples)
    filled = []
    for version, variables in examples:
        try:
            filled.append(fill(version, variables))
        except (KeyError, TypeError):
            filled.append(None)
        if isinstance(filled[-1], list):
            assert filled[-1][1] is not variables["history"][0]
    assert filled == rendered
    assert examples == before


def test_the_python_client_goes_on_with_what_it_knows_only_if_the_server_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = runpy.run_path(str(tmp_path / save_client("python", tmp_path)))
    answers = iter([408, 429, 503, 302, 403])

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(next(answers))
            self.end_headers()
            self.wfile.write(b'{"message": "why"}')

        def log_message(self, format: str, *args: Any) -> None:
            """Keep quiet."""

    def fetch() -> Any:
        return client["fetch"]("a/b", LABEL, FALLBACK, age=0)

    monkeypatch.setenv("PROMPTCRAFTER_KEY", "key")
    with HTTPServer(("127.0.0.1", 0), Server) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("PROMPTCRAFTER_URL", url)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        try:
            assert [fetch() for _ in range(4)] == [FALLBACK] * 4
            assert len(caplog.messages) == 4
            with pytest.raises(RuntimeError, match=f'{url}/prompts/.* answers 403: {{"message": "why"}}'):
                fetch()
        finally:
            server.shutdown()
    for faulty in (url.removeprefix("http://"), "http://127.0.0.1:port"):
        monkeypatch.setenv("PROMPTCRAFTER_URL", faulty)
        with pytest.raises((ValueError, InvalidURL), match=r"PROMPTCRAFTER_URL|port"):
            fetch()
    monkeypatch.setenv("PROMPTCRAFTER_URL", url)
    monkeypatch.setenv("PROMPTCRAFTER_KEY", "two\nlines")
    with pytest.raises(ValueError, match="Invalid header value"):
        fetch()
    assert len(caplog.messages) == 4
