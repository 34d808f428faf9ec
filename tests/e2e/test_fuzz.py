"""A schema-driven fuzzer on a live server: no 5xx, every response as described, every described input accepted."""

import os
import subprocess
from pathlib import Path

from tests.support.connection import Connection, create_prompt, sign_up
from tests.support.environment import bin_path
from tests.support.servers import LiveServer

NOT_CALLED = 3  # schemathesis.toml leaves out what ends the token


def test_a_fuzzer_finds_no_difference_from_the_description(live_server: LiveServer, tmp_path: Path) -> None:
    token = sign_up(live_server)
    connection = Connection(live_server, token)
    prompt_id = create_prompt(connection)
    connection.call("POST", "/logs", {"promptId": prompt_id, "output": "x", "modelUsed": "m"})
    fuzzed = subprocess.run(
        [
            bin_path("schemathesis"),
            f"--config-file={Path(__file__).with_name('schemathesis.toml')}",
            "run",
            f"{live_server.url}/openapi.json",
            f"--header=Authorization: Bearer {token}",
            "--checks=all",
            "--max-examples=4",
            "--generation-deterministic",
            "--continue-on-failure",
            "--no-color",
        ],
        cwd=tmp_path,
        env={
            **os.environ,
            "SCHEMATHESIS_HOOKS": str(Path(__file__).with_name("schemathesis_hooks.py")),
            "WORKSPACE": connection.call("GET", "/workspaces").json[0]["_id"],
        },
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert fuzzed.returncode == 0, fuzzed.stdout
    paths = connection.call("GET", "/openapi.json").json["paths"]
    total = sum(method != "parameters" for item in paths.values() for method in item)
    assert f"{total - NOT_CALLED} selected / {total} total" in fuzzed.stdout, fuzzed.stdout
    assert '"status": 500' not in live_server.log
