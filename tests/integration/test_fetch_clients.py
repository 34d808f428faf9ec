"""The Python client of the guide follows a label, and goes on while the server is away."""

import sys
from collections.abc import Callable
from pathlib import Path

from tests.support.fetch_clients import AGE_S, FALLBACK, LABEL, follow_a_label, save_client
from tests.support.servers import LiveServer

PROGRAM = f"""
import json, sys
from fetch_prompt import fetch
for line in sys.stdin:
    try:
        print(json.dumps(fetch(line.strip(), {LABEL!r}, {FALLBACK!r}, age={AGE_S})), flush=True)
    except Exception as error:
        print(json.dumps(str(error)), flush=True)
"""


def test_the_python_client_follows_a_label_and_goes_on_while_the_server_is_away(
    start_server: Callable[..., LiveServer], sqlite_template: Path, tmp_path: Path
) -> None:
    save_client("python", tmp_path)
    (tmp_path / "program.py").write_text(PROGRAM)
    follow_a_label(start_server, [sys.executable, "program.py"], tmp_path, sqlite_template)
