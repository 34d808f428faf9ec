"""Basalt's newest SDK reads prompts; it has the name of the older one, so it lives in a folder of its own."""

import sys
from pathlib import Path

from tests.conftest import ROOT, LiveServer
from tests.live.test_basalt_sdk import run_program, set_stage

SDK = Path(sys.prefix) / "basalt-sdk-1"


def test_sdk_1_reads_and_publishes_prompts(live_server: LiveServer) -> None:
    assert (SDK / "basalt").is_dir(), "make e2e installs it"
    _, key = set_stage(live_server)
    program = ROOT / "tests" / "ingest" / "programs" / "basalt_sdk_1.py"
    seen = run_program([str(program), key], BASALT_API_URL=live_server.url, PYTHONPATH=str(SDK))
    assert seen == {
        "prompts": [
            ["support", "Support", "draft", ["1.0.0"], ["latest"]],
            ["qa", "QA bot", "live", ["1.0.0", "2.0.0"], ["production", "latest"]],
        ],
        "described": [{"label": "question", "type": "string", "description": ""}],
        "prompt": ["Answer Why?", "1.0.0", "production", "open-ai", "gpt-4o"],
        "first": "Answer {{question}}",
        "published": "canary",
        "asynchronous": 2,
        "experiment": "qa-flow",
        "unknown": seen["unknown"],
        "stranger": seen["stranger"],
    }
    assert "Prompt not found" in seen["unknown"]
    assert "Invalid or missing bearer token" in seen["stranger"]
