"""Every shell command in the documents works, exactly as it is written."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.conftest import ROOT, LiveServer

API_INDEX = "docs/api/README.md"
DOCUMENTS = ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]


def commands(text: str) -> str:
    """Return the blocks marked `bash`, in order."""
    return "\n".join(re.findall(r"^```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL))


def preparation(document: str) -> str:
    """Return the commands that a document tells its reader to run first."""
    if document.startswith("docs/api/") and document != API_INDEX:
        return commands((ROOT / API_INDEX).read_text(encoding="utf-8"))
    return ""


def run(document: str, server: LiveServer, tmp_path: Path) -> str:
    """Execute a document's commands in one shell after its preparation, and return what they print."""
    if not os.environ.get("CI") and not shutil.which("curl"):
        pytest.skip("curl is not installed")
    # curl connects to the port of this test, so the commands run unchanged
    (tmp_path / ".curlrc").write_text(f'connect-to = "127.0.0.1:8000:{urlsplit(server.url).netloc}"\n')
    script = f"{preparation(document)}\n{commands((ROOT / document).read_text(encoding='utf-8'))}"
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env={"PATH": os.environ["PATH"], "CURL_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_shell_command_of_a_document_works(document: str, live_server: LiveServer, tmp_path: Path) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    if "curl" in commands(text):
        output = run(document, live_server, tmp_path)
        assert "Unexpected server error" not in output
        # curl exits with 0 whatever the status, so an error that the document does not show reveals a missing command
        shown = set(re.findall(r'"code": "(\w+)"', text))
        assert set(re.findall(r'"code":"(\w+)"', output)) == shown


def test_the_requests_of_the_readme_do_what_it_says(live_server: LiveServer, tmp_path: Path) -> None:
    output = run("README.md", live_server, tmp_path)
    assert '"message":"User account created successfully."' in output
    assert output.count('"output":"Plants eat light 🌱"') == 3
    assert "| gpt-4o | 1 | 1 | 1 | 8.5 |" in output
    assert '"output":"Leaves drink the sun."' in output
    assert '"score":8.5' in output
    assert output.count('"slug":"explain-photosynthesis"') == 1
    assert '"error"' not in output
    assert '"warning":null' in output
    assert '"success":true' in output
