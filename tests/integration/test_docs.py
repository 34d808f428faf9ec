"""Every shell command in the documents works, exactly as it is written."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.environment import ROOT
from tests.support.servers import LiveServer

API_INDEX = "docs/api/README.md"
README, GUIDE = "README.md", "docs/guide.md"  # their output has tests of its own


def commands(text: str) -> str:
    """Return the blocks marked `bash`, in order."""
    return "\n".join(re.findall(r"^```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL))


# The other pages with commands that call the service
OTHER_PAGES = [
    str(page.relative_to(ROOT))
    for page in sorted((ROOT / "docs").rglob("*.md"))
    if page != ROOT / GUIDE and "curl" in commands(page.read_text(encoding="utf-8"))
]


def preparation(document: str) -> str:
    """Return the commands that prepare a document's other commands."""
    if document.startswith("docs/api/") and document != API_INDEX:
        return commands((ROOT / API_INDEX).read_text(encoding="utf-8"))
    if document == GUIDE:
        readme = (ROOT / README).read_text(encoding="utf-8")
        return commands(readme.partition("## Five requests")[2].partition("\n## ")[0])
    return ""


def save_programs(text: str, folder: Path) -> None:
    """Save the blocks marked `python` under the file names in their first lines."""
    for program in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        (folder / program.partition("\n")[0].removeprefix("# ")).write_text(program, encoding="utf-8")


def run(document: str, server: LiveServer, tmp_path: Path) -> str:
    """Execute a document's commands in one shell after its preparation, and return what they print."""
    if not os.environ.get("CI") and not shutil.which("curl"):
        pytest.skip("curl is not installed")
    # curl connects to the port of this test, so the commands run unchanged
    (tmp_path / ".curlrc").write_text(f'connect-to = "127.0.0.1:8000:{urlsplit(server.url).netloc}"\n')
    text = (ROOT / document).read_text(encoding="utf-8")
    save_programs(text, tmp_path)
    # The python3 of these tests: that of the PATH may be a script, which takes ten times as long to start one
    path = f"{Path(sys.base_prefix) / 'bin'}:{os.environ['PATH']}"
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"{preparation(document)}\n{commands(text)}"],
        cwd=tmp_path,
        env={"PATH": path, "CURL_HOME": str(tmp_path), "PROMPTCRAFTER_URL": server.url},
        capture_output=True,
        text=True,
        timeout=120,
    )
    output = ended.stdout
    assert ended.returncode == 0, output + ended.stderr
    assert "Unexpected server error" not in output
    # curl exits with 0 whatever the status, so an error that the document does not show reveals a missing command
    assert set(re.findall(r'"code":"(\w+)"', output)) == set(re.findall(r'"code": "(\w+)"', text))
    return output


@pytest.mark.parametrize("document", OTHER_PAGES)
def test_every_shell_command_of_a_document_works(document: str, live_server: LiveServer, tmp_path: Path) -> None:
    run(document, live_server, tmp_path)


def test_the_requests_of_the_readme_do_what_it_says(live_server: LiveServer, tmp_path: Path) -> None:
    output = run(README, live_server, tmp_path)
    assert '"message":"User account created successfully."' in output
    assert output.count('"output":"Plants eat light 🌱"') == 3
    assert "| gpt-4o | 1 | 1 | 1 | 8.5 |" in output
    assert '"output":"Leaves drink the sun."' in output
    assert '"score":8.5' in output
    assert output.count('"slug":"explain-photosynthesis"') == 1
    assert '"error"' not in output
    assert '"warning":null' in output
    assert '"success":true' in output


def test_the_commands_of_the_guide_do_what_it_says(live_server: LiveServer, tmp_path: Path) -> None:
    output = run(GUIDE, live_server, tmp_path)
    assert "+Explain photosynthesis to a child of {{age}} in two sentences." in output
    assert '"text":"Explain photosynthesis to a child of 7 in two sentences."' in output
    assert "gpt-4o Explain photosynthesis to a child of 7 in two sentences.\n" in output
    assert '"output":"Plants make sugar from light, water and air.","notes":null' in output
    assert output.count('{"status":201,') == 4
    assert "| 2 | 3 | 3 | 8.83333 | 9 | 8 | 9.5 | 0.763763 | 6.93604, 10 |" in output
    assert "{'version': 2} against {'version': 1} 2.5 paired settled: b\n" in output
    assert "<del>make sugar from light, water and air</del><ins>eat sunlight</ins>" in output
    assert '{"variant":"short","payload":{"version":2}}' in output
    assert '"prompts":2,"versions":3,"experiments":1,"traces":1,"logs":10' in output
    assert '"inputTokens":2000,"outputTokens":500,"cost":0.00776' in output
    assert '"logs":{"created":0,"skipped":10}' in output
    assert output.count('"logs":{"created":9,"skipped":0}') == 1, "the copy for the team"
    assert '"slug":"biology","name":"Biology","personal":false,"role":"editor"' in output
    assert "200\n201\n{" in output
    assert "it has the scopes read, ingest, and this needs write" in output
    assert "\ncontent: Explain photosynthesis to a child of {{age}} in two sentences.\n" in output
    files = ("explain-photosynthesis", "support/reply", "tagline")
    for versions, runs in ((2, 1, 1), 1), ((2, 2, 1), 2):
        lines = [f"prompts/{file}.prompt.yml {number}\n" for file, number in zip(files, versions, strict=True)]
        assert output.count("".join(lines)) == runs
    assert "prompts/broken.prompt.yml messages.0.role must be one of system, developer" in output
    assert "prompts/misspelt.prompt.yml modelParameter is not a field of this call" in output
    assert "exit status 1\n" in output
    assert '"name":"clarity","logs":6,"done":0,"open":6,"given":1,"wanted":12,"scores":1,' in output
    assert '"slug":"support/reply"' in output
    assert '"labels":["production"],' in output
    assert "prompts/support/answer.prompt.yml 2\n" in output
    assert output.count('"source":"basalt"') == 1
    assert '"output":"They eat light."' in output
    assert '"source":"otlp","name":"chat gpt-4o"' in output
    assert output.count("204\n403\n204\n") == 1
    assert len((tmp_path / "outputs.csv").read_text(encoding="utf-8").splitlines()) == 4
