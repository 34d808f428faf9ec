"""Every command that the documents show for a shell is executed, to the letter."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.environment import ROOT
from tests.support.servers import LiveServer

DOCUMENTS = ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md"))]


def commands(document: str) -> str:
    """Return the blocks marked `bash`, in order."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return "\n".join(re.findall(r"^```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL))


def run(document: str, server: LiveServer, tmp_path: Path) -> str:
    if not os.environ.get("CI") and not shutil.which("curl"):
        pytest.skip("the documents speak to people who have curl, and this machine has none")
    # curl reaches the documented address at the port of this test, so that not a letter changes
    (tmp_path / ".curlrc").write_text(f'connect-to = "127.0.0.1:8000:{urlsplit(server.url).netloc}"\n')
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands(document)],
        env={"PATH": os.environ["PATH"], "CURL_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_shell_command_of_a_document_works(document: str, live_server: LiveServer, tmp_path: Path) -> None:
    script = commands(document)
    if "curl" in script:
        output = run(document, live_server, tmp_path)
        assert '"code":"internal_error"' not in output
        assert "Unexpected server error" not in output


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
