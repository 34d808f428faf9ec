"""The Python client of the guide follows a label, goes on while the server is away, and fills in variables."""

import copy
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

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
